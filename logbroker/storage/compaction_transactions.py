"""What compaction knows of transactions as it passes over a log: whose records are void, and which markers are still needed.

Records of an aborted transaction go at once. A marker stays until a pass meets none of its transaction's batches any more; then it gets a
delete horizon like a tombstone, so that consumers that are in the middle learn of it (Kafka's CleanedTransactionMetadata). Which
transactions were aborted says the log's aborted-transaction index. One thread.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable

from logbroker.records.batch import BatchHeader
from logbroker.storage.transaction_index import AbortedTransaction

_MARKER_KEY = struct.Struct(">hh")
_ABORT = 0
_COMMIT = 1


def marker_type(key: bytes | None) -> int:
    """The type in a control record's key; -1 if it can't be read."""
    return _MARKER_KEY.unpack_from(key)[1] if key is not None and len(key) >= _MARKER_KEY.size else -1


class CleanedTransactions:
    """See the module; told of every batch in offset order."""

    def __init__(self, aborted: Iterable[AbortedTransaction]) -> None:
        self._ahead = [(entry.first_offset, entry) for entry in aborted]
        heapq.heapify(self._ahead)
        self._aborted: dict[int, AbortedTransaction] = {}
        self._seen: set[int] = set()
        """Producers of aborted transactions of which a batch was met."""
        self._committed: set[int] = set()
        self.kept: list[AbortedTransaction] = []
        """Aborted transactions whose markers stay: the new index."""

    def _advance(self, offset: int) -> None:
        while self._ahead and self._ahead[0][0] <= offset:
            entry = heapq.heappop(self._ahead)[1]
            self._aborted.setdefault(entry.producer_id, entry)

    def data_is_void(self, header: BatchHeader) -> bool:
        """A data batch: whether its transaction was aborted."""
        self._advance(header.last_offset)
        if not header.is_transactional:
            return False
        if header.producer_id in self._aborted:
            self._seen.add(header.producer_id)
            return True
        self._committed.add(header.producer_id)
        return False

    def marker_is_idle(self, header: BatchHeader, type_: int | None) -> bool:
        """A control batch with a record of this type (None: it is empty): whether nothing of its transaction is left."""
        self._advance(header.last_offset)
        producer_id = header.producer_id
        if type_ is None:
            return True
        if type_ == _ABORT:
            entry = self._aborted.pop(producer_id, None)
            if entry is not None and producer_id in self._seen:
                self._seen.discard(producer_id)
                self.kept.append(entry)
                return False
            return True
        if type_ == _COMMIT:
            met = producer_id in self._committed
            self._committed.discard(producer_id)
            return not met
        return False
