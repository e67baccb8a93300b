"""What kafka-consumer-groups and kafka-transactions print while groups and transactions live, as plain data.

The clients are confluent-kafka's; the tools are Kafka's own, run in one JVM (ToolRunner.java). What differs from run to run is
masked: member and producer ids are numbered in the order in which they turn up, hosts, ports, times and the width of columns left out.
"""

import contextlib
import json
import re
import subprocess
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
TRANSACTIONS = "org.apache.kafka.tools.TransactionsCommand"
WAIT_S = 60.0
BASE_TIME_MS = 1_700_000_000_000

_MEMBER = re.compile(r"\b(?:rdkafka|[\w.]+)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_KIP_848_MEMBER = re.compile(
    r"(?<![\w+/-])(?!GroupNotEmptyException|LatestCoordinatorEpoch)[\w+/-]{22}(?![\w+/-])"
)
"""22 characters of base64, except the words that happen to be as long."""
LINES_MAX = 20
"""A page of usage says no more in full."""
_HOST = re.compile(r"/?127\.0\.0\.1(?::\d+)?|localhost(?::\d+)?")


class Tools:
    """Kafka's tools against one broker; what they print is kept under labels."""

    def __init__(self, kafka_tools, runner, bootstrap, scratch):
        self.bootstrap = bootstrap
        self.printed = {}
        self._members = {}
        self._scratch = str(scratch)
        self._masks = []
        self._process = subprocess.Popen(
            kafka_tools.command(str(runner), log_level="off"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self):
        with self._process:  # closes its standard input, by which it ends
            pass

    def mask(self, value, name):
        """Call a value of this run by a name from now on."""
        self._masks.append((re.compile(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])"), name))

    def ask(self, name, *arguments):
        """Run a tool and return what it gave, as it is."""
        words = [name, "--bootstrap-server", self.bootstrap, *arguments]
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["status"], answer["out"] + answer["err"]

    def groups(self, label, *arguments):
        """Keep what kafka-consumer-groups prints."""
        self._keep(label, self.ask(GROUPS, *arguments))

    def transactions(self, label, *arguments):
        """Keep what kafka-transactions prints."""
        self._keep(label, self.ask(TRANSACTIONS, *arguments))

    def _keep(self, label, answer):
        if label in self.printed:
            raise RuntimeError(f"two answers are labelled {label!r}")
        status, text = answer
        self.printed[label] = [f"status {status}", *self._plain(text)]

    def _plain(self, text):
        text = text.replace(self._scratch, "(scratch)")
        for pattern in (_MEMBER, _KIP_848_MEMBER):
            text = pattern.sub(self._member, text)
        text = _HOST.sub("(host)", text)
        for pattern, name in self._masks:
            text = pattern.sub(name, text)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        # The members of a group and the groups of a broker have no order of their own.
        return sorted(line for line in lines if line and not line.startswith("at "))[:LINES_MAX]

    def _member(self, found):
        return self._members.setdefault(found.group(), f"(member {len(self._members) + 1})")


def until(seen, what):
    deadline = time.monotonic() + WAIT_S
    while not seen():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} has not come in {WAIT_S:.0f} s")


def session(tools):
    """Do and ask everything; returns what was printed."""
    fill(tools.bootstrap)
    for part in (a_classic_group, its_offsets, a_consumer_group, a_transaction):
        part(tools)
    return tools.printed


def fill(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = admin.create_topics([NewTopic("orders", 3, 1), NewTopic("payments", 2, 1)])
    for future in made.values():
        future.result(WAIT_S)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    for topic, partitions, count in (("orders", 3, 10), ("payments", 2, 4)):
        for partition in range(partitions):
            for number in range(count):
                producer.produce(
                    topic, b"%d" % number, partition=partition, timestamp=BASE_TIME_MS + 1000 * number
                )
    assert producer.flush(WAIT_S) == 0


@contextlib.contextmanager
def consumer(bootstrap, group, **more):
    made = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "client.id": f"{group}-client",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            **more,
        }
    )
    try:
        yield made
    finally:
        made.close()


def read_all(reader, topics, count):
    reader.subscribe(topics)
    seen = 0

    def one():
        nonlocal seen
        message = reader.poll(0.2)
        if message is not None and message.error() is None:
            seen += 1
        return seen >= count

    until(one, f"{count} records of {topics}")


def describe_live(tools, group):
    tools.groups(f"{group}: describe", "--describe", "--group", group)
    tools.groups(f"{group}: describe, verbose", "--describe", "--group", group, "--verbose")
    tools.groups(f"{group}: offsets", "--describe", "--offsets", "--group", group)
    tools.groups(f"{group}: members", "--describe", "--members", "--group", group)
    tools.groups(f"{group}: members, verbose", "--describe", "--members", "--verbose", "--group", group)
    tools.groups(f"{group}: state", "--describe", "--state", "--group", group)
    tools.groups(f"{group}: state, verbose", "--describe", "--state", "--verbose", "--group", group)
    tools.groups(f"{group}: delete a live one", "--delete", "--group", group)
    tools.groups(
        f"{group}: reset a live one",
        *("--reset-offsets", "--group", group, "--topic", "orders", "--to-earliest", "--execute"),
    )
    tools.groups(
        f"{group}: delete offsets it reads", "--delete-offsets", "--group", group, "--topic", "orders"
    )


def a_classic_group(tools):
    tools.groups("no group: list", "--list")
    tools.groups("no group: describe", "--describe", "--group", "readers")
    tools.groups("no group: describe all", "--describe", "--all-groups")
    tools.groups("no group: delete", "--delete", "--group", "readers")
    with consumer(tools.bootstrap, "readers") as reader:
        read_all(reader, ["orders", "payments"], 38)
        reader.commit(
            offsets=[
                *(TopicPartition("orders", partition, 4 + partition) for partition in range(3)),
                TopicPartition("payments", 0, 4),
            ],
            asynchronous=False,
        )
        tools.groups("readers: list", "--list")
        tools.groups("readers: list with states", "--list", "--state")
        tools.groups("readers: list stable ones", "--list", "--state", "Stable")
        tools.groups("readers: list empty ones", "--list", "--state", "empty")
        tools.groups("readers: list what is no state", "--list", "--state", "asleep")
        tools.groups("readers: list with types", "--list", "--type")
        tools.groups("readers: list classic ones", "--list", "--type", "classic")
        describe_live(tools, "readers")
    tools.groups("readers, empty: list with states", "--list", "--state")
    tools.groups("readers, empty: describe", "--describe", "--group", "readers")
    tools.groups("readers, empty: members", "--describe", "--members", "--group", "readers")
    tools.groups("readers, empty: state", "--describe", "--state", "--group", "readers")
    with consumer(tools.bootstrap, "static", **{"group.instance.id": "one"}) as reader:
        read_all(reader, ["payments"], 8)
        tools.groups("static: members", "--describe", "--members", "--verbose", "--group", "static")


def its_offsets(tools):
    reset = ("--reset-offsets", "--group", "readers")
    for label, how in (
        ("to the earliest", ("--to-earliest",)),
        ("to the latest", ("--to-latest",)),
        ("to where it is", ("--to-current",)),
        ("to an offset", ("--to-offset", "7")),
        ("to an offset past the end", ("--to-offset", "700")),
        ("back by three", ("--shift-by", "-3")),
        ("to a time", ("--to-datetime", "2023-11-14T22:13:25.000")),
        ("by a duration", ("--by-duration", "PT1H")),
    ):
        tools.groups(f"reset {label}, dry", *reset, "--topic", "orders", *how, "--dry-run")
        tools.groups(f"reset {label}", *reset, "--topic", "orders", *how, "--execute")
    tools.groups("reset one partition", *reset, "--topic", "orders:1", "--to-offset", "2", "--execute")
    tools.groups("reset all", *reset, "--all-topics", "--to-earliest", "--execute")
    tools.groups("reset no topic", *reset, "--to-earliest", "--execute")
    tools.groups("reset an unknown topic", *reset, "--topic", "nothing", "--to-earliest", "--execute")
    tools.groups(
        "reset a new group",
        *("--reset-offsets", "--group", "fresh", "--topic", "orders", "--to-latest", "--execute"),
    )
    tools.groups("export", *reset, "--all-topics", "--to-current", "--export", "--dry-run")
    tools.groups("after the resets: describe", "--describe", "--group", "readers")
    tools.groups("delete offsets", "--delete-offsets", "--group", "readers", "--topic", "payments:0")
    tools.groups("delete offsets again", "--delete-offsets", "--group", "readers", "--topic", "payments:0")
    tools.groups("delete offsets of no topic", "--delete-offsets", "--group", "readers", "--topic", "nothing")
    tools.groups("delete offsets of no group", "--delete-offsets", "--group", "nobody", "--topic", "orders")
    tools.groups("after deleting offsets: describe", "--describe", "--group", "readers")
    tools.groups("describe all", "--describe", "--all-groups")
    tools.groups("delete", "--delete", "--group", "readers")
    tools.groups("delete several", "--delete", "--group", "fresh", "--group", "nobody")
    tools.groups("after deleting: list", "--list")


def a_consumer_group(tools):
    with consumer(tools.bootstrap, "modern", **{"group.protocol": "consumer"}) as reader:
        read_all(reader, ["orders"], 30)
        reader.commit(offsets=[TopicPartition("orders", 1, 6)], asynchronous=False)
        tools.groups("modern: list with types", "--list", "--type")
        tools.groups("modern: list consumer ones", "--list", "--type", "consumer", "--state", "Stable")
        describe_live(tools, "modern")
    tools.groups("modern, empty: describe", "--describe", "--group", "modern")
    tools.groups("modern, empty: state", "--describe", "--state", "--group", "modern")
    tools.groups("modern: delete", "--delete", "--group", "modern")


def a_transaction(tools):
    ask = tools.transactions
    ask("no transaction: list", "list")
    ask("no transaction: describe", "describe", "--transactional-id", "mover")
    ask("no producer: describe", "describe-producers", "--topic", "orders", "--partition", "0")
    producer = Producer({"bootstrap.servers": tools.bootstrap, "transactional.id": "mover"})
    producer.init_transactions(WAIT_S)
    ask_masked(tools, "begun: list", "list")
    producer.begin_transaction()
    for partition in (0, 1):
        producer.produce("orders", b"moved", partition=partition)
    assert producer.flush(WAIT_S) == 0
    ask_masked(tools, "open: list", "list")
    ask("open: list those that run long", "list", "--duration-filter", "3600000")
    ask("open: list by pattern", "list", "--transactional-id-pattern", "mov.*")
    ask("open: list by another pattern", "list", "--transactional-id-pattern", "x.*")
    ask_masked(tools, "open: describe", "describe", "--transactional-id", "mover")
    ask_masked(tools, "open: producers", "describe-producers", "--topic", "orders", "--partition", "0")
    ask("open: hanging", "find-hanging", "--broker-id", str(broker_id(tools.bootstrap)))
    producer.commit_transaction(WAIT_S)
    until(lambda: "CompleteCommit" in tools.ask(TRANSACTIONS, "list")[1], "the commit")
    ask_masked(tools, "committed: list", "list")
    ask_masked(tools, "committed: describe", "describe", "--transactional-id", "mover")
    ask_masked(tools, "committed: producers", "describe-producers", "--topic", "orders", "--partition", "0")
    producer.begin_transaction()
    producer.produce("orders", b"stuck", partition=2)
    assert producer.flush(WAIT_S) == 0
    ask("terminate", "forceTerminateTransaction", "--transactionalId", "mover")
    ask("terminate nobody's", "forceTerminateTransaction", "--transactionalId", "nobody")
    hanging = Producer({"bootstrap.servers": tools.bootstrap, "transactional.id": "hanging"})
    hanging.init_transactions(WAIT_S)
    hanging.begin_transaction()
    hanging.produce("payments", b"stuck", partition=1)
    assert hanging.flush(WAIT_S) == 0
    ask("abort what is none", "abort", "--topic", "payments", "--partition", "1", "--start-offset", "3")
    ask("abort", "abort", "--topic", "payments", "--partition", "1", "--start-offset", "4")
    ask_masked(tools, "aborted: producers", "describe-producers", "--topic", "payments", "--partition", "1")


def broker_id(bootstrap):
    return next(iter(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=WAIT_S).brokers))


_BIG = re.compile(r"(?<![\w.])\d{9,}(?![\w.])")


def ask_masked(tools, label, *arguments):
    """As `transactions`, with times (13 digits), durations and the producer's id masked."""
    status, text = tools.ask(TRANSACTIONS, *arguments)
    lines = [line.split() for line in text.splitlines()]
    header = lines[0] if lines else []
    for line in lines[1:]:
        for at, name in enumerate(header[: len(line)]):
            if name in (
                "ProducerId",
                "LatestCoordinatorEpoch",
                "TransactionDurationMs",
                "StartTimeMs",
                "TransactionStartTimeMs",
                "Coordinator",
                "CoordinatorId",
            ):
                line[at] = f"({name})"
    tools._keep(label, (status, "\n".join(_BIG.sub("(time)", " ".join(line)) for line in lines)))
