"""Settings of consumer groups in the protocol of KIP-848.

No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated, Final

from logbroker.config._topics import TopicSection
from logbroker.config.setting import Int, List, Text
from logbroker.config.values import INT_MAX, Value

ASSIGNORS: Final = ("uniform", "range")
"""The server-side assignors that there are."""

MIGRATION_POLICIES: Final = ("bidirectional", "upgrade", "downgrade", "disabled")


def _assignors_problem(names: Value) -> str | None:
    return None if names else f"name at least one of {', '.join(ASSIGNORS)}"


def _policy_problem(policy: Value) -> str | None:
    if str(policy).lower() in MIGRATION_POLICIES:
        return None
    return f"one of {', '.join(MIGRATION_POLICIES)} is needed, in any case of letters"


class ConsumerGroupSection(TopicSection, frozen=True, kw_only=True):
    """Groups whose members the broker assigns; defaults and bounds of the group configs (`group.py`)."""

    group_consumer_session_timeout_ms: Annotated[
        int,
        Int("How long a silent member is kept. Default of the group config.", unit="ms", low=1),
    ] = 45_000
    group_consumer_min_session_timeout_ms: Annotated[
        int,
        Int("The shortest session timeout that may be set on a group.", unit="ms", low=1),
    ] = 45_000
    group_consumer_max_session_timeout_ms: Annotated[
        int,
        Int("The longest session timeout that may be set on a group.", unit="ms", low=1),
    ] = 60_000
    group_consumer_heartbeat_interval_ms: Annotated[
        int,
        Int("How often members are told to send a heartbeat. Default of the group config.", unit="ms", low=1),
    ] = 5_000
    group_consumer_min_heartbeat_interval_ms: Annotated[
        int,
        Int("The shortest heartbeat interval that may be set on a group.", unit="ms", low=1),
    ] = 5_000
    group_consumer_max_heartbeat_interval_ms: Annotated[
        int,
        Int("The longest heartbeat interval that may be set on a group.", unit="ms", low=1),
    ] = 15_000
    group_consumer_assignment_interval_ms: Annotated[
        int,
        Int(
            "The shortest time between two assignments of a group. Default of the group config.",
            unit="ms",
            low=0,
            dynamic=True,
        ),
    ] = 1_000
    group_consumer_min_assignment_interval_ms: Annotated[
        int,
        Int("The shortest assignment interval that may be set on a group.", unit="ms", low=0),
    ] = 0
    group_consumer_max_assignment_interval_ms: Annotated[
        int,
        Int("The longest assignment interval that may be set on a group.", unit="ms", low=0),
    ] = 15_000
    group_consumer_assignors: Annotated[
        tuple[str, ...],
        List(
            "The assignors that members may ask for by name; a group whose members ask for none gets the first. uniform: "
            "as many partitions for each member as for every other, moving as few as possible. range: the same "
            "partitions of every topic to the same member.",
            choices=ASSIGNORS,
            check=_assignors_problem,
        ),
    ] = ASSIGNORS
    group_consumer_max_size: Annotated[
        int,
        Int("Members of one group; one more gets GROUP_MAX_SIZE_REACHED.", low=1, kafka=INT_MAX),
    ] = 10_000
    group_consumer_migration_policy: Annotated[
        str,
        Text(
            "Which groups change kind while they have members: classic ones when somebody joins with the consumer protocol "
            "(upgrade), those of the consumer protocol when only members of the classic one are left (downgrade), both "
            "(bidirectional) or none (disabled).",
            check=_policy_problem,
        ),
    ] = "bidirectional"
    group_consumer_regex_refresh_interval_ms: Annotated[
        int,
        Int(
            "How long the topics that a group's regular expressions stand for are believed; new topics are noticed "
            "earlier.",
            unit="ms",
            low=10_000,
        ),
    ] = 600_000
