"""Groups of a shard that become another kind of group: the new one takes the former's place in the table, and its records.

`conversion` says what the new group is. Here it is put in place, written, and taken back if the log refuses it; and those who
wait in the former one are told to come again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from logbroker.base import logs
from logbroker.base.completion import Completion
from logbroker.base.error_codes import ErrorCode
from logbroker.base.errors import BrokerError
from logbroker.coordination.formats.consumer_offsets import group_metadata_key
from logbroker.coordination.machine import Done, Record, RecordWriter
from logbroker.groups.classic.effects import Effects
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.joining import Origin
from logbroker.groups.classic.protocol import ClassicProtocol
from logbroker.groups.classic.rebalance import Moment
from logbroker.groups.classic.states import State
from logbroker.groups.consumer import conversion
from logbroker.groups.consumer.changes import Changes
from logbroker.groups.consumer.group import ConsumerGroup
from logbroker.groups.consumer.limits import Limits
from logbroker.groups.consumer.topics import Topics
from logbroker.groups.kind import GroupTable
from logbroker.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

_log = logs.get("groups")


@dataclass(frozen=True, slots=True)
class ClassicSide:
    """What is asked of classic groups.

    Attributes:
        carry_out: Does what an event of a classic group asked for.
        join_new: JoinGroup of the first member of a classic group.
    """

    protocol: ClassicProtocol
    carry_out: Callable[[ClassicGroup, Effects], None]
    join_new: Callable[[JoinGroupRequest, Origin], Completion[JoinGroupResponse]]


class Migration:
    """Upgrades and downgrades."""

    __slots__ = ("_classic", "_limits", "_log", "_table")

    def __init__(self, table: GroupTable, log: RecordWriter, limits: Limits, classic: ClassicSide) -> None:
        self._table = table
        self._log = log
        self._limits = limits
        self._classic = classic

    def open(
        self, group_id: str, topics: Topics, at: Moment, *, joining: bool
    ) -> tuple[Changes, ClassicGroup | None]:
        """The group a heartbeat is for, made or converted if somebody joins; and the classic group that it was, if it was.

        What was made or converted goes again if the changes are undone.

        Raises:
            BrokerError: GROUP_ID_NOT_FOUND.

        """
        known = self._table.groups.get(group_id)
        if isinstance(known, ConsumerGroup):
            return Changes(known), None
        if known is None and not joining:
            raise BrokerError(ErrorCode.GROUP_ID_NOT_FOUND, f"Consumer group {group_id} not found.")
        if not joining:
            raise BrokerError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
        written: list[Record] = []
        if known is None:
            group = ConsumerGroup(group_id)
        elif known.state is State.EMPTY:
            group = ConsumerGroup(group_id)
            written = [(group_metadata_key(group_id), None)]
        else:
            conversion.check_upgrade(known, self._limits.common())
            group, written = conversion.to_consumer_group(known, topics, at)
            _log.info("a classic group becomes a consumer group", group=group_id, members=len(known.members))
        changes = Changes(group)
        changes.records.extend(written)
        self._table.put(group)
        changes.on_undo(partial(self._put_back, group, known, None if known is None else known.state))
        if known is not None:
            known.state = State.DEAD
        return changes, known

    def _put_back(self, group: ConsumerGroup, former: ClassicGroup | None, state: State | None) -> None:
        """The group isn't, or isn't a consumer group, after all."""
        group.dead = True
        if self._table.groups.get(group.group_id) is not group:
            return
        self._table.remove(group)
        if former is not None and state is not None:
            former.state = state
            former.wake_at = former.next_deadline()
            self._table.put(former)

    def release(self, former: ClassicGroup) -> None:
        """Members of a group that is a consumer group now must join again to see it."""
        effects = Effects()
        self._classic.protocol.release(former, ErrorCode.REBALANCE_IN_PROGRESS, effects)
        _send(effects.replies)

    def join_empty(
        self, group: ConsumerGroup, tombstones: list[Record], request: JoinGroupRequest, origin: Origin
    ) -> Completion[JoinGroupResponse]:
        """A member under the classic protocol joins a group that nobody is in: it is a classic one from now on.

        Raises:
            BrokerError: The log doesn't take it.

        """
        self._log.write(tombstones, lambda _: None, partial(self._table.put, group))
        self._table.remove(group)
        waiter = self._classic.join_new(request, origin)
        if group.group_id not in self._table.groups:
            # It was turned away; the group's offsets stay, in a group that only stores them.
            self._table.put(ClassicGroup(group.group_id, self._table.moment().now_ms))
        return waiter

    def downgrade(
        self,
        changes: Changes,
        leaving: Collection[str],
        topics: Topics,
        done: Done,
        *,
        rebalance: bool,
    ) -> bool:
        """Make a classic group of a consumer group whose last member under the consumer protocol is gone.

        Returns:
            False: it can't be, as a member's metadata can't be read; nothing happened, and `done` will not be called.

        """
        group, at = changes.group, self._table.moment()
        protocol = self._classic.protocol
        try:
            classic, written = conversion.to_classic_group(group, leaving, topics, at)
        except ValueError as error:
            _log.warning("a consumer group can't be downgraded", group=group.group_id, reason=str(error))
            return False
        changes.records.extend(written)
        group.dead = True
        self._table.put(classic)

        def undo() -> None:
            effects = Effects()
            protocol.release(classic, ErrorCode.NOT_COORDINATOR, effects)
            classic.state = State.DEAD
            group.dead = False
            changes.undo()
            group.wake_at = group.next_deadline()
            self._table.put(group)
            _send(effects.replies)

        try:
            self._log.write(changes.records, done, undo)
        except BrokerError as error:
            undo()
            done(error.code)
            return True
        _log.info(
            "a consumer group becomes a classic group", group=group.group_id, members=len(classic.members)
        )
        effects = protocol.restart_sessions(classic, at)
        if rebalance and classic.state is State.STABLE:
            protocol.rebalance(classic, effects, at, "it was a consumer group until now")
        self._classic.carry_out(classic, effects)
        return True


def _send(replies: list[tuple[Completion[Any], Any]]) -> None:
    for waiter, response in replies:
        waiter.set(response)
