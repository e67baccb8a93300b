"""A click group whose commands are imported when they are used.

`logbroker --help` and a typing error should answer at once, and producing a record should not pay for the modules of
`topics`. The table holds what the help needs (a name and one line), and where the command itself is.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import click

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ConfigError, LogbrokerError

__all__ = ["LazyCommand", "LazyGroup", "with_remedy"]

_REMEDIES = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "`logbroker topics list` names the topics there are",
    ErrorCode.TOPIC_ALREADY_EXISTS: "--if-not-exists accepts that",
    ErrorCode.GROUP_ID_NOT_FOUND: "`logbroker groups list` names the groups there are",
    ErrorCode.NON_EMPTY_GROUP: "stop its members first; `logbroker groups describe GROUP --members` names them",
    ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC: "stop the members that read the topic first",
    ErrorCode.TRANSACTIONAL_ID_NOT_FOUND: "`logbroker transactions list` names those there are",
    ErrorCode.MESSAGE_TOO_LARGE: "the topic's max.message.bytes says how large it may be",
    ErrorCode.INVALID_CONFIG: "`logbroker topics describe TOPIC --output json` names the configs of a topic",
}
"""What to do about an answer, in terms of this command line."""


def with_remedy(error: LogbrokerError) -> str:
    """Return what went wrong and what to do about it, in one sentence."""
    remedy = _REMEDIES.get(getattr(error, "code", ErrorCode.NONE))
    return f"{error}; {remedy}" if remedy else str(error)


class LazyCommand(NamedTuple):
    """A command that isn't imported yet.

    Attributes:
        target: `module:attribute`.
        short_help: what the command's own help begins with; a test holds the two together.
        hidden: not listed.

    """

    target: str
    short_help: str
    hidden: bool = False

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group with a table of lazy commands, beside those that are added as usual.

    It also is the edge where our errors become messages: a `LogbrokerError` out of any command is printed on stderr
    in one sentence and exits 1, a `ConfigError` exits 2.
    """

    def __init__(self, *args: Any, lazy: dict[str, LazyCommand] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names: lazy ones in the order of the table, then the others."""
        return [*self.lazy, *sorted(name for name in self.commands if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, importing it if need be."""
        if cmd_name not in self.commands and cmd_name in self.lazy:
            self.add_command(self.lazy[cmd_name].load(), cmd_name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        rows = []
        for name in self.list_commands(ctx):
            lazy = self.lazy.get(name)
            if lazy is not None:
                if not lazy.hidden:
                    rows.append((name, lazy.short_help))
            elif not self.commands[name].hidden:
                rows.append((name, self.commands[name].get_short_help_str(limit=100)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; our own errors become one line on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        except LogbrokerError as error:
            raise click.ClickException(with_remedy(error)) from error
