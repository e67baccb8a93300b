"""The model of a log accepts every state a crash may leave and names what is wrong with the others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.testing.model import Batch, Model, RecoveredLog


class Time:
    """Stands for the disk's operations."""

    def __init__(self):
        self.at = 0

    def __call__(self):
        self.at += 1
        return self.at


def batch(base, end=None, text="", producer=None):
    return Batch(base, base + 1 if end is None else end, f"{base} {text}".encode(), producer)


def shown(batches, start=0, end=None, **more):
    return RecoveredLog(
        start, end if end is not None else (batches[-1].end_offset if batches else start), batches, **more
    )


@pytest.fixture
def log():
    """Three batches, two of them promised; `log.now.at` is the present."""
    log = Model(Time()).create("t-0")
    log.promise_creation()
    for base in range(3):
        log.append(batch(base))
    log.promise(1)
    return log


def check(log, found, **more):
    return log.check(log.now.at, found, **more)


def test_promised_batches_and_any_more_of_those_appended(log):
    batches = [batch(base) for base in range(3)]
    assert check(log, shown(batches)) == ""
    assert check(log, shown(batches[:2])) == ""
    assert check(log, shown(batches[:1])) == "lost batch 1..1 and 0 more: the log ends at 1, 2 was promised"
    assert "lost batch 0..0 and 1 more" in check(log, shown([]))
    assert check(log, None) == "the log is gone although its creation was acknowledged and nobody deleted it"
    assert check(log, shown(batches, refused="corrupt")) == "refused: corrupt"


def test_order_bytes_and_gaps(log):
    zero, one, two = (batch(base) for base in range(3))
    assert "batch 2..2 stands where batch 1..1 belongs" in check(log, shown([zero, two]))
    assert "comes after" in check(log, shown([one, zero], end=2))
    other = one._replace(payload=b"1x")
    assert (
        check(log, shown([zero, other]))
        == "batch 1..1 holds other bytes than were appended (first at byte 1 of 2)"
    )
    assert "3 bytes instead of 2" in check(log, shown([zero, one._replace(payload=b"1  ")]))
    assert "never appended" in check(log, shown([zero, one, two, batch(3)]))
    assert check(log, shown([zero, one], end=3)) == "the log ends at 3, but reading it ends at 2"
    assert "none of those the log had" in check(log, shown([zero, one, two], end=5))
    assert "below log start" in check(log, RecoveredLog(0, -1))


def test_what_happened_later_does_not_count_yet(log):
    assert log.check(log.now.at - 1, shown([])) == ""  # the promise came last
    assert "never appended" in log.check(3, shown([batch(0), batch(1), batch(2)]))
    assert log.check(0, None) == ""
    assert "before anyone created it" in log.check(0, shown([]))


def test_promises_from_the_page_cache_bind_only_a_killed_process(log):
    log.promise(2, to_disk=False)
    found = shown([batch(0), batch(1)])
    assert check(log, found) == ""
    assert "lost batch 2..2" in check(log, found, power_cut=False)


def test_what_was_served_is_promised(log):
    log.promise_up_to(3)
    assert "lost batch 2..2" in check(log, shown([batch(0), batch(1)]))


def test_log_start(log):
    log.begin_start_move(1)
    assert check(log, shown([batch(0), batch(1)])) == ""
    assert check(log, shown([batch(1)], start=1)) == ""
    log.promise_start(1)
    assert check(log, shown([batch(1)], start=1)) == ""
    assert check(log, shown([batch(0), batch(1)])) == "log start 0 moved back: 1 was acknowledged"
    assert "above 1" in check(log, shown([], start=2, end=2))


def test_start_inside_a_batch():
    log = Model(Time()).create("t-0")
    log.append(batch(0, 10))
    log.promise(log.append(batch(10, 20)))
    log.begin_start_move(5)
    assert check(log, shown([batch(0, 10), batch(10, 20)], start=5)) == ""


def test_truncation_is_before_or_after_never_a_mixture(log):
    log.truncate(2)
    new = batch(2, text="new")
    change = log.append(new)
    zero, one, two = (batch(base) for base in range(3))
    for state in ([zero, one], [zero, one, two], [zero, one, new]):
        assert check(log, shown(state)) == ""
    log.append(batch(3))
    assert check(log, shown([zero, one, two, batch(3)])) != ""
    log.promise(change)
    assert check(log, shown([zero, one, new])) == ""
    assert "other bytes" in check(log, shown([zero, one, two]))
    assert "lost batch 2..2" in check(log, shown([zero, one]))


def test_promise_of_a_truncation_alone(log):
    log.promise(log.truncate(1))
    assert check(log, shown([batch(0)])) == ""
    assert "never appended in this state" in check(log, shown([batch(0), batch(1)]))


def test_restart(log):
    change = log.restart(100)
    log.append(batch(100))
    assert check(log, shown([batch(0), batch(1)])) == ""
    assert check(log, shown([], start=100)) == ""
    assert check(log, shown([batch(100)], start=100)) == ""
    log.promise(change)
    assert check(log, shown([batch(0), batch(1)])) != ""


def test_deletion(log):
    log.begin_deletion()
    assert check(log, None) == ""
    assert check(log, shown([batch(0), batch(1)])) == ""
    assert "lost" in check(log, shown([batch(0)]))
    log.promise_deletion()
    assert check(log, None) == ""
    assert check(log, shown([])) == "the log came back after its deletion was acknowledged"


def test_producers():
    log = Model(Time()).create("t-0")
    log.append(batch(0, producer=(7, 0, 4)))
    log.append(batch(1, producer=(7, 0, 5)))
    both = [batch(0, producer=(7, 0, 4)), batch(1, producer=(7, 0, 5))]
    assert check(log, shown(both, producers={7: (0, 5)})) == ""
    assert check(log, shown(both[:1], producers={7: (0, 4), 8: (0, 0)})) == ""
    assert "remembered as (0, 5), its last batch says (0, 4)" in check(
        log, shown(both[:1], producers={7: (0, 5)})
    )
    assert "remembered as None" in check(log, shown(both, producers={}))


def test_wrong_use(log):
    with pytest.raises(ValueError, match="append at 1 to a log that ends at 3"):
        log.append(batch(1))
    model = Model(Time())
    model.create("a")
    with pytest.raises(ValueError, match="log a exists"):
        model.create("a")


def test_all_logs_and_strangers():
    model = Model(Time())
    for key in "ab":
        model.create(key).promise_creation()
    violations = model.check(model.now.at, {"a": shown([]), "c": shown([])})
    assert [str(violation) for violation in violations] == [
        "c: nobody created this log",
        "b: the log is gone although its creation was acknowledged and nobody deleted it",
    ]
    assert model.logs["a"].knows(batch(0)) is False
    model.logs["a"].append(batch(0))
    assert model.logs["a"].knows(batch(0))


def test_carried_over_to_the_disk_that_a_crash_left(log):
    model = Model(log.now)
    model.logs["t-0"] = log
    log.promise(2, to_disk=False)
    at = log.now.at
    log.append(batch(3))
    cut = model.as_of(at, lambda: 0, power_cut=True)
    assert cut.check(0, {"t-0": shown([batch(0), batch(1)])}) == []
    assert "never appended" in cut.check(0, {"t-0": shown([batch(base) for base in range(4)])})[0].reason
    killed = model.as_of(at, lambda: 0, power_cut=False)
    assert "lost batch 2" in killed.check(0, {"t-0": shown([batch(0), batch(1)])}, power_cut=False)[0].reason
    assert model.as_of(0, lambda: 0, power_cut=True).logs == {}


def test_adopting_what_recovery_showed(log):
    model = Model(log.now)
    model.logs["t-0"] = log
    gone = model.create("u-0")
    gone.begin_deletion()
    found = {"t-0": shown([batch(1), batch(2)], start=1)}
    after = model.adopt(found, Time())
    assert after.check(100, found) == []
    assert "lost batch 2" in after.check(100, {"t-0": shown([batch(1)], start=1)})[0].reason
    assert "moved back" in after.check(100, {"t-0": shown([batch(0), batch(1), batch(2)])})[0].reason
    assert "came back" in after.check(100, {**found, "u-0": shown([])})[0].reason
    after.logs["t-0"].append(batch(3))


changes = st.lists(st.one_of(st.integers(1, 3), st.integers(-4, -1)), max_size=12)


@settings(max_examples=200, deadline=None)
@given(changes=changes, data=st.data())
def test_exactly_the_prefixes_of_history_are_accepted(changes, data):
    """Positive numbers append so many records, negative ones truncate so many offsets."""
    log = Model(Time()).create("t-0")
    content = []
    states = [[]]
    for number, change in enumerate(changes):
        end = content[-1].end_offset if content else 0
        if change > 0:
            content = [*content, batch(end, end + change, str(number))]
            log.append(content[-1])
        else:
            content = [kept for kept in content if kept.end_offset <= end + change]
            log.truncate(content[-1].end_offset if content else 0)
        states.append(content)
    promised = data.draw(st.integers(0, len(changes)))
    if promised:
        log.promise(promised - 1)
    for number, state in enumerate(states):
        accepted = check(log, shown(state)) == ""
        assert accepted == (state in states[promised:]), f"state {number}"


def test_a_cut_may_be_durable_though_what_it_left_is_not():
    log = Model(Time()).create("t-0")
    kept, gone, later = batch(0, 2, "kept"), batch(2, 4, "gone"), batch(2, 3, "later")
    log.append(kept)
    log.append(gone)
    cut = log.truncate(2)
    assert check(log, shown([kept, gone])) == ""
    log.promise_cut(cut)
    log.append(later)
    assert "was never appended" in check(log, shown([kept, gone])) or "stands where" in check(
        log, shown([kept, gone])
    )
    for state in ([], [kept], [kept, later]):
        assert check(log, shown(state)) == ""
    log.promise(cut)
    assert check(log, shown([kept])) == ""
    assert "lost" in check(log, shown([]))
