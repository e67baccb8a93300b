"""What the settings and a group's own configs say about consumer groups, as it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from logbroker.metadata.image import ClusterImage

REGEX_REFRESH_MIN_MS: Final = 10_000
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


class SettingsLimits:
    """Those of the settings in a metadata image, and of the group configs there."""

    __slots__ = ("_image",)

    def __init__(self, image: Callable[[], ClusterImage]) -> None:
        self._image = image

    def common(self) -> ConsumerLimits:
        """`group.consumer.*`, and `group.max.size`."""
        settings = self._image().settings
        policy = settings.group_consumer_migration_policy.lower()
        return ConsumerLimits(
            settings.group_consumer_max_size,
            settings.group_max_size,
            settings.group_consumer_assignors,
            settings.group_consumer_regex_refresh_interval_ms,
            upgrades=policy in ("bidirectional", "upgrade"),
            downgrades=policy in ("bidirectional", "downgrade"),
        )

    def times(self, group_id: str) -> GroupTimes:
        """What was set on the group, or the broker's defaults."""
        config = self._image().group_config(group_id)
        return GroupTimes(
            config.consumer_session_timeout_ms,
            config.consumer_heartbeat_interval_ms,
            config.consumer_assignment_interval_ms,
        )
