"""Lines for people and for programs; nobody can forge one, and nobody who doesn't read can stop us."""

import json
import logging
import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base import logs


@pytest.fixture
def pipe():
    """Give a function that configures logging into a pipe and one that ends it and returns the lines."""
    reading, writing = os.pipe()
    collected = []
    thread = threading.Thread(target=lambda: collected.append(_drain(reading)))
    thread.start()
    ended = False

    def start(**options):
        logs.configure(descriptor=writing, **options)

    def end():
        nonlocal ended
        if not ended:
            ended = True
            logs.stop()
            os.close(writing)
            thread.join()
            os.close(reading)
        return collected[0].decode().splitlines()

    yield start, end
    end()
    logging.getLogger("logbroker").setLevel(logging.NOTSET)


def _drain(descriptor):
    data = b""
    while piece := os.read(descriptor, 65536):
        data += piece
    return data


LOG = logs.get("test")


def test_text(pipe):
    start, end = pipe
    start()
    LOG.info("connection closed", client="10.0.0.7:5", reason="a frame of 2 GiB", bytes=7, none=None)
    LOG.debug("not at this level")
    (line,) = end()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    "
        r'test: connection closed client=10\.0\.0\.7:5 reason="a frame of 2 GiB" bytes=7 none=None',
        line,
    )


def test_json(pipe):
    start, end = pipe
    start(format_="json", level="debug")
    LOG.debug("one", client="a\nb", size=7, ratio=0.5, yes=True, none=None, names=["a"], event_id=object)
    LOG.warning("two", time="noon")
    first, second = map(json.loads, end())
    assert first.pop("time").endswith("Z")
    assert first.pop("event_id") == "<class 'object'>"
    assert first == {
        "level": "debug",
        "logger": "test",
        "event": "one",
        "client": "a\nb",
        "size": 7,
        "ratio": 0.5,
        "yes": True,
        "none": None,
        "names": ["a"],
    }
    assert second["time_"] == "noon"
    assert second["level"] == "warning"


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_fault_of_ours_has_its_traceback(pipe, format_):
    start, end = pipe
    start(format_=format_)
    try:
        raise RuntimeError("the fault")
    except RuntimeError as error:
        LOG.error("it broke", error=error, topic="t")
    lines = end()
    if format_ == "json":
        assert "RuntimeError: the fault" in json.loads(lines[0])["exception"]
    else:
        assert lines[0].endswith("test: it broke topic=t")
        assert lines[1].startswith("    Traceback")
        assert lines[-1] == "    RuntimeError: the fault"


def test_libraries_and_plain_logging_look_the_same(pipe):
    start, end = pipe
    start()
    logging.getLogger("logbroker.net.closing_log").warning("closed %s: %s", "10.0.0.7", "bad\x1b[2J")
    logging.getLogger("asyncio").error("a task failed")
    logging.getLogger("asyncio").info("not worth a line")
    first, second = end()
    assert first.endswith(r'WARNING net.closing_log: "closed 10.0.0.7: bad\x1b[2J"')
    assert second.endswith("ERROR   asyncio: a task failed")


def test_levels_change_while_running(pipe):
    start, end = pipe
    start(level="error")
    LOG.warning("before")
    logs.set_level("info")
    LOG.log("info", "after")
    (line,) = end()
    assert line.endswith("test: after")


def test_in_the_journal_priority_stands_for_time_and_level(pipe):
    start, end = pipe
    start(journal=True)
    LOG.error("bad")
    LOG.info("good")
    assert end() == ["<3>test: bad", "<6>test: good"]


def test_the_journal_is_recognized(monkeypatch):
    reading, writing = os.pipe()
    found = os.fstat(writing)
    for text, expected in (
        (f"{found.st_dev}:{found.st_ino}", True),
        ("1:1", False),
        ("x", False),
        ("a:b", False),
    ):
        monkeypatch.setenv("JOURNAL_STREAM", text)
        assert logs._is_journal(writing) is expected
    os.close(reading)
    os.close(writing)


@given(st.text() | st.binary())
def test_no_value_leaves_its_line(value):
    shown = logs.printable(value)
    assert shown.isprintable()
    assert len(shown) < 5000
    # One field: either without blanks, or in quotes that only the end closes.
    assert re.fullmatch(r'[^\s"=\\]+|"(?:[^"\\]|\\.)*"', shown)


def test_long_values_are_cut():
    assert logs.printable("x" * 501).startswith('"' + "x" * 500 + "... (501")


def test_a_value_that_can_not_be_shown_does_no_harm(pipe):
    class Bad:
        def __str__(self):
            raise RuntimeError("no")

    start, end = pipe
    start()
    LOG.info("with a bad value", value=Bad())
    LOG.info("next")
    first, second = end()
    assert first == "a line could not be written: 'with a bad value': RuntimeError"
    assert second.endswith("next")


def test_a_reader_that_is_stuck_stops_nobody(monkeypatch):
    monkeypatch.setattr(logs, "QUEUE_MAX_LINES", 50)
    reading, writing = os.pipe()
    logs.configure(descriptor=writing)
    try:
        # More than the pipe (64 KiB) and the queue hold, and nobody reads: this returns all the same.
        for number in range(3000):
            LOG.info("x" * 200, number=number)
        assert logs.dropped_lines() > 1000
        dropped = logs.dropped_lines()
        collected = []
        drained = threading.Thread(target=lambda: collected.append(_drain(reading)))
        drained.start()
        # Written when there is room again.
        while logs._writer._queue.qsize() >= 50:
            os.sched_yield()
        LOG.info("the last")
        logs.stop()
    finally:
        logs.stop()
        os.close(writing)
    drained.join()
    os.close(reading)
    lines = collected[0].decode().splitlines()
    assert lines[-1].endswith("the last")
    # Whenever there was room again it was said how many were missing; nothing is missing beyond that.
    told = [int(count) for count in re.findall(r"log lines were dropped lines=(\d+)", "\n".join(lines))]
    assert sum(told) == dropped
    assert len(lines) == 3001 - dropped + len(told)


def test_a_reader_that_is_gone_does_no_harm():
    reading, writing = os.pipe()
    os.close(reading)
    logs.configure(descriptor=writing)
    LOG.info("to nobody")
    logs.stop()
    os.close(writing)
    assert not logs.configured()
    assert logs.dropped_lines() == 0


def test_limited(pipe):
    now = 0.0
    start, end = pipe
    start()
    limited = logs.Limited(LOG, per_second=2.0, burst=3, monotonic=lambda: now)
    assert [limited.warning("bad frame", number=number) for number in range(6)] == [True] * 3 + [False] * 3
    now = 0.4
    assert not limited.info("bad frame")
    now = 0.6
    assert limited.info("bad frame", number=7)
    assert not limited.info("bad frame")
    lines = end()
    assert len(lines) == 4
    assert lines[-1].endswith("bad frame number=7 held_back=4")


def test_one_log_a_name():
    assert logs.get("same") is logs.get("same")


def test_without_configuration_records_are_ordinary(caplog):
    with caplog.at_level("INFO", "logbroker"):
        LOG.info("an event", key="value")
    (record,) = caplog.records
    assert (record.name, record.getMessage(), record.fields) == (
        "logbroker.test",
        "an event",
        {"key": "value"},
    )
