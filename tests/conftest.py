"""What every test may use: a broker as a process, the whole of a long check on request, and CI in which nothing is skipped.

pytest                     what is marked `long` is left out
pytest --long              everything
CI=true pytest             a test that is skipped, for want of a program say, has failed
LOGBROKER_TEST_BOOTSTRAP=host:port pytest tests/clients
                           the client tests against another broker: Kafka itself, to hold the tests to it
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Generator, Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.kafka_tools import KafkaTools, find_kafka_tools

from logbroker.testing.broker_process import BrokerProcess

IN_CI = os.environ.get("CI") == "true"


def pytest_configure() -> None:
    """Ctrl-C must reach the processes that tests start, and they would inherit that a job in the background ignores it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the whole of what the default run samples")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long") or "long" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


def _skipped_in_ci(reason: object) -> str:
    return f"skipped in CI, where nothing may be: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = _skipped_in_ci(reason)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = _skipped_in_ci(report.longrepr)
    return report


@pytest.fixture
def make_broker(tmp_path: pathlib.Path) -> Iterator[Callable[..., BrokerProcess]]:
    """Makes brokers that are not started yet: make_broker(name="data", settings={...}, environment={...}).

    The name is that of the data directory below `tmp_path`, or a path of its own.

    Each is held to its end (`BrokerProcess.check`) after the test, unless the test failed before.
    """
    made: list[BrokerProcess] = []

    def make(name: str | pathlib.Path = "data", **options: object) -> BrokerProcess:
        broker = BrokerProcess(tmp_path / name, **options)  # type: ignore[arg-type]
        made.append(broker)
        return broker

    try:
        yield make
        for broker in made:
            broker.check()
    finally:
        for broker in made:
            broker.end()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a line at once, whatever pytest does with what tests print: progress and counts of long checks."""
    capturing = request.config.pluginmanager.get_plugin("capturemanager")

    def line(text: str) -> None:
        with contextlib.nullcontext() if capturing is None else capturing.global_and_fixture_disabled():
            print(f"\n{text}", end="", flush=True)

    return line


@pytest.fixture
def broker(make_broker: Callable[..., BrokerProcess]) -> BrokerProcess:
    """A broker that serves, with a data directory of its own."""
    return make_broker().start()


@pytest.fixture(scope="session")
def kafka_tools() -> KafkaTools:
    """Kafka's own programs; the test is skipped, with the command that enables it, where they are not at hand."""
    found = find_kafka_tools()
    if isinstance(found, str):
        pytest.skip(found)
    return found
