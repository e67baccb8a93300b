"""Messages to bytes and back: one compiled function per API, version and direction, made when first used.

Importing this module imports no message; the first use of an API imports its module, and the first use of a
version compiles it (about a millisecond). Functions are kept for the life of the process; only versions that exist are
kept, so a peer can't fill the tables. Call from any thread: the worst that can happen is compiling twice.

A decoded message's `bytes` and `records` fields are memoryviews of the frame: they live as long as they are
referred to, hold the whole frame, and change if the frame's buffer is written again. Copy what is kept.

Callers that care for 100 ns (a connection that decodes the same request again and again) take the functions
themselves from `request_decoder` and `response_encoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire.compile_decoder import Decoder, compile_decoder
from logbroker.wire.compile_encoder import Encoder, compile_encoder
from logbroker.wire.messages import MODULE_OF_API_KEY, STORED_MESSAGE_MODULES
from logbroker.wire.schema import Message

__all__ = [
    "REQUEST_ELEMENTS_MAX",
    "RESPONSE_ELEMENTS_MAX",
    "Decoder",
    "Encoder",
    "decode_request",
    "decode_response",
    "decode_stored",
    "encode_request",
    "encode_response",
    "encode_stored",
    "request_decoder",
    "request_encoder",
    "request_schema",
    "response_decoder",
    "response_encoder",
    "response_schema",
    "stored_decoder",
    "stored_encoder",
    "stored_schema",
]

REQUEST_ELEMENTS_MAX: Final = 500_000
"""How many array elements (partitions, topics, names, ...) and tagged fields a request may hold. Far above what any
client sends, and low enough that a frame of the largest size can't take gigabytes and seconds to decode."""

RESPONSE_ELEMENTS_MAX: Final = 10_000_000
"""The same for what a broker answers to our client: the metadata of a large cluster has many replicas."""

_request_decoders: dict[tuple[int, int], Decoder] = {}
_request_encoders: dict[tuple[int, int], Encoder] = {}
_response_decoders: dict[tuple[int, int], Decoder] = {}
_response_encoders: dict[tuple[int, int], Encoder] = {}
_stored_decoders: dict[tuple[str, int], Decoder] = {}
_stored_encoders: dict[tuple[str, int], Encoder] = {}


# --- schemas ----------------------------------------------------------------------------------------------


def request_schema(api_key: int) -> Message:
    """Return the schema of an API's request; raises ProtocolError for a key that doesn't exist."""
    return _schema(api_key, "REQUEST")


def response_schema(api_key: int) -> Message:
    """Return the schema of an API's response; raises ProtocolError for a key that doesn't exist."""
    return _schema(api_key, "RESPONSE")


def stored_schema(module: str) -> Message:
    """Return the schema of a message without an API key, by module: `consumer_protocol_assignment`."""
    if module not in STORED_MESSAGE_MODULES:
        raise ValueError(f"there is no message module {module!r}; known: {', '.join(STORED_MESSAGE_MODULES)}")
    schema: Message = import_module(f"logbroker.wire.messages.{module}").MESSAGE
    return schema


def _schema(api_key: int, kind: str) -> Message:
    name = MODULE_OF_API_KEY.get(api_key)
    if name is None:
        raise ProtocolError(f"API key {api_key} is not known")
    schema: Message = getattr(import_module(f"logbroker.wire.messages.{name}"), kind)
    return schema


def _checked(schema: Message, version: int) -> Message:
    if not schema.first <= version <= schema.last:
        raise ProtocolError(f"{schema.name} has no version {version}; known: {schema.first} to {schema.last}")
    return schema


def _encodable(find: Callable[[Any], Message], key: Any, version: int) -> Message:
    """Return the schema to encode with: what is unknown here is the caller's mistake, no peer's."""
    try:
        return _checked(find(key), version)
    except ProtocolError as error:
        raise ValueError(str(error)) from None


# --- the compiled functions -------------------------------------------------------------------------------


def request_decoder(api_key: int, version: int) -> Decoder:
    """Return the function that decodes a request; raises ProtocolError where there is no such version."""
    found = _request_decoders.get((api_key, version))
    if found is None:
        schema = _checked(request_schema(api_key), version)
        found = _request_decoders[api_key, version] = compile_decoder(schema, version, REQUEST_ELEMENTS_MAX)
    return found


def response_decoder(api_key: int, version: int) -> Decoder:
    """Return the function that decodes a response; raises ProtocolError where there is no such version."""
    found = _response_decoders.get((api_key, version))
    if found is None:
        schema = _checked(response_schema(api_key), version)
        found = _response_decoders[api_key, version] = compile_decoder(schema, version, RESPONSE_ELEMENTS_MAX)
    return found


def request_encoder(api_key: int, version: int) -> Encoder:
    """Return the function that encodes a request; raises ValueError where there is no such version."""
    found = _request_encoders.get((api_key, version))
    if found is None:
        schema = _encodable(request_schema, api_key, version)
        found = _request_encoders[api_key, version] = compile_encoder(schema, version)
    return found


def response_encoder(api_key: int, version: int) -> Encoder:
    """Return the function that encodes a response; raises ValueError where there is no such version."""
    found = _response_encoders.get((api_key, version))
    if found is None:
        schema = _encodable(response_schema, api_key, version)
        found = _response_encoders[api_key, version] = compile_encoder(schema, version)
    return found


def stored_decoder(module: str, version: int) -> Decoder:
    """Return the function that decodes a stored message, whose version stands before it (not read here)."""
    found = _stored_decoders.get((module, version))
    if found is None:
        schema = _checked(stored_schema(module), version)
        found = _stored_decoders[module, version] = compile_decoder(schema, version, REQUEST_ELEMENTS_MAX)
    return found


def stored_encoder(module: str, version: int) -> Encoder:
    """Return the function that encodes a stored message, without the version that stands before it."""
    found = _stored_encoders.get((module, version))
    if found is None:
        schema = _encodable(stored_schema, module, version)
        found = _stored_encoders[module, version] = compile_encoder(schema, version)
    return found


# --- messages ---------------------------------------------------------------------------------------------


def decode_request(api_key: int, version: int, frame: Buffer, position: int = 0) -> Any:
    """Return the request that starts at `position` of a frame, behind its header.

    Bytes after the message are ignored: some clients leave a few.

    Raises:
        ProtocolError: no such API or version, or anything malformed; names API, version, field and byte.
    """
    return request_decoder(api_key, version)(frame, position)


def decode_response(api_key: int, version: int, frame: Buffer, position: int = 0) -> Any:
    """Return the response that starts at `position` of a frame, behind its header; raises ProtocolError."""
    return response_decoder(api_key, version)(frame, position)


def encode_request(api_key: int, version: int, message: Any) -> list[Buffer]:
    """Return a request's bytes, in pieces: large records are not copied.

    Raises:
        ValueError: no such API or version, or a field that can't be said in it; names the field.
    """
    return request_encoder(api_key, version)(message)


def encode_response(api_key: int, version: int, message: Any) -> list[Buffer]:
    """Return a response's bytes, in pieces: large records are not copied; raises ValueError."""
    return response_encoder(api_key, version)(message)


def decode_stored(module: str, version: int, buffer: Buffer, position: int = 0) -> Any:
    """Return a stored message (`consumer_protocol_subscription`, ...); raises ProtocolError."""
    return stored_decoder(module, version)(buffer, position)


def encode_stored(module: str, version: int, message: Any) -> bytes:
    """Return a stored message's bytes, without the version that stands before it; raises ValueError."""
    return b"".join(stored_encoder(module, version)(message))
