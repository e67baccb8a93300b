"""Every error this project raises on purpose.

LogbrokerError                     the root; its message is fit to be shown to an operator
├── ConfigError                    a setting or a command line that can't be used; names the key and the remedy
├── BrokerError(code, message)     becomes an error code in a response
│   ├── StorageOfflineError        KAFKA_STORAGE_ERROR: the log directory failed and stays offline
│   └── InvalidBatchError          a batch that the header proves wrong (CORRUPT_MESSAGE, INVALID_RECORD, ...)
├── CorruptionError                something that was durable is damaged: path, position, what was expected
├── ProtocolError                  bytes that are no valid frame or message: the connection is closed
└── ClientError                    the SDK and the CLI: could not reach or understand a broker
"""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode


class LogbrokerError(Exception):
    """Root of the tree; `str()` of it is one sentence for a person, with the remedy where there is one."""


class ConfigError(LogbrokerError):
    """A setting, file or argument that cannot be used as given."""


class BrokerError(LogbrokerError):
    """A request (or one partition of it) that is answered with an error code."""

    def __init__(self, code: ErrorCode, message: str = "") -> None:
        super().__init__(message or code.name)
        self.code = code
        self.message = message or None


class StorageOfflineError(BrokerError):
    """The log directory that holds the partition failed; it stays offline until a restart."""

    def __init__(self, message: str = "") -> None:
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, message)


class InvalidBatchError(BrokerError):
    """A record batch whose bytes prove that it must not be appended."""


class CorruptionError(LogbrokerError):
    """Durable bytes that are not what was written: never cut, never guessed around."""

    def __init__(self, path: str, position: int, what: str) -> None:
        super().__init__(f"{path} at byte {position}: {what}")
        self.path = path
        self.position = position
        self.what = what

    def within(self, directory: str) -> CorruptionError:
        """The same error, its path taken as relative to `directory`."""
        return CorruptionError(f"{directory}/{self.path}", self.position, self.what)


class ProtocolError(LogbrokerError):
    """Bytes from a peer that are no valid frame or message; the connection can't go on."""


class ClientError(LogbrokerError):
    """What the SDK raises when a broker can't be reached, or answers with something unusable."""
