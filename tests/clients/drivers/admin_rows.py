"""Calling every method of an admin client once, and telling what became of each, as one line of JSON.

{"methods": [all that the client has], "outcomes": {name: "ok ..." or the name of the client's error}}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Rows = dict[str, Callable[[], Any]]


def nothing(_: Any) -> None:
    """For what says nothing that a row could hold on to."""


def methods_of(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name)))


def tell(kind: type, rows: Rows, name_of: Callable[[Exception], str]) -> None:
    outcomes = {}
    for name, call in rows.items():
        try:
            told = call()
        except Exception as error:
            outcomes[name] = name_of(error)
        else:
            outcomes[name] = "ok" if told is None else f"ok {told}"
    sys.stdout.write(json.dumps({"methods": methods_of(kind), "outcomes": outcomes}) + "\n")
