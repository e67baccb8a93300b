"""Our declarations beside Kafka 4.3.1's own, as its classes print them (java/DumpConfigs.java)."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.setting import OURS
from logbroker.config.settings import DYNAMIC, SETTINGS
from logbroker.config.topic import TOPIC_CONFIGS, validate
from logbroker.config.values import ConfigType, parse_value

HERE = pathlib.Path(__file__).parent
CASES = HERE / "topic_config_cases.jsonl"
KAFKA = json.loads((HERE / "kafka_4_3_1.json").read_text())

# Settings that Kafka changes while running and we don't, each with the reason.
NOT_DYNAMIC_HERE = {
    "listeners": "sockets are opened once; a change needs a restart",
    "listener.security.protocol.map": "goes with listeners",
}
# And the other way round.
DYNAMIC_HERE = {"connections.max.idle.ms"}

# Where our bounds are meant to differ from Kafka's: (setting, why).
OTHER_BOUNDS = {
    "max.connections": "0 connections would be a broker nobody can reach",
    "max.connections.per.ip": "as max.connections; Kafka allows 0 for the sake of its overrides by address",
    "offsets.topic.segment.bytes": "as every other segment",
    "num.partitions": "bounded above too",
    "offsets.topic.num.partitions": "bounded above too",
    "transaction.state.log.num.partitions": "bounded above too",
    "transaction.state.log.segment.bytes": "as every other segment",
    "compression.gzip.level": "the same, written in another way",
}


def same(type_name, ours, kafkas):
    """Whether two texts are the same value; Kafka writes some lists in another order."""
    if ours is None or kafkas is None:
        return ours is kafkas
    return parse_value(ConfigType[type_name], ours) == parse_value(ConfigType[type_name], kafkas)


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.kafka is not OURS])
def test_a_setting_is_kafkas(name):
    setting, kafkas = SETTINGS[name], KAFKA["broker"][name]
    assert setting.type.name == kafkas["type"]
    assert same(kafkas["type"], setting.kafka_default, kafkas["default"])


@pytest.mark.parametrize("name", [name for name, setting in SETTINGS.items() if setting.kafka is OURS])
def test_a_setting_of_ours_does_not_take_a_name_of_kafkas(name):
    assert name not in KAFKA["broker"]


def test_bounds_are_kafkas_where_kafka_has_some():
    for name, setting in SETTINGS.items():
        bounds = KAFKA["broker"].get(name, {}).get("bounds")
        if not bounds or name in OTHER_BOUNDS or not bounds.startswith("["):
            continue
        inside = bounds.strip("[]")
        if ",..." in inside:
            low, _, high = inside.partition(",...")
            assert setting.low == float(low), name
            assert setting.high == (float(high.strip(",")) if high else None), name
        else:
            assert set(setting.choices) == {choice.strip() for choice in inside.split(",")}, name


def test_what_can_change_while_running_is_what_kafka_changes():
    kafkas = {name for name in KAFKA["dynamic"] if name in SETTINGS}
    assert kafkas - DYNAMIC == set(NOT_DYNAMIC_HERE)
    assert {name for name in DYNAMIC - kafkas if SETTINGS[name].kafka is not OURS} == DYNAMIC_HERE


def test_every_topic_config_of_kafka_exists():
    ours = {name for name, setting in TOPIC_CONFIGS.items() if setting.kafka is not OURS}
    assert ours == set(KAFKA["topic"])
    assert {name for name, setting in TOPIC_CONFIGS.items() if setting.hidden} == {
        name for name, one in KAFKA["topic"].items() if one["internal"]
    }


@pytest.mark.parametrize("name", sorted(KAFKA["topic"]))
def test_a_topic_config_is_kafkas(name):
    setting, kafkas = TOPIC_CONFIGS[name], KAFKA["topic"][name]
    assert setting.type.name == kafkas["type"]
    assert same(kafkas["type"], setting.kafka_default, kafkas["default"])
    # log.flush.scheduler.interval.ms is the clock of a thread that doesn't exist here.
    # The two of tiered storage have no broker setting, as there is no tier.
    absent = {"log.flush.scheduler.interval.ms", "log.local.retention.ms", "log.local.retention.bytes"}
    synonyms = [synonym for synonym in KAFKA["synonyms"].get(name, []) if synonym not in absent]
    assert [synonym for synonym, _ in setting.synonyms] == synonyms


# Kafka 4.3.1 says the same; it only tells the parsed list and not the text for throttled replicas.
@pytest.mark.parametrize(
    ("overrides", "verdict"),
    list(zip([json.loads(line) for line in CASES.read_text().splitlines()], KAFKA["verdicts"], strict=True)),
    ids=str,
)
def test_a_topic_config_is_refused_in_kafkas_words(overrides, verdict):
    if verdict is None:
        validate(overrides)
        return
    with pytest.raises(BrokerError) as refused:
        validate(overrides)
    assert refused.value.code is ErrorCode.INVALID_CONFIG
    assert refused.value.message == verdict


@pytest.mark.java
def test_the_dump_is_what_kafka_prints():
    if shutil.which("javac") is None:
        pytest.skip("needs a JDK, 17 or newer: apt install default-jdk-headless")
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or HERE.parents[1] / "tools" / "kafka" / "lib")
    if not list(lib.glob("kafka-server-4*.jar")):
        pytest.skip(
            "needs Kafka's jars: mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies "
            "-DoutputDirectory=lib, or KAFKA_LIB=<their directory>"
        )
    printed = subprocess.run(
        ["java", "-cp", f"{lib}/*", str(HERE / "java" / "DumpConfigs.java"), str(CASES)],
        check=True,
        capture_output=True,
        timeout=100,
    ).stdout
    assert json.loads(printed) == KAFKA
