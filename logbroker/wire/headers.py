"""What stands before every message: request header v1 and v2, response header v0 and v1.

    request  v1   api key int16, api version int16, correlation id int32, client id nullable string
    request  v2   the same, then tagged fields; the client id keeps its int16 length even here (KIP-482)
    response v0   correlation id int32
    response v1   the same, then tagged fields

Which one it is follows from API and version (`api.py`). A request header can be read for a version that nobody
knows yet, so that ApiVersions can be answered and the others can be named in the log before the connection is closed;
for an API key that nobody knows it can't, and that is a ProtocolError.

Positions are bytes in the frame, whose length prefix is not part of it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeAlias

from logbroker.base.errors import ProtocolError
from logbroker.base.types import Buffer
from logbroker.wire.api import API, ApiKey
from logbroker.wire.primitives import skip_tagged_fields, write_nullable_string

_REQUEST_START: Final = Struct(">hhih")
"""API key, API version, correlation id, length of the client id."""
_REQUEST_START_BYTES: Final = _REQUEST_START.size
_REQUEST_FIXED: Final = Struct(">hhi")
_RESPONSE_V0: Final = Struct(">i")
_RESPONSE_V1: Final = Struct(">ix")

_NEVER: Final = 1 << 16
_FLEXIBLE_FROM: Final = {
    key: _NEVER if spec.first_flexible_version is None else spec.first_flexible_version
    for key, spec in API.items()
}
_RESPONSE_FLEXIBLE_FROM: Final = {**_FLEXIBLE_FROM, int(ApiKey.API_VERSIONS): _NEVER}


RequestHeader: TypeAlias = tuple[int, int, int, str | None, int]
"""API key, version, correlation id, client id, position of the message. A plain tuple, because one is made for every
request. The key is one that `api.API` has; the version may be any int16."""


def decode_request_header(frame: Buffer, position: int = 0) -> RequestHeader:
    """Return the header of the request frame that starts at `position`.

    Bytes of the client id that are no UTF-8 become U+FFFD, as in Kafka: it is a name for people, which librdkafka sends as it
    was given.

    Raises:
        ProtocolError: an unknown API key, or a header that is cut short or malformed.
    """
    end = len(frame)
    if end - position < _REQUEST_START_BYTES:
        raise ProtocolError(
            f"a request of {end - position} bytes has no header; {_REQUEST_START_BYTES} are the least"
        )
    api_key, version, correlation_id, client_id_size = _REQUEST_START.unpack_from(frame, position)
    position += _REQUEST_START_BYTES
    flexible_from = _FLEXIBLE_FROM.get(api_key)
    if flexible_from is None:
        raise ProtocolError(f"API key {api_key} (version {version}) is not known")
    client_id = None
    if client_id_size >= 0:
        start = position
        position += client_id_size
        if position > end:
            raise ProtocolError(
                f"{_named(api_key, version)}: a client id of {client_id_size} bytes ends after the frame"
            )
        client_id = str(frame[start:position], "utf-8", "replace")
    if version >= flexible_from:
        if position < end and frame[position] == 0:
            position += 1
        else:
            try:
                position = skip_tagged_fields(frame, position)
            except ProtocolError as error:
                raise ProtocolError(
                    f"{_named(api_key, version)}, the header's tagged fields: {error}"
                ) from None
    return api_key, version, correlation_id, client_id, position


def encode_request_header(api_key: int, version: int, correlation_id: int, client_id: str | None) -> bytes:
    """Return a request's header; raises KeyError for an unknown API, ValueError for a client id that is too long."""
    start = _REQUEST_FIXED.pack(api_key, version, correlation_id) + write_nullable_string(client_id)
    return start + b"\x00" if version >= _FLEXIBLE_FROM[api_key] else start


def encode_response_header(api_key: int, version: int, correlation_id: int) -> bytes:
    """Return a response's header; raises KeyError for an unknown API."""
    if version >= _RESPONSE_FLEXIBLE_FROM[api_key]:
        return _RESPONSE_V1.pack(correlation_id)
    return _RESPONSE_V0.pack(correlation_id)


def decode_response_header(api_key: int, version: int, frame: Buffer, position: int = 0) -> tuple[int, int]:
    """Return the correlation id of a response frame and where its message starts.

    Args:
        api_key: The API of the request that is answered; KeyError if it isn't known.
        version: The version of that request.
        frame: The response.
        position: Where the header starts.

    Raises:
        ProtocolError: the header is cut short or malformed.
    """
    if len(frame) - position < _RESPONSE_V0.size:
        raise ProtocolError(
            f"a response of {len(frame) - position} bytes has no header; {_RESPONSE_V0.size} are the least"
        )
    (correlation_id,) = _RESPONSE_V0.unpack_from(frame, position)
    position += _RESPONSE_V0.size
    if version >= _RESPONSE_FLEXIBLE_FROM[api_key]:
        position = skip_tagged_fields(frame, position)
    return correlation_id, position


def response_has_tagged_header(api_key: int, version: int) -> bool:
    """Whether the response header is v1: for code that packs it together with something else."""
    return version >= _RESPONSE_FLEXIBLE_FROM[api_key]


def _named(api_key: int, version: int) -> str:
    return f"{API[api_key].name} version {version}"
