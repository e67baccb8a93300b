"""Printing: tables for people, JSON for programs.

On a terminal a table is drawn with rich; elsewhere (a pipe, a file, a log) it is plain columns that `awk` and `cut` can
use: nothing is wrapped or cut off, and rich, which takes longer to import than the rest takes to run, isn't.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import click

__all__ = ["note", "print_json", "print_table", "size_text"]

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_UNIT_STEP = 1024


def print_json(value: object) -> None:
    """Print `value` as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = (), empty: str = ""
) -> None:
    """Print rows under their column names.

    Args:
        columns: the names.
        rows: a value per column each; None is printed as a dash.
        right: the columns to align to the right: numbers.
        empty: what to say on stderr when there are no rows.

    """
    texts = [["-" if value is None else str(value) for value in row] for row in rows]
    if not texts and empty:
        click.echo(empty, err=True)
        return
    aligned_right = set(right)
    if sys.stdout.isatty():
        _print_rich(columns, texts, aligned_right)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for row in [[name.upper() for name in columns], *texts]:
        cells = [
            text.rjust(width) if name in aligned_right else text.ljust(width)
            for name, text, width in zip(columns, row, widths, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def note(text: str) -> None:
    """Tell a person who is watching something that is no result: on stderr, if that is a terminal."""
    if sys.stderr.isatty():
        click.echo(text, err=True)


def size_text(size_bytes: int) -> str:
    """Return a size as people read it, `1.5 MB`; `-` if it isn't known (negative)."""
    if size_bytes < 0:
        return "-"
    size: float = size_bytes
    for unit in _UNITS[:-1]:
        if size < _UNIT_STEP:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _UNIT_STEP
    return f"{size:.1f} {_UNITS[-1]}"


def _print_rich(columns: Sequence[str], rows: Sequence[Sequence[str]], right: set[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    Console().print(table)
