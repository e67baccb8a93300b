"""`logbroker config`: what settings there are, what they are set to and by what, and whether a file is right.

None of these talks to a broker. `list` is the reference of settings, printed from their declarations; `show` loads as
`serve` would; `check` says everything that is wrong with a file and exits 0 (fine), 1 (it isn't) or 2 (wrong usage).
"""

from __future__ import annotations

import os
import sys
import textwrap
from typing import Any

import click

from logbroker.base.errors import ConfigError
from logbroker.cli.common import output_option, text_output_option
from logbroker.cli.output import bold, dim, print_json, print_table, terminal_columns
from logbroker.config import loader
from logbroker.config.setting import OURS, SAME, Setting
from logbroker.config.settings import SETTINGS, find
from logbroker.config.sources import LoadedSettings
from logbroker.config.values import format_value

PARAGRAPH_COLUMNS_MAX = 100
"""Longer lines are hard to read, however wide the terminal is."""


@click.group("config")
def config() -> None:
    """Settings: list them, show what is set and by what, check a file."""


@config.command("list")
@click.argument("words", nargs=-1)
@output_option
def list_command(words: tuple[str, ...], output: str) -> None:
    """List every setting, or those whose name contains all WORDS.

    Of each: the dotted name (in a TOML file, or after --set), type and unit, default, Kafka's default where that is
    another, allowed values, whether it can change while the broker runs (live), and what it means. In a pipe every
    setting is one line, for grep.
    """
    chosen = [setting for setting in SETTINGS.values() if all(word.lower() in setting.name for word in words)]
    if output == "json":
        print_json([_as_json(setting) for setting in chosen])
        return
    if not chosen:
        raise click.ClickException(
            f"no setting has {' and '.join(words)} in its name; `logbroker config list` shows all"
        )
    if sys.stdout.isatty():
        for number, setting in enumerate(chosen):
            if number:
                click.echo()
            _describe(setting)
        return
    rows = [
        (
            setting.name,
            _type(setting),
            _blank(setting.default_text),
            _kafka_default(setting),
            setting.bounds or None,
            "yes" if setting.dynamic else None,
            setting.doc,
        )
        for setting in chosen
    ]
    print_table(["setting", "type", "default", "kafka", "allowed", "live", "meaning"], rows)


@config.command("show")
@click.option("--config", "file", type=click.Path(dir_okay=False), help="The TOML file to read.")
@click.option("--data-dir", help="As for `logbroker serve`.")
@click.option("--listen", multiple=True, metavar="HOST:PORT", help="As for `logbroker serve`.")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As for `logbroker serve`; repeatable."
)
@click.option("--all", "show_all", is_flag=True, help="Also what is left at its default.")
@click.argument("names", nargs=-1)
@output_option
@click.pass_context
def show_command(
    context: click.Context,
    file: str | None,
    data_dir: str | None,
    listen: tuple[str, ...],
    assignments: tuple[str, ...],
    *,
    show_all: bool,
    names: tuple[str, ...],
    output: str,
) -> None:
    """Show what `logbroker serve` would run with, and where each value comes from.

    NAMES limits it to some settings. LOGBROKER_... variables count, as they do for `serve`.
    """
    wanted = []
    for name in names:
        setting = find(name)
        if setting is None:
            raise click.UsageError(f"there is no setting {name}; `logbroker config list` names them all")
        wanted.append(setting)
    try:
        loaded = loader.load(
            file=file,
            environment=loader.current_environment(),
            assignments=assignments,
            data_dir=data_dir,
            listen=listen,
        )
    except ConfigError as error:
        _print_problems(error)
        context.exit(2)
    chosen = wanted or [
        setting for setting in SETTINGS.values() if show_all or setting.name in loaded.sources.given
    ]
    if output == "json":
        print_json([_value_as_json(setting, loaded) for setting in chosen])
        return
    if not chosen:
        click.echo("Every setting has its default; `logbroker config show --all` lists them.")
        return
    rows = [
        (
            setting.name,
            _blank(format_value(getattr(loaded.settings, setting.attribute))),
            str(loaded.sources.of(setting.name)),
        )
        for setting in chosen
    ]
    print_table(["setting", "value", "from"], rows)


@config.command("check")
@click.argument("file", type=click.Path(dir_okay=False))
@text_output_option
@click.pass_context
def check_command(context: click.Context, file: str, output: str) -> None:
    """Say everything that is wrong with a settings FILE.

    Only the file counts, not the environment. Exits 0 if it is fine, 1 if it isn't, 2 if it can't be read.
    """
    try:
        loaded = loader.load(file=file)
    except ConfigError as error:
        if output == "json":
            print_json({"file": file, "fine": False, "problems": str(error).splitlines()})
        else:
            _print_problems(error)
        context.exit(1 if os.access(file, os.R_OK) else 2)
    count = len(loaded.sources.given)
    if output == "json":
        print_json({"file": file, "fine": True, "settings": count})
        return
    click.echo(f"{file}: fine ({count} setting{'' if count == 1 else 's'})")


def _print_problems(error: ConfigError) -> None:
    for problem in str(error).splitlines():
        click.echo(f"error: {problem}", err=True)


def _as_json(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "type": setting.type.name.lower(),
        "unit": setting.unit or None,
        "default": setting.default,
        "bounds": {"low": setting.low, "high": setting.high, "choices": list(setting.choices) or None},
        "dynamic": setting.dynamic,
        "documentation": setting.doc,
        "variable": loader.variable_name(setting.name),
        "aliases": list(setting.aliases),
        "in_kafka": setting.kafka is not OURS,
        "kafka_default": None if setting.kafka is OURS else setting.kafka_default,
    }


def _value_as_json(setting: Setting, loaded: LoadedSettings) -> dict[str, Any]:
    source = loaded.sources.of(setting.name)
    return {
        "name": setting.name,
        "value": getattr(loaded.settings, setting.attribute),
        "source": source.origin.value,
        "place": source.place or None,
    }


def _describe(setting: Setting) -> None:
    """One setting as a paragraph, for a terminal."""
    facts = [_type(setting), f"default {_blank(setting.default_text)}"]
    kafka = _kafka_default(setting)
    if kafka is not None:
        facts.append(f"Kafka's {kafka}")
    if setting.bounds:
        facts.append(setting.bounds)
    if setting.dynamic:
        facts.append("live")
    width = min(terminal_columns(), PARAGRAPH_COLUMNS_MAX)
    click.echo(bold(setting.name))
    for text, style in (("  ·  ".join(facts), dim), (setting.doc, str)):
        for line in textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="    "):
            click.echo(style(line))


def _type(setting: Setting) -> str:
    name = setting.type.name.lower()
    return f"{name} ({setting.unit})" if setting.unit else name


def _kafka_default(setting: Setting) -> str | None:
    """Kafka's default where it is another than ours; `-` is printed for None: as ours, or no setting of Kafka's."""
    return None if setting.kafka is SAME or setting.kafka is OURS else _blank(setting.kafka_default)


def _blank(text: str | None) -> str:
    return "(unset)" if text is None else text or "(empty)"
