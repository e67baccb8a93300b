"""What every process reports, under the names Prometheus' client libraries gave it (`process_*`), and Python's collector.

Read from /proc at scrape time; where there is no /proc only what Python itself knows is shown. Loop thread, no waiting:
/proc answers from memory.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Iterator

from logbroker.base import logs
from logbroker.base.metrics import Metric

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def collect() -> Iterator[Metric]:
    """CPU, memory, descriptors, garbage collections, dropped log lines."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Metric(
        "process_cpu_seconds_total",
        "CPU time, user and system.",
        "counter",
        [((), usage.ru_utime + usage.ru_stime)],
    )
    yield from _from_proc()
    soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Metric("process_max_fds", "Descriptors the process may have open.", "gauge", [((), soft_limit)])
    yield Metric(
        "python_gc_collections_total",
        "Runs of the garbage collector.",
        "counter",
        [
            ((("generation", str(number)),), stats["collections"])
            for number, stats in enumerate(gc.get_stats())
        ],
    )
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Metric(
        "python_info",
        "The Python that runs the broker.",
        "gauge",
        [((("implementation", sys.implementation.name), ("version", version)), 1)],
    )
    yield Metric(
        "logbroker_log_lines_dropped_total",
        "Log lines dropped because standard error was not read fast enough.",
        "counter",
        [((), logs.dropped_lines())],
    )


def _from_proc() -> Iterator[Metric]:
    try:
        with open("/proc/self/stat", "rb") as opened:
            # The second field is the program's name in parentheses, which may hold anything; the rest follows it.
            fields = opened.read().rpartition(b") ")[2].split()
        descriptors = len(os.listdir("/proc/self/fd")) - 1  # not the one that lists them
        started_s = _boot_time_s() + int(fields[19]) / _TICKS_PER_S
    except (OSError, ValueError, IndexError):
        return
    yield Metric(
        "process_resident_memory_bytes", "Memory in RAM.", "gauge", [((), int(fields[21]) * _PAGE_BYTES)]
    )
    yield Metric("process_virtual_memory_bytes", "Address space.", "gauge", [((), int(fields[20]))])
    yield Metric("process_open_fds", "Open descriptors.", "gauge", [((), descriptors)])
    yield Metric("process_threads", "Threads.", "gauge", [((), int(fields[17]))])
    yield Metric(
        "process_start_time_seconds", "Start, in seconds since the epoch.", "gauge", [((), started_s)]
    )


def _boot_time_s() -> int:
    with open("/proc/stat", "rb") as opened:
        for line in opened:
            if line.startswith(b"btime "):
                return int(line.split()[1])
    raise ValueError("no btime in /proc/stat")


def process_age_s() -> float:
    """Seconds since this process was started by exec, Python's own start included; 0 where that can't be known."""
    try:
        with open("/proc/self/stat", "rb") as opened:
            started_ticks = int(opened.read().rpartition(b") ")[2].split()[19])
        with open("/proc/uptime", "rb") as opened:
            return max(0.0, float(opened.read().split()[0]) - started_ticks / _TICKS_PER_S)
    except (OSError, ValueError, IndexError):
        return 0.0
