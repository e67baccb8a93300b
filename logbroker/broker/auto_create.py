"""Topics that come to be because somebody asked for them: those that clients name, and those that coordinators need.

A topic that doesn't exist is created with the broker's defaults when a client asks for its metadata and both the client
(`allow.auto.create.topics`) and the broker (`auto.create.topics.enable`) allow it. Kafka answers at once that the
topic is unknown and lets the client ask again; here the answer waits for the commit, which takes less than the second
question, and is final.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.admin import within
from logbroker.config.settings import Settings
from logbroker.coordination.internal_topics import internal_topic
from logbroker.metadata.controller import NewTopic
from logbroker.metadata.service import MetadataService
from logbroker.metadata.topic_names import CLUSTER_METADATA_TOPIC, is_internal, name_problem

WAIT_MAX_MS: Final = 5_000
"""How long a request waits for topics that it caused; after that the client asks again (LEADER_NOT_AVAILABLE)."""


def may_create(settings: Settings, name: str) -> bool:
    """Whether a client that asks for this topic, which doesn't exist, gets it created."""
    if not settings.auto_create_topics_enable or name_problem(name) is not None:
        return False
    # Internal topics have formats of their own: one that nothing here writes isn't made.
    return name != CLUSTER_METADATA_TOPIC and (
        internal_topic(settings, name) is not None or not is_internal(name)
    )


async def create_missing(metadata: MetadataService, names: Iterable[str]) -> dict[str, ErrorCode]:
    """Create topics that `may_create` allows.

    Returns:
        An error for each topic that doesn't exist afterwards, as far as is known; LEADER_NOT_AVAILABLE for "soon".

    Raises:
        MetadataFailedError: the metadata can't be changed any more.
    """
    settings = metadata.image.settings
    wanted = [internal_topic(settings, name) or NewTopic(name) for name in dict.fromkeys(names)]
    try:
        outcomes = await within(WAIT_MAX_MS, lambda: metadata.create_topics(wanted))
    except BrokerError as error:
        if error.code is not ErrorCode.REQUEST_TIMED_OUT:
            raise
        return {topic.name: ErrorCode.LEADER_NOT_AVAILABLE for topic in wanted}
    return {
        outcome.name: outcome.error.code
        for outcome in outcomes
        if outcome.error is not None
        and outcome.name is not None
        and outcome.error.code is not ErrorCode.TOPIC_ALREADY_EXISTS
    }
