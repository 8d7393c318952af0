"""Incidents: what a person says of an alert holds, also when both speak at once, and after a crash."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.cli.alerts import newest_of
from catseye.contract.records import Alert
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed, suppressed_until_ms, without_suppression
from services.incidents import NAME
from services.incidents.life import REMEMBERED
from tests.simulation.incidents import Incidents, alarm, ms, report, silenced

INPUT, OTHER = alarm("input", 0), alarm("predictions", 50)


def opened() -> tuple[Incidents, Alert]:
    """A service that has opened one alert."""
    incidents = Incidents()
    incidents.take(report("a", 0, INPUT))
    (alert,) = incidents.take(report("z", 5))
    return incidents, alert


def seen(alert: Alert) -> Alert:
    """The record that `catseye alerts acknowledge` writes."""
    return replace(alert, state="acknowledged", by="ada", revision=alert.revision + 1)


def test_a_suppressed_alert_says_no_more_until_it_is_over() -> None:
    """Whatever else is raised; the end is said."""
    incidents, alert = opened()
    assert incidents.take(silenced(alert)) == []
    assert incidents.take(report("a", 50, INPUT, OTHER), report("a", 100, INPUT)) == []
    (over,) = incidents.take(report("a", 110), report("z", 120))
    assert (over.state, over.revision, over.alert_id) == ("resolved", 2, alert.alert_id)
    assert "Suppressed" not in over.explanation
    (next_one,) = incidents.take(report("a", 130, OTHER), report("z", 140))
    assert next_one.state == "opened"


def test_a_suppression_that_ends_lets_the_alert_speak_again() -> None:
    """At its moment."""
    incidents, alert = opened()
    assert incidents.take(silenced(alert, ms(60)), report("a", 50, INPUT)) == []
    (back,) = incidents.take(report("z", 70))
    assert (back.state, back.kind, back.revision, back.updated_at_ms) == ("updated", "input", 2, ms(60))


def test_suppression_for_a_time_holds_for_the_next_alert_of_the_kind() -> None:
    """It is suppressed from its first record on, says whose word that is, and opens when the time is over."""
    incidents, alert = opened()
    incidents.take(silenced(alert, ms(100)), report("a", 10), report("a", 20))
    (first,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    assert (first.state, first.revision) == ("suppressed", 0)
    assert first.explanation.startswith("Suppressed by ada until 2027-01-15T08:01:40Z || Since ")
    (late,) = incidents.take(report("z", 110))
    assert (late.alert_id, late.state, late.revision) == (first.alert_id, "opened", 1)


def test_a_word_on_an_alert_that_is_over_holds_for_the_next_one() -> None:
    """And on one that was never heard of, too."""
    incidents, alert = opened()
    incidents.take(report("a", 10), report("a", 20))
    assert [each.state for each in incidents.take(silenced(alert, ms(1_000)))] == ["resolved"]
    assert [each.state for each in incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))] == [
        "suppressed"
    ]
    unknown = replace(silenced(alert, ms(1_000)), alert_id="b" * 32, camera="b", kind="camera_frozen")
    assert incidents.take(unknown) == []  # none of ours, as far as we know: nothing is said of it
    assert [each.state for each in incidents.take(report("b", 40, alarm("camera_frozen", 40)))] == ["suppressed"]


def ended() -> tuple[Incidents, Alert, Alert]:
    """A service whose one alert is over: its first record and its last."""
    incidents, alert = opened()
    (over,) = incidents.take(report("a", 10), report("a", 20))
    assert (over.state, over.revision) == ("resolved", 1)
    return incidents, alert, over


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("say", [seen, silenced])
@pytest.mark.parametrize("revision", [0, 1, 5])
def test_a_word_that_crosses_the_end_is_answered_with_the_end(
    say: Callable[[Alert], Alert], revision: int, crashes: bool
) -> None:
    """Whoever reads the topic sees that it is over since when it was; once, and also after a crash."""
    incidents, alert, over = ended()
    word = replace(say(alert), revision=revision, updated_at_ms=ms(30))
    if crashes:
        incidents.partition.crash()
    (again,) = incidents.take(word)
    book = incidents.partition.state
    assert incidents.partition.rebuilt()._values == book._values
    assert (again.alert_id, again.state, again.by) == (alert.alert_id, "resolved", NAME)
    assert again.revision == max(revision, over.revision) + 1
    assert (again.resolved_at_ms, again.updated_at_ms) == (over.resolved_at_ms, ms(30))
    assert again.explanation == over.explanation
    assert newest_of([alert, over, word, again]) == [again]
    if crashes:
        incidents.partition.crash()
    assert incidents.take(word) == []  # a repeat
    # The same cause once more goes on counting.
    (back,) = incidents.take(report("a", 40, INPUT), report("z", 45))
    assert (back.alert_id, back.state, back.revision) == (alert.alert_id, "opened", again.revision + 1)


def test_a_word_that_was_heard_before_the_end_is_answered_after_it() -> None:
    """Said twice from one reading: the second record stands behind the end."""
    incidents, alert = opened()
    word = seen(alert)
    assert incidents.take(word, word) == []
    incidents.take(report("a", 10), report("a", 20))
    assert [(each.state, each.revision) for each in incidents.take(word, word)] == [("resolved", 3)]


def test_each_word_that_crosses_the_end_is_answered() -> None:
    """The second one was written by somebody who had read the first."""
    incidents, alert, _ = ended()
    first = seen(alert)
    second = replace(silenced(first), by="bob")
    assert [each.revision for each in incidents.take(first, second)] == [2, 3]


def test_a_word_on_an_alert_that_is_over_leaves_the_next_one_alone() -> None:
    """The cause has another alert by now: that one stays open, and takes the word for the kind only."""
    incidents, alert, _ = ended()
    (later,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    (again,) = incidents.take(seen(alert))
    assert (again.alert_id, again.state) == (alert.alert_id, "resolved")
    (end,) = incidents.take(report("a", 40), report("a", 50))
    assert (end.alert_id, end.state, end.revision) == (later.alert_id, "resolved", 1)


def test_only_the_newest_ends_are_remembered() -> None:
    """What a camera keeps of them is bounded; a word on one that is forgotten is nothing that we know of."""
    incidents, alert, _ = ended()
    for number in range(REMEMBERED):
        at_s = 100 + 100 * number
        raised = alarm("camera_clock", at_s)
        (last, _over) = incidents.take(report("a", at_s, raised), report("a", at_s + 10), report("a", at_s + 20))
    watched = incidents.partition.state.camera("a")
    assert len(watched.revisions) == len(watched.ended_ms) == REMEMBERED
    assert incidents.take(seen(alert)) == []
    assert [each.state for each in incidents.take(seen(last))] == ["resolved"]


def test_an_acknowledged_alert_speaks_up_only_when_it_means_something_else() -> None:
    """Another signal is an acknowledged record, another kind an updated one."""
    incidents, alert = opened()
    assert incidents.take(seen(alert), report("a", 20, INPUT)) == []
    (other,) = incidents.take(report("a", 40, replace(INPUT, signal="contrast")))
    assert (other.state, other.revision) == ("acknowledged", 2)
    accuracy = alarm("accuracy", 50)
    (worse,) = incidents.take(report("a", 50, INPUT, accuracy))
    assert (worse.state, worse.severity) == ("updated", "critical")


def test_acknowledging_takes_a_silence_back() -> None:
    """Of this alert and of the next ones."""
    incidents, alert = opened()
    word = silenced(alert, ms(1_000))
    incidents.take(word, seen(word))
    (told,) = incidents.take(report("a", 50, replace(INPUT, signal="contrast")))
    assert (told.state, told.revision) == ("acknowledged", 3)
    incidents.take(report("a", 60), report("a", 70))
    assert [each.state for each in incidents.take(report("a", 80, alarm("input", 80)), report("z", 85))] == ["opened"]


@pytest.mark.parametrize("revision", [0, 1])
def test_when_both_speak_at_once_the_word_is_said_again(revision: int) -> None:
    """The person had not seen our newest record: what holds then is one record that has both, with a new revision."""
    incidents, alert = opened()
    (ours,) = incidents.take(report("a", 10, INPUT, alarm("accuracy", 10)))
    word = silenced(alert, revision=revision)
    (both,) = incidents.take(word)
    assert (both.state, both.revision, both.by, both.severity) == ("suppressed", 2, NAME, ours.severity)
    assert both.explanation == word.explanation
    assert incidents.take(word) == []  # a repeat
    assert incidents.take(report("a", 60, INPUT, OTHER)) == []


def test_a_fault_and_a_person_may_both_want_it_quiet() -> None:
    """It is quiet until neither does."""
    incidents, alert = opened()
    frozen = alarm("camera_frozen", 10)
    incidents.take(silenced(alert, ms(20)))
    assert [each.kind for each in incidents.take(report("a", 10, INPUT, frozen))] == ["camera_frozen"]
    assert incidents.take(report("a", 30, INPUT, frozen)) == []
    states = [(each.kind, each.state) for each in incidents.take(report("a", 40, INPUT), report("a", 50, INPUT))]
    assert states == [("camera_frozen", "resolved"), ("input", "updated")]


def test_a_seen_alert_is_still_silenced_by_a_fault() -> None:
    """What a person has seen does not make it true."""
    incidents, alert = opened()
    frozen = alarm("camera_frozen", 10)
    incidents.take(seen(alert))
    states = [(each.kind, each.state) for each in incidents.take(report("a", 10, INPUT, frozen))]
    assert states == [("camera_frozen", "opened"), ("input", "suppressed")]


def test_a_fault_leaves_a_seen_alert_seen() -> None:
    """When the fault is over it comes back as what it was before; what a person has seen is no news."""
    incidents, alert = opened()
    incidents.take(seen(alert), report("a", 10, INPUT, alarm("camera_frozen", 10)))
    over, back = incidents.take(report("a", 20, INPUT), report("a", 30, INPUT))
    assert [(each.kind, each.state) for each in (over, back)] == [
        ("camera_frozen", "resolved"),
        ("input", "acknowledged"),
    ]
    assert (back.alert_id, back.revision) == (alert.alert_id, 3)
    incidents.partition.crash()
    (told,) = incidents.take(report("a", 70, replace(INPUT, signal="contrast")))
    assert told.state == "acknowledged"


@pytest.mark.parametrize("with_the_fault", [False, True])
def test_a_seen_alert_that_is_worse_after_a_fault_speaks_up(with_the_fault: bool) -> None:
    """Whether it grew worse in the report that brought the fault or while the fault lasted."""
    incidents, alert = opened()
    frozen, accuracy = alarm("camera_frozen", 10), alarm("accuracy", 10)
    incidents.take(seen(alert), report("a", 10, INPUT, frozen, *([accuracy] if with_the_fault else [])))
    incidents.take(report("a", 15, INPUT, frozen, accuracy), report("a", 20, INPUT, accuracy))
    *_, back = incidents.take(report("a", 30, INPUT, accuracy))
    assert (back.kind, back.severity, back.state) == ("input", "critical", "updated")
    assert incidents.take(report("a", 90, INPUT, accuracy)) == []
    (told,) = incidents.take(report("a", 91, replace(INPUT, signal="contrast"), accuracy))
    assert told.state == "updated"  # nobody has seen it as it is now


def test_a_quiet_alert_that_a_person_has_seen_was_shown() -> None:
    """It was suppressed from its first record on, then acknowledged: a fault later it does not open once more."""
    incidents, alert = opened()
    incidents.take(silenced(alert, ms(1_000)), report("a", 10), report("a", 20))
    (first,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    assert first.state == "suppressed"
    raised, frozen = alarm("input", 30), alarm("camera_frozen", 40)
    incidents.take(seen(first), report("a", 40, raised, frozen), report("a", 45, raised, frozen, alarm("accuracy", 45)))
    *_, back = incidents.take(report("a", 50, raised, alarm("accuracy", 45)), report("a", 60, raised))
    assert (back.alert_id, back.state) == (first.alert_id, "updated")


def test_the_fleet_s_alert_is_silenced_too() -> None:
    """It has no camera."""
    incidents = Incidents()
    (alert,) = incidents.take(report("a", 0, recent_labels=200, recent_errors=200))
    assert incidents.take(silenced(alert), report("a", 10, recent_labels=200, recent_errors=200)) == []
    (over,) = incidents.take(report("a", 20, recent_labels=200), report("a", 30, recent_labels=200))
    assert (over.camera, over.state, over.revision) == (None, "resolved", 2)


@pytest.mark.parametrize("state", ["opened", "updated", "resolved"])
def test_other_words_and_other_services_are_none_of_ours(state: Any) -> None:
    """Only suppressed and acknowledged are for people to say."""
    incidents, alert = opened()
    assert incidents.take(replace(alert, by="rollout", state=state), report("a", 20, INPUT)) == []


# -- how it is written


def test_a_suppression_is_read_as_it_was_written() -> None:
    """Until when, to the second; what is in the reason cannot be mistaken for its end."""
    text = suppressed("Since today.", "ada | bob", ms(7_200), "works || until\nit resolves | all")
    assert text == (
        "Suppressed by ada / bob until 2027-01-15T10:00:00Z; reason: works // until it resolves / all || Since today."
    )
    assert suppressed_until_ms(text) == ms(7_200)
    assert without_suppression(text) == "Since today."
    again = suppressed(text, "bob", UNTIL_RESOLVED)
    assert again == "Suppressed by bob until it resolves || Since today."
    assert suppressed_until_ms(again) == suppressed_until_ms("Since today.") == UNTIL_RESOLVED
    assert without_suppression("Since today.") == "Since today."
