"""One connection from a client to a broker: requests go out pipelined, answers come back in the same order.

Bytes on the wire, both ways: `int32 size`, then `size` bytes of header and body. Right after connecting the client
asks ApiVersions and from then on uses, per API, the newest version that both sides know.

A broker answers one connection's requests in order, so an answer that doesn't come blocks all behind it. A request
that runs out of time therefore takes the connection down with it, as in Java's client: everything in flight
fails with `ConnectionLostError`, and what it asked for may or may not have happened.

Bounds: `max_in_flight` requests without an answer, `max_response_bytes` for one answer, a deadline for each
request. While the socket takes no more bytes, `request` waits.

Loop rules: everything here belongs to the thread of the event loop that opened the connection.

Errors, below `ClientError`:

ClientError
├── UnreachableError           no connection could be made
├── ConnectionLostError        it was lost, or timed out, with requests in flight or before one could be sent
└── UnsupportedByBrokerError   the broker has no version of this API that we can use
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError, ProtocolError
from logbroker.net.frame_receiver import FrameReceiver
from logbroker.wire.api import API, ApiKey
from logbroker.wire.codec import decode_response, encode_request
from logbroker.wire.frames import request_frame
from logbroker.wire.headers import decode_response_header
from logbroker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse

__all__ = [
    "ClientConnection",
    "ConnectionLostError",
    "UnreachableError",
    "UnsupportedByBrokerError",
]

CONNECT_TIMEOUT_MS = 10_000
REQUEST_TIMEOUT_MS = 30_000
MAX_IN_FLIGHT = 64
MAX_RESPONSE_BYTES = 128 * 1024 * 1024

_ERROR_CODE = struct.Struct(">h")
_SOFTWARE_NAME = "logbroker"


class UnreachableError(ClientError):
    """No connection to the broker could be made."""


class ConnectionLostError(ClientError):
    """The connection is gone; a request that was in flight may or may not have been carried out."""


class UnsupportedByBrokerError(ClientError):
    """The broker doesn't offer any version of an API that this client could use."""


class _Pending:
    """A request without an answer yet."""

    __slots__ = ("api_key", "correlation_id", "deadline", "future", "timeout_ms", "version")

    def __init__(
        self,
        api_key: int,
        version: int,
        correlation_id: int,
        future: asyncio.Future[Any],
        *,
        timeout_ms: int,
        deadline: float,
    ) -> None:
        self.api_key = api_key
        self.version = version
        self.correlation_id = correlation_id
        self.future = future
        self.timeout_ms = timeout_ms
        self.deadline = deadline


class ClientConnection:
    """A connection to one broker; make one with `connect`."""

    def __init__(
        self, host: str, port: int, client_id: str, request_timeout_ms: int, max_in_flight: int
    ) -> None:
        self.host = host
        self.port = port
        self.last_used = 0.0
        self._client_id = client_id
        self._request_timeout_ms = request_timeout_ms
        self._max_in_flight = max_in_flight
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._pending: deque[_Pending] = deque()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._next_correlation_id = 0
        self._writable = True
        self._lost: ClientError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broker_versions: dict[int, tuple[int, int]] = {}
        self._negotiated: dict[int, int] = {}

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        *,
        client_id: str = "logbroker",
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> ClientConnection:
        """Connect and agree on versions.

        Raises:
            UnreachableError: nobody listens there, the name is unknown, or it took longer than `connect_timeout_ms`.
            ClientError: who listens there doesn't speak the Kafka protocol.

        """
        connection = cls(host, port, client_id, request_timeout_ms, max_in_flight)
        try:
            async with asyncio.timeout(connect_timeout_ms / 1000):
                await connection._open(max_response_bytes)
                await connection._negotiate(connect_timeout_ms)
        except TimeoutError:
            connection.close()
            raise UnreachableError(
                f"cannot reach {connection.address}: no answer within {connect_timeout_ms} ms; is the broker running?"
            ) from None
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def address(self) -> str:
        """`HOST:PORT`, as people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def closed(self) -> bool:
        """Whether the connection is of no more use."""
        return self._lost is not None

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._pending)

    def version(self, api_key: ApiKey, *, at_most: int | None = None) -> int:
        """Return the newest version of an API that both sides know, no newer than `at_most`.

        Raises:
            UnsupportedByBrokerError: there is none; the message names the API, the address and both ranges.

        """
        if at_most is None:
            known = self._negotiated.get(api_key)
            if known is not None:
                return known
        spec = API[api_key]
        theirs = self._broker_versions.get(api_key)
        if theirs is None:
            raise UnsupportedByBrokerError(f"the broker at {self.address} does not offer {spec.name}")
        newest = min(spec.max_version, theirs[1])
        if at_most is not None:
            newest = min(newest, at_most)
        if newest < max(spec.min_version, theirs[0]):
            raise UnsupportedByBrokerError(
                f"the broker at {self.address} offers {spec.name} versions {theirs[0]} to {theirs[1]}, "
                f"this client knows {spec.min_version} to {spec.max_version if at_most is None else at_most}; upgrade the older one"
            )
        if at_most is None:
            self._negotiated[api_key] = newest
        return newest

    def offers(self, api_key: ApiKey) -> bool:
        """Whether the broker offers an API at all."""
        return api_key in self._broker_versions

    async def request(
        self, api_key: ApiKey, message: object, *, version: int | None = None, timeout_ms: int | None = None
    ) -> Any:
        """Send a request, once there is room for it, and return the decoded answer.

        Args:
            api_key: which API.
            message: its request class from `logbroker.wire.messages`.
            version: the version to use; the negotiated one by default.
            timeout_ms: how long to wait for the answer, counted from when the request is sent.

        Raises:
            ConnectionLostError: the connection is gone, or the answer took too long.
            UnsupportedByBrokerError: no common version.
            ClientError: the answer can't be decoded.

        """
        while self._lost is None and (len(self._pending) >= self._max_in_flight or not self._writable):
            await self._wait_for_room()
        return await self.send(api_key, message, version=version, timeout_ms=timeout_ms)

    def send(
        self, api_key: ApiKey, message: object, *, version: int | None = None, timeout_ms: int | None = None
    ) -> asyncio.Future[Any]:
        """Send a request at once, past the in-flight bound (the caller keeps its own), and return its answer's future.

        Requests leave in the order of the calls. Raises as `request` does, at once if the connection is gone.
        """
        if version is None:
            version = self.version(api_key)
        correlation_id = self._write(api_key, version, message)
        timeout_ms = self._request_timeout_ms if timeout_ms is None else timeout_ms
        deadline = self._loop.time() + timeout_ms / 1000
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending.append(
            _Pending(api_key, version, correlation_id, future, timeout_ms=timeout_ms, deadline=deadline)
        )
        if self._timer is None or deadline < self._timer.when():
            self._arm_timer(deadline)
        return future

    def send_unanswered(self, api_key: ApiKey, message: object, *, version: int | None = None) -> None:
        """Send a request that the broker never answers (Produce with acks=0)."""
        self._write(api_key, self.version(api_key) if version is None else version, message)

    async def drained(self) -> None:
        """Wait until the socket takes bytes again; returns at once while it does."""
        while self._lost is None and not self._writable:
            await self._wait_for_room()

    def close(self) -> None:
        """Close now; requests in flight fail with `ConnectionLostError`."""
        self._fail(ConnectionLostError(f"the connection to {self.address} was closed"))

    # How it works inside.

    async def _open(self, max_response_bytes: int) -> None:
        transport = await self._connect_to_any(
            lambda: FrameReceiver(max_response_bytes, self._on_frame, self._on_lost, self._on_writable)
        )
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def _connect_to_any(self, protocol: Callable[[], FrameReceiver]) -> asyncio.Transport:
        """Try the addresses of the host one after the other: `localhost` has two, and brokers often listen on one."""
        failure: OSError | None = None
        try:
            found = await self._loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            for family, _, _, _, address in found:
                try:
                    transport, _ = await self._loop.create_connection(
                        protocol, str(address[0]), self.port, family=family
                    )
                    return transport
                except OSError as error:
                    failure = error
        except OSError as error:
            failure = error
        reason = "the host name has no address" if failure is None else _reason(failure)
        raise UnreachableError(f"cannot reach {self.address}: {reason}; is the broker running?") from failure

    async def _negotiate(self, timeout_ms: int) -> None:
        spec = API[ApiKey.API_VERSIONS]
        request = ApiVersionsRequest(client_software_name=_SOFTWARE_NAME, client_software_version="0.1.0")
        version = spec.max_version
        while True:
            try:
                response: ApiVersionsResponse = await self.send(
                    ApiKey.API_VERSIONS, request, version=version, timeout_ms=timeout_ms
                )
            except ConnectionLostError as error:
                raise UnreachableError(
                    f"cannot reach {self.address}: it closed the connection instead of answering; is it a Kafka listener without TLS?"
                ) from error
            offered = {entry.api_key: (entry.min_version, entry.max_version) for entry in response.api_keys}
            if response.error_code == ErrorCode.UNSUPPORTED_VERSION and version > 0:
                # Such an answer names the versions that would do, or (old brokers) nothing: then 0 always does.
                version = min(version - 1, offered.get(ApiKey.API_VERSIONS, (0, 0))[1])
                continue
            if response.error_code:
                raise ClientError(f"{self.address} refused ApiVersions with error code {response.error_code}")
            self._broker_versions = offered
            return

    def _write(self, api_key: int, version: int, message: object) -> int:
        if self._lost is not None:
            raise ConnectionLostError(str(self._lost)) from self._lost
        if self._transport is None:
            raise ConnectionLostError(f"the connection to {self.address} is not open")
        correlation_id = self._next_correlation_id
        self._next_correlation_id = (correlation_id + 1) & 0x7FFFFFFF
        body = encode_request(api_key, version, message)
        self.last_used = self._loop.time()
        self._transport.writelines(request_frame(api_key, version, correlation_id, self._client_id, body))
        return correlation_id

    def _on_frame(self, frame: memoryview) -> None:
        if self._lost is not None:
            return
        if not self._pending:
            self._fail(ClientError(f"{self.address} sent an answer that nobody asked for"))
            return
        pending = self._pending[0]
        try:
            correlation_id, position = decode_response_header(pending.api_key, pending.version, frame)
            if correlation_id != pending.correlation_id:
                self._fail(
                    ClientError(
                        f"{self.address} answered request {correlation_id}, {pending.correlation_id} was due"
                    )
                )
                return
            response: object = None
            if not pending.future.done():
                response = decode_response(
                    pending.api_key, _answered_version(pending, frame, position), frame, position
                )
        except ProtocolError as error:
            name = API[pending.api_key].name
            self._fail(
                ClientError(
                    f"{self.address} sent an answer to {name} version {pending.version} that can't be read: {error}"
                )
            )
            return
        self._pending.popleft()
        if not pending.future.done():
            pending.future.set_result(response)
        self._wake_one()

    def _on_lost(self, reason: BaseException | None) -> None:
        if isinstance(reason, ProtocolError):
            self._fail(ClientError(f"{self.address} does not speak the Kafka protocol: {reason}"))
        else:
            detail = f": {_reason(reason)}" if isinstance(reason, OSError) else ""
            self._fail(ConnectionLostError(f"the broker at {self.address} closed the connection{detail}"))

    def _on_writable(self, writable: bool) -> None:
        self._writable = writable
        if writable:
            self._wake_one()

    def _fail(self, error: ClientError) -> None:
        """Give the connection up: every request in flight and everybody waiting learns why."""
        if self._lost is not None:
            return
        self._lost = error
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        pending, self._pending = self._pending, deque()
        for entry in pending:
            if not entry.future.done():
                entry.future.set_exception(error)
        while self._waiters:
            self._wake_one()

    async def _wait_for_room(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake_one()  # it was our turn; the next one takes it
            raise

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        """Look for a request that is overdue; requests have deadlines of their own, so look at all of them."""
        self._timer = None
        if not self._pending:
            return
        now = self._loop.time()
        earliest = min(self._pending, key=lambda pending: pending.deadline)
        if earliest.deadline > now:
            self._arm_timer(earliest.deadline)
            return
        name = API[earliest.api_key].name
        self._fail(
            ConnectionLostError(
                f"the broker at {self.address} did not answer {name} within {earliest.timeout_ms} ms"
            )
        )


def _answered_version(pending: _Pending, frame: memoryview, position: int) -> int:
    """Return the version an answer is written in: 0 where ApiVersions refuses the version that was asked for."""
    if pending.api_key == ApiKey.API_VERSIONS and len(frame) >= position + _ERROR_CODE.size:
        (error_code,) = _ERROR_CODE.unpack_from(frame, position)
        if error_code == ErrorCode.UNSUPPORTED_VERSION:
            return 0
    return pending.version


def _reason(error: BaseException | None) -> str:
    """Return an operating-system error in a few words, without its number."""
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return str(error)
