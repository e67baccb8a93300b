"""Which partition a record goes to.

A record with a key goes where Java's producer would send it: `toPositive(murmur2(key)) % partitions`
(`org.apache.kafka.clients.producer.internals.BuiltInPartitioner`, MurmurHash2 by Austin Appleby, seed
0x9747b28c). Programs that join topics by key depend on every producer agreeing on this.

A record without a key sticks to one partition until about a batch's worth of bytes went there, then moves on to
another (KIP-794): batches fill, and no partition is favoured for long. Only partitions with a leader are
chosen, as long as there is one.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from logbroker.base.types import Buffer

__all__ = ["StickyChoice", "murmur2", "partition_for_key"]

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_MASK = 0xFFFFFFFF
_TAIL_BYTES = 3


def murmur2(data: Buffer) -> int:
    """Return the 32-bit MurmurHash2 of `data` as an unsigned int, bit for bit Java's `Utils.murmur2`."""
    length = len(data)
    tail = length & _TAIL_BYTES
    whole = length - tail
    state = (_SEED ^ length) & _MASK
    for (word,) in struct.iter_unpack("<I", memoryview(data)[:whole]):
        mixed = (word * _MULTIPLIER) & _MASK
        mixed = ((mixed ^ (mixed >> 24)) * _MULTIPLIER) & _MASK
        state = ((state * _MULTIPLIER) & _MASK) ^ mixed
    if tail:
        state ^= int.from_bytes(data[whole:], "little")
        state = (state * _MULTIPLIER) & _MASK
    state ^= state >> 13
    state = (state * _MULTIPLIER) & _MASK
    return state ^ (state >> 15)


def partition_for_key(key: Buffer, partition_count: int) -> int:
    """Return the partition of `key` in a topic of `partition_count` (>= 1) partitions, as Java's producer does."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count


class StickyChoice:
    """The partition that records of one topic without a key go to for now."""

    __slots__ = ("_bytes_there", "_random", "_stay_bytes", "partition")

    def __init__(self, stay_bytes: int, chooser: random.Random | None = None) -> None:
        """Move on after about `stay_bytes` bytes; `chooser` makes the choice repeatable."""
        self._stay_bytes = stay_bytes
        self._bytes_there = 0
        self._random = chooser or random.Random()
        self.partition = -1

    def choose(self, available: Sequence[int], partition_count: int) -> int:
        """Return the partition for the next record.

        Args:
            available: the partitions that have a leader, ascending; may be empty.
            partition_count: how many partitions the topic has, >= 1.

        """
        if self.partition < 0 or self._bytes_there >= self._stay_bytes or self.partition >= partition_count:
            self.move_on(available, partition_count)
        return self.partition

    def count(self, size_bytes: int) -> None:
        """Remember that `size_bytes` went to the chosen partition."""
        self._bytes_there += size_bytes

    def move_on(self, available: Sequence[int], partition_count: int) -> None:
        """Choose a partition anew, another one if there is another."""
        candidates = available or range(partition_count)
        self._bytes_there = 0
        others = [partition for partition in candidates if partition != self.partition]
        self.partition = self._random.choice(others) if others else candidates[0]
