"""ListOffsets (API key 2), versions 1-11: first, last and by-time offsets of partitions.

    -1 latest (the high watermark; consumers can't see more)      -2 earliest      -3 the record with the largest timestamp (KIP-734)
    -4 earliest local, as -2 here: there is no tiered storage (KIP-405)      -5 latest tiered: none (KIP-1005)
    -6 earliest pending upload: none (KIP-1023)

Any other value is a time in ms: the first record at or after it, or -1. Looking it up reads the time index, a few batch headers
and decodes one batch; where that isn't in the page cache, a lane reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError, InvalidBatchError
from logbroker.base.types import Buffer
from logbroker.broker.context import RequestContext
from logbroker.records.batch import BatchHeader
from logbroker.records.iterator import iter_records
from logbroker.replication.disk_reads import FetchedRanges, fetch_ranges
from logbroker.replication.partition import Partition
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

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6


async def handle(broker: Broker, context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    """Answer partition by partition."""
    response = ListOffsetsResponse()
    for topic in request.topics:
        results = ListOffsetsTopicResponse(name=topic.name)
        response.topics.append(results)
        for wanted in topic.partitions:
            result = ListOffsetsPartitionResponse(
                partition_index=wanted.partition_index, timestamp=-1, offset=-1, leader_epoch=-1
            )
            results.partitions.append(result)
            try:
                partition = broker.replicas.partition(topic.name, wanted.partition_index)
                await _look_up(partition, wanted, result)
            except BrokerError as error:
                result.error_code = error.code
            except CorruptionError:
                result.error_code = ErrorCode.KAFKA_STORAGE_ERROR
    return response


async def _look_up(
    partition: Partition, wanted: ListOffsetsPartition, result: ListOffsetsPartitionResponse
) -> None:
    partition.check_epoch(wanted.current_leader_epoch)
    log = partition.log
    if log.refusal is not None:
        raise log.refusal
    timestamp = wanted.timestamp
    if timestamp == LATEST:
        result.offset = partition.high_watermark
        result.leader_epoch = partition.leader_epoch
    elif timestamp in {EARLIEST, EARLIEST_LOCAL}:
        result.offset = partition.log_start_offset
        result.leader_epoch = log.epochs.epoch_of(result.offset)
    elif timestamp in {LATEST_TIERED, EARLIEST_PENDING_UPLOAD}:
        return
    elif timestamp < 0 and timestamp != MAX_TIMESTAMP:
        raise BrokerError(ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT)
    else:
        await _look_up_time(partition, timestamp, result)


async def _look_up_time(partition: Partition, timestamp: int, result: ListOffsetsPartitionResponse) -> None:
    log = partition.log
    fetched: FetchedRanges = {}
    while True:
        reader = log.host.reader(fetched)
        try:
            if timestamp == MAX_TIMESTAMP:
                found = log.max_timestamp_batch(reader)
            else:
                found = log.find_timestamp(timestamp, reader)
            break
        except WouldBlockError as missing:
            fetched.update(await fetch_ranges(log, [missing.key]))
    if found is None:
        return
    header, parts = found
    offset, record_timestamp = _find_record(header, parts, timestamp, log.start_offset)
    if offset < 0:
        return
    result.offset = offset
    result.timestamp = record_timestamp
    result.leader_epoch = header.partition_leader_epoch


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
