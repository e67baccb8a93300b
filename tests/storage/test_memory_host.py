"""Memory topics: nothing on a disk but the promise that no offset is ever given twice."""

from __future__ import annotations

import asyncio
import shutil
import uuid

import pytest
from storage.support import NOW, batch

from logbroker.base.clock import ManualClock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.settings import Settings
from logbroker.config.topic import TopicConfig
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.service import MetadataService
from logbroker.records.batch import iter_batches, parse_header
from logbroker.storage.memory_host import RESERVE_OFFSETS, MemoryHost
from logbroker.storage.retention import retained_start

TOPIC_ID = uuid.UUID(int=9)


class Host:
    """A memory host whose loop and reservations are moved by hand."""

    def __init__(self):
        self.soon = []
        self.asked = []
        self.host = MemoryHost(ManualClock(NOW), self._reserve, call_soon=self.soon.append, spawn=self._spawn)

    async def _reserve(self, topic_id, partition, up_to):
        raise AssertionError("awaited by `grant` only")

    def _spawn(self, coroutine):
        up_to = coroutine.cr_frame.f_locals["up_to"]
        self.asked.append((coroutine, up_to))

    def turn(self):
        """One turn of the loop."""
        calls, self.soon[:] = list(self.soon), []
        for call in calls:
            call()

    def grant(self, error=None):
        """The metadata has made the oldest reservation durable, or refuses it."""
        coroutine, up_to = self.asked.pop(0)

        async def reserve(*_):
            if error is not None:
                raise error

        self.host._reserve = reserve
        with pytest.raises(StopIteration):
            coroutine.send(None)
        return up_to

    def log(self, start_offset=0, **config):
        return self.host.create_log(
            "m", 0, TOPIC_ID, TopicConfig(storage_type="memory", **config), start_offset=start_offset
        )

    def append(self, log, buffer=None):
        buffer = buffer or batch()
        done = []
        item = log.append(buffer, parse_header(buffer), 0, done.append)
        item.waiter = done
        return item

    def settle(self, log, *buffers):
        """Append, grant what is asked for, and see everything acknowledged."""
        items = [self.append(log, buffer) for buffer in buffers]
        self.turn()
        while self.asked:
            self.grant()
            self.turn()
        assert all(item.waiter == [item] and not item.error for item in items)
        return items


@pytest.fixture
def host():
    made = Host()
    yield made
    for coroutine, _ in made.asked:
        coroutine.close()


def offsets(host, log):
    """Base offsets of all that the log serves."""
    found, offset = [], log.start_offset
    while True:
        data = b"".join(log.read(offset, 1 << 24, host.host.reader())) if offset < log.durable_end else b""
        headers = [header for _, header in iter_batches(data, verify_crc=True)]
        if not headers:
            return found
        found += [header.base_offset for header in headers]
        offset = headers[-1].next_offset


def test_nothing_is_acknowledged_or_served_before_its_offsets_are_reserved(host):
    log = host.log()
    items = [host.append(log) for _ in range(3)]
    host.turn()
    assert [item.waiter for item in items] == [[], [], []]
    assert log.durable_end == 0
    assert offsets(host, log) == []
    assert host.grant() >= RESERVE_OFFSETS
    host.turn()
    assert [item.waiter for item in items] == [[item] for item in items]
    assert offsets(host, log) == [0, 1, 2]


def test_the_next_block_is_asked_for_before_the_first_is_used_up(host):
    log = host.log(start_offset=10)
    host.settle(log, batch())
    log.end_offset = 10 + RESERVE_OFFSETS // 2 + 5  # as if so many had been appended
    item = host.append(log)
    host.turn()
    assert item.waiter == [item]  # nobody waits for it
    assert len(host.asked) == 1
    assert host.grant() > 10 + RESERVE_OFFSETS
    host.turn()


def test_appends_keep_their_order_while_a_block_is_waited_for(host):
    log = host.log()
    told = []
    for number in range(5):
        made = batch(b"%d" % number)
        log.append(made, parse_header(made), 0, lambda item: told.append(item.base_offset))
        host.turn()
    assert len(host.asked) == 1  # not one each
    host.grant()
    host.turn()
    assert told == [0, 1, 2, 3, 4]


def test_a_refused_reservation_refuses_who_waits_and_is_asked_for_again(host):
    log = host.log()
    item = host.append(log)
    host.turn()
    host.grant(BrokerError(ErrorCode.REQUEST_TIMED_OUT))
    assert (item.waiter, item.error) == ([item], ErrorCode.REQUEST_TIMED_OUT)
    host.settle(log, batch())
    assert log.durable_end == 2


def test_a_full_partition_rejects_until_records_are_deleted(host):
    log = host.log(memory_max_bytes=5000, memory_full_policy="reject", segment_bytes=1000)
    while log.size_bytes < 5000:
        host.settle(log, batch(400))
    with pytest.raises(
        BrokerError, match=r"memory\.max\.bytes is 5000.*memory\.full\.policy=evict"
    ) as caught:
        host.append(log, batch(400))
    assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
    assert 5000 <= log.size_bytes < 6000
    told = []
    log.delete_records(5, told.append)
    assert told == [ErrorCode.NONE]
    host.settle(log, batch(400))
    assert offsets(host, log)[0] <= 5


def test_a_full_partition_evicts_its_oldest_segments(host):
    log = host.log(memory_max_bytes=5000, memory_full_policy="evict", segment_bytes=1 << 30)
    for number in range(100):
        host.settle(log, batch(400))
        assert log.size_bytes < 5000 + 1000
        assert log.end_offset == number + 1
    assert log.start_offset > 80
    found = offsets(host, log)
    assert found == list(range(log.start_offset, 100))
    assert len(found) > 5  # a part went, not everything
    with pytest.raises(BrokerError) as caught:
        log.read(0, 1000, host.host.reader())
    assert caught.value.code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_one_batch_larger_than_the_partition_is_taken_and_goes_with_the_next(host):
    log = host.log(memory_max_bytes=1000, memory_full_policy="evict")
    host.settle(log, batch(5000))
    assert offsets(host, log) == [0]
    host.settle(log, batch(100))
    assert offsets(host, log) == [1]


def test_a_received_frame_is_not_kept_alive_for_its_batch(host):
    log = host.log()
    frame = bytearray(b"frame....") + batch()
    host.settle(log, memoryview(frame)[9:])
    frame[9:] = bytes(len(frame) - 9)  # would show, were it a view
    assert offsets(host, log) == [0]


def test_retention_and_deletion(host):
    log = host.log(retention_ms=1000)
    for number in range(3):
        host.settle(log, batch(at=NOW + number))
    host.host.retain(log, NOW + 2000, retained_start)
    assert (log.start_offset, log.end_offset) == (3, 3)
    waiting = host.append(log)
    host.host.delete_log(log)
    host.turn()
    assert waiting.error == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    with pytest.raises(BrokerError):
        host.append(log)


def test_duplicates(host):
    log = host.log()
    made = batch(producer_id=4, producer_epoch=0, base_sequence=0)
    first, again = host.append(log, bytearray(made)), host.append(log, bytearray(made))
    host.turn()
    assert not again.waiter
    host.grant()
    host.turn()
    assert again.base_offset == first.base_offset == 0
    assert (again.waiter, log.end_offset) == ([again], 1)


def test_the_first_eviction_takes_a_part_and_not_everything(host):
    log = host.log(memory_max_bytes=8000, memory_full_policy="evict")
    for _ in range(16):
        host.settle(log, batch(500))
    assert 8000 - 1500 < log.size_bytes < 8000 + 600
    assert log.start_offset in (1, 2)


def test_a_smaller_bound_makes_smaller_segments(host):
    log = host.log(memory_max_bytes=1 << 20)
    host.host.configure(log, TopicConfig(storage_type="memory", memory_max_bytes=8000))
    for _ in range(6):
        host.settle(log, batch(500))
    assert all(segment.size <= 1000 for segment in log.segments)
    assert len(log.segments) == 6


def test_deleting_what_waits_for_its_block_tells_everybody_once(host):
    log = host.log()
    waiting = host.append(log)
    host.turn()
    host.host.delete_log(log)
    assert (waiting.waiter, waiting.error) == ([waiting], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    host.grant()  # the reservation comes too late
    host.turn()
    assert waiting.waiter == [waiting]
    assert log not in host.host._reserved


def test_deleting_every_record_frees_the_memory(host):
    log = host.log(memory_max_bytes=1000, memory_full_policy="reject")
    host.settle(log, batch(2000))
    with pytest.raises(BrokerError):
        host.append(log)
    log.delete_records(1, lambda _: None)
    assert (log.start_offset, log.end_offset, log.size_bytes) == (1, 1, 0)
    host.settle(log, batch(10))


def test_no_offset_is_given_twice_whatever_dies(tmp_path):
    """The real metadata store; the broker dies at a random moment, again and again: a copy of its files is what is left."""

    async def life(path, topic_wanted):
        service = await MetadataService.open(
            Settings(log_dirs=(str(path),), metadata_log_dir=str(path)), create=topic_wanted
        )
        if topic_wanted:
            configs = [("storage.type", "memory")]
            (outcome,) = await service.create_topics([NewTopic("m", 1, 1, configs=configs)])
            assert not outcome.error, outcome
        topic = service.image.topics["m"]
        loop = asyncio.get_running_loop()
        host = MemoryHost(
            ManualClock(NOW),
            service.reserve_memory_offsets,
            call_soon=loop.call_soon,
            spawn=asyncio.ensure_future,
        )
        start = service.image.memory_offsets.get((topic.topic_id, 0), 0)
        log = host.create_log("m", 0, topic.topic_id, topic.config, start_offset=start)
        given = []
        acknowledged = asyncio.Event()

        def done(item):
            given.append(item.base_offset)
            acknowledged.set()

        copies = []
        for number in range(3):
            made = batch(b"%d" % number, b"x")
            log.append(made, parse_header(made), 0, done)
            await acknowledged.wait()
            acknowledged.clear()
            copy = tmp_path / f"copy{len(copies)}-{start}"
            shutil.copytree(path, copy)  # what a kill here leaves
            copies.append((copy, list(given)))
        await service.close()
        return copies

    path = tmp_path / "first"
    path.mkdir()
    highest = -1
    for round_ in range(4):
        copies = asyncio.run(life(path, topic_wanted=round_ == 0))
        path, given = copies[round_ % 3]
        assert min(given) > highest
        highest = max(given) + 1
