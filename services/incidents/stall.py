"""A service that does not work off what it reads, as an alarm of the fleet. Pure.

Nothing is lost meanwhile: records wait on the log, and who is absent behind that service is not judged. So there is one
alarm, whatever the number of cameras. It names the first service of the road that stands: those after it wait for it.
"""

from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import SERVICE_STALLED
from catseye.contract.identity import digest
from catseye.contract.records import Alarm
from catseye.runtime.progress import Progress
from services.incidents.known import CameraState
from services.incidents.rules import Rules

_CALM: Final = 0.5
"""It takes a wait of the limit to raise the alarm, and one of no more than this share of it to let it go."""


def assessed(rules: Rules, fleet: CameraState, road: Progress, at_ms: int) -> CameraState:
    """What is known of the fleet at *at_ms*, as far as the services on *road* go."""
    before = next((alarm for alarm in fleet.alarms if alarm.kind == SERVICE_STALLED), None)
    limit_ms = rules.stalled_ms
    stalled = road.stalled(limit_ms)
    if stalled is not None:
        if before is not None and before.signal == stalled.service:
            return fleet
        wait_s, since_ms = stalled.waited_ms / 1_000, stalled.worked_until_ms or road.at_ms - stalled.waited_ms
        alarm = Alarm(
            kind=SERVICE_STALLED,
            cause=before.cause if before else digest("fleet", SERVICE_STALLED, since_ms),
            signal=stalled.service,
            phase="all",
            detector="watermark",
            estimate=wait_s,
            reference=0.0,
            evidence=wait_s,
            threshold=limit_ms / 1_000,
            since_ms=before.since_ms if before else since_ms,
            raised_at_ms=before.raised_at_ms if before else at_ms,
        )
    elif before is None or not _is_over(road, before.signal, limit_ms):
        return fleet
    else:
        alarm = None
    others = tuple(each for each in fleet.alarms if each.kind != SERVICE_STALLED)
    return replace(fleet, alarms=(*others, alarm) if alarm else others)


def _is_over(road: Progress, service: str, limit_ms: int) -> bool:
    """Whether *service* is seen to work again, and what it held up has passed those after it too; before it was seen to
    do anything, nothing is known."""
    its = [hop for hop in road.hops if hop.service == service]
    works = bool(its) and all(hop.worked_until_ms for hop in its)
    has_passed = all(road.at_ms - hop.worked_until_ms <= limit_ms for hop in road.hops)
    return works and has_passed and road.stalled(round(_CALM * limit_ms)) is None
