"""A broker's answers as plain data, so that those of two brokers can be compared.

A `Talk` asks over one connection and keeps each answer under a label. What differs from run to run is masked: member ids are numbered in
the order in which they turn up, topic ids that are known are named, hosts and ports are left out, and lists that have no order
are sorted. So the answers of a Kafka broker, recorded once, say what ours must answer.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import API, ApiKey

TEXT_CHARS_MAX: Final = 100
"""How much of a text is kept, unless it is an error's message."""

WAIT_S: Final = 30.0
"""How long to wait for what a broker does a moment later."""

STRANGER: Final = UUID(int=0x1234_5678_9ABC_4DEF_8123_4567_89AB_CDEF)
"""A topic id that no topic has."""

_MEMBER_FIELDS = frozenset({"member_id", "leader"})
_SORT_KEYS = ("group_id", "topic", "topic_name", "name", "topic_id", "partition_index", "index", "member_id")
"""By what lists without an order are sorted, the first that there is."""
_MASKED = frozenset({"throttle_time_ms", "host", "port", "node_id"})

Answers = dict[str, Any]


class Talk:
    """A connection, what was answered, and names for what is random.

    Args:
        bootstrap: The broker.
        masked: Fields to leave out besides those that always are.
    """

    def __init__(self, bootstrap: str, *, masked: frozenset[str] = frozenset()) -> None:
        self.a = WireClient(bootstrap, client_id="talk")
        self.answers: Answers = {}
        self.topic_ids: dict[UUID, str] = {UUID(int=0): "", STRANGER: "stranger"}
        self._masked = _MASKED | masked
        self._members: dict[str, str] = {"": ""}

    def close(self) -> None:
        """Close the connection."""
        self.a.close()

    def note(self, label: str, answer: Any) -> Any:
        """Keep an answer under its label; returns it as it came."""
        if label in self.answers:
            raise RuntimeError(f"two answers are labelled {label!r}")
        self.answers[label] = self._plain(answer)
        return answer

    def ask(self, label: str, key: ApiKey, request: Any, version: int | None = None) -> Any:
        """Ask in the newest version, or in the one given, and keep the answer."""
        return self.note(
            label, self.a.call(key, request, API[key].max_version if version is None else version)
        )

    def _plain(self, value: Any, name: str = "") -> Any:
        if dataclasses.is_dataclass(value):
            fields = [field.name for field in dataclasses.fields(value) if field.name not in self._masked]
            return {field: self._plain(getattr(value, field), field) for field in fields}
        if isinstance(value, list):
            plain = [self._plain(item) for item in value]
            key = next(
                (key for key in _SORT_KEYS if plain and isinstance(plain[0], dict) and key in plain[0]), None
            )
            return (
                plain
                if key is None
                else sorted(plain, key=lambda item: "" if item[key] is None else item[key])
            )
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value).hex()
        if isinstance(value, UUID):
            return self.topic_ids.get(value, "random")
        if name in _MEMBER_FIELDS and value is not None:
            return self._members.setdefault(value, f"member {len(self._members)}")
        if name == "error_code":
            return ErrorCode(value).name
        if isinstance(value, str) and len(value) > TEXT_CHARS_MAX and name != "error_message":
            return f"{value[:TEXT_CHARS_MAX]}... ({len(value)} characters)"
        return value


def until(seen: Callable[[], object]) -> None:
    """Ask again until it is so; RuntimeError after `WAIT_S`."""
    deadline = time.monotonic() + WAIT_S
    while not seen():
        if time.monotonic() > deadline:
            raise RuntimeError(f"what was waited for has not come in {WAIT_S:.0f} s")
        time.sleep(0.01)
