"""Real power cuts: an ext4 whose page cache and journal are lost in an instant, under a broker that was working.

The disk is a loop device; its shutdown ioctl drops whatever isn't on it. From then on nothing that the broker was told to write
can come back, so every acknowledgement has to be on the disk already. The broker itself is killed a moment later, or has ended by itself,
as its only log directory failed.
"""

from __future__ import annotations

import pathlib
import random
import threading

import pytest
from chaos.settings import SETTINGS

from logbroker.base.error_codes import ErrorCode
from logbroker.testing import power_cut
from logbroker.testing.acked import Ledger, verify
from logbroker.testing.broker_process import BrokerProcess, run_cli
from logbroker.testing.load import Load
from logbroker.testing.power_cut import LoopDisk
from logbroker.testing.progress import Progress

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(power_cut.why_not()), reason=power_cut.why_not() or "able"),
]

DISK_BYTES = 512 << 20
CUTS_PER_DISK = 4
RESERVE = {"log.disk.reserve.bytes": "16777216"}
DISK_IS_GONE = {
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,  # behind a batch that was refused
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.UNKNOWN_SERVER_ERROR,
}
"""What clients may be answered in the moment between the cut and the broker's end."""


def cut_again_and_again(tmp_path, cuts, seed, say):
    rng = random.Random(seed)
    progress = Progress(say, "power cuts", cuts)
    done = records = acked = 0
    while done < cuts:
        directory = tmp_path / f"disk-{done}"
        directory.mkdir()
        with LoopDisk(str(directory), DISK_BYTES) as disk:
            broker = BrokerProcess(
                pathlib.Path(disk.path) / "data", settings={**rng.choice(SETTINGS), **RESERVE}
            )
            try:
                for verdict in lives(broker, disk, rng, min(CUTS_PER_DISK, cuts - done)):
                    done += 1
                    where = f"seed {seed}, cut {done}, {broker.settings}"
                    assert not verdict.violations, (
                        f"{where}:\n" + "\n".join(verdict.violations) + f"\n{broker.log_text()}"
                    )
                    progress.at(done, f"seed {seed}")
                records += verdict.records
                acked += verdict.acked
                broker.stop()
                verify_files(broker, where)
            finally:
                broker.end()
    say(
        f"seed {seed}: {done} power cuts under load, {acked} records acknowledged and none lost, {records} read back; "
        f"log verify clean after each; {progress.seconds:.0f} s"
    )


def verify_files(broker, where):
    checked = run_cli("log", "verify", str(broker.data_dir))
    assert checked.returncode == 0, f"{where}: {checked.stdout}{checked.stderr}"


def lives(broker, disk, rng, cuts):
    """Gives what was found after each cut."""
    ledger = Ledger()
    load = Load(ledger, seed=rng.getrandbits(32))
    broker.start()
    load.set_up(broker.bootstrap)
    for _ in range(cuts):
        load.start(broker.bootstrap)
        threading.Event().wait(rng.uniform(0.02, 1.5))
        power_off(broker, disk)
        load.join()
        unexpected = set(ledger.errors) - DISK_IS_GONE
        assert not unexpected, f"clients were answered with {unexpected}"
        if rng.random() < 0.3:  # the recovery loses power too
            broker.launch()
            threading.Event().wait(rng.uniform(0.1, 0.8))
            power_off(broker, disk)
        verify_files(broker, f"after {ledger.acked_records} records")
        broker.start()
        load.settle(broker.bootstrap)
        yield verify(broker.bootstrap, ledger)


def power_off(broker, disk):
    disk.cut()
    broker.end()
    disk.remount()


@pytest.mark.timeout(300)
def test_three_power_cuts(tmp_path, seed, say):
    cut_again_and_again(tmp_path, 3, seed, say)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_thirty_power_cuts(tmp_path, seed, say):
    cut_again_and_again(tmp_path, 30, seed, say)
