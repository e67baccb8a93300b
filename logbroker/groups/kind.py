"""What a kind of groups is: everything that the coordinator's state in one shard leaves to the protocol of a group.

There is one table of groups in a shard (`GroupTable`), whatever their kinds: a group id belongs to one group, which may become
one of another kind. `machine.GroupMachine` looks a request's group up and hands the request to the group's kind; offsets
are kept for all kinds alike, and ask a kind only who may commit, read or delete them, and when they may be forgotten.

To add a kind: write a `Kind`, and make it in `GroupMachine.__init__`, which looks kinds up by the class of their groups and hands
them the record types that they name.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar
from uuid import UUID

from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.coordination.machine import LoadedRecord, Record
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.rebalance import Moment
from logbroker.wire.messages.describe_groups import DescribedGroup
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


class Committer(NamedTuple):
    """Who commits offsets.

    Attributes:
        generation_id: Of a member of a group under the classic protocol, else its member epoch; -1: outside any generation.
        is_transactional: The offsets are part of a transaction.
        version: Of the API, OffsetCommit or TxnOffsetCommit.

    """

    member_id: str
    instance_id: str | None
    generation_id: int
    is_transactional: bool
    version: int


PartitionCheck: TypeAlias = Callable[[str, UUID, int], ErrorCode]
"""Whether a committer may commit for a topic (name and id) and partition."""


class Group(Protocol):
    """What groups of all kinds have.

    Attributes:
        wake_at: Never later than the earliest of its time limits, in seconds of the monotonic clock.

    """

    group_id: str
    wake_at: float


class GroupTable:
    """The groups of one shard and their timers: at most one each, set for the earliest of its time limits.

    A heartbeat only moves a limit back; the timer then finds nothing due and is set again.

    Attributes:
        groups: By group id; none of them is dead.
        on_due: Called with a group that has a time limit that may be over.

    """

    __slots__ = ("_clock", "_timers", "_waking", "groups", "on_due")

    def __init__(self, clock: Clock, timers: Timers) -> None:
        self.groups: dict[str, Any] = {}
        self.on_due: Callable[[Any], None] | None = None
        self._clock = clock
        self._waking = timers
        self._timers: dict[str, tuple[float, TimerHandle]] = {}

    def moment(self) -> Moment:
        """Now."""
        return Moment(self._clock.monotonic(), self._clock.wall_ms())

    def now(self) -> float:
        """Now, by the monotonic clock."""
        return self._clock.monotonic()

    def put(self, group: Group) -> None:
        """Take a group in, or in the place of the one of its id."""
        self.groups[group.group_id] = group
        self._set_timer(group.group_id, group.wake_at)

    def remove(self, group: Group) -> None:
        """Forget a group, if it is still the one of its id."""
        if self.groups.get(group.group_id) is group:
            del self.groups[group.group_id]
            self._set_timer(group.group_id, inf)

    def wake(self, group: Group) -> None:
        """A time limit of the group is nearer than it was."""
        if self.groups.get(group.group_id) is group:
            armed = self._timers.get(group.group_id)
            if group.wake_at < (inf if armed is None else armed[0]):
                self._set_timer(group.group_id, group.wake_at)

    def clear(self) -> None:
        """Forget everything."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self.groups.clear()

    def _set_timer(self, group_id: str, when: float) -> None:
        armed = self._timers.pop(group_id, None)
        if armed is not None:
            armed[1].cancel()
        if when < inf:
            self._timers[group_id] = (when, self._waking.call_at(when, partial(self._due, group_id)))

    def _due(self, group_id: str) -> None:
        self._timers.pop(group_id, None)
        group = self.groups.get(group_id)
        if group is not None and self.on_due is not None:
            self.on_due(group)


@dataclass(frozen=True, slots=True)
class Summary:
    """What ListGroups and the metrics say of a group."""

    protocol_type: str
    state: str
    members: int


G_contra = TypeVar("G_contra", bound=Group, contravariant=True)


class Kind(Protocol[G_contra]):
    """Groups of one kind in one shard.

    Attributes:
        name: What ListGroups calls the type.
        states: Every state that `summary` can name.
        record_types: The types of records that `replay` takes.

    """

    name: str
    states: tuple[str, ...]
    record_types: frozenset[int]

    # ---- requests of the classic protocol

    def join(
        self, group: G_contra, request: JoinGroupRequest, origin: Origin
    ) -> Completion[JoinGroupResponse]:
        """JoinGroup."""
        ...

    def sync(self, group: G_contra, request: SyncGroupRequest) -> Completion[SyncGroupResponse]:
        """SyncGroup."""
        ...

    def heartbeat(self, group: G_contra, request: HeartbeatRequest) -> ErrorCode:
        """Heartbeat."""
        ...

    def leave(
        self, group: G_contra, members: list[tuple[str, str | None]], done: Callable[[ErrorCode], None]
    ) -> list[ErrorCode]:
        """LeaveGroup: a result for each (member id, instance id); `done` when what it changed is durable."""
        ...

    # ---- offsets

    def check_commit(self, group: G_contra, who: Committer) -> ErrorCode | PartitionCheck:
        """Whether they may commit, for all partitions or for each; a member's commit may also show that it lives."""
        ...

    def check_fetch(self, group: G_contra, member_id: str | None, member_epoch: int) -> ErrorCode:
        """Whether they may read offsets."""
        ...

    def check_offset_delete(self, group: G_contra) -> ErrorCode:
        """Whether offsets may be deleted by an administrator, of topics that nobody subscribes to."""
        ...

    def is_subscribed_to(self, group: G_contra, topic: str) -> bool:
        """Whether members consume the topic."""
        ...

    def offsets_age_from_ms(self, group: G_contra, commit_timestamp_ms: int) -> int | None:
        """From when on an offset ages that was committed then, if it is of a topic that nobody subscribes to; None: it doesn't."""
        ...

    # ---- the group as a whole

    def check_delete(self, group: G_contra) -> ErrorCode:
        """Whether the group may be deleted."""
        ...

    def is_unused(self, group: G_contra) -> bool:
        """Whether nobody misses the group once it has no offsets."""
        ...

    def tombstones(self, group: G_contra) -> list[Record]:
        """What deletes the group's own records."""
        ...

    def summary(self, group: G_contra) -> Summary:
        """What it is and how it stands."""
        ...

    def describe(self, group: G_contra, version: int) -> DescribedGroup:
        """DescribeGroups."""
        ...

    # ---- the shard's life

    def replay(self, record_type: int, record: LoadedRecord) -> None:
        """Take over a record of one of the `record_types`. Raises ValueError if it is damaged."""
        ...

    def loaded(self, group: G_contra) -> None:
        """The shard serves from now on: start the members' sessions."""
        ...

    def expire(self, group: G_contra) -> None:
        """Do what is due."""
        ...

    def release(self, group: G_contra, error: ErrorCode) -> None:
        """Answer everybody who waits; the group stays as it is."""
        ...

    def kill(self, group: G_contra, error: ErrorCode) -> None:
        """The shard serves no longer: answer everybody who waits, write nothing."""
        ...
