"""Many small writes to different files by one system call: Linux' io_submit, on buffered files.

A checkpoint puts a few kilobytes into each of a thousand segments. Each write of its own gives up Python's lock and has to win it
back from a busy event loop, which takes longer than all else that the checkpoint does. io_submit takes a whole list of
writes; to a file that is open through the page cache it carries them out, one after the other, before it
returns. What came of each is read from the context's ring of events, whatever the file system made of it.

Where there is none of this (another system, a sandbox that forbids it, no context left) `write_many` says so before
anything is written, and the caller writes file by file.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import sys
from collections.abc import Sequence
from struct import Struct
from typing import Any

WRITES_MAX = 128
"""Writes of one call."""

_CALLS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2), "riscv64": (0, 1, 4, 2)}
"""io_setup, io_destroy, io_getevents, io_submit: glibc has no functions for them."""
AVAILABLE = sys.platform == "linux" and platform.machine() in _CALLS
"""Whether this system may have these calls."""
_PWRITE = 1
_IOCB = Struct("<QIiHhIQQqQII")
"""struct iocb: data, key, flags of the write, opcode, priority, fd, address, bytes, position, reserved, flags, eventfd."""
_EVENT = Struct("<QQqq")
"""struct io_event: data, iocb, result, second result."""

Write = tuple[int, int, int]
"""(descriptor, position in the file, bytes)"""


class _Context:
    """One kernel context and the memory its calls use; for one thread at a time."""

    def __init__(self, syscall: Any, numbers: tuple[int, int, int, int]) -> None:
        """Raises OSError where the kernel won't have it."""
        self._syscall = syscall
        setup, self._destroy, self._getevents, self._submit = map(ctypes.c_long, numbers)
        self._id = ctypes.c_ulong(0)
        self._blocks = bytearray(WRITES_MAX * _IOCB.size)
        at = ctypes.addressof(ctypes.c_char.from_buffer(self._blocks))
        self._pointers = (ctypes.c_uint64 * WRITES_MAX)(*range(at, at + len(self._blocks), _IOCB.size))
        self._events = bytearray(WRITES_MAX * _EVENT.size)
        self._events_at = ctypes.c_char.from_buffer(self._events)
        if syscall(setup, ctypes.c_long(WRITES_MAX), ctypes.byref(self._id)) < 0:
            raise _error()

    def write(self, writes: Sequence[Write], data: bytes) -> list[int]:
        """The result of each write, negative error numbers among them; `data` holds the bytes of all, back to back."""
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
        for number, (fd, position, size) in enumerate(writes):
            block = (number, 0, 0, _PWRITE, 0, fd, address, size, position, 0, 0, 0)
            _IOCB.pack_into(self._blocks, number * _IOCB.size, *block)
            address += size
        count = len(writes)
        results = [-errno.EIO] * count
        begun = 0
        while begun < count:
            pointers = ctypes.byref(self._pointers, begun * 8)
            taken = self._syscall(self._submit, self._id, ctypes.c_long(count - begun), pointers)
            if taken <= 0:
                results[begun] = -ctypes.get_errno()  # the kernel won't have this one
                break
            self._reap(taken, results)
            begun += taken
        return results

    def _reap(self, count: int, results: list[int]) -> None:
        """Wait for `count` results: until then the kernel may use the caller's memory."""
        number = ctypes.c_long(count)
        events = ctypes.byref(self._events_at)
        while (
            got := self._syscall(self._getevents, self._id, number, number, events, None)
        ) < 0 and ctypes.get_errno() == errno.EINTR:
            pass
        if got != count:
            raise OSError(errno.EIO, f"io_getevents returned {got} of {count} results")
        for at in range(0, count * _EVENT.size, _EVENT.size):
            which, _, result, _ = _EVENT.unpack_from(self._events, at)
            results[which] = result

    def __del__(self) -> None:
        if self._id:
            self._syscall(self._destroy, self._id)


_idle: list[_Context] = []
"""Contexts that no thread uses just now."""
_refused = not AVAILABLE


def write_many(writes: Sequence[Write], data: bytes) -> list[int] | None:
    """Write `data`, cut into the pieces that `writes` name (at most WRITES_MAX), each to its place in its file.

    Returns:
        What each write returned: bytes, or a negative error number. A failure stops the writes behind it, or doesn't. None if this
        can't be done here, and nothing was.

    """
    context = _take()
    if context is None:
        return None
    results = context.write(writes, data)
    _idle.append(context)
    return None if results[0] == -errno.EINVAL else results  # no file of this file system takes it


def _take() -> _Context | None:
    global _refused  # what the kernel said once it says for ever
    if _refused:
        return None
    with contextlib.suppress(IndexError):
        return _idle.pop()
    try:
        return _Context(_syscall, _CALLS[platform.machine()])
    except OSError:
        _refused = True
        return None


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


if AVAILABLE:
    _syscall = ctypes.CDLL(None, use_errno=True).syscall
    _syscall.restype = ctypes.c_long
