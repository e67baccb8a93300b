"""A consumer group's state: its members, its epochs, its target assignment, and what follows from them.

What is on record is changed by `Changes` alone, one record at a time; `put_member` and its kin keep the derived tables
(owners of partitions, counts of subscriptions) in step. Deadlines are seconds of the monotonic clock and on no record:
`wake_at` is never later than the earliest of them, so a heartbeat only writes a float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Final
from uuid import UUID

from logbroker.groups.consumer.member import NO_TARGET, ConsumerMember, MemberState, Target

CONSUMER_PROTOCOL_TYPE: Final = "consumer"
"""The protocol type of all groups of this kind, and of those that can become one."""


FIRST_EPOCH: Final = 1
"""Of a group, and of the target assignment that gives nobody anything; epoch 0 is how a member says that it joins."""


class GroupState(Enum):
    """Where a group stands; the value is Kafka's name for it."""

    EMPTY = "Empty"
    ASSIGNING = "Assigning"
    RECONCILING = "Reconciling"
    STABLE = "Stable"
    DEAD = "Dead"


@dataclass(frozen=True, slots=True)
class ResolvedRegex:
    """The topics a regular expression stands for, in which metadata version, found at which wall-clock time (ms).

    Attributes:
        names: All topics that it was looked up among; on no record, and empty after a load.
    """

    topics: frozenset[str]
    version: int
    timestamp_ms: int
    names: frozenset[str] = field(default=frozenset(), compare=False, repr=False)


@dataclass(slots=True)
class Deadlines:
    """When a member's time is up, in seconds of the monotonic clock.

    Attributes:
        rebalance_epoch: The epoch in which it was told to give up partitions; when it has left that, `rebalance` is moot.
        join, sync: For members under the classic protocol: until when they must join again, or ask for their assignment.
    """

    session: float = inf
    rebalance: float = inf
    rebalance_epoch: int = 0
    join: float = inf
    sync: float = inf

    def first(self) -> float:
        """The earliest."""
        return min(self.session, self.rebalance, self.join, self.sync)


class ConsumerGroup:
    """One group.

    Attributes:
        metadata_hash: Of the topics that `epoch` was made for.
        assignment_epoch: The group epoch that `target` was computed for.
        assignment_ms: When that was, by the wall clock; 0 if it wasn't or isn't known.
        static_members: Instance id to member id.
        has_partition_metadata: A record of Kafka before 4.1 is there to be deleted.
        refresh_due: The subscribed topics must be looked at again.
        resolving: Regular expressions are being looked up.
        new_topics: Topics were created since they were looked up last.
        deadlines: By member id.
    """

    __slots__ = (
        "_assignors",
        "_names",
        "_owners",
        "_regex_names",
        "_supporters",
        "assignment_epoch",
        "assignment_ms",
        "classic_count",
        "dead",
        "deadlines",
        "epoch",
        "group_id",
        "has_partition_metadata",
        "members",
        "metadata_hash",
        "new_topics",
        "refresh_due",
        "regex_members",
        "regexes",
        "resolving",
        "static_members",
        "target",
        "wake_at",
    )

    def __init__(self, group_id: str) -> None:
        self.group_id = group_id
        self.epoch = FIRST_EPOCH
        self.metadata_hash = 0
        self.assignment_epoch = FIRST_EPOCH
        self.assignment_ms = 0
        self.members: dict[str, ConsumerMember] = {}
        self.static_members: dict[str, str] = {}
        self.target: dict[str, Target] = {}
        self.regexes: dict[str, ResolvedRegex] = {}
        self.has_partition_metadata = False
        self.dead = False
        self.refresh_due = True
        self.resolving = False
        self.new_topics = True
        self.deadlines: dict[str, Deadlines] = {}
        self.wake_at = inf
        self.classic_count = 0
        self.regex_members: Counter[str] = Counter()
        self._names: Counter[str] = Counter()
        self._regex_names: Counter[str] = Counter()
        self._assignors: Counter[str] = Counter()
        self._supporters: Counter[str] = Counter()
        self._owners: dict[UUID, dict[int, str]] = {}

    # ---- what is on record

    def put_member(self, member: ConsumerMember) -> ConsumerMember | None:
        """Take `member` in, or in the place of its former self, which is returned."""
        old = self.members.get(member.member_id)
        if old is not None:
            self._forget(old)
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_members[member.instance_id] = member.member_id
        self._names.update(member.topics)
        if member.regex:
            self.regex_members[member.regex] += 1
        if member.server_assignor is not None:
            self._assignors[member.server_assignor] += 1
        if member.classic is not None:
            self.classic_count += 1
            self._supporters.update(name for name, _ in member.classic.protocols)
        for owned in (member.assigned, member.revoking):
            for topic_id, partitions in owned.items():
                owners = self._owners.setdefault(topic_id, {})
                for partition in partitions:
                    owners[partition] = member.member_id
        return old

    def drop_member(self, member_id: str) -> ConsumerMember | None:
        """Forget a member; returns it."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._forget(member)
        return member

    def put_regex(self, regex: str, resolved: ResolvedRegex | None) -> ResolvedRegex | None:
        """Note what a regular expression stands for, or forget it; returns what it stood for."""
        old = self.regexes.pop(regex, None)
        if old is not None:
            _subtract(self._regex_names, old.topics)
        if resolved is not None:
            self.regexes[regex] = resolved
            self._regex_names.update(resolved.topics)
        return old

    def _forget(self, member: ConsumerMember) -> None:
        if member.instance_id is not None and self.static_members.get(member.instance_id) == member.member_id:
            del self.static_members[member.instance_id]
        _subtract(self._names, member.topics)
        if member.regex:
            _subtract(self.regex_members, (member.regex,))
        if member.server_assignor is not None:
            _subtract(self._assignors, (member.server_assignor,))
        if member.classic is not None:
            self.classic_count -= 1
            _subtract(self._supporters, [name for name, _ in member.classic.protocols])
        for owned in (member.assigned, member.revoking):
            for topic_id, partitions in owned.items():
                owners = self._owners.get(topic_id)
                if owners is None:
                    continue
                for partition in partitions:
                    if owners.get(partition) == member.member_id:
                        del owners[partition]
                if not owners:
                    del self._owners[topic_id]

    # ---- what follows from it

    @property
    def state(self) -> GroupState:
        """Where the group stands; looks at every member."""
        if self.dead:
            return GroupState.DEAD
        if not self.members:
            return GroupState.EMPTY
        if self.epoch > self.assignment_epoch:
            return GroupState.ASSIGNING
        if all(member.is_reconciled_to(self.assignment_epoch) for member in self.members.values()):
            return GroupState.STABLE
        return GroupState.RECONCILING

    def owner(self, topic_id: UUID, partition: int) -> str | None:
        """The member that has a partition, or must still give it up."""
        owners = self._owners.get(topic_id)
        return None if owners is None else owners.get(partition)

    def target_of(self, member_id: str) -> Target:
        """What a member is to have."""
        return self.target.get(member_id, NO_TARGET)

    def subscribed_names(self) -> Iterator[str]:
        """Every topic that a member names or that a resolved regular expression stands for."""
        yield from self._names
        yield from (name for name in self._regex_names if name not in self._names)

    def subscribed_count(self) -> int:
        """How many topics those are."""
        return len(self._names) + len(self._regex_names.keys() - self._names.keys())

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether a member names the topic or a regular expression stands for it."""
        return topic in self._names or topic in self._regex_names

    def topics_of(self, member: ConsumerMember) -> frozenset[str]:
        """What a member subscribes to; a regular expression that isn't resolved yet stands for nothing."""
        resolved = self.regexes.get(member.regex) if member.regex else None
        return member.topics if resolved is None else member.topics | resolved.topics

    def preferred_assignor(self, default: str) -> str:
        """The assignor that most members ask for."""
        return max(self._assignors.items(), key=lambda item: item[1])[0] if self._assignors else default

    def supports_classic(self, protocol_type: str, protocols: list[str]) -> bool:
        """Whether somebody can join under the classic protocol: one of its protocols must suit all others who did."""
        if protocol_type != CONSUMER_PROTOCOL_TYPE:
            return False
        return any(self._supporters[name] == self.classic_count for name in protocols)

    def static_member(self, instance_id: str) -> ConsumerMember | None:
        """The member with that instance id."""
        member_id = self.static_members.get(instance_id)
        return None if member_id is None else self.members.get(member_id)

    def waits_for_others(self, member: ConsumerMember) -> bool:
        """Whether something the member is to have is still another's."""
        if member.state is not MemberState.UNRELEASED_PARTITIONS:
            return False
        for topic_id, partitions in self.target_of(member.member_id).items():
            assigned = member.assigned.get(topic_id, {})
            if any(p not in assigned and self.owner(topic_id, p) is not None for p in partitions):
                return True
        return False

    # ---- time

    def deadlines_of(self, member_id: str) -> Deadlines:
        """A member's deadlines, to be changed in place; call `wake` with what was set."""
        found = self.deadlines.get(member_id)
        if found is None:
            found = self.deadlines[member_id] = Deadlines()
        return found

    def wake(self, deadline: float) -> None:
        """Note that something may be due at `deadline`."""
        self.wake_at = min(self.wake_at, deadline)

    def next_deadline(self) -> float:
        """The earliest of all; looks at every member."""
        return min((deadlines.first() for deadlines in self.deadlines.values()), default=inf)


def _subtract(counts: Counter[str], names: frozenset[str] | list[str] | tuple[str, ...]) -> None:
    for name in names:
        left = counts[name] - 1
        if left > 0:
            counts[name] = left
        else:
            del counts[name]
