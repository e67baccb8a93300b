"""A Kafka broker to compare with."""

import pathlib
import subprocess

import pytest

from logbroker.testing.broker_process import free_port

KAFKA = pathlib.Path(__file__).parents[2] / "tools" / "kafka" / "kafka.sh"


@pytest.fixture
def kafka(kafka_tools, tmp_path):
    """The address of a Kafka broker that is stopped after the test."""
    port = free_port(neighbours=1)  # its controller listens there
    environment = {"KAFKA_LIB": str(kafka_tools.lib), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    subprocess.run(["bash", KAFKA, "start", tmp_path, str(port)], env=environment, check=True, timeout=90)
    yield f"127.0.0.1:{port}"
    subprocess.run(["bash", KAFKA, "stop", tmp_path], env=environment, check=True, timeout=60)
