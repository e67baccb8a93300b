"""`make bench`: logbroker, durable, against Apache Kafka 4.3.1, not synced, with one load client.

For each row both brokers get the same load in turn (ours, Kafka's, ours, ...), and the median of each counts. A run lasts
until our journal has wrapped at least three times with its checkpoints, so the disk work of our segments is in every figure,
and, where a minute is enough for that, until the kernel has written back several times what it lets lie, so that Kafka's is (but
for bursts: `steady_state.py` says why). Before each run dirty pages are written back, so that nobody pays for
the other's. The bare disk is timed beside each row, for a disk may be ten times slower an hour later: trust ratios.

    bench.py                            everything: some thirty-five minutes, on a quiet machine with 40 GB of free disk
    bench.py --rows one,64 --runs 3     some rows
    bench.py --quick                    one short run each: to see that it works
    bench.py --publish                  write benchmarks/RESULTS.md, results.json and results.svg, not build/benchmarks
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
from typing import Any

from brokers import Broker, Kafka, Ours, create_topic, delete_topic
from load import bare_disk, file_system, kload
from plot import svg
from report import markdown, row_line, write_json
from rows import ROWS, VALUE_BYTES, Row
from steady_state import PageCache, written_back_bytes

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
WRAPS_MIN = 3.0
SECONDS_MAX = 60.0
CALIBRATION_S = 2.0
FETCH_BYTES = 2 << 30
BURST_BYTES_MAX = 3 << 30
DISK_SHARE_MAX = 0.3
"""A run writes no more than this share of the free disk: the other broker's may lie there too, and ours writes a ring."""
TOPIC_BYTES_MAX = 1 << 30
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "overlay")


def main() -> int:
    """Returns 1 when a row fell under its floor."""
    wanted = parse_arguments()
    wanted.dir.mkdir(parents=True, exist_ok=True)
    disk = file_system(wanted.dir)
    if disk.split()[0] in MEMORY_FILE_SYSTEMS:
        print(
            f"warning: {wanted.dir} is {disk}: syncing means nothing there; choose a disk with --dir",
            file=sys.stderr,
        )
    result: dict[str, Any] = {
        "machine": machine(disk),
        "options": {"runs": wanted.runs, "seconds": wanted.seconds},
        "rows": [],
    }
    with tempfile.TemporaryDirectory(prefix="bench-", dir=wanted.dir) as directory:
        bench = Bench(pathlib.Path(directory), wanted)
        try:
            say("starting both brokers")
            bench.ours.start()
            bench.kafka.start()
            for row in ROWS:
                if row.name in wanted.rows:
                    measure = bench.measure_fetch if row.reads else bench.measure_produce
                    result["rows"].append(measure(row))
                    say(row_line(result["rows"][-1]))
        finally:
            bench.ours.end()
            bench.kafka.end()
    write_results(result, wanted)
    missed = [row["title"] for row in result["rows"] if not row["passed"]]
    for title in missed:
        print(f"under its floor: {title}", file=sys.stderr)
    return 1 if missed and not wanted.quick else 0


def parse_arguments() -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(description="logbroker against Apache Kafka, in one table.")
    parser.add_argument(
        "--rows", type=lambda text: text.split(","), default=names, help=f"some of {','.join(names)}"
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each broker for each row; the median counts"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a run lasts at least")
    parser.add_argument(
        "--quick", action="store_true", help="one run of a second each, whatever the journal does"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write into benchmarks/ what the README points to"
    )
    parser.add_argument(
        "--dir", type=pathlib.Path, default=REPOSITORY / "build" / "benchmarks", help="where data goes"
    )
    wanted = parser.parse_args()
    unknown = set(wanted.rows) - set(names)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if wanted.quick:
        wanted.runs, wanted.seconds = 1, 1.0
    return wanted


def say(text: str) -> None:
    print(text, flush=True)


def machine(disk: str) -> dict[str, Any]:
    memory_kb = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory_kb / 1e6),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": disk,
    }


class Bench:
    """Both brokers, and what is done to them."""

    def __init__(self, directory: pathlib.Path, wanted: argparse.Namespace) -> None:
        self.ours = Ours(directory)
        self.kafka = Kafka(directory)
        self.brokers: tuple[Broker, ...] = (self.ours, self.kafka)
        self._directory = directory
        self._wanted = wanted
        self._page_cache = PageCache(directory)

    def measure_produce(self, row: Row) -> dict[str, Any]:
        """Alternating runs of a load that writes."""
        topic = f"bench-{row.name}"
        for broker in self.brokers:
            create_topic(broker, topic, row.partitions)
        # The calibration warms both brokers too: their partitions, and the JVM's compiler.
        calibration_s = min(CALIBRATION_S, self._wanted.seconds)
        wraps_per_s = 0.0
        for broker in self.brokers:
            self._settle(row)
            calibrated = self._run(broker, topic, row, calibration_s)
            wraps_per_s = wraps_per_s or calibrated.get("wraps", 0.0) / calibration_s
        seconds = self._wanted.seconds if self._wanted.quick else self._seconds(row, wraps_per_s)
        say(f"{row.title}: {self._wanted.runs} x 2 runs of {seconds:.0f} s")
        runs: dict[str, list[dict[str, Any]]] = {broker.name: [] for broker in self.brokers}
        bare = []
        for _ in range(self._wanted.runs):
            for broker in self.brokers:
                self._settle(row)
                if broker is self.ours:
                    bare.append(bare_disk(self._directory)["p50_us"])
                runs[broker.name].append(self._run(broker, topic, row, seconds))
                if broker is self.ours:
                    # before and after: a disk changes its mind within seconds
                    bare.append(bare_disk(self._directory)["p50_us"])
                if runs[broker.name][-1]["acked_bytes"] > TOPIC_BYTES_MAX:
                    # Ten such runs would not fit on a small disk.
                    delete_topic(broker, topic)
                    create_topic(broker, topic, row.partitions)
        for broker in self.brokers:
            delete_topic(broker, topic)
        return summary(row, runs, bare, seconds)

    def measure_fetch(self, row: Row) -> dict[str, Any]:
        """Alternating runs of a load that reads what was stored for it."""
        topic = f"bench-{row.name}"
        stored = FETCH_BYTES if not self._wanted.quick else FETCH_BYTES >> 3
        say(f"{row.title}: storing {stored >> 20} MB in each, then {self._wanted.runs} x 2 runs")
        for broker in self.brokers:
            create_topic(broker, topic, row.partitions)
            kload(
                "produce", broker.bootstrap, topic, [*row.produce_arguments(), "-t", "1", "-n", str(stored)]
            )
            os.sync()
        options = ["-p", str(row.partitions), "-m", str(row.fetch_max_bytes)]
        runs: dict[str, list[dict[str, Any]]] = {broker.name: [] for broker in self.brokers}
        bare = [bare_disk(self._directory)["p50_us"]]
        for broker in self.brokers:
            kload("fetch", broker.bootstrap, topic, options)
        for _ in range(self._wanted.runs):
            for broker in self.brokers:
                before = broker.counters()
                result = kload("fetch", broker.bootstrap, topic, options)
                after = broker.counters()
                counted = {name: after[name] - before[name] for name in after}
                runs[broker.name].append({**result, **counted})
        for broker in self.brokers:
            delete_topic(broker, topic)
        return summary(row, runs, bare, 0.0)

    def _settle(self, row: Row) -> None:
        """Have nothing left to write back: what a run left dirty would be paid for by the next. And memory full."""
        os.sync()
        if not row.burst and not self._wanted.quick:
            self._page_cache.fill()

    def _seconds(self, row: Row, wraps_per_s: float) -> float:
        """Long enough for the ring to wrap and for everybody's pages to be written back, short enough for the disk."""
        wrapping = 1.2 * WRAPS_MIN / max(wraps_per_s, 1e-6)
        bytes_per_s = max(wraps_per_s * self.ours.ring_bytes, 1.0)
        least = float(self._wanted.seconds)
        if row.burst:
            least = min(least, BURST_BYTES_MAX / bytes_per_s)
        else:
            room = DISK_SHARE_MAX * shutil.disk_usage(self._directory).free
            written_back = min(written_back_bytes(), room) / bytes_per_s
            if written_back <= SECONDS_MAX:
                least = max(least, written_back)
        return min(SECONDS_MAX, max(wrapping, least))

    def _run(self, broker: Broker, topic: str, row: Row, seconds: float) -> dict[str, Any]:
        before = broker.counters()
        result = kload("produce", broker.bootstrap, topic, [*row.produce_arguments(), "-t", f"{seconds:.1f}"])
        after = broker.counters()
        counted = {name: after[name] - before[name] for name in after}
        if broker is self.ours:
            # Bytes that were synced in their segments count as if they had been journaled.
            counted["wraps"] = (counted["journal_bytes"] + counted["direct_bytes"]) / self.ours.ring_bytes
            counted["fdatasyncs"] = counted["commits"] + counted["segment_syncs"]
        return {**result, **counted}


def summary(
    row: Row, runs: dict[str, list[dict[str, Any]]], bare_us: list[float], seconds: float
) -> dict[str, Any]:
    """A row of the table: medians, the ratio, and whether the floor was kept."""

    def median(broker: str, name: str) -> float | None:
        values = [run[name] for run in runs[broker] if name in run]
        return statistics.median(values) if values else None

    names = (
        "records_per_s",
        "mb_per_s",
        "p50_us",
        "p99_us",
        "cpu_s",
        "wraps",
        "fdatasyncs",
        "checkpoints",
        "ring_waits",
    )
    medians = {broker: {name: median(broker, name) for name in names} for broker in runs}
    figure = "mb_per_s" if row.reads else "records_per_s"
    ours, kafka = medians["logbroker"][figure] or 0.0, medians["Kafka"][figure] or 0.0
    ratio = ours / kafka if kafka else 0.0
    bare = statistics.median(bare_us)
    if row.over_bare_us_max is not None:
        passed = (medians["logbroker"]["p50_us"] or 0.0) <= bare + row.over_bare_us_max
    else:
        passed = ratio >= (row.floor or 0.0)
    return {
        "name": row.name,
        "title": row.title,
        "reads": row.reads,
        "value_bytes": VALUE_BYTES,
        "seconds": seconds,
        "floor": row.floor,
        "over_bare_us_max": row.over_bare_us_max,
        "bare_p50_us": bare,
        "medians": medians,
        "ratio": ratio,
        "passed": passed,
        "runs": runs,
    }


def write_results(result: dict[str, Any], wanted: argparse.Namespace) -> None:
    directory = REPOSITORY / "benchmarks" if wanted.publish else wanted.dir
    write_json(result, directory / "results.json")
    (directory / "results.svg").write_text(svg(result))
    (directory / "RESULTS.md").write_text(markdown(result))
    width = shutil.get_terminal_size().columns
    say(f"\n{'-' * min(width, 100)}\n{markdown(result)}\nwritten to {directory}")


if __name__ == "__main__":
    sys.exit(main())
