"""Seeded schedules of producers, crashes and broken writes, held against what must always be true.

Whatever is killed when: a transaction's markers all say the same, what a producer was told is what they say, no epoch is given to
two producers, and when all is quiet nothing is left without its marker.
"""

import random

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError

VERSIONS = {"x": 0, "y": 2, "z": 2}
"""Transactional ids, and the transaction version that their producers speak: with 0 a marker has the epoch of its batches, with 2
the next one, so that one producer can't mix both and still be told apart here."""
PARTITIONS = [("t", index) for index in range(4)]
REFUSALS = (ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.KAFKA_STORAGE_ERROR)


class Story:
    """One run: three transactional ids, each with producers that come, write, end, get stuck and are fenced."""

    def __init__(self, bench, seed):
        self.bench = bench
        self.random = random.Random(seed)
        self.producers = {}  # by name: the latest (id, epoch) that somebody was told
        self.given = {}  # (id, epoch) -> who asked for it
        self.added = {}  # (name, id, epoch) -> partitions whose addition was answered with NONE
        self.told = {}  # (name, id, epoch) -> outcome that an EndTxn was answered with
        self.asks = 0

    def step(self):
        steps = (
            [self.init] * 3 + [self.add] * 10 + [self.end] * 6 + [self.settle_some] * 8
            + [self.wait] * 2 + [self.hold] + [self.release] * 2 + [self.refuse] + [self.crash] + [self.time_out]
        )  # fmt: skip
        self.random.choice(steps)()

    def init(self):
        name = self.random.choice(list(VERSIONS))
        expected = self.producers.get(name) if self.random.random() < 0.4 else None
        if VERSIONS[name] == 0:
            # It would be given the epoch of the markers of what was aborted for it, and its own markers have that epoch too.
            expected = None
        self.asks += 1
        asker = self.asks

        def answered(outcome):
            if outcome.error is ErrorCode.NONE:
                producer = (outcome.producer_id, outcome.producer_epoch)
                first = self.given.setdefault(producer, (asker, expected))
                # Only whoever asks the same question again gets the same answer.
                assert first[0] == asker or first[1] == expected is not None
                self.producers[name] = producer

        self.bench.ask_init(name, expected).on_done(answered)

    def add(self):
        name = self.random.choice(list(VERSIONS))
        producer = self.producers.get(name)
        if producer is None:
            return
        partitions = frozenset(self.random.sample(PARTITIONS, self.random.randint(1, 2)))

        def answered(error):
            if error is ErrorCode.NONE:
                self.added.setdefault((name, *producer), set()).update(partitions)

        self.bench.ask_add(producer, *partitions, name=name, version=VERSIONS[name]).on_done(answered)

    def end(self):
        name = self.random.choice(list(VERSIONS))
        producer = self.producers.get(name)
        if producer is None or (name, *producer) in self.told:
            return
        commit = self.random.random() < 0.6
        version = VERSIONS[name]
        began = frozenset(self.added.get((name, *producer), ()))

        def answered(outcome):
            if outcome.error is ErrorCode.NONE:
                self.told[name, *producer] = (commit, began)
                if version == 2:
                    self.producers[name] = (outcome.producer_id, outcome.producer_epoch)

        if version == 0:
            # Its epoch stays the same, answered or not: here each ends once, so that its markers can be told apart.
            del self.producers[name]
        self.bench.ask_end(producer, commit=commit, version=version, name=name).on_done(answered)

    def settle_some(self):
        self.bench.tick()
        self.bench.log.settle(self.random.choice([0, 1, 2, None]))

    def wait(self):
        self.bench.advance(self.random.choice([20, 200, 6000]), settle=self.random.random() < 0.5)

    def hold(self):
        if self.bench.markers.held is None:
            self.bench.markers.hold()

    def release(self):
        self.bench.markers.release(
            self.random.choice([ErrorCode.NONE, ErrorCode.NONE, ErrorCode.KAFKA_STORAGE_ERROR])
        )

    def refuse(self):
        self.bench.log.refusal = BrokerError(self.random.choice(REFUSALS))

    def time_out(self):
        self.bench.advance(61_000)
        for name in self.bench.machine.overdue():
            assert self.bench.machine.abort_overdue(name, None)

    def crash(self):
        survivor = self.bench.log.crashed(surviving=self.random.choice([0, 0, 1, 3]))
        if self.random.random() < 0.3:
            survivor = survivor.compacted()
        self.bench.markers.held = None
        self.bench.restart(survivor)

    def finish(self):
        self.bench.markers.release()
        self.bench.log.refusal = None
        self.bench.settle()
        self.bench.advance(30_000)
        self.bench.settle()

    def check(self):
        for entry in self.bench.machine.entries.values():
            assert entry.pending is None
            assert entry.transaction.state.name in ("EMPTY", "ONGOING", "COMPLETE_COMMIT", "COMPLETE_ABORT")
        outcomes = {}
        for topic, partition, producer_id, epoch, _, commit in self.bench.markers.written:
            outcomes.setdefault((producer_id, epoch), {}).setdefault((topic, partition), set()).add(commit)
        for said in outcomes.values():
            assert len(set.union(*said.values())) == 1, "one transaction was committed and aborted"
        for (name, producer_id, epoch), (commit, began) in self.told.items():
            bumped = VERSIONS[name] == 2
            said = outcomes.get((producer_id, epoch + 1 if bumped else epoch), {})
            assert began <= said.keys(), "a partition of an ended transaction has no marker"
            assert all(what == {commit} for what in said.values())


@pytest.mark.parametrize("seed", range(150))
def test_a_schedule(new_bench, seed):
    story = Story(new_bench(), seed)
    for _ in range(120):
        story.step()
    story.finish()
    story.check()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_schedules(new_bench):
    for seed in range(1000, 21_000):
        story = Story(new_bench(), seed)
        for _ in range(150):
            story.step()
        story.finish()
        story.check()
