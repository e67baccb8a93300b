"""The records of `__consumer_offsets` that classic groups and committed offsets are kept in.

    type  key                                   value, versions
      0   group, topic, partition               LegacyOffsetCommitValue 0 (before Kafka 0.9; read, never written)
      1   group, topic, partition               OffsetCommitValue 0-4
      2   group                                 GroupMetadataValue 0-4

Type 3 and above belong to other kinds of groups (KIP-848, share, streams groups).

What is written: an offset whose topic id is known in version 4, which has room for the id (so that an offset never
serves another topic of the same name); without an id in version 3; with an explicit retention time (OffsetCommit 2-4) in
version 1, the only one that has it. Group metadata in version 3, which all releases since Kafka 2.3 read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from uuid import UUID

from logbroker.base.types import Buffer
from logbroker.coordination.formats.record import RecordFormat
from logbroker.wire.primitives import (
    MAX_STRING_BYTES,
    write_compact_string,
    write_int16,
    write_int32,
    write_string,
)
from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs

LEGACY_OFFSET_COMMIT: Final = 0
OFFSET_COMMIT: Final = 1
GROUP_METADATA: Final = 2
"""Record types."""

GROUP_METADATA_VERSION: Final = 3
"""What is written."""

NO_TIMESTAMP: Final = -1
NO_LEADER_EPOCH: Final = -1


@dataclass(slots=True)
class OffsetCommitKey:
    """Whose offset of which partition."""

    group: str = ""
    topic: str = ""
    partition: int = 0


@dataclass(slots=True)
class OffsetCommitValue:
    """A committed offset."""

    offset: int = 0
    leader_epoch: int = NO_LEADER_EPOCH  # v3+
    metadata: str = ""
    commit_timestamp: int = 0
    expire_timestamp: int = NO_TIMESTAMP  # v1
    topic_id: UUID = ZERO_UUID  # v4+


@dataclass(slots=True)
class GroupMetadataKey:
    """Which group."""

    group: str = ""


@dataclass(slots=True)
class MemberMetadata:
    """A member as of the last completed rebalance."""

    member_id: str = ""
    group_instance_id: str | None = None  # v3+
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout: int = -1  # v1+; -1: as the session timeout
    session_timeout: int = 0
    subscription: Buffer = b""
    assignment: Buffer = b""


@dataclass(slots=True)
class GroupMetadataValue:
    """A classic group as of its last completed rebalance; no members: it is empty."""

    protocol_type: str = ""
    generation: int = 0
    protocol: str | None = None
    leader: str | None = None
    current_state_timestamp: int = NO_TIMESTAMP  # v2+
    members: list[MemberMetadata] = field(default_factory=list)


_ALL = (0, 4)

STRUCTS: Structs = {
    OffsetCommitKey: (
        Field("group", "string", 0, 0, default=""),
        Field("topic", "string", 0, 0, default=""),
        Field("partition", "int32", 0, 0),
    ),
    OffsetCommitValue: (
        Field("offset", "int64", 0, 4),
        Field("leader_epoch", "int32", 3, 4, default=NO_LEADER_EPOCH),
        Field("metadata", "string", 0, 4, default=""),
        Field("commit_timestamp", "int64", 0, 4),
        Field("expire_timestamp", "int64", 1, 1, default=NO_TIMESTAMP),
        Field("topic_id", "uuid", 4, 4, tag=0, tagged=(4, 4), default=ZERO_UUID),
    ),
    GroupMetadataKey: (Field("group", "string", 0, 0, default=""),),
    MemberMetadata: (
        Field("member_id", "string", 0, 4, default=""),
        Field("group_instance_id", "string", 3, 4, nullable=(3, 4), default=None),
        Field("client_id", "string", 0, 4, default=""),
        Field("client_host", "string", 0, 4, default=""),
        Field("rebalance_timeout", "int32", 1, 4, default=-1),
        Field("session_timeout", "int32", 0, 4),
        Field("subscription", "bytes", 0, 4, default=b""),
        Field("assignment", "bytes", 0, 4, default=b""),
    ),
    GroupMetadataValue: (
        Field("protocol_type", "string", 0, 4, default=""),
        Field("generation", "int32", 0, 4),
        Field("protocol", "string", 0, 4, nullable=_ALL, default=None),
        Field("leader", "string", 0, 4, nullable=_ALL, default=None),
        Field("current_state_timestamp", "int64", 2, 4, default=NO_TIMESTAMP),
        Field("members", "struct", 0, 4, array=True, item=MemberMetadata, default=()),
    ),
}

_OFFSET_KEY = Message("OffsetCommitKey", OffsetCommitKey, 0, 0, flexible=None, structs=STRUCTS)
_OFFSET_VALUE = Message("OffsetCommitValue", OffsetCommitValue, 0, 4, flexible=4, structs=STRUCTS)
_GROUP_KEY = Message("GroupMetadataKey", GroupMetadataKey, 0, 0, flexible=None, structs=STRUCTS)
_GROUP_VALUE = Message("GroupMetadataValue", GroupMetadataValue, 0, 4, flexible=4, structs=STRUCTS)

offset_commit: Final = RecordFormat[OffsetCommitKey, OffsetCommitValue](
    OFFSET_COMMIT, "OffsetCommit", _OFFSET_KEY, _OFFSET_VALUE
)
group_metadata: Final = RecordFormat[GroupMetadataKey, GroupMetadataValue](
    GROUP_METADATA, "GroupMetadata", _GROUP_KEY, _GROUP_VALUE
)

# Offset commits are most of what is ever written here: these do what the table says, in a third of the time.

_CACHED_KEYS = 65_536
"""Key prefixes that are remembered; a consumer commits for the same partitions again and again."""

_V1_TAIL = struct.Struct(">qq")
_V1_HEAD = struct.Struct(">hq")
_V3_HEAD = struct.Struct(">hqi")
_TIMESTAMP = struct.Struct(">q")
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_V4_BARE = struct.Struct(">hqicq3s16s")
"""A value of version 4 with a topic id and without metadata: what most consumers commit."""
_V4_NO_METADATA = b"\x01"
_TOPIC_ID_TAG = b"\x01\x00\x10"
"""One tagged field, number 0, of 16 bytes."""


@lru_cache(maxsize=_CACHED_KEYS)
def offset_commit_key(group: str, topic: str, partition: int) -> bytes:
    """The key of a committed offset; raises ValueError for a name longer than the format can say."""
    return write_int16(OFFSET_COMMIT) + write_string(group) + write_string(topic) + write_int32(partition)


def offset_commit_value(value: OffsetCommitValue) -> bytes:
    """The value of a committed offset, in the version that has room for what is known (see the module's text).

    Raises:
        ValueError: Metadata longer than the format can say.

    """
    if value.expire_timestamp != NO_TIMESTAMP:
        return b"".join(
            (
                _V1_HEAD.pack(1, value.offset),
                write_string(value.metadata),
                _V1_TAIL.pack(value.commit_timestamp, value.expire_timestamp),
            )
        )
    if value.topic_id == ZERO_UUID:
        return b"".join(
            (
                _V3_HEAD.pack(3, value.offset, value.leader_epoch),
                write_string(value.metadata),
                _TIMESTAMP.pack(value.commit_timestamp),
            )
        )
    if not value.metadata:
        return _V4_BARE.pack(
            4,
            value.offset,
            value.leader_epoch,
            _V4_NO_METADATA,
            value.commit_timestamp,
            _TOPIC_ID_TAG,
            value.topic_id.bytes,
        )
    if (
        len(value.metadata.encode()) > MAX_STRING_BYTES
    ):  # a compact length could say it, and no reader takes it
        raise ValueError(f"the metadata is longer than {MAX_STRING_BYTES} bytes")
    return b"".join(
        (
            _V3_HEAD.pack(4, value.offset, value.leader_epoch),
            write_compact_string(value.metadata),
            _TIMESTAMP.pack(value.commit_timestamp),
            _TOPIC_ID_TAG,
            value.topic_id.bytes,
        )
    )


def read_offset_commit_key(key: bytes) -> tuple[str, str, int]:
    """Group, topic and partition of an offset's key.

    Raises:
        ValueError: It can't be read.

    """
    try:
        group_end = 4 + _INT16.unpack_from(key, 2)[0]
        topic_end = group_end + 2 + _INT16.unpack_from(key, group_end)[0]
        (partition,) = _INT32.unpack_from(key, topic_end)
        if 4 <= group_end <= topic_end - 2 and len(key) == topic_end + _INT32.size:
            return key[4:group_end].decode(), key[group_end + 2 : topic_end].decode(), partition
    except struct.error:
        pass
    # It is damaged, and this says how.
    read = offset_commit.decode_key(key)
    return read.group, read.topic, read.partition


def read_offset_commit_value(value: bytes) -> OffsetCommitValue:
    """A committed offset; values with the same topic id share it.

    Raises:
        ValueError: It can't be read.

    """
    if len(value) == _V4_BARE.size and value[14:15] == _V4_NO_METADATA and value[23:26] == _TOPIC_ID_TAG:
        version, offset, leader_epoch = _V3_HEAD.unpack_from(value)
        if version == 4:
            return OffsetCommitValue(
                offset,
                leader_epoch,
                "",
                _TIMESTAMP.unpack_from(value, 15)[0],
                NO_TIMESTAMP,
                _topic_id(value[26:]),
            )
    return offset_commit.decode_value(value)


@lru_cache(maxsize=_CACHED_KEYS)
def _topic_id(read: bytes) -> UUID:
    return UUID(bytes=read)


def group_metadata_key(group: str) -> bytes:
    """The key of a group's metadata; raises ValueError for an id longer than the format can say."""
    return write_int16(GROUP_METADATA) + write_string(group)
