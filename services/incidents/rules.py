"""What an operator can turn, as the core has it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Times are event time in milliseconds.

    Attributes:
        settle_ms: How long a statistical alarm waits for others.
        after_fault_ms: The same for what is still raised when a fault of the camera has ended.
        resolve_ms: How long all must be well before an alert is resolved.
        reopen_ms: A cause that comes back so soon after its alert was resolved goes on as the same alert.
        update_ms: Shortest time between two updates that change neither kind nor severity nor cameras.
        group_window_ms: Alerts that open so soon after the first are one incident.
        group_pattern: Its one group names a camera's group; without it all cameras are one.
        stalled_ms: A service that lets records wait for longer stands, in time that was observed.
        accuracy_floor: Accuracy of the fleet, 0 to 1, under which an alert opens.
        floor_labels: Labels needed before it is assessed.
    """

    settle_ms: int = 5_000
    after_fault_ms: int = 30_000
    resolve_ms: int = 10_000
    reopen_ms: int = 3_600_000
    update_ms: int = 30_000
    group_window_ms: int = 3_600_000
    group_pattern: re.Pattern[str] | None = None
    stalled_ms: int = 15_000
    accuracy_floor: float = 0.40
    floor_labels: float = 100.0
