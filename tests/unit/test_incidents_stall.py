"""A service that stands is one incident of the fleet, and it is over by itself."""

from collections.abc import Sequence

from catseye.contract.records import Alert
from catseye.runtime.progress import ROAD, HopProgress, Progress
from catseye.runtime.stream import Output
from services.incidents.rules import Rules
from services.retrain_trigger.policy import CAMERA_FAULTS, MAY_TRAIN
from tests.simulation.incidents import Incidents, alarm, ms, report

NAMES = [hop.service for hop in ROAD]


class Observed(Incidents):
    """The service, with what it observes of the services before; a second here is one of event time."""

    at_s = 100.0

    def goes_on(self, seconds: int, **standing: float) -> list[Alert]:
        """So many seconds, and since when which services stand, moments in seconds."""
        before = len(self.alerts)
        for _ in range(seconds):
            self.at_s += 1
            self.step(standing, [])
        return self.alerts[before:]

    def step(self, standing: dict[str, float], unknown: Sequence[str], wait_s: float | None = None) -> None:
        hops, until_s = [], self.at_s - 1
        for name in NAMES:
            waited_s = (wait_s or self.at_s - standing[name]) if name in standing else 0.0
            until_s = min(until_s, standing.get(name, until_s))
            hops.append(HopProgress(name, 0 if name in unknown else ms(until_s), round(waited_s * 1_000)))
        self.partition.core.on_progress(Progress(ms(self.at_s), {}, tuple(hops)))
        outputs = self.partition.core.on_time({0: self.partition.state}, ms(self.at_s))
        self.partition.outputs += [Output(*row) for row in outputs]
        self.partition.state_log += self.partition.state.changes()
        self.partition.state.commit()


def test_a_service_that_stands_is_one_alert_of_the_fleet_and_ends_by_itself() -> None:
    """It names the service, since when, and what to do; cameras have none."""
    incidents = Observed()
    incidents.take(report("a", 90), report("b", 90))
    assert incidents.goes_on(10) == []
    (opened,) = incidents.goes_on(40, inference=110)
    assert (opened.kind, opened.state, opened.severity, opened.camera) == (
        "service_stalled",
        "opened",
        "critical",
        None,
    )
    assert (opened.signal, opened.since_ms, opened.opened_at_ms) == ("inference", ms(110), ms(126))
    assert "The first that stands is inference" in opened.explanation
    assert "waited for 16 s, over the limit of 15 s" in opened.explanation
    assert "`infra/stack status`" in opened.explanation
    (over,) = incidents.goes_on(20)
    assert (over.alert_id, over.state, over.resolved_at_ms) == (opened.alert_id, "resolved", ms(161))


def test_however_many_stand_there_is_one_alert_of_the_first() -> None:
    """When that works again and the next still stands, the same alert names that."""
    incidents = Observed()
    (opened,) = incidents.goes_on(60, ingest=100, inference=100, ground_truth=100, drift=100)
    assert (opened.state, opened.signal) == ("opened", "ingest")
    (updated,) = incidents.goes_on(60, ground_truth=120)
    assert (updated.alert_id, updated.state, updated.signal) == (opened.alert_id, "updated", "ground_truth")
    assert updated.since_ms == opened.since_ms
    assert [alert.state for alert in incidents.goes_on(30)] == ["resolved"]


def test_a_short_wait_is_none() -> None:
    """A worker that ended is replaced within the limit."""
    incidents = Observed()
    assert incidents.goes_on(15, inference=100) == []
    assert incidents.goes_on(30) == []
    assert [alert.state for alert in Observed(Rules(stalled_ms=5_000)).goes_on(15, inference=100)] == ["opened"]


def test_it_is_not_over_before_that_is_seen() -> None:
    """A new process of incidents knows nothing at first, and of a service that stands not before it works."""
    incidents = Observed()
    incidents.goes_on(20, inference=100)
    incidents.partition.crash()
    outputs = incidents.partition.core.on_time({0: incidents.partition.state}, ms(121))
    for _ in range(14):
        incidents.at_s += 1
        incidents.step({"inference": incidents.at_s - 1}, unknown=("inference", "ground_truth", "drift"))
    assert (outputs, [alert.state for alert in incidents.alerts]) == ([], ["opened"])
    assert [alert.state for alert in incidents.goes_on(20)] == ["resolved"]


def test_a_service_that_stands_is_no_cameras_fault() -> None:
    """It neither starts a training nor keeps one from starting."""
    assert "service_stalled" not in {*CAMERA_FAULTS, *MAY_TRAIN}


def test_times_are_our_clocks_though_no_camera_was_heard_for_hours() -> None:
    """A process that has just started takes event time from the newest report; the alert opens and ends now."""
    incidents = Observed()
    incidents.take(report("a", -20_000))
    incidents.partition.crash()
    (opened,) = incidents.goes_on(30, drift=100)
    assert (opened.since_ms, opened.opened_at_ms) == (ms(100), ms(116))
    (over,) = incidents.goes_on(20)
    assert (over.state, over.resolved_at_ms) == ("resolved", ms(141))


def test_cameras_behind_a_service_that_stands_are_not_told_to_be_slow() -> None:
    """What waited is predicted late, on each camera, and nothing else was to be expected: the fleet's alert says so."""
    incidents = Observed()
    incidents.take(report("a", 90), report("b", 90))
    incidents.goes_on(40, inference=100)
    slow = [report(camera, 141, alarm("service_slow", 141)) for camera in ("a", "b")]
    assert incidents.take(*slow) == []
    assert [(alert.kind, alert.state) for alert in incidents.goes_on(25)] == [("service_stalled", "resolved")]
    assert incidents.take(report("a", 166), report("b", 166)) == []
    assert incidents.goes_on(60) == []


def test_a_camera_that_is_slow_long_after_a_service_stood_is_reported() -> None:
    """From the end of that alert on it has had the time to catch up."""
    incidents = Observed()
    incidents.take(report("a", 90))
    incidents.goes_on(40, inference=100)
    incidents.take(report("a", 141, alarm("service_slow", 141)))
    alerts = incidents.goes_on(45)
    assert [(alert.kind, alert.state, alert.camera) for alert in alerts] == [
        ("service_stalled", "resolved", None),
        ("service_slow", "opened", "a"),
    ]
    assert alerts[1].opened_at_ms == ms(181)


def test_a_camera_that_was_slow_before_is_kept_quiet_while_a_service_stands() -> None:
    """The record says why, and nobody is told of the camera's fault: it has none."""
    incidents = Observed()
    (opened,) = incidents.take(report("a", 100, alarm("service_slow", 100)))
    assert opened.state == "opened"
    stalled, quiet = incidents.goes_on(30, inference=101)
    assert (stalled.kind, quiet.state, quiet.alert_id) == ("service_stalled", "suppressed", opened.alert_id)
    assert quiet.explanation.startswith("Kept quiet while a service stands, which may be all there is to it. Before: ")
    over, again = incidents.goes_on(15)
    assert (again.state, again.alert_id) == ("updated", opened.alert_id)
    assert (over.kind, over.state) == ("service_stalled", "resolved")


def test_a_stall_is_over_when_what_it_held_up_has_passed_the_last_service() -> None:
    """Not when the service itself has worked that off: drift, which is never behind by much, has yet to read it."""
    incidents = Observed()
    incidents.take(report("a", 90))
    incidents.goes_on(40, inference=100)
    for _ in range(30):
        incidents.at_s += 1
        incidents.step({"drift": incidents.at_s - 16}, [], wait_s=1)
    assert [alert.state for alert in incidents.alerts] == ["opened"]
    assert [alert.state for alert in incidents.goes_on(20)] == ["resolved"]
