"""A broker's storage on a simulated disk: one process, from its start to the moment it is killed or closed.

`SimEngine` owns the log directories of one `SimDisk` and the `SimExecutor` they run on. Its methods do what the broker's layers do (create,
delete and configure topics, append, read, trim, truncate) and tell the `Model` what was begun and what was promised; nothing moves
until `step` is called. `found` reads everything back, as the model wants to see it.

Whatever a client would call wrong at once (an acknowledgement after the directory failed, a read that shows what nobody appended, an answer
given twice) is noted in `complaints`.
"""

from __future__ import annotations

import functools
import random
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from logbroker.base.clock import ManualClock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, InvalidBatchError, LogbrokerError
from logbroker.records.batch import BatchHeader, iter_batches, parse_header
from logbroker.storage.append import JournalItem
from logbroker.storage.cleaner import CleanerOptions
from logbroker.storage.cleaner_process import LocalRunner
from logbroker.storage.cleaning_choice import assess
from logbroker.storage.executor import Steps
from logbroker.storage.log import Log
from logbroker.storage.log_dir import LogDirectory
from logbroker.storage.log_dir_options import LogDirectoryOptions
from logbroker.storage.recovery import STRAY_SUFFIX, KnownPartition
from logbroker.storage.segment import Reader
from logbroker.storage.transactions import append_marker, last_stable_offset
from logbroker.testing.model import MARKER, Batch, LogKey, LogModel, Model, RecoveredLog
from logbroker.testing.sim_disk import SimDisk
from logbroker.testing.sim_executor import SimExecutor
from logbroker.testing.sim_transactions import check_transactions
from logbroker.testing.sim_world import Topic, World, directory_of

Key = tuple[uuid.UUID, int]
"""(topic id, partition)"""


class _Lanes:
    """One directory's lanes on the common scheduler."""

    def __init__(self, executor: SimExecutor, prefix: str) -> None:
        self._executor = executor
        self._prefix = prefix

    def submit(
        self,
        lane: str,
        steps: Steps[Any],
        on_done: Callable[[Any, BaseException | None], None] | None = None,
    ) -> None:
        self._executor.submit(self._prefix + lane, steps, on_done)

    def post(self, callback: Callable[[Any], None], argument: Any) -> None:
        self._executor.post(callback, argument)


class SimEngine:
    """See the module."""

    def __init__(
        self,
        disk: SimDisk,
        rng: random.Random,
        world: World,
        model: Model,
        options: LogDirectoryOptions,
        *,
        directories: int = 1,
        clock: ManualClock | None = None,
    ) -> None:
        self.disk = disk
        self.world = world
        self.model = model
        self.options = options
        self.clock = clock or ManualClock(disk.now_ms())
        self.executor = SimExecutor(rng, fair=rng.random() < 0.5)
        self.complaints: list[str] = []
        self.closed = 0
        self.cutting: set[Key] = set()
        """Partitions whose truncation is under way."""
        self.directories = [
            LogDirectory(
                disk,
                _Lanes(self.executor, f"{number}/"),
                f"/d{number}",
                self.clock,
                options,
                call_soon=lambda callback: self.executor.post(lambda _: callback(), None),
            )
            for number in range(directories)
        ]
        self.errors: dict[int, BaseException] = {}
        self._changes: dict[tuple[Key, int], int] = {}
        self.events: Counter[str] = Counter()
        """What happened, how often."""
        self._answered: Counter[int] = Counter()
        self._starts: dict[Key, int] = {}

    # Life

    def open(self) -> None:
        """Begin to recover every directory."""
        self._opening = len(self.directories)
        for number, directory in enumerate(self.directories):

            def opened(_: object, error: BaseException | None, number: int = number) -> None:
                self._opening -= 1
                if error is not None:
                    self.errors[number] = error

            known = self.world.known(number, len(self.directories))
            directory.open(known, opened, deleted=self.world.remembered())

    @property
    def is_open(self) -> bool:
        """Whether every directory has ended its recovery."""
        return self._opening == 0

    def start(self) -> None:
        """Recover, and come back when that is done; the first checkpoint may still be on its way."""
        self.open()
        while not self.is_open:
            if not self.executor.step():
                raise RuntimeError("recovery came to a halt")

    def step(self, count: int = 1) -> None:
        """Let lanes and loop advance."""
        for _ in range(count):
            if not self.executor.step():
                break
        self._observe()

    def settle(self) -> None:
        """Let everything that is under way come to its end."""
        self.executor.run_until_idle()
        self._observe()

    def kill(self) -> None:
        """The process dies: what it left in the page cache stays, nothing else of it touches the disk."""
        for directory in self.directories:
            self.events["ring wait"] += directory.journal.ring_waits
            self.events["checkpoint"] += directory.stats.checkpoints
            self.events["write-back"] += directory.stats.writebacks
            self.events["swap"] += directory.pool.replacements
            self.events["compacted record"] += directory.stats.cleaner_removed_records
        self.disk.die()
        self.executor.abandon()
        for directory in self.directories:
            directory.pool.close()

    def close(self) -> None:
        """Begin a clean stop; `closed` counts the directories that are through."""

        def one() -> None:
            self.closed += 1

        for directory in self.directories:
            directory.close(one)

    @property
    def offline(self) -> bool:
        """Whether a directory has failed."""
        return any(directory.offline_reason is not None for directory in self.directories)

    @property
    def reason(self) -> str:
        """Why, if one has."""
        return "; ".join(filter(None, (directory.offline_reason for directory in self.directories)))

    def directory_of(self, key: Key) -> LogDirectory:
        """Where a partition lies."""
        return self.directories[directory_of(*key, len(self.directories))]

    def log(self, key: Key) -> Log | None:
        """The partition's log, None if there is none."""
        return self.directory_of(key).logs.get((key[0].bytes, key[1]))

    def logs(self) -> list[tuple[Key, Log]]:
        """All logs that can be used."""
        found = []
        for topic in self.world.topics.values():
            for index in range(topic.partitions):
                key = (topic.topic_id, index)
                log = self.log(key)
                if log is not None and log.refusal is None:
                    found.append((key, log))
        return found

    # Topics

    def create_topic(self, name: str, partitions: int, config: Any) -> Topic:
        """Create a topic, first in the metadata, then here."""
        topic = self.world.create(name, partitions, config)
        self.events["creation"] += 1
        for index in range(partitions):
            key = (topic.topic_id, index)
            log = self.model.create(key)
            log.compacted = config.compacted
            log.promise_creation()
            self.directory_of(key).create_log(KnownPartition(name, index, topic.topic_id, config))
        return topic

    def delete_topic(self, name: str) -> None:
        """Delete a topic, first in the metadata, then here."""
        topic = self.world.topics[name]
        self.world.delete(name)
        self.events["deletion"] += 1
        for index in range(topic.partitions):
            key = (topic.topic_id, index)
            self.model.logs[key].begin_deletion()
            self.model.logs[key].promise_deletion()
            log = self.log(key)
            if log is not None:
                self.directory_of(key).delete_log(log, functools.partial(self._gone, key))

    def _gone(self, key: Key) -> None:
        if not self.offline:
            self.world.gone.append((self.world.now(), key))

    def configure_topic(self, name: str, config: Any) -> None:
        """Change a topic's configuration, first in the metadata, then here."""
        topic = self.world.configure(name, config)
        self.events["policy change"] += 1
        for index in range(topic.partitions):
            key = (topic.topic_id, index)
            log = self.log(key)
            if log is not None and log.refusal is None:
                self.directory_of(key).configure(log, config)

    # Batches

    def append(self, key: Key, data: bytes, leader_epoch: int = 0) -> None:
        """Append a batch; a duplicate must come back with the offsets of the first."""
        header, buffer = parse_header(data), bytearray(data)
        self._append(key, header, lambda log, done: log.append(buffer, header, leader_epoch, done))

    def append_marker(
        self, key: Key, producer: tuple[int, int], *, commit: bool, coordinator_epoch: int, leader_epoch: int
    ) -> None:
        """End the transaction of (producer id, epoch), as its coordinator does."""

        def append(log: Log, done: Callable[[JournalItem], None]) -> JournalItem:
            self.events["commit" if commit else "abort"] += 1
            return append_marker(log, *producer, coordinator_epoch, leader_epoch, commit=commit, on_done=done)

        self._append(key, None, append)

    def _append(
        self,
        key: Key,
        header: BatchHeader | None,
        append: Callable[[Log, Callable[[JournalItem], None]], JournalItem],
    ) -> None:
        log = self.log(key)
        if log is None or key in self.cutting:
            return
        expected = log.end_offset
        ticket = len(self._answered)
        self._answered[ticket] = 0
        watched: list[int] = []

        def done(item: JournalItem) -> None:
            self._answered[ticket] += 1
            if self._answered[ticket] > 1:
                self.complaints.append(f"{log.name}: batch at {item.base_offset} was answered twice")
            if item.error:
                return
            if self.directory_of(key).offline_reason is not None:
                self.complaints.append(
                    f"{log.name}: batch at {item.base_offset} was acknowledged after the directory failed"
                )
            if item.next_offset > log.durable_end:
                self.complaints.append(
                    f"{log.name}: batch at {item.base_offset} was acknowledged above the durable end {log.durable_end}"
                )
            self.events["page cache"] += log.page_cache
            self.model_of(key).promise(watched[0], to_disk=not log.page_cache)

        try:
            item = append(log, done)
        except BrokerError:
            self._answered[ticket] = 1
            return
        if item.base_offset == expected:
            self.events["append"] += 1
            header = parse_header(item.buffer) if header is None else header
            batch = _batch(header._replace(base_offset=item.base_offset), bytes(item.buffer))
            change = self._changes[key, item.base_offset] = self.model_of(key).append(batch)
        else:
            known = self._changes.get((key, item.base_offset))
            if known is None:
                self.complaints.append(
                    f"{log.name}: taken for a duplicate of unknown offset {item.base_offset}"
                )
                return
            self.events["duplicate"] += 1
            change = known
        watched.append(change)

    def unanswered(self) -> int:
        """Appends that nobody has answered yet."""
        return sum(count == 0 for count in self._answered.values())

    def read(self, key: Key, offset: int, max_bytes: int, *, committed: bool = False) -> None:
        """Serve a consumer, perhaps one that reads committed records only; what it saw must stay."""
        log = self.log(key)
        if log is None or log.refusal is not None:
            return
        end = last_stable_offset(log) if committed else log.durable_end
        try:
            data = b"".join(log.read(offset, max_bytes, self._reader(key), below=end))
        except OSError as error:
            self.directory_of(key).fail(error)
            return
        except BrokerError as error:
            if error.code != ErrorCode.OFFSET_OUT_OF_RANGE or log.start_offset <= offset <= log.end_offset:
                self.complaints.append(f"{log.name}: reading at {offset}: {error}")
            return
        model = self.model_of(key)
        following = offset
        try:
            for position, header in iter_batches(data, verify_crc=True):
                batch = _batch(header, data[position : position + header.size_bytes])
                if not model.knows(batch):
                    self.complaints.append(f"{log.name}: served {batch[:2]}, which nobody appended")
                following = header.next_offset
        except InvalidBatchError as error:
            self.complaints.append(f"{log.name}: reading at {offset}: {error}")
        if following > max(end, offset):
            self.complaints.append(f"{log.name}: served {following}, which may be seen up to {end}")
        if offset < end and following == offset:
            self.complaints.append(f"{log.name}: nothing at {offset}, although {end} may be seen")
        model.promise_up_to(following, to_disk=not log.page_cache)

    # Trimming

    def delete_records(self, key: Key, offset: int) -> None:
        """Move the log's start."""
        log = self.log(key)
        if log is None or log.refusal is not None or key in self.cutting:
            return
        model = self.model_of(key)
        if offset > log.durable_end:
            return
        model.begin_start_move(offset)

        def done(code: ErrorCode) -> None:
            if code == ErrorCode.NONE:
                self.events["delete records"] += 1
                model.promise_start(offset)

        log.delete_records(offset, done)

    def retain(self, directory: int, starts: dict[Log, int]) -> None:
        """Apply retention with these new starts."""
        host = self.directories[directory]
        for key, log in self.logs():
            if key in self.cutting:  # a start above the cut would refuse it
                starts.pop(log, None)
            elif log in starts and not log.truncating:
                self.events["retention"] += 1
                self.model_of(key).begin_start_move(starts[log])
        host.apply_retention(self.clock.wall_ms(), lambda log, _: starts.get(log, log.start_offset))

    def truncate(self, key: Key, offset: int) -> None:
        """Cut the log's end off, at a batch boundary."""
        log = self.log(key)
        if log is None or log.refusal is not None or key in self.cutting:
            return
        if not log.announced_start <= offset < log.end_offset:
            return
        model = self.model_of(key)
        change = model.truncate(offset)
        self.cutting.add(key)

        def done(code: ErrorCode) -> None:
            self.cutting.discard(key)
            if code == ErrorCode.NONE:
                self.events["truncation"] += 1
                model.promise(change, to_disk=not log.page_cache)
                model.promise_cut(change)
                if log.end_offset != offset:
                    self.complaints.append(f"{log.name}: cut at {log.end_offset} instead of {offset}")

        self.directory_of(key).truncate_to(log, offset, done)

    def clean(self, key: Key, options: CleanerOptions) -> None:
        """Compact the partition, if there is anything to compact."""
        log = self.log(key)
        directory = self.directory_of(key)
        now_ms = self.clock.wall_ms()
        if log is None or directory.offline_reason is not None or not directory.cleaner.takes(log, now_ms):
            return
        found = assess(log, now_ms)
        if not found.dirty_bytes:
            return
        self.events["compaction"] += 1
        directory.cleaner.clean(found, LocalRunner(self.disk), "cleaner", options, lambda: None)

    # What is there

    def model_of(self, key: Key) -> LogModel:
        """What the model knows of a partition."""
        return self.model.logs[key]

    def found(self) -> dict[LogKey, RecoveredLog]:
        """Everything that the recovered directories serve."""
        found: dict[LogKey, RecoveredLog] = {}
        self._look_for_ghosts()
        for topic in self.world.topics.values():
            for index in range(topic.partitions):
                key = (topic.topic_id, index)
                number = directory_of(*key, len(self.directories))
                log = self.log(key)
                if number in self.errors:
                    found[key] = RecoveredLog(0, 0, refused=str(self.errors[number]))
                elif log is None:
                    continue
                elif log.refusal is not None:
                    found[key] = RecoveredLog(0, 0, refused=str(log.refusal))
                else:
                    found[key] = self._read_all(key, log)
        return found

    def _look_for_ghosts(self) -> None:
        """Folders of partitions that were deleted to the end. What a start doesn't find has come to its end."""
        gone = {key for _, key in self.world.gone}
        for number, directory in enumerate(self.directories):
            faults, self.disk.faults = self.disk.faults, []
            names = self.disk.listdir(directory.path)
            self.disk.faults = faults
            for _, key in self.world.deleted:
                ghosts = [name for name in names if f".{key[0].hex}-{key[1]}" in name]
                if number in self.errors or directory_of(*key, len(self.directories)) != number:
                    continue
                if any(name.endswith(STRAY_SUFFIX) for name in ghosts):
                    self.complaints.append(
                        f"{directory.path}/{ghosts[0]}: set aside, although it was deleted"
                    )
                if not ghosts:
                    self.world.gone.append((self.world.now(), key))
                elif key in gone:
                    self.complaints.append(
                        f"{directory.path}/{ghosts[0]}: came back after its deletion had ended"
                    )

    def _read_all(self, key: Key, log: Log) -> RecoveredLog:
        reader = self._reader(key)
        batches: list[Batch] = []
        contents: list[tuple[BatchHeader, bytes]] = []
        offset = log.start_offset
        sequences: dict[int, list[tuple[int, int, int]]] = {}
        try:
            while offset < log.end_offset:
                data = b"".join(log.read(offset, 1 << 20, reader, to_end=True))
                before = offset
                for position, header in iter_batches(data, verify_crc=True):
                    contents.append((header, data[position : position + header.size_bytes]))
                    batches.append(_batch(*contents[-1]))
                    offset = header.next_offset
                    if header.is_control:  # of another epoch: what came before is forgotten
                        written = sequences.get(header.producer_id, [])
                        written[:] = [one for one in written if one[0] == header.producer_epoch]
                    elif header.producer_id >= 0:
                        sequences.setdefault(header.producer_id, []).append(
                            (header.producer_epoch, header.base_sequence, header.base_offset)
                        )
                if offset == before:
                    break
        except (LogbrokerError, OSError) as error:
            return RecoveredLog(log.start_offset, log.end_offset, batches, refused=f"reading: {error}")
        complaints = [_check_history(log, *history) for history in sequences.items()]
        complaints.append(check_transactions(log, contents))
        self.complaints += filter(None, complaints)
        producers = {
            producer_id: (entry.epoch, entry.last_sequence)
            for producer_id, entry in log.producers.capture().items()
        }
        return RecoveredLog(log.start_offset, log.end_offset, batches, producers=producers)

    def _reader(self, key: Key) -> Reader:
        return self.directory_of(key).reader()

    def _observe(self) -> None:
        """A log start that anybody could see is a promise."""
        for key, log in self.logs():
            if log.start_offset > self._starts.get(key, 0):
                self._starts[key] = log.start_offset
                self.events["log start"] += 1
                self.model_of(key).promise_start(log.start_offset)


def _batch(header: BatchHeader, data: bytes) -> Batch:
    producer = None
    if header.producer_id >= 0:
        last = MARKER if header.is_control else header.last_sequence
        producer = (header.producer_id, header.producer_epoch, last)
    return Batch(header.base_offset, header.next_offset, data, producer)


def _check_history(log: Log, producer_id: int, written: list[tuple[int, int, int]]) -> str:
    """The batches remembered of a producer are the last it wrote, with their offsets: so a duplicate of one is recognised."""
    entry = log.producers.get(producer_id)
    if entry is None:
        return f"{log.name}: producer {producer_id} is forgotten"
    last = [(sequence, offset) for epoch, sequence, offset in written if epoch == entry.epoch]
    remembered = [(batch.first_sequence, batch.base_offset) for batch in entry.batches]
    count = min(len(last), len(remembered), 1 if log.compacted else len(last))
    if not written and not remembered:
        return ""
    if log.compacted and log.page_cache and set(last) <= set(remembered):
        # What compaction took for the producer's last batch was in the page cache alone, and lost: the one before it is gone too.
        return ""
    if not count or last[-count:] != remembered[-count:]:
        return f"{log.name}: producer {producer_id} wrote {last[-5:]}, remembered is {remembered}"
    return ""
