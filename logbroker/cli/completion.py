"""`logbroker completion SHELL`: the script that teaches a shell to complete our commands, options and topic names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_HINTS = {
    "bash": 'eval "$(logbroker completion bash)"    # in ~/.bashrc',
    "zsh": 'eval "$(logbroker completion zsh)"     # in ~/.zshrc, after compinit',
    "fish": "logbroker completion fish | source      # in ~/.config/fish/config.fish",
}


@click.command("completion", epilog="\b\n" + "\n".join(_HINTS.values()))
@click.argument("shell", type=click.Choice(list(_HINTS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for bash, zsh or fish."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    command = context.find_root().command
    click.echo(kind(command, {}, "logbroker", "_LOGBROKER_COMPLETE").source())
