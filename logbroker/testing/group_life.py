"""Consumer groups of unmodified clients that join, leave, crash, pause and nap by a schedule drawn from a seed.

`GroupLife.run` plays it against a broker, Kafka included, and returns the log that `group_life_check.check` judges. All
members read one topic, into which one producer writes all the time. Every round of accidents ends in a quiet moment: when nothing
has happened to a group for a while, and the broker calls it stable, the broker and the members are asked who has what.
"""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from logbroker.testing.group_life_fleet import Fleet, MemberProcess, OperatorProcess
from logbroker.testing.group_life_log import Log, Quiet, Stall
from logbroker.testing.group_life_schedule import Action, ActionKind, Schedule, Slot

LOOK_AGAIN_S = 0.25
STALL_S = 1.0
LOADING_AT_ONCE = 4
NOTHING = threading.Event()
"""Never set: waits on it are of time itself."""


@dataclass(frozen=True)
class Plan:
    """What to play.

    Attributes:
        slots: those with a member from the beginning.
        duration_s: no round is drawn later than this after the first.
        commands: how the members are run whose program isn't in Python, by library.
        still_s: for so long nothing may have happened to a group that is called quiet.
        patience_s: how long a group may take to come to rest.
        write_every_s: how often a record is written into each partition.
    """

    seed: int
    slots: Sequence[Slot]
    duration_s: float
    bootstrap: str
    topic: str
    directory: pathlib.Path
    partitions: int = 200
    commands: dict[str, Sequence[str]] = field(default_factory=dict)
    session_timeout_s: float = 6.0
    poll_timeout_s: float = 9.0
    heartbeat_interval_s: float = 0.5
    commit_interval_s: float = 1.0
    still_s: float = 2.0
    patience_s: float = 45.0
    write_every_s: float = 0.5


class GroupLife:
    """One play of a plan.

    Args:
        say: told what is done, line by line.

    Attributes:
        log: what happened so far; whole when `run` has returned.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self.log = Log(plan.partitions, plan.session_timeout_s, plan.poll_timeout_s)
        self._groups = list(dict.fromkeys(slot.group for slot in plan.slots))
        self._up: dict[Slot, MemberProcess] = {}
        self._ending: list[MemberProcess] = []
        self._began_s = time.monotonic()
        self._last_action_s: dict[str, float] = {}

    def run(self, rounds: Iterable[Sequence[Action]] | None = None) -> Log:
        """Play these rounds, or those that the plan's seed draws. Whatever happens, no process is left."""
        plan = self._plan
        subscribe = {
            "bootstrap": plan.bootstrap,
            "topic": plan.topic,
            "session_timeout_ms": int(plan.session_timeout_s * 1000),
            "heartbeat_interval_ms": int(plan.heartbeat_interval_s * 1000),
            "max_poll_interval_ms": int(plan.poll_timeout_s * 1000),
            "commit_interval_ms": int(plan.commit_interval_s * 1000),
        }
        with contextlib.ExitStack() as stack:
            self._operator = OperatorProcess(plan.bootstrap, plan.directory / "operator.log")
            stack.callback(self._operator.close)
            self._fleet = Fleet(self.log, plan.directory, plan.commands, subscribe)
            stack.callback(self._fleet.close)
            stack.enter_context(self._watch_for_stalls())
            self._operator.call("create", topic=plan.topic, partitions=plan.partitions)
            self._operator.call(
                "produce", topic=plan.topic, partitions=plan.partitions, every_s=plan.write_every_s
            )
            self._begin()
            self._began_s = time.monotonic()
            for number, actions in enumerate(self._accidents() if rounds is None else rounds, 1):
                self._tell(f"round {number}")
                self._play(actions)
                self._come_to_rest()
            self._end()
        return self.log

    def _accidents(self) -> Iterator[Sequence[Action]]:
        plan = self._plan
        schedule = Schedule(
            plan.seed,
            plan.slots,
            session_timeout_s=plan.session_timeout_s,
            poll_timeout_s=plan.poll_timeout_s,
        )
        while time.monotonic() - self._began_s < plan.duration_s:
            yield schedule.next_round()

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began_s:7.2f} {text}")

    def _begin(self) -> None:
        """Everybody joins at about the same time."""
        waiting: list[MemberProcess] = []
        for slot in self._plan.slots:
            if len(waiting) >= LOADING_AT_ONCE:
                waiting.pop(0).wait_ready()
            self._up[slot] = self._fleet.start(slot)
            waiting.append(self._up[slot])
        for member in waiting:
            member.wait_ready()
        for member in self._up.values():
            self._fleet.join(member)
        self._tell(f"{len(self._up)} members join")
        self._come_to_rest()

    def _play(self, actions: Sequence[Action]) -> None:
        began_s = time.monotonic()
        for action in actions:
            NOTHING.wait(max(began_s + action.at_s - time.monotonic(), 0))
            self._do(action)
        awake_s = began_s + max(
            (action.at_s + action.seconds for action in actions if action.kind is ActionKind.NAP), default=0
        )
        NOTHING.wait(max(awake_s - time.monotonic(), 0))

    def _do(self, action: Action) -> None:
        slot = action.slot
        self._last_action_s[slot.group] = time.monotonic()
        self._tell(f"{action.kind} {slot.name}" + (f" {action.seconds:.1f} s" if action.seconds else ""))
        match action.kind:
            case ActionKind.JOIN:
                self._up[slot] = self._fleet.start(slot)
                self._fleet.join(self._up[slot])
            case ActionKind.LEAVE:
                member = self._up.pop(slot)
                member.send("stop")
                self._ending.append(member)
            case ActionKind.CRASH:
                self._up.pop(slot).crash()
            case ActionKind.PAUSE:
                self._up[slot].pause()
            case ActionKind.RESUME:
                self._up[slot].resume()
            case ActionKind.NAP:
                self._up[slot].nap(action.seconds)

    # ---- Quiet moments ---------------------------------------------------------------------------------------------------

    def _come_to_rest(self) -> None:
        for member in self._ending:
            member.wait_end()
        self._ending.clear()
        for group in self._groups:
            quiet = self._quiet(group)
            self.log.quiet.append(quiet)
            rest = "at rest" if quiet.stable else "NOT AT REST"
            self._tell(f"{group}: {len(quiet.expected)} members {rest} after {quiet.waited_s:.1f} s")

    def _quiet(self, group: str) -> Quiet:
        began_s = self._awake_s()
        awake = {
            member.name: member
            for member in self._up.values()
            if member.slot.group == group and not member.paused
        }
        described: dict[str, Any] = {"state": "", "members": {}}
        owned: dict[str, tuple[int, ...]] = {}
        stable = False
        while not stable and self._awake_s() - began_s < self._plan.patience_s:
            NOTHING.wait(LOOK_AGAIN_S)
            changed_s = self._changed_s(group)
            if time.monotonic() - changed_s < self._plan.still_s:
                continue
            with contextlib.suppress(RuntimeError):  # a coordinator that is just being made
                described = self._operator.call("describe", group=group)
            if described["state"].upper() != "STABLE" or described["members"].keys() != awake.keys():
                continue
            owned = self._ask(awake)
            stable = len(owned) == len(awake) and self._changed_s(group) == changed_s
        return Quiet(
            at_s=time.monotonic(),
            group=group,
            expected=frozenset(awake),
            broker={name: tuple(sorted(partitions)) for name, partitions in described["members"].items()},
            members=owned,
            stable=stable,
            state=described["state"],
            waited_s=self._awake_s() - began_s,
        )

    def _changed_s(self, group: str) -> float:
        """When anything last happened to a group: to it, or in it."""
        changes = [member.last_change_s for member in self._fleet.all if member.slot.group == group]
        return max([*changes, self._last_action_s.get(group, 0.0)])

    def _ask(self, members: dict[str, MemberProcess]) -> dict[str, tuple[int, ...]]:
        for member in members.values():
            member.send("owned")
        answers = {name: member.owned() for name, member in members.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    # ---- The end ---------------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Everybody wakes, reads all there is, commits it and leaves."""
        for member in self._up.values():
            if member.paused:
                member.resume()
        self._tell("the end: everybody reads the rest and leaves")
        ends = self._operator.call("finish")
        self.log.ends = {int(partition): end for partition, end in ends.items()}
        until_s = self._awake_s() + self._plan.patience_s
        behind = list(self._groups)
        while behind and self._awake_s() < until_s:
            NOTHING.wait(LOOK_AGAIN_S)
            behind = [group for group in behind if self._committed(group) != self.log.ends]
        for group in behind:
            self._tell(f"{group} has not read everything")
        self._come_to_rest()
        self._ending = list(self._up.values())
        for member in self._ending:
            member.send("stop")
        for member in self._ending:
            member.wait_end()
        self.log.committed = {group: self._committed(group) for group in self._groups}
        self._tell("all have left")

    def _committed(self, group: str) -> dict[int, int]:
        found = self._operator.call("committed", group=group)
        return {int(partition): offset for partition, offset in found.items()}

    def _awake_s(self) -> float:
        """A clock that stands while everything does."""
        return time.monotonic() - sum(stall.end_s - stall.start_s for stall in self.log.stalls)

    @contextlib.contextmanager
    def _watch_for_stalls(self) -> Iterator[None]:
        """Notes when the machine stood still: then everybody was silent, and nobody was at fault."""
        over = threading.Event()

        def watch() -> None:
            before_s = time.monotonic()
            while not over.wait(0.1):
                now_s = time.monotonic()
                if now_s - before_s > STALL_S:
                    self.log.stalls.append(Stall(before_s, now_s))
                before_s = now_s

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
