"""Names of the files that belong to a segment, in Kafka's scheme: 20 digits of base offset and a suffix."""

from __future__ import annotations

from collections.abc import Iterable

from logbroker.storage.vfs import Vfs

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
TIME_INDEX_SUFFIX = ".timeindex"
TXN_INDEX_SUFFIX = ".txnindex"
SNAPSHOT_SUFFIX = ".snapshot"
DELETED_SUFFIX = ".deleted"
CLEANED_SUFFIX = ".cleaned"
"""Behind a file's own suffix: compaction is writing it."""
SWAP_SUFFIX = ".swap"
"""Behind a file's own suffix: compaction has written it, and it takes its place once the journal says so."""
SUFFIXES = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, SNAPSHOT_SUFFIX)


def file_name(base_offset: int, suffix: str = LOG_SUFFIX) -> str:
    """Kafka's file name: 20 digits and a suffix."""
    return f"{base_offset:020d}{suffix}"


def list_bases(vfs: Vfs, directory: str) -> list[int]:
    """Base offsets of the segments in a partition's directory, ascending."""
    return bases_of(vfs.listdir(directory))


def bases_of(names: Iterable[str]) -> list[int]:
    """Base offsets of the segments among these files, ascending."""
    bases = []
    for name in names:
        stem, dot, suffix = name.partition(".")
        if dot + suffix == LOG_SUFFIX and len(stem) == 20 and stem.isdecimal():
            bases.append(int(stem))
    return sorted(bases)
