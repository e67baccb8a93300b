"""Where each setting came from: what `config show` prints and DescribeConfigs reports as source."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from logbroker.config.settings import Settings
from logbroker.config.values import ConfigSource


class Origin(Enum):
    """The layers of configuration, each going before the ones above it in this list."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


class Source(msgspec.Struct, frozen=True):
    """One value's origin, and where exactly ("broker.toml:12", "LOGBROKER_NODE_ID", "--set")."""

    origin: Origin
    place: str = ""

    @property
    def kafka(self) -> ConfigSource:
        """Kafka's name for it: everything that was written down counts as the broker's static config."""
        return (
            ConfigSource.DEFAULT_CONFIG
            if self.origin is Origin.DEFAULT
            else ConfigSource.STATIC_BROKER_CONFIG
        )

    def __str__(self) -> str:
        if self.origin is Origin.FILE or not self.place:
            return self.place or self.origin.value
        return f"{self.origin.value} {self.place}" if self.origin is Origin.ENVIRONMENT else self.place


DEFAULT_SOURCE = Source(Origin.DEFAULT)


class ConfigSources(msgspec.Struct, frozen=True):
    """The source of every setting that isn't default, by dotted name, and the file that was read, if any."""

    given: Mapping[str, Source] = msgspec.field(default_factory=dict)
    file: str | None = None

    def of(self, name: str) -> Source:
        """Where this setting came from."""
        return self.given.get(name, DEFAULT_SOURCE)


class LoadedSettings(msgspec.Struct, frozen=True):
    """What loading gives: the settings and where each came from."""

    settings: Settings
    sources: ConfigSources
