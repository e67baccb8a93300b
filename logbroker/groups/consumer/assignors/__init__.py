"""Server-side assignors: which member is to have which partitions. Pure; `NAMES` has all there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from logbroker.groups.consumer.assignors.range import assign_range
from logbroker.groups.consumer.assignors.spec import GroupSpec
from logbroker.groups.consumer.assignors.uniform import assign_uniform
from logbroker.groups.consumer.member import Target

Assignor = Callable[[GroupSpec], dict[str, Target]]

ASSIGNORS: Final[Mapping[str, Assignor]] = MappingProxyType(
    {"uniform": assign_uniform, "range": assign_range}
)
"""By the name that clients ask for them by; Kafka's names."""
