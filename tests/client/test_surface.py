"""What the package offers, and what it refuses before it asks any broker."""

from __future__ import annotations

import ast
import asyncio
import inspect

import pytest

import logbroker.client
from logbroker.base.errors import ConfigError
from logbroker.client import Admin, ClosedError, Consumer, Producer
from logbroker.client.types import parse_bootstrap_servers


def test_all_is_what_can_be_imported():
    tree = ast.parse(inspect.getsource(logbroker.client))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("logbroker.client")
        for alias in node.names
    }
    assert set(logbroker.client.__all__) == imported
    for name in logbroker.client.__all__:
        assert getattr(logbroker.client, name).__module__.startswith(
            ("logbroker.client", "logbroker.net", "logbroker.base")
        )
    assert set(dir(logbroker.client)) >= imported
    with pytest.raises(AttributeError, match="Nothing"):
        _ = logbroker.client.Nothing


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("localhost:9092", [("localhost", 9092)]),
        ("localhost", [("localhost", 9092)]),
        ("localhost:", [("localhost", 9092)]),
        ("a:1, b:2,", [("a", 1), ("b", 2)]),
        (["a:1", "b"], [("a", 1), ("b", 9092)]),
        ("[::1]:9093", [("::1", 9093)]),
        ("[::1]", [("::1", 9092)]),
    ],
)
def test_bootstrap_servers(servers, expected):
    assert parse_bootstrap_servers(servers) == expected


@pytest.mark.parametrize(
    "servers",
    ["", " , ", [], ":9092", "host:port", "host:0", "host:65536", "[::1", "[::1]9092", "::1", "host:٣"],
)
def test_bootstrap_servers_that_are_none(servers):
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_bootstrap_servers(servers)


@pytest.mark.parametrize(
    "options",
    [
        {"acks": 2},
        {"acks": "some"},
        {"acks": 1, "idempotent": True},
        {"compression": "rar"},
        {"max_in_flight": 0},
        {"max_in_flight": 6},
        {"batch_bytes": 0},
        {"buffer_bytes": -1},
        {"delivery_timeout_ms": 0},
    ],
)
def test_a_producer_that_cannot_be(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Producer("127.0.0.1:9092", **options)


@pytest.mark.parametrize(
    "options", [{"isolation_level": "serializable"}, {"auto_offset_reset": "middle"}, {"buffer_bytes": 0}]
)
def test_a_consumer_that_cannot_be(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        Consumer("127.0.0.1:9092", **options)


def test_what_is_not_open_says_so():
    async def main():
        with pytest.raises(ClosedError, match="async with"):
            await Producer("127.0.0.1:9092").send("topic", b"")
        with pytest.raises(ClosedError, match="async with"):
            await Consumer("127.0.0.1:9092").poll()
        await Producer("127.0.0.1:9092").close()
        await Consumer("127.0.0.1:9092").close()
        await Admin("127.0.0.1:9092").close()

    asyncio.run(main())
