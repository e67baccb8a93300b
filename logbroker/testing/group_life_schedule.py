"""What happens to the members of consumer groups, and when: rounds of accidents drawn from a seed. Pure: no clock, no process.

A round is a burst of actions a second or so apart: a member joins, leaves, is killed, is paused or naps. Between rounds comes a
quiet moment, at which whoever plays the schedule holds the groups to account. Rounds follow from the seed and the slots
alone, however long each takes to play, so a seed repeats the choices.

A pause is either far shorter than the session timeout or well longer, never near it: what a member may do afterwards has to
be clear. Some of the long ones last through the quiet moment, in which the group has to have gone on without the paused
member; all others are over when the round is. A nap is a member that doesn't poll while its heartbeats may go on, longer than
its `max.poll.interval.ms`.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ACTIONS_PER_ROUND = (4, 9)
GAP_MEAN_S = 1.2
SHORT_PAUSE_SHARE = 0.25
"""The longest short pause, as a share of the session timeout."""
LONG_PAUSE_EXTRA_S = (2.0, 5.0)
"""How much longer than the session or poll timeout a long pause or a nap is."""
OVER_THE_QUIET = 0.4
"""The share of long pauses that last through the quiet moment."""
REST_S = 1.5
"""A member that was started, or woke, is left alone for so long: two short pauses are not to add up to a long one."""


class ActionKind(enum.StrEnum):
    """What can be done to a slot."""

    JOIN = "join"
    LEAVE = "leave"
    CRASH = "crash"
    PAUSE = "pause"
    RESUME = "resume"
    NAP = "nap"


WEIGHTS = {
    ActionKind.JOIN: 5,
    ActionKind.LEAVE: 3,
    ActionKind.CRASH: 2,
    ActionKind.PAUSE: 3,
    ActionKind.NAP: 1,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one member at a time: its group, its client library and the protocol that it speaks."""

    name: str
    group: str
    library: str
    protocol: str = "classic"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done to a slot, `at_s` into its round; `seconds` is how long a nap lasts, and how long a pause is meant to."""

    at_s: float
    kind: ActionKind
    slot: Slot
    seconds: float = 0.0


class Schedule:
    """Draws one round after another.

    Args:
        seed: the same one draws the same rounds.
        slots: all of them, each with a member when the first round begins.
        session_timeout_s: after which a silent member is out of its group.
        poll_timeout_s: `max.poll.interval.ms`.
        members_min: how many running members a group keeps at least.
    """

    def __init__(
        self,
        seed: int,
        slots: Sequence[Slot],
        *,
        session_timeout_s: float,
        poll_timeout_s: float,
        members_min: int = 2,
    ) -> None:
        self._rng = random.Random(seed)
        self._slots = tuple(slots)
        self._session_timeout_s = session_timeout_s
        self._poll_timeout_s = poll_timeout_s
        self._members_min = members_min
        self._up = set(slots)
        self._held: list[Slot] = []

    def next_round(self) -> list[Action]:
        """The actions of the next round, in the order of their times."""
        rng = self._rng
        busy_until_s: dict[Slot, float] = {}
        actions: list[Action] = []
        for slot in self._held:  # who slept through the quiet moment wakes into the new accidents
            woken_s = rng.uniform(0.0, 3.0)
            actions.append(Action(woken_s, ActionKind.RESUME, slot))
            busy_until_s[slot] = woken_s + REST_S
        self._held.clear()
        now_s = 0.0
        for _ in range(rng.randint(*ACTIONS_PER_ROUND)):
            now_s += rng.expovariate(1 / GAP_MEAN_S)
            possible = {
                kind: slots
                for kind in WEIGHTS
                if (
                    slots := [slot for slot in self._candidates(kind) if busy_until_s.get(slot, 0.0) <= now_s]
                )
            }
            if not possible:
                continue
            (kind,) = rng.choices(list(possible), [WEIGHTS[kind] for kind in possible])
            slot = rng.choice(possible[kind])
            busy_until_s[slot] = now_s + REST_S
            if kind is ActionKind.PAUSE:
                seconds = self._pause_s()
                resumed_s = now_s + seconds
                busy_until_s[slot] = resumed_s + REST_S
                if seconds > self._session_timeout_s and rng.random() < OVER_THE_QUIET:
                    self._held.append(slot)
                    busy_until_s[slot] = float("inf")
                else:
                    actions.append(Action(resumed_s, ActionKind.RESUME, slot))
                actions.append(Action(now_s, kind, slot, seconds))
            elif kind is ActionKind.NAP:
                seconds = self._poll_timeout_s + rng.uniform(*LONG_PAUSE_EXTRA_S)
                busy_until_s[slot] = now_s + seconds + REST_S
                actions.append(Action(now_s, kind, slot, seconds))
            else:
                (self._up.add if kind is ActionKind.JOIN else self._up.remove)(slot)
                actions.append(Action(now_s, kind, slot))
        return sorted(actions, key=lambda action: action.at_s)

    def _candidates(self, kind: ActionKind) -> Iterable[Slot]:
        if kind is ActionKind.JOIN:
            return [slot for slot in self._slots if slot not in self._up]
        awake = [slot for slot in self._slots if slot in self._up and slot not in self._held]
        left = {
            group: sum(slot.group == group for slot in awake)
            for group in dict.fromkeys(slot.group for slot in awake)
        }
        return [slot for slot in awake if left[slot.group] > self._members_min]

    def _pause_s(self) -> float:
        if self._rng.random() < 0.5:
            return self._rng.uniform(0.2, SHORT_PAUSE_SHARE * self._session_timeout_s)
        return self._session_timeout_s + self._rng.uniform(*LONG_PAUSE_EXTRA_S)
