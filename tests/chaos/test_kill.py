"""kill -9 under load: what the broker acknowledged is there after the next start, all of it, once, in order."""

from __future__ import annotations

import random
import shutil
import threading

import pytest
from chaos.settings import SETTINGS

from logbroker.testing.acked import Ledger, verify
from logbroker.testing.broker_process import run_cli
from logbroker.testing.load import Load
from logbroker.testing.progress import Progress

LIVES_PER_DIRECTORY = 10
"""Then a new directory with other settings: reading everything back stays short, and first starts are killed too."""


def kill_again_and_again(make_broker, kills, seed, say):
    rng = random.Random(seed)
    progress = Progress(say, "kills", kills)
    done = records = acked = verified = 0
    while done < kills:
        directory = done // LIVES_PER_DIRECTORY
        broker = make_broker(f"data-{directory}", settings=rng.choice(SETTINGS))
        ledger = Ledger()
        load = Load(ledger, seed=rng.getrandbits(32))
        broker.start()
        load.set_up(broker.bootstrap)
        for _ in range(min(LIVES_PER_DIRECTORY, kills - done)):
            load.start(broker.bootstrap)
            threading.Event().wait(rng.uniform(0.02, 1.2))
            broker.kill()
            load.join()
            if rng.random() < 0.3:  # recovery is killed too
                broker.launch()
                threading.Event().wait(rng.uniform(0.0, 0.8))
                broker.kill()
            verified += verify_files(broker, f"seed {seed}, kill {done + 1}")
            broker.start()
            done += 1
            load.settle(broker.bootstrap)
            verdict = verify(broker.bootstrap, ledger)
            where = f"seed {seed}, kill {done}, {broker.data_dir}, {broker.settings}"
            assert not verdict.violations, (
                f"{where}:\n" + "\n".join(verdict.violations) + f"\n{broker.log_text()}"
            )
            assert not ledger.errors, f"{where}: clients were answered with {dict(ledger.errors)}"
            progress.at(done, f"seed {seed}")
        assert verdict.acked, "nothing was acknowledged: the load does nothing"
        records += verdict.records
        acked += verdict.acked
        broker.stop()
        broker.start()
        again = verify(broker.bootstrap, ledger)
        assert not again.violations, f"{where}, after a clean stop:\n" + "\n".join(again.violations)
        broker.stop()
        verified += verify_files(broker, where)
        shutil.rmtree(broker.data_dir)
    say(
        f"seed {seed}: {done} kills under load, {acked} records acknowledged and none lost, {records} read back; "
        f"log verify clean {verified} times; {progress.seconds:.0f} s"
    )


def verify_files(broker, where):
    """What `logbroker log verify` says of the directory of a dead broker: nothing."""
    checked = run_cli("log", "verify", str(broker.data_dir))
    assert checked.returncode == 0, f"{where}: {checked.stdout}{checked.stderr}"
    return 1


@pytest.mark.timeout(300)
def test_some_kills(make_broker, seed, say):
    kill_again_and_again(make_broker, 6, seed, say)


@pytest.mark.long
@pytest.mark.timeout(0)
def test_two_hundred_kills(make_broker, seed, say):
    kill_again_and_again(make_broker, 200, seed, say)
