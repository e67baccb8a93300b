"""The administrative half of a broker in the test's own loop, and a client that speaks any version of any API to it.

Listener, dispatcher, handlers and metadata are the real ones. What lies behind (the replica manager) isn't asked by these
handlers for more than its log directories, so that is all there is of it here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from logbroker.base.clock import SystemClock
from logbroker.base.tasks import TaskScope
from logbroker.broker.dispatch import Dispatcher
from logbroker.config.settings import Settings
from logbroker.config.sources import ConfigSources
from logbroker.metadata.service import MetadataService
from logbroker.net.client_connection import ClientConnection
from logbroker.net.limits import ServerLimits
from logbroker.net.server import Server
from logbroker.wire.api import API, ApiKey

_API_OF_REQUEST = {f"{spec.name}Request": spec for spec in API.values()}
SIZE_BYTES = 1000


@dataclass
class LogDir:
    path: str
    directory_id: UUID
    online: bool = True
    total_bytes: int = 0
    usable_bytes: int = 0
    partitions: list[tuple[str, int, int]] = field(default_factory=list)


class Directories:
    """What the replica manager knows of its log directories."""

    def __init__(self, metadata: MetadataService, paths: tuple[str, ...]) -> None:
        self.metadata = metadata
        self.directories = [LogDir(path, UUID(int=0xD0 + n)) for n, path in enumerate(paths)]

    def fail(self, number: int) -> None:
        self.directories[number].online = False
        self.metadata.directory_failed(self.directories[number].directory_id)

    def log_dirs(self) -> list[LogDir]:
        for directory in self.directories:
            if not directory.online:
                continue
            directory.total_bytes, _, directory.usable_bytes = shutil.disk_usage(directory.path)
            directory.partitions = [
                (topic.name, index, SIZE_BYTES + index)
                for topic, index, _ in self.metadata.image.partitions_in(directory.directory_id)
            ]
        return self.directories


class Broker:
    """What the handlers are handed."""

    def __init__(self, metadata: MetadataService, replicas: Directories) -> None:
        self.metadata = metadata
        self.replicas = replicas
        self.ports: dict[str, int] = {}

    @property
    def node_id(self) -> int:
        return self.metadata.image.node_id

    def advertised(self, listener_name: str) -> tuple[str, int]:
        return f"{listener_name.lower()}.example", self.ports[listener_name]


class Admin:
    """The broker, and a connection to it."""

    def __init__(self, broker: Broker, client: ClientConnection) -> None:
        self.broker = broker
        self.client = client

    @property
    def metadata(self) -> MetadataService:
        return self.broker.metadata

    async def ask(self, request: Any, version: int | None = None) -> Any:
        """The response to `request`, over the socket, in this version or the newest."""
        spec = _API_OF_REQUEST[type(request).__name__]
        return await self.client.request(ApiKey(spec.key), request, version=version)

    @staticmethod
    def versions(request_class: type) -> range:
        """Every version of the API that the broker offers."""
        spec = _API_OF_REQUEST[request_class.__name__]
        return range(spec.min_version, spec.max_version + 1)


@pytest.fixture
def run(tmp_path):
    """Runs `test(admin)` against a broker whose data is in tmp_path; may be used again on the same data."""

    def run_test(
        test: Callable[[Admin], Awaitable[Any]],
        sources: ConfigSources | None = None,
        listener: str = "PLAINTEXT",
        **settings: Any,
    ) -> Any:
        async def main() -> Any:
            paths = tuple(str(tmp_path / f"disk{n}") for n in range(2))
            for path in paths:
                os.makedirs(path, exist_ok=True)
            static = Settings(log_dirs=paths, metadata_log_dir=str(tmp_path / "metadata"), **settings)
            metadata = await MetadataService.open(static, sources)
            broker = Broker(metadata, Directories(metadata, paths))
            for directory in broker.replicas.directories:
                await metadata.register_directory(directory.directory_id, directory.path)
            tasks = TaskScope("test")
            server = Server(Dispatcher(broker, tasks).dispatch, ServerLimits(), SystemClock())
            try:
                for name in ("PLAINTEXT", "OUTSIDE"):
                    broker.ports[name] = (await server.listen(name, "127.0.0.1", 0)).port
                client = await ClientConnection.connect("127.0.0.1", broker.ports[listener])
                try:
                    return await test(Admin(broker, client))
                finally:
                    client.close()
            finally:
                await server.stop(1)
                await tasks.close()
                await metadata.close()

        return asyncio.run(main())

    return run_test
