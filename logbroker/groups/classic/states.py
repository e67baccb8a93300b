"""The classic protocol's states and events, and what each event meets in each state.

        +--------+  first member   +---------------------+  everybody joined, or time is up  +---------------------+
        | EMPTY  | --------------> | PREPARING_REBALANCE | --------------------------------> | COMPLETING_REBALANCE|
        +--------+                 +---------------------+ <-------------------------------- +---------------------+
            ^  nobody (re)joined       |        ^              a member came, left or failed            |
            +--------------------------+        |                                                       | the leader's
                                                |  a member came, left, failed or changed               | assignment is
                                                +------------------------- STABLE <---------------------+ durable
        DEAD: deleted or unloaded; reached from every state, left by none

`ANSWERS` is the whole protocol at a glance: an `ErrorCode` refuses (NONE: nothing to do), an `Action` is carried out by
`protocol.ClassicProtocol`. Every pair has an entry; a test walks all of them.

The names of states are what DescribeGroups and ListGroups say. Rules follow Kafka 4.3.1's GroupMetadataManager and ClassicGroup.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

from logbroker.base.error_codes import ErrorCode


class State(Enum):
    """Where a group stands; the value is Kafka's name for it."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class Event(Enum):
    """What can happen to a group."""

    JOIN_NEW = "somebody without a member id joins, or a pending member comes with the id it was given"
    JOIN_STATIC = "a known instance id comes back without a member id"
    JOIN_MEMBER = "a member joins again"
    SYNC = "a member asks for its assignment; the leader brings everybody's"
    HEARTBEAT = "a member says it lives"
    COMMIT = "a member commits offsets"
    COMMIT_SIMPLE = "somebody outside any generation commits offsets"
    LEFT = "members were removed at their own or an administrator's wish"
    PENDING_GONE = "a member id that was handed out was never used"
    MEMBER_EXPIRED = "a member's session timed out"
    JOIN_DEADLINE = "the time to join is over"
    SYNC_DEADLINE = "the time to sync is over"
    ASSIGNMENT_STORED = "the leader's assignment is durable"
    ASSIGNMENT_FAILED = "the leader's assignment could not be stored"
    COMMIT_TRANSACTIONAL = "a member commits offsets in a transaction"
    COMMIT_TRANSACTIONAL_SIMPLE = "somebody outside any generation commits offsets in a transaction"
    DELETE_OFFSETS = "offsets of a group that is not of consumers are to be deleted"
    DELETE = "the group is to be deleted"


class Action(Enum):
    """What `protocol.ClassicProtocol` does about an event; `_actions` there names the method."""

    ADD = "take the member in, and start or go on with a rebalance"
    REPLACE_STATIC = "put it in its former self's place, and start or go on with a rebalance"
    REPLACE_STATIC_STABLE = (
        "put it in its former self's place and store that, without a rebalance if the protocol stays"
    )
    REJOIN = "note what it says now, and start or go on with a rebalance"
    REJOIN_COMPLETING = "repeat the answer if it says the same as before; otherwise rejoin"
    REJOIN_STABLE = "repeat the answer to a follower that says the same as before; otherwise rejoin"
    SYNC_COMPLETING = "let it wait; store the assignment if the leader brings it"
    SYNC_STABLE = "give it its assignment"
    REBALANCE = "start a rebalance"
    CONTINUE_JOINING = "start the next generation if nobody is missing now"
    EXPIRE = "remove the member, and start or go on with a rebalance"
    END_JOINING = "start the next generation with those who came, or extend the initial delay"
    END_SYNCING = "remove those who did not ask for their assignment, and start a rebalance"
    SHARE_ASSIGNMENT = "give everybody its part; the group is stable"
    ASSIGNMENT_LOST = "tell everybody, and start a rebalance"


Answer: TypeAlias = ErrorCode | Action

_OK = ErrorCode.NONE
_GONE = ErrorCode.COORDINATOR_NOT_AVAILABLE
_UNKNOWN = ErrorCode.UNKNOWN_MEMBER_ID
_REBALANCING = ErrorCode.REBALANCE_IN_PROGRESS
_NOT_EMPTY = ErrorCode.NON_EMPTY_GROUP
_NOT_FOUND = ErrorCode.GROUP_ID_NOT_FOUND


def _row(
    empty: Answer, preparing: Answer, completing: Answer, stable: Answer, dead: Answer
) -> dict[State, Answer]:
    return {
        State.EMPTY: empty,
        State.PREPARING_REBALANCE: preparing,
        State.COMPLETING_REBALANCE: completing,
        State.STABLE: stable,
        State.DEAD: dead,
    }


ANSWERS: dict[Event, dict[State, Answer]] = {
    #                          EMPTY             PREPARING                   COMPLETING                   STABLE                        DEAD
    Event.JOIN_NEW: _row(Action.ADD, Action.ADD, Action.ADD, Action.ADD, _GONE),
    Event.JOIN_STATIC: _row(
        _UNKNOWN, Action.REPLACE_STATIC, Action.REPLACE_STATIC, Action.REPLACE_STATIC_STABLE, _GONE
    ),
    Event.JOIN_MEMBER: _row(_UNKNOWN, Action.REJOIN, Action.REJOIN_COMPLETING, Action.REJOIN_STABLE, _GONE),
    Event.SYNC: _row(_UNKNOWN, _REBALANCING, Action.SYNC_COMPLETING, Action.SYNC_STABLE, _GONE),
    Event.HEARTBEAT: _row(_UNKNOWN, _REBALANCING, _OK, _OK, _GONE),
    Event.COMMIT: _row(_UNKNOWN, _OK, _REBALANCING, _OK, _GONE),
    Event.COMMIT_SIMPLE: _row(_OK, _UNKNOWN, _UNKNOWN, _UNKNOWN, _GONE),
    Event.LEFT: _row(_OK, Action.CONTINUE_JOINING, Action.REBALANCE, Action.REBALANCE, _GONE),
    Event.PENDING_GONE: _row(_OK, Action.CONTINUE_JOINING, _OK, _OK, _OK),
    Event.MEMBER_EXPIRED: _row(_OK, Action.EXPIRE, Action.EXPIRE, Action.EXPIRE, _OK),
    Event.JOIN_DEADLINE: _row(_OK, Action.END_JOINING, _OK, _OK, _OK),
    Event.SYNC_DEADLINE: _row(_OK, _OK, Action.END_SYNCING, Action.END_SYNCING, _OK),
    Event.ASSIGNMENT_STORED: _row(_OK, _OK, Action.SHARE_ASSIGNMENT, _OK, _OK),
    Event.ASSIGNMENT_FAILED: _row(_OK, _OK, Action.ASSIGNMENT_LOST, _OK, _OK),
    # Whoever processes records in a transaction may do so in the old generation until the new one's assignment is there.
    Event.COMMIT_TRANSACTIONAL: _row(_UNKNOWN, _OK, _OK, _OK, _GONE),
    Event.COMMIT_TRANSACTIONAL_SIMPLE: _row(_OK, _OK, _OK, _OK, _GONE),
    Event.DELETE_OFFSETS: _row(_OK, _NOT_EMPTY, _NOT_EMPTY, _NOT_EMPTY, _NOT_FOUND),
    Event.DELETE: _row(_OK, _NOT_EMPTY, _NOT_EMPTY, _NOT_EMPTY, _NOT_FOUND),
}

PREVIOUS: dict[State, frozenset[State]] = {
    State.EMPTY: frozenset({State.PREPARING_REBALANCE}),
    State.PREPARING_REBALANCE: frozenset({State.EMPTY, State.COMPLETING_REBALANCE, State.STABLE}),
    State.COMPLETING_REBALANCE: frozenset({State.PREPARING_REBALANCE}),
    State.STABLE: frozenset({State.COMPLETING_REBALANCE}),
    State.DEAD: frozenset(State),
}
"""From which states a state may be entered; anything else is a bug and raises."""
