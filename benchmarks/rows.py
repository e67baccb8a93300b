"""What is measured: one row of the table each, with the floor that it must not fall under.

`connections x in flight x records a batch`, values of 1,024 random bytes, acks=all. Kafka runs with its defaults, which
leave syncing to the operating system; ours is durable in every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VALUE_BYTES: Final = 1024


@dataclass(frozen=True)
class Row:
    """One kind of load.

    `floor` is the least ratio of ours to Kafka's; `over_bare_us_max`, where it is set, bounds our median latency above
    that of a bare overwrite and fdatasync instead.
    """

    name: str
    title: str
    partitions: int
    connections: int = 1
    depth: int = 1
    records: int = 1
    floor: float | None = None
    over_bare_us_max: float | None = None
    fetch_max_bytes: int | None = None

    @property
    def reads(self) -> bool:
        """Whether the row reads what was written before, instead of writing."""
        return self.fetch_max_bytes is not None

    def produce_arguments(self) -> list[str]:
        """Options for kload, without how long."""
        return [
            *("-c", str(self.connections), "-d", str(self.depth), "-b", str(self.records)),
            *("-p", str(self.partitions), "-s", str(VALUE_BYTES)),
        ]


ROWS: Final = (
    Row("one", "one at a time", partitions=1, over_bare_us_max=200.0),
    Row("64", "64 connections, one record each", partitions=12, connections=64, floor=0.6),
    Row(
        "64-1000",
        "64 connections, one record each, 1,000 partitions",
        partitions=1000,
        connections=64,
        floor=0.6,
    ),
    Row("4x250", "4 x 250 in flight, 1,000 partitions", partitions=1000, connections=4, depth=250, floor=2.0),
    Row(
        "batch16",
        "4 x 5 in flight, batches of 16",
        partitions=12,
        connections=4,
        depth=5,
        records=16,
        floor=1.0,
    ),
    Row(
        "batch64",
        "4 x 5 in flight, batches of 64",
        partitions=12,
        connections=4,
        depth=5,
        records=64,
        floor=1.0,
    ),
    Row(
        "batch900",
        "4 x 5 in flight, batches of 900",
        partitions=12,
        connections=4,
        depth=5,
        records=900,
        floor=0.7,
    ),
    Row(
        "fetch",
        "catch-up fetch, 4 MB responses",
        partitions=12,
        connections=4,
        depth=5,
        records=64,
        floor=0.8,
        fetch_max_bytes=4 << 20,
    ),
)
