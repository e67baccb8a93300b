"""What an assignor is told: members with their subscriptions and what they were to have so far, topics with their size.

Racks are not in it: Kafka's assignors of these names stopped looking at them in 4.0 (KIP-1101 keeps them in the hash
that makes a group assign anew).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from logbroker.groups.consumer.member import Target


@dataclass(frozen=True, slots=True)
class MemberSpec:
    """One member.

    Attributes:
        topics: Subscribed topics that exist.
        target: What it was to have so far.
    """

    instance_id: str | None
    topics: frozenset[UUID]
    target: Target


@dataclass(frozen=True, slots=True)
class GroupSpec:
    """All of it.

    Attributes:
        partition_counts: Of every topic that a member subscribes to.
    """

    members: Mapping[str, MemberSpec]
    partition_counts: Mapping[UUID, int]
