"""What can be made to go wrong on the simulated disk, and how a sync call is named.

A `Fault` waits for the n-th operation that matches it and makes it fail, once or several times. A *fence* is one sync call in
the engine's source; its label, taken from the calling frame, reads `module.Class.function:datasync` (with `#2`, `#3` for
further calls in the same function, and `caller>helper` where `vfs.write_atomically` stands in between). A test lists the
labels a run has passed and takes them away one by one.
"""

from __future__ import annotations

import dis
import errno
import os
import sys
from dataclasses import dataclass
from types import CodeType, FrameType

_HELPERS = frozenset({"logbroker.storage.vfs", "contextlib"})
_OURSELVES = frozenset(
    {"logbroker.testing.sim_disk", "logbroker.testing.sim_file", "logbroker.storage.descriptors"}
)
_labels: dict[tuple[CodeType, int, str], str] = {}


@dataclass(slots=True)
class Fault:
    """Let `skip` matching operations pass, then fail the next `times` with `error`.

    `operation` is the method's name (`datasync`, `pwritev`, `open`, `sync_dir`, ...); "" matches every one. A failed `datasync` or
    `sync_dir` loses what it covered, as Linux does. With `short_bytes` a failing `pwritev` first writes that many.
    """

    operation: str
    error: int = errno.EIO
    path_contains: str = ""
    label: str = ""
    skip: int = 0
    times: int = 1
    short_bytes: int = 0
    hits: int = 0

    def strikes(self, operation: str, path: str, label: str) -> bool:
        """Count this operation; True if it is to fail."""
        if self.operation not in ("", operation) or self.path_contains not in path:
            return False
        if self.label and self.label != label:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.hits >= self.times:
            return False
        self.hits += 1
        return True

    def exception(self, path: str) -> OSError:
        """The error, as the kernel would word it."""
        return OSError(self.error, os.strerror(self.error), path)


def call_label(operation: str) -> str:
    """Name the call that led here by the engine's function that made it."""
    frame: FrameType | None = sys._getframe(1)
    helper = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module in _HELPERS:
            helper = helper or _function_label(frame, operation)
        elif module not in _OURSELVES:
            break
        frame = frame.f_back
    if frame is None:
        return f"?:{operation}"
    if helper:
        return f"{_function_label(frame, '').rstrip(':')}>{helper}"
    return _function_label(frame, operation)


def _function_label(frame: FrameType, operation: str) -> str:
    code = frame.f_code
    key = (code, frame.f_lasti, operation)
    label = _labels.get(key)
    if label is None:
        module = str(frame.f_globals.get("__name__", "?")).rpartition(".")[2]
        name = code.co_qualname.replace("<locals>.", "")
        label = f"{module}.{name}:{operation}"
        ordinal = sum(
            instruction.argval == operation and instruction.opname in ("LOAD_METHOD", "LOAD_ATTR")
            for instruction in dis.get_instructions(code)
            if instruction.offset <= frame.f_lasti
        )
        if ordinal > 1:
            label += f"#{ordinal}"
        _labels[key] = label
    return label
