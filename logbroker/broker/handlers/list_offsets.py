"""ListOffsets (API key 2), versions 1-11: first, last and by-time offsets of partitions.

    -1 latest: the high watermark, or the last stable offset for read_committed (KIP-98); consumers can't see more
    -2 earliest      -3 the record with the largest timestamp (KIP-734)
    -4 earliest local, as -2 here: there is no tiered storage (KIP-405)      -5 latest tiered: none (KIP-1005)
    -6 earliest pending upload: none (KIP-1023)

A negative timestamp that the request's version doesn't know yet gets UNSUPPORTED_VERSION, and a partition that is named twice
INVALID_REQUEST, as in Kafka. Any other value is a time in ms: the first record at or after it, or -1. Looking it up reads the
time index, a few batch headers and decodes one batch; where that isn't in the page cache, a lane reads it. A record that its reader
can't see yet is not found; but -3 waits for the record to become durable, as under load there is always one that isn't yet.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.broker.context import RequestContext
from logbroker.records.batch import BatchHeader
from logbroker.records.iterator import iter_records
from logbroker.replication.disk_reads import Fetched, fetch_ranges
from logbroker.replication.partition import Partition
from logbroker.storage.log import Log
from logbroker.storage.segment import WouldBlockError
from logbroker.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker

READ_COMMITTED: Final = 1
LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6


_KNOWN_FROM: Final = {
    LATEST: 1,
    EARLIEST: 1,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}
_NEVER: Final = 1 << 15
DURABLE_WAIT_MAX_MS: Final = 2000
"""So long the record with the largest timestamp is waited for; then none is told."""


async def handle(broker: Broker, context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    """Answer partition by partition."""
    left = Counter(
        (topic.name, wanted.partition_index) for topic in request.topics for wanted in topic.partitions
    )
    response = ListOffsetsResponse()
    for topic in request.topics:
        results = ListOffsetsTopicResponse(name=topic.name)
        response.topics.append(results)
        for wanted in topic.partitions:
            key = topic.name, wanted.partition_index
            if not (times := left.pop(key, 0)):
                continue  # named twice, and told so already
            result = ListOffsetsPartitionResponse(
                partition_index=wanted.partition_index, timestamp=-1, offset=-1, leader_epoch=-1
            )
            results.partitions.append(result)
            try:
                if times > 1:
                    raise BrokerError(ErrorCode.INVALID_REQUEST)
                partition = broker.replicas.partition(*key)
                committed = request.isolation_level == READ_COMMITTED
                await _look_up(broker, partition, context.api_version, wanted, result, committed=committed)
            except BrokerError as error:
                result.error_code = error.code
    return response


async def _look_up(
    broker: Broker,
    partition: Partition,
    version: int,
    wanted: ListOffsetsPartition,
    result: ListOffsetsPartitionResponse,
    *,
    committed: bool,
) -> None:
    timestamp = wanted.timestamp
    if timestamp < 0 and version < _KNOWN_FROM.get(timestamp, _NEVER):
        raise BrokerError(ErrorCode.UNSUPPORTED_VERSION)
    partition.check_epoch(wanted.current_leader_epoch)
    log = partition.log
    if log.refusal is not None:
        raise log.refusal
    if timestamp == LATEST:
        result.offset = partition.last_stable_offset if committed else partition.high_watermark
        result.leader_epoch = partition.leader_epoch
    elif timestamp in {EARLIEST, EARLIEST_LOCAL}:
        result.offset = partition.log_start_offset
        result.leader_epoch = log.epochs.epoch_of(result.offset)
        if result.leader_epoch < 0 and result.offset == log.end_offset:
            result.leader_epoch = (
                partition.leader_epoch
            )  # nothing is written yet; what comes will have this one
    elif timestamp not in {LATEST_TIERED, EARLIEST_PENDING_UPLOAD}:
        await _look_up_time(broker, partition, timestamp, result, committed=committed)


async def _look_up_time(
    broker: Broker,
    partition: Partition,
    timestamp: int,
    result: ListOffsetsPartitionResponse,
    *,
    committed: bool,
) -> None:
    from_offset = partition.log_start_offset
    fetched = Fetched()
    while (found := await _find_batch(partition, timestamp, from_offset, fetched)) is not None:
        header, parts = found
        offset, record_timestamp = _find_record(header, parts, timestamp, partition.log_start_offset)
        if offset >= partition.high_watermark and not await _durable(broker, partition, offset):
            return
        if committed and offset >= partition.last_stable_offset:
            return
        if offset >= 0:
            result.offset = offset
            result.timestamp = record_timestamp
            result.leader_epoch = header.partition_leader_epoch
            return
        if timestamp == MAX_TIMESTAMP:
            return
        # The header promised more than the records keep, or those that keep it lie below the log's start.
        from_offset = header.next_offset
        await asyncio.sleep(0)  # there may be many such batches, and others wait for the loop


async def _durable(broker: Broker, partition: Partition, offset: int) -> bool:
    """Wait until readers may see this record. False: it takes too long, or never comes to it."""
    done = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    def look(log: Log) -> bool:
        if partition.high_watermark <= offset and log.refusal is None:
            return False
        settle()
        return True

    waits = broker.fetch_waits
    wait = waits.park([partition.log], DURABLE_WAIT_MAX_MS, look, settle)
    if wait is not None:
        partition.log.on_advance = waits.wake
        try:
            await done
        finally:
            wait.cancel()
    return partition.high_watermark > offset


async def _find_batch(
    partition: Partition, timestamp: int, from_offset: int, fetched: Fetched
) -> tuple[BatchHeader, list[Buffer]] | None:
    log = partition.log
    while True:
        reader = log.host.reader(fetched)
        try:
            if timestamp == MAX_TIMESTAMP:
                return log.max_timestamp_batch(reader)
            return log.find_timestamp(timestamp, reader, from_offset)
        except WouldBlockError as missing:
            fetched.add(await fetch_ranges(log, [missing.key]))
        except (CorruptionError, OSError) as error:
            raise partition.unreadable(error) from error


def _find_record(
    header: BatchHeader, parts: list[Buffer], timestamp: int, start_offset: int
) -> tuple[int, int]:
    """(offset, timestamp) of the first record in the batch that fits; (-1, -1) if none does."""
    batch = parts[0] if len(parts) == 1 else b"".join(parts)
    if header.is_log_append_time:
        return max(header.base_offset, start_offset), header.max_timestamp
    wanted = header.max_timestamp if timestamp == MAX_TIMESTAMP else timestamp
    try:
        for record in iter_records(batch, header=header):
            if record.timestamp_ms >= wanted and record.offset >= start_offset:
                return record.offset, record.timestamp_ms
    except InvalidBatchError:  # its inside lies: the header is all that can be told
        return header.last_offset, header.max_timestamp
    return -1, -1
