"""What an event asks of the world outside the state machine: replies to send, records to store.

Nothing happens while an event is worked on: a reply may let the next request of its connection in, which must find the
group in one piece. The owner of the group carries effects out when the event is over, in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from logbroker.base.completion import Completion

T = TypeVar("T")


class Stored(Enum):
    """Why the group's metadata is written; what happens when that is done depends on it."""

    CREATED = "a group that nobody knew is on record"
    EMPTIED = "the last member is gone"
    ASSIGNMENT = "the leader's assignment"
    STATIC_MEMBER = "a static member came back under another id"


@dataclass(slots=True)
class Store:
    """Group metadata on its way to the log.

    Attributes:
        value: The record's value.
        generation_id: The generation it belongs to.
        assignments: What becomes each member's assignment once this is durable (ASSIGNMENT).
        context: What taking a change back needs (STATIC_MEMBER).

    """

    kind: Stored
    value: bytes
    generation_id: int
    assignments: dict[str, bytes] | None = None
    context: Any = None


class Effects:
    """Replies and stores of one event, in order."""

    __slots__ = ("replies", "stores")

    def __init__(self) -> None:
        self.replies: list[tuple[Completion[Any], Any]] = []
        self.stores: list[Store] = []

    def reply(self, waiter: Completion[T] | None, response: T) -> None:
        """Send `response` where `waiter` goes, if somebody waits."""
        if waiter is not None:
            self.replies.append((waiter, response))

    def store(self, store: Store) -> None:
        """Write group metadata; the outcome comes back as an event."""
        self.stores.append(store)

    def send(self) -> None:
        """Send all replies: the event's work is done."""
        for waiter, response in self.replies:
            waiter.set(response)
