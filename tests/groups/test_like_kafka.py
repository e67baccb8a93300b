"""Two hundred requests about groups are answered as Kafka 4.3.1 answers them.

`kafka_4_3_1.json` holds a Kafka broker's answers (`logbroker.testing.group_conversation`). With Kafka's jars at hand, it is
held against a Kafka broker too; to record it anew: RECORD_KAFKA=1 pytest tests/groups/test_like_kafka.py
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from logbroker.testing.broker_process import BrokerProcess, free_port
from logbroker.testing.group_conversation import converse

RECORDED = pathlib.Path(__file__).with_name("kafka_4_3_1.json")
KAFKA = pathlib.Path(__file__).resolve().parents[2] / "tools" / "kafka" / "kafka.sh"


def differences(answers):
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert answers.keys() == recorded.keys()
    return {
        label: (answer, recorded[label]) for label, answer in answers.items() if answer != recorded[label]
    }


def test_we_answer_as_kafka_does(tmp_path):
    with BrokerProcess(tmp_path / "data") as broker:
        answers = converse(broker.bootstrap)
    assert len(answers) >= 200
    assert differences(json.loads(json.dumps(answers))) == {}


@pytest.fixture
def kafka(kafka_lib, tmp_path):
    """The address of a Kafka broker that is stopped after the test."""
    if shutil.which("java") is None:
        pytest.skip("needs a JRE, 17 or newer: apt install default-jre-headless")
    port = free_port(neighbours=1)  # its controller listens there
    environment = {"KAFKA_LIB": str(kafka_lib), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    subprocess.run(["bash", KAFKA, "start", tmp_path, str(port)], env=environment, check=True, timeout=90)
    yield f"127.0.0.1:{port}"
    subprocess.run(["bash", KAFKA, "stop", tmp_path], env=environment, check=True, timeout=60)


@pytest.mark.long
@pytest.mark.java
def test_the_recording_is_what_kafka_answers(kafka):
    answers = json.loads(json.dumps(converse(kafka)))
    if os.environ.get("RECORD_KAFKA"):
        RECORDED.write_text(
            json.dumps(answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
        )
    assert differences(answers) == {}
