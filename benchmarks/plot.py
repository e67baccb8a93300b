"""The table as a picture: a bar a row, how fast logbroker is where Kafka without syncing is 1, with each row's floor.

Plain SVG, by hand: it is text, so a change of figures shows in a diff. The scale is logarithmic, so that half as fast and
twice as fast are equally far from even.
"""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LABELS, RIGHT = 900, 380, 70
ROW, BAR, TOP, BOTTOM = 34, 18, 46, 34
TICKS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
GOOD, BAD, NEUTRAL, GRID, TEXT = "#2a7f62", "#b3452c", "#8a93a0", "#d8dade", "#22262b"
FONT = 'font-family="sans-serif" font-size="13"'
DASHED = f'stroke="{TEXT}" stroke-width="2" stroke-dasharray="3 2"'


def svg(result: dict[str, Any]) -> str:
    """The picture; rows that are judged by latency are left to the table."""
    rows = [row for row in result["rows"] if row["over_bare_us_max"] is None and row["ratio"] > 0]
    ticks = [tick for tick in TICKS if tick <= 2 * max([2.0, *(row["ratio"] for row in rows)])]
    low = min([ticks[0], *(row["ratio"] for row in rows)])
    height = TOP + ROW * len(rows) + BOTTOM

    def x(ratio: float) -> float:
        share = math.log(min(max(ratio, low), ticks[-1]) / low) / math.log(ticks[-1] / low)
        return LABELS + share * (WIDTH - LABELS - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {FONT} fill="{TEXT}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="22" font-weight="bold">logbroker, durable, relative to Kafka without syncing (1 is even)</text>',
    ]
    for tick in ticks:
        at = x(tick)
        stroke = 2 if tick == 1.0 else 1
        parts += [
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{height - BOTTOM + 4}" stroke="{GRID}" stroke-width="{stroke}"/>',
            f'<text x="{at:.1f}" y="{height - 12}" text-anchor="middle">{tick:g}x</text>',
        ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        middle = y + BAR / 2 + 5
        start, end = sorted((x(1.0), x(row["ratio"])))
        colour = NEUTRAL if row["floor"] is None else GOOD if row["passed"] else BAD
        parts += [
            f'<text x="{LABELS - 12}" y="{middle:.1f}" text-anchor="end">{escape(row["title"])}</text>',
            f'<rect x="{start:.1f}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{WIDTH - 16}" y="{middle:.1f}" text-anchor="end" font-weight="bold">{row["ratio"]:.2f}</text>',
        ]
        if row["floor"] is not None:
            floor = x(row["floor"])
            parts.append(
                f'<line x1="{floor:.1f}" x2="{floor:.1f}" y1="{y - 3}" y2="{y + BAR + 3}" {DASHED}/>'
            )
    parts += [
        f'<text x="16" y="{height - 12}" font-size="11">dashed: the floor</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
