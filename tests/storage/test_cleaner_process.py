"""The cleaner's process: what it says, where it imports from, and that a stop never waits for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from logbroker.storage import cleaner_process
from logbroker.storage.cleaner_process import CleanerError, ProcessRunner
from logbroker.storage.compaction import Job
from logbroker.storage.executor import run_to_end

ANSWER = """
import os, struct, sys
from msgspec import msgpack
os.read(0, *struct.unpack("<I", os.read(0, 4)))
data = {answer}
os.write(1, struct.pack("<I", len(data)) + data)
os.read(0, 1)
"""


@pytest.fixture
def runner():
    runner = ProcessRunner()
    yield runner
    runner.close()


def job(path):
    return Job(str(path), [], 0, 0, 0, 4096, 1 << 20, 1 << 20, 24 << 10, 0.5, 4096, 1e9, [], [])


def asked(runner, tmp_path):
    """The error that a pass ends with, None if there is none."""
    return run_to_end(runner.index_steps(job(tmp_path)))[1]


def answers(monkeypatch, answer):
    """From now on the process is one that answers so (an expression)."""
    command = (sys.executable, "-P", "-c", ANSWER.format(answer=answer))
    monkeypatch.setattr(cleaner_process, "COMMAND", command)


@pytest.mark.parametrize(
    "answer",
    [
        "b''",
        "b'\\xc1'",
        "msgpack.encode(7)",
        "msgpack.encode([])",
        "msgpack.encode([''])",
        "msgpack.encode(['', ['x']])",
        "msgpack.encode(['os'])",
    ],
)
def test_an_answer_that_is_none_fails_the_pass_and_ends_the_process(runner, monkeypatch, tmp_path, answer):
    with monkeypatch.context() as patch:
        answers(patch, answer)
        assert isinstance(asked(runner, tmp_path), CleanerError)
        assert runner.pid == -1
    assert asked(runner, tmp_path) is None, "the next pass has a process of its own"


def test_it_imports_from_where_the_broker_does(runner, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(tmp_path))
    answers(monkeypatch, "msgpack.encode(['other', '', 0, 0, str(sys.path)])")
    assert repr(str(tmp_path)) in str(asked(runner, tmp_path))


def test_what_is_interrupted_before_it_began_starts_no_process(runner, tmp_path):
    runner.interrupt()
    assert isinstance(asked(runner, tmp_path), CleanerError)
    assert runner.pid == -1


def test_a_process_that_starts_while_it_is_interrupted_does_not_run_on(runner, monkeypatch, tmp_path):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)
            runner.interrupt()

    monkeypatch.setattr(subprocess, "Popen", Popen)
    assert isinstance(asked(runner, tmp_path), CleanerError)
    assert started[0].returncode is not None


def test_printing_is_no_answer(tmp_path, monkeypatch, runner):
    """A module that says something on stdout must not be taken at its word."""
    script = (
        "import logbroker.storage.cleaner_process as it\n"
        "before = it._Worker.answer\n"
        "it._Worker.answer = lambda *args: (print('hello', flush=True), before(*args))[1]\n"
        "it.main()"
    )
    monkeypatch.setattr(cleaner_process, "COMMAND", (sys.executable, "-P", "-c", script))
    assert asked(runner, tmp_path) is None
