"""Listener addresses as Kafka writes them: `NAME://host:port`, IPv6 in brackets, an empty host for every interface.

Pure; the sockets are opened in `net`. TLS and SASL are not here yet, so the only protocol a listener name may stand
for is PLAINTEXT (`listener.security.protocol.map`, KIP-103).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

PORT_MAX = 65_535
SECURITY_PROTOCOLS = frozenset({"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"})
"""Kafka's; this version has the first."""

_ENDPOINT = re.compile(r"(?:([A-Za-z0-9_]{1,64})://)?(\[[0-9A-Fa-f:.%A-Za-z]*\]|[^\s\[\]:/,]*):([0-9]{1,5})")
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})


class Endpoint(msgspec.Struct, frozen=True):
    """One address: the listener's name in upper case, host without brackets, port (0: the system picks one)."""

    name: str
    host: str
    port: int

    @property
    def is_wildcard(self) -> bool:
        """Whether it means every interface, and so can't be told to a client."""
        return self.host in _WILDCARDS

    @property
    def address(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.name}://{self.address}"


def parse_endpoint(text: str, *, default_name: str | None = None) -> Endpoint:
    """Read one address.

    Args:
        text: `NAME://host:port`; the name may be left out where `default_name` is given.
        default_name: the listener name to assume.

    Raises:
        ValueError: it is no address; says what one looks like.
    """
    match = _ENDPOINT.fullmatch(text.strip())
    name = (match[1] or default_name) if match is not None else None
    if match is None or name is None or int(match[3]) > PORT_MAX:
        example = "127.0.0.1:9092" if default_name else "PLAINTEXT://127.0.0.1:9092"
        raise ValueError(f"{text!r} is no address; write it like {example}")
    return Endpoint(name.upper(), match[2].strip("[]"), int(match[3]))


def parse_endpoints(texts: Iterable[str], *, default_name: str | None = None) -> tuple[Endpoint, ...]:
    """Read several addresses; raises ValueError as `parse_endpoint` does."""
    return tuple(parse_endpoint(text, default_name=default_name) for text in texts)


def listeners_problem(value: object) -> str | None:
    """What is wrong with `listeners`, or None (a `check` of a Setting)."""
    return _endpoints_problem(value, allow_empty=False, allow_shared_names=False)


def advertised_problem(value: object) -> str | None:
    """What is wrong with `advertised.listeners`, or None: a client must be able to connect to each."""
    problem = _endpoints_problem(value, allow_empty=True, allow_shared_names=False)
    if problem is None and isinstance(value, tuple):
        for endpoint in parse_endpoints(value):
            if endpoint.is_wildcard:
                return f"{endpoint} means every interface here and nothing to a client; name a host that clients reach"
            if endpoint.port == 0:
                return f"{endpoint} has no port that a client could use"
    return problem


def metrics_problem(value: object) -> str | None:
    """What is wrong with `metrics.listeners`, or None."""
    return _endpoints_problem(value, allow_empty=True, allow_shared_names=True, default_name="HTTP")


def protocol_map(value: str) -> dict[str, str]:
    """Read `listener.security.protocol.map`; raises ValueError for an item that isn't `NAME:PROTOCOL`."""
    mapping: dict[str, str] = {}
    for item in filter(None, value.split(",")):
        name, separator, protocol = item.partition(":")
        if not separator or not name.strip() or not protocol.strip():
            raise ValueError(f"{item!r} is not NAME:PROTOCOL")
        mapping[name.strip().upper()] = protocol.strip().upper()
    return mapping


def protocol_map_problem(value: object) -> str | None:
    """What is wrong with `listener.security.protocol.map`, or None."""
    try:
        mapping = protocol_map(value if isinstance(value, str) else "")
    except ValueError as error:
        return str(error)
    for name, protocol in mapping.items():
        if protocol not in SECURITY_PROTOCOLS:
            return f"{name}:{protocol} names no security protocol; PLAINTEXT is the one this version has"
    return None


def _endpoints_problem(
    value: object, *, allow_empty: bool, allow_shared_names: bool, default_name: str | None = None
) -> str | None:
    try:
        endpoints = parse_endpoints(value if isinstance(value, tuple) else (), default_name=default_name)
    except ValueError as error:
        return str(error)
    if not endpoints and not allow_empty:
        return "at least one address is needed"
    names: set[str] = set()
    addresses: set[tuple[str, int]] = set()
    for endpoint in endpoints:
        if endpoint.name in names and not allow_shared_names:
            return f"the listener name {endpoint.name} is used twice; each address needs its own name"
        if endpoint.port and (endpoint.host, endpoint.port) in addresses:
            return f"{endpoint.address} is named twice"
        names.add(endpoint.name)
        addresses.add((endpoint.host, endpoint.port))
    return None
