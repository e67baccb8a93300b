"""A real broker, killed amid transactions that commit offsets: each counts wholly or not at all, and none hangs."""

import random
import time

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

PARTITIONS = 3
WAIT_S = 30.0
AGAIN = {
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.NOT_COORDINATOR,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
}


def insist(client, key, request, version, error_of):
    """Ask until the answer isn't one that asks to come again."""
    deadline = time.monotonic() + WAIT_S
    while True:
        answer = client.call(key, request, version)
        error = ErrorCode(error_of(answer))
        if error not in AGAIN:
            assert error is ErrorCode.NONE
            return answer
        assert time.monotonic() < deadline, error


class Worker:
    """Commits the same, ever larger offset for all partitions in each transaction; two groups in turn."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.acked = {"a": -1, "b": -1}
        self.asked = {"a": {-1}, "b": {-1}}
        self.offset = 0

    def begin(self, client):
        for key_type, keys in ((0, ["a", "b"]), (1, ["x"])):
            request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=keys)
            insist(
                client,
                ApiKey.FIND_COORDINATOR,
                request,
                6,
                lambda answer: max(each.error_code for each in answer.coordinators),
            )
        request = InitProducerIdRequest("x", 60_000)
        answer = insist(client, ApiKey.INIT_PRODUCER_ID, request, 4, lambda answer: answer.error_code)
        self.producer = (answer.producer_id, answer.producer_epoch)

    def transact(self, client, *, until_step):
        """One transaction, up to a step: 0 nothing was committed yet, 1 it was not ended, 2 the end was asked for, 3 all."""
        group = self.random.choice("ab")
        self.offset += 1
        add = AddOffsetsToTxnRequest("x", *self.producer, group)
        insist(client, ApiKey.ADD_OFFSETS_TO_TXN, add, 3, lambda answer: answer.error_code)
        if until_step == 0:
            return
        partitions = [TxnOffsetCommitRequestPartition(i, self.offset, -1, "") for i in range(PARTITIONS)]
        topics = [TxnOffsetCommitRequestTopic("t", partitions)]
        request = TxnOffsetCommitRequest("x", group, *self.producer, topics=topics)
        insist(
            client,
            ApiKey.TXN_OFFSET_COMMIT,
            request,
            4,
            lambda answer: max(each.error_code for each in answer.topics[0].partitions),
        )
        if until_step == 1:
            return
        commit = self.random.random() < 0.7
        if commit:
            self.asked[group].add(self.offset)
        end = EndTxnRequest("x", *self.producer, commit)
        if until_step == 2:
            client.send(ApiKey.END_TXN, end, 3)
            return
        insist(client, ApiKey.END_TXN, end, 3, lambda answer: answer.error_code)
        if commit:
            self.acked[group] = self.offset

    def check(self, client):
        for group in "ab":
            topics = [OffsetFetchRequestTopics("t", partition_indexes=list(range(PARTITIONS)))]
            request = OffsetFetchRequest(
                groups=[OffsetFetchRequestGroup(group, topics=topics)], require_stable=True
            )
            deadline = time.monotonic() + WAIT_S
            while True:
                answer = client.call(ApiKey.OFFSET_FETCH, request, 8).groups[0]
                errors = {answer.error_code, *(p.error_code for t in answer.topics for p in t.partitions)}
                if errors == {0}:
                    break
                assert errors <= {0, ErrorCode.UNSTABLE_OFFSET_COMMIT, *AGAIN}, errors
                assert time.monotonic() < deadline, "an offset stays unstable"
            (offset,) = {partition.committed_offset for partition in answer.topics[0].partitions}
            assert self.acked[group] <= offset
            assert offset in self.asked[group]


def kill_again_and_again(tmp_path, kills, seed):
    worker = Worker(seed)
    with BrokerProcess(tmp_path / "data") as broker:
        with WireClient(broker.bootstrap) as client:
            client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", PARTITIONS, 1)], 5000))
        for _ in range(kills):
            with WireClient(broker.bootstrap) as client:
                worker.begin(client)
                worker.check(client)
                for _ in range(worker.random.randint(0, 12)):
                    worker.transact(client, until_step=3)
                worker.transact(client, until_step=worker.random.randint(0, 3))
                broker.kill()
            broker.start()
        with WireClient(broker.bootstrap) as client:
            worker.begin(client)
            worker.check(client)


def test_transactions_survive_kills_wholly_or_not_at_all(tmp_path):
    kill_again_and_again(tmp_path, 4, random.randrange(1 << 30))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3))
def test_transactions_survive_many_kills(tmp_path, seed):
    kill_again_and_again(tmp_path, 20, seed)
