"""The range assignor: every topic cut into as many ranges as it has subscribers, in the same order for each topic.

Subscribers of co-partitioned topics get the same partitions of each. The order is by instance id where members have one,
before all that have none, who come by member id; so the result depends on nothing that was before, and is Kafka 4.3.1's
to the partition.
"""

from __future__ import annotations

from uuid import UUID

from logbroker.groups.consumer.assignors.spec import GroupSpec
from logbroker.groups.consumer.member import Target


def assign_range(spec: GroupSpec) -> dict[str, Target]:
    """What each member is to have."""
    order = sorted(spec.members, key=lambda member_id: _order(member_id, spec))
    result: dict[str, dict[UUID, frozenset[int]]] = {member_id: {} for member_id in spec.members}
    subscribers: dict[UUID, list[str]] = {}
    for member_id in order:
        for topic_id in spec.members[member_id].topics:
            subscribers.setdefault(topic_id, []).append(member_id)
    for topic_id, members in subscribers.items():
        quota, extra = divmod(spec.partition_counts[topic_id], len(members))
        start = 0
        for position, member_id in enumerate(members):
            end = start + quota + (position < extra)
            if end > start:
                result[member_id][topic_id] = frozenset(range(start, end))
            start = end
    return dict(result)


def _order(member_id: str, spec: GroupSpec) -> tuple[bool, bytes]:
    """Java compares strings by UTF-16 code units, which big-endian bytes do too."""
    instance_id = spec.members[member_id].instance_id
    text = member_id if instance_id is None else instance_id
    return instance_id is None, text.encode("utf-16-be", "surrogatepass")
