"""The coordinators of this broker, each made when it is first needed: at the start if its topic exists, else by the first request.

A broker whose clients know neither groups nor transactions never imports what keeps them, so it listens, and recovers, sooner
and takes less memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.metrics import Metric
from logbroker.base.tasks import TaskScope
from logbroker.base.timers import Timers
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import OFFSETS_TOPIC, TRANSACTION_TOPIC
from logbroker.replication.replica_manager import ReplicaManager

if TYPE_CHECKING:
    from logbroker.groups.machine import GroupMachine
    from logbroker.groups.service import GroupService
    from logbroker.transactions.service import TransactionService


class Coordinators:
    """Groups and transactions. Loop thread only; `start` once, then `stop` once.

    `defer` calls back at the end of the loop tick; None: the running loop's `call_soon`.
    """

    def __init__(
        self,
        metadata: MetadataService,
        replicas: ReplicaManager,
        clock: Clock,
        timers: Timers,
        tasks: TaskScope,
        *,
        defer: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._metadata = metadata
        self._replicas = replicas
        self._clock = clock
        self._timers = timers
        self._tasks = tasks
        self._defer = defer
        self._groups: GroupService | None = None
        self._transactions: TransactionService | None = None

    @property
    def groups(self) -> GroupService:
        """The coordinator of all groups."""
        if self._groups is None:
            from logbroker.groups.service import GroupService

            self._groups = GroupService(
                self._metadata, self._replicas, self._clock, self._timers, self._tasks, defer=self._defer
            )
            self._groups.start()
        return self._groups

    @property
    def transactions(self) -> TransactionService:
        """The coordinator of all transactions."""
        if self._transactions is None:
            from logbroker.transactions.service import TransactionService

            self._transactions = TransactionService(
                self._metadata,
                self._replicas,
                self.write_marker,
                self.groups.offsets_partition,
                self._clock,
                self._timers,
                self._tasks,
                defer=self._defer,
            )
            self._transactions.start()
        return self._transactions

    def start(self) -> None:
        """Go on with what an earlier life left: sessions, and transactions whose outcome was decided."""
        image = self._metadata.image
        if image.topic(OFFSETS_TOPIC) is not None:
            _ = self.groups
        if image.topic(TRANSACTION_TOPIC) is not None:
            _ = self.transactions

    def release_waiting(self) -> None:
        """Answer every member that waits for others: the broker is about to stop."""
        if self._groups is not None:
            self._groups.release_waiting()

    async def stop(self) -> None:
        """Serve no longer. What was acknowledged is in the log."""
        if self._transactions is not None:
            await self._transactions.stop()
        if self._groups is not None:
            await self._groups.stop()

    def group_machines(self) -> Iterator[GroupMachine]:
        """The groups of all shards that serve."""
        if self._groups is not None:
            yield from self._groups.runtime.machines()

    def collect(self) -> Iterator[Metric]:
        """Metrics of the coordinators there are."""
        if self._groups is not None:
            yield from self._groups.collect()
        if self._transactions is not None:
            yield from self._transactions.collect()

    def write_marker(
        self,
        topic: str,
        partition: int,
        producer_id: int,
        producer_epoch: int,
        coordinator_epoch: int,
        commit: bool,
        transaction_version: int,
        /,
    ) -> Completion[ErrorCode]:
        """End a transaction in one partition; NONE when that is durable. Raises BrokerError: nothing was appended.

        Offsets that were committed with it are looked after by the coordinator of their group.
        """
        if topic == OFFSETS_TOPIC:
            return self.groups.complete_transaction(
                partition, producer_id, producer_epoch, coordinator_epoch, commit, transaction_version
            )
        outcome: Completion[ErrorCode] = Completion()
        self._replicas.partition(topic, partition).append_marker(
            producer_id,
            producer_epoch,
            coordinator_epoch,
            commit=commit,
            transaction_version=transaction_version,
            on_done=lambda item: outcome.set(ErrorCode(item.error)),
        )
        return outcome
