"""TxnOffsetCommit (API key 28), versions 0 to 5: commit a group's offsets as part of a transaction (KIP-98).

The offsets count when the transaction is committed, and are forgotten when it is aborted. Until then whoever fetches stable offsets is
told to wait (KIP-447). Answered when they are durable.

- From version 3 the committer says which member of which generation it is, and is refused if it is no longer (KIP-447); older ones
  name nobody and are believed.
- The transaction must have the group's partition of `__consumer_offsets`: through AddOffsetsToTxn up to version 4, which is verified,
  and through this call itself from version 5 on (KIP-890, transaction version 2).

Errors, in every partition: INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, INVALID_PRODUCER_EPOCH,
INVALID_PRODUCER_ID_MAPPING, INVALID_TXN_STATE, CONCURRENT_TRANSACTIONS, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS (before version 2
COORDINATOR_NOT_AVAILABLE), COORDINATOR_NOT_AVAILABLE. In some: UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE.
"""

from __future__ import annotations

from typing import Protocol

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.groups.service import HasGroups
from logbroker.transactions.service import HasTransactions
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)


class HasBoth(HasGroups, HasTransactions, Protocol):
    """What this needs of the broker."""


def handle(
    broker: HasBoth, context: RequestContext, request: TxnOffsetCommitRequest
) -> TxnOffsetCommitResponse | Completion[TxnOffsetCommitResponse]:
    """Ask the transaction's coordinator, let the group decide, and wait for the log."""
    return broker.groups.txn_offset_commit(request, context.api_version, broker.transactions.admit)


def failure(
    context: RequestContext, request: TxnOffsetCommitRequest, code: ErrorCode, message: str | None
) -> TxnOffsetCommitResponse:
    """Say `code` for every partition."""
    return TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                topic.name,
                [
                    TxnOffsetCommitResponsePartition(partition.partition_index, code)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
