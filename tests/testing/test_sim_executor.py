"""Lanes under the seeded scheduler: order within a lane, every interleaving between them, errors told."""

from __future__ import annotations

import random

import pytest

from logbroker.storage.executor import Executor
from logbroker.testing import sim_executor
from logbroker.testing.sim_executor import SimExecutor


def steps(trace, name, count, error=None):
    for number in range(count):
        trace.append(f"{name}{number}")
        yield
    if error is not None:
        raise error
    return name


def run(seed, *, fair=True):
    trace, done = [], []
    executor: Executor = SimExecutor(random.Random(seed), fair=fair)
    for lane, name in (("x", "a"), ("x", "b"), ("y", "c")):
        executor.submit(lane, steps(trace, name, 2), lambda result, error: done.append((result, error)))
    executor.run_until_idle()
    assert executor.idle
    assert not executor.step()
    return tuple(trace), done


def test_lanes_keep_their_order_and_interleave_freely():
    seen = set()
    for seed in range(1000):
        trace, done = run(seed, fair=seed % 2 == 0)
        assert [name for name in trace if name[0] != "c"] == ["a0", "a1", "b0", "b1"]
        assert sorted(done) == [("a", None), ("b", None), ("c", None)]
        seen.add(trace)
    assert len(seen) == 15  # every way to merge four steps with two
    assert run(3) == run(3)


def test_errors_go_to_whoever_submitted():
    executor = SimExecutor(random.Random(1))
    told = []
    executor.submit(
        "x", steps([], "a", 1, OSError("broken")), lambda result, error: told.append((result, str(error)))
    )
    executor.run_until_idle()
    assert told == [(None, "broken")]
    executor.submit("x", steps([], "a", 1, OSError("unheard")))
    with pytest.raises(OSError, match="unheard"):
        executor.run_until_idle()


def test_callbacks_run_on_the_loop_in_order():
    executor = SimExecutor(random.Random(1))
    seen = []
    for number in range(5):
        executor.post(seen.append, number)
    assert seen == []
    assert executor.run_callback()
    assert seen == [0]
    executor.run_until_idle()
    assert seen == [0, 1, 2, 3, 4]
    assert not executor.run_callback()


def test_abandoned_work_goes_no_further():
    executor = SimExecutor(random.Random(1))
    trace, done = [], []
    executor.submit("x", steps(trace, "a", 5), lambda *outcome: done.append(outcome))
    executor.step()
    assert executor.lanes() == ["x"]
    executor.abandon()
    executor.run_until_idle()
    assert (trace, done) == (["a0"], [])


def test_work_without_end_is_noticed(monkeypatch):
    monkeypatch.setattr(sim_executor, "MAX_STEPS", 50)
    executor = SimExecutor(random.Random(1))
    executor.submit("x", steps([], "a", 1000))
    with pytest.raises(RuntimeError, match=r"still busy after 50 steps: \['x'\]"):
        executor.run_until_idle()
