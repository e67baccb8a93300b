"""The metadata of a broker that is alone: one SQLite file, `metadata.sqlite`, in `metadata.log.dir`.

It alone decides which topics exist. The tables are in `sqlite_schema.py`, what is in their rows in `sqlite_rows.py`.

**Threads.** The loop calls `commit`; one thread of this store's own runs the transactions, in order, and calls back
into the loop. `open` and `load` run before that thread does anything, wherever the caller wants to wait for them.

**Durability.** Write-ahead log with `synchronous=FULL`: a COMMIT returns after the log was synced. The name of the
database file is synced by us, that of the log by SQLite. `locking_mode=EXCLUSIVE` keeps a second broker out, and keeps
the log's index in memory and not in a mapped file (a store into a mapping on a full disk would kill the process).

**Failure.** Any error of a commit is final (`store.py` says why); nothing is retried, no file is touched again. What a
failed sync leaves in the page cache may look better than what is on the disk. So the next `open` moves the whole log
into the database (a checkpoint, with its own syncs) before anything is served or written: from then on nothing rests
on pages that the kernel believes clean and the disk has never seen.

**Damage.** The file's structure is checked when it is opened, every row has a checksum, and `commit_mark.py` notices
commits that are missing at the end. All of it is a CorruptionError, and the remedy is a backup: nothing is guessed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Final, TypeAlias

from logbroker.base import failpoints, logs
from logbroker.base.errors import ConfigError, CorruptionError, LogbrokerError
from logbroker.base.ids import kafka_uuid, new_kafka_uuid
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.metadata.commit_mark import CommitMark
from logbroker.metadata.events import Event
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.sqlite_rows import (
    CLUSTER_ID,
    COMMIT_SEQUENCE,
    NEXT_PRODUCER_ID,
    NODE_ID,
    read_image,
    read_meta,
    write_event,
    write_meta,
)
from logbroker.metadata.sqlite_schema import APPLICATION_ID, SCHEMA_VERSION, migrate, stored_version
from logbroker.metadata.store import MetadataFailedError

FILE_NAME: Final = "metadata.sqlite"
MARK_NAME: Final = "metadata.mark"

WAL_CHECKPOINT_PAGES: Final = 1000
"""Pages in the write-ahead log at which SQLite moves them into the database: about 4 MB."""

CLOSE_TIMEOUT_S: Final = 30
"""How long `close` waits for a commit under way; a disk that hangs must not keep the process from ending."""

_SQLITE_MAGIC: Final = b"SQLite format 3\0"

BEFORE_COMMIT = failpoints.declare(
    "metadata.before_commit", "the rows are written, COMMIT is not yet asked for"
)
AFTER_COMMIT = failpoints.declare("metadata.after_commit", "the commit is durable, nobody knows it yet")

_log = logs.get("metadata")

_Task: TypeAlias = tuple[Sequence[Event], "asyncio.Future[None]", asyncio.AbstractEventLoop]


class SqliteStore:
    """A `MetadataStore` over one directory; made by `open`."""

    def __init__(self, path: str, connection: sqlite3.Connection, mark: CommitMark, sequence: int) -> None:
        self.path = path
        self._connection = connection
        self._mark = mark
        self._sequence = sequence
        self._failure: MetadataFailedError | None = None
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    @classmethod
    def open(cls, directory: str, *, node_id: int, create: bool = True) -> SqliteStore:
        """Open the metadata in `directory`; blocks.

        Args:
            directory: made, with its parents, if `create`.
            node_id: whose metadata it must be.
            create: whether to begin a new cluster where there is no metadata. False where other traces of a cluster
                are there: then the metadata's disk isn't mounted, say, and starting without it would lose everything.

        Raises:
            ConfigError: it is another broker's, in use, from a later version, no metadata at all, or missing.
            CorruptionError: it is damaged.
            MetadataFailedError: the disk doesn't do what it must.
        """
        path = os.path.join(directory, FILE_NAME)
        with _explained(path):
            fresh = _prepare(directory, path, create=create)
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
            try:
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                if not fresh:
                    _check_identity(connection, path)
                _configure(connection, path)
                if not fresh:
                    _check_damage(connection, path)
                sequence = _initialize(connection, path, node_id)
                mark = _checked_mark(os.path.join(directory, MARK_NAME), sequence)
                # A first small commit: it proves that the disk takes one, and the log's name exists from here on.
                sequence += 1
                connection.execute("BEGIN IMMEDIATE")
                write_meta(connection, COMMIT_SEQUENCE, str(sequence))
                connection.execute("COMMIT")
                _sync_directory(directory)
                mark.write(sequence)
            except BaseException:
                connection.close()
                raise
        return cls(path, connection, mark, sequence)

    def load(self, settings: Settings, sources: ConfigSources | None = None) -> ClusterImage:
        """All that is stored, as an image; blocks. Before the first commit only.

        Args:
            settings: from file, environment and command line.
            sources: where they came from.

        Raises:
            CorruptionError, ConfigError, MetadataFailedError.
        """
        with _explained(self.path):
            return read_image(self._connection, self.path, settings, sources or ConfigSources())

    def commit(self, events: Sequence[Event]) -> asyncio.Future[None]:
        """See `MetadataStore`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self._failure is not None:
            future.set_exception(self._failure)
        elif self._closed:
            future.set_exception(MetadataFailedError(f"{self.path} is closed"))
        else:
            if self._thread is None:
                # A daemon: a disk that never answers must not keep the process from ending.
                self._thread = threading.Thread(target=self._run, name="metadata", daemon=True)
                self._thread.start()
            self._tasks.put((events, future, loop))
        return future

    async def close(self) -> None:
        """See `MetadataStore`; after a failure the files are left alone. Raises MetadataFailedError."""
        if self._closed:
            return
        self._closed = True
        self._tasks.put(None)
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join, CLOSE_TIMEOUT_S)
            if thread.is_alive():
                raise MetadataFailedError(
                    f"{self.path}: the disk gave no answer for {CLOSE_TIMEOUT_S} seconds"
                )
        await asyncio.to_thread(self.release)

    def release(self) -> None:
        """Let go of the files; blocks. For a store that commits nothing (any more); otherwise `close` comes first."""
        self._closed = True
        self._mark.close()
        if self._failure is None:
            with _explained(self.path):
                self._connection.close()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            events, future, loop = task
            if self._failure is None:
                try:
                    with _explained(self.path):
                        self._transact(events)
                except Exception as error:
                    failure = error if isinstance(error, MetadataFailedError) else _failed(self.path, error)
                    self._failure = failure
                    _log.error("the metadata can't be written any more", path=self.path, reason=str(failure))
            try:
                loop.call_soon_threadsafe(_settle, future, self._failure)
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.

    def _transact(self, events: Sequence[Event]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for event in events:
            write_event(connection, event)
        sequence = self._sequence + 1
        write_meta(connection, COMMIT_SEQUENCE, str(sequence))
        if BEFORE_COMMIT.armed:
            BEFORE_COMMIT.hit()
        connection.execute("COMMIT")
        if AFTER_COMMIT.armed:
            AFTER_COMMIT.hit()
        self._sequence = sequence
        self._mark.write(sequence)


def _settle(future: asyncio.Future[None], failure: MetadataFailedError | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)


def _prepare(directory: str, path: str, *, create: bool) -> bool:
    """Make directory and file where that is wanted, with durable names; whether there is no metadata in it yet."""
    exists = os.path.exists(path)
    if not exists and not create:
        raise ConfigError(
            f"there is no {path}, but the log directories hold data: the metadata, which alone knows the topics, is "
            "somewhere else or its disk isn't mounted; mount it, or set metadata.log.dir to where it is"
        )
    if not exists:
        missing = directory
        made = []
        while missing and not os.path.isdir(missing):
            made.append(missing)
            missing = os.path.dirname(missing)
        os.makedirs(directory, exist_ok=True)
        for name in made:
            _sync_directory(os.path.dirname(name) or ".")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
    _sync_directory(directory)
    with open(path, "rb") as file:
        head = file.read(len(_SQLITE_MAGIC))
    if head and head != _SQLITE_MAGIC:
        raise CorruptionError(path, 0, "this is no SQLite file; restore it from a backup")
    # An empty file is what a crash leaves before the first transaction.
    return not head


def _configure(connection: sqlite3.Connection, path: str) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise MetadataFailedError(f"{path}: the file system doesn't allow a write-ahead log (got {mode})")
    for pragma in (
        "synchronous = FULL",
        "fullfsync = ON",  # macOS only: its plain fsync stops at the drive's own cache.
        "checkpoint_fullfsync = ON",
        f"wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
        "cell_size_check = ON",
        "trusted_schema = OFF",
        "foreign_keys = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _check_identity(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a file that isn't ours, before anything in it is touched."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    # Without tables it may be ours: a crash right after the file was made leaves it so.
    if application_id != APPLICATION_ID and (tables or application_id):
        raise ConfigError(
            f"{path} is a SQLite file of some other program; set metadata.log.dir to another directory"
        )
    version = stored_version(connection)
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} was written by a later version of logbroker (schema {version}, this one knows {SCHEMA_VERSION}); "
            "use that version or a newer one"
        )


def _check_damage(connection: sqlite3.Connection, path: str) -> None:
    """Check the structure, and move the whole write-ahead log into the database (see the module's docstring)."""
    found = [text for (text,) in connection.execute("PRAGMA quick_check(3)")]
    if found != ["ok"]:
        raise CorruptionError(path, 0, f"SQLite finds it damaged: {'; '.join(found)[:500]}")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise MetadataFailedError(f"{path}: the write-ahead log could not be moved into the database")


def _initialize(connection: sqlite3.Connection, path: str, node_id: int) -> int:
    """Bring the schema up to date, and begin a new cluster in a new file; gives the commit sequence."""
    migrate(connection, time.time_ns() // 1_000_000)
    if connection.execute("SELECT 1 FROM meta").fetchone() is None:
        connection.execute("BEGIN IMMEDIATE")
        write_meta(connection, CLUSTER_ID, kafka_uuid(new_kafka_uuid()))
        write_meta(connection, NODE_ID, str(node_id))
        write_meta(connection, NEXT_PRODUCER_ID, "0")
        write_meta(connection, COMMIT_SEQUENCE, "0")
        connection.execute("COMMIT")
    meta = read_meta(connection, path)
    if meta[NODE_ID] != str(node_id):
        raise ConfigError(
            f"{path} belongs to the broker with node.id={meta[NODE_ID]}, and this one has node.id={node_id}; a broker "
            "keeps its number as long as it keeps its data"
        )
    return int(meta[COMMIT_SEQUENCE])


def _checked_mark(path: str, sequence: int) -> CommitMark:
    mark = CommitMark(path)
    marked = mark.read()
    if marked > sequence:
        mark.close()
        raise CorruptionError(
            path,
            0,
            f"the metadata had come to commit {marked}, and {FILE_NAME} ends at commit {sequence}: acknowledged "
            f"changes are missing. Restore a newer backup; if this one was restored on purpose, remove {path}",
        )
    return mark


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turn what SQLite and the operating system raise into our errors, with the path in them."""
    try:
        yield
    except LogbrokerError:
        raise
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if code is not None else None
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise CorruptionError(path, 0, f"SQLite finds it damaged: {error}") from error
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ConfigError(
                f"{path} is in use by another process, probably a broker on the same directory; stop that one, or give "
                "this one another --data-dir (or metadata.log.dir)"
            ) from error
        raise _failed(path, error) from error
    except UnicodeDecodeError as error:
        # Python can't read a message of SQLite's that quotes damaged names.
        raise CorruptionError(path, 0, "SQLite finds it damaged, in a name or a text") from error
    except OSError as error:
        raise _failed(path, error) from error


def _failed(path: str, error: BaseException) -> MetadataFailedError:
    name = getattr(error, "sqlite_errorname", None)
    reason = f"{error} ({name})" if name else str(error)
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror if error.filename in (None, path) else f"{error.filename}: {error.strerror}"
    return MetadataFailedError(
        f"{path}: {reason or type(error).__name__}; the broker can't go on without its metadata"
    )
