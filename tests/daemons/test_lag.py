"""Lag in seconds, from where the high watermark was when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.daemons.lag import NOTES_MAX, OffsetHistory

KEY = ("topic", 0)


def history(*notes):
    made = OffsetHistory()
    for now_s, offset in notes:
        made.note(KEY, now_s, offset)
    return made


def test_between_two_notes():
    one = history((0, 0), (10, 100), (20, 300))
    assert one.lag_s(KEY, 300) == 0
    assert one.lag_s(KEY, 400) == 0
    assert one.lag_s(KEY, 200) == pytest.approx(5)
    assert one.lag_s(KEY, 100) == pytest.approx(10)
    assert one.lag_s(KEY, 50) == pytest.approx(15)


def test_before_the_first_note_by_the_speed_since():
    assert history((0, 1000), (10, 2000)).lag_s(KEY, 0) == pytest.approx(20)


def test_nothing_to_tell():
    assert OffsetHistory().lag_s(KEY, 0) is None
    assert history((0, 100)).lag_s(KEY, 50) is None
    assert history((0, 100), (10, 100)).lag_s(KEY, 50) is None


def test_while_nothing_is_appended_the_lag_grows():
    one = history((0, 0), (10, 100), *((time_s, 100) for time_s in range(20, 2000, 10)))
    # Half of it was appended by second 5, and the group has been behind since.
    assert one.lag_s(KEY, 50) == pytest.approx(1990 - 5)
    assert one.lag_s(KEY, 100) == 0


def test_a_topic_that_began_anew():
    one = history((0, 0), (10, 1000), (20, 5))
    assert one.lag_s(KEY, 3) is None
    one.note(KEY, 30, 10)
    assert one.lag_s(KEY, 5) == pytest.approx(10)


def test_only_what_is_asked_for_is_kept():
    one = history((0, 0))
    one.note(("other", 1), 0, 0)
    one.keep_only({KEY})
    assert len(one) == 1


@given(
    st.lists(st.tuples(st.integers(1, 100), st.integers(0, 1000)), min_size=2, max_size=3 * NOTES_MAX),
    st.integers(0, 100_000),
)
def test_it_is_never_negative_and_falls_as_a_group_advances(steps, committed):
    one = OffsetHistory()
    now_s = offset = 0
    for seconds, records in steps:
        now_s += seconds
        offset += records
        one.note(KEY, now_s, offset)
    lag = one.lag_s(KEY, committed)
    if lag is not None:
        assert lag >= 0
        assert one.lag_s(KEY, committed + 1) <= lag + 1e-6
