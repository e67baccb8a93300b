"""The life of a broker process: start, signals, reload, stop, and the status it leaves with.

    exit status   0 stopped as asked, 1 failed (a port, a directory, a disk), 2 wrong usage (settings, arguments)

SIGTERM and SIGINT stop it: no new connections, what is in flight is answered, flushed and checkpointed. A second one
hurries: the broker leaves out what isn't needed to keep its promises. SIGHUP reads the settings again and applies those
that can change while running; the others are named in the log. An operator's mistake gets one line, `error: ...`, and
never a traceback; a fault of ours gets one, as it is ours to mend.

The order: settings, logging, descriptors, then the metrics listener (so that probes see a recovery under way), then the
broker. It ends in the reverse order.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from logbroker.base import failpoints, logs
from logbroker.base.errors import LogbrokerError
from logbroker.base.version import VERSION
from logbroker.config.loader import changed_settings
from logbroker.config.settings import SETTINGS
from logbroker.config.sources import LoadedSettings
from logbroker.daemons import process_metrics
from logbroker.daemons.group_metrics import GroupExporter
from logbroker.daemons.metrics_server import Health, MetricsServer
from logbroker.daemons.notify import EXTEND_TIMEOUT_S, Notifier

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker

GC_ALLOCATIONS: Final = 50_000
GC_GENERATION_1: Final = 20
GC_GENERATION_2: Final = 50

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logs.get("daemon")


def run(loaded: LoadedSettings, reload: Callable[[], LoadedSettings]) -> int:
    """Run a broker until it is told to stop or fails.

    Args:
        loaded: what to run with.
        reload: loads the same again; called at SIGHUP, may raise ConfigError.

    Returns:
        The exit status.
    """
    settings = loaded.settings
    logs.configure(format_=settings.log_format, level=settings.log_level, descriptor=logs.standard_error())
    faulthandler.enable()
    _install_thread_hook()
    try:
        armed = failpoints.arm_from_text(os.environ.get(failpoints.ENVIRONMENT_VARIABLE, ""))
        if armed:
            _log.warning("failpoints are armed: this broker fails on purpose", names=", ".join(armed))
        _raise_descriptor_limit()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Daemon(loaded, reload).run())
    except LogbrokerError as error:
        report(str(error), settings.log_format)
        return FAILED
    finally:
        logs.stop()


def report(message: str, format_: str) -> None:
    """Tell the operator what is wrong, as the last thing said: `error: ...` lines for people, log lines for programs."""
    if format_ == "json":
        if not logs.configured():
            logs.configure(format_="json", descriptor=logs.standard_error())
        for problem in message.splitlines():
            _log.error(problem)
        logs.stop()
        return
    logs.stop()
    for problem in message.splitlines():
        sys.stderr.write(f"error: {problem}\n")
    sys.stderr.flush()


class _Daemon:
    """One broker and what surrounds it, on one loop."""

    def __init__(self, loaded: LoadedSettings, reload: Callable[[], LoadedSettings]) -> None:
        self._loaded = loaded
        self._reload = reload
        self._notifier = Notifier()
        self._health = Health()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reload_wanted = asyncio.Event()

    async def run(self) -> int:
        """From start to stop; returns the exit status, raises LogbrokerError for what an operator can mend."""
        # Imported here: reading settings wrong, or `--help`, must not pay for the whole broker. A tenth of the time would go
        # to looking for garbage among modules, which are none.
        gc.disable()
        from logbroker.broker.broker import Broker

        gc.freeze()
        gc.enable()
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self._asked_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        broker = Broker(self._loaded.settings, self._loaded.sources)
        registry = broker.metrics
        registry.register(process_metrics.collect)
        metrics_server = MetricsServer(registry, self._health)
        await metrics_server.start(self._loaded.settings.metrics_endpoints)
        try:
            return await self._run_broker(broker, metrics_server)
        finally:
            await metrics_server.stop()
            for number in (*_STOP_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _run_broker(self, broker: Broker, metrics_server: MetricsServer) -> int:
        stopping = asyncio.ensure_future(self._stop.wait())
        starting = asyncio.ensure_future(broker.start())
        helpers = [asyncio.ensure_future(self._extend_timeouts())]
        gc.disable()  # A full ring is a million objects, none of them garbage, that would be walked again and again.
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            gc.enable()
            if not starting.done():
                _log.info("stopping before the start was over")
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
                await self._stop_broker(broker)
                return DONE
            try:
                starting.result()
                _check_failpoints()
            except Exception as error:
                await self._start_failed(broker, error)
            broker.metrics.register(
                GroupExporter(broker.coordinators.group_machines, broker.replicas).collect
            )
            self._started(broker, metrics_server)
            helpers.append(asyncio.ensure_future(self._reload_when_asked(broker)))
            if self._notifier.watchdog_s is not None:
                helpers.append(asyncio.ensure_future(self._show_life(self._notifier.watchdog_s / 2)))
            return await self._serve(broker, stopping, helpers)
        finally:
            for task in (stopping, starting, *helpers):
                task.cancel()
            await asyncio.gather(stopping, starting, *helpers, return_exceptions=True)

    async def _serve(
        self, broker: Broker, stopping: asyncio.Task[Literal[True]], helpers: list[asyncio.Task[None]]
    ) -> int:
        failing = asyncio.ensure_future(broker.wait_failed())
        done, _ = await asyncio.wait({stopping, failing, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        status = DONE
        if stopping not in done:
            if failing in done:
                reason = failing.result()
            else:
                # A helper never ends by itself: one that did has a fault, and a broker without it isn't whole.
                ended = next(task for task in helpers if task in done)
                reason = f"a task of the daemon ended: {ended.exception()!r}"
            self._health.failure = reason
            _log.error("the broker failed", reason=reason)
            status = FAILED
        failing.cancel()
        await asyncio.gather(failing, return_exceptions=True)
        await self._stop_broker(broker)
        return status

    def _started(self, broker: Broker, metrics_server: MetricsServer) -> None:
        self._health.state = "serving"
        settings = self._loaded.settings
        report: dict[str, object] = {
            "version": VERSION,
            "node_id": settings.node_id,
            "directories": ", ".join(os.path.abspath(path) for path in settings.log_dirs),
            "metadata": os.path.abspath(settings.metadata_directory),
            **broker.startup_report,
        }
        report.setdefault("listeners", ", ".join(settings.listeners))
        if metrics_server.addresses:
            report["metrics"] = ", ".join(metrics_server.addresses)
        if self._loaded.sources.file is not None:
            report["config"] = self._loaded.sources.file
        report["started_in_ms"] = round(process_metrics.process_age_s() * 1000)
        _log.info("serving", pid=os.getpid(), **report)
        self._notifier.ready(f"Serving on {report['listeners']}")
        # What lives now lives long: the collector need not look at it again with every full collection.
        gc.collect()
        gc.freeze()
        # The hot path makes no cycles: its objects die by reference count. What waits in memory by the ten thousand (tails,
        # parked requests) must not be walked again every few hundred allocations.
        gc.set_threshold(GC_ALLOCATIONS, GC_GENERATION_1, GC_GENERATION_2)

    async def _start_failed(self, broker: Broker, error: Exception) -> None:
        """Undo what was started, and raise the error as one an operator can read, where it is one."""
        self._health.failure = str(error)
        self._hurry.set()
        try:
            await broker.stop(hurry=self._hurry)
        except Exception as second:
            ours = None if isinstance(second, LogbrokerError | OSError) else second
            _log.error("stopping after the failed start failed too", reason=str(second), error=ours)
        if isinstance(error, LogbrokerError):
            raise error
        if isinstance(error, OSError):
            raise LogbrokerError(_operating_system_error(error)) from error
        _log.error("the start failed by a fault of the broker's own", error=error)
        raise LogbrokerError(f"the start failed: {type(error).__name__}: {error}") from error

    async def _stop_broker(self, broker: Broker) -> None:
        self._health.state = "stopping"
        self._notifier.stopping("Answering what is in flight, flushing, checkpointing")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await broker.stop(hurry=self._hurry)
        _log.info("stopped", took_ms=round((loop.time() - began) * 1000), hurried=self._hurry.is_set())

    def _asked_to_stop(self, number: signal.Signals) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            _log.warning("hurrying", signal=name)
            self._hurry.set()
            return
        _log.info("stopping", signal=name)
        self._stop.set()

    async def _reload_when_asked(self, broker: Broker) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self._notifier.reloading()
            try:
                self._loaded = await apply_reload(broker, self._loaded, self._reload)
            except LogbrokerError as error:
                for problem in str(error).splitlines():
                    _log.error("the settings were not reloaded", problem=problem)
            self._notifier.ready("Serving")

    async def _extend_timeouts(self) -> None:
        """Ask the service manager for patience while starting and while stopping."""
        if not self._notifier.active:
            await asyncio.Event().wait()
        while True:
            if self._health.state != "serving":
                self._notifier.extend_timeout()
            await asyncio.sleep(EXTEND_TIMEOUT_S / 2)

    async def _show_life(self, every_s: float) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(every_s)


async def apply_reload(
    broker: Broker, before: LoadedSettings, reload: Callable[[], LoadedSettings]
) -> LoadedSettings:
    """Read the settings again and put into force what can change while running.

    Returns:
        What the broker runs with now: new values where they could be applied, the old ones elsewhere.

    Raises:
        ConfigError: the settings can't be used; nothing was changed.
    """
    # Reading a file may block for long (a network mount): not on the loop.
    after = await asyncio.get_running_loop().run_in_executor(None, reload)
    now, restart = changed_settings(before, after)
    fresh = {SETTINGS[name].attribute: getattr(after.settings, SETTINGS[name].attribute) for name in now}
    settings = msgspec.structs.replace(before.settings, **fresh)
    if now:
        await broker.reconfigure(settings, after.sources)
    for name in now:
        attribute = SETTINGS[name].attribute
        _log.info(
            "setting changed",
            setting=name,
            before=getattr(before.settings, attribute),
            after=getattr(settings, attribute),
        )
    for name in restart:
        _log.warning(
            "setting needs a restart", setting=name, value=getattr(after.settings, SETTINGS[name].attribute)
        )
    _log.info("settings reloaded", changed=len(now), need_restart=len(restart))
    return LoadedSettings(settings, after.sources)


def _operating_system_error(error: OSError) -> str:
    """An OSError of the start in words: what was refused, and the file."""
    reason = error.strerror or str(error)
    if error.filename is None:
        return reason
    return f"{os.fspath(error.filename)!s}: {reason}; check that it exists and that this user may write to it"


def _check_failpoints() -> None:
    if failpoints.unclaimed():  # perhaps of what a broker imports when it is first needed
        import logbroker.groups.service
        import logbroker.transactions.service  # noqa: F401
    unclaimed = failpoints.unclaimed()
    if unclaimed:
        raise LogbrokerError(
            f"{failpoints.ENVIRONMENT_VARIABLE}: there is no failpoint named {', '.join(unclaimed)}"
        )


def _raise_descriptor_limit() -> None:
    """Every partition needs descriptors and every connection one: take what the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.warning("the limit of open files could not be raised", soft=soft, hard=hard, reason=str(error))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _install_thread_hook() -> None:
    """Have a thread that dies of a fault say so in the log; whoever started it decides what that means."""

    def hook(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread is not None else "?"
        _log.error("a thread died", thread=name, error=arguments.exc_value)

    threading.excepthook = hook
