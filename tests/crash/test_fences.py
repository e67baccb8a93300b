"""Each sync, wait and order of the storage engine is needed: without it a crash breaks a promise. And none is missing from the list.

`docs/fences.md` has the numbers.
"""

from __future__ import annotations

import random

import pytest

from logbroker.testing import fences
from logbroker.testing.fence_scenarios import SCENARIOS
from logbroker.testing.sim_story import Story


@pytest.mark.parametrize("label", fences.SYNCS)
def test_each_sync_is_needed(label):
    tried = fences.without_sync(label, points=1, enough=True)
    assert tried.failures, f"{tried.points} crashes, and nothing failed without {label}"


@pytest.mark.parametrize("order", fences.ORDERS, ids=lambda order: order.name)
def test_each_order_is_needed(order):
    tried = fences.without_order(order, points=1, enough=True)
    assert tried.failures, f"{tried.points} crashes, and nothing failed without: {order.name}"


@pytest.mark.parametrize("label", SCENARIOS)
def test_lives_made_for_a_fence_are_sound_with_it(label):
    story, start = SCENARIOS[label](1)
    assert [
        str(failure) for failure in story.dig(200, random.Random(1), nested=0, kills=0.1, start=start)
    ] == []


def test_no_sync_is_missing_from_the_list():
    labels = set()
    for seed in range(fences.FIRST_SEED, fences.FIRST_SEED + 25):
        story = Story.record(seed)
        assert list(story.dig(25, random.Random(seed))) == []
        labels |= story.disk.labels
    known = fences.SYNCS.keys() | fences.NO_PROMISE.keys()
    assert sorted(labels - known) == []
    assert sorted(known - labels) == []
