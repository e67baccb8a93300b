"""Which partition of an internal topic keeps the state of a key.

Clients and tools compute the same number, and a directory must keep its meaning, so it is Kafka's arithmetic to the bit:
Java's `String.hashCode` over UTF-16 code units, its absolute value (0 for the one int that has none), modulo the
partition count. The count must therefore never change while the topic has state in it.
"""

from __future__ import annotations

from array import array
from functools import lru_cache

_INT_MIN = -(1 << 31)
_CACHED_KEYS = 65_536
"""Keys whose hash is remembered: a busy group asks with every heartbeat."""


@lru_cache(maxsize=_CACHED_KEYS)
def java_string_hash(text: str) -> int:
    """`text.hashCode()` as Java computes it: a signed 32-bit int."""
    units = array("H")
    units.frombytes(text.encode("utf-16-le" if _LITTLE_ENDIAN else "utf-16-be", "surrogatepass"))
    value = 0
    for unit in units:
        value = (31 * value + unit) & 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def partition_for_key(key: str, partition_count: int) -> int:
    """The partition, 0 to `partition_count - 1`, of the coordinator that owns `key`."""
    value = java_string_hash(key)
    return 0 if value == _INT_MIN else abs(value) % partition_count


_LITTLE_ENDIAN = array("H", [1]).tobytes()[0] == 1
