"""Administration: topics, configs, groups, offsets, the cluster itself.

    async with Admin("127.0.0.1:9092") as admin:
        await admin.create_topic("orders", partitions=12, configs={"retention.ms": "86400000"})

Changes are sent once: after `ConnectionLostError` it isn't known whether they were carried out, so look before you repeat
one. Questions are asked again until the cluster's `api_timeout_ms` is over. What a broker refuses raises
`RefusedError` with its code and words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from logbroker.base.error_codes import ErrorCode
from logbroker.client import _describe, groups, transactions
from logbroker.client.cluster import API_TIMEOUT_MS, Cluster
from logbroker.client.errors import RefusedError, error_code_of
from logbroker.client.offsets import delete_records, list_offsets
from logbroker.client.types import (
    ClusterDescription,
    CommittedOffset,
    ConfigEntry,
    Group,
    GroupListing,
    IsolationLevel,
    LogDir,
    OffsetAt,
    PartitionProducer,
    ResourceType,
    Topic,
    TopicPartition,
    Transaction,
    TransactionListing,
)
from logbroker.net.client_connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
)
from logbroker.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from logbroker.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState
from logbroker.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

__all__ = ["Admin"]

_DEFAULT_COUNT = -1
_TOPIC_RESOURCE = ResourceType.TOPIC
_BROKER_RESOURCE = ResourceType.BROKER
_SET = 0
_DELETE = 1
_NOT_CONTROLLER_ATTEMPTS = 5


class Admin:
    """Creates, changes, describes and deletes; see the module for how to use it."""

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str = "logbroker-admin",
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        api_timeout_ms: int = API_TIMEOUT_MS,
    ) -> None:
        """Take the settings (as `Cluster` documents them); nothing is opened before `start` (or `async with`)."""
        self._cluster = Cluster(
            bootstrap_servers,
            client_id=client_id,
            connect_timeout_ms=connect_timeout_ms,
            request_timeout_ms=request_timeout_ms,
            api_timeout_ms=api_timeout_ms,
        )

    async def start(self) -> Self:
        """Reach the cluster; returns the admin.

        Raises:
            UnreachableError: no bootstrap server can be reached.

        """
        try:
            await self._cluster.open()
        except BaseException:
            await self._cluster.close()
            raise
        return self

    async def close(self) -> None:
        """Close every connection."""
        await self._cluster.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # Topics.

    async def list_topics(self, *, internal: bool = False) -> list[Topic]:
        """Return every topic, by name; the cluster's own too with `internal`."""
        topics = await self._cluster.all_topics()
        return [topic for topic in topics if internal or not topic.internal]

    async def describe_topic(self, name: str) -> Topic:
        """Return a topic with its partitions as they are now.

        Raises:
            RefusedError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION.

        """
        await self._cluster.refresh([name])
        return await self._cluster.topic(name, timeout_ms=0)

    async def create_topic(
        self,
        name: str,
        *,
        partitions: int = _DEFAULT_COUNT,
        replication_factor: int = _DEFAULT_COUNT,
        configs: Mapping[str, str] | None = None,
        validate_only: bool = False,
    ) -> None:
        """Create a topic.

        Args:
            name: its name.
            partitions, replication_factor: -1 takes the broker's default.
            configs: what differs from the broker's defaults.
            validate_only: only say whether it could be created.

        Raises:
            RefusedError: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_CONFIG, ...

        """
        topic = CreatableTopic(
            name=name,
            num_partitions=partitions,
            replication_factor=replication_factor,
            configs=[CreatableTopicConfig(key, value) for key, value in (configs or {}).items()],
        )
        request = CreateTopicsRequest(
            topics=[topic], timeout_ms=self._cluster.request_timeout_ms, validate_only=validate_only
        )

        async def attempt() -> ErrorCode:
            response: CreateTopicsResponse = await self._ask_controller(ApiKey.CREATE_TOPICS, request)
            for result in response.topics:
                if result.name == name:
                    return _refuse(result.error_code, f"topic {name!r}", result.error_message)
            raise _left_out(f"topic {name!r}")

        await self._until_controller(attempt)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic and its records.

        Raises:
            RefusedError: UNKNOWN_TOPIC_OR_PARTITION, TOPIC_DELETION_DISABLED, ...

        """
        request = DeleteTopicsRequest(
            topic_names=[name],
            topics=[DeleteTopicState(name=name)],
            timeout_ms=self._cluster.request_timeout_ms,
        )

        async def attempt() -> ErrorCode:
            response: DeleteTopicsResponse = await self._ask_controller(ApiKey.DELETE_TOPICS, request)
            for result in response.responses:
                if result.name in {name, None}:
                    return _refuse(result.error_code, f"topic {name!r}", result.error_message)
            raise _left_out(f"topic {name!r}")

        await self._until_controller(attempt)

    async def create_partitions(self, name: str, total: int) -> None:
        """Give a topic more partitions, `total` in all.

        Raises:
            RefusedError: INVALID_PARTITIONS (it has as many or more), UNKNOWN_TOPIC_OR_PARTITION, ...

        """
        request = CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(name=name, count=total, assignments=None)],
            timeout_ms=self._cluster.request_timeout_ms,
        )

        async def attempt() -> ErrorCode:
            response: CreatePartitionsResponse = await self._ask_controller(ApiKey.CREATE_PARTITIONS, request)
            for result in response.results:
                if result.name == name:
                    return _refuse(result.error_code, f"topic {name!r}", result.error_message)
            raise _left_out(f"topic {name!r}")

        await self._until_controller(attempt)

    # Configs.

    async def topic_configs(self, name: str, *, documentation: bool = False) -> list[ConfigEntry]:
        """Return every config of a topic with its effective value, by name. Raises as `describe_topic` does."""
        return await _describe.configs(self._cluster, _TOPIC_RESOURCE, name, documentation=documentation)

    async def topics_configs(self, names: Sequence[str]) -> dict[str, list[ConfigEntry]]:
        """Return the configs of several topics in one request. Raises as `describe_topic` does."""
        return await _describe.configs_of_topics(self._cluster, names)

    async def broker_configs(self, node_id: int, *, documentation: bool = False) -> list[ConfigEntry]:
        """Return every config of a broker with its effective value, by name."""
        return await _describe.configs(
            self._cluster, _BROKER_RESOURCE, str(node_id), node_id=node_id, documentation=documentation
        )

    async def alter_topic_configs(
        self, name: str, set_to: Mapping[str, str] | None = None, *, delete: Iterable[str] = ()
    ) -> None:
        """Set and delete configs of a topic, all or none; a deleted one falls back to the broker's default.

        Raises:
            RefusedError: INVALID_CONFIG, UNKNOWN_TOPIC_OR_PARTITION, ...

        """
        await self._alter_configs(_TOPIC_RESOURCE, name, set_to or {}, delete, None)

    async def alter_broker_configs(
        self, node_id: int, set_to: Mapping[str, str] | None = None, *, delete: Iterable[str] = ()
    ) -> None:
        """Set and delete configs of one broker, all or none. Raises as `alter_topic_configs` does."""
        await self._alter_configs(_BROKER_RESOURCE, str(node_id), set_to or {}, delete, node_id)

    async def configs(
        self, kind: ResourceType, name: str, *, documentation: bool = False
    ) -> list[ConfigEntry]:
        """Return every config of whatever has some, by name; under the broker name "" what is set for all brokers.

        Raises:
            RefusedError: UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST, ...

        """
        return await _describe.configs(
            self._cluster, kind, name, node_id=_of_broker(kind, name), documentation=documentation
        )

    async def alter_configs(
        self,
        kind: ResourceType,
        name: str,
        set_to: Mapping[str, str] | None = None,
        *,
        delete: Iterable[str] = (),
    ) -> None:
        """Set and delete configs of whatever has some, all or none. Raises as `alter_topic_configs` does."""
        await self._alter_configs(kind, name, set_to or {}, delete, _of_broker(kind, name))

    async def list_config_resources(self, *kinds: ResourceType) -> list[tuple[ResourceType, str]]:
        """Return the kind and name of all that has configs; only of `kinds`, where any are given."""
        return await _describe.config_resources(self._cluster, kinds)

    # The cluster.

    async def describe_cluster(self) -> ClusterDescription:
        """Return the cluster's id, its controller and its brokers."""
        return await _describe.cluster(self._cluster)

    async def describe_log_dirs(
        self, node_ids: Iterable[int] | None = None, topics: Iterable[str] | None = None
    ) -> list[LogDir]:
        """Return the log directories of brokers (all by default) and the replicas in them (of `topics`, all by default)."""
        nodes = list(self._cluster.brokers) if node_ids is None else list(node_ids)
        partitions: dict[str, list[int]] | None = None
        if topics is not None:
            partitions = {
                name: [partition.index for partition in (await self._cluster.topic(name)).partitions]
                for name in topics
            }
        answers = await asyncio.gather(
            *(_describe.log_dirs(self._cluster, node_id, partitions) for node_id in nodes)
        )
        return [log_dir for answer in answers for log_dir in answer]

    # Offsets and records.

    async def list_offsets(
        self,
        wanted: Mapping[TopicPartition, int],
        isolation_level: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[TopicPartition, OffsetAt]:
        """Return an offset per partition: of an `OffsetSpec`, or of the first record at or after a timestamp in ms.

        Raises:
            RefusedError: a topic or partition doesn't exist, or a broker refused.

        """
        await self._cluster.refresh({partition.topic for partition in wanted})
        return await list_offsets(self._cluster, wanted, isolation_level)

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Delete the records before an offset, per partition (-1: all there are); returns the new first offsets.

        Raises:
            RefusedError: OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION, ...

        """
        await self._cluster.refresh({partition.topic for partition in before})
        return await delete_records(self._cluster, before)

    # Groups.

    async def list_groups(
        self, *, states: Iterable[str] = (), types: Iterable[str] = ()
    ) -> list[GroupListing]:
        """Return the groups there are, by id; only those in `states` and of `types`, where any are given."""
        return await groups.list_groups(self._cluster, states, types)

    async def describe_group(self, group_id: str) -> Group:
        """Return a group with its members; its state is `Dead` where there is no such group."""
        return await groups.describe_group(self._cluster, group_id)

    async def group_offsets(self, group_id: str) -> dict[TopicPartition, CommittedOffset]:
        """Return everything that a group has committed."""
        return await groups.committed_offsets(self._cluster, group_id)

    async def alter_group_offsets(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Set what a group has committed; one that doesn't exist comes to be by that.

        Raises:
            RefusedError: UNKNOWN_MEMBER_ID where the group has members, UNKNOWN_TOPIC_OR_PARTITION, ...

        """
        await groups.commit_offsets(self._cluster, group_id, offsets)

    async def delete_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, ErrorCode]:
        """Forget what a group has committed in partitions; returns how that went for each.

        Raises:
            RefusedError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, ...

        """
        return await groups.delete_offsets(self._cluster, group_id, partitions)

    async def delete_group(self, group_id: str) -> None:
        """Delete a group that has no members, with all that it has committed.

        Raises:
            RefusedError: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, ...

        """
        await groups.delete_group(self._cluster, group_id)

    # Transactions.

    async def list_transactions(self, *, states: Iterable[str] = ()) -> list[TransactionListing]:
        """Return every transactional id, with where it stands; only those in `states`, where any are given."""
        return await transactions.list_transactions(self._cluster, states)

    async def describe_transaction(self, transactional_id: str) -> Transaction:
        """Return where a transaction stands. Raises RefusedError: TRANSACTIONAL_ID_NOT_FOUND, ..."""
        return await transactions.describe(self._cluster, transactional_id)

    async def describe_producers(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, tuple[PartitionProducer, ...]]:
        """Return the producers that each partition remembers, with their open transactions."""
        wanted = list(partitions)
        await self._cluster.refresh({partition.topic for partition in wanted})
        return await transactions.producers(self._cluster, wanted)

    async def abort_transaction(self, partition: TopicPartition, producer: PartitionProducer) -> None:
        """End a producer's open transaction in a partition by hand, as aborted, where its coordinator never will."""
        await transactions.abort(self._cluster, partition, producer)

    # How it works inside.

    async def _alter_configs(
        self,
        kind: ResourceType,
        name: str,
        set_to: Mapping[str, str],
        delete: Iterable[str],
        node_id: int | None,
    ) -> None:
        changes = [AlterableConfig(key, _SET, value) for key, value in set_to.items()]
        changes += [AlterableConfig(key, _DELETE, None) for key in delete]
        request = IncrementalAlterConfigsRequest(resources=[AlterConfigsResource(kind, name, changes)])

        async def attempt() -> ErrorCode:
            response: IncrementalAlterConfigsResponse = await (
                self._ask_controller(ApiKey.INCREMENTAL_ALTER_CONFIGS, request)
                if node_id is None
                else self._cluster.ask(
                    ApiKey.INCREMENTAL_ALTER_CONFIGS, request, node_id=node_id, retry=False
                )
            )
            for result in response.responses:
                return _refuse(result.error_code, _describe.resource_text(kind, name), result.error_message)
            raise _left_out(name)

        await self._until_controller(attempt)

    async def _ask_controller(self, api_key: ApiKey, request: object) -> Any:
        """Send a change to the controller, once; to any broker while no controller is known."""
        controller = self._cluster.controller_id
        return await self._cluster.ask(
            api_key, request, node_id=controller if controller in self._cluster.brokers else None, retry=False
        )

    async def _until_controller(self, attempt: Callable[[], Awaitable[ErrorCode]]) -> None:
        """Repeat while the answer is that the controller is somebody else now."""
        for number in range(_NOT_CONTROLLER_ATTEMPTS):
            if await attempt() != ErrorCode.NOT_CONTROLLER:
                return
            await self._cluster.backoff(number)
            await self._cluster.refresh()
        raise RefusedError(
            ErrorCode.NOT_CONTROLLER, "the cluster", "no controller was found; try again later"
        )


def _refuse(error_code: int, what: str, message: str | None) -> ErrorCode:
    """Raise what the broker refused; NONE and NOT_CONTROLLER, which is no refusal, are returned."""
    code = error_code_of(error_code)
    if code in {ErrorCode.NONE, ErrorCode.NOT_CONTROLLER}:
        return code
    raise RefusedError(code, what, message)


def _of_broker(kind: ResourceType, name: str) -> int | None:
    """The broker that must be asked, as only it knows."""
    return (
        int(name) if kind in {ResourceType.BROKER, ResourceType.BROKER_LOGGER} and name.isdecimal() else None
    )


def _left_out(what: str) -> RefusedError:
    return RefusedError(ErrorCode.UNKNOWN_SERVER_ERROR, what, "the broker's answer left it out")
