"""Kafka's own command-line tools and classes, run from its jars (tools/kafka)."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
JAVA_OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
"""For programs that live for a second: start quickly, rather than run fast."""


class KafkaTools:
    """The jars in one directory, and the JVM that runs them."""

    def __init__(self, lib: pathlib.Path) -> None:
        self.lib = lib
        self.class_path = f"{lib}/*"

    def command(self, class_name: str, *arguments: str, log_level: str = "error") -> list[str]:
        """The command line of one class, or of a .java file, which is compiled on the way."""
        if "." not in class_name:
            class_name = f"org.apache.kafka.tools.{class_name}"
        logging = f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}"
        return ["java", *JAVA_OPTIONS, "-cp", self.class_path, logging, class_name, *arguments]

    def run(
        self, class_name: str, *arguments: str, input_text: str | None = None, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run one tool to its end."""
        return subprocess.run(
            self.command(class_name, *arguments),
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


def find_kafka_tools() -> KafkaTools | str:
    """The tools, or the reason why they can't be run with the command that helps."""
    if shutil.which("javac") is None:  # `java File.java` compiles first
        return "needs a JDK: sudo apt-get install default-jdk-headless, then make kafka"
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or REPOSITORY / "tools" / "kafka" / "lib")
    if not any(lib.glob("kafka-clients-*.jar")):
        return "needs Kafka's jars: sudo apt-get install maven, then make kafka"
    return KafkaTools(lib)
