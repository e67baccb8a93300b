"""The table of the classic protocol, every pair of it: what is answered, and which state follows."""

import pytest

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.effects import Effects, Store, Stored
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.protocol import ClassicLimits, ClassicProtocol, Moment, Origin
from logbroker.groups.classic.states import ANSWERS, PREVIOUS, Action, Event, State
from logbroker.groups.kind import Committer
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

EMPTY, PREPARING, COMPLETING, STABLE, DEAD = State
GONE = "COORDINATOR_NOT_AVAILABLE"
UNKNOWN = "UNKNOWN_MEMBER_ID"
WAITS = "waits"

# What is answered to who did it, and the state that follows. The groups have a leader "a" and a static member "b"
# with instance id "i"; while preparing, b has joined and a is missing. None: the pair can't come about.
EXPECTED = {
    Event.JOIN_NEW: {
        EMPTY: (WAITS, PREPARING),
        PREPARING: (WAITS, PREPARING),
        COMPLETING: (WAITS, PREPARING),
        STABLE: (WAITS, PREPARING),
        DEAD: (GONE, DEAD),
    },
    Event.JOIN_STATIC: {
        EMPTY: None,  # an empty group has no static members
        PREPARING: (WAITS, PREPARING),
        COMPLETING: (WAITS, PREPARING),
        STABLE: (WAITS, STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.JOIN_MEMBER: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("NONE", COMPLETING),
        COMPLETING: ("NONE", COMPLETING),
        STABLE: (WAITS, PREPARING),
        DEAD: (GONE, DEAD),
    },
    Event.SYNC: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("REBALANCE_IN_PROGRESS", PREPARING),
        COMPLETING: (WAITS, COMPLETING),
        STABLE: ("NONE", STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.HEARTBEAT: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("REBALANCE_IN_PROGRESS", PREPARING),
        COMPLETING: ("NONE", COMPLETING),
        STABLE: ("NONE", STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.COMMIT: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("NONE", PREPARING),
        COMPLETING: ("REBALANCE_IN_PROGRESS", COMPLETING),
        STABLE: ("NONE", STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.COMMIT_SIMPLE: {
        EMPTY: ("NONE", EMPTY),
        PREPARING: (UNKNOWN, PREPARING),
        COMPLETING: (UNKNOWN, COMPLETING),
        STABLE: (UNKNOWN, STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.LEFT: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("NONE", COMPLETING),
        COMPLETING: ("NONE", PREPARING),
        STABLE: ("NONE", PREPARING),
        DEAD: (GONE, DEAD),
    },
    Event.PENDING_GONE: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", PREPARING),
        COMPLETING: ("nothing", COMPLETING),
        STABLE: ("nothing", STABLE),
        DEAD: ("nothing", DEAD),
    },
    Event.MEMBER_EXPIRED: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", COMPLETING),
        COMPLETING: ("nothing", PREPARING),
        STABLE: ("nothing", PREPARING),
        DEAD: ("nothing", DEAD),
    },
    Event.JOIN_DEADLINE: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", COMPLETING),
        COMPLETING: ("nothing", COMPLETING),
        STABLE: ("nothing", STABLE),
        DEAD: ("nothing", DEAD),
    },
    Event.SYNC_DEADLINE: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", PREPARING),
        COMPLETING: ("nothing", PREPARING),
        STABLE: ("nothing", PREPARING),
        DEAD: ("nothing", DEAD),
    },
    Event.ASSIGNMENT_STORED: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", PREPARING),
        COMPLETING: ("nothing", STABLE),
        STABLE: ("nothing", STABLE),
        DEAD: ("nothing", DEAD),
    },
    Event.ASSIGNMENT_FAILED: {
        EMPTY: ("nothing", EMPTY),
        PREPARING: ("nothing", PREPARING),
        COMPLETING: ("nothing", PREPARING),
        STABLE: ("nothing", STABLE),
        DEAD: ("nothing", DEAD),
    },
    Event.COMMIT_TRANSACTIONAL: {
        EMPTY: (UNKNOWN, EMPTY),
        PREPARING: ("NONE", PREPARING),
        COMPLETING: ("NONE", COMPLETING),
        STABLE: ("NONE", STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.COMMIT_TRANSACTIONAL_SIMPLE: {
        EMPTY: ("NONE", EMPTY),
        PREPARING: ("NONE", PREPARING),
        COMPLETING: ("NONE", COMPLETING),
        STABLE: ("NONE", STABLE),
        DEAD: (GONE, DEAD),
    },
    Event.DELETE_OFFSETS: {
        EMPTY: ("NONE", EMPTY),
        PREPARING: ("NON_EMPTY_GROUP", PREPARING),
        COMPLETING: ("NON_EMPTY_GROUP", COMPLETING),
        STABLE: ("NON_EMPTY_GROUP", STABLE),
        DEAD: ("GROUP_ID_NOT_FOUND", DEAD),
    },
    Event.DELETE: {
        EMPTY: ("NONE", EMPTY),
        PREPARING: ("NON_EMPTY_GROUP", PREPARING),
        COMPLETING: ("NON_EMPTY_GROUP", COMPLETING),
        STABLE: ("NON_EMPTY_GROUP", STABLE),
        DEAD: ("GROUP_ID_NOT_FOUND", DEAD),
    },
}
PAIRS = [(event, state) for event in Event for state in State]
LATER = Moment(10.0, 10_000)


class Stage:
    """A group in a state, with what it takes to get there."""

    def __init__(self, state):
        self.protocol = ClassicProtocol(ClassicLimits(0, 100))
        self.group = ClassicGroup("g", 0)
        self.at = Moment(0.0, 0)
        self.a = self.b = "nobody"
        if state is EMPTY:
            return
        first = self.join(version=3)
        second = self.join(instance="i")
        for _ in range(2):  # the second member extends the initial delay, which is 0
            self.handle(self.protocol.expire(self.group, self.at))
        self.a, self.b = first.value.member_id, second.value.member_id
        assert self.group.state is COMPLETING
        if state in (STABLE, PREPARING, DEAD):
            self.sync(self.a)
            self.sync(self.b)
            self.store(None)
            assert self.group.state is STABLE
        if state is PREPARING:
            self.join(self.b, instance="i", metadata=b"changed")
        if state is DEAD:
            effects = Effects()
            self.protocol.kill(self.group, ErrorCode.NOT_COORDINATOR, effects, self.at)
            self.handle(effects)
        assert self.group.state is state

    def handle(self, effects):
        self.stores = effects.stores
        for waiter, response in effects.replies:
            waiter.set(response)

    def join(self, member_id="", *, instance=None, version=9, metadata=b"m"):
        answer = Answer()
        request = JoinGroupRequest(
            "g", 6000, 20_000, member_id, instance, "consumer", [JoinGroupRequestProtocol("range", metadata)]
        )
        origin = Origin("c", "/host", version >= 4, version >= 9)
        self.handle(self.protocol.join(self.group, request, origin, answer.waiter, self.at))
        return answer

    def sync(self, member_id):
        answer = Answer()
        assignments = [SyncGroupRequestAssignment(m, b"x") for m in self.group.members]
        generation = self.group.generation_id
        request = SyncGroupRequest(
            "g", generation, member_id, "i" if member_id == self.b else None, assignments=assignments
        )
        effects = self.protocol.sync(self.group, request, answer.waiter, self.at)
        kept = getattr(self, "stores", [])
        self.handle(effects)
        self.stores = self.stores or kept
        return answer

    def store(self, error):
        effects = Effects()
        for store in self.stores:
            effects = self.protocol.stored(self.group, store, error or ErrorCode.NONE, self.at)
        self.handle(effects)

    # What each event is, done from outside where it can be.

    def act(self, event):
        group, protocol, at = self.group, self.protocol, LATER
        generation = group.generation_id
        match event:
            case Event.JOIN_NEW:
                return self.join(version=3).name
            case Event.JOIN_STATIC:
                return self.join(instance="i").name
            case Event.JOIN_MEMBER:
                return self.join(self.a).name
            case Event.SYNC:
                return self.sync(self.a).name
            case Event.HEARTBEAT:
                return protocol.heartbeat(group, self.a, None, generation, 0.0).name
            case Event.COMMIT:
                return protocol.check_commit(group, Committer(self.a, None, generation, False, 9), 0.0).name
            case Event.COMMIT_SIMPLE:
                return protocol.check_commit(group, Committer("", None, -1, False, 9), 0.0).name
            case Event.COMMIT_TRANSACTIONAL:
                return protocol.check_commit(group, Committer(self.a, None, generation, True, 3), 0.0).name
            case Event.COMMIT_TRANSACTIONAL_SIMPLE:
                return protocol.check_commit(group, Committer("", None, -1, True, 3), 0.0).name
            case Event.DELETE_OFFSETS:
                group.protocol_type = "connect"
                return protocol.check_delete_offsets(group).name
            case Event.LEFT:
                results, effects = protocol.leave(group, [(self.a, None)], at)
                self.handle(effects)
                return results[0].name
            case Event.DELETE:
                return protocol.check_delete(group).name
            case Event.PENDING_GONE:
                group.pending_members["p"] = 1.0
            case Event.MEMBER_EXPIRED:
                for member in group.members.values():
                    member.session_deadline = 1.0 if member.member_id == self.a else 99.0
            case Event.JOIN_DEADLINE:
                group.join_deadline = 1.0
            case Event.SYNC_DEADLINE:
                group.pending_syncs = {self.a} & group.members.keys()
                group.sync_deadline = 1.0
            case Event.ASSIGNMENT_STORED | Event.ASSIGNMENT_FAILED:
                failed = event is Event.ASSIGNMENT_FAILED
                store = Store(Stored.ASSIGNMENT, b"", generation, {self.a: b"x"})
                error = ErrorCode.NOT_ENOUGH_REPLICAS if failed else ErrorCode.NONE
                self.handle(protocol.stored(group, store, error, at))
                return "nothing"
        for member in group.members.values():
            if event is not Event.MEMBER_EXPIRED:
                member.session_deadline = 99.0
        self.handle(protocol.expire(group, at))
        return "nothing"


class Answer:
    def __init__(self):
        self.waiter = Completion()
        self.value = None
        self.waiter.on_done(self._set)

    def _set(self, value):
        assert self.value is None, "answered twice"
        self.value = value

    @property
    def name(self):
        return WAITS if self.value is None else ErrorCode(self.value.error_code).name


def test_every_pair_has_an_answer_and_an_expectation():
    assert set(ANSWERS) == set(EXPECTED) == set(Event)
    for event in Event:
        assert set(ANSWERS[event]) == set(EXPECTED[event]) == set(State)


def test_every_action_is_somebodys_and_can_be_done():
    used = {answer for row in ANSWERS.values() for answer in row.values() if isinstance(answer, Action)}
    assert used == set(Action) == set(ClassicProtocol(ClassicLimits(0, 1))._actions)


@pytest.mark.parametrize(("event", "state"), PAIRS, ids=lambda value: value.name)
def test_pair(event, state):
    expected = EXPECTED[event][state]
    if expected is None:
        assert isinstance(ANSWERS[event][state], ErrorCode)
        return
    stage = Stage(state)
    assert (stage.act(event), stage.group.state) == expected


@pytest.mark.parametrize("before", State, ids=lambda value: value.name)
@pytest.mark.parametrize("after", State, ids=lambda value: value.name)
def test_only_the_moves_of_the_drawing_are_possible(before, after):
    group = ClassicGroup("g", 0)
    group.state = before
    if before in PREVIOUS[after]:
        group.move_to(after, 5)
        assert (group.state, group.previous_state, group.state_since_ms) == (after, before, 5)
    else:
        with pytest.raises(RuntimeError, match=f"{before.value} can't become {after.value}"):
            group.move_to(after, 5)
        assert group.state is before


def test_the_drawing_and_the_moves_that_the_pairs_make_agree():
    made = {(state, EXPECTED[event][state][1]) for event, state in PAIRS if EXPECTED[event][state]}
    made = {(before, after) for before, after in made if before is not after}
    for before, after in made:
        assert before in PREVIOUS[after]
    assert (PREPARING, EMPTY) not in made  # needs that nobody is left: see test_membership
    assert made == {
        (EMPTY, PREPARING),
        (PREPARING, COMPLETING),
        (COMPLETING, PREPARING),
        (STABLE, PREPARING),
        (COMPLETING, STABLE),
    }
