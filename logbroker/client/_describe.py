"""Questions that an admin asks, and their answers as the client's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from logbroker.base.error_codes import ErrorCode
from logbroker.client.cluster import Cluster
from logbroker.client.errors import RefusedError, error_code_of
from logbroker.client.types import (
    Broker,
    ClusterDescription,
    ConfigEntry,
    ConfigSource,
    LogDir,
    LogDirReplica,
    ResourceType,
)
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from logbroker.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
)
from logbroker.wire.messages.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)
from logbroker.wire.messages.list_config_resources import (
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

_TOPIC_RESOURCE = ResourceType.TOPIC


async def configs(
    cluster: Cluster, kind: int, name: str, *, node_id: int | None = None, documentation: bool = False
) -> list[ConfigEntry]:
    """Return the configs of one resource; broker `node_id` is asked, or any."""
    found = await _configs(cluster, kind, [name], node_id, documentation)
    return found.get(name, [])


async def configs_of_topics(cluster: Cluster, names: Sequence[str]) -> dict[str, list[ConfigEntry]]:
    """Return the configs of several topics."""
    return await _configs(cluster, _TOPIC_RESOURCE, names, None, documentation=False)


async def _configs(
    cluster: Cluster, kind: int, names: Sequence[str], node_id: int | None, documentation: bool
) -> dict[str, list[ConfigEntry]]:
    request = DescribeConfigsRequest(
        resources=[DescribeConfigsResource(kind, name, None) for name in names],
        include_documentation=documentation,
    )
    response: DescribeConfigsResponse = await cluster.ask(ApiKey.DESCRIBE_CONFIGS, request, node_id=node_id)
    found: dict[str, list[ConfigEntry]] = {}
    for result in response.results:
        if result.error_code:
            what = resource_text(kind, result.resource_name)
            raise RefusedError(error_code_of(result.error_code), what, result.error_message)
        found[result.resource_name] = sorted(
            map(_config_from_wire, result.configs), key=lambda entry: entry.name
        )
    return found


async def config_resources(cluster: Cluster, kinds: Sequence[ResourceType]) -> list[tuple[ResourceType, str]]:
    """Return what has configs, of these kinds, or of all where there are none; kinds that we don't know are left out."""
    request = ListConfigResourcesRequest(resource_types=list(kinds))
    response: ListConfigResourcesResponse = await cluster.ask(ApiKey.LIST_CONFIG_RESOURCES, request)
    if response.error_code:
        raise RefusedError(error_code_of(response.error_code), "the list of what has configs")
    known = {int(kind): kind for kind in ResourceType}
    return sorted(
        (known[found.resource_type], found.resource_name)
        for found in response.config_resources
        if found.resource_type in known
    )


def resource_text(kind: int, name: str) -> str:
    """Return what has configs, for messages: `topic 'orders'`, `broker 1`."""
    noun = ResourceType(kind).name.lower().replace("_", " ")
    return f"{noun} {name}" if name.isdecimal() else f"{noun} {name!r}"


def _config_from_wire(entry: DescribeConfigsResourceResult) -> ConfigEntry:
    try:
        source = ConfigSource(entry.config_source)
    except ValueError:
        source = ConfigSource.UNKNOWN
    return ConfigEntry(
        entry.name, entry.value, source, entry.read_only, entry.is_sensitive, entry.documentation
    )


async def cluster(cluster_: Cluster) -> ClusterDescription:
    """Return the cluster's id, its controller and its brokers, by node id."""
    response: DescribeClusterResponse = await cluster_.ask(ApiKey.DESCRIBE_CLUSTER, DescribeClusterRequest())
    if response.error_code:
        raise RefusedError(error_code_of(response.error_code), "the cluster", response.error_message)
    brokers = [
        Broker(entry.broker_id, entry.host, entry.port, entry.rack, entry.is_fenced)
        for entry in response.brokers
    ]
    return ClusterDescription(
        response.cluster_id, response.controller_id, tuple(sorted(brokers, key=lambda broker: broker.node_id))
    )


async def log_dirs(
    cluster_: Cluster, node_id: int, partitions: Mapping[str, Sequence[int]] | None
) -> list[LogDir]:
    """Return the log directories of broker `node_id`; of all topics, or of these partitions."""
    topics = (
        None
        if partitions is None
        else [DescribableLogDirTopic(name, list(indexes)) for name, indexes in partitions.items()]
    )
    response: DescribeLogDirsResponse = await cluster_.ask(
        ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(topics), node_id=node_id
    )
    if response.error_code:
        raise RefusedError(error_code_of(response.error_code), f"log directories of broker {node_id}")
    return [
        LogDir(
            node_id,
            result.log_dir,
            error_code_of(result.error_code) if result.error_code else ErrorCode.NONE,
            result.total_bytes,
            result.usable_bytes,
            tuple(
                LogDirReplica(
                    topic.name,
                    partition.partition_index,
                    partition.partition_size,
                    partition.offset_lag,
                    partition.is_future_key,
                )
                for topic in result.topics
                for partition in topic.partitions
            ),
        )
        for result in response.results
    ]
