"""Incremental fetch sessions (KIP-227): what a consumer reads is named once, later only what changed.

A session remembers the partitions of one consumer, in the order in which they are to be served (who got data goes to the end, so
that none starves), and what it was last told of each. The broker keeps a bounded number of sessions, and of partitions in
all of them together; a newcomer takes the place of whichever session nobody used for the longest time, if that is at least
`EVICT_AFTER_S`, or goes without one and names everything in each request. (Kafka also lets a large newcomer take the place of a
small session that is still in use; here who has a session keeps it while it fetches.)

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
PARTITIONS_MAX: Final = 1_000_000
"""Partitions that all sessions together may remember."""

TOPIC_ID_FROM: Final = 13
NEVER_TOLD: Final = -2
"""No offset, and not the -1 of an error either."""
_EPOCH_MAX: Final = 0x7FFF_FFFF


class PartitionKey(NamedTuple):
    """How a request names a partition: by topic name, or by id from version 13 on."""

    topic: str
    topic_id: UUID
    partition: int


class Wanted:
    """One partition of a fetch: where it is read, and what a session's owner was last told."""

    __slots__ = ("high_watermark", "leader_epoch", "log_start_offset", "max_bytes", "offset")

    def __init__(self, request: FetchPartition) -> None:
        self.forget_told()
        self.update(request)

    def forget_told(self) -> None:
        """Whatever is found next is news to the session's owner."""
        self.high_watermark = NEVER_TOLD
        self.log_start_offset = NEVER_TOLD

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
    """All sessions of a broker.

    Args:
        slots: How many there may be; 0 turns them off.
        partitions_max: How many partitions they may remember together.
        seed: For the session ids.
    """

    def __init__(self, slots: int, *, partitions_max: int = PARTITIONS_MAX, seed: int | None = None) -> None:
        self.slots = slots
        self.partitions_max = partitions_max
        self.partitions = 0
        self._sessions: dict[int, FetchSession] = {}  # the one that was used last at the end
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, request: FetchRequest, version: int, now: float) -> FetchSession:
        """The session a request is about, with the request's changes applied.

        Raises BrokerError: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR.
        """
        by_id = version >= TOPIC_ID_FROM
        epoch = request.session_epoch
        session_id = request.session_id
        if epoch in {INITIAL_EPOCH, FINAL_EPOCH}:
            if session_id:
                self._drop(session_id)
            session = FetchSession(0, _named(request), uses_topic_ids=by_id)
            if epoch == INITIAL_EPOCH and session.partitions:
                self._keep(session, now)
            return session
        known = self._sessions.get(session_id)
        if known is None:
            raise BrokerError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
        if known.epoch != epoch:
            raise BrokerError(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        if known.uses_topic_ids != by_id:
            raise BrokerError(ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR)
        self._change(known, request)
        if not known.partitions:
            self._drop(session_id)  # nothing is left to remember
            return FetchSession(0, {}, uses_topic_ids=by_id)
        if self.partitions > self.partitions_max:
            self._drop(session_id)
            raise BrokerError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)  # the client goes on without a session
        known.epoch = 1 if epoch == _EPOCH_MAX else epoch + 1
        known.incremental = True
        known.last_used = now
        self._sessions[session_id] = self._sessions.pop(session_id)
        return known

    def _change(self, session: FetchSession, request: FetchRequest) -> None:
        partitions = session.partitions
        before = len(partitions)
        for topic in request.topics:
            for asked in topic.partitions:
                key = PartitionKey(topic.topic, topic.topic_id, asked.partition)
                wanted = partitions.get(key)
                if wanted is None:
                    partitions[key] = Wanted(asked)
                else:
                    wanted.update(asked)
        for forgotten in request.forgotten_topics_data:
            for index in forgotten.partitions:
                partitions.pop(PartitionKey(forgotten.topic, forgotten.topic_id, index), None)
        self.partitions += len(partitions) - before

    def _drop(self, session_id: int) -> None:
        session = self._sessions.pop(session_id, None)
        if session is not None:
            self.partitions -= len(session.partitions)

    def _keep(self, session: FetchSession, now: float) -> None:
        """Make a session of what was a full fetch, if there is room or can be made."""
        size = len(session.partitions)
        if not self.slots or size > self.partitions_max:
            return
        while len(self._sessions) >= self.slots or self.partitions + size > self.partitions_max:
            oldest = next(iter(self._sessions.values()))
            if now - oldest.last_used < EVICT_AFTER_S:
                return
            self._drop(oldest.session_id)
        session_id = 0
        while not session_id or session_id in self._sessions:
            session_id = self._random.randrange(1, 1 << 31)
        session.session_id = session_id
        session.last_used = now
        self.partitions += size
        self._sessions[session_id] = session


def _named(request: FetchRequest) -> dict[PartitionKey, Wanted]:
    return {
        PartitionKey(topic.topic, topic.topic_id, partition.partition): Wanted(partition)
        for topic in request.topics
        for partition in topic.partitions
    }
