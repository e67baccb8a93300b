"""What a handler gets, the ways in which it may answer, and the order of a connection's requests."""

from __future__ import annotations

import asyncio
from struct import pack
from types import SimpleNamespace

from logbroker.base.completion import Completion
from logbroker.broker import dispatch as dispatch_module
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.api_versions import ApiVersionsRequest
from logbroker.wire.messages.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from logbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

DEADLINE_S = 20.0


def produce_request(name="t", acks=-1, index=0):
    data = PartitionProduceData(index=index, records=b"r" * 100)
    return ProduceRequest(
        acks=acks, timeout_ms=1000, topic_data=[TopicProduceData(name=name, partition_data=[data])]
    )


def handler(function):
    return SimpleNamespace(handle=function)


class Parked:
    """Handlers that answer when the test says so."""

    def __init__(self):
        self.order = []
        self.open = {}

    def produce(self, broker, context, request):
        name = request.topic_data[0].name
        self.order.append(name)
        completion = self.open[name] = Completion()
        return completion

    def heartbeat(self, broker, context, request):
        self.order.append(request.group_id)
        completion = self.open[request.group_id] = Completion()
        return completion

    @property
    def modules(self):
        return {
            ApiKey.PRODUCE: handler(self.produce),
            ApiKey.HEARTBEAT: handler(self.heartbeat),
        }

    async def until(self, *names):
        for _ in range(200_000):
            if self.order[-len(names) :] == list(names):
                return
            await asyncio.sleep(0)
        raise AssertionError(f"came to {self.order}")


# ---- what a handler gets, and the ways to answer ----


def test_a_handler_gets_broker_context_and_request(play):
    seen = []

    def handle(broker, context, request):
        seen.append(
            (
                broker,
                context.api_key,
                context.api_version,
                context.correlation_id,
                context.client_id,
                context.client_address,
                context.client_host,
                context.listener_name,
                request.group_id,
            )
        )
        return HeartbeatResponse(error_code=7)

    async def scenario(rig):
        client = await rig.connect()
        response = await client.call(ApiKey.HEARTBEAT, 4, HeartbeatRequest(group_id="g"))
        assert response.error_code == 7
        assert seen == [
            ("the broker", ApiKey.HEARTBEAT, 4, 1, "tester", client.name, "127.0.0.1", "PLAINTEXT", "g")
        ]
        assert rig.latency.labels("Heartbeat").count == 1

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_every_version_of_a_non_flexible_and_a_flexible_api(play):
    def handle(broker, context, request):
        return HeartbeatResponse(error_code=context.api_version)

    async def scenario(rig):
        client = await rig.connect()
        for version in range(5):
            assert (await client.call(ApiKey.HEARTBEAT, version, HeartbeatRequest())).error_code == version

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_client_ids_are_told_apart(play):
    seen = []

    def handle(broker, context, request):
        seen.append(context.client_id)
        return HeartbeatResponse()

    async def scenario(rig):
        client, other = await rig.connect(), await rig.connect()
        names = ["a", "a", None, "", "b", "ä" * 100, "a"]
        for name in names:
            await client.call(ApiKey.HEARTBEAT, 4, HeartbeatRequest(), client_id=name)
            await other.call(ApiKey.HEARTBEAT, 0, HeartbeatRequest(), client_id="other")
        assert seen[::2] == names
        assert set(seen[1::2]) == {"other"}

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_trailing_bytes_and_unknown_tags_are_tolerated(play):
    async def scenario(rig):
        client = await rig.connect()
        assert (await client.call(ApiKey.HEARTBEAT, 2, HeartbeatRequest(), extra=b"\1\2\3")).error_code == 0
        body = b"".join(codec.encode_request(ApiKey.HEARTBEAT, 4, HeartbeatRequest(group_id="g")))
        header = pack(">hhih", ApiKey.HEARTBEAT, 4, 2, 1) + b"c"
        client.send_raw(header + b"\2\5\3abc\7\0" + body)
        client.expected.append((2, ApiKey.HEARTBEAT, 4))
        assert (await client.receive()).error_code == 0

    play(scenario, {ApiKey.HEARTBEAT: handler(lambda *_: HeartbeatResponse())})


def test_completions_and_coroutines_answer_later(play):
    parked = Parked()

    async def cluster(broker, context, request):
        await asyncio.sleep(0)
        return DescribeClusterResponse(cluster_id="c")

    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.HEARTBEAT, 3, HeartbeatRequest(group_id="g"))
        client.send(ApiKey.DESCRIBE_CLUSTER, 0, DescribeClusterRequest())
        await parked.until("g")
        parked.open["g"].set(HeartbeatResponse(error_code=3))
        assert (await client.receive()).error_code == 3
        assert (await client.receive()).cluster_id == "c"
        assert len(rig.tasks) == 0

    play(scenario, {**parked.modules, ApiKey.DESCRIBE_CLUSTER: handler(cluster)})


def test_a_completion_that_is_done_already_answers_at_once(play):
    def handle(broker, context, request):
        completion = Completion()
        completion.set(HeartbeatResponse(error_code=9))
        return completion

    async def scenario(rig):
        client = await rig.connect()
        for _ in range(3):
            client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        for _ in range(3):
            assert (await client.receive()).error_code == 9

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_a_raw_handler_does_everything_itself(play):
    def handle_frame(broker, context, frame, position):
        request = context.route.decode(frame, position)
        assert not frame.readonly
        if request.acks == 0:
            context.send_nothing()
        else:
            context.send_body([b"\0\0\0\0", b"\0\0\0\0"])

    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.PRODUCE, 7, produce_request(acks=0))
        client.expected.clear()
        response = await client.call(ApiKey.PRODUCE, 7, produce_request())
        assert response == ProduceResponse()
        assert rig.latency.labels("Produce").count == 2

    play(scenario, {ApiKey.PRODUCE: SimpleNamespace(handle_frame=handle_frame)})


# ---- order ----


def test_produces_of_one_connection_are_in_work_together_and_answered_in_order(play):
    parked = Parked()

    async def scenario(rig):
        client = await rig.connect()
        for name in "abc":
            client.send(ApiKey.PRODUCE, 7, produce_request(name))
        await parked.until("a", "b", "c")
        for name in "cab":
            parked.open[name].set(ProduceResponse(throttle_time_ms=ord(name)))
            await rig.settle()
        assert [(await client.receive()).throttle_time_ms for _ in range(3)] == [97, 98, 99]

    play(scenario, parked.modules)


def test_everything_else_waits_its_turn_and_lets_nothing_pass(play):
    parked = Parked()

    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.PRODUCE, 7, produce_request("p1"))
        client.send(ApiKey.HEARTBEAT, 3, HeartbeatRequest(group_id="h1"))
        client.send(ApiKey.HEARTBEAT, 3, HeartbeatRequest(group_id="h2"))
        client.send(ApiKey.PRODUCE, 7, produce_request("p2"))
        await parked.until("p1")
        await rig.settle()
        assert parked.order == ["p1"]
        parked.open["p1"].set(ProduceResponse())
        await parked.until("p1", "h1")
        await rig.settle()
        assert parked.order == ["p1", "h1"]
        parked.open["h1"].set(HeartbeatResponse())
        await parked.until("h1", "h2")
        await rig.settle()
        assert parked.order == ["p1", "h1", "h2"]
        parked.open["h2"].set(HeartbeatResponse())
        await parked.until("h2", "p2")
        parked.open["p2"].set(ProduceResponse())
        for _ in range(4):
            await client.receive()

    play(scenario, parked.modules)


def test_a_stuck_request_holds_its_own_connection_only(play):
    parked = Parked()

    async def scenario(rig):
        stuck, lively = await rig.connect(), await rig.connect()
        stuck.send(ApiKey.HEARTBEAT, 3, HeartbeatRequest(group_id="stuck"))
        stuck.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
        await parked.until("stuck")
        for _ in range(50):
            assert (await lively.call(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())).error_code == 0
        parked.open["stuck"].set(HeartbeatResponse())
        await stuck.receive()
        await stuck.receive()

    play(scenario, parked.modules)


def test_coroutines_at_once_are_bounded(play, monkeypatch):
    monkeypatch.setattr(dispatch_module, "REQUEST_TASKS_MAX", 2)
    running = []
    peak = []
    go_on = []

    async def handle(broker, context, request):
        running.append(1)
        peak.append(len(running))
        event = asyncio.Event()
        go_on.append(event)
        await event.wait()
        running.pop()
        return HeartbeatResponse()

    async def scenario(rig):
        clients = [await rig.connect() for _ in range(7)]
        for client in clients:
            client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        answered = 0
        while answered < 7:
            await rig.settle()
            assert go_on
            while go_on:
                go_on.pop().set()
                answered += 1
        for client in clients:
            await client.receive()
        assert max(peak) == 2

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_a_broker_going_down_cuts_off_what_still_runs(play):
    started = asyncio.Event()

    async def handle(broker, context, request):
        assert not started.is_set(), "a request was begun after the end"
        started.set()
        await asyncio.Event().wait()

    async def scenario(rig):
        client, late = await rig.connect(), await rig.connect()
        client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        await rig.tasks.close()
        assert await client.ended() == b""
        late.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert await late.ended() == b""

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})
