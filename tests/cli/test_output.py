"""Printing, splitting lines, and reading times and offsets: what needs no broker."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.errors import LogbrokerError
from logbroker.cli.consume import _as_json, _parse_offset, _parse_timestamp, _text_writer
from logbroker.cli.lines import read_lines
from logbroker.cli.output import print_table, size_text
from logbroker.cli.produce import BadLineError, _Job, _splitter
from logbroker.cli.progress import ProgressLine
from logbroker.client.fetched import ConsumerRecord


def record(key=b"k", value=b"v", headers=()):
    return ConsumerRecord("topic", 1, 5, 1000, "CreateTime", key, value, headers)


def test_a_plain_table_is_columns(capsys):
    print_table(["name", "count"], [("a", 5), ("long name", None)], right=["count"])
    assert capsys.readouterr().out == "NAME       COUNT\na              5\nlong name      -\n"


def pretend_a_terminal(monkeypatch):
    """Standard output and error are a terminal of 30 columns, without colours."""
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)


def test_a_table_on_a_terminal_fits(capsys, monkeypatch):
    pretend_a_terminal(monkeypatch)
    print_table(["name", "count"], [("a.topic.with.a.long.name", 5), ("x" * 25, 12345)], right=["count"])
    assert capsys.readouterr().out.splitlines() == [
        "name                     count",
        "───────────────────────  ─────",
        "a.topic.with.a.long.         5",
        "name",
        "xxxxxxxxxxxxxxxxxxxxxxx  12345",
        "xx",
    ]


def test_a_terminal_too_narrow_for_numbers_gets_them_all_the_same(capsys, monkeypatch):
    pretend_a_terminal(monkeypatch)
    print_table(["count"], [("9" * 40,)], right=["count"])
    assert "9" * 40 in capsys.readouterr().out


def test_progress_is_shown_when_it_takes_long_and_then_gone(capsys, monkeypatch):
    pretend_a_terminal(monkeypatch)
    now_s = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    with ProgressLine() as line:
        line.show(lambda: "at once")
        assert capsys.readouterr().err == ""
        now_s += 1.5
        line.show(lambda: "a line that is longer than the terminal is wide")
        line.show(lambda: "too soon after it")
        assert capsys.readouterr().err == "\r\x1b[Ka line that is longer than th"
    assert capsys.readouterr().err == "\r\x1b[K"
    with ProgressLine(wanted=False) as line:
        now_s += 1.5
        line.show(lambda: "never")
    assert capsys.readouterr().err == ""


def test_an_empty_table_says_so_where_it_harms_nobody(capsys):
    print_table(["name"], [], empty="nothing here")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "nothing here\n")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (-1, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KB"),
        (1536 * 1024, "1.5 MB"),
        (1 << 60, "1024.0 PB"),
    ],
)
def test_sizes(size, text):
    assert size_text(size) == text


def test_text_is_the_bytes_of_the_record(capsysbinary):
    write = _text_writer(b"\t", show_key=True, show_headers=True)
    write([record(b"\xff\x00", b"\x01", (("a", b"1"), ("b", None))), record(None, None)])
    assert capsysbinary.readouterr().out == b"a:1,b:null\t\xff\x00\t\x01\nNO_HEADERS\tnull\tnull\n"


def test_json_flags_what_is_base64():
    assert _as_json(record("é".encode(), b"\xff", (("h", b"\xfe"), ("n", None)))) == {
        "topic": "topic",
        "partition": 1,
        "offset": 5,
        "timestamp_ms": 1000,
        "timestamp_type": "CreateTime",
        "key": "é",
        "value": "/w==",
        "value_encoding": "base64",
        "headers": [{"name": "h", "value": "/g==", "encoding": "base64"}, {"name": "n", "value": None}],
    }
    assert "key_encoding" not in _as_json(record(None, None))


@pytest.mark.parametrize(
    ("text", "offset"), [("0", 0), ("12", 12), ("-3", -3), ("earliest", "beginning"), ("latest", "end")]
)
def test_offsets(text, offset):
    assert _parse_offset(text) == offset


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("1700000000000", 1700000000000),
        ("2023-11-14T22:13:20+00:00", 1700000000000),
        ("2023-11-14T23:13:20.5+01:00", 1700000000500),
        ("2023-11-14T22:13:20Z", 1700000000000),
    ],
)
def test_times(text, timestamp_ms):
    assert _parse_timestamp(text) == timestamp_ms


def job(**fields):
    defaults = dict.fromkeys(_Job._fields)
    return _Job(**{**defaults, **fields})


def test_lines_become_keys_and_values():
    assert _splitter(job())(b"a:b", 1) == (None, b"a:b")
    assert _splitter(job(key=b"k"))(b"a:b", 1) == (b"k", b"a:b")
    split = _splitter(job(key_separator=b":", null_marker=b"NULL"))
    assert split(b"a:b:c", 1) == (b"a", b"b:c")
    assert split(b"NULL:b", 1) == (None, b"b")
    assert split(b"a:NULL", 1) == (b"a", None)
    assert split(b":", 1) == (b"", b"")
    with pytest.raises(BadLineError, match="line 7, 'abc', has no key separator ':'"):
        split(b"abc", 7)


async def _collect(descriptor, max_line_bytes):
    return [line async for lines in read_lines(descriptor, max_line_bytes) for line in lines]


def through_a_pipe(chunks, max_line_bytes=10_000):
    """The lines that come out when `chunks` are written to a pipe one after the other."""
    reading, writing = os.pipe()
    try:

        async def main():
            task = asyncio.ensure_future(_collect(reading, max_line_bytes))
            for chunk in chunks:
                await asyncio.to_thread(os.write, writing, chunk)
                await asyncio.sleep(0)
            os.close(writing)
            return await task

        return asyncio.run(main())
    finally:
        os.close(reading)


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_lines_of_a_pipe(chunks):
    expected = b"".join(chunks).split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert through_a_pipe(chunks) == expected


@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"a\n", b"a\nb\n\nc", b"\x00\xff\r\n" * 1000])
def test_lines_of_a_file(tmp_path, content):
    path = tmp_path / "lines"
    path.write_bytes(content)
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert asyncio.run(_collect(descriptor, 10_000)) == expected
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("content", [b"ok\n" + b"x" * 101, b"ok\n" + b"x" * 101 + b"\nok\n"])
def test_a_line_is_bounded(tmp_path, content):
    path = tmp_path / "lines"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(LogbrokerError, match="line 2 is longer than 100 bytes"):
            asyncio.run(_collect(descriptor, 100))
    finally:
        os.close(descriptor)
