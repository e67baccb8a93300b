"""A disk in memory that keeps only what was synced: `storage.vfs.Vfs` for the crash simulation.

`SimDisk` has two faces. To the engine it is a file system whose calls behave exactly like Linux's (tests/testing compares them,
operation by operation, with the real thing). Beside that it writes down every change and every sync in `trace`, so that

- `crash(at, rng)` gives the disk that a power cut after the first `at` operations could have left: what was durable, and a
  random choice of what was not (`sim_platter` says which choices there are);
- `kill(at)` gives the disk that the next process finds if this one was killed there: the page cache whole, the syncs still missing.

Both are new disks, independent of this one, and cheap: what both hold isn't copied. Ask in rising order of `at`; going
back replays the trace from its start.

Faults: `faults` (see `sim_faults`), `read_only`, `capacity_bytes`, `fail_writeback`, `evict`, `mount` and `unmount`. The sync calls named in
`disabled_fences` count as never made; that is looked at when the trace is replayed, so one run serves for every fence. The
label of each sync call made so far is in `labels`. One thread only.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Sequence

from logbroker.base.types import Buffer
from logbroker.storage.vfs import File
from logbroker.testing.sim_faults import Fault, call_label
from logbroker.testing.sim_file import SimFile
from logbroker.testing.sim_image import PAGE_SIZE, ROOT, ZERO_PAGE, DirectoryNode, Image
from logbroker.testing.sim_platter import NameEffect, Platter
from logbroker.testing.sim_trace import Operation, Trace

UNLIMITED_BYTES = 1 << 40
"""The capacity of a disk that was given none."""
START_MS = 1_700_000_000_000
"""The time on a disk that was given no clock, milliseconds since the epoch."""
DEVICE = 1
"""`device` of everything that is on no mount of its own."""
_HERE = ("", ".")


class SimDisk:
    """See the module. The methods of `Vfs` stand last."""

    def __init__(
        self, directories: Sequence[str] = (), *, now_ms: Callable[[], int] = lambda: START_MS
    ) -> None:
        """An empty disk that durably holds `directories` (and their parents); `now_ms` dates what is written."""
        image = Image()
        inode = ROOT
        for path in directories:
            directory = ROOT
            for name in _parts(path):
                entries = image.own_directory(directory).entries
                if name not in entries:
                    inode += 1
                    image.add_directory(inode)
                    entries[name] = inode
                directory = entries[name]
        self.now_ms = now_ms
        self.capacity_bytes = UNLIMITED_BYTES
        self.disabled_fences: frozenset[str] = frozenset()
        self.labels: set[str] = set()
        self.fail_writeback_of = ""
        """Part of the path of files of which the kernel fails to write one back, behind `fail_writeback_after` writes to them."""
        self.fail_writeback_after = -1
        self.cached_bytes: Callable[[int], int | None] | None = None
        """How many of the bytes asked for are in the cache, None if not even one; unset: all of them."""
        self._mounts: dict[int, int] = {}
        self._start(Platter(image), inode, 0)

    def _start(self, platter: Platter, last_inode: int, decision: int) -> None:
        self.trace = Trace(platter)
        self.cache = platter.cached()
        self.decision = decision
        """Stands for the choice that `crash` made for this disk: (at, decision) is the point's identity."""
        self.dead = False
        self.read_only = False
        self.accidents = 0
        """How often something went wrong so far."""
        self.faults: list[Fault] = []
        self._last_inode = last_inode
        self._open_counts: dict[int, int] = {}
        self._errors: dict[int, int] = {}
        self._errors_at_start = 0
        self._errors_told: dict[str, int] = {}
        self._covers: dict[int, int] = {}
        self._resolved: dict[str, int] = {}

    def _successor(self, platter: Platter, decision: int) -> SimDisk:
        other = SimDisk.__new__(SimDisk)
        other.now_ms = self.now_ms
        other.capacity_bytes = self.capacity_bytes
        other.disabled_fences = self.disabled_fences
        other.labels = self.labels
        other.cached_bytes = self.cached_bytes
        other.fail_writeback_of = ""
        other.fail_writeback_after = -1
        other._mounts = self._mounts
        other._start(platter, self._last_inode, decision)
        return other

    # Ends and accidents.

    @property
    def operations(self) -> int:
        """Operations so far: the largest `at` there is, and the moment to stamp on a promise given now."""
        return len(self.trace.operations)

    def crash(self, at: int, rng: random.Random) -> SimDisk:
        """The disk after a power cut behind the first `at` operations."""
        image, decision = self.trace.platter(at, self.disabled_fences).crashed(rng)
        return self._successor(Platter(image), decision)

    def kill(self, at: int) -> SimDisk:
        """The disk as the next process finds it when this one was killed behind the first `at` operations."""
        return self._successor(self.trace.platter(at, self.disabled_fences).fork(), -1)

    def die(self) -> None:
        """From now on every call fails with EBADF: nothing that is left of a dead process touches the disk."""
        self.dead = True

    def revive(self) -> None:
        """The next process starts on the same machine: the page cache is what the dead one left."""
        self.dead = False
        self._errors_at_start = sum(self._errors.values())
        self._errors_told = {}

    def mend(self) -> None:
        """No more faults: whatever was wrong with it is over. What it lost stays lost."""
        self.faults = []
        self.read_only = False
        self.capacity_bytes = UNLIMITED_BYTES

    def evict(self, rng: random.Random) -> None:
        """Drop clean pages from the cache: what a failed sync lost is read from the disk again, where it may be missing."""
        self.trace.operations.append(Operation("evict", "", size=rng.getrandbits(32)))
        self.cache = self.trace.platter(self.operations, self.disabled_fences).cached()

    def fail_writeback(self, path: str) -> None:
        """Let the kernel fail to write the file back by itself.

        Its dirty pages are lost, and every descriptor that is open now gets EIO from its next `datasync`, once. One
        that is opened later never hears of it.
        """
        inode = self._find(path)
        self.cache.file(inode)
        self._lose_file(inode, path)

    def mount(self, path: str) -> None:
        """Let the directory at `path` be the top of a file system of its own, with its own `device`."""
        inode = self._find(path)
        self._mounts = {**self._mounts, inode: DEVICE + 1 + len(self._mounts)}
        self._resolved.clear()

    def unmount(self, path: str) -> None:
        """Take that file system away: `path` is an empty directory now. Open files go on (a lazy unmount)."""
        inode = self._find(path)
        if inode not in self._mounts:
            raise OSError(errno.EINVAL, "not a mount", path)
        cover = self._covers[inode] = self._new_inode()
        self.cache.add_directory(cover)
        self.trace.operations.append(Operation("new directory", path, cover))
        self._resolved.clear()

    # For SimFile.

    def strike(self, operation: str, path: str, label: str = "") -> Fault | None:
        """The fault that this operation runs into, if any."""
        for fault in self.faults:
            if fault.strikes(operation, path, label):
                self.accidents += 1
                return fault
        return None

    def check(self, operation: str, path: str) -> None:
        """Raise if this operation runs into a fault, or comes from beyond the grave."""
        self._check_alive(path)
        if self.faults:
            fault = self.strike(operation, path)
            if fault is not None:
                raise fault.exception(path)

    def _check_alive(self, path: str) -> None:
        if self.dead:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), path)

    def check_writable(self, path: str) -> None:
        """Raise EROFS on a read-only disk."""
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def free_space_bytes(self) -> int:
        """What growing files may still take; holes count as if they were written."""
        if self.capacity_bytes == UNLIMITED_BYTES:
            return UNLIMITED_BYTES
        return max(0, self.capacity_bytes - self.used_bytes())

    def used_bytes(self) -> int:
        """What files take, those too that only a descriptor holds."""
        living = self.cache.reachable() | self._open_counts.keys()
        return sum(
            node.size for inode in living if not isinstance(node := self.cache.nodes[inode], DirectoryNode)
        )

    def file_opened(self, inode: int) -> int:
        """Count a descriptor; returns the write-back errors it will not hear of."""
        self._open_counts[inode] = self._open_counts.get(inode, 0) + 1
        return self.writeback_errors(inode)

    def file_closed(self, inode: int) -> None:
        """Count a descriptor off."""
        count = self._open_counts[inode] - 1
        if count:
            self._open_counts[inode] = count
        else:
            del self._open_counts[inode]

    def writeback_errors(self, inode: int) -> int:
        """How often the kernel has failed to write this file back."""
        return self._errors.get(inode, 0)

    def write(self, inode: int, path: str, data: bytes, position: int) -> None:
        """Bytes into the cache, and into the trace as whole pages."""
        node = self.cache.own_file(inode)
        size = len(data)
        end = position + size
        pages = []
        held = node.pages
        number, start = divmod(position, PAGE_SIZE)
        taken = 0
        while taken < size:
            count = min(PAGE_SIZE - start, size - taken)
            if count == PAGE_SIZE:
                page = data[taken : taken + PAGE_SIZE]
            else:
                older = held.get(number, ZERO_PAGE)
                page = older[:start] + data[taken : taken + count] + older[start + count :]
            if page != ZERO_PAGE:
                pages.append((number, page))
            elif number in held or node.shrunk:
                pages.append((number, ZERO_PAGE))
            taken += count
            start = 0
            number += 1
        held.update(pages)
        grown = end if end > node.size else None
        if grown is not None:
            node.size = end
        node.modified_ms = self.now_ms()
        reach = min(node.size, number * PAGE_SIZE)
        self.trace.operations.append(
            Operation("write", path, inode, tuple(pages), grown, node.modified_ms, reach=reach)
        )
        if self.fail_writeback_after >= 0 and self.fail_writeback_of in path:
            self.fail_writeback_after -= 1
            if self.fail_writeback_after < 0:
                self._lose_file(inode, path)

    def resize(self, inode: int, path: str, size: int) -> None:
        """Truncate or extend; cutting inside a page dirties that page too."""
        node = self.cache.own_file(inode)
        node.resize(size)
        node.modified_ms = self.now_ms()
        number = size // PAGE_SIZE
        pages = ((number, node.pages[number]),) if size % PAGE_SIZE and number in node.pages else ()
        self.trace.operations.append(Operation("write", path, inode, pages, size, node.modified_ms))

    def sync_file(self, inode: int, path: str, label: str) -> None:
        """Settle a file, or lose what it waits to settle and raise."""
        self.labels.add(label)
        fault = self.strike("datasync", path, label)
        if fault is not None:
            self._lose_file(inode, path)
            raise fault.exception(path)
        self.trace.operations.append(Operation("datasync", path, inode, label=label))

    def _lose_file(self, inode: int, path: str) -> None:
        self.accidents += 1
        self._errors[inode] = self.writeback_errors(inode) + 1
        self.trace.operations.append(Operation("lose file", path, inode))

    # Names.

    def _find(self, path: str) -> int:
        """The inode that `path` leads to."""
        inode = self._resolved.get(path)
        if inode is not None:
            return inode
        above, _, name = path.rpartition("/")
        inode = self._resolved.get(above) if name not in _HERE else None
        names = [name]
        if inode is None:
            inode = self._covers.get(ROOT, ROOT)
            names = _parts(path)
        for name in names:
            node = self.cache.nodes[inode]
            if not isinstance(node, DirectoryNode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
            found = node.entries.get(name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            inode = self._covers.get(found, found)
        if isinstance(self.cache.nodes[inode], DirectoryNode):
            self._resolved[path] = inode
        return inode

    def _find_directory(self, path: str) -> DirectoryNode:
        node = self.cache.nodes[self._find(path)]
        if not isinstance(node, DirectoryNode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return node

    def _find_parent(self, path: str) -> tuple[int, str, int | None]:
        """The directory a path's last name stands in, that name, and the inode it has now."""
        above, _, name = path.rstrip("/").rpartition("/")
        inode = self._find(above)
        entry = self._find_directory(above).entries.get(name)
        return inode, name, None if entry is None else self._covers.get(entry, entry)

    def _new_inode(self) -> int:
        self._last_inode += 1
        return self._last_inode

    def _rename_entry(
        self, path: str, inode: int, removed: tuple[tuple[int, str], ...], added: tuple[int, str, int] | None
    ) -> None:
        """One change of names: into the cache, and into the trace."""
        is_directory = isinstance(self.cache.nodes[inode], DirectoryNode)
        moves_tree = is_directory and added is not None and any(parent != added[0] for parent, _ in removed)
        effect = NameEffect(self.operations, removed, added, inode, moves_tree=moves_tree)
        effect.apply(self.cache)
        if is_directory:
            self._resolved.clear()
        self.trace.operations.append(Operation("name", path, inode, effect=effect))

    # storage.vfs.Vfs

    writes_many = False
    """A kill may come between any two writes here."""

    def open(self, path: str, *, create: bool = False) -> SimFile:
        """See `Vfs`."""
        self.check("open", path)
        parent, name, inode = self._find_parent(path)
        if inode is None and not create:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if inode is not None and isinstance(self.cache.nodes[inode], DirectoryNode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self.check_writable(path)
        if inode is None:
            inode = self._new_inode()
            now_ms = self.now_ms()
            self.cache.add_file(inode, now_ms)
            self.trace.operations.append(Operation("new file", path, inode, modified_ms=now_ms))
            self._rename_entry(path, inode, (), (parent, name, inode))
        return SimFile(self, inode, path)

    def exists(self, path: str) -> bool:
        """See `Vfs`."""
        self.check("exists", path)
        try:
            self._find(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def listdir(self, path: str) -> list[str]:
        """See `Vfs`."""
        self.check("listdir", path)
        return sorted(self._find_directory(path).entries)

    def mkdir(self, path: str) -> None:
        """See `Vfs`."""
        self.check("mkdir", path)
        parent, name, inode = self._find_parent(path)
        if inode is not None:
            return
        self.check_writable(path)
        inode = self._new_inode()
        self.cache.add_directory(inode)
        self.trace.operations.append(Operation("new directory", path, inode))
        self._rename_entry(path, inode, (), (parent, name, inode))

    def rename(self, source: str, target: str) -> None:
        """See `Vfs`."""
        self.check("rename", source)
        old_parent, old_name, inode = self._find_parent(source)
        parent, name, replaced = self._find_parent(target)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source, None, target)
        if replaced == inode:
            return
        node = self.cache.nodes[inode]
        if isinstance(node, DirectoryNode) and _parts(target)[: len(_parts(source))] == _parts(source):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), source, None, target)
        if replaced is not None:
            older = self.cache.nodes[replaced]
            if isinstance(older, DirectoryNode):
                holds_source = _parts(source)[: len(_parts(target))] == _parts(target)
                if not isinstance(node, DirectoryNode) and not holds_source:
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), source, None, target)
                if older.entries:
                    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), source, None, target)
            elif isinstance(node, DirectoryNode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), source, None, target)
        self.check_writable(source)
        self._rename_entry(f"{source} -> {target}", inode, ((old_parent, old_name),), (parent, name, inode))

    def unlink(self, path: str) -> None:
        """See `Vfs`."""
        self.check("unlink", path)
        try:
            parent, name, inode = self._find_parent(path)
        except FileNotFoundError:
            return
        if inode is None:
            return
        if isinstance(self.cache.nodes[inode], DirectoryNode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        self.check_writable(path)
        self._rename_entry(f"{path} removed", inode, ((parent, name),), None)

    def rmdir(self, path: str) -> None:
        """See `Vfs`."""
        self.check("rmdir", path)
        try:
            parent, name, inode = self._find_parent(path)
        except FileNotFoundError:
            return
        if inode is None:
            return
        node = self.cache.nodes[inode]
        if not isinstance(node, DirectoryNode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        if node.entries:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        self.check_writable(path)
        self._rename_entry(f"{path} removed", inode, ((parent, name),), None)

    def sync_dir(self, path: str) -> None:
        """See `Vfs`."""
        self._check_alive(path)
        self._find_directory(path)
        inode = self._find(path)
        label = call_label("sync_dir")
        self.labels.add(label)
        fault = self.strike("sync_dir", path, label)
        if fault is not None:
            self.trace.operations.append(Operation("lose directory", path, inode))
            raise fault.exception(path)
        self.trace.operations.append(Operation("sync_dir", path, inode, label=label))

    def write_many(self, writes: Sequence[tuple[File, Sequence[Buffer], int]]) -> bool:
        """See `Vfs`."""
        return False

    def sync_filesystem(self, path: str) -> bool:
        """See `Vfs`. Each process watches each `path` from its start on, and is told of a write error once a path."""
        self._check_alive(path)
        label = call_label("sync_filesystem")
        self.labels.add(label)
        fault = self.strike("sync_filesystem", path, label)
        if fault is not None:
            for inode in sorted(self.cache.reachable()):
                if not isinstance(self.cache.nodes[inode], DirectoryNode):
                    self._lose_file(inode, path)
        errors = sum(self._errors.values())
        told = self._errors_told.get(path, self._errors_at_start)
        self._errors_told[path] = errors
        if fault is not None:
            raise fault.exception(path)
        self.trace.operations.append(Operation("sync all", path, label=label))
        if errors != told:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return True

    def file_size(self, path: str) -> int:
        """See `Vfs`."""
        self.check("file_size", path)
        node = self.cache.nodes[self._find(path)]
        return PAGE_SIZE if isinstance(node, DirectoryNode) else node.size

    def modified_ms(self, path: str) -> int:
        """See `Vfs`; of a directory, the time now."""
        self.check("modified_ms", path)
        node = self.cache.nodes[self._find(path)]
        return self.now_ms() if isinstance(node, DirectoryNode) else node.modified_ms

    def free_bytes(self, path: str) -> int:
        """See `Vfs`."""
        self.check("free_bytes", path)
        self._find(path)
        return self.free_space_bytes()

    def device(self, path: str) -> int:
        """See `Vfs`."""
        self.check("device", path)
        self._find(path)
        device = DEVICE
        parts = _parts(path)
        for depth in range(len(parts) + 1):
            device = self._mounts.get(self._find("/".join(parts[:depth])), device)
        return device


def _parts(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in _HERE]
