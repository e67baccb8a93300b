"""Supervised tasks: a failure goes up, is logged, and takes along what belongs together; nothing else is a failure."""

from __future__ import annotations

import asyncio
import threading

import pytest

from logbroker.base.tasks import TaskScope


async def forever():
    await asyncio.Event().wait()


async def fails():
    raise ValueError("broken")


def test_a_task_that_dies_takes_its_scope_and_those_above_down(caplog):
    async def scenario():
        told = []
        root = TaskScope("broker", on_failure=lambda what, error: told.append((what, str(error))))
        child = TaskScope("coordination", root)
        sibling = TaskScope("other", root)
        kept = [root.start(forever(), "a"), child.start(forever(), "b"), sibling.start(forever(), "c")]
        child.start(fails(), "replay")
        await asyncio.wait(kept, timeout=10)
        assert all(task.cancelled() for task in kept)
        assert told == [("coordination: replay", "broken")]
        assert isinstance(root.failure, ValueError)
        assert isinstance(child.failure, ValueError)
        await root.close()

    asyncio.run(scenario())
    record = next(record for record in caplog.records if record.getMessage() == "a task died")
    assert record.fields == {"task": "replay", "scope": "coordination"}
    assert record.exc_info[0] is ValueError


def test_returning_and_being_cancelled_are_no_failures(caplog):
    async def scenario():
        scope = TaskScope("broker")
        done = scope.start(asyncio.sleep(0), "short")
        other = scope.start(forever(), "long")
        await done
        other.cancel()
        await asyncio.wait([other])
        await asyncio.sleep(0)
        assert len(scope) == 0
        assert scope.failure is None

    asyncio.run(scenario())
    assert not caplog.records


def test_close_waits_for_every_task_below():
    async def scenario():
        root = TaskScope("broker")
        child = TaskScope("child", root)
        ended = []

        async def slow(name):
            try:
                await forever()
            finally:
                await asyncio.sleep(0.01)
                ended.append(name)

        root.start(slow("root"), "a")
        child.start(slow("child"), "b")
        await asyncio.sleep(0)
        await root.close()
        assert sorted(ended) == ["child", "root"]
        with pytest.raises(RuntimeError, match="child is closed"):
            child.start(forever(), "late")

    asyncio.run(scenario())


def test_a_task_may_close_its_own_scope():
    async def scenario():
        scope = TaskScope("broker")
        other = scope.start(forever(), "other")
        closing = scope.start(scope.close(), "closing")
        await asyncio.wait([closing, other], timeout=10)
        assert other.cancelled()

    asyncio.run(scenario())


def test_a_thread_may_report_its_failure(caplog):
    async def scenario():
        failed = asyncio.Event()
        scope = TaskScope("broker", on_failure=lambda *_: failed.set())
        thread = threading.Thread(target=scope.fail_from_thread, args=("journal", OSError(5, "I/O error")))
        thread.start()
        await asyncio.wait_for(failed.wait(), 10)
        thread.join()
        assert isinstance(scope.failure, OSError)

    asyncio.run(scenario())
    assert "a task died" in caplog.text


def test_the_first_failure_counts_and_the_second_is_logged(caplog):
    async def scenario():
        told = []
        scope = TaskScope("broker", on_failure=lambda what, _: told.append(what))
        scope.fail("one", ValueError("1"))
        scope.fail("two", ValueError("2"))
        assert told == ["one"]

    asyncio.run(scenario())
    assert len(caplog.records) == 2
