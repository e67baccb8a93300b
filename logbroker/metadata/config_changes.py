"""What becomes of a request to change configs (IncrementalAlterConfigs, AlterConfigs): pure, like `controller.py`.

A topic's change is checked as the whole set of overrides that it leaves behind. A broker's change is checked by trying
it: the settings in force afterwards, and the config of every topic under them, must still make sense together.

Rules, order and words are those of Kafka 4.3.1 (ConfigAdminManager, ConfigurationControlManager; KIP-339, KIP-226),
compared reply by reply. On purpose different: a broker config that doesn't exist is refused (Kafka stores it), an
unknown operation gets INVALID_REQUEST (Kafka: UNKNOWN_SERVER_ERROR), and where a resource comes twice AlterConfigs
answers like IncrementalAlterConfigs (Kafka never answers).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ConfigError
from logbroker.config import client_metrics
from logbroker.config import group as group_configs
from logbroker.config.setting import Setting
from logbroker.config.settings import DYNAMIC, SETTINGS, explain_unknown, find
from logbroker.config.topic import TOPIC_CONFIGS, broker_default, validate_change
from logbroker.config.values import ConfigType, ResourceType, format_value
from logbroker.metadata.controller import check_length
from logbroker.metadata.events import (
    CLUSTER_SCOPE,
    BrokerConfigChanged,
    ClientMetricsChanged,
    Event,
    GroupConfigChanged,
    TopicConfigChanged,
    apply,
    merge_changes,
)
from logbroker.metadata.image import ClusterImage, TopicConfigResolver, TopicImage
from logbroker.metadata.topic_names import name_problem


class Operation(IntEnum):
    """What to do with one config value (KIP-339)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


GROUPS_WITH_CONFIGS_MAX: Final = 10_000
"""Groups that may have configs of their own, as anybody may name a group that doesn't exist."""

CLIENT_METRICS_MAX: Final = 1_000
"""Subscriptions to client metrics that there may be."""

ROOT_LOGGER: Final = "root"
LOGGER_LEVELS: Final = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "ERROR": 40, "FATAL": 50}
"""The levels that Kafka's loggers know, by the numbers of ours."""

_OPERATIONS = frozenset(Operation)

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One value to change; `operation` is the number that came, known or not."""

    name: str
    value: str | None
    operation: int = Operation.SET


@dataclass(frozen=True, slots=True)
class ResourceChanges:
    """All that one request changes on one resource.

    Attributes:
        replace: AlterConfigs: the changes (all SET) are all the overrides there will be; others go.
    """

    resource_type: int
    resource_name: str
    changes: Sequence[ConfigChange]
    replace: bool = False


@dataclass(frozen=True, slots=True)
class ResourceOutcome:
    """What became of one resource: done where `error` is None."""

    resource_type: int
    resource_name: str
    error: BrokerError | None = None


def alter_configs(
    image: ClusterImage, resources: Sequence[ResourceChanges]
) -> tuple[list[ResourceOutcome], list[Event]]:
    """Decide a request.

    Args:
        image: the metadata, with all that is decided but not yet durable.
        resources: what to change; a resource that comes more than once is refused each time.

    Returns:
        An outcome per resource, in order, and the events of those that worked.
    """
    times = Counter((resource.resource_type, resource.resource_name) for resource in resources)
    outcomes: list[ResourceOutcome] = []
    events: list[Event] = []
    unapplied: list[Event] = []
    for resource in resources:
        kind, name = resource.resource_type, resource.resource_name
        try:
            if times[kind, name] > 1:
                raise _invalid_request("Each resource must appear at most once.")
            _check_changes(resource.changes)
            event: Event | None
            if kind == ResourceType.TOPIC:
                event = _alter_topic(image, resource)
            elif kind == ResourceType.BROKER:
                # What a broker config may be depends on topics too, so it must see what was decided for them.
                image = apply(image, unapplied)
                unapplied.clear()
                event = _alter_broker(image, resource)
                if event is not None:
                    image = _tried(image, event)
                    events.append(event)
                    event = None
            elif kind == ResourceType.GROUP:
                event = _alter_group(image, resource)
            elif kind == ResourceType.CLIENT_METRICS:
                event = _alter_client_metrics(image, resource)
            elif kind == ResourceType.BROKER_LOGGER and not resource.replace:
                event = None  # Nothing of it is metadata: whoever asked changes the process.
                check_loggers(resource, image.node_id, logs.names())
            else:
                raise _invalid_request(f"Unknown resource type {kind}")
            if event is not None:
                events.append(event)
                unapplied.append(event)
            outcomes.append(ResourceOutcome(kind, name))
        except BrokerError as error:
            outcomes.append(ResourceOutcome(kind, name, error))
    return outcomes, events


def _check_changes(changes: Sequence[ConfigChange]) -> None:
    if len({change.name for change in changes}) < len(changes):
        raise _invalid_request("Error due to duplicate config keys")
    for change in changes:
        if change.operation not in _OPERATIONS:
            raise _invalid_request(f"Unknown operation type {change.operation} for config {change.name}")
    nulls = [c.name for c in changes if c.value is None and c.operation != Operation.DELETE]
    if nulls:
        raise _invalid_request(f"Null value not supported for : {', '.join(nulls)}")
    for change in changes:
        check_length(change.name, change.value)


def _alter_topic(image: ClusterImage, resource: ResourceChanges) -> Event | None:
    name = resource.resource_name
    if not name:
        raise _invalid_request("Default topic resources are not allowed.")
    problem = name_problem(name)
    if problem is not None:
        raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
    topic = image.topic(name)
    if topic is None:
        raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
    changes = _resulting(resource, topic.configs, _TopicLists(image, topic))
    configs = merge_changes(topic.configs, changes)
    for given in changes:
        if given not in TOPIC_CONFIGS and changes[given] is not None:
            raise BrokerError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {given}")
    validate_change(topic.config, TopicConfigResolver(image.settings).resolve(configs))
    real = _differing(topic.configs, changes)
    return TopicConfigChanged(topic.topic_id, name, real) if real else None


def _alter_broker(image: ClusterImage, resource: ResourceChanges) -> Event | None:
    scope = broker_scope(resource.resource_name, image.node_id)
    current = image.broker_configs.get(scope, {})
    changes: dict[str, str | None] = {}
    for given, value in _resulting(resource, current, _BrokerLists(image, scope)).items():
        setting = find(given)
        if setting is None:
            if value is None:
                continue  # Taking away what isn't there is no mistake, as with topics.
            raise BrokerError(
                ErrorCode.INVALID_CONFIG, f"Unknown broker config name: {given}{explain_unknown(given)}"
            )
        changes[setting.name] = value
    static = [name for name, value in changes.items() if value is not None and name not in DYNAMIC]
    if static:
        raise _invalid_request(f"Cannot update these configs dynamically: [{', '.join(static)}]")
    for name, value in changes.items():
        if value is not None:
            _check_value(SETTINGS[name], value)
    real = _differing(current, changes)
    return BrokerConfigChanged(scope, real) if real else None


def _alter_group(image: ClusterImage, resource: ResourceChanges) -> Event | None:
    name = resource.resource_name
    if not name:
        raise _invalid_request("Default group resources are not allowed.")
    known = image.groups.get(name)
    current: Mapping[str, str] = {} if known is None else known.configs
    changes = _resulting(resource, current, _NoLists())
    group_configs.validate(image.settings, merge_changes(current, changes))
    real = _differing(current, changes)
    if real and known is None and len(image.groups) >= GROUPS_WITH_CONFIGS_MAX:
        raise BrokerError(
            ErrorCode.POLICY_VIOLATION,
            f"{GROUPS_WITH_CONFIGS_MAX} groups have configs of their own already; delete some of them first.",
        )
    return GroupConfigChanged(name, real) if real else None


def _alter_client_metrics(image: ClusterImage, resource: ResourceChanges) -> Event | None:
    name = resource.resource_name
    current = image.client_metrics.get(name, {})
    changes = _resulting(resource, current, _NoLists())
    if not name:
        raise _invalid_request("Subscription name can't be empty")
    client_metrics.validate(merge_changes(current, changes))
    real = _differing(current, changes)
    if real and not current and len(image.client_metrics) >= CLIENT_METRICS_MAX:
        raise BrokerError(
            ErrorCode.POLICY_VIOLATION,
            f"There are {CLIENT_METRICS_MAX} subscriptions to client metrics already; delete some of them first.",
        )
    return ClientMetricsChanged(name, real) if real else None


def check_loggers(resource: ResourceChanges, node_id: int, names: Collection[str]) -> None:
    """Refuse a change of log levels that can't be made, in Kafka's words.

    Args:
        resource: The loggers are its configs; `ROOT_LOGGER` is the level of all that have none of their own.
        node_id: This broker, whose loggers they are.
        names: The other loggers there are.

    Raises:
        BrokerError: INVALID_REQUEST, INVALID_CONFIG.
    """
    given = resource.resource_name
    if _INTEGER.fullmatch(given) is None:
        raise _invalid_request(f"Node id must be an integer, but it is: {given}")
    if int(given) != node_id:
        raise _invalid_request(f"Unexpected node id. Expected {node_id}, but received {given}")
    for change in resource.changes:
        name = change.name
        if change.operation in {Operation.APPEND, Operation.SUBTRACT}:
            raise _invalid_request(
                f"{Operation(change.operation).name} operation is not allowed for the BROKER_LOGGER resource"
            )
        if name != ROOT_LOGGER and name not in names:
            raise BrokerError(ErrorCode.INVALID_CONFIG, f"Logger {name} does not exist!")
        if change.operation == Operation.SET and change.value not in LOGGER_LEVELS:
            raise BrokerError(
                ErrorCode.INVALID_CONFIG,
                f"Cannot set the log level of {name} to {change.value} as it is not a supported log level. Valid log "
                f"levels are {', '.join(sorted(LOGGER_LEVELS))}",
            )
        if change.operation == Operation.DELETE and name == ROOT_LOGGER:
            raise _invalid_request("Removing the log level of the root logger is not allowed")


def broker_scope(resource_name: str, node_id: int) -> str:
    """The scope that a broker resource's name stands for: "" for every broker, else this broker's id.

    Raises:
        BrokerError: INVALID_REQUEST, where it is another broker or no number.
    """
    if resource_name == CLUSTER_SCOPE:
        return CLUSTER_SCOPE
    if _INTEGER.fullmatch(resource_name) is None:
        raise _invalid_request(f"Node id must be an integer, but it is: {resource_name}")
    if int(resource_name) != node_id:
        raise _invalid_request(f"Unexpected broker id, expected {node_id}, but received {resource_name}")
    return str(node_id)


def _check_value(setting: Setting, value: str) -> None:
    try:
        setting.parse(value)
    except ValueError as error:
        raise _invalid_request(f"Invalid value {value} for configuration {setting.name}: {error}") from None


def _tried(image: ClusterImage, event: Event) -> ClusterImage:
    try:
        return apply(image, [event])
    except ConfigError as error:
        raise _invalid_request(str(error)) from None


class _NoLists:
    """Configs of which none is a list, as APPEND and SUBTRACT see them."""

    def current(self, name: str) -> str | None:
        """No value: it is no list."""
        return None


class _TopicLists:
    """The list-valued configs of a topic, as APPEND and SUBTRACT see them."""

    def __init__(self, image: ClusterImage, topic: TopicImage) -> None:
        self._image = image
        self._topic = topic

    def current(self, name: str) -> str | None:
        """The value now, the default included; None where `name` is no list."""
        setting = TOPIC_CONFIGS.get(name)
        if setting is None or setting.type is not ConfigType.LIST:
            return None
        value = self._topic.configs.get(name)
        return (
            value if value is not None else format_value(broker_default(setting, self._image.settings)) or ""
        )


class _BrokerLists:
    """The list-valued broker configs, as APPEND and SUBTRACT see them in one scope."""

    def __init__(self, image: ClusterImage, scope: str) -> None:
        self._image = image
        self._scope = scope

    def current(self, name: str) -> str | None:
        """The value now, the one it stands on included; None where `name` is no list."""
        setting = find(name)
        if setting is None or setting.type is not ConfigType.LIST:
            return None
        value = self._image.broker_configs.get(self._scope, {}).get(setting.name)
        return (
            value
            if value is not None
            else format_value(getattr(self._image.settings, setting.attribute)) or ""
        )


def _resulting(
    resource: ResourceChanges, current: Mapping[str, str], lists: _TopicLists | _BrokerLists | _NoLists
) -> dict[str, str | None]:
    """The value that each named config will have; None for none."""
    results: dict[str, str | None] = {}
    if resource.replace:
        results = dict.fromkeys(current, None)
    for change in resource.changes:
        if change.operation == Operation.DELETE:
            results[change.name] = None
            continue
        value = change.value or ""
        if change.operation == Operation.SET:
            results[change.name] = value
            continue
        before = lists.current(change.name)
        if before is None:
            verb = "APPEND" if change.operation == Operation.APPEND else "SUBTRACT"
            raise BrokerError(
                ErrorCode.INVALID_CONFIG, f"Can't {verb} to key {change.name} because its type is not LIST."
            )
        items = _items(before)
        given = _items(value)
        if change.operation == Operation.APPEND:
            items += [item for item in given if item not in items]
        else:
            items = [item for item in items if item not in given]
        results[change.name] = ",".join(dict.fromkeys(items))
    return results


def _items(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]


def _differing(current: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Only what really changes; an event that changes nothing would cost a commit and say nothing."""
    return {name: value for name, value in changes.items() if current.get(name) != value}


def _invalid_request(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, message)
