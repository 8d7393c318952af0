"""The accuracy of all cameras together, as an alarm of the fleet. Pure."""

import math
from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import ACCURACY_FLOOR
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, CameraReport
from services.incidents.incidents_state import FLEET, IncidentsState
from services.incidents.known import CameraState
from services.incidents.rules import Rules

ONE_SIDED_95: Final = 1.6449
"""95 % of a normal distribution lie under its mean and so many standard deviations."""
FLEET_EVERY_MS: Final = 1_000


def is_due(known: IncidentsState, at_ms: int) -> bool:
    """Whether the fleet is to be assessed: once a second of event time."""
    return at_ms >= known.camera(FLEET).at_ms + FLEET_EVERY_MS


def assessed(rules: Rules, known: IncidentsState, report: CameraReport, at_ms: int) -> CameraState:
    """What is known of the fleet at *at_ms*, when *report* was the newest: with an alarm while accuracy is too low."""
    fleet, cameras = known.camera(FLEET), known.cameras().values()
    labels = sum(camera.recent_labels for camera in cameras)
    right = max(0.0, labels - sum(camera.recent_errors for camera in cameras))
    floor = rules.accuracy_floor
    fleet = replace(
        fleet, at_ms=at_ms, model=report.model, version=report.version, version_since_ms=report.version_since_ms
    )
    if labels < rules.floor_labels:  # with fewer, what was so before holds
        return fleet
    before = next((alarm for alarm in fleet.alarms if alarm.kind == ACCURACY_FLOOR), None)
    was_under = before is not None
    # It takes certainty to raise it, and no more than the number itself to let it go.
    is_under = right / labels < floor if was_under else upper_bound(right, labels) < floor
    episodes = fleet.episodes + (is_under and not was_under)
    since_ms = before.since_ms if before else at_ms
    alarms = (_alarm(right, labels, floor, episodes, since_ms),) if is_under else ()
    others = tuple(alarm for alarm in fleet.alarms if alarm.kind != ACCURACY_FLOOR)
    return replace(fleet, alarms=(*alarms, *others), episodes=episodes)


def upper_bound(right: float, labels: float) -> float:
    """Upper end of the one-sided 95 % interval of a share (Wilson, "Probable inference", JASA 1927).

    Args:
        right: Successes, 0 to *labels*.
        labels: Trials, over 0.
    """
    share, z = right / labels, ONE_SIDED_95
    spread = z * math.sqrt(share * (1 - share) / labels + (z / (2 * labels)) ** 2)
    return (share + z * z / (2 * labels) + spread) / (1 + z * z / labels)


def _alarm(right: float, labels: float, floor: float, episode: int, since_ms: int) -> Alarm:
    return Alarm(
        kind=ACCURACY_FLOOR,
        cause=digest("fleet", ACCURACY_FLOOR, episode),
        signal="accuracy",
        phase="all",
        detector="wilson",
        estimate=right / labels,
        reference=floor,
        evidence=upper_bound(right, labels),
        threshold=floor,
        since_ms=since_ms,
        raised_at_ms=since_ms,
    )
