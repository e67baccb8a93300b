"""Members that join, work, leave, crash and pause in random order, over a log that fails and a coordinator that crashes.

Simulated clients follow the classic protocol; the clock jumps from timer to timer; everything follows from the seed. What must
hold: a generation never comes back; in one generation no partition has two owners; at rest every partition has exactly
one; every request is answered; a commit that was acknowledged is there after any crash, and nothing is there that was
not committed.
"""

import random

import pytest

from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import OffsetCommitValue
from logbroker.coordination.shard import ShardState
from logbroker.groups.kind import Committer
from logbroker.groups.machine import NewOffset

PARTITIONS = range(12)
SEEDS = range(12)
STEPS = 250


class Client:
    """A consumer: joins, syncs, heartbeats and commits, and starts over when it is told to."""

    def __init__(self, world, number, instance):
        self.world = world
        self.name = f"client-{number}"
        self.instance = instance
        self.alive = True
        self.paused = False
        self.member_id = ""
        self.generation = -1
        self.owned = None
        self.waiting = None

    def reset(self, *, forget_id=True):
        if forget_id:
            self.member_id = ""
        self.generation = -1
        self.owned = None

    def step(self):
        if self.waiting is not None or not self.alive or self.paused:
            return
        if self.owned is None:
            self.join()
        else:
            self.work()

    def join(self):
        self.owned = None
        bench = self.world.bench
        try:
            waiter = bench.ask_join(
                self.member_id,
                instance=self.instance,
                client=self.name,
                version=self.world.random.choice((3, 9)),
            )
        except BrokerError:
            return
        self.wait(waiter, self.joined)

    def wait(self, waiter, then):
        self.waiting = waiter
        self.world.open_requests += 1

        def answered(response):
            self.world.open_requests -= 1
            if self.waiting is waiter:
                self.waiting = None
                if self.alive:
                    then(response)

        waiter.on_done(answered)

    def joined(self, response):
        error = ErrorCode(response.error_code)
        if error is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = response.member_id
        elif error in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            self.reset()
        elif error is ErrorCode.NONE:
            self.member_id, self.generation = response.member_id, response.generation_id
            self.world.saw_generation(self.generation)
            assignments = None
            if response.leader == self.member_id and not response.skip_assignment:
                members = [m.member_id for m in response.members]
                assignments = {
                    m: bytes(p for p in PARTITIONS if p % len(members) == i) for i, m in enumerate(members)
                }
            generation = self.generation
            waiter = self.world.bench.ask_sync(
                self.member_id, generation, assignments, instance=self.instance
            )
            self.wait(waiter, lambda synced: self.synced(generation, synced))

    def synced(self, generation, response):
        error = ErrorCode(response.error_code)
        if error is ErrorCode.NONE:
            self.owned = frozenset(bytes(response.assignment))
            self.world.owns(generation, self, self.owned)
        elif error in (
            ErrorCode.UNKNOWN_MEMBER_ID,
            ErrorCode.ILLEGAL_GENERATION,
            ErrorCode.FENCED_INSTANCE_ID,
        ):
            self.reset(forget_id=error is not ErrorCode.ILLEGAL_GENERATION)

    def work(self):
        bench = self.world.bench
        try:
            error = bench.heartbeat(self.member_id, self.generation, instance=self.instance)
        except BrokerError:
            return
        if error in ("UNKNOWN_MEMBER_ID", "FENCED_INSTANCE_ID"):
            self.reset()
        elif error in ("ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS"):
            self.join()
        elif self.owned:
            self.commit(self.world.random.choice(sorted(self.owned)))

    def commit(self, partition):
        world = self.world
        offset = world.next_offset()
        who = Committer(self.member_id, self.instance, self.generation, False, 9)
        error = world.bench.machine.check_commit("g", who)
        if error is ErrorCode.NONE:
            world.commit(partition, offset)

    def crash(self):
        self.alive = False
        self.waiting = None

    def restart(self):
        self.alive, self.paused, self.waiting = True, False, None
        self.reset()

    def leave(self):
        if self.waiting is None and self.member_id and self.instance is None:
            try:
                self.world.bench.leave(self.member_id)
            except BrokerError:
                return
            self.reset()


class World:
    def __init__(self, bench, seed):
        self.random = random.Random(seed)
        self.bench = bench
        self.open_requests = 0
        self.top_generation = 0
        self.owners = {}
        self.acked = dict.fromkeys(PARTITIONS, -1)
        self.asked = {partition: set() for partition in PARTITIONS}
        self.offset = 0
        instances = self.random.sample(range(6), self.random.randint(0, 3))
        self.clients = [Client(self, n, f"i-{n}" if n in instances else None) for n in range(6)]

    def saw_generation(self, generation):
        """What a member or an onlooker sees only grows."""
        assert generation >= self.top_generation
        self.top_generation = generation

    def owns(self, generation, client, owned):
        """No partition has two owners in one generation; a static member may take over from its former self."""
        owners = self.owners.setdefault(generation, {})
        for partition in owned:
            other = owners.setdefault(partition, client)
            assert other is client, f"{partition} has two owners in generation {generation}"

    def next_offset(self):
        self.offset += 1
        return self.offset

    def commit(self, partition, offset):
        self.asked[partition].add(offset)

        def done(error):
            if error is ErrorCode.NONE:
                self.acked[partition] = max(self.acked[partition], offset)

        value = OffsetCommitValue(offset, -1, "", 0, -1, self.bench.topics["t"])
        self.bench.machine.commit("g", [NewOffset("t", partition, value)], done)

    def check_offsets(self):
        for partition in PARTITIONS:
            offset = self.bench.offset(partition=partition)
            assert (-1 if offset is None else offset) >= self.acked[partition]
            assert offset is None or offset in self.asked[partition]

    def check_generation(self):
        group = self.bench.group()
        if group is not None:
            self.saw_generation(group.generation_id)

    def step(self):
        bench, chance = self.bench, self.random.random()
        client = self.random.choice(self.clients)
        if chance < 0.55:
            client.step()
        elif chance < 0.70:
            bench.tick()
            bench.log.settle(self.random.choice((None, 1)))
        elif chance < 0.85:
            bench.advance(self.random.choice((50, 700, 2500)), settle=self.random.random() < 0.7)
        elif chance < 0.89:
            client.crash()
        elif chance < 0.95:
            client.restart()
        elif chance < 0.97:
            client.paused = not client.paused
        elif chance < 0.98:
            client.leave()
        elif chance < 0.99:
            bench.log.refusal = BrokerError(ErrorCode.NOT_ENOUGH_REPLICAS)
        elif chance < 0.995:
            bench.tick()
            if bench.log.undecided:
                bench.log.fail()
                self.restart_coordinator()
        else:
            self.restart_coordinator()
        self.check_generation()

    def restart_coordinator(self):
        """The process dies; what clients wait for is lost with its connections."""
        survivors = self.random.randint(0, self.bench.log.undecided)
        if self.bench.shard.state is ShardState.ACTIVE and self.random.random() < 0.5:
            self.bench.shard.unload()  # a clean stop answers everybody
            assert self.open_requests == 0
        self.open_requests = 0
        for client in self.clients:
            client.waiting = None
        self.bench.restart(self.bench.log.crashed(surviving=survivors))
        # A generation that nobody was assigned anything in may come again; one that somebody works in may not.
        group = self.bench.group()
        stored = 0 if group is None else group.generation_id
        assert all(generation <= stored for generation in self.owners)
        self.top_generation = stored
        self.check_offsets()

    def rest(self):
        """Everybody is well for a while: the group must become whole."""
        self.bench.log.refusal = None
        for client in self.clients:
            client.paused = False
            if not client.alive:
                client.restart()
        for _ in range(400):
            for client in self.clients:
                client.step()
            self.bench.settle()
            self.bench.advance(500)
        group = self.bench.group()
        assert group.state.value == "Stable"
        assert {client.generation for client in self.clients} == {group.generation_id}
        owned = [partition for client in self.clients for partition in client.owned]
        assert sorted(owned) == list(PARTITIONS)
        assert self.open_requests == 0
        self.check_offsets()
        self.check_replay()

    def check_replay(self):
        """At rest the log, as it is and as the cleaner would leave it, says what memory holds."""
        log = self.bench.log
        live = snapshot(self.bench.machine)
        self.bench.restart(log.compacted())
        assert snapshot(self.bench.machine) == live
        self.bench.restart(log)
        assert snapshot(self.bench.machine) == live


def snapshot(machine):
    """Everything that must survive a restart."""
    return (
        {
            group.group_id: (
                group.state,
                group.generation_id,
                group.protocol_type,
                group.protocol_name,
                group.leader_id,
                group.topics,
                dict(group.static_members),
                [
                    (m.member_id, m.client_id, m.client_host, m.session_timeout_ms, m.rebalance_timeout_ms)
                    for m in group.members.values()
                ],
                [(m.metadata(group.protocol_name), m.assignment) for m in group.members.values()],
            )
            for group in machine.groups.values()
        },
        machine.offsets.groups,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_any_schedule_ends_well(new_bench, seed):
    world = World(new_bench(), seed)
    for _ in range(3):
        for _ in range(STEPS):
            world.step()
        world.rest()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1000, 1400))
def test_any_schedule_ends_well_more_often(new_bench, seed):
    test_any_schedule_ends_well(new_bench, seed)
