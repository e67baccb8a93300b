"""A disk that takes its time: nobody is told early, nothing is shown early, and a broker in a hurry stays honest."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest

from logbroker.testing import hold_sync
from logbroker.testing.acked import Ledger, payload, records_in, verify
from logbroker.testing.hold_sync import HoldSync
from logbroker.testing.load import Load
from logbroker.testing.wire_client import LATEST, WireClient, batch_of
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

pytestmark = pytest.mark.skipif(bool(hold_sync.why_not()), reason=hold_sync.why_not() or "able")

NOTHING_COMES_S = 0.3
"""How long an answer that must not come is waited for; it would come within a millisecond."""


@pytest.fixture
def sync(tmp_path):
    return HoldSync(str(tmp_path))


@pytest.fixture
def slow(make_broker, sync):
    broker = make_broker(environment=sync.environment()).start()
    with WireClient(broker.bootstrap) as client:
        asked = [CreatableTopic(name="t", num_partitions=2, replication_factor=1)]
        client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked))
        client.produce("t", 0, batch_of([b"first"], timestamp_ms=now_ms()))
    return broker


def now_ms():
    return int(time.time() * 1000)


def nothing_comes(*clients):
    deadline = time.monotonic() + NOTHING_COMES_S
    for client in clients:
        client.socket.settimeout(max(deadline - time.monotonic(), 0.01))
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(20)


def test_a_retry_on_a_new_connection_waits_for_the_first_attempts_sync(slow, sync):
    with (
        WireClient(slow.bootstrap) as first,
        WireClient(slow.bootstrap) as second,
        WireClient(slow.bootstrap) as third,
    ):
        batch = batch_of([b"once"], timestamp_ms=now_ms(), producer_id=first.producer_id(), sequence=0)
        sync.hold(".ring")
        first.send_produce("t", 0, batch)
        sync.wait_held()
        second.send_produce("t", 0, batch)  # the client has given the first connection up
        third.send_produce("t", 0, batch)
        nothing_comes(first, second, third)
        with WireClient(slow.bootstrap) as reader:
            assert reader.offset("t", 0, LATEST) == (0, 1)
            assert not reader.fetch("t", 0, 1).records
        sync.release()
        answers = [client.receive_produced() for client in (first, second, third)]
        assert [(answer.error_code, answer.base_offset) for answer in answers] == [(0, 1)] * 3
        assert [value for *_, value in records_in(first.fetch("t", 0, 0).records)] == [b"first", b"once"]


def test_what_takes_too_long_is_a_timeout_and_counts_nevertheless(slow, sync):
    with WireClient(slow.bootstrap) as client, WireClient(slow.bootstrap) as again:
        batch = batch_of([b"late"], timestamp_ms=now_ms(), producer_id=client.producer_id(), sequence=0)
        sync.hold(".ring")
        assert client.produce("t", 0, batch, timeout_ms=100).error_code == 7  # REQUEST_TIMED_OUT
        again.send_produce("t", 0, batch)
        nothing_comes(again)
        sync.release()
        answer = again.receive_produced()
        assert (answer.error_code, answer.base_offset) == (0, 1)


def test_a_kill_while_nothing_was_acknowledged_invents_nothing(slow, sync):
    with WireClient(slow.bootstrap) as client:
        sync.hold(".ring")
        client.send_produce("t", 1, batch_of([payload("w", 0, 100)], timestamp_ms=now_ms()))
        sync.wait_held()
        nothing_comes(client)
        slow.kill()
    sync.release()
    slow.start()
    with WireClient(slow.bootstrap) as client:
        error, end = client.offset("t", 1, LATEST)
        assert error == 0
        assert end in {0, 1}


def test_a_second_signal_hurries(slow, sync):
    client = WireClient(slow.bootstrap)
    sync.hold(".ring")
    client.send_produce("t", 0, batch_of([b"in flight"], timestamp_ms=now_ms()))
    sync.wait_held()
    slow.signal(signal.SIGTERM)
    slow.wait_event("stopping")
    nothing_comes(client)  # it waits for what is in flight
    slow.signal(signal.SIGTERM)
    slow.wait_event("hurrying")
    with pytest.raises((ConnectionError, socket.timeout)):
        client.receive()  # cut off, not told that it is durable
    sync.release()
    assert slow.wait_exit() == 0
    assert slow.events("stopped")[-1]["hurried"] is True
    slow.start()
    with WireClient(slow.bootstrap) as again:
        assert again.offset("t", 0, LATEST) in {(0, 1), (0, 2)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_recovery(make_broker, seed, number):
    broker = make_broker().start()
    ledger = Ledger()
    load = Load(ledger, seed=seed)
    load.set_up(broker.bootstrap)
    for delay_s in (0.1, 0.2, 0.25, 0.3):
        load.start(broker.bootstrap)
        threading.Event().wait(0.2)
        broker.kill()
        load.join()
        broker.launch()
        threading.Event().wait(delay_s)
        broker.signal(number)
        # Before the interpreter has come to our code the signal ends it as it ends any process.
        assert broker.wait_exit() in {0, -number, 1 if number == signal.SIGINT else 0, 130}
        broker.start()
        load.settle(broker.bootstrap)
        verdict = verify(broker.bootstrap, ledger)
        assert not verdict.violations, "\n".join(verdict.violations)
