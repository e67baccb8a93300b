"""The producer's queue per partition against a model of the broker: nothing twice, nothing out of order, no false report."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.client.delivery import ProducerBatch
from logbroker.client.partition_queue import Identity, PartitionQueue, Verdict

DEFINITE_RETRIABLE = [
    ErrorCode.LEADER_NOT_AVAILABLE,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.NOT_ENOUGH_REPLICAS,
]
AFTER_APPEND = [
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
]
FATAL = [ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.INVALID_RECORD, ErrorCode.TOPIC_AUTHORIZATION_FAILED]


class ModelBroker:
    """One partition with Kafka's producer-state rules (`ProducerStateManager`, last five batches remembered)."""

    def __init__(self):
        self.log = []
        self.producers = {}

    def append(self, producer_id, epoch, sequence, count, number):
        if producer_id < 0:
            self.log.append(number)
            return ErrorCode.NONE
        state = self.producers.get(producer_id)
        if state is not None:
            known_epoch, last, recent = state
            if epoch < known_epoch:
                return ErrorCode.INVALID_PRODUCER_EPOCH
            if epoch == known_epoch:
                if (sequence, count) in recent:
                    return ErrorCode.NONE
                if sequence != last + 1:
                    return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
            elif sequence != 0:
                return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
        recent = state[2] if state is not None and state[0] == epoch else deque(maxlen=5)
        recent.append((sequence, count))
        self.producers[producer_id] = (epoch, sequence + count - 1, recent)
        self.log.append(number)
        return ErrorCode.NONE


class Simulation:
    """The queue, the broker, and a connection that can be lost at any moment."""

    def __init__(self, *, idempotent=True, epoch=0):
        self.queue = PartitionQueue("topic", 0, Identity(7, epoch) if idempotent else None, 5)
        self.broker = ModelBroker()
        self.to_broker = deque()
        self.answers = deque()
        self.written = []
        self.failed = []
        self.now = 0.0
        self.next_producer_id = 8

    def produce(self, count, patience):
        batch = ProducerBatch(
            "topic", 0, self.queue.take_number(), builder=None, created=self.now, deadline=self.now + patience
        )
        batch.count = count
        self.queue.ready.append(batch)

    def send(self):
        if self.queue.needs_new_producer_id:
            self.queue.adopt(Identity(self.next_producer_id, 0))
            self.next_producer_id += 1
        if not self.queue.may_send(self.now):
            return False
        batch = self.queue.next_batch()
        if batch is None:
            return self.queue.needs_new_producer_id
        identity = self.queue.identity
        sent_as = (-1, -1) if identity is None else (identity.producer_id, identity.epoch)
        self.to_broker.append((batch, *sent_as, batch.base_sequence))
        return True

    def process(self, before=None, after=None):
        """The broker takes one request: it refuses it (`before`), or appends and answers, perhaps with an error (`after`)."""
        if not self.to_broker:
            return False
        batch, producer_id, epoch, sequence = self.to_broker.popleft()
        code = before
        if code is None:
            code = self.broker.append(producer_id, epoch, sequence, batch.count, batch.number)
            if code == ErrorCode.NONE and after is not None:
                code = after
        self.answers.append((batch, code))
        return True

    def answer(self):
        if not self.answers:
            return False
        batch, code = self.answers.popleft()
        self.settle(batch, code)
        return True

    def lose_connection(self, processed):
        """Answers are lost, and all but the first `processed` requests with them."""
        unanswered = [batch for batch, _ in self.answers] + [entry[0] for entry in self.to_broker]
        for _ in range(min(processed, len(self.to_broker))):
            self.process()
        self.to_broker.clear()
        self.answers.clear()
        for batch in unanswered:
            self.settle(batch, ErrorCode.NETWORK_EXCEPTION)

    def settle(self, batch, code):
        if code == ErrorCode.NONE:
            self.queue.written(batch)
            self.written.append(batch.number)
            return
        verdict = self.queue.came_back(batch, code, self.now)
        if verdict is Verdict.WRITTEN:
            self.written.append(batch.number)
        elif verdict is Verdict.FAILED:
            self.failed.append(batch.number)

    def pass_time(self, seconds):
        self.now += seconds
        self.failed += [batch.number for batch in self.queue.drop_overdue(self.now)]

    def run_to_the_end(self):
        for _ in range(10_000):
            if not (self.send() or self.process() or self.answer()):
                break
        assert self.queue.empty, "something is neither written nor failed nor going anywhere"

    def check(self):
        log = self.broker.log
        settled = self.written + self.failed
        assert sorted(settled) == sorted(set(settled)), "a batch was settled twice"
        assert len(log) == len(set(log)), "a batch was written twice"
        assert log == sorted(log), "batches were written out of order"
        assert set(self.written) <= set(log), "a batch was reported as written and isn't"


actions = st.one_of(
    st.tuples(st.just("produce"), st.integers(1, 3), st.sampled_from([1.0, 3.0, 1000.0])),
    st.tuples(st.just("send")),
    st.tuples(st.just("process")),
    st.tuples(st.just("refuse"), st.sampled_from(DEFINITE_RETRIABLE + FATAL)),
    st.tuples(st.just("append, then fail"), st.sampled_from(AFTER_APPEND)),
    st.tuples(st.just("answer")),
    st.tuples(st.just("lose"), st.integers(0, 5)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0])),
)


def act(simulation, action):
    kind, *arguments = action
    match kind:
        case "produce":
            simulation.produce(*arguments)
        case "send":
            simulation.send()
        case "process":
            simulation.process()
        case "refuse":
            simulation.process(before=arguments[0])
        case "append, then fail":
            simulation.process(after=arguments[0])
        case "answer":
            simulation.answer()
        case "lose":
            simulation.lose_connection(*arguments)
        case "wait":
            simulation.pass_time(*arguments)


@settings(max_examples=1500, deadline=None)
@given(st.lists(actions, max_size=60), st.sampled_from([0, 0x7FFE, 0x7FFF]))
def test_nothing_is_written_twice_or_out_of_order(steps, epoch):
    simulation = Simulation(epoch=epoch)
    for step in steps:
        act(simulation, step)
    simulation.run_to_the_end()
    simulation.check()


@settings(max_examples=300, deadline=None)
@given(st.lists(actions, max_size=60))
def test_without_idempotence_the_order_still_holds(steps):
    simulation = Simulation(idempotent=False)
    for step in steps:
        act(simulation, step)
    simulation.run_to_the_end()
    log = simulation.broker.log
    assert log == sorted(log)
    assert set(simulation.written) <= set(log)


def test_a_new_identity_has_one_batch_in_flight_until_it_is_acknowledged():
    simulation = Simulation()
    for _ in range(3):
        simulation.produce(1, 1000.0)
    assert simulation.send()
    assert not simulation.send()
    simulation.process()
    simulation.answer()
    assert simulation.send()
    assert simulation.send()


def test_a_refused_batch_does_not_let_the_next_one_overtake_a_retry():
    simulation = Simulation()
    simulation.produce(1, 1000.0)
    simulation.run_to_the_end()
    for _ in range(3):
        simulation.produce(2, 1000.0)
    for _ in range(3):
        assert simulation.send()
    simulation.process(before=ErrorCode.LEADER_NOT_AVAILABLE)
    simulation.process()
    simulation.process()
    simulation.run_to_the_end()
    simulation.check()
    assert simulation.broker.log == [0, 1, 2, 3]
    assert simulation.failed == []


def test_a_fatal_error_costs_only_its_own_batch():
    simulation = Simulation()
    simulation.produce(1, 1000.0)
    simulation.run_to_the_end()
    for _ in range(3):
        simulation.produce(1, 1000.0)
    for _ in range(3):
        simulation.send()
    simulation.process(before=ErrorCode.MESSAGE_TOO_LARGE)
    simulation.run_to_the_end()
    simulation.check()
    assert simulation.failed == [1]
    assert simulation.broker.log == [0, 2, 3]
    assert simulation.queue.identity.epoch == 1


def test_a_lost_acknowledgement_is_no_duplicate():
    simulation = Simulation()
    for _ in range(2):
        simulation.produce(1, 1000.0)
    simulation.send()
    simulation.lose_connection(processed=1)
    simulation.run_to_the_end()
    simulation.check()
    assert simulation.broker.log == [0, 1]
    assert sorted(simulation.written) == [0, 1]


def test_what_may_have_been_written_is_not_sent_under_a_new_epoch():
    """The first batch times out for good, the second was written, unacknowledged: it must be found again, not repeated."""
    simulation = Simulation()
    simulation.produce(1, 1000.0)
    simulation.run_to_the_end()
    simulation.produce(1, 1.0)
    simulation.produce(1, 1000.0)
    simulation.send()
    simulation.send()
    simulation.process()
    simulation.process()
    simulation.now = 2.0
    simulation.lose_connection(processed=0)
    simulation.run_to_the_end()
    simulation.check()
    assert simulation.failed == [1]
    assert simulation.broker.log == [0, 1, 2]


def test_out_of_order_with_nothing_before_it_is_a_loss_at_the_broker_and_fails():
    simulation = Simulation()
    simulation.produce(1, 1000.0)
    simulation.run_to_the_end()
    simulation.produce(1, 1000.0)
    simulation.send()
    batch = simulation.to_broker.popleft()[0]
    assert simulation.queue.came_back(batch, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, 0.0) is Verdict.FAILED


@pytest.mark.parametrize("code", [ErrorCode.DUPLICATE_SEQUENCE_NUMBER])
def test_a_duplicate_is_a_success(code):
    simulation = Simulation()
    simulation.produce(1, 1000.0)
    simulation.send()
    batch = simulation.to_broker.popleft()[0]
    assert simulation.queue.came_back(batch, code, 0.0) is Verdict.WRITTEN


def test_used_up_epochs_ask_for_a_new_producer_id():
    simulation = Simulation(epoch=0x7FFF)
    for _ in range(2):
        simulation.produce(1, 1000.0)
    simulation.send()
    simulation.process(before=ErrorCode.INVALID_RECORD)
    simulation.answer()
    assert simulation.queue.may_send(0.0)
    assert simulation.queue.next_batch() is None
    assert simulation.queue.needs_new_producer_id
    simulation.run_to_the_end()
    assert simulation.queue.identity.producer_id == 8
    simulation.check()
