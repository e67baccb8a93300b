"""`logbroker log`: look into the files of a broker on this machine, without any broker.

`verify` reads whole log directories of a stopped broker; `dump` shows single files, a running broker's too. Neither changes anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from logbroker.cli.common import text_output_option
from logbroker.cli.output import print_json, size_text
from logbroker.cli.progress import ProgressLine

if TYPE_CHECKING:
    from logbroker.storage.verify import Finding, OnProgress, VerifyReport


@click.group("log")
def log() -> None:
    """Check log directories and show what is in their files, without a broker."""


@log.command("verify")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--allow-gaps", is_flag=True, help="Compacted topics have holes between offsets: that is all right."
)
@text_output_option
def verify_command(*, directories: tuple[str, ...], allow_gaps: bool, output: str) -> None:
    """Check every byte of a stopped broker's directory.

    DIR is an entry of log.dirs. Batches and their CRCs, offsets, leader epochs, indexes, producer snapshots, the checkpoint and the journal.
    After a crash, what the next start recovers is no problem; it is told as a note. Exits 1 if something is wrong.
    """
    from logbroker.storage.verify import verify

    reports = []
    try:
        for directory in directories:
            with ProgressLine() as line:
                reports.append(verify(directory, gaps_allowed=allow_gaps, on_progress=_progress(line)))
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'a file'} can't be read: {error.strerror}") from error
    with _pipe():
        if output == "json":
            print_json({"directories": [_report_json(report) for report in reports]})
        else:
            for report in reports:
                _print_report(report)
    if any(report.problems for report in reports):
        raise click.exceptions.Exit(1)


@log.command("dump")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--records", is_flag=True, help="Also the records of each batch, or the entries of each journal commit."
)
@text_output_option
def dump_command(*, files: tuple[str, ...], records: bool, output: str) -> None:
    """Show what is in files of a log directory.

    A line for each batch, record, entry or commit:

    \b
    .log                             batches, with --records their records
    .index .timeindex .txnindex .snapshot      entries
    .ring                            commits of the journal, with --records their entries
    checkpoint                       what is durable of each partition
    generations, leader-epoch-checkpoint, partition.metadata, meta.properties

    Says at which byte something is wrong, and exits 1 then.
    """  # noqa: D301 - \b is click's
    from logbroker.storage.dump import dump

    wrong = False
    try:
        with _pipe(), ProgressLine(wanted=not sys.stdout.isatty()) as line:
            for file in files:
                size_bytes = os.path.getsize(file) if os.path.isfile(file) else 0
                if output == "text" and len(files) > 1:
                    click.echo(f"# {file}")
                for row in dump(file, records=records):
                    wrong = wrong or "problem" in row
                    line.show(partial(_how_far, os.path.basename(file), int(row["position"]), size_bytes))
                    if output == "json":
                        click.echo(json.dumps({"file": file, **row}, ensure_ascii=False))
                    else:
                        click.echo(_text(row))
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or file} can't be read: {error.strerror or error}"
        ) from error
    if wrong:
        raise click.exceptions.Exit(1)


def _text(row: dict[str, Any]) -> str:
    kind, problem = row["kind"], row.get("problem")
    fields = [
        f"{name}={_value(value)}"
        for name, value in row.items()
        if name not in ("kind", "position", "problem")
    ]
    line = f"{row['position']:>10}  {kind}  {' '.join(fields)}".rstrip()
    return f"{line}  WRONG: {problem}" if problem else line


def _value(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and " " not in value and value:
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _report_json(report: VerifyReport) -> dict[str, object]:
    return {
        "path": report.path,
        "stopped_cleanly": report.clean,
        "partitions": report.partitions,
        "segments": report.segments,
        "batches": report.batches,
        "bytes_checked": report.bytes_checked,
        "index_entries": report.index_entries,
        "commits_to_replay": report.commits,
        "problems": [_finding_json(finding) for finding in report.problems],
        "notes": [_finding_json(finding) for finding in report.notes],
    }


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "path": finding.path,
        "position": finding.position,
        "offset": finding.offset,
        "what": finding.what,
    }


def _print_report(report: VerifyReport) -> None:
    for finding in report.problems:
        click.echo(f"WRONG  {finding}")
    for finding in report.notes:
        click.echo(f"note   {finding}")
    state = "stopped cleanly" if report.clean else f"not stopped cleanly, {report.commits} commits to replay"
    verdict = f"{len(report.problems)} problems" if report.problems else "nothing wrong"
    click.echo(
        f"{report.path}: {verdict}; {report.partitions} partitions, {report.segments} segments, "
        f"{report.batches} batches, {size_text(report.bytes_checked)} and {report.index_entries} index entries checked; "
        f"{state}"
    )


def _progress(line: ProgressLine) -> OnProgress:
    return lambda done, total, folder: line.show(partial(_how_far, os.path.basename(folder), done, total))


def _how_far(name: str, done_bytes: int, total_bytes: int) -> str:
    share = done_bytes / max(1, total_bytes)
    return f"{share:4.0%} of {size_text(total_bytes)}  {name}"


@contextlib.contextmanager
def _pipe() -> Iterator[None]:
    """A reader of our output that has gone away (`| head`) has seen enough: exit code 0."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Whatever is still buffered would fail again when the interpreter flushes it at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None
