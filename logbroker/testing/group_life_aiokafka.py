"""A member of `group_life` whose library is aiokafka: see `group_life_member`.

Its rebalances run beside whoever polls. It hands out no records while one is under way, and what is handed out is processed
before the loop turns again: so nothing is processed that was given back. Polling waits for the end of a rebalance, and must
hold nothing that the listener needs. To a group that becomes one of the consumer protocol while members join it, Kafka answers
JoinGroup with REBALANCE_IN_PROGRESS: this library hands that to whoever polls, and joins again when it was taken note of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from logbroker.testing.group_life_log import Kind
from logbroker.testing.group_life_member import (
    FETCH_BYTES_MIN,
    FETCH_WAIT_MS_MAX,
    POLL_RECORDS_MAX,
    POLL_S,
    Lines,
    Progress,
    Subscribe,
)


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer and its rebalance listener."""

    def __init__(self, lines: Lines, subscribe: Subscribe) -> None:
        self._lines = lines
        self._progress = Progress(lines)
        self._subscribe = subscribe
        self._lock = asyncio.Lock()  # of commits: one after another
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=subscribe.bootstrap,
            group_id=subscribe.group,
            client_id=subscribe.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=subscribe.session_timeout_ms,
            heartbeat_interval_ms=subscribe.heartbeat_interval_ms,
            max_poll_interval_ms=subscribe.max_poll_interval_ms,
            rebalance_timeout_ms=subscribe.max_poll_interval_ms,
            fetch_min_bytes=FETCH_BYTES_MIN,
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
        )

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give them back."""
        gone = [each.partition for each in revoked]
        await self._commit(gone)
        self._progress.gone(gone)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are its own."""
        self._progress.assigned(each.partition for each in assigned)

    async def _commit(self, partitions: list[int] | None = None) -> None:
        async with self._lock:
            number, offsets = self._progress.begin_commit(partitions)
            if not offsets:
                return
            try:
                await self._consumer.commit(
                    {TopicPartition(self._subscribe.topic, each): offset for each, offset in offsets.items()}
                )
            except KafkaError as error:
                self._progress.refused(number, repr(error))
            else:
                self._progress.committed(number, offsets)

    async def _poll(self) -> None:
        try:
            found = await self._consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=POLL_RECORDS_MAX)
        except KafkaError as error:
            self._lines.say(Kind.TROUBLE, x=repr(error))
            return
        self._progress.read(
            (each.partition, each.offset, each.value) for some in found.values() for each in some
        )

    async def run(self) -> None:
        """Until it is told to stop."""
        await self._consumer.start()
        self._consumer.subscribe(
            [self._subscribe.topic], listener=self
        )  # now: a start with topics waits for them
        commit_s = time.monotonic() + self._subscribe.commit_interval_ms / 1000
        while True:
            command = self._lines.next_command()
            if command is not None:
                if command["op"] == "stop":
                    break
                if command["op"] == "nap":
                    await asyncio.sleep(command["seconds"])
                else:
                    self._lines.say("owned", p=sorted(each.partition for each in self._consumer.assignment()))
            await self._poll()
            if time.monotonic() >= commit_s:
                await self._commit()
                commit_s = time.monotonic() + self._subscribe.commit_interval_ms / 1000
        await self._commit()  # it leaves without a word to its listener
        self._progress.gone(each.partition for each in self._consumer.assignment())
        await self._consumer.stop()
        self._lines.say("left")


if __name__ == "__main__":
    the_lines = Lines()
    the_subscribe = the_lines.begin()

    async def main() -> None:
        """The consumer wants its loop from the beginning."""
        await Member(the_lines, the_subscribe).run()

    asyncio.run(main())
