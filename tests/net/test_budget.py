"""The shared memory as arithmetic: the bounds, the lanes, the order, and that it can't come to a stand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.net.budget import RequestBudget
from logbroker.net.limits import ORDINARY_FRAME_BYTES, RECEIVE_BYTES, SMALL_FRAME_BYTES

KB, MB = 1024, 1024 * 1024
LIMIT = 16 * MB  # 6 for small requests, 2 of them for cut ones, 6 for ordinary ones, 4 for large ones


class Waiter:
    def __init__(self, budget):
        self.budget = budget
        self.granted = 0

    def budget_granted(self):
        self.granted += 1

    def ask(self, frame_bytes):
        return self.budget.ask(self, frame_bytes)


def made(limit_bytes=LIMIT):
    wakes = []
    return RequestBudget(limit_bytes, lambda: wakes.append(1)), wakes


def asked(budget, frame_bytes, count):
    """Waiters for a frame each, and how many of them had room at once."""
    waiters = [Waiter(budget) for _ in range(count)]
    return waiters, [waiter.ask(frame_bytes) for waiter in waiters].count(True)


def test_within_the_shares_nobody_waits():
    budget, wakes = made()
    assert asked(budget, 64 * KB, 32)[1] == 32
    assert asked(budget, 2 * MB, 3)[1] == 3
    assert asked(budget, 4 * MB, 1)[1] == 1
    budget.give_back_cut(64 * KB)
    assert not budget.exhausted
    assert not budget.waiting
    assert not wakes


def test_no_limit():
    budget, _ = made(None)
    assert asked(budget, 1 << 50, 100)[1] == 100
    assert not budget.exhausted


def test_no_lane_takes_the_share_of_another():
    budget, _ = made()
    assert asked(budget, 3 * MB, 100)[1] == 1
    assert asked(budget, 1 * MB, 100)[1] == 6
    assert asked(budget, 64 * KB, 100)[1] == 32
    assert not budget.exhausted, "whole small requests are read on"
    budget.charge(4 * MB - SMALL_FRAME_BYTES)  # large
    for _ in range(64):
        budget.charge(64 * KB)
    assert budget.exhausted


def test_a_frame_that_is_longer_than_its_share_gets_through_alone():
    budget, _ = made()
    one, two = Waiter(budget), Waiter(budget)
    assert one.ask(100 * MB)
    assert not two.ask(3 * MB)
    assert asked(budget, 2 * MB, 3)[1] == 3, "it takes no more of the limit than its share"
    budget.give_back_cut(100 * MB)
    budget.charge(100 * MB)
    budget.hand_out()
    assert not two.granted, "it is in flight"
    budget.give_back(100 * MB)
    budget.hand_out()
    assert two.granted == 1


def test_who_came_first_goes_first_whatever_it_wants():
    budget, wakes = made()
    for _ in range(3):
        budget.charge(2 * MB)
    large, small = Waiter(budget), Waiter(budget)
    budget.give_back(2 * MB)
    budget.charge(1 * MB)
    assert not large.ask(2 * MB)
    assert not small.ask(1 * MB), "there would be room, but someone was here before"
    assert wakes
    budget.hand_out()
    assert (large.granted, small.granted) == (0, 0)
    budget.give_back(2 * MB)
    budget.hand_out()
    assert (large.granted, small.granted) == (1, 1)


def test_small_requests_use_what_others_leave_until_somebody_wants_it():
    budget, _ = made()
    for _ in range(15 * 16):
        budget.charge(64 * KB)
    assert not budget.exhausted
    waiter = Waiter(budget)
    assert not waiter.ask(2 * MB)
    assert budget.exhausted, "with somebody waiting they keep to their share"
    while not waiter.granted:
        budget.give_back(64 * KB)
        budget.hand_out()
        assert budget.small.used_bytes >= 13 * MB
    assert budget.used_bytes == LIMIT
    budget.give_back(64 * KB)
    assert not budget.exhausted


def test_readers_go_on_when_there_is_room_and_not_all_at_once():
    budget, _ = made(1 * MB)
    for _ in range(16):
        budget.charge(64 * KB)
    readers = [Waiter(budget) for _ in range(20)]
    for reader in readers:
        budget.wait_to_read(reader)
        budget.wait_to_read(reader)  # asking twice is waiting once
    assert budget.waiting == 20
    assert not budget.hand_out()
    for _ in range(16):
        budget.give_back(64 * KB)
    assert budget.hand_out(), "call again: what they read isn't known yet"
    assert [reader.granted for reader in readers] == [1] * 16 + [0] * 4
    while budget.hand_out():
        pass
    assert [reader.granted for reader in readers] == [1] * 20
    assert not budget.waiting


def test_readers_and_cut_small_frames_take_turns():
    budget, _ = made(1 * MB)
    for _ in range(16):
        budget.charge(64 * KB)
    readers, cut = [Waiter(budget) for _ in range(10)], [Waiter(budget) for _ in range(10)]
    for reader, other in zip(readers, cut, strict=True):
        budget.wait_to_read(reader)
        assert not other.ask(10 * KB)
    for _ in range(4):
        budget.give_back(64 * KB)
    budget.hand_out()
    assert sum(waiter.granted for waiter in readers) >= 3
    assert sum(waiter.granted for waiter in cut) >= 3


def test_a_reader_that_comes_to_want_room_waits_for_that():
    budget, _ = made(1 * MB)
    for _ in range(16):
        budget.charge(64 * KB)
    waiter = Waiter(budget)
    budget.wait_to_read(waiter)
    assert not waiter.ask(70 * KB)
    assert budget.waiting == 1
    assert budget.wanted_bytes(budget.ordinary) == 70 * KB
    assert budget.wanted_bytes(budget.small) == 0
    for _ in range(16):
        budget.give_back(64 * KB)
    budget.hand_out()
    assert waiter.granted == 1


def test_who_is_gone_is_not_waited_for():
    budget, wakes = made()
    assert Waiter(budget).ask(4 * MB)
    one, two, three = (Waiter(budget) for _ in range(3))
    assert not one.ask(4 * MB)
    assert not two.ask(3 * MB)
    budget.wait_to_read(three)
    budget.forget(one)
    budget.forget(three)
    assert budget.waiting == 1
    assert budget.wanted_bytes(budget.large) == 3 * MB
    budget.give_back_cut(4 * MB)
    assert wakes
    budget.hand_out()
    assert (one.granted, two.granted) == (0, 1)
    assert not budget.is_queued(two)


frame_sizes = st.one_of(
    st.integers(1, SMALL_FRAME_BYTES),
    st.integers(SMALL_FRAME_BYTES, ORDINARY_FRAME_BYTES),
    st.integers(ORDINARY_FRAME_BYTES, 8 * MB),
)


@settings(max_examples=300, deadline=None)
@given(
    limit=st.integers(6 * MB, 32 * MB),
    frames=st.lists(frame_sizes, min_size=1, max_size=25),
    order=st.randoms(use_true_random=False),
)
def test_every_frame_gets_through_and_the_bound_holds(limit, frames, order):
    """Frames arrive in turns of any order, cut or whole in one read; each becomes a request, and is answered some time."""
    budget, _ = made(limit)
    waiters = [Waiter(budget) for _ in frames]
    state = dict.fromkeys(waiters, "new")
    sizes = dict(zip(waiters, frames, strict=True))
    requests = []
    done = 0
    for _ in range(100_000):
        if done == len(frames):
            break
        waiter = order.choice(waiters)
        size = sizes[waiter]
        if waiter.granted:
            waiter.granted = 0
            state[waiter] = "may read" if state[waiter] == "wants to read" else "has room"
        if state[waiter] in {"new", "may read"}:
            if state[waiter] == "new" and budget.exhausted:
                state[waiter] = "wants to read"
                budget.wait_to_read(waiter)
            elif size <= SMALL_FRAME_BYTES and order.random() < 0.5:
                budget.charge(size)
                requests.append(size)
                state[waiter] = "dispatched"
            else:
                state[waiter] = "has room" if waiter.ask(size) else "wants room"
        elif state[waiter] == "has room":
            budget.give_back_cut(size)
            budget.charge(size)
            requests.append(size)
            state[waiter] = "dispatched"
        if requests and order.random() < 0.2:
            budget.give_back(requests.pop(order.randrange(len(requests))))
            done += 1
        budget.hand_out()
        assert budget.used_bytes <= limit + max(frames) + RECEIVE_BYTES
    assert done == len(frames)
    assert budget.used_bytes == 0
    assert budget.waiting == 0
