"""`logbroker groups reset-offsets`: put a group somewhere else. Nothing is changed without `--execute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from logbroker.cli.common import bootstrap_option, output_option, run
from logbroker.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from logbroker.cli.offset_reset import Bounds, Target
    from logbroker.client.admin import Admin
    from logbroker.client.types import TopicPartition

_INACTIVE = frozenset({"Empty", "Dead"})


@click.command("reset-offsets")
@click.argument("group", metavar="GROUP")
@click.option(
    "--topic",
    "topics",
    metavar="TOPIC[:PARTITION,...]",
    multiple=True,
    help="Where to reset; repeatable. With --from-file all that is in the file by default.",
)
@click.option("--all-topics", is_flag=True, help="In every topic where the group has committed something.")
@click.option("--to-earliest", is_flag=True, help="To the first record there is.")
@click.option("--to-latest", is_flag=True, help="Behind the last record: what is there already is skipped.")
@click.option(
    "--to-current", is_flag=True, help="To where the group is: to bring it back into the log, or to --export."
)
@click.option("--to-offset", type=click.IntRange(min=0), metavar="OFFSET", help="To an offset.")
@click.option("--shift-by", type=int, metavar="N", help="By so many records: forward, or back if negative.")
@click.option(
    "--to-datetime",
    metavar="TIME",
    help="To the first record at or after a time: 2026-11-24T20:00:00, UTC unless it has a zone.",
)
@click.option("--by-duration", metavar="DURATION", help="As --to-datetime, so long ago: P1DT12H, PT30M.")
@click.option(
    "--from-file", type=click.File("r", encoding="utf-8"), help="To what a file says, as --export writes it."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done; so is it without --execute.")
@click.option("--execute", is_flag=True, help="Do it.")
@click.option("--export", is_flag=True, help="Print it as a file for --from-file, and don't do it.")
@bootstrap_option
@output_option
def reset_offsets(
    *,
    group: str,
    topics: tuple[str, ...],
    all_topics: bool,
    dry_run: bool,
    execute: bool,
    export: bool,
    bootstrap_server: str,
    output: str,
    **ways: Any,
) -> None:
    """Reset what a group has committed, so that it reads again, or skips.

    The group must have no active members. Without --execute nothing is changed.
    """
    if sum((dry_run, execute, export)) > 1:
        raise click.UsageError("give one of --dry-run, --execute and --export")
    target = _target(group, ways)
    if (bool(topics) and all_topics) or not (topics or all_topics or target.offsets is not None):
        raise click.UsageError("give --topic or --all-topics")
    scope = None if all_topics else _scope(topics)
    moves = run(_reset(bootstrap_server, group, scope, target, execute=execute), waits_for=bootstrap_server)
    if export:
        from logbroker.cli.offset_reset import write_file

        click.echo(write_file({move.partition: move.after for move in moves}), nl=False)
    elif output == "json":
        print_json(
            [
                {
                    "group_id": group,
                    "topic": move.partition.topic,
                    "partition": move.partition.partition,
                    "current_offset": move.before,
                    "new_offset": move.after,
                    "done": execute,
                }
                for move in moves
            ]
        )
    else:
        print_table(
            ["group", "topic", "partition", "current-offset", "new-offset"],
            [(group, *move.partition, move.before, move.after) for move in moves],
            right=["partition", "current-offset", "new-offset"],
            empty="there is nothing to reset",
        )
        if not execute and moves:
            note("nothing was changed; --execute does it")


class _Move(NamedTuple):
    partition: TopicPartition
    before: int | None
    after: int


def _target(group: str, ways: dict[str, Any]) -> Target:
    """Where to, from the one option that says it."""
    from logbroker.cli.offset_reset import OffsetFileError, Target, To, read_file

    given = {To(name.replace("_", "-")): value for name, value in ways.items() if value not in (None, False)}
    if len(given) != 1:
        raise click.UsageError("give one of " + ", ".join(f"--{way.value}" for way in To))
    (way, value), *_ = given.items()
    if way is To.FILE:
        lines: IO[str] = value
        try:
            return Target(way, offsets=read_file(lines, group))
        except (OffsetFileError, UnicodeDecodeError) as error:
            raise click.UsageError(f"--from-file: {error}") from error
    return Target(way, number=_NUMBERS[way.value](value))


def _since(duration: str) -> int:
    import time

    from logbroker.cli.offset_reset import parse_duration

    return max(time.time_ns() // 1_000_000 - _parsed("--by-duration", parse_duration, duration), 0)


def _at(moment: str) -> int:
    from logbroker.cli.offset_reset import parse_datetime

    return max(_parsed("--to-datetime", parse_datetime, moment), 0)


def _parsed(option: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"{option}: {error}") from error


_NUMBERS: dict[str, Callable[[Any], int]] = {
    "to-earliest": int,
    "to-latest": int,
    "to-current": int,
    "to-offset": int,
    "shift-by": int,
    "to-datetime": _at,
    "by-duration": _since,
}


def _scope(topics: tuple[str, ...]) -> dict[str, list[int] | None]:
    from logbroker.cli.offset_reset import parse_topic

    try:
        return dict(parse_topic(topic) for topic in topics)
    except ValueError as error:
        raise click.UsageError(f"--topic: {error}") from error


async def _reset(
    bootstrap_server: str,
    group: str,
    scope: dict[str, list[int] | None] | None,
    target: Target,
    *,
    execute: bool,
) -> list[_Move]:
    from logbroker.cli.offset_reset import place
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        described = await admin.describe_group(group)
        if described.state not in _INACTIVE:
            raise click.ClickException(
                f"group {group} is {described.state} with {len(described.members)} members; stop them first, as they would "
                "go on from where they are and commit over it"
            )
        committed = {
            partition: known.offset for partition, known in (await admin.group_offsets(group)).items()
        }
        partitions = await _partitions(admin, scope, target, committed)
        bounds = await _bounds(admin, partitions, target, committed)
        try:
            moves = [
                _Move(partition, committed.get(partition), place(target, partition, bounds[partition]))
                for partition in partitions
            ]
        except ValueError as error:
            raise click.ClickException(str(error)) from error
        if execute and moves:
            await admin.alter_group_offsets(group, {move.partition: move.after for move in moves})
        return moves


async def _partitions(
    admin: Admin,
    scope: dict[str, list[int] | None] | None,
    target: Target,
    committed: dict[TopicPartition, int],
) -> list[TopicPartition]:
    """The partitions to reset, in order; each exists."""
    from logbroker.client.types import TopicPartition

    there = {topic.name: len(topic.partitions) for topic in await admin.list_topics(internal=True)}
    if scope:
        wanted = [
            TopicPartition(name, index)
            for name, numbers in scope.items()
            for index in (range(there.get(name, 1)) if numbers is None else numbers)
        ]
        if target.offsets is not None:
            wanted = [partition for partition in wanted if partition in target.offsets]
    elif target.offsets is not None:
        wanted = list(target.offsets)
    else:
        # What the group has of a topic that is gone can't be reset, and doesn't keep the others from it.
        wanted = [partition for partition in committed if partition.topic in there]
    for name, index in wanted:
        if name not in there:
            raise click.ClickException(
                f"there is no topic {name}; `logbroker topics list` names the topics there are"
            )
        if index >= there[name]:
            raise click.ClickException(
                f"the topic {name} has {there[name]} partitions, and {index} is none of them"
            )
    return sorted(wanted)


async def _bounds(
    admin: Admin, partitions: list[TopicPartition], target: Target, committed: dict[TopicPartition, int]
) -> dict[TopicPartition, Bounds]:
    from logbroker.cli.offset_reset import Bounds
    from logbroker.client.types import OffsetSpec

    starts = await admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
    ends = await admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    times = await admin.list_offsets(dict.fromkeys(partitions, target.number)) if target.to.by_time else {}
    return {
        partition: Bounds(
            start=starts[partition].offset,
            end=ends[partition].offset,
            committed=committed.get(partition),
            at_time=times[partition].offset if partition in times and times[partition].offset >= 0 else None,
        )
        for partition in partitions
    }
