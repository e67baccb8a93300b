"""Settings of topics, replicas, producers, fetches, consumer groups and committed offsets.

No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated

from logbroker.config._log import LogSection
from logbroker.config.setting import OURS, Bool, Int, Long, Short
from logbroker.config.values import INT_MAX, PRODUCER_IDS_MAX


class TopicSection(LogSection, frozen=True, kw_only=True):
    """Topics, replicas, producers, fetches, groups, offsets."""

    # ---- topics and replicas

    auto_create_topics_enable: Annotated[
        bool,
        Bool("Whether a topic that a client asks for, and that doesn't exist, is created."),
    ] = True
    delete_topic_enable: Annotated[bool, Bool("Whether DeleteTopics is allowed.")] = True
    num_partitions: Annotated[
        int,
        Int("Partitions of a topic that is created without a number.", low=1, high=100_000),
    ] = 1
    default_replication_factor: Annotated[
        int,
        Int(
            "Replicas of a topic that is created without a number. One broker can hold one.",
            low=1,
            high=32_767,
        ),
    ] = 1
    min_insync_replicas: Annotated[
        int,
        Int(
            "Replicas that must be in sync for a produce with acks=all; fewer, and it gets NOT_ENOUGH_REPLICAS. Default "
            "of the topic config.",
            low=1,
            dynamic=True,
        ),
    ] = 1
    unclean_leader_election_enable: Annotated[
        bool,
        Bool(
            "Whether a replica that isn't in sync may become leader, which loses records. Default of the topic config.",
            dynamic=True,
        ),
    ] = False
    max_request_partition_size_limit: Annotated[
        int,
        Int("Partitions in one DescribeTopicPartitions response.", low=1),
    ] = 2000

    # ---- producers

    producer_id_expiration_ms: Annotated[
        int,
        Int(
            "How long a partition remembers an idempotent producer that sends nothing.",
            unit="ms",
            low=1,
            dynamic=True,
        ),
    ] = 86_400_000
    producer_id_expiration_check_interval_ms: Annotated[
        int,
        Int("How often producers to forget are looked for.", unit="ms", low=1),
    ] = 600_000

    max_producer_ids_per_partition: Annotated[
        int,
        Int(
            "Idempotent producers that a partition remembers. Beyond it those that were silent the longest are forgotten; "
            "where all of them wrote within producer.id.protected.idle.ms, a new one gets THROTTLING_QUOTA_EXCEEDED.",
            low=1,
            high=PRODUCER_IDS_MAX,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 10_000
    producer_id_protected_idle_ms: Annotated[
        int,
        Int(
            "An idempotent producer that wrote within this time is never forgotten to make room for another: what it sends "
            "again is still recognised.",
            unit="ms",
            low=0,
            dynamic=True,
            kafka=OURS,
        ),
    ] = 900_000

    # ---- fetches

    fetch_max_bytes: Annotated[
        int,
        Int("The most one fetch response carries, whatever the client asks for.", unit="bytes", low=1024),
    ] = 57_671_680
    max_incremental_fetch_session_cache_slots: Annotated[
        int,
        Int("Fetch sessions (KIP-227) that are kept; 0 turns them off.", low=0),
    ] = 1000

    # ---- consumer groups

    group_min_session_timeout_ms: Annotated[
        int,
        Int("The shortest session timeout a consumer may ask for.", unit="ms", low=1),
    ] = 6000
    group_max_session_timeout_ms: Annotated[
        int,
        Int("The longest session timeout a consumer may ask for.", unit="ms", low=1),
    ] = 1_800_000
    group_initial_rebalance_delay_ms: Annotated[
        int,
        Int(
            "How long an empty group waits for more members before its first rebalance (KIP-134).",
            unit="ms",
            low=0,
        ),
    ] = 3000
    group_max_size: Annotated[
        int,
        Int("Members of one group; one more gets GROUP_MAX_SIZE_REACHED.", low=1, kafka=INT_MAX),
    ] = 10_000

    # ---- committed offsets

    offsets_topic_num_partitions: Annotated[
        int,
        Int("Partitions of __consumer_offsets; fixed once the topic exists.", low=1, high=10_000),
    ] = 50
    offsets_topic_replication_factor: Annotated[
        int,
        Short("Replicas of __consumer_offsets. One broker can hold one.", low=1, kafka=3),
    ] = 1
    offsets_topic_segment_bytes: Annotated[
        int,
        Int(
            "Segment size of __consumer_offsets; small, so that compaction and replay are quick.",
            unit="bytes",
            low=1_048_576,
        ),
    ] = 104_857_600
    offsets_retention_minutes: Annotated[
        int,
        Int("How long the offsets of a group without members are kept.", unit="minutes", low=1),
    ] = 10_080
    offsets_retention_check_interval_ms: Annotated[
        int,
        Long("How often offsets to forget are looked for.", unit="ms", low=1),
    ] = 600_000
    offsets_commit_timeout_ms: Annotated[
        int,
        Int("How long an offset commit may take before it gets an error.", unit="ms", low=1),
    ] = 5000
    offset_metadata_max_bytes: Annotated[
        int,
        Int("The largest note a consumer may store with an offset.", unit="bytes", low=0),
    ] = 4096
