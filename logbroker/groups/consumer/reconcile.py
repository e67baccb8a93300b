"""Moving what a member has towards what it is to have, one heartbeat at a time: give up, take the epoch, receive.

    STABLE                 has what the target of its epoch says
    UNREVOKED_PARTITIONS   was told to give up partitions; stays in its epoch until it no longer names them as its own
    UNRELEASED_PARTITIONS  is in the target's epoch; some of its partitions are still another's

A partition is given to a member only when it is nobody's, so at every instant it has at most one owner: the safety of
the whole protocol stands in `_next`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.consumer.member import NOTHING_OWNED, ConsumerMember, MemberState, Owned, Target


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a member is to go.

    Attributes:
        epoch: That of the target.
        subscribed: Ids of the topics it subscribes to now; others are given up whatever the target says.
        owned: The partitions that the member says it has, by topic; None: it doesn't say.
        owner: Who has a partition, or must still give it up.
        subscription_changed: What it has must agree with `subscribed` even though the target is not new.
    """

    epoch: int
    target: Target
    subscribed: frozenset[UUID]
    owned: Mapping[UUID, list[int]] | None
    owner: Callable[[UUID, int], str | None]
    subscription_changed: bool


def reconcile(member: ConsumerMember, goal: Goal) -> ConsumerMember:
    """The member's next state; the same object if there is no way on yet.

    Raises:
        BrokerError: FENCED_MEMBER_EPOCH: its state was written by a newer release; it must start over.

    """
    if member.state is MemberState.STABLE:
        if member.epoch != goal.epoch:
            return _next(member, goal, member.epoch)
        return _cut(member, goal) if goal.subscription_changed else member
    if member.state is MemberState.UNREVOKED_PARTITIONS:
        if _still_owns(member.revoking, goal):
            return _cut(member, goal) if goal.subscription_changed else member
        return _next(member, goal, member.epoch)
    if member.state is MemberState.UNRELEASED_PARTITIONS:
        return _next(member, goal, member.epoch)
    if goal.owned is None or any(goal.owned.values()):
        raise BrokerError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            "the state of the member is not known to this release: it must abandon its partitions and join again",
        )
    return _next(member, goal, goal.epoch)


def _still_owns(revoking: Owned, goal: Goal) -> bool:
    """Whether the member says, or may be thought, to have one of these still."""
    if goal.owned is None:
        return True
    return any(
        partition in given_up
        for topic_id, partitions in goal.owned.items()
        if (given_up := revoking.get(topic_id))
        for partition in partitions
    )


def _cut(member: ConsumerMember, goal: Goal) -> ConsumerMember:
    """Take away topics that it no longer subscribes to, without waiting for the next target."""
    dropped = {t: p for t, p in member.assigned.items() if t not in goal.subscribed}
    if not dropped:
        return member
    assigned = {t: p for t, p in member.assigned.items() if t in goal.subscribed}
    revoking: dict[UUID, Mapping[int, int]] = dict(member.revoking)
    for topic_id, partitions in dropped.items():
        revoking[topic_id] = {**revoking.get(topic_id, {}), **partitions}
    if _still_owns(revoking, goal):
        return replace(
            member,
            state=MemberState.UNREVOKED_PARTITIONS,
            previous_epoch=member.epoch,
            assigned=assigned,
            revoking=revoking,
        )
    return replace(member, previous_epoch=member.epoch, assigned=assigned)


def _next(member: ConsumerMember, goal: Goal, epoch: int) -> ConsumerMember:
    """Revoke first; with nothing to revoke, enter the target's epoch with all that is free."""
    assigned: dict[UUID, Mapping[int, int]] = {}
    revoking: dict[UUID, Mapping[int, int]] = {}
    pending: dict[UUID, list[int]] = {}
    waits = False
    for topic_id in {**goal.target, **member.assigned}:
        wanted = goal.target.get(topic_id, frozenset()) if topic_id in goal.subscribed else frozenset()
        has = member.assigned.get(topic_id, {})
        kept = {p: since for p, since in has.items() if p in wanted}
        if len(kept) < len(has):
            revoking[topic_id] = {p: since for p, since in has.items() if p not in wanted}
        if kept:
            assigned[topic_id] = kept
        own = member.revoking.get(topic_id, {})
        for partition in wanted:
            if partition in kept:
                continue
            # What it is giving up itself and wants again is nobody else's.
            if goal.owner(topic_id, partition) is None or partition in own:
                pending.setdefault(topic_id, []).append(partition)
            else:
                waits = True
    if revoking and _still_owns(revoking, goal):
        return replace(
            member,
            state=MemberState.UNREVOKED_PARTITIONS,
            epoch=epoch,
            previous_epoch=member.epoch,
            assigned=assigned,
            revoking=revoking,
        )
    for topic_id, partitions in pending.items():
        assigned[topic_id] = {**assigned.get(topic_id, {}), **dict.fromkeys(partitions, goal.epoch)}
    return replace(
        member,
        state=MemberState.UNRELEASED_PARTITIONS if waits else MemberState.STABLE,
        epoch=goal.epoch,
        previous_epoch=member.epoch,
        assigned=assigned,
        revoking=NOTHING_OWNED,
    )
