"""The `logbroker` command: the command line of `cli`, and `serve`.

`serve` lives above `cli` in the layers, so the two meet here. `logbroker serve` goes past the rest of the command line:
a broker is to listen within half a second, and none of it is needed for that.
"""

from __future__ import annotations

import sys

import click

from logbroker.daemons.serve import serve


def command() -> click.Group:
    """The whole command, `serve` included; for `--help`, shell completion and tests."""
    from logbroker.cli.main import cli

    if "serve" not in cli.commands:
        cli.add_command(serve)
    return cli


def main() -> None:
    """Run what the command line says and exit: 0 done, 1 failed, 2 wrong usage."""
    if sys.argv[1:2] == ["serve"]:
        serve.main(args=sys.argv[2:], prog_name="logbroker serve")
    else:
        command().main(prog_name="logbroker")


if __name__ == "__main__":
    main()
