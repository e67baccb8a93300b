"""The internal topic of a coordinator: made when it is first needed, led from then on, let go when somebody deletes it.

How many partitions it has is looked up once, when it is first led: later ones would move keys away from what is known of them, so
they are not used before the next start.

Loop thread only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, LogbrokerError
from logbroker.base.tasks import TaskScope
from logbroker.config.settings import Settings
from logbroker.coordination.runtime import CoordinatorRuntime
from logbroker.coordination.shard import ShardState
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.events import Event, TopicCreated, TopicDeleted
from logbroker.metadata.service import MetadataService

_log = logs.get("coordination")


class CoordinatorTopic:
    """The internal topic behind a runtime.

    Args:
        runtime: The shards; the topic's name is theirs.
        metadata: The image, and who creates topics.
        tasks: Where a creation runs.
        specify: What the topic is made with.

    """

    def __init__(
        self,
        runtime: CoordinatorRuntime[Any],
        metadata: MetadataService,
        tasks: TaskScope,
        specify: Callable[[Settings], NewTopic],
    ) -> None:
        self._runtime = runtime
        self._metadata = metadata
        self._tasks = tasks
        self._specify = specify
        self._creating: asyncio.Task[BrokerError | None] | None = None

    async def ensure(self) -> None:
        """Create the topic if it does not exist yet; all who ask meanwhile wait for the same creation.

        Raises:
            BrokerError: It can't be created now.

        """
        if self._runtime.partition_count:
            return
        if self._creating is None:
            self._creating = self._tasks.start(self._create(), f"create {self._runtime.topic}")
        error = await asyncio.shield(self._creating)
        if error is not None:
            raise error

    def lead(self) -> None:
        """Load the partitions that this broker leads, if there is such a topic."""
        image = self._metadata.image
        topic = image.topic(self._runtime.topic)
        if topic is None:
            return
        if not self._runtime.partition_count:
            self._runtime.set_partition_count(len(topic.partitions))
        self._runtime.lead(
            index
            for index in range(self._runtime.partition_count)
            if topic.partitions[index].leader == image.node_id
        )

    def follow(self, event: Event) -> None:
        """The topic may have come or gone."""
        if isinstance(event, TopicDeleted) and event.name == self._runtime.topic:
            self._runtime.resign_all()
            self._runtime.set_partition_count(0)
        elif isinstance(event, TopicCreated) and event.name == self._runtime.topic:
            self.lead()

    def check_coordinator(self, key: str) -> ErrorCode:
        """Whether this broker can coordinate `key` now; COORDINATOR_NOT_AVAILABLE if not, to be asked again."""
        try:
            shard = self._runtime.shard(self._runtime.partition_of(key))
        except BrokerError as error:
            return error.code
        # A shard that is loading says so itself, to whoever comes.
        if shard is not None and shard.state in (ShardState.ACTIVE, ShardState.LOADING):
            return ErrorCode.NONE
        return ErrorCode.COORDINATOR_NOT_AVAILABLE

    async def _create(self) -> BrokerError | None:
        try:
            outcome = (await self._metadata.create_topics([self._specify(self._metadata.image.settings)]))[0]
        except BrokerError as error:
            return error
        except LogbrokerError as error:
            # The metadata can't be written any more: the broker is about to stop.
            return BrokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error))
        finally:
            self._creating = None
        if outcome.error is not None and outcome.error.code is not ErrorCode.TOPIC_ALREADY_EXISTS:
            _log.error(
                "the topic of a coordinator can't be created",
                topic=self._runtime.topic,
                reason=str(outcome.error),
            )
            return BrokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE, str(outcome.error))
        self.lead()
        return None
