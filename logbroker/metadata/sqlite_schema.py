"""The tables of `metadata.sqlite`, how they came to be, and the checksum that every row carries.

SQLite finds a damaged page only where the damage breaks the structure; a flipped bit in a leader epoch it hands out as
it is. So each row ends with `checksum`, the CRC-32C of the table's name and the other columns in order (encoded as one
MessagePack array, which is the same on every machine), and a row that doesn't match its own is corruption. A topic
knows how many partitions it has, so that a missing one is noticed too.

`schema_version` has a row for each migration that was done. A migration is a list of statements, run in one
transaction together with its row, so that a crash leaves a file of the old version or of the new one. Migrations are
only ever added: a file from any earlier release is brought up to date when it is opened, and one from a later release
is refused.
"""

from __future__ import annotations

import sqlite3
from typing import Final, TypeAlias

import msgspec
from crc32c import crc32c

APPLICATION_ID: Final = 0x4C424D44
"""`LBMD`: what `file` and SQLite itself see in the header of our file."""

Column: TypeAlias = int | str | bytes

_FIRST_RELEASE = (
    """
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE directory (
        directory_id BLOB PRIMARY KEY,
        path TEXT NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE topic (
        topic_id BLOB PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        partition_count INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE topic_config (
        topic_id BLOB NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (topic_id, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE partition (
        topic_id BLOB NOT NULL,
        partition_index INTEGER NOT NULL,
        leader INTEGER NOT NULL,
        leader_epoch INTEGER NOT NULL,
        partition_epoch INTEGER NOT NULL,
        isr TEXT NOT NULL,
        replicas TEXT NOT NULL,
        directory_id BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (topic_id, partition_index)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE broker_config (
        scope TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (scope, name)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE memory_offset (
        topic_id BLOB NOT NULL,
        partition_index INTEGER NOT NULL,
        up_to INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (topic_id, partition_index)
    ) STRICT, WITHOUT ROWID
    """,
)

_DELETED_TOPICS = (
    """
    CREATE TABLE deleted_topic (
        directory_id BLOB NOT NULL,
        topic_id BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (directory_id, topic_id)
    ) STRICT, WITHOUT ROWID
    """,
)

_RESOURCE_CONFIGS = (
    """
    CREATE TABLE resource_config (
        resource_type INTEGER NOT NULL,
        resource_name TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        PRIMARY KEY (resource_type, resource_name, name)
    ) STRICT, WITHOUT ROWID
    """,
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST_RELEASE, _DELETED_TOPICS, _RESOURCE_CONFIGS)
"""The statements that lead to version 1, 2, ...; only ever added to."""

SCHEMA_VERSION: Final = len(MIGRATIONS)

_TABLE_OF_VERSIONS = (
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, migrated_ms INTEGER NOT NULL) STRICT"
)

_encode = msgspec.msgpack.Encoder().encode


def checksum(table: str, *columns: Column) -> int:
    """What the row of `table` with these columns carries in its last one."""
    return crc32c(_encode((table, columns)))


def sealed(table: str, *columns: Column) -> tuple[Column, ...]:
    """The columns with their checksum behind them: a row as it is stored."""
    return (*columns, crc32c(_encode((table, columns))))


def stored_version(connection: sqlite3.Connection) -> int:
    """The schema version of the file; 0 for a new one."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'").fetchone()
    if found is None:
        return 0
    (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return version or 0


def migrate(connection: sqlite3.Connection, now_ms: int) -> None:
    """Bring the file up to `SCHEMA_VERSION`, one transaction per version.

    The connection is in autocommit mode; the caller has made sure that the file isn't of a later version.
    """
    for version in range(stored_version(connection) + 1, SCHEMA_VERSION + 1):
        connection.execute("BEGIN IMMEDIATE")
        if version == 1:
            connection.execute(_TABLE_OF_VERSIONS)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in MIGRATIONS[version - 1]:
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version VALUES (?, ?)", (version, now_ms))
        connection.execute("COMMIT")
