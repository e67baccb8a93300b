"""A long talk with a broker about configs, whose answers can be compared between brokers.

`converse` says everything in a fixed order over one connection and returns each answer, error messages included, under a label
(`talk.py` says what is masked).

Not in it, because the answers differ on purpose: unknown broker configs and operations, an AlterConfigs that names a resource
twice (Kafka never answers), what our defaults are, what documentation says, and the names `log.*.hours` and `.minutes`
among synonyms (Kafka has lost them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from logbroker.testing.talk import Answers, Talk, until
from logbroker.wire.api import ApiKey
from logbroker.wire.messages import alter_configs, incremental_alter_configs
from logbroker.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from logbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResponse,
)

TIMEOUT_MS: Final = 30_000
TOPIC, BROKER = 2, 4
"""Resource types."""
SET, DELETE, APPEND, SUBTRACT = range(4)
"""What to do with a config."""
OURS_ALONE: Final = ("memory.", "record.", "storage.")
"""How the names of topic configs begin that Kafka doesn't have."""
DEFAULTS_LIKE_KAFKA: Final = (
    "cleanup.policy",
    "compression.type",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "index.interval.bytes",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    "preallocate",
    "retention.bytes",
    "segment.bytes",
    "segment.index.bytes",
    "unclean.leader.election.enable",
)
"""Topic configs whose defaults are Kafka's."""
COMPARED: Final = (
    "cleanup.policy",
    "retention.bytes",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "compression.type",
)


def converse(bootstrap: str) -> Answers:
    """Talk to the broker, whose id is 1 and which has no topics and no dynamic configs.

    Raises:
        RuntimeError: It isn't ready in time.
        ConnectionError: It closed a connection.
    """
    talk = Talk(bootstrap)
    try:
        _create(talk)
        for part in (_topic_configs, _list_configs, _broker_configs, _old_configs):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _create(talk: Talk) -> None:
    oddly = {
        "preallocate": " TRUE ",
        "delete.retention.ms": " +9000 ",
        "min.cleanable.dirty.ratio": "0.50",
        "compression.type": " gzip ",
    }
    changed = {"delete.retention.ms": "9000", "cleanup.policy": "compact,delete"}
    of_topics: dict[str, dict[str, str]] = {
        "t3": {},
        "t4": {},
        "t5": {},
        "t6": {},
        "d1": {},
        "d3": changed,
        "d5": oddly,
    }
    topics = [
        CreatableTopic(name, 1, 1, [], [CreatableTopicConfig(*config) for config in configs.items()])
        for name, configs in of_topics.items()
    ]
    answer = talk.a.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics, TIMEOUT_MS), 5)
    if any(result.error_code for result in answer.topics):
        raise RuntimeError(f"topics were not created: {answer}")
    _settle(talk)


def _change(topic: str, *changes: tuple[str, int, str | None], kind: int = TOPIC) -> Any:
    configs = [incremental_alter_configs.AlterableConfig(*change) for change in changes]
    return incremental_alter_configs.AlterConfigsResource(kind, topic, configs)


def _alter(talk: Talk, label: str, *resources: Any, only: bool = False, version: int = 1) -> None:
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(list(resources), only)
    talk.ask(f"alter {label}", ApiKey.INCREMENTAL_ALTER_CONFIGS, request, version)
    _settle(talk)


def _settle(talk: Talk) -> None:
    """Wait until what was changed shows: Kafka answers as soon as its controller knows."""
    mark = str(len(talk.answers))
    change = incremental_alter_configs.IncrementalAlterConfigsRequest(
        [_change("d1", ("index.interval.bytes", SET, mark))], False
    )
    talk.a.call(ApiKey.INCREMENTAL_ALTER_CONFIGS, change, 1)
    until(lambda: _value_of(talk, TOPIC, "d1", "index.interval.bytes") == mark)


def _described(
    talk: Talk, kind: int, name: str, keys: Sequence[str] | None, version: int = 4
) -> DescribeConfigsResponse:
    request = DescribeConfigsRequest(
        [DescribeConfigsResource(kind, name, None if keys is None else list(keys))], True, True
    )
    answer: DescribeConfigsResponse = talk.a.call(ApiKey.DESCRIBE_CONFIGS, request, version)
    return answer


def _configs(talk: Talk, label: str, kind: int, name: str, keys: Sequence[str], version: int = 4) -> None:
    """Note what a resource's configs say, in the order of their names."""
    result = _described(talk, kind, name, keys, version).results[0]
    told: dict[str, Any] = {"error": result.error_code, "message": result.error_message}
    for config in sorted(result.configs, key=lambda config: config.name):
        told[config.name] = {
            "value": config.value,
            "read only": config.read_only,
            "source": config.config_source,
            "sensitive": config.is_sensitive,
            "synonyms": [[synonym.name, synonym.value, synonym.source] for synonym in config.synonyms],
            "type": config.config_type,
            "documented": bool(config.documentation),
        }
    talk.note(f"configs {label}", told)


def _topic_configs(talk: Talk) -> None:
    known = _described(talk, TOPIC, "t3", None).results[0].configs
    shared = sorted(config.name for config in known if not config.name.startswith(OURS_ALONE))
    for version in range(1, 5):
        _configs(talk, f"of a topic v{version}", TOPIC, "t3", DEFAULTS_LIKE_KAFKA, version)
    talk.note("names of topic configs", shared)
    _configs(talk, "of a changed topic", TOPIC, "d3", COMPARED)
    oddly = ["preallocate", "delete.retention.ms", "min.cleanable.dirty.ratio", "compression.type"]
    _configs(talk, "spelled oddly", TOPIC, "d5", oddly)
    _configs(talk, "of an unknown topic", TOPIC, "nowhere", COMPARED)
    _configs(talk, "of a topic that can't be", TOPIC, "no name", COMPARED)
    _configs(talk, "of no topic", TOPIC, "", COMPARED)
    _configs(talk, "that don't exist", TOPIC, "t3", ["no.such", "file.delete.delay.ms"])
    for kind in (0, 1, 3, 99):
        _configs(talk, f"of resource type {kind}", kind, "t3", COMPARED)
    _alter(talk, "v0", _change("t3", ("file.delete.delay.ms", SET, "5000")), version=0)
    _alter(
        talk,
        "several",
        _change("t3", ("delete.retention.ms", SET, "70000"), ("file.delete.delay.ms", SET, "6000")),
    )
    _configs(talk, "after several", TOPIC, "t3", COMPARED)
    _alter(talk, "validated only", _change("t3", ("file.delete.delay.ms", SET, "1")), only=True)
    _alter(talk, "validated only, wrong", _change("t3", ("file.delete.delay.ms", SET, "soon")), only=True)
    _alter(
        talk,
        "one wrong of two",
        _change("t3", ("file.delete.delay.ms", SET, "2"), ("delete.retention.ms", SET, "x")),
    )
    _alter(talk, "delete", _change("t3", ("delete.retention.ms", DELETE, None), ("flush.ms", DELETE, None)))
    _alter(talk, "delete with a value", _change("t3", ("delete.retention.ms", DELETE, "5")))
    _alter(talk, "delete what doesn't exist", _change("t3", ("no.such", DELETE, None)))
    _alter(talk, "what doesn't exist", _change("t3", ("no.such", SET, "1")))
    _alter(talk, "to null", _change("t3", ("delete.retention.ms", SET, None), ("flush.ms", APPEND, None)))
    _alter(
        talk,
        "one config twice",
        _change("t3", ("delete.retention.ms", SET, "1"), ("delete.retention.ms", SET, "2")),
    )
    _alter(talk, "one topic twice", _change("t3", ("delete.retention.ms", SET, "70000")), _change("t3"))
    _alter(talk, "nothing", _change("t3"))
    _alter(talk, "an unknown topic", _change("nowhere", ("delete.retention.ms", SET, "1")))
    _alter(talk, "a topic that can't be", _change("no name", ("delete.retention.ms", SET, "1")))
    _alter(talk, "all topics", _change("", ("delete.retention.ms", SET, "1")))
    _alter(
        talk,
        "good and bad",
        _change("t3", ("flush.ms", SET, "1000")),
        _change("nowhere", ("flush.ms", SET, "1")),
    )
    for kind in (0, 1, 99):
        _alter(talk, f"resource type {kind}", _change("t3", ("delete.retention.ms", SET, "1"), kind=kind))
    _configs(talk, "after all", TOPIC, "t3", COMPARED)


def _list_configs(talk: Talk) -> None:
    for label, change in (
        ("append", ("cleanup.policy", APPEND, "compact")),
        ("append again", ("cleanup.policy", APPEND, "compact")),
        ("subtract", ("cleanup.policy", SUBTRACT, "delete")),
        ("subtract again", ("cleanup.policy", SUBTRACT, "delete")),
        ("append two", ("cleanup.policy", APPEND, "delete,compact")),
        ("subtract everything", ("cleanup.policy", SUBTRACT, "delete,compact")),
        ("append nothing", ("cleanup.policy", APPEND, "")),
        ("append nonsense", ("cleanup.policy", APPEND, "shred")),
        ("set with blanks", ("cleanup.policy", SET, " compact , delete ")),
        ("set twice the same", ("cleanup.policy", SET, "compact,compact")),
        ("append to a number", ("file.delete.delay.ms", APPEND, "1")),
        ("subtract from a number", ("file.delete.delay.ms", SUBTRACT, "1")),
        ("append to what doesn't exist", ("no.such", APPEND, "1")),
    ):
        _alter(talk, f"lists: {label}", _change("t4", change))
        _configs(talk, f"lists: after {label}", TOPIC, "t4", ["cleanup.policy"])


def _broker_configs(talk: Talk) -> None:
    keys = ["log.segment.bytes", "message.max.bytes", "num.partitions", "compression.type"]
    _configs(talk, "of the broker", BROKER, "1", keys)
    _configs(talk, "of all brokers", BROKER, "", keys)
    _configs(talk, "of another broker", BROKER, "7", keys)
    _configs(talk, "of a broker that can't be", BROKER, "one", keys)

    def alter(label: str, name: str, *changes: tuple[str, int, str | None], only: bool = False) -> None:
        _alter(talk, f"broker: {label}", _change(name, *changes, kind=BROKER), only=only)

    alter("all", "", ("message.max.bytes", SET, "2000000"))
    alter("this one", "1", ("message.max.bytes", SET, "3000000"), ("log.retention.ms", SET, "100000"))
    _configs(talk, "of the changed broker", BROKER, "1", keys)
    _configs(talk, "of all brokers, changed", BROKER, "", keys)
    _configs(talk, "of a topic on the changed broker", TOPIC, "t5", ["max.message.bytes"])
    alter("another one", "7", ("message.max.bytes", SET, "1"))
    alter("one that can't be", "one", ("message.max.bytes", SET, "1"))
    alter("read only", "1", ("node.id", SET, "2"))
    alter("read only, all", "", ("num.partitions", SET, "2"))
    alter("a word for a number", "1", ("message.max.bytes", SET, "large"))
    alter("too small", "1", ("message.max.bytes", SET, "-1"))
    alter("validated only", "1", ("message.max.bytes", SET, "4000000"), only=True)
    alter("delete", "1", ("message.max.bytes", DELETE, None), ("log.retention.ms", DELETE, None))
    _configs(talk, "of the broker, back", BROKER, "1", keys)
    alter("delete for all", "", ("message.max.bytes", DELETE, None))


def _value_of(talk: Talk, kind: int, name: str, key: str) -> str | None:
    configs = _described(talk, kind, name, [key]).results[0].configs
    return configs[0].value if configs else None


def _old_configs(talk: Talk) -> None:
    def alter(
        label: str,
        name: str,
        *changes: tuple[str, str | None],
        kind: int = TOPIC,
        only: bool = False,
        version: int = 2,
    ) -> None:
        resource = alter_configs.AlterConfigsResource(
            kind, name, [alter_configs.AlterableConfig(*change) for change in changes]
        )
        request = alter_configs.AlterConfigsRequest([resource], only)
        talk.ask(f"replace {label}", ApiKey.ALTER_CONFIGS, request, version)
        _settle(talk)

    for version in range(3):
        alter(f"v{version}", "t6", ("file.delete.delay.ms", f"{version + 1}000"), version=version)
    _configs(talk, "after replacing", TOPIC, "t6", COMPARED)
    alter("by another", "t6", ("delete.retention.ms", "80000"))
    _configs(talk, "after replacing by another", TOPIC, "t6", COMPARED)
    alter("validated only", "t6", ("delete.retention.ms", "1"), only=True)
    alter("by what can't be", "t6", ("delete.retention.ms", "x"))
    alter("by what doesn't exist", "t6", ("no.such", "x"))
    alter("by null", "t6", ("delete.retention.ms", None))
    alter("of one twice", "t6", ("delete.retention.ms", "1"), ("delete.retention.ms", "2"))
    alter("of an unknown topic", "nowhere", ("delete.retention.ms", "1"))
    alter("of a topic that can't be", "no name", ("delete.retention.ms", "1"))
    alter("by nothing", "t6")
    _configs(talk, "after replacing by nothing", TOPIC, "t6", COMPARED)
    alter("of another broker", "7", ("log.retention.ms", "1"), kind=BROKER)
    alter("read only", "1", ("node.id", "2"), kind=BROKER)
    alter("of nothing known", "t6", ("delete.retention.ms", "1"), kind=99)
