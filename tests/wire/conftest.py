"""Random messages of every API and version, the same for the same seed, for the tests of the codec."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from logbroker.wire import codec
from logbroker.wire.messages import MODULE_OF_API_KEY, STORED_MESSAGE_MODULES
from logbroker.wire.schema import ZERO_UUID, Field, Message

INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
TEXTS = ("", "a", "topic-1", "ü", "日本", "x" * 126, "y" * 127, "z" * 128, "q" * 300)
# Times and error codes stay within what kio's types can hold.
LARGEST_TIME_MS = 1 << 40
ERROR_CODES = tuple(range(-1, 120))


@dataclass(frozen=True)
class Case:
    """One version of one message, with its compiled functions."""

    schema: Message
    version: int
    encode: Callable[[Any], list[Any]]
    decode: Callable[..., Any]

    def __str__(self) -> str:
        return f"{self.schema.name} v{self.version}"


def all_cases() -> Iterator[Case]:
    for key in MODULE_OF_API_KEY:
        request, response = codec.request_schema(key), codec.response_schema(key)
        for version in range(request.first, request.last + 1):
            yield Case(
                request, version, codec.request_encoder(key, version), codec.request_decoder(key, version)
            )
        for version in range(response.first, response.last + 1):
            yield Case(
                response, version, codec.response_encoder(key, version), codec.response_decoder(key, version)
            )
    for module in STORED_MESSAGE_MODULES:
        schema = codec.stored_schema(module)
        for version in range(schema.first, schema.last + 1):
            yield Case(
                schema, version, codec.stored_encoder(module, version), codec.stored_decoder(module, version)
            )


class MessageMaker:
    """Makes random messages; those of one seed are always the same."""

    def __init__(self, seed: int, *, list_max: int = 3, depth_max: int = 6) -> None:
        self.random = random.Random(seed)
        self.list_max = list_max
        self.depth_max = depth_max

    def message(self, schema: Message, version: int) -> Any:
        """A message that comes back equal when it is encoded and decoded in `version`."""
        return self._struct(schema, version, schema.root, 0)

    def _struct(self, schema: Message, version: int, cls: type[Any], depth: int) -> Any:
        made = cls()
        for field in schema.structs[cls]:
            if not field.present(version):
                continue
            if field.tagged_in(version) and self.random.random() < 0.5:
                continue
            value = self._field(schema, version, field, depth)
            if (
                field.tagged_in(version)
                and field.type == "struct"
                and not field.array
                and value == field.item()
            ):
                continue  # a tagged struct that holds its default isn't sent, and comes back as None
            setattr(made, field.name, value)
        return made

    def _field(self, schema: Message, version: int, field: Field, depth: int) -> Any:
        if field.nullable_in(version) and self.random.random() < 0.3:
            return None
        if not field.array:
            return self._value(schema, version, field, depth)
        longest = self.list_max if depth < self.depth_max else 0
        length = self.random.randint(0, longest)
        if longest and field.type != "struct" and self.random.random() < 0.05:
            length = self.random.choice((16, 17, 127, 130))
        return [self._value(schema, version, field, depth + 1) for _ in range(length)]

    def _value(self, schema: Message, version: int, field: Field, depth: int) -> Any:
        if field.type == "struct":
            return self._struct(schema, version, field.item, depth + 1)
        pick = self.random.choice
        match field.type:
            case "string":
                return pick(TEXTS)
            case "bytes" | "records":
                return self.random.randbytes(pick((0, 1, 3, 126, 127, 128, 1023, 1024, 1025, 3000)))
            case "uuid":
                return ZERO_UUID if self.random.random() < 0.2 else UUID(int=self.random.getrandbits(128))
            case "bool":
                return self.random.random() < 0.5
            case "float64":
                return pick((0.0, -1.5, 1e300, self.random.random()))
            case "uint16":
                return pick((0, 1, 65535, self.random.getrandbits(16)))
        if field.type == "int16" and field.name.endswith("error_code"):
            return pick(ERROR_CODES)
        if field.type == "int64" and field.name.endswith("_ms"):
            return pick((0, 1, 1_700_000_000_000, self.random.randrange(LARGEST_TIME_MS)))
        half = 1 << (INTEGER_BITS[field.type] - 1)
        return pick((0, 1, -1, half - 1, -half, self.random.randrange(-half, half)))


@pytest.fixture(scope="session")
def cases() -> list[Case]:
    """Every version of every message."""
    return list(all_cases())


@pytest.fixture(scope="session")
def make_messages() -> type[MessageMaker]:
    """The class that makes random messages from a seed."""
    return MessageMaker
