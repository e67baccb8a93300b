"""Every broker setting, as one frozen value.

`Settings` has one attribute per setting: Kafka's dotted name with `_` for `.` (`settings.log_segment_bytes`). What is
known about each (type, unit, bounds, documentation, whether it can change while running, Kafka's default) stands in
`SETTINGS`, by dotted name, and is declared once, in the section it belongs to (`_server.py`, `_log.py`, `_topics.py`, `_groups.py`).

`Settings(...)` itself checks nothing, so a test may take a tiny segment; everything an operator writes goes through
`build`, which reports every problem at once. A running broker holds one `Settings`; a change at run time is a new value
(`amend`), never a mutation, so it can be handed between threads freely.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from logbroker.base.errors import ConfigError
from logbroker.config._transactions import TransactionSection
from logbroker.config.endpoints import SECURITY_PROTOCOLS, Endpoint, parse_endpoints, protocol_map
from logbroker.config.setting import Setting
from logbroker.config.values import Value


class SettingsError(ConfigError):
    """Settings that can't be used; `problems` has one sentence for each, and the message one line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Settings(TransactionSection, frozen=True, kw_only=True):
    """All settings of one broker; see `SETTINGS` for what each means."""

    @property
    def broker_id(self) -> int:
        """`node.id` by its older name."""
        return self.node_id

    @property
    def metadata_directory(self) -> str:
        """Where the metadata lives: `metadata.log.dir`, or the first of `log.dirs`."""
        return self.metadata_log_dir or self.log_dirs[0]

    @property
    def listener_endpoints(self) -> tuple[Endpoint, ...]:
        """`listeners`, parsed, in the order written."""
        return parse_endpoints(self.listeners)

    @property
    def metrics_endpoints(self) -> tuple[Endpoint, ...]:
        """`metrics.listeners`, parsed."""
        return parse_endpoints(self.metrics_listeners, default_name="HTTP")

    def advertised_endpoints(self, bound: Iterable[Endpoint], host_name: str) -> dict[str, Endpoint]:
        """What clients are told, by listener name.

        Args:
            bound: the listeners as they were opened, with the ports the system picked.
            host_name: this machine's name, told where a listener is on every interface and nothing is advertised.
        """
        told = {endpoint.name: endpoint for endpoint in parse_endpoints(self.advertised_listeners or ())}
        for endpoint in bound:
            if endpoint.name not in told:
                host = host_name if endpoint.is_wildcard else endpoint.host
                told[endpoint.name] = Endpoint(endpoint.name, host, endpoint.port)
        return told


def _collect() -> dict[str, Setting]:
    collected: dict[str, Setting] = {}
    for section in reversed(Settings.__mro__):
        for attribute, annotation in vars(section).get("__annotations__", {}).items():
            if attribute.startswith("__"):
                continue
            kind, setting = get_args(annotation)
            setting.attribute = attribute
            setting.name = attribute.replace("_", ".")
            setting.nullable = type(None) in get_args(kind)
            collected[setting.name] = setting
    for attribute, default in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        collected[attribute.replace("_", ".")].default = default
    return collected


SETTINGS: dict[str, Setting] = _collect()
"""Every setting by dotted name, in the order declared."""

ALIASES: dict[str, str] = {alias: setting.name for setting in SETTINGS.values() for alias in setting.aliases}
"""Older names that mean the same: `broker.id`, `log.dir`."""

DYNAMIC: frozenset[str] = frozenset(setting.name for setting in SETTINGS.values() if setting.dynamic)
"""Settings that can change while the broker runs (SIGHUP, AlterConfigs)."""


def find(name: str) -> Setting | None:
    """The setting of that name or alias."""
    return SETTINGS.get(ALIASES.get(name, name))


def build(given: Mapping[str, object], places: Mapping[str, str] | None = None) -> Settings:
    """Make settings from what was written down, everything else being default.

    Args:
        given: raw values (text, or TOML's native values) by dotted name.
        places: where each was written, for messages ("broker.toml:12").

    Raises:
        SettingsError: naming every unknown key, bad value and contradiction found.
    """
    places = places or {}
    problems: list[str] = []
    values: dict[str, Value] = {}
    for name, raw in given.items():
        place = places.get(name)
        setting = find(name)
        if setting is None:
            problems.append(_located(f"unknown setting {name}", place) + explain_unknown(name))
            continue
        if setting.attribute in values:
            problems.append(
                _located(f"{name} says the same as {_other(setting, name)}", place) + "; keep one of them"
            )
            continue
        try:
            values[setting.attribute] = setting.parse(raw)
        except ValueError as error:
            problems.append(f"{_located(f'{name} = {_shown(raw)}', place)}: {error}")
    settings = Settings(**values)  # type: ignore[arg-type]
    if not problems:
        problems = contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def amend(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """The same settings with some values changed; raw values by dotted name, None for back to the default.

    Raises:
        SettingsError: as `build`.
    """
    problems: list[str] = []
    values: dict[str, Value] = {}
    for name, raw in changes.items():
        setting = find(name)
        if setting is None:
            problems.append(f"unknown setting {name}{explain_unknown(name)}")
            continue
        try:
            values[setting.attribute] = setting.default if raw is None else setting.parse(raw)
        except ValueError as error:
            problems.append(f"{name} = {_shown(raw)}: {error}")
    changed: Settings = msgspec.structs.replace(settings, **values)
    problems = problems or contradictions(changed)
    if problems:
        raise SettingsError(problems)
    return changed


def contradictions(settings: Settings) -> list[str]:
    """What is wrong between settings that are each fine alone; one sentence each, with the remedy."""
    problems: list[str] = []

    def at_most(low: str, high: str, factor: int = 1) -> None:
        low_value = getattr(settings, low.replace(".", "_"))
        high_value = getattr(settings, high.replace(".", "_"))
        if low_value * factor > high_value:
            share = "" if factor == 1 else f"1/{factor} of "
            problems.append(
                f"{low} = {low_value} must be at most {share}{high} = {high_value}; lower the one or raise the other"
            )

    at_most("message.max.bytes", "socket.request.max.bytes")
    at_most("socket.request.max.bytes", "queued.max.request.bytes")
    at_most("group.min.session.timeout.ms", "group.max.session.timeout.ms")
    at_most("group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms")
    at_most("group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms")
    at_most("group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms")
    at_most("group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms")
    at_most("group.consumer.min.assignment.interval.ms", "group.consumer.assignment.interval.ms")
    at_most("group.consumer.assignment.interval.ms", "group.consumer.max.assignment.interval.ms")
    at_most("log.journal.group.max.bytes", "log.journal.file.bytes", 2)
    at_most("log.cleaner.min.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms")

    names = [endpoint.name for endpoint in settings.listener_endpoints]
    problems += [
        f"advertised.listeners names {endpoint.name}, which listeners doesn't have ({', '.join(names)}); "
        "every advertised name needs a listener"
        for endpoint in parse_endpoints(settings.advertised_listeners or ())
        if endpoint.name not in names
    ]
    taken = {endpoint.address for endpoint in settings.listener_endpoints if endpoint.port}
    problems += [
        f"listeners and metrics.listeners both have {endpoint.address}; each needs an address of its own"
        for endpoint in settings.metrics_endpoints
        if endpoint.address in taken
    ]
    protocols = protocol_map(settings.listener_security_protocol_map)
    for name in names:
        protocol = protocols.get(name)
        if protocol is None and name in SECURITY_PROTOCOLS:
            problems.append(_not_spoken(name, name))
        elif protocol is None:
            problems.append(
                f"listeners names {name}, which listener.security.protocol.map doesn't have; add {name}:PLAINTEXT to it"
            )
        elif protocol != "PLAINTEXT":
            problems.append(_not_spoken(name, protocol))
    return problems


def _not_spoken(name: str, protocol: str) -> str:
    return (
        f"the listener {name} asks for {protocol}, and this version speaks PLAINTEXT only; "
        "write PLAINTEXT://HOST:PORT and keep it in a network you trust, or put a TLS proxy before it"
    )


_ABSENT = (
    # (start of the name, why Kafka's settings of that kind don't exist here)
    ("zookeeper.", "clusters are not in this version"),
    ("controller.", "there is no quorum of controllers to configure"),
    ("process.roles", "every broker is its own controller"),
    ("ssl.", "TLS is not in this version"),
    ("sasl.", "SASL is not in this version"),
    ("authorizer.", "authorization is not in this version"),
    ("security.", "TLS and SASL are not in this version"),
    ("inter.broker.", "clusters are not in this version"),
    ("replica.", "clusters are not in this version"),
    ("transaction.two.phase.commit.", "two-phase commit of KIP-939 is not in this version"),
    ("transaction.state.log.load.buffer.size", "the read buffer has a fixed size"),
    ("remote.", "tiered storage is not in this version"),
    ("group.coordinator.", "both protocols are served, in the one event loop, and writes never linger"),
    ("group.share.", "share groups are not in this version"),
    ("group.streams.", "streams groups are not in this version"),
    ("share.coordinator.", "share groups are not in this version"),
    ("num.network.threads", "one event loop does all network work"),
    ("num.io.threads", "one event loop does all request work"),
    ("num.recovery.threads.per.data.dir", "recovery is bounded by the journal"),
    ("background.threads", "there is no such pool"),
    ("log.flush.", "see log.flush.interval.messages and log.checkpoint.interval.ms"),
)


def explain_unknown(name: str) -> str:
    """The tail of a message about an unknown setting: why it isn't there, or what was probably meant."""
    if name in _TOPIC_CONFIGS:
        return f"; {_TOPIC_CONFIGS[name]}"
    close = difflib.get_close_matches(name, [*SETTINGS, *ALIASES], n=1, cutoff=0.85)
    if close:
        return f"; did you mean {close[0]}?"
    for start, why in _ABSENT:
        if name.startswith(start):
            return f"; {why}"
    close = difflib.get_close_matches(name, [*SETTINGS, *ALIASES], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else "; `logbroker config list` names them all"


_TOPIC_CONFIGS = {
    name: f"that is the topic config; the broker's default for topics is {setting}"
    for name, setting in {
        "retention.ms": "log.retention.ms",
        "retention.bytes": "log.retention.bytes",
        "segment.bytes": "log.segment.bytes",
        "segment.ms": "log.roll.ms",
        "cleanup.policy": "log.cleanup.policy",
        "max.message.bytes": "message.max.bytes",
        "flush.messages": "log.flush.interval.messages",
        "flush.ms": "log.flush.interval.ms",
        "message.timestamp.type": "log.message.timestamp.type",
    }.items()
}


def _located(what: str, place: str | None) -> str:
    return f"{what} ({place})" if place else what


def _shown(raw: object) -> str:
    text = repr(raw) if isinstance(raw, str) else str(raw).lower() if isinstance(raw, bool) else str(raw)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _other(setting: Setting, name: str) -> str:
    return setting.name if name != setting.name else " or ".join(setting.aliases)
