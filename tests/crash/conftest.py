"""What the crash tests share: quiet logs, and the seeds they begin with."""

from __future__ import annotations

import logging
import random

import pytest


@pytest.fixture(autouse=True)
def quiet():
    logger = logging.getLogger("logbroker")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(level)


@pytest.fixture
def fresh_seed():
    """A seed that nobody tried before; it is in the failure's text."""
    return random.SystemRandom().randrange(1 << 32)
