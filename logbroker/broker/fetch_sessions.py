"""Incremental fetch sessions (KIP-227): what a consumer reads is named once, later only what changed.

A session remembers the partitions of one consumer, in the order in which they are to be served (who got data goes to the end, so
that none starves), and what it was last told of each. The broker keeps a bounded number; a newcomer takes the place of a
session that nobody used for `EVICT_AFTER_S`, or goes without one and names everything in each request.

Loop thread only.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest

INITIAL_EPOCH: Final = 0
FINAL_EPOCH: Final = -1
EVICT_AFTER_S: Final = 120.0
SESSION_PARTITIONS_MAX: Final = 100_000
"""Partitions one session may remember."""

TOPIC_ID_FROM: Final = 13

ZERO_ID: Final = UUID(int=0)


class PartitionKey(NamedTuple):
    """How a request names a partition: by topic name, or by id from version 13 on."""

    topic: str
    topic_id: UUID
    partition: int


class Wanted:
    """One partition of a fetch: where it is read, and what a session's owner was last told."""

    __slots__ = ("high_watermark", "leader_epoch", "log_start_offset", "max_bytes", "offset", "stable_offset")

    def __init__(self, request: FetchPartition) -> None:
        self.high_watermark = -2
        self.stable_offset = -2
        self.log_start_offset = -2
        self.update(request)

    def update(self, request: FetchPartition) -> None:
        """Take over what the client asks for now."""
        self.offset = request.fetch_offset
        self.max_bytes = request.partition_max_bytes
        self.leader_epoch = request.current_leader_epoch


class FetchSession:
    """One consumer's partitions; `session_id` 0 is no session: everything is served and told each time."""

    __slots__ = ("epoch", "incremental", "last_used", "partitions", "session_id", "uses_topic_ids")

    def __init__(
        self, session_id: int, partitions: dict[PartitionKey, Wanted], *, uses_topic_ids: bool
    ) -> None:
        self.session_id = session_id
        self.partitions = partitions
        self.uses_topic_ids = uses_topic_ids
        self.epoch = 1
        self.incremental = False
        self.last_used = 0.0

    def served(self, key: PartitionKey) -> None:
        """Data went out: others come first next time."""
        self.partitions[key] = self.partitions.pop(key)


class FetchSessions:
    """All sessions of a broker."""

    def __init__(self, slots: int, seed: int | None = None) -> None:
        self.slots = slots
        self._sessions: dict[int, FetchSession] = {}
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, request: FetchRequest, version: int, now: float) -> FetchSession:
        """The session a request is about, with the request's changes applied.

        Raises BrokerError: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
        """
        by_id = version >= TOPIC_ID_FROM
        epoch = request.session_epoch
        if epoch in {INITIAL_EPOCH, FINAL_EPOCH}:
            if request.session_id:
                self._sessions.pop(request.session_id, None)
            session = FetchSession(0, _named(request), uses_topic_ids=by_id)
            if epoch == INITIAL_EPOCH and len(session.partitions) <= SESSION_PARTITIONS_MAX:
                self._keep(session, now)
            return session
        known = self._sessions.get(request.session_id)
        if known is None:
            raise BrokerError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if known.epoch != epoch:
            raise BrokerError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if known.uses_topic_ids != by_id:
            raise BrokerError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        for topic in request.forgotten_topics_data:
            for partition in topic.partitions:
                known.partitions.pop(PartitionKey(topic.topic, topic.topic_id, partition), None)
        for topic_ in request.topics:
            for changed in topic_.partitions:
                key = PartitionKey(topic_.topic, topic_.topic_id, changed.partition)
                wanted = known.partitions.get(key)
                if wanted is not None:
                    wanted.update(changed)
                elif len(known.partitions) < SESSION_PARTITIONS_MAX:
                    known.partitions[key] = Wanted(changed)
        known.epoch = 1 if epoch == 0x7FFFFFFF else epoch + 1
        known.incremental = True
        known.last_used = now
        return known

    def _keep(self, session: FetchSession, now: float) -> None:
        if not session.partitions:
            return
        if len(self._sessions) >= self.slots:
            oldest = min(self._sessions.values(), key=lambda kept: kept.last_used, default=None)
            if oldest is None or now - oldest.last_used < EVICT_AFTER_S:
                return
            del self._sessions[oldest.session_id]
        session_id = 0
        while not session_id or session_id in self._sessions:
            session_id = self._random.randrange(1, 1 << 31)
        session.session_id = session_id
        session.last_used = now
        self._sessions[session_id] = session


def _named(request: FetchRequest) -> dict[PartitionKey, Wanted]:
    return {
        PartitionKey(topic.topic, topic.topic_id, partition.partition): Wanted(partition)
        for topic in request.topics
        for partition in topic.partitions
    }
