"""`logbroker tour`: what `make run` shows once the broker is up.

It does with a topic `hello` what any client would: creates it if it is missing, writes a few records, each acknowledged by
the broker, and reads the newest back, those of an earlier run among them: they are still there. Then it says what to try next. All of it goes through the Kafka protocol; there is no other way in.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import click

from logbroker.cli.common import DEFAULT_BOOTSTRAP_SERVER, bootstrap_option, run

if TYPE_CHECKING:
    from logbroker.client.delivery import RecordMetadata
    from logbroker.client.fetched import ConsumerRecord

TOPIC = "hello"
PARTITIONS = 3
SHOWN = 5
"""How many records are read back of each partition, at most, and printed in all."""

_GREETINGS = (("en", "hello"), ("fr", "bonjour"), ("sw", "habari"))


class _Seen(NamedTuple):
    """What the tour did and saw."""

    created: bool
    earlier: int
    written: list[RecordMetadata]
    write_ms: float
    read: list[ConsumerRecord]
    in_topic: int


@click.command("tour", hidden=True)
@bootstrap_option
def tour(*, bootstrap_server: str) -> None:
    """Send and read back a few records, and say what to try next."""
    seen = run(_tour(bootstrap_server), waits_for=bootstrap_server)
    _report(seen, bootstrap_server)


async def _tour(bootstrap_server: str) -> _Seen:
    from logbroker.base.error_codes import ErrorCode
    from logbroker.client.admin import Admin
    from logbroker.client.consumer import Consumer
    from logbroker.client.errors import RefusedError
    from logbroker.client.producer import Producer

    created = True
    async with Admin(bootstrap_server) as admin:
        try:
            await admin.create_topic(TOPIC, partitions=PARTITIONS)
        except RefusedError as error:
            if error.code != ErrorCode.TOPIC_ALREADY_EXISTS:
                raise
            created = False
    async with Producer(bootstrap_server) as producer, Consumer(bootstrap_server) as consumer:
        partitions = await consumer.partitions_of(TOPIC)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        earlier = sum(ends[partition] - starts[partition] for partition in partitions)
        started = time.perf_counter()
        written = [
            await producer.send(TOPIC, greeting.encode(), key=language.encode())
            for language, greeting in _GREETINGS
        ]
        write_ms = (time.perf_counter() - started) * 1000
        ends = await consumer.end_offsets(partitions)
        await consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, max(starts[partition], ends[partition] - SHOWN))
        read: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            read += await consumer.poll(timeout_ms=100)
    read.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
    in_topic = sum(ends[partition] - starts[partition] for partition in partitions)
    return _Seen(created, earlier, written, write_ms, read[-SHOWN:], in_topic)


def _report(seen: _Seen, bootstrap_server: str) -> None:
    click.echo()
    before = "created" if seen.created else f"was there, with {_records(seen.earlier)} from before"
    click.echo(f"  topic {TOPIC}: {before}")
    click.echo(
        f"  wrote {_records(len(seen.written))}, acknowledged one by one in {seen.write_ms:.1f} ms: "
        + ", ".join(f"{TOPIC}-{where.partition}@{where.offset}" for where in seen.written)
    )
    newest = f"the newest {len(seen.read)} of " if seen.in_topic > len(seen.read) else ""
    click.echo(f"  read back {newest}{_records(seen.in_topic)}:")
    for record in seen.read:
        key = _text(record.key)
        click.echo(f"      {TOPIC}-{record.partition}@{record.offset}  {key}  {_text(record.value)}")
    click.echo()
    click.echo("Three things to try next, in another terminal:")
    click.echo()
    click.echo("  kcat       " + f"echo hi | kcat -P -b {bootstrap_server} -t {TOPIC}")
    click.echo("             " + f"kcat -C -b {bootstrap_server} -t {TOPIC} -o beginning -e")
    click.echo()
    server = "" if bootstrap_server == DEFAULT_BOOTSTRAP_SERVER else f" --bootstrap-server {bootstrap_server}"
    click.echo(
        "  our CLI    " + f".venv/bin/logbroker consume {TOPIC} --from-beginning --follow --key{server}"
    )
    click.echo("             " + f".venv/bin/logbroker topics describe {TOPIC}{server}")
    click.echo()
    click.echo("  Python     # pip install confluent-kafka")
    click.echo("             from confluent_kafka import Producer")
    click.echo("             " + f'producer = Producer({{"bootstrap.servers": "{bootstrap_server}"}})')
    click.echo("             " + f'producer.produce("{TOPIC}", b"from Python"); producer.flush()')


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _text(content: bytes | None) -> str:
    return "null" if content is None else content.decode("utf-8", "replace")
