"""The transaction coordinator as the rest of the broker sees it: requests in, answers or completions out.

Handlers call this; it checks what needs no transaction, finds the shard that has the transactional id, and fetches a producer id
where a decision needs one. A shard that is loading or not here becomes an error code in the answer; nothing raises but
`ensure_topic`.

`__transaction_state` is created when FindCoordinator first asks for the coordinator of a transactional id; its partitions
are loaded when the broker starts.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from logbroker.base import logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, LogbrokerError
from logbroker.base.metrics import Metric
from logbroker.base.tasks import TaskScope
from logbroker.coordination.internal_topics import transaction_topic
from logbroker.coordination.log import CoordinatorLog
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import Shard, ShardServices, WriteLimits
from logbroker.coordination.timers import Timers
from logbroker.coordination.topic import CoordinatorTopic
from logbroker.metadata.events import Event
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import TRANSACTION_TOPIC
from logbroker.transactions import listing
from logbroker.transactions.admission import Addition, Verdicts, as_partition
from logbroker.transactions.decisions import NeedsProducerId, Producer
from logbroker.transactions.errors import refusal
from logbroker.transactions.machine import MachineServices, Outcome, TransactionMachine
from logbroker.transactions.markers import MarkerServices, WriteMarker
from logbroker.transactions.states import State
from logbroker.transactions.transaction import TopicPartition
from logbroker.transactions.upkeep import Upkeep
from logbroker.wire.messages.describe_transactions import TransactionState
from logbroker.wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse

WRITE_TIMEOUT_MS: Final = 30_000
"""How long a change of a transaction may take to become durable."""

_log = logs.get("transactions")

T = TypeVar("T")


class TransactionPartition(CoordinatorLog, Protocol):
    """A partition that this broker leads."""

    @property
    def leader_epoch(self) -> int:
        """Rises when another broker, or this one after a crash, begins to lead it."""
        ...


class TransactionReplicas(Protocol):
    """What the coordinator needs of the replica manager."""

    def partition(self, topic: str, index: int, /) -> TransactionPartition:
        """One partition; raises BrokerError while there is none to use."""
        ...


class HasTransactions(Protocol):
    """What the handlers of this service's requests need of the broker."""

    @property
    def metadata(self) -> MetadataService:
        """The cluster's metadata."""
        ...

    @property
    def transactions(self) -> TransactionService:
        """The coordinator of all transactions."""
        ...


class TransactionService:
    """The coordinator of all transactions.

    Args:
        metadata: The image, who creates topics and who gives out producer ids.
        replicas: The partitions; it must have subscribed to the metadata before `start`.
        write_marker: Appends a marker to any partition.
        offsets_partition: Which partition keeps the offsets of a group.
        clock: The time.
        timers: For time-outs and retries.
        tasks: Where loads run, and what waits for a producer id.
        defer: Calls back at the end of the loop tick; None: the running loop's `call_soon`.

    Attributes:
        runtime: The shards.

    """

    def __init__(
        self,
        metadata: MetadataService,
        replicas: TransactionReplicas,
        write_marker: WriteMarker,
        offsets_partition: Callable[[str], TopicPartition],
        clock: Clock,
        timers: Timers,
        tasks: TaskScope,
        *,
        defer: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._metadata = metadata
        self._replicas = replicas
        self._offsets_partition = offsets_partition
        self._clock = clock
        self._timers = timers
        self._tasks = tasks
        settings = metadata.image.settings
        self._machine_services = MachineServices(
            MarkerServices(write_marker, self._exists, clock, timers), clock, timers, self._expiration_ms
        )
        services = ShardServices(
            clock,
            timers,
            defer or asyncio.get_running_loop().call_soon,
            WriteLimits(settings.message_max_bytes, WRITE_TIMEOUT_MS),
        )
        self.runtime: CoordinatorRuntime[TransactionMachine] = CoordinatorRuntime(
            TRANSACTION_TOPIC, self._open_log, self._new_machine, services, tasks
        )
        self._topic = CoordinatorTopic(self.runtime, metadata, tasks, transaction_topic)
        self._upkeep = Upkeep(self.runtime, metadata, clock, timers, tasks)

    # ---- life

    def start(self) -> None:
        """Begin to load what the log holds; transactions whose outcome was decided go on at once."""
        self._metadata.subscribe(self)
        self._topic.lead()
        self._upkeep.start()

    async def stop(self) -> None:
        """Serve no longer, and send no marker. What was acknowledged is in the log."""
        self._upkeep.stop()
        await self.runtime.stop()

    def on_event(self, event: Event, image: ClusterImage) -> Awaitable[None] | None:
        """Follow the topic's life."""
        self._topic.follow(event)
        return None

    async def ensure_topic(self) -> None:
        """Create `__transaction_state` if it does not exist yet. Raises BrokerError: it can't be created now."""
        await self._topic.ensure()

    def check_coordinator(self, transactional_id: str) -> ErrorCode:
        """Whether this broker can coordinate it now; COORDINATOR_NOT_AVAILABLE if not, to be asked again."""
        return self._topic.check_coordinator(transactional_id)

    def collect(self) -> Iterator[Metric]:
        """Metrics, counted now."""
        machines = list(self.runtime.machines())
        states = Counter(known.state for machine in machines for _, known in machine.transactions())
        yield Metric(
            "logbroker_transactional_ids",
            "Transactional ids by the state of their latest transaction.",
            "gauge",
            [
                ((("state", state.label),), states[state])
                for state in State
                if state not in (State.DEAD, State.PREPARE_EPOCH_FENCE)
            ],
        )
        yield Metric(
            "logbroker_transaction_markers_waiting",
            "Partitions that have not got the marker of a transaction whose outcome is decided.",
            "gauge",
            [((), sum(machine.waiting_markers for machine in machines))],
        )

    # ---- requests

    def initialize(
        self, transactional_id: str, timeout_ms: int, expected: Producer | None
    ) -> Completion[Outcome]:
        """InitProducerId with a transactional id."""
        longest_ms = self._metadata.image.settings.transaction_max_timeout_ms
        if not transactional_id:
            return _at_once(Outcome(ErrorCode.INVALID_REQUEST))
        if not 0 < timeout_ms <= longest_ms:
            return _at_once(Outcome(ErrorCode.INVALID_TRANSACTION_TIMEOUT))
        return self._ask(
            transactional_id,
            lambda machine, fresh: machine.initialize(transactional_id, expected, timeout_ms, fresh),
        )

    def add_partitions(
        self,
        transactional_id: str,
        producer: Producer,
        partitions: frozenset[TopicPartition],
        client_version: int,
    ) -> Completion[ErrorCode]:
        """AddPartitionsToTxn of one transaction; the partitions exist."""
        if not transactional_id:
            return _at_once(ErrorCode.INVALID_REQUEST)
        try:
            machine = self.runtime.machine_for(transactional_id)
            return machine.add(transactional_id, producer, partitions, client_version)
        except BrokerError as error:
            return _at_once(refusal(error))

    def add_offsets(self, transactional_id: str, producer: Producer, group_id: str) -> Completion[ErrorCode]:
        """AddOffsetsToTxn: the partition that keeps the group's offsets is in the transaction like any other."""
        return self.add_partitions(
            transactional_id, producer, frozenset({self._offsets_partition(group_id)}), 0
        )

    def verify(
        self, transactional_id: str, producer: Producer, partitions: frozenset[TopicPartition]
    ) -> dict[TopicPartition, ErrorCode]:
        """Which partitions are in the transaction: NONE, or TRANSACTION_ABORTABLE."""
        try:
            if not transactional_id:
                raise BrokerError(ErrorCode.INVALID_REQUEST)
            machine = self.runtime.machine_for(transactional_id)
            absent = machine.verify(transactional_id, producer, partitions)
        except BrokerError as error:
            return dict.fromkeys(partitions, error.code)
        return {
            partition: ErrorCode.TRANSACTION_ABORTABLE if partition in absent else ErrorCode.NONE
            for partition in partitions
        }

    def end(
        self, transactional_id: str, producer: Producer, *, commit: bool, client_version: int
    ) -> Completion[Outcome]:
        """EndTxn."""
        if not transactional_id:
            return _at_once(Outcome(ErrorCode.INVALID_REQUEST))
        return self._ask(
            transactional_id,
            lambda machine, fresh: machine.end(
                transactional_id,
                producer,
                commit=commit,
                client_version=client_version,
                fresh_producer_id=fresh,
            ),
        )

    def describe(self, transactional_id: str) -> TransactionState:
        """One transaction, for DescribeTransactions."""
        if not transactional_id:
            return listing.undescribed(transactional_id, ErrorCode.INVALID_REQUEST)
        try:
            known = self.runtime.machine_for(transactional_id).find(transactional_id)
        except BrokerError as error:
            return listing.undescribed(transactional_id, error.code)
        if known is None:
            return listing.undescribed(transactional_id, ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)
        return listing.describe(transactional_id, known)

    def list_all(self, request: ListTransactionsRequest) -> ListTransactionsResponse:
        """All transactions of this broker, for ListTransactions."""
        if self.runtime.is_loading:
            return ListTransactionsResponse(error_code=ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        known = (pair for machine in self.runtime.machines() for pair in machine.transactions())
        return listing.list_transactions(request, known, self._clock.wall_ms())

    def admit(
        self,
        transactional_id: str,
        producer_id: int,
        producer_epoch: int,
        partitions: Sequence[TopicPartition],
        add: bool,
    ) -> Completion[Verdicts]:
        """Whether a producer may begin to write to partitions, before its first batch is appended (KIP-890).

        Args:
            transactional_id, producer_id, producer_epoch: As the request says.
            partitions: None of them has an open transaction of this producer and epoch.
            add: Transaction version 2: partitions that are not in the transaction are added. Else they are
                TRANSACTION_ABORTABLE.

        Returns:
            A code for each partition: NONE; INVALID_PRODUCER_EPOCH for a producer that was fenced, as a partition says it;
            INVALID_PRODUCER_ID_MAPPING, CONCURRENT_TRANSACTIONS, or that the coordinator can't be asked now.

        """
        producer = Producer(producer_id, producer_epoch)
        wanted = frozenset(partitions)
        settings = self._metadata.image.settings
        if not add:
            if not settings.transaction_partition_verification_enable:
                return _at_once(dict.fromkeys(wanted, ErrorCode.NONE))
            verdicts = self.verify(transactional_id, producer, wanted)
            return _at_once({partition: as_partition(error) for partition, error in verdicts.items()})
        if not transactional_id:
            return _at_once(dict.fromkeys(wanted, ErrorCode.INVALID_REQUEST))
        answer: Completion[Verdicts] = Completion()
        longest_ms = settings.add_partitions_to_txn_retry_backoff_max_ms
        addition = Addition(self.runtime, transactional_id, producer, wanted, answer)
        addition.start(self._timers, self._clock.monotonic() + longest_ms / 1000)
        return answer

    # ---- behind it

    def _ask(
        self,
        transactional_id: str,
        ask: Callable[[TransactionMachine, int | None], Completion[Outcome] | NeedsProducerId],
    ) -> Completion[Outcome]:
        """Let the machine decide; fetch a producer id and ask again if it needs one."""
        try:
            decided = ask(self.runtime.machine_for(transactional_id), None)
        except BrokerError as error:
            return _at_once(Outcome(refusal(error)))
        except ValueError:
            return _at_once(Outcome(ErrorCode.INVALID_REQUEST))
        if not isinstance(decided, NeedsProducerId):
            return decided
        answer: Completion[Outcome] = Completion()
        try:
            self._tasks.start(self._ask_with_id(transactional_id, ask, answer), "producer id")
        except RuntimeError:
            answer.set(Outcome(ErrorCode.COORDINATOR_NOT_AVAILABLE))  # the broker is about to stop
        return answer

    async def _ask_with_id(
        self,
        transactional_id: str,
        ask: Callable[[TransactionMachine, int | None], Completion[Outcome] | NeedsProducerId],
        answer: Completion[Outcome],
    ) -> None:
        try:
            fresh = await self._metadata.next_producer_id()
            decided = ask(self.runtime.machine_for(transactional_id), fresh)
            if isinstance(decided, NeedsProducerId):
                raise TypeError("a producer id was given, and is asked for again")
            decided.on_done(answer.set)
        except BrokerError as error:
            answer.set(Outcome(refusal(error)))
        except ValueError:
            # An id that the record's format has no room for.
            answer.set(Outcome(ErrorCode.INVALID_REQUEST))
        except LogbrokerError:
            # No producer id can be reserved any more: the broker is about to stop.
            answer.set(Outcome(ErrorCode.COORDINATOR_NOT_AVAILABLE))
        except Exception as error:
            # As with any handler: a fault of ours is this request's, not the broker's.
            _log.error("a request failed", transactional_id=transactional_id, error=error)
            answer.set(Outcome(ErrorCode.UNKNOWN_SERVER_ERROR))

    def _open_log(self, index: int) -> CoordinatorLog:
        return self._replicas.partition(TRANSACTION_TOPIC, index)

    def _new_machine(self, shard: Shard[TransactionMachine]) -> TransactionMachine:
        epoch = self._replicas.partition(TRANSACTION_TOPIC, shard.index).leader_epoch
        return TransactionMachine(shard, epoch, self._machine_services)

    def _exists(self, topic: str, partition: int) -> bool:
        return self._metadata.image.partition(topic, partition) is not None

    def _expiration_ms(self) -> int:
        return self._metadata.image.settings.transactional_id_expiration_ms


def _at_once(value: T) -> Completion[T]:
    answer: Completion[T] = Completion()
    answer.set(value)
    return answer
