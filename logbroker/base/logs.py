"""Structured logging: one event, some fields, one line; for people or for programs.

    log = logs.get("net")
    log.warning("connection closed", client="10.0.0.7:51820", reason="frame of 2 GiB announced")

Lines go to standard error through one writer thread with a bounded queue, so a reader of the pipe that is stuck (a log
driver, a terminal on hold) never stops the event loop: past `QUEUE_MAX_LINES` lines are dropped, counted in
`dropped_lines`, and the next line that gets through says how many. `stop` writes what is queued.

Fields come from peers too, so in text form nothing unprintable is written as it is, and every value has a bound: a
client id can't forge a line. `Limited` bounds how often a hostile peer can make the broker write at all.

Built on the standard `logging` (logger names below "logbroker"), so libraries and tests see ordinary records, with the
fields in `record.fields`. Any thread.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Final

QUEUE_MAX_LINES: Final = 10_000
VALUE_MAX_CHARS: Final = 500
STOP_TIMEOUT_S: Final = 2.0

LEVELS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_ROOT = logging.getLogger("logbroker")
_COLOURS = {
    "DEBUG": "\x1b[2m",
    "INFO": "\x1b[32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[31m",
}
_JOURNAL_PRIORITY = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
_RESERVED = frozenset({"time", "level", "logger", "event", "exception"})


class Log:
    """A named source of events. `fields` are keyword arguments; values are written with `str`, so hand over plain ones."""

    __slots__ = ("_logger", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._logger = _ROOT.getChild(name)

    def debug(self, event: str, **fields: object) -> None:
        """Something only a developer wants to know."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, event, fields, None)

    def info(self, event: str, **fields: object) -> None:
        """Something an operator wants to know."""
        if self._logger.isEnabledFor(logging.INFO):
            self._write(logging.INFO, event, fields, None)

    def warning(self, event: str, **fields: object) -> None:
        """Something an operator should look at some day."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._write(logging.WARNING, event, fields, None)

    def error(self, event: str, *, error: BaseException | None = None, **fields: object) -> None:
        """Something an operator must look at; `error` adds the traceback, for faults of ours only."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._write(logging.ERROR, event, fields, error)

    def log(self, level: str, event: str, **fields: object) -> None:
        """Write at a level chosen at run time, one of `LEVELS`."""
        number = LEVELS[level]
        if self._logger.isEnabledFor(number):
            self._write(number, event, fields, None)

    def _write(
        self, level: int, event: str, fields: Mapping[str, object], error: BaseException | None
    ) -> None:
        trace = (type(error), error, error.__traceback__) if error is not None else None
        self._logger.handle(
            self._logger.makeRecord(
                self._logger.name,
                level,
                "",
                0,
                event,
                (),
                trace,
                extra={"fields": fields, "source": self.name},
            )
        )


_logs: dict[str, Log] = {}


def get(name: str) -> Log:
    """The log of that name, the same object each time; the name is a layer or a noun ("net", "journal")."""
    found = _logs.get(name)
    if found is None:
        found = _logs[name] = Log(name)
    return found


class Limited:
    """Lets an event through at most `per_second` on average, in bursts of `burst`; says how many it held back.

    One for each kind of line that a peer can provoke. Not for several threads.
    """

    __slots__ = ("_burst", "_held", "_log", "_monotonic", "_per_second", "_stamp", "_tokens")

    def __init__(
        self,
        log: Log,
        *,
        per_second: float = 1.0,
        burst: int = 20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._per_second = per_second
        self._burst = float(burst)
        self._tokens = float(burst)
        self._monotonic = monotonic
        self._stamp = monotonic()
        self._held = 0

    def write(self, level: str, event: str, **fields: object) -> bool:
        """Write the event if there is room for it, with `held_back` where others were not; says whether it was written."""
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._stamp) * self._per_second)
        self._stamp = now
        if self._tokens < 1.0:
            self._held += 1
            return False
        self._tokens -= 1.0
        if self._held:
            fields["held_back"] = self._held
            self._held = 0
        self._log.log(level, event, **fields)
        return True

    def warning(self, event: str, **fields: object) -> bool:
        """`write` at level warning."""
        return self.write("warning", event, **fields)

    def info(self, event: str, **fields: object) -> bool:
        """`write` at level info."""
        return self.write("info", event, **fields)


def printable(value: object, limit: int = VALUE_MAX_CHARS) -> str:
    """`value` as text that can't leave its line: bounded, quoted where it has blanks, control characters escaped."""
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        text = text.lower()  # as JSON and the settings write it
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    if text.isprintable():
        if text and not any(character in text for character in ' "=\\'):
            return text
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return '"' + repr(text)[1:-1].replace('"', '\\"') + '"'


def _time(record: logging.LogRecord) -> str:
    moment = time.gmtime(record.created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', moment)}.{int(record.msecs):03d}Z"


def _event(record: logging.LogRecord) -> str:
    event = record.getMessage()
    return event if event.isprintable() else printable(event, 4 * VALUE_MAX_CHARS)


def _source(record: logging.LogRecord) -> str:
    # Code that uses `logging` directly has its module's name, which begins with the package's.
    return str(getattr(record, "source", record.name.removeprefix("logbroker.")))


def _trace(record: logging.LogRecord) -> str:
    info = record.exc_info
    return "".join(traceback.format_exception(*info)).rstrip() if isinstance(info, tuple) and info[1] else ""


class TextFormatter(logging.Formatter):
    """Lines for people: time, level, source, event, fields. In the systemd journal its priority prefix stands for time and level."""

    def __init__(self, *, colour: bool = False, journal: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One event; a traceback follows on lines of its own, indented."""
        fields: Mapping[str, object] = getattr(record, "fields", {})
        level = record.levelname
        if self._journal:
            head = f"<{_JOURNAL_PRIORITY.get(level, 6)}>"
        elif self._colour:
            head = f"\x1b[2m{_time(record)}\x1b[0m {_COLOURS.get(level, '')}{level:<7}\x1b[0m "
        else:
            head = f"{_time(record)} {level:<7} "
        line = f"{head}{_source(record)}: {_event(record)}"
        for key, value in fields.items():
            line += (
                f" \x1b[2m{key}=\x1b[0m{printable(value)}" if self._colour else f" {key}={printable(value)}"
            )
        trace = _trace(record)
        return line if not trace else line + "\n" + "\n".join("    " + part for part in trace.splitlines())


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, event, then the fields as they are."""

    def __init__(self) -> None:
        super().__init__()
        # Imported only where it is wanted: starting fast matters more than one import in sight.
        import json

        self._dumps = json.dumps

    def format(self, record: logging.LogRecord) -> str:
        """One event; a field that has a reserved name gets a `_` behind it."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": _source(record),
            "event": record.getMessage(),
        }
        fields: Mapping[str, object] = getattr(record, "fields", {})
        for key, value in fields.items():
            line[f"{key}_" if key in _RESERVED else key] = (
                value
                if value is None or isinstance(value, (bool, int, float, list, tuple, dict))
                else str(value)[:VALUE_MAX_CHARS]
            )
        trace = _trace(record)
        if trace:
            line["exception"] = trace
        return self._dumps(line, default=str)


class _Writer(logging.Handler):
    """Formats in the caller, writes in a thread; never waits for the descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._dropped_since = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one line, or count it as dropped."""
        if self._queue.qsize() >= QUEUE_MAX_LINES:
            self.dropped += 1
            self._dropped_since += 1
            return
        try:
            line = self.format(record)
        except Exception as error:  # a value whose __str__ fails must not take its caller down
            line = f"a line could not be written: {record.msg!r}: {type(error).__name__}"
        if self._dropped_since:
            count, self._dropped_since = self._dropped_since, 0
            note = logging.makeLogRecord(
                {
                    "name": "logs",
                    "levelname": "WARNING",
                    "levelno": logging.WARNING,
                    "msg": "log lines were dropped",
                }
            )
            note.fields = {"lines": count, "reason": "standard error is not read fast enough"}
            line = f"{self.format(note)}\n{line}"
        self._queue.put(line.encode("utf-8", "backslashreplace") + b"\n")

    def stop(self, timeout_s: float) -> None:
        """Write what is queued, for at most `timeout_s`."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            lines = [line]
            ending = False
            with contextlib.suppress(queue.Empty):
                while len(lines) < 100:
                    following = self._queue.get_nowait()
                    if following is None:
                        ending = True
                        break
                    lines.append(following)
            self._write_all(b"".join(lines))
            if ending:
                return

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Nobody reads any more; there is no other place to say so.
            self.dropped += data.count(b"\n")


_writer: _Writer | None = None


def configure(
    *, format_: str = "text", level: str = "info", descriptor: int = 2, journal: bool | None = None
) -> None:
    """Start writing to `descriptor`.

    Args:
        format_: "text" or "json".
        level: the least level written, one of `LEVELS`.
        descriptor: an open file descriptor; standard error by default.
        journal: whether it is systemd's journal; found out from `JOURNAL_STREAM` when None.
    """
    global _writer
    stop()
    writer = _Writer(descriptor)
    if format_ == "json":
        writer.setFormatter(JsonFormatter())
    else:
        in_journal = _is_journal(descriptor) if journal is None else journal
        colour = not in_journal and os.isatty(descriptor) and "NO_COLOR" not in os.environ
        writer.setFormatter(TextFormatter(colour=colour, journal=in_journal))
    set_level(level)
    _ROOT.addHandler(writer)
    # Libraries (asyncio above all) report through the root logger: same thread, same form, warnings and worse.
    logging.getLogger().addHandler(writer)
    _ROOT.propagate = False
    _writer = writer


def set_level(level: str) -> None:
    """Change the least level that is written."""
    _ROOT.setLevel(LEVELS[level])


def names() -> list[str]:
    """Every log that was asked for so far, by name."""
    return sorted(_logs)


def level_of(name: str) -> int:
    """The least level that a log writes, as a number of `logging`; "" is the level of all that have none of their own."""
    return (_ROOT.getChild(name) if name else _ROOT).getEffectiveLevel()


def set_level_of(name: str, level: int | None) -> None:
    """Change the least level that one log writes; None: that of all, which "" names."""
    (_ROOT.getChild(name) if name else _ROOT).setLevel(logging.NOTSET if level is None else level)


def configured() -> bool:
    """Whether `configure` is in force."""
    return _writer is not None


def dropped_lines() -> int:
    """Lines dropped since `configure`, because standard error was not read fast enough."""
    return _writer.dropped if _writer is not None else 0


def stop(timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Write what is queued and stop the thread; later events go nowhere but to `logging`'s last resort."""
    global _writer
    if _writer is not None:
        _ROOT.removeHandler(_writer)
        logging.getLogger().removeHandler(_writer)
        _ROOT.propagate = True
        _writer.stop(timeout_s)
        _writer = None


def _is_journal(descriptor: int) -> bool:
    """Whether systemd connected this descriptor to its journal (sd-daemon(3))."""
    device, separator, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    if not separator:
        return False
    try:
        found = os.fstat(descriptor)
        return (found.st_dev, found.st_ino) == (int(device), int(inode))
    except (OSError, ValueError):
        return False


def standard_error() -> int:
    """The descriptor of standard error, also where a test has replaced `sys.stderr`."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return 2
