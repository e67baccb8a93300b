"""flush.messages and flush.ms: acknowledged from the page cache and synced later, and changed while the topic runs."""

from __future__ import annotations

import random

import pytest
from storage.support import Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.config.topic import TopicConfig
from logbroker.storage.verify import verify_directory
from logbroker.testing.sim_disk import SimDisk

PATH = "/data"
FOREVER = 2**63 - 1


def start(disk=None, **options):
    engine = Engine(PATH, vfs=disk or SimDisk([PATH]), **options)
    engine.open()
    return engine


def syncs(engine):
    return engine.directory.stats.segment_syncs


def put(engine, log, *values):
    items = [engine.append(log, batch(value)) for value in values]
    engine.run()
    assert all(item.waiter == [item] for item in items)
    assert {item.error for item in items} == {ErrorCode.NONE}


def after_power_cut(engine, seed=1):
    """The directory as the next start finds it when the power fails now."""
    engine.vfs.die()
    engine.executor.abandon()
    again = Engine(PATH, vfs=engine.vfs.crash(engine.vfs.operations, random.Random(seed)), seed=seed)
    again.known = dict(engine.known)
    again.open()
    return again


def after_kill(engine):
    engine.vfs.die()
    engine.executor.abandon()
    again = Engine(PATH, vfs=engine.vfs.kill(engine.vfs.operations))
    again.known = dict(engine.known)
    again.open()
    return again


def test_every_record_is_durable_before_its_ack_by_default():
    engine = start()
    log = engine.create()
    for number in range(20):
        put(engine, log, b"%d" % number)
        if number == 13:
            break
    engine = after_power_cut(engine)
    assert list(engine.values(engine.log()).values()) == [b"%d" % number for number in range(14)]


def test_a_page_cache_topic_is_synced_after_so_many_messages():
    engine = start(checkpoint_interval_ms=FOREVER // 2)
    log = engine.create(flush_messages=10)
    engine.run()
    engine.checkpoint()
    before = syncs(engine)
    journal_bytes = engine.directory.stats.journal_bytes
    for number in range(9):
        put(engine, log, b"%d" % number)
    assert syncs(engine) == before
    put(engine, log, b"9")
    assert syncs(engine) == before + 1
    put(engine, log, *[b"x"] * 10)
    assert syncs(engine) == before + 2
    assert engine.directory.stats.journal_bytes == journal_bytes  # not journaled at all
    for number in range(3):
        put(engine, log, b"unsynced %d" % number)
    for seed in range(10):
        survivor = engine.vfs.crash(engine.vfs.operations, random.Random(seed))
        again = Engine(PATH, vfs=survivor)
        again.known = dict(engine.known)
        again.open()
        found = list(again.values(again.log()).values())
        expected = [b"%d" % n for n in range(10)] + [b"x"] * 10 + [b"unsynced %d" % n for n in range(3)]
        assert len(found) >= 20  # what was synced is there, and what else there is, is a prefix
        assert found == expected[: len(found)]


def test_a_page_cache_topic_survives_a_kill_whole():
    engine = start()
    log = engine.create(flush_messages=FOREVER, internal_segment_bytes=1000)
    values = [b"%0100d" % number for number in range(40)]
    for value in values:
        put(engine, log, value)
    again = after_kill(engine)
    assert list(again.values(again.log()).values()) == values
    assert len(again.log().segments) > 2


def test_a_page_cache_topic_is_synced_after_so_much_time():
    engine = start(checkpoint_interval_ms=FOREVER // 2)
    log = engine.create(flush_messages=1000, flush_ms=5000)
    engine.run()
    engine.checkpoint()
    put(engine, log, b"one")
    engine.tick(1000)
    before = syncs(engine)
    for _ in range(4):
        put(engine, log, b"more")
        engine.tick(1000)
    assert syncs(engine) <= before + 1
    engine.tick(2000)
    after = syncs(engine)
    assert after > before
    again = after_power_cut(engine)
    assert len(again.values(again.log())) == 5


def configure(engine, log, **config):
    partition = engine.known[log.topic, log.index]
    engine.known[log.topic, log.index] = partition._replace(config=TopicConfig(**config))
    engine.directory.configure(log, TopicConfig(**config))


@pytest.mark.parametrize("seed", range(20))
def test_a_change_to_durable_holds_appends_until_everything_before_is_synced(seed):
    engine = start(seed=seed)
    log = engine.create(flush_messages=FOREVER)
    engine.run()
    early = [b"early %d" % number for number in range(5)]
    put(engine, log, *early)
    configure(engine, log, flush_messages=1)
    values = list(early)
    for number in range(5):  # while the change is under way
        value = b"late %d" % number
        item = engine.append(log, batch(value))
        for _ in range(seed % 7):
            engine.executor.step()
        values.append(value)
        if item.waiter:
            survivor = Engine(
                PATH, vfs=engine.vfs.crash(engine.vfs.operations, random.Random(seed)), seed=seed
            )
            survivor.known = dict(engine.known)
            survivor.open()
            found = list(survivor.values(survivor.log()).values())
            if not log.page_cache:  # from here on an acknowledgement means the disk
                assert found[: len(values)] == values
    engine.run()
    assert not log.page_cache
    put(engine, log, b"after")
    again = after_power_cut(engine, seed)
    assert list(again.values(again.log()).values()) == [*values, b"after"]
    again.close()


@pytest.mark.parametrize("seed", range(5))
def test_a_change_to_the_page_cache_and_back_and_back(seed):
    rng = random.Random(seed)
    engine = start(seed=seed)
    log = engine.create()
    values = []
    for _ in range(12):
        for _ in range(rng.randint(0, 4)):
            value = b"%d" % len(values) * rng.choice([1, 100, 3000])
            values.append(value)
            engine.append(log, batch(value))
            for _ in range(rng.randint(0, 5)):
                engine.executor.step()
        configure(engine, log, flush_messages=rng.choice([1, 2, 100]))
        if rng.random() < 0.3:
            engine.checkpoint()
    configure(engine, log, flush_messages=1)
    engine.run()
    again = after_power_cut(engine, seed)
    assert list(again.values(again.log()).values()) == values
    again.close()


@pytest.mark.parametrize("flush_messages", [1, FOREVER])
@pytest.mark.parametrize("written", [False, True])
def test_a_change_that_is_taken_back_while_it_is_under_way(flush_messages, written):
    engine = start()
    log = engine.create(flush_messages=flush_messages)
    engine.run()
    if written:
        put(engine, log, b"before")
    before = log.page_cache
    configure(engine, log, flush_messages=FOREVER if flush_messages == 1 else 1)
    engine.executor.step()
    configure(engine, log, flush_messages=flush_messages)
    engine.run()
    assert log.page_cache == before == (flush_messages > 1)


@pytest.mark.parametrize("flush_messages", [1, FOREVER])
def test_a_policy_that_changed_while_the_broker_was_down_is_followed_at_the_start(flush_messages):
    engine = start()
    log = engine.create(flush_messages=FOREVER if flush_messages == 1 else 1)
    engine.run()
    put(engine, log, b"before")
    engine.close()
    engine.known["t", 0] = engine.known["t", 0]._replace(config=TopicConfig(flush_messages=flush_messages))
    engine.open()
    log = engine.log()
    assert log.page_cache == (flush_messages > 1)
    put(engine, log, b"after")
    again = after_kill(engine)
    assert list(again.values(again.log()).values()) == [b"before", b"after"]
    again.close()


def test_policies_side_by_side_leave_a_directory_in_order(tmp_path):
    engine = Engine(tmp_path)
    engine.open()
    logs = [
        engine.create(index=index, flush_messages=flush) for index, flush in enumerate((1, 2, 5, FOREVER))
    ]
    for number in range(40):
        for log in logs:
            engine.append(log, batch(b"%d" % number))
        if number % 7 == 0:
            engine.run()
    engine.run()
    engine.kill()
    assert verify_directory(engine.path) == []
    engine.open()
    assert [len(engine.values(engine.log(index=index))) for index in range(4)] == [40] * 4
    engine.close()
    assert verify_directory(engine.path) == []


def test_an_unsynced_batch_with_a_damaged_offset_ends_the_log(tmp_path):
    """The offset stands outside the CRC; records that were never at such offsets must not be served there."""
    engine = Engine(tmp_path)
    engine.open()
    log = engine.create(flush_messages=FOREVER)
    engine.fill(log, 5)
    engine.kill()
    path = f"{engine.path}/t-0/{0:020d}.log"
    with open(path, "r+b") as file:
        file.seek(3 * 170 + 4)
        file.write(b"\x07")
    engine.open()
    assert sorted(engine.values(engine.log())) == [0, 1, 2]
    engine.fill(engine.log(), 1)
    assert sorted(engine.values(engine.log())) == [0, 1, 2, 3]
    engine.close()
    assert verify_directory(engine.path) == []
