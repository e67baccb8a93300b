"""What members are told: the responses to JoinGroup and SyncGroup, in the newest version's terms."""

from __future__ import annotations

from logbroker.base.error_codes import ErrorCode
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.member import Member
from logbroker.wire.messages.join_group import JoinGroupResponse
from logbroker.wire.messages.sync_group import SyncGroupResponse


def join_refusal(error: ErrorCode, member_id: str) -> JoinGroupResponse:
    """A JoinGroup that was not granted; `member_id` is the one to come back with, if any."""
    return JoinGroupResponse(error_code=error, member_id=member_id, protocol_name=None)


def joined(group: ClassicGroup, member: Member) -> JoinGroupResponse:
    """`member` is in the current generation; the leader learns who else is."""
    return JoinGroupResponse(
        generation_id=group.generation_id,
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        leader=group.leader_id or "",
        member_id=member.member_id,
        members=group.member_list() if group.leader_id == member.member_id else [],
    )


def synced(group: ClassicGroup, member: Member) -> SyncGroupResponse:
    """What `member` is assigned in the current generation."""
    return SyncGroupResponse(
        protocol_type=group.protocol_type,
        protocol_name=group.protocol_name,
        assignment=member.assignment,
    )


def sync_refusal(error: ErrorCode) -> SyncGroupResponse:
    """A SyncGroup that was not granted."""
    return SyncGroupResponse(error_code=error)
