"""Records to write, chosen to be awkward, as the line protocol describes them; and what a reader must see of them."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Any

from support.client_driver import ClientKind

EARLY_MS = 1_000_000_000_000  # 2001: before any log could roll by time
HOUR_MS = 3_600_000

Headers = list[tuple[str, bytes | None]]


def described(
    partition: int,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    timestamp_ms: int | None = None,
) -> dict[str, Any]:
    """A record as the drivers take it."""
    return {
        "p": partition,
        "k": _packed(key),
        "v": _packed(value),
        "h": [[name, _packed(content)] for name, content in headers],
        "t": timestamp_ms,
    }


def plain(partition: int, count: int, start: int = 0) -> list[dict[str, Any]]:
    """Records that tell each other apart and nothing more."""
    return [described(partition, b"key %d" % n, b"value %d" % n) for n in range(start, start + count)]


def awkward(kind: ClientKind, partition: int, seed: str) -> list[dict[str, Any]]:
    """What this client can write of: nulls, empties, binary, headers of every sort, old and unordered times; and a crowd."""
    chance = random.Random(seed)
    records: list[tuple[bytes | None, bytes | None, Headers, int | None]] = [
        (b"key", b"value", [], None),
        (None, b"no key", [], EARLY_MS),
        (b"no value", None, [], EARLY_MS + 5),
        (bytes(range(256)), bytes(reversed(range(256))), [], EARLY_MS + HOUR_MS),
        ("ключ".encode(), "значение ✓".encode(), [("ü", "ä".encode())], EARLY_MS - HOUR_MS),
        (b"headers", b"x", [("a", b"1"), ("b", b"2"), ("a", b"again")], None),
        (b"empty header", b"x", [("empty", b"")], None),
        (b"long", b"ab" * 20_000, [("long", b"h" * 2000)], EARLY_MS + 9),
    ]
    if kind.nothing:
        records += [(None, None, [("only", b"headers")], EARLY_MS + 5)]
    if kind.empty_values:
        records += [(b"", b"empty key", [], 1), (b"empty value", b"", [], 2), (b"", b"", [], None)]
    if kind.null_headers:
        records += [(b"null header", b"x", [("null", None), ("a", b"b")], None)]
    if kind.binary_headers:
        records += [(b"binary header", b"x", [("binary", b"\xff\x80\x00\x01")], None)]
    for n in range(200):
        value = chance.randbytes(chance.randrange(1, 300)) if n % 3 else b"z" * chance.randrange(1, 3000)
        records.append(
            (b"%d" % n, value, [("n", b"%d" % n)] if n % 5 == 0 and kind.binary_headers else [], EARLY_MS + n)
        )
    return [
        described(partition, key, value, headers, timestamp_ms if kind.timestamps else None)
        for key, value, headers, timestamp_ms in records
    ]


def content(record: dict[str, Any]) -> tuple[Any, ...]:
    """What must be the same in what was written and what was read."""
    return (record["k"], record["v"], tuple(tuple(header) for header in record["h"]))


def as_seen_by(reader: ClientKind, record: dict[str, Any]) -> tuple[Any, ...]:
    """What of a written record this client shows."""
    if reader.binary_headers:
        return content(record)
    key, value, headers = content(record)
    return key, value, tuple((name, _up_to_zero(value)) for name, value in headers)


def _up_to_zero(packed: str | None) -> str | None:
    return None if packed is None else _packed(base64.b64decode(packed).partition(b"\0")[0])


def by_partition(records: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Records of each partition, in the order they came in."""
    sorted_out: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        sorted_out.setdefault(record["p"], []).append(record)
    return sorted_out


def _packed(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
