"""Kafka's primitive encodings, one function each, for formats that are written by hand.

Compiled messages (`codec.py`) inline most of this; record formats of the coordinators, headers and tests
call it. A reader takes `(buffer, position)` and returns `(value, next position)`; it never reads past the
buffer's end, and it raises `ProtocolError` naming the position for anything that isn't a valid value. A writer
returns bytes.

Two families: the older one has fixed-size big-endian lengths (int16 for strings, int32 for bytes and arrays,
-1 for null), the *compact* one (KIP-482) an unsigned varint of length + 1 (0 for null).
"""

from __future__ import annotations

import struct
from typing import Final, TypeVar
from uuid import UUID

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire.schema import ZERO_UUID

_T = TypeVar("_T")

TAGGED_FIELDS_MAX: Final = 1000
"""The most tagged fields in a section that is skipped; Kafka has never defined more than a handful."""
MAX_VARINT_BYTES: Final = 5
MAX_VARLONG_BYTES: Final = 10
MAX_STRING_BYTES: Final = 32767
"""What an int16 length can say."""
MAX_UINT32: Final = 0xFFFF_FFFF
MAX_CACHED_UUIDS: Final = 16_384
"""How many decoded UUIDs are kept so that a topic's id is one object, not one per request."""

_INT8: Final = struct.Struct(">b")
_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
_INT64: Final = struct.Struct(">q")

_uuids: dict[bytes, UUID] = {ZERO_UUID.bytes: ZERO_UUID}


def uuid_of(raw: bytes) -> UUID:
    """Return the UUID of 16 bytes; the same object for the same bytes, as long as it stays cached."""
    found = _uuids.get(raw)
    if found is None:
        if len(_uuids) >= MAX_CACHED_UUIDS:
            _uuids.clear()
            _uuids[ZERO_UUID.bytes] = ZERO_UUID
        found = _uuids[raw] = UUID(bytes=raw)
    return found


# --- varints ----------------------------------------------------------------------------------------------


def read_uvarint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read an unsigned varint of at most 32 bits."""
    if position < len(buffer) and (byte := buffer[position]) < 0x80:
        return byte, position + 1
    value = shift = 0
    for index in range(position, min(position + MAX_VARINT_BYTES, len(buffer))):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > MAX_UINT32:
                break
            return value, index + 1
        shift += 7
    raise _bad_varint(buffer, position, MAX_VARINT_BYTES)


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most 32 bits, as records use it."""
    value, position = read_uvarint(buffer, position)
    return (value >> 1) ^ -(value & 1), position


def read_varlong(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read a zig-zag varint of at most 64 bits, as records use it."""
    value = shift = 0
    for index in range(position, min(position + MAX_VARLONG_BYTES, len(buffer))):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), index + 1
        shift += 7
    raise _bad_varint(buffer, position, MAX_VARLONG_BYTES)


def _bad_varint(buffer: Buffer, position: int, limit: int) -> ProtocolError:
    if len(buffer) - position < limit and all(byte >= 0x80 for byte in buffer[position:]):
        return ProtocolError(f"a varint at byte {position} runs past the end at byte {len(buffer)}")
    return ProtocolError(f"a varint at byte {position} is longer than {limit} bytes or than its value may be")


def write_uvarint(value: int) -> bytes:
    """Return an unsigned varint; raises ValueError for what doesn't fit into 32 bits."""
    if value < 0x80:
        if value < 0:
            raise ValueError(f"{value} can't be an unsigned varint")
        return bytes((value,))
    if value > MAX_UINT32:
        raise ValueError(f"{value} doesn't fit into an unsigned varint of 32 bits")
    return _seven_bits_each(value)


def write_varint(value: int) -> bytes:
    """Return a zig-zag varint; raises ValueError for what doesn't fit into 32 bits."""
    if not -0x8000_0000 <= value <= 0x7FFF_FFFF:
        raise ValueError(f"{value} doesn't fit into a varint of 32 bits")
    return _seven_bits_each((value << 1) ^ (value >> 31))


def write_varlong(value: int) -> bytes:
    """Return a zig-zag varint; raises ValueError for what doesn't fit into 64 bits."""
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value} doesn't fit into a varint of 64 bits")
    return _seven_bits_each((value << 1) ^ (value >> 63))


def _seven_bits_each(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


# --- integers ---------------------------------------------------------------------------------------------


def read_int8(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read a signed byte."""
    return _read_fixed(_INT8, buffer, position)


def read_int16(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read two bytes, big-endian."""
    return _read_fixed(_INT16, buffer, position)


def read_int32(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read four bytes, big-endian."""
    return _read_fixed(_INT32, buffer, position)


def read_int64(buffer: Buffer, position: int) -> tuple[int, int]:
    """Read eight bytes, big-endian."""
    return _read_fixed(_INT64, buffer, position)


def _read_fixed(form: struct.Struct, buffer: Buffer, position: int) -> tuple[int, int]:
    end = position + form.size
    if end > len(buffer):
        raise ProtocolError(
            f"{form.size} bytes are needed at byte {position}, {max(len(buffer) - position, 0)} are there"
        )
    return form.unpack_from(buffer, position)[0], end


write_int8 = _INT8.pack
write_int16 = _INT16.pack
write_int32 = _INT32.pack
write_int64 = _INT64.pack


# --- strings and bytes, with fixed-size lengths -----------------------------------------------------------


def read_string(buffer: Buffer, position: int) -> tuple[str, int]:
    """Read an int16 length and that much UTF-8."""
    return _not_null(read_nullable_string(buffer, position), position)


def read_nullable_string(buffer: Buffer, position: int) -> tuple[str | None, int]:
    """Read an int16 length and that much UTF-8, or null."""
    length, start = read_int16(buffer, position)
    if length < 0:
        return None, start
    return _text(buffer, start, length)


def write_string(value: str) -> bytes:
    """Return an int16 length and UTF-8; raises ValueError where that length can't say it."""
    encoded = value.encode()
    if len(encoded) > MAX_STRING_BYTES:
        raise ValueError(f"a string of {len(encoded)} bytes is longer than {MAX_STRING_BYTES}")
    return _INT16.pack(len(encoded)) + encoded


def write_nullable_string(value: str | None) -> bytes:
    """Return a string, or null."""
    return b"\xff\xff" if value is None else write_string(value)


def read_bytes(buffer: Buffer, position: int) -> tuple[memoryview, int]:
    """Read an int32 length and a view of that much of the buffer."""
    return _not_null(read_nullable_bytes(buffer, position), position)


def read_nullable_bytes(buffer: Buffer, position: int) -> tuple[memoryview | None, int]:
    """Read an int32 length and a view of that much of the buffer, or null."""
    length, start = read_int32(buffer, position)
    if length < 0:
        return None, start
    return _view(buffer, start, length)


def write_bytes(value: Buffer) -> bytes:
    """Return an int32 length and the bytes."""
    return b"".join((_INT32.pack(len(value)), value))


def write_nullable_bytes(value: Buffer | None) -> bytes:
    """Return an int32 length and the bytes, or null."""
    return b"\xff\xff\xff\xff" if value is None else write_bytes(value)


# --- strings and bytes, compact ---------------------------------------------------------------------------


def read_compact_string(buffer: Buffer, position: int) -> tuple[str, int]:
    """Read a compact length and that much UTF-8."""
    return _not_null(read_compact_nullable_string(buffer, position), position)


def read_compact_nullable_string(buffer: Buffer, position: int) -> tuple[str | None, int]:
    """Read a compact length and that much UTF-8, or null."""
    length, start = read_uvarint(buffer, position)
    if length == 0:
        return None, start
    return _text(buffer, start, length - 1)


def write_compact_string(value: str) -> bytes:
    """Return a compact length and UTF-8."""
    encoded = value.encode()
    return write_uvarint(len(encoded) + 1) + encoded


def write_compact_nullable_string(value: str | None) -> bytes:
    """Return a compact string, or null."""
    return b"\x00" if value is None else write_compact_string(value)


def read_compact_bytes(buffer: Buffer, position: int) -> tuple[memoryview, int]:
    """Read a compact length and a view of that much of the buffer."""
    return _not_null(read_compact_nullable_bytes(buffer, position), position)


def read_compact_nullable_bytes(buffer: Buffer, position: int) -> tuple[memoryview | None, int]:
    """Read a compact length and a view of that much of the buffer, or null."""
    length, start = read_uvarint(buffer, position)
    if length == 0:
        return None, start
    return _view(buffer, start, length - 1)


def write_compact_bytes(value: Buffer) -> bytes:
    """Return a compact length and the bytes."""
    return b"".join((write_uvarint(len(value) + 1), value))


def write_compact_nullable_bytes(value: Buffer | None) -> bytes:
    """Return compact bytes, or null."""
    return b"\x00" if value is None else write_compact_bytes(value)


# --- arrays and tagged fields -----------------------------------------------------------------------------


def read_array_length(buffer: Buffer, position: int, element_size_min: int) -> tuple[int | None, int]:
    """Read an array's int32 length, or null; refuse one that the rest of the buffer can't hold.

    Args:
        buffer: What to read.
        position: Where the length stands.
        element_size_min: The fewest bytes one element takes, at least 1.
    """
    length, start = read_int32(buffer, position)
    if length < 0:
        return None, start
    return _bounded(buffer, start, length, element_size_min)


def read_compact_array_length(buffer: Buffer, position: int, element_size_min: int) -> tuple[int | None, int]:
    """Read an array's compact length, or null; refuse one that the rest of the buffer can't hold."""
    length, start = read_uvarint(buffer, position)
    if length == 0:
        return None, start
    return _bounded(buffer, start, length - 1, element_size_min)


def write_array_length(length: int | None) -> bytes:
    """Return an array's int32 length; None is a null array."""
    return _INT32.pack(-1 if length is None else length)


def write_compact_array_length(length: int | None) -> bytes:
    """Return an array's compact length; None is a null array."""
    return write_uvarint(0 if length is None else length + 1)


def skip_tagged_fields(buffer: Buffer, position: int, count_max: int = TAGGED_FIELDS_MAX) -> int:
    """Pass over a section of tagged fields; return the position after it.

    Args:
        buffer: What to read.
        position: Where the count of tagged fields stands.
        count_max: The most that are passed over. Each can be two bytes, so a large buffer has room for millions.
    """
    start = position
    count, position = read_uvarint(buffer, position)
    if count > count_max:
        raise ProtocolError(f"{count} tagged fields at byte {start} are more than {count_max}")
    for _ in range(count):
        tag_position = position
        tag, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        if size > len(buffer) - position:
            raise ProtocolError(
                f"tagged field {tag} at byte {tag_position} claims {size} bytes, {len(buffer) - position} are left"
            )
        position += size
    return position


def _bounded(buffer: Buffer, start: int, length: int, element_size_min: int) -> tuple[int, int]:
    left = len(buffer) - start
    if length * element_size_min > left:
        raise ProtocolError(f"an array before byte {start} claims {length} elements, {left} bytes are left")
    return length, start


def _not_null(result: tuple[_T | None, int], position: int) -> tuple[_T, int]:
    value, end = result
    if value is None:
        raise ProtocolError(f"null at byte {position}, where null is not allowed")
    return value, end


def _text(buffer: Buffer, start: int, length: int) -> tuple[str, int]:
    end = start + length
    if end > len(buffer):
        raise ProtocolError(
            f"a string of {length} bytes at byte {start} ends after the last byte, {len(buffer)}"
        )
    try:
        return str(buffer[start:end], "utf-8"), end
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the string at byte {start} is not UTF-8: {error.reason}") from None


def _view(buffer: Buffer, start: int, length: int) -> tuple[memoryview, int]:
    end = start + length
    if end > len(buffer):
        raise ProtocolError(f"{length} bytes at byte {start} end after the last byte, {len(buffer)}")
    return memoryview(buffer)[start:end], end
