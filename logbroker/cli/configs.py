"""`logbroker configs`: what is set on topics, brokers, groups, loggers and client metrics, and changing it, as kafka-configs does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from logbroker.cli.common import bootstrap_option, output_option, parse_pairs, run
from logbroker.cli.output import print_json, print_table

if TYPE_CHECKING:
    from logbroker.client.types import ConfigEntry, ResourceType

_KINDS = ("topic", "broker", "broker-logger", "client-metrics", "group")
_ALL_BROKERS = "all brokers"

_kind_argument = click.argument("kind", metavar="|".join(_KINDS), type=click.Choice(_KINDS))
_name_argument = click.argument("name", metavar="[NAME]", required=False)


@click.group("configs")
def configs() -> None:
    """List, describe and alter configs of topics, brokers, groups and more, while the broker runs."""


@configs.command("list")
@click.argument("kinds", metavar="[" + "|".join(_KINDS) + "]...", nargs=-1, type=click.Choice(_KINDS))
@bootstrap_option
@output_option
def list_command(*, kinds: tuple[str, ...], bootstrap_server: str, output: str) -> None:
    """List what has configs. Groups and client metrics only where something was set."""
    found = run(_list(bootstrap_server, kinds), waits_for=bootstrap_server)
    rows = [(_kind_text(kind), name) for kind, name in found]
    if output == "json":
        print_json([{"kind": kind, "name": name} for kind, name in rows])
        return
    print_table(["kind", "name"], rows, empty="nothing has configs")


@configs.command("describe")
@_kind_argument
@_name_argument
@click.option("--all", "all_", is_flag=True, help="Defaults too, and not only what was set.")
@bootstrap_option
@output_option
def describe(*, kind: str, name: str | None, all_: bool, bootstrap_server: str, output: str) -> None:
    """Show what is set on a topic, broker, group, ...; of the kind broker without a name, on all brokers."""
    found = run(_describe(bootstrap_server, kind, _named(kind, name)), waits_for=bootstrap_server)
    shown = [entry for entry in found if all_ or not (entry.is_default or _is_static(entry))]
    if output == "json":
        print_json(
            [
                {
                    "name": entry.name,
                    "value": entry.value,
                    "source": entry.source.name,
                    "read_only": entry.read_only,
                    "documentation": entry.documentation,
                }
                for entry in shown
            ]
        )
        return
    print_table(
        ["config", "value", "source"],
        [(entry.name, entry.value, entry.source.name.lower().replace("_", " ")) for entry in shown],
        empty=f"nothing is set on {_text(kind, name)}; --all shows the defaults",
    )


@configs.command("alter")
@_kind_argument
@_name_argument
@click.option("--config", "configs_", metavar="NAME=VALUE", multiple=True, help="Set a config; repeatable.")
@click.option(
    "--delete-config", "deleted", metavar="NAME", multiple=True, help="Go back to the default; repeatable."
)
@bootstrap_option
@output_option
def alter(
    *,
    kind: str,
    name: str | None,
    configs_: tuple[str, ...],
    deleted: tuple[str, ...],
    bootstrap_server: str,
    output: str,
) -> None:
    """Set and delete configs, all or none. They are in force at once, and after a restart; levels of loggers only until then."""
    pairs = dict(parse_pairs("--config", configs_))
    if not pairs and not deleted:
        raise click.UsageError("nothing to alter; give --config or --delete-config")
    both = sorted(pairs.keys() & set(deleted))
    if both:
        raise click.UsageError(f"{', '.join(both)} can't be set and deleted at once")
    run(_alter(bootstrap_server, kind, _named(kind, name), pairs, deleted), waits_for=bootstrap_server)
    if output == "json":
        print_json({"kind": kind, "name": name, "altered": True})
    else:
        click.echo(f"altered {_text(kind, name)}")


async def _list(bootstrap_server: str, kinds: tuple[str, ...]) -> list[tuple[ResourceType, str]]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.list_config_resources(*map(_kind, kinds))


async def _describe(bootstrap_server: str, kind: str, name: str) -> list[ConfigEntry]:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        return await admin.configs(_kind(kind), name, documentation=True)


async def _alter(
    bootstrap_server: str, kind: str, name: str, pairs: dict[str, str], deleted: tuple[str, ...]
) -> None:
    from logbroker.client.admin import Admin

    async with Admin(bootstrap_server) as admin:
        await admin.alter_configs(_kind(kind), name, pairs, delete=deleted)


def _kind(text: str) -> ResourceType:
    from logbroker.client.types import ResourceType

    return ResourceType[text.upper().replace("-", "_")]


def _kind_text(kind: ResourceType) -> str:
    return kind.name.lower().replace("_", "-")


def _named(kind: str, name: str | None) -> str:
    if name is None and kind != "broker":
        raise click.UsageError(f"name the {kind.replace('-', ' ')}")
    return name or ""


def _text(kind: str, name: str | None) -> str:
    return _ALL_BROKERS if name is None else f"{kind.replace('-', ' ')} {name}"


def _is_static(entry: ConfigEntry) -> bool:
    return entry.source == entry.source.STATIC_BROKER_CONFIG
