"""Type aliases that every layer shares."""

from __future__ import annotations

from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes that nobody needs to own: a slice of a received frame, a read from a segment, a built batch."""
