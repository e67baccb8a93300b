"""The driver's side of the tests' line protocol: a JSON object in, a JSON object out, one a line.

    {"op": "offsets", "topic": "t", ...}  ->  {"ok": result}  or  {"error": "what the client said", "kind": "its class"}

Bytes travel in base64; null stays null. A record is {"p": partition, "o": offset, "t": timestamp, "k": key, "v": value,
"h": [[name, value], ...]}. Standard output belongs to the protocol: what a library prints goes to standard error.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO


def pack(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def unpack(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def record(
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[tuple[str, bytes | None]] | None,
) -> dict[str, Any]:
    return {
        "p": partition,
        "o": offset,
        "t": timestamp,
        "k": pack(key),
        "v": pack(value),
        "h": [[name, pack(content)] for name, content in headers or ()],
    }


def headers_of(described: dict[str, Any]) -> list[tuple[str, bytes | None]]:
    return [(name, unpack(content)) for name, content in described["h"]]


def claim_stdout() -> TextIO:
    """The real standard output; whatever else writes there from now on ends up on standard error."""
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return mine


def answer(run: Callable[..., Any], line: str) -> str:
    """Carry out one line's operation."""
    arguments = json.loads(line)
    try:
        return json.dumps({"ok": run(arguments.pop("op"), **arguments)})
    except Exception as error:
        return json.dumps({"error": str(error), "kind": type(error).__name__})


def serve(operations: object) -> None:
    """Carry out operations, each a method of that name, until standard input ends."""
    out = claim_stdout()
    for line in sys.stdin:
        out.write(answer(lambda op, **arguments: getattr(operations, op)(**arguments), line) + "\n")
        out.flush()
