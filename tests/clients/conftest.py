"""One broker and one process of each client for all tests here; topics of its own for each.

LOGBROKER_TEST_BOOTSTRAP=host:port has them talk to another broker: to Kafka itself, to see that the tests ask for nothing
that it doesn't do.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable, Generator, Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.client_driver import KINDS, ClientDriver, ClientMissingError

from logbroker.testing.broker_process import BrokerProcess

OTHER_BROKER = os.environ.get("LOGBROKER_TEST_BOOTSTRAP")
BROKERS: list[BrokerProcess] = []
"""The one that the tests share, while there is one: its log goes into the report of a test that failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections.extend(("broker log", broker.log_text(last=30)) for broker in BROKERS)
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the broker under test."""
    if OTHER_BROKER:
        yield OTHER_BROKER
        return
    broker = BrokerProcess(
        tmp_path_factory.mktemp("clients") / "data",
        settings={
            "offsets.topic.num.partitions": "5",
            # Members under the consumer protocol ask the broker how often to beat.
            "group.consumer.min.heartbeat.interval.ms": "300",
            "group.consumer.heartbeat.interval.ms": "300",
        },
    )
    BROKERS.append(broker)
    try:
        yield broker.start().bootstrap
        broker.check()
    finally:
        BROKERS.remove(broker)
        broker.end()


@pytest.fixture
def own_broker() -> None:
    """Marks a test that needs a broker of ours."""
    if OTHER_BROKER:
        pytest.skip("LOGBROKER_TEST_BOOTSTRAP names another broker")


@pytest.fixture(scope="session")
def make_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ClientDriver]]:
    """Makes a process of a client: make_driver("java", server). The test is skipped where the client isn't installed."""
    made: list[ClientDriver] = []
    directory = tmp_path_factory.mktemp("drivers")

    def make(name: str, at: str) -> ClientDriver:
        driver = ClientDriver(KINDS[name], at, directory / f"{name}-{len(made)}.log")
        try:
            driver.kind.command(at)
        except ClientMissingError as missing:
            pytest.skip(str(missing))
        made.append(driver)
        return driver

    yield make
    for driver in made:
        driver.close()


@pytest.fixture(scope="session")
def client(server: str, make_driver: Callable[..., ClientDriver]) -> Callable[[str], ClientDriver]:
    """The process of a client by its name, the same one in every test."""
    drivers: dict[str, ClientDriver] = {}

    def get(name: str) -> ClientDriver:
        if name not in drivers:
            drivers[name] = make_driver(name, server)
        return drivers[name]

    return get


@pytest.fixture(scope="session")
def new_name() -> Callable[[str], str]:
    """Names that no other test has, nor another run against the same broker."""
    names: dict[str, int] = {}
    run = os.urandom(3).hex()

    def make(purpose: str) -> str:
        names[purpose] = names.get(purpose, 0) + 1
        return f"{purpose}-{run}-{names[purpose]}"

    return make


@pytest.fixture(scope="session")
def new_topic(client: Callable[[str], ClientDriver], new_name: Callable[[str], str]) -> Callable[..., str]:
    """Creates a topic: new_topic("orders", partitions=3, config={...})."""

    def create(purpose: str, partitions: int = 1, config: dict[str, str] | None = None) -> str:
        name = new_name(purpose)
        client("confluent").call("create_topic", topic=name, partitions=partitions, config=config)
        return name

    return create
