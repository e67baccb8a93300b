"""A talk with a broker about what happens to offsets besides being committed: transactions, deletion, groups that are listed and deleted.

As `group_conversation`: everything in a fixed order, each answer under a label, so that Kafka's answers, recorded once, say what ours must
be. Errors' texts are not in it.
"""

from __future__ import annotations

import time

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.talk import Answers, Talk, until
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.delete_groups import DeleteGroupsRequest
from logbroker.wire.messages.describe_groups import DescribeGroupsRequest
from logbroker.wire.messages.end_txn import EndTxnRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from logbroker.wire.messages.list_groups import ListGroupsRequest
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from logbroker.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from logbroker.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

COORDINATOR_TIMEOUT_S = 60.0
PARTITIONS = 4
TRANSACTION_TIMEOUT_MS = 60_000
SUBSCRIPTION = b"\x00\x00\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff"
GROUPS = ["consumers", "connect", "simple", "txn", "txn-members", "nobody"]

Producer = tuple[int, int]


class _Talk(Talk):
    """A talk whose groups have one member at most."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap, masked=frozenset({"error_message"}))
        self.producers: dict[str, Producer] = {}

    def stable(self, group: str, protocol_type: str = "consumer") -> tuple[str, int]:
        """Make a stable group of one; returns the member's id and the generation."""
        join = JoinGroupRequest(
            group,
            60_000,
            60_000,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol("range", SUBSCRIPTION)],
        )
        joined = self.a.call(ApiKey.JOIN_GROUP, join, 3)
        member, generation = joined.member_id, joined.generation_id
        sync = SyncGroupRequest(
            group, generation, member, assignments=[SyncGroupRequestAssignment(member, b"")]
        )
        if self.a.call(ApiKey.SYNC_GROUP, sync, 3).error_code:
            raise RuntimeError(f"{group} is not stable")
        return member, generation

    def leave(self, group: str, member: str) -> None:
        """The member goes; the group is empty."""
        self.a.call(ApiKey.LEAVE_GROUP, LeaveGroupRequest(group, members=[MemberIdentity(member)]), 5)

    def commit(self, label: str, group: str, offset: int, member: str = "", generation: int = -1) -> None:
        """Commit for partitions 0 and 1 of `t`, and 0 of `u`."""
        topics = [
            OffsetCommitRequestTopic(
                name, partitions=[OffsetCommitRequestPartition(index, offset, -1, "") for index in indexes]
            )
            for name, indexes in (("t", (0, 1)), ("u", (0,)))
        ]
        request = OffsetCommitRequest(group, generation, member, topics=topics)
        self.ask(label, ApiKey.OFFSET_COMMIT, request, 9)

    def fetch(self, label: str, *groups: str, stable: bool = False) -> None:
        """What is committed: everything, and for named partitions."""
        named = [OffsetFetchRequestTopics("t", partition_indexes=[0, 1, 2])]
        for how, topics in (("all", None), ("some", named)):
            request = OffsetFetchRequest(
                groups=[OffsetFetchRequestGroup(group, topics=topics) for group in groups],
                require_stable=stable,
            )
            self.ask(f"{label} ({how})", ApiKey.OFFSET_FETCH, request, 9)

    def begin(self, name: str) -> Producer:
        """A producer with a new epoch."""
        request = InitProducerIdRequest(name, TRANSACTION_TIMEOUT_MS)
        while True:
            answer = self.a.call(ApiKey.INIT_PRODUCER_ID, request, 4)
            if not answer.error_code:
                break
            if answer.error_code != ErrorCode.CONCURRENT_TRANSACTIONS:
                raise RuntimeError(f"no producer: {answer}")
            time.sleep(0.01)
        producer = self.producers[name] = (answer.producer_id, answer.producer_epoch)
        return producer

    def add_offsets(self, name: str, group: str) -> None:
        """The transaction is to have the group's offsets."""
        request = AddOffsetsToTxnRequest(name, *self.producers[name], group)
        while error := self.a.call(ApiKey.ADD_OFFSETS_TO_TXN, request, 3).error_code:
            if error != ErrorCode.CONCURRENT_TRANSACTIONS:
                raise RuntimeError(f"AddOffsetsToTxn: {ErrorCode(error).name}")
            time.sleep(0.01)

    def txn_commit(
        self,
        label: str,
        name: str,
        group: str,
        offset: int,
        *,
        version: int = 4,
        member: str = "",
        generation: int = -1,
        instance: str | None = None,
        producer: Producer | None = None,
    ) -> None:
        """Commit in a transaction: for a partition, one that doesn't exist, one with too long a note, and an unknown topic."""
        partitions = [
            TxnOffsetCommitRequestPartition(0, offset, 3, "note"),
            TxnOffsetCommitRequestPartition(9, offset, -1, None),
            TxnOffsetCommitRequestPartition(2, offset, -1, "x" * 4097),
        ]
        topics = [
            TxnOffsetCommitRequestTopic("t", partitions),
            TxnOffsetCommitRequestTopic("nowhere", [TxnOffsetCommitRequestPartition(0, offset, -1, None)]),
        ]
        request = TxnOffsetCommitRequest(
            name, group, *(producer or self.producers[name]), generation, member, instance, topics
        )
        self.ask(label, ApiKey.TXN_OFFSET_COMMIT, request, version)

    def end(self, name: str, *, commit: bool) -> None:
        """End the transaction."""
        answer = self.a.call(ApiKey.END_TXN, EndTxnRequest(name, *self.producers[name], commit), 3)
        if answer.error_code:
            raise RuntimeError(f"EndTxn: {ErrorCode(answer.error_code).name}")

    def settled(self, group: str) -> None:
        """Wait until no transaction has offsets of the group."""
        request = OffsetFetchRequest(
            groups=[
                OffsetFetchRequestGroup(
                    group, topics=[OffsetFetchRequestTopics("t", partition_indexes=[0, 1, 2])]
                )
            ],
            require_stable=True,
        )
        until(
            lambda: (
                not any(
                    partition.error_code
                    for topic in self.a.call(ApiKey.OFFSET_FETCH, request, 9).groups[0].topics
                    for partition in topic.partitions
                )
            )
        )


def converse(bootstrap: str) -> Answers:
    """Talk to the broker; topics `t` and `u` and the groups must not exist, and the initial rebalance delay must be 0.

    Raises:
        RuntimeError: It isn't ready in time, or it is not as it must be.
        ConnectionError: It closed a connection.

    """
    talk = _Talk(bootstrap)
    try:
        _prepare(talk)
        for part in (_delete_offsets, _lists, _transactional, _implicit, _fenced, _delete_groups):
            part(talk)
        return talk.answers
    finally:
        talk.close()


def _prepare(talk: _Talk) -> None:
    topics = [CreatableTopic(name, PARTITIONS, 1) for name in ("t", "u")]
    talk.a.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics, 30_000), 5)
    deadline = time.monotonic() + COORDINATOR_TIMEOUT_S
    groups = FindCoordinatorRequest(key_type=0, coordinator_keys=GROUPS)
    names = FindCoordinatorRequest(key_type=1, coordinator_keys=["x"])
    while True:
        found = [
            *talk.a.call(ApiKey.FIND_COORDINATOR, groups, 6).coordinators,
            *talk.a.call(ApiKey.FIND_COORDINATOR, names, 6).coordinators,
        ]
        beats = [talk.a.call(ApiKey.HEARTBEAT, HeartbeatRequest(group, 0, "m")) for group in GROUPS]
        init = talk.a.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest("ready", TRANSACTION_TIMEOUT_MS), 4)
        if (
            not any(coordinator.error_code for coordinator in found)
            and all(beat.error_code == ErrorCode.UNKNOWN_MEMBER_ID for beat in beats)
            and not init.error_code
        ):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"no coordinator: {found} {init}")
        time.sleep(0.1)


def _delete_offsets(talk: _Talk) -> None:
    def delete(label: str, group: str, *topics: str) -> None:
        asked = [
            OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(index) for index in (0, 3, 9)])
            for topic in topics
        ]
        talk.ask(label, ApiKey.OFFSET_DELETE, OffsetDeleteRequest(group, asked))

    delete("delete offsets of no group", "", "t")
    delete("delete offsets of an unknown group", "nobody", "t")
    talk.commit("commit in a simple group", "simple", 5)
    delete("delete nothing", "simple")
    delete("delete offsets of a simple group", "simple", "t", "nowhere")
    talk.fetch("after the deletion in a simple group", "simple")
    member, generation = talk.stable("consumers")
    talk.commit("commit in a stable group", "consumers", 6, member, generation)
    delete("delete offsets of a stable group", "consumers", "t", "u")
    talk.fetch("after the deletion in a stable group", "consumers", "nobody")
    other, _ = talk.stable("connect", "connect")
    delete("delete offsets of a group of another protocol", "connect", "u")
    talk.leave("connect", other)
    delete("delete offsets of an empty group of another protocol", "connect", "u")


def _lists(talk: _Talk) -> None:
    for version in range(6):
        talk.ask(f"list v{version}", ApiKey.LIST_GROUPS, ListGroupsRequest(), version)
    for states, types in (
        (["Stable"], []),
        (["sTABLE", "Empty"], []),
        (["nothing"], []),
        (["PreparingRebalance"], ["classic"]),
        ([], ["classic"]),
        ([], ["Classic"]),
        ([], ["consumer"]),
        ([], ["nothing"]),
        (["empty"], ["CLASSIC", "consumer"]),
    ):
        request = ListGroupsRequest(states, types)
        talk.ask(f"list {'+'.join(states)} of {'+'.join(types)}", ApiKey.LIST_GROUPS, request, 5)


def _transactional(talk: _Talk) -> None:
    for version in range(5):
        name = f"x{version}"
        talk.begin(name)
        talk.add_offsets(name, "txn")
        talk.txn_commit(f"transactional commit v{version}", name, "txn", 10 + version, version=version)
        talk.fetch(f"while v{version} is open", "txn")
        talk.fetch(f"while v{version} is open, stable", "txn", stable=True)
        commit = version % 2 == 0
        talk.end(name, commit=commit)
        talk.settled("txn")
        talk.fetch(f"after v{version} was {'committed' if commit else 'aborted'}", "txn", stable=True)
    talk.begin("between")
    talk.add_offsets("between", "txn")
    talk.txn_commit("a transactional commit before a plain one", "between", "txn", 30)
    talk.commit("a plain commit after a transactional one", "txn", 29)
    talk.fetch("plain over pending", "txn")
    talk.fetch("plain over pending, stable", "txn", stable=True)
    talk.end("between", commit=True)
    talk.settled("txn")
    talk.fetch("the plain one was later", "txn", stable=True)
    talk.begin("deleted")
    talk.add_offsets("deleted", "txn")
    talk.txn_commit("a transactional commit before a deletion", "deleted", "txn", 40)
    request = OffsetDeleteRequest(
        "txn", [OffsetDeleteRequestTopic("t", [OffsetDeleteRequestPartition(index) for index in range(3)])]
    )
    talk.ask("delete pending offsets", ApiKey.OFFSET_DELETE, request)
    talk.fetch("after the deletion of pending offsets", "txn", stable=True)
    talk.end("deleted", commit=True)
    talk.settled("txn")
    talk.fetch("after the commit of what was deleted", "txn", stable=True)


def _implicit(talk: _Talk) -> None:
    """Transaction version 2: the commit itself brings the group into the transaction, and each end gives another epoch."""
    for commit in (True, False):
        outcome = "committed" if commit else "aborted"
        talk.begin("two")
        talk.txn_commit(f"implicit, to be {outcome}", "two", "txn", 60, version=5)
        talk.txn_commit(f"implicit again, to be {outcome}", "two", "txn", 61 if commit else 62, version=5)
        talk.fetch(f"implicit, before it is {outcome}", "txn", stable=True)
        producer = talk.producers["two"]
        answer = talk.a.call(ApiKey.END_TXN, EndTxnRequest("two", *producer, commit), 5)
        if answer.error_code or answer.producer_epoch != producer[1] + 1:
            raise RuntimeError(f"EndTxn: {answer}")
        talk.settled("txn")
        talk.fetch(f"implicit, {outcome}", "txn", stable=True)
        talk.txn_commit(f"implicit with the epoch that was {outcome}", "two", "txn", 63, version=5)
    talk.txn_commit(
        "implicit with an unknown producer id", "two", "txn", 64, version=5, producer=(999_999_999, 0)
    )
    talk.producers["nobody"] = talk.begin("three")
    talk.txn_commit("implicit with an unknown transactional id", "nobody", "txn", 65, version=5)


def _fenced(talk: _Talk) -> None:
    """Who may not commit in a transaction."""
    talk.begin("f")
    for version in (0, 3, 4):
        talk.txn_commit(f"a group that the transaction has not v{version}", "f", "txn", 1, version=version)
    talk.add_offsets("f", "txn")
    talk.add_offsets("f", "txn-members")
    talk.txn_commit("in the group without a name", "f", "", 1)
    talk.txn_commit("in an unknown group with a generation", "f", "txn-members", 1, generation=1)
    talk.txn_commit("in an unknown group with a member", "f", "txn-members", 1, member="m")
    member, generation = talk.stable("txn-members")
    known: dict[str, tuple[str, int, str | None]] = {
        "as a member": (member, generation, None),
        "in an old generation": (member, generation - 1, None),
        "in a later generation": (member, generation + 1, None),
        "as a member without a generation": (member, -1, None),
        "as a stranger": ("x", generation, None),
        "as a strange instance": (member, generation, "i"),
        "without an id": ("", generation, None),
        "as nobody": ("", -1, None),
    }
    for label, (who, when, instance) in known.items():
        talk.txn_commit(label, "f", "txn-members", 7, member=who, generation=when, instance=instance)
    stale = talk.producers["f"]
    for label, producer in {
        "with a later epoch": (stale[0], stale[1] + 1),
        "with an unknown producer id": (999_999_999, 0),
    }.items():
        for version in (2, 4):
            talk.txn_commit(f"{label} v{version}", "f", "txn-members", 8, producer=producer, version=version)
    talk.begin("f")
    talk.settled("txn-members")
    talk.txn_commit("fenced", "f", "txn-members", 9, producer=stale)
    talk.leave("txn-members", member)
    talk.txn_commit("in an empty group without a generation", "f", "txn-members", 9, member="m")


def _delete_groups(talk: _Talk) -> None:
    talk.begin("d")
    talk.add_offsets("d", "simple")
    talk.txn_commit("before the group is deleted", "d", "simple", 50)
    groups = ["consumers", "connect", "simple", "nobody", ""]
    for version in range(3):
        talk.ask(f"delete groups v{version}", ApiKey.DELETE_GROUPS, DeleteGroupsRequest(groups), version)
    talk.end("d", commit=True)
    talk.settled("simple")
    talk.fetch("of deleted groups", "simple", "connect", stable=True)
    talk.ask("describe deleted groups", ApiKey.DESCRIBE_GROUPS, DescribeGroupsRequest(groups), 6)
    talk.ask("delete no groups", ApiKey.DELETE_GROUPS, DeleteGroupsRequest([]))
    talk.ask("list what is left", ApiKey.LIST_GROUPS, ListGroupsRequest(), 5)
