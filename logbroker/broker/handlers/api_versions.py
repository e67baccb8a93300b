"""ApiVersions (API key 18), versions 0 to 4: what this broker offers.

The first request of nearly every client. Told are exactly the APIs in `handlers.ADVERTISED` with Kafka's stable version
ranges; Produce from version 0, although versions 0 to 2 close the connection (KAFKA-18659).

- A version that isn't known is answered, not refused: body of version 0, UNSUPPORTED_VERSION, and the range of
  ApiVersions itself, so that the client can ask again (KIP-511). The dispatcher calls `unsupported_version` for that.
- From version 3 the client gives its software's name and version (KIP-511); with other characters than letters,
  digits, `-` and `.`, or one of the last two at an end, the answer is INVALID_REQUEST.
- Features (KIP-584, KIP-1022): clients change their behaviour by *finalized* features (transaction.version 2 changes
  how a producer talks to coordinators, group.version 1 allows the new consumer protocol), so none is named that
  doesn't work here yet.
"""

from __future__ import annotations

import re
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.context import RequestContext
from logbroker.broker.handlers import ADVERTISED
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

FEATURES: Final[tuple[tuple[str, int, int], ...]] = (("group.version", 0, 1), ("transaction.version", 0, 2))
"""Feature, lowest and highest level that this broker can do."""

FINALIZED_FEATURES: Final[tuple[tuple[str, int], ...]] = (("group.version", 1), ("transaction.version", 2))
"""Feature and the level that is in force."""

FEATURES_EPOCH: Final = 2
"""Grows whenever FINALIZED_FEATURES changes; clients ignore a list with an epoch below one they have seen."""

SOFTWARE_SHOWN_MAX: Final = 64
"""How much of a client's name or version is kept for logs and tools."""

_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")
_FIRST_VERSION_WITH_SOFTWARE: Final = 3
_FIRST_VERSION_WITH_ZERO_LEVELS: Final = 4


def handle(broker: object, context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    """Answer with everything in the table."""
    version = context.api_version
    if version >= _FIRST_VERSION_WITH_SOFTWARE:
        name, software_version = request.client_software_name, request.client_software_version
        if not _SOFTWARE.fullmatch(name) or not _SOFTWARE.fullmatch(software_version):
            return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
        context.connection.client_software = (
            f"{name[:SOFTWARE_SHOWN_MAX]} {software_version[:SOFTWARE_SHOWN_MAX]}"
        )
    return ApiVersionsResponse(
        api_keys=[_range(key) for key in sorted(ADVERTISED)],
        supported_features=[
            SupportedFeatureKey(name=feature, min_version=low, max_version=high)
            for feature, low, high in FEATURES
            # Older clients fail on a lowest level of 0 (KAFKA-17011), so they aren't told of such a feature.
            if low > 0 or version >= _FIRST_VERSION_WITH_ZERO_LEVELS
        ],
        finalized_features_epoch=FEATURES_EPOCH,
        finalized_features=[
            FinalizedFeatureKey(name=feature, min_version_level=level, max_version_level=level)
            for feature, level in FINALIZED_FEATURES
        ],
    )


def unsupported_version() -> ApiVersionsResponse:
    """Return the answer, in version 0, to an ApiVersions request of a version that isn't known."""
    return ApiVersionsResponse(
        error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=[_range(ApiKey.API_VERSIONS)]
    )


def _range(key: ApiKey) -> ApiVersion:
    spec = API[key]
    return ApiVersion(api_key=key, min_version=spec.advertised_min, max_version=spec.max_version)
