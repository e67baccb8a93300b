"""FindCoordinator: the topic of groups is created when it is first asked for, and what does not exist is refused."""

import asyncio

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import find_coordinator
from logbroker.metadata.topic_names import OFFSETS_TOPIC
from logbroker.wire.messages.find_coordinator import FindCoordinatorRequest


def test_the_first_question_creates_the_topic_once(on_stage):
    async def play(stage):
        keys = FindCoordinatorRequest(key_type=0, coordinator_keys=["g", "other"])
        one, two = await asyncio.gather(
            stage.ask(find_coordinator, keys, 6),
            stage.ask(find_coordinator, FindCoordinatorRequest(key="g"), 3),
        )
        for found in (*one.coordinators, two):
            assert (found.error_code, found.node_id, found.host, found.port) == (0, 7, "inside.example", 9092)
        topic = stage.metadata.image.topic(OFFSETS_TOPIC)
        assert len(topic.partitions) == 4
        assert topic.config.cleanup_policy == {"compact"}
        assert topic.config.compression_type == "producer"
        assert topic.config.segment_bytes == stage.settings.offsets_topic_segment_bytes
        assert topic.internal
        assert stage.groups.runtime.partition_count == 4

    on_stage(play)


def test_a_topic_that_cannot_be_created_is_asked_for_again(on_stage):
    async def play(stage):
        stage.metadata.directory_failed(stage.directory_id)
        keys = FindCoordinatorRequest(key_type=0, coordinator_keys=["g"])
        found = (await stage.ask(find_coordinator, keys, 6)).coordinators[0]
        assert (found.error_code, found.node_id, found.port) == (ErrorCode.COORDINATOR_NOT_AVAILABLE, -1, -1)
        await stage.metadata.register_directory(stage.directory_id, stage.settings.log_dirs[0])
        found = (await stage.ask(find_coordinator, keys, 6)).coordinators[0]
        assert found.error_code == 0

    on_stage(play)


@pytest.mark.parametrize(
    ("key_type", "version", "code"),
    [
        (2, 6, "INVALID_REQUEST"),
        (9, 6, "INVALID_REQUEST"),
        (9, 1, "INVALID_REQUEST"),
    ],
)
def test_other_coordinators_are_refused_with_a_reason(on_stage, key_type, version, code):
    async def play(stage):
        request = FindCoordinatorRequest(key="x", key_type=key_type, coordinator_keys=["x"])
        response = await stage.ask(find_coordinator, request, version)
        answer = response.coordinators[0] if version >= 4 else response
        assert ErrorCode(answer.error_code).name == code
        assert answer.error_message
        assert answer.node_id == -1
        assert stage.metadata.image.topic(OFFSETS_TOPIC) is None

    on_stage(play)
