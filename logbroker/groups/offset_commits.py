"""OffsetCommit and TxnOffsetCommit: topics against the metadata, groups against their shards, and the answers put together.

OffsetCommit speaks of topics by name up to version 9 and by id from version 10 on (KIP-848's client side). Each partition has its own
error code. Both are answered when what they commit is durable; what a transaction commits counts when that ends (KIP-98), and
takes part in it only if the transaction coordinator says so (KIP-890).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Generic, Protocol, TypeAlias, TypeVar
from uuid import UUID

from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import NO_TIMESTAMP, OffsetCommitValue
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.errors import commit_error
from logbroker.groups.kind import Committer
from logbroker.groups.machine import GroupMachine, NewOffset
from logbroker.metadata.image import ClusterImage, TopicImage
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

TOPIC_IDS_FROM: Final = 10
"""OffsetCommit version from which topics are named by id."""

GROUP_NOT_FOUND_FROM: Final = 9
"""OffsetCommit version from which a member of an unknown group gets GROUP_ID_NOT_FOUND, not ILLEGAL_GENERATION."""

LOAD_IN_PROGRESS_FROM: Final = 2
"""TxnOffsetCommit version whose clients know COORDINATOR_LOAD_IN_PROGRESS; older ones would ask again without a pause."""

ABORTABLE_FROM: Final = 4
"""TxnOffsetCommit version whose clients know TRANSACTION_ABORTABLE (KIP-890); older ones are told INVALID_TXN_STATE."""

ADDS_PARTITION_FROM: Final = 5
"""TxnOffsetCommit version that takes part in the transaction without AddOffsetsToTxn (KIP-890, transaction version 2)."""

NO_RETENTION: Final = -1
TIMESTAMP_MAX_MS: Final = (1 << 63) - 1

Verdicts: TypeAlias = Mapping[tuple[str, int], ErrorCode]


class Admit(Protocol):
    """Asks the transaction coordinator."""

    def __call__(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Sequence[tuple[str, int]],
        *,
        add: bool,
    ) -> Completion[Verdicts]:
        """Whether partitions belong to a producer's transaction; `add`: they are added if they don't."""
        ...


A = TypeVar("A", OffsetCommitResponsePartition, TxnOffsetCommitResponsePartition)


class _Wanted(Generic[A]):
    """Offsets that can be committed, each with the place of its answer."""

    __slots__ = ("answers", "commits")

    def __init__(self) -> None:
        self.commits: list[NewOffset] = []
        self.answers: list[A] = []

    def fail(self, error: ErrorCode) -> None:
        """Say `error` for all of them."""
        for answer in self.answers:
            answer.error_code = error

    def keep(self, verdict: Callable[[NewOffset], ErrorCode]) -> None:
        """Take out, and answer, what `verdict` refuses."""
        verdicts = [verdict(commit) for commit in self.commits]
        if not any(verdicts):
            return
        kept: list[NewOffset] = []
        answers: list[A] = []
        for commit, answer, error in zip(self.commits, self.answers, verdicts, strict=True):
            if error is ErrorCode.NONE:
                kept.append(commit)
                answers.append(answer)
            else:
                answer.error_code = error
        self.commits, self.answers = kept, answers


class OffsetCommits:
    """Answers OffsetCommit and TxnOffsetCommit; `image` gives the metadata as it is now."""

    def __init__(
        self, runtime: CoordinatorRuntime[GroupMachine], image: Callable[[], ClusterImage], clock: Clock
    ) -> None:
        self._runtime = runtime
        self._image = image
        self._clock = clock

    # ---- OffsetCommit

    def commit(
        self, request: OffsetCommitRequest, version: int
    ) -> OffsetCommitResponse | Completion[OffsetCommitResponse]:
        """Commit offsets."""
        response = OffsetCommitResponse()
        wanted: _Wanted[OffsetCommitResponsePartition] = _Wanted()
        self._known_partitions(request, response, version, wanted)
        if not wanted.commits:
            return response
        try:
            machine = self._runtime.machine_for(request.group_id)
        except BrokerError as absent:
            wanted.fail(absent.code)
            return response
        who = Committer(
            request.member_id,
            request.group_instance_id,
            request.generation_id_or_member_epoch,
            is_transactional=False,
            version=version,
        )
        error = self._check(machine, request.group_id, who, wanted)
        if error is not ErrorCode.NONE:
            if error is ErrorCode.GROUP_ID_NOT_FOUND and version < GROUP_NOT_FOUND_FROM:
                error = ErrorCode.ILLEGAL_GENERATION
            wanted.fail(error)
        if error is not ErrorCode.NONE or not wanted.commits:
            return response
        waiter: Completion[OffsetCommitResponse] = Completion()

        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                wanted.fail(commit_error(error))
            waiter.set(response)

        try:
            machine.commit(request.group_id, wanted.commits, done)
        except BrokerError as refused:
            wanted.fail(commit_error(refused.code))
            return response
        except ValueError:
            wanted.fail(ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
            return response
        return waiter

    def _known_partitions(
        self,
        request: OffsetCommitRequest,
        response: OffsetCommitResponse,
        version: int,
        wanted: _Wanted[OffsetCommitResponsePartition],
    ) -> None:
        """Sort out the partitions that exist; the others are answered here."""
        image = self._image()
        now_ms = self._clock.wall_ms()
        expire_ms = NO_TIMESTAMP
        if request.retention_time_ms != NO_RETENTION:
            expire_ms = min(now_ms + request.retention_time_ms, TIMESTAMP_MAX_MS)
        by_id = version >= TOPIC_IDS_FROM
        for asked in request.topics:
            topic = image.topic_by_id(asked.topic_id) if by_id else image.topic(asked.name)
            answered = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
            response.topics.append(answered)
            for partition in asked.partitions:
                answer = OffsetCommitResponsePartition(partition.partition_index)
                answered.partitions.append(answer)
                if topic is None and by_id:
                    answer.error_code = ErrorCode.UNKNOWN_TOPIC_ID
                elif topic is None or not _has(topic, partition.partition_index):
                    answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                else:
                    wanted.commits.append(_new_offset(topic, partition, now_ms, expire_ms))
                    wanted.answers.append(answer)

    # ---- TxnOffsetCommit

    def commit_transactional(
        self, request: TxnOffsetCommitRequest, version: int, admit: Admit | None
    ) -> TxnOffsetCommitResponse | Completion[TxnOffsetCommitResponse]:
        """Commit offsets in a transaction, once `admit` says that the group's partition belongs to it."""
        response = TxnOffsetCommitResponse()
        wanted: _Wanted[TxnOffsetCommitResponsePartition] = _Wanted()
        self._known_partitions_by_name(request, response, wanted)
        if not wanted.commits:
            return response
        if not request.group_id:
            wanted.fail(ErrorCode.INVALID_GROUP_ID)
            return response
        try:
            machine = self._runtime.machine_for(request.group_id)
        except BrokerError as absent:
            wanted.fail(_older(absent.code, version))
            return response
        waiter: Completion[TxnOffsetCommitResponse] = Completion()
        producer = (request.producer_id, request.producer_epoch)
        if admit is None or machine.committed.pending.is_open(*producer):
            self._commit_admitted(request, version, response, wanted, waiter)
            return waiter
        partition = (self._runtime.topic, self._runtime.partition_of(request.group_id))

        def admitted(verdicts: Verdicts) -> None:
            error = verdicts.get(partition, ErrorCode.NONE)
            if error is not ErrorCode.NONE:
                wanted.fail(_older(error, version))
                waiter.set(response)
            else:
                self._commit_admitted(request, version, response, wanted, waiter)

        admit(request.transactional_id, *producer, [partition], add=version >= ADDS_PARTITION_FROM).on_done(
            admitted
        )
        return waiter

    def _commit_admitted(
        self,
        request: TxnOffsetCommitRequest,
        version: int,
        response: TxnOffsetCommitResponse,
        wanted: _Wanted[TxnOffsetCommitResponsePartition],
        waiter: Completion[TxnOffsetCommitResponse],
    ) -> None:
        who = Committer(
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            is_transactional=True,
            version=version,
        )

        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                wanted.fail(_older(commit_error(error), version))
            waiter.set(response)

        try:
            # Looked up again: the coordinator of transactions may have taken its time.
            machine = self._runtime.machine_for(request.group_id)
            error = self._check(machine, request.group_id, who, wanted)
            if error is not ErrorCode.NONE or not wanted.commits:
                done(error)
                return
            machine.committed.commit_transactional(
                request.group_id, request.producer_id, request.producer_epoch, wanted.commits, done
            )
        except BrokerError as refused:
            done(refused.code)
        except ValueError:
            done(ErrorCode.INVALID_COMMIT_OFFSET_SIZE)

    def _known_partitions_by_name(
        self,
        request: TxnOffsetCommitRequest,
        response: TxnOffsetCommitResponse,
        wanted: _Wanted[TxnOffsetCommitResponsePartition],
    ) -> None:
        """Sort out the partitions that exist; the others are answered here."""
        image = self._image()
        now_ms = self._clock.wall_ms()
        for asked in request.topics:
            topic = image.topic(asked.name)
            answered = TxnOffsetCommitResponseTopic(asked.name)
            response.topics.append(answered)
            for partition in asked.partitions:
                answer = TxnOffsetCommitResponsePartition(partition.partition_index)
                answered.partitions.append(answer)
                if topic is None or not _has(topic, partition.partition_index):
                    answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                else:
                    wanted.commits.append(_new_offset(topic, partition, now_ms, NO_TIMESTAMP))
                    wanted.answers.append(answer)

    # ---- behind both

    def _check(self, machine: GroupMachine, group_id: str, who: Committer, wanted: _Wanted[A]) -> ErrorCode:
        """Whether the group takes these commits, all or none; too long notes are taken out."""
        answer = machine.check_commit(group_id, who)
        if isinstance(answer, ErrorCode):
            if answer is not ErrorCode.NONE:
                return answer
        else:
            for commit in wanted.commits:
                error = answer(commit.topic, commit.value.topic_id, commit.partition)
                if error is not ErrorCode.NONE:
                    return error
        # Characters, as in Kafka.
        longest = self._image().settings.offset_metadata_max_bytes
        for commit in wanted.commits:
            if len(commit.value.metadata) > longest:
                wanted.keep(partial(_check_note, longest))
                break
        return ErrorCode.NONE


def _check_note(longest: int, commit: NewOffset) -> ErrorCode:
    if len(commit.value.metadata) > longest:
        return ErrorCode.OFFSET_METADATA_TOO_LARGE
    return ErrorCode.NONE


def _has(topic: TopicImage, partition: int) -> bool:
    return 0 <= partition < len(topic.partitions)


def _new_offset(
    topic: TopicImage,
    asked: OffsetCommitRequestPartition | TxnOffsetCommitRequestPartition,
    now_ms: int,
    expire_ms: int,
) -> NewOffset:
    topic_id: UUID = topic.topic_id
    value = OffsetCommitValue(
        asked.committed_offset,
        asked.committed_leader_epoch,
        asked.committed_metadata or "",
        now_ms,
        expire_ms,
        topic_id,
    )
    return NewOffset(topic.name, asked.partition_index, value)


def _older(error: ErrorCode, version: int) -> ErrorCode:
    """What clients of that version are told."""
    if error is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS and version < LOAD_IN_PROGRESS_FROM:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    if error is ErrorCode.TRANSACTION_ABORTABLE and version < ABORTABLE_FROM:
        return ErrorCode.INVALID_TXN_STATE
    return error
