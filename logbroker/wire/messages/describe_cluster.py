"""DescribeCluster (API key 60): DescribeClusterRequest v0 to v2 (flexible from v0); DescribeClusterResponse v0 to v2 (flexible from v0).

Written by tools/generate_messages.py; don't edit. What the fields mean: https://kafka.apache.org/protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from logbroker.wire.schema import Field, Message, Structs


@dataclass(slots=True)
class DescribeClusterRequest:
    """The whole request. Versions 0 to 2."""

    include_cluster_authorized_operations: bool = False
    endpoint_type: int = 1  # v1+
    include_fenced_brokers: bool = False  # v2+


@dataclass(slots=True)
class DescribeClusterBroker:
    """An element of `DescribeClusterResponse.brokers`. Versions 0 to 2."""

    broker_id: int = 0
    host: str = ""
    port: int = 0
    rack: str | None = None
    is_fenced: bool = False  # v2+


@dataclass(slots=True)
class DescribeClusterResponse:
    """The whole response. Versions 0 to 2."""

    throttle_time_ms: int = 0
    error_code: int = 0
    error_message: str | None = None
    endpoint_type: int = 1  # v1+
    cluster_id: str = ""
    controller_id: int = -1
    brokers: list[DescribeClusterBroker] = field(default_factory=list)
    cluster_authorized_operations: int = -2147483648


STRUCTS: Structs = {
    DescribeClusterRequest: (
        Field("include_cluster_authorized_operations", "bool", 0, 2, default=False),
        Field("endpoint_type", "int8", 1, 2, default=1),
        Field("include_fenced_brokers", "bool", 2, 2, default=False),
    ),
    DescribeClusterBroker: (
        Field("broker_id", "int32", 0, 2),
        Field("host", "string", 0, 2, default=""),
        Field("port", "int32", 0, 2),
        Field("rack", "string", 0, 2, nullable=(0, 2), default=None),
        Field("is_fenced", "bool", 2, 2, default=False),
    ),
    DescribeClusterResponse: (
        Field("throttle_time_ms", "int32", 0, 2),
        Field("error_code", "int16", 0, 2),
        Field("error_message", "string", 0, 2, nullable=(0, 2), default=None),
        Field("endpoint_type", "int8", 1, 2, default=1),
        Field("cluster_id", "string", 0, 2, default=""),
        Field("controller_id", "int32", 0, 2, default=-1),
        Field("brokers", "struct", 0, 2, array=True, item=DescribeClusterBroker, default=()),
        Field("cluster_authorized_operations", "int32", 0, 2, default=-2147483648),
    ),
}

REQUEST = Message("DescribeClusterRequest", DescribeClusterRequest, 0, 2, flexible=0, structs=STRUCTS)
RESPONSE = Message("DescribeClusterResponse", DescribeClusterResponse, 0, 2, flexible=0, structs=STRUCTS)
