"""How a failed write of an internal topic is told to a group's clients."""

from __future__ import annotations

from typing import Final

from logbroker.base.error_codes import ErrorCode

_WRITE_ERRORS: Final[dict[ErrorCode, ErrorCode]] = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
    ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.INVALID_FETCH_SIZE: ErrorCode.UNKNOWN_SERVER_ERROR,
}

_TOO_LARGE = frozenset(
    {ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.RECORD_LIST_TOO_LARGE, ErrorCode.INVALID_FETCH_SIZE}
)


def write_error(error: ErrorCode) -> ErrorCode:
    """What a member is told when its group could not be stored: look for the coordinator again, mostly."""
    return _WRITE_ERRORS.get(error, error)


def commit_error(error: ErrorCode) -> ErrorCode:
    """What a client is told when its offsets could not be stored."""
    return ErrorCode.INVALID_COMMIT_OFFSET_SIZE if error in _TOO_LARGE else write_error(error)


def fetch_error(error: ErrorCode) -> ErrorCode:
    """What a client is told when offsets can't be read yet: consumers before 3.9 retry only NOT_COORDINATOR."""
    mapped = write_error(error)
    return ErrorCode.NOT_COORDINATOR if mapped is ErrorCode.COORDINATOR_NOT_AVAILABLE else mapped
