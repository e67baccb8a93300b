"""What talks about consumer groups have in common: heartbeats, descriptions, partitions by topic name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from logbroker.testing.talk import Talk
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)


class GroupTalk(Talk):
    """A talk with heartbeats in it.

    Attributes:
        ids: Of topics, by name.
    """

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, masked=frozenset({"error_message", "client_host"}))
        self.ids: dict[str, UUID] = {}

    def _plain(self, value: Any, name: str = "") -> Any:
        return super()._plain(sorted(value) if name == "subscribed_topic_names" else value, name)

    def beat(
        self, label: str, group: str, member: str, epoch: int, **more: Any
    ) -> ConsumerGroupHeartbeatResponse:
        """A heartbeat in the newest version, or `version`."""
        version = more.pop("version", 1)
        answer: ConsumerGroupHeartbeatResponse = self.note(
            label,
            self.a.call(ApiKey.CONSUMER_GROUP_HEARTBEAT, heartbeat(group, member, epoch, **more), version),
        )
        return answer

    def describe(self, label: str, group: str) -> None:
        """ConsumerGroupDescribe."""
        self.ask(label, ApiKey.CONSUMER_GROUP_DESCRIBE, ConsumerGroupDescribeRequest([group]))

    def owned(self, **partitions: Sequence[int]) -> list[ConsumerGroupHeartbeatRequestTopicPartitions]:
        """What a member says it has, by topic name."""
        return [
            ConsumerGroupHeartbeatRequestTopicPartitions(self.ids[name], list(indexes))
            for name, indexes in partitions.items()
        ]


def heartbeat(group: str, member: str, epoch: int, **more: Any) -> ConsumerGroupHeartbeatRequest:
    """A heartbeat; one that joins brings what it must."""
    if epoch == 0:
        more = {"rebalance_timeout_ms": 60_000, "topic_partitions": [], **more}
    topics = more.pop("topics", None)
    return ConsumerGroupHeartbeatRequest(group, member, epoch, subscribed_topic_names=topics, **more)
