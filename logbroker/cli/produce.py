"""`logbroker produce`: lines, or arguments, become records.

Lines are read as bytes and sent as they are. Everything is acknowledged before the command exits 0; the first record that
isn't ends it with exit 1 and says how many were.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, NamedTuple

import click

from logbroker.base.errors import LogbrokerError
from logbroker.cli.common import bootstrap_option, parse_pairs, run, text_output_option, topic_argument
from logbroker.cli.output import note, print_json, size_text
from logbroker.cli.progress import showing

if TYPE_CHECKING:
    from logbroker.client.delivery import Delivery
    from logbroker.client.producer import Producer

INTERRUPT_GRACE_SECONDS = 5.0
"""How long Ctrl-C waits for what is already on its way."""


class BadLineError(LogbrokerError):
    """A line that is no record."""


class _Job(NamedTuple):
    """What the command line asks for."""

    bootstrap_server: str
    topic: str
    values: tuple[bytes, ...]
    key: bytes | None
    key_separator: bytes | None
    null_marker: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int | None
    acks: str
    compression: str
    file: str | None


_EXAMPLES = """\b
echo hello | logbroker produce greetings
logbroker produce greetings --key en --value hello
logbroker produce greetings --key-separator : --file greetings.txt"""


@click.command("produce", epilog=_EXAMPLES)
@topic_argument()
@click.option(
    "--value", "values", metavar="TEXT", multiple=True, help="A record's value, instead of lines; repeatable."
)
@click.option("--key", metavar="TEXT", help="The key of every record.")
@click.option("--key-separator", metavar="TEXT", help="A line is KEY, this separator, VALUE; \\t is a tab.")
@click.option("--null-marker", metavar="TEXT", help="A key or value that is exactly this becomes null.")
@click.option(
    "--header", "headers", metavar="NAME=VALUE", multiple=True, help="A header of every record; repeatable."
)
@click.option(
    "--partition", type=click.IntRange(min=0), help="The partition; by default the key decides, or chance."
)
@click.option(
    "--acks",
    type=click.Choice(["all", "1", "0"]),
    default="all",
    show_default=True,
    help="Who must have a record before it counts as sent: all in-sync replicas, the leader, nobody.",
)
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    show_default=True,
    help="How batches are compressed.",
)
@click.option(
    "--file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read lines from a file instead of standard input.",
)
@bootstrap_option
@text_output_option
def produce(
    *,
    topic: str,
    values: tuple[str, ...],
    key: str | None,
    key_separator: str | None,
    null_marker: str | None,
    headers: tuple[str, ...],
    partition: int | None,
    acks: str,
    compression: str,
    file: str | None,
    bootstrap_server: str,
    output: str,
) -> None:
    """Write records to a topic, from lines or arguments.

    One record per line of standard input or of --file, or one per --value. Exits 0 once all are acknowledged.
    """
    if values and (file or key_separator):
        raise click.UsageError("--value is a record of its own; it doesn't go with --file or --key-separator")
    if key is not None and key_separator is not None:
        raise click.UsageError(
            "the key comes from --key or, with --key-separator, from each line; give one of them"
        )
    if key_separator == "":
        raise click.UsageError("--key-separator is empty; it must be what stands between key and value")
    job = _Job(
        bootstrap_server,
        topic,
        tuple(map(os.fsencode, values)),
        None if key is None else os.fsencode(key),
        None if key_separator is None else os.fsencode(key_separator.replace("\\t", "\t")),
        None if null_marker is None else os.fsencode(null_marker),
        [(name, os.fsencode(value)) for name, value in parse_pairs("--header", headers)],
        partition,
        acks,
        compression,
        None if file == "-" else file,
    )
    outcome = run(_produce(job))
    if output == "json":
        print_json(outcome.as_json(topic))
    else:
        note(f"{_records(outcome.records)} written to {topic}")
    if outcome.interrupted:
        raise click.Abort


class _Outcome:
    """What was written: counts, and the first and last record of each partition."""

    def __init__(self) -> None:
        self.records = 0
        self.size_bytes = 0
        self.interrupted = False
        self.first: dict[int, Delivery] = {}
        self.last: dict[int, Delivery] = {}

    def saw(self, delivery: Delivery) -> None:
        """Remember where a record went."""
        partition = delivery.partition
        if partition not in self.first:
            self.first[partition] = delivery
        self.last[partition] = delivery

    def as_json(self, topic: str) -> dict[str, object]:
        """Return it for programs."""
        return {
            "topic": topic,
            "records": self.records,
            "size_bytes": self.size_bytes,
            "partitions": [
                {
                    "partition": partition,
                    "first_offset": self.first[partition].result().offset,
                    "last_offset": self.last[partition].result().offset,
                }
                for partition in sorted(self.first)
                if self.last[partition].done
            ],
        }


async def _produce(job: _Job) -> _Outcome:
    from logbroker.base.errors import ClientError
    from logbroker.client.producer import Producer

    outcome = _Outcome()
    async with Producer(
        job.bootstrap_server,
        acks="all" if job.acks == "all" else 0 if job.acks == "0" else 1,
        compression=job.compression,
    ) as producer:
        try:
            # Whoever types records at the terminal sees them already.
            async with showing(_progress(producer, job), wanted=not _typed(job)):
                await _send_all(producer, job, outcome)
                await producer.flush()
        except asyncio.CancelledError:
            # Ctrl-C: nothing more is read, but what was read gets its chance.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            outcome.interrupted = True
            try:
                async with asyncio.timeout(INTERRUPT_GRACE_SECONDS):
                    await producer.flush()
            except (ClientError, TimeoutError) as error:
                click.echo(f"not everything was acknowledged: {error}", err=True)
        except (ClientError, BadLineError) as error:
            if isinstance(error, BadLineError):
                await producer.flush()  # what came before it is fine
            raise click.ClickException(
                f"{error}\n{_records(producer.acknowledged_records)} written"
            ) from error
        outcome.records = producer.acknowledged_records
        outcome.size_bytes = producer.acknowledged_bytes
        if outcome.interrupted:
            await producer.abort()
    return outcome


async def _send_all(producer: Producer, job: _Job, outcome: _Outcome) -> None:
    enqueue = producer.enqueue
    split = _splitter(job)
    number = 0
    async for values in _batches(job):
        for line in values:
            number += 1
            key, value = split(line, number)
            outcome.saw(
                await enqueue(job.topic, value, key=key, headers=job.headers, partition=job.partition)
            )
        if producer.failure is not None:
            raise producer.failure


async def _batches(job: _Job) -> AsyncIterator[list[bytes]]:
    """Yield the values or lines to send, some at a time."""
    from logbroker.cli.lines import read_lines, stdin_descriptor
    from logbroker.client.producer import MAX_REQUEST_BYTES

    if job.values:
        yield list(job.values)
    elif job.file is not None:
        try:
            descriptor = os.open(job.file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise click.ClickException(f"can't read {job.file}: {error.strerror}") from error
        try:
            async for lines in read_lines(descriptor, MAX_REQUEST_BYTES):
                yield lines
        finally:
            os.close(descriptor)
    else:
        descriptor = stdin_descriptor()
        if os.isatty(descriptor):
            note("type records, one per line; Ctrl-D ends")
        async for lines in read_lines(descriptor, MAX_REQUEST_BYTES):
            yield lines


def _splitter(job: _Job) -> Callable[[bytes, int], tuple[bytes | None, bytes | None]]:
    """Return what turns a line, and its number from 1, into key and value; it raises BadLineError."""
    fixed_key, separator, marker = job.key, job.key_separator, job.null_marker

    def split(line: bytes, number: int) -> tuple[bytes | None, bytes | None]:
        key: bytes | None = fixed_key
        value: bytes | None = line
        if separator is not None:
            key, found, value = line.partition(separator)
            if not found:
                raise BadLineError(
                    f"line {number}, {line[:80].decode(errors='replace')!r}, has no key separator "
                    f"{separator.decode(errors='replace')!r}"
                )
        if marker is not None:
            key = None if key == marker else key
            value = None if value == marker else value
        return key, value

    return split


def _typed(job: _Job) -> bool:
    """Whether the records are typed at a terminal."""
    return not job.values and job.file is None and sys.stdin is not None and sys.stdin.isatty()


def _progress(producer: Producer, job: _Job) -> Callable[[], str]:
    """Return what says how far it is."""
    started = time.monotonic()

    def text() -> str:
        records, seconds = producer.acknowledged_records, time.monotonic() - started
        if not records:
            return f"waiting for {job.bootstrap_server}, {seconds:.0f} s"
        size = size_text(producer.acknowledged_bytes)
        return f"{records:,} records written, {size}, {records / seconds:,.0f} records/s"

    return text


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"
