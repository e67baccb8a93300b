"""More than a thousand requests are answered as Kafka 4.3.1 answers them.

Beside this file, one for each conversation, lie a Kafka broker's answers. With Kafka's jars at hand they are held against a Kafka
broker too; to record them anew: RECORD_KAFKA=1 pytest --long tests/like_kafka
"""

import json
import os
import pathlib

import pytest

from logbroker.testing import (
    admin_conversation,
    committed_conversation,
    config_conversation,
    consumer_group_conversation,
    group_conversation,
    log_conversation,
    offset_conversation,
    topic_conversation,
    transaction_conversation,
)
from logbroker.testing.broker_process import BrokerProcess

HERE = pathlib.Path(__file__).parent
CONVERSATIONS = {
    "groups": (group_conversation.converse, 200),
    "offsets": (offset_conversation.converse, 120),
    "consumer_groups": (consumer_group_conversation.converse, 220),
    "topics": (topic_conversation.converse, 200),
    "configs": (config_conversation.converse, 100),
    "log": (log_conversation.converse, 400),
    "transactions": (transaction_conversation.converse, 400),
    "committed": (committed_conversation.converse, 150),
    "admin": (admin_conversation.converse, 170),
}
"""What is said, and how many answers there are at least."""


def recording(name):
    return HERE / f"{name}.json"


def differences(name, answers):
    recorded = json.loads(recording(name).read_text(encoding="utf-8"))
    assert answers.keys() == recorded.keys()
    return {
        label: (answer, recorded[label]) for label, answer in answers.items() if answer != recorded[label]
    }


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_we_answer_as_kafka_does(name, tmp_path):
    converse, count = CONVERSATIONS[name]
    with BrokerProcess(tmp_path / "data") as broker:
        answers = converse(broker.bootstrap)
    assert len(answers) >= count
    assert differences(name, json.loads(json.dumps(answers))) == {}


@pytest.mark.long
@pytest.mark.java
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_recording_is_what_kafka_answers(name, kafka):
    converse, _ = CONVERSATIONS[name]
    answers = json.loads(json.dumps(converse(kafka)))
    if os.environ.get("RECORD_KAFKA"):
        recording(name).write_text(
            json.dumps(answers, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8"
        )
    assert differences(name, answers) == {}
