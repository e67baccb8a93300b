"""How a config value is written and read: Kafka's rules, for broker settings and topic configs alike.

A value travels as text (configuration file, environment, AlterConfigs) and lives as a Python value. The rules are
those of Kafka 4.3.1's `ConfigDef.parseType` and `convertToString`: surrounding blanks are dropped, numbers are plain
decimal, booleans are `true` or `false` in any case, lists are comma separated, and a repeated item counts once. Sizes
are bytes and durations are milliseconds, with no suffix: `1GiB` is refused, and `explain_quantity` says what to write.

Pure functions, any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
PRODUCER_IDS_MAX = 1_000_000
"""The most that `max.producer.ids.per.partition` may be; some 500 MB, if they all keep five batches."""

Value: TypeAlias = bool | int | float | str | tuple[str, ...] | None
"""What a setting can hold; a list is a tuple of strings, and None means unset."""


class ConfigType(IntEnum):
    """Kafka's config types, by their number in a DescribeConfigs response (KIP-569)."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class ResourceType(IntEnum):
    """What a config belongs to, by its number in the protocol."""

    UNKNOWN = 0
    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ConfigSource(IntEnum):
    """Where a value came from, by its number in a DescribeConfigs response."""

    UNKNOWN = 0
    DYNAMIC_TOPIC_CONFIG = 1
    DYNAMIC_BROKER_CONFIG = 2
    DYNAMIC_DEFAULT_BROKER_CONFIG = 3
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5
    DYNAMIC_BROKER_LOGGER_CONFIG = 6
    CLIENT_METRICS_CONFIG = 7
    GROUP_CONFIG = 8


INTEGER_LIMITS: dict[ConfigType, tuple[int, int]] = {
    ConfigType.SHORT: (-(2**15), 2**15 - 1),
    ConfigType.INT: (-(2**31), INT_MAX),
    ConfigType.LONG: (-(2**63), LONG_MAX),
}

_DECIMAL = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{1,12})")

_SIZE_UNITS = {
    "b": 1,
    **{prefix: 1024**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}b": 1024**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_TIME_UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "sec": 1_000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "hour": 3_600_000,
    "hours": 3_600_000,
    "d": 86_400_000,
    "day": 86_400_000,
    "days": 86_400_000,
    "w": 604_800_000,
}
_UNIT_MS = {"ms": 1, "minutes": 60_000, "hours": 3_600_000}


def parse_value(type_: ConfigType, text: str) -> bool | int | float | str | tuple[str, ...]:
    """Read `text` as Kafka would.

    Raises:
        ValueError: with Kafka's own words for what is wrong ("Not a number of type INT").
    """
    return _PARSERS[type_](text.strip(), type_)


def format_value(value: Value) -> str | None:
    """Write `value` as Kafka does in DescribeConfigs; None stays None."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def explain_quantity(text: str, unit: str) -> str | None:
    """Say what plain number to write for a human quantity such as `1GiB` or `7d`.

    Args:
        text: what the operator wrote.
        unit: the setting's unit ("bytes", "ms", "minutes", "hours", ...).

    Returns:
        A remedy fit for an error message, or None where `text` is no quantity in such a unit.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        return None
    suffix = match[2].lower()
    if unit == "bytes" or unit.startswith("bytes/"):
        factor, divisor = _SIZE_UNITS.get(suffix), 1
    else:
        factor, divisor = _TIME_UNITS_MS.get(suffix), _UNIT_MS.get(unit, 0)
    if not factor or not divisor:
        return None
    number = float(match[1]) * factor / divisor
    if number != int(number):
        return None
    return f"write it as a plain number of {unit}: {int(number)}"


def _parse_integer(text: str, type_: ConfigType) -> int:
    low, high = INTEGER_LIMITS[type_]
    if _DECIMAL.fullmatch(text) is None or not low <= (number := int(text)) <= high:
        raise ValueError(f"Not a number of type {type_.name}")
    return number


def _parse_double(text: str, type_: ConfigType) -> float:
    # Java also reads NaN and Infinity; nothing good comes of either as a ratio or a rate, so they are refused here.
    if len(text) > 64 or _DOUBLE.fullmatch(text) is None:
        raise ValueError(f"Not a number of type {type_.name}")
    return float(text)


def _parse_boolean(text: str, type_: ConfigType) -> bool:
    folded = text.lower()
    if folded not in {"true", "false"}:
        raise ValueError("Expected value to be either true or false")
    return folded == "true"


def _parse_list(text: str, type_: ConfigType) -> tuple[str, ...]:
    if not text:
        return ()
    items = tuple(item.strip() for item in text.split(","))
    if not all(items):
        raise ValueError("values must not be empty")
    return tuple(dict.fromkeys(items))


def _parse_string(text: str, type_: ConfigType) -> str:
    return text


_Parser: TypeAlias = Callable[[str, ConfigType], bool | int | float | str | tuple[str, ...]]

_PARSERS: dict[ConfigType, _Parser] = {
    ConfigType.BOOLEAN: _parse_boolean,
    ConfigType.STRING: _parse_string,
    ConfigType.INT: _parse_integer,
    ConfigType.SHORT: _parse_integer,
    ConfigType.LONG: _parse_integer,
    ConfigType.DOUBLE: _parse_double,
    ConfigType.LIST: _parse_list,
    ConfigType.CLASS: _parse_string,
    ConfigType.PASSWORD: _parse_string,
}
