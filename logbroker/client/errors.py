"""What the client raises.

ClientError                        (`logbroker.base.errors`) the root: catch this one
├── UnreachableError               no connection to a broker could be made
├── ConnectionLostError            a connection was lost or timed out; a request in flight may have been carried out
├── UnsupportedByBrokerError       the broker lacks an API, or any version of it that we know
├── RefusedError(code)             a broker answered with an error code
├── DeliveryTimeoutError           a record was not acknowledged in time; it may have been written
├── BufferFullError                the producer's buffer stayed full for longer than a send may wait
├── RecordTooLargeError            one record that exceeds what a request may carry
├── DamagedBatchError              fetched bytes that are no valid record batch; names partition and offset
└── ClosedError                    the producer, consumer or admin was closed before or during the call

Arguments that can't be right (a negative partition, no bootstrap server) raise `ConfigError`.
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import ClientError
from logbroker.net.client_connection import ConnectionLostError, UnreachableError, UnsupportedByBrokerError

__all__ = [
    "BufferFullError",
    "ClientError",
    "ClosedError",
    "ConnectionLostError",
    "DamagedBatchError",
    "DeliveryTimeoutError",
    "RecordTooLargeError",
    "RefusedError",
    "UnreachableError",
    "UnsupportedByBrokerError",
    "error_code_of",
]


class RefusedError(ClientError):
    """A broker answered with an error code."""

    def __init__(self, code: ErrorCode, what: str, broker_message: str | None = None) -> None:
        """Say that `what` (a topic, a partition, a request) was refused with `code`, in the broker's words if it gave any."""
        detail = f" ({broker_message})" if broker_message else ""
        super().__init__(f"{what}: {code.name}{detail}")
        self.code = code
        self.what = what
        self.broker_message = broker_message


class DeliveryTimeoutError(ClientError):
    """A record was not acknowledged within the delivery timeout; it may have been written all the same."""


class BufferFullError(ClientError):
    """The producer's buffer had no room for a record for as long as the call may wait."""


class RecordTooLargeError(ClientError):
    """A record is larger than a request to a broker may be."""


class DamagedBatchError(ClientError):
    """A fetched batch that can't be decoded; the position stays before it until the caller seeks past it."""

    def __init__(self, topic: str, partition: int, offset: int, next_offset: int, what: str) -> None:
        super().__init__(
            f"the record batch at offset {offset} of {topic}-{partition} can't be read: {what}; seek to {next_offset} to skip it"
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.next_offset = next_offset


class ClosedError(ClientError):
    """The producer, consumer or admin has been closed."""


def error_code_of(number: int) -> ErrorCode:
    """Return the error code for a number off the wire; one from a later Kafka becomes UNKNOWN_SERVER_ERROR."""
    try:
        return ErrorCode(number)
    except ValueError:
        return ErrorCode.UNKNOWN_SERVER_ERROR
