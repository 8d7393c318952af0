"""One paragraph that a person can check: what changed, by how much, since when, what else, and what to do. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from catseye.contract.records import Alarm
from services.incidents.causes import EXPLANATIONS, PICTURE_FAULTS, STATISTICAL

_WHAT: Final = {
    "camera_silent": "sends no frames",
    "camera_frozen": "sends the same picture again and again",
    "camera_black": "sends black pictures",
    "camera_white": "sends white pictures",
    "camera_covered": "is covered",
    "camera_blurred": "is out of focus",
    "camera_moved": "looks elsewhere than before",
    "camera_clock": "has a clock that jumped",
    "camera_dead_letters": "sends frames that are refused",
    "telemetry": "reports device readings that are not usual",
    "input": "shows other pictures than those it was learned on",
    "class_mix": "sees another mix of classes, and its pictures look as before",
    "concept": "is classified wrongly more often than another mix of classes explains, and its pictures look as before",
    "model_version": "is classified differently since a new version of the model serves, and its pictures look as "
    "before",
    "accuracy_floor": "is classified right less often than the floor allows",
    "labels_missing": "gets no labels, or too few: missing labels look like good accuracy",
    "service_slow": "gets its predictions late",
}
_NEXT: Final = {
    "camera_silent": "Check power, network and publisher of the camera",
    "camera_frozen": "Restart the camera or its encoder",
    "camera_black": "Check exposure, night mode and whether something stands before the lens",
    "camera_white": "Check exposure and glare",
    "camera_covered": "Clean or uncover the lens",
    "camera_blurred": "Focus the camera or clean its lens",
    "camera_moved": "Turn the camera back; if it is to stay so, its reference is learned anew with the next version of "
    "the model that serves this camera",
    "camera_clock": "Set the camera's clock and check its time server",
    "camera_dead_letters": "See `catseye dead list` for the reasons",
    "telemetry": "Look at the device before it fails",
    "input": "Compare the example frames; if the road is to stay so, label some and retrain",
    "class_mix": "Ask whether traffic changed; if so all is well once accuracy on labels says so, else look for "
    "pictures that only seem alike",
    "concept": "Check first whether labels mean the same as before, then label more and retrain",
    "model_version": "Compare it with the version before on the same frames, and roll back if that one is better",
    "accuracy_floor": "Do not rely on its predictions; find the cause in the other alerts, or retrain",
    "labels_missing": "Ask who labels, and look at labels that found no prediction",
    "service_slow": "Look at lag and load of the services, and start more workers",
}
_SILENT_TOGETHER: Final = (
    "Check first the network and the service that takes their frames: that they failed is likelier than that each of "
    "these cameras did"
)
_MOVED: Final = {
    "input": ("Its pictures moved", "its pictures"),
    "predictions": ("Its predictions moved", "its predictions"),
    "accuracy": ("Its accuracy fell", "its accuracy on labels"),
}
_NAMED: Final = 5
"""So many cameras are named; of more the rest is counted."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a paragraph is made of.

    Attributes:
        kind: Of the alert.
        camera: Its name; None for the fleet.
        main: Alarm that the alert shows.
        behind: Newest alarm of each kind in its lane.
        raised: Kinds of these that are raised now.
        silenced: Kinds that are raised and open no alert because of this fault.
        also: Other kinds that are raised.
        model: Name and version.
        version_before: The version before; empty when none was seen.
        version_since_ms: Since when this one serves.
        group: The cameras' group; None while one camera is concerned.
        cameras: Cameras of the incident, those that the alert names.
        more: How many it does not name.
    """

    kind: str
    camera: str | None
    main: Alarm
    behind: Mapping[str, Alarm]
    raised: Sequence[str]
    silenced: Sequence[str]
    also: Sequence[str]
    model: str
    version_before: str
    version_since_ms: int
    group: str | None
    cameras: Sequence[str]
    more: int

    def told(self) -> str:
        """All but the numbers: an alert is worth another record when this changes."""
        signals = [f"{kind}:{alarm.signal}:{alarm.label}" for kind, alarm in sorted(self.behind.items())]
        return "|".join([*signals, *sorted(self.raised), *sorted(self.silenced), *sorted(self.also), self.model])


def paragraph(facts: Facts) -> str:
    """Explain an alert that is open."""
    kind = facts.kind
    subject = "the whole fleet" if facts.camera is None else f"camera {facts.camera}"
    since_ms = min(alarm.since_ms for alarm in facts.behind.values())
    what = _WHAT.get(kind, f"has an alarm of kind {kind}")
    if kind == "class_mix" and "input" in facts.behind:
        what = "sees another mix of classes, and its pictures moved after that"
    sentences = [f"Since {_at(since_ms)} {subject} {what}"]
    if facts.group is not None:
        sentences.append(
            f"The same is seen on {_names(facts)}: something that they share is likelier than each camera by itself"
        )
    sentences.append(_numbers(facts.main))
    if kind in EXPLANATIONS:
        sentences += _families(facts)
    elif kind in PICTURE_FAULTS:
        sentences += [f"So {_fault(each)}" for each in sorted(facts.behind) if each != kind]
    if facts.silenced:
        sentences.append(
            f"While that lasts, what follows of it opens no alert of its own; raised now: {', '.join(facts.silenced)}"
        )
    if facts.also:
        sentences.append(f"Raised besides: {', '.join(facts.also)}")
    sentences.append(_version(facts))
    if kind == "camera_silent" and facts.group is not None:
        sentences.append(f"{_SILENT_TOGETHER}. Then {_lowered(_NEXT[kind])}")
    else:
        sentences.append(_NEXT.get(kind, "Look at its statistics"))
    return ". ".join(sentences) + "."


def resolved(explanation: str, from_ms: int, to_ms: int) -> str:
    """Say that what *explanation* told of is over."""
    return f"Over since {_at(to_ms)}, after {_span(to_ms - from_ms)}. It was: {explanation}"


def held_back(explanation: str) -> str:
    """Say that a fault of the camera keeps an alert quiet."""
    return f"Kept quiet while the camera has a fault, which may be all there is to it. Before: {explanation}"


def _numbers(alarm: Alarm) -> str:
    about = f" of class {alarm.label}" if alarm.label else ""
    phase = f" by {alarm.phase}" if alarm.phase in ("day", "night") else ""
    return (
        f"Signal {alarm.signal}{about}{phase} is {alarm.estimate:.4g}, normally {alarm.reference:.4g} "
        f"(evidence {alarm.evidence:.3g}, threshold {alarm.threshold:.3g}, {alarm.detector}, "
        f"raised {_at(alarm.raised_at_ms)})"
    )


def _families(facts: Facts) -> list[str]:
    """What of pictures, predictions and accuracy moved, and what did not."""
    said = []
    for family in STATISTICAL:
        alarm = facts.behind.get(family)
        if alarm is not None and alarm is not facts.main:
            said.append(f"{_MOVED[family][0]} too: {_lowered(_numbers(alarm))}")
        if alarm is not None and family not in facts.raised:
            said.append(f"By now {_MOVED[family][1]} {_verb(family)} as before")
    still = [_MOVED[family][1] for family in STATISTICAL if family not in facts.behind]
    return [*said, f"Nothing is to be seen on {' and '.join(still)}"] if still else said


def _verb(family: str) -> str:
    return "is" if family == "accuracy" else "are"


def _fault(kind: str) -> str:
    return f"the camera also {_WHAT[kind]}"


def _version(facts: Facts) -> str:
    before = f"; before, it was {facts.version_before}" if facts.version_before else ""
    return f"Model {facts.model} serves here since {_at(facts.version_since_ms)}{before}"


def _names(facts: Facts) -> str:
    named, count = ", ".join(facts.cameras[:_NAMED]), len(facts.cameras) + facts.more
    names = f"{named} and {count - _NAMED} more cameras" if count > _NAMED else named
    others = f", {count} in all, of which this alert names {len(facts.cameras)}" if facts.more else ""
    return f"{names} of group {facts.group}{others}"


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(ms: int) -> str:
    seconds = max(0, round(ms / 1_000))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
