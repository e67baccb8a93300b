"""The steps that events of a consumer group are made of, whichever protocol the member speaks.

Every step works on a `Changes`: it is in force when it returns, and the caller takes all of it back if a later step fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from uuid import UUID

from logbroker.base import logs
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.consumer.assignors import ASSIGNORS
from logbroker.groups.consumer.assignors.spec import GroupSpec, MemberSpec
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.group import ConsumerGroup, Deadlines
from logbroker.groups.consumer.limits import REGEX_REFRESH_MIN_MS, Limits
from logbroker.groups.consumer.member import (
    NO_TARGET,
    STATIC_LEAVING_EPOCH,
    ConsumerMember,
    MemberState,
)
from logbroker.groups.consumer.reconcile import Goal, reconcile
from logbroker.groups.consumer.regexes import check_regex
from logbroker.groups.consumer.topics import Topics, metadata_hash

_log = logs.get("groups")


class Engine:
    """The steps. `limits` are asked anew each time: they may change while the broker runs."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    # ---- who may

    def check_room(self, group: ConsumerGroup, member_id: str) -> None:
        """Refuse a new member of a full group: GROUP_MAX_SIZE_REACHED."""
        size = self._limits.common().max_size
        if len(group.members) >= size and member_id not in group.members:
            raise BrokerError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"The consumer group has reached its maximum capacity of {size} members.",
            )

    @staticmethod
    def known_member(group: ConsumerGroup, member_id: str, instance_id: str | None) -> ConsumerMember:
        """The member that says it is this one.

        Raises:
            BrokerError: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID.

        """
        if instance_id is None:
            member = group.members.get(member_id)
            if member is None:
                raise BrokerError(
                    ErrorCode.UNKNOWN_MEMBER_ID,
                    f"Member {member_id} is not a member of group {group.group_id}.",
                )
            return member
        member = group.static_member(instance_id)
        if member is None:
            raise BrokerError(ErrorCode.UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
        if member.member_id != member_id:
            raise BrokerError(
                ErrorCode.FENCED_INSTANCE_ID,
                f"Static member {member_id} with instance id {instance_id} was fenced by member {member.member_id}.",
            )
        return member

    def joining_member(
        self, changes: Changes, member_id: str, instance_id: str | None, *, classic: bool
    ) -> tuple[ConsumerMember, bool]:
        """The member that joins: a known one, a new one, or a static one in its former self's place; and whether it is new.

        A new one is not in the group yet; `describe_member` takes it in.

        Raises:
            BrokerError: UNRELEASED_INSTANCE_ID: whoever has the instance id hasn't left.

        """
        group = changes.group
        former = None if instance_id is None else group.static_member(instance_id)
        if former is None:
            known = group.members.get(member_id)
            return (ConsumerMember(member_id), True) if known is None else (known, False)
        if not classic and former.classic is None and former.epoch != STATIC_LEAVING_EPOCH:
            raise BrokerError(
                ErrorCode.UNRELEASED_INSTANCE_ID,
                f"Static member {member_id} with instance id {instance_id} cannot join the group because the instance id "
                f"is owned by {former.member_id} member.",
            )
        member = replace(former, member_id=member_id, epoch=0, previous_epoch=0)
        target = group.target_of(former.member_id)
        changes.drop_member(former.member_id)
        changes.metadata(member)
        changes.target(member_id, target)
        changes.assignment(member)
        return member, False

    # ---- what members say of themselves

    def describe_member(
        self, changes: Changes, member: ConsumerMember, updated: ConsumerMember, *, is_new: bool
    ) -> bool:
        """Note what a member says of itself, if that is news; returns whether it subscribes to other topic names."""
        if updated == member and not is_new:
            return False
        changes.metadata(updated)
        return updated.topics != member.topics

    def follow_regex(
        self, changes: Changes, member: ConsumerMember, updated: ConsumerMember, at: Moment
    ) -> tuple[bool, bool, bool]:
        """Note that a member subscribes to another regular expression; call after `describe_member`.

        Returns:
            Whether it does; whether that is known to change what it subscribes to; whether the group's regular expressions
            are to be looked up now.

        Raises:
            BrokerError: INVALID_REGULAR_EXPRESSION.

        """
        group = changes.group
        changed = (updated.regex or None) != (member.regex or None)
        resolved = False
        wanted = False
        if changed or updated.regex != member.regex:
            if member.regex and not group.regex_members[member.regex]:
                changes.regex(member.regex, None)
            if updated.regex:
                if group.regex_members[updated.regex] == 1:
                    check_regex(updated.regex)
                    wanted = True
                else:
                    resolved = updated.regex in group.regexes
            elif member.regex:
                resolved = True
        return changed, resolved, self._wants_lookup(group, at, wanted=wanted)

    def _wants_lookup(self, group: ConsumerGroup, at: Moment, *, wanted: bool) -> bool:
        if not group.regex_members or group.resolving:
            return False
        last = next(iter(group.regexes.values()), None)
        if last is None:
            return True
        # A wall clock that was set back must not hold it up.
        age_ms = abs(at.now_ms - last.timestamp_ms)
        if age_ms <= REGEX_REFRESH_MIN_MS:
            return False
        return (
            wanted
            or len(group.regex_members) != len(group.regexes)
            or group.new_topics
            or age_ms > self._limits.common().regex_refresh_interval_ms
        )

    # ---- epochs and targets

    @staticmethod
    def bump(changes: Changes, topics: Topics, *, needed: bool) -> None:
        """Begin another group epoch if that is needed or the subscribed topics are not what they were."""
        group = changes.group
        if not needed and not group.refresh_due:
            return
        current = metadata_hash(group.subscribed_names(), topics)
        if needed or current != group.metadata_hash:
            changes.group_epoch(group.epoch + 1, current)
        changes.refreshed()
        if group.has_partition_metadata:
            changes.drop_partition_metadata()

    def assign(self, changes: Changes, topics: Topics, at: Moment) -> None:
        """Compute the target assignment of the group's epoch, unless there is one, or the last was a moment ago."""
        group = changes.group
        if group.assignment_epoch >= group.epoch:
            return
        interval_ms = self._limits.times(group.group_id).assignment_interval_ms
        if group.assignment_ms and 0 <= at.now_ms - group.assignment_ms < interval_ms:
            return
        common = self._limits.common()
        default = common.assignors[0]
        # On record may be one that members asked another broker for, which had more.
        assignor = ASSIGNORS.get(group.preferred_assignor(default)) or ASSIGNORS[default]
        for member_id, target in assignor(_spec(group, topics)).items():
            former = group.target.get(member_id)
            if former is not target and former != target:
                changes.target(member_id, target)
        changes.target_epoch(group.epoch, at.now_ms)

    def reconcile(
        self,
        changes: Changes,
        member: ConsumerMember,
        topics: Topics,
        at: Moment,
        *,
        owned: Mapping[UUID, list[int]] | None,
        subscription_changed: bool,
    ) -> ConsumerMember:
        """Move a member towards the target; returns it as it is then."""
        group = changes.group
        if not subscription_changed and member.is_reconciled_to(group.assignment_epoch):
            return member
        subscribed = group.topics_of(member)
        moved = reconcile(
            member,
            Goal(
                group.assignment_epoch,
                group.target_of(member.member_id),
                frozenset(i for name in subscribed if (i := topics.id_of(name)) is not None),
                owned,
                group.owner,
                subscription_changed,
            ),
        )
        if moved == member:
            return member
        changes.assignment(moved)
        if moved.classic is None:
            deadlines = group.deadlines_of(moved.member_id)
            changes.on_undo(
                partial(_restore_rebalance, deadlines, deadlines.rebalance, deadlines.rebalance_epoch)
            )
            if moved.state is MemberState.UNREVOKED_PARTITIONS:
                deadlines.rebalance = at.now + moved.rebalance_timeout_ms / 1000
                deadlines.rebalance_epoch = moved.epoch
                group.wake(deadlines.rebalance)
            else:
                deadlines.rebalance = inf
        return moved

    # ---- time

    def keep_alive(self, group: ConsumerGroup, member: ConsumerMember, at: Moment) -> None:
        """The member has been heard of: its session begins anew."""
        timeout_ms = (
            self._limits.times(group.group_id).session_timeout_ms
            if member.classic is None
            else member.classic.session_timeout_ms
        )
        deadlines = group.deadlines_of(member.member_id)
        if member.classic is None:
            # It may have been a member under the classic protocol until now.
            deadlines.join = deadlines.sync = inf
        deadlines.session = at.now + timeout_ms / 1000
        group.wake(deadlines.session)

    def restart_sessions(self, group: ConsumerGroup, at: Moment) -> None:
        """The group was read back: everybody has a whole session, and rebalances under way a whole timeout."""
        for member in group.members.values():
            self.keep_alive(group, member, at)
            if member.classic is None and member.state is MemberState.UNREVOKED_PARTITIONS:
                deadlines = group.deadlines_of(member.member_id)
                deadlines.rebalance = at.now + member.rebalance_timeout_ms / 1000
                deadlines.rebalance_epoch = member.epoch
                group.wake(deadlines.rebalance)

    @staticmethod
    def overdue(group: ConsumerGroup, at: Moment) -> tuple[ConsumerMember, str] | None:
        """A member whose time is up, and why; None: nobody's, and `wake_at` says when to ask again."""
        for member_id, deadlines in list(group.deadlines.items()):
            member = group.members.get(member_id)
            if member is None:
                del group.deadlines[member_id]
                continue
            if deadlines.rebalance <= at.now and not _must_give_up(member, deadlines.rebalance_epoch):
                deadlines.rebalance = inf
            if deadlines.first() > at.now:
                continue
            if deadlines.session <= at.now:
                return member, "its session expired"
            if deadlines.rebalance <= at.now:
                return member, f"it did not leave epoch {member.epoch} within its rebalance timeout"
            if deadlines.join <= at.now:
                return member, "it did not join again within its rebalance timeout"
            return member, "it did not ask for its assignment within its rebalance timeout"
        group.wake_at = group.next_deadline()
        return None

    # ---- leaving

    def may_downgrade(self, group: ConsumerGroup, leaving: Collection[ConsumerMember], staying: int) -> bool:
        """Whether the group becomes a classic one when these are gone: only members under that protocol are left."""
        if any(member.classic is not None for member in leaving):
            return False
        if group.classic_count != len(group.members) - len(leaving) or staying <= 0:
            return False
        common = self._limits.common()
        if not common.downgrades or staying > common.classic_max_size:
            _log.info("consumer group stays one, though all members are classic", group=group.group_id)
            return False
        return True

    @staticmethod
    def remove(changes: Changes, members: Collection[ConsumerMember], topics: Topics) -> None:
        """Members are gone; what they had is anybody's, and the next heartbeat of another assigns it."""
        group = changes.group
        names = group.subscribed_count()
        for member in members:
            changes.drop_member(member.member_id)
        for regex in {member.regex for member in members if member.regex}:
            if not group.regex_members[regex]:
                changes.regex(regex, None)
        # Where very many go one by one, whoever is left mostly subscribes to the same very many topics.
        is_known = not group.refresh_due and group.subscribed_count() == names
        current = group.metadata_hash if is_known else metadata_hash(group.subscribed_names(), topics)
        changes.group_epoch(group.epoch + 1, current)


def _must_give_up(member: ConsumerMember, epoch: int) -> bool:
    """Whether a member under the consumer protocol still hasn't given up what it was told to in `epoch`."""
    return (
        member.classic is None and member.state is MemberState.UNREVOKED_PARTITIONS and member.epoch == epoch
    )


def _restore_rebalance(deadlines: Deadlines, rebalance: float, epoch: int) -> None:
    deadlines.rebalance, deadlines.rebalance_epoch = rebalance, epoch


def _spec(group: ConsumerGroup, topics: Topics) -> GroupSpec:
    """What the assignor is told."""
    ids: dict[frozenset[str], frozenset[UUID]] = {}
    members: dict[str, MemberSpec] = {}
    for member in group.members.values():
        names = group.topics_of(member)
        topic_ids = ids.get(names)
        if topic_ids is None:
            topic_ids = ids[names] = frozenset(i for name in names if (i := topics.id_of(name)) is not None)
        members[member.member_id] = MemberSpec(
            member.instance_id, topic_ids, group.target.get(member.member_id, NO_TARGET)
        )
    counts = {
        topic_id: topics.partition_count(topic_id) for subscribed in ids.values() for topic_id in subscribed
    }
    return GroupSpec(members, counts)
