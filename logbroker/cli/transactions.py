"""`logbroker transactions`: where transactions stand, and ending by hand what holds up a partition, as kafka-transactions does."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from logbroker.cli.common import bootstrap_option, output_option, run, topic_argument
from logbroker.cli.output import print_json, print_table

if TYPE_CHECKING:
    from logbroker.client.types import PartitionProducer, TopicPartition, Transaction, TransactionListing


@click.group("transactions")
def transactions() -> None:
    """List and describe transactions; find and abort those that hold up a partition."""


@transactions.command("list")
@click.option(
    "--state", "states", metavar="STATE", multiple=True, help="Only those in this state; repeatable."
)
@bootstrap_option
@output_option
def list_command(*, states: tuple[str, ...], bootstrap_server: str, output: str) -> None:
    """List transactional ids, with where the transaction of each stands."""
    found = run(_list(bootstrap_server, states), waits_for=bootstrap_server)
    if output == "json":
        print_json([entry._asdict() for entry in found])
        return
    print_table(
        ["transactional-id", "producer-id", "state"],
        found,
        right=["producer-id"],
        empty="no transactional ids" if not states else "none in such a state",
    )


@transactions.command("describe")
@click.argument("transactional_id", metavar="TRANSACTIONAL-ID")
@bootstrap_option
@output_option
def describe(*, transactional_id: str, bootstrap_server: str, output: str) -> None:
    """Show where a transaction stands, since when, and which partitions are in it."""
    found = run(_describe(bootstrap_server, transactional_id), waits_for=bootstrap_server)
    started = found.started_ms if found.started_ms > 0 else None
    partitions = [f"{topic}-{index}" for topic, index in found.partitions]
    if output == "json":
        print_json(
            {
                "transactional_id": found.transactional_id,
                "state": found.state,
                "coordinator": found.coordinator,
                "producer_id": found.producer_id,
                "producer_epoch": found.producer_epoch,
                "timeout_ms": found.timeout_ms,
                "started_ms": started,
                "partitions": [partition._asdict() for partition in found.partitions],
            }
        )
        return
    for name, value in (
        ("id", found.transactional_id),
        ("state", found.state),
        ("coordinator", found.coordinator),
        ("producer", f"{found.producer_id}, epoch {found.producer_epoch}"),
        ("timeout", f"{found.timeout_ms} ms"),
        ("started", "-" if started is None else _ago(started)),
        ("partitions", ", ".join(partitions) or "-"),
    ):
        click.echo(f"{name:<12}{value}")


@transactions.command("producers")
@topic_argument()
@bootstrap_option
@output_option
def producers(*, topic: str, bootstrap_server: str, output: str) -> None:
    """Show the producers that a topic's partitions remember, and since which offset their transactions are open.

    TOPIC may name some of its partitions: orders:0,3.
    """
    found = run(_producers(bootstrap_server, topic), waits_for=bootstrap_server)
    rows = [(partition, producer) for partition, known in found.items() for producer in known]
    if output == "json":
        print_json([partition._asdict() | producer._asdict() for partition, producer in rows])
        return
    print_table(
        ["topic", "partition", "producer-id", "epoch", "last-sequence", "transaction-start", "last-write"],
        [
            (
                *partition,
                producer.producer_id,
                producer.producer_epoch,
                producer.last_sequence if producer.last_sequence >= 0 else None,
                producer.transaction_start if producer.transaction_start >= 0 else None,
                _ago(producer.last_timestamp_ms) if producer.last_timestamp_ms >= 0 else None,
            )
            for partition, producer in rows
        ],
        right=["partition", "producer-id", "epoch", "last-sequence", "transaction-start"],
        empty="no producers",
    )


@transactions.command("abort")
@topic_argument()
@click.option("--partition", type=click.IntRange(min=0), required=True, help="Which of its partitions.")
@click.option(
    "--start-offset",
    type=click.IntRange(min=0),
    required=True,
    help="The first offset of the transaction, as `logbroker transactions producers` shows it.",
)
@bootstrap_option
@output_option
def abort(*, topic: str, partition: int, start_offset: int, bootstrap_server: str, output: str) -> None:
    """Abort by hand a transaction in one partition that its coordinator will never end.

    Readers of committed records go on behind it. A transaction that is merely slow ends by itself after its timeout: look with
    `logbroker transactions list` first.
    """
    aborted = run(_abort(bootstrap_server, topic, partition, start_offset), waits_for=bootstrap_server)
    if output == "json":
        print_json(
            {"topic": topic, "partition": partition, "producer_id": aborted.producer_id, "aborted": True}
        )
    else:
        click.echo(f"aborted the transaction of producer {aborted.producer_id} in {topic}-{partition}")


async def _list(bootstrap_server: str, states: tuple[str, ...]) -> list[TransactionListing]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.list_transactions(states=states)


async def _describe(bootstrap_server: str, transactional_id: str) -> Transaction:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.describe_transaction(transactional_id)


async def _producers(
    bootstrap_server: str, topic: str
) -> dict[TopicPartition, tuple[PartitionProducer, ...]]:
    from logbroker.cli.offset_reset import parse_topic
    from logbroker.client.admin import Admin
    from logbroker.client.types import TopicPartition

    try:
        name, numbers = parse_topic(topic)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    async with Admin(bootstrap_server) as admin:
        if numbers is None:
            numbers = [partition.index for partition in (await admin.describe_topic(name)).partitions]
        found = await admin.describe_producers(TopicPartition(name, number) for number in numbers)
        return dict(sorted(found.items()))


async def _abort(bootstrap_server: str, topic: str, index: int, start_offset: int) -> PartitionProducer:
    from logbroker.client.admin import Admin
    from logbroker.client.types import TopicPartition

    partition = TopicPartition(topic, index)
    async with Admin(bootstrap_server) as admin:
        for producer in (await admin.describe_producers([partition]))[partition]:
            if producer.transaction_start == start_offset:
                await admin.abort_transaction(partition, producer)
                return producer
    raise click.ClickException(
        f"no transaction is open in {topic}-{index} since offset {start_offset}; "
        f"`logbroker transactions producers {topic}` shows those that are"
    )


def _ago(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, UTC)
    seconds = max(time.time() - moment_ms / 1000, 0)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ} ({seconds:.0f} s ago)"
