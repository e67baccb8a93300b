"""From frames to handlers and back, over real sockets: what is answered, in which order, and what closes the connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from importlib import import_module
from struct import pack, unpack
from types import SimpleNamespace

import pytest
import uvloop

from logbroker.base.clock import SystemClock
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ProtocolError
from logbroker.base.metrics import Registry
from logbroker.base.tasks import TaskScope
from logbroker.broker import dispatch as dispatch_module
from logbroker.broker.dispatch import Dispatcher
from logbroker.broker.handlers import ADVERTISED, PIPELINED
from logbroker.broker.limits import server_limits
from logbroker.config.settings import Settings
from logbroker.net.limits import ServerLimits
from logbroker.net.server import Server
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.frames import request_frame
from logbroker.wire.headers import decode_response_header
from logbroker.wire.messages.api_versions import ApiVersionsRequest
from logbroker.wire.messages.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from logbroker.wire.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

DEADLINE_S = 20.0


class Client:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.correlation_id = 0
        self.expected = []

    @property
    def name(self):
        return "{}:{}".format(*self.writer.get_extra_info("sockname")[:2])

    def send(self, key, version, message, *, client_id="tester", extra=b""):
        self.correlation_id += 1
        pieces = codec.encode_request(key, version, message)
        frame = b"".join(request_frame(key, version, self.correlation_id, client_id, [*pieces]))
        if extra:
            frame = pack(">i", len(frame) - 4 + len(extra)) + frame[4:] + extra
        self.writer.write(frame)
        self.expected.append((self.correlation_id, key, version))

    def send_raw(self, body):
        self.writer.write(pack(">i", len(body)) + body)

    async def receive_frame(self):
        (size,) = unpack(">i", await asyncio.wait_for(self.reader.readexactly(4), DEADLINE_S))
        return await asyncio.wait_for(self.reader.readexactly(size), DEADLINE_S)

    async def receive(self):
        frame = await self.receive_frame()
        correlation_id, key, version = self.expected.pop(0)
        got, position = decode_response_header(key, version, frame)
        assert got == correlation_id
        return codec.decode_response(key, version, frame, position)

    async def call(self, key, version, message, **how):
        self.send(key, version, message, **how)
        return await self.receive()

    async def ended(self):
        rest = b""
        with contextlib.suppress(ConnectionError):
            rest = await asyncio.wait_for(self.reader.read(), DEADLINE_S)
        self.writer.close()
        return rest


class Rig:
    def __init__(self, server, tasks, port, latency):
        self.server, self.tasks, self.port, self.latency = server, tasks, port, latency
        self.clients = []

    async def connect(self):
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def settle(self):
        for _ in range(50):
            await asyncio.sleep(0)


def play(scenario, handlers=None, *, limits=None):
    """Run `scenario(rig)` against a broker that has `handlers` (API to module) in place of its own."""

    async def whole():
        tasks = TaskScope("test")
        latency = Registry().histograms("request_seconds", "x", ["api"])
        advertised = {**ADVERTISED, **(handlers or {})}
        dispatcher = Dispatcher("the broker", tasks, latency=latency.labels, advertised=advertised)
        server = Server(dispatcher.dispatch, limits or ServerLimits(), SystemClock())
        listener = await server.listen("PLAINTEXT", "127.0.0.1", 0)
        rig = Rig(server, tasks, listener.port, latency)
        try:
            await scenario(rig)
        finally:
            for client in rig.clients:
                client.writer.close()
            await server.stop(0.0)
            await tasks.close()
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(whole(), 60))


@pytest.fixture
def closings(caplog):
    caplog.set_level(logging.DEBUG, logger="logbroker")
    return lambda: [
        (record.fields["client"], record.fields["reason"])
        for record in caplog.records
        if record.getMessage() == "connection closed"
    ]


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


def test_a_handler_gets_broker_context_and_request():
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


def test_every_version_of_a_non_flexible_and_a_flexible_api():
    def handle(broker, context, request):
        return HeartbeatResponse(error_code=context.api_version)

    async def scenario(rig):
        client = await rig.connect()
        for version in range(5):
            assert (await client.call(ApiKey.HEARTBEAT, version, HeartbeatRequest())).error_code == version

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})


def test_client_ids_are_told_apart():
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


def test_trailing_bytes_and_unknown_tags_are_tolerated():
    async def scenario(rig):
        client = await rig.connect()
        assert (await client.call(ApiKey.HEARTBEAT, 2, HeartbeatRequest(), extra=b"\1\2\3")).error_code == 0
        body = b"".join(codec.encode_request(ApiKey.HEARTBEAT, 4, HeartbeatRequest(group_id="g")))
        header = pack(">hhih", ApiKey.HEARTBEAT, 4, 2, 1) + b"c"
        client.send_raw(header + b"\2\5\3abc\7\0" + body)
        client.expected.append((2, ApiKey.HEARTBEAT, 4))
        assert (await client.receive()).error_code == 0

    play(scenario, {ApiKey.HEARTBEAT: handler(lambda *_: HeartbeatResponse())})


def test_completions_and_coroutines_answer_later():
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


def test_a_completion_that_is_done_already_answers_at_once():
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


def test_a_raw_handler_does_everything_itself():
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


def test_produces_of_one_connection_are_in_work_together_and_answered_in_order():
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


def test_everything_else_waits_its_turn_and_lets_nothing_pass():
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


def test_a_stuck_request_holds_its_own_connection_only():
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


def test_coroutines_at_once_are_bounded(monkeypatch):
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


def test_a_broker_going_down_cuts_off_what_still_runs():
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


# ---- errors ----


def fails_with(error):
    def handle(broker, context, request):
        raise error

    return handle


def fails_later_with(error):
    async def handle(broker, context, request):
        await asyncio.sleep(0)
        raise error

    return handle


@pytest.mark.parametrize("fails", [fails_with, fails_later_with])
def test_a_broker_error_is_the_answer_to_the_whole_request(fails):
    async def scenario(rig):
        client = await rig.connect()
        response = await client.call(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert response.error_code == ErrorCode.NOT_COORDINATOR
        response = await client.call(ApiKey.FIND_COORDINATOR, 2, FindCoordinatorRequest())
        assert (response.error_code, response.error_message) == (ErrorCode.INVALID_GROUP_ID, "no such thing")

    play(
        scenario,
        {
            ApiKey.HEARTBEAT: handler(fails(BrokerError(ErrorCode.NOT_COORDINATOR))),
            ApiKey.FIND_COORDINATOR: handler(fails(BrokerError(ErrorCode.INVALID_GROUP_ID, "no such thing"))),
        },
    )


def test_without_a_place_for_the_code_the_connection_closes(closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest())
        assert await client.ended() == b""
        ((peer, reason),) = closings()
        assert peer == client.name
        assert "ListOffsets version 7" in reason
        assert "KAFKA_STORAGE_ERROR" in reason

    play(scenario, {ApiKey.LIST_OFFSETS: handler(fails_with(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)))})


def test_a_place_that_only_other_versions_have_is_no_place(closings):
    """FindCoordinator has no error code of its own from version 4 on."""

    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest())
        assert await client.ended() == b""
        assert len(closings()) == 1

    play(scenario, {ApiKey.FIND_COORDINATOR: handler(fails_with(BrokerError(ErrorCode.NOT_COORDINATOR)))})


def test_a_module_may_say_how_a_failure_is_answered():
    def failure(context, request, code, message):
        assert request.isolation_level == 1
        return ListOffsetsResponse(throttle_time_ms=int(code))

    module = SimpleNamespace(handle=fails_with(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)), failure=failure)

    async def scenario(rig):
        client = await rig.connect()
        response = await client.call(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest(isolation_level=1))
        assert response.throttle_time_ms == ErrorCode.KAFKA_STORAGE_ERROR

    play(scenario, {ApiKey.LIST_OFFSETS: module})


@pytest.mark.parametrize("fails", [fails_with, fails_later_with])
def test_a_fault_of_ours_is_answered_and_its_trace_stays_here(fails, caplog):
    async def scenario(rig):
        client = await rig.connect()
        for _ in range(30):
            response = await client.call(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
            assert response.error_code == ErrorCode.UNKNOWN_SERVER_ERROR
        assert (await client.call(ApiKey.API_VERSIONS, 4, ApiVersionsRequest("a", "1"))).error_code == 0

    play(scenario, {ApiKey.HEARTBEAT: handler(fails(ZeroDivisionError("secret")))})
    traced = [record for record in caplog.records if record.exc_info]
    assert len(traced) == 1
    assert traced[0].exc_info[0] is ZeroDivisionError
    assert len(caplog.records) <= 12, "the same fault again and again fills the log"


def test_a_fault_without_a_place_for_it_closes_the_connection(closings):
    async def scenario(rig):
        client, other = await rig.connect(), await rig.connect()
        client.send(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest())
        rest = await client.ended()
        assert rest == b""
        assert len(closings()) == 1
        assert (await other.call(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())).error_code == 0

    play(scenario, {ApiKey.LIST_OFFSETS: handler(fails_with(ZeroDivisionError("secret")))})


@pytest.mark.parametrize("late", [False, True])
def test_a_response_that_can_not_be_encoded_is_a_fault_of_ours(late, caplog):
    bad = HeartbeatResponse(error_code=1 << 40)

    def handle(broker, context, request):
        if not late:
            return bad
        completion = Completion()
        asyncio.get_running_loop().call_soon(completion.set, bad)
        return completion

    async def scenario(rig):
        client = await rig.connect()
        response = await client.call(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert response.error_code == ErrorCode.UNKNOWN_SERVER_ERROR

    play(scenario, {ApiKey.HEARTBEAT: handler(handle)})
    assert "a handler failed" in caplog.text


def test_a_handler_may_refuse_what_it_can_not_understand(closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert await client.ended() == b""
        assert closings() == [(client.name, "nonsense")]

    play(scenario, {ApiKey.HEARTBEAT: handler(fails_with(ProtocolError("nonsense")))})


def test_a_handler_that_answers_and_then_fails_has_answered(caplog):
    def handle_frame(broker, context, frame, position):
        context.respond(ProduceResponse(throttle_time_ms=5))
        raise ZeroDivisionError

    async def scenario(rig):
        client = await rig.connect()
        assert (await client.call(ApiKey.PRODUCE, 7, produce_request())).throttle_time_ms == 5
        assert (await client.call(ApiKey.PRODUCE, 7, produce_request())).throttle_time_ms == 5

    play(scenario, {ApiKey.PRODUCE: SimpleNamespace(handle_frame=handle_frame)})
    assert "a handler failed" in caplog.text


def test_a_handler_that_can_not_be_loaded_costs_one_connection(closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert await client.ended() == b""
        assert "can't be loaded" in closings()[0][1]

    play(scenario, {ApiKey.HEARTBEAT: "logbroker.broker.handlers.no_such_module"})


# ---- what isn't offered, what isn't a request ----


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (pack(">hhih", 999, 0, 1, -1), "API key 999"),
        (pack(">hhih", -1, 0, 1, -1), "API key -1"),
        (pack(">hhih", ApiKey.END_TXN, 0, 1, -1), "EndTxn"),
        (pack(">hhih", ApiKey.VOTE, 0, 1, -1), "Vote"),
        (pack(">hhih", ApiKey.METADATA, 14, 1, -1), "Metadata version 14"),
        (pack(">hhih", ApiKey.METADATA, -1, 1, -1), "Metadata version -1"),
        (pack(">hhih", ApiKey.PRODUCE, 0, 1, -1), "Produce version 0"),
        (pack(">hhih", ApiKey.PRODUCE, 2, 1, -1), "Produce version 2"),
        (b"", "0 bytes"),
        (b"\0\3\0", "3 bytes"),
        (pack(">hhih", ApiKey.METADATA, 1, 1, 100), "client id"),
        (pack(">hhih", ApiKey.METADATA, 1, 1, 2) + b"\xff\xfe", "UTF-8"),
        (pack(">hhih", ApiKey.METADATA, 9, 1, -1), "tagged fields"),
        (pack(">hhih", ApiKey.METADATA, 9, 1, -1) + b"\xff" * 20, "tagged fields"),
        (pack(">hhih", ApiKey.METADATA, 1, 1, -1) + b"\x7f\xff\xff\xff", "MetadataRequest version 1, topics"),
    ],
)
def test_what_is_no_request_closes_with_one_line(closings, body, reason):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
        client.send_raw(body)
        client.send(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())
        assert (await client.receive()).error_code == 0
        assert await client.ended() == b""
        ((peer, said),) = closings()
        assert peer == client.name
        assert reason in said

    play(scenario, {ApiKey.METADATA: handler(lambda *_: pytest.fail("it came to the handler"))})


@pytest.mark.parametrize("version", [5, 99, 32767, -1])
def test_api_versions_of_an_unknown_version_is_answered_and_the_client_may_go_on(version):
    async def scenario(rig):
        client = await rig.connect()
        client.send_raw(pack(">hhih", ApiKey.API_VERSIONS, version, 77, 1) + b"c\0whatever that may be")
        frame = await client.receive_frame()
        assert unpack(">i", frame[:4]) == (77,)
        response = codec.decode_response(ApiKey.API_VERSIONS, 0, frame, 4)
        assert response.error_code == ErrorCode.UNSUPPORTED_VERSION
        assert [(key.api_key, key.min_version, key.max_version) for key in response.api_keys] == [(18, 0, 4)]
        assert len((await client.call(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())).api_keys) == len(
            ADVERTISED
        )

    play(scenario)


def test_random_frames_harm_nobody(closings):
    """Headers that lead to a handler, bodies that make no sense; each connection is answered or closed, none hangs."""
    generator = random.Random(5)
    keys = list(ADVERTISED)
    answers = {key: handler(fails_with(BrokerError(ErrorCode.INVALID_REQUEST))) for key in keys if key != 18}

    async def scenario(rig):
        good = await rig.connect()
        for _ in range(400):
            key = generator.choice(keys)
            spec = API[key]
            version = generator.randint(spec.min_version, spec.max_version)
            body = generator.randbytes(generator.choice([0, 1, 5, 30, 300]))
            if generator.random() < 0.5:
                body = bytes(generator.choice([0, 0, 1, 255, byte]) for byte in body)
            client = await rig.connect()
            client.send_raw(
                pack(">hhih", key, version, 1, 0) + b"\0" * (spec.request_header_version(version) - 1) + body
            )
            client.writer.write_eof()
            await client.ended()
        assert (await good.call(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())).error_code == 0
        assert rig.server.budget.used_bytes == 0

    play(scenario, answers)
    assert closings()


# ---- the table ----


def test_the_table_is_the_list_that_was_promised():
    names = {API[key].name for key in ADVERTISED}
    assert names == {
        "ApiVersions", "Metadata", "Produce", "Fetch", "ListOffsets", "CreateTopics", "DeleteTopics",
        "CreatePartitions", "DeleteRecords", "DescribeConfigs", "IncrementalAlterConfigs", "AlterConfigs",
        "DescribeCluster", "DescribeLogDirs", "DescribeTopicPartitions", "OffsetForLeaderEpoch", "InitProducerId",
        "FindCoordinator", "JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup", "OffsetCommit", "OffsetFetch",
        "DescribeGroups", "ListGroups",
    }  # fmt: skip
    assert frozenset({ApiKey.PRODUCE}) == PIPELINED


@pytest.mark.parametrize("key", list(ADVERTISED), ids=lambda key: key.name)
def test_every_handler_of_the_table_exists(key):
    module = import_module(ADVERTISED[key])
    assert callable(getattr(module, "handle", None) or getattr(module, "handle_frame", None))
    assert f"(API key {int(key)})" in module.__doc__


def test_the_settings_are_the_limits():
    settings = Settings(
        socket_request_max_bytes=1,
        queued_max_request_bytes=2,
        max_in_flight_requests=3,
        socket_send_buffer_max_bytes=4,
        connections_max_idle_ms=5,
        max_connections=6,
        max_connections_per_ip=7,
    )
    assert server_limits(settings) == ServerLimits(
        request_max_bytes=1,
        queued_max_bytes=2,
        in_flight_max=3,
        outgoing_max_bytes=4,
        stuck_reader_timeout_ms=5,
        idle_max_ms=5,
        connections_max=6,
        connections_per_address_max=7,
    )
    default = server_limits(Settings())
    assert default.request_max_bytes == 104_857_600
