"""DescribeCluster (API key 60), versions 0 to 2: cluster id, controller and brokers (KIP-700).

From version 1 a client says whether it means brokers (1) or the controllers of a KRaft quorum (2, KIP-919); there are
no such controllers here: MISMATCHED_ENDPOINT_TYPE. Version 2 asks for fenced brokers too; there are none.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED, AdminBroker, broker_addresses
from logbroker.broker.context import RequestContext
from logbroker.wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

_BROKERS: Final = 1
_CONTROLLERS: Final = 2


def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeClusterRequest
) -> DescribeClusterResponse:
    """Describe the brokers."""
    if request.endpoint_type == _CONTROLLERS:
        raise BrokerError(
            ErrorCode.MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        )
    if request.endpoint_type != _BROKERS:
        raise BrokerError(
            ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, f"Unsupported endpoint type {request.endpoint_type}"
        )
    image = broker.metadata.image
    return DescribeClusterResponse(
        endpoint_type=_BROKERS,
        cluster_id=image.cluster_id,
        controller_id=image.controller_id,
        brokers=[
            DescribeClusterBroker(
                broker_id=address.broker_id, host=address.host, port=address.port, rack=address.rack
            )
            for address in broker_addresses(broker, context.listener_name)
        ],
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if request.include_cluster_authorized_operations
        else OPERATIONS_NOT_ASKED,
    )
