"""Topic configs: the same names, types, bounds, defaults and refusals as Kafka 4.3.1's, and four of our own.

A topic stores only what was set on it (its overrides, as text). Everything else comes from the broker setting that
Kafka names as its default (`SYNONYMS` of each declaration: `retention.ms` from `log.retention.ms`, else
`log.retention.minutes`, else `log.retention.hours`), and so follows a change of that setting. `TopicConfig.resolve` puts
both together into one frozen value that partitions hold; `validate` refuses what can't be used, in Kafka's words.

What Kafka keeps for tiered storage and replication throttles is known here too, since tools set it: it is checked as
in Kafka, listed by DescribeConfigs, and has no effect, exactly as on a Kafka broker with those features off. Only
`remote.storage.enable=true` is refused, as Kafka refuses it there.

Pure; no `from __future__ import annotations`, as the declarations are read from the evaluated annotations.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Self, get_args

import msgspec

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.setting import OURS, SAME, Origin, Setting
from logbroker.config.settings import SETTINGS, Settings
from logbroker.config.values import LONG_MAX, ConfigType, Value

_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_THROTTLED_REPLICA = re.compile(r"[0-9]+:[0-9]+")


class TopicSetting(Setting):
    """One topic config; `synonyms` are the broker settings its default comes from, each with the factor between units."""

    __slots__ = ("hidden", "synonyms")

    def __init__(
        self,
        doc: str,
        *synonyms: str | tuple[str, int],
        type_: ConfigType | None = None,
        low: float | None = None,
        unit: str = "",
        kafka: Origin | Value = SAME,
        hidden: bool = False,
    ) -> None:
        names = tuple((item, 1) if isinstance(item, str) else item for item in synonyms)
        # The first synonym is the one with the config's own type, bounds and check: they are declared once, there.
        broker = SETTINGS[names[0][0]] if names else None
        kind = type_ or (broker.type if broker is not None else ConfigType.STRING)
        super().__init__(
            kind,
            doc,
            unit=unit or (broker.unit if broker is not None else ""),
            low=low if broker is None else broker.low,
            high=None if broker is None else broker.high,
            choices=() if broker is None else broker.choices,
            # Kafka lets a topic have retention.ms=0 (people empty topics so), and refuses it for the whole broker.
            check=None if broker is None or names[0][0] == "log.retention.ms" else broker.check,
            kafka=kafka,
            dynamic=True,
        )
        self.synonyms = names
        self.hidden = hidden


def _inert(doc: str, type_: ConfigType, low: float | None = None, unit: str = "") -> TopicSetting:
    return TopicSetting(
        f"{doc} Accepted as Kafka does where that feature is off: without effect.",
        type_=type_,
        low=low,
        unit=unit,
    )


class TopicConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration one topic runs with: overrides and broker defaults, resolved. Times in ms, sizes in bytes."""

    cleanup_policy: Annotated[
        frozenset[str],
        TopicSetting(
            "What becomes of old segments: delete, compact, both, or (empty) neither.", "log.cleanup.policy"
        ),
    ] = frozenset({"delete"})
    compression_gzip_level: Annotated[
        int, TopicSetting("The level where compression.type is gzip.", "compression.gzip.level")
    ] = -1
    compression_lz4_level: Annotated[
        int, TopicSetting("The level where compression.type is lz4.", "compression.lz4.level")
    ] = 9
    compression_type: Annotated[
        str,
        TopicSetting(
            "The codec batches are stored in; producer keeps whatever the producer chose.", "compression.type"
        ),
    ] = "producer"
    compression_zstd_level: Annotated[
        int, TopicSetting("The level where compression.type is zstd.", "compression.zstd.level")
    ] = 3
    delete_retention_ms: Annotated[
        int,
        TopicSetting(
            "How long the marker of a deleted key stays in a compacted topic.",
            "log.cleaner.delete.retention.ms",
        ),
    ] = 86_400_000
    file_delete_delay_ms: Annotated[
        int,
        TopicSetting("How long a deleted segment's files stay on the disk.", "log.segment.delete.delay.ms"),
    ] = 60_000
    flush_messages: Annotated[
        int,
        TopicSetting(
            "1: a produce is acknowledged only when it is on the disk. More: from the page cache, and synced after so "
            "many records.",
            "log.flush.interval.messages",
            kafka=LONG_MAX,
        ),
    ] = 1
    flush_ms: Annotated[
        int,
        TopicSetting(
            "The longest a record stays unsynced where flush.messages is above 1.", "log.flush.interval.ms"
        ),
    ] = LONG_MAX
    follower_replication_throttled_replicas: Annotated[
        tuple[str, ...], _inert("Replicas whose fetching is throttled.", ConfigType.LIST)
    ] = ()
    index_interval_bytes: Annotated[
        int, TopicSetting("Bytes of records between two index entries.", "log.index.interval.bytes")
    ] = 4096
    internal_segment_bytes: Annotated[
        int | None,
        TopicSetting(
            "For tests: the segment size where it is to be smaller than segment.bytes allows.",
            type_=ConfigType.INT,
            unit="bytes",
            hidden=True,
        ),
    ] = None
    leader_replication_throttled_replicas: Annotated[
        tuple[str, ...], _inert("Replicas whose leader is throttled.", ConfigType.LIST)
    ] = ()
    local_retention_bytes: Annotated[
        int, _inert("How much of a tiered log stays local.", ConfigType.LONG, -2, "bytes")
    ] = -2
    local_retention_ms: Annotated[
        int, _inert("How long a tiered log stays local.", ConfigType.LONG, -2, "ms")
    ] = -2
    max_compaction_lag_ms: Annotated[
        int, TopicSetting("How long a record stays uncompacted at most.", "log.cleaner.max.compaction.lag.ms")
    ] = LONG_MAX
    max_message_bytes: Annotated[
        int, TopicSetting("The largest record batch, as it is stored (compressed).", "message.max.bytes")
    ] = 1_048_588
    message_timestamp_after_max_ms: Annotated[
        int,
        TopicSetting(
            "How far after now a producer's timestamp may lie.", "log.message.timestamp.after.max.ms"
        ),
    ] = 3_600_000
    message_timestamp_before_max_ms: Annotated[
        int,
        TopicSetting(
            "How far before now a producer's timestamp may lie.", "log.message.timestamp.before.max.ms"
        ),
    ] = LONG_MAX
    message_timestamp_type: Annotated[
        str,
        TopicSetting(
            "Whose time a record carries: CreateTime or LogAppendTime.", "log.message.timestamp.type"
        ),
    ] = "CreateTime"
    min_cleanable_dirty_ratio: Annotated[
        float,
        TopicSetting(
            "The share of the log that is uncompacted when compaction starts.",
            "log.cleaner.min.cleanable.ratio",
        ),
    ] = 0.5
    min_compaction_lag_ms: Annotated[
        int,
        TopicSetting("How long a record stays uncompacted at least.", "log.cleaner.min.compaction.lag.ms"),
    ] = 0
    min_insync_replicas: Annotated[
        int, TopicSetting("Replicas that must be in sync for a produce with acks=all.", "min.insync.replicas")
    ] = 1
    preallocate: Annotated[
        bool, TopicSetting("Allocate a new segment's file at its full size at once.", "log.preallocate")
    ] = False
    remote_log_copy_disable: Annotated[
        bool, _inert("Whether a tiered log stops copying to its tier.", ConfigType.BOOLEAN)
    ] = False
    remote_log_delete_on_disable: Annotated[
        bool, _inert("Whether the tier is emptied when tiering is turned off.", ConfigType.BOOLEAN)
    ] = False
    remote_storage_enable: Annotated[
        bool, TopicSetting("Tiered storage; only false, as there is none.", type_=ConfigType.BOOLEAN)
    ] = False
    retention_bytes: Annotated[
        int,
        TopicSetting(
            "The size a partition may grow to before its oldest segments go; -1 is any.",
            "log.retention.bytes",
        ),
    ] = -1
    retention_ms: Annotated[
        int,
        TopicSetting(
            "How long records are kept; -1 is for ever.",
            "log.retention.ms",
            ("log.retention.minutes", _MINUTE_MS),
            ("log.retention.hours", _HOUR_MS),
        ),
    ] = 604_800_000
    segment_bytes: Annotated[
        int, TopicSetting("The size at which a segment is full.", "log.segment.bytes")
    ] = 1_073_741_824
    segment_index_bytes: Annotated[
        int, TopicSetting("The size at which an index is full.", "log.index.size.max.bytes")
    ] = 10_485_760
    segment_jitter_ms: Annotated[
        int,
        TopicSetting(
            "Up to so much is taken off segment.ms, at random.",
            "log.roll.jitter.ms",
            ("log.roll.jitter.hours", _HOUR_MS),
        ),
    ] = 0
    segment_ms: Annotated[
        int,
        TopicSetting(
            "The age at which a segment is closed though it isn't full.",
            "log.roll.ms",
            ("log.roll.hours", _HOUR_MS),
        ),
    ] = 604_800_000
    unclean_leader_election_enable: Annotated[
        bool,
        TopicSetting(
            "Whether a replica that isn't in sync may become leader, which loses records.",
            "unclean.leader.election.enable",
        ),
    ] = False
    storage_type: Annotated[
        str,
        TopicSetting(
            "log (on the disk) or memory (not with cleanup.policy=compact); set when the topic is created.",
            "storage.type",
            kafka=OURS,
        ),
    ] = "log"
    record_validation: Annotated[
        str,
        TopicSetting("How much of a batch is checked: header or full.", "record.validation", kafka=OURS),
    ] = "header"
    memory_full_policy: Annotated[
        str,
        TopicSetting("What a full memory partition does: reject or evict.", "memory.full.policy", kafka=OURS),
    ] = "reject"
    memory_max_bytes: Annotated[
        int,
        TopicSetting("What one partition of a memory topic may hold.", "memory.max.bytes", kafka=OURS),
    ] = 268_435_456

    @classmethod
    def resolve(cls, settings: Settings, overrides: Mapping[str, str | None]) -> Self:
        """What a topic with these overrides runs with under these broker settings.

        Raises:
            BrokerError: INVALID_CONFIG, as `validate`.
        """
        parsed = _parse(overrides)
        values: dict[str, object] = {}
        for name, setting in TOPIC_CONFIGS.items():
            value = parsed[name] if name in parsed else broker_default(setting, settings)
            values[setting.attribute] = frozenset(value) if setting.attribute == "cleanup_policy" else value  # type: ignore[arg-type]
        if values["internal_segment_bytes"] is not None:
            values["segment_bytes"] = values["internal_segment_bytes"]
        # Kafka takes any negative size for "no limit"; the rest of the broker knows only -1.
        values["retention_bytes"] = max(-1, values["retention_bytes"])  # type: ignore[call-overload]
        config = cls(**values)  # type: ignore[arg-type]
        if config.min_compaction_lag_ms > config.max_compaction_lag_ms:
            raise _invalid(
                f"conflict topic config setting min.compaction.lag.ms ({config.min_compaction_lag_ms}) > "
                f"max.compaction.lag.ms ({config.max_compaction_lag_ms})"
            )
        return config

    @property
    def segment_size_bytes(self) -> int:
        """How large a segment may be: `segment.bytes`, or what overrides it."""
        return self.segment_bytes if self.internal_segment_bytes is None else self.internal_segment_bytes

    @property
    def compacted(self) -> bool:
        """Whether the last record of each key is kept (and a record without a key is refused)."""
        return "compact" in self.cleanup_policy

    @property
    def durable(self) -> bool:
        """Whether a produce is acknowledged only when it is on the disk."""
        return self.flush_messages == 1 and self.storage_type == "log"


def _collect() -> dict[str, TopicSetting]:
    collected: dict[str, TopicSetting] = {}
    for attribute, annotation in TopicConfig.__annotations__.items():
        kind, setting = get_args(annotation)
        setting.attribute = attribute
        setting.name = attribute.replace("_", ".")
        setting.nullable = type(None) in get_args(kind)
        collected[setting.name] = setting
    for attribute, default in zip(
        TopicConfig.__struct_fields__, TopicConfig.__struct_defaults__, strict=True
    ):
        setting = collected[attribute.replace("_", ".")]
        setting.default = tuple(sorted(default)) if isinstance(default, frozenset) else default
    return collected


TOPIC_CONFIGS: dict[str, TopicSetting] = _collect()
"""Every topic config by dotted name, in the order Kafka lists them; ours last."""


def broker_default(setting: TopicSetting, settings: Settings) -> Value:
    """What a topic without an override gets: the first broker setting of its synonyms that is set."""
    for name, factor in setting.synonyms:
        value: Value = getattr(settings, SETTINGS[name].attribute)
        if value is not None:
            if factor == 1 or not isinstance(value, int):
                return value
            return value * factor if value > 0 else value
    return setting.default


def validate(overrides: Mapping[str, str | None], settings: Settings | None = None) -> None:
    """Refuse overrides that can't be used, in Kafka's words.

    Args:
        overrides: what is to be set on the topic, as text.
        settings: the broker's, against which contradictions with its defaults are found too.

    Raises:
        BrokerError: INVALID_CONFIG, for an unknown name, a null, a bad value or a contradiction.
    """
    TopicConfig.resolve(settings or Settings(), overrides)


def validate_change(before: TopicConfig, after: TopicConfig) -> None:
    """Refuse a change of what is fixed when a topic is created.

    Raises:
        BrokerError: INVALID_CONFIG, where `storage.type` would change: records can't move between disk and memory; and where a
            topic in memory would have to be compacted.
    """
    if before.storage_type != after.storage_type:
        raise _invalid(
            f"storage.type can't be changed from {before.storage_type} to {after.storage_type} on an existing topic; "
            "create another topic and copy the records"
        )
    if not before.compacted:
        check_memory(after)


def check_memory(config: TopicConfig) -> None:
    """Refuse compaction of a topic in memory, which would never take place. Raises BrokerError: INVALID_CONFIG."""
    if config.storage_type == "memory" and config.compacted:
        raise _invalid(
            "cleanup.policy=compact needs storage.type=log: topics in memory aren't compacted; "
            "leave one of the two out, and bound the topic by retention and memory.max.bytes if it is to be in memory"
        )


def _parse(overrides: Mapping[str, str | None]) -> dict[str, Value]:
    for name in overrides:
        if name not in TOPIC_CONFIGS:
            raise _invalid(f"Unknown topic config name: {name}")
    nulls = [name for name, text in overrides.items() if text is None]
    if nulls:
        raise _invalid(f"Null value not supported for topic configs: {','.join(nulls)}")
    return {
        name: _parse_one(TOPIC_CONFIGS[name], text) for name, text in overrides.items() if text is not None
    }


def _parse_one(setting: TopicSetting, text: str) -> Value:
    name = setting.name
    try:
        value = setting.parse(text)
    except ValueError as error:
        shown = text
        if setting.type is ConfigType.LIST:
            if "must not be empty" in str(error):
                raise _invalid(f"Configuration '{name}' values must not be empty.") from None
            bad = [item.strip() for item in text.split(",") if item.strip() not in setting.choices]
            shown = bad[0] if bad else text
        raise _invalid(f"Invalid value {shown} for configuration {name}: {error}") from None
    if name.endswith(".throttled.replicas") and value != ("*",):
        for item in value if isinstance(value, tuple) else ():
            if _THROTTLED_REPLICA.fullmatch(item) is None:
                raise _invalid(
                    f"Invalid value {text} for configuration {name}: {name} must be the literal '*' or a list of "
                    "replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                )
    if name == "remote.storage.enable" and value:
        raise _invalid(
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage."
        )
    return value


def _invalid(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_CONFIG, message)
