"""Settings of transactions and their coordinator.

No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated

from logbroker.config._groups import ConsumerGroupSection
from logbroker.config.setting import Bool, Int, Short


class TransactionSection(ConsumerGroupSection, frozen=True, kw_only=True):
    """Transactions."""

    transaction_max_timeout_ms: Annotated[
        int,
        Int(
            "The longest transaction.timeout.ms that a producer may ask for; a longer one gets INVALID_TRANSACTION_TIMEOUT.",
            unit="ms",
            low=1,
        ),
    ] = 900_000
    transaction_abort_timed_out_transaction_cleanup_interval_ms: Annotated[
        int,
        Int("How often transactions that took too long are looked for, and aborted.", unit="ms", low=1),
    ] = 10_000
    transaction_remove_expired_transaction_cleanup_interval_ms: Annotated[
        int,
        Int("How often transactional ids to forget are looked for.", unit="ms", low=1),
    ] = 3_600_000
    transactional_id_expiration_ms: Annotated[
        int,
        Int(
            "How long a transactional id is remembered that nobody uses and that has no transaction under way.",
            unit="ms",
            low=1,
        ),
    ] = 604_800_000
    transaction_partition_verification_enable: Annotated[
        bool,
        Bool(
            "Whether a transactional batch is checked against the coordinator before a partition takes the first one of a "
            "transaction, for producers that speak Produce below version 12 (KIP-890).",
            dynamic=True,
        ),
    ] = True
    add_partitions_to_txn_retry_backoff_max_ms: Annotated[
        int,
        Int(
            "How long a produce waits for the change of its transaction that is under way before it gets "
            "CONCURRENT_TRANSACTIONS.",
            unit="ms",
            low=0,
        ),
    ] = 100
    transaction_state_log_num_partitions: Annotated[
        int,
        Int("Partitions of __transaction_state; fixed once the topic exists.", low=1, high=10_000),
    ] = 50
    transaction_state_log_replication_factor: Annotated[
        int,
        Short("Replicas of __transaction_state. One broker can hold one.", low=1, kafka=3),
    ] = 1
    transaction_state_log_min_isr: Annotated[
        int,
        Int(
            "In-sync replicas (min.insync.replicas) that __transaction_state must have to be written.",
            low=1,
            kafka=2,
        ),
    ] = 1
    transaction_state_log_segment_bytes: Annotated[
        int,
        Int(
            "Segment size of __transaction_state; small, so that compaction and replay are quick.",
            unit="bytes",
            low=1_048_576,
        ),
    ] = 104_857_600
