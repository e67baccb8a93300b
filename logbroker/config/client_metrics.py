"""Configs of a subscription to client metrics (KIP-714): names, types, defaults and refusals as in Kafka 4.3.1.

A subscription says which metrics of which clients are wanted, and how often. As on a Kafka broker without a receiver of
metrics, it is stored and described, and nobody is asked for any.

Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.setting import Int, List, Setting

INTERVAL_MS_MIN: Final = 100
INTERVAL_MS_MAX: Final = 3_600_000

SELECTORS: Final = frozenset(
    {
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    }
)
"""What a client may be matched by."""


def _named(name: str, setting: Setting, default: int | tuple[str, ...]) -> Setting:
    setting.name, setting.attribute, setting.default = name, name.replace(".", "_"), default
    return setting


CLIENT_METRICS_CONFIGS: Final[dict[str, Setting]] = {
    setting.name: setting
    for setting in (
        _named(
            "interval.ms", Int("How often a client sends what is wanted.", unit="ms", dynamic=True), 300_000
        ),
        _named("match", List("Which clients: selector=pattern, all of which must match.", dynamic=True), ()),
        _named("metrics", List("How the names of the wanted metrics begin.", dynamic=True), ()),
    )
}
"""Every config of a subscription, by name."""


def validate(overrides: Mapping[str, str]) -> None:
    """Refuse what can't be used, in Kafka's words.

    Raises:
        BrokerError: INVALID_REQUEST for an unknown name or an interval out of bounds, INVALID_CONFIG for a bad value.
    """
    for name in overrides:
        if name not in CLIENT_METRICS_CONFIGS:
            raise BrokerError(ErrorCode.INVALID_REQUEST, f"Unknown client metrics configuration: {name}")
    for name, text in overrides.items():
        try:
            CLIENT_METRICS_CONFIGS[name].parse(text)
        except ValueError as error:
            raise BrokerError(
                ErrorCode.INVALID_CONFIG, f"Invalid value {text} for configuration {name}: {error}"
            ) from None
    if "interval.ms" in overrides:
        interval_ms = int(overrides["interval.ms"])
        if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
            raise BrokerError(
                ErrorCode.INVALID_REQUEST,
                f"Invalid value {interval_ms} for interval.ms, interval must be between {INTERVAL_MS_MIN} and "
                f"{INTERVAL_MS_MAX} (1 hour)",
            )
    for pattern in overrides.get("match", "").split(","):
        if pattern.strip():
            _check_pattern(pattern.strip())


def _check_pattern(pattern: str) -> None:
    selector, _, expression = pattern.partition("=")
    fits = selector.strip() in SELECTORS and expression and "=" not in expression
    try:
        re.compile(expression.strip())
    except (re.error, OverflowError, RecursionError):
        fits = False
    if not fits:
        raise BrokerError(ErrorCode.INVALID_CONFIG, f"Illegal client matching pattern: {pattern}")
