"""UpdateFeatures (API key 57), versions 0 to 2: change the level of a finalized feature (KIP-584).

- Which features are in force, and at which level, is fixed by the release (`api_versions.FINALIZED_FEATURES`): to ask for the level
  that is in force changes nothing and works; any other is refused with INVALID_UPDATE_VERSION.
- All or nothing: one bad update, and the answer is its error, for all.
- The results of single features are told in versions 0 and 1 only, and only where all is well.
"""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker
from logbroker.broker.context import RequestContext
from logbroker.broker.handlers.api_versions import FEATURES, FINALIZED_FEATURES
from logbroker.wire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

UPGRADE_TYPES: Final = (1, 2, 3)
"""Upgrade, safe downgrade, unsafe downgrade. Version 0 has none, and leaves the first in its place."""


def handle(
    broker: AdminBroker, context: RequestContext, request: UpdateFeaturesRequest
) -> UpdateFeaturesResponse:
    """Check every update; none of those that pass changes anything."""
    for update in request.feature_updates:
        problem = _problem(update, broker.node_id)
        if problem is not None:
            return UpdateFeaturesResponse(
                error_code=ErrorCode.INVALID_UPDATE_VERSION,
                error_message="The update failed for all features since the following feature had an error: Invalid "
                f"update version {update.max_version_level} for feature {update.feature}. {problem}",
            )
    return UpdateFeaturesResponse(
        # The name of the code as its message, because Kafka sends it so.
        results=[
            UpdatableFeatureResult(update.feature, ErrorCode.NONE, ErrorCode.NONE.name)
            for update in request.feature_updates
        ]
    )


def _problem(update: FeatureUpdateKey, node_id: int) -> str | None:
    level = update.max_version_level
    if update.upgrade_type not in UPGRADE_TYPES:
        return "The controller does not support the given upgrade type."
    if level < 0:
        return "A feature version cannot be less than 0."
    supported = {name: (low, high) for name, low, high in FEATURES}
    if update.feature not in supported:
        return (
            f"Local controller {node_id} does not support this feature."
            if level
            else f"Feature {update.feature} not found."
        )
    low, high = supported[update.feature]
    if not low <= level <= high:
        return f"Local controller {node_id} only supports versions {low}-{high}"
    if dict(FINALIZED_FEATURES).get(update.feature, 0) != level:
        return "Its level belongs to this release and can't be changed while the broker runs."
    return None
