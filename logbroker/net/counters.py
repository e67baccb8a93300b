"""What the network layer counts: plain integers, read by whoever exports metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class NetworkCounters:
    """Sums since the server started.

    Attributes:
        accepted: Connections taken in.
        refused: Connections closed at once, as there were too many.
        closed_idle: Closed as nothing happened on them.
        closed_stuck: Closed as the peer took nothing of what waited for it.
        closed_stalled: Closed as they held memory, when it was short, without finishing a request.
        closed_invalid: Closed for what the peer sent.
        requests: Whole frames that were taken in.
        received_bytes, sent_bytes: As handed over by and to the transport.
    """

    accepted: int = 0
    refused: int = 0
    closed_idle: int = 0
    closed_stuck: int = 0
    closed_stalled: int = 0
    closed_invalid: int = 0
    requests: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
