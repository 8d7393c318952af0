"""Incidents' state: one step back, and the same again from the log."""

import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye.contract.errors import Misconfigured
from catseye.runtime.heartbeats import Problems
from catseye.settings import load
from services.incidents.__main__ import build, rules_of
from services.incidents.core import IncidentsCore
from services.incidents.incidents_state import IncidentsState
from services.incidents.known import CameraState, Incident, Suppression
from services.incidents.lifecycle import LifecycleState
from services.incidents.rules import Rules
from services.incidents.settings import IncidentsSettings
from tests.simulation.incidents import CODEC, Incidents, alarm, message, ms, report, seen, silenced

DAY_S = 86_400


def whole(known: IncidentsState) -> dict[bytes, Any]:
    """Everything that is known."""
    return dict(known._values)


def test_what_was_not_committed_is_forgotten() -> None:
    """Clock, cameras, incidents and what falls due are as before."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)))
    known = incidents.partition.state
    before, clock_ms, newest_ms = whole(known), known.clock_ms, known.newest_ms
    incidents.partition.abort([message(report("a", 3)), message(report("b", 4, alarm("camera_frozen", 4)))])
    assert (whole(known), known.clock_ms, known.newest_ms) == (before, clock_ms, newest_ms)
    assert [each.kind for each in incidents.take(report("c", 6))] == ["input"]


def test_a_new_worker_goes_on_where_the_one_before_stopped() -> None:
    """From the log alone: what is open, what waits, and who is in which incident."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)), report("b", 1, alarm("input", 1)), report("c", 5.5))
    known = whole(incidents.partition.state)
    incidents.partition.crash()
    assert whole(incidents.partition.state) == known
    second, _ = incidents.take(report("c", 7))
    assert (second.camera, second.cameras) == ("b", ["a", "b"])


def test_what_is_due_far_away_is_noted_once() -> None:
    """A suppressed camera says every few seconds that it is still so: that alone makes nothing grow."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)))
    (alert,) = incidents.take(report("a", 5, alarm("input", 0)))
    incidents.take(silenced(alert, ms(30 * DAY_S)))
    for at_s in range(10, 510, 5):
        assert incidents.take(report("a", at_s, alarm("input", 0), recent_labels=at_s)) == []
    assert len(incidents.partition.state._due) <= 2
    # Behind the clock of all by ever another time: what is due moves with each report.
    for at_s in range(510, 1_010, 5):
        late_s = at_s - 1 - 0.001 * at_s
        incidents.take(report("z", at_s), report("a", late_s, alarm("input", 0), recent_labels=at_s))
    known = incidents.partition.state
    assert len(known._due) <= 2 * len(known._values)
    incidents.partition.crash()
    restored = incidents.partition.state
    assert len(restored._due) <= 2 * len(restored._values)
    assert [each.state for each in incidents.take(report("z", 30 * DAY_S + 60))] == ["updated"]


def test_nothing_that_is_due_is_lost_while_the_rest_is_cleared_away() -> None:
    """One camera's moment moves again and again, the others' stay."""
    known = IncidentsState()
    for number in range(5):
        known.put_camera(f"c{number}", CameraState(at_ms=0, due_ms=100 + number))
    known.put_camera("never", CameraState(at_ms=0))
    for due_ms in range(1_000, 900, -1):
        known.put_camera("c0", CameraState(at_ms=0, due_ms=due_ms))
    found = []
    while (due := known.next_due(2_000)) is not None:
        found.append(due)
        known.put_camera(due[1], CameraState(at_ms=0))
    assert found == [(101, "c1"), (102, "c2"), (103, "c3"), (104, "c4"), (901, "c0")]


def test_an_incident_that_an_earlier_build_kept_whole_is_bounded_too() -> None:
    """It named all its cameras: they are counted, and fifty are named."""
    incidents = Incidents()
    names = tuple(f"c{number:02}" for number in range(60))
    incident = Incident(incident_id="i", first_camera="c00", opened_at_ms=ms(0), cameras=names)
    incidents.partition.state.put_incident("", "camera_frozen", incident)
    for name, count in (("c20", 60), ("c55", 60), ("new", 61)):
        (alert,) = incidents.take(report(name, 5, alarm("camera_frozen", 5)))
        assert (len(alert.cameras), name in alert.cameras, f"{count} in all" in alert.explanation) == (50, True, True)


def test_what_is_due_survives_a_step_back() -> None:
    """The moment that was passed over while the step was tried is looked at all the same."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)))
    gone_and_late = [message(report("a", 1)), message(report("z", 60))]
    incidents.partition.abort(gone_and_late)
    incidents.partition.abort([message(report("z", 60))])
    (alert,) = incidents.take(report("z", 6))
    assert (alert.state, alert.opened_at_ms) == ("opened", ms(5))


@pytest.mark.slow
def test_a_large_incident_is_kept_in_little_room() -> None:
    """No key of the state grows with the cameras of an incident."""
    largest = {}
    for cameras in (60, 240):
        incidents = Incidents()
        frozen = alarm("camera_frozen", 0)
        incidents.take(*[report(f"cam-{number:04}", 0, frozen) for number in range(cameras)], report("z", 5))
        largest[cameras] = max(len(value or b"") for _, value in incidents.partition.state_log)
        known = whole(incidents.partition.state)
        incidents.partition.crash()
        assert whole(incidents.partition.state) == known
    assert largest[240] <= largest[60] + 8


def test_a_removed_key_is_gone() -> None:
    """Though nothing here removes one: a state topic may."""
    known = IncidentsState()
    known.put_camera("a", CameraState(at_ms=5))
    known.put_incident("g", "input", Incident(incident_id="i", first_camera="a", opened_at_ms=0, cameras=("a",)))
    for key, _ in known.changes():
        known.restore(key, None)
    assert (known.camera("a"), known.incident("g", "input"), known.cameras()) == (CameraState(), None, {})
    known.restore(b"cb", None)
    assert whole(known) == {}


@pytest.mark.usefixtures("bare_environment")
def test_settings_become_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds; the topics of incidents have one partition, whatever cameras have."""
    monkeypatch.setenv("CATSEYE_PARTITIONS", "12")
    settings = load(IncidentsSettings, service="incidents")
    assert (settings.partitions, rules_of(settings)) == (1, Rules())
    monkeypatch.setenv("CATSEYE_INCIDENTS_GROUP_PATTERN", "^(.)-")
    monkeypatch.setenv("CATSEYE_INCIDENTS_SETTLE_S", "0.5")
    settings = load(IncidentsSettings, service="incidents")
    assert rules_of(settings) == Rules(group_pattern=re.compile("^(.)-"), settle_ms=500)
    assert isinstance(build(settings, CODEC, None, Problems()), IncidentsCore)


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(("pattern", "fault"), [("(", "not a regular expression"), ("a", "and has 0"), ("(a)(b)", "2")])
def test_a_pattern_that_names_no_group_is_refused(monkeypatch: pytest.MonkeyPatch, pattern: str, fault: str) -> None:
    """At the start, by the name of the setting."""
    monkeypatch.setenv("CATSEYE_INCIDENTS_GROUP_PATTERN", pattern)
    with pytest.raises(Misconfigured, match=f"CATSEYE_INCIDENTS_GROUP_PATTERN: .*{fault}"):
        load(IncidentsSettings, service="incidents")


# -- formats


def format_0(explanation: str, held_until_ms: int, **changes: Any) -> bytes:
    """A camera with one suppressed alert, as commit 8d74d52 wrote it."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)))
    (alert,) = incidents.take(report("a", 5, alarm("input", 0)))
    cause = {
        "cause": "c" * 32,
        "since_ms": ms(0),
        "wait_ms": 5_000,
        "behind": {"input": alarm("input", 0)},
        "raised": ["input"],
        "alert": replace(alert, state="suppressed", explanation=explanation, revision=1),
        "shown": True,
        "held_until_ms": held_until_ms,
        "written_ms": ms(5),
    }
    camera = {"at_ms": ms(5), "alarms": [alarm("input", 0)], "model": "vehicles", "version": "v1"}
    return msgspec.msgpack.encode(camera | {"lanes": {"drift": cause | changes}})


def upgraded(value: bytes) -> Incidents:
    """Today's service on the state of then."""
    incidents = Incidents()
    incidents.partition.state_log.append((b"ca", value))
    incidents.partition.crash()
    return incidents


@pytest.mark.parametrize(
    ("words", "held_until_ms", "by", "until_ms", "because"),
    [
        ("Suppressed by ada until it resolves || ", 2**62, "ada", None, ""),
        ("Suppressed by ada / bob until 2027-01-15T08:01:40Z || ", ms(100), "ada / bob", ms(100), ""),
        (
            "Suppressed by a until b until it resolves; reason: works; until 3 || ",
            2**62,
            "a until b",
            None,
            "works; until 3",
        ),
        ("", ms(100), "somebody", ms(100), ""),
    ],
)
def test_a_suppression_of_format_0_goes_on(
    words: str, held_until_ms: int, by: str, until_ms: int | None, because: str
) -> None:
    """Who, until when and why stood in the explanation: they are fields now, and the explanation is bare."""
    incidents = upgraded(format_0(f"{words}Since today.", held_until_ms))
    cause = incidents.partition.state.camera("a").causes["drift"]
    assert (cause.state, cause.was_shown) == (LifecycleState.SUPPRESSED, True)
    assert cause.suppression == Suppression(until_ms=until_ms, by=by, because=because)
    assert cause.emitted is not None
    assert cause.emitted.alert.explanation == "Since today."
    assert incidents.take(report("a", 50, alarm("input", 0))) == []
    back = incidents.take(report("a", 110, alarm("input", 0)))
    assert [(each.state, each.revision) for each in back] == ([("updated", 2)] if until_ms else [])


def test_an_alert_of_format_0_that_a_fault_holds_back_comes_back() -> None:
    """Nobody suppressed it."""
    incidents = upgraded(format_0("Kept quiet while the camera has a fault. Before: Since today.", 0))
    assert incidents.partition.state.camera("a").causes["drift"].state is LifecycleState.HELD_BACK
    assert [each.state for each in incidents.take(report("a", 50, alarm("input", 0)))] == ["updated"]


def test_a_person_may_command_an_alert_of_format_0() -> None:
    """It is found by its id."""
    incidents = upgraded(format_0("Since today.", 2**62))
    emitted = incidents.partition.state.camera("a").causes["drift"].emitted
    assert emitted is not None
    (answer,) = incidents.ask(seen(emitted.alert))
    assert (answer.state, answer.revision, answer.acknowledged_by) == ("acknowledged", 2, "ada")


def test_values_carry_the_number_of_their_format() -> None:
    """Of cameras, incidents and alerts that are over; one of the future is refused with a sentence."""
    incidents = Incidents()
    frozen = alarm("camera_frozen", 0)
    incidents.take(report("a", 0, frozen), report("a", 10), report("a", 20))
    log = incidents.partition.state_log
    assert {key[:1] for key, _ in log} == {b"c", b"i", b"e"}
    assert {(value or b"")[:1] for _, value in log} == {b"\x01"}
    for kind in (b"c", b"i", b"e"):
        with pytest.raises(Misconfigured, match=r"incidents\.state: .* is in format 2"):
            IncidentsState().restore(kind + b"a", b"\x02\x80")


def test_the_last_record_of_an_alert_is_kept_until_it_opens_again() -> None:
    """Then it is not over any more."""
    incidents = Incidents()
    frozen = alarm("camera_frozen", 0)
    opened, over = incidents.take(report("a", 0, frozen), report("a", 10), report("a", 20))
    known = incidents.partition.state
    assert (known.last_record(opened.alert_id), known.place_of(opened.alert_id)) == (over, None)
    incidents.take(report("a", 30, frozen))
    assert (known.last_record(opened.alert_id), known.place_of(opened.alert_id)) == (None, ("a", "picture"))
    incidents.partition.crash()
    assert incidents.partition.state.place_of(opened.alert_id) == ("a", "picture")
