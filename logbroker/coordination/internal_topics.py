"""The topics that coordinators keep their state in, as Kafka makes them: compacted, so that a start reads one record a key."""

from __future__ import annotations

from logbroker.config.settings import Settings
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.topic_names import OFFSETS_TOPIC, TRANSACTION_TOPIC


def internal_topic(settings: Settings, name: str) -> NewTopic | None:
    """The topic of a coordinator that is here; None for any other name."""
    if name == OFFSETS_TOPIC:
        return offsets_topic(settings)
    return transaction_topic(settings) if name == TRANSACTION_TOPIC else None


def offsets_topic(settings: Settings) -> NewTopic:
    """`__consumer_offsets`."""
    return NewTopic(
        OFFSETS_TOPIC,
        settings.offsets_topic_num_partitions,
        settings.offsets_topic_replication_factor,
        configs=(
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", str(settings.offsets_topic_segment_bytes)),
        ),
    )


def transaction_topic(settings: Settings) -> NewTopic:
    """`__transaction_state`."""
    return NewTopic(
        TRANSACTION_TOPIC,
        settings.transaction_state_log_num_partitions,
        settings.transaction_state_log_replication_factor,
        configs=(
            ("cleanup.policy", "compact"),
            ("compression.type", "uncompressed"),
            ("min.insync.replicas", str(settings.transaction_state_log_min_isr)),
            ("segment.bytes", str(settings.transaction_state_log_segment_bytes)),
            ("unclean.leader.election.enable", "false"),
        ),
    )
