"""Checks the log directory of a stopped broker, byte by byte, and changes nothing in it.

    verify(path)            the whole report
    verify_directory(path)  what is wrong; an empty list is what every test wants to see

In order: the directory's identity, the checkpoint, the journal's generations and the chain of its commits, then each partition
folder (`verify_partition.py`) against what both say, and last the partitions that have no folder. A directory whose broker
crashed is no damaged one: what the next start will replay counts as if it were done, and a tail that nobody was told about is a note.

The directory's lock is held, shared, meanwhile: a running broker is an error, and none can start before the check is over. Blocks;
any thread. Works on a file system that is mounted read-only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from uuid import UUID

from logbroker.base.errors import ConfigError, CorruptionError
from logbroker.base.ids import parse_kafka_uuid
from logbroker.storage import checkpoint_file, journal
from logbroker.storage.checkpoint_file import Checkpoint, Point
from logbroker.storage.claims import claim_of
from logbroker.storage.directory_identity import FILE_NAME as IDENTITY_NAME
from logbroker.storage.directory_identity import LOCK_NAME, read_identity
from logbroker.storage.executor import run_to_end
from logbroker.storage.folders import PARTITION_METADATA
from logbroker.storage.journal_contents import read_contents
from logbroker.storage.journal_format import FILE_BLOCK, START
from logbroker.storage.producer_state import ProducerStates
from logbroker.storage.read_only import ReadOnlyVfs
from logbroker.storage.recovery import DELETE_SUFFIX, STRAY_SUFFIX, check_complete
from logbroker.storage.replay import PartitionKey, Plan, chain, plan
from logbroker.storage.segment_check import BatchWalk, Finding
from logbroker.storage.segment_files import LOG_SUFFIX
from logbroker.storage.verify_partition import (
    PartitionVerifier,
    VerifyReport,
    finding_of,
    read_nothing,
)
from logbroker.storage.vfs import Vfs, read_whole

__all__ = ["Finding", "VerifyReport", "verify", "verify_directory"]

_METADATA_BYTES_MAX = 4096

OnProgress = Callable[[int, int, str], None]
"""on_progress(bytes read so far, bytes of all segments, the folder that is being read)"""


def verify_directory(path: str, *, gaps_allowed: bool = False) -> list[Finding]:
    """Everything that is wrong in a stopped broker's log directory. Raises as `verify`."""
    return verify(path, gaps_allowed=gaps_allowed).problems


def verify(
    path: str,
    *,
    vfs: Vfs | None = None,
    gaps_allowed: bool = False,
    on_progress: OnProgress | None = None,
) -> VerifyReport:
    """Check a log directory.

    Args:
        path: One entry of `log.dirs`.
        vfs: Where it lies, if not in the operating system's files; then nothing is locked.
        gaps_allowed: Compaction leaves holes between offsets; without, a hole is a missing batch.
        on_progress: Called after every read.

    Raises:
        ConfigError: this is no log directory, or its broker is running.
        OSError: something in it can't be read.

    """
    path = path.rstrip("/") or "/"
    if vfs is not None:
        return _DirectoryVerifier(vfs, path, gaps_allowed=gaps_allowed, on_progress=on_progress).run()
    _require_log_directory(path)
    with _stopped(path):
        verifier = _DirectoryVerifier(ReadOnlyVfs(), path, gaps_allowed=gaps_allowed, on_progress=on_progress)
        return verifier.run()


def _require_log_directory(path: str) -> None:
    if not os.path.isdir(path):
        raise ConfigError(f"{path} is no directory; give one entry of log.dirs")
    markers = (IDENTITY_NAME, checkpoint_file.FILE_NAME, journal.DIRECTORY)
    if not any(os.path.lexists(f"{path}/{name}") for name in markers):
        raise ConfigError(
            f"{path} holds neither {IDENTITY_NAME} nor {checkpoint_file.FILE_NAME}; it is no log directory of logbroker"
        )


@contextlib.contextmanager
def _stopped(path: str) -> Iterator[None]:
    """Keep brokers away from the directory. Raises ConfigError if one has it."""
    if not os.path.lexists(f"{path}/{LOCK_NAME}"):  # no broker ever ran on it
        yield
        return
    fd = os.open(f"{path}/{LOCK_NAME}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise ConfigError(
            f"{path} is in use by a running broker (process {holder or 'unknown'}); stop the broker first"
        ) from None
    try:
        yield
    finally:
        os.close(fd)


class _DirectoryVerifier:
    """One pass over one directory."""

    def __init__(self, vfs: Vfs, path: str, *, gaps_allowed: bool, on_progress: OnProgress | None) -> None:
        self._vfs = vfs
        self._path = path
        self._gaps_allowed = gaps_allowed
        self._on_progress = on_progress
        self._report = VerifyReport(path)
        self._done_bytes = 0
        self._total_bytes = 0
        self._folder = path

    def run(self) -> VerifyReport:
        """See `verify`."""
        report = self._report
        self._check_identity()
        checkpoint = self._read_checkpoint()
        plans = self._read_journal(checkpoint) if checkpoint is not None else {}
        points = (
            {(point.topic_id, point.partition): point for point in checkpoint.points} if checkpoint else {}
        )
        folders = self._folders(points)
        self._total_bytes = sum(
            self._vfs.file_size(f"{path}/{name}")
            for path, _, names in folders
            for name in names
            if name.endswith(LOG_SUFFIX)
        )
        seen: set[PartitionKey] = set()
        for path, key, names in folders:
            self._folder = path
            point, found = (points.get(key), plans.get(key)) if key else (None, None)
            if key is not None:
                seen.add(key)
            if found is not None and found.deleted:
                report.note(path, 0, "the topic was deleted; the next start removes the folder")
                continue
            report.partitions += 1
            self._judge(path, point, found)
            verifier = PartitionVerifier(
                self._vfs, path, report, gaps_allowed=self._gaps_allowed, on_bytes=self._note_bytes
            )
            usable = None if found is not None and found.corrupt else found
            verifier.check(point, usable, names=names, blind=checkpoint is None)
        for key in sorted({*points, *plans} - seen):
            self._check_without_folder(key, points.get(key), plans.get(key))
        return report

    def _note_bytes(self, size_bytes: int) -> None:
        self._done_bytes += size_bytes
        if self._on_progress is not None:
            self._on_progress(min(self._done_bytes, self._total_bytes), self._total_bytes, self._folder)

    # The directory's own files

    def _check_identity(self) -> None:
        path = f"{self._path}/{IDENTITY_NAME}"
        try:
            if read_identity(self._vfs, self._path) is None:
                self._report.problem(
                    path, 0, "the file is missing: a broker takes the directory for an unmounted one"
                )
        except CorruptionError as error:
            self._report.problem(*finding_of(error))

    def _read_checkpoint(self) -> Checkpoint | None:
        path = f"{self._path}/{checkpoint_file.FILE_NAME}"
        try:
            checkpoint = checkpoint_file.read(self._vfs, self._path)
        except CorruptionError as error:
            self._report.problem(*finding_of(error))
            return None
        if checkpoint is None:
            if self._vfs.exists(f"{self._path}/{journal.DIRECTORY}"):
                self._report.problem(path, 0, "the checkpoint is missing, but the directory is not new")
                return None
            return checkpoint_file.Checkpoint(0, 0, 0, clean=True, points=[])
        return checkpoint

    def _read_journal(self, checkpoint: Checkpoint) -> dict[PartitionKey, Plan]:
        """Chain the ring's commits as recovery does; what they make of each partition."""
        report, vfs = self._report, self._vfs
        directory = f"{self._path}/{journal.DIRECTORY}"
        names = vfs.listdir(directory) if vfs.exists(directory) else []
        rings: dict[str, memoryview] = {}
        for name in names:
            path = f"{directory}/{name}"
            if name.endswith(".kept"):
                report.note(path, 0, "kept for the repair of a damaged partition")
            elif name.endswith(".ring"):
                try:
                    rings[name] = memoryview(read_whole(vfs, path))
                except OSError as error:
                    report.problem(path, 0, f"the file can't be read: {error.strerror or error}")
                    return {}
                odd = len(rings[name]) % FILE_BLOCK
                if odd:
                    report.note(path, len(rings[name]) - odd, f"{odd} bytes are no whole block")
        try:
            contents = read_contents(vfs, directory)
            check_complete(directory, checkpoint, rings, contents)
            linked = chain(rings, checkpoint, contents.generations)
        except CorruptionError as error:
            path, position, what = finding_of(error)
            if "/" not in path:
                path = directory if path == journal.DIRECTORY else f"{directory}/{path}"
            report.problem(path, position, what)
            return {}
        report.commits = sum(
            any(entry.kind != START for entry in commit.entries) for commit in linked.commits
        )
        started_since = any(commit.generation > checkpoint.generation for commit in linked.commits)
        report.clean = checkpoint.clean and report.commits == 0 and not started_since
        plans = plan(
            linked.commits, {(point.topic_id, point.partition): point for point in checkpoint.points}
        )
        for key, reason in linked.refused.items():
            plans.setdefault(key, Plan()).corrupt = reason
        return plans

    # Partitions

    def _folders(self, points: dict[PartitionKey, Point]) -> list[tuple[str, PartitionKey | None, list[str]]]:
        """(path, topic id and partition, file names) of every partition folder."""
        found: list[tuple[str, PartitionKey | None, list[str]]] = []
        for name in self._vfs.listdir(self._path):
            path = f"{self._path}/{name}"
            if name.endswith(DELETE_SUFFIX):
                self._report.note(path, 0, "a deleted topic's folder; the next start removes it")
                continue
            if name.endswith(STRAY_SUFFIX):
                self._report.note(path, 0, "set aside at a start, because no topic owns it; not checked")
                continue
            topic, dash, index = name.rpartition("-")
            if not dash or not topic or not index.isdecimal():
                continue
            try:
                names = self._vfs.listdir(path)
            except NotADirectoryError:
                continue
            topic_id = self._topic_id(path, names)
            found.append((path, (topic_id.bytes, int(index)) if topic_id else None, names))
        claimed = {key for _, key, _ in found}
        for at, (path, key, names) in enumerate(found):
            if key is None:  # the point that nobody else claims may be this folder's
                partition = int(path.rpartition("-")[2])
                free = [point for point in points if point not in claimed and point[1] == partition]
                if len(free) == 1:
                    found[at] = (path, free[0], names)
                    claimed.add(free[0])
        return found

    def _topic_id(self, folder: str, names: list[str]) -> UUID | None:
        path = f"{folder}/{PARTITION_METADATA}"
        if PARTITION_METADATA not in names:
            if any(name.endswith(LOG_SUFFIX) for name in names):
                self._report.problem(path, 0, "the file is missing: nothing says which topic owns the folder")
            return None
        if self._vfs.file_size(path) <= _METADATA_BYTES_MAX:
            try:
                lines = read_whole(self._vfs, path).decode("ascii").splitlines()
                values = dict(line.split(": ", 1) for line in lines)
                topic_id = parse_kafka_uuid(values["topic_id"])
                if values["version"] == "0":
                    return topic_id
            except (ValueError, KeyError):
                pass
        owned = any(name.endswith(LOG_SUFFIX) for name in names)
        (self._report.problem if owned else self._report.unsettled)(
            path, 0, "not a partition.metadata (version: 0, topic_id: 22 characters)"
        )
        return None

    def _judge(self, path: str, point: Point | None, found: Plan | None) -> None:
        """What is known to be wrong with the partition before any of its files is opened."""
        if found is not None and found.corrupt:
            self._report.problem(path, 0, f"the journal contradicts itself: {found.corrupt}")
        if point is None:
            return
        if point.refused:
            self._report.problem(path, 0, f"refused by an earlier start: {point.refused}")
        try:
            if point.producers:
                ProducerStates.decode(point.producers)
        except CorruptionError as error:
            self._report.problem(
                f"{self._path}/{checkpoint_file.FILE_NAME}", 0, f"{path}: {finding_of(error)[2]}"
            )
        if not point.start_offset <= point.end_offset:
            what = f"{path} starts at offset {point.start_offset} and ends before, at {point.end_offset}"
            self._report.problem(f"{self._path}/{checkpoint_file.FILE_NAME}", 0, what)

    def _check_without_folder(self, key: PartitionKey, point: Point | None, found: Plan | None) -> None:
        """A partition that only the checkpoint or the journal know."""
        if found is not None and found.deleted:
            return
        label = f"{self._path}/{UUID(bytes=key[0])}-{key[1]}"
        if found is not None and found.corrupt:
            self._report.problem(label, 0, f"the journal contradicts itself: {found.corrupt}")
            return
        claim = claim_of(point, found, {})
        self._report.partitions += 1
        if (point is not None and point.segments) or any(part.durable_bytes for part in claim.segments):
            held = sum(part.durable_bytes for part in claim.segments)
            what = f"the partition's folder is missing; it held {held} bytes (the topic's id stands for its name)"
            if self._report.clean:
                self._report.problem(label, 0, what)
            else:
                # A start that was killed before its first checkpoint may have finished the topic's deletion; the metadata knows.
                self._report.note(
                    label, 0, f"{what}; unless its topic was deleted, the next start refuses it"
                )
            return
        for segment in claim.segments:  # appended and never written to a file yet: the journal has all of it
            read = segment.reader(read_nothing)
            path = f"{label}/{segment.base_offset:020d}{LOG_SUFFIX} (in the journal)"
            walk = BatchWalk(path, read, 0, segment.size_bytes, expected_offset=segment.base_offset)
            run_to_end(walk.steps())
            self._report.segments += 1
            self._report.batches += walk.batches
            self._report.problems += walk.findings
