"""Consumer groups at a scrape: members, committed offsets, and how far behind they are.

Names and labels are those of `kafka_exporter` (and `kafka_consumergroup_group_lag_seconds` that of `kafka-lag-exporter`), so
that dashboards and alerts which exist go on working. What the broker shows of itself is in `broker/broker_metrics.py`.

Read from what the coordinator keeps, at scrape time, on the loop, in pieces (`base.metrics`): so this walks copies, since
the loop goes on in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from logbroker.base.metrics import Labels, Metric
from logbroker.daemons.lag import OffsetHistory

if TYPE_CHECKING:
    from logbroker.groups.machine import GroupMachine
    from logbroker.replication.replica_manager import ReplicaManager

OFFSETS_MAX: Final = 200_000
"""Committed offsets shown in one scrape, over all groups; beyond it groups are left out whole, and counted."""


class GroupExporter:
    """Committed offsets of consumer groups, and how far behind they are."""

    def __init__(
        self,
        machines: Callable[[], Iterable[GroupMachine]],
        replicas: ReplicaManager,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        offsets_max: int = OFFSETS_MAX,
    ) -> None:
        self._machines = machines
        self._replicas = replicas
        self._monotonic = monotonic
        self._offsets_max = offsets_max
        self._history = OffsetHistory()

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        machines = list(self._machines())
        yield _gauge(
            "kafka_consumergroup_members",
            "Members of a group.",
            [
                ((("consumergroup", name),), len(group.members))
                for machine in machines
                for name, group in list(machine.groups.items())
            ],
        )
        offsets, left_out = self._read(machines)
        yield _gauge(
            "kafka_consumergroup_current_offset",
            "The committed offset of a group.",
            ((_group(group, topic, partition), offset) for group, topic, partition, offset, _ in offsets),
        )
        yield _gauge(
            "kafka_consumergroup_current_offset_sum",
            "The committed offsets of a group, added up over a topic.",
            _sums(((group, topic), offset) for group, topic, _, offset, _ in offsets),
        )
        yield _gauge(
            "kafka_consumergroup_lag",
            "Records between the committed offset of a group and the high watermark.",
            (
                (_group(group, topic, partition), max(0, end - offset))
                for group, topic, partition, offset, end in offsets
                if end is not None
            ),
        )
        yield _gauge(
            "kafka_consumergroup_lag_sum",
            "The lag of a group, added up over a topic.",
            _sums(
                ((group, topic), max(0, end - offset))
                for group, topic, _, offset, end in offsets
                if end is not None
            ),
        )
        yield _gauge(
            "kafka_consumergroup_group_lag_seconds",
            "How long ago the committed offset of a group was the newest.",
            self._lag_seconds(offsets),
        )
        yield _gauge(
            "logbroker_metrics_groups_left_out",
            "Groups whose offsets are not shown, as there are too many.",
            [((), left_out)],
        )

    def _read(self, machines: list[GroupMachine]) -> tuple[list[tuple[str, str, int, int, int | None]], int]:
        """(group, topic, partition, committed offset, high watermark) of what is shown, and groups that are not."""
        now_s = self._monotonic()
        found: list[tuple[str, str, int, int, int | None]] = []
        ends: dict[tuple[str, int], int | None] = {}
        left_out = 0
        for machine in machines:
            for group in list(machine.offsets.groups):
                if len(found) >= self._offsets_max:
                    left_out += 1
                    continue
                for topic, index, value in machine.offsets.of_group(group):
                    key = (topic, index)
                    if key not in ends:
                        partition = (self._replicas.topic(topic) or {}).get(index)
                        ends[key] = partition.high_watermark if partition is not None else None
                    found.append((group, topic, index, value.offset, ends[key]))
        known = {key: end for key, end in ends.items() if end is not None}
        for key, end in known.items():
            self._history.note(key, now_s, end)
        self._history.keep_only(set(known))
        return found, left_out

    def _lag_seconds(
        self, offsets: list[tuple[str, str, int, int, int | None]]
    ) -> Iterator[tuple[Labels, float]]:
        for group, topic, partition, offset, end in offsets:
            seconds = self._history.lag_s((topic, partition), offset) if end is not None else None
            if seconds is not None:
                yield (("group", group), ("topic", topic), ("partition", str(partition))), seconds


def _gauge(name: str, help_: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    return Metric(name, help_, "gauge", samples)


def _group(group: str, topic: str, partition: int) -> Labels:
    return (("consumergroup", group), ("topic", topic), ("partition", str(partition)))


def _sums(values: Iterable[tuple[tuple[str, str], int]]) -> list[tuple[Labels, float]]:
    sums: dict[tuple[str, str], int] = {}
    for key, value in values:
        sums[key] = sums.get(key, 0) + value
    return [((("consumergroup", group), ("topic", topic)), total) for (group, topic), total in sums.items()]
