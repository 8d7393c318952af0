"""Reports of all cameras in, alerts out. Law: each cause on a camera has at most one open alert, and at most one new
one an hour; the same reports give the same alerts with the same ids, however often and in however many batches they
come.

Time is event time, that of the newest report. Whatever falls due is done as of its own moment, before the report that
comes after it. While no report comes, the time that passes here is added. A service that stands does so by our clock:
event time has reached that then.
"""

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from catseye.contract.alert_kinds import unknown
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.records import Alert, AlertCommand, CameraReport, ModelEvent
from catseye.runtime.presence import Faults
from catseye.runtime.progress import ROAD, UNKNOWN, Progress, road_of_labels
from catseye.runtime.stream import Tally
from services.incidents import service_faults, stall
from services.incidents.causes import is_blocked_by_stalls
from services.incidents.commands import carry_out
from services.incidents.evaluation import evaluate, has_stall
from services.incidents.fleet import assessed, is_due
from services.incidents.incidents_state import FLEET, IncidentsState, is_camera, service_place
from services.incidents.known import CameraState
from services.incidents.rolled_back import alerts_of
from services.incidents.rules import Rules


class IncidentsCore(Tally):
    """Reports, people's commands and rollbacks in, alerts out.

    Args:
        rules: What an operator can turn.
    """

    listens: Final = True
    roads: Final = (road_of_labels("drift", *ROAD[-1].topics),)

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules
        self._road = UNKNOWN
        self._faults: Faults | None = None
        self._fleet_at_ms = 0  # our clock when a service was last seen to stand, or to work again
        self._quiet_since: tuple[int, int] = (0, 0)  # how far event time is known, and our clock when it was first seen

    def new_state(self) -> IncidentsState:
        return IncidentsState()

    def on_time(self, states: Mapping[int, IncidentsState], now_ms: int) -> list[Alert]:
        """Do what has fallen due while no report came."""
        alerts: list[Alert] = []
        for known in states.values():
            newest_ms = max(known.newest_ms, self._fleet_at_ms)
            if self._quiet_since[0] != newest_ms:
                self._quiet_since = (newest_ms, now_ms)
            idle_ms = max(0, now_ms - self._quiet_since[1])
            alerts += self._until(known, newest_ms + idle_ms)
            alerts += self._services_assessed(known)
            alerts += self._faults_assessed(known)
        return self._counted(alerts)

    def on_progress(self, *roads: Progress) -> None:
        """How far the services before have worked: one that stands is an incident of the fleet."""
        self._road = roads[0]

    def on_faults(self, faults: Faults) -> None:
        """What is wrong with services, by their heartbeats: each kind of it is an incident of that service."""
        self._faults = faults

    def on_camera_report(self, report: CameraReport, _: object, known: IncidentsState, now_ms: int) -> list[Alert]:
        """Take what is wrong with one camera now.

        Raises:
            BadRecord: one of its alarms is of a kind that is not known here.
        """
        before = known.camera(report.camera)
        if report.at_ms < before.at_ms or _noted(before, report, before.lag_ms) == before:
            self.events["report_repeated"] += 1
            return []
        if kinds := unknown(alarm.kind for alarm in report.alarms):
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"no row of alert_kinds says what {', '.join(kinds)} is")
        self.events["report"] += 1
        alerts = self._until(known, report.at_ms)
        at_ms = known.clock_ms
        # What fell due may have changed this camera too.
        known.put_camera(report.camera, _noted(known.camera(report.camera), report, at_ms - report.at_ms))
        alerts += evaluate(self._rules, known, report.camera, at_ms)
        if is_due(known, at_ms):
            known.put_camera(FLEET, assessed(self._rules, known, report, at_ms))
            alerts += self._place_evaluated(known, FLEET, at_ms)
        return self._counted(alerts)

    def on_alert_command(
        self,
        command: AlertCommand,
        _: object,
        known: IncidentsState,
        now_ms: int,
    ) -> list[Alert]:
        """Do what a person wants done with an alert.

        Raises:
            BadRecord: it cannot be done.
        """
        alerts = carry_out(self._rules, known, command)
        self.events["command_repeated" if alerts is None else f"command_{command.action}"] += 1
        return self._counted(alerts or [])

    def on_model_event(self, event: ModelEvent, _: object, known: IncidentsState, now_ms: int) -> list[Alert]:
        """Report a rollback; no other step of a model is worth an alert."""
        return self._counted(alerts_of(event))

    def _services_assessed(self, known: IncidentsState) -> list[Alert]:
        """Note that a service stands, or works again."""
        before, at_ms = known.camera(FLEET), max(known.clock_ms, self._road.at_ms)
        fleet = stall.assessed(self._rules, before, self._road, at_ms)
        if fleet is before:
            return []
        self._fleet_at_ms = known.clock_ms = at_ms
        known.put_camera(FLEET, fleet)
        return self._place_evaluated(known, FLEET, at_ms)

    def _place_evaluated(self, known: IncidentsState, place: str, at_ms: int) -> list[Alert]:
        """Evaluate the fleet or a service, and where a stall begins or is over, cameras of which that holds something
        back."""
        had_stall = has_stall(known)
        alerts = evaluate(self._rules, known, place, at_ms)
        if has_stall(known) is had_stall:
            return alerts
        for name, camera in sorted(known.cameras().items()):
            if any(is_blocked_by_stalls(cause) for cause in camera.causes):
                alerts += evaluate(self._rules, known, name, at_ms)
        return alerts

    def _faults_assessed(self, known: IncidentsState) -> list[Alert]:
        """Note what is wrong with each service by its own word or silence, or is no more."""
        if self._faults is None:  # not all heartbeats are read yet: what was so is so
            return []
        alerts: list[Alert] = []
        found, at_ms = self._faults.by_service, max(known.clock_ms, self._faults.at_ms)
        for service in sorted({*found, *known.services()}):
            place = service_place(service)
            before = known.camera(place)
            after = service_faults.assessed(before, found.get(service, ()), at_ms)
            if after is not before:
                self._fleet_at_ms = known.clock_ms = at_ms
                known.put_camera(place, after)
                alerts += self._place_evaluated(known, place, at_ms)
        return alerts

    def _until(self, known: IncidentsState, to_ms: int) -> list[Alert]:
        """Do what falls due until *to_ms*, each as of its own moment."""
        alerts: list[Alert] = []
        while (due := known.next_due(to_ms)) is not None:
            due_ms, camera = due
            known.clock_ms = max(known.clock_ms, due_ms)
            if is_camera(camera):
                alerts += evaluate(self._rules, known, camera, known.clock_ms)
            else:
                alerts += self._place_evaluated(known, camera, known.clock_ms)
        known.clock_ms = max(known.clock_ms, to_ms)
        return alerts

    def _counted(self, alerts: list[Alert]) -> list[Alert]:
        for alert in alerts:
            self.events[f"alert_{alert.state}"] += 1
        return alerts


def _noted(camera: CameraState, report: CameraReport, lag_ms: int) -> CameraState:
    """What is known of a camera once it has sent *report*."""
    changed = bool(camera.version) and (report.model, report.version) != (camera.model, camera.version)
    return replace(
        camera,
        at_ms=report.at_ms,
        lag_ms=lag_ms,
        alarms=tuple(report.alarms),
        model=report.model,
        version=report.version,
        version_since_ms=report.version_since_ms,
        version_before=f"{camera.model} {camera.version}" if changed else camera.version_before,
        recent_labels=report.recent_labels,
        recent_errors=report.recent_errors,
        worst_loss=report.worst_loss,
        signals_off=tuple(report.signals_off),
    )
