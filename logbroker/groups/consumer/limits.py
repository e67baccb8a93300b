"""What the settings and a group's own configs say about consumer groups, as it is now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

REGEX_REFRESH_MIN_MS = 10_000
"""A group's regular expressions are not looked up again earlier than this, whatever comes."""


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """What may differ from group to group, in milliseconds."""

    session_timeout_ms: int
    heartbeat_interval_ms: int
    assignment_interval_ms: int


@dataclass(frozen=True, slots=True)
class ConsumerLimits:
    """What holds for all groups.

    Attributes:
        max_size: Members of a consumer group.
        classic_max_size: Members of a classic group, which a consumer group may become.
        assignors: Names of the assignors that members may ask for; the first is the default.
    """

    max_size: int
    classic_max_size: int
    assignors: tuple[str, ...]
    regex_refresh_interval_ms: int
    upgrades: bool
    downgrades: bool


class Limits(Protocol):
    """Gives both as they are now."""

    def common(self) -> ConsumerLimits:
        """What holds for all groups."""
        ...

    def times(self, group_id: str) -> GroupTimes:
        """What holds for one group."""
        ...
