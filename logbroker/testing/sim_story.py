"""One seed's crashes: record a life, crash it at many moments, recover, compare, go on from there and crash again.

    for failure in Story.record(seed).dig(points=200): print(failure)

A *chapter* begins where a process was up again: its model promises what that process showed. So a story may hold several lives on one
disk (a clean stop, a kill), and crash points in the middle of a recovery are held against what the life before it had promised.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from logbroker.base.clock import ManualClock
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.testing.explore import CrashPoint, explore
from logbroker.testing.model import Model
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_engine import SimEngine
from logbroker.testing.sim_faults import Fault
from logbroker.testing.sim_workload import Workload
from logbroker.testing.sim_world import World, directory_options

ACTIONS = 90
"""Things that happen in a life."""
KEYED_EVERY, KEYED_AT = 7, 3
"""Seeds of this remainder live with compacted topics."""
FAILING = ("datasync", "datasync", "datasync", "sync_filesystem", "sync_dir", "pwritev")
"""Operations of the disk that fail once."""


class Failure(NamedTuple):
    """A broken promise, and where it shows: the crash points that lead there, outermost first."""

    seed: int
    path: tuple[tuple[int, int, str], ...]
    what: str

    def __str__(self) -> str:
        where = " then ".join(
            f"{kind} at operation {at} (survivors {decision})" for at, decision, kind in self.path
        )
        return f"seed {self.seed}: {where or 'while recording'}: {self.what}"


class _Chapter(NamedTuple):
    at: int
    model: Model


@dataclass(slots=True)
class Tally:
    """Distinct crash points so far, and where recoveries were interrupted."""

    points: int = 0
    in_recovery: int = 0
    kills: int = 0
    failed: int = 0
    """Starts after a crash in which, or soon after which, the disk failed."""
    operations: int = 0
    depth: dict[int, int] = field(default_factory=dict)


class Story:
    """See the module. `engine` is the process that runs now, None once it is dead."""

    def __init__(
        self,
        seed: int,
        disk: SimDisk,
        world: World,
        model: Model,
        options: LogDirectoryOptions,
        directories: int,
    ) -> None:
        self.seed = seed
        self.keyed = seed % KEYED_EVERY == KEYED_AT
        self.disk = disk
        self.world = world
        self.options = options
        self.directories = directories
        self.path: tuple[tuple[int, int, str], ...] = ()
        self.complaints: list[str] = []
        self.events: Counter[str] = Counter()
        self.failures: list[str] = []
        """What took a directory offline, time after time."""
        self.tally = Tally()
        self._chapters = [_Chapter(0, model)]

    # Recording

    @classmethod
    def record(
        cls,
        seed: int,
        *,
        actions: int = ACTIONS,
        prepare: Callable[[SimDisk, random.Random], None] = lambda _disk, _rng: None,
    ) -> Story:
        """A new disk and a random life on it; `prepare` may arm faults, once the first start is through."""
        rng = random.Random(seed)
        directories = rng.choice((1, 1, 1, 2))
        clock = ManualClock()
        disk = SimDisk([f"/d{number}" for number in range(directories)], now_ms=clock.wall_ms)
        world = World(lambda: disk.operations)
        model = Model(lambda: disk.operations)
        story = cls(seed, disk, world, model, directory_options(rng), directories)
        engine = story.engine(rng, clock)
        engine.start()
        workload = Workload(engine, rng, keyed=story.keyed)
        workload.begin()
        prepare(disk, rng)
        left = actions
        while left > 0:
            part = min(left, rng.randint(15, 60))
            workload.run(part)
            left -= part
            if left > 0 and not engine.offline:
                engine = story.restart(engine, rng)
            if engine.offline or engine.errors:
                successor = story.recover_from_failure(engine, rng)
                if successor is None:
                    return story
                engine = successor
            if left > 0:
                workload = Workload(engine, rng, keyed=story.keyed)
        if (rng.random() < 0.3 or disk.faults) and not engine.offline:
            engine.settle()
            if engine.reason:
                story.failures.append(engine.reason)
        story.end(engine)
        return story

    def engine(self, rng: random.Random, clock: ManualClock | None = None) -> SimEngine:
        """A process on this disk, not started yet."""
        return SimEngine(
            self.disk,
            rng,
            self.world,
            self._chapters[-1].model,
            self.options,
            directories=self.directories,
            clock=clock,
        )

    def restart(self, engine: SimEngine, rng: random.Random) -> SimEngine:
        """Stop the process, cleanly or not, and start the next on the same disk, page cache and all."""
        clean = rng.random() < 0.5
        self.events["clean stop" if clean else "kill"] += 1
        if clean:
            engine.close()
            engine.settle()
            if engine.closed != self.directories:
                engine.complaints.append("the clean stop never ended")
            if engine.unanswered():
                engine.complaints.append(f"{engine.unanswered()} appends were never answered")
        if engine.offline:
            return engine
        self.end(engine)
        successor = self.engine(rng, engine.clock)
        successor.start()
        failed = successor.errors or successor.offline
        if not (failed and self.disk.accidents):
            self.adopt(successor, power_cut=False)
        return successor

    def recover_from_failure(self, engine: SimEngine, rng: random.Random) -> SimEngine | None:
        """A directory failed: nobody may be left waiting; then, the disk mended, the next process must start.

        After a failed sync of names there is none: the file system has aborted its journal and is read-only until the machine
        restarts, so only a power cut leads on from there.
        """
        engine.settle()
        if engine.unanswered():
            engine.complaints.append(f"{engine.unanswered()} appends were never answered after the failure")
        self.failures.append(next((str(error) for error in engine.errors.values()), "") or engine.reason)
        self.end(engine)
        names_lost = any(fault.operation == "sync_dir" and fault.hits for fault in self.disk.faults)
        self.disk.mend()
        if names_lost:
            return None
        evicted = rng.random() < 0.5
        if evicted:  # what was lost can't be read any more, as after a power cut
            self.disk.evict(rng)
            now = self.disk.operations
            model = self._chapters[-1].model.as_of(now, lambda: self.disk.operations, power_cut=True)
            self._chapters.append(_Chapter(now, model))
        successor = self.engine(rng, engine.clock)
        successor.start()
        self.adopt(successor, power_cut=evicted)
        return successor

    def end(self, engine: SimEngine) -> None:
        """The process is killed; what it did wrong is noted."""
        self.complaints += engine.complaints
        engine.kill()
        self.events += engine.events
        self.disk.revive()

    def count_operations(self) -> None:
        """Add to `events` what only the disk's trace tells."""
        for operation in self.disk.trace.operations:
            path = operation.path
            if operation.kind == "new file" and path.endswith(".log"):
                self.events["segment"] += 1
                self.events["roll"] += not path.endswith(f"/{0:020d}.log")
            elif operation.kind == "write" and path.endswith(".ring") and operation.size is None:
                self.events["journal file begun"] += operation.pages[0][0] == 0
            elif operation.label == "flush_policy.write_and_sync_steps:datasync":
                self.events["direct"] += 1
            elif operation.kind == "sync all":
                self.events["file system synced"] += 1

    def adopt(self, engine: SimEngine, *, power_cut: bool) -> list[str]:
        """A new chapter: compare what a start found with what was promised, and promise that from here on."""
        now = self.disk.operations
        found = engine.found()
        model = self._chapters[-1].model
        wrong = [str(violation) for violation in model.check(now, found, power_cut=power_cut)]
        self.complaints += wrong
        page_cache = {key for key, log in engine.logs() if log.page_cache}
        adopted = model.adopt(found, lambda: self.disk.operations, to_disk=lambda key: key not in page_cache)
        self._chapters.append(_Chapter(now, adopted))
        engine.model = adopted
        return wrong

    def model_at(self, at: int) -> Model:
        """The model that speaks of a crash behind operation `at`."""
        return next(chapter.model for chapter in reversed(self._chapters) if chapter.at <= at)

    # Crashing

    def dig(
        self,
        points: int,
        rng: random.Random,
        *,
        nested: float = 0.1,
        depth: int = 2,
        kills: float = 0.15,
        faults: float = 0.0,
        start: int = 0,
    ) -> Iterator[Failure]:
        """Crash at so many points; after a share of `nested` go on, and crash again, `depth` times at most.

        Of those that go on, a share of `faults` meet a disk that fails once, in the start after the crash or soon after it.
        """
        for complaint in self.complaints:
            yield Failure(self.seed, self.path, complaint)
        without = self.disk.disabled_fences
        for point in explore(self.disk, rng, points, kills=kills, start=start, after=without):
            self.tally.points += 1
            self.tally.kills += not point.power_cut
            self.tally.depth[len(self.path)] = self.tally.depth.get(len(self.path), 0) + 1
            yield from self._crash(point, rng, nested=nested, depth=depth, kills=kills, faults=faults)

    def _crash(
        self, point: CrashPoint, rng: random.Random, *, nested: float, depth: int, kills: float, faults: float
    ) -> Iterator[Failure]:
        deep = depth > 0 and rng.random() < nested
        after = self.after(point, carry=deep)
        engine = after.engine(rng)
        if deep and faults and rng.random() < faults:
            yield from after._fail(engine, point, rng, nested, depth, kills, faults)
            return
        if deep and rng.random() < 0.3:
            yield from after._interrupt(engine, rng, depth, kills)
            return
        engine.start()
        started = point.disk.operations
        found = engine.found()
        model = self.model_at(point.at)
        wrong = [str(violation) for violation in model.check(point.at, found, power_cut=point.power_cut)]
        wrong += engine.complaints
        for what in wrong:
            yield Failure(self.seed, after.path, what)
        if wrong or not deep:
            return
        engine.complaints.clear()
        after.adopt(engine, power_cut=point.power_cut)
        workload = Workload(engine, rng, keyed=self.keyed)
        workload.run(rng.randint(0, 25))
        after.end(engine)
        yield from after.dig(
            rng.randint(4, 30),
            rng,
            nested=nested,
            depth=depth - 1,
            kills=kills,
            faults=faults,
            start=rng.choice((0, started)),
        )

    def _fail(
        self,
        engine: SimEngine,
        point: CrashPoint,
        rng: random.Random,
        nested: float,
        depth: int,
        kills: float,
        faults: float,
    ) -> Iterator[Failure]:
        """The disk fails once while this process recovers or soon after that; the next start has to find everything."""
        fault = Fault(
            rng.choice(FAILING), rng.choice((errno.EIO, errno.ENOSPC)), skip=rng.choice((0, 1, 2, 4, 8, 16))
        )
        self.disk.faults.append(fault)
        engine.start()
        if not engine.errors and not engine.offline:
            self.adopt(engine, power_cut=point.power_cut)
            Workload(engine, rng, keyed=self.keyed).run(rng.randint(0, 15))
            engine.settle()
        failed = bool(engine.errors) or engine.offline
        successor = self.recover_from_failure(engine, rng) if failed else engine
        if successor is not None:
            self.end(successor)
        self.tally.failed += failed
        after_names = failed and fault.operation == "sync_dir"  # no process finds that page cache
        yield from self.dig(
            rng.randint(4, 20),
            rng,
            nested=nested,
            depth=depth - 1,
            kills=0.0 if after_names else kills,
            faults=faults,
        )

    def _interrupt(
        self, engine: SimEngine, rng: random.Random, depth: int, kills: float
    ) -> Iterator[Failure]:
        """Crash in the middle of a recovery, anywhere."""
        engine.open()
        engine.step(rng.randint(1, 60))
        self.end(engine)
        self.tally.in_recovery += 1
        yield from self.dig(rng.randint(3, 12), rng, nested=0.3, depth=depth - 1, kills=kills)

    def after(self, point: CrashPoint, *, carry: bool) -> Story:
        """The story of the disk that a crash left, nothing written yet; `carry` what was promised before it."""
        kind = "power cut" if point.power_cut else "kill"
        disk = point.disk
        now: Callable[[], int] = lambda: disk.operations  # noqa: E731
        model = Model(now)
        if carry:
            model = self.model_at(point.at).as_of(point.at, now, power_cut=point.power_cut)
        other = Story(self.seed, disk, self.world.as_of(point.at, now), model, self.options, self.directories)
        other.path = (*self.path, (point.at, point.decision, kind))
        other.tally = self.tally
        return other
