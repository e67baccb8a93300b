"""Where a log begins and ends, what lies at a time, and going there."""

from __future__ import annotations

import pytest
from samples import EARLY_MS, described, plain
from support.client_driver import KINDS

SEEKING = [name for name, kind in KINDS.items() if kind.seeks]
STEP_MS = 1000


@pytest.fixture(scope="module")
def timed(client, new_topic):
    """A topic of 90 records in nine batches, a second apart, one batch of them out of order; partition 1 is empty."""
    topic = new_topic("timed", partitions=2)
    times = [EARLY_MS + STEP_MS * n for n in range(90)]
    times[40:50] = reversed(times[40:50])
    for start in range(0, 90, 10):
        some = [described(0, None, b"%d" % n, timestamp_ms=times[n]) for n in range(start, start + 10)]
        client("confluent").call("produce", topic=topic, records=some, codec="zstd" if start % 20 else "none")
    return topic, times


def first_at(times, time_ms):
    """The offset of the earliest record whose time isn't before `time_ms`."""
    return next((offset for offset, time in enumerate(times) if time >= time_ms), None)


@pytest.mark.parametrize("name", KINDS)
def test_offsets_by_time(name, client, timed):
    topic, times = timed
    asked = [
        times[0] - 1,
        times[0],
        times[7] + 1,
        times[20],
        times[39] + 1,
        times[40],
        times[42],
        times[49],
        times[89],
    ]
    for time_ms in asked:
        found = client(name).call("offsets_for_times", topic=topic, times={0: time_ms})
        assert found == {0: first_at(times, time_ms)}, time_ms - EARLY_MS
    late = client(name).call("offsets_for_times", topic=topic, times={0: times[89] + 1})
    assert late == {0: None}


@pytest.mark.parametrize("name", KINDS)
def test_beginning_and_end(name, client, timed):
    topic, _ = timed
    assert client(name).call("offsets", topic=topic, partitions=[0, 1]) == {0: [0, 90], 1: [0, 0]}


@pytest.mark.parametrize("name", SEEKING)
def test_seeking(name, client, timed):
    topic, _ = timed
    offsets = [89, 0, 45, 44, 9, 10, 11, 88]
    assert client(name).call("read_at", topic=topic, partition=0, offsets=offsets) == offsets


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.max_timestamp])
def test_offset_of_the_newest_timestamp(name, client, timed, new_topic):
    topic, _ = timed
    assert client(name).call("max_timestamp_offset", topic=topic, partition=0) == 89
    unordered = new_topic("unordered")
    times = [EARLY_MS, EARLY_MS + 900, EARLY_MS + 100]
    records = [described(0, None, b"x", timestamp_ms=time) for time in times]
    for record in records:  # one batch each
        client("confluent").call("produce", topic=unordered, records=[record])
    assert client(name).call("max_timestamp_offset", topic=unordered, partition=0) == 1


@pytest.mark.parametrize("name", SEEKING)
def test_reading_starts_where_records_were_deleted(name, client, new_topic):
    topic = new_topic("deleted")
    client("confluent").call("produce", topic=topic, records=plain(0, 30))
    client("confluent").call("delete_records", topic=topic, before={0: 12})
    assert client(name).call("offsets", topic=topic, partitions=[0]) == {0: [12, 30]}
    read = client(name).call("consume", topic=topic, spans={0: [12, 30]})
    assert [record["o"] for record in read] == list(range(12, 30))
    with pytest.raises(Exception, match=r"(?i)out.?of.?range|reset"):
        client(name).call("read_at", topic=topic, partition=0, offsets=[3])
