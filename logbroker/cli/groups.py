"""`logbroker groups`: consumer groups and what they have committed, in the words of kafka-consumer-groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import click

from logbroker.cli.common import bootstrap_option, each, exit_if_refused, output_option, run
from logbroker.cli.output import print_json, print_table
from logbroker.cli.reset_offsets import reset_offsets

if TYPE_CHECKING:
    from logbroker.base.error_codes import ErrorCode
    from logbroker.client.admin import Admin
    from logbroker.client.errors import RefusedError
    from logbroker.client.types import CommittedOffset, Group, GroupListing, TopicPartition


@click.group("groups")
def groups() -> None:
    """List, describe and delete consumer groups; show, reset and delete their offsets."""


groups.add_command(reset_offsets)


@groups.command("list")
@click.option(
    "--state", "states", metavar="STATE", multiple=True, help="Only groups in this state; repeatable."
)
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only groups of this type; repeatable.")
@bootstrap_option
@output_option
def list_command(
    *, bootstrap_server: str, output: str, states: tuple[str, ...], types: tuple[str, ...]
) -> None:
    """List groups, with their type and state."""
    found = run(_list(bootstrap_server, states, types), waits_for=bootstrap_server)
    if output == "json":
        print_json([group._asdict() for group in found])
        return
    print_table(
        ["group", "type", "protocol", "state"],
        [
            (group.group_id, group.type or None, group.protocol_type or None, group.state or None)
            for group in found
        ],
        empty="no groups" if not (states or types) else "no such groups",
    )


@groups.command("describe")
@click.argument("names", metavar="[GROUP]...", nargs=-1)
@click.option("--all-groups", is_flag=True, help="Every group there is.")
@click.option("--members", "view", flag_value="members", help="Who is in it, and what each member reads.")
@click.option("--state", "view", flag_value="state", help="Its state, coordinator, assignor and size.")
@click.option(
    "--offsets",
    "view",
    flag_value="offsets",
    default=True,
    help="What it has committed, and how far it is behind (the default).",
)
@bootstrap_option
@output_option
def describe(
    *, names: tuple[str, ...], all_groups: bool, view: str, bootstrap_server: str, output: str
) -> None:
    """Show groups: offsets and lag, or members, or state."""
    if bool(names) == all_groups:
        raise click.UsageError("name groups, or give --all-groups")
    found = run(_describe(bootstrap_server, names), waits_for=bootstrap_server)
    if output == "json":
        print_json([_as_json(entry) for entry in found])
        return
    missing = [entry.group.group_id for entry in found if entry.group.state == "Dead" and not entry.offsets]
    if missing and names:
        raise click.ClickException(
            f"there is no group {missing[0]}; `logbroker groups list` names the groups there are"
        )
    if view == "members":
        _print_members(found)
    elif view == "state":
        _print_states(found)
    else:
        _print_offsets(found)


@groups.command("delete")
@click.argument("names", metavar="GROUP...", nargs=-1, required=True)
@bootstrap_option
@output_option
def delete(*, names: tuple[str, ...], bootstrap_server: str, output: str) -> None:
    """Delete groups without active members, with all that they have committed, for good."""
    outcomes = run(_delete(bootstrap_server, names), waits_for=bootstrap_server)
    if output == "json":
        print_json([{"group_id": name, "deleted": error is None} for name, error in outcomes.items()])
    else:
        for name, error in outcomes.items():
            if error is None:
                click.echo(f"deleted group {name}")
    exit_if_refused(outcomes.values())


@groups.command("delete-offsets")
@click.argument("group", metavar="GROUP")
@click.option(
    "--topic",
    "topics",
    metavar="TOPIC[:PARTITION,...]",
    multiple=True,
    required=True,
    help="Whose offsets to delete; repeatable.",
)
@bootstrap_option
@output_option
def delete_offsets(*, group: str, topics: tuple[str, ...], bootstrap_server: str, output: str) -> None:
    """Forget what a group has committed in topics that it doesn't read any more."""
    outcomes = run(_delete_offsets(bootstrap_server, group, topics), waits_for=bootstrap_server)
    if output == "json":
        print_json(
            [
                {"topic": topic, "partition": index, "error": code.name if code else None}
                for (topic, index), code in outcomes.items()
            ]
        )
    else:
        print_table(
            ["topic", "partition", "status"],
            [(topic, index, code.name if code else "deleted") for (topic, index), code in outcomes.items()],
            right=["partition"],
            empty=f"group {group} has committed nothing there",
        )
    if any(outcomes.values()):
        raise click.exceptions.Exit(1)


class _Described(NamedTuple):
    """A group with what it has committed, and where the logs of those partitions end; None where nobody leads one."""

    group: Group
    offsets: dict[TopicPartition, CommittedOffset]
    ends: dict[TopicPartition, int]


async def _list(bootstrap_server: str, states: Iterable[str], types: Iterable[str]) -> list[GroupListing]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.list_groups(states=states, types=types)


async def _describe(bootstrap_server: str, names: tuple[str, ...]) -> list[_Described]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        if not names:
            names = tuple(group.group_id for group in await admin.list_groups())
        found = []
        for name in dict.fromkeys(names):
            group = await admin.describe_group(name)
            offsets = await admin.group_offsets(name)
            read = {partition for member in group.members for partition in member.assignment}
            found.append(_Described(group, offsets, await _ends(admin, {*offsets, *read})))
        return found


async def _ends(admin: Admin, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    from logbroker.client.types import OffsetSpec, TopicPartition

    led = {
        TopicPartition(topic.name, index)
        for topic in await admin.list_topics(internal=True)
        for index in topic.available
    }
    answers = await admin.list_offsets(dict.fromkeys(led & set(partitions), OffsetSpec.LATEST))
    return {partition: at.offset for partition, at in answers.items()}


async def _delete(bootstrap_server: str, names: tuple[str, ...]) -> dict[str, RefusedError | None]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await each(names, admin.delete_group)


async def _delete_offsets(
    bootstrap_server: str, group: str, topics: tuple[str, ...]
) -> dict[TopicPartition, ErrorCode]:
    from logbroker.cli.offset_reset import parse_topic
    from logbroker.client.admin import Admin
    from logbroker.client.types import TopicPartition

    try:
        wanted = dict(parse_topic(topic) for topic in topics)
    except ValueError as error:
        raise click.UsageError(f"--topic {error}") from error
    async with Admin(bootstrap_server) as admin:
        committed = await admin.group_offsets(group)
        partitions: list[TopicPartition] = []
        for topic, numbers in wanted.items():
            # Those of a topic that is gone are named too, as only the group knows how many it had.
            named = [partition for partition in committed if partition.topic == topic]
            partitions += named if numbers is None else [TopicPartition(topic, number) for number in numbers]
        if not partitions:
            return {}
        return await admin.delete_group_offsets(group, partitions)


# ---- output


def _rows(entry: _Described) -> list[tuple[object, ...]]:
    """Of each partition that is committed or read: topic, partition, offset, end, lag, and who reads it."""
    readers = {partition: member for member in entry.group.members for partition in member.assignment}
    rows: list[tuple[object, ...]] = []
    for partition in sorted({*entry.offsets, *readers}):
        committed, end = entry.offsets.get(partition), entry.ends.get(partition)
        reader = readers.get(partition)
        rows.append(
            (
                *partition,
                None if committed is None else committed.offset,
                end,
                None if committed is None or end is None else max(end - committed.offset, 0),
                None if reader is None else reader.member_id,
                None if reader is None else reader.host,
                None if reader is None else reader.client_id,
            )
        )
    return rows


_OFFSET_COLUMNS = [
    "topic",
    "partition",
    "current-offset",
    "log-end-offset",
    "lag",
    "consumer-id",
    "host",
    "client-id",
]


def _print_offsets(found: list[_Described]) -> None:
    for number, entry in enumerate(found):
        if number:
            click.echo()
        group = entry.group
        if not group.members and group.state != "Dead":
            click.echo(f"group {group.group_id} has no active members", err=True)
        print_table(
            ["group", *_OFFSET_COLUMNS],
            [(group.group_id, *row) for row in _rows(entry)],
            right=["partition", "current-offset", "log-end-offset", "lag"],
            empty=f"group {group.group_id} has committed nothing",
        )


def _print_members(found: list[_Described]) -> None:
    rows = [
        (
            entry.group.group_id,
            member.member_id,
            member.instance_id,
            member.host,
            member.client_id,
            len(member.assignment),
            _partitions_text(member.assignment),
        )
        for entry in found
        for member in entry.group.members
    ]
    print_table(
        ["group", "consumer-id", "instance-id", "host", "client-id", "partitions", "assignment"],
        rows,
        right=["partitions"],
        empty="no active members",
    )


def _partitions_text(partitions: Iterable[TopicPartition]) -> str | None:
    by_topic: dict[str, list[int]] = {}
    for topic, index in sorted(partitions):
        by_topic.setdefault(topic, []).append(index)
    return ", ".join(f"{topic}({','.join(map(str, numbers))})" for topic, numbers in by_topic.items()) or None


def _print_states(found: list[_Described]) -> None:
    print_table(
        ["group", "type", "state", "coordinator", "assignor", "epoch", "members"],
        [
            (
                group.group_id,
                group.type or None,
                group.state,
                group.coordinator,
                group.assignor or None,
                group.epoch,
                len(group.members),
            )
            for group, *_ in found
        ],
        right=["coordinator", "epoch", "members"],
    )


def _as_json(entry: _Described) -> dict[str, object]:
    group = entry.group
    names = [name.replace("-", "_") for name in _OFFSET_COLUMNS]
    return {
        "group_id": group.group_id,
        "state": group.state,
        "type": group.type,
        "protocol_type": group.protocol_type,
        "assignor": group.assignor,
        "coordinator": group.coordinator,
        "epoch": group.epoch,
        "members": [
            {
                "member_id": member.member_id,
                "instance_id": member.instance_id,
                "client_id": member.client_id,
                "host": member.host,
                "epoch": member.epoch,
                "assignment": [partition._asdict() for partition in member.assignment],
            }
            for member in group.members
        ],
        "offsets": [
            dict(zip(names, row, strict=True))
            | {"metadata": entry.offsets[key].metadata if (key := _key(row)) in entry.offsets else None}
            for row in _rows(entry)
        ],
    }


def _key(row: tuple[object, ...]) -> TopicPartition:
    from logbroker.client.types import TopicPartition

    return TopicPartition(str(row[0]), int(str(row[1])))
