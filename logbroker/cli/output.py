"""Printing: tables for people, JSON for programs.

A table is plain columns that `awk` and `cut` can use: two blanks between them, nothing folded or cut off. On a terminal its
names stand above a line, and what would run over the edge is folded within the widest columns of text.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence

import click

__all__ = ["bold", "dim", "note", "print_json", "print_table", "size_text", "terminal_columns"]

GAP = "  "
FOLDED_COLUMNS_MIN = 12
"""No column of text is folded to less than this."""

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
_UNIT_STEP = 1024
_PIECE = re.compile(r"[^\s.,;:/_=-]*[\s.,;:/_=-]?")
"""Up to and with the next place where a name or a sentence may be folded."""


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
    on_terminal = sys.stdout.isatty()
    head = list(columns) if on_terminal else [name.upper() for name in columns]
    widths = [max(map(len, column)) for column in zip(head, *texts, strict=True)]
    if on_terminal:
        widths = _fit(widths, [name not in aligned_right for name in columns], terminal_columns())
    for number, row in enumerate([head, *texts]):
        folded = [
            _fold(text, width) if on_terminal else [text] for text, width in zip(row, widths, strict=True)
        ]
        for line in range(max(map(len, folded))):
            cells = []
            for name, parts, width in zip(columns, folded, widths, strict=True):
                text = parts[line] if line < len(parts) else ""
                cells.append(text.rjust(width) if name in aligned_right else text.ljust(width))
            text = GAP.join(cells).rstrip()
            click.echo(bold(text) if number == 0 and on_terminal else text)
        if number == 0 and on_terminal:
            click.echo(dim(GAP.join("─" * width for width in widths)))


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


def terminal_columns() -> int:
    """Return how wide the terminal is."""
    return shutil.get_terminal_size().columns


def bold(text: str) -> str:
    """Return `text` so that it stands out; `click.echo` leaves that away where it isn't printed on a terminal."""
    return text if "NO_COLOR" in os.environ else click.style(text, bold=True)


def dim(text: str) -> str:
    """Return `text` so that it stands back; as `bold`."""
    return text if "NO_COLOR" in os.environ else click.style(text, dim=True)


def _fit(widths: list[int], foldable: list[bool], room: int) -> list[int]:
    """Take what is too much for `room` from the widest columns that may be folded."""
    fitted = list(widths)
    while sum(fitted) + len(GAP) * (len(fitted) - 1) > room:
        widest = max(
            (index for index, may in enumerate(foldable) if may),
            key=lambda index: fitted[index],
            default=None,
        )
        if widest is None or fitted[widest] <= FOLDED_COLUMNS_MIN:
            break
        fitted[widest] -= 1
    return fitted


def _fold(text: str, width: int) -> list[str]:
    """Split a text into lines of at most `width`, behind a blank or a sign where there is one."""
    if len(text) <= width:
        return [text]
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        rest = piece
        if len(line) + len(rest.rstrip()) > width and line:
            lines.append(line.rstrip())
            line = ""
        while len(rest) > width:
            lines.append(rest[:width])
            rest = rest[width:]
        line += rest
    return [*lines, line.rstrip()] if line.strip() else lines
