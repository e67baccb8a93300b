"""One member of a classic group: who it is, what it supports, what it was assigned, and which reply it waits for."""

from __future__ import annotations

from collections.abc import Collection
from math import inf
from typing import Final

from logbroker.base.completion import Completion
from logbroker.wire.messages.join_group import JoinGroupRequestProtocol, JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupResponse

NO_MEMBER_ID: Final = ""
"""What a client sends before it has a member id."""


class Member:
    """A member; `protocols` maps protocol names, most wanted first, to opaque metadata.

    Attributes:
        session_deadline: When it counts as failed, seconds of the monotonic clock; infinite while a reply is owed to it.
        is_new: It has not completed a rebalance yet, so it can't heartbeat and is timed out even while it waits.
        awaiting_join, awaiting_sync: Where the reply goes that it waits for.

    """

    __slots__ = (
        "assignment",
        "awaiting_join",
        "awaiting_sync",
        "client_host",
        "client_id",
        "instance_id",
        "is_new",
        "member_id",
        "protocol_type",
        "protocols",
        "rebalance_timeout_ms",
        "session_deadline",
        "session_timeout_ms",
    )

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        *,
        client_id: str,
        client_host: str,
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
        protocol_type: str,
        protocols: dict[str, bytes],
        assignment: bytes = b"",
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client_id = client_id
        self.client_host = client_host
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.session_timeout_ms = session_timeout_ms
        self.protocol_type = protocol_type
        self.protocols = protocols
        self.assignment = assignment
        self.is_new = False
        self.awaiting_join: Completion[JoinGroupResponse] | None = None
        self.awaiting_sync: Completion[SyncGroupResponse] | None = None
        self.session_deadline = inf

    @property
    def is_static(self) -> bool:
        """Whether it has an instance id (KIP-345) and keeps its place when it restarts."""
        return self.instance_id is not None

    @property
    def excused(self) -> bool:
        """Whether it need not heartbeat: the coordinator owes it a reply."""
        return not self.is_new and (self.awaiting_join is not None or self.awaiting_sync is not None)

    def supports_same(self, protocols: dict[str, bytes]) -> bool:
        """Whether it would join with the same protocols, order and metadata as last time."""
        return list(self.protocols.items()) == list(protocols.items())

    def vote(self, candidates: Collection[str]) -> str:
        """Its most wanted protocol among `candidates`, all of which it supports."""
        for name in self.protocols:
            if name in candidates:
                return name
        raise RuntimeError(f"member {self.member_id} supports none of the protocols that all members support")

    def metadata(self, protocol: str | None) -> bytes:
        """What it said about `protocol`; empty if it doesn't know it, as a member of an older generation may."""
        return b"" if protocol is None else self.protocols.get(protocol, b"")


def protocols_of(requested: list[JoinGroupRequestProtocol]) -> dict[str, bytes]:
    """Names and metadata in the member's order; the metadata is copied out of the request's frame.

    The first of two equal names counts, as in Kafka's collection.
    """
    protocols: dict[str, bytes] = {}
    for protocol in requested:
        protocols.setdefault(protocol.name, bytes(protocol.metadata))
    return protocols
