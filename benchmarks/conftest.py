"""Makes the storage tests' log directory, driven by hand, importable for the micro benchmarks."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "storage"))
