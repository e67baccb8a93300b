"""Write jobs of many segments: large ones one after the other, small ones many by one system call.

Runs on a lane. Nothing is durable here: all of it goes to the page cache, and what a crash leaves of it is recovery's business.
"""

from __future__ import annotations

from collections.abc import Iterable

from logbroker.storage.executor import Steps
from logbroker.storage.file_pool import FilePool
from logbroker.storage.many_writes import WRITES_MAX
from logbroker.storage.segment import WriteJob

SMALL_BYTES = 65_536
"""A write of no more than this is mostly overhead, which it may share with others."""
TOGETHER_BYTES = 2 << 20
"""Bytes after which small writes wait for no more company."""

OPEN_SHARE = 8
"""One in so many of the files that may be open at a time may be held beyond that: the pool can't close what is held."""


def write_jobs_steps(jobs: Iterable[WriteJob], pool: FilePool) -> Steps[None]:
    """Put jobs into the files. Raises OSError as a single write does; then any of the others may have been made or not."""
    if not pool.vfs.writes_many:
        for job in jobs:
            yield from job.segment.write_steps(job, pool)
        return
    together: list[WriteJob] = []
    size_bytes = 0
    most = min(WRITES_MAX, pool.max_open // OPEN_SHARE)
    for job in jobs:
        job_bytes = job.end - job.position
        if not job.items or job_bytes > SMALL_BYTES:
            yield from job.segment.write_steps(job, pool)
            continue
        together.append(job)
        size_bytes += job_bytes
        if len(together) >= most or size_bytes >= TOGETHER_BYTES:
            yield from _write_together_steps(together, pool)
            together = []
            size_bytes = 0
    yield from _write_together_steps(together, pool)


def _write_together_steps(jobs: list[WriteJob], pool: FilePool) -> Steps[None]:
    if len(jobs) > 1:
        files = [pool.get(job.segment.path, create=True, pin=True) for job in jobs]
        if pool.vfs.write_many(
            [
                (file, [item.buffer for item in job.items], job.position)
                for file, job in zip(files, jobs, strict=True)
            ]
        ):
            for file, job in zip(files, jobs, strict=True):
                pool.keep(job.segment.path, file)
            yield
            for job in jobs:
                yield from job.segment.write_index_steps(job, pool)
            return
        del files
    for job in jobs:
        yield from job.segment.write_steps(job, pool)
