"""OffsetFetch: topics against the metadata, groups against their shards, and the answers put together.

Topics are named up to version 9 and have ids from version 10 on (KIP-848's client side), and so have the answers. A fetch reads what
memory holds and is answered when that is durable: it never tells of an offset that a crash could take back. Whoever asks for
stable offsets (`require_stable`, KIP-447) is told UNSTABLE_OFFSET_COMMIT while a transaction may yet change them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.groups.errors import fetch_error
from logbroker.groups.machine import GroupMachine
from logbroker.groups.offsets import belongs_to
from logbroker.metadata.image import ClusterImage, TopicImage
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
SEVERAL_GROUPS_FROM: Final = 8
TOP_LEVEL_ERROR_FROM: Final = 2
"""OffsetFetch versions."""

NO_OFFSET: Final = -1


class OffsetFetches:
    """Answers OffsetFetch; `image` gives the metadata as it is now."""

    def __init__(self, runtime: CoordinatorRuntime[GroupMachine], image: Callable[[], ClusterImage]) -> None:
        self._runtime = runtime
        self._image = image

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
            self._fetch_group(group, version, gathering, stable=request.require_stable)
        return gathering.answer()

    def _fetch_group(
        self, asked: OffsetFetchRequestGroup, version: int, gathering: _Gathering, *, stable: bool
    ) -> None:
        answer = OffsetFetchResponseGroup(asked.group_id)
        gathering.groups.append(answer)
        try:
            machine = self._runtime.machine_for(asked.group_id)
        except BrokerError as error:
            answer.error_code = fetch_error(error.code)
            return
        refusal = machine.check_fetch(asked.group_id, asked.member_id, asked.member_epoch)
        if refusal is not ErrorCode.NONE:
            answer.error_code = refusal
            return
        image = self._image()
        if asked.topics is None:
            answer.topics = _all_offsets(machine, asked.group_id, image, version)
        else:
            answer.topics = [
                _some_offsets(machine, asked.group_id, image, topic, version) for topic in asked.topics
            ]
        if stable and machine.committed.pending.has_group(asked.group_id):
            _refuse_unstable(machine, asked.group_id, image, answer.topics)

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


def _refuse_unstable(
    machine: GroupMachine, group_id: str, image: ClusterImage, answers: list[OffsetFetchResponseTopics]
) -> None:
    """Take back, in `answers`, every offset that an open transaction may change."""
    pending = machine.committed.pending
    for topic in answers:
        known = None if topic.name else image.topic_by_id(topic.topic_id)
        name = topic.name if known is None else known.name
        topic.partitions = [
            OffsetFetchResponsePartitions(
                each.partition_index, NO_OFFSET, -1, "", ErrorCode.UNSTABLE_OFFSET_COMMIT
            )
            if not each.error_code and pending.is_pending(group_id, name, each.partition_index)
            else each
            for each in topic.partitions
        ]


def _topic_answer(
    name: str, topic_id: UUID, version: int, partitions: list[OffsetFetchResponsePartitions]
) -> OffsetFetchResponseTopics:
    if version >= TOPIC_IDS_FROM:
        return OffsetFetchResponseTopics(topic_id=topic_id, partitions=partitions)
    return OffsetFetchResponseTopics(name=name, partitions=partitions)


def _find(image: ClusterImage, asked: OffsetFetchRequestTopics, version: int) -> TopicImage | None:
    if version >= TOPIC_IDS_FROM:
        return image.topic_by_id(asked.topic_id)
    return image.topic(asked.name)
