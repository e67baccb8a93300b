"""Reading topic names out of a consumer's otherwise opaque metadata.

A coordinator does not interpret what members send each other, with one exception, which is Kafka's: it must know
whether a group still consumes a topic before it forgets the offsets. Consumers' metadata begins, in all versions,
with what version 0 of `ConsumerProtocolSubscription` has: an int16 version and an array of topic names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from logbroker.base.errors import ProtocolError
from logbroker.wire.primitives import read_array_length, read_int16, read_string

CONSUMER_PROTOCOL_TYPE: Final = "consumer"
"""The protocol type of consumers; Connect and schema registries use others."""

_SMALLEST_NAME_BYTES = 2


def subscribed_topics(metadata: Iterable[bytes]) -> frozenset[str] | None:
    """All topics that the members' metadata names; None if one of them can't be read."""
    topics: set[str] = set()
    try:
        for subscription in metadata:
            _, position = read_int16(subscription, 0)
            count, position = read_array_length(subscription, position, _SMALLEST_NAME_BYTES)
            for _ in range(count or 0):
                topic, position = read_string(subscription, position)
                topics.add(topic)
    except ProtocolError:
        return None
    return frozenset(topics)
