"""Requests as no client would send them: random, mutated, lying; the same ones for the same seed.

`FrameMaker.frame()` makes one request frame for a random API and version that the broker advertises:

1. A random message: every field of the version's schema, with values that a handler will take seriously (topics and groups that exist,
   offsets that lie in a log, batches that are well-formed or lie) or, in a share of the messages, with any value of its type.
2. Encoded by our own codec, behind a request header.
3. In about half of the frames then mutated as bytes: flipped bits, truncation, repeated and removed pieces, huge and negative lengths, endless
   varints, another API or version, a length of the frame that is wrong.

Batches lie with a CRC that is right, so that the lie is looked at: counts, deltas, lengths, codecs, sequences, compressed data that
unpacks to a thousand times its size, records whose lengths point anywhere.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from crc32c import crc32c

from logbroker.broker.handlers import ADVERTISED
from logbroker.records.batch import CRC_START, HEADER, HEADER_SIZE, Codec, parse_header
from logbroker.records.builder import BatchBuilder
from logbroker.records.compression import compress
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.frames import request_frame
from logbroker.wire.schema import ZERO_UUID, Field, Message, item_of

ROUTES: Final = tuple(
    (key, version) for key in ADVERTISED for version in range(API[key].min_version, API[key].max_version + 1)
)
"""Everything that the broker offers."""
PARKING: Final = frozenset({ApiKey.FETCH, ApiKey.JOIN_GROUP, ApiKey.SYNC_GROUP})
"""APIs whose answer may rightly take its time."""

BOMB_BYTES: Final = 32 << 20
"""What a compression bomb unpacks to."""

_INTEGER_BITS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_TEXTS: Final = (
    "",
    "a",
    "topic-1",
    "ü",
    "日本",
    "\0",
    "x" * 126,
    "y" * 127,
    "z" * 128,
    "q" * 300,
    "${x}",
    "%s%n",
    "../..",
)
_TOPIC_NAMES: Final = ("", ".", "..", "a/b", "n" * 249, "n" * 250, "ü", "__consumer_offsets", "a b", "a\0b")
_VALUES: Final = (
    None, "", "0", "1", "-1", "2", "1000", "1048576", "9223372036854775807", "9" * 40, "true", "compact", "delete",
    "compact,delete", "abc", "memory", "log", "gzip", "zstd", "LogAppendTime", "full", "0.5", "NaN", "1e400",
)  # fmt: skip
_CONFIG_NAMES: Final = (
    "cleanup.policy", "retention.ms", "retention.bytes", "segment.bytes", "segment.ms", "max.message.bytes",
    "compression.type", "message.timestamp.type", "flush.messages", "flush.ms", "min.insync.replicas", "storage.type",
    "record.validation", "memory.max.bytes", "memory.full.policy", "segment.index.bytes", "index.interval.bytes",
    "file.delete.delay.ms", "preallocate", "no.such.config", "",
)  # fmt: skip
_WORDS: Final[dict[str, Sequence[str]]] = {
    "protocol_type": ("consumer", "consumer", "connect", ""),
    "protocol_name": ("range", "range", ""),
    "server_assignor": ("uniform", "range", "", "none"),
    "subscribed_topic_regex": ("fuzz-.*", "fuzz-[0-9]", "", "(", "(a*)*", "a{999}{999}", "\\pN", "x" * 300),
    "transactional_id_pattern": ("tx-.*", ".*", "", "(", "[", "a{999}{999}"),
    "group_instance_id": ("static-0", "static-1", ""),
    "instance_id": ("static-0", "static-1", ""),
    "state_filters": ("Ongoing", "CompleteCommit", "none", ""),
    "states_filter": ("Stable", "Empty", "none", ""),
    "types_filter": ("consumer", "classic", "none", ""),
    "committed_metadata": ("", "x", "x", "x", "m" * 4096, "m" * 4097),
}
"""Texts in fields of that name."""

_FAVOURITES: Final = (
    ApiKey.PRODUCE,
    ApiKey.PRODUCE,
    ApiKey.FETCH,
    ApiKey.JOIN_GROUP,
    ApiKey.OFFSET_COMMIT,
    ApiKey.CONSUMER_GROUP_HEARTBEAT,
    ApiKey.ADD_PARTITIONS_TO_TXN,
    ApiKey.TXN_OFFSET_COMMIT,
    ApiKey.TXN_OFFSET_COMMIT,
    ApiKey.END_TXN,
)
"""Where most of the code is."""

_OF_CONFIGS: Final = frozenset(
    {ApiKey.CREATE_TOPICS, ApiKey.DESCRIBE_CONFIGS, ApiKey.ALTER_CONFIGS, ApiKey.INCREMENTAL_ALTER_CONFIGS}
)
"""In these a name may be a config's."""

_OF_GROUPS: Final = ("group_id", "groups", "groups_names", "group_ids")
_OF_EPOCHS: Final = ("generation_id", "generation_id_or_member_epoch", "member_epoch")
_NO_INSTANCE: Final[dict[str, Any]] = {"group_instance_id": None, "instance_id": None}
_OF_TRANSACTIONS: Final = ("transactional_id", "transactional_ids", "v3_and_below_transactional_id")
_OF_PRODUCERS: Final = ("producer_id", "v3_and_below_producer_id", "producer_id_filters")
_OF_PRODUCER_EPOCHS: Final = ("producer_epoch", "v3_and_below_producer_epoch")
"""Fields that speak of the same."""

_HUGE: Final = (0x7FFFFFFF, -0x80000000, -1, -2, 0x7FFFFFF0, 1 << 24, 0x00FFFFFF, 0x7FFF, 100_000_000)

_NUMBERS: Final[dict[str, Sequence[int]]] = {
    "acks": (-1, -1, 1, 1, 0, 2, -2),
    "partition": (0, 0, 1, 2, 3, 9, -1, 0x7FFFFFFF),
    "partition_index": (0, 0, 0, 0, 1, 2, 3, 9, -1, 0x7FFFFFFF),
    "partition_indexes": (0, 0, 1, 2, 3, 9, -1, 0x7FFFFFFF),
    "index": (0, 0, 1, 2, 3, 9, -1, 0x7FFFFFFF),
    "max_wait_ms": (0, 0, 1, 5, -1),
    "min_bytes": (0, 1, 1, 1000, -1, 0x7FFFFFFF),
    "max_bytes": (0, 1, 1000, 1 << 20, 0x7FFFFFFF, -1),
    "partition_max_bytes": (0, 1, 1000, 1 << 20, 0x7FFFFFFF, -1),
    "replica_id": (-1, -1, -1, -1, 0, 1, -2),
    "session_epoch": (-1, -1, 0, 0, 1, 2, -2),
    "session_id": (0, 0, 0, 1, -1),
    "fetch_offset": (0, 0, 1, 5, 100, -1, 1 << 40),
    "offset": (0, 1, 5, -1, -2, 1 << 40, -(1 << 62)),
    "committed_offset": (0, 1, 5, -1, 1 << 40),
    "timestamp": (-1, -2, -3, -4, -5, 0, 1, 1_700_000_000_000, (1 << 63) - 1, -(1 << 63)),
    "timeout_ms": (0, 1, 100, 1000, -1),
    "session_timeout_ms": (6000, 6000, 7000, 0, -1, 0x7FFFFFFF),
    "rebalance_timeout_ms": (0, 1, 100, 1000, -1),
    "num_partitions": (1, 1, 2, 3, -1, 0, 0x7FFFFFFF, 1_000_000),
    "count": (1, 2, 3, 4, 0, -1, 0x7FFFFFFF, 1_000_000),
    "replication_factor": (1, 1, 1, -1, 0, 2, 0x7FFF),
    "broker_ids": (1, 1, 2, -1),
    "current_leader_epoch": (-1, -1, -1, 0, 1, 0x7FFFFFFF),
    "last_fetched_epoch": (-1, -1, -1, 0, 1, 5),
    "leader_epoch": (-1, 0, 1, 5),
    "resource_type": (2, 2, 2, 4, 8, 0, 1, 127, -1),
    "config_operation": (0, 1, 2, 3, 7, -1),
    "generation_id": (-1, 0, 1, 2, 3),
    "generation_id_or_member_epoch": (-1, -1, 0, 1, 2, 3),
    "key_type": (0, 0, 0, 1, 2, -1),
    "isolation_level": (0, 0, 1, 2, -1),
    "producer_id": (-1, 0, 1, 1000),
    "producer_epoch": (-1, 0, 1, 0x7FFF),
    "member_epoch": (-2, -1, 0, 0, 0, 1, 2, 3),
    "coordinator_epoch": (0, 0, 1, -1, 0x7FFFFFFF),
    "transaction_version": (0, 1, 2, 2, 3, -1),
    "transaction_timeout_ms": (1000, 60_000, 60_000, 0, -1, 0x7FFFFFFF),
    "partitions": (0, 0, 0, 1, 2, 9, -1, 0x7FFFFFFF),
    "duration_filter": (-1, 0, 1, 1 << 62),
    "retention_time_ms": (-1, 0, 1000, (1 << 63) - 1),
    "response_partition_limit": (1, 10, 2000, 0, -1),
}
"""What fields of that name hold in a request that a handler takes seriously, and just beyond."""


class Frame(NamedTuple):
    """One frame to be sent.

    Attributes:
        api_key, version: What it was made for (its bytes may say something else).
        data: All of it, length included.
        mutated: Whether bytes were changed.
        misframed: Whether its length is wrong, so that nothing behind it will be understood.
    """

    api_key: ApiKey
    version: int
    data: bytes
    mutated: bool
    misframed: bool


@dataclass(slots=True)
class World:
    """What exists on the broker: requests that name it get further.

    Attributes:
        memberships: (group, member id, generation or epoch).
        transactions: (transactional id, producer id, epoch).
    """

    topics: list[str] = field(default_factory=lambda: [f"fuzz-{number}" for number in range(12)])
    topic_ids: list[UUID] = field(default_factory=list)
    groups: list[str] = field(default_factory=lambda: ["g-0", "g-1", "g-2", "g-3", ""])
    members: list[str] = field(default_factory=lambda: ["", "", "no-such-member"])
    memberships: list[tuple[str, str, int]] = field(default_factory=list)
    transactional_ids: list[str] = field(default_factory=lambda: ["tx-0", "tx-1", "tx-2", "tx-3", ""])
    transactions: list[tuple[str, int, int]] = field(default_factory=list)


class FrameMaker:
    """Makes frames; see the module."""

    def __init__(self, seed: int, world: World | None = None) -> None:
        self.random = random.Random(seed)
        self.world = world or World()
        self._serious = True
        self._named: dict[str, Any] = {}
        self._api_key = ApiKey.PRODUCE
        self._now_ms = int(time.time() * 1000)
        self._bombs: dict[Codec, bytes] = {}

    def frame(self) -> Frame:
        """Return the next frame."""
        rng = self.random
        api_key, version = rng.choice(ROUTES)
        if rng.random() < 0.35:  # where most of the code is
            api_key = rng.choice(_FAVOURITES)
            version = rng.randint(API[api_key].min_version, API[api_key].max_version)
        self._serious = rng.random() < 0.7
        self._api_key = api_key
        self._named = self._choose() if self._serious else {}
        schema = codec.request_schema(api_key)
        message = self._struct(schema, version, schema.root, 0)
        client_id = rng.choice((None, "", "fuzz", "fuzz", "fuzz", "ü" * 20, "c" * 1000))
        pieces = request_frame(
            api_key, version, rng.getrandbits(31), client_id, codec.encode_request(api_key, version, message)
        )
        data = b"".join(pieces)
        draw = rng.random()
        if draw < 0.5:
            return Frame(api_key, version, data, mutated=False, misframed=False)
        body = mutate(rng, bytearray(data[4:]))
        if draw < 0.97:
            return Frame(api_key, version, struct.pack(">i", len(body)) + body, mutated=True, misframed=False)
        length = rng.choice((len(body) + 1, len(body) * 2 + 7, max(len(body) - 1, 0), 0, 3, *_HUGE))
        return Frame(api_key, version, struct.pack(">i", length) + body, mutated=True, misframed=True)

    def _choose(self) -> dict[str, Any]:
        """A member and a transaction that this frame speaks of, wherever it speaks of one: fields that agree get further."""
        rng, world = self.random, self.world
        named: dict[str, Any] = {}
        draw = rng.random()
        if draw < 0.25:  # nobody in particular, as programs that only keep their offsets here
            named.update(dict.fromkeys(_OF_EPOCHS, -1), member_id="", **_NO_INSTANCE)
        elif draw < 0.75 and world.memberships:
            group, member_id, epoch = rng.choice(world.memberships)
            epoch += rng.choice((0, 0, 0, 0, 1, -1))
            named.update(dict.fromkeys(_OF_GROUPS, group), member_id=member_id, **_NO_INSTANCE)
            named.update(dict.fromkeys(_OF_EPOCHS, epoch))
        if world.transactions and rng.random() < 0.8:
            transactional_id, producer_id, epoch = rng.choice(world.transactions)
            epoch = max(-1, epoch + rng.choice((0, 0, 0, 0, 0, 1, -1)))
            named.update(dict.fromkeys(_OF_TRANSACTIONS, transactional_id))
            named.update(dict.fromkeys(_OF_PRODUCERS, producer_id))
            named.update(dict.fromkeys(_OF_PRODUCER_EPOCHS, epoch))
        return named

    # ---- messages ----

    def _struct(self, schema: Message, version: int, cls: type[Any], depth: int) -> Any:
        made = cls()
        for part in schema.structs[cls]:
            if part.present(version) and not (part.tagged_in(version) and self.random.random() < 0.5):
                setattr(made, part.name, self._field(schema, version, part, depth))
        return made

    def _field(self, schema: Message, version: int, part: Field, depth: int) -> Any:
        rng = self.random
        share = 0.95 if self._named.get(part.name, "") is None else 0.2
        if part.nullable_in(version) and rng.random() < share:
            return None
        if not part.array:
            return self._value(schema, version, part, depth)
        length = rng.choice((0, 1, 1, 1, 2, 3)) if depth < 6 else 0
        if part.type != "struct" and rng.random() < 0.03:
            length = rng.choice((16, 17, 127, 1000))
        return [self._value(schema, version, part, depth + 1) for _ in range(length)]

    def _value(self, schema: Message, version: int, part: Field, depth: int) -> Any:
        rng = self.random
        named = self._named.get(part.name)
        if named is not None and part.type != "struct" and rng.random() < 0.9:
            return named
        match part.type:
            case "struct":
                return self._struct(schema, version, item_of(part), depth + 1)
            case "string":
                return self._text(part.name)
            case "records":
                return self.records()
            case "bytes":
                return rng.randbytes(rng.choice((0, 1, 3, 126, 128, 1023, 3000)))
            case "uuid":
                known = self.world.topic_ids
                if known and rng.random() < 0.7:
                    return rng.choice(known)
                return ZERO_UUID if rng.random() < 0.3 else UUID(int=rng.getrandbits(128))
            case "bool":
                return rng.random() < 0.5
            case "float64":
                return rng.choice((0.0, -1.5, 1e300, float("nan"), float("inf")))
            case "uint16":
                return rng.choice((0, 1, 65535, rng.getrandbits(16)))
        half = 1 << (_INTEGER_BITS[part.type] - 1)
        if self._serious and part.name in _NUMBERS:
            return max(-half, min(rng.choice(_NUMBERS[part.name]), half - 1))
        return rng.choice((0, 1, -1, half - 1, -half, rng.randrange(-half, half)))

    def _text(self, name: str) -> str:
        rng = self.random
        if not self._serious and rng.random() < 0.5:
            return rng.choice(_TEXTS)
        world = self.world
        if name in _OF_GROUPS or name in {"key", "coordinator_keys"}:
            return rng.choice(world.groups)
        if name in _OF_TRANSACTIONS:
            return rng.choice(world.transactional_ids)
        if name in {"topic", "topic_name", "topic_names", "topics", "subscribed_topic_names"}:
            return rng.choice(world.topics) if rng.random() < 0.85 else rng.choice(_TOPIC_NAMES)
        if name in {"name", "resource_name"}:
            draw = rng.random()
            if draw < (0.6 if self._api_key in _OF_CONFIGS else 0.95):
                return rng.choice(world.topics)
            return rng.choice(_CONFIG_NAMES) if draw < 0.9 else rng.choice(_TOPIC_NAMES)
        if name in {"config_name", "configuration_keys"}:
            return rng.choice(_CONFIG_NAMES)
        if name == "value":
            return rng.choice(_VALUES) or "x"
        if name == "member_id":
            return rng.choice(world.members)
        return rng.choice(_WORDS.get(name, _TEXTS))

    # ---- record batches ----

    def records(self) -> bytes:
        """Return what a produce may carry as its records: a batch, a lying one, several, or none at all."""
        rng = self.random
        draw = rng.random()
        if draw < 0.35:
            return bytes(self._batch())
        if draw < 0.7:
            return bytes(self._lying_batch())
        if draw < 0.74:
            return bytes(self._batch() + self._batch())
        if draw < 0.78:
            return self._bomb()
        if draw < 0.9:
            return bytes(mutate(rng, self._batch()))
        return rng.randbytes(rng.choice((0, 1, 17, 60, 61, 62, 200)))

    def _batch(self) -> bytearray:
        rng = self.random
        idempotent = rng.random() < 0.4
        named = idempotent and "producer_id" in self._named
        builder = BatchBuilder(
            codec=rng.choice(tuple(Codec)),
            producer_id=self._number("producer_id", (0, 1, 2, 1000)) if idempotent else -1,
            producer_epoch=self._number("producer_epoch", (0, 0, 1)) if idempotent else -1,
            base_sequence=rng.choice((0, 0, 0, 1, 2, 3, 0x7FFFFFFF)) if idempotent else -1,
            transactional=rng.random() < (0.8 if named else 0.03),
            control=rng.random() < 0.03,
            log_append_time_ms=self._now_ms if rng.random() < 0.03 else None,
        )
        for _ in range(rng.choice((1, 1, 2, 5, 30))):
            builder.append(
                self._now_ms
                + rng.choice((0, 0, 5, -5, -(1 << 40), 1 << 40) if rng.random() < 0.1 else (0, 1)),
                None if rng.random() < 0.5 else rng.randbytes(5),
                None if rng.random() < 0.1 else rng.randbytes(rng.choice((0, 1, 40, 500))),
                [("h", rng.randbytes(3)), ("", None)] if rng.random() < 0.2 else [],
            )
        return builder.build()

    def _number(self, name: str, others: Sequence[int]) -> int:
        """What the frame speaks of, if it does."""
        return int(self._named[name]) if name in self._named else self.random.choice(others)

    def _lying_batch(self) -> bytearray:
        """A batch whose header or payload lies, with a CRC that agrees."""
        rng = self.random
        batch = self._batch()
        header = parse_header(batch)
        if rng.random() < 0.5:  # the header
            name = rng.choice(
                (
                    "length", "last_offset_delta", "record_count", "attributes", "magic", "base_timestamp", "max_timestamp",
                    "producer_id", "producer_epoch", "base_sequence", "base_offset",
                )
            )  # fmt: skip
            bits = {"magic": 8, "attributes": 16, "producer_epoch": 16, "length": 32, "last_offset_delta": 32}
            bits |= {"record_count": 32, "base_sequence": 32}
            half = 1 << (bits.get(name, 64) - 1)
            now = getattr(header, name)
            value = rng.choice((0, 1, -1, half - 1, -half, now + 1, now - 1, rng.randrange(-half, half)))
            header = header._replace(**{name: max(-half, min(value, half - 1))})
            HEADER.pack_into(batch, 0, *header)
        else:  # the records
            payload = mutate(rng, bytearray(batch[HEADER_SIZE:]))
            batch = batch[:HEADER_SIZE] + payload
            header = header._replace(length=len(batch) - 12)
            if rng.random() < 0.3:
                header = header._replace(attributes=rng.randrange(8))
            HEADER.pack_into(batch, 0, *header)
        return _with_crc(batch)

    def _bomb(self) -> bytes:
        codec_id = self.random.choice((Codec.GZIP, Codec.SNAPPY, Codec.LZ4, Codec.ZSTD))
        if codec_id not in self._bombs:
            builder = BatchBuilder()
            builder.append(self._now_ms, None, b"x")
            header = parse_header(builder.build())
            packed = bytes(compress(codec_id, bytes(BOMB_BYTES)))
            batch = bytearray(HEADER_SIZE) + packed
            HEADER.pack_into(batch, 0, *header._replace(length=len(batch) - 12, attributes=int(codec_id)))
            self._bombs[codec_id] = bytes(_with_crc(batch))
        return self._bombs[codec_id]


def mutate(rng: random.Random, data: bytearray) -> bytearray:
    """Return the bytes with one to three things done to them."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        size = len(data)
        if not size:
            return data
        # The header, and every message's first fields, are where most of the decisions fall.
        at = rng.randrange(min(size, 60)) if rng.random() < 0.5 else rng.randrange(size)
        match rng.randrange(10):
            case 0 | 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 3:
                data[at : at + 4] = struct.pack(">i", rng.choice(_HUGE))
            case 4:
                data[at : at + 2] = struct.pack(">h", rng.choice((-1, -2, 0x7FFF, -0x8000, 0, 1)))
            case 5:  # varints: the largest, one byte too long, endless
                data[at : at + 1] = rng.choice(
                    (b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\x0f", b"\x80" * 6, b"\xff" * 10)
                )
            case 6:
                del data[at:]
            case 7:
                del data[at : at + rng.randrange(1, 9)]
            case 8:
                data[at:at] = data[at : at + rng.randrange(1, 40)]
            case 9:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
    return data


def _with_crc(batch: bytearray) -> bytearray:
    struct.pack_into(">I", batch, CRC_START - 4, crc32c(memoryview(batch)[CRC_START:]))
    return batch
