"""What `/metrics` shows of a broker: names that people chart already, numbers that are true, text that parses."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families
from support.broker_stage import Stage, batch_of, fetch_request, on_broker, produce_request, until

from logbroker.wire.api import ApiKey

KAFKA_EXPORTER = {
    "kafka_brokers",
    "kafka_topic_partitions",
    "kafka_topic_partition_current_offset",
    "kafka_topic_partition_oldest_offset",
    "kafka_topic_partition_leader",
    "kafka_topic_partition_replicas",
    "kafka_topic_partition_in_sync_replica",
    "kafka_topic_partition_under_replicated_partition",
}


def scrape(stage: Stage) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by sample name and label values."""
    text = b"".join(stage.broker.metrics.render()).decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            values = found.setdefault(sample.name, {})
            key = tuple(sample.labels.values())
            assert key not in values, f"{sample.name} {key} twice"
            values[key] = sample.value
    return found


@on_broker(log_dirs=("one", "two"))
async def test_partitions(stage: Stage):
    await stage.topic("t", 2)
    for _ in range(3):
        await stage.produce("t", batch_of([b"v", b"w"]))
    codes: list[int] = []
    stage.partition("t").log.delete_records(2, codes.append)
    await until(lambda: codes)
    found = scrape(stage)
    assert found.keys() >= KAFKA_EXPORTER
    assert found["kafka_brokers"] == {(): 1}
    assert found["kafka_topic_partitions"] == {("t",): 2}
    partitions = ("t", "0"), ("t", "1")
    for name, values in (
        ("kafka_topic_partition_current_offset", (6, 0)),
        ("kafka_topic_partition_oldest_offset", (2, 0)),
        ("kafka_topic_partition_leader", (stage.broker.node_id,) * 2),
        ("kafka_topic_partition_replicas", (1, 1)),
        ("kafka_topic_partition_in_sync_replica", (1, 1)),
        ("kafka_topic_partition_under_replicated_partition", (0, 0)),
        ("logbroker_log_end_offset", (6, 0)),
    ):
        assert found[name] == dict(zip(partitions, values, strict=True)), name
    assert found["logbroker_log_size_bytes"]["t", "0"] == 3 * len(batch_of([b"v", b"w"]))

    stage.partition("t").log.host.fail(OSError(5, "the test says so"))
    found = scrape(stage)
    assert found["kafka_topic_partition_leader"]["t", "0"] == -1
    assert found["kafka_topic_partition_in_sync_replica"]["t", "0"] == 0
    assert found["kafka_topic_partition_under_replicated_partition"] == {("t", "0"): 1, ("t", "1"): 0}
    online = found["logbroker_log_directory_online"]
    assert sorted(online.values()) == [0, 1]
    assert sorted(found["logbroker_disk_errors_total"].values()) == [0, 1]


@on_broker()
async def test_requests_and_what_waits(stage: Stage):
    await stage.topic("t")
    await stage.produce("t", batch_of([b"v"]))
    directory = str(stage.paths[0])
    found = scrape(stage)
    assert found["logbroker_connections"] == {(): 1}
    assert found["logbroker_requests_total"][()] == 2, "ApiVersions and Produce"
    assert found["logbroker_journal_commits_total"][directory,] >= 1
    assert found["logbroker_commit_seconds_count"][directory,] >= 1
    assert found["logbroker_request_seconds_count"]["Produce",] == 1
    assert found["logbroker_requests_handled_total"]["Produce", "12"] == 1
    assert found["logbroker_fetches_waiting"] == {(): 0}

    connection = await stage.connect()
    waiting = connection.send(
        ApiKey.FETCH, fetch_request({("t", 0): 1}, max_wait_ms=30_000, session_epoch=0), version=12
    )
    await until(lambda: scrape(stage)["logbroker_fetches_waiting"] == {(): 1})
    found = scrape(stage)
    assert found["logbroker_fetch_sessions"] == {(): 1}
    other = await stage.connect()
    with stage.hold("journal"):
        produced = other.send(ApiKey.PRODUCE, produce_request("t", batch_of([b"v"])), version=9)
        await until(lambda: stage.partition("t").log_end_offset == 2)
        assert scrape(stage)["logbroker_produces_waiting"][()] >= 1
    await asyncio.gather(produced, waiting)
    assert scrape(stage)["logbroker_fetches_waiting"] == {(): 0}


@on_broker()
async def test_topics_may_go_in_the_middle_of_a_scrape(stage: Stage):
    from logbroker.metadata.controller import TopicToDelete

    await stage.topic("t", 300)
    pieces = stage.broker.metrics.render()
    text = next(pieces)
    await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    text += b"".join(pieces)
    assert list(text_string_to_metric_families(text.decode()))
