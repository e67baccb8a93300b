"""DeleteShareGroupOffsets (API key 92): DeleteShareGroupOffsetsRequest v0 to v0 (flexible from v0); DeleteShareGroupOffsetsResponse v0 to v0 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class DeleteShareGroupOffsetsRequestTopic:
    """An element of `DeleteShareGroupOffsetsRequest.topics`. Version 0."""

    topic_name: str = ""


@dataclass(slots=True)
class DeleteShareGroupOffsetsRequest:
    """The whole request. Version 0."""

    group_id: str = ""
    topics: list[DeleteShareGroupOffsetsRequestTopic] = field(default_factory=list)


@dataclass(slots=True)
class DeleteShareGroupOffsetsResponseTopic:
    """An element of `DeleteShareGroupOffsetsResponse.responses`. Version 0."""

    topic_name: str = ""
    topic_id: UUID = ZERO_UUID
    error_code: int = 0
    error_message: str | None = None


@dataclass(slots=True)
class DeleteShareGroupOffsetsResponse:
    """The whole response. Version 0."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    responses: list[DeleteShareGroupOffsetsResponseTopic] = field(default_factory=list)


STRUCTS: Structs = {
    DeleteShareGroupOffsetsRequestTopic: (Field("topic_name", "string", 0, 0, default=""),),
    DeleteShareGroupOffsetsRequest: (
        Field("group_id", "string", 0, 0, default=""),
        Field("topics", "struct", 0, 0, array=True, item=DeleteShareGroupOffsetsRequestTopic, default=()),
    ),
    DeleteShareGroupOffsetsResponseTopic: (
        Field("topic_name", "string", 0, 0, default=""),
        Field("topic_id", "uuid", 0, 0, default=ZERO_UUID),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
    ),
    DeleteShareGroupOffsetsResponse: (
        Field("throttle_time_ms", "int32", 0, 0),
        Field("error_code", "int16", 0, 0),
        Field("error_message", "string", 0, 0, nullable=(0, 0), default=None),
        Field("responses", "struct", 0, 0, array=True, item=DeleteShareGroupOffsetsResponseTopic, default=()),
    ),
}

REQUEST = Message(
    "DeleteShareGroupOffsetsRequest", DeleteShareGroupOffsetsRequest, 0, 0, flexible=0, structs=STRUCTS
)
RESPONSE = Message(
    "DeleteShareGroupOffsetsResponse", DeleteShareGroupOffsetsResponse, 0, 0, flexible=0, structs=STRUCTS
)
