"""What the group coordinator shows of itself: how many groups in which state, what they hold, and how it loads and writes.

Committed offsets and lag by group are not here: they are counted against partitions, by whoever knows both. Read at scrape
time out of the live state, on the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from logbroker.base.metrics import Metric
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import ShardState
from logbroker.groups.machine import GroupMachine

STATES: Final = ("Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Stable")
"""Of groups of all kinds, in the order of a group's life."""


def collect(runtime: CoordinatorRuntime[GroupMachine]) -> Iterator[Metric]:
    """The metrics, counted now."""
    machines = list(runtime.machines())
    summaries = [
        machine.kind_of(group).summary(group) for machine in machines for group in machine.groups.values()
    ]
    states = Counter(summary.state for summary in summaries)
    yield Metric(
        "logbroker_groups",
        "Groups by state.",
        "gauge",
        [((("state", state),), states[state]) for state in STATES],
    )
    yield Metric(
        "logbroker_group_members",
        "Members of all groups.",
        "gauge",
        [((), sum(summary.members for summary in summaries))],
    )
    yield Metric(
        "logbroker_group_offsets",
        "Committed offsets of all groups.",
        "gauge",
        [((), sum(machine.offsets.count for machine in machines))],
    )
    shards = [runtime.shard(index) for index in range(runtime.partition_count)]
    lives = Counter(ShardState.ABSENT if shard is None else shard.state for shard in shards)
    yield Metric(
        "logbroker_coordinator_shards",
        "Partitions of a coordinator's internal topic, by whether they are served.",
        "gauge",
        [((("topic", runtime.topic), ("state", state.value)), lives[state]) for state in ShardState],
    )
    yield Metric(
        "logbroker_coordinator_pending_writes",
        "Events of a coordinator that wait for their records to become durable.",
        "gauge",
        [((("topic", runtime.topic),), sum(shard.pending_writes for shard in shards if shard is not None))],
    )
