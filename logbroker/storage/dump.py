"""Shows what is in a file of a log directory, as rows, one after the other; nothing is written.

    for row in dump("data/orders-0/00000000000000000000.log", records=True): ...

A row is a dict of plain values (numbers, texts, lists) that begins with `kind` and `position`, the byte where it starts. What is wrong
stands in a row of its own or beside what it concerns, as `problem`; what can be read behind it is still shown. The file's name says
what it is: `.log`, `.index`, `.timeindex`, `.snapshot` (also with `.deleted` behind it), `.ring` (also `.kept`), `checkpoint`,
`generations`, `leader-epoch-checkpoint`, `partition.metadata`, `meta.properties`. The entries of an index are compared with the
log that lies beside it, which is read for that.

A running broker's files may be shown: a batch or a commit that is being written then looks torn. Memory is bounded by the largest
batch, for a ring file by that file. Blocks; any thread.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from logbroker.base.errors import ConfigError, CorruptionError, InvalidBatchError
from logbroker.base.ids import kafka_uuid
from logbroker.records.batch import BatchHeader, Codec
from logbroker.records.control import parse_marker
from logbroker.records.iterator import iter_records
from logbroker.storage import checkpoint_file, snapshot_file, transaction_index
from logbroker.storage.dump_journal import ring_rows
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.read_only import ReadOnlyVfs
from logbroker.storage.segment_check import BatchWalk, IndexCheck, OffsetIndexCheck, TimeIndexCheck
from logbroker.storage.verify_partition import finding_of
from logbroker.storage.vfs import OsFile

Row = dict[str, Any]

SMALL_FILE_BYTES_MAX = 64 << 20
"""Of files that are read whole: the directory's own bound on a sane checkpoint, snapshot or text file."""

_PIECE_ENTRIES = 8192


def dump(path: str, *, records: bool = False) -> Iterator[Row]:
    """The rows of a file; with `records` the records of batches, and the entries of commits, too.

    Raises:
        ConfigError: the name says nothing about what the file is.
        OSError: it can't be read.

    """
    name = os.path.basename(path).removesuffix(".deleted").removesuffix(".kept")
    if name.endswith(".log"):
        return _log_rows(path, records=records)
    if name.endswith(".index"):
        return _index_rows(path, _base_of(name), OFFSET_ENTRY.size, _offset_entry, OffsetIndexCheck)
    if name.endswith(".timeindex"):
        return _index_rows(path, _base_of(name), TIME_ENTRY.size, _time_entry, TimeIndexCheck)
    if name.endswith(".txnindex"):
        return _guarded(path, _aborted_rows)
    if name.endswith(".snapshot"):
        return _guarded(path, _snapshot_rows)
    if name.endswith(".ring"):
        return ring_rows(path, entries=records)
    if name == checkpoint_file.FILE_NAME:
        return _guarded(path, _checkpoint_rows)
    if name in _TEXTS:
        return _guarded(path, _text_rows)
    raise ConfigError(
        f"{path} is no file that can be shown; .log, .index, .timeindex, .txnindex, .snapshot, .ring, checkpoint, "
        f"{', '.join(_TEXTS)} can"
    )


_TEXTS = ("generations", "leader-epoch-checkpoint", "partition.metadata", "meta.properties")


def _base_of(name: str) -> int:
    stem = name.partition(".")[0]
    return int(stem) if stem.isdecimal() else 0


# Segments


def _log_rows(path: str, *, records: bool) -> Iterator[Row]:
    file = ReadOnlyVfs().open(path)
    rows: list[Row] = []
    headers: dict[int, BatchHeader] = {}

    def on_batch(position: int, header: BatchHeader) -> None:
        rows.append(_batch_row(position, header))
        headers[position] = header

    try:
        walk = BatchWalk(path, file.pread, 0, file.size(), gaps_allowed=True, on_batch=on_batch)
        for _ in walk.steps():
            yield from _settle(walk, rows, headers, file, records=records)
        yield from _settle(walk, rows, headers, file, records=records)
    finally:
        file.close()


def _settle(
    walk: BatchWalk, rows: list[Row], headers: dict[int, BatchHeader], file: OsFile, *, records: bool
) -> Iterator[Row]:
    """Rows that the last step of the walk brought, in order, findings beside them."""
    findings = {finding.position: finding for finding in walk.findings}
    walk.findings.clear()
    for row in rows:
        finding = findings.pop(row["position"], None)
        if finding is not None:
            row["problem"] = finding.what
        yield row
        if records and finding is None:
            yield from _record_rows(row["position"], headers[row["position"]], file)
    for finding in findings.values():
        row = {"kind": "nothing", "position": finding.position}
        if finding.offset is not None:
            row["offset"] = finding.offset
        yield {**row, "problem": finding.what}
    rows.clear()
    headers.clear()


def _batch_row(position: int, header: BatchHeader) -> Row:
    codec = header.codec_id
    row: Row = {
        "kind": "batch",
        "position": position,
        "base_offset": header.base_offset,
        "last_offset": header.last_offset,
        "record_count": header.record_count,
        "size_bytes": header.size_bytes,
        "leader_epoch": header.partition_leader_epoch,
        "codec": Codec(codec).name.lower() if codec in _CODECS else f"unknown ({codec})",
        "timestamp_type": "LogAppendTime" if header.is_log_append_time else "CreateTime",
        "base_timestamp_ms": header.base_timestamp,
        "max_timestamp_ms": header.max_timestamp,
        "crc": f"{header.crc:#010x}",
    }
    if header.has_producer_id:
        row["producer_id"] = header.producer_id
        row["producer_epoch"] = header.producer_epoch
        row["base_sequence"] = header.base_sequence
    for name in ("is_transactional", "is_control", "has_delete_horizon"):
        if getattr(header, name):
            row[name] = True
    return row


_CODECS = frozenset(Codec)


def _record_rows(position: int, header: BatchHeader, file: OsFile) -> Iterator[Row]:
    data = file.pread(header.size_bytes, position)
    try:
        for record in iter_records(data, header=header):
            row: Row = {
                "kind": "record",
                "position": position,
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
            }
            _put(row, "key", record.key)
            _put(row, "value", record.value)
            headers = []
            for name, value in record.headers:
                shown: Row = {"name": name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
                _put(shown, "value", value)
                headers.append(shown)
            row["headers"] = headers
            marker = parse_marker(data, header) if header.is_control else None
            if marker is not None:
                row["marker"] = "commit" if marker.commit else "abort"
                row["coordinator_epoch"] = marker.coordinator_epoch
            yield row
    except InvalidBatchError as error:
        yield {"kind": "record", "position": position, "offset": header.base_offset, "problem": str(error)}


def _put(row: Row, name: str, content: memoryview | None) -> None:
    """Bytes as text where they are UTF-8, else base64, and said so."""
    if content is None:
        row[name] = None
        return
    try:
        row[name] = str(content, "utf-8")
    except UnicodeDecodeError:
        row[name] = base64.b64encode(content).decode("ascii")
        row[f"{name}_encoding"] = "base64"


# Indexes


def _offset_entry(base_offset: int, data: bytes, at: int) -> tuple[Row, tuple[int, int]]:
    relative, position = OFFSET_ENTRY.unpack_from(data, at)
    return {"offset": base_offset + relative, "log_position": position}, (relative, position)


def _time_entry(base_offset: int, data: bytes, at: int) -> tuple[Row, tuple[int, int]]:
    timestamp, relative = TIME_ENTRY.unpack_from(data, at)
    return {"timestamp_ms": timestamp, "offset": base_offset + relative}, (timestamp, relative)


def _index_rows(
    path: str,
    base_offset: int,
    width: int,
    read: Callable[[int, bytes, int], tuple[Row, tuple[int, int]]],
    check: Callable[[str, bytes, int], IndexCheck],
) -> Iterator[Row]:
    found = _beside_its_log(path, base_offset, check)
    file = ReadOnlyVfs().open(path)
    try:
        size = file.size()
        last: tuple[int, int] | None = None
        for start in range(0, size, _PIECE_ENTRIES * width):
            data = file.pread(_PIECE_ENTRIES * width, start)
            for at in range(0, len(data) - width + 1, width):
                shown, entry = read(base_offset, data, at)
                row = {"kind": "entry", "position": start + at, **shown}
                if last is not None and (entry[0] <= last[0] or entry[1] <= last[1]):
                    row["problem"] = f"entry {entry} follows {last}"
                elif start + at in found:
                    row["problem"] = found[start + at]
                last = entry
                yield row
        if size % width:
            what = f"{size % width} bytes where an entry of {width} should be"
            yield {"kind": "nothing", "position": size - size % width, "problem": what}
    finally:
        file.close()


def _beside_its_log(
    path: str, base_offset: int, check: Callable[[str, bytes, int], IndexCheck]
) -> dict[int, str]:
    """What is wrong with an index's entries, by their position; nothing where there is no log to compare it with."""
    stem, _, suffixes = os.path.basename(path).partition(".")
    _, dot, deleted = suffixes.partition(".")
    log_path = os.path.join(os.path.dirname(path), f"{stem}.log{dot}{deleted}")
    vfs = ReadOnlyVfs()
    if not vfs.exists(log_path):
        return {}
    index, log = vfs.open(path), vfs.open(log_path)
    try:
        checked = check(path, index.pread(min(index.size(), SMALL_FILE_BYTES_MAX), 0), base_offset)
        walk = BatchWalk(log_path, log.pread, 0, log.size(), gaps_allowed=True, on_batch=checked.batch)
        for _ in walk.steps():
            pass
        if walk.position >= log.size():
            checked.finish()
    finally:
        index.close()
        log.close()
    return {finding.position: finding.what for finding in checked.findings}


# Small files


def _guarded(path: str, rows: Callable[[str, bytes], Iterator[Row]]) -> Iterator[Row]:
    """The rows of a file that is read whole."""
    file = ReadOnlyVfs().open(path)
    try:
        if file.size() > SMALL_FILE_BYTES_MAX:
            what = f"{file.size()} bytes are too many for such a file"
            yield {"kind": "nothing", "position": SMALL_FILE_BYTES_MAX, "problem": what}
            return
        data = file.pread(file.size(), 0)
    finally:
        file.close()
    try:
        yield from rows(path, data)
    except CorruptionError as error:
        _, position, what = finding_of(error)
        yield {"kind": "nothing", "position": position, "problem": what}


def _aborted_rows(path: str, data: bytes) -> Iterator[Row]:
    whole = len(data) // transaction_index.ENTRY.size * transaction_index.ENTRY.size
    base_offset = _base_of(os.path.basename(path))
    aborted = transaction_index.decode(data[:whole], path, base_offset=base_offset, end_offset=1 << 62)
    for number, entry in enumerate(aborted):
        yield {"kind": "entry", "position": number * transaction_index.ENTRY.size, **entry._asdict()}
    if whole < len(data):
        what = f"{len(data) - whole} bytes where an entry of {transaction_index.ENTRY.size} should be"
        yield {"kind": "nothing", "position": whole, "problem": what}


def _snapshot_rows(path: str, data: bytes) -> Iterator[Row]:
    producers = snapshot_file.decode(data, path)
    head_bytes = len(snapshot_file.encode({}))
    entry_bytes = (len(data) - head_bytes) // max(len(producers), 1)
    for number, (producer_id, entry) in enumerate(producers.items()):
        row: Row = {
            "kind": "producer",
            "position": head_bytes + number * entry_bytes,
            "producer_id": producer_id,
            "producer_epoch": entry.epoch,
            "last_sequence": entry.last_sequence,
            "last_timestamp_ms": entry.last_timestamp_ms,
            "coordinator_epoch": entry.coordinator_epoch,
            "transaction_first_offset": entry.transaction_first_offset,
        }
        if entry.batches:
            row["base_offset"] = entry.batches[-1].base_offset
            row["last_offset"] = entry.batches[-1].last_offset
        yield row


def _checkpoint_rows(path: str, data: bytes) -> Iterator[Row]:
    checkpoint = checkpoint_file.decode(data, path)
    yield {
        "kind": "checkpoint",
        "position": 0,
        "generation": checkpoint.generation,
        "salt": f"{checkpoint.salt:#018x}",
        "sequence": checkpoint.sequence,
        "clean": checkpoint.clean,
        "partitions": len(checkpoint.points),
    }
    position = len(checkpoint_file.encode(0, 0, 0, [], clean=True))
    for point in checkpoint.points:
        row: Row = {
            "kind": "partition",
            "position": position,
            "topic_id": kafka_uuid(UUID(bytes=point.topic_id)),
            "partition": point.partition,
            "start_offset": point.start_offset,
            "end_offset": point.end_offset,
            "segments": [{"base_offset": base, "size_bytes": size} for base, size in point.segments],
            "leader_epochs": [{"epoch": epoch, "start_offset": first} for epoch, first in point.epochs],
        }
        if point.aborted:
            row["aborted"] = [{"base_offset": base, "entries": count} for base, count in point.aborted]
        if point.refused:
            row["refused"] = point.refused
        position += len(checkpoint_file.encode_point(point))
        try:
            row["producers"] = len(ProducerStates.decode(point.producers)) if point.producers else 0
        except CorruptionError as error:
            row["problem"] = finding_of(error)[2]
        yield row


def _text_rows(path: str, data: bytes) -> Iterator[Row]:
    position = 0
    for line in data.splitlines(keepends=True):
        try:
            yield {"kind": "line", "position": position, "text": line.decode("utf-8").rstrip("\r\n")}
        except UnicodeDecodeError as error:
            what = f"byte {line[error.start]:#04x} is no text"
            yield {"kind": "line", "position": position + error.start, "problem": what}
        position += len(line)
