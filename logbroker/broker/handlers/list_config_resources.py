"""ListConfigResources (API key 74), versions 0 and 1: what has configs, by type and name (KIP-1142).

- Version 0, once ListClientMetricsResources, asks for the subscriptions to client metrics alone.
- No types means all. Topics and this broker are there whatever was set on them; groups and subscriptions to client metrics only
  where something was. The dynamic defaults of all brokers are no resource of their own, as in Kafka.
- A type that has no configs: UNSUPPORTED_VERSION, and nothing is listed.
"""

from __future__ import annotations

from collections.abc import Iterable

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, give_way
from logbroker.broker.context import RequestContext
from logbroker.config.values import ResourceType
from logbroker.metadata.image import ClusterImage
from logbroker.wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: ListConfigResourcesRequest
) -> ListConfigResourcesResponse:
    """List what was asked for."""
    image = broker.metadata.image
    if context.api_version == 0:
        wanted: list[ResourceType] = [ResourceType.CLIENT_METRICS]
    else:
        known: list[ResourceType] = [kind for kind in ResourceType if kind != ResourceType.UNKNOWN]
        if any(kind not in known for kind in request.resource_types):
            return ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
        wanted = [kind for kind in known if kind in request.resource_types] or known
    resources = []
    for kind in wanted:
        for done, name in enumerate(_names(image, kind), 1):
            resources.append(ConfigResource(name, kind))
            await give_way(done)
    return ListConfigResourcesResponse(config_resources=resources)


def _names(image: ClusterImage, kind: ResourceType) -> Iterable[str]:
    if kind == ResourceType.TOPIC:
        return image.topics
    if kind == ResourceType.GROUP:
        return image.groups
    if kind == ResourceType.CLIENT_METRICS:
        return image.client_metrics
    return map(str, image.brokers)  # Brokers, and their loggers.
