"""The version, as text; the same as in pyproject.toml (a test compares them).

A constant, as asking the installed package's metadata takes 20 ms of every start.
"""

from typing import Final

VERSION: Final = "0.1.0"
