"""kafka-consumer-groups and kafka-transactions print the same of our broker and of Kafka 4.3.1, on the same script of actions.

`tools.json` beside this file is what they print of Kafka. To record it anew: RECORD_KAFKA=1 pytest --long tests/like_kafka
"""

import json
import os
import pathlib

import pytest
from support.tool_session import Tools, session

from logbroker.testing.broker_process import BrokerProcess

HERE = pathlib.Path(__file__).parent
RECORDING = HERE / "tools.json"
PRINTED_MIN = 80


@pytest.fixture
def printed_of(kafka_tools, tmp_path):
    """Runs the whole script against a broker."""

    def run(bootstrap):
        tools = Tools(kafka_tools, HERE / "ToolRunner.java", bootstrap, tmp_path)
        try:
            return session(tools)
        finally:
            tools.close()

    return run


def differences(printed):
    recorded = json.loads(RECORDING.read_text(encoding="utf-8"))
    assert printed.keys() == recorded.keys()
    return {label: (lines, recorded[label]) for label, lines in printed.items() if lines != recorded[label]}


@pytest.mark.java
def test_the_tools_print_what_they_print_of_kafka(printed_of, tmp_path):
    with BrokerProcess(tmp_path / "data", settings={"group.initial.rebalance.delay.ms": "0"}) as broker:
        printed = printed_of(broker.bootstrap)
    assert len(printed) >= PRINTED_MIN
    assert differences(printed) == {}


@pytest.mark.long
@pytest.mark.java
def test_the_recording_is_what_they_print_of_kafka(printed_of, kafka):
    printed = printed_of(kafka)
    if os.environ.get("RECORD_KAFKA"):
        RECORDING.write_text(json.dumps(printed, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert differences(printed) == {}
