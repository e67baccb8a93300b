"""A broker to talk to: our own in a process of its own, or the one that LOGBROKER_TEST_BOOTSTRAP names (a real Kafka, say)."""

from __future__ import annotations

import itertools
import os
import uuid

import pytest

from logbroker.testing.broker_process import BrokerProcess


@pytest.fixture(scope="session")
def bootstrap_servers(tmp_path_factory):
    """Where the broker listens."""
    named = os.environ.get("LOGBROKER_TEST_BOOTSTRAP")
    if named:
        yield named
        return
    with BrokerProcess(tmp_path_factory.mktemp("broker") / "data") as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def new_topic_name():
    """Names that no other test or run uses."""
    run, numbers = uuid.uuid4().hex[:8], itertools.count()
    return lambda: f"client-{run}-{next(numbers)}"
