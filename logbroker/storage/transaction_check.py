"""Compares a `.txnindex` with its checkpoint's count and with the markers of its segment. Pure; any thread."""

from __future__ import annotations

from collections.abc import Callable

from logbroker.base.errors import CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.records.batch import BatchHeader
from logbroker.records.control import parse_marker
from logbroker.storage.segment_check import Finding
from logbroker.storage.transaction_index import ENTRY, AbortedTransaction, decode

_BEHIND = 1 << 62
"""Behind the offset of any marker."""


class AbortedCheck:
    """The check of one segment's index, while `batch` is told of the batches.

    Args:
        path: Of the index.
        data: All of it; None: there is no such file.
        base_offset: Of the segment.
        count: How many entries the checkpoint knows; None: nobody knows.
        begun: By producer id, the first batch of each transaction that the segments before have left open; kept up to date.
        read: Reads (bytes, position) of the segment; asked for markers only.

    """

    __slots__ = (
        "_begun",
        "_first",
        "_markers",
        "_path",
        "_read",
        "entry_count",
        "extra_bytes",
        "findings",
        "told",
    )

    def __init__(
        self,
        path: str,
        data: Buffer | None,
        base_offset: int,
        count: int | None,
        begun: dict[int, int],
        read: Callable[[int, int], Buffer],
    ) -> None:
        self._path = path
        self._read = read
        self._begun = begun
        self._markers: dict[int, int] = {}
        """By offset, the producer of each marker that says abort."""
        self._first: dict[int, int] = {}
        """The earliest batch of the transaction that each marker ends."""
        self.findings: list[Finding] = []
        self.told: list[AbortedTransaction] = []
        size = len(data or b"")
        vouched = size // ENTRY.size * ENTRY.size if count is None else count * ENTRY.size
        self.entry_count = min(vouched, size) // ENTRY.size
        self.extra_bytes = max(size - vouched, 0)
        """Behind what was vouched for: entries that were not synced when the broker stopped."""
        if size < vouched:
            what = "is missing" if data is None else f"ends {vouched - size} bytes early"
            self._find(
                size, f"the index of {count} aborted transactions {what}; the next start reads the whole log"
            )
        try:
            front = memoryview(data or b"")[: self.entry_count * ENTRY.size]
            self.told = decode(front, path, base_offset=base_offset, end_offset=_BEHIND)
        except CorruptionError as error:
            self._find(error.position, error.what)

    def batch(self, position: int, header: BatchHeader) -> None:
        """Hear of the next batch."""
        if header.is_control:
            if self._aborts(position, header):
                self._markers[header.base_offset] = header.producer_id
            self._first[header.base_offset] = self._begun.pop(header.producer_id, _BEHIND)
        elif header.is_transactional and header.record_count:
            self._begun.setdefault(header.producer_id, header.base_offset)

    def _aborts(self, position: int, header: BatchHeader) -> bool:
        try:
            marker = parse_marker(self._read(header.size_bytes, position), header)
        except InvalidBatchError:  # the batch is damaged, which is a finding of its own
            return True
        return marker is None or not marker.commit

    def finish(self) -> None:
        """There are no more batches: an entry without a marker is none, and one that begins too late hides the first batches."""
        for number, aborted in enumerate(self.told):
            if self._markers.get(aborted.last_offset) != aborted.producer_id:
                self._find(
                    number * ENTRY.size,
                    f"no marker that aborts a transaction of producer id {aborted.producer_id} lies at offset {aborted.last_offset}",
                )
            elif self._first[aborted.last_offset] < aborted.first_offset:
                self._find(
                    number * ENTRY.size,
                    f"the transaction that the marker at offset {aborted.last_offset} ends has a batch at offset "
                    f"{self._first[aborted.last_offset]}, before its first offset {aborted.first_offset}",
                )

    def _find(self, position: int, what: str) -> None:
        self.findings.append(Finding(self._path, position, None, what))
