"""Idempotent producers: the answers are Kafka's own, what is forgotten is forgotten whole, damage is named."""

import os
import pathlib
import random
import shutil
import subprocess
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, CorruptionError
from logbroker.records.batch import TRANSACTIONAL_MASK, BatchHeader
from logbroker.storage import snapshot_file
from logbroker.storage.producer_limits import ProducerLimits
from logbroker.storage.producer_state import (
    EPOCH_MAX,
    NO_OFFSET,
    DuplicateOf,
    ProducerEntry,
    ProducerStates,
    RememberedBatch,
    decode_entries,
    encode_entries,
)
from logbroker.storage.vfs import OsVfs

NOW = 1_700_000_000_000
LAST_SEQUENCE = 2**31 - 1
JAVA = pathlib.Path(__file__).with_name("java") / "ProducerCheck.java"
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def batch(producer_id=7, epoch=0, sequence=0, count=1, *, timestamp=NOW, transactional=False, attributes=0):
    if transactional:
        attributes |= TRANSACTIONAL_MASK
    return BatchHeader(
        0, 100, -1, 2, 0, attributes, count - 1, timestamp, timestamp, producer_id, epoch, sequence, count
    )


class Partition:
    """A log's end offset beside the states, as the log keeps them."""

    def __init__(self, **options):
        self.states = ProducerStates(**options)
        self.end = 0

    def append(self, header, now_ms=NOW):
        duplicate = self.states.check(header, now_ms)
        if duplicate is None:
            self.end += header.record_count
            self.states.record(header, self.end - header.record_count, self.end - 1, now_ms)
        return duplicate

    def refused(self, header, now_ms=NOW):
        with pytest.raises(BrokerError) as caught:
            self.append(header, now_ms)
        assert f"producer id {header.producer_id}" in str(caught.value)
        return caught.value.code


def test_in_sequence_batches_are_appended():
    partition = Partition()
    for sequence in range(0, 60, 3):
        assert partition.append(batch(sequence=sequence, count=3)) is None
    assert partition.states.get(7).last_sequence == 59
    assert len(partition.states.get(7).batches) == 5


def test_the_last_five_batches_are_known_again():
    partition = Partition()
    for sequence in range(0, 18, 3):
        partition.append(batch(sequence=sequence, count=3, timestamp=NOW + sequence))
    for sequence in range(3, 18, 3):
        assert partition.append(batch(sequence=sequence, count=3)) == DuplicateOf(
            sequence, sequence + 2, NOW + sequence
        )
    assert partition.end == 18
    # the sixth: nothing proves any more that it was appended
    assert partition.refused(batch(sequence=0, count=3)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_duplicate_has_the_same_length():
    partition = Partition()
    partition.append(batch(sequence=0, count=3))
    for count in (1, 2, 4):
        assert partition.refused(batch(count=count)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize("sequence", [0, 2, 4, 6, 100, LAST_SEQUENCE])
def test_a_gap_or_an_overlap_is_out_of_order(sequence):
    partition = Partition()
    partition.append(batch(sequence=3, count=2))
    assert partition.refused(batch(sequence=sequence, count=2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(batch(sequence=5)) is None


def test_an_unknown_producer_may_begin_anywhere():
    partition = Partition()
    assert partition.append(batch(sequence=4711)) is None
    assert partition.append(batch(sequence=4712)) is None


def test_a_newer_epoch_begins_at_zero_and_fences_the_older():
    partition = Partition()
    partition.append(batch(epoch=3, sequence=0))
    partition.append(batch(epoch=3, sequence=1))
    assert partition.refused(batch(epoch=4, sequence=2)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(batch(epoch=4, sequence=0)) is None
    for sequence in (0, 1, 2):
        assert partition.refused(batch(epoch=3, sequence=sequence)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert partition.append(batch(epoch=4, sequence=0)) == DuplicateOf(2, 2, NOW)


def test_sequences_wrap_to_zero():
    partition = Partition()
    assert partition.append(batch(sequence=LAST_SEQUENCE - 1, count=2)) is None
    assert partition.append(batch(sequence=0, count=2)) is None
    assert partition.append(batch(sequence=LAST_SEQUENCE - 1, count=2)) == DuplicateOf(0, 1, NOW)
    partition = Partition()
    partition.append(batch(sequence=LAST_SEQUENCE - 1, count=4))
    assert partition.states.get(7).last_sequence == 1
    assert partition.append(batch(sequence=2)) is None
    assert partition.append(batch(sequence=LAST_SEQUENCE - 1, count=4)) == DuplicateOf(0, 3, NOW)
    assert decode_entries(partition.states.encode(), path="x") == partition.states.capture()


def test_producers_do_not_know_each_other():
    partition = Partition()
    partition.append(batch(producer_id=1))
    partition.append(batch(producer_id=2, sequence=9))
    assert partition.append(batch(producer_id=1)) == DuplicateOf(0, 0, NOW)
    assert partition.append(batch(producer_id=2, sequence=10)) is None


def test_a_transaction_takes_only_its_own():
    partition = Partition()
    assert partition.append(batch(sequence=0, transactional=True)) is None
    assert partition.append(batch(sequence=1, transactional=True)) is None
    assert partition.states.get(7).transaction_first_offset == 0
    assert partition.refused(batch(sequence=2)) == ErrorCode.INVALID_TXN_STATE
    assert partition.states.record_marker(7, 0, 5, 2, NOW) == 0
    assert partition.states.record_marker(7, 0, 5, 3, NOW) == NO_OFFSET
    assert partition.append(batch(sequence=2)) is None
    assert partition.states.get(7).coordinator_epoch == 5


def test_a_marker_with_a_newer_epoch_fences():
    partition = Partition()
    partition.append(batch(sequence=0, count=5, transactional=True))
    partition.states.record_marker(7, 1, 0, 5, NOW)
    assert partition.refused(batch(sequence=5, transactional=True)) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert partition.refused(batch(epoch=1, sequence=5)) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(batch(epoch=1, sequence=0)) is None


def test_a_coordinators_batches_have_no_sequence():
    partition = Partition()
    for _ in range(3):
        assert partition.append(batch(sequence=-1, transactional=True)) is None
    assert partition.append(batch(sequence=-1, epoch=1, transactional=True)) is None
    assert partition.refused(batch(sequence=-1, transactional=True)) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_idle_producers_expire_and_open_transactions_do_not():
    partition = Partition()
    partition.append(batch(producer_id=1), NOW)
    partition.append(batch(producer_id=2), NOW + 1)
    partition.append(batch(producer_id=3, transactional=True), NOW)
    assert partition.states.expire(NOW + 999, 1000) == 0
    assert partition.states.expire(NOW + 1000, 1000) == 1
    assert partition.states.get(1) is None
    assert partition.append(batch(producer_id=1, sequence=55)) is None
    assert partition.append(batch(producer_id=2)) is not None
    partition.states.record_marker(3, 0, 0, partition.end)
    assert partition.states.expire(NOW + 5000, 1000) == 3


def test_idleness_counts_from_the_brokers_clock_if_it_is_given():
    states = ProducerStates()
    states.record(batch(producer_id=1, timestamp=5), 0, 0, NOW)
    states.record(batch(producer_id=2, timestamp=5), 1, 1)
    assert states.expire(NOW + 10, 1000) == 1
    assert states.get(1) is not None


def test_truncation_forgets_what_lies_above():
    partition = Partition()
    for sequence in range(4):
        partition.append(batch(sequence=sequence))
    partition.append(batch(producer_id=8, sequence=9))
    partition.append(batch(producer_id=9))
    partition.append(batch(producer_id=9, sequence=1))
    assert partition.states.copy().truncate_to(7)
    assert partition.states.truncate_to(6)
    assert partition.states.get(9).batches == (RememberedBatch(0, 0, 5, 5, NOW),)
    assert not partition.states.truncate_to(2)
    assert partition.states.get(8) is None
    assert partition.states.get(9) is None
    assert partition.states.get(7).last_sequence == 1
    partition.end = 2
    assert partition.append(batch(sequence=2)) is None
    assert partition.append(batch(sequence=1)) == DuplicateOf(1, 1, NOW)


def test_truncation_never_guesses_about_transactions():
    partition = Partition()
    partition.append(batch(sequence=0, count=3))
    partition.append(batch(sequence=3, count=3, transactional=True))
    assert not partition.states.copy().truncate_to(4)
    assert not partition.states.copy().truncate_to(3)
    partition.states.record_marker(7, 0, 0, 6, NOW)
    partition.states.transactions.first_unstable_offset(7)
    assert not partition.states.copy().truncate_to(6)  # the marker goes: the transaction was open before


def refused_marker(states, *marker):
    with pytest.raises(BrokerError) as raised:
        states.check_marker(*marker)
    return raised.value.code


@pytest.mark.parametrize("version", [0, 2])
def test_a_marker_must_not_be_of_an_older_epoch_or_coordinator(version):
    partition = Partition()
    partition.append(batch(epoch=5, transactional=True))
    states = partition.states
    states.check_marker(8, 0, 0, version)
    states.check_marker(7, 6, 0, version)
    assert refused_marker(states, 7, 4, 0, version) == ErrorCode.INVALID_PRODUCER_EPOCH
    states.record_marker(7, 6, 3, 1, NOW)
    assert refused_marker(states, 7, 5, 3, version) == ErrorCode.INVALID_PRODUCER_EPOCH
    assert refused_marker(states, 7, 7, 2, version) == ErrorCode.TRANSACTION_COORDINATOR_FENCED
    states.check_marker(7, 7, 4, version)


def test_with_transaction_version_2_the_markers_epoch_must_be_newer_than_the_transactions():
    partition = Partition()
    partition.append(batch(epoch=5, transactional=True))
    states = partition.states
    states.check_marker(7, 5, 0, 0)
    assert refused_marker(states, 7, 5, 0, 2) == ErrorCode.INVALID_PRODUCER_EPOCH
    states.record_marker(7, 6, 0, 1, NOW)
    states.check_marker(7, 6, 0, 2)  # the same marker once more: its transaction has ended
    assert refused_marker(states, 7, 5, 0, 2) == ErrorCode.INVALID_PRODUCER_EPOCH
    partition = Partition()
    partition.append(batch(epoch=EPOCH_MAX, transactional=True))
    partition.states.check_marker(7, EPOCH_MAX, 0, 2)  # there is no newer one


def test_the_first_unstable_offset_waits_for_the_marker():
    partition = Partition()
    states = partition.states
    unstable = states.transactions.first_unstable_offset
    assert unstable(0) == NO_OFFSET
    partition.append(batch(producer_id=1))
    partition.append(batch(producer_id=2, transactional=True))
    partition.append(batch(producer_id=3, transactional=True))
    partition.append(batch(producer_id=2, sequence=1, transactional=True))
    assert unstable(4) == 1
    states.record_marker(3, 0, 0, 4, NOW)
    states.record_marker(2, 0, 0, 5, NOW)
    assert states.transactions.first_open_offset == NO_OFFSET
    assert [unstable(end) for end in (4, 5, 6)] == [1, 1, NO_OFFSET]


def test_it_is_the_earliest_whatever_order_they_end_in():
    rng = random.Random(7)
    states = ProducerStates()
    running, ended, durable = {}, [], 0
    for offset in range(3000):
        producer_id = rng.randrange(20)
        if producer_id in running and rng.random() < 0.6:
            states.record_marker(producer_id, 0, 0, offset, NOW)
            ended.append((offset, running.pop(producer_id)))
        else:
            states.record(batch(producer_id=producer_id, transactional=True), offset, offset)
            running.setdefault(producer_id, offset)
        durable = rng.randrange(durable, offset + 2)
        ended = [end for end in ended if end[0] >= durable]
        expected = min([*running.values(), *(first for _, first in ended)], default=NO_OFFSET)
        assert states.transactions.first_unstable_offset(durable) == expected
        assert states.transactions.first_open_offset == min(running.values(), default=NO_OFFSET)
    assert ProducerStates(states.capture()).transactions.first_unstable_offset(0) == min(
        running.values(), default=NO_OFFSET
    )


def test_the_most_idle_make_room_for_a_new_producer():
    partition = Partition(limits=ProducerLimits(16, 1000))
    for producer_id in range(16):
        partition.append(batch(producer_id=producer_id), NOW + producer_id)
    assert partition.append(batch(producer_id=99), NOW + 5000) is None
    assert partition.states.evicted == 3
    assert [partition.states.get(n) is None for n in range(5)] == [True, True, True, False, False]
    assert len(partition.states) == 14


def test_recent_producers_and_open_transactions_are_not_forgotten_for_a_new_one():
    partition = Partition(limits=ProducerLimits(4, 1000))
    for producer_id in range(4):
        partition.append(batch(producer_id=producer_id, transactional=producer_id < 3), NOW)
    for later in (0, 999):
        assert partition.refused(batch(producer_id=9), NOW + later) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    assert partition.append(batch(producer_id=3, sequence=1), NOW + 1) is None  # the known go on
    assert partition.append(batch(producer_id=9), NOW + 1002) is None
    assert partition.states.get(3) is None
    assert len(partition.states) == 4
    assert partition.refused(batch(producer_id=10), NOW + 1003) == ErrorCode.THROTTLING_QUOTA_EXCEEDED


def test_recovery_stays_within_the_bound_too():
    states = ProducerStates(limits=ProducerLimits(100))
    for producer_id in range(1000):
        states.record(batch(producer_id=producer_id, timestamp=NOW + producer_id), producer_id, producer_id)
    assert len(states) <= 100
    assert states.get(999) is not None


def test_limits_may_change_while_they_are_in_force():
    limits = ProducerLimits(2, 1000)
    partition = Partition(limits=limits)
    for producer_id in range(2):
        partition.append(batch(producer_id=producer_id), NOW)
    assert partition.refused(batch(producer_id=2), NOW) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    limits.per_partition = 4
    for producer_id in range(2, 4):
        assert partition.append(batch(producer_id=producer_id), NOW) is None
    limits.per_partition, limits.protected_idle_ms = 1, 0
    assert partition.append(batch(producer_id=4), NOW + 2000) is None
    assert len(partition.states) == 1


def test_a_capture_does_not_change_and_can_be_encoded_elsewhere():
    partition = Partition()
    for producer_id in range(50):
        partition.append(batch(producer_id=producer_id))
    captured = partition.states.capture()
    expected = encode_entries(captured)
    encoded = []
    thread = threading.Thread(target=lambda: encoded.extend(encode_entries(captured) for _ in range(200)))
    thread.start()
    for sequence in range(1, 200):
        for producer_id in range(50):
            partition.append(batch(producer_id=producer_id, sequence=sequence))
    thread.join()
    assert set(encoded) == {expected}
    assert partition.states.encode() != expected


entry_lists = st.dictionaries(
    st.integers(0, 2**63 - 1),
    st.tuples(
        st.integers(0, 2**15 - 1),
        st.lists(
            st.tuples(st.integers(0, LAST_SEQUENCE), st.integers(0, 2**20), st.integers(-1, NOW)), max_size=7
        ),
        st.integers(-1, 100),
        st.booleans(),
    ),
    max_size=10,
)


def states_of(described):
    states = ProducerStates()
    end = 0
    for producer_id, (epoch, batches, coordinator_epoch, transactional) in described.items():
        states.record_marker(producer_id, epoch, coordinator_epoch, end, NOW)
        for sequence, delta, timestamp in batches:
            header = batch(
                producer_id, epoch, sequence, delta + 1, timestamp=timestamp, transactional=transactional
            )
            states.record(header, end, end + delta)
            end += delta + 1
    return states


@given(entry_lists)
def test_encoding_keeps_everything(described):
    states = states_of(described)
    again = ProducerStates.decode(memoryview(states.encode()))
    assert again.capture() == states.capture()


@given(entry_lists)
def test_a_snapshot_keeps_the_last_batch_of_each(described):
    states = states_of(described)
    data = snapshot_file.encode(states.capture())
    again = snapshot_file.decode(data, "x")
    assert snapshot_file.encode(again) == data
    for producer_id, entry in states.capture().items():
        assert [known[:4] for known in again[producer_id].batches] == [
            known[:4] for known in entry.batches[-1:]
        ]
        assert again[producer_id][:2] == entry[:2]
        assert again[producer_id][3:] == entry[3:]


@pytest.mark.parametrize("form", ["checkpoint", "snapshot"])
def test_every_damaged_byte_is_noticed_and_placed(form):
    states = states_of({7: (0, [(0, 3, NOW), (4, 0, NOW)], 1, True), 2**40: (5, [], -1, False)})
    if form == "checkpoint":
        data = states.encode()
        read = lambda damaged: decode_entries(damaged, path="/d/checkpoint", position=100)  # noqa: E731
    else:
        data = snapshot_file.encode(states.capture())
        read = lambda damaged: snapshot_file.decode(damaged, "/d/x.snapshot")  # noqa: E731
    assert read(data)
    for at in range(len(data)):
        for change in (1, 0x80):
            damaged = bytearray(data)
            damaged[at] ^= change
            with pytest.raises(CorruptionError, match="/d/"):
                read(damaged)
    for size in range(len(data)):
        with pytest.raises(CorruptionError):
            read(data[:size])
    with pytest.raises(CorruptionError):
        read(data + b"\0")


def test_lying_counts_behind_a_good_crc_are_noticed():
    empty = ProducerStates().encode()
    assert decode_entries(empty, path="x") == {}
    for count in (1, 2**32 - 1):
        body = empty[:1] + count.to_bytes(4, "big")
        with pytest.raises(CorruptionError, match="entries don't end"):
            decode_entries(body + snapshot_file.crc32c(body).to_bytes(4, "big"), path="x")
        body = (count & 0x7FFF_FFFF).to_bytes(4, "big")
        with pytest.raises(CorruptionError, match="don't fill"):
            snapshot_file.decode(b"\0\1" + snapshot_file.crc32c(body).to_bytes(4, "big") + body, "x")


def test_snapshots_are_files_with_kafkas_names(tmp_path):
    entries = states_of({7: (0, [(0, 3, NOW)], 1, False)}).capture()
    path = str(tmp_path / snapshot_file.file_name(123))
    assert path.endswith("/00000000000000000123.snapshot")
    snapshot_file.write(OsVfs(), path, entries)
    assert snapshot_file.read(OsVfs(), path) == {
        7: ProducerEntry(0, 3, (RememberedBatch(0, 3, 0, 3, NOW),), NOW, 1, NO_OFFSET)
    }
    with pytest.raises(FileNotFoundError):
        snapshot_file.read(OsVfs(), path + "x")


# Kafka's own classes


@pytest.fixture(scope="module")
def kafka_lib():
    if shutil.which("javac") is None:  # `java File.java` compiles before it runs
        pytest.skip("needs a JDK, 17 or newer: apt install default-jdk-headless")
    lib = pathlib.Path(os.environ.get("KAFKA_LIB") or REPOSITORY / "tools" / "kafka" / "lib")
    if not list(lib.glob("kafka-storage-*.jar")):
        pytest.skip(
            "needs Kafka's jars: mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies "
            "-DoutputDirectory=lib, or KAFKA_LIB=<their directory>"
        )
    return lib


def java(kafka_lib, *arguments):
    done = subprocess.run(
        ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka_lib}/*", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def operations(seed, count):
    """Random operations, most of them what a producer would do; and our answers."""
    rng = random.Random(seed)
    partition = Partition()
    now = NOW
    for _ in range(count):
        now += rng.randrange(20)
        producer_id = rng.randrange(12)
        entry = partition.states.get(producer_id)
        epoch = entry.epoch if entry else rng.randrange(3)
        kind = rng.random()
        if kind < 0.01:
            yield f"expire {now}", f"expired {partition.states.expire(now, 1000)}"
            continue
        if kind < 0.08 and entry:
            epoch += rng.random() < 0.2
            coordinator_epoch = max(entry.coordinator_epoch, 0) + (rng.random() < 0.3)
            ended = partition.states.record_marker(producer_id, epoch, coordinator_epoch, partition.end, now)
            partition.end += 1
            yield f"marker {producer_id} {epoch} {coordinator_epoch} {now}", f"marker {ended}"
            continue
        count = rng.randrange(1, 6)
        sequence = (
            (entry.last_sequence + 1) & LAST_SEQUENCE if entry else rng.choice((0, LAST_SEQUENCE - 3, 50))
        )
        if entry and kind < 0.25 and entry.batches:
            again = rng.choice(entry.batches)
            sequence, count = again.first_sequence, again.last_offset - again.base_offset + 1
        elif kind < 0.32:
            sequence = max(sequence + rng.randrange(-20, 20), 0) & LAST_SEQUENCE
        elif kind < 0.38:
            epoch = max(epoch + rng.choice((-1, 1)), 0)
            sequence = rng.choice((0, 0, sequence))
        transactional = entry is not None and entry.transaction_first_offset >= 0
        if rng.random() < 0.05:
            transactional = not transactional
        header = batch(producer_id, epoch, sequence, count, timestamp=now, transactional=transactional)
        try:
            duplicate = partition.append(header, now)
        except BrokerError as error:
            answer = error.code.name
        else:
            answer = f"appended {partition.end - count}"
            if duplicate:
                answer = (
                    f"duplicate {duplicate.base_offset} {duplicate.last_offset} {duplicate.append_time_ms}"
                )
        last = header.last_sequence
        line = f"append {producer_id} {epoch} {sequence} {last} {count} {now} {int(transactional)}"
        yield line, answer
    yield "expire 0", f"expired {partition.states.expire(0, 1000)}"
    operations.partition = partition


@pytest.mark.java
def test_every_answer_is_the_one_kafka_gives(kafka_lib, tmp_path):
    for seed in (1, 2, 3):
        directory = tmp_path / str(seed)
        directory.mkdir()
        done = list(operations(seed, 3000))
        partition = operations.partition
        (directory / "operations.txt").write_text("".join(line + "\n" for line, _ in done))
        java(kafka_lib, JAVA, directory)
        answers = (directory / "answers.txt").read_text().splitlines()
        kinds = {answer.split()[0] for answer in answers}
        assert {"appended", "duplicate", "OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH"} <= kinds
        assert {"INVALID_TXN_STATE", "marker", "expired"} <= kinds
        for (line, ours), kafkas in zip(done, answers, strict=True):
            assert (line, ours) == (line, kafkas)
        (path,) = directory.glob("*.snapshot")
        assert path.name == snapshot_file.file_name(partition.end)
        theirs = snapshot_file.read(OsVfs(), str(path))
        ours = snapshot_file.decode(snapshot_file.encode(partition.states.capture()), "ours")
        assert theirs == ours


@pytest.mark.java
def test_kafkas_dump_tool_reads_our_snapshots(kafka_lib, tmp_path):
    states = states_of({7: (2, [(0, 3, NOW), (4, 5, NOW + 1)], 6, True), 8: (0, [], -1, False)})
    path = tmp_path / snapshot_file.file_name(10)
    snapshot_file.write(OsVfs(), str(path), states.capture())
    output = java(kafka_lib, "org.apache.kafka.tools.DumpLogSegments", "--files", path)
    assert "producerId: 7 producerEpoch: 2 coordinatorEpoch: 6" in output
    assert "firstSequence: 4 lastSequence: 9 lastOffset: 9 offsetDelta: 5" in output
    assert "producerId: 8 producerEpoch: 0" in output
    assert "corrupt" not in output.lower()
    path.write_bytes(path.read_bytes()[:-1] + b"\x55")
    assert "corrupt" in java(kafka_lib, "org.apache.kafka.tools.DumpLogSegments", "--files", path).lower()
