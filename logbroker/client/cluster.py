"""What a client knows of the cluster: who the brokers are, who leads what, and a connection to each.

Metadata is kept per topic that somebody asked for, is fetched again when an answer proves it wrong (`refresh`) and
every `metadata_max_age_ms`. Requests for it that come together are answered by one fetch.

Connections are opened when first needed, one per broker and lane. A broker answers a connection's requests in order,
so what may wait long (fetches) goes on a lane of its own. A broker that can't be reached is left alone for a
backoff that doubles up to a bound; a connection that lay idle for longer than brokers keep it is replaced.

Loop thread only. Nothing here outlives `close`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError
from logbroker.client._metadata import broker_from_wire, topic_from_wire
from logbroker.client.errors import (
    ClosedError,
    ConnectionLostError,
    RefusedError,
    UnreachableError,
    error_code_of,
)
from logbroker.client.types import Broker, Partition, Topic, parse_bootstrap_servers
from logbroker.net.client_connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, ClientConnection
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from logbroker.wire.schema import ZERO_UUID

__all__ = ["Cluster", "Lane"]

Lane: TypeAlias = Literal["control", "fetch"]

METADATA_MAX_AGE_MS = 300_000
RETRY_BACKOFF_MS = 100
RETRY_BACKOFF_MAX_MS = 1_000
API_TIMEOUT_MS = 60_000
CONNECTIONS_MAX_IDLE_MS = 540_000
OPEN_RETRIES = 2
"""How often `open` asks again when a broker that was reached closes the connection."""

MISSING_TOPIC_GRACE_MS = 5_000
"""How long a topic that should be created by asking for it may go on not existing."""

_log = logging.getLogger(__name__)
_MOVED = frozenset({ErrorCode.LEADER_NOT_AVAILABLE, ErrorCode.REPLICA_NOT_AVAILABLE})


class Cluster:
    """Metadata and connections, shared by whatever a producer, a consumer or an admin does."""

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        client_id: str = "logbroker",
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        api_timeout_ms: int = API_TIMEOUT_MS,
        metadata_max_age_ms: int = METADATA_MAX_AGE_MS,
        retry_backoff_ms: int = RETRY_BACKOFF_MS,
        retry_backoff_max_ms: int = RETRY_BACKOFF_MAX_MS,
    ) -> None:
        """Remember where to start; nothing is opened before `open`.

        Args:
            bootstrap_servers: `host:port`, several with commas or as a sequence; any one that answers will do.
            client_id: how the broker names this client in its logs and metrics.
            connect_timeout_ms: for one attempt to connect and agree on versions.
            request_timeout_ms: for one answer; afterwards the connection is given up.
            api_timeout_ms: for an operation with all its retries.
            metadata_max_age_ms: how old metadata may get although nothing proves it wrong.
            retry_backoff_ms, retry_backoff_max_ms: first and longest pause between attempts.

        Raises:
            ConfigError: `bootstrap_servers` names nothing usable.

        """
        self.client_id = client_id
        self.request_timeout_ms = request_timeout_ms
        self.api_timeout_ms = api_timeout_ms
        self.brokers: dict[int, Broker] = {}
        self.controller_id = -1
        self.cluster_id = ""
        self._bootstrap = parse_bootstrap_servers(bootstrap_servers)
        self._connect_timeout_ms = connect_timeout_ms
        self._metadata_max_age_ms = metadata_max_age_ms
        self._retry_backoff_ms = retry_backoff_ms
        self._retry_backoff_max_ms = retry_backoff_max_ms
        self._topics: dict[str, Topic] = {}
        self._errors: dict[str, ErrorCode] = {}
        self._names_by_id: dict[object, str] = {}
        self._connections: dict[tuple[int, Lane], ClientConnection] = {}
        self._opening: dict[tuple[int, Lane], asyncio.Task[ClientConnection]] = {}
        self._bootstrap_connection: ClientConnection | None = None
        self._unreachable: dict[int, tuple[int, float, UnreachableError]] = {}
        self._refresh_lock = asyncio.Lock()
        self._fetched_at: dict[str, float] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Reach any broker and learn who the others are.

        Raises:
            UnreachableError: none of the bootstrap servers can be reached; each was tried once.

        """
        if self._keeper is None:
            await self._fetch_metadata(())
            self._keeper = asyncio.get_running_loop().create_task(self._keep_fresh())

    async def close(self) -> None:
        """Close every connection; what is in flight fails with `ConnectionLostError`."""
        self._closed = True
        tasks: list[asyncio.Task[Any]] = list(self._opening.values())
        if self._keeper is not None:
            tasks.append(self._keeper)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        if self._bootstrap_connection is not None:
            self._bootstrap_connection.close()
            self._bootstrap_connection = None

    # Metadata.

    def cached_topic(self, name: str) -> Topic | None:
        """Return what is known of a topic, without asking anybody."""
        return self._topics.get(name)

    def topic_name(self, topic_id: object) -> str | None:
        """Return the name of the topic with an id, if it is known."""
        return self._names_by_id.get(topic_id)

    def partition(self, topic: str, index: int) -> Partition | None:
        """Return what is known of a partition, without asking anybody."""
        known = self._topics.get(topic)
        if known is None or not 0 <= index < len(known.partitions):
            return None
        return known.partitions[index]

    def leader(self, topic: str, index: int) -> int:
        """Return the node id of a partition's leader as far as it is known, -1 if not."""
        partition = self.partition(topic, index)
        return -1 if partition is None else partition.leader

    async def topic(self, name: str, *, create: bool = False, timeout_ms: int | None = None) -> Topic:
        """Return a topic's metadata, asking the cluster if it isn't known yet.

        Args:
            name: the topic.
            create: let the broker create it if it doesn't exist and the broker is set to do that.
            timeout_ms: how long to wait for a topic that is being created or has no leader; `api_timeout_ms` by default.

        Raises:
            RefusedError: it doesn't exist (UNKNOWN_TOPIC_OR_PARTITION), its name is invalid, ...

        """
        known = self._topics.get(name)
        if known is not None:
            return known
        loop = asyncio.get_running_loop()
        started = loop.time()
        timeout_ms = self.api_timeout_ms if timeout_ms is None else timeout_ms
        attempt = 0
        while True:
            await self.refresh([name], create=create)
            known = self._topics.get(name)
            if known is not None:
                return known
            code = self._errors.get(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            waited_ms = (loop.time() - started) * 1000
            coming = code in _MOVED or (
                create and code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION and waited_ms < MISSING_TOPIC_GRACE_MS
            )
            if not coming or waited_ms >= timeout_ms:
                raise RefusedError(code, f"topic {name!r}", _TOPIC_REMEDIES.get(code))
            await self.backoff(attempt)
            attempt += 1

    async def refresh(self, names: Iterable[str] | None = None, *, create: bool = False) -> None:
        """Fetch metadata of `names` anew (by default: of every topic known); calls that come together share one fetch."""
        wanted = set(self._topics if names is None else names)
        asked_at = asyncio.get_running_loop().time()
        async with self._refresh_lock:
            missing = [name for name in wanted if self._fetched_at.get(name, -1.0) < asked_at]
            if missing or not wanted:
                await self._fetch_metadata(missing, create=create)

    async def all_topics(self) -> list[Topic]:
        """Return every topic of the cluster, by name; none of them is remembered."""
        response: MetadataResponse = await self.ask(
            ApiKey.METADATA, MetadataRequest(topics=None, allow_auto_topic_creation=False)
        )
        self._learn_brokers(response)
        topics = [topic_from_wire(entry) for entry in response.topics if not entry.error_code]
        return sorted(topics, key=lambda topic: topic.name)

    async def backoff(self, attempt: int) -> None:
        """Pause before attempt number `attempt` + 2 of something."""
        await asyncio.sleep(self.backoff_seconds(attempt))

    def backoff_seconds(self, attempt: int) -> float:
        """Return the pause after `attempt` + 1 failures: doubling, bounded, and 20% of it by chance."""
        pause_ms: float = min(self._retry_backoff_max_ms, self._retry_backoff_ms * 2.0 ** min(attempt, 16))
        return pause_ms * random.uniform(0.8, 1.2) / 1000

    # Requests and connections.

    async def ask(
        self,
        api_key: ApiKey,
        message: object,
        *,
        node_id: int | None = None,
        retry: bool = True,
        timeout_ms: int | None = None,
    ) -> Any:
        """Send a request to broker `node_id`, or to any, and return the answer.

        With `retry` a lost connection is answered with another attempt, until `api_timeout_ms` is over; leave
        it out where doing something twice would matter.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.api_timeout_ms / 1000
        attempt = 0
        while True:
            try:
                connection = await (self.any_connection() if node_id is None else self.connection(node_id))
                return await connection.request(api_key, message, timeout_ms=timeout_ms)
            except (ConnectionLostError, UnreachableError) as error:
                if self._closed or not retry or loop.time() >= deadline:
                    raise
                if self._keeper is None and (isinstance(error, UnreachableError) or attempt >= OPEN_RETRIES):
                    raise  # a first attempt is to fail at once, with its reason
                _log.debug("%s is tried again: %s", api_key.name, error)
            await self.backoff(attempt)
            attempt += 1

    def open_connection(self, node_id: int, lane: Lane = "control") -> ClientConnection | None:
        """Return the connection to a broker if it is open already."""
        connection = self._connections.get((node_id, lane))
        if connection is None or connection.closed:
            return None
        idle_seconds = asyncio.get_running_loop().time() - connection.last_used
        if idle_seconds * 1000 > CONNECTIONS_MAX_IDLE_MS and connection.in_flight == 0:
            connection.close()
            return None
        return connection

    async def connection(self, node_id: int, lane: Lane = "control") -> ClientConnection:
        """Return a connection to a broker, opening one if need be.

        Raises:
            UnreachableError: it can't be reached, or couldn't a moment ago, or nothing is known of such a broker.

        """
        connection = self.open_connection(node_id, lane)
        if connection is not None:
            return connection
        if self._closed:
            raise ClosedError("the client was closed")
        key = (node_id, lane)
        task = self._opening.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._open(node_id, lane))
            self._opening[key] = task
            task.add_done_callback(lambda done: self._opened(key, done))
        return await asyncio.shield(task)

    async def any_connection(self) -> ClientConnection:
        """Return a connection to any broker, an open one if there is one.

        Raises:
            UnreachableError: no broker can be reached.

        """
        for node_id, lane in list(self._connections):
            if lane == "control":
                connection = self.open_connection(node_id)
                if connection is not None:
                    return connection
        bootstrap = self._bootstrap_connection
        if bootstrap is not None and not bootstrap.closed:
            return bootstrap
        for node_id in random.sample(list(self.brokers), len(self.brokers)):
            try:
                return await self.connection(node_id)
            except UnreachableError as error:
                _log.debug("broker %d: %s", node_id, error)
        return await self._bootstrap_anew()

    async def _bootstrap_anew(self) -> ClientConnection:
        failure: ClientError | None = None
        for host, port in random.sample(self._bootstrap, len(self._bootstrap)):
            if self._closed:
                raise ClosedError("the client was closed")
            try:
                connection = await self._connect(host, port)
            except ClientError as error:
                failure = error
                continue
            self._bootstrap_connection = connection
            return connection
        if failure is None or len(self._bootstrap) == 1:
            raise failure or UnreachableError("no bootstrap server is known")
        names = ", ".join(f"{host}:{port}" for host, port in self._bootstrap)
        raise UnreachableError(f"cannot reach any of {names}; the last error: {failure}")

    async def _connect(self, host: str, port: int) -> ClientConnection:
        return await ClientConnection.connect(
            host,
            port,
            client_id=self.client_id,
            connect_timeout_ms=self._connect_timeout_ms,
            request_timeout_ms=self.request_timeout_ms,
        )

    async def _open(self, node_id: int, lane: Lane) -> ClientConnection:
        broker = self.brokers.get(node_id)
        if broker is None:
            raise UnreachableError(f"broker {node_id} is not in the cluster's metadata")
        loop = asyncio.get_running_loop()
        failures, retry_at, last_error = self._unreachable.get(node_id, (0, 0.0, None))
        if last_error is not None and loop.time() < retry_at:
            raise last_error
        try:
            connection = await self._connect(broker.host, broker.port)
        except UnreachableError as error:
            self._unreachable[node_id] = (failures + 1, loop.time() + self.backoff_seconds(failures), error)
            raise
        self._unreachable.pop(node_id, None)
        self._connections[node_id, lane] = connection
        return connection

    def _opened(self, key: tuple[int, Lane], task: asyncio.Task[ClientConnection]) -> None:
        del self._opening[key]
        if not task.cancelled():
            task.exception()  # whoever waits gets it too; nobody may be waiting any more

    # How metadata is fetched.

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(self._metadata_max_age_ms / 1000)
            try:
                await self.refresh()
            except ClientError as error:
                _log.warning("metadata could not be refreshed: %s", error)

    async def _fetch_metadata(self, names: Sequence[str], *, create: bool = False) -> None:
        fetched_at = asyncio.get_running_loop().time()
        request = MetadataRequest(
            topics=[MetadataRequestTopic(name=name) for name in names], allow_auto_topic_creation=create
        )
        response: MetadataResponse = await self.ask(ApiKey.METADATA, request)
        self._learn_brokers(response)
        for entry in response.topics:
            if entry.name is None:
                continue
            self._fetched_at[entry.name] = fetched_at
            previous = self._topics.get(entry.name)
            if previous is not None:
                self._names_by_id.pop(previous.topic_id, None)
            code = error_code_of(entry.error_code)
            if code not in {ErrorCode.NONE, *_MOVED} or not entry.partitions:
                self._errors[entry.name] = code or ErrorCode.LEADER_NOT_AVAILABLE
                self._topics.pop(entry.name, None)
                continue
            self._errors.pop(entry.name, None)
            topic = topic_from_wire(entry)
            self._topics[entry.name] = topic
            if topic.topic_id != ZERO_UUID:
                self._names_by_id[topic.topic_id] = topic.name

    def _learn_brokers(self, response: MetadataResponse) -> None:
        if response.error_code:
            raise RefusedError(error_code_of(response.error_code), "metadata")
        if not response.brokers:
            return  # a broker that has just started may know nobody yet
        brokers = {entry.node_id: broker_from_wire(entry) for entry in response.brokers}
        for key in list(self._connections):
            known = brokers.get(key[0])
            if known is None or known != self.brokers.get(key[0]):
                self._connections.pop(key).close()  # it moved or is gone
        self.brokers = brokers
        self.controller_id = response.controller_id
        self.cluster_id = response.cluster_id or ""
        self._adopt_bootstrap_connection()

    def _adopt_bootstrap_connection(self) -> None:
        """Use the bootstrap connection as what it turns out to be: the connection to one of the brokers."""
        connection = self._bootstrap_connection
        if connection is None or connection.closed:
            return
        for broker in self.brokers.values():
            key: tuple[int, Lane] = (broker.node_id, "control")
            if (broker.host, broker.port) == (
                connection.host,
                connection.port,
            ) and key not in self._connections:
                self._connections[key] = connection
                self._bootstrap_connection = None
                return


_TOPIC_REMEDIES = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: "it does not exist",
    ErrorCode.INVALID_TOPIC_EXCEPTION: "a topic name has 1 to 249 of the characters a-z A-Z 0-9 . _ -",
}
