"""Everything that coordinators have in memory and would have again after a start, as plain values to be compared.

What a start doesn't bring back isn't in it: who waits, deadlines, members that have joined a rebalance which hasn't ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

from logbroker.coordination.shard import ShardState
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.states import State
from logbroker.groups.machine import GroupMachine
from logbroker.records.batch import NO_PRODUCER_EPOCH
from logbroker.testing.sim_coordinators import SimCoordinators

Snapshot: TypeAlias = dict[tuple[str, ...], Any]

UNSETTLED = "in a rebalance"
"""Stands for a group of which the log knows an earlier state; it is like anything."""


def take(process: SimCoordinators) -> Snapshot:
    """What both coordinators know."""
    snapshot: Snapshot = {}
    for index in range(process.groups.runtime.partition_count):
        shard = process.groups.runtime.shard(index)
        if shard is not None and shard.state is ShardState.ACTIVE:
            _take_groups(shard.machine(), index, snapshot)
    for transactions in process.transactions.runtime.machines():
        for transactional_id, known in transactions.transactions():
            snapshot["transaction", transactional_id] = replace(known, last_epoch=NO_PRODUCER_EPOCH)
    return snapshot


def compare(one: Snapshot, other: Snapshot) -> list[str]:
    """Where they differ."""
    wrong = []
    for key in sorted({*one, *other}):
        first, second = one.get(key), other.get(key)
        if first != second and UNSETTLED not in (first, second):
            wrong.append(f"{' '.join(key)}: {first} became {second}")
    return wrong


def _take_groups(machine: GroupMachine, shard: int, snapshot: Snapshot) -> None:
    for group_id, topics in machine.offsets.groups.items():
        for topic, partitions in topics.items():
            for index, value in partitions.items():
                snapshot["offset", group_id, topic, str(index)] = value
    for producer_id, known in machine.committed.pending.transactions.items():
        # What is superseded has no say any more; a start may see such of it as a deletion has taken away.
        offsets = {key: each.value for key, each in known.offsets.items() if not each.is_superseded}
        if offsets:
            snapshot["pending", str(producer_id), str(shard)] = (known.producer_epoch, offsets)
    for group_id, group in machine.groups.items():
        if isinstance(group, ClassicGroup) and not group.members and not group.generation_id:
            continue  # no more than a name for offsets, if there are any
        snapshot["group", group_id] = (
            _classic(group) if isinstance(group, ClassicGroup) else _consumer(machine, group)
        )


def _classic(group: ClassicGroup) -> Any:
    if group.state not in (State.STABLE, State.EMPTY):
        return UNSETTLED
    members = {
        member_id: (member.instance_id, dict(member.protocols), bytes(member.assignment))
        for member_id, member in group.members.items()
    }
    return group.generation_id, group.protocol_name, group.leader_id, members


def _consumer(machine: GroupMachine, group: Any) -> Any:
    members = {
        member_id: (
            member.epoch,
            member.previous_epoch,
            member.instance_id,
            tuple(sorted(member.topics)),
            member.regex,
            _assignment(member.assigned),
            _assignment(member.revoking),
            _assignment(group.target_of(member_id)),
        )
        for member_id, member in group.members.items()
    }
    return group.epoch, group.assignment_epoch, members


def _assignment(partitions: Any) -> dict[Any, list[int]]:
    return {topic_id: sorted(indexes) for topic_id, indexes in partitions.items() if indexes}
