"""Command-line tools that people have at hand: Kafka's own, and kcat."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from samples import awkward, plain
from support.client_driver import CODECS, KINDS

pytestmark = pytest.mark.java


@pytest.fixture
def tool(kafka_tools, server):
    """Runs one of Kafka's tools against the broker: its standard output; an AssertionError when it fails."""

    def run(class_name, *arguments, input_text=None):
        done = kafka_tools.run(class_name, "--bootstrap-server", server, *arguments, input_text=input_text)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Exception" not in done.stdout + done.stderr
        return done.stdout

    return run


def test_topics_and_offsets(tool, new_name):
    topic = new_name("tool")
    tool(
        "TopicCommand", "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=7200000"
    )
    described = tool("TopicCommand", "--describe", "--topic", topic)
    assert re.search(
        rf"Topic: {topic}\s.*PartitionCount: 3\s.*ReplicationFactor: 1\s.*retention.ms=7200000", described
    )
    assert len(re.findall(r"Partition: \d\s+Leader: (\d+)\s+Replicas: \1\s+Isr: \1", described)) == 3
    assert sorted(tool("GetOffsetShell", "--topic", topic).split()) == [f"{topic}:{n}:0" for n in range(3)]


def test_console_producer_and_consumer(tool, new_topic, new_name):
    topic, group = new_topic("console", partitions=2), new_name("console")
    lines = [f"h1:v{n},h2:w\tkey {n}\tvalue {n}" for n in range(30)]
    tool(
        "ConsoleProducer",
        *("--topic", topic, "--compression-codec", "zstd"),
        *("--reader-property", "parse.key=true", "--reader-property", "parse.headers=true"),
        input_text="\n".join(lines) + "\n",
    )
    read = tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *(
            "--topic",
            topic,
            "--group",
            group,
            "--from-beginning",
            "--max-messages",
            "30",
            "--timeout-ms",
            "30000",
        ),
        *("--formatter-property", "print.key=true", "--formatter-property", "print.headers=true"),
    )
    assert sorted(read.splitlines()) == sorted(lines)
    described = tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", group
    )
    rows = [line.split() for line in described.splitlines() if line.startswith(group)]
    assert sorted(row[2] for row in rows) == ["0", "1"]
    assert sum(int(row[3]) for row in rows) == 30  # committed
    assert {row[5] for row in rows} == {"0"}  # lag


@pytest.mark.long
def test_configs_groups_records_and_directories(tool, new_topic, new_name, tmp_path, client):
    topic, group = new_topic("tooled"), new_name("tooled")
    client("confluent").call("produce", topic=topic, records=plain(0, 20))
    configs = ("kafka.admin.ConfigCommand", "--entity-type", "topics", "--entity-name", topic)
    tool(*configs, "--alter", "--add-config", "cleanup.policy=compact,segment.ms=600000")
    assert "cleanup.policy=compact" in tool(*configs, "--describe")
    tool(*configs, "--alter", "--delete-config", "cleanup.policy")
    assert "cleanup.policy" not in tool(*configs, "--describe")
    assert "log.retention.hours=168" in tool(
        "kafka.admin.ConfigCommand", "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"
    )

    asked = tmp_path / "records.json"
    asked.write_text(f'{{"partitions": [{{"topic": "{topic}", "partition": 0, "offset": 8}}], "version": 1}}')
    assert "low_watermark: 8" in tool("DeleteRecordsCommand", "--offset-json-file", str(asked))
    assert tool("GetOffsetShell", "--topic", topic, "--time", "earliest").strip() == f"{topic}:0:8"
    assert f'"partition":"{topic}-0"' in tool("LogDirsCommand", "--describe", "--topic-list", topic)

    tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *(
            "--topic",
            topic,
            "--group",
            group,
            "--from-beginning",
            "--max-messages",
            "12",
            "--timeout-ms",
            "30000",
        ),
    )
    groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    assert group in tool(groups, "--list").split()
    reset = tool(groups, "--group", group, "--topic", topic, "--reset-offsets", "--to-earliest", "--execute")
    assert re.search(rf"{group}\s+{topic}\s+0\s+8", reset)
    tool("TopicCommand", "--alter", "--topic", topic, "--partitions", "4")
    tool("TopicCommand", "--delete", "--topic", topic)
    assert topic not in tool("TopicCommand", "--list").split()


@pytest.mark.long
def test_performance_tools_and_verifiers(tool, new_topic):
    topic = new_topic("performance", partitions=3)
    made = tool(
        "ProducerPerformance",
        *("--topic", topic, "--num-records", "50000", "--record-size", "200", "--throughput", "-1"),
        *("--command-property", "compression.type=lz4"),
    )
    assert "50000 records sent" in made
    read = tool("ConsumerPerformance", "--topic", topic, "--num-records", "50000", "--timeout", "60000")
    assert ", 50000, " in read
    verified = tool("VerifiableProducer", "--topic", topic, "--max-messages", "2000")
    assert '"sent":2000,"acked":2000' in verified


@pytest.mark.long
def test_tools_that_look_around(tool, new_topic, new_name, client):
    topic, group = new_topic("looked-at", partitions=2), new_name("looked-at")
    client("confluent").call("produce", topic=topic, records=plain(0, 50))
    assert re.search(r"Produce\(0\): 0 to 13 \[usable: 13\]", tool("BrokerApiVersionsCommand"))
    consumed = tool(
        "VerifiableConsumer",
        *("--topic", topic, "--group-id", group, "--max-messages", "50", "--reset-policy", "earliest"),
    )
    assert sum(int(count) for count in re.findall(r'"records_consumed".*?"count":(\d+)', consumed)) == 50
    assert re.search(rf"{group}\s+Classic\s+consumer", tool("GroupsCommand", "--list"))
    for time, offset in (("latest", 50), ("earliest-local", 0), ("-2", 0)):
        found = tool("GetOffsetShell", "--topic-partitions", f"{topic}:0", "--time", time)
        assert found.strip() == f"{topic}:0:{offset}", time


@pytest.mark.long
@pytest.mark.parametrize(
    ("formatter", "told"),
    [
        (
            "OffsetsMessageFormatter",
            '"topic":"{topic}","partition":0}}}},"value":{{"version":4,"data":{{"offset":9,',
        ),
        (
            "GroupMetadataMessageFormatter",
            '"group":"{group}"}}}},"value":{{"version":3,"data":{{"protocolType":"consumer"',
        ),
    ],
)
def test_formatters_of_the_offsets_topic(formatter, told, kafka_tools, server, new_topic, new_name, client):
    topic, group = new_topic("formatted"), new_name("formatted")
    confluent = client("confluent")
    confluent.call("produce", topic=topic, records=plain(0, 9))
    confluent.call("join", member=group, group=group, topics=[topic])
    while not confluent.call("poll", member=group, timeout_ms=500)["records"]:
        pass
    confluent.call("commit", member=group)
    confluent.call("leave", member=group)
    done = kafka_tools.run(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", server, "--topic", "__consumer_offsets", "--from-beginning"),
        *("--timeout-ms", "4000", "--formatter", f"org.apache.kafka.tools.consumer.{formatter}"),
    )
    assert told.format(topic=topic, group=group) in done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "api"),
    [
        (("MetadataQuorumCommand", "describe", "--status"), "DESCRIBE_QUORUM"),
        (("TransactionsCommand", "list"), "LIST_TRANSACTIONS"),
        (("AclCommand", "--list"), "DESCRIBE_ACLS"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_not_offered_is_said_so(arguments, api, kafka_tools, server, own_broker):
    name, *more = arguments
    done = kafka_tools.run(name, "--bootstrap-server", server, *more)
    assert done.returncode == 1
    assert f"The node does not support {api}" in done.stdout + done.stderr


@pytest.mark.kcat
@pytest.mark.skipif(shutil.which("kcat") is None, reason="needs kcat: sudo apt-get install kcat")
def test_kcat_at_the_prompt(server, new_name):
    topic = new_name("prompt")

    def kcat(*arguments, text=""):
        done = subprocess.run(
            ["kcat", "-b", server, *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    kcat("-P", "-t", topic, "-z", "gzip", text="one\ntwo\nthree\n")
    assert kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q") == "one\ntwo\nthree\n"
    assert kcat("-C", "-t", topic, "-o", "-1", "-e", "-q") == "three\n"
    assert f'topic "{topic}" with 1 partitions' in kcat("-L")
    assert kcat("-Q", "-t", f"{topic}:0:-1").strip() == f"{topic} [0] offset 3"


def test_kafka_reads_our_files(kafka_tools, make_broker, make_driver):
    """DumpLogSegments walks every file of a stopped broker, records and all, and complains of nothing."""
    broker = make_broker(settings={"log.segment.bytes": "1048576"}).start()
    confluent = make_driver("confluent", broker.bootstrap)
    confluent.call("create_topic", topic="dumped", partitions=len(CODECS))
    written = 0
    for partition, codec in enumerate(CODECS):
        for idempotence in (False, True):
            records = awkward(KINDS["confluent"], partition, codec)
            confluent.call("produce", topic="dumped", records=records, codec=codec, idempotence=idempotence)
            written += len(records)
    confluent.call("join", member="one", group="dumped", topics=["dumped"])
    confluent.call("poll", member="one", timeout_ms=1500)
    confluent.call("commit", member="one")
    confluent.call("leave", member="one")
    broker.stop()

    files = [
        str(file)
        for kind in ("log", "index", "timeindex", "snapshot")
        for file in sorted(broker.data_dir.glob(f"*-*/*.{kind}"))
        if file.stat().st_size > 0 or kind == "log"
    ]
    assert {file.rpartition(".")[2] for file in files} >= {"log", "index", "timeindex"}
    done = kafka_tools.run(
        "DumpLogSegments", "--deep-iteration", "--print-data-log", "--files", ",".join(files)
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    complaints = [
        line
        for line in done.stdout.splitlines()
        if re.search(
            r"(?i)isvalid: false|mismatch|corrupt|error|exception|could not|unexpected",
            line.partition(" payload:")[0],
        )
    ]
    assert complaints == []
    dumped = [line for line in done.stdout.splitlines() if line.startswith("| offset:")]
    assert sum("keySize" in line for line in dumped) >= written
    assert done.stdout.count("isvalid: true") >= len(CODECS)
