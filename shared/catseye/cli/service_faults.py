"""What is wrong with services now, for commands: by their heartbeats, whether or not incidents is there to alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from catseye.contract.alert_kinds import MODEL_REFUSED
from catseye.contract.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from catseye.contract.records import Backlog, Heartbeat
    from catseye.runtime.presence import Presence, ServiceFault
    from catseye.settings import Settings

OLD_MS = 10_000
"""Records that wait for so long are worth a line; what is under way is not."""
NOBODY_ALERTS = "incidents does not run, so nobody opens alerts: `infra/stack up` starts it on this machine"
_UNKNOWN = "which services run is not known: {}"


class Services(NamedTuple):
    """What is known of services.

    Attributes:
        faults: What is wrong.
        incidents_runs: Whether somebody opens alerts.
        unknown: Why nothing is known; else empty.
        backlogs: What waits for the processes that are there, by service and topic.
    """

    faults: list[ServiceFault]
    incidents_runs: bool
    unknown: str = ""
    backlogs: Mapping[tuple[str, str], Backlog] = {}

    @property
    def lines(self) -> list[str]:
        """A sentence for each fault, with the service's name."""
        return [f"{fault.service}: {fault.sentence}" for fault in self.faults] + (
            [self.unknown] if self.unknown else []
        )

    @property
    def waiting(self) -> list[str]:
        """A sentence for each topic of which a service has old records to work off."""
        return [
            f"{service}: {each.records:,} records of {topic} wait, the oldest for {each.oldest_ms // 1_000} s"
            for (service, topic), each in sorted(self.backlogs.items())
            if each.oldest_ms >= OLD_MS
        ]

    def to_json(self) -> list[dict[str, Any]]:
        """The faults as JSON has them."""
        return [fault._asdict() for fault in self.faults]


def services_now(settings: Settings) -> Services:
    """Listen to the services' heartbeats for as long as that needs."""
    from catseye.runtime.listener import listen, patience_of  # noqa: PLC0415 - help needs no settings

    try:
        presence = listen(settings)
    except Unavailable as fault:
        return Services([], incidents_runs=False, unknown=_UNKNOWN.format(fault))
    found = presence.faults(patience_of(settings)).by_service
    faults = [fault for faults in found.values() for fault in faults]
    return Services(faults, _runs(presence, "incidents"), backlogs=backlogs_of(presence.instances()))


def backlogs_of(beats: Iterable[Heartbeat]) -> dict[tuple[str, str], Backlog]:
    """What waits for the processes that are there, by service and topic: their records together, the oldest of all."""
    found: dict[tuple[str, str], Backlog] = {}
    for beat in beats:
        for each in beat.backlogs if beat.state not in ("stopped", "failed") else ():
            key = beat.service, each.topic
            if (before := found.get(key)) is not None:
                records, oldest_ms = before.records + each.records, max(before.oldest_ms, each.oldest_ms)
                each = replace(each, records=records, oldest_ms=oldest_ms)  # noqa: PLW2901 - the sum of both
            found[key] = each
    return found


def runs(settings: Settings, service: str) -> bool:
    """Whether a process of *service* is there, wherever it runs; yes where nobody can know."""
    from catseye.runtime.listener import listen  # noqa: PLC0415 - help needs no settings

    try:
        return _runs(listen(settings), service)
    except Unavailable:
        return True


def refusals(settings: Settings) -> dict[tuple[str, str], str]:
    """Why which services refuse a version, of each model and version that one refuses."""
    refused: dict[tuple[str, str], str] = {}
    for fault in services_now(settings).faults:
        if fault.kind == MODEL_REFUSED:
            version, why = (fault.model, fault.version), fault.sentence.removeprefix(f"{fault.subject}: ")
            others = f"{refused[version]}; " if version in refused else ""
            refused[version] = f"{others}{fault.service} refuses it: {why}"
    return refused


def _runs(presence: Presence, service: str) -> bool:
    return any(beat.service == service and beat.state not in ("stopped", "failed") for beat in presence.instances())
