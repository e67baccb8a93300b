"""The latest offset of every key, in memory of a fixed size: one open-addressed table of 24-byte slots.

    slot = BLAKE2b of the key, 16 bytes | offset + 1, 8 bytes little-endian; all zero: free

Keys are represented by their hashes alone. At 128 bits two of ten million keys agree with a probability of about 10^-25, and BLAKE2b
leaves nobody a way to make them agree on purpose (Kafka uses MD5). A table is never filled beyond its load factor: `put` then says so,
and whoever fills it stops there. One thread.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

SLOT_BYTES = 24
DIGEST_BYTES = 16
SLOTS_MIN = 1024

_FREE = bytes(DIGEST_BYTES)
_OFFSET = struct.Struct("<Q")


class OffsetMap:
    """See the module.

    Args:
        memory_bytes: What the table may take.
        load_factor: The share of its slots that may be used.
        expected: How many keys there may be at most; a smaller table does for few.

    """

    __slots__ = ("_end", "_slots", "_table", "limit", "size")

    def __init__(self, memory_bytes: int, load_factor: float, expected: int) -> None:
        load = min(max(load_factor, 0.01), 0.99)
        wanted = int(expected / load) + SLOTS_MIN
        self._slots = max(min(memory_bytes // SLOT_BYTES, wanted), SLOTS_MIN)
        self._end = self._slots * SLOT_BYTES
        self._table = bytearray(self._end)
        self.limit = int(self._slots * load)
        """Keys that it takes."""
        self.size = 0

    def put(self, key: bytes, offset: int) -> bool:
        """The key's latest offset is `offset`; False, and nothing changed, if the key is new and the table full."""
        digest = blake2b(key, digest_size=DIGEST_BYTES).digest()
        table = self._table
        at = int.from_bytes(digest[:8], "little") % self._slots * SLOT_BYTES
        while (found := table[at : at + DIGEST_BYTES]) != digest:
            if found == _FREE:
                if self.size >= self.limit:
                    return False
                self.size += 1
                table[at : at + DIGEST_BYTES] = digest
                break
            at += SLOT_BYTES
            if at == self._end:
                at = 0
        _OFFSET.pack_into(table, at + DIGEST_BYTES, offset + 1)
        return True

    def get(self, key: bytes) -> int:
        """The key's latest offset; -1 if it is unknown."""
        digest = blake2b(key, digest_size=DIGEST_BYTES).digest()
        table = self._table
        at = int.from_bytes(digest[:8], "little") % self._slots * SLOT_BYTES
        while (found := table[at : at + DIGEST_BYTES]) != digest:
            if found == _FREE:
                return -1
            at += SLOT_BYTES
            if at == self._end:
                at = 0
        offset: int = _OFFSET.unpack_from(table, at + DIGEST_BYTES)[0]
        return offset - 1
