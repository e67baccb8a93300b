"""The checked-in message modules are what the generator writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("kio")

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "logbroker" / "wire" / "messages"


def test_the_messages_are_up_to_date(tmp_path):
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_messages.py"), str(tmp_path)], check=True, timeout=60
    )
    written = {path.name: path.read_text() for path in tmp_path.glob("*.py")}
    checked_in = {path.name: path.read_text() for path in PACKAGE.glob("*.py")}
    assert sorted(written) == sorted(checked_in)
    stale = [name for name, text in written.items() if checked_in[name] != text]
    assert not stale, f"run: python tools/generate_messages.py; it changes {stale}"


def test_every_module_is_short_enough_to_read():
    lengths = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")}
    assert len(lengths) > 90
    assert max(lengths.values()) < 500
