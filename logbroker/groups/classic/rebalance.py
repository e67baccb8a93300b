"""The course of a rebalance: prepare it, wait for everybody, start the next generation, share the assignment out.

    prepare -> (initial delay, KIP-134) -> everybody joined or the rebalance timeout is over -> next generation,
    replies to all joins -> the leader's sync -> its assignment is stored -> replies to all syncs

`Rebalancing` is the part of `protocol.ClassicProtocol` that requests and deadlines share.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.member import NO_MEMBER_ID, Member
from logbroker.groups.classic.records import encode_group
from logbroker.groups.classic.replies import join_refusal, joined, sync_refusal, synced
from logbroker.groups.classic.states import State
from logbroker.groups.errors import write_error
from logbroker.wire.messages.sync_group import SyncGroupResponse

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class ClassicLimits:
    """`group.initial.rebalance.delay.ms` and `group.max.size`."""

    initial_rebalance_delay_ms: int
    max_size: int


@dataclass(frozen=True, slots=True)
class Moment:
    """When an event happens: the monotonic clock in seconds, and the wall clock in milliseconds."""

    now: float
    now_ms: int


class Rebalancing:
    """How a group gets from one generation to the next."""

    def __init__(self, limits: ClassicLimits) -> None:
        self.limits = limits

    # ---- deadlines

    def touch(self, member: Member, now: float) -> None:
        """Move a member's deadline back. The group's timer may fire early for it; that costs less than moving it."""
        member.session_deadline = now + member.session_timeout_ms / 1000

    def _watch(self, group: ClassicGroup, member: Member, now: float) -> None:
        """Start a member's session anew, from a state in which it may have had no deadline."""
        self.touch(member, now)
        group.wake(member.session_deadline)

    def _limit_join(self, group: ClassicGroup, now: float, timeout_ms: int) -> None:
        group.join_deadline = now + timeout_ms / 1000
        group.wake(group.join_deadline)

    # ---- joining

    def _prepare(self, group: ClassicGroup, effects: Effects, at: Moment, reason: str) -> None:
        """Start a rebalance; the group is in a state that allows it."""
        if group.state is State.COMPLETING_REBALANCE:
            self._share_error(group, effects, at, ErrorCode.REBALANCE_IN_PROGRESS)
        group.pending_syncs.clear()
        group.sync_deadline = inf
        initial = group.state is State.EMPTY
        group.move_to(State.PREPARING_REBALANCE, at.now_ms)
        _log.info(
            "rebalance",
            group=group.group_id,
            generation=group.generation_id,
            members=len(group.members),
            reason=reason,
        )
        if initial:
            delay_ms = self.limits.initial_rebalance_delay_ms
            group.new_member_added = False
            group.initial_delay_ms = delay_ms
            group.initial_remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
            self._limit_join(group, at.now, delay_ms)
        elif group.all_joined:
            self._complete_join(group, effects, at)
        else:
            self._limit_join(group, at.now, group.rebalance_timeout_ms)

    def _prepare_or_continue(self, group: ClassicGroup, effects: Effects, at: Moment, reason: str) -> None:
        """Something changed: start a rebalance, or see whether the one under way is complete now."""
        if group.state is State.PREPARING_REBALANCE:
            self._continue_joining(group, effects, at)
        else:
            self._prepare(group, effects, at, reason)

    def _continue_joining(self, group: ClassicGroup, effects: Effects, at: Moment) -> None:
        # An initial rebalance ends by its deadline only: more members are expected.
        if group.all_joined and not group.is_initial_rebalance:
            self._complete_join(group, effects, at)

    def _join_deadline(self, group: ClassicGroup, effects: Effects, at: Moment) -> None:
        if group.is_initial_rebalance and group.new_member_added and group.initial_remaining_ms > 0:
            delay_ms = min(self.limits.initial_rebalance_delay_ms, group.initial_remaining_ms)
            group.new_member_added = False
            group.initial_remaining_ms = max(group.initial_remaining_ms - group.initial_delay_ms, 0)
            group.initial_delay_ms = delay_ms
            self._limit_join(group, at.now, delay_ms)
        else:
            self._complete_join(group, effects, at)

    def _complete_join(self, group: ClassicGroup, effects: Effects, at: Moment) -> None:
        """End the join phase with those who came; static members keep their place even if they did not."""
        group.join_deadline = inf
        missing = [
            member.member_id
            for member in group.members.values()
            if member.awaiting_join is None and not member.is_static
        ]
        for member_id in missing:
            group.remove(member_id)
        if group.members and not self._elect_joined_leader(group):
            # Only static members are left, and none has come: sessions will remove them, or they come.
            self._limit_join(group, at.now, group.rebalance_timeout_ms)
            return
        group.generation_id += 1
        group.pending_syncs.clear()
        if not group.members:
            group.protocol_name = None
            group.refresh_topics()
            group.move_to(State.EMPTY, at.now_ms)
            _log.info("group is empty", group=group.group_id, generation=group.generation_id)
            effects.store(Store(Stored.EMPTIED, encode_group(group, {}), group.generation_id))
            return
        group.protocol_name = group.select_protocol()
        group.refresh_topics()
        group.move_to(State.COMPLETING_REBALANCE, at.now_ms)
        for member in group.members.values():
            effects.reply(group.take_join_waiter(member), joined(group, member))
            member.is_new = False
            self._watch(group, member, at.now)
            group.pending_syncs.add(member.member_id)
        group.sync_deadline = at.now + group.rebalance_timeout_ms / 1000
        group.wake(group.sync_deadline)
        _log.info(
            "generation begins",
            group=group.group_id,
            generation=group.generation_id,
            members=len(group.members),
            protocol=group.protocol_name,
        )

    @staticmethod
    def _elect_joined_leader(group: ClassicGroup) -> bool:
        """Make sure that the leader is somebody who joined; False if nobody did."""
        leader = None if group.leader_id is None else group.members.get(group.leader_id)
        if leader is not None and leader.awaiting_join is not None:
            return True
        for member in group.members.values():
            if member.awaiting_join is not None:
                group.leader_id = member.member_id
                return True
        return False

    def _turn_away(self, group: ClassicGroup, member_id: str, effects: Effects, at: Moment) -> None:
        """The group is full: a member that comes too late loses its place, and holds nobody up."""
        group.remove(member_id)
        if group.state is State.PREPARING_REBALANCE:
            self._continue_joining(group, effects, at)

    def _remove_waiting(self, group: ClassicGroup, member: Member, effects: Effects) -> None:
        """Remove a member; if it waits in a rebalance, it is told to start over (it may be alive)."""
        unknown = ErrorCode.UNKNOWN_MEMBER_ID
        effects.reply(group.take_join_waiter(member), join_refusal(unknown, NO_MEMBER_ID))
        self._answer_sync(member, sync_refusal(unknown), effects)
        group.remove(member.member_id)

    # ---- syncing

    @staticmethod
    def _answer_sync(member: Member, response: SyncGroupResponse, effects: Effects) -> bool:
        waiter = member.awaiting_sync
        if waiter is None:
            return False
        member.awaiting_sync = None
        effects.reply(waiter, response)
        return True

    @staticmethod
    def _has_synced(group: ClassicGroup, member: Member) -> None:
        group.pending_syncs.discard(member.member_id)
        if not group.pending_syncs:
            group.sync_deadline = inf

    def _share_assignment(
        self, group: ClassicGroup, effects: Effects, at: Moment, assignments: dict[str, bytes]
    ) -> None:
        """The assignment is durable: give everybody who waits its part, and go on in a stable group."""
        for member in group.members.values():
            member.assignment = assignments.get(member.member_id, b"")
            if self._answer_sync(member, synced(group, member), effects):
                # While it waited its session could not end; it has a whole one again.
                self._watch(group, member, at.now)
        group.move_to(State.STABLE, at.now_ms)

    def _share_error(self, group: ClassicGroup, effects: Effects, at: Moment, error: ErrorCode) -> None:
        """There is no assignment: everybody who waits for one learns why."""
        for member in group.members.values():
            member.assignment = b""
            if self._answer_sync(member, sync_refusal(error), effects):
                self._watch(group, member, at.now)

    def _assignment_lost(self, group: ClassicGroup, effects: Effects, at: Moment, error: ErrorCode) -> None:
        """The assignment could not be stored: nobody gets it, and the group tries again."""
        told = write_error(error)
        self._share_error(group, effects, at, told)
        self._prepare(group, effects, at, f"the assignment could not be stored: {error.name}")
