"""Each sync, wait and order of the storage engine is needed: without it a crash breaks a promise. And none is missing from the list.

`docs/fences.md` has the numbers.
"""

from __future__ import annotations

import pathlib
import random

import pytest

from logbroker.testing import compaction_scenarios, fence_list, fences
from logbroker.testing.sim_story import Story


@pytest.mark.parametrize("label", fence_list.SYNCS)
def test_each_sync_is_needed(label):
    tried = fences.without_sync(label, points=1, enough=True)
    assert tried.failures, f"{tried.points} crashes, and nothing failed without {label}"


@pytest.mark.parametrize("order", fence_list.ORDERS, ids=lambda order: order.name)
def test_each_order_is_needed(order):
    tried = fences.without_order(order, points=1, enough=True)
    assert tried.failures, f"{tried.points} crashes, and nothing failed without: {order.name}"


@pytest.mark.parametrize(
    "scenario",
    dict.fromkeys(
        [
            *fence_list.LIVES.values(),
            compaction_scenarios.compacted_log,
            *(order.scenario for order in fence_list.ORDERS if order.scenario),
        ]
    ),
    ids=lambda scenario: scenario.__name__,
)
def test_lives_made_for_a_fence_are_sound_with_it(scenario):
    story, start = scenario(1)
    assert [
        str(failure) for failure in story.dig(200, random.Random(1), nested=0, kills=0.1, start=start)
    ] == []


def test_no_sync_is_missing_from_the_list():
    labels = set()
    for seed in range(fences.FIRST_SEED, fences.FIRST_SEED + 25):
        story = Story.record(seed)
        assert list(story.dig(25, random.Random(seed))) == []
        labels |= story.disk.labels
    known = fence_list.SYNCS.keys() | fence_list.NO_PROMISE.keys()
    assert sorted(labels - known) == []
    assert sorted(known - labels) == []


def test_the_written_list_has_every_fence_and_what_it_takes():
    rows = fences.read_rows(str(pathlib.Path(__file__).parents[2] / "docs" / "fences.md"))
    rows.pop("Fence")
    rows.pop("---")
    assert rows.keys() == {f"`{label}`" for label in fence_list.SYNCS} | {
        order.name for order in fence_list.ORDERS
    }
    for name, row in rows.items():
        points, failing = (int(cell.strip().replace(",", "")) for cell in row.rstrip("| ").split("|")[-2:])
        assert 0 < failing <= points, name
