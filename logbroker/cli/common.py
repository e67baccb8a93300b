"""What the commands that talk to a broker share: their options, and running a coroutine to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from logbroker.cli.lazy import with_remedy
from logbroker.cli.progress import showing, waiting_for

if TYPE_CHECKING:
    from logbroker.client.errors import RefusedError

__all__ = [
    "BOOTSTRAP_VARIABLE",
    "bootstrap_option",
    "each",
    "exit_if_refused",
    "output_option",
    "parse_pairs",
    "run",
    "text_output_option",
    "topic_argument",
]

BOOTSTRAP_VARIABLE = "LOGBROKER_BOOTSTRAP_SERVER"
DEFAULT_BOOTSTRAP_SERVER = "127.0.0.1:9092"
COMPLETION_TIMEOUT_MS = 1_000

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

bootstrap_option: Decorator = click.option(
    "--bootstrap-server",
    metavar="HOST:PORT",
    envvar=BOOTSTRAP_VARIABLE,
    default=DEFAULT_BOOTSTRAP_SERVER,
    show_default=True,
    show_envvar=True,
    help="The broker to talk to; several with commas.",
)

output_option: Decorator = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people or for programs.",
)

text_output_option: Decorator = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="For people or for programs.",
)


def topic_argument(*, many: bool = False, required: bool = True) -> Decorator:
    """Return the TOPIC argument, which shells complete with the names that the broker knows."""
    return click.argument(
        "names" if many else "topic",
        metavar=("TOPIC..." if required else "[TOPIC]...") if many else "TOPIC",
        nargs=-1 if many else 1,
        required=required,
        shell_complete=_complete_topic,
    )


def run(main: Coroutine[Any, Any, T], *, waits_for: str = "") -> T:
    """Run `main` to its end and return its result.

    Args:
        main: the work.
        waits_for: whom a person is told that we wait for, if it takes long; empty where `main` shows its own progress.

    A reader of our output that has gone away (`| head`) has seen enough: that ends the program without a word, exit code 0.
    """

    async def shown() -> T:
        async with showing(waiting_for(waits_for), wanted=bool(waits_for)):
            return await main

    try:
        result = asyncio.run(shown())
        sys.stdout.flush()
        return result
    except BrokenPipeError:
        # Whatever is still buffered would fail again when the interpreter flushes it at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


async def each(names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> dict[str, RefusedError | None]:
    """Do `act` once for each name, whatever became of the others; returns the refusals, None for what went well."""
    from logbroker.client.errors import RefusedError

    outcomes: dict[str, RefusedError | None] = {}
    for name in dict.fromkeys(names):
        try:
            await act(name)
            outcomes[name] = None
        except RefusedError as error:
            outcomes[name] = error
    return outcomes


def exit_if_refused(outcomes: Iterable[RefusedError | None]) -> None:
    """Say each refusal with its remedy, and exit 1 if there was one."""
    refusals = [error for error in outcomes if error is not None]
    for error in refusals:
        click.echo(f"Error: {with_remedy(error)}", err=True)
    if refusals:
        raise click.exceptions.Exit(1)


def parse_pairs(option: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return `name=value` texts as pairs.

    Raises:
        click.UsageError: one has no `=` or no name; says which.

    """
    pairs = []
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise click.UsageError(f"{option} {text!r} is not NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _complete_topic(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the topics that begin with what was typed; none when no broker answers quickly."""
    from logbroker.base.errors import LogbrokerError
    from logbroker.client.admin import Admin

    async def names() -> list[str]:
        server = (
            context.params.get("bootstrap_server")
            or os.environ.get(BOOTSTRAP_VARIABLE)
            or DEFAULT_BOOTSTRAP_SERVER
        )
        async with (
            asyncio.timeout(COMPLETION_TIMEOUT_MS / 1000),
            Admin(
                server, connect_timeout_ms=COMPLETION_TIMEOUT_MS, api_timeout_ms=COMPLETION_TIMEOUT_MS
            ) as admin,
        ):
            return [topic.name for topic in await admin.list_topics()]

    try:
        return [name for name in asyncio.run(names()) if name.startswith(incomplete)]
    except (LogbrokerError, TimeoutError):
        return []
