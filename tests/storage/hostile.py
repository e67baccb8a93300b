"""Directories whose files somebody, or a dying disk, has scribbled in; and what may come of that.

A template directory is written once for each `State`; each case is a copy in which one or a few files are mutated, by a seed. Opening it
must end, soon, in one of these:

    refused directory   CorruptionError that names a file
    refused partition   its requests get KAFKA_STORAGE_ERROR and the reason; the others are served
    served              every batch with a good CRC is the one that was appended there; where one isn't (base offset and
                        leader epoch stand outside the CRC, as in Kafka) `verify` says so

and more strictly by what was mutated: indexes, snapshots and texts cost nothing at all, a segment never costs another
partition anything, and what the checkpoint covers is never cut.
"""

from __future__ import annotations

import collections
import random
from dataclasses import dataclass, field

from storage.support import NOW, Engine, batch

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError, InvalidBatchError
from logbroker.records.batch import check_crc, iter_batches, parse_header
from logbroker.records.builder import build_batch
from logbroker.records.iterator import decode_records
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import LocalRunner
from logbroker.storage.cleaning_choice import assess
from logbroker.storage.transactions import aborted_transactions, append_marker
from logbroker.storage.verify import verify
from logbroker.testing.sim_disk import SimDisk

PATH = "/data"
PARTITIONS = 3
TRANSACTIONAL = 1
"""The partition that has transactions, some of them aborted."""
COMPACTED = 3
"""A partition beside those: it is compacted, or amid that."""
HARMLESS = (
    ".index",
    ".timeindex",
    ".txnindex",
    ".snapshot",
    "leader-epoch-checkpoint",
    ".deleted",
    ".cleaned",
)
"""Files that are for lookups, tools and people, or nobody's: whatever is in them, every record is served.

Of `.txnindex` that isn't all: whoever reads committed records is told what is in it, so it must be right, or `verify` says so.
"""
PRODUCERS = (20, 21, 22)
"""Transactional ones."""
JOURNAL = (".ring", "generations")


@dataclass
class Template:
    """A directory, and what was appended to it."""

    disk: SimDisk
    known: dict
    files: list[str]
    values: list[dict[int, bytes]] = field(default_factory=list)
    """By partition: offset -> value of everything acknowledged."""
    times: list[dict[int, int]] = field(default_factory=list)
    checkpointed: list[int] = field(default_factory=list)
    """End offset of each partition in the last checkpoint."""
    aborted: list = field(default_factory=list)
    """Of the partition with transactions."""
    appended: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Of the compacted partition: offset -> key and value."""

    @property
    def latest(self):
        """Of the compacted partition: key -> value."""
        return dict(self.appended.values())


def template(state, *, seed=0):
    """Partitions with several segments, written by both routes, with and without the page cache, before and behind a checkpoint.

    `state`: "stopped" cleanly, "killed", or killed amid a swap of compacted segments, at the "first" or the "last" moment at which there
    is a `.swap` file.
    """
    rng = random.Random(seed)
    disk = SimDisk([PATH])
    engine = Engine(
        PATH, vfs=disk, seed=seed, journal_file_bytes=32 << 10, journal_files=3, direct_sync_bytes=2500
    )
    engine.open()
    made = Template(disk, {}, [])
    sequences = collections.Counter()
    for index in range(PARTITIONS):
        engine.create(
            index=index,
            internal_segment_bytes=2500,
            index_interval_bytes=200,
            flush_messages=7 if index == 2 else 1,
        )
        made.values.append({})
        made.times.append({})

    def append(index):
        contents = [rng.randbytes(rng.choice([5, 60, 300])) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.1:
            contents = [rng.randbytes(2600)]
        at = NOW + 10 * len(made.times[index]) + rng.choice([0, 0, 100_000])
        producer_id = rng.choice(PRODUCERS) if index == TRANSACTIONAL and rng.random() < 0.6 else 7
        options = {"producer_id": producer_id, "transactional": producer_id != 7}
        item = engine.append(
            engine.log(index=index),
            batch(*contents, at=at, producer_epoch=0, base_sequence=sequences[index, producer_id], **options),
            epoch=len(made.times[index]) // 20,
        )
        sequences[index, producer_id] += len(contents)
        for offset, content in enumerate(contents, item.base_offset):
            made.values[index][offset] = content
            made.times[index][offset] = at

    def end_transaction():
        log = engine.log(index=TRANSACTIONAL)
        epoch = len(made.times[TRANSACTIONAL]) // 20
        append_marker(log, rng.choice(PRODUCERS), 0, 0, epoch, commit=rng.random() < 0.3)

    for number in range(60):
        append(rng.randrange(PARTITIONS))
        if number % 3 == 0:
            end_transaction()
        engine.run()
        if number == 32:
            engine.checkpoint()
            engine.log(index=0).delete_records(9, lambda _: None)
            engine.run()
            engine.tick(1000)
    for index in range(PARTITIONS):
        append(index)
    engine.run()
    log = engine.log(index=TRANSACTIONAL)
    made.aborted = aborted_transactions(log, 0, log.end_offset)
    assert len(made.aborted) > 3
    made.known = engine.known
    compaction = _compact(engine, made, rng)
    made.values[0] = {offset: value for offset, value in made.values[0].items() if offset >= 9}
    if state == "stopped":
        engine.close()
    elif state != "killed":
        made.disk = disk = compaction[state]
    ids = engine.known["t", 0].topic_id
    points = {point.partition: point for point in _checkpoint(disk).points if point.topic_id == ids}
    made.checkpointed = [points[index].end_offset if index in points else 0 for index in range(PARTITIONS)]
    made.files = sorted(_files(disk, PATH))
    return made


def _compact(engine, made, rng):
    """Fill the compacted partition and compact it; the disk behind the first and the last operation that leaves a `.swap` file."""
    index = COMPACTED
    log = engine.create(
        index=index,
        internal_segment_bytes=1500,
        index_interval_bytes=200,
        cleanup_policy=frozenset({"compact"}),
        file_delete_delay_ms=60_000,
    )
    for _ in range(30):
        key, value = b"key-%d" % rng.randrange(8), rng.randbytes(rng.choice([20, 200]))
        item = engine.append(log, build_batch([(NOW, key, value, ())]))
        made.appended[item.base_offset] = (key, value)
        engine.run()
    engine.checkpoint()
    before = engine.vfs.operations
    found = assess(log, engine.clock.wall_ms())
    runner = LocalRunner(engine.vfs)
    engine.directory.cleaner.clean(found, runner, "cleaner", CleanerOptions(), lambda: None)
    engine.run()
    folder = f"{PATH}/t-{index}"
    amid = []
    for at in range(before, engine.vfs.operations):
        disk = engine.vfs.kill(at)
        if any(name.endswith(".swap") for name in disk.listdir(folder)):
            amid.append(disk)
    return {"first": amid[0], "last": amid[-1]}


def _checkpoint(disk):
    from logbroker.storage import checkpoint_file

    return checkpoint_file.read(disk, PATH)


def _files(disk, folder):
    for name in disk.listdir(folder):
        path = f"{folder}/{name}"
        try:
            disk.listdir(path)
        except NotADirectoryError:
            yield path
        else:
            yield from _files(disk, path)


INTERESTING = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 0x7F, 0x80, 0xFFFF)


def mutate(disk, path, rng, donor):
    """Change one file somehow; returns what was done, in a word."""
    file = disk.open(path)
    size = file.size()
    what = rng.choice(
        ["flip", "flip", "flip", "noise", "zeros", "number", "number", "cut", "grow", "swap", "copy", "gone"]
    )
    if size == 0 and what not in ("grow", "gone"):
        what = "grow"
    at = rng.randrange(size) if size else 0
    span = min(rng.choice([1, 4, 8, 61, 512, 4096]), size - at) if size else 0
    if what == "flip":
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            at = rng.randrange(size)
            file.pwritev([bytes([file.pread(1, at)[0] ^ (1 << rng.randrange(8))])], at)
    elif what == "noise":
        file.pwritev([rng.randbytes(span)], at)
    elif what == "zeros":
        file.pwritev([bytes(span)], at)
    elif what == "number":
        width = rng.choice([2, 4, 8])
        value = rng.choice(INTERESTING) & (2 ** (8 * width) - 1)
        file.pwritev([value.to_bytes(width, rng.choice(["big", "little"]))], at)
    elif what == "cut":
        file.truncate(rng.choice([0, at, max(size - 1, 0)]))
    elif what == "grow":
        file.pwritev([rng.choice([rng.randbytes(100), bytes(5000), file.pread(min(size, 600), 0)])], size)
    elif what == "swap":
        other = rng.randrange(size)
        one, two = file.pread(span, at), file.pread(span, other)
        file.pwritev([two], at)
        file.pwritev([one], other)
    elif what == "copy":
        source = disk.open(donor)
        start = rng.randrange(max(source.size(), 1))
        file.pwritev([source.pread(span or 100, start)], at)
    else:
        disk.unlink(path)
    file.close()
    return what


def whole_file(disk, path):
    file = disk.kill(disk.operations).open(path)
    return bytes(file.pread(file.size(), 0))


class Case:
    """One mutated copy, by its seed."""

    def __init__(self, made, seed):
        self.made = made
        self.seed = seed
        rng = random.Random(seed)
        self.disk = made.disk.kill(made.disk.operations)
        self.touched = []
        groups = [
            [path for path in made.files if path.endswith(".log")],
            [path for path in made.files if path.endswith((".index", ".timeindex"))],
            [path for path in made.files if path.endswith(".ring")],
            [
                path
                for path in made.files
                if path.endswith(("checkpoint", "generations", ".snapshot", ".metadata"))
            ],
            [path for path in made.files if path.endswith(".txnindex")],
            [path for path in made.files if path.endswith((".cleaned", ".swap", ".deleted"))],
        ]
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            path = rng.choice(rng.choice([group for group in groups if group]))
            if self.disk.exists(path):
                donor = rng.choice([other for other in made.files if self.disk.exists(other)])
                self.touched.append((path, mutate(self.disk, path, rng, donor)))
        self.outcome = ""
        self.served = [False] * (PARTITIONS + 1)

    def __str__(self):
        return f"seed {self.seed}: {self.touched}"

    def run(self):
        """Open it, use it, and judge what came of it. Raises AssertionError."""
        # Before the start, as a start repairs: what the tool for that finds.
        self.findings = verify(PATH, vfs=self.disk.kill(self.disk.operations)).problems
        engine = Engine(PATH, vfs=self.disk, seed=self.seed, journal_file_bytes=32 << 10, journal_files=3)
        engine.known = dict(self.made.known)
        refusal = self.open(engine)
        if refusal is not None:
            self.outcome = "directory refused"
            assert PATH in refusal or "journal" in refusal, refusal
            assert not self.only(HARMLESS), refusal
            assert self.findings, f"verify has nothing to say about {refusal}"
            return
        for index in range(PARTITIONS):
            self.judge(engine, index)
        self.judge_compacted(engine)
        self.outcome = "served" if all(self.served) else "partition refused"
        self.use(engine)

    def open(self, engine):
        """What refuses the directory, or None."""
        try:
            engine.open()
        except CorruptionError as error:
            return str(error)
        return None

    def only(self, suffixes):
        """Whether nothing else was touched than files of these names."""
        return all(path.endswith(suffixes) for path, _ in self.touched)

    def mine(self, index):
        """Whether anything was touched that has to do with this partition: its own files or the directory's."""
        return any(f"/t-{index}/" in path or "/t-" not in path for path, _ in self.touched)

    def judge(self, engine, index):
        log = engine.log(index=index)
        values = self.made.values[index]
        if log.refusal is not None:
            assert log.refusal.code == ErrorCode.KAFKA_STORAGE_ERROR
            assert log.refused
            assert PATH in log.refused or "journal" in log.refused, log.refused
            assert self.mine(index), log.refused
            assert not self.only(HARMLESS), log.refused
            return
        self.served[index] = True
        end = max(values, default=-1) + 1
        if self.only(HARMLESS) or not self.mine(index):
            assert log.end_offset == end
            assert log.start_offset == min(values, default=0)
        elif not any(path.endswith(JOURNAL) for path, _ in self.touched) and not log.page_cache:
            assert log.end_offset == end
        assert log.end_offset >= self.made.checkpointed[index]
        found, clear = self.read_all(engine, log)
        strict = self.only(HARMLESS) or not self.mine(index)
        if strict:
            assert clear == []
            assert found == values
            self.look_up(engine, log, index)
            if index == TRANSACTIONAL and not self.covers_aborted(log):
                assert self.findings, "aborted batches are shown, and verify has nothing to say"
        elif any(values.get(offset) != value for offset, value in found.items()):
            assert self.findings, "records that were never appended there, and verify has nothing to say"

    def covers_aborted(self, log):
        """Whether every aborted transaction is known, from its first batch on. No CRC protects what else is said of it."""
        found = {
            (entry.producer_id, entry.last_offset): entry.first_offset
            for entry in aborted_transactions(log, 0, log.end_offset)
        }
        return all(
            found.get((entry.producer_id, entry.last_offset), log.end_offset) <= entry.first_offset
            for entry in self.made.aborted
        )

    def judge_compacted(self, engine):
        """The latest record of every key is there, and nothing that nobody wrote; or it is known what is wrong."""
        log = engine.log(index=COMPACTED)
        if log.refusal is not None:
            assert self.mine(COMPACTED), log.refused
            assert not self.only(HARMLESS), log.refused
            assert PATH in log.refused or "journal" in log.refused, log.refused
            return
        self.served[COMPACTED] = True
        found, errors = self.read_all(engine, log)
        appended = {offset: value for offset, (_, value) in self.made.appended.items()}
        strange = {offset for offset, value in found.items() if appended.get(offset) != value}
        latest = {self.made.appended[offset][0]: found[offset] for offset in sorted(found.keys() - strange)}
        if self.only(HARMLESS) or not self.mine(COMPACTED):
            assert not errors
            assert not strange
            assert latest == self.made.latest
        elif strange or latest != self.made.latest:
            whole_log = not any(path.endswith(JOURNAL) for path, _ in self.touched)
            assert self.findings or errors or not whole_log or self.only_unproven(), (
                "records are lost, and verify has nothing to say"
            )

    def only_unproven(self):
        """Whether nothing is changed but base offsets and leader epochs: no CRC covers them, and gaps are legal in a compacted log."""
        for path, _ in self.touched:
            before, after = (whole_file(disk, path) for disk in (self.made.disk, self.disk))
            proven = bytearray(before)
            for position, _ in iter_batches(before):
                for start, end in ((position, position + 8), (position + 12, position + 16)):
                    proven[start:end] = after[start:end]
            if not path.endswith(".log") or proven != after:
                return False
        return True

    def read_all(self, engine, log):
        """What a client with CRC checks sees, and the errors it meets on the way; past each it seeks, offset by offset."""
        found, errors = {}, []
        offset = log.start_offset
        reader = engine.directory.reader()
        while offset < log.durable_end and len(errors) < 10:
            try:
                data = b"".join(log.read(offset, 1 << 20, reader))
                following = offset
                for position, header in iter_batches(data):
                    whole = data[position : position + header.size_bytes]
                    following = max(following, header.next_offset)
                    check_crc(whole, parse_header(whole))
                    if header.is_control:
                        continue
                    for record in decode_records(whole):
                        if record.offset >= log.start_offset:
                            found[record.offset] = bytes(record.value or b"")
            except (CorruptionError, InvalidBatchError, BrokerError) as error:
                errors.append(str(error))
                following = max(following if "following" in locals() else offset, offset) + 1
            offset = max(following, offset + 1)
        return found, errors

    def look_up(self, engine, log, index):
        reader = engine.directory.reader()
        times = self.made.times[index]
        rng = random.Random(self.seed)
        for offset in rng.sample(sorted(self.made.values[index]), min(4, len(self.made.values[index]))):
            assert engine.values_once(log, offset, max_bytes=1)[offset] == self.made.values[index][offset]
            wanted = next(o for o in sorted(times) if o >= log.start_offset and times[o] >= times[offset])
            header, _ = log.find_timestamp(times[offset], reader)
            assert header.base_offset <= wanted < header.next_offset
        latest = max(times[offset] for offset in self.made.values[index])
        assert log.max_timestamp_batch(reader)[0].max_timestamp == latest

    def use(self, engine):
        """Appends, checkpoints, ticks and a stop: damage at rest takes no directory offline."""
        items = [
            engine.append(engine.log(index=index), build_batch([(NOW, b"key", b"value", ())]))
            for index in range(PARTITIONS + 1)
            if self.served[index]
        ]
        engine.tick()
        engine.checkpoint()
        engine.tick()
        assert engine.directory.offline_reason is None, engine.directory.offline_reason
        assert all(item.error == ErrorCode.NONE and item.waiter for item in items)
        engine.close()
        assert engine.directory.offline_reason is None
