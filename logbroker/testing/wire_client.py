"""A blocking client of one connection, for tests that must see exactly what the broker answers, and when.

It stands on the codecs and a plain socket: no retries, no buffering, no metadata. Requests may be pipelined (`send` several,
then `receive` in order). Whatever ends the connection, time-outs included, is a `ConnectionError` and leaves the client closed; a request
whose answer didn't come may or may not have been done. One thread at a time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import deque
from types import TracebackType
from typing import Any, Final

from logbroker.base.types import Buffer
from logbroker.records.batch import Codec
from logbroker.records.builder import BatchBuilder
from logbroker.wire import codec
from logbroker.wire.api import API, ApiKey
from logbroker.wire.frames import request_frame
from logbroker.wire.headers import decode_response_header
from logbroker.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from logbroker.wire.messages.init_producer_id import InitProducerIdRequest
from logbroker.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from logbroker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)

RESPONSE_MAX_BYTES: Final = 256 << 20
VERSIONS: Final = {
    ApiKey.PRODUCE: 12,
    ApiKey.FETCH: 12,
    ApiKey.METADATA: 12,
    ApiKey.DELETE_TOPICS: 6,
    ApiKey.OFFSET_COMMIT: 8,
    ApiKey.OFFSET_FETCH: 8,
}
"""The versions that name topics by name; of every other API the newest one is spoken."""
EARLIEST: Final = -2
LATEST: Final = -1


class WireClient:
    """One connection to `host:port`."""

    def __init__(self, bootstrap: str, *, timeout_s: float = 20.0, client_id: str | None = "wire") -> None:
        """Connect. Raises OSError."""
        host, _, port = bootstrap.rpartition(":")
        self.client_id = client_id
        self.socket = socket.create_connection((host, int(port)), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._correlation_id = 0
        self._sent: deque[tuple[ApiKey, int, int]] = deque()

    def __enter__(self) -> WireClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; a thread that waits in it is woken."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def call(self, api_key: ApiKey, request: Any, version: int | None = None) -> Any:
        """Send a request and return its response. Raises ConnectionError."""
        self.send(api_key, request, version)
        return self.receive()

    def send(self, api_key: ApiKey, request: Any, version: int | None = None) -> None:
        """Send a request; its answer is fetched with `receive`, in the order of sending. Raises ConnectionError."""
        if version is None:
            version = VERSIONS.get(api_key, API[api_key].max_version)
        self._correlation_id += 1
        pieces = request_frame(
            api_key,
            version,
            self._correlation_id,
            self.client_id,
            codec.encode_request(api_key, version, request),
        )
        try:
            self.socket.sendall(b"".join(pieces))
        except OSError as error:
            self.close()
            raise ConnectionError(str(error)) from error
        self._sent.append((api_key, version, self._correlation_id))

    def receive(self) -> Any:
        """Return the next response. Raises ConnectionError."""
        api_key, version, correlation_id = self._sent.popleft()
        frame = self.receive_frame()
        answered, position = decode_response_header(api_key, version, frame)
        if answered != correlation_id:
            raise RuntimeError(f"asked {correlation_id}, answered {answered}")
        return codec.decode_response(api_key, version, frame, position)

    def receive_frame(self) -> bytearray:
        """Return one frame as it comes, without its length. Raises ConnectionError."""
        try:
            (length,) = struct.unpack(">i", self._exactly(4))
            if not 0 <= length <= RESPONSE_MAX_BYTES:
                raise ConnectionError(f"a response of {length} bytes")
            return self._exactly(length)
        except OSError as error:
            self.close()
            if isinstance(error, ConnectionError):
                raise
            raise ConnectionError(str(error) or type(error).__name__) from error

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            received = self.socket.recv_into(view)
            if not received:
                raise ConnectionResetError("the broker closed the connection")
            view = view[received:]
        return data

    # ---- what tests ask for most ----

    def send_produce(
        self, topic: str, index: int, batch: Buffer, *, acks: int = -1, timeout_ms: int = 30_000
    ) -> None:
        """Send one batch for one partition."""
        data = [TopicProduceData(name=topic, partition_data=[PartitionProduceData(index, batch)])]
        self.send(ApiKey.PRODUCE, ProduceRequest(acks=acks, timeout_ms=timeout_ms, topic_data=data))

    def receive_produced(self) -> PartitionProduceResponse:
        """Return the answer to a `send_produce`."""
        response: PartitionProduceResponse = self.receive().responses[0].partition_responses[0]
        return response

    def produce(
        self, topic: str, index: int, batch: Buffer, *, acks: int = -1, timeout_ms: int = 30_000
    ) -> PartitionProduceResponse:
        """Produce one batch to one partition."""
        self.send_produce(topic, index, batch, acks=acks, timeout_ms=timeout_ms)
        return self.receive_produced()

    def producer_id(self) -> int:
        """Ask for a producer id, of epoch 0."""
        response = self.call(ApiKey.INIT_PRODUCER_ID, InitProducerIdRequest(None, 60_000), 4)
        if response.error_code:
            raise RuntimeError(f"InitProducerId: error {response.error_code}")
        return int(response.producer_id)

    def offset(self, topic: str, index: int, timestamp: int) -> tuple[int, int]:
        """Return (error code, offset) for a timestamp, `EARLIEST` or `LATEST`."""
        asked = ListOffsetsTopic(topic, [ListOffsetsPartition(partition_index=index, timestamp=timestamp)])
        response = self.call(ApiKey.LIST_OFFSETS, ListOffsetsRequest(replica_id=-1, topics=[asked]), 7)
        partition = response.topics[0].partitions[0]
        return partition.error_code, partition.offset

    def fetch(
        self, topic: str, index: int, offset: int, *, max_wait_ms: int = 0, max_bytes: int = 4 << 20
    ) -> PartitionData:
        """Fetch one partition, without a session."""
        wanted = FetchPartition(
            partition=index, fetch_offset=offset, log_start_offset=-1, partition_max_bytes=max_bytes
        )
        response = self.call(
            ApiKey.FETCH,
            FetchRequest(
                max_wait_ms=max_wait_ms,
                min_bytes=1,
                max_bytes=max_bytes,
                session_epoch=-1,
                topics=[FetchTopic(topic=topic, partitions=[wanted])],
            ),
        )
        found: PartitionData = response.responses[0].partitions[0]
        return found


def batch_of(
    values: list[bytes],
    *,
    timestamp_ms: int,
    producer_id: int = -1,
    sequence: int = -1,
    producer_codec: Codec = Codec.NONE,
) -> bytearray:
    """Return a batch of records with these values, of epoch 0 where a producer id is given."""
    builder = BatchBuilder(
        codec=producer_codec,
        producer_id=producer_id,
        producer_epoch=0 if producer_id >= 0 else -1,
        base_sequence=sequence,
    )
    for value in values:
        builder.append(timestamp_ms, None, value)
    return builder.build()
