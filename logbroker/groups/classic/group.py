"""A classic group's data: members, generation, who is leader, who is missing, and when the next time limit ends.

`protocol.ClassicProtocol` moves it through its states; nothing here decides. Deadlines are seconds of the monotonic
clock. `wake_at` is never later than the earliest of them (it may be earlier, when one was pushed back: the owner
then looks, finds nothing due and asks again), so that a heartbeat only writes a float.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.member import Member
from logbroker.groups.classic.states import PREVIOUS, State
from logbroker.groups.subscriptions import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from logbroker.wire.messages.join_group import JoinGroupResponse, JoinGroupResponseMember


class ClassicGroup:
    """A group under the classic protocol, or one that only stores offsets (no members, no protocol type).

    Attributes:
        generation_id: Counts completed rebalances.
        state_since_ms: Wall-clock time of the last change of state; None if a record too old to say so was replayed.
        awaiting_join: How many members wait for the join phase to end.
        pending_members: Member ids that were handed out (KIP-394) and not used yet, with their deadlines.
        pending_syncs: Members that have joined this generation and not asked for their assignment.
        topics: What the members subscribe to; None if that isn't known.
        new_member_added: Somebody came during the initial delay, which is then extended.
        initial_remaining_ms: How much longer the initial delay may be extended.

    """

    __slots__ = (
        "_supporters",
        "awaiting_join",
        "generation_id",
        "group_id",
        "initial_delay_ms",
        "initial_remaining_ms",
        "join_deadline",
        "leader_id",
        "members",
        "new_member_added",
        "pending_members",
        "pending_syncs",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "state",
        "state_since_ms",
        "static_members",
        "sync_deadline",
        "topics",
        "wake_at",
    )

    def __init__(self, group_id: str, now_ms: int | None) -> None:
        self.group_id = group_id
        self.state = State.EMPTY
        self.previous_state = State.DEAD
        self.state_since_ms = now_ms
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        self.pending_members: dict[str, float] = {}
        self.pending_syncs: set[str] = set()
        self.topics: frozenset[str] | None = None
        self.new_member_added = False
        self.initial_delay_ms = 0
        self.initial_remaining_ms = 0
        self.join_deadline = inf
        self.sync_deadline = inf
        self.wake_at = inf
        self.awaiting_join = 0
        self._supporters: Counter[str] = Counter()

    # State

    def move_to(self, state: State, now_ms: int) -> None:
        """Change state; a move that the table of states doesn't know is a bug."""
        if self.state not in PREVIOUS[state]:
            raise RuntimeError(f"group {self.group_id}: {self.state.value} can't become {state.value}")
        self.previous_state = self.state
        self.state = state
        self.state_since_ms = now_ms

    def wake(self, deadline: float) -> None:
        """Note that something may be due at `deadline`."""
        self.wake_at = min(self.wake_at, deadline)

    def next_deadline(self) -> float:
        """The earliest time limit of all; looks at every member."""
        return min(
            self.join_deadline,
            self.sync_deadline,
            min(self.pending_members.values(), default=inf),
            min((member.session_deadline for member in self.members.values()), default=inf),
        )

    @property
    def is_initial_rebalance(self) -> bool:
        """Whether the group was empty before this rebalance, which then waits for more members (KIP-134)."""
        return self.state is State.PREPARING_REBALANCE and self.previous_state is State.EMPTY

    # Members

    def add(self, member: Member) -> None:
        """Take `member` in; the first one becomes leader and brings the protocol type."""
        if not self.members:
            self.protocol_type = member.protocol_type
        if member.instance_id is not None:
            self.static_members[member.instance_id] = member.member_id
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._supporters.update(member.protocols.keys())
        self.pending_members.pop(member.member_id, None)

    def remove(self, member_id: str) -> Member | None:
        """Forget a member or a pending member; leadership goes to the member that joined first."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self._forget_protocols(member)
            if member.awaiting_join is not None:
                self.awaiting_join -= 1
            if member.instance_id is not None:
                self.static_members.pop(member.instance_id, None)
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)
        self.pending_members.pop(member_id, None)
        self.pending_syncs.discard(member_id)
        return member

    def replace_id(self, member: Member, new_id: str) -> None:
        """Give a static member another id; place, assignment and leadership stay (KIP-345)."""
        old_id = member.member_id
        # The order of members is kept: it decides who leads next.
        self.members = {
            new_id if member_id == old_id else member_id: known for member_id, known in self.members.items()
        }
        member.member_id = new_id
        if self.leader_id == old_id:
            self.leader_id = new_id
        if old_id in self.pending_syncs:
            self.pending_syncs.discard(old_id)
            self.pending_syncs.add(new_id)
        if member.instance_id is not None:
            self.static_members[member.instance_id] = new_id

    def change_protocols(self, member: Member, protocols: dict[str, bytes]) -> None:
        """Note what a member supports now."""
        self._forget_protocols(member)
        member.protocols = protocols
        self._supporters.update(protocols.keys())

    def _forget_protocols(self, member: Member) -> None:
        self._supporters.subtract(member.protocols.keys())
        # What nobody supports any more goes: a client may name others each time.
        self._supporters += Counter()

    def check_member(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """NONE for a member; UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID otherwise."""
        if instance_id is not None:
            known = self.static_members.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def await_join(
        self, member: Member, waiter: Completion[JoinGroupResponse]
    ) -> Completion[JoinGroupResponse] | None:
        """Note where the reply of `member`'s join goes; returns the place that is given up for it."""
        given_up = member.awaiting_join
        if given_up is None:
            self.awaiting_join += 1
        member.awaiting_join = waiter
        return given_up

    def take_join_waiter(self, member: Member) -> Completion[JoinGroupResponse] | None:
        """Where the reply of `member`'s join goes; it waits no longer."""
        waiter = member.awaiting_join
        if waiter is not None:
            self.awaiting_join -= 1
            member.awaiting_join = None
        return waiter

    @property
    def all_joined(self) -> bool:
        """Whether nobody is missing: every member waits, and no member id that was handed out is unused."""
        return self.awaiting_join == len(self.members) and not self.pending_members

    @property
    def rebalance_timeout_ms(self) -> int:
        """How long to wait for the members: the longest that one of them asks for."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    # Protocols

    def supports(self, protocol_type: str, protocols: Iterable[str]) -> bool:
        """Whether somebody of `protocol_type` with `protocols` can join: one of them must suit all members."""
        if self.state is State.EMPTY:
            return bool(protocol_type) and any(True for _ in protocols)
        count = len(self.members)
        return self.protocol_type == protocol_type and any(
            self._supporters[name] == count for name in protocols
        )

    def select_protocol(self) -> str:
        """The protocol that most members want most, among those that all support."""
        count = len(self.members)
        candidates = {name for name, supporters in self._supporters.items() if supporters == count}
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return votes.most_common(1)[0][0]

    def refresh_topics(self) -> None:
        """Work out what the group subscribes to from the members' metadata, if that is the consumer protocol."""
        if self.protocol_type != CONSUMER_PROTOCOL_TYPE:
            self.topics = None
        elif not self.members:
            self.topics = frozenset()
        elif self.protocol_name is None:
            self.topics = None
        else:
            # Mostly all say the same.
            self.topics = subscribed_topics(
                {member.metadata(self.protocol_name) for member in self.members.values()}
            )

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether members consume `topic`; a consumer group whose subscriptions aren't known counts as subscribed."""
        if self.topics is not None:
            return topic in self.topics
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    def member_list(self) -> list[JoinGroupResponseMember]:
        """What the leader is told about everybody."""
        return [
            JoinGroupResponseMember(member.member_id, member.instance_id, member.metadata(self.protocol_name))
            for member in self.members.values()
        ]
