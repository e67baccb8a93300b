"""Handlers that fail: what the client is told, what the log is told, and that nobody else notices."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ProtocolError
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.api_versions import ApiVersionsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from logbroker.wire.messages.list_offsets import ListOffsetsRequest, ListOffsetsResponse
from logbroker.wire.messages.produce import ProduceRequest, ProduceResponse


def handler(function):
    return SimpleNamespace(handle=function)


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
def test_a_broker_error_is_the_answer_to_the_whole_request(play, fails):
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


def test_without_a_place_for_the_code_the_connection_closes(play, closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest())
        assert await client.ended() == b""
        ((peer, reason),) = closings()
        assert peer == client.name
        assert "ListOffsets version 7" in reason
        assert "KAFKA_STORAGE_ERROR" in reason

    play(scenario, {ApiKey.LIST_OFFSETS: handler(fails_with(BrokerError(ErrorCode.KAFKA_STORAGE_ERROR)))})


def test_a_place_that_only_other_versions_have_is_no_place(play, closings):
    """FindCoordinator has no error code of its own from version 4 on."""

    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest())
        assert await client.ended() == b""
        assert len(closings()) == 1

    play(scenario, {ApiKey.FIND_COORDINATOR: handler(fails_with(BrokerError(ErrorCode.NOT_COORDINATOR)))})


def test_a_module_may_say_how_a_failure_is_answered(play):
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
def test_a_fault_of_ours_is_answered_and_its_trace_stays_here(play, fails, caplog):
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


def test_a_fault_without_a_place_for_it_closes_the_connection(play, closings):
    async def scenario(rig):
        client, other = await rig.connect(), await rig.connect()
        client.send(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest())
        rest = await client.ended()
        assert rest == b""
        assert len(closings()) == 1
        assert (await other.call(ApiKey.API_VERSIONS, 0, ApiVersionsRequest())).error_code == 0

    play(scenario, {ApiKey.LIST_OFFSETS: handler(fails_with(ZeroDivisionError("secret")))})


@pytest.mark.parametrize("late", [False, True])
def test_a_response_that_can_not_be_encoded_is_a_fault_of_ours(play, late, caplog):
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


def test_a_handler_may_refuse_what_it_can_not_understand(play, closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert await client.ended() == b""
        assert closings() == [(client.name, "nonsense")]

    play(scenario, {ApiKey.HEARTBEAT: handler(fails_with(ProtocolError("nonsense")))})


def test_a_handler_that_answers_and_then_fails_has_answered(play, caplog):
    def handle_frame(broker, context, frame, position):
        context.respond(ProduceResponse(throttle_time_ms=5))
        raise ZeroDivisionError

    async def scenario(rig):
        client = await rig.connect()
        assert (await client.call(ApiKey.PRODUCE, 7, ProduceRequest())).throttle_time_ms == 5
        assert (await client.call(ApiKey.PRODUCE, 7, ProduceRequest())).throttle_time_ms == 5

    play(scenario, {ApiKey.PRODUCE: SimpleNamespace(handle_frame=handle_frame)})
    assert "a handler failed" in caplog.text


def test_a_handler_that_can_not_be_loaded_costs_one_connection(play, closings):
    async def scenario(rig):
        client = await rig.connect()
        client.send(ApiKey.HEARTBEAT, 4, HeartbeatRequest())
        assert await client.ended() == b""
        assert "can't be loaded" in closings()[0][1]

    play(scenario, {ApiKey.HEARTBEAT: "logbroker.broker.handlers.no_such_module"})
