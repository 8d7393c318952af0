"""Incidents' state: one step back, and the same again from the log."""

import re
from typing import Any

import pytest

from catseye.errors import Misconfigured
from catseye.settings import load
from services.incidents.__main__ import build, rules_of
from services.incidents.book import Book, Incident, Watched
from services.incidents.core import IncidentsCore
from services.incidents.life import Rules
from services.incidents.settings import IncidentsSettings
from tests.simulation.incidents import CODEC, Incidents, alarm, message, report


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


def test_a_removed_key_is_gone() -> None:
    """Though nothing here removes one: a state topic may."""
    book = Book()
    book.put_camera("a", Watched(at_ms=5))
    book.put_incident("g", "input", Incident(incident_id="i", first_camera="a", opened_at_ms=0, cameras=("a",)))
    for key, _ in book.changes():
        book.restore(key, None)
    assert (book.camera("a"), book.incident("g", "input"), book.cameras()) == (Watched(), None, [])
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
