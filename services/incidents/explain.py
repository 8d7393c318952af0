"""One paragraph that a person can check: what changed, by how much, since when, what else, and what to do. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from catseye.contract.alert_kinds import DRIFT, EVIDENCE_OF_DRIFT, KINDS, PICTURE, SERVICE_STALLED
from catseye.contract.records import Alarm

_SILENT_TOGETHER: Final = (
    "Check first the network and the service that takes their frames: that they failed is likelier than that each of "
    "these cameras did"
)
MOVED: Final = {
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
        alarms: Newest alarm of each kind of its cause.
        raised: Kinds of these that are raised now.
        silenced: Kinds that are raised and open no alert because of this fault.
        also: Other kinds that are raised.
        model: Name and version; blank while none has predicted.
        version_before: The version before; empty when none was seen.
        version_since_ms: Since when this one serves; 0 while that is not known.
        group: The cameras' group; None while one camera is concerned.
        cameras: Cameras of the incident, those that the alert names.
        more: How many it does not name.
        signals_off: Signals that are not watched on the camera.
        service: Whose it is; None for a camera or the fleet.
        sentence: Of a service: what is so.
    """

    kind: str
    camera: str | None
    main: Alarm
    alarms: Mapping[str, Alarm]
    raised: Sequence[str]
    silenced: Sequence[str]
    also: Sequence[str]
    model: str
    version_before: str
    version_since_ms: int
    group: str | None
    cameras: Sequence[str]
    more: int
    signals_off: Sequence[str] = ()
    service: str | None = None
    sentence: str = ""

    def outline(self) -> str:
        """All but the numbers: an alert is worth another record when this changes."""
        signals = [f"{kind}:{alarm.signal}:{alarm.label}" for kind, alarm in sorted(self.alarms.items())]
        return "|".join(
            [
                *signals,
                *sorted(self.raised),
                *sorted(self.silenced),
                *sorted(self.also),
                *self.signals_off,
                self.model,
                *self.sentences(),
            ]
        )

    def sentences(self) -> list[str]:
        """What is so with a service, where that is known."""
        return [self.sentence] if self.sentence else []


def paragraph(facts: Facts, times_opened: int, opened_at_ms: int) -> str:
    """Explain an alert that is open.

    Args:
        facts: What it is made of.
        times_opened: How often the alert has opened.
        opened_at_ms: When it did so first, event time.
    """
    kind, row = facts.kind, KINDS[facts.kind]
    since_ms = min((alarm.since_ms for alarm in facts.alarms.values() if alarm.since_ms > 0), default=0)
    what = row.meaning
    if kind == "class_mix" and "input" in facts.alarms:
        what = "sees another mix of classes, and its pictures moved after that"
    subject = _subject(facts)
    sentences = [f"Since {_at(since_ms)} {subject} {what}" if since_ms else f"{_raised(subject)} {what}"]
    if times_opened > 1:
        sentences.append(f"It comes and goes: opened {times_opened} times since {_at(opened_at_ms)}")
    if facts.group is not None:
        sentences.append(
            f"The same is seen on {_names(facts)}: something that they share is likelier than each camera by itself"
        )
    if facts.service is not None:
        sentences += facts.sentences()
    else:
        sentences.append(_evidence(facts))
    if row.cause == DRIFT:
        sentences += _families(facts)
    elif row.cause == PICTURE:
        sentences += [f"So {_fault(each)}" for each in sorted(facts.alarms) if each != kind]
    if facts.silenced:
        sentences.append(
            f"While that lasts, what follows of it opens no alert of its own; raised now: {', '.join(facts.silenced)}"
        )
    if facts.also:
        sentences.append(f"Raised besides: {', '.join(facts.also)}")
    if kind != SERVICE_STALLED and facts.service is None and (version := _version(facts)):
        sentences.append(version)
    if kind == "camera_silent" and facts.group is not None:
        sentences.append(f"{_SILENT_TOGETHER}. Then {_lowered(row.action)}")
    else:
        sentences.append(row.action)
    return ". ".join(sentences) + "."


def _subject(facts: Facts) -> str:
    if facts.service is not None:
        return f"service {facts.service}"
    return "the whole fleet" if facts.camera is None else f"camera {facts.camera}"


def resolved(explanation: str, from_ms: int, to_ms: int) -> str:
    """State that what *explanation* describes is over."""
    return f"Over since {_at(to_ms)}, after {_span(to_ms - from_ms)}. It was: {explanation}"


def held_back(kind: str, explanation: str) -> str:
    """State that a fault of the camera, or a service that stands, keeps an alert of *kind* quiet."""
    while_ = "a service stands" if KINDS[kind].is_blocked_by_stalls else "the camera has a fault"
    return f"Kept quiet while {while_}, which may be all there is to it. Before: {explanation}"


def _evidence(facts: Facts) -> str:
    """What it is raised for, in numbers or in the words of whoever refused."""
    if facts.kind == SERVICE_STALLED:
        return _wait(facts.main)
    if facts.kind == "camera_dead_letters":
        # Without a reason the signal is called as the alarm: it was raised by a version that kept none.
        most = "" if facts.main.signal == facts.kind else f"Most are refused as {facts.main.signal} "
        return f"{most or 'That was '}(raised {_at(facts.main.raised_at_ms)})"
    return _numbers(facts.main)


def _numbers(alarm: Alarm) -> str:
    about = f" of class {alarm.label}" if alarm.label else ""
    phase = f" by {alarm.phase}" if alarm.phase in ("day", "night") else ""
    return (
        f"Signal {alarm.signal}{about}{phase} is {alarm.estimate:.4g}, normally {alarm.reference:.4g} "
        f"(evidence {alarm.evidence:.3g}, threshold {alarm.threshold:.3g}, {alarm.detector}, "
        f"raised {_at(alarm.raised_at_ms)})"
    )


def _wait(alarm: Alarm) -> str:
    return (
        f"The first that stands is {alarm.signal}: when this was raised ({_at(alarm.raised_at_ms)}), what it reads had "
        f"waited for {alarm.estimate:.0f} s, over the limit of {alarm.threshold:.0f} s; services after it may "
        "only wait for it"
    )


def _families(facts: Facts) -> list[str]:
    """What of pictures, predictions and accuracy moved, what did not, and what cannot be seen."""
    found = []
    for family in EVIDENCE_OF_DRIFT:
        alarm = facts.alarms.get(family)
        if alarm is not None and alarm is not facts.main:
            found.append(f"{MOVED[family][0]} too: {_lowered(_numbers(alarm))}")
        if alarm is not None and family not in facts.raised:
            found.append(f"By now {MOVED[family][1]} {_verb(family)} as before")
    still = [MOVED[family][1] for family in EVIDENCE_OF_DRIFT if family not in facts.alarms]
    found += [f"Nothing is to be seen on {' and '.join(still)}"] if still else []
    off = ", ".join(facts.signals_off)
    return [*found, f"Not watched, since the camera learned no number of them: {off}"] if off else found


def _verb(family: str) -> str:
    return "is" if family == "accuracy" else "are"


def _fault(kind: str) -> str:
    return f"the camera also {KINDS[kind].meaning}"


def _version(facts: Facts) -> str:
    """Which model serves, and since when; what is not known of that is left out."""
    if not facts.model.strip():
        return ""
    since = f" since {_at(facts.version_since_ms)}" if facts.version_since_ms > 0 else ""
    before = f"; before, it was {facts.version_before}" if facts.version_before else ""
    return f"Model {facts.model} serves here{since}{before}"


def _names(facts: Facts) -> str:
    named, count = ", ".join(facts.cameras[:_NAMED]), len(facts.cameras) + facts.more
    names = f"{named} and {count - _NAMED} more cameras" if count > _NAMED else named
    others = f", {count} in all, of which this alert names {len(facts.cameras)}" if facts.more else ""
    return f"{names} of group {facts.group}{others}"


def _raised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _lowered(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(ms: int) -> str:
    seconds = max(0, round(ms / 1_000))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
