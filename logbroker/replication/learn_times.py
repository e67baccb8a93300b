"""Learning how old the records of a reopened segment are, off the loop where the page cache doesn't hold them. Loop thread only."""

from __future__ import annotations

from logbroker.base.errors import BrokerError, CorruptionError, InvalidBatchError
from logbroker.records.batch import HEADER_SIZE, parse_header
from logbroker.replication.disk_reads import Fetched, fetch_ranges
from logbroker.replication.partition import Partition
from logbroker.storage.reader import Reader
from logbroker.storage.segment import Segment, WouldBlockError


async def learn_times(partition: Partition, segment: Segment) -> bool:
    """Learn the first and the largest timestamp of a segment; False if they can't be read, or it is gone."""
    log = partition.log
    fetched = Fetched()
    while not segment.times_known and not segment.dropped and log.refusal is None:
        try:
            reader = log.host.reader(fetched)
            _learn_first(segment, reader)
            segment.load_times(reader)
        except WouldBlockError as wanted:
            try:
                fetched.add(await fetch_ranges(log, [wanted.key]))
            except BrokerError:
                return False
        except InvalidBatchError as error:
            partition.unreadable(CorruptionError(segment.path, 0, str(error)))
            return False
        except (CorruptionError, OSError) as error:
            partition.unreadable(error)
            return False
    return segment.times_known


def _learn_first(segment: Segment, reader: Reader) -> None:
    if segment.first_timestamp < 0 and segment.written:
        header = parse_header(reader.read(segment.path, HEADER_SIZE, 0))
        segment.first_timestamp = header.max_timestamp
