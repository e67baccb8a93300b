"""A long talk with a broker about groups, request by request, whose answers can be compared between brokers.

`converse` says everything in a fixed order over two connections and returns each answer under a label, as plain data. What
differs from run to run is masked: member ids are numbered in the order in which they turn up, topic ids, hosts and ports
are replaced, and lists that have no order are sorted. So the answers of a Kafka broker, recorded once, say
what ours must answer.

Not in it, because the answers differ on purpose: the first FindCoordinator (Kafka answers COORDINATOR_NOT_AVAILABLE once
and creates the topic meanwhile), what a join that is refused leaves behind (Kafka keeps an empty group), a pending member
that joins with an instance id (Kafka: UNKNOWN_SERVER_ERROR), and errors' texts.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.talk import STRANGER, Answers, Talk, until
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

COORDINATOR_TIMEOUT_S = 30.0
SUBSCRIPTION = b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff"
OTHER_SUBSCRIPTION = b"\x00\x00\x00\x00\x00\x01\x00\x01u\xff\xff\xff\xff"


class _Talk(Talk):
    """A talk with a second connection, for a second member."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, masked=frozenset({"error_message"}))
        self.b = WireClient(bootstrap, client_id="talk")
        self.topic_id = UUID(int=0)

    def close(self) -> None:
        """Close both connections."""
        super().close()
        self.b.close()


def converse(bootstrap: str) -> Answers:
    """Talk to the broker; its groups and the topic `t` must not exist, and the initial rebalance delay must be 0.

    Raises:
        RuntimeError: It isn't ready in time, or it is not as it must be.
        ConnectionError: It closed a connection.

    """
    talk = _Talk(bootstrap)
    try:
        _wait_for_coordinator(talk)
        created = talk.a.call(
            ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", 4, 1)], 30_000), 5
        )
        if created.topics[0].error_code:
            raise RuntimeError(f"the topic was not created: {created}")
        until(lambda: _topic_id(talk).int)
        talk.topic_id = _topic_id(talk)
        talk.topic_ids[talk.topic_id] = "topic id"
        for part in (_refusals, _one_member, _two_members, _offsets, _static_members, _old_versions):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _topic_id(talk: _Talk) -> UUID:
    """The id of the topic; zero while the broker has not heard of it."""
    metadata = talk.a.call(ApiKey.METADATA, MetadataRequest([MetadataRequestTopic(name="t")]), 12)
    topic_id: UUID = metadata.topics[0].topic_id
    return topic_id


def _wait_for_coordinator(talk: _Talk) -> None:
    """Ask until every group that will be spoken of has its coordinator: elsewhere that takes a moment."""
    groups = ["g", "pair", "static", "simple", "nobody", *(f"old-{version}" for version in range(10))]
    request = FindCoordinatorRequest(key_type=0, coordinator_keys=groups)
    deadline = time.monotonic() + COORDINATOR_TIMEOUT_S
    while True:
        found = talk.a.call(ApiKey.FIND_COORDINATOR, request, 6)
        beats = [talk.a.call(ApiKey.HEARTBEAT, HeartbeatRequest(group, 0, "m")) for group in groups]
        if not any(coordinator.error_code for coordinator in found.coordinators) and all(
            beat.error_code == ErrorCode.UNKNOWN_MEMBER_ID for beat in beats
        ):
            break
        if time.monotonic() > deadline:
            raise RuntimeError(f"no coordinator: {found}")
        time.sleep(0.1)
    talk.ask("find coordinator", ApiKey.FIND_COORDINATOR, request)
    talk.ask("find coordinator v3", ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key="g"), 3)
    talk.ask("find coordinator v0", ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key="g"), 0)
    unknown = FindCoordinatorRequest(key_type=9, coordinator_keys=["g"])
    talk.ask("find coordinator of an unknown kind", ApiKey.FIND_COORDINATOR, unknown)


def _join(
    group: str,
    member: str = "",
    *,
    instance: str | None = None,
    metadata: bytes = SUBSCRIPTION,
    **changes: Any,
) -> JoinGroupRequest:
    request = JoinGroupRequest(
        group,
        60_000,
        60_000,
        member,
        instance,
        "consumer",
        [JoinGroupRequestProtocol("range", metadata)],
        "why",
    )
    return dataclasses.replace(request, **changes)


def _sync(
    group: str, generation: int, member: str, *assigned: str, instance: str | None = None
) -> SyncGroupRequest:
    assignments = [SyncGroupRequestAssignment(m, b"part %d" % i) for i, m in enumerate(assigned)]
    return SyncGroupRequest(group, generation, member, instance, "consumer", "range", assignments)


def _beat(group: str, generation: int, member: str, instance: str | None = None) -> HeartbeatRequest:
    return HeartbeatRequest(group, generation, member, instance)


def _commit(
    group: str, generation: int, member: str, *, instance: str | None = None, **more: Any
) -> OffsetCommitRequest:
    partitions = [
        OffsetCommitRequestPartition(0, 5, 7, "note"),
        OffsetCommitRequestPartition(1, 6, -1, None),
        OffsetCommitRequestPartition(9, 7, -1, ""),
        OffsetCommitRequestPartition(2, 7, -1, "x" * 4097),
        OffsetCommitRequestPartition(3, -1, -1, "ü" * 4096),
    ]
    topics = [
        OffsetCommitRequestTopic("t", partitions=partitions),
        OffsetCommitRequestTopic("nowhere", partitions=[OffsetCommitRequestPartition(0, 5, -1, "")]),
    ]
    return OffsetCommitRequest(group, generation, member, -1, instance, more.pop("topics", topics), **more)


def _refusals(talk: _Talk) -> None:
    ask = talk.ask
    joins: dict[str, tuple[JoinGroupRequest, int]] = {
        "without a group": (_join(""), 9),
        "with a short session": (_join("g", session_timeout_ms=5999), 9),
        "with a long session": (_join("g", session_timeout_ms=1_800_001), 9),
        "as a stranger": (_join("g", "stranger"), 9),
        "as a stranger v3": (_join("g", "stranger"), 3),
    }
    for label, (request, version) in joins.items():
        ask(f"join {label}", ApiKey.JOIN_GROUP, request, version)
    ask("sync without a group", ApiKey.SYNC_GROUP, _sync("", 1, "m"))
    ask("sync with an unknown group", ApiKey.SYNC_GROUP, _sync("g", 1, "m"))
    ask("sync without a protocol", ApiKey.SYNC_GROUP, SyncGroupRequest("g", 1, "m"))
    ask("heartbeat without a group", ApiKey.HEARTBEAT, _beat("", 1, "m"))
    ask("heartbeat in an unknown group", ApiKey.HEARTBEAT, _beat("g", 1, "m"))
    leave = LeaveGroupRequest("g", "m", [MemberIdentity("m"), MemberIdentity("", "instance")])
    ask("leave an unknown group", ApiKey.LEAVE_GROUP, leave)
    ask("leave an unknown group v2", ApiKey.LEAVE_GROUP, leave, 2)
    ask("leave without a group", ApiKey.LEAVE_GROUP, dataclasses.replace(leave, group_id=""))
    for version in (0, 5, 6):
        describe = DescribeGroupsRequest(["g", ""], include_authorized_operations=version >= 3)
        ask(f"describe unknown groups v{version}", ApiKey.DESCRIBE_GROUPS, describe, version)
    ask("list nothing", ApiKey.LIST_GROUPS, ListGroupsRequest())


def _one_member(talk: _Talk) -> None:
    ask = talk.ask
    member = ask("join new", ApiKey.JOIN_GROUP, _join("g")).member_id
    ask("a pending member beats", ApiKey.HEARTBEAT, _beat("g", 0, member))
    ask("describe a new group", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["g"]))
    joined = ask("join with the id", ApiKey.JOIN_GROUP, _join("g", member))
    generation = joined.generation_id
    ask("describe while completing", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["g"], True))
    ask("beat while completing", ApiKey.HEARTBEAT, _beat("g", generation, member))
    ask("commit while completing", ApiKey.OFFSET_COMMIT, _commit("g", generation, member), 9)
    ask("join again while completing", ApiKey.JOIN_GROUP, _join("g", member))
    other = dataclasses.replace(_sync("g", generation, member), protocol_name="other")
    ask("sync another protocol", ApiKey.SYNC_GROUP, other)
    ask("sync an old generation", ApiKey.SYNC_GROUP, _sync("g", generation - 1, member))
    ask("sync", ApiKey.SYNC_GROUP, _sync("g", generation, member, member))
    ask("sync again", ApiKey.SYNC_GROUP, _sync("g", generation, member))
    for version in (0, 4, 6):
        describe = DescribeGroupsRequest(["g"], include_authorized_operations=version >= 3)
        ask(f"describe a stable group v{version}", ApiKey.DESCRIBE_GROUPS, describe, version)
    ask("beat", ApiKey.HEARTBEAT, _beat("g", generation, member))
    ask("beat in another generation", ApiKey.HEARTBEAT, _beat("g", generation + 1, member))
    ask("beat as somebody else", ApiKey.HEARTBEAT, _beat("g", generation, "x"))
    ask("beat with an instance id", ApiKey.HEARTBEAT, _beat("g", generation, member, "i"))
    ask("join with another type", ApiKey.JOIN_GROUP, _join("g", protocol_type="connect"))
    none_in_common = [JoinGroupRequestProtocol("other", b"")]
    ask("join without a protocol in common", ApiKey.JOIN_GROUP, _join("g", protocols=none_in_common))
    ask("the leader joins again", ApiKey.JOIN_GROUP, _join("g", member))
    ask("sync the next generation", ApiKey.SYNC_GROUP, _sync("g", generation + 1, member, member))


def _two_members(talk: _Talk) -> None:
    ask, a, b = talk.ask, talk.a, talk.b
    first = a.call(ApiKey.JOIN_GROUP, _join("pair"), 9).member_id
    generation = ask("pair: join", ApiKey.JOIN_GROUP, _join("pair", first)).generation_id
    ask("pair: sync", ApiKey.SYNC_GROUP, _sync("pair", generation, first, first))
    second = ask("pair: another comes", ApiKey.JOIN_GROUP, _join("pair")).member_id
    ask("pair: beat with a pending member", ApiKey.HEARTBEAT, _beat("pair", generation, first))
    b.send(ApiKey.JOIN_GROUP, _join("pair", second), 9)
    until(lambda: a.call(ApiKey.HEARTBEAT, _beat("pair", generation, first)).error_code)
    ask("pair: beat while preparing", ApiKey.HEARTBEAT, _beat("pair", generation, first))
    ask("pair: describe while preparing", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["pair"]))
    ask("pair: commit while preparing", ApiKey.OFFSET_COMMIT, _commit("pair", generation, first), 9)
    ask("pair: sync while preparing", ApiKey.SYNC_GROUP, _sync("pair", generation, first))
    leader = ask("pair: the leader rejoins", ApiKey.JOIN_GROUP, _join("pair", first))
    talk.note("pair: the other has joined", b.receive())
    generation = leader.generation_id
    b.send(ApiKey.SYNC_GROUP, _sync("pair", generation, second), 5)
    ask("pair: the leader syncs", ApiKey.SYNC_GROUP, _sync("pair", generation, first, first, second))
    talk.note("pair: the other has synced", b.receive())
    ask("pair: describe", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["pair"]))
    ask("pair: a follower joins again", ApiKey.JOIN_GROUP, _join("pair", second))
    b.send(ApiKey.JOIN_GROUP, _join("pair", second, metadata=OTHER_SUBSCRIPTION), 9)
    until(lambda: a.call(ApiKey.HEARTBEAT, _beat("pair", generation, first)).error_code)
    ask("pair: the leader rejoins again", ApiKey.JOIN_GROUP, _join("pair", first))
    talk.note("pair: the follower has changed", b.receive())
    generation += 1
    b.send(ApiKey.SYNC_GROUP, _sync("pair", generation, second), 5)
    ask("pair: the leader syncs a part", ApiKey.SYNC_GROUP, _sync("pair", generation, first, first))
    talk.note("pair: the other gets nothing", b.receive())
    leave = LeaveGroupRequest(
        "pair", members=[MemberIdentity(second, None, "done"), MemberIdentity("x"), MemberIdentity("", "i")]
    )
    ask("pair: one leaves", ApiKey.LEAVE_GROUP, leave)
    ask("pair: beat after one left", ApiKey.HEARTBEAT, _beat("pair", generation, first))
    ask("pair: beat as the one that left", ApiKey.HEARTBEAT, _beat("pair", generation, second))
    ask("pair: rejoin alone", ApiKey.JOIN_GROUP, _join("pair", first))
    ask("pair: the last leaves v2", ApiKey.LEAVE_GROUP, LeaveGroupRequest("pair", first), 2)
    ask("pair: describe the empty group", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["pair"], True))
    ask("pair: beat in the empty group", ApiKey.HEARTBEAT, _beat("pair", generation + 1, first))
    ask("pair: sync in the empty group", ApiKey.SYNC_GROUP, _sync("pair", generation + 1, first))


def _offsets(talk: _Talk) -> None:
    ask = talk.ask
    member = (
        talk.a.call(ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["g"]), 6).groups[0].members[0].member_id
    )
    generation = 2
    for version in range(2, 10):
        ask(f"commit v{version}", ApiKey.OFFSET_COMMIT, _commit("g", generation, member), version)
    by_id = [
        OffsetCommitRequestTopic(
            topic_id=talk.topic_id,
            partitions=[
                OffsetCommitRequestPartition(0, 50, 8, "id"),
                OffsetCommitRequestPartition(9, 1, 1, ""),
            ],
        ),
        OffsetCommitRequestTopic(topic_id=STRANGER, partitions=[OffsetCommitRequestPartition(0, 1, 1, "")]),
    ]
    ask("commit by id", ApiKey.OFFSET_COMMIT, _commit("g", generation, member, topics=by_id))
    commits: dict[str, OffsetCommitRequest] = {
        "in an old generation": _commit("g", 1, member),
        "as a stranger": _commit("g", generation, "x"),
        "as a strange instance": _commit("g", generation, member, instance="i"),
        "without an id": _commit("g", -1, ""),
        "in an unknown group": _commit("nobody", 1, "m"),
        "in a simple group": _commit("simple", -1, ""),
        "in a simple group with an id": _commit("simple", -1, "m"),
        "in a simple group with a generation": _commit("simple", 1, ""),
        "in the group without a name": _commit("", -1, ""),
        "nothing": _commit("g", generation, member, topics=[]),
    }
    for label, request in commits.items():
        for version in (8, 9):
            ask(f"commit {label} v{version}", ApiKey.OFFSET_COMMIT, request, version)
    named = [OffsetFetchRequestTopic("t", [0, 1, 2, 9]), OffsetFetchRequestTopic("nowhere", [0])]
    for version in range(1, 8):
        stable = OffsetFetchRequest("g", named, require_stable=version == 7)
        ask(f"fetch v{version}", ApiKey.OFFSET_FETCH, stable, version)
        ask(f"fetch of nobody v{version}", ApiKey.OFFSET_FETCH, OffsetFetchRequest("nobody", named), version)
        if version >= 2:
            ask(f"fetch all v{version}", ApiKey.OFFSET_FETCH, OffsetFetchRequest("g", None), version)
    topics = [
        OffsetFetchRequestTopics("t", partition_indexes=[0, 1, 2, 9]),
        OffsetFetchRequestTopics("nowhere", partition_indexes=[0]),
    ]
    groups = [
        OffsetFetchRequestGroup("g", topics=topics),
        OffsetFetchRequestGroup("simple", topics=None),
        OffsetFetchRequestGroup("nobody", topics=None),
        OffsetFetchRequestGroup("", topics=None),
    ]
    for version in (8, 9):
        ask(f"fetch v{version}", ApiKey.OFFSET_FETCH, OffsetFetchRequest(groups=groups), version)
    ids = [
        OffsetFetchRequestTopics(topic_id=talk.topic_id, partition_indexes=[0, 1, 9]),
        OffsetFetchRequestTopics(topic_id=STRANGER, partition_indexes=[0]),
    ]
    groups = [OffsetFetchRequestGroup("g", topics=ids), OffsetFetchRequestGroup("simple", topics=None)]
    ask("fetch by id", ApiKey.OFFSET_FETCH, OffsetFetchRequest(groups=groups, require_stable=True))
    for states, types in (
        ([], []),
        (["STABLE", " empty "], ["Classic"]),
        (["Dead"], []),
        ([], ["consumer"]),
        ([], ["?"]),
    ):
        ask(f"list {states} {types}", ApiKey.LIST_GROUPS, ListGroupsRequest(states, types))
    for version in range(4):
        ask(f"list v{version}", ApiKey.LIST_GROUPS, ListGroupsRequest(), version)


def _static_members(talk: _Talk) -> None:
    ask, b = talk.ask, talk.b
    first = ask("static: join", ApiKey.JOIN_GROUP, _join("static", instance="i-1"))
    ask(
        "static: sync",
        ApiKey.SYNC_GROUP,
        _sync("static", 1, first.member_id, first.member_id, instance="i-1"),
    )
    b.send(ApiKey.JOIN_GROUP, _join("static", instance="i-2"), 9)
    until(lambda: talk.a.call(ApiKey.HEARTBEAT, _beat("static", 1, first.member_id, "i-1")).error_code)
    rejoin = _join("static", first.member_id, instance="i-1")
    ask("static: the first rejoins", ApiKey.JOIN_GROUP, rejoin)
    second = talk.note("static: the second joins", b.receive())
    b.send(ApiKey.SYNC_GROUP, _sync("static", 2, second.member_id, instance="i-2"), 5)
    both = (first.member_id, second.member_id)
    ask(
        "static: the leader syncs",
        ApiKey.SYNC_GROUP,
        _sync("static", 2, first.member_id, *both, instance="i-1"),
    )
    talk.note("static: the second syncs", b.receive())
    again = ask("static: the second comes back", ApiKey.JOIN_GROUP, _join("static", instance="i-2"))
    ask("static: its assignment", ApiKey.SYNC_GROUP, _sync("static", 2, again.member_id, instance="i-2"))
    ask("static: its former self beats", ApiKey.HEARTBEAT, _beat("static", 2, second.member_id, "i-2"))
    ask("static: its former self joins", ApiKey.JOIN_GROUP, _join("static", second.member_id, instance="i-2"))
    ask(
        "static: its former self syncs",
        ApiKey.SYNC_GROUP,
        _sync("static", 2, second.member_id, instance="i-2"),
    )
    former = _commit("static", 2, second.member_id, instance="i-2")
    ask("static: its former self commits", ApiKey.OFFSET_COMMIT, former, 9)
    leave = LeaveGroupRequest("static", members=[MemberIdentity(second.member_id, "i-2")])
    ask("static: its former self leaves", ApiKey.LEAVE_GROUP, leave)
    leader = ask("static: the leader comes back", ApiKey.JOIN_GROUP, _join("static", instance="i-1"))
    ask(
        "static: the leader's assignment",
        ApiKey.SYNC_GROUP,
        _sync("static", 2, leader.member_id, instance="i-1"),
    )
    ask("static: the leader comes back v8", ApiKey.JOIN_GROUP, _join("static", instance="i-1"), 8)
    ask("static: describe", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["static"]))
    remove = LeaveGroupRequest(
        "static", members=[MemberIdentity("", "i-1"), MemberIdentity("", "i-2"), MemberIdentity("", "i-3")]
    )
    ask("static: an administrator removes them", ApiKey.LEAVE_GROUP, remove)
    ask("static: describe the empty group", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["static"]))


def _old_versions(talk: _Talk) -> None:
    """Every version of what members say, one generation each."""
    ask = talk.ask
    for version in range(10):
        group = f"old-{version}"
        joined = talk.a.call(ApiKey.JOIN_GROUP, _join(group), version)
        if joined.error_code:
            joined = talk.a.call(ApiKey.JOIN_GROUP, _join(group, joined.member_id), version)
        member = talk.note(f"old: join v{version}", joined).member_id
        sync = _sync(group, 1, member, member)
        ask(f"old: sync for v{version}", ApiKey.SYNC_GROUP, sync, min(version, 5))
        ask(f"old: beat for v{version}", ApiKey.HEARTBEAT, _beat(group, 1, member), min(version, 4))
        leave = LeaveGroupRequest(group, member, [MemberIdentity(member)])
        ask(f"old: leave for v{version}", ApiKey.LEAVE_GROUP, leave, min(version, 5))
        describe = DescribeGroupsRequest([group])
        ask(f"old: describe for v{version}", ApiKey.DESCRIBE_GROUPS, describe, min(version, 6))
