"""The consumer's own protocol inside the classic one: subscriptions and assignments as bytes (versions 0 to 3).

To a classic group they are opaque; a consumer group that has members under the classic protocol, or was a classic group,
must read and write them. Both begin with an int16 version; a newer version than is known is read as the newest known, since
fields are only ever added at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.groups.consumer.member import Owned
from logbroker.groups.consumer.topics import Topics
from logbroker.wire.compile_decoder import Decoder, compile_decoder
from logbroker.wire.compile_encoder import Encoder, compile_encoder
from logbroker.wire.messages.consumer_protocol_assignment import (
    MESSAGE as ASSIGNMENT,
)
from logbroker.wire.messages.consumer_protocol_assignment import (
    ConsumerProtocolAssignment,
    TopicPartition,
)
from logbroker.wire.messages.consumer_protocol_subscription import (
    MESSAGE as SUBSCRIPTION,
)
from logbroker.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from logbroker.wire.primitives import read_int16, write_int16
from logbroker.wire.schema import Message

ELEMENTS_MAX: Final = 1_000_000
"""Array elements of one blob; far above any consumer's partitions."""

_decoders: dict[tuple[str, int], Decoder] = {}
_encoders: dict[int, Encoder] = {}


def read_subscription(metadata: Buffer) -> ConsumerProtocolSubscription:
    """A consumer's subscription.

    Raises:
        ValueError: It can't be read.

    """
    subscription: ConsumerProtocolSubscription = _read(SUBSCRIPTION, metadata)
    return subscription


def read_assignment(assignment: Buffer) -> ConsumerProtocolAssignment:
    """A consumer's assignment.

    Raises:
        ValueError: It can't be read.

    """
    read: ConsumerProtocolAssignment = _read(ASSIGNMENT, assignment)
    return read


def version_of(metadata: Buffer) -> int:
    """The version that a subscription is written in.

    Raises:
        ValueError: It can't be read.

    """
    try:
        version, _ = read_int16(metadata, 0)
    except ProtocolError as error:
        raise ValueError(str(error)) from None
    return version


def write_assignment(assigned: Owned, topics: Topics, version: int) -> bytes:
    """An assignment for a consumer that speaks `version`; topics that are gone are left out."""
    version = max(0, min(version, ASSIGNMENT.last))
    encoder = _encoders.get(version)
    if encoder is None:
        encoder = _encoders[version] = compile_encoder(ASSIGNMENT, version)
    named = [
        TopicPartition(name, list(partitions))
        for topic_id, partitions in assigned.items()
        if (name := topics.name_of(topic_id)) is not None
    ]
    return write_int16(version) + b"".join(encoder(ConsumerProtocolAssignment(named)))


def by_id(partitions: Mapping[str, list[int]], topics: Topics) -> dict[UUID, list[int]]:
    """Partitions by topic id instead of name; topics that are gone are left out."""
    found: dict[UUID, list[int]] = {}
    for name, indexes in partitions.items():
        topic_id = topics.id_of(name)
        if topic_id is not None:
            found[topic_id] = list(indexes)
    return found


def _read(message: Message, blob: Buffer) -> Any:
    version = min(version_of(blob), message.last)
    if version < 0:
        raise ValueError(f"{message.name} has version {version}")
    decoder = _decoders.get((message.name, version))
    if decoder is None:
        decoder = compile_decoder(message, version, ELEMENTS_MAX)
        _decoders[message.name, version] = decoder
    try:
        return decoder(blob, 2)
    except ProtocolError as error:
        raise ValueError(f"{message.name}: {error}") from None
