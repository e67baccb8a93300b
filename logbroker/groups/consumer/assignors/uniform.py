"""The uniform assignor: as many partitions for each member as for every other, moving as few as that takes.

Balance comes first, stickiness second, as in Kafka 4.3.1; which of several equally good partitions moves may differ.

Where all members subscribe to the same topics the result is exact: no two members' counts differ by more than one, and no
assignment with that balance moves fewer partitions: members keep what they have up to the quota, and the quotas that are
one larger go first to those who have more than the smaller one.

Where subscriptions differ, free partitions go to the subscriber with the least, topics with the most partitions per
subscriber first; then topic by topic partitions move from the subscriber with the most to the one with the least until
no topic's subscribers differ by more than one or `ROUNDS_MAX` rounds are over. With subscriptions that overlap without
being equal that ends close to balance, which is as far as Kafka goes too.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from logbroker.groups.consumer.assignors.spec import GroupSpec
from logbroker.groups.consumer.member import Target

ROUNDS_MAX: Final = 16
"""Rounds of moving; each about halves the imbalance that is left."""


def assign_uniform(spec: GroupSpec) -> dict[str, Target]:
    """What each member is to have."""
    subscriptions = {member.topics for member in spec.members.values()}
    if len(subscriptions) == 1:
        return _same_topics(spec, next(iter(subscriptions)))
    return _Balancing(spec).run()


def _same_topics(spec: GroupSpec, topics: frozenset[UUID]) -> dict[str, Target]:
    total = sum(spec.partition_counts[topic_id] for topic_id in topics)
    quota, extra = divmod(total, len(spec.members))
    has = {member_id: _valid(spec, member_id) for member_id in spec.members}
    sizes = {member_id: sum(map(len, target.values())) for member_id, target in has.items()}
    # Whoever has more than the small quota gets a large one first: it then gives up one less.
    richest_first = sorted(spec.members, key=lambda member_id: sizes[member_id] <= quota)
    large = set(richest_first[:extra])
    taken: dict[UUID, set[int]] = {topic_id: set() for topic_id in topics}
    result: dict[str, Target] = {}
    wanting: list[tuple[str, int]] = []
    for member_id, target in has.items():
        room = quota + (member_id in large)
        kept = result[member_id] = _cut(target, room) if sizes[member_id] > room else target
        for topic_id, partitions in kept.items():
            taken[topic_id] |= partitions
        wanted = room - sizes[member_id]
        if wanted > 0:
            wanting.append((member_id, wanted))
    if wanting:
        free = (
            (topic_id, partition)
            for topic_id in sorted(topics)
            for partition in range(spec.partition_counts[topic_id])
            if partition not in taken[topic_id]
        )
        for member_id, wanted in wanting:
            more: dict[UUID, set[int]] = {}
            for _ in range(wanted):
                topic_id, partition = next(free)
                more.setdefault(topic_id, set()).add(partition)
            result[member_id] = _add(result[member_id], more)
    return result


def _valid(spec: GroupSpec, member_id: str) -> Target:
    """What a member was to have, of topics it still subscribes to and partitions that exist; the same object if that is all."""
    member = spec.members[member_id]
    counts = spec.partition_counts
    if all(
        topic_id in member.topics and max(partitions) < counts[topic_id]
        for topic_id, partitions in member.target.items()
    ):
        return member.target
    kept = {
        topic_id: frozenset(p for p in partitions if p < counts[topic_id])
        for topic_id, partitions in member.target.items()
        if topic_id in member.topics
    }
    return {topic_id: partitions for topic_id, partitions in kept.items() if partitions}


def _cut(target: Target, room: int) -> Target:
    """`room` of these partitions: whole topics as long as they fit."""
    kept: dict[UUID, frozenset[int]] = {}
    for topic_id, partitions in target.items():
        if room <= 0:
            break
        kept[topic_id] = partitions if len(partitions) <= room else frozenset(sorted(partitions)[:room])
        room -= len(partitions)
    return kept


def _add(target: Target, more: dict[UUID, set[int]]) -> Target:
    return {**target, **{topic_id: target.get(topic_id, frozenset()) | new for topic_id, new in more.items()}}


class _Balancing:
    """Members whose subscriptions differ."""

    def __init__(self, spec: GroupSpec) -> None:
        self._spec = spec
        self._subscribers: dict[UUID, list[str]] = {}
        for member_id, member in spec.members.items():
            for topic_id in member.topics:
                self._subscribers.setdefault(topic_id, []).append(member_id)
        self._sizes = dict.fromkeys(spec.members, 0)
        self._owned: dict[UUID, dict[str, list[int]]] = {topic_id: {} for topic_id in self._subscribers}

    def run(self) -> dict[str, Target]:
        """What each member is to have."""
        for member_id in self._spec.members:
            for topic_id, partitions in _valid(self._spec, member_id).items():
                self._owned[topic_id][member_id] = sorted(partitions)
                self._sizes[member_id] += len(partitions)
        topics = sorted(self._subscribers, key=self._order)
        for topic_id in topics:
            self._hand_out(topic_id)
        shared = [topic_id for topic_id in topics if len(self._subscribers[topic_id]) > 1]
        for _ in range(ROUNDS_MAX):
            if not sum(self._level(topic_id) for topic_id in shared):
                break
        return self._result()

    def _order(self, topic_id: UUID) -> tuple[float, int, UUID]:
        subscribers = len(self._subscribers[topic_id])
        return -self._spec.partition_counts[topic_id] / subscribers, subscribers, topic_id

    def _hand_out(self, topic_id: UUID) -> None:
        """Give the topic's free partitions to the subscribers with the least."""
        owned = self._owned[topic_id]
        taken = {partition for partitions in owned.values() for partition in partitions}
        free = [p for p in range(self._spec.partition_counts[topic_id]) if p not in taken]
        if not free:
            return
        least = self._ranked(self._subscribers[topic_id])
        for partition in free:
            size, rank, member_id = least[0]
            owned.setdefault(member_id, []).append(partition)
            self._sizes[member_id] = size + 1
            heapq.heapreplace(least, (size + 1, rank, member_id))

    def _level(self, topic_id: UUID) -> int:
        """Move partitions of the topic from the subscribers with the most to those with the least; returns how many."""
        owned = self._owned[topic_id]
        subscribers = self._subscribers[topic_id]
        sizes = self._sizes
        if max(map(sizes.__getitem__, subscribers)) - min(map(sizes.__getitem__, subscribers)) <= 1:
            return 0
        least = self._ranked(subscribers)
        most = [(-sizes[m], rank, m) for rank, m in enumerate(subscribers) if owned.get(m)]
        heapq.heapify(most)
        moved = 0
        while most:
            size, rank, giver = most[0]
            if -size != sizes[giver]:
                heapq.heapreplace(most, (-sizes[giver], rank, giver))
                continue
            while least[0][0] != sizes[least[0][2]]:
                _, low_rank, low = least[0]
                heapq.heapreplace(least, (sizes[low], low_rank, low))
            low_size, low_rank, taker = least[0]
            if -size - low_size <= 1:
                break
            if not owned[giver]:
                heapq.heappop(most)
                continue
            owned.setdefault(taker, []).append(owned[giver].pop())
            sizes[giver] -= 1
            sizes[taker] += 1
            moved += 1
        return moved

    def _ranked(self, members: Iterable[str]) -> list[tuple[int, int, str]]:
        ranked = [(self._sizes[member_id], rank, member_id) for rank, member_id in enumerate(members)]
        heapq.heapify(ranked)
        return ranked

    def _result(self) -> dict[str, Target]:
        """Targets; a member's former one where it stays as it was, so that nobody takes it for a change."""
        result: dict[str, dict[UUID, frozenset[int]]] = {member_id: {} for member_id in self._spec.members}
        for topic_id, owned in self._owned.items():
            for member_id, partitions in owned.items():
                if partitions:
                    result[member_id][topic_id] = frozenset(partitions)
        members = self._spec.members
        return {
            member_id: members[member_id].target if members[member_id].target == target else target
            for member_id, target in result.items()
        }
