"""The checkpoint of a log directory: one file that says what is durable in the segments themselves.

    magic "LBCP", version u16, flags u16, CRC-32C u32 over these and the rest
    generation u64, salt u64        the journal's life that wrote it
    sequence u64                    recovery replays the journal from this commit on; ring files below it are free
    point count u32, then the points

A *point* is one partition: topic id and index, log start and end offset, its segments (base offset and bytes of each: a file that is
missing or short can't go unnoticed), how many aborted transactions their `.txnindex` files hold, the epoch list, the producers' state as
`ProducerStates.encode` gives it, whether the topic is acknowledged from the page cache, whether it was ever compacted, and, of a
partition that recovery refused, why. Everything is published in one atomic replacement, after
the segments, indexes and names it speaks of were synced, so a reader never sees half of a checkpoint.

An unreadable checkpoint refuses the directory: it never reads as "nothing is durable". A directory is born with an empty one.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from crc32c import crc32c

from logbroker.base.errors import CorruptionError
from logbroker.storage.vfs import Vfs, read_whole, write_atomically

FILE_NAME = "checkpoint"
MAGIC = b"LBCP"
VERSION = 2
UNINDEXED = 1
"""The version that knew no transactions; it is read as well."""
CLEAN = 1
"""Flag: written by a clean stop; the ring holds nothing more."""
PAGE_CACHE = 1
"""Flag of a point."""
COMPACTED = 2
"""Flag of a point."""

_HEAD = struct.Struct(">4sHH")
_CRC = struct.Struct(">I")
_HEADER_SIZE = _HEAD.size + _CRC.size
_BODY = struct.Struct(">QQQI")
_POINT = struct.Struct(">16siqqIIIHB")
_ABORTED_COUNT = struct.Struct(">I")
_REFUSED_MAX_BYTES = 1000
_EPOCH = struct.Struct(">iq")
_SEGMENT = struct.Struct(">qI")
_ABORTED = struct.Struct(">qI")


class Point(NamedTuple):
    """What is durable of one partition."""

    topic_id: bytes
    partition: int
    start_offset: int
    end_offset: int
    segments: list[tuple[int, int]]
    """(base offset, size in bytes), ascending; the last is the active one."""
    epochs: list[tuple[int, int]]
    producers: bytes
    refused: str = ""
    """Why recovery refused the partition: durable bytes of it are damaged."""
    page_cache: bool = False
    """The topic is acknowledged from the page cache: batches behind the end may be promises to whoever survives a kill."""
    aborted: tuple[tuple[int, int], ...] = ()
    """(base offset, entries) of each segment that has an index of aborted transactions."""
    compacted: bool = False
    """Compaction has been here: offsets may be missing anywhere."""

    @property
    def segment_base(self) -> int:
        """Base offset of the active segment."""
        return self.segments[-1][0] if self.segments else self.end_offset

    @property
    def position(self) -> int:
        """Byte position of the end in the active segment."""
        return self.segments[-1][1] if self.segments else 0


class Checkpoint(NamedTuple):
    """A whole checkpoint file."""

    generation: int
    salt: int
    sequence: int
    clean: bool
    points: list[Point]


def encode_point(point: Point) -> bytes:
    """The bytes of one point."""
    refused = point.refused.encode()[:_REFUSED_MAX_BYTES].decode(errors="ignore").encode()
    head = _POINT.pack(
        point.topic_id,
        point.partition,
        point.start_offset,
        point.end_offset,
        len(point.segments),
        len(point.epochs),
        len(point.producers),
        len(refused),
        (PAGE_CACHE if point.page_cache else 0) | (COMPACTED if point.compacted else 0),
    )
    segments = [_SEGMENT.pack(*segment) for segment in point.segments]
    epochs = [_EPOCH.pack(*epoch) for epoch in point.epochs]
    aborted = [_ABORTED_COUNT.pack(len(point.aborted)), *(_ABORTED.pack(*each) for each in point.aborted)]
    return b"".join((head, *segments, *epochs, point.producers, refused, *aborted))


def _decode_point(data: bytes, at: int, version: int) -> tuple[Point, int]:
    (
        topic_id,
        partition,
        start,
        end,
        segment_count,
        epoch_count,
        producer_bytes,
        refused_bytes,
        flags,
    ) = _POINT.unpack_from(data, at)
    at += _POINT.size
    segments = [_SEGMENT.unpack_from(data, at + i * _SEGMENT.size) for i in range(segment_count)]
    at += segment_count * _SEGMENT.size
    epochs = [_EPOCH.unpack_from(data, at + i * _EPOCH.size) for i in range(epoch_count)]
    at += epoch_count * _EPOCH.size
    producers = data[at : at + producer_bytes]
    at += producer_bytes
    refused = data[at : at + refused_bytes].decode()
    at += refused_bytes
    aborted: tuple[tuple[int, int], ...] = ()
    if version > UNINDEXED:
        (aborted_count,) = _ABORTED_COUNT.unpack_from(data, at)
        at += _ABORTED_COUNT.size
        aborted = tuple(_ABORTED.unpack_from(data, at + i * _ABORTED.size) for i in range(aborted_count))
        at += aborted_count * _ABORTED.size
    point = Point(
        topic_id,
        partition,
        start,
        end,
        segments,
        epochs,
        producers,
        refused,
        page_cache=bool(flags & PAGE_CACHE),
        compacted=bool(flags & COMPACTED),
        aborted=aborted,
    )
    return point, at


def encode(generation: int, salt: int, sequence: int, points: list[bytes], *, clean: bool) -> bytes:
    """The whole file, from encoded points."""
    body = b"".join((_BODY.pack(generation, salt, sequence, len(points)), *points))
    head = _HEAD.pack(MAGIC, VERSION, CLEAN if clean else 0)
    return b"".join((head, _CRC.pack(crc32c(body, crc32c(head))), body))


def decode(data: bytes, path: str) -> Checkpoint:
    """Read a file back. Raises CorruptionError with the position of what is wrong."""
    if len(data) < _HEADER_SIZE + _BODY.size:
        raise CorruptionError(path, 0, f"{len(data)} bytes are no checkpoint")
    magic, version, flags = _HEAD.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, _HEAD.size)
    if magic != MAGIC:
        raise CorruptionError(path, 0, "this is no checkpoint file")
    if version not in (UNINDEXED, VERSION):
        raise CorruptionError(
            path, 4, f"checkpoint version {version} is not known; was it written by a newer logbroker?"
        )
    if crc32c(memoryview(data)[_HEADER_SIZE:], crc32c(data[: _HEAD.size])) != crc:
        raise CorruptionError(path, 8, "the checkpoint's CRC does not match its bytes")
    generation, salt, sequence, count = _BODY.unpack_from(data, _HEADER_SIZE)
    at = _HEADER_SIZE + _BODY.size
    points: list[Point] = []
    try:
        for _ in range(count):
            point, at = _decode_point(data, at, version)
            points.append(point)
    except struct.error as error:
        raise CorruptionError(path, at, f"point {len(points)} of {count} is cut short") from error
    if at != len(data):
        raise CorruptionError(path, at, f"{len(data) - at} bytes follow the last point")
    return Checkpoint(generation, salt, sequence, bool(flags & CLEAN), points)


def read(vfs: Vfs, directory: str) -> Checkpoint | None:
    """The directory's checkpoint, None if there is no such file. Raises CorruptionError, OSError."""
    path = f"{directory}/{FILE_NAME}"
    if not vfs.exists(path):
        return None
    return decode(read_whole(vfs, path), path)


def write(vfs: Vfs, directory: str, data: bytes) -> None:
    """Publish an encoded checkpoint, durably."""
    write_atomically(vfs, f"{directory}/{FILE_NAME}", data)
