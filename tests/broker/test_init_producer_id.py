"""InitProducerId: every version over real sockets, and ids that are never given twice, kill -9 included."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from support.broker_stage import Stage, on_broker

from logbroker.base.error_codes import ErrorCode
from logbroker.metadata.service import PRODUCER_ID_BLOCK
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest

VERSIONS = range(API[ApiKey.INIT_PRODUCER_ID].max_version + 1)


@on_broker()
async def test_every_version_gives_a_new_id(stage: Stage):
    seen: set[int] = set()
    for version in VERSIONS:
        for named in ((-1, -1), (7, 3)):  # who has an id already and lost its way gets another (KIP-360)
            request = InitProducerIdRequest(None, 60_000, *named)
            response = await stage.ask(request, version)
            assert (response.error_code, response.producer_epoch) == (0, 0)
            assert response.producer_id >= 0
            seen.add(response.producer_id)
    assert len(seen) == 2 * len(VERSIONS)


@on_broker()
async def test_what_is_refused(stage: Stage):
    for version in VERSIONS:
        # Nobody has asked for the coordinator of "tx", so there is none.
        for text, error in (("tx", ErrorCode.NOT_COORDINATOR), ("", ErrorCode.INVALID_REQUEST)):
            response = await stage.ask(InitProducerIdRequest(text, 60_000), version)
            assert response.error_code == error
            assert (response.producer_id, response.producer_epoch) == (-1, -1)
    for version in VERSIONS[3:]:
        for producer_id, epoch in ((5, -1), (-1, 3)):
            response = await stage.ask(InitProducerIdRequest(None, 60_000, producer_id, epoch), version)
            assert response.error_code == ErrorCode.INVALID_REQUEST


@on_broker()
async def test_ids_are_unique_over_blocks_and_restarts(stage: Stage):
    seen: set[int] = set()
    for count in (PRODUCER_ID_BLOCK + 50, 20, 20):
        connections = [await stage.connect() for _ in range(4)]
        answers = [
            connections[n % 4].send(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(None, 1000), version=4)
            for n in range(count)
        ]
        ids = [answer.producer_id for answer in await asyncio.gather(*answers)]
        assert len(set(ids)) == count
        assert not seen & set(ids)
        seen |= set(ids)
        await stage.restart()


def test_ids_are_unique_over_kills(make_broker: Callable[..., BrokerProcess]):
    broker = make_broker()
    seen: list[int] = []
    for _ in range(3):
        broker.start()
        client = WireClient(broker.bootstrap)
        seen += [client.producer_id() for _ in range(5)]
        client.close()
        broker.kill()
    assert len(set(seen)) == len(seen)
