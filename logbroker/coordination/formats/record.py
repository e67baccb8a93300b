"""A kind of record of an internal topic: its key's and its value's schema, compiled when first used.

The tables are of the same make as those of requests (`logbroker.wire.schema`), written by hand from the record schemas
that Apache Kafka 4.3.1 ships. On disk:

    key    int16 record type, then the key's fields (always version 0, never flexible)
    value  int16 version, then the value's fields in that version; a null value deletes the key
"""

from __future__ import annotations

import struct
from typing import Any, Final, Generic, TypeVar

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire.compile_decoder import Decoder, compile_decoder
from logbroker.wire.compile_encoder import Encoder, compile_encoder
from logbroker.wire.schema import Message

K = TypeVar("K")
V = TypeVar("V")

RECORD_ELEMENTS_MAX: Final = 1_000_000
"""Array elements of one record; far above any group's members, and below what would exhaust memory."""

_PREFIX = struct.Struct(">h")


class RecordFormat(Generic[K, V]):
    """One record type: encodes and decodes keys and values. Any thread.

    Attributes:
        type: The number at the start of its keys.
        name: Kafka's name, as its tools print it.

    """

    __slots__ = ("_decoders", "_encoders", "_key", "_value", "name", "type")

    def __init__(self, record_type: int, name: str, key: Message, value: Message) -> None:
        self.type = record_type
        self.name = name
        self._key = key
        self._value = value
        self._decoders: dict[int, Decoder] = {}
        self._encoders: dict[int, Encoder] = {}

    def encode_key(self, key: K) -> bytes:
        """The key's bytes, type first; raises ValueError for a field that can't be said."""
        encoder = self._encoders.get(-1)
        if encoder is None:
            encoder = self._encoders[-1] = compile_encoder(self._key, 0)
        return _PREFIX.pack(self.type) + b"".join(encoder(key))

    def decode_key(self, key: Buffer) -> K:
        """The key's fields; the caller has looked at the type (`record_type`).

        Raises:
            ValueError: The bytes are no such key.

        """
        decoder = self._decoders.get(-1)
        if decoder is None:
            decoder = self._decoders[-1] = compile_decoder(self._key, 0, RECORD_ELEMENTS_MAX)
        decoded: K = self._decode(decoder, key, "key")
        return decoded

    def encode_value(self, value: V, version: int) -> bytes:
        """The value's bytes, version first; raises ValueError for a field that can't be said in that version."""
        encoder = self._encoders.get(version)
        if encoder is None:
            if not self._value.first <= version <= self._value.last:
                raise ValueError(f"{self.name} has no value version {version}")
            encoder = self._encoders[version] = compile_encoder(self._value, version)
        return _PREFIX.pack(version) + b"".join(encoder(value))

    def decode_value(self, value: Buffer) -> V:
        """The value's fields, in whatever version it is.

        Raises:
            ValueError: A version that this release doesn't know, or bytes that are no such value.

        """
        version = leading_int16(value)
        decoder = self._decoders.get(version)
        if decoder is None:
            if not self._value.first <= version <= self._value.last:
                raise ValueError(
                    f"{self.name} has value version {version}; versions {self._value.first} to {self._value.last} "
                    "are known: a newer release wrote it"
                )
            decoder = self._decoders[version] = compile_decoder(self._value, version, RECORD_ELEMENTS_MAX)
        decoded: V = self._decode(decoder, value, "value")
        return decoded

    def _decode(self, decoder: Decoder, data: Buffer, what: str) -> Any:
        try:
            return decoder(data, _PREFIX.size)
        except ProtocolError as error:
            raise ValueError(f"{self.name} {what}: {error}") from None


def leading_int16(data: Buffer) -> int:
    """The record type of a key, or the version of a value.

    Raises:
        ValueError: There are no two bytes.

    """
    if len(data) < _PREFIX.size:
        raise ValueError(f"{len(data)} bytes where a record type or version should stand")
    number: int = _PREFIX.unpack_from(data)[0]
    return number
