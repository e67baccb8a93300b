"""From a frame to its handler, and from what the handler did to the reply.

A request passes: header -> route (API and version, resolved once and kept) -> decode -> handler -> encode -> the slot
that it took in its connection's order of replies. Every way in which that can go wrong ends in one of three things: an
error code in the response, a closed connection with one log line that names client and reason, or both. Nothing
that a client sends raises out of here, and no traceback leaves the process.

What isn't advertised closes the connection, as in Kafka; only ApiVersions answers versions it doesn't know.

*Order.* A connection's requests are dispatched in order. Those of `PIPELINED` APIs may be many in work at once; any
other waits until everything before it is answered, and holds back what comes after it until it is answered itself. That
is Kafka's order, where a connection has one request in work, without its cost for producers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from importlib import import_module
from struct import Struct
from typing import Any, Final

from logbroker.base import logs
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ProtocolError
from logbroker.base.metrics import Histogram, Metric
from logbroker.base.tasks import TaskScope
from logbroker.broker.context import RequestContext, Route
from logbroker.broker.handlers import ADVERTISED, PIPELINED, api_versions
from logbroker.metadata.store import MetadataFailedError
from logbroker.net.reply import Reply
from logbroker.net.server_connection import ServerConnection
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.frames import response_frame
from logbroker.wire.headers import decode_request_header

REQUEST_TASKS_MAX: Final = 256
"""Handlers that run as tasks (administration) at once, over all connections; more wait for their turn."""

_HEADER: Final = Struct(">hhih")
"""API key, version, correlation id, length of the client id."""

_log = logs.get("dispatch")


class Dispatcher:
    """Answers frames; its `dispatch` is what a `Server` is made with.

    Args:
        broker: Handed to handlers as it is.
        tasks: Where handlers run that are coroutines.
        latency: Gives the histogram for an API's name, counted in microseconds.
        advertised: API to handler module, or to its name.
    """

    def __init__(
        self,
        broker: object,
        tasks: TaskScope,
        *,
        latency: Callable[[str], Histogram] | None = None,
        advertised: Mapping[ApiKey, Any] = ADVERTISED,
    ) -> None:
        self._broker = broker
        self._tasks = tasks
        self._latency = latency
        self._advertised = advertised
        self._routes: dict[int, Route] = {}
        self._running = 0
        self._waiting: deque[tuple[RequestContext, Awaitable[Any]]] = deque()
        self._places: set[str] = set()  # lines of our code, so there are only so many
        self._faults = logs.Limited(_log, per_second=1.0, burst=10)

    def dispatch(self, connection: ServerConnection, frame: memoryview) -> bool:
        """Take a frame.

        Returns:
            False if it must wait until everything in flight on the connection is answered.
        """
        if len(frame) < _HEADER.size:
            return self._refuse_header(connection, frame)
        api_key, version, correlation_id, client_id_bytes = _HEADER.unpack_from(frame)
        route = self._routes.get((api_key << 16) + version)
        if route is None:
            try:
                route = self._resolve(api_key, version)
            except Exception as error:
                self._log_fault(f"{API[api_key].name} version {version}", connection, error)
                connection.refuse(f"the handler of {API[api_key].name} can't be loaded")
                return True
            if route is None:
                return self._not_offered(connection, frame, api_key, version, correlation_id)
        if connection.unanswered and not route.pipelined:
            return False
        position = _HEADER.size
        if client_id_bytes < 0:
            client_id = None
        else:
            position += client_id_bytes
            raw = frame[_HEADER.size : position].tobytes()
            if raw == connection.client_id_raw and len(raw) == client_id_bytes:
                client_id = connection.client_id
            else:
                try:
                    client_id = decode_request_header(frame)[3]
                except ProtocolError as error:
                    connection.refuse(str(error))
                    return True
                connection.client_id, connection.client_id_raw = client_id, raw
        if route.tagged_request_header:
            if position < len(frame) and frame[position] == 0:
                position += 1
            else:
                try:
                    position = decode_request_header(frame)[4]
                except ProtocolError as error:
                    connection.refuse(str(error))
                    return True
        context = RequestContext(connection, route, correlation_id, client_id, len(frame))
        connection.admit(context)
        try:
            if route.handle_frame is not None:
                route.handle_frame(self._broker, context, frame, position)
            else:
                self._handle(context, route, frame, position)
        except Exception as error:
            self._failed(context, error)
        if context.payload is None and not route.pipelined:
            connection.serial = True
        return True

    def collect(self) -> Iterable[Metric]:
        """What `/metrics` shows of the requests so far."""
        yield Metric(
            "logbroker_requests_handled_total",
            "Requests that could be decoded and came to their handler, by API and version.",
            "counter",
            (
                ((("api", route.spec.name), ("version", str(route.version))), route.handled)
                for route in list(self._routes.values())
            ),
        )

    def _handle(self, context: RequestContext, route: Route, frame: memoryview, position: int) -> None:
        request = route.decode(frame, position)
        route.handled += 1
        context.request = request
        answer = route.handle(self._broker, context, request)  # type: ignore[misc]
        if isinstance(answer, Completion):
            answer.on_done(context.respond)
        elif hasattr(answer, "__await__"):
            self._start(context, answer)
        else:
            context.respond(answer)

    # ---- handlers that are coroutines ----

    def _start(self, context: RequestContext, answer: Awaitable[Any]) -> None:
        if self._running >= REQUEST_TASKS_MAX:
            # At most one for each connection, as nothing behind it is dispatched before it is answered.
            self._waiting.append((context, answer))
            return
        try:
            self._tasks.start(self._finish(context, answer), f"request {context.route}")
        except RuntimeError:  # the broker is going down
            if isinstance(answer, Coroutine):
                answer.close()
            context.connection.abort()
            return
        self._running += 1

    async def _finish(self, context: RequestContext, answer: Awaitable[Any]) -> None:
        try:
            context.respond(await answer)
        except asyncio.CancelledError:
            context.connection.abort()
            raise
        except Exception as error:
            self._failed(context, error)
        finally:
            self._running -= 1
            if self._waiting:
                self._start(*self._waiting.popleft())

    # ---- what isn't a request that can be answered ----

    def _resolve(self, api_key: int, version: int) -> Route | None:
        spec = API.get(api_key)
        if spec is None or spec.key not in self._advertised or not spec.supports(version):
            return None
        found = self._advertised[spec.key]
        module = import_module(found) if isinstance(found, str) else found
        route = self._routes[(api_key << 16) + version] = Route(
            spec,
            version,
            decode=codec.request_decoder(api_key, version),
            encode=codec.response_encoder(api_key, version),
            handle=getattr(module, "handle", None),
            handle_frame=getattr(module, "handle_frame", None),
            failure=getattr(module, "failure", None),
            pipelined=spec.key in PIPELINED,
            latency=None if self._latency is None else self._latency(spec.name),
            on_error=self._failed,
        )
        return route

    def _refuse_header(self, connection: ServerConnection, frame: memoryview) -> bool:
        try:
            decode_request_header(frame)
        except ProtocolError as error:
            connection.refuse(str(error))
        return True

    def _not_offered(
        self, connection: ServerConnection, frame: memoryview, api_key: int, version: int, correlation_id: int
    ) -> bool:
        """Answer an ApiVersions request of a version nobody knows; close the connection for anything else."""
        if api_key == ApiKey.API_VERSIONS:
            reply = Reply(connection, len(frame), connection.server.now)
            connection.admit(reply)
            body = codec.encode_response(api_key, 0, api_versions.unsupported_version())
            reply.send_frame(response_frame(api_key, 0, correlation_id, body))
            return True
        spec = API.get(api_key)
        if spec is None:
            connection.refuse(f"API key {api_key} is not known")
        elif spec.key not in self._advertised:
            connection.refuse(f"{spec.name} (API key {api_key}) is not offered by this broker")
        else:
            connection.refuse(
                f"{spec.name} version {version} is not offered, only {spec.min_version} to {spec.max_version}"
            )
        return True

    def _failed(self, context: RequestContext, error: Exception) -> None:
        """Answer a request whose handler raised, or close its connection."""
        route, connection = context.route, context.connection
        if isinstance(error, ProtocolError):
            connection.refuse(str(error))
            context.send_nothing()
            return
        if isinstance(error, BrokerError):
            code, message = error.code, error.message
        elif isinstance(error, MetadataFailedError):
            # A disk, not a fault of ours; whoever found it has said so in the log, and the broker is about to end.
            code, message = ErrorCode.KAFKA_STORAGE_ERROR, "the metadata can't be written"
        else:
            code, message = ErrorCode.UNKNOWN_SERVER_ERROR, None
            self._log_fault(str(route), connection, error)
        if context.answered:
            return
        try:
            response = self._error_response(context, code, message)
            pieces = None if response is None else route.encode(response)
        except Exception as second:
            _log.error("an error could not be answered", api=route, client=connection.peer, error=second)
            pieces = None
        if pieces is not None:
            context.send_body(pieces)
            return
        connection.refuse(
            f"{route} failed with {code.name}, which its response can't say: {message or 'see the log'}"
        )
        context.send_nothing()

    def _log_fault(self, what: str, connection: ServerConnection, error: Exception) -> None:
        """Log a fault of ours: with its traceback the first time that it happens in that place, in short after that."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        if place in self._places:
            self._faults.write(
                "error",
                "a handler failed, as before",
                api=what,
                client=connection.peer,
                reason=repr(error),
                place=place,
            )
        else:
            self._places.add(place)
            _log.error("a handler failed", api=what, client=connection.peer, error=error)

    @staticmethod
    def _error_response(context: RequestContext, code: ErrorCode, message: str | None) -> Any:
        """Return the response that says `code` for the whole request; None if there is no such response."""
        route = context.route
        if route.failure is not None and context.request is not None:
            return route.failure(context, context.request, code, message)
        schema = codec.response_schema(route.api_key)
        fields = {field.name for field in schema.structs[schema.root] if field.present(route.version)}
        if "error_code" not in fields:
            return None
        response = schema.root(error_code=int(code))
        if "error_message" in fields:
            response.error_message = message
        return response
