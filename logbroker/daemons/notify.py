"""Talking to systemd: sd_notify(3) by hand, a datagram to the socket that NOTIFY_SOCKET names.

READY=1 once clients are served, RELOADING=1 around a SIGHUP, STOPPING=1 at the end, EXTEND_TIMEOUT_USEC while a start or
stop takes long (a large ring to replay, a last checkpoint), WATCHDOG=1 from the event loop where the unit asks for it: a
loop that hangs gets the broker restarted. Without NOTIFY_SOCKET nothing happens; a socket that can't be written to is
never a reason to fail.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from typing import Final

EXTEND_TIMEOUT_S: Final = 30
"""How much time a long start or stop asks for at once; it is asked for again at half of it."""


class Notifier:
    """One process's line to the service manager."""

    __slots__ = ("_address", "watchdog_s")

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self.watchdog_s = _watchdog_s(environment) if self._address is not None else None
        """Seconds within which the manager wants a sign of life, or None."""

    @property
    def active(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def ready(self, status: str) -> None:
        """Clients are served; `status` is a line for `systemctl status`."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        """Settings are being read again; `ready` follows. The time stamp is what Type=notify-reload needs."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={_one_line(status)}")

    def extend_timeout(self) -> None:
        """Still at it: the manager should wait another `EXTEND_TIMEOUT_S`."""
        self._send(f"EXTEND_TIMEOUT_USEC={EXTEND_TIMEOUT_S * 1_000_000}")

    def alive(self) -> None:
        """The loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.connect(self._address)
                channel.send(message.encode())
        except OSError:
            # A manager that doesn't listen will act on its own time-outs; the clients are served all the same.
            return


def _address(text: str) -> str | None:
    # "@" stands for the abstract namespace; anything else must be an absolute path (vsock isn't for services here).
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    microseconds = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
