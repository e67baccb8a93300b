"""What the tests of accidents share."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def seed():
    """A fresh seed, printed; LOGBROKER_SEED repeats the choices (not the timing)."""
    number = int(os.environ.get("LOGBROKER_SEED") or random.SystemRandom().getrandbits(32))
    print(f"LOGBROKER_SEED={number}")
    return number
