"""The parts of the talk about consumer groups that are about live groups changing their protocol."""

from __future__ import annotations

from typing import Any

from logbroker.testing.consumer_group_talk import GroupTalk, heartbeat
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

SUBSCRIPTION = b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\x00\x00\x00\x00"
"""Version 1: topic t, no user data, nothing owned."""
ASSIGNMENT = b"\x00\x01\x00\x00\x00\x01\x00\x01t\x00\x00\x00\x04" + bytes(
    (0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3)
) + b"\xff\xff\xff\xff"  # fmt: skip


def _owning(*partitions: int) -> bytes:
    listed = b"".join(index.to_bytes(4, "big") for index in partitions)
    return SUBSCRIPTION[:-4] + b"\x00\x00\x00\x01\x00\x01t" + len(partitions).to_bytes(4, "big") + listed


def _join(group: str, member: str = "", metadata: bytes = SUBSCRIPTION, **more: Any) -> JoinGroupRequest:
    protocols = [JoinGroupRequestProtocol(name, metadata) for name in more.pop("protocols", ("range",))]
    return JoinGroupRequest(
        group,
        60_000,
        60_000,
        member,
        more.pop("instance", None),
        more.pop("kind", "consumer"),
        protocols,
        "why",
    )


def _sync(group: str, generation: int, member: str, **more: Any) -> SyncGroupRequest:
    return SyncGroupRequest(group, generation, member, None, "consumer", "range", **more)


def upgrade_and_downgrade(talk: GroupTalk) -> None:
    """A consumer joins a classic group, which a classic member is in."""
    ask, beat = talk.ask, talk.beat
    join, sync, alive = ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT
    member = talk.a.call(join, _join("up"), 9).member_id
    talk.note("up: a classic member joins", talk.a.call(join, _join("up", member), 9))
    assigned = [SyncGroupRequestAssignment(member, ASSIGNMENT)]
    ask("up: and syncs", sync, _sync("up", 1, member, assignments=assigned))
    beat("up: not to be joined with an epoch", "up", "m-1", 1)
    beat("up: nor left", "up", "m-1", -1)
    talk.describe("up: describe the classic group", "up")
    beat("up: a member under the consumer protocol joins", "up", "m-1", 0, topics=["t"])
    talk.describe("up: describe", "up")
    ask("up: to DescribeGroups", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["up"]))
    ask("up: list", ApiKey.LIST_GROUPS, ListGroupsRequest())
    ask("up: the classic member is called", alive, HeartbeatRequest("up", 1, member))
    ask("up: a wrong generation", alive, HeartbeatRequest("up", 2, member))
    ask("up: a stranger", alive, HeartbeatRequest("up", 1, "stranger"))
    ask("up: the other one's heartbeat", alive, HeartbeatRequest("up", 2, "m-1"))
    ask("up: the classic member syncs too early", sync, _sync("up", 1, member))
    ask("up: it joins again with all", join, _join("up", member, _owning(0, 1, 2, 3)))
    talk.describe("up: describe it revoking", "up")
    ask("up: it syncs", sync, _sync("up", 1, member))
    ask("up: a wrong protocol", sync, SyncGroupRequest("up", 1, member, None, "connect", "range"))
    ask("up: a wrong protocol name", sync, SyncGroupRequest("up", 1, member, None, "consumer", "sticky"))
    ask("up: it is called again", alive, HeartbeatRequest("up", 1, member))
    ask("up: it joins with what it may have", join, _join("up", member, _owning(0, 1)))
    ask("up: it syncs again", sync, _sync("up", 2, member))
    ask("up: it beats", alive, HeartbeatRequest("up", 2, member))
    beat("up: the other one gets", "up", "m-1", 2)
    talk.describe("up: describe both", "up")
    ask("up: an unknown classic member", join, _join("up", "stranger", instance="i"))
    ask("up: another protocol type", join, _join("up", kind="connect"))
    ask("up: protocols that don't suit", join, _join("up", protocols=("sticky",)))
    ask("up: a new classic member", join, _join("up"))
    ask("up: heartbeat by a classic member", ApiKey.CONSUMER_GROUP_HEARTBEAT, heartbeat("up", member, 2))
    ask("up: describe after that", ApiKey.CONSUMER_GROUP_DESCRIBE, ConsumerGroupDescribeRequest(["up"]))
    ask("up: it is none any more", alive, HeartbeatRequest("up", 2, member))
    ask("up: both leave", ApiKey.LEAVE_GROUP,
        LeaveGroupRequest("up", members=[MemberIdentity(member), MemberIdentity("m-1")]))  # fmt: skip
    talk.describe("up: describe none", "up")


def eager_members(talk: GroupTalk) -> None:
    """A classic member joins a consumer group, whose last consumer goes: the group is classic."""
    ask, beat = talk.ask, talk.beat
    join, sync, alive = ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT
    beat("down: joins", "eager", "m-1", 0, topics=["t"])
    member = talk.note("down: a classic member asks", talk.a.call(join, _join("eager"), 9)).member_id
    ask("down: and joins", join, _join("eager", member))
    ask("down: and syncs", sync, _sync("eager", 3, member))
    ask("down: and beats", alive, HeartbeatRequest("eager", 3, member))
    beat("down: the first must give up", "eager", "m-1", 2)
    beat("down: the first has", "eager", "m-1", 2, topic_partitions=talk.owned(t=[0, 1]))
    ask("down: the classic member is called", alive, HeartbeatRequest("eager", 3, member))
    ask("down: it joins for more", join, _join("eager", member))
    ask("down: it gets", sync, _sync("eager", 3, member))
    talk.describe("down: describe both", "eager")
    beat("down: the first leaves", "eager", "m-1", -1)
    talk.describe("down: describe what is left", "eager")
    ask("down: to DescribeGroups", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["eager"]))
    ask("down: the classic member beats", alive, HeartbeatRequest("eager", 4, member))
    ask("down: it joins the classic group", join, _join("eager", member))
    ask(
        "down: it assigns",
        sync,
        _sync("eager", 5, member, assignments=[SyncGroupRequestAssignment(member, ASSIGNMENT)]),
    )
    ask("down: to DescribeGroups then", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["eager"]))
    ask("down: it leaves", ApiKey.LEAVE_GROUP, LeaveGroupRequest("eager", members=[MemberIdentity(member)]))
    beat("down: the empty classic group is joined", "eager", "m-2", 0, topics=["t"])
    talk.describe("down: describe it", "eager")
    beat("down: and left", "eager", "m-2", -1)
    member = talk.a.call(join, _join("eager"), 9).member_id
    ask("down: the empty consumer group is joined", join, _join("eager", member))
    ask("down: to DescribeGroups at last", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["eager"]))
