"""A real broker is sent frames that no client would send. It answers or closes, and goes on as if nothing had been.

After each chunk: the process lives, its memory is bounded, its log has no fault, and an ordinary client can produce and fetch. At the end: at least
30% of the frames reached a handler, and every API and version was reached.
"""

from __future__ import annotations

import asyncio
import collections
import itertools
import json
import os
import random
import time

import pytest

from logbroker.testing.acked import payload, records_in
from logbroker.testing.frame_fuzz import ROUTES, FrameMaker, World
from logbroker.testing.frame_sender import Outcome, Recent, send_all
from logbroker.testing.frame_world import look_around
from logbroker.testing.progress import Progress
from logbroker.testing.wire_client import WireClient, batch_of
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

CHUNK = 1000
"""Frames between two looks at what there is: what they name goes out of date."""
FIXED_SEED = 1
RSS_MAX_BYTES = 400 << 20
REACHED_MIN = 0.30
CONTROL = "control"
COORDINATED = (
    ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP, ApiKey.HEARTBEAT, ApiKey.LEAVE_GROUP, ApiKey.OFFSET_COMMIT, ApiKey.OFFSET_FETCH,
    ApiKey.CONSUMER_GROUP_HEARTBEAT, ApiKey.CONSUMER_GROUP_DESCRIBE, ApiKey.DESCRIBE_GROUPS, ApiKey.INIT_PRODUCER_ID,
    ApiKey.ADD_PARTITIONS_TO_TXN, ApiKey.ADD_OFFSETS_TO_TXN, ApiKey.TXN_OFFSET_COMMIT, ApiKey.END_TXN,
    ApiKey.WRITE_TXN_MARKERS, ApiKey.DESCRIBE_TRANSACTIONS,
)  # fmt: skip
"""APIs of which some frames must name members and transactions so well that all is done that they ask for."""
SHALLOW_MAX = 2
"""So many of them may have had bad luck: of the rarest about four in 25,000 frames do."""
SETTINGS = {
    "socket.request.max.bytes": str(4 << 20),
    "queued.max.request.bytes": str(32 << 20),
    "group.max.session.timeout.ms": "10000",
    "log.journal.file.bytes": str(4 << 20),
    "log.journal.group.max.bytes": str(1 << 20),
    "max.connections": "500",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.migration.policy": "bidirectional",
    "transaction.max.timeout.ms": "60000",
}


@pytest.fixture
def fuzzed(make_broker):
    broker = make_broker(settings=SETTINGS).start()
    with WireClient(broker.bootstrap) as client:
        asked = [CreatableTopic(name=CONTROL, num_partitions=1, replication_factor=1)]
        client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked))
    return broker


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def control_works(broker, number):
    with WireClient(broker.bootstrap) as client:
        value = payload("control", number, 200)
        answer = client.produce(CONTROL, 0, batch_of([value], timestamp_ms=int(time.time() * 1000)))
        assert answer.error_code == 0
        found = client.fetch(CONTROL, 0, answer.base_offset)
        assert [entry[1:] for entry in records_in(found.records)] == [(answer.base_offset, value)]


def faults_in(lines):
    """Lines that a client's bytes must never bring about."""
    found = []
    for line in lines:
        try:
            level = json.loads(line)["level"]
        except ValueError:
            level = "?"
        if level not in {"info", "warning", "debug"}:
            found.append(line[:3000])
    return found


def fuzz(broker, frames, seed, say):
    progress = Progress(say, "frames", frames)
    world = World()
    outcome = Outcome()
    largest = lines_seen = 0
    for chunk in itertools.count():
        left = frames - outcome.sent
        if left <= 0:
            break
        with WireClient(broker.bootstrap) as client:
            assert CONTROL in look_around(client, world, chunk)
        maker = FrameMaker(seed + chunk, world)
        source = Recent(maker.frame() for _ in range(min(left, CHUNK)))
        where = f"seed {seed}, chunk {chunk} of {CHUNK} frames"
        asyncio.run(send_all(broker.bootstrap, source, outcome))
        assert broker.running, f"{where}: the broker is gone:\n{broker.log_text()}"
        faults = faults_in(broker.lines[lines_seen:])
        lines_seen = len(broker.lines)
        assert not faults, f"{where}: " + "\n".join(faults[:5])
        assert not outcome.silent, f"{where}: no answer: {outcome.silent[:3]}"
        largest = max(largest, rss_bytes(broker.pid))
        assert largest < RSS_MAX_BYTES, f"{where}: the broker holds {largest >> 20} MB"
        control_works(broker, chunk)
        progress.at(outcome.sent, f"at most {largest >> 20} MB, seed {seed}")
    handled = requests_handled(broker)
    reached = sum(handled.values()) - outcome.sentinels
    say(
        f"seed {seed}: {outcome.sent} frames in {progress.seconds:.0f} s, {reached} ({reached / outcome.sent:.0%}) reached a handler, {outcome.answered} answered, "
        f"{outcome.closed} closed, {outcome.parked} parked; at most {largest >> 20} MB"
    )
    say("done: " + ", ".join(f"{api.name} {count}" for api, count in outcome.done.most_common()))
    return outcome, handled, reached


def requests_handled(broker):
    """{(API, version): requests} that came to a handler."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.labels["api"], int(sample.labels["version"])): sample.value
        for family in text_string_to_metric_families(broker.http("/metrics"))
        for sample in family.samples
        if sample.name == "logbroker_requests_handled_total"
    }


def check_reached(outcome, handled, reached):
    assert reached / outcome.sent >= REACHED_MIN
    missed = [
        f"{API[key].name} {version}" for key, version in ROUTES if not handled.get((API[key].name, version))
    ]
    assert not missed, f"no frame reached these: {missed}"
    shallow = [api.name for api in COORDINATED if not outcome.done[api]]
    assert len(shallow) <= SHALLOW_MAX, f"none of these did what it asks for: {shallow} of {outcome.done}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fresh", [False, True], ids=["fixed", "fresh"])
def test_fifty_thousand_frames(fuzzed, fresh, say):
    seed = random.SystemRandom().getrandbits(32) if fresh else FIXED_SEED
    check_reached(*fuzz(fuzzed, 25_000, seed, say))


@pytest.mark.long
@pytest.mark.timeout(0)
def test_a_million_frames(fuzzed, say):
    seed = random.SystemRandom().getrandbits(32)
    outcome, handled, reached = fuzz(fuzzed, 1_000_000, seed, say)
    by_api = collections.defaultdict(list)
    for (api, version), count in sorted(handled.items()):
        by_api[api].append(f"v{version} {count:.0f}")
    for api, counts in by_api.items():
        say(f"{api}: {', '.join(counts)}")
    check_reached(outcome, handled, reached)
