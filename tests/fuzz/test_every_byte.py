"""A well-formed request of every API, in its oldest and its newest version, with a lie written over every one of its bytes in turn.

Wherever a length, a count or a number stands, it is negative once, and huge once. Each frame is answered or closes its connection,
at once; the broker's log has no error, and it goes on serving.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.broker.handlers import ADVERTISED
from logbroker.testing.frame_fuzz import PARKING, FrameMaker, World
from logbroker.testing.wire_client import WireClient
from logbroker.wire.api import API, ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

LIES = (
    struct.pack(">i", -1),
    struct.pack(">i", 0x7FFFFFFF),
    struct.pack(">h", 0x7FFF),
    b"\xff\xff\xff\xff\x7f",  # a varint of 34 bits
)
SOON_S = 10.0
PARKED_S = 0.05
LAST_ID = 0x5EED
LAST = struct.pack(">ihhih", 10, ApiKey.API_VERSIONS, 0, LAST_ID, -1)
VERSIONS = [(key, version) for key in ADVERTISED for version in {API[key].min_version, API[key].max_version}]
BYTES_MAX = 600
HEADER_BYTES = 8
"""Length, API key and version; what lies there is `test_bad_input.py`'s."""


def whole_frames():
    """For each API and version one that is long, and so has elements in its arrays."""
    maker = FrameMaker(1, World(topics=["t"], groups=["g"], members=[""]))
    found = dict.fromkeys(VERSIONS, b"")
    for frame in (maker.frame() for _ in range(30_000)):
        key = frame.api_key, frame.version
        if not frame.mutated and key in found and len(found[key]) < len(frame.data) < BYTES_MAX:
            found[key] = frame.data
    return found


def lies(data, sample):
    assert data
    for position in range(HEADER_BYTES, len(data)):
        for lie in LIES:
            if sample():
                yield (data[:position] + lie + data[position + len(lie) :])[: len(data)]


class Peer:
    """A connection that is made again whenever the broker has closed it."""

    def __init__(self, broker):
        self.address = (broker.host, broker.port)
        self.socket = None
        self.answered = self.closed = self.parked = 0

    def send(self, data, may_park):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, SOON_S)
        self.socket.settimeout(PARKED_S if may_park else SOON_S)
        try:
            self.socket.sendall(data + LAST)
            self._read_to_last()
            self.answered += 1
        except ConnectionError:
            self._drop()
            self.closed += 1
        except TimeoutError:
            assert may_park, f"no answer within {SOON_S} s to {data.hex()}"
            self._drop()
            self.parked += 1

    def _read_to_last(self):
        while True:
            length, correlation_id = struct.unpack(">ii", self._exactly(8))
            self._exactly(length - 4)
            if correlation_id == LAST_ID:
                return

    def _exactly(self, size):
        data = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        if len(data) < size:
            raise ConnectionResetError
        return data

    def _drop(self):
        self.socket.close()
        self.socket = None


def tell_lies(broker, sample):
    with WireClient(broker.bootstrap) as client:
        asked = [CreatableTopic(name="t", num_partitions=2, replication_factor=1)]
        client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked))
    peer = Peer(broker)
    for (key, _), frame in whole_frames().items():
        for data in lies(frame, sample):
            peer.send(data, key in PARKING)
    with contextlib.suppress(AttributeError):
        peer.socket.close()
    errors = [event for event in broker.events() if event["level"] == "error"]
    assert not errors, errors[:3]
    assert peer.answered > 100
    assert peer.closed > 100
    with WireClient(broker.bootstrap) as client:
        code = client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code
        assert code in {0, ErrorCode.TOPIC_ALREADY_EXISTS}
    return peer


def test_a_sample(broker):
    rng = random.Random(5)
    tell_lies(broker, lambda: rng.random() < 0.05)


@pytest.mark.long
def test_all_of_them(broker):
    tell_lies(broker, lambda: True)
