"""What is measured: one row of the table each, with the floor that it must not fall under.

`connections x in flight x records a batch`, values of 1,024 random bytes, acks=all. Kafka runs with its defaults, which
leave syncing to the operating system; ours is durable in every row. The rows that a floor judges are steady states: see
`steady_state.py`. Beside those that write much stands the same load as a burst that the page cache swallows whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

VALUE_BYTES: Final = 1024


@dataclass(frozen=True)
class Row:
    """One kind of load.

    `floor` is the least ratio of ours to Kafka's; `over_bare_us_max`, where it is set, bounds our median latency above
    that of a bare overwrite and fdatasync instead. A `burst` ends before the kernel writes any of Kafka's pages to the disk;
    ours are synced in it all the same.
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
    burst: bool = False

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


_MUCH: Final = tuple(
    Row(
        f"batch{records}",
        f"4 x 5 in flight, batches of {records}",
        partitions=12,
        connections=4,
        depth=5,
        records=records,
        floor=floor,
    )
    for records, floor in ((16, 1.0), (64, 1.0), (900, 0.7))
)

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
    *_MUCH,
    *(
        replace(row, name=f"{row.name}-burst", title=f"{row.title}: a burst", floor=None, burst=True)
        for row in _MUCH
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
