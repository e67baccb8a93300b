"""`logbroker`: the command line. One module per noun, imported when it is used (`lazy.py`).

    cli            the group; `daemons/entry.py` adds `serve` and runs it

Words are those of Kafka's tools. People get tables, programs `--output json`; what went wrong and what to do about it goes
to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import click

from logbroker.cli.lazy import LazyCommand, LazyGroup

__all__ = ["cli"]

_COMMANDS = {
    "topics": LazyCommand("logbroker.cli.topics:topics", "List, create, describe, alter and delete topics."),
    "produce": LazyCommand(
        "logbroker.cli.produce:produce", "Write records to a topic, from lines or arguments."
    ),
    "consume": LazyCommand("logbroker.cli.consume:consume", "Read records of a topic."),
    "groups": LazyCommand(
        "logbroker.cli.groups:groups",
        "List, describe and delete consumer groups; show, reset and delete their offsets.",
    ),
    "transactions": LazyCommand(
        "logbroker.cli.transactions:transactions",
        "List and describe transactions; find and abort those that hold up a partition.",
    ),
    "configs": LazyCommand(
        "logbroker.cli.configs:configs",
        "List, describe and alter configs of topics, brokers, groups and more, while the broker runs.",
    ),
    "cluster": LazyCommand("logbroker.cli.cluster:cluster", "Describe the cluster and its brokers."),
    "config": LazyCommand(
        "logbroker.cli.config:config", "Settings: list them, show what is set and by what, check a file."
    ),
    "log": LazyCommand(
        "logbroker.cli.log:log", "Check log directories and show what is in their files, without a broker."
    ),
    "completion": LazyCommand(
        "logbroker.cli.completion:completion", "Print the completion script for bash, zsh or fish."
    ),
    "tour": LazyCommand(
        "logbroker.cli.tour:tour", "Send and read back a few records, and say what to try next.", hidden=True
    ),
}


def _print_version(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Print the version and stop; found out only now, because looking it up takes longer than everything else."""
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"logbroker {version('logbroker')}")
    context.exit()


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """A log broker that every Kafka client can use, and its tools.

    The tools talk to any Kafka-compatible broker: name one with --bootstrap-server or LOGBROKER_BOOTSTRAP_SERVER.
    """
