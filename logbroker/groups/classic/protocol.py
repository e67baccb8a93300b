"""The classic protocol: requests, deadlines and outcomes, looked up in the table of `states` and carried out.

`ClassicProtocol` has no state but its limits; it moves a `ClassicGroup` and collects what is to be sent and stored in an
`Effects`. The rules are those of Kafka 4.3.1 (GroupMetadataManager), with these differences, all of them where Kafka
forgets a client:

- A reply that somebody waits for is sent even when the same member asks again (REBALANCE_IN_PROGRESS), or leaves
  while it waits: a connection's replies go out in order, and one that never comes would hold up all that follow.
- A member that is turned away because the group is full no longer holds up the others' rebalance.
- Member ids that were handed out and not used are bounded by `group.max.size`, as members are.

KIP-62 (session and rebalance timeouts), KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member ids
first), KIP-559 (protocol type and name in replies), KIP-814 (a returning static leader need not assign again).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from logbroker.base import logs
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.joining import Join, Joining, Origin
from logbroker.groups.classic.member import NO_MEMBER_ID, Member, protocols_of
from logbroker.groups.classic.rebalance import ClassicLimits, Moment
from logbroker.groups.classic.records import encode_group
from logbroker.groups.classic.replies import join_refusal, sync_refusal, synced
from logbroker.groups.classic.states import ANSWERS, Action, Event, State
from logbroker.groups.errors import write_error
from logbroker.groups.kind import Committer
from logbroker.groups.subscriptions import CONSUMER_PROTOCOL_TYPE
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

__all__ = ["ClassicLimits", "ClassicProtocol", "Moment", "Origin"]

_log = logs.get("groups")


class ClassicProtocol(Joining):
    """The classic protocol's rules under some limits; shared by all groups."""

    def __init__(self, limits: ClassicLimits) -> None:
        super().__init__(limits)
        self._actions: dict[Action, Callable[..., None]] = {
            Action.ADD: self._add,
            Action.REPLACE_STATIC: self._replace_static,
            Action.REPLACE_STATIC_STABLE: self._replace_static_stable,
            Action.REJOIN: self._rejoin,
            Action.REJOIN_COMPLETING: self._rejoin_completing,
            Action.REJOIN_STABLE: self._rejoin_stable,
            Action.SYNC_COMPLETING: self._sync_completing,
            Action.SYNC_STABLE: self._sync_stable,
            Action.REBALANCE: self._members_left,
            Action.CONTINUE_JOINING: self._continue_joining,
            Action.EXPIRE: self._expire_member,
            Action.END_JOINING: self._join_deadline,
            Action.END_SYNCING: self._sync_deadline,
            Action.SHARE_ASSIGNMENT: self._share_assignment,
            Action.ASSIGNMENT_LOST: self._assignment_lost,
        }

    # ---- requests

    def join(
        self,
        group: ClassicGroup,
        request: JoinGroupRequest,
        origin: Origin,
        waiter: Completion[JoinGroupResponse],
        at: Moment,
    ) -> Effects:
        """Somebody joins; the reply goes to `waiter`, now or when the join phase ends."""
        effects = Effects()
        member_id = request.member_id
        join = Join(request, origin, waiter, protocols_of(request.protocols), member_id)
        answer: ErrorCode | None = self._check_join(group, join)
        if answer is ErrorCode.NONE:
            answer = self._route_join(group, effects, at, join)
        elif answer is ErrorCode.GROUP_MAX_SIZE_REACHED and member_id != NO_MEMBER_ID:
            self._turn_away(group, member_id, effects, at)
            member_id = NO_MEMBER_ID
        if answer is not None:
            effects.reply(waiter, join_refusal(answer, member_id))
        return effects

    def sync(
        self,
        group: ClassicGroup,
        request: SyncGroupRequest,
        waiter: Completion[SyncGroupResponse],
        at: Moment,
    ) -> Effects:
        """A member asks for its assignment; the leader brings everybody's, which is then stored."""
        effects = Effects()
        answer: ErrorCode | None = _check_generation(
            group, request.member_id, request.group_instance_id, request.generation_id
        )
        if answer is ErrorCode.NONE and (
            _differ(request.protocol_type, group.protocol_type)
            or _differ(request.protocol_name, group.protocol_name)
        ):
            answer = ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if answer is ErrorCode.NONE:
            answer = self._run(Event.SYNC, group, effects, at, request, waiter)
        if answer is not None:
            effects.reply(waiter, sync_refusal(answer))
        return effects

    def heartbeat(
        self, group: ClassicGroup, member_id: str, instance_id: str | None, generation_id: int, now: float
    ) -> ErrorCode:
        """A member lives. Its deadline moves back; no timer is touched, nothing is written."""
        error = _check_generation(group, member_id, instance_id, generation_id)
        if error is not ErrorCode.NONE:
            return error
        self.touch(group.members[member_id], now)
        return _error(ANSWERS[Event.HEARTBEAT][group.state])

    def check_commit(self, group: ClassicGroup, who: Committer, now: float) -> ErrorCode:
        """Whether these credentials may commit offsets now; a member's commit also shows that it lives."""
        state = group.state
        outside = who.generation_id < 0 and not who.member_id and who.instance_id is None
        if who.generation_id < 0 and (state is State.EMPTY or outside):
            simple = Event.COMMIT_TRANSACTIONAL_SIMPLE if who.is_transactional else Event.COMMIT_SIMPLE
            return _error(ANSWERS[simple][state])
        error = _check_generation(group, who.member_id, who.instance_id, who.generation_id)
        if error is not ErrorCode.NONE:
            return error
        if who.is_transactional:
            return _error(ANSWERS[Event.COMMIT_TRANSACTIONAL][state])
        answer = _error(ANSWERS[Event.COMMIT][state])
        if answer is ErrorCode.NONE:
            self.touch(group.members[who.member_id], now)
        return answer

    def leave(
        self, group: ClassicGroup, members: list[tuple[str, str | None]], at: Moment
    ) -> tuple[list[ErrorCode], Effects]:
        """Members (id, instance id) leave, or are removed by instance id; one result for each."""
        effects = Effects()
        results = [self._leave(group, member_id, instance_id, effects) for member_id, instance_id in members]
        if ErrorCode.NONE in results:
            self._run(Event.LEFT, group, effects, at)
        return results, effects

    def check_delete_offsets(self, group: ClassicGroup) -> ErrorCode:
        """Whether offsets may be deleted; of a group of consumers, those of topics that nobody subscribes to."""
        if group.protocol_type == CONSUMER_PROTOCOL_TYPE and group.state is not State.DEAD:
            return ErrorCode.NONE
        return _error(ANSWERS[Event.DELETE_OFFSETS][group.state])

    def check_delete(self, group: ClassicGroup) -> ErrorCode:
        """Whether the group may go; not while it has members."""
        return _error(ANSWERS[Event.DELETE][group.state])

    # ---- time and outcomes

    def expire(self, group: ClassicGroup, at: Moment) -> Effects:
        """Do everything that is due; afterwards `group.wake_at` says when to come back."""
        effects = Effects()
        now = at.now
        if now >= group.join_deadline:
            group.join_deadline = inf
            self._run(Event.JOIN_DEADLINE, group, effects, at)
        if now >= group.sync_deadline:
            group.sync_deadline = inf
            self._run(Event.SYNC_DEADLINE, group, effects, at)
        for member_id in [known for known, deadline in group.pending_members.items() if now >= deadline]:
            group.remove(member_id)
            self._run(Event.PENDING_GONE, group, effects, at)
        for member in [known for known in group.members.values() if now >= known.session_deadline]:
            if member.excused:
                # Whatever it is answered starts its session again.
                member.session_deadline = inf
            elif group.members.get(member.member_id) is member and now >= member.session_deadline:
                self._run(Event.MEMBER_EXPIRED, group, effects, at, member)
        group.wake_at = group.next_deadline()
        return effects

    def stored(self, group: ClassicGroup, store: Store, error: ErrorCode, at: Moment) -> Effects:
        """A store of this group is durable, or was refused: act on it."""
        effects = Effects()
        failed = error is not ErrorCode.NONE
        if store.kind is Stored.ASSIGNMENT:
            if store.generation_id == group.generation_id:
                if failed:
                    self._run(Event.ASSIGNMENT_FAILED, group, effects, at, error)
                else:
                    self._run(Event.ASSIGNMENT_STORED, group, effects, at, store.assignments or {})
        elif store.kind is Stored.STATIC_MEMBER:
            self._static_stored(group, store.context, error, effects, at)
        elif failed and store.kind is Stored.CREATED and group.generation_id == 0:
            # The log never heard of the group: it does not exist.
            self.kill(group, write_error(error), effects, at)
        elif failed and store.kind is Stored.EMPTIED:
            # The generation before stays on record. Nobody is in it any more; after a restart its members time out.
            _log.warning("an empty group could not be stored", group=group.group_id, error=error.name)
        return effects

    def release(self, group: ClassicGroup, error: ErrorCode, effects: Effects) -> None:
        """Tell everybody who waits `error`; the group stays as it is."""
        for member in group.members.values():
            effects.reply(group.take_join_waiter(member), join_refusal(error, member.member_id))
            self._answer_sync(member, sync_refusal(error), effects)

    def kill(self, group: ClassicGroup, error: ErrorCode, effects: Effects, at: Moment) -> None:
        """End the group: everybody who waits is told `error`."""
        self.release(group, error, effects)
        for member_id in [*group.members, *group.pending_members]:
            group.remove(member_id)
        group.join_deadline = group.sync_deadline = group.wake_at = inf
        group.move_to(State.DEAD, at.now_ms)

    def restart_sessions(self, group: ClassicGroup, at: Moment) -> Effects:
        """After a load: every member has a whole session to show itself in."""
        effects = Effects()
        for member in group.members.values():
            self._watch(group, member, at.now)
        if len(group.members) > self.limits.max_size:
            self._prepare(group, effects, at, "the group is larger than group.max.size")
        return effects

    def rebalance(self, group: ClassicGroup, effects: Effects, at: Moment, reason: str) -> None:
        """Start a rebalance of a stable group, for a reason from outside."""
        self._prepare(group, effects, at, reason)

    # ---- behind the table

    def _run(
        self, event: Event, group: ClassicGroup, effects: Effects, at: Moment, *details: Any
    ) -> ErrorCode | None:
        """Do what the table says; an error (or NONE: nothing to do) is returned for the caller to send."""
        answer = ANSWERS[event][group.state]
        if isinstance(answer, ErrorCode):
            return answer
        self._actions[answer](group, effects, at, *details)
        return None

    def _route_join(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> ErrorCode | None:
        """Work out which of the join events this is."""
        if join.member_id in group.pending_members:
            return self._run(Event.JOIN_NEW, group, effects, at, join)
        if join.member_id != NO_MEMBER_ID:
            return self._run(Event.JOIN_MEMBER, group, effects, at, join)
        join.member_id = self._new_member_id(join)
        instance_id = join.request.group_instance_id
        if instance_id is not None:
            known = group.static_members.get(instance_id)
            if known is not None:
                join.replaced_id = known
                return self._run(Event.JOIN_STATIC, group, effects, at, join)
        elif join.origin.requires_member_id:
            self._hand_out_id(group, effects, at, join)
            return None
        return self._run(Event.JOIN_NEW, group, effects, at, join)

    def _leave(
        self, group: ClassicGroup, member_id: str, instance_id: str | None, effects: Effects
    ) -> ErrorCode:
        if group.state is State.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if member_id == NO_MEMBER_ID:
            # An administrator knows the instance id only.
            known = None if instance_id is None else group.static_members.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            member_id = known
        elif member_id in group.pending_members:
            group.remove(member_id)
            return ErrorCode.NONE
        else:
            error = group.check_member(member_id, instance_id)
            if error is not ErrorCode.NONE:
                return error
        self._remove_waiting(group, group.members[member_id], effects)
        return ErrorCode.NONE

    def _sync_completing(
        self,
        group: ClassicGroup,
        effects: Effects,
        at: Moment,
        request: SyncGroupRequest,
        waiter: Completion[SyncGroupResponse],
    ) -> None:
        member = group.members[request.member_id]
        self._answer_sync(member, sync_refusal(ErrorCode.REBALANCE_IN_PROGRESS), effects)
        member.awaiting_sync = waiter
        self._has_synced(group, member)
        if group.leader_id == member.member_id:
            brought = {each.member_id: bytes(each.assignment) for each in request.assignments}
            assignments = {member_id: brought.get(member_id, b"") for member_id in group.members}
            value = encode_group(group, assignments)
            effects.store(Store(Stored.ASSIGNMENT, value, group.generation_id, assignments))

    def _sync_stable(
        self,
        group: ClassicGroup,
        effects: Effects,
        at: Moment,
        request: SyncGroupRequest,
        waiter: Completion[SyncGroupResponse],
    ) -> None:
        member = group.members[request.member_id]
        self._has_synced(group, member)
        effects.reply(waiter, synced(group, member))

    def _sync_deadline(self, group: ClassicGroup, effects: Effects, at: Moment) -> None:
        """Members that joined and never asked for their assignment are gone."""
        gone = sorted(group.pending_syncs)
        if not gone:
            return
        for member_id in gone:
            group.remove(member_id)
        self._prepare(group, effects, at, f"{len(gone)} members did not sync in time")

    def _members_left(self, group: ClassicGroup, effects: Effects, at: Moment) -> None:
        self._prepare(group, effects, at, "members left")

    def _expire_member(self, group: ClassicGroup, effects: Effects, at: Moment, member: Member) -> None:
        self._remove_waiting(group, member, effects)
        self._prepare_or_continue(group, effects, at, f"the session of member {member.member_id} ended")


def _check_generation(
    group: ClassicGroup, member_id: str, instance_id: str | None, generation_id: int
) -> ErrorCode:
    """Whether these are the credentials of a member in the current generation."""
    if group.state is State.DEAD:
        return ErrorCode.COORDINATOR_NOT_AVAILABLE
    error = group.check_member(member_id, instance_id)
    if error is ErrorCode.NONE and generation_id != group.generation_id:
        return ErrorCode.ILLEGAL_GENERATION
    return error


def _error(answer: ErrorCode | Action) -> ErrorCode:
    """What the table answers to an event that carries nothing out."""
    return answer if isinstance(answer, ErrorCode) else ErrorCode.NONE


def _differ(asked: str | None, actual: str | None) -> bool:
    """Whether a protocol type or name that the client names isn't the group's; older clients name none."""
    return asked is not None and actual is not None and asked != actual
