"""AlterConfigs (API key 33), versions 0 to 2: replace *all* overrides of a topic or broker (KIP-133).

What isn't named goes back to its default, which is why clients prefer IncrementalAlterConfigs (KIP-339); librdkafka and
kafka-python still have this one. Otherwise as there.

Rules and errors: `metadata/config_changes.py`.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.metadata.config_changes import ConfigChange, ResourceChanges
from logbroker.wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


async def handle(
    broker: AdminBroker, context: RequestContext, request: AlterConfigsRequest
) -> AlterConfigsResponse:
    """Replace what was asked for."""
    resources = [
        ResourceChanges(
            resource_type=resource.resource_type,
            resource_name=resource.resource_name,
            changes=[ConfigChange(config.name, config.value) for config in resource.configs],
            replace=True,
        )
        for resource in request.resources
    ]
    outcomes = await broker.metadata.alter_configs(resources, validate_only=request.validate_only)
    return AlterConfigsResponse(
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
    context: RequestContext, request: AlterConfigsRequest, code: ErrorCode, message: str | None
) -> AlterConfigsResponse:
    """The same error for every resource."""
    return AlterConfigsResponse(
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
