"""Asking the leaders of many partitions something, each for its own, until all have answered.

A leader that moved, is not to be reached or asks for another attempt is looked up again after a pause, until the
cluster's `api_timeout_ms` is over; then the first failure is raised. Only for requests that may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Generic, TypeAlias, TypeVar

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError
from logbroker.client.cluster import Cluster
from logbroker.client.errors import ConnectionLostError, RefusedError, UnreachableError, error_code_of
from logbroker.client.types import TopicPartition

__all__ = ["AskLeader", "LeaderAnswers", "ask_leaders"]

_log = logging.getLogger(__name__)

T = TypeVar("T")


class LeaderAnswers(Generic[T]):
    """What a leader said of each partition it was asked about."""

    def __init__(self) -> None:
        self.good: dict[TopicPartition, T] = {}
        self.failed: dict[TopicPartition, ClientError] = {}

    def add(self, partition: TopicPartition, error_code: int, value: T) -> None:
        """Take a partition's answer: `value`, or the error that came with it.

        Raises:
            RefusedError: an error that another attempt would not change.

        """
        if not error_code:
            self.good[partition] = value
            return
        refusal = RefusedError(error_code_of(error_code), f"{partition.topic}-{partition.partition}")
        if not refusal.code.retriable:
            raise refusal
        self.failed[partition] = refusal


AskLeader: TypeAlias = Callable[[int, Sequence[TopicPartition]], Awaitable[LeaderAnswers[T]]]
"""Asks a broker about partitions it should lead; raises `ConnectionLostError`, `UnreachableError` or what `add` raises."""


async def ask_leaders(
    cluster: Cluster, partitions: Collection[TopicPartition], ask: AskLeader[T]
) -> dict[TopicPartition, T]:
    """Return what `ask` found out about each of `partitions`.

    Raises:
        RefusedError: a topic or partition doesn't exist, or a broker refused.
        ClientError: some leader gave no answer until `api_timeout_ms` was over.

    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + cluster.api_timeout_ms / 1000
    found: dict[TopicPartition, T] = {}
    attempt = 0
    while True:
        failures = await _one_round(
            cluster, [entry for entry in partitions if entry not in found], ask, found
        )
        if not failures:
            return found
        partition, failure = next(iter(failures.items()))
        if loop.time() >= deadline:
            raise failure
        _log.debug("%s-%d is asked about again: %s", *partition, failure)
        await cluster.backoff(attempt)
        attempt += 1
        await cluster.refresh({partition.topic for partition in failures})


async def _one_round(
    cluster: Cluster, wanted: Sequence[TopicPartition], ask: AskLeader[T], found: dict[TopicPartition, T]
) -> dict[TopicPartition, ClientError]:
    """Ask every leader once; what it answers goes into `found`, what may do better later is returned."""
    by_leader: defaultdict[int, list[TopicPartition]] = defaultdict(list)
    failures: dict[TopicPartition, ClientError] = {}
    for partition in wanted:
        topic = await cluster.topic(partition.topic)
        if not 0 <= partition.partition < len(topic.partitions):
            raise RefusedError(
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                f"partition {partition.partition} of {partition.topic!r}",
                f"the topic has partitions 0 to {len(topic.partitions) - 1}",
            )
        leader = topic.partitions[partition.partition].leader
        if leader < 0:
            failures[partition] = RefusedError(
                ErrorCode.LEADER_NOT_AVAILABLE,
                f"{partition.topic}-{partition.partition}",
                "it has no leader now",
            )
        else:
            by_leader[leader].append(partition)

    async def ask_one(leader: int, asked: Sequence[TopicPartition]) -> None:
        try:
            answers = await ask(leader, asked)
        except (ConnectionLostError, UnreachableError) as error:
            failures.update(dict.fromkeys(asked, error))
            return
        found.update(answers.good)
        failures.update(answers.failed)
        for partition in asked:
            if partition not in answers.good and partition not in answers.failed:
                failures[partition] = ClientError(
                    f"broker {leader} left {partition.topic}-{partition.partition} out of its answer"
                )

    await asyncio.gather(*(ask_one(leader, asked) for leader, asked in by_leader.items()))
    return failures
