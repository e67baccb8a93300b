"""Compress and decompress the payload of a batch, in Kafka's four codecs, never past a bound.

What a codec's bytes are:

    gzip    one or more gzip members (RFC 1952)
    snappy  Java's framing (16-byte header `82 SNAPPY 00`, version, lowest compatible version; then blocks: int32
            length, raw snappy), or, as librdkafka and others write, one raw snappy block and nothing else.
            We write Java's framing: every reader there is reads it
    lz4     LZ4 frames; we write independent blocks, because Java refuses linked ones
    zstd    zstd frames, with or without a content size

**The bound.** `decompress` never makes more than `max_output_bytes` of output, whatever the input promises: every codec
writes into a buffer that we allocate, and stops when it is full. A buffer is first sized by what the input says of
itself (a hint, believed only up to the bound) and grows in steps up to the bound if that was a lie. Beyond the buffer a
decoder holds what its format asks for: a few hundred KB, for lz4 two blocks of up to 4 MB, for zstd a window that is
touched no further than the output goes.

Only the extension's `*_into` functions are used for this: its other ones grow without limit. Whatever they raise
becomes an `InvalidBatchError`. Pure functions, any thread; the extension releases the GIL while it works.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, cast

import cramjam

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.records.batch import Codec

DEFAULT_MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024
"""What one batch may unpack to where the caller has no opinion."""

CODEC_NAMES = {codec.name.lower(): codec for codec in Codec}
"""As clients and our tools name them: none, gzip, snappy, lz4, zstd."""

GZIP_LEVELS = range(10)
LZ4_LEVELS = range(1, 18)
ZSTD_LEVELS = range(-131072, 23)
DEFAULT_LEVELS = {Codec.GZIP: 6, Codec.LZ4: 4, Codec.ZSTD: 3}

_LEVELS = {Codec.GZIP: GZIP_LEVELS, Codec.LZ4: LZ4_LEVELS, Codec.ZSTD: ZSTD_LEVELS}

XERIAL_MAGIC = b"\x82SNAPPY\x00"
XERIAL_HEADER = XERIAL_MAGIC + struct.pack(">ii", 1, 1)
XERIAL_BLOCK_BYTES = 32 * 1024
"""Input bytes a block, as Java writes them."""

_FIRST_GUESS_RATIO = 8
_FIRST_GUESS_MIN_BYTES = 16 * 1024
_GROWTH = 4
_BELIEVED_RATIO_MAX = 1024  # what little input promises to become a lot, is made room for in steps
_LZ4_RATIO_MAX = 256  # a length byte of a match stands for 255
_SNAPPY_RATIO_MAX = 64  # a copy of at most 64 bytes takes at least two
_OUTPUT_FULL = "failed to write whole buffer"  # how the extension says that the output buffer was too small

_int32 = struct.Struct(">i")
_uint32_le = struct.Struct("<I")
_uint64_le = struct.Struct("<Q")


def codec_named(name: str) -> Codec:
    """The codec that a setting or an option names.

    Raises:
        KeyError: no codec has this name.

    """
    return CODEC_NAMES[name]


def decompress(codec_id: int, data: Buffer, max_output_bytes: int) -> memoryview:
    """Unpack `data`, at most `max_output_bytes` of it.

    Args:
        codec_id: Attributes bits 0-2 of the batch; 0 gives `data` back as it is (the bound does not apply).
        data: The payload after the batch header.
        max_output_bytes: The hard bound on the output.

    Raises:
        InvalidBatchError: CORRUPT_MESSAGE when the bytes are not what the codec writes, MESSAGE_TOO_LARGE when they
            unpack to more than the bound (a producer may then split its batch), UNSUPPORTED_COMPRESSION_TYPE.

    """
    if codec_id == 0:
        return memoryview(data)
    if codec_id == Codec.SNAPPY:
        return _decompress_snappy(memoryview(data), max_output_bytes)
    if codec_id == Codec.GZIP:
        return _decompress_stream(
            "gzip", cramjam.gzip.decompress_into, data, _gzip_hint(data), max_output_bytes
        )
    if codec_id == Codec.LZ4:
        return _decompress_stream(
            "lz4", cramjam.lz4.decompress_into, data, _lz4_hint(data, max_output_bytes), max_output_bytes
        )
    if codec_id == Codec.ZSTD:
        return _decompress_stream(
            "zstd", cramjam.zstd.decompress_into, data, _zstd_hint(data), max_output_bytes
        )
    raise InvalidBatchError(
        ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, f"compression codec {codec_id} does not exist; 0 to 4 do"
    )


def compress(codec: Codec, data: Buffer, level: int | None = None) -> Buffer:
    """Pack `data` so that Java, librdkafka and the Python clients read it.

    Args:
        codec: How; `Codec.NONE` gives `data` back as it is.
        data: The records.
        level: Effort, in the codec's own scale (gzip 0-9, lz4 1-17, zstd up to 22); None is a sensible middle.
            snappy has none.

    Raises:
        ValueError: the codec has no such level.

    """
    if codec == Codec.NONE:
        return data
    if codec == Codec.SNAPPY:
        return _compress_snappy(memoryview(data))
    if level is None:
        level = DEFAULT_LEVELS[codec]
    elif level not in _LEVELS[codec]:
        levels = _LEVELS[codec]
        raise ValueError(f"{codec.name.lower()} level {level} is outside {levels[0]}..{levels[-1]}")
    if codec == Codec.GZIP:
        return bytes(cramjam.gzip.compress(data, level=level))
    if codec == Codec.LZ4:
        compressor = cramjam.lz4.Compressor(level=level, block_linked=False)
        compressor.compress(data if isinstance(data, bytes) else bytes(data))  # it takes nothing else
        return bytes(compressor.finish())
    return bytes(cramjam.zstd.compress(data, level=level))


def _corrupt(name: str, what: object) -> InvalidBatchError:
    return InvalidBatchError(ErrorCode.CORRUPT_MESSAGE, f"records can't be unpacked with {name}: {what}")


def _too_large(name: str, max_output_bytes: int) -> InvalidBatchError:
    return InvalidBatchError(
        ErrorCode.MESSAGE_TOO_LARGE,
        f"records unpack with {name} to more than the {max_output_bytes} bytes allowed for one batch",
    )


def _decompress_stream(
    name: str,
    decompress_into: Callable[[Any, Any], int],
    data: Buffer,
    hint: int,
    max_output_bytes: int,
) -> memoryview:
    """Unpack into a buffer of the hinted size, and while it does not fit into a larger one, up to the bound."""
    if not hint:
        hint = max(len(data) * _FIRST_GUESS_RATIO, _FIRST_GUESS_MIN_BYTES)
    size = min(hint, len(data) * _BELIEVED_RATIO_MAX, max_output_bytes)
    while True:
        output = bytearray(size)
        try:
            written = decompress_into(data, output)
        except Exception as error:  # the extension raises its own type, and a few of Python's
            if _OUTPUT_FULL not in str(error):
                raise _corrupt(name, error) from None
        else:
            if written < size:
                del output[written:]
            return memoryview(output)
        if size >= max_output_bytes:
            raise _too_large(name, max_output_bytes)
        del output
        size = min(max(size, _FIRST_GUESS_MIN_BYTES) * _GROWTH, max_output_bytes)


def _gzip_hint(data: Buffer) -> int:
    """The length in the last member's trailer, when there is room for one."""
    return cast(int, _uint32_le.unpack_from(data, len(data) - 4)[0]) if len(data) >= 18 else 0


def _lz4_hint(data: Buffer, max_output_bytes: int) -> int:
    """What the blocks of the first frame can hold at most, unpacked; the content size when it is there.

    Frame: magic (4), flags, block size code, [content size (8)], [dictionary id (4)], checksum; then blocks of a
    little-endian length (its top bit: stored as it is), the data, [checksum (4)]; a length of 0 ends the frame.
    """
    size = len(data)
    if size < 15:
        return 0
    flags = data[4]
    if flags & 0x08:
        return cast(int, _uint64_le.unpack_from(data, 6)[0])
    block_bytes = 1 << 8 + 2 * (data[5] >> 4 & 7)
    checksum_bytes = 4 if flags & 0x10 else 0
    position = 11 if flags & 0x01 else 7
    total = 0
    while position + 4 <= size and total < max_output_bytes:
        length = _uint32_le.unpack_from(data, position)[0] & 0x7FFF_FFFF
        if not length:
            break
        total += min(block_bytes, length * _LZ4_RATIO_MAX)
        position += 4 + length + checksum_bytes
    return total


def _zstd_hint(data: Buffer) -> int:
    """The content size in the first frame's header, when it is there (RFC 8878, 3.1.1.1)."""
    if len(data) < 18:
        return 0
    descriptor = data[4]
    single_segment = descriptor >> 5 & 1
    position = 5 + (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3]
    kind = descriptor >> 6
    if kind == 3:
        return cast(int, _uint64_le.unpack_from(data, position)[0])
    if kind == 2:
        return cast(int, _uint32_le.unpack_from(data, position)[0])
    if kind == 1:
        return (data[position] | data[position + 1] << 8) + 256
    return data[position] if single_segment else 0


def _snappy_length(block: memoryview) -> int:
    """What a raw block says it unpacks to, if that is possible."""
    if not len(block):
        raise _corrupt("snappy", "a block of 0 bytes")
    try:
        length: int = cramjam.snappy.decompress_raw_len(block)
    except Exception as error:
        raise _corrupt("snappy", error) from None
    if length > len(block) * _SNAPPY_RATIO_MAX:
        raise _corrupt("snappy", f"a block of {len(block)} bytes can't unpack to {length}")
    return length


def _decompress_snappy(data: memoryview, max_output_bytes: int) -> memoryview:
    """Unpack Java's framing or one raw block; both say their length before anything is allocated."""
    blocks: list[tuple[memoryview, int]] = []
    total = 0
    size = len(data)
    if data[: len(XERIAL_MAGIC)] == XERIAL_MAGIC:
        if size < len(XERIAL_HEADER):
            raise _corrupt("snappy", f"the framing header is cut short at {size} bytes")
        position = len(XERIAL_HEADER)
        while position < size:
            if size - position < 4:
                raise _corrupt("snappy", f"{size - position} bytes at {position} are no block length")
            length = _int32.unpack_from(data, position)[0]
            position += 4
            if not 0 < length <= size - position:
                raise _corrupt(
                    "snappy", f"block length {length} at byte {position - 4}, {size - position} bytes follow"
                )
            block = data[position : position + length]
            position += length
            unpacked = _snappy_length(block)
            total += unpacked
            if total > max_output_bytes:
                raise _too_large("snappy", max_output_bytes)
            blocks.append((block, unpacked))
    else:
        total = _snappy_length(data)
        if total > max_output_bytes:
            raise _too_large("snappy", max_output_bytes)
        blocks.append((data, total))
    output = memoryview(bytearray(total))
    position = 0
    for block, unpacked in blocks:
        try:
            written = cramjam.snappy.decompress_raw_into(block, output[position : position + unpacked])
        except Exception as error:
            raise _corrupt("snappy", error) from None
        if written != unpacked:
            raise _corrupt("snappy", f"a block of {unpacked} bytes unpacked to {written}")
        position += unpacked
    return output


def _compress_snappy(data: memoryview) -> bytes:
    parts: list[Buffer] = [XERIAL_HEADER]
    for start in range(0, len(data), XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(data[start : start + XERIAL_BLOCK_BYTES]))
        parts.append(_int32.pack(len(block)))
        parts.append(block)
    return b"".join(parts)
