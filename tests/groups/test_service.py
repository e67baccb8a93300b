"""The service that handlers call: routing, creation of the topic, metadata that changes under it, and versions' differences."""

import asyncio
import dataclasses
from types import SimpleNamespace

from logbroker.base.error_codes import ErrorCode
from logbroker.base.metrics import Registry
from logbroker.broker.handlers import (
    describe_groups,
    find_coordinator,
    heartbeat,
    join_group,
    leave_group,
    list_groups,
    offset_commit,
    offset_fetch,
    sync_group,
)
from logbroker.config.settings import Settings
from logbroker.coordination.shard import ShardState
from logbroker.groups.service import GroupService
from logbroker.metadata.controller import TopicToDelete
from logbroker.metadata.events import SettingsReloaded
from logbroker.metadata.topic_names import OFFSETS_TOPIC
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
)
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment


def join(group="g", member="", protocols=(("range", b"m"),), session_ms=10_000):
    return JoinGroupRequest(
        group,
        session_ms,
        20_000,
        member,
        None,
        "consumer",
        [JoinGroupRequestProtocol(n, m) for n, m in protocols],
    )


def test_without_the_topic_nobody_coordinates(on_stage):
    async def play(stage):
        elsewhere = ErrorCode.NOT_COORDINATOR
        await stage.create("t")
        assert (await stage.ask(join_group, join(), 9)).error_code == elsewhere
        assert (await stage.ask(sync_group, SyncGroupRequest("g", 1, "m"), 4)).error_code == elsewhere
        assert (await stage.ask(heartbeat, HeartbeatRequest("g", 1, "m"), 4)).error_code == elsewhere
        assert (await stage.ask(leave_group, LeaveGroupRequest("g", "m"), 2)).error_code == elsewhere
        assert await stage.commit(5) == "NOT_COORDINATOR"
        assert await stage.fetch() == "NOT_COORDINATOR"
        described = await stage.ask(describe_groups, DescribeGroupsRequest(["g"]), 6)
        assert described.groups[0].error_code == elsewhere
        listed = await stage.ask(list_groups, ListGroupsRequest(), 5)
        assert (listed.error_code, listed.groups) == (0, [])
        named = [OffsetFetchRequestTopic("t", [0, 1])]
        old = await stage.ask(offset_fetch, OffsetFetchRequest("g", named), 1)
        assert [p.error_code for p in old.topics[0].partitions] == [elsewhere, elsewhere]
        newer = await stage.ask(offset_fetch, OffsetFetchRequest("g", named), 2)
        assert (newer.error_code, newer.topics) == (elsewhere, [])

    on_stage(play)


def test_while_a_shard_loads_only_heartbeats_are_fine(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        assert await stage.commit(5) == "NONE"
        runtime = stage.groups.runtime
        index = runtime.partition_of("g")
        runtime.resign([index])
        runtime.lead([index])
        assert runtime.shard(index).state is ShardState.LOADING
        loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert heartbeat.handle(stage, None, HeartbeatRequest("g", 1, "m")).error_code == 0
        assert list_groups.handle(stage, None, ListGroupsRequest()).error_code == loading
        context = SimpleNamespace(api_version=9, client_id="c", client_host="h", listener_name="INSIDE")
        assert join_group.handle(stage, context, join()).error_code == loading
        answer = offset_fetch.handle(
            stage, context, OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g")])
        )
        assert answer.groups[0].error_code == loading
        found = find_coordinator.handle(stage, context, FindCoordinatorRequest(coordinator_keys=["g"]))
        assert found.coordinators[0].error_code == 0
        await runtime.wait_loaded()
        assert await stage.fetch() == 5

    on_stage(play)


def test_a_failed_shard_is_not_available_to_find(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        index = stage.groups.runtime.partition_of("g")
        log = stage.replicas.partition(OFFSETS_TOPIC, index)
        log.instant = False
        stage.replicas.offline = True
        pending = asyncio.ensure_future(_commit_later(stage))
        for _ in range(3):
            await asyncio.sleep(0)
        log.fail()
        assert await pending == ErrorCode.NOT_COORDINATOR
        found = await stage.ask(find_coordinator, FindCoordinatorRequest(coordinator_keys=["g"]), 6)
        assert found.coordinators[0].error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        stage.replicas.offline = False
        stage.clock.advance(1000)
        stage.timers.expire_due()
        await stage.groups.runtime.wait_loaded()
        found = await stage.ask(find_coordinator, FindCoordinatorRequest(coordinator_keys=["g"]), 6)
        assert found.coordinators[0].error_code == 0

    on_stage(play)


async def _commit_later(stage):
    request = OffsetCommitRequest(
        "g", topics=[OffsetCommitRequestTopic("t", partitions=[OffsetCommitRequestPartition(0, 5, -1, "")])]
    )
    response = await stage.groups.commit(request, 9)
    return response.topics[0].partitions[0].error_code


def test_a_commit_that_is_not_durable_in_time_says_so(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        log = stage.replicas.partition(OFFSETS_TOPIC, stage.groups.runtime.partition_of("g"))
        log.instant = False
        pending = asyncio.ensure_future(_commit_later(stage))
        for _ in range(3):
            await asyncio.sleep(0)
        stage.clock.advance(5000)
        stage.timers.expire_due()
        assert await pending == ErrorCode.COORDINATOR_NOT_AVAILABLE
        log.settle()
        assert await stage.fetch() == 5

    on_stage(play, offsets_commit_timeout_ms=5000)


def test_a_commit_beyond_a_batch_says_so(on_stage):
    async def play(stage):
        await stage.create("t", partitions=100)
        await stage.groups.ensure_topic()
        partitions = [OffsetCommitRequestPartition(p, 5, -1, "x" * 100) for p in range(100)]
        request = OffsetCommitRequest("g", topics=[OffsetCommitRequestTopic("t", partitions=partitions)])
        response = await stage.ask(offset_commit, request, 9)
        codes = {p.error_code for p in response.topics[0].partitions}
        assert codes == {ErrorCode.INVALID_COMMIT_OFFSET_SIZE}
        assert await stage.fetch() == -1

    on_stage(play, message_max_bytes=4096)


def test_offsets_go_with_their_topic_and_do_not_come_back(on_stage):
    async def play(stage):
        await stage.create("t", "u")
        await stage.groups.ensure_topic()
        for group in ("g", "h", "i", "j", "k"):
            assert await stage.commit(5, group) == "NONE"
            assert await stage.commit(6, group, "u") == "NONE"
        await stage.metadata.delete_topics([TopicToDelete("t")])
        await asyncio.sleep(0)
        assert await stage.commit(9) == "UNKNOWN_TOPIC_OR_PARTITION"
        await stage.create("t")
        assert [await stage.fetch(group) for group in "ghijk"] == [-1] * 5
        assert [await stage.fetch(group, "u") for group in "ghijk"] == [6] * 5
        stage.groups.runtime.resign_all()
        stage.groups.runtime.lead(range(4))
        await stage.groups.runtime.wait_loaded()
        assert [await stage.fetch(group) for group in "ghijk"] == [-1] * 5

    on_stage(play)


def test_the_topic_of_groups_can_go_and_come(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        assert await stage.commit(5) == "NONE"
        await stage.metadata.delete_topics([TopicToDelete(OFFSETS_TOPIC)])
        assert await stage.fetch() == "NOT_COORDINATOR"
        stage.replicas.logs.clear()
        await stage.groups.ensure_topic()
        assert await stage.fetch() == -1

    on_stage(play)


def test_a_restarted_service_finds_its_groups(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        assert await stage.commit(5) == "NONE"
        await stage.groups.stop()
        stage.groups = GroupService(stage.metadata, stage.replicas, stage.clock, stage.timers, stage.tasks)
        stage.groups.start()
        await stage.groups.runtime.wait_loaded()
        assert await stage.fetch() == 5
        assert stage.groups.runtime.partition_count == 4

    on_stage(play)


def test_settings_are_followed_while_running(on_stage):
    async def play(stage):
        assert stage.groups._protocol.limits.max_size == stage.settings.group_max_size
        smaller = Settings(node_id=7, log_dirs=stage.settings.log_dirs, group_max_size=3)
        image = dataclasses.replace(stage.metadata.image, settings=smaller)
        stage.groups.on_event(SettingsReloaded(smaller, None), image)
        assert stage.groups._protocol.limits.max_size == 3

    on_stage(play)


def test_a_member_whose_id_no_record_can_say_does_not_join(on_stage):
    """One such member would keep its whole group from being stored."""

    async def play(stage):
        await stage.groups.ensure_topic()
        for length, client, error in (
            (32_731, "c", "INVALID_REQUEST"),
            (1, "c" * 32_731, "INVALID_REQUEST"),
            (32_730, "c" * 32_730, "NONE"),
        ):
            request = join()
            request.group_instance_id = "i" * length
            waiting = stage.groups.join(request, 9, client, "h")
            if error == "NONE":
                stage.timers.expire_due()
                joined = await waiting
            else:
                joined = waiting
            assert ErrorCode(joined.error_code).name == error
        assignments = [SyncGroupRequestAssignment(joined.member_id, b"x")]
        request = SyncGroupRequest("g", 1, joined.member_id, "i" * 32_730, "consumer", "range", assignments)
        synced = await stage.ask(sync_group, request, 5)
        assert (synced.error_code, synced.assignment) == (0, b"x")

    on_stage(play)


def test_session_bounds_and_versions_of_join(on_stage):
    async def play(stage):
        await stage.groups.ensure_topic()
        short, long = join(session_ms=5999), join(session_ms=1_800_001)
        for request in (short, long):
            response = await stage.ask(join_group, request, 9)
            assert response.error_code == ErrorCode.INVALID_SESSION_TIMEOUT
        for version in (0, 3, 6):
            assert (await stage.ask(join_group, join(""), version)).protocol_name == ""
            assert (await stage.ask(join_group, join(member="x"), version)).protocol_name == ""
        assert (await stage.ask(join_group, join(member="x"), 7)).protocol_name is None
        joined = await stage.ask(join_group, join("old"), 0)
        member = stage.groups.runtime.machine_for("old").groups["old"].members[joined.member_id]
        assert member.rebalance_timeout_ms == member.session_timeout_ms == 10_000
        assert (member.client_id, member.client_host) == ("c", "/10.0.0.7")

    on_stage(play)


def test_leaving_is_answered_when_the_empty_group_is_on_record(on_stage):
    async def play(stage):
        await stage.groups.ensure_topic()
        joined = await stage.ask(join_group, join(), 3)
        log = stage.replicas.partition(OFFSETS_TOPIC, stage.groups.runtime.partition_of("g"))
        log.instant = False
        request = LeaveGroupRequest("g", members=[MemberIdentity(joined.member_id), MemberIdentity("x")])
        answer = stage.groups.leave(request, 5)
        await asyncio.sleep(0)
        assert not answer.done
        log.settle()
        assert [m.error_code for m in (await answer).members] == [0, ErrorCode.UNKNOWN_MEMBER_ID]
        await stage.ask(join_group, join(), 3)

    on_stage(play)


def test_nobody_waits_for_a_broker_that_stops(on_stage):
    async def play(stage):
        await stage.groups.ensure_topic()
        first = await stage.ask(join_group, join(), 3)
        waiting = stage.groups.join(join(), 3, "c", "h")  # the first member would have to rejoin
        syncing = stage.groups.sync(SyncGroupRequest("g", 1, first.member_id), 4)
        assert not waiting.done
        stage.groups.release_waiting()
        elsewhere = ErrorCode.NOT_COORDINATOR
        assert (await waiting).error_code == elsewhere
        assert (await syncing).error_code in (elsewhere, ErrorCode.REBALANCE_IN_PROGRESS)
        assert (await stage.ask(join_group, join(), 9)).error_code == elsewhere
        assert (await stage.ask(sync_group, SyncGroupRequest("g", 1, "m"), 4)).error_code == elsewhere

    on_stage(play)


def test_expired_offsets_are_looked_for_shard_by_shard(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        groups = [f"g{n}" for n in range(20)]
        for group in groups:
            assert await stage.commit(5, group) == "NONE"
        stage.clock.advance(60_000)
        for _ in range(10):
            stage.timers.expire_due()
            stage.clock.advance(30)
            await asyncio.sleep(0)
        assert [await stage.fetch(group) for group in groups] == [-1] * 20
        assert (await stage.ask(list_groups, ListGroupsRequest(), 5)).groups == []

    on_stage(play, offsets_retention_minutes=1, offsets_retention_check_interval_ms=60_000)


def test_errors_for_whole_requests_reach_every_part():
    context = SimpleNamespace(api_version=9)
    code, text = ErrorCode.UNKNOWN_SERVER_ERROR, "a fault"
    request = OffsetCommitRequest(
        "g", topics=[OffsetCommitRequestTopic("t", partitions=[OffsetCommitRequestPartition(3)])]
    )
    response = offset_commit.failure(context, request, code, text)
    assert response.topics[0].partitions[0].error_code == code
    response = offset_fetch.failure(
        context, OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g")]), code, text
    )
    assert response.groups[0].error_code == code
    response = offset_fetch.failure(SimpleNamespace(api_version=2), OffsetFetchRequest("g"), code, text)
    assert response.error_code == code
    response = describe_groups.failure(context, DescribeGroupsRequest(["g", "h"]), code, text)
    assert [(g.group_id, g.error_code) for g in response.groups] == [("g", code), ("h", code)]


def test_metrics(on_stage):
    async def play(stage):
        await stage.create("t")
        await stage.groups.ensure_topic()
        await stage.commit(5)
        await stage.ask(join_group, join("member's"), 3)
        registry = Registry()
        registry.register(stage.groups.collect)
        text = "".join([piece async for piece in _pieces(registry)])
        assert 'logbroker_groups{state="Empty"} 1' in text
        assert 'logbroker_groups{state="CompletingRebalance"} 1' in text
        assert "logbroker_group_members 1" in text
        assert "logbroker_group_offsets 1" in text
        assert 'logbroker_coordinator_shards{topic="__consumer_offsets",state="active"} 4' in text
        assert 'logbroker_coordinator_pending_writes{topic="__consumer_offsets"} 0' in text

    on_stage(play)


async def _pieces(registry):
    for piece in registry.render():
        yield piece if isinstance(piece, str) else piece.decode()
