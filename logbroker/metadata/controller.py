"""What becomes of a request to create, extend or delete topics: a pure function of the image and the request.

Each function looks at an image, decides every topic of the request on its own, and returns an outcome for each and the
events to make durable. Nothing is changed here and nothing is read but the arguments, so every rule can be tested with
values, and the same code can run where a cluster's controller runs.

The rules, their order and their words are Kafka 4.3.1's (KRaft's ReplicationControlManager), compared reply by reply
with that broker. On purpose different: two names of *one* request that collide are refused like names that collide
with existing topics (Kafka lets both in), a CreatePartitions of too many partitions gets POLICY_VIOLATION (Kafka:
UNKNOWN_SERVER_ERROR), and the partitions of one broker are bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.ids import new_kafka_uuid
from logbroker.config.settings import Settings
from logbroker.config.topic import TOPIC_CONFIGS, check_memory
from logbroker.metadata.events import Event, PartitionsAdded, TopicCreated, TopicDeleted
from logbroker.metadata.image import DIRECTORY_UNASSIGNED, ClusterImage, TopicConfigResolver, TopicImage
from logbroker.metadata.placement import DirectoryChooser, check_assignment, check_replication_factor, place
from logbroker.metadata.topic_names import (
    CLUSTER_METADATA_TOPIC,
    collision_key,
    is_internal,
    may_collide,
    name_problem,
)

UNSET: Final = -1
"""A partition count or replication factor that leaves the number to the broker (KIP-464)."""

PARTITIONS_PER_REQUEST_MAX: Final = 10_000
"""Partitions that one request may create; Kafka's bound, which also bounds what one commit writes."""

PARTITIONS_PER_BROKER_MAX: Final = 200_000
"""Partitions of all topics together: each costs memory and, when it is used, files."""

CONFIG_VALUE_MAX_LENGTH: Final = 32_767
"""Characters of one config value: what every version of the protocol can carry in a string."""

FOLDER_NAME_BYTES_MAX: Final = 255
"""Of a partition's folder, `<topic>-<index>`: what every file system of Linux takes."""

_ZERO = UUID(int=0)
_RESERVED_IDS: Final = 100
"""Ids below this number have a meaning of their own in Kafka (the metadata topic, lost directories, ...)."""


@dataclass(frozen=True, slots=True)
class NewTopic:
    """A topic to create.

    Attributes:
        num_partitions: `UNSET` for the broker's default; must be `UNSET` beside assignments.
        replication_factor: the same.
        assignments: (partition index, broker ids) of each partition, to place them by hand.
        configs: overrides, as they came; a name given twice has its last value.
    """

    name: str
    num_partitions: int = UNSET
    replication_factor: int = UNSET
    assignments: Sequence[tuple[int, Sequence[int]]] = ()
    configs: Sequence[tuple[str, str | None]] = ()


@dataclass(frozen=True, slots=True)
class MorePartitions:
    """A topic to extend to `count` partitions; `assignments` are the broker ids of each new one, or None."""

    name: str
    count: int
    assignments: Sequence[Sequence[int]] | None = None


@dataclass(frozen=True, slots=True)
class TopicToDelete:
    """A topic to delete, by its name or by its id (the other is None or zero)."""

    name: str | None = None
    topic_id: UUID = _ZERO


@dataclass(frozen=True, slots=True)
class TopicOutcome:
    """What became of one topic of a request: done where `error` is None.

    Attributes:
        created: of a CreateTopics that worked, the topic as it is (or, validated only, as it would be).
    """

    name: str | None
    topic_id: UUID = _ZERO
    error: BrokerError | None = None
    created: TopicCreated | None = None


def new_topic_id() -> UUID:
    """A random id that is none of those that mean something else in Kafka."""
    while True:
        topic_id = new_kafka_uuid()
        if topic_id.int >= _RESERVED_IDS:
            return topic_id


def create_topics(
    image: ClusterImage,
    topics: Sequence[NewTopic],
    *,
    online_directories: Sequence[UUID],
    new_id: Callable[[], UUID] = new_topic_id,
) -> tuple[list[TopicOutcome], list[Event]]:
    """Decide a CreateTopics request.

    Args:
        image: the metadata, with all that is decided but not yet durable.
        topics: what to create; a name that comes more than once gets one outcome, INVALID_REQUEST.
        online_directories: where partitions can go.
        new_id: where topic ids come from.

    Returns:
        An outcome per name, in the order asked, and the events of those that worked.
    """
    creation = _Creation(image, online_directories, new_id)
    times = Counter(topic.name for topic in topics)
    single = [topic for topic in topics if times[topic.name] == 1]
    if sum(max(0, _partition_count(topic, image.settings)) for topic in single) > PARTITIONS_PER_REQUEST_MAX:
        too_many = _excessive()
        return [TopicOutcome(topic.name, error=too_many) for topic in single] + _duplicates(times), []
    outcomes = []
    for topic in single:
        try:
            created = creation.create(topic)
            outcomes.append(TopicOutcome(topic.name, created.topic_id, created=created))
        except BrokerError as error:
            outcomes.append(TopicOutcome(topic.name, error=error))
    outcomes += _duplicates(times)
    return outcomes, list(creation.events)


def create_partitions(
    image: ClusterImage, topics: Sequence[MorePartitions], *, online_directories: Sequence[UUID]
) -> tuple[list[TopicOutcome], list[Event]]:
    """Decide a CreatePartitions request; arguments and result as of `create_topics`."""
    chooser = DirectoryChooser(online_directories, image.directory_partitions)
    times = Counter(topic.name for topic in topics)
    outcomes = []
    events: list[Event] = []
    added = 0
    for request in topics:
        if times[request.name] > 1:
            continue
        try:
            topic = image.topic(request.name)
            if topic is None:
                raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            replicas = _more_replicas(image, topic, request)
            if added + len(replicas) > PARTITIONS_PER_REQUEST_MAX:
                raise _excessive()
            _check_room(image, added + len(replicas))
            _check_folder_name(topic.name, request.count)
            in_memory = topic.config.storage_type == "memory"
            event = PartitionsAdded(
                topic_id=topic.topic_id,
                name=topic.name,
                first_index=len(topic.partitions),
                partitions=place(replicas, None if in_memory else chooser),
            )
            added += len(replicas)
            events.append(event)
            outcomes.append(TopicOutcome(topic.name, topic.topic_id))
        except BrokerError as error:
            outcomes.append(TopicOutcome(request.name, error=error))
    outcomes += _duplicates(times)
    return outcomes, events


def delete_topics(
    image: ClusterImage, topics: Sequence[TopicToDelete]
) -> tuple[list[TopicOutcome], list[Event]]:
    """Decide a DeleteTopics request; result as of `create_topics`."""
    outcomes: list[TopicOutcome] = []
    events: list[Event] = []
    names = Counter(topic.name for topic in topics if topic.name is not None and topic.topic_id == _ZERO)
    ids = Counter(topic.topic_id for topic in topics if topic.name is None and topic.topic_id != _ZERO)
    by_id = {image.topic_names[topic_id] for topic_id in ids if topic_id in image.topic_names}
    seen: set[str | UUID] = set()
    for request in topics:
        name, topic_id = request.name, request.topic_id
        if name is not None and topic_id != _ZERO:
            outcomes.append(_refused(request, "You may not specify both topic name and topic id."))
            continue
        if name is None and topic_id == _ZERO:
            outcomes.append(_refused(request, "Neither topic name nor id were specified."))
            continue
        key: str | UUID = topic_id if name is None else name
        if key in seen:
            continue
        seen.add(key)
        if name is not None and names[name] > 1:
            outcomes.append(_refused(request, "Duplicate topic name."))
            continue
        if name is None and ids[topic_id] > 1:
            outcomes.append(_refused(request, "Duplicate topic id."))
            continue
        topic = image.topic(name) if name is not None else image.topic_by_id(topic_id)
        if name is not None and name in by_id and topic is not None:
            outcomes.append(
                TopicOutcome(
                    name,
                    topic.topic_id,
                    _invalid_request("The provided topic name maps to an ID that was already supplied."),
                )
            )
            continue
        if topic is not None and topic.name in names and name is None:
            # Said once, with the name; the topic is not deleted by its id either.
            continue
        if topic is None:
            outcomes.append(TopicOutcome(name, topic_id, _unknown_topic(name)))
            continue
        homes = dict.fromkeys(partition.directory_id for partition in topic.partitions)
        homes.pop(DIRECTORY_UNASSIGNED, None)
        events.append(TopicDeleted(topic.topic_id, topic.name, tuple(homes)))
        outcomes.append(TopicOutcome(topic.name, topic.topic_id))
    return outcomes, events


class _Creation:
    """The topics of one CreateTopics request, decided one after the other."""

    def __init__(
        self, image: ClusterImage, online_directories: Sequence[UUID], new_id: Callable[[], UUID]
    ) -> None:
        self._image = image
        self._chooser = DirectoryChooser(online_directories, image.directory_partitions)
        self._resolver = TopicConfigResolver(image.settings)
        self._new_id = new_id
        self._collisions: dict[str, str] = {}
        self._added = 0
        self.events: list[TopicCreated] = []

    def create(self, topic: NewTopic) -> TopicCreated:
        """Decide one topic; raises BrokerError."""
        name = topic.name
        if name in self._image.topics:
            raise BrokerError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        self._check_name(name)
        configs = self._configs(name, topic.configs)
        replicas = self._replicas(topic)
        _check_room(self._image, self._added + len(replicas))
        in_memory = configs.get("storage.type") == "memory"
        event = TopicCreated(
            topic_id=self._new_id(),
            name=name,
            partitions=place(replicas, None if in_memory else self._chooser),
            configs=configs,
        )
        self._added += len(replicas)
        if may_collide(name):
            self._collisions[collision_key(name)] = name
        self.events.append(event)
        return event

    def _check_name(self, name: str) -> None:
        if name == CLUSTER_METADATA_TOPIC:
            raise _invalid_request(f"Creation of internal topic {name} is prohibited.")
        problem = name_problem(name)
        if problem is None and may_collide(name):
            key = collision_key(name)
            other = self._image.collisions.get(key) or self._collisions.get(key)
            if other is not None:
                problem = f"Topic '{name}' collides with existing topic: {other}"
        if problem is not None:
            raise BrokerError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)

    def _configs(self, name: str, given: Sequence[tuple[str, str | None]]) -> dict[str, str]:
        configs = checked_overrides(given)
        if is_internal(name):
            if configs.get("storage.type") == "memory":
                raise BrokerError(
                    ErrorCode.INVALID_CONFIG,
                    f"{name} must survive a restart: it can't have storage.type=memory; leave the config out",
                )
        elif self._image.settings.storage_type != "log":
            # The broker's default may change; where a topic lives may not. So it is written down.
            compacted = self._resolver.resolve(configs).compacted
            configs.setdefault("storage.type", "log" if compacted else self._image.settings.storage_type)
        config = self._resolver.resolve(configs)
        if not is_internal(name):
            check_memory(config)
        return configs

    def _replicas(self, topic: NewTopic) -> list[tuple[int, ...]]:
        settings = self._image.settings
        brokers = self._image.brokers
        if topic.assignments:
            return self._assigned_replicas(topic)
        factor = (
            settings.default_replication_factor
            if topic.replication_factor == UNSET
            else topic.replication_factor
        )
        if factor < 1:
            raise BrokerError(
                ErrorCode.INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0, or -1 to use the default value.",
            )
        count = _partition_count(topic, settings)
        if count < 1:
            raise BrokerError(
                ErrorCode.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value."
            )
        check_replication_factor(factor, len(brokers))
        return [tuple(sorted(brokers))[:factor]] * count

    def _assigned_replicas(self, topic: NewTopic) -> list[tuple[int, ...]]:
        if topic.replication_factor != UNSET:
            raise _invalid_request(
                "A manual partition assignment was specified, but replication factor was not set to -1."
            )
        if topic.num_partitions != UNSET:
            raise _invalid_request(
                "A manual partition assignment was specified, but numPartitions was not set to -1."
            )
        assigned: dict[int, tuple[int, ...]] = {}
        factor: int | None = None
        for index, broker_ids in topic.assignments:
            if index in assigned:
                raise BrokerError(
                    ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                    f"Found multiple manual partition assignments for partition {index}",
                )
            check_assignment(broker_ids, self._image.brokers, factor)
            factor = len(broker_ids)
            assigned[index] = tuple(broker_ids)
        if sorted(assigned) != list(range(len(assigned))):
            raise BrokerError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                "partitions should be a consecutive 0-based integer sequence",
            )
        return [assigned[index] for index in range(len(assigned))]


def checked_overrides(given: Sequence[tuple[str, str | None]]) -> dict[str, str]:
    """The overrides of a new topic: every name known, no nulls, no monstrous values; the last of a name counts.

    Raises:
        BrokerError: INVALID_CONFIG.
    """
    values = dict(given)
    nulls = [name for name, value in values.items() if value is None]
    if nulls:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {','.join(nulls)}"
        )
    for name, value in values.items():
        check_length(name, value)
        if name not in TOPIC_CONFIGS:
            raise BrokerError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
    return {name: value for name, value in values.items() if value is not None}


def check_length(name: str, value: str | None) -> None:
    """Refuse a config value that no client could read back.

    Raises:
        BrokerError: INVALID_CONFIG.
    """
    if value is not None and len(value) > CONFIG_VALUE_MAX_LENGTH:
        raise BrokerError(
            ErrorCode.INVALID_CONFIG,
            f"The value of {name[:100]} has {len(value)} characters; at most {CONFIG_VALUE_MAX_LENGTH} are kept.",
        )


def _partition_count(topic: NewTopic, settings: Settings) -> int:
    if topic.assignments:
        return len(topic.assignments)
    return settings.num_partitions if topic.num_partitions == UNSET else topic.num_partitions


def _more_replicas(image: ClusterImage, topic: TopicImage, request: MorePartitions) -> list[tuple[int, ...]]:
    current = len(topic.partitions)
    if request.count == current:
        raise BrokerError(ErrorCode.INVALID_PARTITIONS, f"Topic already has {current} partition(s).")
    if request.count < current:
        raise BrokerError(
            ErrorCode.INVALID_PARTITIONS,
            f"The topic {topic.name} currently has {current} partition(s); {request.count} would not be an increase.",
        )
    additional = request.count - current
    if additional > PARTITIONS_PER_REQUEST_MAX:
        raise _excessive()
    factor = topic.replication_factor
    if request.assignments is None:
        check_replication_factor(factor, len(image.brokers))
        return [tuple(sorted(image.brokers))[:factor]] * additional
    if len(request.assignments) != additional:
        raise BrokerError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT,
            f"Attempted to add {additional} additional partition(s), but only {len(request.assignments)} "
            "assignment(s) were specified.",
        )
    for broker_ids in request.assignments:
        check_assignment(broker_ids, image.brokers, factor)
    return [tuple(broker_ids) for broker_ids in request.assignments]


def _check_room(image: ClusterImage, added: int) -> None:
    if image.partition_count + added > PARTITIONS_PER_BROKER_MAX:
        raise BrokerError(
            ErrorCode.POLICY_VIOLATION,
            f"This broker has {image.partition_count} partitions and takes at most {PARTITIONS_PER_BROKER_MAX}; "
            "delete topics that are no longer used.",
        )


def _duplicates(times: Counter[str]) -> list[TopicOutcome]:
    return [
        TopicOutcome(name, error=_invalid_request("Duplicate topic name."))
        for name, count in times.items()
        if count > 1
    ]


def _check_folder_name(topic: str, partitions: int) -> None:
    digits = FOLDER_NAME_BYTES_MAX - len(topic) - 1
    if len(str(partitions - 1)) > digits:
        raise BrokerError(
            ErrorCode.INVALID_PARTITIONS,
            f"A topic whose name has {len(topic)} characters can have {10**digits} partitions at most, not {partitions}: the "
            f"name of a partition's folder has room for {FOLDER_NAME_BYTES_MAX}. Use a shorter name.",
        )


def _refused(request: TopicToDelete, message: str) -> TopicOutcome:
    return TopicOutcome(request.name, request.topic_id, _invalid_request(message))


def _unknown_topic(name: str | None) -> BrokerError:
    if name is None:
        return BrokerError(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
    return BrokerError(
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition."
    )


def _excessive() -> BrokerError:
    return BrokerError(ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request.")


def _invalid_request(message: str) -> BrokerError:
    return BrokerError(ErrorCode.INVALID_REQUEST, message)
