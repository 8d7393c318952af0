"""How a demo knows that the loop has closed, and what it tells of the steps; pure but for reading topics back."""

import math
from collections.abc import Iterable
from typing import Any, Final

from catseye.contract.records import RetrainDecision
from catseye.kafka.reading import read_to_end
from catseye.kafka.registry import codec_for
from catseye.settings import Settings
from infra.local.demo_models import BY_SCENARIO
from infra.local.watch import Sighting

ANSWER_S: Final = 90.0
"""So long after the change nobody has begun a training: nobody will."""
SHOWN_S: Final = 60.0
"""How long a road goes on once the model that stays is known, so that one sees what it does."""
PATIENCE_S: Final = 150.0
"""The same while alerts are still open."""
MOST_S: Final = 1_170.0
"""No road goes on longer after its change: beside all services a training takes minutes where there are two cores."""
_SETTLING: Final = ("champion", "rejected")


class Loop:
    """Follows decisions and models while the road runs.

    Args:
        change_at_s: When something happens, seconds of the road.
    """

    def __init__(self, change_at_s: float) -> None:
        self._change_at_s = change_at_s
        self._accepted_ms = -math.inf
        self._settled_ms = -math.inf

    def on_sightings(self, sightings: Iterable[Sighting]) -> None:
        """A reader saw these."""
        for seen in sightings:
            if seen.topic == "retraining" and seen.boot == "yes":
                self._accepted_ms = seen.seen_at_ms
            elif seen.topic == "models" and seen.boot in _SETTLING and seen.other != BY_SCENARIO:
                self._settled_ms = seen.seen_at_ms

    def has_closed(self, began_ms: float, now_ms: float, alerts_open: int) -> bool:
        """Whether there is nothing more to wait for.

        Args:
            began_ms: When the road began, Unix milliseconds.
            now_ms: The same clock.
            alerts_open: Alerts that somebody should still look at.
        """
        change_ms = began_ms + self._change_at_s * 1_000
        if now_ms < change_ms + ANSWER_S * 1_000:
            return False
        if self._accepted_ms > max(self._settled_ms, change_ms):
            return False
        since_s = (now_ms - max(self._settled_ms, change_ms)) / 1_000
        settled = self._settled_ms > change_ms
        return not settled or since_s >= (PATIENCE_S if alerts_open else SHOWN_S)


def step_line(seen: Sighting) -> str | None:
    """Say what a decision or an event of a model means; None for other sightings."""
    if seen.topic == "retraining":
        return f"retraining: {seen.boot}, {seen.value}: {seen.other}"
    if seen.topic == "models":
        return f"model {seen.value}: {seen.boot}, since {seen.other}"
    return None


def decisions_made(settings: Settings, started_at_ms: float, ended_at_ms: float) -> list[dict[str, Any]]:
    """Every decision of the retrain trigger while publishing went on, in order: a road that ends looks like cameras
    that fall silent."""
    codec = codec_for(settings)
    decisions = [codec.decode(message.value(), RetrainDecision) for message in read_to_end(settings, "retraining")]
    return [
        {
            "decision_id": decision.decision_id,
            "accepted": decision.accepted,
            "because": decision.because,
            "detail": decision.detail,
            "at_s": round((decision.decided_at_ms - started_at_ms) / 1_000, 3),
        }
        for decision in decisions
        if decision.decided_at_ms <= ended_at_ms
    ]
