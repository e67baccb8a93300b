"""What groups cost: offset commits a second, each durable before its answer, and the CPU of members that only say that they live.

    groups.py commits [--partitions 1]    100 groups, each on 4 connections, commit as fast as they are answered
    groups.py heartbeats                  1,000 groups of two members, a connection each, a heartbeat every 3 s as clients send it

Both say how much CPU the broker used, which is steadier than time on a machine that does other things too. The client prepares
its frames once and changes the offset in them, so that it takes as little of the machine as it can.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import selectors
import struct
import sys
import tempfile
import time
from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.testing.broker_process import BrokerProcess
from logbroker.testing.wire_client import WireClient
from logbroker.wire import codec
from logbroker.wire.api import ApiKey
from logbroker.wire.frames import request_frame
from logbroker.wire.headers import decode_response_header
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest
from logbroker.wire.messages.heartbeat import HeartbeatRequest
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from logbroker.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from logbroker.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup
from logbroker.wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

SECONDS = 8.0
PARTITIONS = 400
COMMIT_GROUPS = 100
CONNECTIONS = 400
"""Each has one commit under way, as consumers do; those of a group commit for different partitions."""
COMMIT_VERSION = 8
MARK = 0x7A5A_5A5A_5A5A_5A5A
"""An offset that is looked for in an encoded request."""

HEARTBEAT_GROUPS = 1000
HEARTBEAT_INTERVAL_S = 3.0
HEARTBEAT_VERSION = 4
SESSION_TIMEOUT_MS = 300_000


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("commits", "heartbeats"))
    parser.add_argument("--partitions", type=int, default=1, help="offsets in one commit, at most 50")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--dir", type=pathlib.Path, default=None, help="where the broker's data goes")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groups-", dir=wanted.dir) as directory:
        with BrokerProcess(pathlib.Path(directory) / "data", verify=False) as broker:
            with WireClient(broker.bootstrap) as client:
                topic = CreatableTopic("t", PARTITIONS, 1)
                client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest([topic], 30_000))
                _wait_for_coordinator(client)
            if wanted.what == "commits":
                commits(broker, wanted.partitions, wanted.seconds)
            else:
                heartbeats(broker, wanted.seconds)
    return 0


def _wait_for_coordinator(client: WireClient) -> None:
    request = FindCoordinatorRequest(key_type=0, coordinator_keys=["g"])
    while client.call(ApiKey.FIND_COORDINATOR, request).coordinators[0].error_code:
        time.sleep(0.1)


def commits(broker: BrokerProcess, partitions: int, seconds: float) -> None:
    """Every group commits again as soon as it is answered; what was acknowledged last must be there at the end."""
    clients = [WireClient(broker.bootstrap) for _ in range(CONNECTIONS)]
    frames = [_commit_frame(number, partitions) for number in range(CONNECTIONS)]
    places = [_places(frame) for frame in frames]
    sent = [0] * CONNECTIONS

    def send(number: int) -> None:
        sent[number] += 1
        for place in places[number]:
            struct.pack_into(">q", frames[number], place, sent[number])
        clients[number].socket.sendall(frames[number])

    selector = selectors.DefaultSelector()
    for number, client in enumerate(clients):
        selector.register(client.socket, selectors.EVENT_READ, number)
        send(number)
    started, cpu_s = time.monotonic(), _cpu_s(broker.pid)
    latencies: list[float] = []
    waiting, sent_at = CONNECTIONS, [started] * CONNECTIONS
    while waiting:
        for key, _ in selector.select():
            number = key.data
            _check_commit(clients[number].receive_frame())
            now = time.monotonic()
            latencies.append(now - sent_at[number])
            if now - started < seconds:
                sent_at[number] = now
                send(number)
            else:
                waiting -= 1
    elapsed_s, used_s = time.monotonic() - started, _cpu_s(broker.pid) - cpu_s
    _check_committed(clients[0], sent, partitions)
    for client in clients:
        client.close()
    latencies.sort()
    count = len(latencies)
    print(
        f"{count / elapsed_s:,.0f} commits/s, {count * partitions / elapsed_s:,.0f} offsets/s durable, over "
        f"{COMMIT_GROUPS} groups and {CONNECTIONS} connections; p50 {latencies[count // 2] * 1000:.1f} ms, p99 "
        f"{latencies[count * 99 // 100] * 1000:.1f} ms; broker CPU {used_s / elapsed_s:.0%} of a core, "
        f"{used_s / count * 1e6:.0f} us a commit: {count / used_s:,.0f} commits and "
        f"{count * partitions / used_s:,.0f} offsets for each second of CPU"
    )


def _commit_frame(number: int, partitions: int) -> bytearray:
    first = number // COMMIT_GROUPS * partitions
    offsets = [OffsetCommitRequestPartition(first + index, MARK, -1, "") for index in range(partitions)]
    request = OffsetCommitRequest(
        f"group-{number % COMMIT_GROUPS}", topics=[OffsetCommitRequestTopic("t", partitions=offsets)]
    )
    return _frame(ApiKey.OFFSET_COMMIT, COMMIT_VERSION, request)


def _frame(key: ApiKey, version: int, request: Any) -> bytearray:
    encoded = codec.encode_request(key, version, request)
    return bytearray().join(request_frame(key, version, 1, "bench", encoded))


def _places(frame: bytearray) -> list[int]:
    mark, found, place = struct.pack(">q", MARK), [], -1
    while (place := frame.find(mark, place + 1)) >= 0:
        found.append(place)
    return found


def _check_commit(frame: bytearray) -> None:
    _, position = decode_response_header(ApiKey.OFFSET_COMMIT, COMMIT_VERSION, frame)
    response = codec.decode_response(ApiKey.OFFSET_COMMIT, COMMIT_VERSION, frame, position)
    for partition in response.topics[0].partitions:
        if partition.error_code:
            raise SystemExit(f"a commit was refused: {ErrorCode(partition.error_code).name}")


def _check_committed(client: WireClient, sent: list[int], partitions: int) -> None:
    names = [f"group-{number}" for number in range(COMMIT_GROUPS)]
    request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(name, topics=None) for name in names])
    for answer in client.call(ApiKey.OFFSET_FETCH, request, 8).groups:
        number = names.index(answer.group_id)
        for each in answer.topics[0].partitions:
            expected = sent[each.partition_index // partitions * COMMIT_GROUPS + number]
            if each.committed_offset != expected:
                raise SystemExit(f"{answer.group_id}: {each}, but {expected} was acknowledged")


def heartbeats(broker: BrokerProcess, seconds: float) -> None:
    """Members of stable groups beat for a while; every one of them must be answered that all is well."""
    members: list[tuple[WireClient, bytearray]] = []
    for number in range(HEARTBEAT_GROUPS):
        members += _pair(broker.bootstrap, f"group-{number}")
    selector = selectors.DefaultSelector()
    for client, _ in members:
        selector.register(client.socket, selectors.EVENT_READ, client)
    gap_s = HEARTBEAT_INTERVAL_S / len(members)
    started, cpu_s = time.monotonic(), _cpu_s(broker.pid)
    beats = answered = 0
    while answered < beats or time.monotonic() - started < seconds:
        due = min(time.monotonic() - started, seconds) / gap_s
        while beats < due:
            client, frame = members[beats % len(members)]
            client.socket.sendall(frame)
            beats += 1
        for key, _ in selector.select(gap_s):
            frame = key.data.receive_frame()
            _, position = decode_response_header(ApiKey.HEARTBEAT, HEARTBEAT_VERSION, frame)
            response = codec.decode_response(ApiKey.HEARTBEAT, HEARTBEAT_VERSION, frame, position)
            if response.error_code:
                raise SystemExit(f"a heartbeat was refused: {ErrorCode(response.error_code).name}")
            answered += 1
    elapsed_s, used_s = time.monotonic() - started, _cpu_s(broker.pid) - cpu_s
    for client, _ in members:
        client.close()
    print(
        f"{answered} heartbeats in {elapsed_s:.1f} s by {len(members)} members of {HEARTBEAT_GROUPS} groups: broker CPU "
        f"{used_s / elapsed_s:.1%} of a core, {used_s / answered * 1e6:.0f} us a heartbeat"
    )


def _pair(bootstrap: str, group: str) -> list[tuple[WireClient, bytearray]]:
    """Two members of a stable group, and the frames of their heartbeats."""
    first, second = WireClient(bootstrap), WireClient(bootstrap)
    join = JoinGroupRequest(
        group,
        SESSION_TIMEOUT_MS,
        SESSION_TIMEOUT_MS,
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol("range", b"")],
    )
    leader = first.call(ApiKey.JOIN_GROUP, join, 3).member_id
    second.send(ApiKey.JOIN_GROUP, join, 3)
    beat = HeartbeatRequest(group, 1, leader)
    while first.call(ApiKey.HEARTBEAT, beat, HEARTBEAT_VERSION).error_code == 0:
        pass
    join.member_id = leader
    generation = first.call(ApiKey.JOIN_GROUP, join, 3).generation_id
    follower = second.receive().member_id
    assignments = [SyncGroupRequestAssignment(member, b"") for member in (leader, follower)]
    first.call(ApiKey.SYNC_GROUP, SyncGroupRequest(group, generation, leader, assignments=assignments), 3)
    second.call(ApiKey.SYNC_GROUP, SyncGroupRequest(group, generation, follower), 3)
    return [
        (client, _frame(ApiKey.HEARTBEAT, HEARTBEAT_VERSION, HeartbeatRequest(group, generation, member)))
        for client, member in ((first, leader), (second, follower))
    ]


def _cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
