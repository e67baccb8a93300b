"""Several log directories under the real replica manager, metadata store and threads: what goes missing stays offline, and the rest goes on."""

from __future__ import annotations

import asyncio
import os
import shutil

import msgspec
import pytest
from storage.support import NOW, batch

from logbroker.base.clock import ManualClock
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError, ConfigError
from logbroker.config.settings import Settings
from logbroker.metadata.controller import NewTopic, TopicToDelete
from logbroker.metadata.service import MetadataService
from logbroker.replication.replica_manager import ReplicaManager
from logbroker.storage.directory_identity import DirectoryLock
from logbroker.storage.verify import verify_directory

PARTITIONS = 4


class Broker:
    """Metadata and replicas on three directories; the metadata has one of its own."""

    def __init__(self, root, **settings):
        self.paths = [str(root / name) for name in ("a", "b", "c")]
        self.settings = Settings(
            log_dirs=tuple(self.paths),
            metadata_log_dir=str(root / "metadata"),
            log_journal_file_bytes=1 << 20,
            log_journal_files=3,
            **settings,
        )
        self.clock = ManualClock(NOW)
        self.all_offline = []

    async def start(self, *, bump=True):
        """As `Broker` does; without `bump` the start is given up when new leader epochs are due."""
        self.metadata = await MetadataService.open(self.settings)
        self.replicas = ReplicaManager(
            self.settings,
            self.clock,
            reserve_memory_offsets=self.metadata.reserve_memory_offsets,
            on_directory_offline=self.metadata.directory_failed,
            on_all_offline=self.all_offline.append,
            on_deleted=self.metadata.confirm_deletions,
        )
        try:
            self.replicas.identify(self.metadata.image)
            await self.replicas.open(self.metadata.image)
            for state in self.replicas.states:
                if state.online:
                    await self.metadata.register_directory(state.directory_id, state.path)
                    deleted = self.metadata.image.deleted_in(state.directory_id)
                    await self.metadata.confirm_deletions(state.directory_id, deleted)
        except ConfigError:
            await self.metadata.close()
            for state in self.replicas.states:
                if state.lock is not None:
                    state.lock.release()
            raise
        self.metadata.subscribe(self.replicas)
        if bump:
            await self.metadata.bump_leader_epochs(self.replicas.recovered_partitions())
            self.replicas.leader_epochs_durable()
        return self

    async def stop(self):
        await self.replicas.close()
        await self.metadata.close()

    async def __aenter__(self):
        return await self.start()

    async def __aexit__(self, *_):
        await self.stop()

    async def create(self, **configs):
        pairs = [(name.replace("_", "."), str(value)) for name, value in configs.items()]
        (outcome,) = await self.metadata.create_topics([NewTopic("t", PARTITIONS, 1, configs=pairs)])
        assert not outcome.error, outcome

    async def append(self, index, count=1):
        """Append so many batches one by one; the first error, or NONE."""
        for number in range(count):
            done = asyncio.get_running_loop().create_future()
            made = batch(b"%0200d" % number, at=NOW + number)
            try:
                self.replicas.partition("t", index).append_as_leader(made, on_done=done.set_result)
            except BrokerError as error:
                return error.code
            item = await done
            if item.error:
                return item.error
        return ErrorCode.NONE

    def homes(self):
        """Path of the directory of each partition."""
        return [os.path.dirname(self.replicas.partition("t", index).log.path) for index in range(PARTITIONS)]


def run(coroutine):
    asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.fixture
def broker(tmp_path):
    """A broker that has run once: records in every partition, and a clean stop."""
    made = Broker(tmp_path)

    async def first_life():
        async with made:
            await made.create()
            assert [await made.append(index, 3) for index in range(PARTITIONS)] == [
                ErrorCode.NONE
            ] * PARTITIONS
            made.placed = made.homes()
            assert len(set(made.placed)) == 3

    run(first_life())
    return made


def test_every_directory_is_in_order_after_a_stop(broker):
    for path in broker.paths:
        assert verify_directory(path) == []


@pytest.mark.parametrize("loss", ["gone", "unmounted", "emptied"])
def test_a_lost_directory_is_offline_and_never_made_anew(broker, loss):
    lost = broker.paths[1]
    if loss == "gone":
        shutil.rmtree(lost)
    else:
        os.rename(lost, f"{lost}.away")
        os.makedirs(lost)
        if loss == "emptied":
            shutil.copytree(f"{lost}.away/journal", f"{lost}/journal")

    async def life():
        async with broker:
            assert [state.online for state in broker.replicas.states] == [True, False, True]
            assert lost in broker.replicas.states[1].error
            for index, home in enumerate(broker.placed):
                wanted = ErrorCode.KAFKA_STORAGE_ERROR if home == lost else ErrorCode.NONE
                assert await broker.append(index) == wanted
            partition = broker.replicas.partition("t", broker.placed.index(lost))
            with pytest.raises(BrokerError) as caught:
                await partition.read_async(0, 1000)
            assert caught.value.code == ErrorCode.KAFKA_STORAGE_ERROR
            assert lost in str(caught.value)
            # new topics go where there is a disk
            (outcome,) = await broker.metadata.create_topics([NewTopic("u", 6, 1)])
            assert not outcome.error
            assert lost not in {os.path.dirname(broker.replicas.partition("u", n).log.path) for n in range(6)}

    run(life())
    assert not os.path.exists(f"{lost}/meta.properties")
    assert not [name for name in (os.listdir(lost) if os.path.exists(lost) else []) if "-" in name]

    if loss == "unmounted":  # and when the disk is back, so is everything on it
        os.rmdir(lost)
        os.rename(f"{lost}.away", lost)

        async def again():
            async with broker:
                for index in range(PARTITIONS):
                    assert await broker.append(index) == ErrorCode.NONE
                    assert broker.replicas.partition("t", index).log_end_offset >= 4

        run(again())
        assert [verify_directory(path) for path in broker.paths] == [[], [], []]


def test_with_no_directory_left_there_is_no_broker(broker):
    for path in broker.paths:
        shutil.rmtree(path)
    with pytest.raises(ConfigError, match="no log directory can be used"):
        run(broker.start())


def test_a_directory_in_use_is_refused(broker):
    lock = DirectoryLock(broker.paths[0])
    with pytest.raises(ConfigError, match="in use by another broker"):
        run(broker.start())
    lock.release()


@pytest.mark.parametrize("name", ["a/", "link", "./b/../a"])
def test_a_directory_that_is_named_twice_is_refused(broker, tmp_path, name):
    (tmp_path / "link").symlink_to(broker.paths[0])
    twin = f"{tmp_path}/{name}"
    broker.settings = msgspec.structs.replace(broker.settings, log_dirs=(*broker.paths, twin))
    with pytest.raises(ConfigError, match=r"names one directory twice, as .*/a and as .*; name it once"):
        run(broker.start())


def test_a_copy_of_a_directory_is_refused_beside_it(broker):
    shutil.rmtree(broker.paths[1])
    shutil.copytree(broker.paths[0], broker.paths[1])
    with pytest.raises(ConfigError, match=r"a and .*b are the same log directory .* leave the copy out"):
        run(broker.start())


def test_a_directory_that_moved_is_found_by_its_id(broker):
    moved = f"{broker.paths[0]}-moved"
    os.rename(broker.paths[0], moved)
    broker.paths[0] = moved
    broker.settings = msgspec.structs.replace(broker.settings, log_dirs=tuple(broker.paths))

    async def life():
        async with broker:
            assert [await broker.append(index) for index in range(PARTITIONS)] == [
                ErrorCode.NONE
            ] * PARTITIONS
            assert set(broker.homes()) == set(broker.paths)

    run(life())


def test_another_brokers_directory_is_refused(broker, tmp_path):
    shutil.rmtree(tmp_path / "metadata")  # the metadata was lost: these directories belong to nobody it knows
    with pytest.raises(ConfigError, match="belongs to node"):
        run(broker.start())


def test_a_directory_with_partitions_and_no_identity_is_refused(tmp_path):
    made = Broker(tmp_path)
    os.makedirs(f"{made.paths[0]}/orders-0")
    with pytest.raises(ConfigError, match=r"holds orders-0 but no meta\.properties"):
        run(made.start())


def test_a_directory_that_fails_takes_only_its_partitions_and_the_last_one_the_broker(broker):
    async def life():
        async with broker:
            states = broker.replicas.states
            states[0].directory.fail(OSError(5, "made to fail"))
            for index, home in enumerate(broker.placed):
                failed = home == broker.paths[0]
                assert await broker.append(index) == (
                    ErrorCode.KAFKA_STORAGE_ERROR if failed else ErrorCode.NONE
                )
            assert broker.all_offline == []
            states[1].directory.fail(OSError(5, "made to fail"))
            states[2].directory.fail(OSError(5, "made to fail"))
            assert len(broker.all_offline) == 1
            assert "made to fail" in broker.all_offline[0]

    run(life())
    run(broker.start())  # a start finds the disks mended, and takes up every one


def damage(path):
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff\xff")


def test_the_scrubber_runs_with_the_broker(tmp_path, caplog):
    """On threads, past the page cache, driven by the replica manager's tick."""
    made = Broker(tmp_path)

    async def life():
        async with made:
            await made.create(internal_segment_bytes=2000)
            for index in range(PARTITIONS):
                assert await made.append(index, 30) == ErrorCode.NONE
            directories = [state.directory for state in made.replicas.states]
            for directory in directories:
                directory.checkpointer.start()
            await until(lambda: all(directory.stats.checkpoints >= 2 for directory in directories))
            log = made.replicas.partition("t", 0).log
            victim = log.segments[1]
            damage(victim.path)
            await until(lambda: all(directory.stats.scrub_last_pass_ms for directory in directories), made)
            assert sum(directory.stats.scrub_findings for directory in directories) == 1
            sealed = sum(
                len(made.replicas.partition("t", index).log.segments) - 1 for index in range(PARTITIONS)
            )
            assert sum(directory.stats.scrubbed_segments for directory in directories) == sealed > 10
            with pytest.raises(BrokerError) as caught:
                await made.replicas.partition("t", 0).read_async(victim.base_offset, 1000)
            assert caught.value.code == ErrorCode.CORRUPT_MESSAGE
            assert await made.append(0) == ErrorCode.NONE

    async def until(reached, ticking=None):
        while not reached():
            if ticking is not None:
                ticking.clock.advance(1000)
                ticking.replicas._tick()
                ticking.replicas._ticker.cancel()
            await asyncio.sleep(0.005)

    run(life())
    (error,) = [record for record in caplog.records if "damage" in record.getMessage()]
    assert error.fields["partition"] == "t-0"
    assert error.fields["position"] == 0


def test_the_new_leader_epochs_are_durable_before_a_checkpoint_forgets_who_needs_them(broker):
    """However often the starts after a kill are cut short in between."""

    async def killed():
        async with broker:
            assert [await broker.append(index) for index in range(PARTITIONS)] == [ErrorCode.NONE] * 4
            for path in broker.paths:
                shutil.copytree(path, f"{path}.killed", ignore=shutil.ignore_patterns("*.tmp"))
        for path in broker.paths:
            shutil.rmtree(path)
            os.rename(f"{path}.killed", path)

    async def epochs(*, bump):
        await broker.start(bump=bump)
        recovered = broker.replicas.recovered_partitions()
        for state in broker.replicas.states:
            state.directory.checkpointer.start()
        await broker.stop()
        return len(recovered), {part.leader_epoch for part in broker.metadata.image.topics["t"].partitions}

    run(killed())
    for _ in range(2):
        assert asyncio.run(epochs(bump=False)) == (PARTITIONS, {0})
    assert asyncio.run(epochs(bump=True)) == (PARTITIONS, {1})
    assert asyncio.run(epochs(bump=True)) == (0, {1})


def test_a_kill_between_the_metadata_and_the_journal_leaves_no_folder_of_the_deleted_topic(broker):
    """Also in a directory that is away at the next start, and comes back at the one after."""

    async def deleted():
        async with broker:
            for path in broker.paths:
                shutil.copytree(path, f"{path}.killed", ignore=shutil.ignore_patterns("*.tmp"))
            await broker.metadata.delete_topics([TopicToDelete(name="t")])

    run(deleted())
    for path in broker.paths:
        shutil.rmtree(path)
        os.rename(f"{path}.killed", path)
    os.rename(broker.paths[0], f"{broker.paths[0]}.away")
    left = []

    async def life():
        async with broker:
            left[:] = broker.metadata.image.deletions

    run(life())
    assert len(left) == 1
    os.rename(f"{broker.paths[0]}.away", broker.paths[0])
    run(life())
    assert left == []
    for path in broker.paths:
        assert not [name for name in os.listdir(path) if name.startswith("t-")]
        assert verify_directory(path) == []


def test_the_metadata_forgets_a_deleted_topic_when_its_folders_are_gone(broker):
    async def deleted():
        async with broker:
            await broker.metadata.delete_topics([TopicToDelete(name="t")])
            assert {directory for directory, _ in broker.metadata.image.deletions} == {
                state.directory_id for state in broker.replicas.states
            }
            async with asyncio.timeout(30):
                while broker.metadata.image.deletions:
                    broker.replicas._tick()
                    await asyncio.sleep(0.01)
            for path in broker.paths:
                assert not [name for name in os.listdir(path) if name.startswith("t-")]

    run(deleted())
