"""A log directory from cold: what its checkpoint and its journal say, put back into the segments.

Narrated in passes (all on one lane, before the broker listens; every one may be cut short by a crash and run again):

1. `meta.properties` names the directory; a configured directory without one is new only if the metadata doesn't know it.
2. The checkpoint is read; unreadable means refused. Ring files are read and chained from the checkpoint's sequence (`replay.chain`).
3. What the old life may have left in the page cache only is made sure of: the last commit of the chain and the checkpoint
   itself are written again. (A killed process, or a failed fsync, leaves bytes that the disk doesn't have.) Only then is
   anything done that they say: files that they give up are removed for ever.
4. Each partition is rebuilt (`rebuild.py`). One that is damaged is refused alone: its requests get KAFKA_STORAGE_ERROR,
   its reason goes into every later checkpoint, and the ring it may be repaired from is kept aside.
5. The journal begins a new generation in a file that nothing above needs. The old ring stays until the first checkpoint,
   which starts at once in the background, has published everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from logbroker.base import logs
from logbroker.base.errors import CorruptionError, StorageOfflineError
from logbroker.config.topic import TopicConfig
from logbroker.storage import checkpoint_file
from logbroker.storage.checkpoint_file import Checkpoint, Point, encode_point
from logbroker.storage.executor import Steps
from logbroker.storage.folders import (
    PARTITION_METADATA,
    make_folders_steps,
    read_topic_id,
    remove_folder_steps,
)
from logbroker.storage.journal import DIRECTORY as JOURNAL_DIRECTORY
from logbroker.storage.journal_contents import Contents, read_contents
from logbroker.storage.journal_format import SYNCED, scan_heads
from logbroker.storage.log import Log
from logbroker.storage.rebuild import Rebuild
from logbroker.storage.replay import Chain, PartitionKey, Plan, chain, plan
from logbroker.storage.segment_files import LOG_SUFFIX

if TYPE_CHECKING:
    from logbroker.storage.log_dir import LogDirectory

_log = logs.get("storage")

STRAY_SUFFIX = "-stray"
DELETE_SUFFIX = "-delete"
NAME_BYTES_MAX = 255
"""Of a file or folder, on every file system of Linux. A topic's name may use nearly all of it."""


class KnownPartition(NamedTuple):
    """A partition that the metadata places in this directory."""

    topic: str
    partition: int
    topic_id: UUID
    config: TopicConfig


class RecoveryReport(NamedTuple):
    """What recovery did, for the start-up line."""

    partitions: int
    commits: int
    batches: int
    cut_bytes: int
    refused: list[str]
    strays: list[str]
    clean: bool
    changed: list[tuple[UUID, int]]
    """(topic id, partition) of those that the journal or the page cache had more of than the checkpoint."""


def recover_steps(
    directory: LogDirectory, known: list[KnownPartition], deleted: frozenset[UUID] = frozenset()
) -> Steps[RecoveryReport]:
    """Recover a directory and fill `directory.logs`; `deleted` are topics that the metadata remembers as deleted. Raises CorruptionError, OSError: the directory is refused."""
    vfs = directory.vfs
    checkpoint = checkpoint_file.read(vfs, directory.path)
    if checkpoint is None:
        if vfs.exists(directory.journal.path):
            raise CorruptionError(
                f"{directory.path}/{checkpoint_file.FILE_NAME}",
                0,
                "the checkpoint is missing, but the directory is not new; restore it, or move the directory away",
            )
        checkpoint = yield from _format(directory)
    yield
    rings, names = yield from _read_rings(directory)
    contents = read_contents(vfs, directory.journal.path)
    check_complete(directory.journal.path, checkpoint, rings, contents)
    try:
        linked = chain(rings, checkpoint, contents.generations)
    except CorruptionError as error:
        whole = error.path == JOURNAL_DIRECTORY
        raise error.within(directory.path if whole else directory.journal.path) from None
    points = {(point.topic_id, point.partition): point for point in checkpoint.points}
    plans = plan(linked.commits, points)
    for key, reason in linked.refused.items():
        plans.setdefault(key, Plan(points.get(key))).corrupt = reason
    yield from _make_sure(directory, checkpoint, linked, rings, names)
    unclean = bool(not checkpoint.clean or linked.commits)
    refused: list[str] = []
    changed: list[tuple[UUID, int]] = []
    newly_damaged = False
    cut_bytes = batches = 0
    strays, owned = yield from _set_aside(directory, known, deleted, points, plans)
    yield from _make_folders(directory, known, points, plans)
    for partition in known:
        key = (partition.topic_id.bytes, partition.partition)
        point = points.get(key)
        plan_ = plans.get(key) or Plan(point)
        mine = f"{partition.topic}-{partition.partition}" in owned
        work = Rebuild(directory, *partition, point, plan_, unclean=unclean, owned=mine)
        try:
            log = yield from work.steps()
        except CorruptionError as error:
            reason = (point.refused if point is not None else "") or str(error)
            log = _refuse(directory, partition, reason)
            refused.append(f"{log.name}: {reason}")
            newly_damaged = newly_damaged or point is None or not point.refused
        cut_bytes += work.cut_bytes
        batches += work.replayed
        directory.adopt(log, changed=work.changed)
        if work.changed:
            changed.append((partition.topic_id, partition.partition))
        if log.refused and point is None:
            point = Point(*key, 0, 0, [], [], b"")
        if point is not None:
            directory.checkpointer.points[key] = encode_point(point._replace(refused=log.refused))
    del rings
    yield from directory.journal.open_steps(
        linked.last_sequences,
        linked.next_sequence,
        oldest_generation=checkpoint.generation,
        keep=newly_damaged,
    )
    return RecoveryReport(
        len(known),
        len(linked.commits),
        batches,
        cut_bytes,
        refused,
        strays,
        not unclean,
        changed,
    )


def check_complete(
    path: str,
    checkpoint: Checkpoint,
    rings: Mapping[str, memoryview],
    contents: Contents,
) -> None:
    """What the checkpoint relies on must be there: without it every commit behind would seem never to have been.

    Raises CorruptionError: files of the journal at `path` were lost.
    """
    remedy = "restore it from a copy, or move the directory away"
    if checkpoint.generation and not rings:
        raise CorruptionError(path, 0, f"the journal has no ring file, and it is not new; {remedy}")
    if checkpoint.generation:
        complete = any(life.number == checkpoint.generation for life in contents.generations)
    else:  # the first life lists itself before it writes
        complete = bool(contents.generations) or not any(any(scan_heads(data)) for data in rings.values())
    if not complete:
        raise CorruptionError(
            f"{path}/generations",
            0,
            f"the list lacks the generation that the journal was written in; {remedy}",
        )
    for file in contents.files:
        found = len(rings[file.name]) if file.name in rings else None
        if found is None or found < file.size:
            what = "is missing" if found is None else f"ends {file.size - found} bytes early"
            raise CorruptionError(
                f"{path}/{file.name}",
                found or 0,
                f"the ring file {what}, and with it what was committed there; {remedy}",
            )


def _format(directory: LogDirectory) -> Steps[Checkpoint]:
    """A new directory: its journal folder and an empty checkpoint. Raises CorruptionError if it isn't new."""
    vfs = directory.vfs
    for name in vfs.listdir(directory.path):
        if vfs.exists(f"{directory.path}/{name}/{PARTITION_METADATA}"):
            raise CorruptionError(
                f"{directory.path}/{checkpoint_file.FILE_NAME}",
                0,
                f"checkpoint and journal are missing, but there is {name}; restore them, or move the directory away",
            )
    empty = checkpoint_file.encode(0, 0, 0, [], clean=True)
    checkpoint_file.write(vfs, directory.path, empty)
    yield
    vfs.mkdir(directory.journal.path)  # its name is durable with the checkpoint that `_make_sure` writes
    yield
    return checkpoint_file.decode(empty, directory.path)


def _read_rings(directory: LogDirectory) -> Steps[tuple[dict[str, memoryview], dict[str, str]]]:
    vfs = directory.vfs
    rings: dict[str, memoryview] = {}
    names: dict[str, str] = {}
    if not vfs.exists(directory.journal.path):
        vfs.mkdir(directory.journal.path)
    for name in vfs.listdir(directory.journal.path):
        if name.endswith(".ring"):
            path = f"{directory.journal.path}/{name}"
            file = vfs.open(path)
            rings[name] = memoryview(file.pread(file.size(), 0))
            names[name] = path
            file.close()
            yield
    return rings, names


def _set_aside(
    directory: LogDirectory,
    known: list[KnownPartition],
    deleted: frozenset[UUID],
    points: dict[PartitionKey, Point],
    plans: dict[PartitionKey, Plan],
) -> Steps[tuple[list[str], set[str]]]:
    """Folders that the metadata doesn't know: finish an announced deletion, keep everything else under another name.

    Returns those, and the folders that say of themselves that they are what the metadata takes them for.

    A folder whose owner can't be told, and of which nothing was ever known to be durable, may be that of an older topic
    of the same name: nothing in it is anybody's any more.
    """
    vfs = directory.vfs
    expected = {f"{partition.topic}-{partition.partition}": partition.topic_id for partition in known}
    strays: list[str] = []
    owned: set[str] = set()
    doomed: list[str] = []
    for name in vfs.listdir(directory.path):
        path = f"{directory.path}/{name}"
        if name.endswith(DELETE_SUFFIX):
            doomed.append(path)
            continue
        topic, dash, index = name.rpartition("-")
        if not dash or not index.isdecimal():
            continue
        owner = expected.get(name)
        topic_id = read_topic_id(vfs, path)
        if topic_id is None:
            if owner is None or (owner.bytes, int(index)) in points:
                continue
            claimed = plans.get((owner.bytes, int(index)))
            if claimed is not None and any(piece.entry.kind == SYNCED for piece in claimed.pieces):
                continue
            if not any(file.endswith(LOG_SUFFIX) for file in vfs.listdir(path)):
                continue
        elif owner == topic_id:
            owned.add(name)
            continue
        found = plans.get((topic_id.bytes, int(index))) if topic_id is not None else None
        ours = topic_id in deleted or (found is not None and found.deleted)
        if topic_id is not None and ours:
            # As in `deletion.py`: half of a folder must not be taken for somebody else's.
            target = doomed_path(directory.path, name, topic_id, int(index))
            vfs.rename(path, target)
            doomed.append(target)
        else:
            vfs.rename(path, _stray_path(directory, name, topic_id))
            strays.append(name)
            _log.warning(
                "a partition folder that no topic owns was set aside",
                folder=name,
                topic_id=str(topic_id),
                topic=topic,
            )
        yield
    if (
        doomed or deleted
    ):  # what an earlier life renamed or removed isn't sure to stay so, and now it will be forgotten
        vfs.sync_dir(directory.path)
        yield
    for path in doomed:
        yield from remove_folder_steps(vfs, path)
    return strays, owned


def _make_folders(
    directory: LogDirectory,
    known: list[KnownPartition],
    points: dict[PartitionKey, Point],
    plans: dict[PartitionKey, Plan],
) -> Steps[None]:
    """Folders of partitions that only the ring tells of, all together."""
    missing = []
    for partition in known:
        key = (partition.topic_id.bytes, partition.partition)
        found, point = plans.get(key), points.get(key)
        if found is not None and found.pieces and not found.corrupt and (point is None or not point.segments):
            path = f"{directory.path}/{partition.topic}-{partition.partition}"
            if not directory.vfs.exists(path):
                missing.append((path, partition.topic_id))
    yield from make_folders_steps(directory, missing)


def aside_name(name: str, ending: str) -> str:
    """The folder `name` out of the way: its name, cut where it is too long, and `ending`, which tells it from all others."""
    return name[: NAME_BYTES_MAX - len(ending)] + ending


def doomed_path(directory: str, name: str, topic_id: UUID, index: int) -> str:
    """What the folder `name` is called while it is being removed; whatever has such a name is removed at the next start."""
    # The index comes after the topic's id, as the end of a long name is cut off.
    return f"{directory}/{aside_name(name, f'.{topic_id.hex}-{index}{DELETE_SUFFIX}')}"


def _stray_path(directory: LogDirectory, name: str, topic_id: UUID | None) -> str:
    # The index once more, as the end of a long name is cut off.
    mark = f"{topic_id.hex if topic_id is not None else 'unknown'}-{name.rpartition('-')[2]}"
    path = f"{directory.path}/{aside_name(name, f'.{mark}{STRAY_SUFFIX}')}"
    number = 1
    while directory.vfs.exists(path):
        number += 1
        path = f"{directory.path}/{aside_name(name, f'.{mark}.{number}{STRAY_SUFFIX}')}"
    return path


def _refuse(directory: LogDirectory, partition: KnownPartition, reason: str) -> Log:
    """A log that answers every request with the reason; its files stay as they are."""
    name = f"{partition.topic}-{partition.partition}"
    _log.error("the partition is damaged and stays offline", partition=name, reason=reason)
    log = Log(
        directory,
        f"{directory.path}/{name}",
        partition.topic,
        partition.partition,
        partition.topic_id,
        partition.config,
    )
    log.created = True
    log.refused = reason
    log.refuse(StorageOfflineError(f"{name} is damaged: {reason}"))
    return log


def _make_sure(
    directory: LogDirectory,
    checkpoint: Checkpoint,
    linked: Chain,
    rings: dict[str, memoryview],
    names: dict[str, str],
) -> Steps[None]:
    """Write again what an earlier life may have seen only in the page cache, before anything is done because of it."""
    vfs = directory.vfs
    if linked.commits:
        last = linked.commits[-1]
        name, position = linked.places[last.sequence]
        file = vfs.open(names[name])
        file.pwritev([rings[name][position : position + last.size_bytes]], position)
        yield
        file.datasync()
        file.close()
        yield
    points = [encode_point(point) for point in checkpoint.points]
    data = checkpoint_file.encode(
        checkpoint.generation, checkpoint.salt, checkpoint.sequence, points, clean=checkpoint.clean
    )
    checkpoint_file.write(vfs, directory.path, data)
    yield
