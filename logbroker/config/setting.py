"""One declaration of one setting: everything that is to be known about it, in one place.

A section (`_server.py`, `_log.py`, `_topics.py`) declares a field as

    log_segment_bytes: Annotated[int, Int("...", unit="bytes", low=1_048_576, dynamic=True)] = 1_073_741_824

and from that one line come the attribute, the dotted name (`log.segment.bytes`), parsing, bounds, `config list`,
DescribeConfigs and the check of the documentation. `kafka` says how Kafka 4.3.1 stands to it: `SAME` (Kafka has it, with
the same default), `OURS` (Kafka has no such setting), or Kafka's default where ours differs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Final

from logbroker.config.values import (
    INTEGER_LIMITS,
    ConfigType,
    Value,
    explain_quantity,
    format_value,
    parse_value,
)


class Origin(Enum):
    """How a setting stands to Kafka's."""

    SAME = "as in Kafka"
    OURS = "not in Kafka"


SAME: Final = Origin.SAME
OURS: Final = Origin.OURS


class Setting:
    """What is known about one setting; `name`, `attribute` and `default` are filled in when it is collected."""

    __slots__ = (
        "aliases",
        "attribute",
        "check",
        "choices",
        "default",
        "doc",
        "dynamic",
        "high",
        "kafka",
        "low",
        "name",
        "nullable",
        "type",
        "unit",
    )

    def __init__(
        self,
        type_: ConfigType,
        doc: str,
        *,
        unit: str = "",
        low: float | None = None,
        high: float | None = None,
        choices: tuple[str, ...] = (),
        dynamic: bool = False,
        kafka: Origin | Value = SAME,
        aliases: tuple[str, ...] = (),
        check: Callable[[Value], str | None] | None = None,
    ) -> None:
        self.type = type_
        self.doc = doc
        self.unit = unit
        self.low = low
        self.high = high
        self.choices = choices
        self.dynamic = dynamic
        self.kafka = kafka
        self.aliases = aliases
        self.check = check
        self.name = ""
        self.attribute = ""
        self.default: Value = None
        self.nullable = False

    @property
    def default_text(self) -> str | None:
        """The default as Kafka would print it; None where the default is unset."""
        return format_value(self.default)

    @property
    def kafka_default(self) -> str | None:
        """What Kafka's default is, as text; `-` where Kafka has no such setting."""
        if self.kafka is OURS:
            return "-"
        return self.default_text if self.kafka is SAME else format_value(self.kafka)

    @property
    def bounds(self) -> str:
        """The allowed values in words, empty where anything of the type is allowed."""
        if self.choices:
            return " | ".join(self.choices)
        if self.low is not None and self.high is not None:
            return f"{self.low} to {self.high}"
        if self.low is not None:
            return f"at least {self.low}"
        return "" if self.high is None else f"at most {self.high}"

    def parse(self, raw: object) -> Value:
        """Turn what a file, a variable or a request holds into the setting's value.

        Args:
            raw: text in Kafka's notation, or a native value (TOML's integers, booleans, floats and arrays of strings).

        Raises:
            ValueError: says what is wrong and what to write instead; the caller adds the name and the place.
        """
        value = self._read(raw)
        problem = self.problem(value)
        if problem is not None:
            raise ValueError(problem)
        return value

    def problem(self, value: Value) -> str | None:
        """What is wrong with a value of the right type, or None; in the words Kafka's validators use."""
        if value is None:
            return None if self.nullable else "a value is needed"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.low is not None and value < self.low:
                return f"Value must be at least {self.low}"
            if self.high is not None and value > self.high:
                return f"Value must be no more than {self.high}"
        if self.choices:
            for item in value if isinstance(value, tuple) else (value,):
                if item not in self.choices:
                    return f"String must be one of: {', '.join(self.choices)}"
        return self.check(value) if self.check is not None else None

    def _read(self, raw: object) -> Value:
        type_ = self.type
        if isinstance(raw, str):
            try:
                return parse_value(type_, raw)
            except ValueError as error:
                remedy = explain_quantity(raw, self.unit)
                raise ValueError(f"{error}; {remedy}" if remedy else str(error)) from None
        if isinstance(raw, bool):
            if type_ is ConfigType.BOOLEAN:
                return raw
        elif isinstance(raw, int):
            if type_ is ConfigType.DOUBLE:
                return float(raw)
            if type_ in INTEGER_LIMITS:
                return parse_value(type_, str(raw))
        elif isinstance(raw, float):
            if type_ is ConfigType.DOUBLE:
                return raw
        elif isinstance(raw, (list, tuple)) and type_ is ConfigType.LIST:
            # Joined and split again, so that an array and a comma list mean the same.
            if all(isinstance(item, str) and "," not in item for item in raw):
                return parse_value(type_, ",".join(raw))
            raise ValueError("every item of the array must be a string without a comma")
        raise ValueError(f"expected {_WANTED[type_]}, not {_kind(raw)}")


_WANTED = {
    ConfigType.BOOLEAN: "true or false",
    ConfigType.STRING: "a string",
    ConfigType.INT: "a whole number",
    ConfigType.SHORT: "a whole number",
    ConfigType.LONG: "a whole number",
    ConfigType.DOUBLE: "a number",
    ConfigType.LIST: "a list of strings (an array, or one string with commas)",
    ConfigType.CLASS: "a string",
    ConfigType.PASSWORD: "a string",
}


def _kind(raw: object) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a fraction",
        list: "an array",
        dict: "a table",
        str: "a string",
    }
    return names.get(type(raw), f"a {type(raw).__name__}")


# Names of types, to stand beside the annotation: Annotated[int, Long("...", unit="ms")].
Bool = partial(Setting, ConfigType.BOOLEAN)
Int = partial(Setting, ConfigType.INT)
Long = partial(Setting, ConfigType.LONG)
Short = partial(Setting, ConfigType.SHORT)
Double = partial(Setting, ConfigType.DOUBLE)
Text = partial(Setting, ConfigType.STRING)
List = partial(Setting, ConfigType.LIST)
