"""`logbroker consume`: print the records of a topic.

Text output is the records' own bytes: headers, key and value with tabs between them, a newline behind. JSON output is one
object a line; what isn't UTF-8 is base64, and `key_encoding` / `value_encoding` say so, as does `encoding` in a header.

Without --follow it ends where the topic ended when it started: what is written meanwhile is for the next time.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from logbroker.cli.common import bootstrap_option, run, text_output_option, topic_argument
from logbroker.cli.output import note, size_text
from logbroker.cli.progress import ProgressLine, showing, waiting_for

if TYPE_CHECKING:
    from logbroker.client.consumer import Consumer
    from logbroker.client.fetched import ConsumerRecord
    from logbroker.client.types import TopicPartition

POLL_TIMEOUT_MS = 100
POLL_MAX_RECORDS = 2_000
_NULL = b"null"


class _Job(NamedTuple):
    """What the command line asks for."""

    bootstrap_server: str
    topic: str
    partitions: tuple[int, ...]
    start: int | str
    """`beginning`, `end`, an offset, or, if negative, how many records before the end."""
    from_timestamp_ms: int | None
    follow: bool
    max_messages: int | None
    isolation_level: str
    write: Callable[[list[ConsumerRecord]], None]


_EXAMPLES = """\b
logbroker consume greetings
logbroker consume greetings --follow --key --headers
logbroker consume greetings --offset -10 --output json"""


@click.command("consume", epilog=_EXAMPLES)
@topic_argument()
@click.option(
    "--from-beginning", is_flag=True, help="Start at the first record (the default without --follow)."
)
@click.option(
    "--follow", "-f", is_flag=True, help="Wait for more at the end (and start there, unless told otherwise)."
)
@click.option("--max-messages", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option(
    "--partition", "partitions", type=click.IntRange(min=0), multiple=True, help="Only this one; repeatable."
)
@click.option(
    "--offset", help="Start at this offset; earliest; latest; or -N: N records before the end of a partition."
)
@click.option(
    "--from-timestamp", help="Start at this time: ms since the epoch, or 2026-01-31T12:00:00+01:00."
)
@click.option("--key", "show_key", is_flag=True, help="Print keys too.")
@click.option("--headers", "show_headers", is_flag=True, help="Print headers too.")
@click.option(
    "--key-separator", metavar="TEXT", default="\\t", show_default=True, help="What stands between them."
)
@click.option(
    "--isolation-level",
    type=click.Choice(["read_uncommitted", "read_committed"]),
    default="read_uncommitted",
    show_default=True,
    help="Whether records of transactions that aren't committed are read.",
)
@bootstrap_option
@text_output_option
def consume(
    *,
    topic: str,
    from_beginning: bool,
    follow: bool,
    max_messages: int | None,
    partitions: tuple[int, ...],
    offset: str | None,
    from_timestamp: str | None,
    show_key: bool,
    show_headers: bool,
    key_separator: str,
    isolation_level: str,
    bootstrap_server: str,
    output: str,
) -> None:
    """Read records of a topic.

    Prints what TOPIC holds up to where it ends now; with --follow, goes on as records come.
    """
    if sum((from_beginning, offset is not None, from_timestamp is not None)) > 1:
        raise click.UsageError(
            "--from-beginning, --offset and --from-timestamp exclude each other; give one of them"
        )
    start: int | str = "end" if follow and not from_beginning else "beginning"
    if offset is not None:
        start = _parse_offset(offset)
    separator = key_separator.replace("\\t", "\t").encode()
    job = _Job(
        bootstrap_server,
        topic,
        tuple(dict.fromkeys(partitions)),
        start,
        None if from_timestamp is None else _parse_timestamp(from_timestamp),
        follow,
        max_messages,
        isolation_level,
        _write_json
        if output == "json"
        else _text_writer(separator, show_key=show_key, show_headers=show_headers),
    )
    try:
        count = run(_consume(job))
    except KeyboardInterrupt:
        if follow:
            return  # that is how following ends
        raise
    if not follow and sys.stdout.isatty():
        note(f"-- {count} record{'' if count == 1 else 's'}; --follow waits for more")


async def _consume(job: _Job) -> int:
    """Read and print; returns how many records."""
    from logbroker.client.consumer import Consumer
    from logbroker.client.types import TopicPartition

    async with Consumer(
        job.bootstrap_server, isolation_level=job.isolation_level, auto_offset_reset="earliest"
    ) as consumer:
        async with showing(waiting_for(job.bootstrap_server)):
            partitions = (
                [TopicPartition(job.topic, index) for index in job.partitions]
                if job.partitions
                else await consumer.partitions_of(job.topic)
            )
        await _position(consumer, partitions, job)
        if job.follow:
            return await _follow(consumer, job)
        with ProgressLine(wanted=not sys.stdout.isatty()) as line:
            return await _read_to_end(consumer, partitions, job, line)


async def _position(consumer: Consumer, partitions: list[TopicPartition], job: _Job) -> None:
    """Assign the partitions and put each where reading starts."""
    positions: dict[TopicPartition, int] = {}
    if isinstance(job.start, int):
        if job.start < 0:
            starts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
            positions = {entry: max(starts[entry], ends[entry] + job.start) for entry in partitions}
        else:
            positions = dict.fromkeys(partitions, job.start)
    await consumer.assign(partitions, at="end" if job.start == "end" else "beginning")
    if job.from_timestamp_ms is not None:
        consumer.seek_to_timestamp(job.from_timestamp_ms)
    for partition, position in positions.items():
        consumer.seek(partition, position)


async def _follow(consumer: Consumer, job: _Job) -> int:
    count = 0
    while job.max_messages is None or count < job.max_messages:
        left = POLL_MAX_RECORDS if job.max_messages is None else job.max_messages - count
        records = await consumer.poll(max_records=min(left, POLL_MAX_RECORDS), timeout_ms=None)
        job.write(records)
        count += len(records)
    return count


async def _read_to_end(
    consumer: Consumer, partitions: list[TopicPartition], job: _Job, line: ProgressLine
) -> int:
    ends = await consumer.end_offsets(partitions)
    left = {partition for partition in partitions if ends[partition] > 0}
    count = size_bytes = 0
    started = time.monotonic()

    def progress() -> str:
        speed = count / (time.monotonic() - started)
        return f"{count:,} records read, {size_text(size_bytes)}, {speed:,.0f} records/s"

    while True:
        for partition in list(left):
            if await consumer.position(partition) >= ends[partition]:
                consumer.pause(partition)
                left.discard(partition)
        if not left:
            return count
        room = POLL_MAX_RECORDS if job.max_messages is None else job.max_messages - count
        records = await consumer.poll(max_records=min(room, POLL_MAX_RECORDS), timeout_ms=POLL_TIMEOUT_MS)
        wanted = [record for record in records if record.offset < ends[record.topic, record.partition]]  # type: ignore[index]  # a TopicPartition is such a pair
        job.write(wanted)
        count += len(wanted)
        size_bytes += sum(len(record.key or b"") + len(record.value or b"") for record in wanted)
        line.show(progress)
        if count == job.max_messages:
            return count


# How records look.


def _text_writer(
    separator: bytes, *, show_key: bool, show_headers: bool
) -> Callable[[list[ConsumerRecord]], None]:
    def write(records: list[ConsumerRecord]) -> None:
        out: list[bytes] = []
        for record in records:
            if show_headers:
                pairs = (
                    name.encode("utf-8", "surrogateescape") + b":" + _or_null(value)
                    for name, value in record.headers
                )
                out += (b",".join(pairs) or b"NO_HEADERS", separator)
            if show_key:
                out += (_or_null(record.key), separator)
            out += (_or_null(record.value), b"\n")
        _write(b"".join(out))

    return write


def _or_null(content: bytes | None) -> bytes:
    return _NULL if content is None else content


def _write_json(records: list[ConsumerRecord]) -> None:
    lines = [json.dumps(_as_json(record), ensure_ascii=False) for record in records]
    _write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))


def _as_json(record: ConsumerRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "timestamp_type": record.timestamp_type,
    }
    for name, content in (("key", record.key), ("value", record.value)):
        text, is_base64 = _as_text(content)
        fields[name] = text
        if is_base64:
            fields[f"{name}_encoding"] = "base64"
    headers = []
    for name, content in record.headers:
        text, is_base64 = _as_text(content)
        header: dict[str, object] = {
            "name": name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            "value": text,
        }
        if is_base64:
            header["encoding"] = "base64"
        headers.append(header)
    fields["headers"] = headers
    return fields


def _as_text(content: bytes | None) -> tuple[str | None, bool]:
    """Return bytes as text and whether that is base64, because they are no UTF-8."""
    if content is None:
        return None, False
    try:
        return content.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), True


def _write(content: bytes) -> None:
    if not content:
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _parse_offset(text: str) -> int | str:
    named = {"earliest": "beginning", "latest": "end"}.get(text)
    if named is not None:
        return named
    if not re.fullmatch(r"-?\d{1,19}", text) or int(text) >= 1 << 63:
        raise click.UsageError(f"--offset {text!r} is no offset; give a number, -N, earliest or latest")
    return int(text)


def _parse_timestamp(text: str) -> int:
    """Return ms since the epoch; a time without a zone is local time."""
    if re.fullmatch(r"\d{1,18}", text):
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise click.UsageError(
            f"--from-timestamp {text!r} is no time; give ms since the epoch or a time as in 2026-01-31T12:00:00+01:00"
        ) from None
