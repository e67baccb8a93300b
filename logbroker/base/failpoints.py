"""Named places where a test can make the broker fail, wait or die; free when none is armed.

A module declares its failpoints when it is imported and asks one attribute on the way:

    BEFORE_SYNC = failpoints.declare("journal.before_sync", "the commit is written, not yet synced")
    ...
    if BEFORE_SYNC.armed:
        BEFORE_SYNC.hit()

Tests in the same process call `arm`; for a real process the environment variable LOGBROKER_FAILPOINTS says
`name=action`, several separated by `;`. Actions:

    error(EIO)      raise OSError with that errno
    kill            SIGKILL to the own process: what a crash leaves, without any handler running
    exit(3)         leave at once with that status
    sleep(250)      block the calling thread for so many milliseconds
    stop            SIGSTOP to the own process

and behind any of them `@3` (at the third hit only) or `@3+` (from the third hit on). Without it: at every hit.
A name that no module declares is an error once the broker has started (`unclaimed`).

Declared and armed on the main thread; hit from any.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from logbroker.base.errors import ConfigError

ENVIRONMENT_VARIABLE: Final = "LOGBROKER_FAILPOINTS"
SLEEP_MAX_MS: Final = 600_000

Action: TypeAlias = Callable[[], None]

_SPEC = re.compile(r"([a-z]+)(?:\(([A-Za-z0-9]*)\))?(?:@([0-9]{1,9})(\+)?)?")


class Failpoint:
    """One place; `armed` is what the hot path asks."""

    __slots__ = ("_action", "_from_hit", "_lock", "_only_once", "armed", "doc", "hits", "name")

    def __init__(self, name: str, doc: str) -> None:
        self.name = name
        self.doc = doc
        self.armed = False
        self.hits = 0
        self._action: Action | None = None
        self._from_hit = 1
        self._only_once = False
        self._lock = threading.Lock()

    def arm(self, action: Action, *, from_hit: int = 1, only_once: bool = False) -> None:
        """Run `action` at the hit of that number and, unless `only_once`, at all that follow."""
        self.hits = 0
        self._action = action
        self._from_hit = from_hit
        self._only_once = only_once
        self.armed = True

    def disarm(self) -> None:
        """Pass from now on."""
        self.armed = False
        self._action = None

    def hit(self) -> None:
        """Do what was armed; raises what the action raises."""
        with self._lock:
            self.hits += 1
            due = self.hits == self._from_hit if self._only_once else self.hits >= self._from_hit
            action = self._action
        if due and action is not None:
            action()


_declared: dict[str, Failpoint] = {}
_pending: dict[str, tuple[Action, int, bool]] = {}


def declare(name: str, doc: str) -> Failpoint:
    """Make a failpoint; `doc` says what has happened, and what hasn't, where it stands.

    Raises:
        ValueError: the name is taken.
    """
    if name in _declared:
        raise ValueError(f"the failpoint {name} is declared twice")
    point = _declared[name] = Failpoint(name, doc)
    waiting = _pending.pop(name, None)
    if waiting is not None:
        action, from_hit, only_once = waiting
        point.arm(action, from_hit=from_hit, only_once=only_once)
    return point


def declared() -> dict[str, Failpoint]:
    """All failpoints of the modules imported so far, by name."""
    return dict(_declared)


def unclaimed() -> list[str]:
    """Names armed from text that no module has declared yet."""
    return sorted(_pending)


@contextmanager
def arm(name: str, action: Action | str) -> Iterator[Failpoint]:
    """Arm one for the length of a `with`: a function to call, or an action as in the environment variable.

    Raises:
        KeyError: no module imported so far declares it.
        ConfigError: the text is no action.
    """
    point = _declared[name]
    if isinstance(action, str):
        function, from_hit, only_once = _parse_action(name, action)
        point.arm(function, from_hit=from_hit, only_once=only_once)
    else:
        point.arm(action)
    try:
        yield point
    finally:
        point.disarm()


def arm_from_text(text: str) -> list[str]:
    """Arm what `LOGBROKER_FAILPOINTS` names, now or when it is declared; gives the names.

    Raises:
        ConfigError: naming the part that can't be read.
    """
    names = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        name, separator, action_text = part.partition("=")
        if not separator:
            raise ConfigError(f"{ENVIRONMENT_VARIABLE}: {part!r} is not name=action")
        action, from_hit, only_once = _parse_action(name, action_text)
        point = _declared.get(name)
        if point is not None:
            point.arm(action, from_hit=from_hit, only_once=only_once)
        else:
            _pending[name] = (action, from_hit, only_once)
        names.append(name)
    return names


def _parse_action(name: str, text: str) -> tuple[Action, int, bool]:
    match = _SPEC.fullmatch(text.strip())
    action = _action(match[1], match[2] or "", name) if match is not None else None
    if match is None or action is None:
        raise ConfigError(
            f"{ENVIRONMENT_VARIABLE}: {text!r} is no action for {name}; "
            "there are error(EIO), kill, stop, exit(3), sleep(250), each with @3 or @3+"
        )
    hit = max(1, int(match[3])) if match[3] else 1
    return action, hit, bool(match[3]) and not match[4]


def _action(kind: str, argument: str, name: str) -> Action | None:
    if kind == "error" and (number := getattr(errno, argument or "EIO", None)) is not None:
        message = f"{os.strerror(number)} (failpoint {name})"

        def fail() -> None:
            raise OSError(number, message)

        return fail
    if kind in {"kill", "stop"} and not argument:
        signal_number = signal.SIGKILL if kind == "kill" else signal.SIGSTOP
        return lambda: os.kill(os.getpid(), signal_number)
    if kind == "exit" and (not argument or argument.isdecimal()):
        status = int(argument or "1") & 0xFF
        return lambda: os._exit(status)
    if kind == "sleep" and argument.isdecimal() and int(argument) <= SLEEP_MAX_MS:
        seconds = int(argument) / 1000
        return lambda: time.sleep(seconds)
    return None
