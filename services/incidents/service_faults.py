"""What is wrong with a service, as alarms of that service. Pure.

It is down, ends again and again, or does not do what it was told: its heartbeats say so, wherever it runs. Each kind is
one alarm, so one alert, however many workers, models or topics it is about; its sentence names all of them.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from catseye.contract.alert_kinds import OF_SERVICES
from catseye.contract.identity import digest
from catseye.contract.records import Alarm
from catseye.runtime.presence import ServiceFault
from services.incidents.known import CameraState


def assessed(before: CameraState, faults: Sequence[ServiceFault], at_ms: int) -> CameraState:
    """What is known of a service at *at_ms*, when its *faults* are all that is wrong with it; *before* where nothing
    changed."""
    by_kind: dict[str, list[ServiceFault]] = {}
    for fault in faults:
        if fault.kind in OF_SERVICES:  # a newer build of the service may know more
            by_kind.setdefault(fault.kind, []).append(fault)
    known = {alarm.kind: alarm for alarm in before.alarms}
    alarms = tuple(known.get(kind) or _alarm(found[0], at_ms) for kind, found in sorted(by_kind.items()))
    sentences = {kind: ". ".join(fault.sentence.rstrip(".") for fault in found) for kind, found in by_kind.items()}
    if (alarms, sentences) == (before.alarms, before.sentences):
        return before
    if not alarms:
        return replace(before, at_ms=at_ms, alarms=(), sentences={})
    refused = next((fault for fault in reversed(faults) if fault.model), None)
    model, version = (refused.model, refused.version) if refused else ("", "")
    return replace(before, at_ms=at_ms, alarms=alarms, sentences=sentences, model=model, version=version)


def _alarm(fault: ServiceFault, at_ms: int) -> Alarm:
    return Alarm(
        kind=fault.kind,
        cause=digest("service", fault.service, fault.kind, fault.since_ms),
        signal=fault.service,
        phase="all",
        detector="heartbeats",
        estimate=1.0,
        reference=0.0,
        evidence=1.0,
        threshold=1.0,
        since_ms=fault.since_ms,
        raised_at_ms=at_ms,
    )
