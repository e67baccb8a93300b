"""A small HTTP server for `/metrics`, `/healthz` and `/readyz`, on the broker's own loop.

    /metrics   Prometheus' text format
    /healthz   200 as long as the loop turns and the broker hasn't failed; for a liveness probe
    /readyz    200 while clients are served; 503 while recovering and while stopping; for a readiness probe

GET and HEAD only, one request a connection. Everything a peer could hold is bounded by the constants below. The
exposition is sent as it is made, chunked, so that 10,000 partitions neither stop the loop nor stand in memory whole.
There is no authentication: it listens on loopback unless `metrics.listeners` says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Iterable
from typing import Final

from logbroker.base import logs
from logbroker.base.errors import LogbrokerError
from logbroker.base.metrics import CONTENT_TYPE, Registry
from logbroker.config.endpoints import Endpoint
from logbroker.net.port_owner import describe_owner

HEAD_MAX_BYTES: Final = 8192
CONNECTIONS_MAX: Final = 32
HEAD_TIMEOUT_S: Final = 5.0
SEND_TIMEOUT_S: Final = 30.0

_PLAIN = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_REMEDY = "choose another with --set metrics.listeners=HOST:PORT, or none with --set metrics.listeners="


class Health:
    """What the probes are told; the daemon's runner sets it."""

    __slots__ = ("failure", "state")

    def __init__(self) -> None:
        self.state = "starting"
        self.failure: str | None = None

    @property
    def ready(self) -> bool:
        """Whether clients are served."""
        return self.state == "serving" and self.failure is None


class MetricsServer:
    """Serves one registry and one state on some addresses; loop thread only."""

    __slots__ = ("_connections", "_health", "_log", "_registry", "_servers", "addresses")

    def __init__(self, registry: Registry, health: Health) -> None:
        self._registry = registry
        self._health = health
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._log = logs.Limited(logs.get("metrics"))
        self.addresses: list[str] = []

    async def start(self, endpoints: Iterable[Endpoint]) -> None:
        """Listen; `addresses` then has host:port of each, with the port the system picked.

        Raises:
            LogbrokerError: an address can't be listened on.
        """
        for endpoint in endpoints:
            try:
                server = await asyncio.start_server(
                    self._connected, endpoint.host or None, endpoint.port, limit=HEAD_MAX_BYTES
                )
            except OSError as error:
                await self.stop()
                reason = error.strerror or str(error)
                if error.errno == errno.EADDRINUSE:
                    reason = f"the port is in use by {describe_owner(endpoint.port) or 'another process'}"
                raise LogbrokerError(
                    f"can't serve metrics on {endpoint.address}: {reason}; {_REMEDY}"
                ) from None
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.addresses.append(Endpoint(endpoint.name, endpoint.host, port).address)

    async def stop(self) -> None:
        """Close the listeners and whatever is being answered."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._servers.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= CONNECTIONS_MAX:
            self._log.warning(
                "closed a connection to the metrics listener", reason=f"{CONNECTIONS_MAX} are open"
            )
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S + SEND_TIMEOUT_S):
                await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            await _answer(writer, 431, f"the request's head is larger than {HEAD_MAX_BYTES} bytes\n")
            return
        except TimeoutError:
            await _answer(writer, 408, f"no request within {HEAD_TIMEOUT_S:g} s\n")
            return
        parts = head.split(b"\r\n", 1)[0].split(b" ")
        if len(parts) != 3 or parts[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
            await _answer(writer, 400, "this is an HTTP/1.1 server for /metrics, /healthz and /readyz\n")
            return
        method, target, version = parts
        path = target.partition(b"?")[0]
        if method not in {b"GET", b"HEAD"}:
            await _answer(writer, 405, "only GET and HEAD\n", extra="Allow: GET, HEAD\r\n")
        elif path == b"/metrics":
            await self._metrics(writer, chunked=version == b"HTTP/1.1", body=method == b"GET")
        elif path == b"/healthz":
            failure = self._health.failure
            status, text = (503, f"failed: {failure}\n") if failure is not None else (200, "ok\n")
            await _answer(writer, status, text, body=method == b"GET")
        elif path == b"/readyz":
            status = 200 if self._health.ready else 503
            await _answer(writer, status, f"{self._health.state}\n", body=method == b"GET")
        else:
            await _answer(writer, 404, "there are /metrics, /healthz and /readyz\n", body=method == b"GET")

    async def _metrics(self, writer: asyncio.StreamWriter, *, chunked: bool, body: bool) -> None:
        framing = "Transfer-Encoding: chunked\r\n" if chunked else ""
        writer.write(_head(200, CONTENT_TYPE, framing))
        if not body:
            await writer.drain()
            return
        for piece in self._registry.render():
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            # `drain` returns without waiting while there is room: the loop gets its turn here.
            await asyncio.sleep(0)
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


def _head(status: int, content_type: str, extra: str) -> bytes:
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Cache-Control: no-store\r\nConnection: close\r\n{extra}\r\n"
    ).encode()


async def _answer(
    writer: asyncio.StreamWriter, status: int, text: str, *, extra: str = "", body: bool = True
) -> None:
    data = text.encode()
    writer.write(_head(status, _PLAIN, f"{extra}Content-Length: {len(data)}\r\n"))
    if body:
        writer.write(data)
    await writer.drain()
