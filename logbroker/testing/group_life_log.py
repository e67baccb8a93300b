"""What happened to consumer groups and their members, as `group_life_check` judges it: values, and nothing that does anything.

All times are seconds of CLOCK_MONOTONIC, which the processes of one machine share.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Kind(enum.StrEnum):
    """Of an event: the first ones are what members say, the others what is done to them."""

    ASSIGNED = "assigned"
    """`partitions` are its own from now on; said before it reads any of them."""
    REVOKED = "revoked"
    """They are no longer; said after the last commit of them."""
    LOST = "lost"
    """They were taken from it: it could not commit."""
    READ = "read"
    """Records of `spans` were processed: (partition, first offset, offset after the last)."""
    COMMITTING = "committing"
    """Commit number `commit` of `offsets` is about to be sent."""
    COMMITTED = "committed"
    """Commit number `commit` was acknowledged."""
    REFUSED = "refused"
    """Commit number `commit` failed for good: `text`."""
    LEFT = "left"
    """It closed its consumer as it was told to, and has ended."""
    WRONG = "wrong"
    """A record was not the one that was written there, or something that can't be: `text`."""
    TROUBLE = "trouble"
    """The library reported an error that it deals with: `text`. No verdict rests on it."""

    STARTED = "started"
    CRASHED = "crashed"
    """It was killed, by SIGKILL."""
    PAUSED = "paused"
    """It was stopped, by SIGSTOP."""
    RESUMED = "resumed"
    NAPPED = "napped"
    """It was told not to poll for `seconds`."""
    DIED = "died"
    """It ended, and nobody had told it to: `text` is what it wrote."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one member."""

    at_s: float
    member: str
    kind: Kind
    partitions: tuple[int, ...] = ()
    spans: tuple[tuple[int, int, int], ...] = ()
    offsets: Mapping[int, int] = field(default_factory=dict)
    commit: int = 0
    seconds: float = 0.0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Quiet:
    """A group at a moment at which nothing had happened for a while.

    Attributes:
        expected: the members that ought to be in it.
        broker: member to partitions, as the broker describes the group.
        members: the same, as each of them says; who could not be asked isn't there.
        stable: whether it came to rest in time. If not, the rest is as it was when patience ended.
        waited_s: how long it took.
    """

    at_s: float
    group: str
    expected: frozenset[str]
    broker: Mapping[str, tuple[int, ...]]
    members: Mapping[str, tuple[int, ...]]
    stable: bool
    state: str = ""
    waited_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stall:
    """The machine, or the test itself, did nothing for a while: as if everybody had been paused."""

    start_s: float
    end_s: float


@dataclass(slots=True)
class Log:
    """All there is to judge.

    Attributes:
        partitions: how many the topic has.
        groups: member to group.
        committed: group to partition to offset, as the broker says after everybody left.
        ends: partition to the offset after the last record written.
    """

    partitions: int
    session_timeout_s: float
    poll_timeout_s: float
    groups: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    quiet: list[Quiet] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    committed: dict[str, dict[int, int]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
