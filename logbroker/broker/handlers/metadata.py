"""Metadata (API key 3), versions 0 to 13: brokers, topics, and who leads each partition.

Every client asks this first, and again every few minutes, and all at once after a leader has changed.

- Which topics: version 0 empty means all; from version 1 null means all and empty means none. From version 12 topics
  can be asked for by id (KIP-516), and if one id is among them only the ids count; a topic id or a null name in
  versions 10 and 11 is INVALID_REQUEST.
- A topic that doesn't exist may be created (`broker/auto_create.py`), unless the client, from version 4, forbids it. A
  name that can't be one: INVALID_TOPIC_EXCEPTION. An id: UNKNOWN_TOPIC_ID.
- A partition whose log directory is offline has no leader: LEADER_NOT_AVAILABLE, leader -1, and this broker among
  its offline replicas (from version 5).
- Authorized operations (from version 8; of the cluster up to version 10) are all there are, as nothing is forbidden.
- The addresses are those of the listener by which the client came.

Encoded bodies are kept until the metadata changes: a thousand clients that ask for the same cost one encoding.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Final, TypeAlias
from uuid import UUID
from weakref import WeakKeyDictionary

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.broker.admin import (
    CLUSTER_OPERATIONS,
    OPERATIONS_NOT_ASKED,
    TOPIC_OPERATIONS,
    AdminBroker,
    broker_addresses,
    partition_view,
)
from logbroker.broker.auto_create import create_missing, may_create
from logbroker.broker.context import RequestContext
from logbroker.metadata.image import PartitionImage, TopicImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import is_internal, name_problem
from logbroker.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

_FIRST_VERSION_WITH_NULL_FOR_ALL: Final = 1
_FIRST_VERSION_BY_ID: Final = 12

CACHE_MAX_BYTES: Final = 8 * 1024 * 1024
"""What kept replies, and the questions they answer, may take together; beyond it all of them are forgotten."""

_ENTRY_BYTES: Final = 300
"""What a kept reply costs beside its bytes, and each name of its question beside its characters, roughly."""

_ZERO: Final = UUID(int=0)

_Asked: TypeAlias = tuple[str | UUID, ...] | None
"""Names or ids, each once, in the order asked for; None for all topics."""


def handle(
    broker: AdminBroker, context: RequestContext, request: MetadataRequest
) -> MetadataResponse | Awaitable[MetadataResponse] | None:
    """Answer from what is kept, or from the image, or after creating what is missing."""
    asked = _asked(context, request)
    metadata = broker.metadata
    key = (
        context.api_version,
        context.listener_name,
        request.include_cluster_authorized_operations,
        request.include_topic_authorized_operations,
        asked,
    )
    cache = _cache_of(metadata)
    body = cache.get(key, metadata.version)
    if body is not None:
        context.send_body(body)
        return None
    image = metadata.image
    if asked is not None and request.allow_auto_topic_creation:
        missing = [
            name
            for name in asked
            if isinstance(name, str) and name not in image.topics and may_create(image.settings, name)
        ]
        if missing:
            return _create_and_answer(broker, context, request, asked, missing)
    response = _response(broker, context, request, asked, {})
    # Encoded here, and sent as bytes: the next one who asks the same gets them again.
    body = context.route.encode(response)
    cache.put(key, metadata.version, body)
    context.send_body(body)
    return None


def failure(
    context: RequestContext, request: MetadataRequest, code: ErrorCode, message: str | None
) -> MetadataResponse:
    """The same error for every topic and, from version 13, for the whole."""
    return MetadataResponse(
        error_code=code,
        topics=[
            MetadataResponseTopic(error_code=code, name=topic.name or "", topic_id=topic.topic_id)
            for topic in request.topics or ()
        ],
    )


async def _create_and_answer(
    broker: AdminBroker,
    context: RequestContext,
    request: MetadataRequest,
    asked: _Asked,
    missing: Iterable[str],
) -> MetadataResponse:
    errors = await create_missing(broker.metadata, missing)
    return _response(broker, context, request, asked, errors)


def _asked(context: RequestContext, request: MetadataRequest) -> _Asked:
    topics = request.topics
    version = context.api_version
    if topics is None or (not topics and version < _FIRST_VERSION_WITH_NULL_FOR_ALL):
        return None
    ids = [topic.topic_id for topic in topics if topic.topic_id != _ZERO]
    if version < _FIRST_VERSION_BY_ID and (ids or any(topic.name is None for topic in topics)):
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, f"Topics are asked for by name only in version {version} of Metadata."
        )
    if ids:
        return tuple(dict.fromkeys(ids))
    names = [topic.name for topic in topics if topic.name is not None]
    if len(names) < len(topics):
        raise BrokerError(ErrorCode.INVALID_REQUEST, "A topic was asked for with neither a name nor an id.")
    return tuple(dict.fromkeys(names))


def _response(
    broker: AdminBroker,
    context: RequestContext,
    request: MetadataRequest,
    asked: _Asked,
    errors: dict[str, ErrorCode],
) -> MetadataResponse:
    metadata = broker.metadata
    image = metadata.image
    operations = TOPIC_OPERATIONS if request.include_topic_authorized_operations else OPERATIONS_NOT_ASKED
    topics = []
    for item in image.topics if asked is None else asked:
        topic = image.topic(item) if isinstance(item, str) else image.topic_by_id(item)
        if topic is not None:
            told = _known_topic(metadata, topic)
        elif isinstance(item, str):
            told = _unknown_topic(item, errors.get(item))
        else:
            told = MetadataResponseTopic(error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=item)
        told.topic_authorized_operations = operations
        topics.append(told)
    return MetadataResponse(
        brokers=[
            MetadataResponseBroker(
                node_id=address.broker_id, host=address.host, port=address.port, rack=address.rack
            )
            for address in broker_addresses(broker, context.listener_name)
        ],
        cluster_id=image.cluster_id,
        controller_id=image.controller_id,
        topics=topics,
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if request.include_cluster_authorized_operations
        else OPERATIONS_NOT_ASKED,
    )


def _known_topic(metadata: MetadataService, topic: TopicImage) -> MetadataResponseTopic:
    # Partitions that are one object in the image differ here by their index only.
    shared: dict[int, tuple[int, int, int, list[int], list[int], list[int]]] = {}
    partitions = []
    for index, partition in enumerate(topic.partitions):
        found = shared.get(id(partition))
        if found is None:
            found = shared[id(partition)] = _facts(metadata, partition)
        error, leader, leader_epoch, replicas, isr, offline = found
        partitions.append(
            MetadataResponsePartition(error, index, leader, leader_epoch, replicas, isr, offline)
        )
    return MetadataResponseTopic(
        name=topic.name, topic_id=topic.topic_id, is_internal=topic.internal, partitions=partitions
    )


def _facts(
    metadata: MetadataService, partition: PartitionImage
) -> tuple[int, int, int, list[int], list[int], list[int]]:
    view = partition_view(metadata, partition)
    return (
        view.error,
        view.leader,
        partition.leader_epoch,
        list(partition.replicas),
        list(partition.isr),
        view.offline_replicas,
    )


def _unknown_topic(name: str, error: ErrorCode | None) -> MetadataResponseTopic:
    if error is None:
        invalid = name_problem(name) is not None
        error = ErrorCode.INVALID_TOPIC_EXCEPTION if invalid else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return MetadataResponseTopic(error_code=error, name=name, is_internal=is_internal(name))


# ---- replies that are kept


_Key: TypeAlias = tuple[int, str, bool, bool, _Asked]


class _Cache:
    """Encoded bodies as of one version of the metadata."""

    __slots__ = ("_bodies", "_size_bytes", "_version")

    def __init__(self) -> None:
        self._bodies: dict[_Key, list[Buffer]] = {}
        self._size_bytes = 0
        self._version = -1

    def get(self, key: _Key, version: int) -> list[Buffer] | None:
        """The body, if this was asked before and nothing has changed since."""
        return self._bodies.get(key) if version == self._version else None

    def put(self, key: _Key, version: int, body: list[Buffer]) -> None:
        """Keep a body, unless it is too large."""
        asked = key[-1]
        size_bytes = _ENTRY_BYTES + sum(map(len, body))
        if asked is not None:
            size_bytes += sum(_ENTRY_BYTES + (len(item) if isinstance(item, str) else 0) for item in asked)
        if version != self._version or self._size_bytes + size_bytes > CACHE_MAX_BYTES:
            self._bodies.clear()
            self._size_bytes = 0
            self._version = version
        if size_bytes <= CACHE_MAX_BYTES:
            self._bodies[key] = body
            self._size_bytes += size_bytes


_caches: WeakKeyDictionary[MetadataService, _Cache] = WeakKeyDictionary()


def _cache_of(metadata: MetadataService) -> _Cache:
    cache = _caches.get(metadata)
    if cache is None:
        cache = _caches[metadata] = _Cache()
    return cache
