"""A long talk with a broker about groups under the consumer protocol (KIP-848), as `group_conversation` has about classic ones.

Members bring their own ids, so nothing about them is random; every group's assignment interval is set to 0, so that what
is asked for is assigned at once. Errors' texts are left out.

Not in it, because the answers differ on purpose: which of several equally good partitions the uniform assignor moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.consumer_group_talk import GroupTalk, heartbeat
from logbroker.testing.migration_conversation import eager_members, upgrade_and_downgrade
from logbroker.testing.talk import STRANGER, Answers, until
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from logbroker.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
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
    OffsetFetchRequestTopics,
)

GROUPS = ("one", "pair", "range", "grow", "static", "regex", "up", "eager", "offsets", "gone", "full")
TOPICS = {"t": 4, "u": 3, "more": 2}
GROUP_RESOURCE = 32


def converse(bootstrap: str) -> Answers:
    """Talk to the broker; its groups and topics must not exist, and the initial rebalance delay must be 0.

    Raises:
        RuntimeError: It isn't ready in time, or it is not as it must be.
        ConnectionError: It closed a connection.

    """
    talk = GroupTalk(bootstrap)
    try:
        _prepare(talk)
        for part in (
            _refusals,
            _one_member,
            _two_members,
            _range_and_subscriptions,
            _topics_change,
            _static_members,
            _regular_expressions,
            _offsets,
            upgrade_and_downgrade,
            eager_members,
            _the_end,
        ):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _prepare(talk: GroupTalk) -> None:
    call = talk.a.call
    created = call(
        ApiKey.CREATE_TOPICS,
        CreateTopicsRequest([CreatableTopic(name, count, 1) for name, count in TOPICS.items()], 30_000),
        5,
    )
    if any(topic.error_code for topic in created.topics):
        raise RuntimeError(f"the topics were not created: {created}")
    until(lambda: all(_topic_id(talk, name).int for name in TOPICS))
    for name in TOPICS:
        _learn(talk, name)
    request = FindCoordinatorRequest(key_type=0, coordinator_keys=list(GROUPS))
    until(lambda: not any(c.error_code for c in call(ApiKey.FIND_COORDINATOR, request, 6).coordinators))
    until(
        lambda: all(
            call(ApiKey.HEARTBEAT, HeartbeatRequest(group, 0, "m"), 4).error_code
            == ErrorCode.UNKNOWN_MEMBER_ID
            for group in GROUPS
        )
    )
    altered = call(
        ApiKey.INCREMENTAL_ALTER_CONFIGS,
        IncrementalAlterConfigsRequest(
            [
                AlterConfigsResource(
                    GROUP_RESOURCE, group, [AlterableConfig("consumer.assignment.interval.ms", 0, "0")]
                )
                for group in GROUPS
            ]
        ),
        1,
    )
    if any(response.error_code for response in altered.responses):
        raise RuntimeError(f"the groups can't be configured: {altered}")


def _topic_id(talk: GroupTalk, name: str) -> UUID:
    metadata = talk.a.call(
        ApiKey.METADATA,
        MetadataRequest([MetadataRequestTopic(name=name)], allow_auto_topic_creation=False),
        12,
    )
    topic_id: UUID = metadata.topics[0].topic_id
    return topic_id


def _learn(talk: GroupTalk, name: str) -> None:
    talk.ids[name] = _topic_id(talk, name)
    talk.topic_ids[talk.ids[name]] = name


def _refusals(talk: GroupTalk) -> None:
    beat = talk.beat
    beat("no member id", "one", "", 0, topics=["t"])
    beat("no member id, a later epoch, v0", "one", "", 1, version=0)
    beat("no member id, leaving, v0", "one", "", -1, version=0)
    beat("no group", "", "m", 0, topics=["t"])
    beat("an empty instance id", "one", "m", 0, topics=["t"], instance_id="")
    beat("an empty rack", "one", "m", 0, topics=["t"], rack_id="")
    beat("no rebalance timeout", "one", "m", 0, topics=["t"], rebalance_timeout_ms=-1)
    beat("no partitions said", "one", "m", 0, topics=["t"], topic_partitions=None)
    beat("partitions when joining", "one", "m", 0, topics=["t"], topic_partitions=talk.owned(t=[0]))
    beat("no subscription", "one", "m", 0)
    beat("leaving for a while without an instance id", "one", "m", -2)
    beat("an epoch that can't be", "one", "m", -3)
    beat("an unknown assignor", "one", "m", 0, topics=["t"], server_assignor="sticky")
    beat("a group that isn't, a later epoch", "one", "m", 1)
    beat("a group that isn't, leaving", "one", "m", -1)
    beat("a group that isn't, leaving for a while", "one", "m", -2, instance_id="i")
    beat("a wrong regular expression", "one", "m", 0, subscribed_topic_regex="(t")
    talk.describe("describe a group that isn't", "one")
    talk.describe("describe no group", "")
    talk.ask(
        "describe, with operations",
        ApiKey.CONSUMER_GROUP_DESCRIBE,
        ConsumerGroupDescribeRequest(["one"], include_authorized_operations=True),
    )


def _one_member(talk: GroupTalk) -> None:
    beat = talk.beat
    beat("one: joins", "one", "m-1", 0, topics=["t", "nothing"], rack_id="r")
    talk.describe("one: describe", "one")
    beat("one: beats", "one", "m-1", 2)
    beat("one: says everything", "one", "m-1", 2, topics=["t", "nothing"], rebalance_timeout_ms=60_000,
         topic_partitions=talk.owned(t=range(4)))  # fmt: skip
    beat("one: says that it has nothing", "one", "m-1", 2, topic_partitions=[])
    beat("one: a greater epoch", "one", "m-1", 3)
    beat("one: another member", "one", "m-2", 2)
    beat("one: another member leaves", "one", "m-2", -1)
    beat("one: an instance id that isn't", "one", "m-1", 2, instance_id="i")
    beat("one: joins again", "one", "m-1", 0, topics=["t"])
    beat("one: the former epoch", "one", "m-1", 2)
    beat("one: the former epoch, owning what it has", "one", "m-1", 2, topic_partitions=talk.owned(t=[0, 1]))
    beat("one: the former epoch, owning more", "one", "m-1", 2, topic_partitions=talk.owned(u=[0]))
    beat("one: another timeout", "one", "m-1", 3, rebalance_timeout_ms=70_000)
    beat("one: another rack", "one", "m-1", 3, rack_id="r2")
    beat("one: an assignor", "one", "m-1", 3, server_assignor="range")
    talk.describe("one: describe with an assignor", "one")
    talk.ask("one: list", ApiKey.LIST_GROUPS, ListGroupsRequest([], ["consumer"]))
    talk.ask("one: list the stable", ApiKey.LIST_GROUPS, ListGroupsRequest(["stable"], ["Consumer"]))
    talk.ask("one: list the empty", ApiKey.LIST_GROUPS, ListGroupsRequest(["Empty"], ["consumer"]))
    talk.ask("one: list classic ones", ApiKey.LIST_GROUPS, ListGroupsRequest([], ["classic"]))
    talk.ask("one: to DescribeGroups", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["one"]))
    talk.ask("one: to DescribeGroups v5", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(["one"]), 5)
    talk.ask("one: delete", ApiKey.DELETE_GROUPS, DeleteGroupsRequest(["one"]))
    beat("one: leaves", "one", "m-1", -1)
    talk.describe("one: describe the empty group", "one")
    beat("one: leaves again", "one", "m-1", -1)
    beat("one: beats after that", "one", "m-1", 3)
    beat("one: joins after that", "one", "m-3", 0, topics=["u"])
    beat("one: leaves at last", "one", "m-3", -1)


def _two_members(talk: GroupTalk) -> None:
    beat = talk.beat
    beat("pair: the first joins", "pair", "m-1", 0, topics=["t"])
    beat("pair: the second joins", "pair", "m-2", 0, topics=["t"])
    talk.describe("pair: describe assigned", "pair")
    beat("pair: the second waits", "pair", "m-2", 3)
    beat("pair: the first must give up", "pair", "m-1", 2)
    talk.describe("pair: describe revoking", "pair")
    beat("pair: the first hasn't yet", "pair", "m-1", 2, topic_partitions=talk.owned(t=range(4)))
    beat("pair: the second still waits", "pair", "m-2", 3)
    beat("pair: the first has", "pair", "m-1", 2, topic_partitions=talk.owned(t=[0, 1]))
    talk.describe("pair: describe released", "pair")
    beat("pair: the second gets them", "pair", "m-2", 3)
    talk.describe("pair: describe stable", "pair")
    beat("pair: the first's reply was lost", "pair", "m-1", 2, topic_partitions=talk.owned(t=[0, 1]))
    beat("pair: the second's too", "pair", "m-2", 3, topic_partitions=[])
    beat("pair: the first leaves", "pair", "m-1", -1)
    talk.describe("pair: describe assigning", "pair")
    beat("pair: the second gets all", "pair", "m-2", 3)
    beat("pair: the second beats", "pair", "m-2", 5)
    beat("pair: the second subscribes to nothing", "pair", "m-2", 5, topics=[])
    beat("pair: and gives up", "pair", "m-2", 5, topic_partitions=[])
    talk.describe("pair: describe without subscriptions", "pair")
    beat("pair: the second leaves", "pair", "m-2", -1)


def _range_and_subscriptions(talk: GroupTalk) -> None:
    beat = talk.beat
    joined = {"topics": ["t", "u"], "server_assignor": "range"}
    beat("range: the first joins", "range", "m-1", 0, **joined)
    beat("range: the second joins", "range", "m-2", 0, **joined)
    beat("range: the third joins", "range", "m-3", 0, topics=["u"], server_assignor="uniform")
    talk.describe("range: describe", "range")
    beat("range: the first must give up", "range", "m-1", 2)
    beat("range: the first has", "range", "m-1", 2, topic_partitions=talk.owned(t=[0, 1], u=[0]))
    beat("range: the second gets", "range", "m-2", 3)
    beat("range: the third gets", "range", "m-3", 4)
    beat("range: the second subscribes to less", "range", "m-2", 4, topics=["t"],
         topic_partitions=talk.owned(t=[2, 3], u=[1]))  # fmt: skip
    talk.describe("range: describe after that", "range")
    beat("range: the second has given up", "range", "m-2", 4, topic_partitions=talk.owned(t=[2, 3]))
    beat("range: the first beats", "range", "m-1", 4)
    beat("range: the third beats", "range", "m-3", 4)
    talk.describe("range: describe in the end", "range")
    beat("range: the second, as it is", "range", "m-2", 5, topics=["t"], rebalance_timeout_ms=60_000,
         topic_partitions=talk.owned(t=[2, 3]))  # fmt: skip


def _topics_change(talk: GroupTalk) -> None:
    beat, call = talk.beat, talk.a.call
    beat("grow: joins", "grow", "m", 0, topics=["more", "later"])
    call(
        ApiKey.CREATE_PARTITIONS, CreatePartitionsRequest([CreatePartitionsTopic("more", 4, None)], 30_000), 3
    )
    until(lambda: _count(talk, "more") == 4)
    _settle(talk, "grow", "m", 2, 3)
    talk.describe("grow: describe the grown", "grow")
    call(ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("later", 1, 1)], 30_000), 5)
    until(lambda: _topic_id(talk, "later").int)
    _learn(talk, "later")
    _settle(talk, "grow", "m", 3, 4)
    talk.describe("grow: describe with the new", "grow")
    call(ApiKey.DELETE_TOPICS, DeleteTopicsRequest(topic_names=["more"], timeout_ms=30_000), 5)
    until(lambda: not _topic_id(talk, "more").int)
    until(lambda: _epoch_after(talk, "grow", "m", 4, later=[0]) == 5)
    talk.describe("grow: describe without the deleted", "grow")
    beat("grow: leaves", "grow", "m", -1)


def _settle(talk: GroupTalk, group: str, member: str, epoch: int, next_epoch: int) -> None:
    """Beat until the member has come to its next epoch: brokers learn of topics in their own time."""
    until(
        lambda: (
            talk.a.call(ApiKey.CONSUMER_GROUP_HEARTBEAT, heartbeat(group, member, epoch), 1).member_epoch
            == next_epoch
        )
    )


def _epoch_after(talk: GroupTalk, group: str, member: str, epoch: int, **owned: Sequence[int]) -> int:
    request = heartbeat(group, member, epoch, topic_partitions=talk.owned(**owned))
    answer = talk.a.call(ApiKey.CONSUMER_GROUP_HEARTBEAT, request, 1)
    reached: int = answer.member_epoch
    return reached


def _count(talk: GroupTalk, name: str) -> int:
    metadata = talk.a.call(
        ApiKey.METADATA,
        MetadataRequest([MetadataRequestTopic(name=name)], allow_auto_topic_creation=False),
        12,
    )
    return len(metadata.topics[0].partitions)


def _static_members(talk: GroupTalk) -> None:
    beat = talk.beat
    beat("static: joins", "static", "m-1", 0, topics=["t"], instance_id="i-1")
    beat("static: beats", "static", "m-1", 2, instance_id="i-1")
    beat("static: beats without its instance id", "static", "m-1", 2)
    beat("static: another comes too early", "static", "m-2", 0, topics=["t"], instance_id="i-1")
    beat("static: the same joins again", "static", "m-1", 0, topics=["t"], instance_id="i-1")
    beat("static: another beats", "static", "m-2", 2, instance_id="i-1")
    beat("static: another leaves", "static", "m-2", -2, instance_id="i-1")
    beat("static: an unknown one leaves", "static", "m-2", -2, instance_id="i-2")
    beat("static: leaves for a while", "static", "m-1", -2, instance_id="i-1")
    talk.describe("static: describe it away", "static")
    beat("static: beats while away", "static", "m-1", 2, instance_id="i-1")
    beat("static: comes back", "static", "m-2", 0, topics=["t"], instance_id="i-1")
    talk.describe("static: describe it back", "static")
    beat("static: the former one beats", "static", "m-1", 2, instance_id="i-1")
    beat("static: the former one beats without instance id", "static", "m-1", 2)
    beat("static: leaves for a while again", "static", "m-2", -2, instance_id="i-1")
    beat(
        "static: comes back for other topics",
        "static",
        "m-3",
        0,
        topics=["t", "u"],
        instance_id="i-1",
        server_assignor="range",
    )
    beat("static: a second one", "static", "m-4", 0, topics=["t", "u"], instance_id="i-2")
    talk.describe("static: describe both", "static")
    beat("static: leaves for good", "static", "m-4", -1, instance_id="i-2")
    remove = LeaveGroupRequest(
        "static", members=[MemberIdentity("", "i-1"), MemberIdentity("", "i-9"), MemberIdentity("m-9")]
    )
    talk.ask("static: an administrator removes them", ApiKey.LEAVE_GROUP, remove)
    talk.describe("static: describe the empty group", "static")


def _regular_expressions(talk: GroupTalk) -> None:
    beat, call = talk.beat, talk.a.call
    joined = beat("regex: joins", "regex", "m-1", 0, subscribed_topic_regex="t|u", server_assignor="range")
    epoch = [joined.member_epoch]

    def assigned() -> bool:
        answer = call(ApiKey.CONSUMER_GROUP_HEARTBEAT, heartbeat("regex", "m-1", epoch[0]), 1)
        epoch[0] = answer.member_epoch
        return answer.assignment is not None and bool(answer.assignment.topic_partitions)

    until(assigned)
    talk.describe("regex: describe", "regex")
    beat("regex: a wrong one", "regex", "m-1", epoch[0], subscribed_topic_regex="[")
    beat("regex: the same again", "regex", "m-2", 0, subscribed_topic_regex="t|u", server_assignor="range")
    talk.describe("regex: describe two", "regex")
    beat("regex: none any more", "regex", "m-2", epoch[0] + 1, subscribed_topic_regex="", topics=["t"])
    talk.describe("regex: describe one with names", "regex")
    beat("regex: the second leaves", "regex", "m-2", -1)
    beat("regex: the first leaves", "regex", "m-1", -1)
    talk.describe("regex: describe none", "regex")


def _commit(talk: GroupTalk, label: str, member: str, epoch: int, *partitions: int, **more: Any) -> None:
    version = more.pop("version", 10)
    topic = OffsetCommitRequestTopic(
        "t", talk.ids["t"], [OffsetCommitRequestPartition(index, 5) for index in partitions]
    )
    request = OffsetCommitRequest("offsets", epoch, member, topics=[topic], **more)
    talk.ask(label, ApiKey.OFFSET_COMMIT, request, version)


def _fetch(talk: GroupTalk, label: str, member: str | None, epoch: int, version: int = 10) -> None:
    topics = [OffsetFetchRequestTopics("t", talk.ids["t"], [0, 1, 2, 3])]
    group = OffsetFetchRequestGroup("offsets", member, epoch, topics)
    talk.ask(label, ApiKey.OFFSET_FETCH, OffsetFetchRequest(groups=[group]), version)


def _offsets(talk: GroupTalk) -> None:
    beat = talk.beat
    _commit(talk, "offsets: before there is a group", "m-1", 2, 0)
    _commit(talk, "offsets: before there is a group v8", "m-1", 2, 0, version=8)
    beat("offsets: joins", "offsets", "m-1", 0, topics=["t"])
    _commit(talk, "offsets: commit", "m-1", 2, 0, 1)
    _commit(talk, "offsets: commit v9", "m-1", 2, 2, version=9)
    _commit(talk, "offsets: commit v8", "m-1", 2, 2, version=8)
    _commit(talk, "offsets: commit of nobody", "", -1, 0)
    _commit(talk, "offsets: commit of another", "m-9", 2, 0)
    _commit(talk, "offsets: a greater epoch", "m-1", 3, 0)
    beat("offsets: another joins", "offsets", "m-2", 0, topics=["t"])
    beat("offsets: the first must give up", "offsets", "m-1", 2)
    _commit(talk, "offsets: commit of what is given up", "m-1", 2, 0, 3)
    beat("offsets: the first has", "offsets", "m-1", 2, topic_partitions=talk.owned(t=[0, 1]))
    _commit(talk, "offsets: the former epoch", "m-1", 2, 0, 1, 2, 3)
    _commit(talk, "offsets: the epoch before that", "m-1", 1, 0)
    _commit(talk, "offsets: without epoch", "m-1", -1, 0)
    _commit(talk, "offsets: an epoch too early", "m-2", 2, 2)
    beat("offsets: the second gets", "offsets", "m-2", 3)
    _commit(talk, "offsets: the second commits", "m-2", 3, 2, 3)
    _commit(talk, "offsets: the second, of others", "m-2", 3, 0)
    _fetch(talk, "offsets: fetch", "m-1", 3)
    _fetch(talk, "offsets: fetch v9", "m-1", 3, 9)
    _fetch(talk, "offsets: fetch of nobody", None, -1)
    _fetch(talk, "offsets: fetch, stale", "m-1", 2)
    _fetch(talk, "offsets: fetch, too new", "m-1", 10)
    _fetch(talk, "offsets: fetch of another", "m-9", 2)
    beat("offsets: the first leaves", "offsets", "m-1", -1)
    beat("offsets: the second leaves", "offsets", "m-2", -1)
    _commit(talk, "offsets: commit to the empty group", "", -1, 0)
    _commit(talk, "offsets: commit to the empty group by a member", "m-1", 3, 0)
    talk.ask("offsets: delete", ApiKey.DELETE_GROUPS, DeleteGroupsRequest(["offsets"]))
    talk.describe("offsets: describe the deleted", "offsets")
    _fetch(talk, "offsets: fetch of the deleted", None, -1)


def _the_end(talk: GroupTalk) -> None:
    talk.beat("gone: joins", "gone", "m", 0, topics=["t"], server_assignor="uniform", version=1)
    talk.beat("gone: leaves", "gone", "m", -1)
    talk.ask("gone: delete", ApiKey.DELETE_GROUPS, DeleteGroupsRequest(["gone", "one", "nobody"]))
    talk.ask("gone: list", ApiKey.LIST_GROUPS, ListGroupsRequest([], ["consumer"]))
    ids = ConsumerGroupDescribeRequest(["gone", "one"])
    talk.ask("gone: describe", ApiKey.CONSUMER_GROUP_DESCRIBE, ids)
    talk.ask("gone: describe v0", ApiKey.CONSUMER_GROUP_DESCRIBE, ids, 0)
    talk.note("stranger", STRANGER)
