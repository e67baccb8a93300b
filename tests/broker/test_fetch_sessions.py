"""Incremental fetch sessions (KIP-227): the book-keeping by itself, and what consumers see of it over real sockets."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from support.broker_stage import Stage, batch_of, bytes_of, fetch_request, on_broker, until

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.broker.fetch_sessions import EVICT_AFTER_S, FetchSessions
from logbroker.metadata.controller import TopicToDelete
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.fetch import FetchRequest, ForgottenTopic

NAMES = {("t", 0): 0, ("t", 1): 0, ("u", 0): 0}


def request(offsets=NAMES, *, session_id: int = 0, epoch: int = 0, forget=()) -> FetchRequest:
    made = fetch_request(dict(offsets), session_id=session_id, session_epoch=epoch)
    made.forgotten_topics_data = [
        ForgottenTopic(
            **({"topic": topic} if isinstance(topic, str) else {"topic_id": topic}), partitions=[n]
        )
        for topic, n in forget
    ]
    return made


def keys(session) -> list[tuple[str, int]]:
    return [(key.topic, key.partition) for key in session.partitions]


def refused(sessions: FetchSessions, asked: FetchRequest, version: int = 12, now: float = 0.0) -> ErrorCode:
    with pytest.raises(BrokerError) as caught:
        sessions.open(asked, version, now)
    return caught.value.code


def test_a_full_fetch_opens_a_session_and_later_ones_change_it():
    sessions = FetchSessions(10, seed=1)
    first = sessions.open(request(), 12, 0.0)
    assert first.session_id > 0
    assert not first.incremental
    assert keys(first) == list(NAMES)
    same = sessions.open(request({}, session_id=first.session_id, epoch=1), 12, 0.0)
    assert same is first
    assert same.incremental
    assert keys(same) == list(NAMES)
    changes = request({("t", 1): 7, ("v", 0): 3}, session_id=first.session_id, epoch=2, forget=[("u", 0)])
    changed = sessions.open(changes, 12, 0.0)
    assert keys(changed) == [("t", 0), ("t", 1), ("v", 0)]
    assert [wanted.offset for wanted in changed.partitions.values()] == [0, 7, 3]
    assert sessions.partitions == 3


def test_epochs_that_do_not_follow():
    sessions = FetchSessions(10)
    session_id = sessions.open(request(), 12, 0.0).session_id
    for epoch in (2, 3, -2):
        code = refused(sessions, request({}, session_id=session_id, epoch=epoch))
        assert code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    sessions.open(request({}, session_id=session_id, epoch=1), 12, 0.0)
    assert refused(sessions, request({}, session_id=session_id, epoch=1)) == (
        ErrorCode.INVALID_FETCH_SESSION_EPOCH
    )
    assert refused(sessions, request({}, session_id=session_id + 1, epoch=1)) == (
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    )
    assert refused(sessions, request({}, session_id=0, epoch=1)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND


def test_epochs_go_round():
    sessions = FetchSessions(10)
    session = sessions.open(request(), 12, 0.0)
    session.epoch = 0x7FFFFFFF
    sessions.open(request({}, session_id=session.session_id, epoch=0x7FFFFFFF), 12, 0.0)
    assert session.epoch == 1


def test_closing_and_beginning_anew():
    sessions = FetchSessions(10)
    first = sessions.open(request(), 12, 0.0).session_id
    second = sessions.open(request(session_id=first), 12, 0.0).session_id
    assert second not in {0, first}
    assert len(sessions) == 1, "the old one made room"
    last = sessions.open(request(session_id=second, epoch=-1), 12, 0.0)
    assert last.session_id == 0
    assert keys(last) == list(NAMES), "the last fetch is still answered"
    assert (len(sessions), sessions.partitions) == (0, 0)
    assert sessions.open(request(epoch=-1), 12, 0.0).session_id == 0, "and without a session from the start"


def test_a_session_that_has_nothing_left_ends():
    sessions = FetchSessions(10)
    session_id = sessions.open(request({("t", 0): 0}), 12, 0.0).session_id
    empty = sessions.open(request({}, session_id=session_id, epoch=1, forget=[("t", 0)]), 12, 0.0)
    assert (empty.session_id, empty.partitions) == (0, {})
    assert (len(sessions), sessions.partitions) == (0, 0)
    assert sessions.open(request({}), 12, 0.0).session_id == 0


def test_a_partition_that_is_named_and_forgotten_is_forgotten():
    sessions = FetchSessions(10)
    session_id = sessions.open(request(), 12, 0.0).session_id
    both = request({("t", 0): 5, ("w", 0): 5}, session_id=session_id, epoch=1, forget=[("t", 0), ("w", 0)])
    assert keys(sessions.open(both, 12, 0.0)) == [("t", 1), ("u", 0)]
    assert sessions.partitions == 2


def test_names_and_ids_are_not_mixed():
    sessions = FetchSessions(10)
    by_name = sessions.open(request(), 12, 0.0).session_id
    by_id = sessions.open(request({(UUID(int=1), 0): 0}), 13, 0.0).session_id
    for session_id, version in ((by_name, 13), (by_id, 12)):
        code = refused(sessions, request({}, session_id=session_id, epoch=1), version)
        assert code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    sessions.open(request({}, session_id=by_name, epoch=1), 4, 0.0)
    sessions.open(request({}, session_id=by_id, epoch=1), 18, 0.0)


def test_a_newcomer_takes_the_place_of_who_was_silent_longest():
    sessions = FetchSessions(2)
    first = sessions.open(request(), 12, 0.0).session_id
    second = sessions.open(request(), 12, 1.0).session_id
    assert sessions.open(request(), 12, EVICT_AFTER_S - 1).session_id == 0, "both are too young"
    sessions.open(request({}, session_id=first, epoch=1), 12, 5.0)
    third = sessions.open(request(), 12, EVICT_AFTER_S + 1).session_id
    assert third
    assert refused(sessions, request({}, session_id=second, epoch=1)) == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
    sessions.open(request({}, session_id=first, epoch=2), 12, EVICT_AFTER_S + 2)
    assert len(sessions) == 2


def test_no_slots_no_sessions():
    sessions = FetchSessions(0)
    assert sessions.open(request(), 12, 0.0).session_id == 0


def test_partitions_are_bounded_over_all_sessions():
    sessions = FetchSessions(10, partitions_max=7)
    first = sessions.open(request(), 12, 0.0).session_id
    second = sessions.open(request(), 12, 0.0).session_id
    assert sessions.open(request(), 12, 0.0).session_id == 0
    assert sessions.open(request({("t", n): 0 for n in range(8)}), 12, 1e6).session_id == 0
    assert sessions.partitions == 6
    sessions.open(request({("t", 2): 0}, session_id=first, epoch=1), 12, 0.0)
    code = refused(sessions, request({("t", 2): 0}, session_id=second, epoch=1))
    assert code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND, "the client goes on without, and misses nothing"
    assert sessions.partitions == 4
    sessions.open(request(), 12, 0.0)
    assert sessions.open(request({("t", n): 0 for n in range(7)}), 12, EVICT_AFTER_S).session_id
    assert sessions.partitions == 7


# ---- over sockets


def told(response) -> dict[tuple[str, int], int]:
    """(topic, partition) -> bytes, or the error as a negative number."""
    return {
        (topic.topic, p.partition_index): -p.error_code if p.error_code else len(bytes_of(p))
        for topic in response.responses
        for p in topic.partitions
    }


@on_broker()
async def test_only_news_is_told(stage: Stage):
    await stage.topic("t", 2)
    await stage.topic("u")
    await stage.produce("t", batch_of([b"v"]))
    size = len(batch_of([b"v"]))
    for version in (7, 12):
        full = await stage.ask(request({("t", 0): 0, ("t", 1): 0, ("u", 0): 0}), version)
        assert told(full) == {("t", 0): size, ("t", 1): 0, ("u", 0): 0}
        session_id = full.session_id
        assert session_id
        # Nobody says it has read t-0: it comes again, and nothing else does.
        again = await stage.ask(request({}, session_id=session_id, epoch=1), version)
        assert (again.session_id, told(again)) == (session_id, {("t", 0): size})
        read = await stage.ask(request({("t", 0): 1}, session_id=session_id, epoch=2), version)
        assert told(read) == {}
        await stage.produce("t", batch_of([b"v"]), 1)
        news = await stage.ask(request({}, session_id=session_id, epoch=3), version)
        assert told(news) == {("t", 1): size}
        forgotten = request({}, session_id=session_id, epoch=4, forget=[("t", 1)])
        assert told(await stage.ask(forgotten, version)) == {}
        closed = await stage.ask(request({}, session_id=session_id, epoch=-1), version)
        assert (closed.session_id, told(closed)) == (0, {})
        await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
        await stage.topic("t", 2)
        await stage.produce("t", batch_of([b"v"]))


@on_broker()
async def test_versions_before_7_know_no_sessions(stage: Stage):
    await stage.topic("t")
    for version in (4, 5, 6):
        response = await stage.ask(request({("t", 0): 0}), version)
        assert response.session_id == 0
    assert len(stage.broker.fetch_sessions) == 0


@on_broker()
async def test_session_errors_are_the_whole_answer(stage: Stage):
    await stage.topic("t")
    response = await stage.ask(request({}, session_id=77, epoch=1), 12)
    assert (response.error_code, response.session_id) == (ErrorCode.FETCH_SESSION_ID_NOT_FOUND, 0)
    session_id = (await stage.ask(request({("t", 0): 0}), 12)).session_id
    response = await stage.ask(request({}, session_id=session_id, epoch=9), 12)
    assert (response.error_code, response.session_id) == (ErrorCode.INVALID_FETCH_SESSION_EPOCH, 0)
    assert response.responses == []
    response = await stage.ask(request({}, session_id=session_id, epoch=1), 13)
    assert response.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR


@on_broker()
async def test_an_error_is_told_each_time_and_its_end_too(stage: Stage):
    await stage.topic("t")
    full = await stage.ask(request({("t", 0): 0, ("u", 0): 0}), 12)
    session_id = full.session_id
    assert told(full) == {("t", 0): 0, ("u", 0): -3}
    for epoch in (1, 2):
        again = await stage.ask(request({}, session_id=session_id, epoch=epoch), 12)
        assert told(again) == {("u", 0): -3}
    await stage.topic("u")
    mended = await stage.ask(request({}, session_id=session_id, epoch=3), 12)
    assert told(mended) == {("u", 0): 0}, "a partition that is well again says so, though it has no records"
    assert told(await stage.ask(request({}, session_id=session_id, epoch=4), 12)) == {}


@on_broker()
async def test_a_moved_log_start_is_news(stage: Stage):
    from logbroker.base.error_codes import ErrorCode as Code

    partition = await stage.topic("t")
    for _ in range(3):
        await stage.produce("t", batch_of([b"v"]))
    session_id = (await stage.ask(request({("t", 0): 3}), 12)).session_id
    assert told(await stage.ask(request({}, session_id=session_id, epoch=1), 12)) == {}
    codes: list[Code] = []
    partition.log.delete_records(2, codes.append)
    await until(lambda: codes)
    response = await stage.ask(request({}, session_id=session_id, epoch=2), 12)
    assert told(response) == {("t", 0): 0}
    assert response.responses[0].partitions[0].log_start_offset == 2


@on_broker()
async def test_the_high_watermark_is_news(stage: Stage):
    await stage.topic("t")
    await stage.produce("t", batch_of([b"v"]))
    # Read from the far end: an offset that exists but isn't durable yet comes without records.
    session_id = (await stage.ask(request({("t", 0): 1}), 12)).session_id
    await stage.produce("t", batch_of([b"v"]))
    asked = request({("t", 0): 2}, session_id=session_id, epoch=1)
    response = await stage.ask(asked, 12)
    assert told(response) == {("t", 0): 0}
    assert response.responses[0].partitions[0].high_watermark == 2


@on_broker()
async def test_who_got_data_goes_to_the_end(stage: Stage):
    await stage.topic("t", 3)
    size = len(batch_of([b"v" * 500]))
    for index in range(3):
        for _ in range(4):
            await stage.produce("t", batch_of([b"v" * 500]), index)
    offsets = {("t", index): 0 for index in range(3)}
    first = request(offsets)
    first.max_bytes = size
    response = await stage.ask(first, 12)
    served = [index for (_, index), found in told(response).items() if found]
    for epoch in range(1, 6):
        following = request({}, session_id=response.session_id, epoch=epoch)
        following.max_bytes = size
        served += [index for (_, index), found in told(await stage.ask(following, 12)).items() if found]
    assert served == [0, 1, 2, 0, 1, 2], "none starves"


@on_broker()
async def test_a_session_waits_for_news_and_wakes_for_a_deletion(stage: Stage):
    partition = await stage.topic("t", 2)
    connection = await stage.connect()
    asked = request({(partition.topic_id, 0): 0, (partition.topic_id, 1): 0})
    session_id = (await connection.request(ApiKey.FETCH, asked, version=15)).session_id
    asked = request({}, session_id=session_id, epoch=1)
    asked.max_wait_ms = 30_000
    answer = connection.send(ApiKey.FETCH, asked, version=15)
    await until(lambda: len(stage.broker.fetch_waits) == 1)
    await stage.produce("t", batch_of([b"v"]), 1)
    response = await asyncio.wait_for(answer, 5)
    assert [p.partition_index for p in response.responses[0].partitions] == [1]
    asked = request({(partition.topic_id, 1): 1}, session_id=session_id, epoch=2)
    asked.max_wait_ms = 30_000
    answer = connection.send(ApiKey.FETCH, asked, version=15)
    await until(lambda: len(stage.broker.fetch_waits) == 1)
    await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    response = await asyncio.wait_for(answer, 5)
    assert [p.error_code for p in response.responses[0].partitions] == [ErrorCode.UNKNOWN_TOPIC_ID] * 2


@on_broker()
async def test_a_topic_made_anew_has_another_id_in_the_session(stage: Stage):
    old = await stage.topic("t")
    session_id = (await stage.ask(request({(old.topic_id, 0): 0}), 15)).session_id
    await stage.broker.metadata.delete_topics([TopicToDelete(name="t")])
    new = await stage.topic("t")
    await stage.produce("t", batch_of([b"v"]))
    asked = request({(new.topic_id, 0): 0}, session_id=session_id, epoch=1, forget=[(old.topic_id, 0)])
    response = await stage.ask(asked, 15)
    assert [topic.topic_id for topic in response.responses] == [new.topic_id]
    assert len(bytes_of(response.responses[0].partitions[0])) > 0


@on_broker()
async def test_a_lost_answer_ends_the_session(stage: Stage):
    await stage.topic("t")
    connection = await stage.connect()
    session_id = (await connection.request(ApiKey.FETCH, request({("t", 0): 0}), version=12)).session_id
    asked = request({}, session_id=session_id, epoch=1)
    asked.max_wait_ms = 30_000
    lost = connection.send(ApiKey.FETCH, asked, version=12)
    await until(lambda: len(stage.broker.fetch_waits) == 1)
    connection.close()
    assert await asyncio.gather(lost, return_exceptions=True)
    await until(lambda: len(stage.broker.fetch_waits) == 0)
    response = await stage.ask(request({}, session_id=session_id, epoch=1), 12)
    assert response.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
    assert told(await stage.ask(request({("t", 0): 0}, session_id=session_id), 12)) == {("t", 0): 0}


@on_broker(max_incremental_fetch_session_cache_slots=0)
async def test_sessions_can_be_turned_off(stage: Stage):
    await stage.topic("t")
    for _ in range(2):
        response = await stage.ask(request({("t", 0): 0}), 12)
        assert (response.session_id, told(response)) == (0, {("t", 0): 0})
