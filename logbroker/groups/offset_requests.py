"""OffsetCommit and OffsetFetch: topics against the metadata, groups against their shards, and the answers put together.

Both speak of topics by name up to version 9 and by id from version 10 on (KIP-848's client side), and answer in
the same terms. A commit is answered when it is durable. A fetch reads what memory holds and is answered when that is
durable: it never tells of an offset that a crash could take back (which covers `require_stable`, KIP-447).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from uuid import UUID

from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import NO_TIMESTAMP, OffsetCommitValue
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.errors import commit_error, fetch_error
from logbroker.groups.machine import GroupMachine, NewOffset
from logbroker.groups.offsets import belongs_to
from logbroker.metadata.image import ClusterImage, TopicImage
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from logbroker.wire.schema import ZERO_UUID

TOPIC_IDS_FROM: Final = 10
"""Version from which both APIs name topics by id."""

GROUP_NOT_FOUND_FROM: Final = 9
"""OffsetCommit version from which a member of an unknown group gets GROUP_ID_NOT_FOUND, not ILLEGAL_GENERATION."""

SEVERAL_GROUPS_FROM: Final = 8
TOP_LEVEL_ERROR_FROM: Final = 2
"""OffsetFetch versions."""

NO_OFFSET: Final = -1
NO_RETENTION: Final = -1
TIMESTAMP_MAX_MS: Final = (1 << 63) - 1


class OffsetRequests:
    """Answers OffsetCommit and OffsetFetch; `image` gives the metadata as it is now."""

    def __init__(
        self, runtime: CoordinatorRuntime[GroupMachine], image: Callable[[], ClusterImage], clock: Clock
    ) -> None:
        self._runtime = runtime
        self._image = image
        self._clock = clock

    # ---- commit

    def commit(
        self, request: OffsetCommitRequest, version: int
    ) -> OffsetCommitResponse | Completion[OffsetCommitResponse]:
        """Commit offsets; every partition has its own error code."""
        response = OffsetCommitResponse()
        commits: list[NewOffset] = []
        answers: list[OffsetCommitResponsePartition] = []
        for partition, answer in self._known_partitions(request, response, version):
            commits.append(partition)
            answers.append(answer)
        if not commits:
            return response
        try:
            machine = self._runtime.machine_for(request.group_id)
        except BrokerError as absent:
            return _fail(response, answers, absent.code)
        error = machine.check_commit(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            request.generation_id_or_member_epoch,
        )
        if error is not ErrorCode.NONE:
            if error is ErrorCode.GROUP_ID_NOT_FOUND and version < GROUP_NOT_FOUND_FROM:
                error = ErrorCode.ILLEGAL_GENERATION
            return _fail(response, answers, error)
        self._refuse_long_notes(commits, answers)
        if not commits:
            return response
        waiter: Completion[OffsetCommitResponse] = Completion()

        def done(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                _fail(response, answers, commit_error(error))
            waiter.set(response)

        try:
            machine.commit(request.group_id, commits, done)
        except BrokerError as refused:
            return _fail(response, answers, commit_error(refused.code))
        except ValueError:
            return _fail(response, answers, ErrorCode.INVALID_COMMIT_OFFSET_SIZE)
        return waiter

    def _known_partitions(
        self, request: OffsetCommitRequest, response: OffsetCommitResponse, version: int
    ) -> Iterator[tuple[NewOffset, OffsetCommitResponsePartition]]:
        """Partitions that exist, with the place of their answer; the others are answered here."""
        image = self._image()
        now_ms = self._clock.wall_ms()
        expire_ms = NO_TIMESTAMP
        if request.retention_time_ms != NO_RETENTION:
            expire_ms = min(now_ms + request.retention_time_ms, TIMESTAMP_MAX_MS)
        for asked in request.topics:
            topic = _find(image, asked, version)
            answered = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
            response.topics.append(answered)
            for partition in asked.partitions:
                answer = OffsetCommitResponsePartition(partition.partition_index)
                answered.partitions.append(answer)
                if topic is None:
                    answer.error_code = _unknown_topic(version)
                elif not 0 <= partition.partition_index < len(topic.partitions):
                    answer.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                else:
                    value = OffsetCommitValue(
                        partition.committed_offset,
                        partition.committed_leader_epoch,
                        partition.committed_metadata or "",
                        now_ms,
                        expire_ms,
                        topic.topic_id,
                    )
                    yield NewOffset(topic.name, partition.partition_index, value), answer

    def _refuse_long_notes(
        self, commits: list[NewOffset], answers: list[OffsetCommitResponsePartition]
    ) -> None:
        """Take out, and answer, what carries more metadata than `offset.metadata.max.bytes` (characters, as in Kafka)."""
        longest = self._image().settings.offset_metadata_max_bytes
        long_notes = [
            position for position, commit in enumerate(commits) if len(commit.value.metadata) > longest
        ]
        for position in reversed(long_notes):
            answers[position].error_code = ErrorCode.OFFSET_METADATA_TOO_LARGE
            del commits[position], answers[position]

    # ---- fetch

    def fetch(
        self, request: OffsetFetchRequest, version: int
    ) -> OffsetFetchResponse | Completion[OffsetFetchResponse]:
        """Read committed offsets of one group (up to version 7) or several."""
        if version >= SEVERAL_GROUPS_FROM:
            groups = request.groups
        else:
            topics = request.topics
            groups = [
                OffsetFetchRequestGroup(
                    request.group_id,
                    topics=None
                    if topics is None
                    else [
                        OffsetFetchRequestTopics(topic.name, ZERO_UUID, topic.partition_indexes)
                        for topic in topics
                    ],
                )
            ]
        gathering = _Gathering(request, version)
        for group in groups:
            self._fetch_group(group, version, gathering)
        return gathering.answer()

    def _fetch_group(self, asked: OffsetFetchRequestGroup, version: int, gathering: _Gathering) -> None:
        answer = OffsetFetchResponseGroup(asked.group_id)
        gathering.groups.append(answer)
        try:
            machine = self._runtime.machine_for(asked.group_id)
        except BrokerError as error:
            answer.error_code = fetch_error(error.code)
            return
        image = self._image()
        if asked.topics is None:
            answer.topics = _all_offsets(machine, asked.group_id, image, version)
        else:
            answer.topics = [
                _some_offsets(machine, asked.group_id, image, topic, version) for topic in asked.topics
            ]

        def durable(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                answer.topics = []
                answer.error_code = fetch_error(error)
            gathering.one_done()

        gathering.missing += 1
        machine.after_writes(durable)


class _Gathering:
    """An OffsetFetch response whose groups wait for different shards."""

    __slots__ = ("_request", "_version", "_waiter", "groups", "missing")

    def __init__(self, request: OffsetFetchRequest, version: int) -> None:
        self.groups: list[OffsetFetchResponseGroup] = []
        self.missing = 0
        self._request = request
        self._version = version
        self._waiter: Completion[OffsetFetchResponse] | None = None

    def one_done(self) -> None:
        """A group's offsets are durable, or will not be."""
        self.missing -= 1
        if self.missing == 0 and self._waiter is not None:
            self._waiter.set(self._response())

    def answer(self) -> OffsetFetchResponse | Completion[OffsetFetchResponse]:
        """The response, or where it will come; every group has been asked for."""
        if self.missing == 0:
            return self._response()
        self._waiter = Completion()
        return self._waiter

    def _response(self) -> OffsetFetchResponse:
        if self._version >= SEVERAL_GROUPS_FROM:
            return OffsetFetchResponse(groups=self.groups)
        group = self.groups[0]
        error = group.error_code
        if error and self._version < TOP_LEVEL_ERROR_FROM:
            # There is no place for the error but in every partition.
            topics = [
                OffsetFetchResponseTopic(
                    topic.name,
                    [
                        OffsetFetchResponsePartition(index, NO_OFFSET, -1, "", error)
                        for index in topic.partition_indexes
                    ],
                )
                for topic in self._request.topics or ()
            ]
            return OffsetFetchResponse(topics=topics)
        topics = [
            OffsetFetchResponseTopic(
                topic.name,
                [
                    OffsetFetchResponsePartition(
                        each.partition_index,
                        each.committed_offset,
                        each.committed_leader_epoch,
                        each.metadata,
                        each.error_code,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in group.topics
        ]
        return OffsetFetchResponse(topics=topics, error_code=error)


def _all_offsets(
    machine: GroupMachine, group_id: str, image: ClusterImage, version: int
) -> list[OffsetFetchResponseTopics]:
    """Every offset of the group, of topics that exist."""
    answers = []
    for name, partitions in machine.offsets.groups.get(group_id, {}).items():
        topic = image.topic(name)
        if topic is None:
            continue
        found = [
            OffsetFetchResponsePartitions(partition, value.offset, value.leader_epoch, value.metadata)
            for partition, value in partitions.items()
            if belongs_to(value, topic.topic_id)
        ]
        if found:
            answers.append(_topic_answer(name, topic.topic_id, version, found))
    return answers


def _some_offsets(
    machine: GroupMachine,
    group_id: str,
    image: ClusterImage,
    asked: OffsetFetchRequestTopics,
    version: int,
) -> OffsetFetchResponseTopics:
    """The group's offsets of the partitions asked for; -1 where there is none."""
    topic = _find(image, asked, version)
    error = ErrorCode.NONE
    if topic is None and version >= TOPIC_IDS_FROM:
        error = ErrorCode.UNKNOWN_TOPIC_ID
    answers = []
    for index in asked.partition_indexes:
        value = None if topic is None else machine.offsets.get(group_id, topic.name, index)
        if value is None or topic is None or not belongs_to(value, topic.topic_id):
            answers.append(OffsetFetchResponsePartitions(index, NO_OFFSET, -1, "", error))
        else:
            answers.append(
                OffsetFetchResponsePartitions(index, value.offset, value.leader_epoch, value.metadata)
            )
    return _topic_answer(asked.name, asked.topic_id, version, answers)


def _topic_answer(
    name: str, topic_id: UUID, version: int, partitions: list[OffsetFetchResponsePartitions]
) -> OffsetFetchResponseTopics:
    if version >= TOPIC_IDS_FROM:
        return OffsetFetchResponseTopics(topic_id=topic_id, partitions=partitions)
    return OffsetFetchResponseTopics(name=name, partitions=partitions)


def _find(
    image: ClusterImage, asked: OffsetCommitRequestTopic | OffsetFetchRequestTopics, version: int
) -> TopicImage | None:
    if version >= TOPIC_IDS_FROM:
        return image.topic_by_id(asked.topic_id)
    return image.topic(asked.name)


def _unknown_topic(version: int) -> ErrorCode:
    if version >= TOPIC_IDS_FROM:
        return ErrorCode.UNKNOWN_TOPIC_ID
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _fail(
    response: OffsetCommitResponse, answers: list[OffsetCommitResponsePartition], error: ErrorCode
) -> OffsetCommitResponse:
    for answer in answers:
        answer.error_code = error
    return response
