"""`make footprint`: how little a broker takes: memory when idle and under load, time to listen, time back from kill -9.

    footprint.py                       everything; about fifteen minutes, 10 GB of disk
    footprint.py --quick               the same on a small scale, in half a minute
    footprint.py --publish             write benchmarks/FOOTPRINT.md, not build/benchmarks

Recovery is measured from the start of the process, with the data on disk and the ring full: until the first produce is
acknowledged and the first fetch served, and until one has been on every partition.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from brokers import Ours, create_topic
from load import KLOAD, bare_disk, file_system, kload

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
PARTITIONS = 1000
CONNECTIONS = 500
FLAT_FACTOR = 1.1
FAILPOINTS = "LOGBROKER_FAILPOINTS"
HELD_CHECKPOINT = "checkpoint.before_publish=sleep(600000)@2+"
LIMITS = {
    "idle_rss_mb": 60.0,
    "listening_s": 0.5,
    "recovered_any_s": 1.0,
    "recovered_all_s": 2.0,
    "load_rss_mb": 300.0,
}
TITLES = {
    "idle_rss_mb": "memory when idle, MB",
    "listening_s": "listening after start, s",
    "recovered_any_s": "after kill -9: first produce acknowledged and first fetch served, s",
    "recovered_all_s": "after kill -9: one on each of the partitions, s",
    "load_rss_mb": "memory under load, at most, MB",
}


def main() -> int:
    """Returns 1 when something is over its limit."""
    parser = argparse.ArgumentParser(description="Memory, start and recovery times.")
    parser.add_argument("--gigabytes", type=float, default=10.0, help="data stored before the kill")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long memory is watched under load")
    parser.add_argument("--quick", action="store_true", help="a small scale, to see that it works")
    parser.add_argument("--publish", action="store_true", help="write into benchmarks/")
    parser.add_argument(
        "--dir", type=pathlib.Path, default=REPOSITORY / "build" / "benchmarks", help="where data goes"
    )
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.gigabytes, wanted.minutes = 0.3, 0.2
    wanted.dir.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "gigabytes": wanted.gigabytes,
        "minutes": wanted.minutes,
        "disk": file_system(wanted.dir),
    }
    with tempfile.TemporaryDirectory(prefix="footprint-", dir=wanted.dir) as directory:
        measure_start(pathlib.Path(directory) / "start", result)
        measure_recovery(pathlib.Path(directory) / "recovery", wanted.gigabytes, result)
        measure_load(pathlib.Path(directory) / "load", wanted.minutes, result)
        result["bare_p50_us"] = bare_disk(wanted.dir)["p50_us"]
    where = REPOSITORY / "benchmarks" if wanted.publish else wanted.dir
    (where / "footprint.json").write_text(json.dumps(result, indent=1) + "\n")
    (where / "FOOTPRINT.md").write_text(markdown(result))
    print(markdown(result), end="")
    over = [name for name, limit in LIMITS.items() if result[name] > limit] + ["flat"] * (
        not result["load_flat"]
    )
    return 1 if over else 0


def say(text: str) -> None:
    print(text, flush=True)


def rss_mb(pid: int) -> float:
    """Resident memory, as the kernel counts it, in 10^6 bytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


def wait_listening(port: int, deadline_s: float = 60.0) -> None:
    """Until something accepts a connection there."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.002)
    raise SystemExit(f"nothing listens on port {port}")


def measure_start(directory: pathlib.Path, result: dict[str, Any]) -> None:
    """Start on an empty directory once, then again on what is there; the second counts: a first start fills the ring."""
    say("start and idle memory")
    ours = Ours(directory)
    ours.start()
    port = int(ours.bootstrap.rpartition(":")[2])
    times = []
    for _ in range(5):
        ours.stop()
        began_s = time.monotonic()
        ours.process.launch()
        wait_listening(port)
        times.append(time.monotonic() - began_s)
        ours.process.wait_ready()
    result["listening_s"] = statistics.median(times)
    time.sleep(3.0)
    result["idle_rss_mb"] = rss_mb(ours.pid)
    ours.stop()


def measure_recovery(directory: pathlib.Path, gigabytes: float, result: dict[str, Any]) -> None:
    """Fill, kill while the ring is full, start, and use every partition."""
    say(f"recovery: storing {gigabytes:g} GB in {PARTITIONS:,} partitions")
    ours = Ours(directory)
    ours.start()
    create_topic(ours, "filled", PARTITIONS)
    options = ["-c", "4", "-d", "5", "-b", "64", "-p", str(PARTITIONS)]
    kload(
        "produce",
        ours.bootstrap,
        "filled",
        [*options, "-t", str(max(1.0, gigabytes)), "-n", str(int(gigabytes * 1e9))],
        timeout_s=1800,
    )
    host, _, port = ours.bootstrap.rpartition(":")
    ours.stop()
    # As much to replay as there can be: no checkpoint ends but the one at the start, until every file of the ring is full and single
    # records wait for room.
    ours.process.environment[FAILPOINTS] = HELD_CHECKPOINT
    ours.start()
    load = subprocess.Popen(
        [
            str(KLOAD),
            "produce",
            host,
            port,
            "filled",
            *["-c", "16", "-d", "16", "-t", "60", "-p"],
            str(PARTITIONS),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until_s = time.monotonic() + 50.0
    while not (ours.counters_ring_full() >= 1.0 and ours.counters()["ring_waits"]):
        if time.monotonic() > until_s or load.poll() is not None:
            raise SystemExit("the ring did not fill up")
        time.sleep(0.1)
    result["ring_full_share"] = ours.counters_ring_full()
    ours.process.kill()
    load.wait()
    del ours.process.environment[FAILPOINTS]

    began_s = time.monotonic()
    ours.process.launch()
    wait_listening(int(port))
    result["recovered_listening_s"] = time.monotonic() - began_s
    use(ours, 1)
    result["recovered_any_s"] = time.monotonic() - began_s
    use(ours, PARTITIONS)
    result["recovered_all_s"] = time.monotonic() - began_s
    ours.process.wait_ready()
    ours.stop()


def use(ours: Ours, partitions: int) -> None:
    """A produce acknowledged and a fetch served on each of the first partitions; an error ends this program."""
    each = ["-p", str(partitions), "-r", str(partitions)]
    kload("produce", ours.bootstrap, "filled", [*each, "-d", str(min(partitions, 250)), "-c", "1"])
    kload("fetch", ours.bootstrap, "filled", [*each, "-q", "1", "-m", "4096"])


def measure_load(directory: pathlib.Path, minutes: float, result: dict[str, Any]) -> None:
    """Memory of 500 connections writing to 1,000 partitions, sampled every second."""
    say(f"memory under load: {CONNECTIONS} connections, {PARTITIONS:,} partitions, {minutes:g} minutes")
    ours = Ours(directory)
    ours.start()
    create_topic(ours, "loaded", PARTITIONS)
    host, _, port = ours.bootstrap.rpartition(":")
    command = [str(KLOAD), "produce", host, port, "loaded", "-c", str(CONNECTIONS), "-p", str(PARTITIONS)]
    load = subprocess.Popen([*command, "-t", str(60 * minutes)], stdout=subprocess.PIPE, text=True)
    samples = []
    while load.poll() is None:
        samples.append(rss_mb(ours.pid))
        time.sleep(1.0)
    out, _ = load.communicate()
    if load.returncode != 0:
        raise SystemExit(f"the load ended with {load.returncode}: {out}")
    result["load"] = json.loads(out)
    tenth = max(1, len(samples) // 10)
    early, late = statistics.mean(samples[tenth : 2 * tenth] or samples), statistics.mean(samples[-tenth:])
    result.update(
        load_rss_mb=max(samples),
        load_early_mb=early,
        load_late_mb=late,
        load_flat=late <= early * FLAT_FACTOR,
    )
    ours.stop()


def markdown(result: dict[str, Any]) -> str:
    """A table with limits."""
    conditions = (
        f"Written by `make footprint`; {result['disk']}, bare 4 KB overwrite + fdatasync {result['bare_p50_us']:.0f} us. "
        f"Recovery with {result['gigabytes']:g} GB in {PARTITIONS:,} partitions and {100 * result['ring_full_share']:.0f} % "
        f"of the ring's files full; load of {CONNECTIONS} connections on {PARTITIONS:,} partitions for "
        f"{result['minutes']:g} minutes, {result['load']['records_per_s']:,.0f} records/s."
    )
    lines = ["# Footprint", "", conditions, "", "| | measured | limit |", "|---|---|---|"]
    for name, limit in LIMITS.items():
        mark = "" if result[name] <= limit else " (missed)"
        lines.append(f"| {TITLES[name]} | {result[name]:.3g}{mark} | {limit:g} |")
    lines.append(
        f"| memory early and late under load, MB | {result['load_early_mb']:.0f}, {result['load_late_mb']:.0f} | flat |"
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
