"""A listening socket: opening it, saying well why that failed, closing it.

The sockets are made here rather than by the loop, so that a host name with several addresses gets the same port on
each, port 0 included, and so that "address in use" can name the process that has it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from logbroker.base.errors import ConfigError
from logbroker.net.port_owner import describe_owner


class Listener:
    """Accepts connections on one port.

    Attributes:
        name: The listener's name in the settings, `PLAINTEXT`.
        host: As given; "" for every interface.
        port: The port, as the system chose it where 0 was asked for.
    """

    def __init__(self, name: str, host: str, port: int, servers: list[asyncio.AbstractServer]) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._servers = servers

    @classmethod
    async def open(
        cls,
        protocol: Callable[[], asyncio.BaseProtocol],
        name: str,
        host: str,
        port: int,
        *,
        backlog: int,
        send_buffer_bytes: int = -1,
    ) -> Listener:
        """Listen on every address that `host` stands for ("": every interface), all with the same port.

        Args:
            protocol: Makes the protocol of each connection.
            name: For `Listener.name`.
            host: A name or address.
            port: 0 to have the system choose one.
            backlog: Connections that may wait in the kernel to be accepted.
            send_buffer_bytes: What the kernel may buffer of a connection's replies; -1 leaves it to the system.

        Raises:
            ConfigError: the address can't be resolved or bound.
        """
        loop = asyncio.get_running_loop()
        try:
            infos = await loop.getaddrinfo(
                host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        except OSError as error:
            raise ConfigError(
                f"can't listen on {_show(host, port)}: {error.strerror or error}; {_REMEDY}"
            ) from error
        sockets: list[socket.socket] = []
        try:
            for family, _, _, _, address in dict.fromkeys(infos):
                bound_port = sockets[0].getsockname()[1] if sockets else port
                listening = _bind(
                    family,
                    str(address[0]),
                    bound_port,
                    address[2:],
                    backlog=backlog,
                    send_buffer_bytes=send_buffer_bytes,
                    optional=bool(sockets),
                )
                if listening is not None:
                    sockets.append(listening)
            servers: list[asyncio.AbstractServer] = [
                await loop.create_server(protocol, sock=listening, backlog=backlog) for listening in sockets
            ]
        except BaseException:
            for listening in sockets:
                listening.close()
            raise
        return cls(name, host, sockets[0].getsockname()[1], servers)

    def close(self) -> None:
        """Stop accepting; may be called twice."""
        for server in self._servers:
            server.close()
        self._servers = []


_REMEDY = "choose another address with --listen HOST:PORT (setting: listeners)"


def _bind(
    family: int,
    host: str,
    port: int,
    rest: tuple[object, ...],
    *,
    backlog: int,
    send_buffer_bytes: int,
    optional: bool,
) -> socket.socket | None:
    """Bind one address; None if the machine lacks its family and another address is bound already."""
    listening: socket.socket | None = None
    try:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it: a peer that vanished without a word is noticed in the end.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if send_buffer_bytes >= 0:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port, *rest))
        listening.listen(backlog)  # here, as it is where a port that another one listens on shows
        listening.setblocking(False)
    except OSError as error:
        if listening is not None:
            listening.close()
        if optional and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return None
        raise ConfigError(
            f"can't listen on {_show(host, port)}: {_reason(error, port)}; {_REMEDY}"
        ) from error
    return listening


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        owner = describe_owner(port)
        return f"the port is in use by {owner}" if owner else "the port is in use by another process"
    if error.errno == errno.EACCES:
        return f"no permission (ports below {1024} need root or CAP_NET_BIND_SERVICE)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address"
    return error.strerror or str(error)


def _show(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"
