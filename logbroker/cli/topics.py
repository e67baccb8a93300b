"""`logbroker topics`: list, create, describe, alter and delete, in the words of kafka-topics and kafka-configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from logbroker.cli.common import (
    bootstrap_option,
    each,
    exit_if_refused,
    output_option,
    parse_pairs,
    run,
    topic_argument,
)
from logbroker.cli.output import note, print_json, print_table, size_text

if TYPE_CHECKING:
    from logbroker.client.errors import RefusedError
    from logbroker.client.types import ConfigEntry, Partition, Topic

_BROKER_DEFAULT = -1


@click.group("topics")
def topics() -> None:
    """List, create, describe, alter and delete topics."""


@topics.command("list")
@click.option("--exclude-internal", is_flag=True, help="Leave out the cluster's own topics.")
@bootstrap_option
@output_option
def list_command(*, bootstrap_server: str, output: str, exclude_internal: bool) -> None:
    """List topics, with how many partitions and replicas they have."""
    found = run(_list(bootstrap_server, internal=not exclude_internal), waits_for=bootstrap_server)
    if output == "json":
        print_json(
            [
                {
                    "name": topic.name,
                    "topic_id": str(topic.topic_id),
                    "partitions": len(topic.partitions),
                    "replication_factor": _replication_factor(topic),
                    "internal": topic.internal,
                }
                for topic in found
            ]
        )
        return
    print_table(
        ["topic", "partitions", "replicas"],
        [(topic.name, len(topic.partitions), _replication_factor(topic)) for topic in found],
        right=["partitions", "replicas"],
        empty="no topics yet; create one with: logbroker topics create NAME",
    )


@topics.command("create")
@topic_argument()
@click.option(
    "--partitions", type=click.IntRange(min=1), help="How many; by default the broker's num.partitions."
)
@click.option(
    "--replication-factor",
    type=click.IntRange(min=1, max=32767),
    help="How many copies; by default the broker's default.replication.factor.",
)
@click.option(
    "--config", "configs", metavar="NAME=VALUE", multiple=True, help="Set a topic config; repeatable."
)
@click.option("--if-not-exists", is_flag=True, help="A topic that exists already is fine.")
@bootstrap_option
@output_option
def create(
    *,
    topic: str,
    partitions: int | None,
    replication_factor: int | None,
    configs: tuple[str, ...],
    if_not_exists: bool,
    bootstrap_server: str,
    output: str,
) -> None:
    """Create a topic."""
    pairs = dict(parse_pairs("--config", configs))
    created = run(
        _create(
            bootstrap_server,
            topic,
            partitions or _BROKER_DEFAULT,
            replication_factor or _BROKER_DEFAULT,
            pairs,
            if_not_exists=if_not_exists,
        ),
        waits_for=bootstrap_server,
    )
    if output == "json":
        print_json({"name": topic, "created": created})
    else:
        click.echo(f"created topic {topic}" if created else f"topic {topic} exists already")


@topics.command("describe")
@topic_argument(many=True, required=False)
@click.option("--exclude-internal", is_flag=True, help="Leave out the cluster's own topics.")
@click.option(
    "--under-replicated-partitions", is_flag=True, help="Only partitions whose replicas aren't all in sync."
)
@click.option("--unavailable-partitions", is_flag=True, help="Only partitions without a leader.")
@bootstrap_option
@output_option
def describe(
    *,
    names: tuple[str, ...],
    exclude_internal: bool,
    under_replicated_partitions: bool,
    unavailable_partitions: bool,
    bootstrap_server: str,
    output: str,
) -> None:
    """Show topics in full: partitions, leaders, offsets, and the configs that differ from the defaults.

    Without a name, every topic.
    """
    found = run(_describe(bootstrap_server, names, internal=not exclude_internal), waits_for=bootstrap_server)

    def wanted(partition: Partition) -> bool:
        return (not under_replicated_partitions or len(partition.in_sync) < len(partition.replicas)) and (
            not unavailable_partitions or partition.leader < 0
        )

    chosen = [(entry, [part for part in entry.topic.partitions if wanted(part)]) for entry in found]
    if under_replicated_partitions or unavailable_partitions:
        chosen = [(entry, partitions) for entry, partitions in chosen if partitions]
    if output == "json":
        print_json([_as_json(entry, partitions) for entry, partitions in chosen])
        return
    for number, (entry, partitions) in enumerate(chosen):
        if number:
            click.echo()
        _print_topic(entry, partitions)
    if not chosen:
        note("nothing to describe")


@topics.command("alter")
@topic_argument()
@click.option(
    "--partitions", type=click.IntRange(min=1), help="The new number of partitions; it can only grow."
)
@click.option(
    "--config", "configs", metavar="NAME=VALUE", multiple=True, help="Set a topic config; repeatable."
)
@click.option(
    "--delete-config",
    "deleted",
    metavar="NAME",
    multiple=True,
    help="Go back to the broker's value; repeatable.",
)
@bootstrap_option
@output_option
def alter(
    *,
    topic: str,
    partitions: int | None,
    configs: tuple[str, ...],
    deleted: tuple[str, ...],
    bootstrap_server: str,
    output: str,
) -> None:
    """Give a topic more partitions, or other configs."""
    pairs = dict(parse_pairs("--config", configs))
    if partitions is None and not pairs and not deleted:
        raise click.UsageError("nothing to alter; give --partitions, --config or --delete-config")
    both = sorted(pairs.keys() & set(deleted))
    if both:
        raise click.UsageError(f"{', '.join(both)} can't be set and deleted at once")
    run(_alter(bootstrap_server, topic, partitions, pairs, deleted), waits_for=bootstrap_server)
    if output == "json":
        print_json({"name": topic, "altered": True})
    else:
        click.echo(f"altered topic {topic}")


@topics.command("delete")
@topic_argument(many=True)
@click.option("--if-exists", is_flag=True, help="A topic that doesn't exist is fine.")
@bootstrap_option
@output_option
def delete(*, names: tuple[str, ...], if_exists: bool, bootstrap_server: str, output: str) -> None:
    """Delete topics, with all their records, at once and for good."""
    from logbroker.base.error_codes import ErrorCode

    outcomes = run(_delete(bootstrap_server, names), waits_for=bootstrap_server)
    refused = {
        name: error
        for name, error in outcomes.items()
        if error is not None and not (if_exists and error.code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    }
    if output == "json":
        print_json([{"name": name, "deleted": error is None} for name, error in outcomes.items()])
    else:
        for name, error in outcomes.items():
            if name not in refused:
                click.echo(f"deleted topic {name}" if error is None else f"topic {name} does not exist")
    exit_if_refused(refused.values())


class _Described(NamedTuple):
    """A topic with all that `describe` shows; offsets are None for a partition without a leader."""

    topic: Topic
    configs: list[ConfigEntry]
    start_offsets: dict[int, int]
    end_offsets: dict[int, int]
    sizes_bytes: dict[int, int]


async def _list(bootstrap_server: str, *, internal: bool) -> list[Topic]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.list_topics(internal=internal)


async def _create(
    bootstrap_server: str,
    name: str,
    partitions: int,
    replication_factor: int,
    configs: dict[str, str],
    *,
    if_not_exists: bool,
) -> bool:
    from logbroker.base.error_codes import ErrorCode
    from logbroker.client.admin import Admin
    from logbroker.client.errors import RefusedError

    async with Admin(bootstrap_server) as admin:
        try:
            await admin.create_topic(
                name, partitions=partitions, replication_factor=replication_factor, configs=configs
            )
        except RefusedError as error:
            if if_not_exists and error.code == ErrorCode.TOPIC_ALREADY_EXISTS:
                return False
            raise
    return True


async def _describe(bootstrap_server: str, names: tuple[str, ...], *, internal: bool) -> list[_Described]:
    from logbroker.client.admin import Admin
    from logbroker.client.errors import RefusedError, UnsupportedByBrokerError
    from logbroker.client.types import OffsetSpec, TopicPartition

    async with Admin(bootstrap_server) as admin:
        if names:
            found = [await admin.describe_topic(name) for name in dict.fromkeys(names)]
        else:
            found = await admin.list_topics(internal=internal)
        if not found:
            return []
        led = [TopicPartition(topic.name, index) for topic in found for index in topic.available]
        starts = await admin.list_offsets(dict.fromkeys(led, OffsetSpec.EARLIEST))
        ends = await admin.list_offsets(dict.fromkeys(led, OffsetSpec.LATEST))
        configs = await admin.topics_configs([topic.name for topic in found])
        sizes: dict[TopicPartition, int] = {}
        try:
            for log_dir in await admin.describe_log_dirs(topics=[topic.name for topic in found]):
                for replica in log_dir.replicas:
                    partition = TopicPartition(replica.topic, replica.partition)
                    sizes[partition] = max(sizes.get(partition, 0), replica.size_bytes)
        except (RefusedError, UnsupportedByBrokerError):
            pass  # a broker may keep that to itself; the sizes are then left out
    return [
        _Described(
            topic,
            configs.get(topic.name, []),
            {
                partition.partition: at.offset
                for partition, at in starts.items()
                if partition.topic == topic.name
            },
            {
                partition.partition: at.offset
                for partition, at in ends.items()
                if partition.topic == topic.name
            },
            {partition.partition: size for partition, size in sizes.items() if partition.topic == topic.name},
        )
        for topic in found
    ]


async def _alter(
    bootstrap_server: str,
    name: str,
    partitions: int | None,
    configs: dict[str, str],
    deleted: tuple[str, ...],
) -> None:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        if deleted:
            # A broker takes the deletion of a config that doesn't exist for done; whoever mistyped one should hear of it.
            there = {config.name for config in (await admin.topics_configs([name])).get(name, [])}
            unknown = [config for config in deleted if config not in there]
            if unknown and there:
                raise click.UsageError(
                    f"--delete-config: there is no topic config {unknown[0]}; "
                    f"`logbroker topics describe {name} --output json` names them all"
                )
        if configs or deleted:
            await admin.alter_topic_configs(name, configs, delete=deleted)
        if partitions is not None:
            await admin.create_partitions(name, partitions)


async def _delete(bootstrap_server: str, names: tuple[str, ...]) -> dict[str, RefusedError | None]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await each(names, admin.delete_topic)


def _replication_factor(topic: Topic) -> int:
    return len(topic.partitions[0].replicas) if topic.partitions else 0


def _print_topic(entry: _Described, partitions: list[Partition]) -> None:
    topic = entry.topic
    overrides = [config for config in entry.configs if config.source == config.source.DYNAMIC_TOPIC_CONFIG]
    click.echo(f"topic       {topic.name}")
    click.echo(f"id          {topic.topic_id}")
    click.echo(f"partitions  {len(topic.partitions)}")
    click.echo(f"replicas    {_replication_factor(topic)}")
    for number, config in enumerate(overrides):
        click.echo(f"{'' if number else 'configs':<12}{config.name}={config.value}")
    click.echo()
    print_table(
        ["partition", "leader", "epoch", "replicas", "in-sync", "start", "end", "size"],
        [
            (
                partition.index,
                partition.leader if partition.leader >= 0 else "none",
                partition.leader_epoch,
                ",".join(map(str, partition.replicas)),
                ",".join(map(str, partition.in_sync)),
                entry.start_offsets.get(partition.index),
                entry.end_offsets.get(partition.index),
                size_text(entry.sizes_bytes.get(partition.index, -1)),
            )
            for partition in partitions
        ],
        right=["partition", "leader", "epoch", "start", "end", "size"],
    )


def _as_json(entry: _Described, partitions: list[Partition]) -> dict[str, object]:
    topic = entry.topic
    return {
        "name": topic.name,
        "topic_id": str(topic.topic_id),
        "internal": topic.internal,
        "replication_factor": _replication_factor(topic),
        "configs": {
            config.name: {"value": config.value, "source": config.source.name, "read_only": config.read_only}
            for config in entry.configs
        },
        "partitions": [
            {
                "partition": partition.index,
                "leader": partition.leader,
                "leader_epoch": partition.leader_epoch,
                "replicas": list(partition.replicas),
                "in_sync": list(partition.in_sync),
                "offline": list(partition.offline),
                "start_offset": entry.start_offsets.get(partition.index),
                "end_offset": entry.end_offsets.get(partition.index),
                "size_bytes": entry.sizes_bytes.get(partition.index),
            }
            for partition in partitions
        ],
    }
