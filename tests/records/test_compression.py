"""Every codec: framings that others write, bounds that no input gets past, errors of one kind."""

import gzip
import random
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib

import cramjam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import InvalidBatchError
from logbroker.records.batch import Codec
from logbroker.records.compression import (
    CODEC_NAMES,
    XERIAL_BLOCK_BYTES,
    XERIAL_HEADER,
    codec_named,
    compress,
    decompress,
)

BOUND = 8 << 20
PACKED = [codec for codec in Codec if codec != Codec.NONE]
TEXT = b"".join(b'{"user": %d, "event": "click"}' % n for n in range(5000))


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, random.Random(1).randbytes(100_000), bytes(3_000_000)])
@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_what_was_packed_is_unpacked(codec, data, view):
    packed = compress(codec, view(data))
    assert decompress(codec, view(packed), BOUND) == data
    assert decompress(codec, packed, max(len(data), 1)) == data


@settings(max_examples=100)
@given(data=st.binary(max_size=2000), repeat=st.integers(1, 200), codec=st.sampled_from(PACKED))
def test_the_bound_is_exact(data, repeat, codec):
    data *= repeat
    packed = compress(codec, data)
    assert decompress(codec, packed, len(data)) == data
    if data:
        with pytest.raises(InvalidBatchError, match="more than the") as caught:
            decompress(codec, packed, len(data) - 1)
        assert caught.value.code == ErrorCode.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("codec", PACKED)
def test_truncation_at_every_byte(codec):
    packed = bytes(compress(codec, TEXT[:5000]))
    for size in range(len(packed)):
        try:
            unpacked = bytes(decompress(codec, packed[:size], BOUND))
        except InvalidBatchError as error:
            assert error.code == ErrorCode.CORRUPT_MESSAGE  # noqa: PT017
        else:  # Java's snappy framing has no end mark: whole blocks are a whole stream
            assert codec == Codec.SNAPPY
            assert size == len(XERIAL_HEADER)
            assert unpacked == b""


@pytest.mark.parametrize("codec", PACKED)
@settings(max_examples=200)
@given(data=st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_else(codec, data):
    for packed in (data, bytes(compress(codec, b"abc" * 50))[:20] + data):
        try:
            decompress(codec, packed, 1 << 16)
        except InvalidBatchError:
            continue


@pytest.mark.parametrize("codec", PACKED)
def test_trailing_garbage_is_noticed(codec):
    with pytest.raises(InvalidBatchError, match=codec.name.lower()):
        decompress(codec, bytes(compress(codec, TEXT)) + b"garbage", BOUND)


def test_raw_snappy_is_bounded_too():
    packed = bytes(cramjam.snappy.compress_raw(bytes(1001)))
    assert len(decompress(Codec.SNAPPY, packed, 1001)) == 1001
    with pytest.raises(InvalidBatchError, match="more than the 1000 bytes"):
        decompress(Codec.SNAPPY, packed, 1000)


def test_raw_snappy_as_librdkafka_writes_it():
    assert decompress(Codec.SNAPPY, bytes(cramjam.snappy.compress_raw(TEXT)), BOUND) == TEXT


def test_xerial_framing_is_javas():
    packed = compress(Codec.SNAPPY, TEXT)
    assert packed[:16] == b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"
    position, blocks = 16, []
    while position < len(packed):
        (length,) = struct.unpack_from(">i", packed, position)
        blocks.append(bytes(cramjam.snappy.decompress_raw(packed[position + 4 : position + 4 + length])))
        position += 4 + length
    assert b"".join(blocks) == TEXT
    assert {len(block) for block in blocks[:-1]} == {XERIAL_BLOCK_BYTES}


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (b"\0\0\0", "are no block length"),
        (b"\0\0\0\0", "block length 0"),
        (b"\xff\xff\xff\xff", "block length -1"),
        (b"\x7f\xff\xff\xff\x01", "block length 2147483647"),
        (b"\0\0\0\x01\xff", "snappy"),
        (b"\0\0\0\x05\xff\xff\xff\xff\x0f", "can't unpack to 4294967295"),
        (b"\0\0\0\x02\x05\x00", "snappy"),
    ],
)
def test_lying_xerial_blocks(blocks, says):
    with pytest.raises(InvalidBatchError, match=says) as caught:
        decompress(Codec.SNAPPY, XERIAL_HEADER + blocks, BOUND)
    assert caught.value.code == ErrorCode.CORRUPT_MESSAGE


def test_gzip_with_more_than_one_member_and_with_names():
    packed = gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:])
    assert decompress(Codec.GZIP, packed, BOUND) == TEXT
    named = b"\x1f\x8b\x08\x08\0\0\0\0\0\xffname\0" + gzip.compress(TEXT)[10:]
    assert decompress(Codec.GZIP, named, BOUND) == TEXT


def test_zstd_without_a_content_size_and_with_more_than_one_frame():
    compressor = cramjam.zstd.Compressor()
    compressor.compress(TEXT)
    stream = bytes(compressor.finish())
    assert stream[4] >> 6 == 0  # no content size
    assert decompress(Codec.ZSTD, stream, BOUND) == TEXT
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    assert decompress(Codec.ZSTD, skippable + stream + bytes(cramjam.zstd.compress(TEXT)), BOUND) == TEXT * 2


def test_little_input_that_promises_much_gets_little_room():
    packed = bytearray(cramjam.zstd.compress(b"abc" * 10))
    promised = bytes(packed[:4]) + bytes([0xC0, 0x38]) + struct.pack("<Q", 1 << 40) + bytes(packed[6:])
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBatchError):
            decompress(Codec.ZSTD, promised, 1 << 30)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1 << 20


def test_lz4_blocks_are_independent_and_linked_ones_are_read():
    packed = compress(Codec.LZ4, TEXT)
    assert packed[4] & 0x20
    linked = cramjam.lz4.Compressor(block_linked=True)
    linked.compress(TEXT)
    frame = bytes(linked.finish())
    assert not frame[4] & 0x20
    assert decompress(Codec.LZ4, frame, BOUND) == TEXT


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_codecs_that_do_not_exist(codec):
    with pytest.raises(InvalidBatchError, match=f"codec {codec}") as caught:
        decompress(codec, b"", BOUND)
    assert caught.value.code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE


def test_levels_are_checked_and_change_the_output():
    assert len(compress(Codec.GZIP, TEXT, 0)) > len(compress(Codec.GZIP, TEXT, 9))
    for codec, level in ((Codec.GZIP, 10), (Codec.LZ4, 18), (Codec.LZ4, 0), (Codec.ZSTD, 23)):
        with pytest.raises(ValueError, match=f"level {level} is outside"):
            compress(codec, TEXT, level)


def test_names_are_kafkas():
    assert list(CODEC_NAMES) == ["none", "gzip", "snappy", "lz4", "zstd"]
    assert codec_named("lz4") is Codec.LZ4


# One GB of zeros in each codec, made without making the zeros.


def gzip_bomb():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + megabyte * 1024 + b"\x03\0" + bytes(4) + struct.pack("<I", 1 << 30)
    )


def zstd_bomb(window_log=17, content_size=None):
    if content_size is None:
        head = bytes([0, (window_log - 10) << 3])
    else:
        head = bytes([0xC0, (window_log - 10) << 3]) + struct.pack("<Q", content_size)
    block = struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0"
    last = struct.pack("<I", 1 << 3 | 1 << 1 | 1)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd" + head + block * 8192 + last


def lz4_bomb():
    compressor = cramjam.lz4.Compressor(content_checksum=False, block_linked=False)
    compressor.compress(bytes(256 << 10))
    frame = bytes(compressor.finish())
    (length,) = struct.unpack_from("<I", frame, 7)
    block = frame[7 : 11 + length + (4 if frame[4] & 0x10 else 0)]
    return frame[:7] + block * ((1 << 30) // (64 << 10)) + bytes(4)


def snappy_bomb():
    block = bytes(cramjam.snappy.compress_raw(bytes(XERIAL_BLOCK_BYTES)))
    return XERIAL_HEADER + (struct.pack(">i", len(block)) + block) * ((1 << 30) // XERIAL_BLOCK_BYTES)


BOMBS = {
    "gzip": (Codec.GZIP, gzip_bomb),
    "snappy": (Codec.SNAPPY, snappy_bomb),
    "lz4": (Codec.LZ4, lz4_bomb),
    "zstd": (Codec.ZSTD, zstd_bomb),
    "zstd, widest window": (Codec.ZSTD, lambda: zstd_bomb(window_log=27)),
    "zstd, true size": (Codec.ZSTD, lambda: zstd_bomb(content_size=(8192 << 17) + 1)),
    "zstd, false size": (Codec.ZSTD, lambda: zstd_bomb(content_size=1 << 62)),
}

CHILD = """
    import resource, sys
    from logbroker.base.errors import InvalidBatchError
    from logbroker.records.compression import decompress

    def peak_kb():  # of this program alone: getrusage would count the parent before exec
        status = open("/proc/self/status").read()
        return int(status.split("VmHWM:")[1].split()[0])

    bomb = open(sys.argv[2], "rb").read()
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]),) * 2)
    before_kb = peak_kb()
    try:
        decompress(int(sys.argv[1]), bomb, int(sys.argv[3]))
    except InvalidBatchError as error:
        print(error.code.name, peak_kb() - before_kb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_gigabyte_of_zeros_stays_within_the_bound(name, tmp_path):
    codec, make = BOMBS[name]
    path = tmp_path / "bomb"
    path.write_bytes(make())
    allowed = path.stat().st_size + (512 << 20)  # address space, not memory: half of what the bomb unpacks to
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(int(codec)), path, str(BOUND), str(allowed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.stderr == ""
    code, grown_kb = child.stdout.split()
    assert code == "MESSAGE_TOO_LARGE"
    assert int(grown_kb) * 1024 <= 3 * BOUND


def test_the_bombs_are_bombs():
    for codec, make in (BOMBS["gzip"], BOMBS["lz4"], BOMBS["zstd"], BOMBS["snappy"]):
        bomb = make()
        assert len(bomb) < 60 << 20
        with pytest.raises(InvalidBatchError, match="more than the 1000 bytes"):
            decompress(codec, bomb, 1000)
    assert len(bytes(cramjam.zstd.decompress(zstd_bomb()[: 6 + 4 * 80] + zstd_bomb()[-4:]))) == (80 << 17) + 1
