"""The history of a simulated disk: every change and every sync, in order, and the platter as of any moment in it."""

from __future__ import annotations

import random
from typing import NamedTuple

from logbroker.testing.sim_platter import NameEffect, Platter


class Operation(NamedTuple):
    """One line of the trace; `kind` says which of the other fields count.

    kinds: `write` (pages, size, modified_ms), `new file` (modified_ms), `new directory`, `name` (effect), `datasync` and `sync_dir`
    (label), `sync all` (label), `lose file` and `lose directory` (a sync that failed), `evict` (size is the seed).
    """

    kind: str
    path: str
    inode: int = 0
    pages: tuple[tuple[int, bytes], ...] = ()
    size: int | None = None
    modified_ms: int = 0
    effect: NameEffect | None = None
    label: str = ""
    reach: int = 0

    def __str__(self) -> str:
        parts = [self.kind, self.path]
        if self.pages:
            parts.append(f"pages {[number for number, _ in self.pages]}")
        if self.size is not None:
            parts.append(f"size {self.size}")
        if self.label:
            parts.append(f"({self.label})")
        return " ".join(parts)


class Trace:
    """Operations since `origin`, and a cursor over them that moves forward cheaply and back at the price of a replay."""

    __slots__ = ("_cursor", "_cursor_at", "_fences", "operations", "origin")

    def __init__(self, origin: Platter) -> None:
        self.origin = origin
        self.operations: list[Operation] = []
        self._cursor: Platter | None = None
        self._cursor_at = 0
        self._fences: frozenset[str] = frozenset()

    def platter(self, at: int, disabled_fences: frozenset[str]) -> Platter:
        """The platter behind the first `at` operations, as if the disabled syncs had not been called. Not to be changed."""
        if not 0 <= at <= len(self.operations):
            raise ValueError(f"there is no operation {at} in a trace of {len(self.operations)}")
        cursor = self._cursor
        if cursor is None or at < self._cursor_at or self._fences != disabled_fences:
            cursor = self._cursor = self.origin.fork()
            self._cursor_at = 0
            self._fences = disabled_fences
        for index in range(self._cursor_at, at):
            operation = self.operations[index]
            if operation.label not in disabled_fences:
                _apply(cursor, operation, index)
        self._cursor_at = at
        return cursor

    def __str__(self) -> str:
        return "\n".join(f"{index}: {operation}" for index, operation in enumerate(self.operations))


def _apply(platter: Platter, operation: Operation, index: int) -> None:
    match operation.kind:
        case "write":
            platter.write(
                index,
                operation.inode,
                operation.pages,
                operation.size,
                operation.modified_ms,
                operation.reach,
            )
        case "datasync":
            platter.sync_file(operation.inode)
        case "name" if operation.effect is not None:
            platter.names.append(operation.effect)
        case "new file":
            platter.durable.add_file(operation.inode, operation.modified_ms)
        case "new directory":
            platter.durable.add_directory(operation.inode)
        case "sync_dir":
            platter.sync_directory(operation.inode)
        case "sync all":
            platter.sync_all()
        case "lose file":
            platter.lose_file(operation.inode)
        case "lose directory":
            platter.lose_directory(operation.inode)
        case "evict":
            platter.evict(random.Random(operation.size))
        case _:
            raise ValueError(f"not an operation: {operation}")
