"""sd_notify, with a real socket in the service manager's place."""

import os
import socket

import pytest

from logbroker.daemons.notify import Notifier


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        yield listening, {"NOTIFY_SOCKET": str(tmp_path / "notify")}


def received(listening):
    return dict(line.split("=", 1) for line in listening.recv(4096).decode().splitlines())


def test_messages(manager):
    listening, environment = manager
    notifier = Notifier(environment)
    assert notifier.active
    notifier.ready("Serving\non 127.0.0.1:9092")
    assert received(listening) == {
        "READY": "1",
        "STATUS": "Serving on 127.0.0.1:9092",
        "MAINPID": str(os.getpid()),
    }
    notifier.reloading()
    reloading = received(listening)
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    notifier.stopping("Flushing")
    assert received(listening) == {"STOPPING": "1", "STATUS": "Flushing"}
    notifier.extend_timeout()
    assert received(listening) == {"EXTEND_TIMEOUT_USEC": "30000000"}
    notifier.alive()
    assert received(listening) == {"WATCHDOG": "1"}
    notifier.status("Recovering")
    assert received(listening) == {"STATUS": "Recovering"}


def test_the_abstract_namespace():
    name = f"logbroker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.settimeout(5)
        Notifier({"NOTIFY_SOCKET": "@" + name}).alive()
        assert received(listening) == {"WATCHDOG": "1"}


@pytest.mark.parametrize("address", ["", "relative/path", "/nowhere/at/all"])
def test_nobody_listens(address):
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.ready("Serving")
    notifier.stopping("")


def test_a_manager_that_does_not_read_never_blocks(manager):
    listening, environment = manager
    notifier = Notifier(environment)
    for _ in range(10_000):
        notifier.status("x" * 300)
    assert received(listening)["STATUS"]


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({}, None),
    ],
)
def test_the_watchdog(manager, variables, seconds):
    _, environment = manager
    assert Notifier({**environment, **variables}).watchdog_s == seconds
    assert Notifier(variables).watchdog_s is None
