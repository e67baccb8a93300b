"""Configs of one consumer group (KIP-848, KIP-1021): names, types, bounds, defaults and refusals as in Kafka 4.3.1.

A group stores only what was set on it. Everything else comes from the broker setting `group.<name>`, which also has a
`min` and a `max` beside it: a value outside of them is refused when it is set, and where the bounds were moved later, it is
bent to them when it is used. A group needn't exist to have configs.

Kafka's `share.*` and `streams.*` belong to groups that this broker doesn't have: to it they are unknown names.

Pure; no `from __future__ import annotations`, as the declarations are read from the evaluated annotations.
"""

from collections.abc import Mapping
from typing import Annotated, Final, NamedTuple, Self, get_args

import msgspec

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.config.setting import Setting
from logbroker.config.settings import Settings
from logbroker.config.values import ConfigType


class GroupSetting(Setting):
    """One group config.

    Attributes:
        broker: The broker setting that its default comes from.
        floor, ceiling: Those that bound it.
    """

    __slots__ = ("broker", "ceiling", "floor")

    def __init__(self, doc: str, *, low: int) -> None:
        super().__init__(ConfigType.INT, doc, unit="ms", low=low, dynamic=True)
        self.broker = self.floor = self.ceiling = ""

    def named(self, attribute: str, default: int) -> None:
        """Take the name, and those of the broker settings that go with it."""
        self.attribute, self.name, self.default = attribute, attribute.replace("_", "."), default
        protocol, _, rest = self.name.partition(".")
        self.broker = f"group.{self.name}"
        self.floor, self.ceiling = f"group.{protocol}.min.{rest}", f"group.{protocol}.max.{rest}"


class GroupConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What one group runs with: what was set on it and the broker's defaults, resolved. Times in ms."""

    consumer_session_timeout_ms: Annotated[
        int, GroupSetting("How long a silent member is kept in the group.", low=1)
    ] = 45_000
    consumer_heartbeat_interval_ms: Annotated[
        int, GroupSetting("How often members are told to send a heartbeat.", low=1)
    ] = 5_000
    consumer_assignment_interval_ms: Annotated[
        int, GroupSetting("The shortest time between two assignments of the group.", low=0)
    ] = 1_000

    @classmethod
    def resolve(cls, settings: Settings, overrides: Mapping[str, str]) -> Self:
        """What a group with these overrides runs with; they must have passed `validate` once.

        Values that lie outside the broker's bounds, as those were moved since, are bent to them, as Kafka does.
        """
        values = {}
        for name, broker in _of_broker(settings).items():
            value = broker.default
            if name in overrides:
                value = min(max(_parsed(name, overrides[name]), broker.low), broker.high)
            values[GROUP_CONFIGS[name].attribute] = value
        return cls(**values)


def _collect() -> dict[str, GroupSetting]:
    collected: dict[str, GroupSetting] = {}
    for (attribute, annotation), default in zip(
        GroupConfig.__annotations__.items(), GroupConfig.__struct_defaults__, strict=True
    ):
        setting = get_args(annotation)[1]
        setting.named(attribute, default)
        collected[setting.name] = setting
    return collected


GROUP_CONFIGS: Final[dict[str, GroupSetting]] = _collect()
"""Every group config by dotted name."""


def validate(settings: Settings, overrides: Mapping[str, str]) -> None:
    """Refuse overrides that can't be used, in Kafka's words.

    Raises:
        BrokerError: INVALID_CONFIG, for an unknown name, a bad value, one out of the broker's bounds or a contradiction.
    """
    for name in overrides:
        if name not in GROUP_CONFIGS:
            raise _invalid(f"Unknown group config name: {name}")
    values = {}
    for name, text in overrides.items():
        try:
            values[name] = _parsed(name, text)
        except ValueError as error:
            raise _invalid(f"Invalid value {text} for configuration {name}: {error}") from None
    brokers = _of_broker(settings)
    for name, broker in brokers.items():
        value = values.setdefault(name, broker.default)
        if value < broker.low:
            raise _invalid(f"{name} must be greater than or equal to {GROUP_CONFIGS[name].floor}")
        if value > broker.high:
            raise _invalid(f"{name} must be less than or equal to {GROUP_CONFIGS[name].ceiling}")
    if values["consumer.session.timeout.ms"] <= values["consumer.heartbeat.interval.ms"]:
        raise _invalid("consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms")


class _Broker(NamedTuple):
    """What the broker says of one group config: what it is without an override, and between what it may be."""

    default: int
    low: int
    high: int


def _of_broker(settings: Settings) -> dict[str, _Broker]:
    """What the broker says of each group config, in the order in which Kafka holds them against their bounds."""
    return {
        "consumer.heartbeat.interval.ms": _Broker(
            settings.group_consumer_heartbeat_interval_ms,
            settings.group_consumer_min_heartbeat_interval_ms,
            settings.group_consumer_max_heartbeat_interval_ms,
        ),
        "consumer.session.timeout.ms": _Broker(
            settings.group_consumer_session_timeout_ms,
            settings.group_consumer_min_session_timeout_ms,
            settings.group_consumer_max_session_timeout_ms,
        ),
        "consumer.assignment.interval.ms": _Broker(
            settings.group_consumer_assignment_interval_ms,
            settings.group_consumer_min_assignment_interval_ms,
            settings.group_consumer_max_assignment_interval_ms,
        ),
    }


def broker_default(setting: GroupSetting, settings: Settings) -> str:
    """What a group without an override has, as text."""
    return str(_of_broker(settings)[setting.name].default)


def _parsed(name: str, text: str) -> int:
    value = GROUP_CONFIGS[name].parse(text)
    assert isinstance(value, int), "every group config is an integer"
    return value


def _invalid(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_CONFIG, message)
