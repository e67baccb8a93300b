"""DescribeConfigs' view of settings and topic configs: value, source, synonyms, type, documentation (KIP-226, KIP-569).

A topic config's value comes from the topic, else from the broker's dynamic config, else from what the operator wrote, else
it is default; all of them that exist are listed as synonyms, the effective one first, as Kafka does it.

Pure functions over values that others own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from logbroker.config import group as groups
from logbroker.config.group import GROUP_CONFIGS
from logbroker.config.setting import Setting
from logbroker.config.settings import SETTINGS, Settings, amend, find
from logbroker.config.sources import ConfigSources
from logbroker.config.topic import TOPIC_CONFIGS, broker_default
from logbroker.config.values import ConfigSource, ConfigType, format_value, parse_value

# Settings that mean the same in another unit; the first that is set goes before the others.
_SAME = (
    ("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
    ("log.roll.ms", "log.roll.hours"),
    ("log.roll.jitter.ms", "log.roll.jitter.hours"),
)


class Synonym(msgspec.Struct, frozen=True):
    """One place the value could come from."""

    name: str
    value: str | None
    source: ConfigSource


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One config as DescribeConfigs answers it; nothing here is sensitive, as no setting holds a secret."""

    name: str
    value: str | None
    source: ConfigSource
    type: ConfigType
    read_only: bool
    documentation: str
    synonyms: tuple[Synonym, ...]
    is_default: bool


class BrokerConfigs(msgspec.Struct, frozen=True):
    """What a broker is configured with: what was loaded at start, and what was altered since.

    Attributes:
        static: settings from file, environment and command line.
        sources: where each of those came from.
        dynamic: altered for this broker, as text, by name (AlterConfigs on the broker's id).
        dynamic_default: altered for all brokers (AlterConfigs on the empty broker name).
    """

    static: Settings
    sources: ConfigSources = ConfigSources()
    dynamic: Mapping[str, str] = msgspec.field(default_factory=dict)
    dynamic_default: Mapping[str, str] = msgspec.field(default_factory=dict)

    def effective(self) -> Settings:
        """The settings that count.

        Raises:
            SettingsError: what was altered doesn't fit (any more) to what was loaded.
        """
        changes = {**self.dynamic_default, **self.dynamic}
        return amend(self.static, changes) if changes else self.static


def describe_topic(
    broker: BrokerConfigs, overrides: Mapping[str, str], names: Iterable[str] | None = None
) -> list[Described]:
    """A topic's configs.

    Args:
        broker: where defaults come from.
        overrides: what is set on the topic, as text.
        names: those asked for, unknown ones being left out; None for all.
    """
    effective = broker.effective()
    wanted = None if names is None else set(names)
    described = []
    for name, setting in TOPIC_CONFIGS.items():
        if (wanted is not None and name not in wanted) or (setting.hidden and name not in overrides):
            continue
        synonyms = _broker_synonyms(broker, [synonym for synonym, _ in setting.synonyms])
        if name in overrides:
            # As it is understood, not as it was spelled: `TRUE` is told as `true`, `a , b` as `a,b`.
            value = format_value(parse_value(setting.type, overrides[name]))
            synonyms.insert(0, Synonym(name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG))
        else:
            value = format_value(broker_default(setting, effective))
        described.append(_described(value, setting, synonyms, read_only=False))
    return described


def describe_group(
    broker: BrokerConfigs, overrides: Mapping[str, str], names: Iterable[str] | None = None
) -> list[Described]:
    """A consumer group's configs; arguments as `describe_topic`."""
    effective = broker.effective()
    wanted = None if names is None else set(names)
    described = []
    for name, setting in GROUP_CONFIGS.items():
        if wanted is not None and name not in wanted:
            continue
        synonyms = _broker_synonyms(broker, [setting.broker])
        if name in overrides:
            value = format_value(parse_value(setting.type, overrides[name]))
            synonyms.insert(0, Synonym(name, value, ConfigSource.GROUP_CONFIG))
        else:
            value = groups.broker_default(setting, effective)
        described.append(_described(value, setting, synonyms, read_only=False))
    return described


def describe_broker(broker: BrokerConfigs, names: Iterable[str] | None = None) -> list[Described]:
    """A broker's configs; arguments as `describe_topic`."""
    effective = broker.effective()
    wanted = None if names is None else {found.name for name in names if (found := find(name)) is not None}
    described = []
    for name, setting in SETTINGS.items():
        if wanted is not None and name not in wanted:
            continue
        group = next((group for group in _SAME if name in group), (name,))
        synonyms = _broker_synonyms(broker, group[group.index(name) :])
        value = format_value(getattr(effective, setting.attribute))
        described.append(_described(value, setting, synonyms, read_only=not setting.dynamic))
    return described


def _described(value: str | None, setting: Setting, synonyms: list[Synonym], *, read_only: bool) -> Described:
    source = synonyms[0].source if synonyms else ConfigSource.DEFAULT_CONFIG
    return Described(
        name=setting.name,
        value=value,
        source=source,
        type=setting.type,
        read_only=read_only,
        documentation=setting.doc,
        synonyms=tuple(synonyms),
        is_default=source is ConfigSource.DEFAULT_CONFIG,
    )


def _broker_synonyms(broker: BrokerConfigs, names: Iterable[str]) -> list[Synonym]:
    names = list(names)
    found = [
        Synonym(name, altered[name], source)
        for altered, source in (
            (broker.dynamic, ConfigSource.DYNAMIC_BROKER_CONFIG),
            (broker.dynamic_default, ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG),
        )
        for name in names
        if name in altered
    ]
    found += [
        Synonym(
            name,
            format_value(getattr(broker.static, SETTINGS[name].attribute)),
            ConfigSource.STATIC_BROKER_CONFIG,
        )
        for name in names
        if name in broker.sources.given
    ]
    found += [
        Synonym(name, SETTINGS[name].default_text, ConfigSource.DEFAULT_CONFIG)
        for name in names
        if SETTINGS[name].default is not None
    ]
    return found
