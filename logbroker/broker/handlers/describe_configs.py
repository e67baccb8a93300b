"""DescribeConfigs (API key 32), versions 1 to 4: the configs of topics and brokers, and where each comes from.

- A topic by name; this broker by its id; under the empty broker name the dynamic configs that hold for all brokers; a
  consumer group by its id, whether it exists or not (KIP-1021).
- The loggers of this broker (KIP-412), whose values are levels, and a subscription to client metrics (KIP-714).
- `configuration_keys` null or empty asks for all; names that don't exist are left out without a word.
- Synonyms (KIP-226) are the places a value could come from, the one that counts first. Documentation and type are
  told from version 3 (KIP-569).
"""

from __future__ import annotations

import re
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import ITEMS_PER_TURN, AdminBroker, give_way
from logbroker.broker.config_resources import (
    described_broker,
    described_client_metrics,
    described_cluster_default,
    described_group,
    described_loggers,
    described_topic,
)
from logbroker.broker.context import RequestContext
from logbroker.config.describe import Described
from logbroker.config.values import ResourceType
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.topic_names import name_problem
from logbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

_TURNS_PER_RESOURCE: Final = ITEMS_PER_TURN // 8
"""A resource is some forty configs with their synonyms: it counts for many items."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")

_WHATEVER: Final = (
    "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
    "incompatible broker. See the broker logs for more details."
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: DescribeConfigsRequest
) -> DescribeConfigsResponse:
    """Describe what was asked for."""
    image = broker.metadata.image
    results = []
    for done, resource in enumerate(request.resources, 1):
        result = DescribeConfigsResult(
            error_message="", resource_type=resource.resource_type, resource_name=resource.resource_name
        )
        try:
            described = _describe(image, resource)
        except BrokerError as error:
            result.error_code = error.code
            result.error_message = error.message or ""
        else:
            result.configs = [
                _on_wire(config, request.include_synonyms, request.include_documentation)
                for config in described
            ]
        results.append(result)
        await give_way(done * _TURNS_PER_RESOURCE)
    return DescribeConfigsResponse(results=results)


def failure(
    context: RequestContext, request: DescribeConfigsRequest, code: ErrorCode, message: str | None
) -> DescribeConfigsResponse:
    """The same error for every resource."""
    return DescribeConfigsResponse(
        results=[
            DescribeConfigsResult(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )


def _describe(image: ClusterImage, resource: DescribeConfigsResource) -> list[Described]:
    kind, name = resource.resource_type, resource.resource_name
    keys = resource.configuration_keys or None
    if kind == ResourceType.TOPIC:
        problem = name_problem(name)
        if problem is not None:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
        topic = image.topic(name)
        if topic is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return described_topic(image, topic.configs, keys)
    if kind == ResourceType.BROKER:
        if not name:
            return described_cluster_default(image, keys)
        if _INTEGER.fullmatch(name) is None:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"Broker id must be an integer, but it is: {name}")
        if int(name) != image.node_id:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"Unexpected broker id, expected {image.node_id} or empty string, but received {name}",
            )
        return described_broker(image, keys)
    if kind == ResourceType.GROUP:
        if not name:
            raise BrokerError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
        return described_group(image, name, keys)
    if kind == ResourceType.CLIENT_METRICS:
        if not name:
            raise BrokerError(ErrorCode.INVALID_REQUEST, "Client metrics subscription name must not be empty")
        return described_client_metrics(image, name, keys)
    if kind == ResourceType.BROKER_LOGGER:
        if not name:
            raise BrokerError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
        if _INTEGER.fullmatch(name) is None:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"Broker id must be an integer, but it is: {name}")
        if int(name) != image.node_id:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"Unexpected broker id, expected {image.node_id} but received {name}",
            )
        return described_loggers(keys)
    raise BrokerError(ErrorCode.INVALID_REQUEST, _WHATEVER)


def _on_wire(config: Described, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=config.name,
        value=config.value,
        read_only=config.read_only,
        config_source=config.source,
        is_sensitive=False,
        synonyms=[
            DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=synonym.source)
            for synonym in config.synonyms
        ]
        if synonyms
        else [],
        config_type=config.type,
        documentation=config.documentation if documentation and config.documentation else None,
    )
