"""Produce (API key 0), versions 3-13: append one batch to each partition, answer when they are durable.

Two-phase: every append happens in this call, in order; the answer leaves when the last of them is durable (`acks` 1 and all) or
at once and empty (`acks` 0, where an error closes the connection, as in Kafka). From version 13 topics are named by id.
What is not durable after `timeout_ms` is answered with REQUEST_TIMED_OUT; it still counts when it becomes durable later.

Advertised from version 0, as older librdkafka silently drops compression otherwise (KAFKA-18659); using 0-2 closes the connection.

The first batch of a transaction in a partition waits for the transaction coordinator, and the connection's later produces wait
behind it: `produce_admission.py`.

KIPs: 98 (idempotence, transactions), 467 (record errors), 516 (topic ids), 890 (transaction verification), 951 (leader hints: alone there is
never another leader).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.base.types import Buffer
from logbroker.broker.context import RequestContext
from logbroker.broker.produce_admission import (
    ADDS_PARTITIONS_FROM,
    Key,
    Question,
    check_admitted,
    is_transactional,
    question_of,
)
from logbroker.records.batch import TIMESTAMP_TYPE_MASK, TRANSACTIONAL_MASK, parse_header
from logbroker.records.iterator import InvalidRecordError
from logbroker.replication.partition import Partition
from logbroker.storage.append import JournalItem
from logbroker.storage.log import Log
from logbroker.wire.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from logbroker.wire.produce_reply import single_produce_reply
from logbroker.wire.produce_request import single_produce_request

if TYPE_CHECKING:
    from logbroker.broker.broker import Broker

TOPIC_ID_FROM: Final = 13
ZSTD_FROM: Final = 7
_ATTRIBUTES_LOW_BYTE: Final = 22


def _single_done(item: JournalItem) -> None:
    """Answer a request of one batch, the usual case."""
    log = item.log
    if item.error:
        _send_single(item.waiter, log, item.error)
    else:
        _send_single(item.waiter, log, 0, item.base_offset, _append_time(item), log.start_offset)


def _single_late(context: RequestContext) -> None:
    _send_single(context, context.request.log, ErrorCode.REQUEST_TIMED_OUT)


def _send_single(
    context: RequestContext,
    log: Log,
    error: int,
    base_offset: int = -1,
    append_time_ms: int = -1,
    start_offset: int = -1,
) -> None:
    """By one `struct` pack; ignored when the request is answered already."""
    version = context.route.version
    topic = log.topic_id_bytes if version >= TOPIC_ID_FROM else log.topic_bytes
    context.send_frame(
        single_produce_reply(
            version,
            context.correlation_id,
            topic,
            log.index,
            error,
            base_offset,
            append_time_ms,
            start_offset,
        )
    )


class _Several:
    """A request of several batches: answered when the last one is."""

    __slots__ = ("context", "left", "response")

    def __init__(self, context: RequestContext, response: ProduceResponse, left: int) -> None:
        self.context = context
        self.response = response
        self.left = left

    def time_out(self) -> None:
        for topic in self.response.responses:
            for partition in topic.partition_responses:
                if partition.error_code == _PENDING:
                    _fail(partition, ErrorCode.REQUEST_TIMED_OUT, None)
        self.context.respond(self.response)

    def one_less(self) -> None:
        self.left -= 1
        if not self.left and not self.context.answered:
            self.context.respond(self.response)


_PENDING: Final = -2
"""Error code of a partition that isn't answered yet; never sent."""


def _several_done(item: JournalItem) -> None:
    waiter, partition = item.waiter
    if partition.error_code == _PENDING:
        if item.error:
            _fail(partition, item.error, None)
        else:
            partition.error_code = 0
            partition.base_offset = item.base_offset
            partition.log_append_time_ms = _append_time(item)
            partition.log_start_offset = item.log.start_offset
    waiter.one_less()


def _append_time(item: JournalItem) -> int:
    if not item.size:
        return item.append_time_ms
    if item.buffer[_ATTRIBUTES_LOW_BYTE] & TIMESTAMP_TYPE_MASK:
        return parse_header(item.buffer).max_timestamp
    return -1


def _fail(partition: PartitionProduceResponse, code: int, message: str | None) -> None:
    partition.error_code = code
    partition.error_message = message
    partition.base_offset = -1
    partition.log_append_time_ms = -1
    partition.log_start_offset = -1


def handle_frame(broker: Broker, context: RequestContext, frame: memoryview, position: int) -> None:
    """Append everything in the request now, or behind what its connection waits for; answer when it is durable."""
    holds = broker.produce_holds
    if holds and context.connection in holds:
        holds[context.connection].append((context, frame, position))
        return
    route = context.route
    version = route.version
    single = single_produce_request(version, frame, position)
    if single is not None:
        acks, timeout_ms, topic, index, records = single
        replicas = broker.replicas
        table = replicas.by_id_bytes if version >= TOPIC_ID_FROM else replicas.by_name_bytes
        partitions = table.get(topic)
        partition = partitions.get(index) if partitions is not None else None
        if (
            partition is not None
            and not partition.internal
            and acks in {1, -1}
            and len(records) > _ATTRIBUTES_LOW_BYTE
            and not records[_ATTRIBUTES_LOW_BYTE] & TRANSACTIONAL_MASK
        ):
            route.handled += 1
            try:
                if acks < 0:
                    partition.require_isr()
                partition.append_as_leader(
                    records, on_done=_single_done, waiter=context, allow_zstd=version >= ZSTD_FROM
                )
            except BrokerError as error:
                _answer_refused(context, partition, index, error)
            else:
                context.request = partition
                broker.produce_waits.add(context, timeout_ms, _single_late)
            return
    request: ProduceRequest = route.decode(frame, position)
    route.handled += 1
    context.request = request
    _append_several(broker, context, request)


def _answer_refused(context: RequestContext, partition: Partition, index: int, error: BrokerError) -> None:
    answer = PartitionProduceResponse(index=index)
    _refuse(answer, error)
    context.respond(ProduceResponse([TopicProduceResponse(partition.topic, partition.topic_id, [answer])]))


def _refuse(partition: PartitionProduceResponse, error: BrokerError) -> None:
    _fail(partition, error.code, error.message)
    if isinstance(error, InvalidRecordError):
        partition.record_errors = [BatchIndexAndErrorMessage(error.record_index, error.message)]


def _append_several(broker: Broker, context: RequestContext, request: ProduceRequest) -> None:
    transactional_id = request.transactional_id
    try:
        question = _question_of(broker, context, request)
    except BrokerError as error:
        _append(broker, context, request, None, {}, refusal=error)
        return
    if question is None or transactional_id is None:
        _append(broker, context, request, None, {})
        return
    verdicts = broker.transactions.admit(
        transactional_id,
        question.producer_id,
        question.producer_epoch,
        list(question.partitions),
        add=context.api_version >= ADDS_PARTITIONS_FROM,
    )
    broker.produce_holds[context.connection] = deque()
    verdicts.on_done(lambda verdicts: _admitted(broker, context, request, question, verdicts))


def _question_of(broker: Broker, context: RequestContext, request: ProduceRequest) -> Question | None:
    """What the coordinator must be asked about the request. Raises BrokerError for all of it."""
    batches: list[tuple[Partition, Buffer]] = []
    for topic in request.topic_data:
        for data in topic.partition_data:
            records = data.records
            if records is None or not is_transactional(records):
                continue
            if request.transactional_id is None:
                raise BrokerError(
                    ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                    "a request with transactional batches must name its transactional id",
                )
            try:
                batches.append((_partition(broker, context.api_version, topic, data), records))
            except BrokerError:
                continue  # the append says so
    return question_of(batches) if batches else None


def _admitted(
    broker: Broker,
    context: RequestContext,
    request: ProduceRequest,
    question: Question,
    verdicts: Mapping[Key, ErrorCode],
) -> None:
    """The coordinator has answered: append, then go on with what the connection has sent meanwhile."""
    held = broker.produce_holds.pop(context.connection)
    try:
        _append(broker, context, request, question, verdicts)
    except Exception as error:
        context.route.on_error(context, error)
    while held:
        following, frame, position = held.popleft()
        try:
            handle_frame(broker, following, frame, position)
        except Exception as error:
            following.route.on_error(following, error)
        if following.connection in broker.produce_holds:  # it waits in its turn, and the rest behind it
            broker.produce_holds[following.connection].extend(held)
            return


def _append(
    broker: Broker,
    context: RequestContext,
    request: ProduceRequest,
    question: Question | None,
    verdicts: Mapping[Key, ErrorCode],
    *,
    refusal: BrokerError | None = None,
) -> None:
    response = ProduceResponse()
    waiter = _Several(context, response, 1)
    acks = request.acks
    failed = False
    for topic in request.topic_data:
        answers = TopicProduceResponse(topic.name, topic.topic_id)
        response.responses.append(answers)
        for data in topic.partition_data:
            answer = PartitionProduceResponse(index=data.index, error_code=_PENDING)
            answers.partition_responses.append(answer)
            try:
                if refusal is not None:
                    raise refusal
                partition = _partition(broker, context.api_version, topic, data)
                _check(request, partition)
                if data.records is not None and is_transactional(data.records):
                    check_admitted(
                        partition,
                        data.records,
                        context.api_version,
                        question,
                        verdicts,
                        verified=broker.settings.transaction_partition_verification_enable,
                        refused=broker.refused_batches,
                    )
                partition.append_as_leader(
                    data.records or b"",
                    on_done=_several_done,
                    waiter=(waiter, answer),
                    allow_zstd=context.api_version >= ZSTD_FROM,
                )
            except BrokerError as error:
                _refuse(answer, error)
                failed = True
            else:
                waiter.left += 1  # it is never done within the call
    if acks == 0:
        if failed:
            first = next(
                answer
                for answers in response.responses
                for answer in answers.partition_responses
                if answer.error_code > 0 or answer.error_code == ErrorCode.UNKNOWN_SERVER_ERROR
            )
            context.connection.refuse(
                f"a produce with acks=0 failed ({ErrorCode(first.error_code).name}), and has no other way to say so"
            )
        context.send_nothing()
        return
    waiter.one_less()
    if not context.answered:
        broker.produce_waits.add(context, request.timeout_ms, lambda _: waiter.time_out())


def _partition(
    broker: Broker, version: int, topic: TopicProduceData, data: PartitionProduceData
) -> Partition:
    if version >= TOPIC_ID_FROM:
        return broker.replicas.partition_by_id(topic.topic_id, data.index)
    return broker.replicas.partition(topic.name, data.index)


def _check(request: ProduceRequest, partition: Partition) -> None:
    """What a request may not ask. Raises BrokerError."""
    if request.acks not in {-1, 0, 1}:
        raise BrokerError(ErrorCode.INVALID_REQUIRED_ACKS, f"acks={request.acks}; -1, 0 and 1 are known")
    if partition.internal:
        raise BrokerError(
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            f"{partition.topic} is an internal topic; clients may not write to it",
        )
    if request.acks < 0:
        partition.require_isr()
