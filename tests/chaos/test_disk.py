"""Disks that fail, fill up, turn read-only, go away or take their time, under a broker that works.

Whatever happens to a log directory: clients get KAFKA_STORAGE_ERROR, nothing that isn't durable is acknowledged, the other directories go on; with
none left the broker ends with status 1 and says why. When the disk is mended, a start finds everything that was acknowledged.
"""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest
from chaos.settings import small_ring

from logbroker.base.error_codes import ErrorCode
from logbroker.testing import fail_sync, power_cut
from logbroker.testing.acked import Ledger, parse_payload, records_in, verify
from logbroker.testing.fail_sync import FailSync
from logbroker.testing.load import STEADY, Load
from logbroker.testing.power_cut import LoopDisk
from logbroker.testing.wire_client import WireClient, batch_of
from logbroker.wire.api import ApiKey
from logbroker.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest

DISK_BYTES = 192 << 20
SETTINGS = {**small_ring(1 << 20, log_checkpoint_interval_ms=200), "log.disk.reserve.bytes": "8388608"}
WHEN_A_DISK_FAILS = {
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,  # behind a batch that was refused
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_COORDINATOR,
    ErrorCode.UNKNOWN_SERVER_ERROR,
}
LONG_ENOUGH_S = 15.0

needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(bool(power_cut.why_not()), reason=power_cut.why_not() or "able"),
]
needs_compiler = pytest.mark.skipif(bool(fail_sync.why_not()), reason=fail_sync.why_not() or "able")


@pytest.fixture
def disk(tmp_path):
    directory = tmp_path / "loop"
    directory.mkdir()
    with LoopDisk(str(directory), DISK_BYTES) as disk:
        yield disk


def under_load(broker, seed, **options):
    """A broker that has acknowledged something and goes on doing so."""
    ledger = Ledger()
    load = Load(ledger, seed=seed, **options)
    broker.start()
    load.set_up(broker.bootstrap)
    load.start(broker.bootstrap)
    wait_until(lambda: ledger.acked_records > 500, "the load does nothing")
    return ledger, load


def wait_until(condition, otherwise, timeout_s=LONG_ENOUGH_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, otherwise() if callable(otherwise) else otherwise
        threading.Event().wait(0.01)


def ends_with_the_reason(broker, load, *words):
    """Its last directory failed: status 1, one line that says so, and documented errors for the clients."""
    assert broker.wait_exit(timeout_s=60) == 1, broker.log_text()
    load.join()
    (failed,) = broker.events("the broker failed")
    for word in words:
        assert word in failed["reason"], failed
    assert set(load.ledger.errors) <= WHEN_A_DISK_FAILS, load.ledger.errors


def everything_is_there(broker, ledger, load=None):
    if load is not None:
        load.settle(broker.bootstrap)
    verdict = verify(broker.bootstrap, ledger)
    assert not verdict.violations, "\n".join(verdict.violations) + f"\n{broker.log_text(20)}"
    assert verdict.acked


class TestOneSyncFails:
    pytestmark = needs_compiler

    @pytest.mark.parametrize(
        ("path", "error"),
        [
            (".ring", errno.EIO),
            (".ring", errno.ENOSPC),
            (".log", errno.EIO),
            ("/checkpoint", errno.EIO),
            ("/steady-", errno.EIO),
            ("/data:syncfs", errno.EIO),  # a checkpoint of many files
        ],
    )
    def test_of_the_only_log_directory(self, make_broker, tmp_path, seed, path, error):
        failing = FailSync(str(tmp_path))
        broker = make_broker(tmp_path / "data", settings=SETTINGS, environment=failing.environment())
        ledger, load = under_load(broker, seed, partitions=200 if "syncfs" in path else 12)
        failing.arm(path, error)
        ends_with_the_reason(broker, load, os.strerror(error))
        assert not failing.armed
        broker.environment = {}
        broker.start()
        everything_is_there(broker, ledger, load)
        broker.stop()

    def test_of_the_metadata(self, make_broker, tmp_path, seed):
        failing = FailSync(str(tmp_path))
        settings = {
            **SETTINGS,
            "log.dirs": str(tmp_path / "data"),
            "metadata.log.dir": str(tmp_path / "metadata"),
        }
        broker = make_broker(tmp_path / "data", settings=settings, environment=failing.environment())
        ledger, load = under_load(broker, seed)
        failing.arm("metadata.sqlite")
        assert broker.wait_exit(timeout_s=60) == 1, broker.log_text()
        load.join()
        (failed,) = broker.events("the broker failed")
        assert "metadata" in failed["reason"]
        broker.environment = {}
        broker.start()
        everything_is_there(broker, ledger, load)
        broker.stop()

    def test_of_one_directory_of_two(self, make_broker, tmp_path, seed):
        failing = FailSync(str(tmp_path))
        settings = {
            **SETTINGS,
            "log.dirs": f"{tmp_path}/one,{tmp_path}/two",
            "metadata.log.dir": f"{tmp_path}/metadata",
        }
        broker = make_broker(tmp_path / "data", settings=settings, environment=failing.environment())
        ledger, load = under_load(broker, seed, churn=False)
        failing.arm(f"{tmp_path}/two/journal")
        wait_until(lambda: broker.events("a log directory went offline"), broker.log_text)
        load.stop()
        assert set(ledger.errors) <= WHEN_A_DISK_FAILS, ledger.errors
        with WireClient(broker.bootstrap) as client:
            codes = [client.offset(STEADY, index, -1)[0] for index in range(12)]
            assert sorted(set(codes)) == [0, ErrorCode.KAFKA_STORAGE_ERROR]
            for index, code in enumerate(codes):
                produced = client.produce(STEADY, index, batch_of([b"x"], timestamp_ms=now_ms()), acks=1)
                assert produced.error_code == code
                assert client.fetch(STEADY, index, 0).error_code == code
        assert broker.running
        broker.stop()
        broker.environment = {}
        broker.start()
        ledger.sent.clear()  # the records above are nobody's
        with WireClient(broker.bootstrap) as client:
            assert [client.offset(STEADY, index, -1)[0] for index in range(12)] == [0] * 12
            check_acked(client, ledger)


def now_ms():
    return int(time.time() * 1000)


def check_acked(client, ledger):
    """Every acknowledged record is at its offset."""
    for key, acks in ledger.acked.items():
        end = client.offset(*key, -1)[1]
        found, offset = {}, 0
        while offset < end:
            for _, at, value in records_in(client.fetch(*key, offset).records):
                found[at] = value
                offset = at + 1
        for base_offset, writer, first, records in acks:
            for number in range(records):
                assert parse_payload(found[base_offset + number]) == (writer, first + number)


class TestRealDisk:
    pytestmark = needs_root

    def test_the_kernel_loses_pages(self, disk, make_broker, seed):
        # No direct syncs, which append to segments: see `LoopDisk.starve`. A ring's commits begin on fresh blocks.
        settings = {**SETTINGS, **small_ring(8 << 20, log_journal_files=2)}
        broker = make_broker(f"{disk.path}/data", settings=settings)
        ledger, load = under_load(broker, seed)
        broker.pause()  # the harness may punch a hole where somebody writes just now
        disk.starve()
        broker.resume()
        ends_with_the_reason(broker, load)
        disk.feed()
        disk.cut()  # what only the page cache has is gone
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)
        broker.stop()

    def test_read_only(self, disk, make_broker, seed):
        broker = make_broker(f"{disk.path}/data", settings=SETTINGS)
        ledger, load = under_load(broker, seed)
        disk.abort()
        ends_with_the_reason(broker, load)
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)

    def test_full_to_the_last_byte(self, disk, make_broker, seed):
        settings = {**SETTINGS, "log.disk.reserve.bytes": "0"}
        broker = make_broker(f"{disk.path}/data", settings=settings)
        ledger, load = under_load(broker, seed)
        disk.fill()
        ends_with_the_reason(broker, load)  # ENOSPC, or a write that came out short
        os.unlink(f"{disk.path}/filler")
        broker.start()
        everything_is_there(broker, ledger, load)

    def test_full_to_the_reserve(self, disk, make_broker, seed):
        # Another program fills the disk: nobody looks for up to a second, in which the reserve has to last.
        broker = make_broker(
            f"{disk.path}/data", settings={**SETTINGS, "log.disk.reserve.bytes": str(64 << 20)}
        )
        ledger, load = under_load(broker, seed, churn=False)
        disk.fill(leave_bytes=66 << 20)
        wait_until(lambda: ErrorCode.KAFKA_STORAGE_ERROR in ledger.errors, broker.log_text)
        load.stop()
        assert set(ledger.errors) <= WHEN_A_DISK_FAILS, ledger.errors
        assert not broker.events("the broker failed"), broker.log_text()
        everything_is_there(broker, ledger)  # reading goes on
        os.unlink(f"{disk.path}/filler")
        with WireClient(broker.bootstrap) as client:
            wait_until(
                lambda: (
                    client.produce("other", 0, batch_of([b"x"], timestamp_ms=now_ms())).error_code == 0
                    if create_once(client)
                    else False
                ),
                broker.log_text,
            )
        broker.stop()
        broker.start()
        everything_is_there(broker, ledger, load)

    def test_unmounted_while_running(self, disk, make_broker, tmp_path, seed):
        # The mount point itself is the log directory: what is written there by name would go to the disk below.
        settings = {**SETTINGS, "log.dirs": disk.path, "metadata.log.dir": str(tmp_path / "metadata")}
        broker = make_broker(tmp_path / "none", settings=settings)
        ledger, load = under_load(broker, seed)
        disk.detach()
        ends_with_the_reason(broker, load)  # unmounted, or a file that isn't found any more
        assert os.listdir(disk.path) == [], "something was written where the disk was"
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)

    @pytest.mark.parametrize("which", ["log.dirs", "metadata.log.dir"])
    def test_unmounted_at_the_start(self, disk, make_broker, tmp_path, seed, which):
        places = {"log.dirs": str(tmp_path / "logs"), "metadata.log.dir": str(tmp_path / "metadata")}
        places[which] = f"{disk.path}/here"
        broker = make_broker(tmp_path / "none", settings={**SETTINGS, **places})
        ledger, load = under_load(broker, seed)
        load.stop()
        broker.stop()
        disk.detach()
        broker.launch()
        assert broker.wait_exit() == 1
        assert "mounted" in broker.log_text(3)
        assert os.listdir(disk.path) == [], "a directory that is missing was begun anew"
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)

    def test_one_of_two_unmounted_at_the_start(self, disk, make_broker, tmp_path, seed):
        settings = {
            **SETTINGS,
            "log.dirs": f"{tmp_path}/one,{disk.path}/two",
            "metadata.log.dir": f"{tmp_path}/metadata",
        }
        broker = make_broker(tmp_path / "data", settings=settings)
        ledger, load = under_load(broker, seed, churn=False)
        load.stop()
        broker.stop()
        disk.detach()
        broker.start()
        with WireClient(broker.bootstrap) as client:
            codes = {client.offset(STEADY, index, -1)[0] for index in range(12)}
        assert codes == {0, ErrorCode.KAFKA_STORAGE_ERROR}
        assert os.listdir(disk.path) == []
        broker.stop()
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)

    def test_the_metadata_goes_away(self, disk, make_broker, tmp_path, seed):
        settings = {
            **SETTINGS,
            "log.dirs": str(tmp_path / "data"),
            "metadata.log.dir": f"{disk.path}/metadata",
        }
        broker = make_broker(tmp_path / "data", settings=settings)
        ledger, load = under_load(broker, seed)
        disk.abort()
        assert broker.wait_exit(timeout_s=60) == 1, broker.log_text()
        load.join()
        (failed,) = broker.events("the broker failed")
        assert "metadata" in failed["reason"]
        disk.remount()
        broker.start()
        everything_is_there(broker, ledger, load)


def create_once(client):
    """Whether the topic `other` exists, created if need be."""
    asked = [CreatableTopic(name="other", num_partitions=1, replication_factor=1)]
    code = client.call(ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics=asked)).topics[0].error_code
    return code in {0, ErrorCode.TOPIC_ALREADY_EXISTS}
