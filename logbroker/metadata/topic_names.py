"""Which topic names are allowed, and which are this system's own: Kafka's rules, in Kafka's words.

A name becomes a folder name (`<topic>-<partition>`) and a metric label; hence the small alphabet, the 249 bytes (255
for a file name, less `-`, and five digits), and the rule that two names must not differ in `.` against `_` only.

Source: Kafka 4.3.1, `org.apache.kafka.common.internals.Topic`. Pure functions, any thread.
"""

from __future__ import annotations

import re
from typing import Final

TOPIC_NAME_MAX_LENGTH: Final = 249

CLUSTER_METADATA_TOPIC: Final = "__cluster_metadata"
"""The log of a KRaft quorum. There is none here, and tools that find a topic of that name would believe otherwise."""

OFFSETS_TOPIC: Final = "__consumer_offsets"
"""Where groups and their offsets are kept."""

TRANSACTION_TOPIC: Final = "__transaction_state"
"""Where transactional ids and their transactions are kept."""

INTERNAL_TOPICS: Final = frozenset({OFFSETS_TOPIC, TRANSACTION_TOPIC, "__share_group_state"})
"""Topics that coordinators own: flagged in Metadata, always on the disk."""

_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


def name_problem(name: str) -> str | None:
    """What is wrong with a topic's name, as Kafka says it, or None."""
    if not name:
        return "Topic name is invalid: the empty string is not allowed"
    if name in {".", ".."}:
        return f"Topic name is invalid: '{name}' is not allowed"
    if len(name) > TOPIC_NAME_MAX_LENGTH:
        return (
            f"Topic name is invalid: the length of '{name}' is longer than the max allowed length "
            f"{TOPIC_NAME_MAX_LENGTH}"
        )
    if _LEGAL.fullmatch(name) is None:
        return (
            f"Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', "
            "'_' and '-'"
        )
    return None


def may_collide(name: str) -> bool:
    """Whether another name could differ from this one in `.` against `_` only."""
    return "." in name or "_" in name


def collision_key(name: str) -> str:
    """What two colliding names have in common."""
    return name.replace(".", "_")


def is_internal(name: str) -> bool:
    """Whether the topic belongs to a coordinator."""
    return name in INTERNAL_TOPICS
