"""Parked requests: woken by any of their keys, ended once, bounded in time and number."""

from __future__ import annotations

import pytest

from logbroker.base.clock import ManualClock
from logbroker.base.timers import Timers
from logbroker.base.waits import Waits


class Request:
    def __init__(self):
        self.ready = False
        self.attempts = 0
        self.woken_by = []
        self.expired = 0

    def attempt(self, key):
        self.attempts += 1
        self.woken_by.append(key)
        return self.ready

    def expire(self):
        self.expired += 1


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def waits(clock):
    made = Waits(Timers(clock), 3)
    made.turn = lambda ms: (clock.advance(ms), made._timers.expire_due())
    return made


def park(waits, keys, timeout_ms=500):
    request = Request()
    request.wait = waits.park(keys, timeout_ms, request.attempt, request.expire)
    return request


def test_woken_by_any_key_until_satisfied(waits):
    request = park(waits, ["a", "b"])
    assert request.attempts == 0
    waits.wake("c")
    waits.wake("a")
    waits.wake("b")
    assert request.attempts == 2
    request.ready = True
    waits.wake("b")
    assert request.wait.done
    waits.wake("a")
    waits.turn(1000)
    assert (request.attempts, request.expired, len(waits)) == (3, 0, 0)
    assert set(request.woken_by) == {"a", "b"}
    assert not waits._by_key


def test_expires_once_and_in_time(waits):
    request = park(waits, ["a"])
    waits.turn(499)
    assert request.expired == 0
    waits.turn(11)
    waits.turn(1000)
    waits.wake("a")
    assert (request.attempts, request.expired, len(waits)) == (0, 1, 0)


def test_cancelled_is_called_no_more(waits):
    request = park(waits, ["a", "b"])
    request.wait.cancel()
    request.wait.cancel()
    waits.wake("a")
    waits.turn(1000)
    assert (request.attempts, request.expired, len(waits)) == (0, 0, 0)


def test_no_more_than_the_bound(waits):
    parked = [park(waits, ["a"]) for _ in range(4)]
    assert [request.wait is None for request in parked] == [False, False, False, True]
    parked[0].wait.cancel()
    assert park(waits, ["a"]).wait is not None


def test_an_attempt_may_park_and_cancel_others(waits):
    first, second = Request(), park(waits, ["x"])

    def attempt(key):
        second.wait.cancel()
        waits.park(["a"], 500, second.attempt, second.expire)
        return True

    waits.park(["a"], 500, attempt, first.expire)
    waits.wake("a")
    assert second.attempts == 0, "parked by this wake, so for the next"
    waits.wake("a")
    assert second.attempts == 1


def test_one_that_fails_is_ended_and_harms_no_other(waits, caplog):
    broken, fine = Request(), Request()
    waits.park(["a"], 500, lambda _: 1 / 0, broken.expire)
    waits.park(["a"], 500, fine.attempt, fine.expire)
    waits.wake("a")
    assert (broken.expired, fine.attempts, len(waits)) == (1, 1, 1)
    assert "failed to look again" in caplog.text


def test_all_may_be_ended_at_once(waits):
    parked = [park(waits, ["a"]) for _ in range(3)]
    waits.expire_all()
    assert [request.expired for request in parked] == [1, 1, 1]
    assert len(waits) == 0
