"""A transaction coordinator whose clock, log and partitions a test moves."""

from __future__ import annotations

import pytest

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.testing.coordinators import Bench
from logbroker.transactions.decisions import NEEDS_PRODUCER_ID, Producer
from logbroker.transactions.machine import MachineServices, Outcome, TransactionMachine
from logbroker.transactions.markers import MarkerServices

FIRST_PRODUCER_ID = 1000
TIMEOUT_MS = 60_000
EXPIRATION_MS = 3_600_000
COORDINATOR_EPOCH = 7


def got(completion):
    """The value of a completion that must be there."""
    assert completion.done
    values = []
    completion.on_done(values.append)
    return values[0]


class Markers:
    """Partitions that take markers, or don't: writes are recorded, and answered when the test says so."""

    def __init__(self):
        self.written = []
        self.held = None
        self.errors = {}
        self.gone = set()

    def write(self, topic, partition, producer_id, producer_epoch, coordinator_epoch, commit, version):
        error = self.errors.get((topic, partition), ErrorCode.NONE)
        if isinstance(error, BrokerError):
            raise error
        answer = Completion()
        marker = (topic, partition, producer_id, producer_epoch, coordinator_epoch, commit)
        if self.held is not None:
            self.held.append((marker, answer))
        else:
            if error is ErrorCode.NONE:
                self.written.append(marker)
            answer.set(error)
        return answer

    def exists(self, topic, partition):
        return (topic, partition) not in self.gone

    def hold(self):
        self.held = []

    def release(self, error=ErrorCode.NONE):
        held, self.held = self.held or [], None
        for marker, answer in held:
            if error is ErrorCode.NONE:
                self.written.append(marker)
            answer.set(error)


class TransactionBench(Bench):
    """One shard of transactional ids. `init`, `add`, `end` settle everything and return what was answered."""

    def __init__(self):
        self.markers = Markers()
        self.next_producer_id = FIRST_PRODUCER_ID
        super().__init__(
            lambda bench, shard: TransactionMachine(
                shard,
                COORDINATOR_EPOCH,
                MachineServices(
                    MarkerServices(
                        lambda *marker: bench.markers.write(*marker),  # noqa: PLW0108 - it may be replaced
                        bench.markers.exists,
                        bench.clock,
                        bench.timers,
                    ),
                    bench.clock,
                    bench.timers,
                    lambda: EXPIRATION_MS,
                ),
            ),
            topic="__transaction_state",
        )

    def _ask(self, ask):
        try:
            answer = ask(None)
            if answer is NEEDS_PRODUCER_ID:
                self.next_producer_id += 1
                answer = ask(self.next_producer_id - 1)
        except BrokerError as error:
            answer = Completion()
            answer.set(Outcome(error.code))
        return answer

    def ask_init(self, name="x", expected=None, timeout_ms=TIMEOUT_MS):
        expected = None if expected is None else Producer(*expected)
        return self._ask(lambda fresh: self.machine.initialize(name, expected, timeout_ms, fresh))

    def ask_end(self, producer, *, commit=True, version=2, name="x"):
        return self._ask(
            lambda fresh: self.machine.end(
                name,
                Producer(*producer),
                commit=commit,
                client_version=version,
                fresh_producer_id=fresh,
            )
        )

    def ask_add(self, producer, *partitions, name="x", version=2):
        try:
            return self.machine.add(name, Producer(*producer), frozenset(partitions), version)
        except BrokerError as error:
            answer = Completion()
            answer.set(error.code)
            return answer

    def init(self, *args, **options):
        return self._settled(self.ask_init(*args, **options))

    def end(self, *args, **options):
        return self._settled(self.ask_end(*args, **options))

    def add(self, *args, **options):
        answer = self.ask_add(*args, **options)
        self.settle()
        return got(answer).name

    def _settled(self, answer):
        self.settle()
        outcome = got(answer)
        if outcome.error is ErrorCode.NONE:
            return outcome.producer_id, outcome.producer_epoch
        return outcome.error.name

    @property
    def state(self):
        return self.machine.entries["x"].transaction.state.name

    def transaction(self, name="x"):
        return self.machine.entries[name].transaction


@pytest.fixture
def bench():
    return TransactionBench()


@pytest.fixture
def new_bench():
    return TransactionBench


@pytest.fixture
def value_of():
    return got


@pytest.fixture
def runtime_class():
    return CoordinatorRuntime
