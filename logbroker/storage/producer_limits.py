"""How many idempotent producers a partition remembers; one object for all partitions of a broker, so that it can change.

Until a log is in service (in recovery, above all) the defaults here are in force: the most that the settings can allow, so
that nobody is forgotten whom the settings would keep. Loop thread only.
"""

from __future__ import annotations

from typing import Final

from logbroker.config.values import PRODUCER_IDS_MAX

PROTECTED_IDLE_MS: Final = 15 * 60 * 1000


class ProducerLimits:
    """`max.producer.ids.per.partition` and `producer.id.protected.idle.ms`.

    Attributes:
        per_partition: How many are remembered. Beyond it those idle the longest are forgotten, as if expired.
        protected_idle_ms: Producers that wrote within this time are not; with nobody else to forget, a new
            producer is refused.

    """

    __slots__ = ("per_partition", "protected_idle_ms")

    def __init__(
        self, per_partition: int = PRODUCER_IDS_MAX, protected_idle_ms: int = PROTECTED_IDLE_MS
    ) -> None:
        self.per_partition = per_partition
        self.protected_idle_ms = protected_idle_ms
