"""Identifiers as Kafka writes them."""

from __future__ import annotations

import base64
import uuid
from uuid import UUID


def kafka_uuid(value: UUID) -> str:
    """A UUID in Kafka's text form: URL-safe base64 without padding, 22 characters."""
    return base64.urlsafe_b64encode(value.bytes).decode("ascii").rstrip("=")


def parse_kafka_uuid(text: str) -> UUID:
    """The UUID of Kafka's text form. Raises ValueError."""
    return UUID(bytes=base64.urlsafe_b64decode(text + "=="))


def new_kafka_uuid() -> UUID:
    """A random UUID that Kafka's tools take: its text form never starts with a dash."""
    while True:
        value = uuid.uuid4()
        if not kafka_uuid(value).startswith("-"):
            return value
