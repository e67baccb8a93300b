"""Random lives of a consumer group: clients that are slow, lose replies, die and come back; topics that change; restarts.

At every instant a partition has at most one owner among those who believe to own it, what a restart finds is what
was in memory, and a change that is taken back leaves nothing. Left alone, every group settles.
"""

import dataclasses

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from logbroker.base.errors import BrokerError
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.group import GroupState
from logbroker.groups.consumer.limits import GroupTimes
from logbroker.testing.consumer_world import Client, Topics, World, on_record

NAMES = ["a", "b", "c", "d"]
SUBSCRIPTIONS = st.sampled_from([["t"], ["u"], ["t", "u"], ["t", "u", "v"]])
SETTLED_AFTER = 40


class Lives(RuleBasedStateMachine):
    @initialize(interval=st.sampled_from([0, 1000]), assignor=st.sampled_from([None, "uniform", "range"]))
    def begin(self, interval, assignor):
        self.world = World(Topics(t=5, u=3))
        self.world.limits.group_times = GroupTimes(45_000, 5_000, interval)
        self.assignor = assignor
        self.clients = {}
        self.dead = []

    @rule(name=st.sampled_from(NAMES), topics=SUBSCRIPTIONS)
    def start(self, name, topics):
        if name not in self.clients:
            self.clients[name] = Client(self.world, name, topics, server_assignor=self.assignor)
            self.clients[name].beat()

    @rule(name=st.sampled_from(NAMES), lost=st.booleans())
    def beat(self, name, lost):
        if name in self.clients:
            self.clients[name].beat(lost=lost)

    @rule(name=st.sampled_from(NAMES))
    def follow(self, name):
        if name in self.clients:
            self.clients[name].follow()

    @rule(name=st.sampled_from(NAMES), topics=SUBSCRIPTIONS)
    def subscribe(self, name, topics):
        client = self.clients.get(name)
        if client is None or client.epoch == 0:
            return
        client.topics = topics
        owned = {}
        for topic_id, partition in client.owned:
            owned.setdefault(topic_id, set()).add(partition)
        try:
            response = self.world.beat(name, client.epoch, topics=topics, owned=owned)
        except BrokerError:
            client.epoch, client.owned, client.must_own = 0, set(), None
            return
        client.epoch = response.member_epoch
        if response.assignment is not None:
            client.must_own = {
                (each.topic_id, p) for each in response.assignment.topic_partitions for p in each.partitions
            }

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name):
        client = self.clients.pop(name, None)
        if client is not None and name in self.world.group.members:
            self.world.leave(name)

    @rule(seconds=st.sampled_from([0.5, 2, 30, 50]))
    def time_passes(self, seconds):
        """Whoever is fenced for its silence must have noticed: a client gives up when its session is over by its own clock."""
        self.world.now += seconds
        for gone in self.world.expire():
            client = self.clients.get(gone)
            if client is not None:
                client.epoch, client.owned, client.must_own = 0, set(), None

    @rule(count=st.integers(1, 3))
    def topics_change(self, count):
        topics = self.world.topics
        if "v" not in topics.counts:
            topics.create("v", count)
        elif count == 1:
            topics.delete("v")
            for client in self.clients.values():
                client.owned = {(t, p) for t, p in client.owned if topics.name_of(t) is not None}
        else:
            topics.grow("v", topics.counts["v"] + 1)
        self.world.group.refresh_due = True

    @rule()
    def restart(self):
        group = self.world.restarted()
        self.world.group = group
        self.world.protocol.engine.restart_sessions(group, self.world.at)

    @rule(name=st.sampled_from(NAMES))
    def refused(self, name):
        """The log refuses what a heartbeat changed: all is as before, except what is on no record."""
        client = self.clients.get(name)
        if client is None:
            return
        before = on_record(self.world.group)
        changes = Changes(self.world.group)
        real, self.world.change = self.world.change, lambda event: event(changes)
        state = dataclasses.astuple(_Belief(client.epoch, set(client.owned), client.must_own))
        client.beat(lost=True)
        client.epoch, client.owned, client.must_own = state
        del self.world.change
        assert self.world.change == real
        changes.undo()
        after = on_record(self.world.group)
        assert after == before

    @invariant()
    def one_owner(self):
        if not hasattr(self, "clients"):
            return
        seen = {}
        for name, client in self.clients.items():
            for each in client.owned:
                assert each not in seen, f"{each} belongs to {seen[each]} and {name}"
                seen[each] = name

    @invariant()
    def on_record_is_in_memory(self):
        if hasattr(self, "world"):
            assert on_record(self.world.restarted()) == on_record(self.world.group)

    @rule()
    def settle(self):
        """Everybody heartbeats and does as told: soon all partitions are where they are to be."""
        world = self.world
        world.group.refresh_due = True
        for _ in range(SETTLED_AFTER):
            world.now += 1.5
            for client in self.clients.values():
                client.beat()
                client.follow()
                self.one_owner()
        if not self.clients:
            return
        assert world.group.state is GroupState.STABLE
        owned = set().union(*(client.owned for client in self.clients.values()))
        wanted = {name for client in self.clients.values() for name in client.topics}
        assert owned == {
            (world.topics.id_of(name), p)
            for name in wanted
            if name in world.topics.counts
            for p in range(world.topics.counts[name])
        }


@dataclasses.dataclass
class _Belief:
    epoch: int
    owned: set
    must_own: set | None


TestLives = Lives.TestCase
TestLives.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
