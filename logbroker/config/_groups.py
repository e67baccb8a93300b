"""Settings of consumer groups in the protocol of KIP-848.

No `from __future__ import annotations` here: the declarations are read from the evaluated annotations.
"""

from typing import Annotated

from logbroker.config._topics import TopicSection
from logbroker.config.setting import Int


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
