"""CreateTopics (API key 19), versions 2 to 7: make topics, durably, before the answer.

- Every topic is decided on its own; the response has one result per name asked for (KIP-4).
- A partition count or replication factor of -1 leaves the number to the broker (KIP-464). Older clients send it too.
- `validate_only` goes the same way and changes nothing. The topic id in its answer is made up, as Kafka's is.
- From version 5 the result tells partitions, replication factor and every config of the topic (KIP-525), from
  version 7 the topic id (KIP-516).
- Not done within `timeout_ms`: REQUEST_TIMED_OUT for each topic, and the topics may come to be all the same.

Rules and errors: `metadata/controller.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.admin import AdminBroker, give_way, within
from logbroker.broker.config_resources import described_topic
from logbroker.broker.context import RequestContext
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.events import TopicCreated
from logbroker.metadata.image import ClusterImage
from logbroker.wire.messages.create_topics import (
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)

_FIRST_VERSION_WITH_CONFIGS: Final = 5


async def handle(
    broker: AdminBroker, context: RequestContext, request: CreateTopicsRequest
) -> CreateTopicsResponse:
    """Create what was asked for."""
    wanted = [
        NewTopic(
            name=topic.name,
            num_partitions=topic.num_partitions,
            replication_factor=topic.replication_factor,
            assignments=[(item.partition_index, item.broker_ids) for item in topic.assignments],
            configs=[(item.name, item.value) for item in topic.configs],
        )
        for topic in request.topics
    ]
    outcomes = await within(
        request.timeout_ms,
        lambda: broker.metadata.create_topics(wanted, validate_only=request.validate_only),
    )
    configs = _Configs(broker.metadata.image)
    results = []
    for done, outcome in enumerate(outcomes, 1):
        result = CreatableTopicResult(name=outcome.name or "", topic_id=outcome.topic_id)
        if outcome.error is not None:
            result.error_code = outcome.error.code
            result.error_message = outcome.error.message
        elif outcome.created is not None and context.api_version >= _FIRST_VERSION_WITH_CONFIGS:
            result.num_partitions = len(outcome.created.partitions)
            result.replication_factor = len(outcome.created.partitions[0].replicas)
            result.configs = configs.of(outcome.created)
        results.append(result)
        await give_way(done)
    return CreateTopicsResponse(topics=results)


def failure(
    context: RequestContext, request: CreateTopicsRequest, code: ErrorCode, message: str | None
) -> CreateTopicsResponse:
    """The same error for every topic."""
    names = dict.fromkeys(topic.name for topic in request.topics)
    return CreateTopicsResponse(
        topics=[CreatableTopicResult(name=name, error_code=code, error_message=message) for name in names]
    )


class _Configs:
    """The configs of new topics; those with the same overrides share one list."""

    def __init__(self, image: ClusterImage) -> None:
        self._image = image
        self._known: dict[tuple[tuple[str, str], ...], list[CreatableTopicConfigs]] = {}

    def of(self, topic: TopicCreated) -> list[CreatableTopicConfigs]:
        """Every config that the topic has."""
        key = tuple(topic.configs.items())
        if key not in self._known:
            self._known[key] = self._describe(topic.configs)
        return self._known[key]

    def _describe(self, overrides: Mapping[str, str]) -> list[CreatableTopicConfigs]:
        return [
            CreatableTopicConfigs(
                name=config.name,
                value=config.value,
                read_only=config.read_only,
                config_source=config.source,
                is_sensitive=False,
            )
            for config in described_topic(self._image, overrides)
        ]
