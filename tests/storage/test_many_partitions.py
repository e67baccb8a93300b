"""More partitions than the process may have files open: `ulimit -n 1024` is enough for ten thousand."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from logbroker.replication import log_dirs

PROGRAM = """
    import gc, os, resource, sys
    directory, limit, count = sys.argv[1], *map(int, sys.argv[2:4])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    from storage.support import Engine, batch
    from logbroker.replication.log_dirs import open_files_share

    share = open_files_share(1)
    engine = Engine(directory, journal_file_bytes=4 << 20, journal_group_max_bytes=2 << 20, open_files_max=share)
    engine.open()
    for index in range(count):
        engine.create(index=index, index_interval_bytes=0, flush_messages=1 if index % 10 else 3)

    def files():
        return len(os.listdir("/proc/self/fd"))

    def check(rounds):
        for index in range(count):
            found = list(engine.values(engine.log(index=index)).values())
            assert found == [b"%d of %d" % (number, index) for number in range(rounds)], (index, found)

    most = 0
    for number in range(3):
        items = [engine.append(engine.log(index=index), batch(b"%d of %d" % (number, index))) for index in range(count)]
        engine.run()
        assert not any(item.error for item in items), engine.directory.offline_reason
        most = max(most, files())
    engine.checkpoint()
    check(3)
    for cleanly in (True, False):
        engine.reopen(cleanly=cleanly)
        gc.collect()  # what is left of the life before: its process would be gone
        check(3)
        most = max(most, files())
    engine.close()
    assert engine.directory.offline_reason is None
    print(most)
"""


def run(directory, limit, count, timeout_s=60):
    path = os.pathsep.join(
        filter(None, [os.path.dirname(os.path.dirname(__file__)), os.environ.get("PYTHONPATH")])
    )
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(directory), str(limit), str(count)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_ten_times_as_many_partitions_as_files(tmp_path):
    assert run(tmp_path, 128, 600) <= 100


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_partitions_with_1024_files(tmp_path):
    assert run(tmp_path, 1024, 10_000, timeout_s=500) <= 600


def test_the_share_of_a_directory(monkeypatch):
    limits = {}
    monkeypatch.setattr(log_dirs.resource, "getrlimit", lambda _: (limits["soft"], 0))
    for soft, directories, share in ((1024, 1, 256), (1024, 4, 64), (100, 5, 16), (1 << 20, 1, 1 << 18)):
        limits["soft"] = soft
        assert log_dirs.open_files_share(directories) == share
    limits["soft"] = log_dirs.resource.RLIM_INFINITY
    assert log_dirs.open_files_share(1) >= 1 << 16
