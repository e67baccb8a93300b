"""Timers: never early, at most a granule late, cheap to cancel, and none harms another."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.clock import ManualClock, SystemClock
from logbroker.base.timers import GRANULE_S, Timers


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.booleans()), max_size=40),
    st.lists(st.integers(0, 700), max_size=15),
)
def test_each_fires_once_in_its_time_unless_cancelled(planned, steps):
    clock = ManualClock()
    timers = Timers(clock)
    fired = {}
    handles = []
    for number, (delay_ms, _) in enumerate(planned):
        handles.append(
            timers.call_later(delay_ms, lambda number=number: fired.setdefault(number, clock.monotonic()))
        )
    for handle, (_, cancelled) in zip(handles, planned, strict=True):
        if cancelled:
            handle.cancel()
            handle.cancel()
    for step_ms in [*steps, 10_000]:
        before = clock.monotonic()
        clock.advance(step_ms)
        timers.expire_due()
        for number, (delay_ms, cancelled) in enumerate(planned):
            if number in fired:
                assert not cancelled
                assert fired[number] >= delay_ms / 1000 - 1e-9
            elif not cancelled:
                assert clock.monotonic() < delay_ms / 1000 + GRANULE_S
        assert before <= clock.monotonic()
    assert sorted(fired) == [number for number, (_, cancelled) in enumerate(planned) if not cancelled]
    assert len(timers) == 0


def test_a_cancelled_timer_takes_no_memory():
    timers = Timers(ManualClock())
    for _ in range(10_000):
        timers.call_later(30_000, lambda: None).cancel()
    assert len(timers) == 0
    assert sum(map(len, timers._buckets.values())) == 0
    assert len(timers._buckets) == 1


def test_one_that_fails_harms_no_other(caplog):
    clock = ManualClock()
    timers = Timers(clock)
    fired = []
    timers.call_later(10, lambda: 1 / 0)
    timers.call_later(10, lambda: fired.append(1))
    clock.advance(20)
    assert timers.expire_due() == 2
    assert fired == [1]
    assert "a timer failed" in caplog.text


def test_one_that_sets_itself_again_waits_for_the_next_turn():
    clock = ManualClock()
    timers = Timers(clock)
    fired = []

    def again():
        fired.append(1)
        timers.call_later(0, again)

    again()
    clock.advance(10)
    assert timers.expire_due() == 1
    assert timers.expire_due() == 1


def test_one_may_cancel_another_that_is_due_too():
    clock = ManualClock()
    timers = Timers(clock)
    fired = []
    other = []

    def cancel_other():
        other.pop().cancel()

    timers.call_later(10, cancel_other)
    other.append(timers.call_later(10, lambda: fired.append(1)))
    clock.advance(20)
    assert timers.expire_due() == 1
    assert not fired


def test_the_loop_fires_them_by_itself_earliest_first():
    async def scenario():
        timers = Timers(SystemClock(), asyncio.get_running_loop())
        fired = []
        done = asyncio.Event()
        timers.call_later(60, lambda: (fired.append("late"), done.set()))
        timers.call_later(20, lambda: fired.append("early"))
        timers.call_later(1, lambda: fired.append("never")).cancel()
        await asyncio.wait_for(done.wait(), 10)
        assert fired == ["early", "late"]

    asyncio.run(scenario())


@pytest.mark.parametrize("with_loop", [False, True])
def test_after_close_nothing_fires(with_loop):
    async def scenario():
        clock = ManualClock()
        timers = Timers(clock, asyncio.get_running_loop() if with_loop else None)
        fired = []
        timers.call_later(0, lambda: fired.append("set before"))
        timers.close()
        timers.call_later(0, lambda: fired.append("set after"))
        clock.advance(1000)
        assert timers.expire_due() == 0
        await asyncio.sleep(3 * GRANULE_S)
        assert fired == []

    asyncio.run(scenario())
