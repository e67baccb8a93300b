"""Where a transaction can be, and what may follow what.

    EMPTY ----------> ONGOING ---> PREPARE_COMMIT --> COMPLETE_COMMIT
      ^                 | |                               |
      |   (fence) PREPARE_EPOCH_FENCE -+                  |
      |                   +-----> PREPARE_ABORT ---> COMPLETE_ABORT
      +--- a new producer ---------- from either COMPLETE_* -+

Numbers and names are Kafka's: the numbers are in the records, the names in DescribeTransactions and ListTransactions.

- With transaction version 2 a producer may abort a transaction that the coordinator knows nothing of: so PREPARE_ABORT also
  follows EMPTY and COMPLETE_*.
- PREPARE_EPOCH_FENCE is never written; it is what is pending while the coordinator itself aborts.
- DEAD is what is pending while a transactional id expires.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A state; `value` is its number in the records, `label` its name on the wire."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7

    @property
    def label(self) -> str:
        """The name that requests and responses use: `PrepareCommit`."""
        return "".join(word.capitalize() for word in self.name.split("_"))


PREPARED = frozenset({State.PREPARE_COMMIT, State.PREPARE_ABORT})
"""The outcome is fixed and markers are being written."""

AT_REST = frozenset({State.EMPTY, State.COMPLETE_COMMIT, State.COMPLETE_ABORT})
"""No transaction is under way: the id may expire, or begin another one."""

PREVIOUS: dict[State, frozenset[State]] = {
    State.EMPTY: AT_REST,
    State.ONGOING: AT_REST | {State.ONGOING},
    State.PREPARE_COMMIT: frozenset({State.ONGOING}),
    State.PREPARE_ABORT: AT_REST | {State.ONGOING, State.PREPARE_EPOCH_FENCE},
    State.COMPLETE_COMMIT: frozenset({State.PREPARE_COMMIT}),
    State.COMPLETE_ABORT: frozenset({State.PREPARE_ABORT}),
    State.DEAD: AT_REST,
    State.PREPARE_EPOCH_FENCE: frozenset({State.ONGOING}),
}
"""From where a state can be reached."""

BY_LABEL = {state.label: state for state in State}


def check_transition(before: State, after: State) -> None:
    """Refuse a step that the table does not have.

    Raises:
        RuntimeError: It is a fault of this program, never of a client.

    """
    if before not in PREVIOUS[after]:
        raise RuntimeError(f"a transaction can't go from {before.name} to {after.name}")
