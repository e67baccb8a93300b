"""Transactions in a log: markers, the last stable offset, aborted transactions; through rolls, stops, kills and cuts."""

from __future__ import annotations

import re

import pytest
from storage.support import Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.records.batch import iter_batches
from logbroker.storage.dump import dump
from logbroker.storage.transaction_index import AbortedTransaction
from logbroker.storage.transactions import (
    aborted_in_read,
    aborted_transactions,
    append_marker,
    last_stable_offset,
)
from logbroker.storage.verify import verify


@pytest.fixture
def engine(tmp_path):
    made = Engine(tmp_path, journal_file_bytes=1 << 20)
    with made:
        yield made


class Producer:
    """A transactional producer, and its coordinator, as one partition sees them."""

    def __init__(self, engine, log, producer_id, epoch=0):
        self.engine, self.log, self.id, self.epoch = engine, log, producer_id, epoch
        self.sequence = 0

    def send(self, *values):
        values = values or (b"value",)
        item = self.engine.append(
            self.log,
            batch(
                *values,
                producer_id=self.id,
                producer_epoch=self.epoch,
                base_sequence=self.sequence,
                transactional=True,
            ),
        )
        self.sequence += len(values)
        return item

    def end(self, *, commit, coordinator_epoch=0, version=0):
        done = []
        item = append_marker(
            self.log,
            self.id,
            self.epoch,
            coordinator_epoch,
            0,
            commit=commit,
            transaction_version=version,
            on_done=done.append,
        )
        item.waiter = done
        return item


def committed(engine, log):
    """What a reader of committed records sees, the way a client works it out."""
    stable = last_stable_offset(log)
    data = b"".join(log.read(log.start_offset, 1 << 20, engine.directory.reader(), below=stable))
    aborted = aborted_transactions(log, log.start_offset, stable)
    seen = []
    for _, header in iter_batches(data):
        assert header.next_offset <= stable
        dropped = any(
            entry.producer_id == header.producer_id
            and entry.first_offset <= header.base_offset < entry.last_offset
            for entry in aborted
        )
        if not dropped and not header.is_control:
            seen.append(header.base_offset)
    return seen


def test_a_transaction_is_seen_when_its_marker_is_durable(engine):
    log = engine.create()
    engine.append(log)
    producer = Producer(engine, log, 7)
    producer.send(b"a", b"b")
    producer.send()
    engine.run()
    assert (log.durable_end, last_stable_offset(log)) == (4, 1)
    assert committed(engine, log) == [0]
    marker = producer.end(commit=True)
    engine.append(log)
    assert last_stable_offset(log) == 1  # it has ended, and a crash may still take the marker back
    engine.run()
    assert (marker.base_offset, marker.next_offset, len(marker.waiter)) == (4, 5, 1)
    assert last_stable_offset(log) == 6
    assert committed(engine, log) == [0, 1, 3, 5]
    assert aborted_transactions(log, 0, 6) == []


def test_an_aborted_transaction_is_listed_where_it_overlaps(engine):
    log = engine.create()
    first, second = Producer(engine, log, 1), Producer(engine, log, 2)
    first.send()
    second.send()
    engine.append(log)
    first.end(commit=False)
    engine.append(log)
    second.end(commit=False)
    engine.run()
    one, two = AbortedTransaction(1, 0, 3, 1), AbortedTransaction(2, 1, 5, 6)
    assert aborted_transactions(log, 0, 6) == [one, two]
    assert aborted_transactions(log, 0, 1) == [one]
    assert aborted_transactions(log, 3, 6) == [one, two]
    assert aborted_transactions(log, 4, 6) == [two]
    assert aborted_transactions(log, 6, 6) == []
    assert committed(engine, log) == [2, 4]


def test_a_marker_without_a_transaction_ends_nothing(engine):
    log = engine.create()
    engine.append(log)
    Producer(engine, log, 7).end(commit=False)
    engine.run()
    assert last_stable_offset(log) == 2
    assert aborted_transactions(log, 0, 2) == []
    assert log.segments[0].aborted is None


def test_a_fenced_marker_leaves_nothing(engine):
    log = engine.create()
    producer = Producer(engine, log, 7, epoch=3)
    producer.send()
    producer.epoch = 2
    for options, code in (
        ({"commit": True}, ErrorCode.INVALID_PRODUCER_EPOCH),
        ({"commit": False, "version": 2}, ErrorCode.INVALID_PRODUCER_EPOCH),
    ):
        with pytest.raises(BrokerError) as raised:
            producer.end(**options)
        assert raised.value.code == code
    producer.epoch = 3
    producer.end(commit=True, coordinator_epoch=5)
    producer.send()
    with pytest.raises(BrokerError) as raised:
        producer.end(commit=True, coordinator_epoch=4)
    assert raised.value.code == ErrorCode.TRANSACTION_COORDINATOR_FENCED
    engine.run()
    assert (log.end_offset, last_stable_offset(log)) == (3, 2)


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (7, -1), (-1, -1)])
def test_nobody_writes_a_marker_of_nobody(engine, producer_id, epoch):
    log = engine.create()
    with pytest.raises(BrokerError) as raised:
        Producer(engine, log, producer_id, epoch=epoch).end(commit=True)
    assert raised.value.code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert log.end_offset == 0


def test_the_next_transaction_follows_at_once(engine):
    log = engine.create()
    producer = Producer(engine, log, 7)
    for commit in (True, False, True):
        producer.send()
        producer.end(commit=commit)
    engine.run()
    assert committed(engine, log) == [0, 4]


def test_one_that_was_trimmed_does_not_hold_the_log_back(engine):
    log = engine.create(segment_bytes=2000)
    Producer(engine, log, 7).send()
    engine.fill(log, 40)
    log.delete_records(30, lambda _: None)
    engine.run()
    assert (log.start_offset, last_stable_offset(log)) == (30, 30)


def test_a_read_lists_what_the_offset_index_says_it_may_hold(engine):
    log = engine.create(index_interval_bytes=500)
    producer = Producer(engine, log, 7)
    for _ in range(30):
        producer.send(bytes(100))
        producer.end(commit=False)
    engine.run()
    reader = engine.directory.reader()
    assert len(aborted_in_read(log, 0, log.size_bytes, reader)) == 30
    few = aborted_in_read(log, 0, 400, reader)
    assert 2 <= len(few) < 10
    assert few == aborted_transactions(log, 0, 60)[: len(few)]
    assert aborted_in_read(log, 59, 1, reader) == [AbortedTransaction(7, 58, 59, 60)]


# Stops and kills


def settle(engine, log):
    """Everything a reader, a coordinator or the next start may ask of the transactions."""
    return (
        log.end_offset,
        last_stable_offset(log),
        committed(engine, log),
        aborted_transactions(log, log.start_offset, log.end_offset),
        {
            producer_id: (
                entry.epoch,
                entry.last_sequence,
                entry.coordinator_epoch,
                entry.transaction_first_offset,
            )
            for producer_id, entry in log.producers.capture().items()
        },
    )


def busy(engine, log, *, ids=(1, 2, 3), after=lambda _: None):
    """Transactions of three producers, crossing one another; the last ones stay open."""
    producers = [Producer(engine, log, number) for number in ids]
    for number in range(24):
        producers[number % 3].send(bytes(90))
        engine.run()
        after(number)
        if number % 3 == 2:
            producers[(number // 3) % 3].end(commit=number % 2 == 0, coordinator_epoch=number)
            engine.run()
            after(number)


@pytest.mark.parametrize("cleanly", [True, False])
@pytest.mark.parametrize("checkpoint_at", [None, 0, 5, 11])
def test_a_start_finds_all_of_it_again(engine, cleanly, checkpoint_at):
    log = engine.create(segment_bytes=700)
    busy(engine, log, after=lambda number: engine.checkpoint() if number == checkpoint_at else None)
    before = settle(engine, log)
    assert len(before[3]) >= 3
    assert before[1] < before[0]
    for _ in range(2):
        engine.reopen(cleanly=cleanly)
        assert settle(engine, engine.log()) == before
    names = engine.files(suffix=".txnindex")
    if cleanly:
        assert names
        files = [engine.vfs.file_size(f"{engine.path}/t-0/{name}") for name in names]
        assert sum(files) == 34 * len(before[3])


@pytest.mark.parametrize("damage", ["lost", "short", "zeros", "disorder", "longer"])
def test_an_index_that_is_not_what_it_was_is_read_from_the_log(engine, damage):
    log = engine.create(segment_bytes=700)
    busy(engine, log)
    before = settle(engine, log)
    engine.close()
    path = f"{engine.path}/t-0/{engine.files(suffix='.txnindex')[0]}"
    with open(path, "rb") as file:
        data = file.read()
    changed = {
        "lost": None,
        "short": data[:-5],
        "zeros": bytes(len(data)),
        "disorder": data[:18] + bytes(8) + data[26:],
        "longer": data + data,
    }[damage]
    if changed is None:
        engine.vfs.unlink(path)
    else:
        with open(path, "wb") as file:
            file.write(changed)
    engine.open()
    assert settle(engine, engine.log()) == before
    engine.reopen()
    assert settle(engine, engine.log()) == before
    with open(path, "rb") as file:
        assert file.read() == data


@pytest.mark.parametrize("kill", [False, True])
def test_a_cut_leaves_what_was_before(engine, kill):
    log = engine.create(segment_bytes=700)
    history = {}

    def after(number):
        history[log.end_offset] = settle(engine, log)
        if number == 15:
            engine.checkpoint()

    busy(engine, log, after=after)
    for end in sorted(history, reverse=True)[1:]:
        engine.directory.truncate_to(log, end, lambda _: None)
        engine.run()
        assert settle(engine, log) == history[end]
        if end % 5 == 0:
            engine.reopen(cleanly=not kill)
            log = engine.log()
            assert settle(engine, log) == history[end]


def closed(engine):
    """A cleanly stopped directory with some aborted transactions; paths of their indexes."""
    busy(engine, engine.create(segment_bytes=700))
    engine.close()
    return [f"{engine.path}/t-0/{name}" for name in engine.files(suffix=".txnindex")]


def test_verify_is_content_with_what_is_written(engine):
    closed(engine)
    report = verify(engine.path)
    assert (report.problems, report.notes) == ([], [])
    assert report.index_entries > 0
    engine.open()
    engine.fill(engine.log(), 5)
    busy(engine, engine.log(), ids=(4, 5, 6))
    engine.kill()
    assert verify(engine.path).problems == []
    engine.open()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("lost", "is missing"),
        ("short", "ends 34 bytes early"),
        ("longer", "bytes behind the aborted transactions"),
        ("zeros", "a marker at offset|no aborted transaction"),
        ("elsewhere", "no marker that aborts a transaction of producer id"),
        ("later", "has a batch at offset"),
    ],
)
def test_verify_finds_an_index_that_is_not_what_it_was(engine, damage, told):
    path = closed(engine)[0]
    with open(path, "rb") as file:
        data = file.read()
    producer = (int.from_bytes(data[2:10], "big") + 1).to_bytes(8, "big")
    changed = {
        "lost": None,
        "short": data[:-34],
        "longer": data + data[-34:],
        "zeros": bytes(len(data)),
        "elsewhere": data[:2] + producer + data[10:],
        "later": data[:10] + (int.from_bytes(data[10:18], "big") + 1).to_bytes(8, "big") + data[18:],
    }[damage]
    if changed is None:
        engine.vfs.unlink(path)
    else:
        with open(path, "wb") as file:
            file.write(changed)
    (problem, *_) = verify(engine.path).problems
    assert problem.path == path
    assert re.search(told, problem.what)
    engine.open()
    engine.reopen()


def test_dump_shows_markers_and_aborted_transactions(engine):
    paths = closed(engine)
    engine.open()
    expected = aborted_transactions(engine.log(), 0, engine.log().end_offset)
    rows = [row for path in paths for row in dump(path)]
    assert [(row["producer_id"], row["first_offset"], row["last_offset"]) for row in rows] == [
        entry[:3] for entry in expected
    ]
    logs = [f"{engine.path}/t-0/{name}" for name in engine.files(suffix=".log")]
    markers = [row for path in logs for row in dump(path, records=True) if "marker" in row]
    assert {row["offset"] for row in markers if row["marker"] == "abort"} >= {entry[2] for entry in expected}
    assert {row["marker"] for row in markers} == {"abort", "commit"}


@pytest.mark.java
def test_kafka_reads_them_without_complaint(engine, kafka_tools):
    paths = closed(engine)
    engine.open()
    expected = aborted_transactions(engine.log(), 0, engine.log().end_offset)
    engine.close()
    done = kafka_tools.run("DumpLogSegments", "--files", ",".join(paths))
    assert (done.returncode, done.stderr) == (0, "")
    shown = re.findall(
        r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", done.stdout
    )
    assert [tuple(map(int, found)) for found in shown] == [tuple(entry) for entry in expected]
    logs = [f"{engine.path}/t-0/{name}" for name in engine.files(suffix=".log")]
    done = kafka_tools.run("DumpLogSegments", "--deep-iteration", "--files", ",".join(logs))
    assert done.returncode == 0
    # Said of every segment that doesn't begin at offset 0.
    assert not re.sub(r"Non-consecutive offsets in .*\n  -1 is followed by \d+\n", "", done.stderr)
    markers = re.findall(r"offset: (\d+) .*endTxnMarker: (\w+) coordinatorEpoch: (\d+)", done.stdout)
    aborts = {int(offset) for offset, kind, _ in markers if kind == "ABORT"}
    assert {entry.last_offset for entry in expected} <= aborts
    assert {kind for _, kind, _ in markers} == {"ABORT", "COMMIT"}
    assert "isvalid: false" not in done.stdout
    engine.open()
