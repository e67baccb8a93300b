"""The shared memory as arithmetic: the bound, the order, and that it can't come to a stand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.net.budget import RequestBudget


class Waiter:
    def __init__(self, budget):
        self.budget = budget
        self.granted = []
        self.buffer_bytes = 0

    def budget_granted(self, granted_bytes):
        self.granted.append(granted_bytes)
        self.buffer_bytes += granted_bytes

    def grow(self, extra_bytes):
        if self.budget.grow_buffer(self, extra_bytes):
            self.buffer_bytes += extra_bytes
            return True
        return False


def made(limit_bytes):
    wakes = []
    return RequestBudget(limit_bytes, lambda: wakes.append(1)), wakes


def test_within_the_limit_nobody_waits():
    budget, wakes = made(100)
    waiter = Waiter(budget)
    assert waiter.grow(60)
    assert waiter.grow(40)
    assert budget.exhausted
    assert not wakes


def test_no_limit():
    budget, _ = made(None)
    assert Waiter(budget).grow(1 << 60)
    assert not budget.exhausted


def test_who_came_first_goes_first_whatever_it_wants():
    budget, wakes = made(100)
    budget.requests_bytes = 90
    large, small = Waiter(budget), Waiter(budget)
    assert not large.grow(50)
    assert not small.grow(5), "there would be room, but someone was here before"
    assert wakes
    assert budget.exhausted, "reading on would use up what the first one waits for"
    budget.hand_out()
    assert (large.granted, small.granted) == ([], [])
    budget.request_done(60)
    budget.hand_out()
    assert (large.granted, small.granted) == ([50], [5])


def test_readers_go_on_when_there_is_room_and_not_all_at_once():
    budget, _ = made(100_000)
    budget.requests_bytes = 100_000
    readers = [Waiter(budget) for _ in range(5)]
    for reader in readers:
        budget.wait_to_read(reader)
        budget.wait_to_read(reader)  # asking twice is waiting once
    assert budget.waiting == 5
    budget.request_done(100_000)
    assert budget.hand_out(), "call again: what they read isn't known yet"
    assert [len(reader.granted) for reader in readers] == [1, 1, 0, 0, 0]
    while budget.hand_out():
        pass
    assert [len(reader.granted) for reader in readers] == [1] * 5


def test_a_reader_that_comes_to_want_a_buffer_keeps_its_place():
    budget, _ = made(100)
    budget.requests_bytes = 100
    first, second = Waiter(budget), Waiter(budget)
    budget.wait_to_read(first)
    budget.wait_to_read(second)
    assert not first.grow(100)
    budget.request_done(100)
    budget.hand_out()
    assert first.granted == [100]
    assert second.granted == []


def test_one_is_favoured_when_nothing_else_would_move():
    budget, _ = made(100)
    one, two = Waiter(budget), Waiter(budget)
    assert one.grow(50)
    assert two.grow(50)
    assert not one.grow(50)
    assert not two.grow(50)
    budget.hand_out()
    assert budget.favoured is one
    assert (one.granted, two.granted) == ([50], [])
    assert one.grow(1000), "the favoured one gets what it needs"
    budget.hand_out()
    assert two.granted == [], "one at a time"
    budget.release_buffer(one.buffer_bytes)
    budget.finished(one)
    budget.hand_out()
    assert two.granted == [50]


def test_nobody_is_favoured_while_a_request_is_in_flight():
    budget, _ = made(100)
    one = Waiter(budget)
    assert one.grow(50)
    budget.requests_bytes = 1
    assert not one.grow(50)
    budget.hand_out()
    assert budget.favoured is None
    budget.request_done(1)
    budget.hand_out()
    assert one.granted == [50]


def test_who_is_gone_is_not_waited_for():
    budget, wakes = made(100)
    one, two = Waiter(budget), Waiter(budget)
    budget.requests_bytes = 100
    assert not one.grow(100)
    assert not two.grow(100)
    budget.forget(one)
    budget.request_done(100)
    budget.hand_out()
    assert (one.granted, two.granted) == ([], [100])
    del wakes[:]
    assert not one.grow(10)
    budget.forget(two)
    budget.release_buffer(100)
    assert wakes


@settings(max_examples=300, deadline=None)
@given(
    limit=st.integers(1, 3000),
    frames=st.lists(st.integers(1, 4000), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_every_frame_gets_through_and_the_bound_holds(limit, frames, order):
    """Frames arrive in turns of any order, doubling their buffers; each becomes a request, and is answered some time."""
    budget, _ = made(limit)
    waiters = [Waiter(budget) for _ in frames]
    sizes = dict(zip(waiters, frames, strict=True))
    asked = set()
    requests = []
    done = 0
    for _ in range(100_000):
        if done == len(frames):
            break
        waiter = order.choice(waiters)
        if waiter in asked:
            if waiter.granted:
                asked.discard(waiter)
                waiter.granted.clear()
        elif waiter.buffer_bytes < sizes[waiter]:
            want = min(sizes[waiter], max(1, 2 * waiter.buffer_bytes)) - waiter.buffer_bytes
            if not waiter.grow(want):
                asked.add(waiter)
        elif sizes[waiter]:
            budget.release_buffer(waiter.buffer_bytes)
            budget.finished(waiter)
            budget.requests_bytes += sizes[waiter]
            requests.append(sizes[waiter])
            sizes[waiter] = waiter.buffer_bytes = 0
        if requests and order.random() < 0.2:
            budget.request_done(requests.pop(order.randrange(len(requests))))
            done += 1
        budget.hand_out()
        assert budget.used_bytes <= limit + max(frames)
    assert done == len(frames)
    assert budget.used_bytes == 0
    assert budget.waiting == 0
    assert budget.favoured is None
