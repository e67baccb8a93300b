"""One log line for each connection that the server closes for cause, but never a flood of them.

Whoever sends garbage in a loop would otherwise write the log, and hide what others did. In each window an address gets
a few lines and all addresses together get some more; what was held back is counted and said when the window is over.
"""

from __future__ import annotations

from typing import Final

from logbroker.base import logs

WINDOW_S: Final = 10.0
LINES_PER_ADDRESS: Final = 10
LINES_TOTAL: Final = 100

_log = logs.get("net")


class ClosingLog:
    """Writes those lines; `now` is the monotonic time in seconds."""

    __slots__ = ("_held_back", "_lines", "_total", "_window_start")

    def __init__(self, now: float) -> None:
        self._window_start = now
        self._lines: dict[str, int] = {}
        self._total = 0
        self._held_back = 0

    def write(self, now: float, address: str, peer: str, reason: str, level: str = "warning") -> None:
        """Say why `peer` (host:port, of the host `address`) is closed."""
        self.roll(now)
        lines = self._lines.get(address, 0)
        if lines >= LINES_PER_ADDRESS or self._total >= LINES_TOTAL:
            self._held_back += 1
            return
        self._lines[address] = lines + 1
        self._total += 1
        _log.log(level, "connection closed", client=peer, reason=reason)

    def roll(self, now: float) -> None:
        """Begin a new window if the old one is over."""
        if now - self._window_start < WINDOW_S:
            return
        if self._held_back:
            _log.warning(
                "more connections were closed, for reasons not listed one by one", connections=self._held_back
            )
        self._window_start = now
        self._lines.clear()
        self._total = 0
        self._held_back = 0
