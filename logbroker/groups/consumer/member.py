"""A member of a consumer group, as its two records describe it: what it says of itself, and what it has.

Values are never changed in place: `dataclasses.replace` makes the next one. Partitions are kept by topic id; those that
a member has or must give up carry the member epoch in which it got them, which says whose late commits still count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import MappingProxyType
from typing import Final, TypeAlias
from uuid import UUID

JOINING_EPOCH: Final = 0
LEAVING_EPOCH: Final = -1
STATIC_LEAVING_EPOCH: Final = -2
"""Member epochs of a heartbeat that joins, leaves for good, and leaves to come back (static members)."""

UNSET_TIMEOUT: Final = -1

Target: TypeAlias = Mapping[UUID, frozenset[int]]
"""Partitions by topic."""

Owned: TypeAlias = Mapping[UUID, Mapping[int, int]]
"""By topic, each partition with the member epoch in which it was got."""

NO_TARGET: Final[Target] = MappingProxyType({})
NOTHING_OWNED: Final[Owned] = MappingProxyType({})


class MemberState(IntEnum):
    """How far a member has come; the numbers are those of the records."""

    STABLE = 0
    """It has what the target of its epoch says."""
    UNREVOKED_PARTITIONS = 1
    """It was told to give up partitions and hasn't confirmed it."""
    UNRELEASED_PARTITIONS = 2
    """It waits for partitions that others haven't given up."""
    UNKNOWN = 127
    """Written by a release that knows more states."""


STATE_NAMES: Final = {
    MemberState.STABLE: "stable",
    MemberState.UNREVOKED_PARTITIONS: "unrevoked_partitions",
    MemberState.UNRELEASED_PARTITIONS: "unreleased_partitions",
    MemberState.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class ClassicMetadata:
    """What a member that speaks the classic protocol said when it joined: protocols in order of preference."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class ConsumerMember:
    """One member.

    Attributes:
        topics: Subscribed topic names.
        regex: Subscribed regular expression; None and "" are none.
        previous_epoch: The epoch before the last move; a member whose reply got lost may still come with it.
        assigned: What it has.
        revoking: What it must give up; still its own until it says so.
        classic: Set for a member that speaks the classic protocol.
    """

    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    topics: frozenset[str] = frozenset()
    regex: str | None = None
    rebalance_timeout_ms: int = UNSET_TIMEOUT
    server_assignor: str | None = None
    classic: ClassicMetadata | None = None
    epoch: int = 0
    previous_epoch: int = -1
    state: MemberState = MemberState.STABLE
    assigned: Owned = field(default_factory=lambda: NOTHING_OWNED)
    revoking: Owned = field(default_factory=lambda: NOTHING_OWNED)

    def is_reconciled_to(self, epoch: int) -> bool:
        """Whether it has all that the target of `epoch` gives it, and nothing else."""
        return self.state is MemberState.STABLE and self.epoch == epoch

    def owns_since(self, topic_id: UUID, partition: int) -> int | None:
        """The member epoch in which it got a partition that it has or must give up; None for any other partition."""
        for owned in (self.assigned, self.revoking):
            epoch = owned.get(topic_id, {}).get(partition)
            if epoch is not None:
                return epoch
        return None
