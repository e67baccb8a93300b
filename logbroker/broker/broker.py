"""The broker: what it is made of, in which order it starts, and in which it stops.

    start   metadata -> log directories (identify, register, recover) -> leader epochs -> listeners -> coordinators
    stop    listeners (answer what is in flight) -> coordinators -> log directories (checkpoint, clean) -> metadata

Everything here lives on one event loop; threads do the blocking work behind storage and metadata. A part that fails for good (the
metadata's disk, the last log directory, a task of the broker) fails the broker: `wait_failed` tells the daemon why.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

from logbroker.base import logs
from logbroker.base.clock import SystemClock
from logbroker.base.errors import LogbrokerError
from logbroker.base.metrics import Registry
from logbroker.base.tasks import TaskScope
from logbroker.base.timers import Timers
from logbroker.base.waits import Waits
from logbroker.broker.broker_metrics import BrokerMetrics
from logbroker.broker.context import RequestContext
from logbroker.broker.coordinators import Coordinators
from logbroker.broker.dispatch import Dispatcher
from logbroker.broker.fetch_sessions import FetchSessions
from logbroker.broker.limits import listen_backlog, server_limits
from logbroker.broker.live_settings import LiveSettings
from logbroker.broker.produce_admission import RefusedBatches
from logbroker.broker.produce_waits import ProduceWaits
from logbroker.config.endpoints import Endpoint
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.metadata.service import MetadataService
from logbroker.net.server import Server
from logbroker.net.server_connection import ServerConnection
from logbroker.replication.replica_manager import ReplicaManager
from logbroker.storage.directory_identity import FILE_NAME as IDENTITY_FILE
from logbroker.storage.log import Log

if TYPE_CHECKING:
    from logbroker.groups.service import GroupService
    from logbroker.transactions.service import TransactionService

FETCH_WAITS_MAX: Final = 100_000
STOP_TIMEOUT_S: Final = 30.0
"""What is in flight when the broker stops has so long to be answered; a second signal cuts it short."""

_log = logs.get("broker")


class Broker:
    """One broker. `start` once, then `stop` once, also after a start that failed."""

    def __init__(self, settings: Settings, sources: ConfigSources | None = None) -> None:
        self._static_settings = settings
        self._sources = sources
        self.clock = SystemClock()
        self.metrics = Registry()
        self.startup_report: dict[str, object] = {}
        self.fetch_sessions = FetchSessions(settings.max_incremental_fetch_session_cache_slots)
        self.produce_waits = ProduceWaits(self.clock)
        self.produce_holds: dict[ServerConnection, deque[tuple[RequestContext, memoryview, int]]] = {}
        """Connections of which a produce waits for the transaction coordinator, and what they have produced since."""
        self.refused_batches = RefusedBatches()
        self._advertised: dict[str, Endpoint] = {}
        self._failure: asyncio.Future[str] | None = None
        self._started: list[str] = []

    metadata: MetadataService
    replicas: ReplicaManager
    coordinators: Coordinators
    tasks: TaskScope
    timers: Timers
    fetch_waits: Waits[Log]
    server: Server

    @property
    def groups(self) -> GroupService:
        """The coordinator of all groups."""
        return self.coordinators.groups

    @property
    def transactions(self) -> TransactionService:
        """The coordinator of all transactions."""
        return self.coordinators.transactions

    @property
    def settings(self) -> Settings:
        """What is in force now, dynamic configs included."""
        return self.metadata.image.settings

    @property
    def node_id(self) -> int:
        """This broker's id."""
        return self._static_settings.node_id

    def advertised(self, listener_name: str) -> tuple[str, int]:
        """The address that clients of a listener are told."""
        endpoint = self._advertised[listener_name]
        return endpoint.host, endpoint.port

    # Start

    async def start(self) -> None:
        """Recover everything, then listen.

        Raises:
            ConfigError, CorruptionError, MetadataFailedError, OSError: what an operator can mend.

        """
        settings = self._static_settings
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        self.tasks = TaskScope("broker", on_failure=lambda what, error: self.fail(f"{what}: {error}"))
        self.timers = Timers(self.clock, loop)
        self.fetch_waits = Waits(self.timers, FETCH_WAITS_MAX)
        # Metadata is begun anew only where no log directory tells of an older life: without it, nobody knows which topics exist.
        self.metadata = await MetadataService.open(
            settings,
            self._sources,
            create=not _has_older_life(settings),
            on_failure=lambda error: self.fail(str(error)),
        )
        self._started.append("metadata")
        await self._open_replicas()
        self.coordinators = Coordinators(self.metadata, self.replicas, self.clock, self.timers, self.tasks)
        self._started.append("coordinators")
        await self._listen()
        self.coordinators.start()
        BrokerMetrics(self).register()
        self.metrics.register(self.coordinators.collect)

    async def _open_replicas(self) -> None:
        began = time.perf_counter()
        self.replicas = ReplicaManager(
            self.settings,
            self.clock,
            reserve_memory_offsets=self.metadata.reserve_memory_offsets,
            on_directory_offline=self.metadata.directory_failed,
            on_all_offline=self.fail,
            on_deleted=self.metadata.confirm_deletions,
            spawn=lambda work: self.tasks.start(work, "storage"),
        )
        self._started.append("replicas")
        self.replicas.identify(self.metadata.image)
        await self.replicas.open(self.metadata.image)
        for state in self.replicas.states:
            if state.online and state.directory_id is not None:
                await self.metadata.register_directory(state.directory_id, state.path)
                deleted = self.metadata.image.deleted_in(state.directory_id)
                await self.metadata.confirm_deletions(state.directory_id, deleted)
        self.metadata.subscribe(self.replicas)
        bumps = self.replicas.recovered_partitions()
        if bumps:
            await self.metadata.bump_leader_epochs(bumps)
        self.replicas.leader_epochs_durable()
        self.startup_report.update(self.replicas.recovery_summary())
        self.startup_report["recovery_ms"] = round((time.perf_counter() - began) * 1000)

    async def _listen(self) -> None:
        settings = self.settings
        latency = self.metrics.histograms(
            "logbroker_request_seconds", "From a request's last byte to its reply, by API.", ["api"]
        )
        dispatcher = Dispatcher(self, self.tasks, latency=latency.labels)
        self.metrics.register(dispatcher.collect)
        limits = server_limits(settings)
        if limits.connections_max < settings.max_connections:
            _log.warning(
                "fewer connections than max.connections are let in: the process may not open more files",
                connections=limits.connections_max,
                remedy="raise the limit of open files (ulimit -n, LimitNOFILE= in the systemd unit)",
            )
        self.server = Server(dispatcher.dispatch, limits, self.clock)
        self.metadata.subscribe(LiveSettings(self.server, started_with=self._static_settings, now=settings))
        self._started.append("server")
        bound = []
        for endpoint in settings.listener_endpoints:
            listener = await self.server.listen(
                endpoint.name, endpoint.host, endpoint.port, backlog=listen_backlog(settings)
            )
            bound.append(Endpoint(endpoint.name, endpoint.host, listener.port))
            self._advertised = settings.advertised_endpoints(bound, socket.gethostname())
        self.startup_report["listeners"] = ", ".join(str(endpoint) for endpoint in bound)

    # Life

    async def reconfigure(self, settings: Settings, sources: ConfigSources) -> None:
        """Settings that can change while running have changed. Raises ConfigError: nothing has."""
        await self.metadata.reload_settings(settings, sources)
        self._static_settings = settings
        self._sources = sources

    def fail(self, reason: str) -> None:
        """Something the broker can't go on without has failed."""
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(reason)

    def wait_failed(self) -> Awaitable[str]:
        """Resolves to the reason when the broker has failed."""
        if self._failure is None:
            raise RuntimeError("start() comes first")
        return asyncio.shield(self._failure)

    # Stop

    async def stop(self, *, hurry: asyncio.Event) -> None:
        """Stop accepting, answer what is in flight, checkpoint, let go. `hurry` cuts the first part short."""
        started = self._started
        if "server" in started:
            await self._stop_server(hurry)
        if "coordinators" in started:
            await self.coordinators.stop()
        if "replicas" in started:
            await self.replicas.close()
        if "metadata" in started:
            try:
                await self.metadata.close()
            except LogbrokerError as error:
                _log.error("the metadata could not be closed", reason=str(error))
        self.produce_waits.close()
        if self._failure is not None:
            self.timers.close()
            await self.tasks.close()
        self._started = []

    async def _stop_server(self, hurry: asyncio.Event) -> None:
        stopping = asyncio.ensure_future(self.server.stop(STOP_TIMEOUT_S))
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.sleep(
            0
        )  # from here on connections dispatch nothing more, so no fetch parks behind this
        self.fetch_waits.expire_all()
        self.coordinators.release_waiting()
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await self.server.stop(0)
        await stopping
        hurried.cancel()


def _has_older_life(settings: Settings) -> bool:
    return any(os.path.exists(os.path.join(path, IDENTITY_FILE)) for path in settings.log_dirs)
