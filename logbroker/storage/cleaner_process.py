"""Where a pass of compaction computes: in a process of its own, or on the lane itself (`LocalRunner`: simulations and tests).

Compaction decodes every record it meets. In a thread of the broker it would hold the interpreter for seconds on end, and produce latency
with it; so a lane of the broker only talks to a plain Python process (`python -m logbroker.storage.cleaner_process`):

    request, on its stdin     length u32, msgpack [b"index", Job] or [b"rewrite", group]
    answer, on its stdout     length u32, msgpack [b"", Indexed or Cleaned] or [kind, path, position, errno, text] of an error

The process runs at low priority, may not take more memory than map and one batch ask for, and ends at once when its stdin does: so
it never outlives the broker, nor writes into what the next one has begun. It imports from where the broker does. If it dies, or answers
what can't be read, the pass fails, and the next one starts another. It syncs what it wrote; that is all that anybody relies on.
"""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import signal
import struct
import subprocess
import sys
import threading
from typing import IO, Any, Protocol, TypeVar

import msgspec

from logbroker.base.errors import CorruptionError
from logbroker.storage.compaction import Cleaned, Compaction, Indexed, Job
from logbroker.storage.executor import Steps, run_to_end
from logbroker.storage.vfs import OsVfs, Vfs

NICENESS = 10
MEMORY_BYTES = 2 << 30
"""Address space beside the map: the interpreter, and one unpacked batch with all its records."""
ANSWER_BYTES_MAX = 64 << 20
COMMAND = (sys.executable, "-P", "-m", "logbroker.storage.cleaner_process")

_LENGTH = struct.Struct("<I")
_CORRUPT, _OS_ERROR, _OTHER = "corrupt", "os", "other"

T = TypeVar("T")


class CleanerError(Exception):
    """The cleaner's process failed: it died, ran out of memory, or met something that nobody thought of."""


class Runner(Protocol):
    """Computes passes, one at a time. The steps are for one lane."""

    def index_steps(self, job: Job) -> Steps[Indexed]:
        """Begin a pass. Raises CorruptionError, OSError, CleanerError."""
        ...

    def rewrite_steps(self, group: list[int]) -> Steps[Cleaned]:
        """Go on with it. Raises as `index_steps`."""
        ...

    def close(self) -> None:
        """Nothing is wanted any more; any thread, while nothing is under way."""
        ...


class LocalRunner:
    """On the lane itself, over any `Vfs`."""

    def __init__(self, vfs: Vfs) -> None:
        self._vfs = vfs
        self._pass: Compaction | None = None

    def index_steps(self, job: Job) -> Steps[Indexed]:
        """See `Runner`."""
        self._pass = Compaction(self._vfs, job, pause=lambda _: None)
        return (yield from self._pass.index_steps())

    def rewrite_steps(self, group: list[int]) -> Steps[Cleaned]:
        """See `Runner`."""
        if self._pass is None:
            raise CleanerError("no pass was begun")
        return (yield from self._pass.rewrite_steps(group))

    def close(self) -> None:
        """See `Runner`."""
        self._pass = None


class ProcessRunner:
    """In a process, started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._interrupted = False

    @property
    def pid(self) -> int:
        """The process; -1 if there is none."""
        return self._process.pid if self._process is not None else -1

    def index_steps(self, job: Job) -> Steps[Indexed]:
        """See `Runner`."""
        yield
        return self._ask(["index", job], Indexed)

    def rewrite_steps(self, group: list[int]) -> Steps[Cleaned]:
        """See `Runner`."""
        yield
        return self._ask(["rewrite", group], Cleaned)

    def close(self) -> None:
        """See `Runner`; a pass that is under way is broken off."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def interrupt(self) -> None:
        """Break off whatever is under way, for good; any thread."""
        self._interrupted = True  # a process that is just being started isn't known yet
        process = self._process
        if process is not None:
            process.kill()

    def _ask(self, request: list[Any], kind: type[T]) -> T:
        process = self._process
        if not self._interrupted and (process is None or process.poll() is not None):
            self.close()
            process = self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        if self._interrupted or process is None:
            self.close()
            raise CleanerError("it was interrupted")
        if process.stdin is None or process.stdout is None:
            raise CleanerError("the cleaner's process has no pipes")
        try:
            _send(process.stdin, request)
            answer = _receive(process.stdout, ANSWER_BYTES_MAX)
        except OSError:
            answer = None
        if answer is None:
            self.close()
            raise CleanerError(f"the cleaner's process ended with status {process.poll()}")
        try:
            tag, *rest = msgspec.msgpack.decode(answer)
            if not tag:
                return msgspec.convert(rest[0], kind)
            path, position, number, text = rest
        except (msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
            self.close()  # what else it may say is no answer to any question
            raise CleanerError(f"the cleaner's process gave no answer: {error}") from error
        if tag == _CORRUPT:
            raise CorruptionError(path, position, text)
        if tag == _OS_ERROR:
            raise OSError(number, text, path)
        raise CleanerError(text)


def _send(pipe: IO[bytes], message: list[Any]) -> None:
    data = msgspec.msgpack.encode(message)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[pipe.write(view) :]


def _receive(pipe: IO[bytes], bytes_max: int) -> bytes | None:
    """One message; None at the end."""
    head = _read_exactly(pipe, _LENGTH.size)
    if head is None:
        return None
    (size,) = _LENGTH.unpack(head)
    if size > bytes_max:
        return None
    return _read_exactly(pipe, size)


def _read_exactly(pipe: IO[bytes], size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        part = pipe.read(size - len(data))
        if not part:
            return None
        data += part
    return bytes(data)


class _Worker:
    """The process's side: one pass after the other."""

    def __init__(self) -> None:
        self._vfs = OsVfs()
        self._pass: Compaction | None = None

    def answer(self, data: bytes) -> list[Any]:
        verb, argument = msgspec.msgpack.decode(data)
        try:
            if verb == "index":
                self._pass = None
                job = msgspec.convert(argument, Job)
                _bound_memory(job.map_bytes)
                self._pass = Compaction(self._vfs, job)
                return ["", _run(self._pass.index_steps())]
            if self._pass is None:
                raise CleanerError("no pass was begun")
            return ["", _run(self._pass.rewrite_steps(argument))]
        except CorruptionError as error:
            return [_CORRUPT, error.path, error.position, 0, error.what]
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else ""
            return [_OS_ERROR, path, 0, error.errno or 0, error.strerror or str(error)]
        except MemoryError:
            return [_OTHER, "", 0, 0, "the cleaner ran out of memory; is a batch larger than it may be?"]
        except Exception as error:  # the broker logs it; another pass may fare better
            return [_OTHER, "", 0, 0, f"{type(error).__name__}: {error}"]


def _run(steps: Steps[T]) -> T:
    result, error = run_to_end(steps)
    if error is not None or result is None:
        raise error or CleanerError("a pass gave nothing")
    return result


def _bound_memory(map_bytes: int) -> None:
    limit = map_bytes + MEMORY_BYTES
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard)
        )


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the broker, which gets it as well, stops this in order
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    source, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # whatever prints doesn't answer

    def listen() -> None:
        while (request := _receive(source, ANSWER_BYTES_MAX)) is not None:
            requests.put(request)
        os._exit(0)  # whatever is under way: the broker is gone, and its successor may be here

    threading.Thread(target=listen, daemon=True).start()
    worker = _Worker()
    while True:
        answer = worker.answer(requests.get())
        try:
            _send(answers, answer)
        except BrokenPipeError:  # the broker is gone
            os._exit(0)


if __name__ == "__main__":
    main()
