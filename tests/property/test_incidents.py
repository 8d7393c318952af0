"""Incidents through any reports in any order, any number of times, with aborts and crashes anywhere."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catseye.cli.alerts import newest_of
from catseye.contract.alert_kinds import cause_of
from catseye.contract.records import Alarm, Alert, AlertAction, CameraReport
from services.incidents import NAME
from services.incidents.causes import by_cause, is_blocked_by_faults, is_fault
from tests.simulation.incidents import Incidents, alarm, asked, message, report

CAMERAS = ("a", "b", "c")
STATISTICAL = ("input", "predictions", "accuracy", "accuracy_floor", "labels_missing", "telemetry")
KINDS = (*STATISTICAL, "camera_frozen", "camera_black", "camera_silent")
CHANGES = st.tuples(st.sampled_from(CAMERAS), st.integers(1, 20), st.sets(st.sampled_from(KINDS), max_size=3))
ACTIONS: tuple[AlertAction, ...] = ("acknowledge", "suppress", "unsuppress")
HOUR_MS = 3_600_000
READ = 10
"""So many of the newest records may be what a person has read."""
PAUSES_S = (1, 9, 11, 20, 45, 700, 3_590, 3_611, 7_300)
"""Under and over what it takes to settle, to resolve, to get over a fault, and to be another alert."""
LONG_S = 200.0
"""More than it takes to settle, to resolve and to get over a fault."""


@st.composite
def roads(draw: st.DrawFn) -> list[CameraReport]:
    """Reports of a few cameras as time goes on: each says all that is raised, with causes that stay while it is."""
    raised: dict[str, dict[str, Alarm]] = {camera: {} for camera in CAMERAS}
    reports, at_s = [], 0
    for camera, seconds, kinds in draw(st.lists(CHANGES, max_size=25)):
        at_s += seconds
        before = raised[camera]
        raised[camera] = {kind: before.get(kind) or alarm(kind, at_s) for kind in sorted(kinds)}
        reports.append(report(camera, at_s, *raised[camera].values(), version=f"v{at_s // 100}"))
    return reports


@st.composite
def storms(draw: st.DrawFn) -> list[CameraReport]:
    """Reports of cameras whose alarms come and go for hours: each time that one is raised its cause is a new one."""
    raised: dict[str, dict[str, Alarm]] = {camera: {} for camera in CAMERAS}
    reports, at_s = [], 0
    changes = st.tuples(st.sampled_from(CAMERAS), st.sampled_from(PAUSES_S), st.sampled_from(KINDS))
    for camera, pause_s, kind in draw(st.lists(changes, max_size=40)):
        at_s += pause_s
        if raised[camera].pop(kind, None) is None:
            raised[camera][kind] = alarm(kind, at_s)
        reports.append(report(camera, at_s, *raised[camera].values()))
    return reports


def lifecycles(alerts: Sequence[Alert]) -> dict[str, list[Alert]]:
    """Records of each alert, in order."""
    found: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        found[alert.alert_id].append(alert)
    return found


def check(alerts: Sequence[Alert]) -> None:
    """Each alert has a lifecycle: revisions count, states follow, camera and cause stay."""
    for lifecycle in lifecycles(alerts).values():
        assert [alert.revision for alert in lifecycle] == list(range(len(lifecycle)))
        assert len({(alert.camera, cause_of(alert.kind)) for alert in lifecycle}) == 1
        assert lifecycle[0].state in ("opened", "suppressed")
        for before, after in pairwise(lifecycle):
            assert (before.state == "resolved") == (after.state == "opened")
            assert after.updated_at_ms >= before.updated_at_ms
    open_now: set[tuple[str | None, str]] = set()
    for alert in alerts:
        place = (alert.camera, cause_of(alert.kind))
        if alert.state == "opened":
            assert place not in open_now
            open_now.add(place)
        elif alert.state == "resolved":
            open_now.discard(place)


def check_reopened(alerts: Sequence[Alert]) -> None:
    """At most one new alert a cause, camera and hour, and what comes back within it goes on with the one before."""
    newest: dict[tuple[str | None, str], Alert] = {}
    for alert in alerts:
        place = (alert.camera, cause_of(alert.kind))
        before = newest.get(place)
        newest[place] = alert
        if before is None or alert.alert_id == before.alert_id:
            continue
        assert alert.revision == 0
        assert before.state == "resolved"
        assert before.resolved_at_ms is not None
        assert alert.opened_at_ms - before.resolved_at_ms >= HOUR_MS
    for lifecycle in lifecycles(alerts).values():
        openings = [alert for alert in lifecycle if alert.state == "opened"]
        assert [alert.times_opened for alert in openings] == list(range(1, len(openings) + 1))
        assert [alert.reopened_at_ms for alert in openings] == [
            None,
            *[alert.updated_at_ms for alert in openings[1:]],
        ]
        assert {alert.opened_at_ms for alert in lifecycle} == {lifecycle[0].updated_at_ms}


def straight(reports: Sequence[CameraReport]) -> Incidents:
    """All in one go."""
    incidents = Incidents()
    incidents.take(*reports)
    return incidents


def at_ms(reports: Sequence[CameraReport]) -> int:
    """The end of a road."""
    return max((each.at_ms for each in reports), default=report("a", 0).at_ms)


@pytest.mark.slow
@given(storms(), st.data())
def test_a_cause_on_a_camera_has_at_most_one_new_alert_an_hour(
    reports: list[CameraReport], data: st.DataObject
) -> None:
    """However its alarms come and go, in whatever batches, with repeats, aborts and crashes between."""
    incidents, left = Incidents(), list(reports)
    while left:
        size = data.draw(st.integers(1, len(left)), "batch")
        batch, left = left[:size], left[size:]
        match data.draw(st.sampled_from(["take", "abort", "crash", "repeat"])):
            case "abort":
                incidents.partition.abort([message(each) for each in batch])
            case "crash":
                incidents.partition.crash()
            case "repeat":
                incidents.take(*batch[:1], *batch[:1])
        incidents.take(*batch)
    incidents.wait(LONG_S)
    check(incidents.alerts)
    check_reopened(incidents.alerts)


@pytest.mark.slow
@given(roads())
def test_what_lasts_has_exactly_one_alert_and_what_is_over_has_none(reports: list[CameraReport]) -> None:
    """Once things stay as they are, the open alerts are those of the causes that are raised, less what a fault
    silences; and once all is well none is open."""
    incidents = straight(reports)
    last = {each.camera: each for each in reports}
    incidents.wait(LONG_S)
    check(incidents.alerts)
    newest = [lifecycle[-1] for lifecycle in lifecycles(incidents.alerts).values()]
    shown = sorted((each.camera, cause_of(each.kind)) for each in newest if each.state in ("opened", "updated"))
    expected = []
    for camera, held in last.items():
        causes = by_cause(held.alarms)
        faulty = any(map(is_fault, causes))
        expected += [(camera, cause) for cause in causes if not (faulty and is_blocked_by_faults(cause))]
    assert shown == sorted(expected)
    end_s = (at_ms(reports) - report("a", 0).at_ms) / 1_000 + LONG_S
    incidents.take(*[report(camera, end_s) for camera in CAMERAS])
    incidents.wait(LONG_S)
    check(incidents.alerts)
    assert {lifecycle[-1].state for lifecycle in lifecycles(incidents.alerts).values()} <= {"resolved"}


@pytest.mark.slow
@given(roads(), st.data())
def test_repeats_batches_aborts_and_crashes_change_nothing(reports: list[CameraReport], data: st.DataObject) -> None:
    """The same reports give the same records, to the last field, however they come."""
    expected = straight(reports).alerts
    incidents, left = Incidents(), list(reports)
    done: list[CameraReport] = []
    while left:
        size = data.draw(st.integers(1, len(left)), "batch")
        batch, left = left[:size], left[size:]
        match data.draw(st.sampled_from(["take", "abort", "crash", "repeat"])):
            case "abort":
                incidents.partition.abort([message(each) for each in batch])
            case "crash":
                incidents.partition.crash()
            case "repeat" if done:
                again = data.draw(st.lists(st.sampled_from(done), max_size=3), "again")
                assert incidents.take(*again) == []
        incidents.take(*batch)
        done += batch
    assert incidents.alerts == expected


@pytest.mark.slow
@given(roads(), st.randoms(use_true_random=False))
def test_in_any_order_each_alert_has_one_lifecycle(reports: list[CameraReport], chance: Random) -> None:
    """What comes late is passed over; nothing opens twice."""
    chance.shuffle(reports)
    incidents = straight(reports)
    incidents.wait(LONG_S)
    check(incidents.alerts)
    check_reopened(incidents.alerts)
    assert straight(reports).alerts == incidents.alerts[: len(straight(reports).alerts)]


@pytest.mark.slow
@given(roads(), st.data())
def test_whatever_people_ask_what_is_over_is_resolved_in_the_end(
    reports: list[CameraReport], data: st.DataObject
) -> None:
    """Of records that may be old by then, and with crashes between: once all is well the newest record of each alert on
    the topic says so, and each alert counts its records upwards."""
    incidents = Incidents()
    for number, each in enumerate(reports):
        incidents.take(each)
        somebody_asks = data.draw(st.booleans(), "a command")
        if incidents.alerts and somebody_asks:
            read = data.draw(st.sampled_from(incidents.alerts[-READ:]), "read")
            action = data.draw(st.sampled_from(ACTIONS), "action")
            until_ms = (
                data.draw(st.sampled_from([None, each.at_ms + 30_000]), "until") if action == "suppress" else None
            )
            command = asked(read, action, by=f"person {number}", until_ms=until_ms)
            (answer,) = incidents.ask(command)
            assert (answer.alert_id, answer.command_id) == (read.alert_id, command.command_id)
        if data.draw(st.booleans(), "crash"):
            incidents.partition.crash()
    end_s = (at_ms(reports) - report("a", 0).at_ms) / 1_000 + LONG_S
    incidents.take(*[report(camera, end_s) for camera in CAMERAS])
    incidents.wait(LONG_S)
    assert [alert for alert in newest_of(incidents.alerts) if alert.state != "resolved"] == []
    for lifecycle in lifecycles(incidents.alerts).values():
        assert [alert.revision for alert in lifecycle] == list(range(len(lifecycle)))
        assert {alert.by for alert in lifecycle} == {NAME}
