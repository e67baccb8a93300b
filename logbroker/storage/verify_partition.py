"""Checks one partition's folder of a stopped broker against what checkpoint and journal claim of it (`claims.py`).

Of every segment: batches, offsets, leader epochs, both indexes, aborted transactions; then that the segments follow one another from the log's start to
its end, and the small files beside them. Bytes that nobody vouched for are a note after a crash and a problem
after a clean stop, which leaves none. So are index entries of a segment that was still being written: they aren't synced, and nobody
trusts them. In a compacted log gaps are legal and no CRC covers a batch's offset (Kafka's format): one that was moved into a gap
isn't noticed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from logbroker.base.errors import CorruptionError
from logbroker.base.types import Buffer
from logbroker.records.batch import HEADER_SIZE, BatchHeader
from logbroker.storage import snapshot_file
from logbroker.storage.checkpoint_file import Point
from logbroker.storage.claims import PartitionClaim, SegmentClaim, claim_of
from logbroker.storage.executor import run_to_end
from logbroker.storage.index import OFFSET_ENTRY, TIME_ENTRY
from logbroker.storage.leader_epochs import LeaderEpochs
from logbroker.storage.replay import Plan
from logbroker.storage.segment_check import (
    BatchWalk,
    Finding,
    IndexCheck,
    OffsetIndexCheck,
    ReadAt,
    TimeIndexCheck,
)
from logbroker.storage.segment_files import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    SNAPSHOT_SUFFIX,
    SWAP_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    file_name,
)
from logbroker.storage.transaction_check import AbortedCheck
from logbroker.storage.transaction_index import ENTRY as ABORTED_ENTRY
from logbroker.storage.vfs import File, Vfs, read_whole

EPOCH_FILE_NAME = "leader-epoch-checkpoint"
_EPOCH_FILE_BYTES_MAX = 16 << 20
_SNAPSHOT_BYTES_MAX = 64 << 20
_UNFLUSHED_TAIL = ": an unflushed tail, never acknowledged; the next start cuts it"
_PAGE_CACHE_TAIL = ": acknowledged from the page cache; the next start keeps every whole batch of it"


@dataclass(slots=True)
class VerifyReport:
    """What was looked at, and what was found."""

    path: str
    clean: bool = False
    """Whether the broker had stopped cleanly: nothing is left to recover."""
    partitions: int = 0
    segments: int = 0
    batches: int = 0
    bytes_checked: int = 0
    index_entries: int = 0
    commits: int = 0
    """Commits in the journal that the next start will replay."""
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def problem(self, path: str, position: int, what: str, offset: int | None = None) -> None:
        """Something is damaged or contradicts what was promised."""
        self.problems.append(Finding(path, position, offset, what))

    def note(self, path: str, position: int, what: str, offset: int | None = None) -> None:
        """Something that the next start will put right."""
        self.notes.append(Finding(path, position, offset, what, problem=False))

    def unsettled(self, path: str, position: int, what: str, offset: int | None = None) -> None:
        """Something that a crash may leave, and a clean stop may not."""
        (self.problem if self.clean else self.note)(path, position, what, offset)


def finding_of(error: CorruptionError) -> tuple[str, int, str]:
    """(path, byte, what) of an error."""
    return error.path, error.position, error.what


class PartitionVerifier:
    """The check of one folder.

    Args:
        vfs: Where the files are; they are only read.
        path: The partition's folder.
        report: Counts and findings go there.
        gaps_allowed: The topic may have been compacted.
        on_bytes: Told of bytes read from segments.

    """

    def __init__(
        self,
        vfs: Vfs,
        path: str,
        report: VerifyReport,
        *,
        gaps_allowed: bool,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._vfs = vfs
        self._path = path
        self._report = report
        self._gaps_allowed = gaps_allowed
        self._on_bytes = on_bytes
        self._tail_note = _UNFLUSHED_TAIL
        self._begun: dict[int, int] = {}
        """The first batch of each transaction that the segments so far have left open, by producer id."""
        self._aborted_counts: dict[int, int] | None = None
        """Entries in each segment's index of aborted transactions; None: the checkpoint isn't the last word about them."""
        self._swapping: set[int] = set()
        """Segments whose compacted files the next start puts in their places."""

    def check(self, point: Point | None, plan: Plan | None, *, names: list[str], blind: bool = False) -> None:
        """Check everything in the folder.

        With `blind`, when there is no readable checkpoint, the files themselves are taken for the whole truth. Raises OSError.
        """
        files = {
            int(name[:20]): self._vfs.file_size(f"{self._path}/{name}")
            for name in names
            if name.endswith(LOG_SUFFIX) and len(name) == 20 + len(LOG_SUFFIX) and name[:20].isdecimal()
        }
        if point is not None and (point.compacted or (plan is not None and plan.swaps)):
            self._gaps_allowed = True
        for swap in plan.swaps if plan is not None and not blind else ():
            base = swap.segment_base
            if file_name(base) + SWAP_SUFFIX in names:
                self._swapping.add(base)
                files[base] = self._vfs.file_size(self._log_path(base))
                for gone in [other for other in files if base < other < swap.next_offset]:
                    del files[gone]
        if not blind and point is not None and (plan is None or (plan.cut is None and not plan.swaps)):
            self._aborted_counts = dict(point.aborted)
        claim = _whole(files) if blind else claim_of(point, plan, files)
        if not blind and point is None and plan is None:
            size = sum(files.values())
            if size:
                what = f"neither checkpoint nor journal know this partition, its files hold {size} bytes"
                self._report.unsettled(self._path, 0, what)
            return
        self._check_segments(claim, files, blind=blind)
        self._check_extras(claim, files)
        for name in names:
            if name.endswith(SNAPSHOT_SUFFIX):
                self._check_snapshot(name, None if blind else claim.end_offset)
        if EPOCH_FILE_NAME in names:
            self._check_epoch_file()

    # Segments

    def _check_segments(self, claim: PartitionClaim, files: Mapping[int, int], *, blind: bool) -> None:
        first = claim.segments[0] if claim.segments else None
        if (
            first is not None
            and first.base_offset > claim.start_offset
            and not self._gaps_allowed
            and not blind
        ):
            self._report.problem(
                self._log_path(first.base_offset),
                0,
                f"the log starts at offset {claim.start_offset}, its first segment at {first.base_offset}",
                claim.start_offset,
            )
        self._tail_note = _PAGE_CACHE_TAIL if claim.page_cache else _UNFLUSHED_TAIL
        epochs = _EpochCheck(claim)
        end: int | None = None
        position = 0
        path = self._path
        for segment in claim.segments:
            if end is not None and (
                segment.base_offset < end or (segment.base_offset > end and not self._gaps_allowed)
            ):
                self._report.problem(
                    self._log_path(segment.base_offset),
                    0,
                    f"the segment begins at offset {segment.base_offset}, the one before it ends at {end}",
                    segment.base_offset,
                )
            path = self._log_path(segment.base_offset)
            end = self._check_segment(segment, files.get(segment.base_offset), epochs)
            position = segment.size_bytes
        if blind or end is None:
            return
        if end < claim.end_offset and (self._gaps_allowed or (claim.page_cache and not self._report.clean)):
            return  # compaction took the last batch, or the log's start is known to have passed an unsynced end
        if end != claim.end_offset:
            what = f"the log ends at offset {end}, checkpoint and journal say {claim.end_offset}"
            self._report.problem(path, position, what, end)

    def _check_segment(self, claim: SegmentClaim, actual: int | None, epochs: _EpochCheck) -> int | None:
        """Walk one segment; the offset behind its last batch, None if that couldn't be found."""
        report = self._report
        path = self._log_path(claim.base_offset)
        report.segments += 1
        if actual is None and claim.durable_bytes:
            report.problem(
                path, 0, f"the segment is missing; it held {claim.durable_bytes} bytes", claim.base_offset
            )
            return None
        size = actual or 0
        if size < claim.durable_bytes:
            report.problem(path, size, f"the file ends {claim.durable_bytes - size} bytes early")
            claim.size_bytes = min(claim.size_bytes, size)
        if size > claim.size_bytes:
            what = f"{size - claim.size_bytes} bytes behind the log's end"
            if not report.clean:
                what += self._tail_note
            report.unsettled(path, claim.size_bytes, what)
        if actual is None:
            return self._walk(claim, path, read_nothing, epochs)
        file = self._vfs.open(path)
        try:
            return self._walk(claim, path, file.pread, epochs)
        finally:
            file.close()

    def _walk(self, claim: SegmentClaim, path: str, read: ReadAt, epochs: _EpochCheck) -> int | None:
        report = self._report
        indexes = [
            check
            for check in (
                self._open_index(claim, INDEX_SUFFIX, OFFSET_ENTRY.size, OffsetIndexCheck),
                self._open_index(claim, TIME_INDEX_SUFFIX, TIME_ENTRY.size, TimeIndexCheck),
            )
            if check is not None
        ]
        overlaid = claim.reader(read)
        aborted = self._open_aborted(claim, overlaid)
        checks: list[Callable[[int, BatchHeader], None]] = [epochs.batch, *(index.batch for index in indexes)]
        checks.append(aborted.batch)
        epochs.begin(path)

        def on_batch(position: int, header: BatchHeader) -> None:
            for check in checks:
                check(position, header)

        def counted(size: int, position: int) -> Buffer:
            data = overlaid(size, position)
            self._on_bytes(len(data))
            return data

        walk = BatchWalk(
            path,
            counted,
            0,
            claim.size_bytes,
            expected_offset=claim.base_offset,
            gaps_allowed=self._gaps_allowed,
            on_batch=on_batch,
        )
        _, error = run_to_end(walk.steps())
        if isinstance(
            error, OSError
        ):  # one bad sector is a finding like any other, and no reason to look no further
            left = claim.size_bytes - walk.position
            what = f"{left} bytes from here on can't be read: {error.strerror or error}"
            walk.findings.append(Finding(path, walk.position, walk.next_offset, what))
        elif error is not None:
            raise error
        report.batches += walk.batches
        report.bytes_checked += walk.bytes_checked
        report.problems += walk.findings
        report.problems += epochs.take()
        complete = walk.position >= claim.size_bytes
        vouched = report.clean or claim.sealed
        for index in indexes:
            report.index_entries += index.entry_count
            if complete:
                index.finish()
            if vouched:
                report.problems += index.findings
            elif index.findings:
                worst = index.findings[0]
                report.note(
                    worst.path, worst.position, f"{worst.what} (not synced; nobody trusts it)", worst.offset
                )
        if complete:
            aborted.finish()
        self._report_aborted(claim, aborted)
        return walk.next_offset if complete else None

    def _open_aborted(self, claim: SegmentClaim, read: ReadAt) -> AbortedCheck:
        """The check of the segment's aborted transactions."""
        path = f"{self._path}/{file_name(claim.base_offset, TXN_INDEX_SUFFIX)}"
        counts = self._aborted_counts
        count = None if counts is None else counts.get(claim.base_offset, 0)
        if not self._vfs.exists(path):
            return AbortedCheck(path, None, claim.base_offset, count, self._begun, read)
        file: File = self._vfs.open(path)
        try:
            most = claim.size_bytes // HEADER_SIZE * ABORTED_ENTRY.size
            data = file.pread(min(file.size(), most), 0)
            return AbortedCheck(path, data, claim.base_offset, count, self._begun, read)
        finally:
            file.close()

    def _report_aborted(self, claim: SegmentClaim, check: AbortedCheck) -> None:
        report = self._report
        report.index_entries += check.entry_count
        if self._aborted_counts is not None:
            report.problems += check.findings
        else:  # cut or compacted since the checkpoint: the next start works out what holds
            report.notes += [finding._replace(problem=False) for finding in check.findings]
        if check.extra_bytes:
            path = f"{self._path}/{file_name(claim.base_offset, TXN_INDEX_SUFFIX)}"
            what = f"{check.extra_bytes} bytes behind the aborted transactions that the checkpoint counts"
            report.unsettled(path, check.entry_count * ABORTED_ENTRY.size, what)

    def _open_index(
        self,
        claim: SegmentClaim,
        suffix: str,
        entry_bytes: int,
        check: Callable[[str, bytes, int], IndexCheck],
    ) -> IndexCheck | None:
        path = f"{self._path}/{file_name(claim.base_offset, suffix)}"
        if claim.base_offset in self._swapping and self._vfs.exists(path + SWAP_SUFFIX):
            path += SWAP_SUFFIX
        if not self._vfs.exists(path):
            return None
        size = self._vfs.file_size(path)
        most = (claim.size_bytes // HEADER_SIZE + 1) * entry_bytes
        if size > most:
            what = f"{size} bytes index a segment that can't have more than {most // entry_bytes} batches"
            self._report.unsettled(path, most, what)
        file: File = self._vfs.open(path)
        try:
            return check(path, file.pread(min(size, most), 0), claim.base_offset)
        finally:
            file.close()

    # Beside the segments

    def _check_extras(self, claim: PartitionClaim, files: Mapping[int, int]) -> None:
        """Segments that nobody claims."""
        claimed = {segment.base_offset for segment in claim.segments}
        first = min(claimed, default=claim.start_offset)
        for base in sorted(set(files) - claimed):
            path = self._log_path(base)
            if base < first:
                self._report.note(
                    path, 0, f"below the log's start, {claim.start_offset}; the next start removes it", base
                )
            elif files[base]:
                what = f"{files[base]} bytes in a segment that neither checkpoint nor journal know"
                if not self._report.clean:
                    what += self._tail_note
                self._report.unsettled(path, 0, what, base)

    def _check_snapshot(self, name: str, end_offset: int | None) -> None:
        path = f"{self._path}/{name}"
        if self._vfs.file_size(path) > _SNAPSHOT_BYTES_MAX:
            self._report.problem(path, _SNAPSHOT_BYTES_MAX, "too large for a producer snapshot")
            return
        try:
            snapshot_file.read(self._vfs, path)
        except CorruptionError as error:
            self._report.unsettled(*finding_of(error))
        stem = name.removesuffix(SNAPSHOT_SUFFIX)
        if end_offset is not None and stem.isdecimal() and int(stem) > end_offset:
            what = f"a snapshot as of offset {int(stem)}, behind the log's end at {end_offset}"
            self._report.unsettled(path, 0, what, int(stem))

    def _check_epoch_file(self) -> None:
        path = f"{self._path}/{EPOCH_FILE_NAME}"
        if self._vfs.file_size(path) > _EPOCH_FILE_BYTES_MAX:
            self._report.problem(path, _EPOCH_FILE_BYTES_MAX, "too large for a list of leader epochs")
            return
        lines = read_whole(self._vfs, path).decode("ascii", "replace").splitlines()
        try:
            version, count = int(lines[0]), int(lines[1])
            entries = [tuple(map(int, line.split())) for line in lines[2:]]
            if version != 0 or len(entries) != count or any(len(entry) != 2 for entry in entries):
                raise ValueError
            if any(b[0] <= a[0] or b[1] < a[1] for a, b in itertools.pairwise(entries)):
                raise ValueError
        except (ValueError, IndexError):
            self._report.unsettled(
                path, 0, "not a list of leader epochs (version 0, count, rising epochs and offsets)"
            )

    def _log_path(self, base_offset: int) -> str:
        path = f"{self._path}/{file_name(base_offset)}"
        return path + SWAP_SUFFIX if base_offset in self._swapping else path


class _EpochCheck:
    """Leader epochs stand outside the batch's CRC: they are compared with the checkpoint's list, and never fall."""

    __slots__ = ("_checkpointed_end", "_epochs", "_findings", "_last", "_limit", "_path", "_start")

    def __init__(self, claim: PartitionClaim) -> None:
        self._epochs = LeaderEpochs(list(claim.epochs))
        self._start = claim.start_offset
        self._checkpointed_end = claim.checkpointed_end
        self._limit = 0
        self._last = -1
        self._path = ""
        self._findings: list[Finding] = []

    def begin(self, path: str) -> None:
        """The batches of this file come next."""
        self._path = path

    def batch(self, position: int, header: BatchHeader) -> None:
        """Compare one batch."""
        epoch = header.partition_leader_epoch
        if epoch == self._last and header.base_offset < self._limit:
            return
        offset = header.base_offset
        known = self._epochs.epoch_of(offset) if offset >= self._start else epoch
        if epoch < self._last:
            self._find(position, offset, f"leader epoch {epoch} behind one of epoch {self._last}")
            return
        if known != epoch and offset < self._checkpointed_end:
            self._find(position, offset, f"leader epoch {epoch} where the checkpoint has {known}")
            return
        self._last = epoch
        _, self._limit = self._epochs.end_offset(epoch, 1 << 63)

    def take(self) -> list[Finding]:
        """What was found since the last call."""
        found, self._findings = self._findings, []
        return found

    def _find(self, position: int, offset: int, what: str) -> None:
        self._findings.append(Finding(self._path, position, offset, what))


def read_nothing(size: int, position: int) -> bytes:
    """The bytes of a file that isn't there."""
    return b""


def _whole(files: Mapping[int, int]) -> PartitionClaim:
    """Every file as it is."""
    segments = [SegmentClaim(base, size, size, size, sealed=True) for base, size in sorted(files.items())]
    return PartitionClaim(0, 0, segments, 0, [])
