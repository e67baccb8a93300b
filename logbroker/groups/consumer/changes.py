"""Changes of one event: each is in force at once, is written down as a record, and can be taken back.

An event that fails halfway calls `undo`; so does whoever finds that the log refuses the records. Changes are taken back
newest first, so an event's end can only be undone while nothing later was built on it: the shard sees to that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from logbroker.coordination.machine import Record
from logbroker.groups.consumer import records
from logbroker.groups.consumer.group import ConsumerGroup, ResolvedRegex
from logbroker.groups.consumer.member import ConsumerMember, Target


class Changes:
    """Changes of `group`, in order.

    Attributes:
        records: What to write, in order.
    """

    __slots__ = ("_group", "_undo", "records")

    def __init__(self, group: ConsumerGroup) -> None:
        self.records: list[Record] = []
        self._group = group
        self._undo: list[Callable[[], Any]] = []

    @property
    def group(self) -> ConsumerGroup:
        """Whose changes these are."""
        return self._group

    def undo(self) -> None:
        """Take everything back, newest first."""
        while self._undo:
            self._undo.pop()()
        self.records.clear()

    def on_undo(self, callback: Callable[[], Any]) -> None:
        """Do this too when everything is taken back."""
        self._undo.append(callback)

    def metadata(self, member: ConsumerMember) -> None:
        """A member is new, or says something else of itself."""
        self.records.append(records.member_metadata(self._group.group_id, member))
        self._put(member)

    def assignment(self, member: ConsumerMember) -> None:
        """A member has something else, or another epoch."""
        self.records.append(records.current_assignment(self._group.group_id, member))
        self._put(member)

    def target(self, member_id: str, target: Target) -> None:
        """A member is to have something else."""
        self.records.append(records.target_member(self._group.group_id, member_id, target))
        self._set_target(member_id, target)

    def target_epoch(self, epoch: int, now_ms: int) -> None:
        """The target assignment is that of a group epoch."""
        group = self._group
        self.records.append(records.target_metadata(group.group_id, epoch, now_ms))
        self._set("assignment_epoch", epoch)
        self._set("assignment_ms", now_ms)

    def group_epoch(self, epoch: int, metadata_hash: int) -> None:
        """Something asks for another assignment."""
        group = self._group
        self.records.append(records.group_metadata(group.group_id, epoch, metadata_hash))
        self._set("epoch", epoch)
        self._set("metadata_hash", metadata_hash)

    def refreshed(self) -> None:
        """The subscribed topics were looked at; on no record."""
        self._group.refresh_due = False
        # Whatever it was: a topic may change before this is taken back.
        self._undo.append(partial(setattr, self._group, "refresh_due", True))

    def regex(self, regex: str, resolved: ResolvedRegex | None) -> None:
        """A regular expression stands for other topics, or nobody subscribes to it any more."""
        group = self._group
        self.records.append(records.regular_expression(group.group_id, regex, resolved))
        old = group.put_regex(regex, resolved)
        self._undo.append(partial(group.put_regex, regex, old))

    def drop_partition_metadata(self) -> None:
        """Delete the record that Kafka before 4.1 kept."""
        self.records.append(records.partition_metadata_tombstone(self._group.group_id))
        self._set("has_partition_metadata", False)

    def drop_member(self, member_id: str) -> None:
        """A member is gone, with all that it had."""
        group = self._group
        self.records.extend(records.member_tombstones(group.group_id, member_id))
        self._take_out(member_id)

    def _put(self, member: ConsumerMember) -> None:
        group = self._group
        old = group.put_member(member)
        if old is None:
            self._undo.append(partial(group.drop_member, member.member_id))
        else:
            self._undo.append(partial(group.put_member, old))

    def _take_out(self, member_id: str) -> None:
        group = self._group
        member = group.drop_member(member_id)
        if member is not None:
            self._undo.append(partial(group.put_member, member))
        old = group.target.pop(member_id, None)
        if old is not None:
            self._undo.append(partial(group.target.__setitem__, member_id, old))
        deadlines = group.deadlines.pop(member_id, None)
        if deadlines is not None:
            self._undo.append(partial(self._restore_deadlines, member_id, deadlines))

    def _restore_deadlines(self, member_id: str, deadlines: Any) -> None:
        self._group.deadlines[member_id] = deadlines
        self._group.wake(deadlines.first())

    def _set_target(self, member_id: str, target: Target) -> None:
        targets = self._group.target
        old = targets.get(member_id)
        targets[member_id] = target
        if old is None:
            self._undo.append(partial(targets.pop, member_id, None))
        else:
            self._undo.append(partial(targets.__setitem__, member_id, old))

    def _set(self, attribute: str, value: Any) -> None:
        old = getattr(self._group, attribute)
        setattr(self._group, attribute, value)
        self._undo.append(partial(setattr, self._group, attribute, old))
