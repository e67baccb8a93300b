"""What a handler knows of the request it answers, and how it answers.

A `RequestContext` is also the request's slot in its connection's order of replies, so that a request costs one object.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from logbroker.base.metrics import Histogram
from logbroker.base.types import Buffer
from logbroker.net.reply import Reply
from logbroker.net.server_connection import ServerConnection
from logbroker.wire.api import ApiKey, ApiSpec

if TYPE_CHECKING:
    from logbroker.wire.codec import Decoder, Encoder

_START_V0: Final = Struct(">ii")
_START_V1: Final = Struct(">iix")
_LENGTH_BYTES: Final = 4


class Route:
    """One version of one API that the broker answers: everything that can be known before a request comes.

    Attributes:
        spec: The API.
        version: The version.
        decode, encode: The compiled codecs of request and response.
        handle: The module's `handle`; None if it has only `handle_frame`.
        handle_frame: The module's `handle_frame`, which takes precedence, or None.
        failure: The module's `failure`, or None.
        handled: Requests that could be decoded, and so came to the handler; a `handle_frame` counts them itself.
        pipelined: Whether a connection may have several in work.
        tagged_request_header: Whether the request's header ends in tagged fields.
        latency: Counts how long requests took, in microseconds; None: nobody wants to know.
        on_error: Called with a context and the exception that its response could not be encoded for.
    """

    __slots__ = (
        "_start",
        "_start_bytes",
        "api_key",
        "decode",
        "encode",
        "failure",
        "handle",
        "handle_frame",
        "handled",
        "latency",
        "on_error",
        "pipelined",
        "spec",
        "tagged_request_header",
        "version",
    )

    def __init__(
        self,
        spec: ApiSpec,
        version: int,
        *,
        decode: Decoder,
        encode: Encoder,
        handle: Callable[[Any, RequestContext, Any], Any] | None,
        handle_frame: Callable[[Any, RequestContext, memoryview, int], None] | None,
        failure: Callable[..., Any] | None,
        pipelined: bool,
        latency: Histogram | None,
        on_error: Callable[[RequestContext, Exception], None],
    ) -> None:
        self.spec = spec
        self.api_key: ApiKey = spec.key
        self.version = version
        self.decode = decode
        self.encode = encode
        self.handle = handle
        self.handle_frame = handle_frame
        self.failure = failure
        self.handled = 0
        self.pipelined = pipelined
        self.latency = latency
        self.on_error = on_error
        self.tagged_request_header = spec.request_header_version(version) > 1
        self._start = _START_V1 if spec.response_header_version(version) else _START_V0
        self._start_bytes = self._start.size - _LENGTH_BYTES

    def __str__(self) -> str:
        return f"{self.spec.name} version {self.version}"

    def frame_start(self, correlation_id: int, body_bytes: int) -> bytes:
        """Length and header of a response whose body has `body_bytes`."""
        return self._start.pack(self._start_bytes + body_bytes, correlation_id)


class RequestContext(Reply):
    """One request.

    It is answered once, by `respond`, `send_body`, `send_frame` or `send_nothing`, or by what its handler returns;
    what comes later is ignored.

    Attributes:
        route: API and version, and how they are answered.
        correlation_id: The client's number for it, which the response repeats.
        client_id: What the client calls itself; None if it doesn't.
        connection: Where it came from (`closed`, `on_close`, `refuse`).
        on_abandoned: See `Reply`: to be set by a handler that parks the request.
        started: `Clock.monotonic` when its last byte arrived.
    """

    __slots__ = ("client_id", "correlation_id", "request", "route")

    def __init__(
        self,
        connection: ServerConnection,
        route: Route,
        correlation_id: int,
        client_id: str | None,
        size_bytes: int,
    ) -> None:
        # Reply.__init__ isn't called: this runs for every request.
        self.connection = connection
        self.request_bytes = size_bytes
        self.started = connection.server.now
        self.stats = route.latency
        self.payload = None
        self.reply_bytes = 0
        self.on_abandoned = None
        self.route = route
        self.correlation_id = correlation_id
        self.client_id = client_id
        self.request: Any = None

    @property
    def api_key(self) -> ApiKey:
        """The API."""
        return self.route.api_key

    @property
    def api_version(self) -> int:
        """The version of the API."""
        return self.route.version

    @property
    def client_address(self) -> str:
        """`host:port` of the client."""
        return self.connection.peer

    @property
    def client_host(self) -> str:
        """The client's host, as group descriptions show it."""
        return self.connection.address

    @property
    def listener_name(self) -> str:
        """The listener by which the client came: which of the advertised addresses it is to be told."""
        return self.connection.listener_name

    def respond(self, response: Any) -> None:
        """Answer with a response object of the API's module."""
        if self.payload is not None:
            return
        try:
            pieces = self.route.encode(response)
        except Exception as error:
            self.route.on_error(self, error)
            return
        self.send_body(pieces)

    def send_body(self, pieces: list[Buffer]) -> None:
        """Answer with an encoded body, in pieces (at least one); length and header are put before the first."""
        first = pieces[0]
        if len(pieces) == 1:
            self.send_frame(self.route.frame_start(self.correlation_id, len(first)) + first)
        else:
            start = self.route.frame_start(self.correlation_id, sum(map(len, pieces)))
            self.send_frame([start + first, *pieces[1:]])
