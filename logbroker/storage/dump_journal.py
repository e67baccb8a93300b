"""The rows of a journal ring file, for `dump.py`: commits in the order of the file, old lives among them.

A ring file is used again and again, so behind the newest commit lie those of an earlier round. Which of them a start would replay is
decided by the checkpoint and the other files (`replay.py`), not here; here each one tells its generation and sequence, and whether
its own bytes are whole. A torn one is what a crash leaves behind the last that was acknowledged; elsewhere it is damage.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from logbroker.base.ids import kafka_uuid
from logbroker.storage.journal_format import (
    BATCH,
    COMPACTED,
    DELETE,
    FILE_BLOCK,
    FLUSHED,
    LOG_START,
    PAGE_CACHE,
    START,
    SYNCED,
    TRUNCATE,
    Commit,
    CommitHead,
    Entry,
    read_commit,
    read_head,
)
from logbroker.storage.read_only import ReadOnlyVfs

_KINDS = {
    BATCH: "batch",
    SYNCED: "synced",
    TRUNCATE: "truncate",
    LOG_START: "log start",
    DELETE: "delete",
    FLUSHED: "flushed",
    PAGE_CACHE: "page cache",
    COMPACTED: "compacted",
    START: "start of a generation",
}


def ring_rows(path: str, *, entries: bool) -> Iterator[dict[str, Any]]:
    """Rows of each commit, with `entries` those of its table, too. Raises OSError."""
    file = ReadOnlyVfs().open(path)
    try:
        data = memoryview(file.pread(file.size(), 0))  # a bad sector under a mapping would kill the process
    finally:
        file.close()
    position = 0
    newest = -1
    while position < len(data):
        head = read_head(data, position)
        if head is None:
            position += FILE_BLOCK
            continue
        commit = read_commit(data, position)
        row: dict[str, Any] = {
            "kind": "commit",
            "position": position,
            "generation": head.generation,
            "salt": f"{head.salt:#018x}",
            "sequence": head.sequence,
            "entries": head.entry_count,
            "payload_bytes": head.payload_bytes,
        }
        newest = max(newest, head.sequence)
        if head.sequence < newest:
            row["earlier_round"] = True
        if commit is None:
            yield {**row, "problem": "header and table don't match their CRC (torn or damaged)"}
            position += FILE_BLOCK
            continue
        row["size_bytes"] = commit.size_bytes
        if commit.payload_error is not None:
            row["problem"] = f"{commit.payload_error} (torn or damaged)"
        yield row
        if entries:
            yield from _entry_rows(position, head, commit)
        position += commit.size_bytes if commit.payload_error is None else FILE_BLOCK


def _entry_rows(position: int, head: CommitHead, commit: Commit) -> Iterator[dict[str, Any]]:
    for number, entry in enumerate(commit.entries):
        yield {
            "kind": "entry",
            "position": position,
            "sequence": head.sequence,
            "number": number,
            **_entry_fields(entry),
        }


def _entry_fields(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {"what": _KINDS.get(entry.kind, f"unknown ({entry.kind})")}
    if entry.kind == START:
        return {**fields, "first_sequence": entry.base_offset}
    fields["topic_id"] = kafka_uuid(UUID(bytes=entry.topic_id))
    fields["partition"] = entry.partition
    if entry.kind in (BATCH, SYNCED):
        fields["base_offset"] = entry.base_offset
        fields["next_offset"] = entry.next_offset
        fields["previous_end"] = entry.previous_end
        fields["size_bytes"] = entry.length
    elif entry.kind != DELETE:
        fields["offset"] = entry.next_offset
    if entry.kind in (BATCH, SYNCED, TRUNCATE, FLUSHED):
        fields["segment"] = entry.segment_base
        fields["segment_position"] = entry.position
        fields["leader_epoch"] = entry.leader_epoch
    if entry.kind == BATCH:
        fields["crc"] = f"{entry.batch_crc:#010x}"
    return fields
