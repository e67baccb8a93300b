"""A member of `group_life` whose library is kafka-python: see `group_life_member`.

Its listener runs in the library's own thread, where only what can be awaited may be called.
"""

from __future__ import annotations

from collections.abc import Iterable

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from logbroker.testing.group_life_member import (
    FETCH_BYTES_MIN,
    FETCH_WAIT_MS_MAX,
    POLL_RECORDS_MAX,
    POLL_S,
    Lines,
    Progress,
    Subscribe,
    live,
)


class Member(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer and its rebalance listener."""

    def __init__(self, lines: Lines, subscribe: Subscribe) -> None:
        self._lines = lines
        self._progress = Progress(lines)
        self._topic = subscribe.topic
        self._commit_interval_s = subscribe.commit_interval_ms / 1000
        self._consumer = KafkaConsumer(
            bootstrap_servers=subscribe.bootstrap,
            group_id=subscribe.group,
            client_id=subscribe.name,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=subscribe.session_timeout_ms,
            heartbeat_interval_ms=subscribe.heartbeat_interval_ms,
            max_poll_interval_ms=subscribe.max_poll_interval_ms,
            fetch_min_bytes=FETCH_BYTES_MIN,
            fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
        )
        self._consumer.subscribe([subscribe.topic], listener=self)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """They are its own."""
        self._progress.assigned(each.partition for each in assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Give them back."""
        gone = [each.partition for each in revoked]
        number, offsets = self._progress.begin_commit(gone)
        if offsets:
            try:
                await self._consumer.commit_async(self._committable(offsets))
            except KafkaError as error:
                self._progress.refused(number, repr(error))
            else:
                self._progress.committed(number, offsets)
        self._progress.gone(gone)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """They are another's."""
        self._progress.gone((each.partition for each in lost), lost=True)

    def _committable(self, offsets: dict[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {
            TopicPartition(self._topic, each): OffsetAndMetadata(offset, "", -1)
            for each, offset in offsets.items()
        }

    def _commit(self) -> None:
        number, offsets = self._progress.begin_commit()
        if not offsets:
            return
        try:
            self._consumer.commit(self._committable(offsets))
        except KafkaError as error:
            self._progress.refused(number, repr(error))
        else:
            self._progress.committed(number, offsets)

    def _poll(self) -> None:
        found = self._consumer.poll(timeout_ms=int(POLL_S * 1000), max_records=POLL_RECORDS_MAX)
        self._progress.read(
            (each.partition, each.offset, each.value) for some in found.values() for each in some
        )

    def run(self) -> None:
        """Until it is told to stop."""
        live(
            self._lines,
            self._commit_interval_s,
            poll=self._poll,
            commit=self._commit,
            owned=lambda: [each.partition for each in self._consumer.assignment()],
        )
        self._consumer.close()
        self._lines.say("left")


if __name__ == "__main__":
    the_lines = Lines()
    Member(the_lines, the_lines.begin()).run()
