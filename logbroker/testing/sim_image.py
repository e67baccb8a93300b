"""What a disk holds at one moment: inodes with sparse pages, and directories, copied on write.

An `Image` is a table from inode number to node. Nodes are shared between images until one of them writes: `fork` costs one
dictionary copy, whatever the files weigh, and page bytes are immutable, so they are never copied at all. That is what
lets a crash simulation make a hundred thousand disks out of one run.

A page that isn't in `FileNode.pages` reads as zeros; every page stored is exactly `PAGE_SIZE` bytes, zero past the end of
the file.
"""

from __future__ import annotations

PAGE_SIZE = 4096
"""Bytes the kernel writes back together."""
SECTOR_SIZE = 512
"""Bytes a drive writes whole or not at all."""
SECTORS_PER_PAGE = PAGE_SIZE // SECTOR_SIZE
ZERO_PAGE = bytes(PAGE_SIZE)
ROOT = 1
"""Inode number of the top directory."""


class FileNode:
    """A file's bytes: `size` in bytes, `pages` by page number, `modified_ms` since the epoch.

    `shrunk` says that the file was cut once, so that an absent page here may still be present on an older image.
    """

    __slots__ = ("modified_ms", "owner", "pages", "shrunk", "size")

    def __init__(
        self, owner: object, pages: dict[int, bytes], size: int, modified_ms: int, *, shrunk: bool = False
    ) -> None:
        self.owner = owner
        self.pages = pages
        self.size = size
        self.modified_ms = modified_ms
        self.shrunk = shrunk

    def read(self, size: int, position: int) -> bytes:
        """Up to `size` bytes from `position`; fewer at the end of the file."""
        end = min(position + size, self.size)
        if end <= position:
            return b""
        first, start = divmod(position, PAGE_SIZE)
        last = (end - 1) // PAGE_SIZE
        get = self.pages.get
        if first == last:
            return get(first, ZERO_PAGE)[start : start + end - position]
        parts = [get(number, ZERO_PAGE) for number in range(first, last + 1)]
        parts[0] = parts[0][start:]
        parts[-1] = parts[-1][: end - last * PAGE_SIZE]
        return b"".join(parts)

    def resize(self, size: int) -> None:
        """Set the size, forgetting every byte past it (only a node its image owns)."""
        if size < self.size:
            self.size = size
            self.trim()
            self.shrunk = True
        self.size = size

    def trim(self) -> None:
        """Drop what is stored past the size."""
        pages = self.pages
        limit, tail = divmod(self.size, PAGE_SIZE)
        if tail:
            page = pages.get(limit)
            if page is not None:
                pages[limit] = page[:tail].ljust(PAGE_SIZE, b"\0")
            limit += 1
        if pages and max(pages) >= limit:
            for number in [number for number in pages if number >= limit]:
                del pages[number]


class DirectoryNode:
    """Names and the inode each one refers to."""

    __slots__ = ("entries", "owner")

    def __init__(self, owner: object, entries: dict[str, int]) -> None:
        self.owner = owner
        self.entries = entries


class Image:
    """Inode number -> node. Read through `file` and `directory`, write only what `own_file` and `own_directory` return."""

    __slots__ = ("_owner", "nodes")

    def __init__(self) -> None:
        self._owner = object()
        self.nodes: dict[int, FileNode | DirectoryNode] = {ROOT: DirectoryNode(self._owner, {})}

    def fork(self) -> Image:
        """A second image with the same content; from here on both copy a node before they write it."""
        other = Image.__new__(Image)
        other._owner = object()
        other.nodes = self.nodes.copy()
        self._owner = object()
        return other

    def add_file(self, inode: int, modified_ms: int) -> None:
        """A new, empty file without a name."""
        self.nodes[inode] = FileNode(self._owner, {}, 0, modified_ms)

    def add_directory(self, inode: int) -> None:
        """A new, empty directory without a name."""
        self.nodes[inode] = DirectoryNode(self._owner, {})

    def file(self, inode: int) -> FileNode:
        """The file with this number, to read."""
        node = self.nodes[inode]
        if type(node) is not FileNode:
            raise TypeError(f"inode {inode} is a directory")
        return node

    def own_file(self, inode: int) -> FileNode:
        """The file with this number, to write."""
        node = self.file(inode)
        if node.owner is not self._owner:
            node = FileNode(self._owner, node.pages.copy(), node.size, node.modified_ms, shrunk=node.shrunk)
            self.nodes[inode] = node
        return node

    def directory(self, inode: int) -> DirectoryNode:
        """The directory with this number, to read."""
        node = self.nodes[inode]
        if type(node) is not DirectoryNode:
            raise TypeError(f"inode {inode} is a file")
        return node

    def own_directory(self, inode: int) -> DirectoryNode:
        """The directory with this number, to write."""
        node = self.directory(inode)
        if node.owner is not self._owner:
            node = DirectoryNode(self._owner, node.entries.copy())
            self.nodes[inode] = node
        return node

    def reachable(self) -> set[int]:
        """Inodes that a name leads to, starting at the top directory."""
        found = {ROOT}
        waiting = [ROOT]
        while waiting:
            for inode in self.directory(waiting.pop()).entries.values():
                if inode not in found:
                    found.add(inode)
                    if type(self.nodes[inode]) is DirectoryNode:
                        waiting.append(inode)
        return found
