"""What a model event carries of a rollback beside its sentence: the numbers that an alert shows. Pure.

They stand in the event's metrics, so that whoever reads `models` recognises a rollback, and of what, without its
sentence.
"""

from typing import Final

import msgspec

from catseye.contract.records import ModelEvent

_SINCE_MS: Final = "rollback/since_ms"
_CLASS: Final = "rollback/class/"
_CAMERA: Final = "rollback/camera/"


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """Why the version before is champion again.

    Attributes:
        since_ms: When the two versions began to be compared, Unix milliseconds.
        accuracy_new: Of the version that was rolled back, 0 to 1, where it fell.
        accuracy_old: Of the version before, on the same frames.
        evidence: That the new one is worse there.
        evidence_needed: So much of it was needed.
        label: The class on which it fell; None where it did not fall on one class.
        camera: The camera, likewise.
    """

    since_ms: int
    accuracy_new: float
    accuracy_old: float
    evidence: float
    evidence_needed: float
    label: str | None = None
    camera: str | None = None

    def metrics(self) -> dict[str, float]:
        """As an event carries them."""
        fell_on = {_CLASS: self.label, _CAMERA: self.camera}
        return {
            _SINCE_MS: float(self.since_ms),
            "rollback/accuracy_new": self.accuracy_new,
            "rollback/accuracy_old": self.accuracy_old,
            "rollback/evidence": self.evidence,
            "rollback/evidence_needed": self.evidence_needed,
            **{f"{start}{name}": 1.0 for start, name in fell_on.items() if name is not None},
        }


def rollback_of(event: ModelEvent) -> Rollback | None:
    """The rollback that an event is; None for any other, and for those of versions that did not write these numbers."""
    numbers = event.metrics
    if event.stage != "champion" or _SINCE_MS not in numbers:
        return None
    return Rollback(
        since_ms=int(numbers[_SINCE_MS]),
        accuracy_new=numbers.get("rollback/accuracy_new", 0.0),
        accuracy_old=numbers.get("rollback/accuracy_old", 0.0),
        evidence=numbers.get("rollback/evidence", 0.0),
        evidence_needed=numbers.get("rollback/evidence_needed", 0.0),
        label=_named(numbers, _CLASS),
        camera=_named(numbers, _CAMERA),
    )


def _named(numbers: dict[str, float], start: str) -> str | None:
    return next((name[len(start) :] for name in numbers if name.startswith(start)), None)
