"""DeleteTopics (API key 20): DeleteTopicsRequest v1 to v6 (flexible from v4); DeleteTopicsResponse v1 to v6 (flexible from v4).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from logbroker.wire.schema import ZERO_UUID, Field, Message, Structs


@dataclass(slots=True)
class DeleteTopicState:
    """An element of `DeleteTopicsRequest.topics`. Version 6."""

    name: str | None = None
    topic_id: UUID = ZERO_UUID


@dataclass(slots=True)
class DeleteTopicsRequest:
    """The whole request. Versions 1 to 6."""

    topic_names: list[str] = field(default_factory=list)  # v1-v5
    topics: list[DeleteTopicState] = field(default_factory=list)  # v6+
    timeout_ms: int = 0


@dataclass(slots=True)
class DeletableTopicResult:
    """An element of `DeleteTopicsResponse.responses`. Versions 1 to 6."""

    name: str | None = ""
    topic_id: UUID = ZERO_UUID  # v6+
    error_code: int = 0
    error_message: str | None = None  # v5+


@dataclass(slots=True)
class DeleteTopicsResponse:
    """The whole response. Versions 1 to 6."""

    throttle_time_ms: int = 0
    responses: list[DeletableTopicResult] = field(default_factory=list)


STRUCTS: Structs = {
    DeleteTopicState: (
        Field("name", "string", 6, 6, nullable=(6, 6), default=None),
        Field("topic_id", "uuid", 6, 6, default=ZERO_UUID),
    ),
    DeleteTopicsRequest: (
        Field("topic_names", "string", 1, 5, array=True, default=()),
        Field("topics", "struct", 6, 6, array=True, item=DeleteTopicState, default=()),
        Field("timeout_ms", "int32", 1, 6),
    ),
    DeletableTopicResult: (
        Field("name", "string", 1, 6, nullable=(6, 6), default=""),
        Field("topic_id", "uuid", 6, 6, default=ZERO_UUID),
        Field("error_code", "int16", 1, 6),
        Field("error_message", "string", 5, 6, nullable=(5, 6), default=None),
    ),
    DeleteTopicsResponse: (
        Field("throttle_time_ms", "int32", 1, 6),
        Field("responses", "struct", 1, 6, array=True, item=DeletableTopicResult, default=()),
    ),
}

REQUEST = Message("DeleteTopicsRequest", DeleteTopicsRequest, 1, 6, flexible=4, structs=STRUCTS)
RESPONSE = Message("DeleteTopicsResponse", DeleteTopicsResponse, 1, 6, flexible=4, structs=STRUCTS)
