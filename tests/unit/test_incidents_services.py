"""What is down or refuses what it is told is one incident of that service and kind, and is over by itself."""

import pytest

from catseye.cli.alerts import _where
from catseye.contract.records import Alert, AlertAction
from catseye.runtime.progress import ROAD, HopProgress, Progress
from catseye.runtime.stream import Output
from services.retrain_trigger.policy import CAMERA_FAULTS, MAY_TRAIN
from tests.simulation.incidents import Incidents, alarm, asked, ms, report
from tests.simulation.processes import START_MS, Processes, refused

ALL = ("ingest-0", "inference-0", "drift-0")


class Told(Incidents):
    """The service, with the processes whose heartbeats it hears; a second there is one of its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.processes = Processes(*ALL)

    def goes_on(self, seconds: int) -> list[Alert]:
        """So many seconds, and what is written in them."""
        before = len(self.alerts)
        for _ in range(seconds):
            self.processes.wait(1)
            self.partition.core.on_faults(self.processes.found)
            self.step()
        return self.alerts[before:]

    def step(self) -> None:
        now_ms = self.processes.now_ms
        outputs = self.partition.core.on_time({0: self.partition.state}, now_ms)
        self.partition.outputs += [Output(*row) for row in outputs]
        self.partition.state_log += self.partition.state.changes()
        self.partition.state.commit()


def test_a_service_that_is_down_is_one_alert_and_ends_by_itself() -> None:
    """It names the service, since when, what is known of its end and what to do; a restart is none."""
    incidents = Told()
    incidents.take(report("a", 0))
    incidents.goes_on(60)
    incidents.processes.kill("inference-0")
    assert incidents.goes_on(19) == []
    incidents.processes.start("inference-0")
    assert incidents.goes_on(60) == []
    incidents.processes.kill("inference-0")
    (opened,) = incidents.goes_on(120)
    assert (opened.kind, opened.state, opened.severity, opened.camera, opened.signal) == (
        "service_down",
        "opened",
        "critical",
        None,
        "inference",
    )
    assert (opened.since_ms, opened.cameras, opened.group) == (START_MS + 138_000, [], None)
    assert opened.explanation.startswith("Since 2027-01-15 08:02:18 UTC service inference is down: what it reads waits")
    assert "No sign of life from inference (inference-0 on here): it wrote nothing at its end" in opened.explanation
    assert "1970" not in opened.explanation
    assert _where(opened) == "inference"
    incidents.processes.start("inference-0")
    (over,) = incidents.goes_on(30)
    assert (over.alert_id, over.state) == (opened.alert_id, "resolved")


def test_each_service_and_kind_has_its_own() -> None:
    """Two that are down and one that refuses a model; all end alone."""
    incidents = Told()
    incidents.processes.kill("drift-0")
    incidents.processes.kill("ingest-0")
    incidents.processes.has("inference-0", refused("2"))
    opened = incidents.goes_on(60)
    assert sorted((alert.kind, alert.signal, alert.state) for alert in opened) == [
        ("model_refused", "inference", "opened"),
        ("service_down", "drift", "opened"),
        ("service_down", "ingest", "opened"),
    ]
    assert len({alert.incident_id for alert in opened}) == 3
    incidents.processes.start("drift-0")
    assert [(alert.signal, alert.state) for alert in incidents.goes_on(60)] == [("drift", "resolved")]


def test_a_model_that_is_refused_is_named_with_the_reason() -> None:
    """Name and version are the alert's; a second one is told by the same alert; over when none is refused."""
    incidents = Told()
    incidents.processes.has("inference-0", refused("2"))
    (opened,) = incidents.goes_on(5)
    assert (opened.kind, opened.model, opened.version) == ("model_refused", "road", "2")
    assert "road 2: its signature is not ours" in opened.explanation
    assert "`catseye models rollback` where it is the champion" in opened.explanation
    incidents.processes.has("inference-0", refused("2"), refused("3", "it mixes its batch"))
    (updated,) = incidents.goes_on(60)
    assert (updated.alert_id, updated.state, updated.version) == (opened.alert_id, "updated", "3")
    assert "road 3: it mixes its batch" in updated.explanation
    incidents.processes.has("inference-0")
    (over,) = incidents.goes_on(60)
    assert (over.state, over.model, over.version) == ("resolved", "road", "3")


def test_nothing_is_over_before_that_is_known() -> None:
    """A new process of incidents that has not read the heartbeats yet leaves all as it was; one that has goes on."""
    incidents = Told()
    incidents.processes.kill("drift-0")
    (opened,) = incidents.goes_on(60)
    incidents.partition.crash()
    for _ in range(60):
        incidents.processes.wait(1)
        incidents.step()
    assert incidents.alerts == [opened]
    assert incidents.goes_on(60) == []
    incidents.processes.start("drift-0")
    assert [alert.state for alert in incidents.goes_on(5)] == []
    incidents.partition.crash()
    assert [alert.state for alert in incidents.goes_on(30)] == ["resolved"]


def test_a_kind_of_a_newer_build_is_left_out() -> None:
    """And what is known besides is not."""
    incidents = Told()
    newer = refused("2")
    newer = type(newer)(kind="service_upside_down", subject="", detail="new", since_ms=1)
    incidents.processes.has("inference-0", newer, refused("2"))
    assert [alert.kind for alert in incidents.goes_on(10)] == ["model_refused"]


class ToldBoth(Told):
    """It observes too that records wait for services, a moment each in seconds since the start."""

    def __init__(self) -> None:
        super().__init__()
        self.waits_since: dict[str, int] = {}

    def step(self) -> None:
        now_s = self.processes.now_s
        since = {hop.service: self.waits_since.get(hop.service, now_s) for hop in ROAD}
        hops = [HopProgress(name, ms(at_s), (now_s - at_s) * 1_000) for name, at_s in since.items()]
        self.partition.core.on_progress(Progress(ms(now_s), {}, tuple(hops)))
        super().step()


@pytest.mark.parametrize("lets_wait_after_s", [0, 25])
def test_a_service_that_is_down_and_lets_records_wait_is_one_incident(lets_wait_after_s: int) -> None:
    """Whichever is told first; another service that is down is another one."""
    incidents = ToldBoth()
    incidents.goes_on(60)
    incidents.processes.kill("ingest-0")
    incidents.processes.kill("drift-0")
    incidents.goes_on(lets_wait_after_s)
    incidents.waits_since = {"ingest": 60 + lets_wait_after_s}
    opened = incidents.goes_on(60)
    of_ingest = [alert for alert in opened if alert.signal == "ingest"]
    order = ["service_stalled", "service_down"]
    assert [alert.kind for alert in of_ingest] == (order if not lets_wait_after_s else order[::-1])
    assert {alert.incident_id for alert in of_ingest} == {of_ingest[0].alert_id}
    (of_drift,) = [alert for alert in opened if alert.signal == "drift"]
    assert of_drift.incident_id == of_drift.alert_id
    incidents.processes.start("ingest-0")
    incidents.waits_since = {}
    over = incidents.goes_on(60)
    assert {(alert.kind, alert.state, alert.incident_id) for alert in over} == {
        (kind, "resolved", of_ingest[0].alert_id) for kind in order
    }


def test_people_command_it_as_any_other() -> None:
    """Acknowledged while it is open; a command after its end has that as its answer."""
    incidents = Told()
    incidents.processes.kill("drift-0")
    (opened,) = incidents.goes_on(60)
    action: AlertAction = "acknowledge"
    (seen,) = incidents.ask(asked(opened, action, by="somebody"))
    assert (seen.state, seen.acknowledged_by) == ("acknowledged", "somebody")
    incidents.processes.start("drift-0")
    (over,) = incidents.goes_on(30)
    (again,) = incidents.ask(asked(over, "suppress", by="somebody"))
    assert (again.alert_id, again.state, again.revision) == (over.alert_id, "resolved", over.revision + 1)


def test_a_camera_is_not_slow_while_a_service_on_its_road_is_down() -> None:
    """It is once that alert is over, if it still is then; a service beside the road holds nothing up."""
    for service, held in (("inference", True), ("trainer", False)):
        incidents = Told()
        incidents.processes.start(f"{service}-1")
        incidents.processes.kill(f"{service}-1")
        (down,) = incidents.goes_on(60)
        slow = incidents.take(report("a", 61, alarm("service_slow", 61)))
        assert [alert.kind for alert in slow] == ([] if held else ["service_slow"])
        incidents.processes.start(f"{service}-1")
        then = {(alert.kind, alert.state) for alert in incidents.goes_on(60)}
        assert then == {(down.kind, "resolved"), *([("service_slow", "opened")] if held else [])}


def test_it_is_no_cameras_fault_and_starts_no_training() -> None:
    """Nor does a camera's report change it."""
    assert not {"service_down", "model_refused", "topics_mismatch"} & {*CAMERA_FAULTS, *MAY_TRAIN}
    incidents = Told()
    incidents.processes.kill("drift-0")
    incidents.goes_on(60)
    assert incidents.take(report("a", 70), report("b", 80), report("a", 90)) == []
    assert ms(0) == START_MS
