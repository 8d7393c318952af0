"""Incidents' state: one step back, and the same again from the log."""

import re
from typing import Any

import pytest

from catseye.contract.errors import Misconfigured
from catseye.settings import load
from services.incidents.__main__ import build, rules_of
from services.incidents.book import Book, Incident, Watched
from services.incidents.core import IncidentsCore
from services.incidents.life import Rules
from services.incidents.settings import IncidentsSettings
from tests.simulation.incidents import CODEC, Incidents, alarm, message, ms, report, silenced

DAY_S = 86_400


def whole(book: Book) -> dict[bytes, Any]:
    """Everything that is known."""
    return dict(book._values)


def test_what_was_not_committed_is_forgotten() -> None:
    """Clock, cameras, incidents and what falls due are as before."""
    incidents = Incidents()
    incidents.take(report("a", 0, alarm("input", 0)))
    book = incidents.partition.state
    before, clock_ms, newest_ms = whole(book), book.clock_ms, book.newest_ms
    incidents.partition.abort([message(report("a", 3)), message(report("b", 4, alarm("camera_frozen", 4)))])
    assert (whole(book), book.clock_ms, book.newest_ms) == (before, clock_ms, newest_ms)
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
    book = incidents.partition.state
    assert len(book._due) <= 2 * len(book._values)
    incidents.partition.crash()
    restored = incidents.partition.state
    assert len(restored._due) <= 2 * len(restored._values)
    assert [each.state for each in incidents.take(report("z", 30 * DAY_S + 60))] == ["updated"]


def test_nothing_that_is_due_is_lost_while_the_rest_is_cleared_away() -> None:
    """One camera's moment moves again and again, the others' stay."""
    book = Book()
    for number in range(5):
        book.put_camera(f"c{number}", Watched(at_ms=0, due_ms=100 + number))
    book.put_camera("never", Watched(at_ms=0))
    for due_ms in range(1_000, 900, -1):
        book.put_camera("c0", Watched(at_ms=0, due_ms=due_ms))
    found = []
    while (due := book.next_due(2_000)) is not None:
        found.append(due)
        book.put_camera(due[1], Watched(at_ms=0))
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
    book = Book()
    book.put_camera("a", Watched(at_ms=5))
    book.put_incident("g", "input", Incident(incident_id="i", first_camera="a", opened_at_ms=0, cameras=("a",)))
    for key, _ in book.changes():
        book.restore(key, None)
    assert (book.camera("a"), book.incident("g", "input"), book.cameras()) == (Watched(), None, {})
    book.restore(b"cb", None)
    assert whole(book) == {}


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
    assert isinstance(build(settings, CODEC, None), IncidentsCore)


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(("pattern", "fault"), [("(", "not a regular expression"), ("a", "and has 0"), ("(a)(b)", "2")])
def test_a_pattern_that_names_no_group_is_refused(monkeypatch: pytest.MonkeyPatch, pattern: str, fault: str) -> None:
    """At the start, by the name of the setting."""
    monkeypatch.setenv("CATSEYE_INCIDENTS_GROUP_PATTERN", pattern)
    with pytest.raises(Misconfigured, match=f"CATSEYE_INCIDENTS_GROUP_PATTERN: .*{fault}"):
        load(IncidentsSettings, service="incidents")
