"""Kafka's own classes, where a JRE and its jars are at hand."""

import os
import pathlib
import shutil

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def kafka_lib():
    """The directory of Kafka's jars; skips where there is none."""
    if shutil.which("javac") is None:  # `java File.java` compiles before it runs
        pytest.skip("needs a JDK, 17 or newer: apt install default-jdk-headless")
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or REPOSITORY / "tools" / "kafka" / "lib")
    if not list(lib.glob("kafka-clients-*.jar")):
        pytest.skip(
            "needs Kafka's jars: mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies "
            "-DoutputDirectory=lib, or KAFKA_LIB=<their directory>"
        )
    return lib
