"""A group's metadata as a record and back, as Kafka's GroupCoordinatorRecordHelpers has it.

Only a completed rebalance is recorded: who the members are, what they subscribe to under the chosen protocol, and what
they were assigned. A restart makes of it a stable group (or an empty one), and its members go on with a heartbeat as if
nothing had happened. A rebalance that was under way is lost, and the members start another.
"""

from __future__ import annotations

from logbroker.coordination.formats.consumer_offsets import (
    GROUP_METADATA_VERSION,
    NO_TIMESTAMP,
    GroupMetadataValue,
    MemberMetadata,
    group_metadata,
)
from logbroker.groups.classic.group import ClassicGroup
from logbroker.groups.classic.member import Member
from logbroker.groups.classic.states import State


def encode_group(group: ClassicGroup, assignments: dict[str, bytes]) -> bytes:
    """The value of `group`'s record with these assignments, by member id.

    Raises:
        ValueError: A string or a metadata blob is longer than the format can say.

    """
    return group_metadata.encode_value(
        GroupMetadataValue(
            protocol_type=group.protocol_type or "",
            generation=group.generation_id,
            protocol=group.protocol_name,
            leader=group.leader_id,
            current_state_timestamp=NO_TIMESTAMP if group.state_since_ms is None else group.state_since_ms,
            members=[
                MemberMetadata(
                    member_id=member.member_id,
                    group_instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_timeout=member.rebalance_timeout_ms,
                    session_timeout=member.session_timeout_ms,
                    subscription=member.metadata(group.protocol_name),
                    assignment=assignments.get(member.member_id, b""),
                )
                for member in group.members.values()
            ],
        ),
        GROUP_METADATA_VERSION,
    )


def encode_new_group(now_ms: int) -> bytes:
    """The value for a group that exists and has had no generation yet."""
    return group_metadata.encode_value(
        GroupMetadataValue(current_state_timestamp=now_ms), GROUP_METADATA_VERSION
    )


def decode_group(group_id: str, value: bytes) -> ClassicGroup:
    """The group that a record describes; session deadlines are not set yet.

    Raises:
        ValueError: The value can't be read.

    """
    stored = group_metadata.decode_value(value)
    since_ms = None if stored.current_state_timestamp == NO_TIMESTAMP else stored.current_state_timestamp
    group = ClassicGroup(group_id, since_ms)
    group.generation_id = stored.generation
    group.protocol_name = stored.protocol
    group.state = State.STABLE if stored.members else State.EMPTY
    group.leader_id = stored.leader
    for stored_member in stored.members:
        group.add(
            Member(
                stored_member.member_id,
                stored_member.group_instance_id,
                client_id=stored_member.client_id,
                client_host=stored_member.client_host,
                rebalance_timeout_ms=(
                    stored_member.session_timeout
                    if stored_member.rebalance_timeout < 0
                    else stored_member.rebalance_timeout
                ),
                session_timeout_ms=stored_member.session_timeout,
                protocol_type=stored.protocol_type,
                protocols={stored.protocol or "": bytes(stored_member.subscription)},
                assignment=bytes(stored_member.assignment),
            )
        )
    group.protocol_type = stored.protocol_type or None
    group.refresh_topics()
    return group
