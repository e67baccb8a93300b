"""What isn't offered and what isn't a request; and the table of what is."""

from __future__ import annotations

import random
from importlib import import_module
from struct import pack, unpack
from types import SimpleNamespace

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.handlers import ADVERTISED, PIPELINED
from logbroker.broker.limits import server_limits
from logbroker.config.settings import Settings
from logbroker.net.limits import ServerLimits
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.api_versions import ApiVersionsRequest


def handler(function):
    return SimpleNamespace(handle=function)


def fails(broker, context, request):
    raise BrokerError(ErrorCode.INVALID_REQUEST)


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
        (pack(">hhih", ApiKey.METADATA, 1, 1, 100) + b"tester", "client id"),
        (pack(">hhih", ApiKey.METADATA, 9, 1, -1), "tagged fields"),
        (pack(">hhih", ApiKey.METADATA, 9, 1, -1) + b"\xff" * 20, "tagged fields"),
        (pack(">hhih", ApiKey.METADATA, 1, 1, -1) + b"\x7f\xff\xff\xff", "MetadataRequest version 1, topics"),
    ],
)
def test_what_is_no_request_closes_with_one_line(play, closings, body, reason):
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
def test_api_versions_of_an_unknown_version_is_answered_and_the_client_may_go_on(play, version):
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


def test_random_frames_harm_nobody(play, closings):
    """Headers that lead to a handler, bodies that make no sense; each connection is answered or closed, none hangs."""
    generator = random.Random(5)
    keys = list(ADVERTISED)
    answers = {key: handler(fails) for key in keys if key != 18}

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
        "DescribeGroups", "ListGroups", "DeleteGroups", "OffsetDelete", "TxnOffsetCommit",
        "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "WriteTxnMarkers", "DescribeTransactions", "ListTransactions",
        "DescribeProducers", "ConsumerGroupHeartbeat", "ConsumerGroupDescribe",
        "ListConfigResources", "ElectLeaders", "AlterPartitionReassignments", "ListPartitionReassignments",
        "AlterReplicaLogDirs", "UpdateFeatures", "UnregisterBroker", "DescribeClientQuotas",
        "DescribeUserScramCredentials", "DescribeAcls", "CreateAcls", "DeleteAcls", "CreateDelegationToken",
        "RenewDelegationToken", "ExpireDelegationToken", "DescribeDelegationToken", "GetTelemetrySubscriptions",
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
        socket_send_buffer_bytes=11,
        connections_max_idle_ms=5,
        max_connections=6,
        max_connections_per_ip=7,
    )
    assert server_limits(settings) == ServerLimits(
        request_max_bytes=1,
        queued_max_bytes=2,
        in_flight_max=3,
        outgoing_max_bytes=4,
        send_buffer_bytes=11,
        stuck_reader_timeout_ms=5,
        idle_max_ms=5,
        connections_max=6,
        connections_per_address_max=7,
    )
    default = server_limits(Settings())
    assert default.request_max_bytes == 104_857_600
