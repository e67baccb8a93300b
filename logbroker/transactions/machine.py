"""The transactional ids of one partition of `__transaction_state`.

Requests are decided by `decisions` on what is durable. A change is *pending* from its write until it is durable; whoever comes
meanwhile is told CONCURRENT_TRANSACTIONS. A write that is refused leaves everything as it was. A write of which nothing is
heard in time is answered COORDINATOR_NOT_AVAILABLE, but stays pending: it may still become durable, and nothing may be decided
until that is known.

After PREPARE_* the change to COMPLETE_* is pending until every partition has its marker and the record is durable. The client
was answered long before that.

Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from logbroker.base import failpoints, logs
from logbroker.base.clock import Clock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.record import leading_int16
from logbroker.coordination.formats.transaction_log import TRANSACTION, transaction_log
from logbroker.coordination.machine import LoadedRecord
from logbroker.coordination.shard import Shard
from logbroker.coordination.timers import TimerHandle, Timers
from logbroker.records.batch import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from logbroker.transactions import decisions, transaction
from logbroker.transactions.decisions import Answer, NeedsProducerId, Producer
from logbroker.transactions.entry import Entry
from logbroker.transactions.errors import told
from logbroker.transactions.markers import Marker, MarkerSender, MarkerServices
from logbroker.transactions.records import decode, encode, encode_key
from logbroker.transactions.states import AT_REST, PREPARED, State, check_transition
from logbroker.transactions.transaction import TopicPartition, Transaction

LOOK_AGAIN_S: Final = 1.0
"""When a write is late, or the last record of a transaction was refused: how long until it is looked at again."""

DROPS_PER_WRITE: Final = 200
"""Tombstones in one write."""

PREPARED_DURABLE = failpoints.declare(
    "transaction.prepared", "an outcome is durable; neither the client nor any partition has heard of it"
)
MARKERS_DURABLE = failpoints.declare(
    "transaction.marked", "every partition has its marker; that the transaction is complete is not written"
)

_log = logs.get("transactions")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a producer is told."""

    error: ErrorCode
    producer_id: int = NO_PRODUCER_ID
    producer_epoch: int = NO_PRODUCER_EPOCH


@dataclass(frozen=True, slots=True)
class MachineServices:
    """What a machine is handed.

    Attributes:
        markers: How markers are written.
        expiration_ms: `transactional.id.expiration.ms` as it is now.

    """

    markers: MarkerServices
    clock: Clock
    timers: Timers
    expiration_ms: Callable[[], int]


class TransactionMachine:
    """Transactions of one shard.

    Attributes:
        coordinator_epoch: The partition's leader epoch, which markers carry: a partition refuses those of an older one.
        entries: By transactional id.

    """

    __slots__ = ("_closed", "_looks", "_ongoing", "_services", "_shard", "coordinator_epoch", "entries")

    def __init__(
        self, shard: Shard[TransactionMachine], coordinator_epoch: int, services: MachineServices
    ) -> None:
        self.coordinator_epoch = coordinator_epoch
        self.entries: dict[str, Entry] = {}
        self._ongoing: set[str] = set()
        self._looks: dict[str, TimerHandle] = {}
        self._shard = shard
        self._services = services
        self._closed = False

    # ---- requests

    def initialize(
        self,
        transactional_id: str,
        expected: Producer | None,
        timeout_ms: int,
        fresh_producer_id: int | None,
    ) -> Completion[Outcome] | NeedsProducerId:
        """InitProducerId. Raises BrokerError."""
        now_ms = self._services.clock.wall_ms()
        entry = self.entries.get(transactional_id)
        if entry is None:
            if fresh_producer_id is None:
                return decisions.NEEDS_PRODUCER_ID
            entry = Entry(transaction.new(fresh_producer_id, timeout_ms, now_ms))
        entry.require_settled()
        decision = decisions.initialize(entry.transaction, expected, timeout_ms, now_ms, fresh_producer_id)
        if isinstance(decision, NeedsProducerId):
            return decision
        answer: Completion[Outcome] = Completion()
        if isinstance(decision, Answer):
            answer.set(Outcome(ErrorCode.NONE, decision.producer_id, decision.producer_epoch))
        elif decision.state is State.PREPARE_ABORT:
            # Somebody else's transaction is aborted first; whoever asked comes again when that is done.
            self._prepare(
                transactional_id,
                entry,
                decision,
                lambda outcome: answer.set(Outcome(outcome.error or ErrorCode.CONCURRENT_TRANSACTIONS)),
            )
        else:
            self._write(
                transactional_id,
                entry,
                decision,
                lambda error: answer.set(
                    Outcome(error, decision.producer_id, decision.producer_epoch)
                    if error is ErrorCode.NONE
                    else Outcome(error)
                ),
            )
            self.entries[transactional_id] = entry
        return answer

    def add(
        self,
        transactional_id: str,
        producer: Producer,
        partitions: frozenset[TopicPartition],
        client_version: int,
    ) -> Completion[ErrorCode]:
        """AddPartitionsToTxn and AddOffsetsToTxn; NONE when it is durable that they are in. Raises BrokerError."""
        entry = self._entry(transactional_id)
        entry.require_settled()
        decision = decisions.add_partitions(
            entry.transaction, producer, partitions, client_version, self._services.clock.wall_ms()
        )
        answer: Completion[ErrorCode] = Completion()
        if isinstance(decision, Answer):
            answer.set(ErrorCode.NONE)
        else:
            self._write(transactional_id, entry, decision, answer.set)
        return answer

    def verify(
        self, transactional_id: str, producer: Producer, partitions: frozenset[TopicPartition]
    ) -> frozenset[TopicPartition]:
        """The partitions that are not in the transaction. Raises BrokerError."""
        return decisions.verify(self._entry(transactional_id).transaction, producer, partitions)

    def end(
        self,
        transactional_id: str,
        producer: Producer,
        *,
        commit: bool,
        client_version: int,
        fresh_producer_id: int | None,
    ) -> Completion[Outcome] | NeedsProducerId:
        """EndTxn: answered when the outcome is durable, while markers are still on their way. Raises BrokerError."""
        entry = self._entry(transactional_id)
        if client_version < transaction.BUMPS_EPOCH_FROM:
            decisions.check_producer(entry.transaction, producer)
        entry.require_settled()
        decision = decisions.end(
            entry.transaction,
            producer,
            commit=commit,
            client_version=client_version,
            now_ms=self._services.clock.wall_ms(),
            fresh_producer_id=fresh_producer_id,
        )
        if isinstance(decision, NeedsProducerId):
            return decision
        answer: Completion[Outcome] = Completion()
        if isinstance(decision, Answer):
            answer.set(Outcome(ErrorCode.NONE, decision.producer_id, decision.producer_epoch))
        else:
            self._prepare(transactional_id, entry, decision, answer.set)
        return answer

    def when_settled(self, transactional_id: str, callback: Callable[[], None]) -> None:
        """Call back when no change of it is pending; at once if none is."""
        entry = self.entries.get(transactional_id)
        if entry is None or entry.pending is None:
            callback()
        else:
            entry.waiters[callback] = None

    def wait_no_longer(self, transactional_id: str, callback: Callable[[], None]) -> None:
        """Take a `when_settled` back."""
        entry = self.entries.get(transactional_id)
        if entry is not None:
            entry.waiters.pop(callback, None)

    # ---- time

    def overdue(self, limit: int | None = None) -> list[str]:
        """Transactional ids whose transaction has gone on for too long; at most `limit` of them."""
        now_ms = self._services.clock.wall_ms()
        found = (
            transactional_id
            for transactional_id in self._ongoing
            if (entry := self.entries[transactional_id]).pending is None
            and entry.transaction.is_overdue(now_ms)
        )
        return list(islice(found, limit))

    def abort_overdue(self, transactional_id: str, fresh_producer_id: int | None) -> bool:
        """Abort its transaction if it still goes on for too long; False: ask again with a producer id."""
        entry = self.entries.get(transactional_id)
        now_ms = self._services.clock.wall_ms()
        if entry is None or entry.pending is not None or not entry.transaction.is_overdue(now_ms):
            return True
        decision = decisions.fence(entry.transaction, now_ms, fresh_producer_id)
        if isinstance(decision, NeedsProducerId):
            return False
        _log.info(
            "a transaction took too long and is aborted",
            transactional_id=transactional_id,
            producer_id=decision.producer_id,
            timeout_ms=decision.timeout_ms,
        )
        try:
            self._prepare(transactional_id, entry, decision, lambda _: None)
        except BrokerError as error:
            # It stays overdue: the next look finds it again.
            _log.warning("it could not be aborted", transactional_id=transactional_id, reason=str(error))
        return True

    def drop_expired(self) -> None:
        """Forget transactional ids that nobody has used for `transactional.id.expiration.ms`."""
        latest_ms = self._services.clock.wall_ms() - self._services.expiration_ms()
        expired = [
            (transactional_id, entry)
            for transactional_id, entry in self.entries.items()
            if entry.pending is None
            and entry.transaction.state in AT_REST
            and entry.transaction.updated_ms <= latest_ms
        ]
        for first in range(0, len(expired), DROPS_PER_WRITE):
            try:
                self._drop(expired[first : first + DROPS_PER_WRITE])
            except BrokerError as error:
                _log.warning("transactional ids could not be forgotten", reason=str(error))
                return

    def _drop(self, some: list[tuple[str, Entry]]) -> None:
        """Write tombstones. Raises BrokerError: there are none for the last of them."""
        tombstones = [(encode_key(transactional_id), None) for transactional_id, _ in some]
        try:
            self._shard.write(tombstones, partial(self._dropped, some))
        except BrokerError as error:
            half = len(some) // 2
            if error.code is not ErrorCode.RECORD_LIST_TOO_LARGE or not half:
                raise
            self._drop(some[:half])
            self._drop(some[half:])
            return
        for _, entry in some:
            check_transition(entry.transaction.state, State.DEAD)
            entry.pending = State.DEAD

    def _dropped(self, some: list[tuple[str, Entry]], error: ErrorCode) -> None:
        if self._closed:
            return
        if error is ErrorCode.REQUEST_TIMED_OUT:
            self._when_durable(some[0][0], partial(self._dropped, some))
            return
        for transactional_id, entry in some:
            if error is ErrorCode.NONE:
                del self.entries[transactional_id]
            entry.settle()

    # ---- the shard's life

    def replay(self, record: LoadedRecord) -> None:
        """Take over a record; kinds that this release doesn't know are passed over."""
        if leading_int16(record.key) == TRANSACTION:
            transactional_id = transaction_log.decode_key(record.key).transactional_id
            self.entries[transactional_id] = Entry(decode(record.value))

    def loaded(self) -> None:
        """Go on with the markers of every transaction whose outcome was decided."""
        for transactional_id, entry in list(self.entries.items()):
            self._follow(transactional_id, entry)
            if entry.transaction.state in PREPARED:
                self._begin_markers(transactional_id, entry)

    def unloaded(self, error: ErrorCode) -> None:
        """Send nothing more; whoever waits is told by the shard, or asks again and is sent away."""
        self._closed = True
        for timer in self._looks.values():
            timer.cancel()
        self._looks.clear()
        for entry in self.entries.values():
            if entry.markers is not None:
                entry.markers.cancel()
            entry.settle()
        self.entries.clear()
        self._ongoing.clear()

    # ---- for people

    def transactions(self) -> Iterator[tuple[str, Transaction]]:
        """Every transactional id, as far as it is durable and not expiring."""
        for transactional_id, entry in self.entries.items():
            if entry.is_known:
                yield transactional_id, entry.transaction

    def find(self, transactional_id: str) -> Transaction | None:
        """One of them."""
        entry = self.entries.get(transactional_id)
        return entry.transaction if entry is not None and entry.is_known else None

    @property
    def waiting_markers(self) -> int:
        """Partitions that don't have their marker yet."""
        return sum(len(entry.markers.waiting) for entry in self.entries.values() if entry.markers is not None)

    # ---- carrying out

    def _entry(self, transactional_id: str) -> Entry:
        entry = self.entries.get(transactional_id)
        if entry is None:
            raise BrokerError(
                ErrorCode.INVALID_PRODUCER_ID_MAPPING, f"transactional id {transactional_id!r} is not known"
            )
        return entry

    def _follow(self, transactional_id: str, entry: Entry) -> None:
        """Keep the list of what goes on, so that looking for what is overdue costs nothing else."""
        if entry.transaction.state is State.ONGOING:
            self._ongoing.add(transactional_id)
        else:
            self._ongoing.discard(transactional_id)

    def _write(
        self, transactional_id: str, entry: Entry, after: Transaction, done: Callable[[ErrorCode], None]
    ) -> None:
        """Make `after` durable, then what is known. Raises BrokerError: nothing was changed."""
        record = encode(transactional_id, after)
        self._shard.write((record,), partial(self._written, transactional_id, entry, after, done))
        entry.pending = after.state

    def _written(
        self,
        transactional_id: str,
        entry: Entry,
        after: Transaction,
        done: Callable[[ErrorCode], None],
        error: ErrorCode,
    ) -> None:
        if self._closed:
            done(ErrorCode.NOT_COORDINATOR)
            return
        if error is ErrorCode.REQUEST_TIMED_OUT:
            done(ErrorCode.COORDINATOR_NOT_AVAILABLE)
            # It may yet become durable. Until that is known, it stays pending.
            self._when_durable(transactional_id, partial(self._written, transactional_id, entry, after, done))
            return
        if error is ErrorCode.NONE:
            entry.transaction = after
            self._follow(transactional_id, entry)
        elif entry.transaction.producer_epoch == NO_PRODUCER_EPOCH:
            # Nothing of it was ever durable.
            self.entries.pop(transactional_id, None)
        entry.pending = None
        done(told(error))
        if entry.pending is None:
            entry.settle()

    def _when_durable(self, key: str, written: Callable[[ErrorCode], None]) -> None:
        """Tell `written` of a late write when it is durable; if it never will be, the shard ends."""

        def looked(error: ErrorCode) -> None:
            if error is ErrorCode.NONE:
                written(error)
            elif not self._closed:
                # It is still late; or what was queued behind it was refused, which says nothing of it.
                self._when_durable(key, written)

        self._look_later(key, partial(self._shard.after_writes, looked))

    def _look_later(self, key: str, look: Callable[[], None]) -> None:
        """Do `look` in a while, and not from within whatever told that something is late."""

        def due() -> None:
            self._looks.pop(key, None)
            look()

        waiting = self._looks.pop(key, None)
        if waiting is not None:
            waiting.cancel()
        when = self._services.clock.monotonic() + LOOK_AGAIN_S
        self._looks[key] = self._services.timers.call_at(when, due)

    def _prepare(
        self,
        transactional_id: str,
        entry: Entry,
        after: Transaction,
        done: Callable[[Outcome], None],
    ) -> None:
        """Write the outcome; when it is durable, answer, and send the markers. Raises BrokerError."""

        def written(error: ErrorCode) -> None:
            if entry.transaction is not after:
                done(Outcome(error))
                return
            if PREPARED_DURABLE.armed:
                PREPARED_DURABLE.hit()
            # The answer is what the producer goes on with: whoever has that may come back only when all is complete.
            complete = transaction.completed(after, after.updated_ms)
            entry.pending = complete.state
            done(Outcome(error, complete.producer_id, complete.producer_epoch))
            self._begin_markers(transactional_id, entry)

        self._write(transactional_id, entry, after, written)

    def _begin_markers(self, transactional_id: str, entry: Entry) -> None:
        known = entry.transaction
        complete = transaction.completed(known, self._services.clock.wall_ms())
        entry.pending = complete.state
        entry.markers = MarkerSender(
            transactional_id,
            Marker(
                known.producer_id,
                known.producer_epoch,
                self.coordinator_epoch,
                known.state is State.PREPARE_COMMIT,
                known.client_version,
            ),
            known.partitions,
            partial(self._complete, transactional_id, entry, complete),
            self._services.markers,
        )
        entry.markers.start()

    def _complete(self, transactional_id: str, entry: Entry, complete: Transaction) -> None:
        """Every partition has its marker: say so, as often as it takes."""
        if self._closed:
            return
        if MARKERS_DURABLE.armed:
            MARKERS_DURABLE.hit()
        entry.markers = None

        def written(error: ErrorCode) -> None:
            if not self._closed and entry.transaction is not complete:
                # If it is only late, `_written` looks after it instead.
                self._complete_later(transactional_id, entry, complete, error.name)

        try:
            self._write(transactional_id, entry, complete, written)
        except BrokerError as error:
            self._complete_later(transactional_id, entry, complete, str(error))

    def _complete_later(
        self, transactional_id: str, entry: Entry, complete: Transaction, reason: str
    ) -> None:
        entry.pending = complete.state
        _log.warning(
            "the end of a transaction could not be written", transactional_id=transactional_id, reason=reason
        )
        self._look_later(transactional_id, partial(self._complete, transactional_id, entry, complete))
