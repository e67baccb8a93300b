"""A partition whose direct writes never pause: retention, truncation and a new flush policy get their turn all the same."""

from __future__ import annotations

import pytest
from storage.support import NOW, Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.config.topic import TopicConfig
from logbroker.storage.retention import retained_start

ROUTES = {"direct": {}, "page cache": {"flush_messages": 1_000_000}}
SEGMENT_BYTES = 20_000


@pytest.fixture(params=ROUTES.values(), ids=ROUTES)
def busy(request, tmp_path):
    with Engine(tmp_path, direct_sync_bytes=1000) as engine:
        log = engine.create(
            internal_segment_bytes=SEGMENT_BYTES, retention_bytes=3 * SEGMENT_BYTES, **request.param
        )
        engine.run()
        yield engine, log


def load(engine, log, steps):
    """Whatever is being written, something waits behind it already. Returns the items."""
    items = []
    for _ in range(steps):
        while not log.held and not log.truncating:
            items.append(engine.append(log, batch(3000)))
            while engine.executor.run_callback():
                pass
        engine.executor.step()
    return items


def test_retention(busy):
    engine, log = busy
    items = []
    for _ in range(20):
        items += load(engine, log, 100)
        engine.directory.retain(log, NOW, retained_start)
    engine.run()
    assert len(items) > 100
    assert log.start_offset > len(items) - 60
    assert log.size_bytes < 10 * SEGMENT_BYTES
    assert all(item.waiter == [item] and item.error == ErrorCode.NONE for item in items)


def test_truncation(busy):
    engine, log = busy
    load(engine, log, 100)
    done = []
    engine.directory.truncate_to(log, 2, done.append)
    load(engine, log, 400)
    assert done == [ErrorCode.NONE]


def test_policy(busy):
    engine, log = busy
    items = load(engine, log, 100)
    wanted = not log.page_cache
    engine.directory.configure(log, TopicConfig(flush_messages=1_000_000 if wanted else 1))
    items += load(engine, log, 400)
    assert log.page_cache == wanted
    engine.run()
    assert all(item.waiter == [item] and item.error == ErrorCode.NONE for item in items)
    engine.reopen(cleanly=False)
    assert len(engine.values(engine.log())) == len(items)
