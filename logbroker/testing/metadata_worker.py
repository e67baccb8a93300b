"""A process that changes metadata as fast as it can and says on standard output what it was promised: crash tests kill it.

    python -m logbroker.testing.metadata_worker DIRECTORY SEED [FAILPOINTS]

Several tasks change topics of their own at once, so that commits are shared. Before each change a task writes a line with
its intention, after it one that it is done; both are JSON arrays, flushed at once. `Promises` reads them, and says
what the metadata must hold afterwards: everything that was done, and of each task's last intention either all or nothing.

When the store fails the process ends with status 1, as a broker would, and at once: nothing is tidied up that a crash
would leave behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from logbroker.base import failpoints
from logbroker.config.settings import Settings
from logbroker.config.values import ResourceType
from logbroker.metadata.config_changes import ConfigChange, ResourceChanges
from logbroker.metadata.controller import MorePartitions, NewTopic, TopicToDelete
from logbroker.metadata.image import ClusterImage
from logbroker.metadata.service import MetadataService
from logbroker.metadata.store import MetadataFailedError

TASKS = 5
PARTITIONS_MAX = 30
LOG_DIRECTORY = UUID(int=0xD1D1D1)

_Say = Callable[..., None]


async def _create(metadata: MetadataService, name: str, random_: random.Random, say: _Say) -> None:
    partitions = random_.randint(1, PARTITIONS_MAX)
    say("will create", name, partitions)
    (outcome,) = await metadata.create_topics([NewTopic(name, partitions)])
    if outcome.error is not None:
        raise outcome.error
    say("created", name, partitions, outcome.topic_id.hex)


async def _change(metadata: MetadataService, name: str, random_: random.Random, say: _Say) -> bool:
    """One change of an existing topic; whether it still exists."""
    topic = metadata.image.topics[name]
    kind = random_.choice(("delete", "extend", "extend", "alter", "bump"))
    if kind == "delete":
        say("will delete", name)
        await metadata.delete_topics([TopicToDelete(name)])
        say("deleted", name)
        return False
    if kind == "extend":
        count = len(topic.partitions) + random_.randint(1, 3)
        say("will extend", name, count)
        await metadata.create_partitions([MorePartitions(name, count)])
        say("extended", name, count)
    elif kind == "alter":
        value = str(random_.randint(1, 10**9))
        say("will alter", name, value)
        change = ConfigChange("retention.ms", value)
        await metadata.alter_configs([ResourceChanges(ResourceType.TOPIC, name, [change])])
        say("altered", name, value)
    else:
        epoch = topic.partitions[0].leader_epoch + 1
        say("will bump", name, epoch)
        await metadata.bump_leader_epochs([(topic.topic_id, 0)])
        say("bumped", name, epoch)
    return True


async def _work(metadata: MetadataService, number: int, random_: random.Random) -> None:
    def say(what: str, *facts: object) -> None:
        sys.stdout.write(json.dumps([what, *facts]) + "\n")
        sys.stdout.flush()

    turn = 0
    while True:
        name = f"task{number}.{turn % 3}"
        if name not in metadata.image.topics:
            await _create(metadata, name, random_, say)
        while await _change(metadata, name, random_, say):
            if random_.random() < 0.2:
                say("gave", await metadata.next_producer_id())
            if random_.random() < 0.3:
                break
        turn += 1


async def _main(directory: str, seed: int) -> int:
    failed = asyncio.Event()
    settings = Settings(metadata_log_dir=directory)
    metadata = await MetadataService.open(settings, on_failure=lambda _: failed.set())
    await metadata.register_directory(LOG_DIRECTORY, "/log")
    random_ = random.Random(seed)
    tasks = [
        asyncio.create_task(_work(metadata, number, random.Random(random_.random())))
        for number in range(TASKS)
    ]
    await failed.wait()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    if not all(isinstance(result, MetadataFailedError) for result in results):
        sys.stderr.write(f"a task was not told of the failure: {results}\n")
        return 3
    sys.stderr.write(f"{metadata.failure}\n")
    return 1


class Promises:
    """What the lines of a worker say: feed it all of them, then compare with what is stored."""

    def __init__(self) -> None:
        self.topics: dict[str, dict[str, Any]] = {}
        self.producer_ids: list[int] = []
        self.done = 0
        self._intended: dict[str, dict[str, Any] | None] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Take in what a worker wrote; a last line that is cut off counts as not written."""
        for line in lines:
            if not line.endswith("\n"):
                continue
            what, *facts = json.loads(line)
            if what == "gave":
                self.producer_ids.append(facts[0])
                continue
            name = facts[0]
            if what.startswith("will "):
                self._intended[name] = self._after(what.removeprefix("will "), name, facts[1:])
            else:
                self.done += 1
                after = self._intended.pop(name)
                if after is None:
                    del self.topics[name]
                else:
                    if what == "created":
                        after["id"] = facts[2]
                    self.topics[name] = after

    def _after(self, verb: str, name: str, facts: list[Any]) -> dict[str, Any] | None:
        if verb == "create":
            return {"partitions": facts[0], "retention": None, "epoch": 0, "id": None}
        if verb == "delete":
            return None
        field = {"extend": "partitions", "alter": "retention", "bump": "epoch"}[verb]
        return {**self.topics[name], field: facts[0]}

    def broken(self, image: ClusterImage) -> list[str]:
        """Every promise that `image` doesn't keep; what it does keep becomes what is known for the next run."""
        problems = []
        for name in {*self.topics, *self._intended, *image.topics}:
            topic = image.topics.get(name)
            stored = None
            if topic is not None:
                stored = {
                    "partitions": len(topic.partitions),
                    "retention": topic.configs.get("retention.ms"),
                    "epoch": topic.partitions[0].leader_epoch,
                    "id": topic.topic_id.hex,
                }
            allowed = [self.topics.get(name)]
            if name in self._intended:
                allowed.append(self._intended[name])
            if not any(_same(stored, state) for state in allowed):
                problems.append(f"{name} is {stored}, and should be one of {allowed}")
            if stored is None:
                self.topics.pop(name, None)
            else:
                self.topics[name] = stored
        self._intended.clear()
        if len(set(self.producer_ids)) < len(self.producer_ids):
            problems.append("a producer id was given twice")
        if self.producer_ids and max(self.producer_ids) >= image.next_producer_id:
            problems.append(f"producer id {max(self.producer_ids)} would be given again")
        return problems


def _same(stored: dict[str, Any] | None, state: dict[str, Any] | None) -> bool:
    if stored is None or state is None:
        return stored is state
    # The id of a topic whose creation was never confirmed isn't known.
    return {**stored, "id": stored["id"] if state["id"] else None} == state


if __name__ == "__main__":
    if len(sys.argv) > 3:
        failpoints.arm_from_text(sys.argv[3])
    status = asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
    sys.stderr.flush()
    os._exit(status)
