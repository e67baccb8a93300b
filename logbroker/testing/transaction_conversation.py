"""A long talk with a broker about transactions, request by request, whose answers can be compared between brokers.

Everything that the coordinator answers, in every version: who begins, what is added, how it ends, who is fenced, what a question that
is asked again gets. Producer ids are numbered in the order in which they turn up, times are left out.

A transaction is complete a moment after its end is answered; `settle` waits for that, unnoted, so that answers don't depend on
how quick a broker is. What must not be asked of Kafka twice at the same time is not in it.
"""

from __future__ import annotations

import time
from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.talk import Answers, Talk, until
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from logbroker.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.describe_transactions import DescribeTransactionsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_transactions import ListTransactionsRequest
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from logbroker.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

COORDINATOR_TIMEOUT_S = 60.0
PARTITIONS = 4
TIMEOUT_MS = 60_000
NOBODY = 999_999_999
"""A producer id that no producer has."""

Producer = tuple[int, int]


class _Talk(Talk):
    """A talk in which producer ids are numbered, and the state of a transaction can be waited for."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, masked=frozenset({"error_message", "transaction_start_time_ms"}))
        self._producers: dict[int, str] = {-1: "none", 0: "none", NOBODY: "nobody"}
        self.b = WireClient(bootstrap, client_id="talk")

    def close(self) -> None:
        super().close()
        self.b.close()

    def _plain(self, value: Any, name: str = "") -> Any:
        if name == "producer_id" and value > 0:
            return self._producers.setdefault(value, f"producer {len(self._producers) - 2}")
        if name == "partition_error_code":
            return ErrorCode(value).name
        if name == "partitions" and value and isinstance(value[0], int):
            return sorted(value)
        return super()._plain(value, name)

    def settle(self, name: str) -> None:
        """Wait until nothing of the transaction is under way."""
        request = DescribeTransactionsRequest([name])

        def settled() -> bool:
            answer = self.b.call(ApiKey.DESCRIBE_TRANSACTIONS, request).transaction_states[0]
            return answer.transaction_state not in ("PrepareCommit", "PrepareAbort")

        until(settled)

    def init(self, label: str, name: str | None, version: int = 5, **fields: Any) -> Producer:
        """InitProducerId; settled."""
        fields.setdefault("transaction_timeout_ms", TIMEOUT_MS)
        answer = self.ask(label, ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(name, **fields), version)
        if name:
            self.settle(name)
        return answer.producer_id, answer.producer_epoch

    def add(self, label: str, name: str, producer: Producer, *indexes: int, version: int = 3) -> None:
        """AddPartitionsToTxn of `t`."""
        topics = [AddPartitionsToTxnTopic("t", list(indexes))]
        request = AddPartitionsToTxnRequest(name, *producer, topics)
        if version >= 4:
            request = AddPartitionsToTxnRequest(
                transactions=[
                    AddPartitionsToTxnTransaction(name, *producer, verify_only=False, topics=topics)
                ]
            )
        self.ask(label, ApiKey.ADD_PARTITIONS_TO_TXN, request, version)

    def end(
        self, label: str, name: str, producer: Producer, *, commit: bool = True, version: int = 5
    ) -> Producer:
        """EndTxn; settled."""
        answer = self.ask(label, ApiKey.END_TXN, EndTxnRequest(name, *producer, commit), version)
        self.settle(name)
        return answer.producer_id, answer.producer_epoch

    def describe(self, label: str, *names: str) -> None:
        """DescribeTransactions."""
        self.ask(label, ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest(list(names)))


def converse(bootstrap: str) -> Answers:
    """Talk to the broker; it must be new.

    Raises:
        RuntimeError: It isn't ready in time, or it is not as it must be.
        ConnectionError: It closed a connection.

    """
    talk = _Talk(bootstrap)
    try:
        _prepare(talk)
        for part in (
            _refusals,
            _old_versions,
            _second_version,
            _verification,
            _fencing,
            _going_on,
            _offsets,
            _lists,
            _markers,
        ):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _prepare(talk: _Talk) -> None:
    created = talk.a.call(
        ApiKey.CREATE_TOPICS, CreateTopicsRequest([CreatableTopic("t", PARTITIONS, 1)], 30_000), 5
    )
    if created.topics[0].error_code:
        raise RuntimeError(f"the topic was not created: {created}")

    def known() -> bool:
        metadata = talk.a.call(ApiKey.METADATA, MetadataRequest([MetadataRequestTopic(name="t")]), 12)
        return not metadata.topics[0].error_code and len(metadata.topics[0].partitions) == PARTITIONS

    until(known)
    # Producer id 0 is what an answer says that has none: let somebody else have it.
    until(
        lambda: (
            talk.a.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(None, TIMEOUT_MS), 5).producer_id >= 0
        )
    )
    names = ["v0", "v1", "v2", "v3", "v4", "v5", "two", "verify", "fence", "on", "offsets", "nobody"]
    _wait_for(talk, 1, names)
    _wait_for(talk, 0, ["g"])
    request = FindCoordinatorRequest(key_type=1, coordinator_keys=["two", ""])
    talk.ask("find coordinator", ApiKey.FIND_COORDINATOR, request, 6)
    talk.ask("find coordinator v3", ApiKey.FIND_COORDINATOR, FindCoordinatorRequest("two", 1), 3)
    talk.ask("find coordinator v1", ApiKey.FIND_COORDINATOR, FindCoordinatorRequest("two", 1), 1)


def _wait_for(talk: _Talk, key_type: int, keys: list[str]) -> None:
    deadline = time.monotonic() + COORDINATOR_TIMEOUT_S
    request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=keys)
    while True:
        found = talk.a.call(ApiKey.FIND_COORDINATOR, request, 6)
        described = talk.a.call(ApiKey.DESCRIBE_TRANSACTIONS, DescribeTransactionsRequest(keys))
        ready = key_type == 0 or all(
            state.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND for state in described.transaction_states
        )
        if ready and not any(coordinator.error_code for coordinator in found.coordinators):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"no coordinator: {found}")
        time.sleep(0.1)


def _refusals(talk: _Talk) -> None:
    """What is no transaction, and what nobody has heard of."""
    talk.init("init of an empty id", "")
    for timeout_ms in (0, -1, 900_001):
        talk.init(f"init with a timeout of {timeout_ms}", "nobody", transaction_timeout_ms=timeout_ms)
    talk.init("init with an epoch alone", "nobody", producer_epoch=0)
    talk.init("init with an id alone", "nobody", producer_id=5)
    talk.init("idempotent with an epoch alone", None, producer_epoch=0)
    for name in ("", "nobody"):
        for version in range(6):
            talk.add(f"add to {name!r} v{version}", name, (NOBODY, 0), 0, version=version)
            talk.end(f"end of {name!r} v{version}", name, (NOBODY, 0), version=version)
        for version in range(5):
            talk.ask(
                f"add offsets to {name!r} v{version}",
                ApiKey.ADD_OFFSETS_TO_TXN,
                AddOffsetsToTxnRequest(name, NOBODY, 0, "g"),
                version,
            )
    talk.describe("describe", "", "nobody", "nobody")


def _old_versions(talk: _Talk) -> None:
    """Transactions as clients of every age make them."""
    for version in range(6):
        name = f"v{version}"
        label = f"by InitProducerId v{version}:"
        producer = talk.init(f"{label} init", name, version)
        talk.describe(f"{label} describe empty", name)
        for commit in (True, False):
            what = "commit" if commit else "abort"
            add, end = min(version, 3), min(version, 4)
            talk.end(f"{label} {what} nothing", name, producer, commit=commit, version=end)
            talk.add(f"{label} add for {what}", name, producer, 0, 2, version=add)
            talk.add(f"{label} add again for {what}", name, producer, 2, version=add)
            talk.describe(f"{label} describe before {what}", name)
            stale = (producer[0], producer[1] + 1)
            talk.add(f"{label} add with another epoch for {what}", name, stale, 1, version=add)
            talk.end(f"{label} {what} with another epoch", name, stale, commit=commit, version=end)
            talk.add(f"{label} add with another id for {what}", name, (NOBODY, 0), 1, version=add)
            talk.end(f"{label} {what} with another id", name, (NOBODY, 0), commit=commit, version=end)
            talk.end(f"{label} {what}", name, producer, commit=commit, version=end)
            talk.describe(f"{label} describe after {what}", name)
            talk.end(f"{label} {what} again", name, producer, commit=commit, version=end)
            talk.end(f"{label} the opposite of {what}", name, producer, commit=not commit, version=end)
        second = talk.init(f"{label} another producer", name, version)
        talk.add(f"{label} the first adds", name, producer, 0, version=add)
        talk.end(f"{label} the first commits", name, producer, version=end)
        talk.add(f"{label} the second adds", name, second, 0, version=add)
        talk.init(f"{label} a third comes between", name, version)
        talk.init(f"{label} a third", name, version)
        talk.end(f"{label} the second commits", name, second, version=end)


def _second_version(talk: _Talk) -> None:
    """Transaction version 2: every end bumps the epoch."""
    first = talk.init("v2: init", "two")
    talk.end("v2: commit nothing", "two", first)
    second = talk.end("v2: abort nothing", "two", first, commit=False)
    talk.end("v2: abort nothing again", "two", first, commit=False)
    talk.end("v2: abort nothing, then commit", "two", first, commit=True)
    talk.add("v2: add", "two", second, 0, 1, version=5)
    talk.add("v2: add with the epoch before", "two", first, 0, 1, version=5)
    talk.end("v2: commit with the epoch before", "two", first)
    third = talk.end("v2: commit", "two", second)
    talk.describe("v2: describe", "two")
    talk.end("v2: commit again", "two", second)
    talk.end("v2: abort after commit", "two", second, commit=False)
    talk.end("v2: commit what is not begun", "two", third)
    talk.end("v2: end long ago", "two", first)
    fourth = talk.end("v2: abort right after commit", "two", third, commit=False)
    talk.describe("v2: describe aborted", "two")
    talk.add("v2: add in version 4", "two", fourth, 3, version=4)
    fifth = talk.end("v2: abort", "two", fourth, commit=False)
    talk.end("v2: abort again", "two", fourth, commit=False)
    talk.end("v2: commit after abort", "two", fourth)
    # The same producer, as an older client.
    talk.add("v2: add as an older client", "two", fifth, 3, version=3)
    talk.end("v2: commit as an older client", "two", fifth, version=4)
    talk.end("v2: commit again as an older client", "two", fifth, version=4)


def _verification(talk: _Talk) -> None:
    """AddPartitionsToTxn of brokers: several transactions, some of them only verified."""
    producer = talk.init("verify: init", "verify")

    def verify(label: str, version: int, *asked: tuple[str, Producer, bool, str, list[int]]) -> None:
        transactions = [
            AddPartitionsToTxnTransaction(
                name, *who, verify_only=only, topics=[AddPartitionsToTxnTopic(topic, indexes)]
            )
            for name, who, only, topic, indexes in asked
        ]
        request = AddPartitionsToTxnRequest(transactions=transactions)
        talk.ask(label, ApiKey.ADD_PARTITIONS_TO_TXN, request, version)

    for version in (4, 5):
        verify(f"verify: before v{version}", version, ("verify", producer, True, "t", [0]))
        talk.add(f"verify: add v{version}", "verify", producer, 0, version=version)
        verify(
            f"verify: several v{version}",
            version,
            ("verify", producer, True, "t", [0, 1]),
            ("nobody", producer, True, "t", [0]),
            ("", producer, True, "t", [0]),
        )
        verify(f"verify: another epoch v{version}", version, ("verify", (producer[0], 9), True, "t", [0]))
        verify(f"verify: another id v{version}", version, ("verify", (NOBODY, 0), True, "t", [0]))
        verify(f"verify: unknown partition v{version}", version, ("verify", producer, True, "t", [0, 77]))
        verify(f"verify: unknown topic v{version}", version, ("verify", producer, False, "x", [0]))
        following = talk.end(f"verify: commit v{version}", "verify", producer)
        verify(f"verify: after v{version}", version, ("verify", following, True, "t", [0]))
        producer = following
    request = AddPartitionsToTxnRequest(
        "verify", *producer, [AddPartitionsToTxnTopic("t", [0, 9]), AddPartitionsToTxnTopic("x", [0])]
    )
    talk.ask("add partitions that don't exist", ApiKey.ADD_PARTITIONS_TO_TXN, request, 3)
    request = AddPartitionsToTxnRequest("verify", *producer, [])
    talk.ask("add no partitions", ApiKey.ADD_PARTITIONS_TO_TXN, request, 3)
    talk.describe("describe what has no partitions", "verify")
    talk.end("commit what has no partitions", "verify", producer)


def _fencing(talk: _Talk) -> None:
    """Another producer comes while a transaction goes on."""
    first = talk.init("fence: init", "fence")
    talk.add("fence: add", "fence", first, 0, version=5)
    talk.init("fence: another", "fence")
    talk.describe("fence: describe", "fence")
    talk.end("fence: the first commits", "fence", first)
    talk.end("fence: the first aborts", "fence", first, commit=False)
    second = talk.init("fence: another again", "fence")
    talk.add("fence: the first adds", "fence", first, 0, version=5)
    talk.end("fence: the first commits later", "fence", first)
    talk.add("fence: the second adds", "fence", second, 0, version=5)
    talk.end("fence: the second commits", "fence", second)


def _going_on(talk: _Talk) -> None:
    """KIP-360: a producer goes on after an error, with what it had."""
    for version in (3, 4, 5):
        first = talk.init(f"on: init v{version}", "on", version)

        def on(label: str, who: Producer, version: int = version) -> Producer:
            return talk.init(
                f"on: {label} v{version}", "on", version, producer_id=who[0], producer_epoch=who[1]
            )

        second = on("goes on", first)
        on("asks again", first)
        third = on("goes on again", second)
        on("is two behind", first)
        on("with another id", (NOBODY, 0))
        on("with the last epoch of another id", (NOBODY, 32_766))
        on("with an epoch to come", (third[0], third[1] + 5))
        talk.add(f"on: add v{version}", "on", third, 0)
        on("in a transaction", third)
        on("as it was before", third)
        fourth = talk.init(f"on: another v{version}", "on", version)
        on("after another", third)
        on("as another", fourth)
        on("as another asks again", fourth)
    talk.init("on: never heard of", "on-new", producer_id=NOBODY, producer_epoch=3)
    talk.init("on: with a negative id", "on", producer_id=-2, producer_epoch=3)


def _offsets(talk: _Talk) -> None:
    """AddOffsetsToTxn puts the group's partition in."""
    producer = talk.init("offsets: init", "offsets")
    for version in range(5):
        for label, who in (
            ("", producer),
            (" with another epoch", (producer[0], 9)),
            (" as another", (NOBODY, 0)),
        ):
            talk.ask(
                f"offsets: add{label} v{version}",
                ApiKey.ADD_OFFSETS_TO_TXN,
                AddOffsetsToTxnRequest("offsets", *who, "g"),
                version,
            )
    talk.describe("offsets: describe", "offsets")
    talk.end("offsets: commit", "offsets", producer, version=3)


def _lists(talk: _Talk) -> None:
    """ListTransactions with every filter."""

    def ask(label: str, request: ListTransactionsRequest, *versions: int) -> None:
        for version in versions:
            answer = talk.a.call(ApiKey.LIST_TRANSACTIONS, request, version)
            answer.transaction_states.sort(key=lambda state: state.transactional_id)
            talk.note(f"list {label} v{version}", answer)

    producer = talk.init("list: init", "two")
    talk.add("list: add", "two", producer, 0, version=5)
    ask("all", ListTransactionsRequest(), 0, 1, 2)
    ask("by state", ListTransactionsRequest(["Ongoing", "CompleteAbort"]), 0, 2)
    ask("by states nobody knows", ListTransactionsRequest(["Sleeping", "ongoing", "Ongoing"]), 0, 2)
    ask("by a state nobody knows", ListTransactionsRequest(["Sleeping"]), 0)
    ask("by a state that is never seen", ListTransactionsRequest(["Dead", "PrepareEpochFence"]), 0)
    ask("by producer id", ListTransactionsRequest([], [producer[0], NOBODY]), 0, 2)
    ask("by both", ListTransactionsRequest(["CompleteCommit"], [producer[0]]), 0)
    ask("by duration", ListTransactionsRequest(duration_filter=0), 1)
    ask("by a long duration", ListTransactionsRequest(["Ongoing"], duration_filter=3_600_000), 1, 2)
    for pattern in ("v.*", "v[0-2]", "wo", "(", "", "t|two", "(?i)TWO", r"\w+e"):
        ask(f"by pattern {pattern!r}", ListTransactionsRequest(transactional_id_pattern=pattern), 2)
    talk.end("list: abort", "two", producer, commit=False)


def _markers(talk: _Talk) -> None:
    """WriteTxnMarkers, as an administrator sends it."""

    def write(
        label: str, version: int, epoch: int, coordinator_epoch: int, topic: str, *indexes: int
    ) -> None:
        marker = WritableTxnMarker(
            NOBODY,
            epoch,
            transaction_result=False,
            topics=[WritableTxnMarkerTopic(topic, list(indexes))],
            coordinator_epoch=coordinator_epoch,
        )
        talk.ask(f"marker {label}", ApiKey.WRITE_TXN_MARKERS, WriteTxnMarkersRequest([marker]), version)

    for version in range(API[ApiKey.WRITE_TXN_MARKERS].min_version, 3):
        write(f"for a partition that is not there v{version}", version, 3, 0, "t", 0, 99)
        write(f"for a topic that is not there v{version}", version, 3, 0, "x", 0)
        write(f"of a producer nobody knows v{version}", version, 3, 5, "t", version)
        write(f"again v{version}", version, 3, 5, "t", version)
        write(f"of an older epoch v{version}", version, 2, 5, "t", version)
        write(f"of an older coordinator v{version}", version, 3, 4, "t", version)
        write(f"of a newer epoch v{version}", version, 4, 6, "t", version)
