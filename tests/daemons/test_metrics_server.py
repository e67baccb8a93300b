"""/metrics, /healthz and /readyz over real sockets, and what peers get who don't speak HTTP."""

import asyncio
import http.client
import socket

import pytest
from prometheus_client.parser import text_string_to_metric_families

from logbroker.base.errors import LogbrokerError
from logbroker.base.metrics import CONTENT_TYPE, Metric, Registry
from logbroker.config.endpoints import Endpoint
from logbroker.daemons import metrics_server, process_metrics
from logbroker.daemons.metrics_server import Health, MetricsServer

ANY = Endpoint("HTTP", "127.0.0.1", 0)


def serve(check, *, registry=None, health=None):
    """Run `check(port)` in a thread while the server runs; return its result."""

    async def main():
        server = MetricsServer(registry or Registry(), health or Health())
        await server.start([ANY])
        try:
            port = int(server.addresses[0].rpartition(":")[2])
            return await asyncio.get_running_loop().run_in_executor(None, check, port)
        finally:
            await server.stop()

    return asyncio.run(main())


def get(port, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type"), response.read().decode()
    finally:
        connection.close()


def raw(port, data, *, shut=False):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(data)
        if shut:
            peer.shutdown(socket.SHUT_WR)
        received = b""
        while piece := peer.recv(65536):
            received += piece
        return received


def test_metrics():
    registry = Registry()
    registry.counter("logbroker_things_total", "Things.").value = 7
    registry.register(process_metrics.collect)
    # Several pieces, so several chunks.
    registry.register(
        lambda: [Metric("g", "Help.", "gauge", (((("n", str(number)),), number) for number in range(3000)))]
    )
    status, kind, text = serve(lambda port: get(port, "/metrics?x=1"), registry=registry)
    assert (status, kind) == (200, CONTENT_TYPE)
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["logbroker_things_total"] == 7
    assert samples["g"] == 2999
    assert samples["process_resident_memory_bytes"] > 1_000_000
    assert samples["process_open_fds"] > 3
    assert samples["process_cpu_seconds_total"] > 0
    assert abs(samples["process_start_time_seconds"] - process_start_s()) < 60
    assert samples["logbroker_log_lines_dropped_total"] == 0


def process_start_s():
    import time

    return time.time() - process_metrics.process_age_s()


def test_an_old_client_gets_it_unchunked():
    registry = Registry()
    registry.gauge("logbroker_level", "A level.").value = 1
    received = serve(lambda port: raw(port, b"GET /metrics HTTP/1.0\r\n\r\n"), registry=registry)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"\nlogbroker_level 1\n" in body


def test_health():
    health = Health()

    def probe(port):
        return get(port, "/healthz")[::2], get(port, "/readyz")[::2]

    assert serve(probe, health=health) == ((200, "ok\n"), (503, "starting\n"))
    health.state = "serving"
    assert serve(probe, health=health) == ((200, "ok\n"), (200, "serving\n"))
    health.failure = "no log directory is left"
    assert serve(probe, health=health) == ((503, "failed: no log directory is left\n"), (503, "serving\n"))
    health.failure = None
    health.state = "stopping"
    assert serve(probe, health=health) == ((200, "ok\n"), (503, "stopping\n"))


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nowhere"])
def test_head_has_no_body(path):
    status, _, body = serve(lambda port: get(port, path, "HEAD"))
    assert body == ""
    assert status == (404 if path == "/nowhere" else 200)


BAD = {
    b"POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello": b"405 Method Not Allowed",
    b"GET / HTTP/1.1\r\n\r\n": b"404 Not Found",
    b"GET /metrics HTTP/2.0\r\n\r\n": b"400 Bad Request",
    b"\x00\x00\x00\x10garbage\r\n\r\n": b"400 Bad Request",
    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 4000: b"431 Request Header Fields Too Large",
    b"x" * 20_000: b"431 Request Header Fields Too Large",
}


@pytest.mark.parametrize(("sent", "answer"), BAD.items(), ids=range(len(BAD)))
def test_what_is_no_request(sent, answer):
    try:
        received = serve(lambda port: raw(port, sent))
    except ConnectionResetError:
        # The rest of a request that is too large is thrown away with the connection.
        assert len(sent) > 8192
        return
    assert received.startswith(b"HTTP/1.1 " + answer)


def test_half_a_request():
    assert serve(lambda port: raw(port, b"GET /metr", shut=True)) == b""


def test_a_peer_that_says_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(metrics_server, "HEAD_TIMEOUT_S", 0.05)
    assert serve(lambda port: raw(port, b"")).startswith(b"HTTP/1.1 408 Request Timeout")


def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr(metrics_server, "CONNECTIONS_MAX", 2)

    def many(port):
        held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        try:
            refused = raw(port, b"")
        except ConnectionResetError:
            refused = b""
        held[0].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        answered = held[0].recv(4096)
        for one in held:
            one.close()
        return refused, answered

    refused, answered = serve(many)
    assert refused == b""
    assert answered.startswith(b"HTTP/1.1 200 OK")


def test_a_port_that_is_taken():
    async def main(port):
        with pytest.raises(LogbrokerError, match=r"the port is in use by .*; .* --set metrics\.listeners="):
            await MetricsServer(Registry(), Health()).start([Endpoint("HTTP", "127.0.0.1", port)])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(main(taken.getsockname()[1]))


def test_no_listener_is_fine():
    async def main():
        server = MetricsServer(Registry(), Health())
        await server.start([])
        assert server.addresses == []
        await server.stop()

    asyncio.run(main())
