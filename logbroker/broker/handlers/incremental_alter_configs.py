"""IncrementalAlterConfigs (API key 44), versions 0 and 1: set, delete, append to and subtract from configs (KIP-339).

- Topics, this broker (its id), all brokers (the empty name), consumer groups (KIP-1021), subscriptions to client metrics
  (KIP-714), and this broker's loggers (KIP-412), which are changed as soon as the others are durable.
- Every resource is decided on its own, as a whole: one bad value, and nothing of that resource changes.
- `validate_only` goes the same way and changes nothing.

Rules and errors: `metadata/config_changes.py`.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.config_resources import change_loggers
from logbroker.broker.context import RequestContext
from logbroker.config.values import ResourceType
from logbroker.metadata.config_changes import ConfigChange, ResourceChanges
from logbroker.wire.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
    """Change what was asked for."""
    resources = [
        ResourceChanges(
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
            changes=[
                ConfigChange(config.name, config.value, config.config_operation)
                for config in resource.configs
            ],
        )
        for resource in request.resources
    ]
    outcomes = await broker.metadata.alter_configs(resources, validate_only=request.validate_only)
    for resource, outcome in zip(resources, outcomes, strict=True):
        if resource.resource_type == ResourceType.BROKER_LOGGER and not (
            outcome.error or request.validate_only
        ):
            change_loggers(resource.changes)
    return IncrementalAlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=ErrorCode.NONE if outcome.error is None else outcome.error.code,
                error_message=None if outcome.error is None else outcome.error.message,
                resource_type=outcome.resource_type,
                resource_name=outcome.resource_name,
            )
            for outcome in outcomes
        ]
    )


def failure(
    context: RequestContext, request: IncrementalAlterConfigsRequest, code: ErrorCode, message: str | None
) -> IncrementalAlterConfigsResponse:
    """The same error for every resource."""
    return IncrementalAlterConfigsResponse(
        responses=[
            AlterConfigsResourceResponse(
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
            for resource in request.resources
        ]
    )
