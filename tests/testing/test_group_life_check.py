"""The judge of group lives, before made-up lives: each breaks one promise, or looks as if and doesn't."""

from __future__ import annotations

import pytest

from logbroker.testing.group_life_check import check
from logbroker.testing.group_life_log import Event, Kind, Log, Quiet, Stall
from logbroker.testing.group_life_schedule import ActionKind, Schedule, Slot


class Life:
    """A group over one partition, in which 30 records are, told event by event."""

    def __init__(self, **ends):
        self.log = Log(1, session_timeout_s=6.0, poll_timeout_s=9.0, ends={0: 30}, **ends)
        self._commits = 0

    def happens(self, at_s, member, kind, **fields):
        self.log.groups[member] = "group"
        self.log.events.append(Event(at_s, member, kind, **fields))
        return self

    def owns(self, member, start_s, end_s=None, kind=Kind.REVOKED):
        self.happens(start_s, member, Kind.ASSIGNED, partitions=(0,))
        return self if end_s is None else self.happens(end_s, member, kind, partitions=(0,))

    def reads(self, member, at_s, first, end, *, commit=True):
        self.happens(at_s, member, Kind.READ, spans=((0, first, end),))
        return self.commits(member, at_s + 0.1, end) if commit else self

    def commits(self, member, at_s, offset, answer=Kind.COMMITTED):
        self._commits += 1
        self.happens(at_s, member, Kind.COMMITTING, offsets={0: offset}, commit=self._commits)
        if answer is not None:
            self.happens(at_s + 0.1, member, answer, commit=self._commits, text="why")
        return self

    def violations(self, committed=30):
        self.log.committed = {"group": {0: committed}}
        return [violation.partition(":")[0] for violation in check(self.log).violations]


def handed_over():
    """One member reads a third, a second one the rest: nothing to complain about."""
    return (
        Life()
        .owns("a", 1.0, 10.0)
        .reads("a", 2.0, 0, 10)
        .owns("b", 11.0, 30.0)
        .reads("b", 12.0, 10, 30)
        .happens(31.0, "b", Kind.LEFT)
    )


def test_a_life_without_fault():
    verdict = check(handed_over().log)
    assert not handed_over().violations()
    assert (verdict.counts.records, verdict.counts.redelivered) == (30, 0)
    assert (verdict.counts.tenures, verdict.counts.commits) == (2, 2)


@pytest.mark.parametrize("answer", [None, Kind.COMMITTED])
def test_read_again_for_no_reason(answer):
    life = Life().owns("a", 1.0, 10.0).reads("a", 2.0, 0, 10, commit=False).commits("a", 3.0, 5, answer)
    life.owns("b", 11.0, 30.0).reads("b", 12.0, 5, 30)
    assert life.violations() == ["none twice"]


def test_the_position_moves_back_in_one_tenure():
    life = Life().owns("a", 1.0, 20.0).reads("a", 2.0, 0, 10, commit=False).reads("a", 3.0, 5, 30)
    assert life.violations() == ["none twice"]


def test_read_again_after_a_crash():
    life = Life().owns("a", 1.0).reads("a", 2.0, 0, 10, commit=False).happens(3.0, "a", Kind.CRASHED)
    assert not life.owns("b", 10.0, 30.0).reads("b", 12.0, 0, 30).violations()


def test_back_behind_what_was_acknowledged_before_a_crash():
    life = Life().owns("a", 1.0).reads("a", 2.0, 0, 10).happens(3.0, "a", Kind.CRASHED)
    assert life.owns("b", 10.0, 30.0).reads("b", 12.0, 9, 30).violations() == ["no way back"]


def paused(seconds):
    """A member that was silent for a while; another has its partition, and reads on where it committed; it wakes and reads on too."""
    return (
        Life()
        .owns("a", 1.0, 10.5 + seconds, Kind.LOST)
        .reads("a", 2.0, 0, 10)
        .happens(10.0, "a", Kind.PAUSED)
        .owns("b", 9.0 + seconds, 60.0)
        .reads("b", 9.1 + seconds, 10, 30)
        .happens(10.0 + seconds, "a", Kind.RESUMED)
        .reads("a", 10.1 + seconds, 10, 20, commit=False)
        .commits("a", 10.2 + seconds, 20, Kind.REFUSED)
    )


def test_a_pause_longer_than_the_session():
    assert not paused(8.0).violations()


def test_a_pause_that_nobody_should_notice():
    assert set(paused(3.0).violations()) == {"one owner", "none twice", "as it should be"}


@pytest.mark.parametrize(("seconds", "found"), [(12.0, []), (7.0, ["none twice", "one owner"])])
def test_a_nap(seconds, found):
    life = Life().owns("a", 1.0, 10.0 + seconds).reads("a", 2.0, 0, 10, commit=False)
    life.happens(3.0, "a", Kind.NAPPED, seconds=seconds)
    life.owns("b", 9.0, 30.0).reads("b", 9.1, 0, 30)
    assert sorted(life.violations()) == found


def test_a_machine_that_stood_still():
    life = Life().owns("a", 1.0, 10.0, Kind.LOST).reads("a", 2.0, 0, 10, commit=False)
    life.owns("b", 9.5, 30.0).reads("b", 12.0, 0, 30)
    assert sorted(life.violations()) == ["as it should be", "none twice", "one owner"]
    life.log.stalls = [Stall(2.5, 9.0)]
    assert not life.violations()


def test_skipped_by_a_commit():
    life = Life().owns("a", 1.0, 10.0).reads("a", 2.0, 0, 10).owns("b", 11.0, 30.0).reads("b", 12.0, 12, 30)
    assert life.violations() == ["none skipped", "none skipped"]


def test_processed_only_after_somebody_committed_it():
    life = Life().owns("a", 1.0, 10.0).reads("a", 2.0, 0, 10, commit=False).commits("a", 3.0, 20)
    life.reads("a", 4.0, 10, 30)
    assert life.violations() == ["none skipped"]


def test_never_processed():
    assert Life().owns("a", 1.0, 10.0).reads("a", 2.0, 0, 29).violations(29) == ["none skipped"]


@pytest.mark.parametrize("committed", [29, 31])
def test_another_end_than_was_acknowledged(committed):
    assert handed_over().violations(committed) == ["none skipped"]


def test_two_owners():
    life = Life().owns("a", 1.0, 10.0).reads("a", 2.0, 0, 10).owns("b", 9.0, 30.0).reads("b", 12.0, 10, 30)
    assert life.violations() == ["one owner"]


def test_read_without_having_it():
    life = handed_over().reads("a", 20.0, 10, 11, commit=False)
    assert life.violations() == ["one owner"]


def test_lost_and_refused_for_no_reason():
    life = Life().owns("a", 1.0, 10.0, Kind.LOST).reads("a", 2.0, 0, 30).commits("a", 5.0, 30, Kind.REFUSED)
    assert life.violations() == ["as it should be", "as it should be"]


def test_a_member_that_dies_or_reads_something_else():
    life = handed_over().happens(13.0, "b", Kind.WRONG, text="0@11 is b'x'")
    assert life.happens(14.0, "c", Kind.DIED, text="status 1").violations() == ["as it should be"] * 2


def at_rest(**fields):
    told = {"expected": frozenset("ab"), "broker": {"a": (0,), "b": ()}, "members": {"a": (0,), "b": ()}}
    return Quiet(at_s=20.0, group="group", stable=True, **{**told, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"broker": {"a": (), "b": ()}},
        {"broker": {"a": (0,), "b": (0,)}},
        {"members": {"a": (), "b": (0,)}},
        {"members": {"a": (0,), "b": (0,)}},
        {"broker": {"a": (0,)}},
        {"expected": frozenset("abc")},
    ],
)
def test_a_quiet_moment_that_is_wrong(fields):
    life = handed_over()
    life.log.quiet = [at_rest()]
    assert not life.violations()
    life.log.quiet = [at_rest(**fields)]
    assert set(life.violations()) == {"one owner"}


def test_no_rest():
    life = handed_over()
    life.log.quiet = [Quiet(20.0, "group", frozenset("ab"), {"a": (0,)}, {}, stable=False)]
    assert life.violations() == ["one owner"]


# ---- The schedule ----------------------------------------------------------------------------------------------------

SLOTS = [Slot(f"{group}-{number}", group, "confluent") for group in ("one", "two") for number in range(5)]


def rounds(seed, count=200):
    schedule = Schedule(seed, SLOTS, session_timeout_s=6.0, poll_timeout_s=9.0)
    return [schedule.next_round() for _ in range(count)]


def test_a_seed_repeats_its_rounds():
    assert rounds(7) == rounds(7)
    assert rounds(7) != rounds(8)


def test_only_what_can_be_done_is_done():
    up, paused, kinds = set(SLOTS), set(), set()
    for actions in rounds(3):
        assert [action.at_s for action in actions] == sorted(action.at_s for action in actions)
        for action in actions:
            kinds.add(action.kind)
            assert (action.slot in paused) == (action.kind is ActionKind.RESUME)
            assert (action.slot in up) == (action.kind is not ActionKind.JOIN)
            match action.kind:
                case ActionKind.JOIN:
                    up.add(action.slot)
                case ActionKind.LEAVE | ActionKind.CRASH:
                    up.remove(action.slot)
                case ActionKind.PAUSE:
                    assert action.seconds < 1.6 or action.seconds > 7.9
                    paused.add(action.slot)
                case ActionKind.RESUME:
                    paused.remove(action.slot)
                case ActionKind.NAP:
                    assert action.seconds > 10.9
        for group in ("one", "two"):
            assert sum(slot.group == group for slot in up - paused) >= 2
    assert kinds == set(ActionKind)


def test_some_pauses_last_through_a_quiet_moment():
    held = [
        {action.slot for action in actions if action.kind is ActionKind.PAUSE}
        - {action.slot for action in actions if action.kind is ActionKind.RESUME}
        for actions in rounds(3)
    ]
    assert any(held)
    assert not all(held)
