"""The file `journal/generations`: the lives whose commits the ring may hold, and the files that the ring has.

    <name>.ring <bytes> <CRC-32C>       a line for each file
    <number> <salt> <CRC-32C>           a line for each generation, the newest last: it is missed where the list was cut

Commits of a generation that isn't listed are not believed, so a generation is listed before its first commit. A file is listed
before the first commit goes there, and from then on it is missed: without the list, the end of the log would
go with the last file, and nothing would say so. (A list without files is that of an older release.)
"""

from __future__ import annotations

from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.errors import CorruptionError
from logbroker.storage.vfs import Vfs, read_whole, write_atomically


class Generation(NamedTuple):
    """One life of the journal."""

    number: int
    salt: int


class RingEntry(NamedTuple):
    """A file of the ring that must be there."""

    name: str
    size: int
    """In bytes, at least."""


class Contents(NamedTuple):
    """What the file `generations` says: the lives that the ring may hold, oldest first, and its files."""

    generations: list[Generation]
    files: list[RingEntry]


def read_contents(vfs: Vfs, path: str) -> Contents:
    """The generations that the journal at `path` may hold, and the files it has. Raises CorruptionError on an unreadable list."""
    name = f"{path}/generations"
    contents = Contents([], [])
    if not vfs.exists(name):
        return contents
    try:
        for line in read_whole(vfs, name).decode("ascii").splitlines():
            content, _, crc = line.rpartition(" ")
            if int(crc) != crc32c(content.encode("ascii")):
                raise ValueError(line)
            first, second = content.split(" ")
            if first.endswith(".ring"):
                contents.files.append(RingEntry(first, int(second)))
            else:
                contents.generations.append(Generation(int(first), int(second)))
    except ValueError as error:
        raise CorruptionError(
            name, 0, "not a list of generations; the directory can't be recovered"
        ) from error
    return contents


def write_contents(vfs: Vfs, path: str, contents: Contents) -> None:
    """Replace the list, durably."""
    lines = [f"{one} {other}" for part in (contents.files, contents.generations) for one, other in part]
    text = "".join(f"{line} {crc32c(line.encode('ascii'))}\n" for line in lines)
    write_atomically(vfs, f"{path}/generations", text.encode("ascii"))
