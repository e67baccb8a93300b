"""Results as JSON for programs and as a table for people."""

from __future__ import annotations

import json
import pathlib
from typing import Any


def write_json(result: dict[str, Any], file: pathlib.Path) -> None:
    """Everything that was measured, each run included."""
    file.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def row_line(row: dict[str, Any]) -> str:
    """A row in one line, while the others are still being measured."""
    ours, kafka = row["medians"]["logbroker"], row["medians"]["Kafka"]
    return f"  {rate(row, ours)} against {rate(row, kafka)}: {verdict(row)}"


def rate(row: dict[str, Any], medians: dict[str, Any]) -> str:
    """The figure that counts, with its unit."""
    if row["reads"]:
        return f"{medians['mb_per_s']:,.0f} MB/s"
    return f"{medians['records_per_s']:,.0f}/s"


def verdict(row: dict[str, Any]) -> str:
    """The ratio, or the distance from the bare disk, beside its floor."""
    mark = "" if row["passed"] else " (missed)"
    if row["over_bare_us_max"] is not None:
        over = row["medians"]["logbroker"]["p50_us"] - row["bare_p50_us"]
        return f"bare + {over:.0f} us, floor + {row['over_bare_us_max']:.0f}{mark}"
    floor = "" if row["floor"] is None else f", floor {row['floor']:g}{mark}"
    return f"{row['ratio']:.2f}x{floor}"


def latency(row: dict[str, Any], medians: dict[str, Any]) -> str:
    """p50 and p99 in the unit that suits them."""
    if row["reads"]:
        return ""
    return f"{duration(medians['p50_us'])} / {duration(medians['p99_us'])}"


def duration(us: float) -> str:
    """Microseconds, or milliseconds from ten of them on."""
    return f"{us:,.0f} us" if us < 10_000 else f"{us / 1000:,.0f} ms"


def count(value: float | None) -> str:
    """A whole number, or nothing."""
    return "" if value is None else f"{value:,.0f}"


def markdown(result: dict[str, Any]) -> str:
    """The whole table, and what one must know to read it."""
    machine = result["machine"]
    conditions = (
        f"{machine['date']}; {machine['cores']} cores shared by broker and load client, {machine['memory_gb']} GB, "
        f"{machine['file_system']}, Linux {machine['kernel']}, Python {machine['python']}. Values of 1,024 random bytes, "
        f"acks=all, medians of {result['options']['runs']} alternating runs. logbroker syncs before it acknowledges; "
        "Apache Kafka 4.3.1 has its defaults, which leave that to the operating system. Bare is one 4 KB overwrite and "
        "fdatasync on the same disk in the same minute."
    )
    steady = (
        "A row is a steady state: the page cache is full before a run, and batches are written for so long that the kernel has "
        "to write back what Kafka left to it. A *burst* is the same load for the few seconds in which the page cache takes it all: "
        "Kafka's records of a burst are in memory alone, ours are on the disk."
    )
    lines = [
        "# Measured",
        "",
        "Written by `make bench ARGS=--publish`; each run is in results.json.",
        "",
        conditions,
        "",
        steady,
        "",
        *(line for note in result.get("notes", []) for line in (note, "")),
        "![ratios](results.svg)",
        "",
        "| load | logbroker | p50 / p99 | Kafka, not synced | p50 / p99 | ratio | seconds | bare p50 | our fdatasyncs | ring wraps |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        ours, kafka = row["medians"]["logbroker"], row["medians"]["Kafka"]
        wraps = ours.get("wraps")
        cells = [
            row["title"],
            rate(row, ours),
            latency(row, ours),
            rate(row, kafka),
            latency(row, kafka),
            verdict(row),
            "" if row["reads"] else f"{row['seconds']:.0f}",
            f"{row['bare_p50_us']:.0f} us",
            count(ours.get("fdatasyncs")),
            "" if wraps is None else f"{wraps:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
