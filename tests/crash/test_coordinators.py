"""Seeded lives of both coordinators on the simulated disk, crashed everywhere: what was answered is there, nothing is torn, nothing hangs.

A seed that fails is replayed with `python -m logbroker.testing.crash_coordinators --seed SEED`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import time

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.coordination import replay
from logbroker.coordination.formats.consumer_offsets import LEGACY_OFFSET_COMMIT, OFFSET_COMMIT
from logbroker.coordination.formats.record import leading_int16
from logbroker.coordination.shard import Shard
from logbroker.groups.committed import CommittedOffsets
from logbroker.groups.machine import GroupMachine
from logbroker.storage.offset_map import OffsetMap
from logbroker.testing.crash_coordinators import UNTIL, explore_until
from logbroker.testing.sim_coordinator_story import CoordinatorStory
from logbroker.testing.sim_story import Tally
from logbroker.transactions import machine
from logbroker.transactions.machine import TransactionMachine
from logbroker.transactions.markers import MarkerSender

POINTS_WANTED = 500
FRESH_S = 5.0
"""How long new seeds are tried beside the fixed ones."""
FOUND = (690101572,)
"""Seeds that found something once."""
BREAKS_SEEDS = range(20_000, 20_060)
"""Lives in which each fault of `BREAKS` shows."""


def test_fixed_seeds(say):
    tally, events, failures = explore_until(POINTS_WANTED, (*FOUND, *range(10_000, 10_100)), say)
    assert list(map(str, failures)) == []
    assert tally.kills > 20
    assert tally.in_recovery > 5
    wanted = {
        "Transactor answer": 500,
        "Committer answer": 300,
        "ClassicMember answer": 300,
        "ConsumerMember answer": 200,
        "Transactor": 20,  # killed amid a request
        "compaction": 50,
        "compacted record": 20,
        "clean stop": 5,
        "kill": 5,
    }
    assert {kind: events[kind] for kind, least in wanted.items() if events[kind] < least} == {}


def test_fresh_seeds(fresh_seed):
    tally = Tally()
    deadline = time.monotonic() + FRESH_S
    failures = []
    for seed in itertools.count(fresh_seed):
        story = CoordinatorStory.record(seed)
        story.tally = tally
        failures = [str(failure) for failure in story.dig(15)]
        if failures or time.monotonic() > deadline:
            break
    print(f"fresh seeds {fresh_seed} to {seed}: {tally.points} points")
    assert failures == []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_thousand_points(fresh_seed, say):
    tally, _, failures = explore_until(UNTIL, range(fresh_seed, fresh_seed + UNTIL), say)
    assert list(map(str, failures)) == []
    assert tally.points >= UNTIL


# ---- each check finds what it is there for


def answer_before_durable(patch):
    """What was queued is answered when the log has it, not when that is durable."""
    append = Shard._append

    def hasty(self, events, do_append):
        error = append(self, events, do_append)
        if error is None:
            for event in events:
                event.finish(ErrorCode.NONE)
        return error

    patch.setattr(Shard, "_append", hasty)


def forget_open_transactions(patch):
    """A start passes over records that have no marker yet."""
    patch.setattr(replay._Replay, "open_records", lambda _: [])


def take_every_marker_for_an_abort(patch):
    """A start drops the records of transactions that were committed."""
    patch.setattr(replay, "_COMMIT", 2)
    patch.setattr(replay, "_ABORT", 1)


def forget_tombstones(patch):
    """What was deleted comes back with the next start."""
    collect = replay._collect

    def one_sided(latest, buffer, position, header, *, keep_tombstones):
        before = dict(latest)
        collect(latest, buffer, position, header, keep_tombstones=keep_tombstones)
        for key, entry in before.items():
            latest.setdefault(key, entry)

    patch.setattr(replay, "_collect", one_sided)


def never_go_on_with_markers(patch):
    """A start doesn't finish what was decided before it."""
    patch.setattr(TransactionMachine, "loaded", lambda _: None)


def lose_markers(patch):
    """A transaction is complete although a partition has not got its marker."""
    start = MarkerSender.start

    def partial(self):
        if len(self.waiting) > 1:
            self.waiting.discard(min(self.waiting))
        start(self)

    patch.setattr(MarkerSender, "start", partial)


def commit_pending_offsets_at_once(patch):
    """Offsets of a transaction count before its marker."""
    complete = CommittedOffsets.complete

    def always(self, *args, commit, **rest):
        complete(self, *args, commit=True, **rest)

    patch.setattr(CommittedOffsets, "complete", always)


def go_back_an_epoch(patch):
    """A start takes every producer's epoch for the one before."""
    decode = machine.decode

    def older(value):
        known = decode(value)
        return dataclasses.replace(known, producer_epoch=max(known.producer_epoch - 1, 0))

    patch.setattr(machine, "decode", older)


def forget_groups(patch):
    """A start knows offsets only."""
    replay_one = GroupMachine.replay

    def offsets_only(self, record):
        if leading_int16(record.key) in (LEGACY_OFFSET_COMMIT, OFFSET_COMMIT):
            replay_one(self, record)

    patch.setattr(GroupMachine, "replay", offsets_only)


def compact_away_what_is_newest(patch):
    """Of the records of a key compaction keeps the first."""
    put = OffsetMap.put

    def first_only(self, key, offset):
        return self.get(key) >= 0 or put(self, key, offset)

    patch.setattr(OffsetMap, "put", first_only)


BREAKS = {
    answer_before_durable: r"possible are|a member was told|answered committed|its producer was told",
    forget_open_transactions: r"live and replayed differ: pending|transactions have committed",
    take_every_marker_for_an_abort: r"does not serve",
    forget_tombstones: r"possible are \[",
    never_go_on_with_markers: r"never ended|is not complete",
    lose_markers: r"data-\d hangs",
    commit_pending_offsets_at_once: r"transactions have committed \{None\}",
    go_back_an_epoch: r"its producer was told",
    forget_groups: r"a member was told epoch",
    compact_away_what_is_newest: r"possible are|compaction changes",
}
"""Faults, and how they show."""


@pytest.mark.parametrize("fault", BREAKS, ids=lambda fault: fault.__name__)
def test_each_check_finds_what_it_is_there_for(fault, monkeypatch):
    fault(monkeypatch)
    shown = ""
    for seed in BREAKS_SEEDS:
        failures = list(CoordinatorStory.record(seed).dig(10, again=0.0, compacted=0.5))
        shown = next((str(each) for each in failures if re.search(BREAKS[fault], each.what)), "")
        if shown:
            break
    print(shown)
    assert shown
