"""JoinGroup: who is let in, in which role, and what that does to the group.

`Joining` is the part of `protocol.ClassicProtocol` behind the table's join events.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.member import NO_MEMBER_ID, Member
from logbroker.groups.classic.rebalance import Moment, Rebalancing
from logbroker.groups.classic.records import encode_group
from logbroker.groups.classic.replies import join_refusal, joined, sync_refusal
from logbroker.groups.classic.states import State
from logbroker.groups.errors import write_error
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

NEW_MEMBER_JOIN_TIMEOUT_MS: Final = 300_000
"""How long a member that never completed a rebalance may wait in one; its client would have retried by then."""

MEMBER_NAME_CHARS_MAX: Final = 1000
"""How much of a client id or instance id becomes part of a member id, which must fit wherever a string fits."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sends a JoinGroup, and what its version of the API knows.

    Attributes:
        client_host: As Kafka shows it: a slash and the address.
        requires_member_id: A new member is first given an id and must come again with it (KIP-394, version 4 on).
        skips_assignment: The client understands `skip_assignment` (KIP-814, version 9 on).

    """

    client_id: str
    client_host: str
    requires_member_id: bool = True
    skips_assignment: bool = True


@dataclass(slots=True)
class Join:
    """A JoinGroup on its way through the table.

    Attributes:
        member_id: The id it joins under, which may be new.
        replaced_id: The id that a returning static member had.

    """

    request: JoinGroupRequest
    origin: Origin
    waiter: Completion[JoinGroupResponse]
    protocols: dict[str, bytes]
    member_id: str
    replaced_id: str = ""


@dataclass(frozen=True, slots=True)
class StaticReturn:
    """What taking back the return of a static member needs."""

    join: Join
    old_leader: str | None
    protocols: dict[str, bytes]
    rebalance_timeout_ms: int
    session_timeout_ms: int


class Joining(Rebalancing):
    """How members come in."""

    def _check_join(self, group: ClassicGroup, join: Join) -> ErrorCode:
        """NONE if the table may decide; an error for what is refused in every state."""
        member_id = join.request.member_id
        if group.state is State.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if not self._has_room(group, member_id):
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        if not group.supports(join.request.protocol_type, join.protocols):
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if member_id == NO_MEMBER_ID:
            return ErrorCode.NONE
        if member_id in group.pending_members:
            # The id was given to a dynamic member.
            return ErrorCode.NONE if join.request.group_instance_id is None else ErrorCode.UNKNOWN_MEMBER_ID
        return group.check_member(member_id, join.request.group_instance_id)

    def _has_room(self, group: ClassicGroup, member_id: str) -> bool:
        max_size = self.limits.max_size
        if group.state is State.EMPTY:
            # Only ids that nobody has used yet are in it; they are bounded like members.
            return member_id != NO_MEMBER_ID or len(group.pending_members) < max_size
        if group.state is State.PREPARING_REBALANCE:
            # Those who wait count, not those who are known: `group.max.size` may have been lowered, and then
            # the members that come last have to go.
            member = group.members.get(member_id)
            return (member is not None and member.awaiting_join is not None) or group.awaiting_join < max_size
        return member_id in group.members or len(group.members) < max_size

    @staticmethod
    def _new_member_id(join: Join) -> str:
        instance_id = join.request.group_instance_id
        name = join.origin.client_id if instance_id is None else instance_id
        return f"{name[:MEMBER_NAME_CHARS_MAX]}-{uuid.uuid4()}"

    def _hand_out_id(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        """Give a new dynamic member an id to come back with: a client that retries is then known (KIP-394)."""
        if len(group.pending_members) >= self.limits.max_size:
            effects.reply(join.waiter, join_refusal(ErrorCode.GROUP_MAX_SIZE_REACHED, NO_MEMBER_ID))
            return
        deadline = at.now + join.request.session_timeout_ms / 1000
        group.pending_members[join.member_id] = deadline
        group.wake(deadline)
        effects.reply(join.waiter, join_refusal(ErrorCode.MEMBER_ID_REQUIRED, join.member_id))

    def _add(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        request, origin = join.request, join.origin
        member = Member(
            join.member_id,
            request.group_instance_id,
            client_id=origin.client_id,
            client_host=origin.client_host,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            session_timeout_ms=request.session_timeout_ms,
            protocol_type=request.protocol_type,
            protocols=join.protocols,
        )
        member.is_new = True
        if group.is_initial_rebalance:
            group.new_member_added = True
        group.add(member)
        group.await_join(member, join.waiter)
        # It has no generation to heartbeat in, and a client that gives up is not noticed while its request is parked.
        member.session_deadline = at.now + NEW_MEMBER_JOIN_TIMEOUT_MS / 1000
        group.wake(member.session_deadline)
        self._prepare_or_continue(group, effects, at, _reason(f"member {member.member_id} joins", join))

    def _rejoin(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        member = group.members[join.member_id]
        self._update(group, effects, join, member)
        self._prepare_or_continue(group, effects, at, _reason(f"member {member.member_id} joins again", join))

    def _rejoin_completing(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        member = group.members[join.member_id]
        if member.supports_same(join.protocols):
            # It may not have got the answer to its first join.
            effects.reply(join.waiter, joined(group, member))
        else:
            self._rejoin(group, effects, at, join)

    def _rejoin_stable(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        member = group.members[join.member_id]
        if group.leader_id != member.member_id and member.supports_same(join.protocols):
            effects.reply(join.waiter, joined(group, member))
        else:
            # A leader asks for a rebalance by joining: it knows of changes that the members' metadata doesn't show.
            self._rejoin(group, effects, at, join)

    def _replace_static(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        member = self._take_over(group, effects, at, join)
        # In a generation whose assignment is on its way, the leader knows the member under its old id: start over.
        self._prepare_or_continue(
            group, effects, at, _reason(f"static member {member.instance_id} came back", join)
        )

    def _replace_static_stable(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> None:
        member = group.members[join.replaced_id]
        undo = StaticReturn(
            join, group.leader_id, member.protocols, member.rebalance_timeout_ms, member.session_timeout_ms
        )
        self._take_over(group, effects, at, join)
        if group.protocol_name != group.select_protocol():
            reason = f"static member {member.instance_id} came back and changes the group's protocol"
            self._prepare(group, effects, at, _reason(reason, join))
            return
        assignments = {known.member_id: known.assignment for known in group.members.values()}
        value = encode_group(group, assignments)
        effects.store(Store(Stored.STATIC_MEMBER, value, group.generation_id, context=undo))

    def _take_over(self, group: ClassicGroup, effects: Effects, at: Moment, join: Join) -> Member:
        """Put the new process in the static member's place; the one before is fenced."""
        member = group.members[join.replaced_id]
        fenced = ErrorCode.FENCED_INSTANCE_ID
        effects.reply(group.take_join_waiter(member), join_refusal(fenced, join.replaced_id))
        self._answer_sync(member, sync_refusal(fenced), effects)
        group.replace_id(member, join.member_id)
        member.is_new = False
        self._update(group, effects, join, member)
        self._watch(group, member, at.now)
        return member

    def _update(self, group: ClassicGroup, effects: Effects, join: Join, member: Member) -> None:
        """Note what a member says of itself now, and that it waits for the join phase to end."""
        group.change_protocols(member, join.protocols)
        member.rebalance_timeout_ms = join.request.rebalance_timeout_ms
        member.session_timeout_ms = join.request.session_timeout_ms
        given_up = group.await_join(member, join.waiter)
        effects.reply(given_up, join_refusal(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))

    def _static_stored(
        self, group: ClassicGroup, undo: StaticReturn, error: ErrorCode, effects: Effects, at: Moment
    ) -> None:
        """The return of a static member into a stable group is on record, or could not be put there."""
        join = undo.join
        member = group.members.get(join.member_id)
        if member is None or member.awaiting_join is not join.waiter:
            return  # A rebalance or a removal came in between, and has answered.
        if error is not ErrorCode.NONE:
            group.take_join_waiter(member)
            group.change_protocols(member, undo.protocols)
            member.rebalance_timeout_ms = undo.rebalance_timeout_ms
            member.session_timeout_ms = undo.session_timeout_ms
            group.replace_id(member, join.replaced_id)
            self._watch(group, member, at.now)
            effects.reply(join.waiter, join_refusal(write_error(error), NO_MEMBER_ID))
            if group.state is State.PREPARING_REBALANCE:
                self._continue_joining(group, effects, at)
        elif group.state is State.STABLE:
            group.take_join_waiter(member)
            self._watch(group, member, at.now)
            response = joined(group, member)
            if join.origin.skips_assignment:
                response.skip_assignment = group.leader_id == member.member_id
            else:
                # An older client that learned it leads would assign again and be ignored; it hears of the leader it had.
                response.leader = undo.old_leader or ""
                response.members = []
            effects.reply(join.waiter, response)


def _reason(what: str, join: Join) -> str:
    return f"{what}; the client says: {join.request.reason}" if join.request.reason else what
