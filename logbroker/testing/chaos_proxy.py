"""A proxy between clients and a real broker that can misbehave like a network: cut connections, lose answers, wait.

Answers that name brokers (Metadata, DescribeCluster) are rewritten to name the proxy, so that clients keep coming
through it. Frames are passed whole and in order. With `cut_chance` a connection is cut before the broker gets a request,
or after it has carried it out and before the client hears of it, which is what idempotence is for. One event loop.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections import deque
from types import TracebackType
from typing import Any, Self

from logbroker.wire.api import ApiKey
from logbroker.wire.codec import decode_response, encode_response
from logbroker.wire.frames import response_frame
from logbroker.wire.headers import decode_response_header

__all__ = ["ChaosProxy"]

_SIZE = struct.Struct(">i")
_REQUEST_START = struct.Struct(">hhi")


class ChaosProxy:
    """Listens on a port of its own and passes everything on to the broker at (host, port)."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.port = 0
        self.cuts = 0
        self.cut_chance = 0.0
        """How likely it is that a connection is cut at any one frame; half of the time after the broker got it."""
        self._broker = (host, port)
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def bootstrap_servers(self) -> str:
        """What clients connect to."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._broker)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        self._writers.add(broker_writer)
        asked: deque[tuple[int, int]] = deque()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_requests(reader, broker_writer, asked))
                group.create_task(self._pass_answers(broker_reader, writer, asked))
        except* (OSError, EOFError, _CutError):
            pass
        except* asyncio.CancelledError:
            pass  # the proxy is being closed; asyncio's streams would log a cancelled task as an error
        finally:
            for end in (writer, broker_writer):
                end.transport.abort()
                self._writers.discard(end)
            self._tasks.discard(task)

    async def _pass_requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[tuple[int, int]]
    ) -> None:
        while True:
            frame = await _read_frame(reader)
            api_key, version, _ = _REQUEST_START.unpack_from(frame)
            if self._misfortune():
                if self._random.random() < 0.5:
                    writer.write(_SIZE.pack(len(frame)) + frame)
                    await writer.drain()
                    # The answer is read, so that the broker has surely carried the request out, and thrown away.
                    asked.append((-1, version))
                    continue
                raise _CutError
            asked.append((api_key, version))
            writer.write(_SIZE.pack(len(frame)) + frame)
            await writer.drain()

    async def _pass_answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: deque[tuple[int, int]]
    ) -> None:
        while True:
            frame = await _read_frame(reader)
            api_key, version = asked.popleft()
            if api_key < 0:
                raise _CutError
            if api_key in {ApiKey.METADATA, ApiKey.DESCRIBE_CLUSTER}:
                correlation_id, position = decode_response_header(api_key, version, frame)
                message: Any = decode_response(api_key, version, frame, position)
                for broker in message.brokers:
                    broker.host, broker.port = "127.0.0.1", self.port
                writer.writelines(
                    response_frame(
                        api_key, version, correlation_id, encode_response(api_key, version, message)
                    )
                )
            else:
                writer.write(_SIZE.pack(len(frame)) + frame)
            await writer.drain()

    def _misfortune(self) -> bool:
        if self._random.random() >= self.cut_chance:
            return False
        self.cuts += 1
        return True


class _CutError(Exception):
    """The connection is to be cut here."""


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = _SIZE.unpack(await reader.readexactly(_SIZE.size))
    return await reader.readexactly(size)
