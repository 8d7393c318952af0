"""Incidents: what is raised has one alert, of the right kind, and the alert has a lifecycle."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.alert_kinds import cause_of
from catseye.contract.errors import Reason
from catseye.contract.identity import digest
from catseye.contract.records import Alarm, Alert, DeadLetter
from services.incidents import NAME
from services.incidents.rules import Rules
from tests.simulation.incidents import CODEC, Incidents, alarm, message, ms, report, rolled_back

INPUT, PREDICTIONS, ACCURACY = (alarm(kind, 0) for kind in ("input", "predictions", "accuracy"))
FROZEN = alarm("camera_frozen", 0)
NEVER_AGAIN = Rules(reopen_ms=0)
"""What is over is over: whatever comes back is another alert."""


def summaries(alerts: list[Alert]) -> list[tuple[str | None, str, str]]:
    """Camera, kind and state of each."""
    return [(alert.camera, alert.kind, alert.state) for alert in alerts]


def opened(*alarms: Alarm, rules: Rules | None = None, **changes: Any) -> tuple[Incidents, Alert]:
    """A service that has opened one alert for what is wrong with camera a since moment 0."""
    incidents = Incidents(rules)
    incidents.take(report("a", -60), report("a", 0, *alarms, **changes), report("z", 5))
    (alert,) = incidents.alerts
    assert alert.state == "opened"
    return incidents, alert


@pytest.mark.parametrize(
    ("alarms", "kind", "severity"),
    [
        ([INPUT], "input", "warning"),
        ([INPUT, PREDICTIONS], "input", "warning"),
        ([INPUT, PREDICTIONS, ACCURACY], "input", "critical"),
        ([PREDICTIONS], "class_mix", "info"),
        ([PREDICTIONS, ACCURACY], "class_mix", "critical"),
        ([ACCURACY], "concept", "critical"),
        ([alarm("telemetry", 0)], "telemetry", "info"),
        ([alarm("labels_missing", 0)], "labels_missing", "warning"),
        ([alarm("service_slow", 0)], "service_slow", "warning"),
        ([alarm("accuracy_floor", 0)], "accuracy_floor", "critical"),
        ([alarm("camera_dead_letters", 0)], "camera_dead_letters", "warning"),
        ([alarm("camera_silent", 0)], "camera_silent", "critical"),
        ([FROZEN, alarm("camera_black", 0), alarm("camera_blurred", 0)], "camera_black", "critical"),
    ],
)
def test_alarms_together_mean_one_thing(alarms: list[Alarm], kind: str, severity: str) -> None:
    """In the order of explanation; the alert is of its camera and says when it began."""
    _, alert = opened(*alarms)
    assert (alert.kind, alert.severity, alert.camera, alert.cameras) == (kind, severity, "a", ["a"])
    assert (alert.revision, alert.by, alert.group, alert.since_ms) == (0, NAME, None, ms(-1))
    assert (
        alert.incident_id == alert.alert_id == digest("alert", "a", cause_of(kind), min(each.cause for each in alarms))
    )
    assert alert.explanation.startswith("Since 2027-01-15 07:59:59 UTC camera a ")


def test_an_explanation_names_the_signals_that_are_off() -> None:
    """Where statistics explain the alert: that nothing is to be seen on pictures means less then."""
    off = ["embedding", "telemetry.voltage"]
    words = "Not watched, since the camera learned no number of them: embedding, telemetry.voltage."
    assert words in opened(INPUT, signals_off=off)[1].explanation
    assert "Not watched" not in opened(INPUT)[1].explanation
    assert "Not watched" not in opened(alarm("labels_missing", 0), signals_off=off)[1].explanation


def test_what_is_not_known_is_left_out_of_an_explanation() -> None:
    """A camera that never had a frame accepted has no model and no time since when one serves: no zero of 1970."""
    dead = alarm("camera_dead_letters", 0, signal="jpeg_too_large")
    for alert in (
        opened(dead, model="", version="", version_since_ms=0)[1],
        opened(alarm("camera_dead_letters", 0, since_ms=0), version_since_ms=0)[1],
        opened(INPUT, version_since_ms=0)[1],
    ):
        assert "1970" not in alert.explanation
    explanation = opened(dead, model="", version="", version_since_ms=0)[1].explanation
    assert explanation == (
        "Since 2027-01-15 07:59:59 UTC camera a sends frames that are refused. Most are refused as jpeg_too_large "
        "(raised 2027-01-15 08:00:00 UTC). See `catseye dead list` for the reasons."
    )
    assert "Model vehicles v1 serves here. " in opened(INPUT, version_since_ms=0)[1].explanation
    assert "Model vehicles v1 serves here since 20" in opened(INPUT)[1].explanation
    assert opened(alarm("labels_missing", 0, since_ms=0))[1].explanation.startswith("Camera a gets no labels")


@pytest.mark.parametrize(("errors", "kind"), [(9.0, "class_mix"), (11.0, "concept")])
def test_a_changed_mix_explains_no_more_than_the_worst_class(errors: float, kind: str) -> None:
    """Of a class of which one in ten is missed a mix can make no worse than that."""
    labels: dict[str, Any] = {"recent_labels": 100.0, "recent_errors": errors, "worst_loss": 0.1}
    incidents, alert = opened(PREDICTIONS, ACCURACY, **labels)
    assert alert.kind == kind
    assert incidents.take(report("a", 8, PREDICTIONS, ACCURACY, **labels | {"recent_errors": 9.0})) == []
    assert opened(PREDICTIONS, **labels)[1].kind == "class_mix"


def test_a_new_version_explains_what_began_after_it() -> None:
    """Within an hour, when the pictures did not move; a version that was always there explains nothing."""
    new: dict[str, Any] = {"version": "v2", "version_since_ms": ms(-30)}
    incidents, alert = opened(ACCURACY, PREDICTIONS, **new)
    assert (alert.kind, alert.severity, alert.version) == ("model_version", "critical", "v2")
    assert "before, it was vehicles v1" in alert.explanation
    # An input that moves later explains it better.
    (updated,) = incidents.take(report("a", 8, ACCURACY, PREDICTIONS, alarm("input", 8), **new))
    assert (updated.kind, updated.state, updated.alert_id, updated.revision) == ("input", "updated", alert.alert_id, 1)
    assert opened(INPUT, ACCURACY, **new)[1].kind == "input"
    assert opened(ACCURACY, version="v2", version_since_ms=ms(-3_602))[1].kind == "concept"
    assert opened(ACCURACY, version="v2", version_since_ms=ms(-0.5))[1].kind == "model_version"
    assert opened(ACCURACY, version="v2", version_since_ms=ms(20))[1].kind == "concept"
    assert opened(ACCURACY)[1].kind == "concept"


def test_a_version_stays_to_blame_once_it_is() -> None:
    """Though the next one comes while the alert is open."""
    incidents, _ = opened(ACCURACY, version="v2", version_since_ms=ms(-30))
    assert incidents.take(report("a", 10, ACCURACY, version="v3", version_since_ms=ms(9))) == []
    (updated,) = incidents.take(report("a", 40, ACCURACY, version="v3", version_since_ms=ms(9)))
    assert (updated.kind, updated.state, updated.version) == ("model_version", "updated", "v3")


def test_an_alert_waits_for_the_other_families() -> None:
    """Alarms that arrive one after the other open one alert, of the right kind at once, as of when it was due."""
    incidents = Incidents()
    assert incidents.take(report("a", 0, ACCURACY), report("a", 2, ACCURACY, alarm("input", 2)), report("b", 4.9)) == []
    (alert,) = incidents.take(report("b", 60))
    assert (alert.kind, alert.severity, alert.opened_at_ms) == ("input", "critical", ms(5))
    assert alert.alert_id == digest("alert", "a", "drift", ACCURACY.cause)


def test_a_later_family_changes_the_kind_and_a_cleared_one_does_not() -> None:
    """The alert stays the same; what goes while another stays does not turn the explanation round."""
    incidents, alert = opened(ACCURACY)
    (updated,) = incidents.take(report("a", 9, ACCURACY, alarm("input", 9)))
    assert (updated.alert_id, updated.kind, updated.state) == (alert.alert_id, "input", "updated")
    assert incidents.take(report("a", 20, ACCURACY)) == []
    (later,) = incidents.take(report("a", 39, ACCURACY))
    assert (later.kind, later.state, later.revision) == ("input", "updated", 2)
    assert "By now its pictures are as before" in later.explanation


def test_pictures_that_follow_a_mix_are_explained_by_it() -> None:
    """Other classes make other pictures in the end; unless answers are worse than the mix explains."""
    worse: dict[str, Any] = {"recent_labels": 100.0, "recent_errors": 11.0, "worst_loss": 0.1}
    incidents, _ = opened(PREDICTIONS)
    assert incidents.take(report("a", 9, PREDICTIONS, alarm("input", 9))) == []
    (later,) = incidents.take(report("a", 60, PREDICTIONS, alarm("input", 9)))
    assert later.kind == "class_mix"
    assert "sees another mix of classes, and its pictures moved after that" in later.explanation
    incidents, _ = opened(PREDICTIONS)
    (road,) = incidents.take(report("a", 9, PREDICTIONS, ACCURACY, alarm("input", 9), **worse))
    assert road.kind == "input"
    slow = alarm("predictions", 0, since_ms=ms(-60))
    assert opened(PREDICTIONS, alarm("input", 2.9))[1].kind == opened(slow, alarm("input", 4))[1].kind == "input"
    assert opened(PREDICTIONS, alarm("input", 3))[1].kind == "class_mix"
    at_once = alarm("predictions", 0, since_ms=ms(0))
    assert opened(at_once, alarm("input", 3, since_ms=ms(3)))[1].kind == "input"


def test_what_does_not_last_opens_nothing() -> None:
    """An alarm that goes before it has settled was none."""
    incidents = Incidents()
    assert incidents.take(report("a", 0, INPUT), report("a", 4), report("a", 60)) == []


def test_time_passes_while_no_report_comes() -> None:
    """A fleet of one camera opens and resolves as well; the moment is the one at which it was due."""
    incidents = Incidents()
    assert incidents.wait(10) == []
    incidents.take(report("a", 0, INPUT))
    (alert,) = incidents.wait(6)
    assert (alert.state, alert.opened_at_ms) == ("opened", ms(5))
    incidents.take(report("a", 20))
    (over,) = incidents.wait(11)
    assert (over.state, over.resolved_at_ms) == ("resolved", ms(30))


def test_an_alert_ends_when_all_behind_it_has_been_well_for_a_while() -> None:
    """What comes back in time is not worth a word; the end is a record."""
    incidents, alert = opened(INPUT)
    assert incidents.take(report("a", 20), report("a", 29, INPUT), report("a", 40)) == []
    (over,) = incidents.take(report("b", 50))
    assert (over.alert_id, over.state, over.revision, over.resolved_at_ms) == (alert.alert_id, "resolved", 1, ms(50))
    assert over.explanation.startswith("Over since 2027-01-15 08:00:50 UTC, after 45 s. It was: Since ")
    assert incidents.take(report("a", 60), report("a", 200)) == []


@pytest.mark.parametrize(("end_s", "expected"), [(20, "15 s"), (1_000, "17 min"), (20_000, "5.6 h")])
def test_the_end_states_how_long_it_lasted(end_s: float, expected: str) -> None:
    """In seconds, minutes or hours."""
    incidents, _ = opened(INPUT)
    (over,) = incidents.take(report("a", end_s - 10), report("a", end_s))
    assert f"after {expected}." in over.explanation


def test_another_cause_is_another_alert_and_the_same_cause_the_same() -> None:
    """Ids are made of causes; one that comes back goes on counting its records."""
    incidents, first = opened(INPUT, rules=NEVER_AGAIN)
    incidents.take(report("a", 20), report("a", 30))
    again = alarm("input", 40)
    (second,) = incidents.take(report("a", 40, again), report("b", 45))
    assert (second.alert_id, second.incident_id) == (digest("alert", "a", "drift", again.cause), first.alert_id)
    incidents.take(report("a", 50), report("a", 60))
    (third,) = incidents.take(report("a", 70, INPUT), report("b", 75))
    assert (third.alert_id, third.state, third.revision) == (first.alert_id, "opened", 2)


def test_a_report_seen_twice_or_late_changes_nothing() -> None:
    """The newest report of a camera holds."""
    incidents = Incidents()
    first, second = report("a", 0, FROZEN), report("a", 3, FROZEN, INPUT)
    assert summaries(incidents.take(first)) == [("a", "camera_frozen", "opened")]
    assert incidents.take(first, second, first, report("a", 1), second) == []


# -- faults


def test_a_fault_silences_what_follows_of_it() -> None:
    """Statistical alarms are mentioned in the fault's alert, and open one only if they outlast it by a while."""
    incidents = Incidents()
    (fault,) = incidents.take(report("a", 0, FROZEN, INPUT, alarm("labels_missing", 0), alarm("telemetry", 0)))
    assert "raised now: input, labels_missing" in fault.explanation
    assert "Raised besides: telemetry" in fault.explanation
    assert summaries(incidents.take(report("a", 10, INPUT))) == [("a", "telemetry", "opened")]
    assert summaries(incidents.take(report("a", 20, INPUT))) == [
        ("a", "camera_frozen", "resolved"),
        ("a", "telemetry", "resolved"),
    ]
    assert summaries(incidents.take(report("a", 21, INPUT), report("b", 49))) == []
    assert summaries(incidents.take(report("b", 51))) == [("a", "input", "opened")]


def test_a_fault_that_comes_shortly_after_is_the_explanation() -> None:
    """The time to settle covers that."""
    incidents = Incidents()
    assert incidents.take(report("a", 0, INPUT)) == []
    assert summaries(incidents.take(report("a", 2, INPUT, FROZEN), report("b", 60))) == [
        ("a", "camera_frozen", "opened")
    ]


def test_an_open_alert_is_quiet_while_the_camera_has_a_fault() -> None:
    """It is set to suppressed and comes back when the fault is over."""
    incidents, alert = opened(INPUT)
    fault, quiet = incidents.take(report("a", 10, INPUT, FROZEN))
    assert summaries([fault, quiet]) == [("a", "camera_frozen", "opened"), ("a", "input", "suppressed")]
    assert quiet.explanation.startswith("Kept quiet while the camera has a fault")
    over, back = incidents.take(report("a", 20, INPUT), report("a", 30, INPUT))
    assert summaries([over, back]) == [("a", "camera_frozen", "resolved"), ("a", "input", "updated")]
    assert (back.alert_id, back.revision, back.opened_at_ms) == (alert.alert_id, 2, alert.opened_at_ms)


def test_a_quiet_alert_ends_during_the_fault() -> None:
    """Its alarms are gone: it resolves all the same."""
    incidents, _ = opened(INPUT)
    incidents.take(report("a", 10, INPUT, FROZEN))
    assert summaries(incidents.take(report("a", 20, FROZEN), report("a", 31, FROZEN))) == [("a", "input", "resolved")]


def test_a_plainer_fault_of_the_picture_changes_the_kind() -> None:
    """A black picture is frozen too: one alert, by the plainest name."""
    incidents, alert = opened(FROZEN)
    (updated,) = incidents.take(report("a", 10, FROZEN, alarm("camera_black", 10)))
    assert (updated.alert_id, updated.kind) == (alert.alert_id, "camera_black")
    assert "So the camera also sends the same picture again and again" in updated.explanation


# -- updates


def test_updates_are_seldom_unless_they_matter() -> None:
    """Numbers alone say nothing, another signal says so after a while, another severity at once."""
    incidents, _ = opened(INPUT)
    assert incidents.take(report("a", 60, replace(INPUT, estimate=0.1))) == []
    other = replace(INPUT, signal="brightness")
    assert summaries(incidents.take(report("a", 61, other))) == [("a", "input", "updated")]
    assert incidents.take(report("a", 70, INPUT)) == []
    (due,) = incidents.take(report("b", 100))
    assert (due.signal, due.updated_at_ms) == ("sharpness", ms(91))
    (floor, worse) = incidents.take(report("a", 101, INPUT, alarm("accuracy_floor", 101)))
    assert (floor.kind, worse.kind, worse.severity, worse.state) == ("accuracy_floor", "input", "critical", "updated")


def test_the_strongest_alarm_of_a_kind_is_shown() -> None:
    """Evidence counts against its threshold; without a threshold as it is."""
    weak, strong = replace(INPUT, signal="contrast", evidence=90, threshold=80), replace(INPUT, evidence=5, threshold=1)
    assert opened(weak, strong)[1].signal == opened(strong, weak)[1].signal == "sharpness"
    assert opened(strong, replace(INPUT, signal="contrast", evidence=6, threshold=0))[1].signal == "contrast"


# -- groups


def test_cameras_of_a_group_are_one_incident() -> None:
    """Each keeps its alert; the first one's names them all, at most once a second."""
    incidents, first = opened(INPUT)
    second, named = incidents.take(report("b", 10, INPUT), report("z", 15))
    assert (second.incident_id, second.cameras, second.group) == (first.alert_id, ["a", "b"], "fleet")
    assert second.alert_id != first.alert_id
    assert (named.alert_id, named.state, named.cameras) == (first.alert_id, "updated", ["a", "b"])
    assert "on a, b of group fleet" in named.explanation
    incidents.take(*[report(name, 20, INPUT) for name in "cdefg"])
    later = incidents.take(report("z", 30))
    assert [alert.camera for alert in later] == ["c", "a", "d", "e", "f", "g", "a"]
    assert later[-1].cameras == list("abcdefg")
    assert "on a, b, c, d, e and 2 more cameras" in later[-1].explanation


CROWD = [f"c{number:02}" for number in range(60)]


def crowd() -> Incidents:
    """A service with one incident of sixty cameras."""
    incidents = Incidents()
    incidents.take(*[report(name, 0, FROZEN) for name in CROWD])
    return incidents


def test_an_alert_of_a_large_incident_names_some_cameras_and_counts_all() -> None:
    """The first fifty, its own always among them; the others are found by the incident that all alerts name."""
    incidents = crowd()
    first, *_, last = incidents.alerts
    assert {alert.incident_id for alert in incidents.alerts} == {first.alert_id}
    assert sorted({alert.camera for alert in incidents.alerts if alert.camera}) == CROWD
    assert all(len(alert.cameras) <= 50 and alert.camera in alert.cameras for alert in incidents.alerts)
    assert last.cameras == [*CROWD[:49], "c59"]
    all_of_them = (
        "on c00, c01, c02, c03, c04 and 55 more cameras of group fleet, 60 in all, of which this alert names 50: "
    )
    assert all_of_them in last.explanation
    by_camera = {alert.camera: alert for alert in incidents.alerts}
    assert by_camera["c49"].cameras == CROWD[:50]
    assert "45 more cameras of group fleet: " in by_camera["c49"].explanation
    (named,) = incidents.take(report("z", 5))
    assert (named.alert_id, named.state, named.cameras) == (first.alert_id, "updated", CROWD[:50])
    assert all_of_them in named.explanation
    assert incidents.take(report("z", 60)) == []
    incidents.partition.crash()
    assert incidents.take(report("z", 70)) == []
    late, counted = incidents.take(report("late", 80, FROZEN), report("z", 80))
    assert (late.camera, counted.camera, counted.cameras) == ("late", "c00", CROWD[:50])
    assert ", 61 in all, of which this alert names 50: " in counted.explanation


def test_a_camera_of_a_large_incident_is_counted_once() -> None:
    """Though its fault comes back within the hour, named or not; the next incident counts anew."""
    incidents = crowd()
    incidents.take(report("z", 5))
    incidents.partition.crash()
    for name in ("c01", "c59"):
        over, again = incidents.take(report(name, 20), report(name, 30), report(name, 40, alarm("camera_frozen", 40)))
        assert (over.state, again.state, again.incident_id) == ("resolved", "opened", incidents.alerts[0].alert_id)
        assert ", 60 in all" in again.explanation
    assert incidents.take(report("z", 60)) == []
    incidents.take(report("c58", 70), report("c58", 80))
    anew = incidents.take(*[report(name, 4_000, alarm("camera_frozen", 4_000)) for name in ("c58", "new")])
    assert [(alert.cameras, alert.incident_id == anew[0].alert_id) for alert in anew] == [
        (["c58"], True),
        (["c58", "new"], True),
    ]


def test_an_alert_that_outlives_its_incident_keeps_its_count() -> None:
    """Its group has another one of the kind by then."""
    incidents = crowd()
    incidents.take(report("z", 5), report("new", 4_000, alarm("camera_frozen", 4_000)))
    over = [incidents.take(report(name, 4_010), report(name, 4_020))[-1] for name in ("c00", "c59")]
    black = [alarm("camera_blurred", 4_010), FROZEN]
    (later,) = incidents.take(report("c58", 4_030, *black), report("c58", 4_100, *black))
    assert [alert.cameras for alert in over] == [CROWD[:50], [*CROWD[:49], "c59"]]
    assert (later.cameras, ", 59 in all, of which" in later.explanation) == ([*CROWD[:49], "c58"], True)


def test_an_alert_names_its_own_camera_whatever_its_incident_is_now() -> None:
    """The cause that opened an incident opens the next one too, by the same id, while an alert of the first lasts."""
    incidents = Incidents()
    incidents.take(report("a", 0, FROZEN), report("b", 0, FROZEN), report("a", 10), report("a", 20))
    (next_one,) = incidents.take(report("a", 4_000, FROZEN))
    (later,) = incidents.take(report("b", 4_010, FROZEN, alarm("telemetry", 4_010)))
    assert (next_one.cameras, later.incident_id) == (["a"], next_one.incident_id)
    assert (later.camera, later.cameras) == ("b", ["a", "b"])
    assert "on a, b of group fleet: " in later.explanation


def test_cameras_that_fall_silent_together_point_at_what_they_share() -> None:
    """One that falls silent is looked at itself."""
    incidents = Incidents()
    silent = alarm("camera_silent", 0)
    alone, other = incidents.take(report("a", 0, silent), report("b", 0, silent))
    assert alone.explanation.endswith(". Check power, network and publisher of the camera.")
    assert other.explanation.endswith(
        ". Check first the network and the service that takes their frames: that they failed is likelier than that "
        "each of these cameras did. Then check power, network and publisher of the camera."
    )


def test_what_is_advised_can_be_done() -> None:
    """No command learns a reference anew: the next version of the model does."""
    _, alert = opened(alarm("camera_moved", 0))
    assert alert.explanation.endswith(
        ". Turn the camera back; if it is to stay so, its reference is learned anew with the next version of the model "
        "that serves this camera."
    )


def test_another_kind_and_a_later_hour_are_other_incidents() -> None:
    """And an alert whose kind changes goes over to the incident of its new kind."""
    incidents, first = opened(INPUT)
    (alone,) = incidents.take(report("b", 10, ACCURACY), report("z", 15))
    assert alone.incident_id == alone.alert_id
    over = incidents.take(report("b", 20, ACCURACY, alarm("input", 20)))[0]
    assert (over.alert_id, over.incident_id, over.cameras) == (alone.alert_id, first.alert_id, ["a", "b"])
    incidents.take(report("c", 4_000, INPUT))
    late = incidents.take(report("z", 4_010))
    assert [(alert.camera, alert.incident_id == alert.alert_id) for alert in late if alert.state == "opened"] == [
        ("c", True)
    ]
    # The group has another incident by now: the older one names no further cameras.
    (worse,) = incidents.take(report("b", 4_020, PREDICTIONS, INPUT, ACCURACY))
    assert (worse.incident_id, worse.cameras) == (first.alert_id, ["a", "b"])


def test_a_pattern_names_the_groups() -> None:
    """A camera that it does not match is by itself."""
    incidents = Incidents(Rules(group_pattern=re.compile(r"^(\w+)-")))
    cameras = ("north-1", "south-1", "alone", "north-2", "lonely")
    incidents.take(*[report(camera, 0, FROZEN) for camera in cameras])
    assert {alert.camera: (alert.group, alert.cameras) for alert in incidents.alerts if alert.revision == 0} == {
        "north-1": (None, ["north-1"]),
        "south-1": (None, ["south-1"]),
        "alone": (None, ["alone"]),
        "north-2": ("north", ["north-1", "north-2"]),
        "lonely": (None, ["lonely"]),
    }


# -- the fleet


def test_the_fleet_has_a_floor_of_its_own() -> None:
    """Opened when 95 % sure and labels suffice, resolved when the number itself is back."""
    incidents = Incidents(NEVER_AGAIN)
    assert incidents.take(report("a", 0, recent_labels=99, recent_errors=99)) == []
    assert incidents.take(report("b", 0.5, recent_labels=50, recent_errors=50)) == []  # looked at once a second
    (alert,) = incidents.take(report("b", 1, recent_labels=51, recent_errors=26))
    assert (alert.camera, alert.kind, alert.severity, alert.cameras) == (None, "accuracy_floor", "critical", [])
    assert (alert.estimate, alert.threshold, alert.incident_id) == (25 / 150, 0.40, alert.alert_id)
    assert alert.explanation.startswith("Since 2027-01-15 08:00:01 UTC the whole fleet ")
    # Too few labels, then 39 % of enough: what was so holds. Then 56 % for ten seconds.
    assert incidents.take(report("a", 3, recent_labels=10, recent_errors=5)) == []
    assert incidents.take(report("a", 20, recent_labels=99, recent_errors=65)) == []
    assert incidents.take(report("a", 30, recent_labels=99, recent_errors=40)) == []
    (over,) = incidents.take(report("a", 35, recent_labels=99, recent_errors=65), report("z", 40))
    assert (over.alert_id, over.state, over.resolved_at_ms) == (alert.alert_id, "resolved", ms(40))
    (again,) = incidents.take(report("a", 50, recent_labels=99, recent_errors=99))
    assert (again.state, again.alert_id == alert.alert_id) == ("opened", False)


def test_a_fleet_that_may_be_right_often_enough_is_left_alone() -> None:
    """39 of 100 right is no proof of less than 40 %."""
    assert Incidents().take(report("a", 0, recent_labels=100, recent_errors=61)) == []


# -- bad records


@pytest.mark.parametrize("topic", ["drift.reports", "alert.commands", "models"])
def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(topic: str) -> None:
    """A dead letter with its reason."""
    incidents = Incidents()
    incidents.batch([message(b"rubbish", topic), message(report("a", 0, FROZEN))])
    letter, alert = incidents.partition.outputs
    assert CODEC.decode(letter.value, DeadLetter).reason == Reason.UNKNOWN_FORMAT
    assert (letter.topic, letter.key) == ("dead-letters", f"{topic}-0".encode())
    assert (alert.topic, alert.partition, alert.key) == (
        "alerts",
        0,
        digest("alert", "a", "picture", FROZEN.cause).encode(),
    )


def test_what_happened_is_counted() -> None:
    """By event, for metrics."""
    incidents = Incidents()
    core, known = incidents.partition.core, incidents.partition.state
    core.on_batch([message(report("a", 0, FROZEN)), message(report("a", 0, FROZEN))], {0: known}, 0)
    assert core.counted() == {"report": 1, "report_repeated": 1, "alert_opened": 1}


def test_a_camera_that_is_behind_keeps_its_own_time() -> None:
    """Its report comes late: its alert waits for others all the same, and bears the time of its own frames."""
    incidents = Incidents()
    assert incidents.take(report("z", 60), report("a", 0, INPUT), report("z", 64)) == []
    (alert,) = incidents.take(report("z", 66))
    assert (alert.opened_at_ms, alert.updated_at_ms) == (ms(5), ms(5))
    # Its next report is nearer to the others: what waits is due the sooner.
    incidents.take(report("z", 90), report("b", 71, INPUT))
    assert incidents.take(report("z", 92), report("b", 75, INPUT)) == []
    due = incidents.take(report("z", 93.5))
    assert [(each.camera, each.updated_at_ms) for each in due if each.camera == "b"] == [("b", ms(76))]
    incidents, _ = opened(INPUT)
    incidents.take(report("z", 60))
    (over,) = incidents.take(report("a", 10), report("z", 80))
    assert (over.state, over.resolved_at_ms) == ("resolved", ms(20))


# -- rollbacks


def test_a_rollback_is_reported_and_over_at_once() -> None:
    """Opened and resolved, under an id made of rollout's event; nothing of it is kept."""
    incidents = Incidents()
    opened, over = incidents.take(rolled_back())
    assert opened.alert_id == opened.incident_id == digest("alert", "rollout", "e" * 32)
    assert [(each.state, each.revision, each.by) for each in (opened, over)] == [
        ("opened", 0, NAME),
        ("resolved", 1, NAME),
    ]
    assert (opened.kind, opened.version, opened.since_ms, over.resolved_at_ms) == ("model_version", "B", ms(0), ms(60))
    assert opened.explanation == (
        "Version B of vehicles was worse than A, which is champion again after 60 s: on 7 labelled frames B is worse."
    )
    assert incidents.partition.state_log == []


@pytest.mark.parametrize(
    ("of", "label", "camera"), [("class/car", "car", None), ("camera/north/far", None, "north/far"), ("", None, None)]
)
def test_a_rollback_says_where_the_version_fell(of: str, label: str | None, camera: str | None) -> None:
    """On a class, on a camera, whose name may hold any sign, or on all."""
    where = {f"rollback/{of}": 1.0} if of else {}
    opened, _ = Incidents().take(rolled_back(**where))
    assert (opened.label, opened.camera, opened.cameras) == (label, camera, [camera] if camera else [])
    assert (opened.estimate, opened.reference, opened.evidence, opened.threshold) == (0.25, 0.75, 30.0, 20.0)


def test_other_steps_of_models_and_rollbacks_of_long_ago_are_not_notified() -> None:
    """Rollout wrote those of builds before itself: they have no numbers of a rollback."""
    event = rolled_back()
    others = [replace(event, metrics={"pairs": 7.0}), replace(event, stage="rejected", version="B")]
    assert Incidents().take(*others) == []
