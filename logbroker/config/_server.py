"""Settings of the process: identity, listeners, what connections may take, metrics, logging.

No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated

import msgspec

from logbroker.config.endpoints import (
    advertised_problem,
    listeners_problem,
    metrics_problem,
    protocol_map_problem,
)
from logbroker.config.setting import OURS, Int, List, Long, Text
from logbroker.config.values import INT_MAX

DEFAULT_LISTENERS = ("PLAINTEXT://127.0.0.1:9092",)


class ServerSection(msgspec.Struct, frozen=True, kw_only=True):
    """Identity, listeners, connections, metrics, logging."""

    node_id: Annotated[
        int,
        Int(
            "The number of this broker, in metadata and in what clients see. It never changes once the data "
            "directory exists.",
            low=0,
            kafka=None,
            aliases=("broker.id",),
        ),
    ] = 1
    broker_rack: Annotated[
        str | None,
        Text("The rack or zone of this broker, told to clients that prefer the nearest replica (KIP-392)."),
    ] = None
    listeners: Annotated[
        tuple[str, ...],
        List(
            "Addresses to listen on, each as NAME://host:port. An empty host means every interface, port 0 lets the "
            "system pick one. Loopback by default: to serve other machines, name an interface here and a host they "
            "can reach in advertised.listeners.",
            kafka=("PLAINTEXT://:9092",),
            check=listeners_problem,
        ),
    ] = DEFAULT_LISTENERS
    advertised_listeners: Annotated[
        tuple[str, ...] | None,
        List(
            "The addresses clients are told to connect to, one per listener name. Unset: the addresses of listeners "
            "(the machine's host name where that is every interface).",
            check=advertised_problem,
        ),
    ] = None
    listener_security_protocol_map: Annotated[
        str,
        Text(
            "Which protocol each listener name stands for, as NAME:PROTOCOL. PLAINTEXT is the only protocol of this "
            "version; the map serves to give several plain listeners names of their own.",
            kafka="SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
            check=protocol_map_problem,
        ),
    ] = "PLAINTEXT:PLAINTEXT"
    socket_listen_backlog_size: Annotated[
        int,
        Int("Connections that may wait in the kernel to be accepted, per listener.", low=1, kafka=50),
    ] = 1024
    socket_request_max_bytes: Annotated[
        int,
        Int(
            "The largest request, without its 4-byte length. A larger one closes the connection. Memory grows with the "
            "bytes that came, never with the length that was promised.",
            unit="bytes",
            low=1,
        ),
    ] = 104_857_600
    queued_max_request_bytes: Annotated[
        int,
        Long(
            "Bytes that all requests in flight may hold together, those half received included, in shares for small, "
            "ordinary (up to 2 MB) and larger ones. Where no room is left, reading pauses until some are answered, or "
            "given up as they don't get on. At least socket.request.max.bytes.",
            unit="bytes",
            low=1,
            kafka=-1,
        ),
    ] = 134_217_728
    socket_send_buffer_bytes: Annotated[
        int,
        Int(
            "What the kernel may buffer of one connection's replies; -1 lets it decide. Much more than this leaves the "
            "processor's cache and may cost a consumer that catches up a third of its throughput; for one that is far "
            "away it may still be right (bandwidth times round trip). Linux grants no more than net.core.wmem_max.",
            unit="bytes",
            low=-1,
            kafka=102_400,
        ),
    ] = 204_800
    socket_send_buffer_max_bytes: Annotated[
        int,
        Int(
            "Bytes of replies that may wait unsent for one slow reader. Beyond it no more of its requests are read "
            "until it has taken some; one reply may go over it.",
            unit="bytes",
            low=1,
            kafka=OURS,
        ),
    ] = 16_777_216
    queued_max_reply_bytes: Annotated[
        int,
        Long(
            "Bytes of replies that may wait unsent for all slow readers together. Beyond it a fetch gets no more than 1 MB, "
            "or one batch, until they have taken some or are closed.",
            unit="bytes",
            low=1,
            kafka=OURS,
        ),
    ] = 268_435_456
    max_in_flight_requests: Annotated[
        int,
        Int(
            "Requests of one connection that may be in work at once; replies keep their order. Beyond it reading from "
            "that connection pauses.",
            low=1,
            kafka=OURS,
        ),
    ] = 1000
    max_connections: Annotated[
        int,
        Int(
            "Connections at once, over all listeners; one more is closed as soon as it is accepted. Never more than the "
            "limit of open files allows beside segments: a warning at the start says so. (In TOML write "
            '"max.connections" in quotes where max.connections.per.ip stands in the same file.)',
            low=1,
            dynamic=True,
            kafka=INT_MAX,
        ),
    ] = 10_000
    max_connections_per_ip: Annotated[
        int,
        Int(
            "Connections at once from one address; one more is closed as soon as it is accepted.",
            low=1,
            dynamic=True,
            kafka=INT_MAX,
        ),
    ] = 10_000
    connections_max_idle_ms: Annotated[
        int,
        Long(
            "A connection on which nothing was received or sent for so long, and that waits for no reply, is closed. "
            "So is one that doesn't take what was sent to it.",
            unit="ms",
            low=1,
            dynamic=True,
        ),
    ] = 600_000
    metrics_listeners: Annotated[
        tuple[str, ...],
        List(
            "Where /metrics (Prometheus), /healthz and /readyz are served over HTTP, as host:port. Loopback by "
            "default, as there is no authentication; empty turns it off.",
            kafka=OURS,
            check=metrics_problem,
        ),
    ] = ("127.0.0.1:9644",)
    log_format: Annotated[
        str,
        Text(
            "How the broker's own messages are written to standard error: text for people, json (one object a line) "
            "for programs.",
            choices=("text", "json"),
            kafka=OURS,
        ),
    ] = "text"
    log_level: Annotated[
        str,
        Text(
            "The least important message that is written.",
            choices=("debug", "info", "warning", "error"),
            dynamic=True,
            kafka=OURS,
        ),
    ] = "info"
