"""A consumer group driven by hand: clients that do as they are told, a clock that is turned, a log that is a list."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from logbroker.base.errors import BrokerError
from logbroker.coordination.machine import Record
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.classic_members import ClassicMembers
from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.groups.consumer.limits import ConsumerLimits, GroupTimes
from logbroker.groups.consumer.protocol import ConsumerProtocol
from logbroker.groups.consumer.records import REPLAYED, group_of, replay
from logbroker.groups.consumer.regexes import look_up
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)

T = TypeVar("T")

ORIGIN = Origin("client", "/127.0.0.1")


class Topics:
    """Topics by name; each has an id of its own."""

    def __init__(self, **counts: int) -> None:
        self.version = 1
        self.counts = dict(counts)
        self.ids = {name: uuid.uuid5(uuid.NAMESPACE_DNS, name) for name in counts}
        self.rack: tuple[tuple[str, ...], ...] = ()

    def create(self, name: str, count: int) -> None:
        """A new topic; a new id, even if there was one of that name."""
        self.version += 1
        self.counts[name] = count
        self.ids[name] = uuid.uuid5(uuid.NAMESPACE_DNS, f"{name} {self.version}")

    def grow(self, name: str, count: int) -> None:
        """More partitions."""
        self.version += 1
        self.counts[name] = count

    def delete(self, name: str) -> None:
        """No such topic any more."""
        self.version += 1
        del self.counts[name], self.ids[name]

    def names(self) -> Iterable[str]:
        """All topics."""
        return list(self.counts)

    def id_of(self, name: str) -> UUID | None:
        """Its id."""
        return self.ids.get(name)

    def name_of(self, topic_id: UUID) -> str | None:
        """Its name."""
        return next((name for name, known in self.ids.items() if known == topic_id), None)

    def partition_count(self, topic_id: UUID) -> int:
        """Its size."""
        return self.counts.get(self.name_of(topic_id) or "", 0)

    def racks(self, topic_id: UUID) -> tuple[tuple[str, ...], ...]:
        """The same for every topic."""
        return self.rack


class FixedLimits:
    """Limits that a test sets."""

    def __init__(self, **changes: Any) -> None:
        values: dict[str, Any] = {
            "max_size": 1000,
            "classic_max_size": 1000,
            "assignors": ("uniform", "range"),
            "regex_refresh_interval_ms": 600_000,
            "upgrades": True,
            "downgrades": True,
            **changes,
        }
        self.limits = ConsumerLimits(**values)
        self.group_times = GroupTimes(45_000, 5_000, 0)

    def common(self) -> ConsumerLimits:
        """The same for all."""
        return self.limits

    def times(self, group_id: str) -> GroupTimes:
        """The same for all."""
        return self.group_times


class World:
    """One group, its log, and what happens to both."""

    def __init__(self, topics: Topics | None = None, **limits: Any) -> None:
        self.topics = topics or Topics(t=4)
        self.limits = FixedLimits(**limits)
        self.protocol = ConsumerProtocol(self.limits)
        self.classic = ClassicMembers(self.limits, self.protocol.engine)
        self.group = ConsumerGroup("g")
        self.log: dict[bytes, bytes] = {}
        self.written: list[Record] = []
        self.lookup = False
        self.now = 1000.0

    @property
    def at(self) -> Moment:
        """Now."""
        return Moment(self.now, int(self.now * 1000))

    def change(self, event: Callable[[Changes], T]) -> T:
        """Carry out `event(changes)`; nothing of it stays if it raises."""
        changes = Changes(self.group)
        try:
            result = event(changes)
        except BrokerError:
            changes.undo()
            raise
        self.write(changes.records)
        return result

    def write(self, records: Sequence[Record]) -> None:
        """Compact as they come."""
        self.written = list(records)
        for key, value in records:
            if value is None:
                self.log.pop(key, None)
            else:
                self.log.pop(key, None)
                self.log[key] = value

    def beat(
        self,
        member: str,
        epoch: int = 0,
        *,
        topics: list[str] | None = None,
        owned: dict[UUID, Iterable[int]] | None = None,
        **more: Any,
    ) -> ConsumerGroupHeartbeatResponse:
        """A heartbeat; joining brings what joining needs."""
        if epoch == 0:
            more.setdefault("rebalance_timeout_ms", 60_000)
            owned = {} if owned is None else owned
        request = ConsumerGroupHeartbeatRequest("g", member, epoch, subscribed_topic_names=topics, **more)
        if owned is not None:
            request.topic_partitions = [
                ConsumerGroupHeartbeatRequestTopicPartitions(t, sorted(p)) for t, p in owned.items()
            ]
        response, lookup = self.change(
            lambda changes: self.protocol.heartbeat(changes, request, ORIGIN, self.at, self.topics)
        )
        self.lookup = lookup
        return response

    def look_up(self) -> None:
        """What the machine does after a heartbeat that says so."""
        steps = look_up(list(self.group.regex_members), self.group.regexes, self.topics, self.at.now_ms)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found = end.value
                break
        self.change(lambda changes: self.protocol.resolved(changes, found, self.topics))
        self.group.new_topics = False

    def leave(self, *members: str) -> None:
        """Members go for good."""
        found = [self.group.members[member] for member in members]
        self.change(lambda changes: self.protocol.engine.remove(changes, found, self.topics))

    def expire(self) -> list[str]:
        """Remove everybody whose time is up; returns who that was."""
        gone = []
        while (overdue := self.protocol.engine.overdue(self.group, self.at)) is not None:
            self.leave(overdue[0].member_id)
            gone.append(overdue[0].member_id)
        return gone

    def restarted(self) -> ConsumerGroup:
        """The group as a restart finds it."""
        group = ConsumerGroup("g")
        for key, value in self.log.items():
            kind = int.from_bytes(key[:2], "big")
            if kind not in REPLAYED or group_of(kind, key) != "g":
                raise AssertionError(f"{key!r} is no record of this group")
            replay(group, kind, key, value)
        return group


def partitions(response: ConsumerGroupHeartbeatResponse) -> set[tuple[UUID, int]] | None:
    """What a reply assigns, as {(topic id, partition)}; None if it doesn't say."""
    if response.assignment is None:
        return None
    return {(each.topic_id, p) for each in response.assignment.topic_partitions for p in each.partitions}


def on_record(group: ConsumerGroup) -> dict[str, Any]:
    """All of a group that is on record, to be compared."""
    return {
        "epoch": group.epoch,
        "hash": group.metadata_hash,
        "assignment epoch": group.assignment_epoch,
        "target": {m: {t: set(p) for t, p in target.items()} for m, target in group.target.items()},
        "members": {m: dataclasses.replace(member) for m, member in group.members.items()},
        "static": dict(group.static_members),
        "regexes": dict(group.regexes),
        "names": sorted(group.subscribed_names()),
        "classic": group.classic_count,
    }


class Client:
    """A consumer of the protocol: says what it has, gives up at once (or when told), comes again when fenced."""

    def __init__(self, world: World, member_id: str, topics: list[str], **more: Any) -> None:
        self.world = world
        self.member_id = member_id
        self.topics = topics
        self.more = more
        self.epoch = 0
        self.owned: set[tuple[UUID, int]] = set()
        self.must_own: set[tuple[UUID, int]] | None = None

    def beat(self, *, lost: bool = False) -> str | None:
        """One heartbeat; `lost`: its reply never arrives. Returns the error code's name if it was refused."""
        joining = self.epoch == 0
        if joining:
            self.owned = set()
            self.must_own = None
        owned: dict[UUID, set[int]] = {}
        for topic_id, partition in self.owned:
            owned.setdefault(topic_id, set()).add(partition)
        try:
            response = self.world.beat(
                self.member_id,
                self.epoch,
                topics=self.topics if joining else None,
                owned=dict(owned),
                **(self.more if joining else {}),
            )
        except BrokerError as error:
            if error.code.name in ("FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID"):
                self.epoch = 0
                self.owned = set()
                self.must_own = None
            return error.code.name
        if lost:
            return None
        self.epoch = response.member_epoch
        assigned = partitions(response)
        if assigned is not None:
            self.must_own = assigned
        return None

    def follow(self) -> None:
        """Give up what it must not have, take what it may have."""
        if self.must_own is not None:
            self.owned = set(self.must_own)
