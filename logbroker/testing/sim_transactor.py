"""A transactional producer of the simulated coordinators; those that share a transactional id fence one another."""

from __future__ import annotations

import random
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.records.builder import BatchBuilder
from logbroker.testing.model_coordinators import NEVER, CoordinatorModel, OffsetKey, Transaction
from logbroker.testing.sim_coordinator_clients import UNDECIDED, Client
from logbroker.testing.sim_coordinators import DATA_TOPIC, PARTITIONS, SimCoordinators
from logbroker.transactions.decisions import Producer
from logbroker.transactions.machine import Outcome
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)

TIMEOUT_MS: Final = 15_000
_PRODUCE: Final = {0: 11, 2: 12}
_OFFSET_COMMIT: Final = {0: 4, 2: 5}
"""Request versions by transaction version."""

_TRY_AGAIN: Final = frozenset({ErrorCode.CONCURRENT_TRANSACTIONS, ErrorCode.NOT_ENOUGH_REPLICAS})
"""Nothing has happened; the same may be asked again."""


class Transactor(Client):
    """See the module.

    Args:
        transactional_id: Its own, or that of a rival.
        offsets: The offset that it commits in transactions, if nobody else does.
        shared: An offset that others commit too.
        version: The transaction version that it speaks: 0 or 2.

    """

    def __init__(
        self,
        process: SimCoordinators,
        model: CoordinatorModel,
        rng: random.Random,
        transactional_id: str,
        offsets: OffsetKey,
        shared: OffsetKey,
        version: int,
    ) -> None:
        super().__init__(process, model, rng)
        self.transactional_id = transactional_id
        self.offsets = offsets
        self.shared = shared
        self.version = version
        self._forget()

    def _forget(self) -> None:
        self.producer: Producer | None = None
        self.sequences: dict[int, int] = {}
        self.transaction: Transaction | None = None
        self.added: set[object] = set()
        self.outcome: bool | None = None
        """What was asked for, and must be asked again."""

    def act(self) -> None:
        """Ask for something."""
        draw = self.rng.random()
        producer = self.producer
        if producer is None or draw < 0.02:
            self._initialize()
        elif self.outcome is not None:
            self._end(producer, self.outcome)
        elif self.transaction is not None and draw < 0.3:
            self._end(producer, self.rng.random() < 0.7)
        elif draw < 0.75:
            self._produce(producer)
        else:
            self._commit_offset(producer, self.shared if self.rng.random() < 0.3 else self.offsets)

    def _initialize(self) -> None:
        self._forget()
        answer = self.process.transactions.initialize(self.transactional_id, TIMEOUT_MS, None)
        self.ask(answer, self._initialized)

    def _initialized(self, outcome: Outcome) -> None:
        if outcome.error is ErrorCode.NONE:
            self._is_now(outcome)

    def _is_now(self, outcome: Outcome) -> None:
        wrong = self.model.promise_producer(
            self.transactional_id, outcome.producer_id, outcome.producer_epoch
        )
        if wrong:
            self.process.complaints.append(wrong)
        if self.producer != Producer(outcome.producer_id, outcome.producer_epoch):
            self.sequences = {}
        self.producer = Producer(outcome.producer_id, outcome.producer_epoch)

    def _began(self) -> Transaction:
        if self.transaction is None:
            self.transaction = self.model.begin_transaction(self.transactional_id)
        return self.transaction

    def _wrong(self, error: ErrorCode) -> bool:
        """Whether it was refused or is uncertain; whoever can't just ask again begins anew, and abandons the transaction."""
        if error is ErrorCode.NONE:
            return False
        if error not in _TRY_AGAIN:
            self._forget()
        return True

    def _produce(self, producer: Producer) -> None:
        index = self.rng.randrange(PARTITIONS[DATA_TOPIC])
        place = (DATA_TOPIC, index)
        if self.version == 0 and place not in self.added:

            def added(error: ErrorCode) -> None:
                if not self._wrong(error):
                    self._began()
                    self.added.add(place)

            answer = self.process.transactions.add_partitions(
                self.transactional_id, producer, frozenset({place}), 0
            )
            self.ask(answer, added)
            return
        transaction = self._began()
        ticket = self.model.ticket()
        records = self.rng.choice((1, 1, 2, 3))
        builder = BatchBuilder(
            producer_id=producer.producer_id,
            producer_epoch=producer.producer_epoch,
            base_sequence=self.sequences.get(index, 0),
            transactional=True,
        )
        for _ in range(records):
            padding = bytes(self.rng.choice((0, 30, 300)))
            builder.append(self.process.clock.wall_ms(), b"%d" % ticket, padding)
        self.busy = True

        def told(error: ErrorCode) -> None:
            self.busy = False
            if not self._wrong(error):
                transaction.records[ticket] = records
                self.sequences[index] = self.sequences.get(index, 0) + records

        self.process.produce(
            self.transactional_id, index, bytes(builder.build()), _PRODUCE[self.version], told
        )

    def _commit_offset(self, producer: Producer, key: OffsetKey) -> None:
        self.model.touch(key[0], NEVER)  # the offset is written when the transaction's coordinator has agreed
        transactions = self.process.transactions
        if self.version == 0 and key[0] not in self.added:

            def added(error: ErrorCode) -> None:
                if not self._wrong(error):
                    self._began()
                    self.added.add(key[0])

            self.ask(transactions.add_offsets(self.transactional_id, producer, key[0]), added)
            return
        transaction = self._began()
        value = self.model.ticket()
        request = TxnOffsetCommitRequest(
            self.transactional_id,
            key[0],
            producer.producer_id,
            producer.producer_epoch,
            topics=[
                TxnOffsetCommitRequestTopic(DATA_TOPIC, [TxnOffsetCommitRequestPartition(key[1], value)])
            ],
        )

        def told(response: TxnOffsetCommitResponse) -> None:
            if not self._wrong(ErrorCode(response.topics[0].partitions[0].error_code)):
                transaction.offsets[key] = value

        answer = self.process.groups.txn_offset_commit(
            request, _OFFSET_COMMIT[self.version], transactions.admit
        )
        self.ask(answer, told)

    def _end(self, producer: Producer, commit: bool) -> None:
        transaction = self.transaction
        if transaction is None:
            self._forget()
            return
        self.outcome = commit
        if commit:
            transaction.commit_begun = min(transaction.commit_begun, self.model.now())
        answer = self.process.transactions.end(
            self.transactional_id, producer, commit=commit, client_version=self.version
        )

        def told(outcome: Outcome) -> None:
            error = outcome.error
            if error is ErrorCode.NONE:
                if commit:
                    transaction.commit_acked = self.model.now()
                self._is_now(outcome)
                self.transaction = None
                self.added = set()
                self.outcome = None
            elif self._wrong(error) and error not in _TRY_AGAIN and error not in UNDECIDED:
                transaction.refused = True

        self.ask(answer, told)
