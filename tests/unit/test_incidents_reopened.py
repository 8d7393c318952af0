"""Incidents: what comes back soon is the same alert, open once more; what comes back later is another one."""

from typing import Any

import pytest

from catseye.cli.alerts import newest_of
from catseye.contract.alert_kinds import DRIFT, KINDS
from catseye.contract.records import Alert
from services.incidents.evaluation import ANSWERED
from services.incidents.rules import Rules
from tests.contract.states.golden import rows_of
from tests.simulation.incidents import Incidents, alarm, asked, ms, report, seen, silenced

HOUR_S = 3_600.0
SILENT = alarm("camera_silent", 0)


def over(*, rules: Rules | None = None) -> tuple[Incidents, Alert]:
    """A service whose one alert, that camera a is silent, opened at 0 and was resolved at 20."""
    incidents = Incidents(rules)
    opened, resolved = incidents.take(report("a", 0, SILENT), report("a", 10), report("a", 20))
    assert (opened.state, resolved.state, resolved.resolved_at_ms) == ("opened", "resolved", ms(20))
    assert (opened.times_opened, opened.reopened_at_ms) == (1, None)
    return incidents, opened


def again(at_s: float, kind: str = "camera_silent", **changes: Any) -> Any:
    """The report that an alarm of the kind is raised, a new one."""
    return report("a", at_s, alarm(kind, at_s), **changes)


def test_what_comes_back_within_an_hour_is_the_same_alert() -> None:
    """It is opened again with the next revision, keeps the time at which it first opened and counts its openings; its
    end says how long it lasted this time."""
    incidents, first = over()
    (back,) = incidents.take(again(40))
    assert (back.alert_id, back.state, back.revision) == (first.alert_id, "opened", 2)
    assert (back.times_opened, back.opened_at_ms, back.reopened_at_ms) == (2, ms(0), ms(40))
    assert (back.resolved_at_ms, back.since_ms) == (None, ms(39))
    assert "It comes and goes: opened 2 times since 2027-01-15 08:00:00 UTC" in back.explanation
    (end,) = incidents.take(report("a", 60), report("a", 70))
    assert (end.state, end.revision, end.times_opened, end.resolved_at_ms) == ("resolved", 3, 2, ms(70))
    assert ", after 30 s. It was: Since " in end.explanation
    assert newest_of([first, back, end]) == [end]


def test_the_quiet_time_counts_from_the_end_and_may_be_set() -> None:
    """A moment before its end it is the same alert, at its end another one."""
    for after_s, is_same in ((20 + HOUR_S - 0.001, True), (20 + HOUR_S, False)):
        incidents, first = over()
        (back,) = incidents.take(again(after_s))
        assert (back.alert_id == first.alert_id) is is_same
        assert (back.revision, back.times_opened) == ((2, 2) if is_same else (0, 1))
    incidents, first = over(rules=Rules(reopen_ms=30_000))
    assert [each.alert_id == first.alert_id for each in incidents.take(again(40))] == [True]
    end, other = incidents.take(report("a", 41), report("a", 52), again(82))
    assert (end.alert_id == first.alert_id, other.alert_id == first.alert_id) == (True, False)


def test_an_alert_that_goes_on_stays_the_same_for_as_long_as_it_does() -> None:
    """Each end begins the hour anew."""
    incidents, first = over()
    for number in range(1, 6):
        at_s = number * 3_000.0
        back, _ = incidents.take(again(at_s), report("a", at_s + 10), report("a", at_s + 20))
        assert (back.alert_id, back.times_opened) == (first.alert_id, number + 1)


@pytest.mark.parametrize(
    ("before", "after", "is_same"),
    [
        ("camera_frozen", "camera_black", True),
        ("input", "accuracy", True),
        ("camera_silent", "camera_frozen", False),
        ("camera_clock", "camera_silent", False),
        ("telemetry", "input", False),
    ],
)
def test_kinds_of_one_cause_go_on_with_one_alert(before: str, after: str, is_same: bool) -> None:
    """As they do while it is open; another cause has its own."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm(before, 0)), report("z", 5), report("a", 10), report("a", 20))
    incidents.take(again(30, after), report("z", 40))
    ids = {alert.alert_id for alert in incidents.alerts}
    assert len(ids) == (1 if is_same else 2)
    assert incidents.alerts[-1].state == "opened"


def test_another_camera_has_its_own_alert() -> None:
    """Of the same cause at the same time."""
    incidents, first = over()
    (other,) = incidents.take(report("b", 30, alarm("camera_silent", 30)))
    assert (other.alert_id == first.alert_id, other.revision, other.times_opened) == (False, 0, 1)


def test_what_comes_back_waits_as_it_did_before() -> None:
    """A statistical alarm for the others; what goes meanwhile opens nothing, and its end stays what it was."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)), report("z", 5), report("a", 10), report("a", 20))
    assert incidents.take(again(30, "input"), report("a", 34), report("z", 60)) == []
    assert incidents.take(again(70, "input"), report("z", 74)) == []
    (back,) = incidents.take(report("z", 75))
    assert (back.state, back.times_opened, back.reopened_at_ms) == ("opened", 2, ms(75))


def test_a_fault_keeps_what_comes_back_from_opening() -> None:
    """It opens, as the same alert, once the fault has been over for a while."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)), report("z", 5), report("a", 10), report("a", 20))
    raised, frozen = alarm("input", 30), alarm("camera_frozen", 30)
    (fault,) = incidents.take(report("a", 30, raised, frozen), report("z", 60))
    assert fault.kind == "camera_frozen"
    _, back = incidents.take(report("a", 70, raised), report("z", 120))
    assert (back.kind, back.state, back.times_opened) == ("input", "opened", 2)


def test_nobody_has_seen_what_comes_back() -> None:
    """An alert that was acknowledged is open again; a suppression until it resolved is over with it."""
    for command in (seen, silenced):
        incidents = Incidents()
        (first,) = incidents.take(report("a", 0, SILENT))
        incidents.take(command(first), report("a", 10), report("a", 20))
        (back,) = incidents.take(again(40))
        assert (back.alert_id, back.state, back.acknowledged_by, back.suppressed_by) == (
            first.alert_id,
            "opened",
            None,
            None,
        )


def test_what_is_suppressed_for_a_time_stays_so_when_it_comes_back() -> None:
    """Until the time is over: then it is opened, for the second time."""
    incidents, first = over()
    incidents.ask(silenced(first, ms(100)))
    (quiet,) = incidents.take(again(40))
    assert (quiet.alert_id, quiet.state, quiet.suppressed_by, quiet.times_opened) == (
        first.alert_id,
        "suppressed",
        "ada",
        1,
    )
    (back,) = incidents.take(report("z", 110))
    assert (back.state, back.times_opened, back.reopened_at_ms) == ("opened", 2, ms(100))


def test_an_alert_that_was_never_shown_opens_for_the_first_time() -> None:
    """It was suppressed for all of its first life: whoever notifies once for each alert has not done so yet."""
    incidents = Incidents(Rules(reopen_ms=200_000))
    (first,) = incidents.take(report("a", 0, alarm("camera_clock", 0)))
    incidents.ask(silenced(first, ms(400)))
    incidents.take(report("a", 10), report("a", 20))
    (quiet,) = incidents.take(report("a", 300, alarm("camera_clock", 300)))
    assert (quiet.alert_id == first.alert_id, quiet.state, quiet.times_opened) == (False, "suppressed", 0)
    incidents.take(report("a", 310), report("a", 320))
    (shown,) = incidents.take(again(450, "camera_clock"))
    assert (shown.alert_id, shown.state, shown.times_opened) == (quiet.alert_id, "opened", 1)


def test_a_command_between_is_answered_with_the_end() -> None:
    """The alert that comes back counts its records on from there, and a person may command it then."""
    incidents, first = over()
    (end,) = incidents.ask(seen(first, at_ms=ms(30)))
    assert (end.state, end.revision) == ("resolved", 2)
    (back,) = incidents.take(again(40))
    assert (back.state, back.revision) == ("opened", 3)
    (answer,) = incidents.ask(asked(back, "acknowledge"))
    assert (answer.state, answer.revision, answer.times_opened) == ("acknowledged", 4, 2)


def test_a_crash_between_changes_nothing() -> None:
    """What is over is on the state topic for as long as it may come back."""
    incidents, first = over()
    incidents.partition.crash()
    (back,) = incidents.take(again(40))
    assert (back.alert_id, back.times_opened, back.opened_at_ms) == (first.alert_id, 2, ms(0))


def test_all_causes_of_a_camera_may_come_back_together() -> None:
    """As many last records are kept as a camera has causes, and no more."""
    kinds = {row.cause or row.name: "input" if row.cause == DRIFT else row.name for row in KINDS.values()}
    assert len(kinds) < ANSWERED
    incidents, at_s = Incidents(), 0
    for times in (1, 2):
        for kind in kinds.values():
            incidents.take(report("a", at_s, alarm(kind, at_s)), report("a", at_s + 40), report("a", at_s + 50))
            at_s += 100
        assert len({alert.alert_id for alert in incidents.alerts}) == len(kinds)
        assert [alert.times_opened for alert in newest_of(incidents.alerts)] == [times] * len(kinds)


def test_six_cameras_that_come_and_go_for_six_minutes_are_six_alerts() -> None:
    """A storm: each is silent for ten seconds, then well for ten. On commit 8d74d52 each time was a new alert."""
    incidents = Incidents()
    cameras = [f"cam-{number}" for number in range(6)]
    for at_s in range(0, 360, 20):
        incidents.take(*[report(camera, at_s, alarm("camera_silent", at_s)) for camera in cameras])
        incidents.take(*[report(camera, at_s + 10) for camera in cameras])
    incidents.take(*[report(camera, 400) for camera in cameras])
    assert len({alert.alert_id for alert in incidents.alerts}) == 6
    assert sum(alert.revision == 0 for alert in incidents.alerts) == 6
    assert {alert.state for alert in newest_of(incidents.alerts)} == {"resolved"}
    assert len({alert.incident_id for alert in incidents.alerts}) == 1


@pytest.mark.parametrize("number", [0, 1])
def test_what_ended_before_an_upgrade_goes_on_after_it(number: int) -> None:
    """The last record of an alert as an earlier build kept it is enough; a build that kept none began anew."""
    incidents = Incidents(Rules())
    incidents.partition.state_log += rows_of(number, "incidents")
    incidents.partition.crash()
    known = incidents.partition.state
    kept = [alert_id for alert_id in known.camera("two-c").ended if known.last_record(alert_id)]
    incidents.take(report("two-c", 130, alarm("input", 130)), report("two-c", 140, alarm("input", 130)))
    (back,) = [alert for alert in incidents.alerts if (alert.camera, alert.state) == ("two-c", "opened")]
    assert (len(kept), back.alert_id in kept) == ((1, True) if number else (0, False))
    assert (back.revision, back.times_opened) == ((2, 2) if number else (0, 1))
