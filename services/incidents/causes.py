"""What alarms of one camera mean together. Pure.

The order of explanation: a new version of the model, a fault of the camera, the group, a changed class mix, a changed
input, a changed concept. A fault silences what follows of it; the group is a matter of incidents, not of kind.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from catseye.contract.alert_kinds import DRIFT, KINDS, PICTURE, cause_of, rows_of
from catseye.contract.records import Alarm, Severity

PICTURES_FOLLOW: Final = 4
"""A road that changes moves its pictures before so many times the time that it takes to move the predictions."""
VERSION_BEFORE_MS: Final = 3_600_000
"""A change that began so soon after a new version did is explained by it."""
VERSION_SLACK_MS: Final = 10_000
"""The first suspect time is an estimate: it may lie so long before the version that caused it."""


def is_fault(cause: str) -> bool:
    """Whether a cause is the camera itself, so that what is seen of the road is not to be believed."""
    return any(row.is_camera_fault for row in rows_of(cause))


def is_blocked_by_faults(cause: str) -> bool:
    """Whether a cause opens no alert while the camera has a fault."""
    return any(row.is_blocked_by_faults for row in rows_of(cause))


def is_blocked_by_stalls(cause: str) -> bool:
    """Whether a cause opens no alert while a service stands: nothing else was to be expected."""
    return any(row.is_blocked_by_stalls for row in rows_of(cause))


def waits_for_others(cause: str) -> bool:
    """Whether a cause's alert opens only after a while, since another alarm may still change what it means."""
    return any(row.waits_for_others for row in rows_of(cause))


def by_cause(alarms: Sequence[Alarm]) -> dict[str, list[Alarm]]:
    """Alarms of each cause, faults first: they decide over the others."""
    causes: dict[str, list[Alarm]] = {}
    for alarm in sorted(alarms, key=lambda alarm: (not is_fault(cause_of(alarm.kind)), alarm.kind)):
        causes.setdefault(cause_of(alarm.kind), []).append(alarm)
    return causes


def first_of(alarms: Sequence[Alarm]) -> Alarm:
    """The alarm that was raised first; its cause names the alert."""
    return min(alarms, key=lambda alarm: (alarm.raised_at_ms, alarm.cause))


def strongest(alarms: Sequence[Alarm]) -> dict[str, Alarm]:
    """Of each kind the alarm that is furthest over its threshold."""
    found: dict[str, Alarm] = {}
    for alarm in alarms:
        other = found.get(alarm.kind)
        if other is None or _strength(alarm) > _strength(other):
            found[alarm.kind] = alarm
    return found


def _strength(alarm: Alarm) -> tuple[float, str]:
    return (alarm.evidence / alarm.threshold if alarm.threshold > 0 else alarm.evidence), alarm.cause


def is_of_new_version(alarms: Mapping[str, Alarm], version_before: str, version_since_ms: int) -> bool:
    """Whether a new version of the model began shortly before the first suspect time."""
    since_ms = min(alarm.since_ms for alarm in alarms.values())
    raised_at_ms = min(alarm.raised_at_ms for alarm in alarms.values())
    soon = version_since_ms - VERSION_SLACK_MS <= since_ms <= version_since_ms + VERSION_BEFORE_MS
    return bool(version_before) and soon and raised_at_ms >= version_since_ms


def kind_of(cause: str, alarms: Mapping[str, Alarm], *, blames_version: bool, beyond_mix: bool) -> str:
    """Kind of the alert: what explains all that was raised since it began, whether or not it still is.

    So the kind moves on as further alarms come, and does not move back while they go one after the other. Other classes
    make other pictures in the end: pictures that move well after the predictions did are explained by the mix, as long
    as accuracy is too.

    Args:
        cause: Of the alert.
        alarms: Newest alarm of each kind.
        blames_version: Whether a new version of the model explains it.
        beyond_mix: Whether accuracy fell further than any mix of the classes that were known makes it.
    """
    if cause == PICTURE:
        return min(alarms, key=lambda kind: KINDS[kind].precedence)
    if cause != DRIFT:
        return cause
    if "input" in alarms and (blames_version or beyond_mix or not _follows(alarms)):
        return "input"
    if blames_version:
        return "model_version"
    return "class_mix" if "predictions" in alarms and not beyond_mix else "concept"


def _follows(alarms: Mapping[str, Alarm]) -> bool:
    """Whether pictures moved so much later than the predictions that they only show what was predicted.

    Counted from the first suspect time, so that neither the camera's rate nor the size of the change matters.
    """
    if "predictions" not in alarms:
        return False
    pictures, predictions = alarms["input"], alarms["predictions"]
    since_ms = min(pictures.since_ms, predictions.since_ms)
    took_ms = predictions.raised_at_ms - since_ms
    # A detector of river's does not say since when: nobody knows how long it took.
    return 0 < PICTURES_FOLLOW * took_ms <= pictures.raised_at_ms - since_ms


def main_alarm(kind: str, alarms: Mapping[str, Alarm]) -> Alarm:
    """The alarm whose signal and numbers the alert shows."""
    order = {"class_mix": ("predictions",), "concept": ("accuracy",), "model_version": ("accuracy", "predictions")}
    return next(alarms[each] for each in (*order.get(kind, ()), kind) if each in alarms)


def severity_of(kind: str, alarms: Mapping[str, Alarm], *, floor: bool) -> Severity:
    """How soon a person should look: at once where frames are lost or answers are wrong.

    Args:
        kind: Of the alert.
        alarms: Alarms of its cause.
        floor: Whether the camera's accuracy is under the floor.
    """
    row = KINDS[kind]
    is_impaired = row.cause == DRIFT and ("accuracy" in alarms or floor)
    return "critical" if is_impaired else row.severity
