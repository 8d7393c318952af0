"""Incidents: a command on an alert holds, also when it crosses a record, and after a crash."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from catseye.cli.alerts import newest_of
from catseye.contract.errors import Reason
from catseye.contract.records import Alert, AlertAction, AlertCommand
from services.incidents import NAME, READS, WRITES
from services.incidents.evaluation import ANSWERED, REMEMBERED
from services.incidents.rules import Rules
from tests.simulation.incidents import Incidents, alarm, asked, message, ms, report, seen, silenced

INPUT, OTHER = alarm("input", 0), alarm("predictions", 50)
NEVER_AGAIN = Rules(reopen_ms=0)
"""What is over is over: whatever comes back is another alert."""


def opened(rules: Rules | None = None) -> tuple[Incidents, Alert]:
    """A service that has opened one alert."""
    incidents = Incidents(rules)
    incidents.take(report("a", 0, INPUT))
    (alert,) = incidents.take(report("z", 5))
    return incidents, alert


def test_a_suppressed_alert_says_no_more_until_it_is_over() -> None:
    """Whatever else is raised; the end is written."""
    incidents, alert = opened()
    assert incidents.take(silenced(alert)) == []
    assert incidents.take(report("a", 50, INPUT, OTHER), report("a", 100, INPUT)) == []
    (over,) = incidents.take(report("a", 110), report("z", 120))
    assert (over.state, over.revision, over.alert_id) == ("resolved", 2, alert.alert_id)
    assert "Suppressed" not in over.explanation
    (next_one,) = incidents.take(report("a", 130, OTHER), report("z", 140))
    assert next_one.state == "opened"


def test_a_suppression_that_ends_lets_the_alert_issue_again() -> None:
    """At its moment."""
    incidents, alert = opened()
    assert incidents.take(silenced(alert, ms(60)), report("a", 50, INPUT)) == []
    (back,) = incidents.take(report("z", 70))
    assert (back.state, back.kind, back.revision, back.updated_at_ms) == ("updated", "input", 2, ms(60))


def test_suppression_for_a_time_holds_for_the_next_alert_of_the_kind() -> None:
    """It is suppressed from its first record on, names who suppressed it, and opens when the time is over."""
    incidents, alert = opened(NEVER_AGAIN)
    incidents.take(silenced(alert, ms(100)), report("a", 10), report("a", 20))
    (first,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    assert (first.state, first.revision) == ("suppressed", 0)
    assert (first.suppressed_by, first.suppressed_until_ms, first.suppressed_because) == ("ada", ms(100), "road works")
    assert first.explanation.startswith("Since ")
    (late,) = incidents.take(report("z", 110))
    assert (late.alert_id, late.state, late.revision) == (first.alert_id, "opened", 1)
    assert (late.suppressed_by, late.suppressed_until_ms, late.suppressed_because) == (None, None, "")


def test_a_command_on_an_alert_that_is_over_holds_for_the_next_one() -> None:
    """While its time lasts; there is none to hold for where nobody knows the alert."""
    incidents, alert = opened()
    incidents.take(report("a", 10), report("a", 20))
    assert [each.state for each in incidents.ask(silenced(alert, ms(1_000)))] == ["resolved"]
    assert [each.state for each in incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))] == [
        "suppressed"
    ]
    unknown = silenced(alert, ms(1_000), alert_id="b" * 32)
    assert incidents.ask(unknown) == []
    (letter,) = incidents.refused
    assert (letter.reason, "no alert " + "b" * 32 in letter.detail) == (Reason.COMMAND_REFUSED, True)
    assert [each.state for each in incidents.take(report("b", 40, alarm("camera_frozen", 40)))] == ["opened"]


def ended(rules: Rules | None = None) -> tuple[Incidents, Alert, Alert]:
    """A service whose one alert is over: its first record and its last."""
    incidents, alert = opened(rules)
    (over,) = incidents.take(report("a", 10), report("a", 20))
    assert (over.state, over.revision) == ("resolved", 1)
    return incidents, alert, over


@pytest.mark.parametrize("crashes", [False, True])
@pytest.mark.parametrize("make", [seen, silenced])
@pytest.mark.parametrize("revision", [0, 1, 5])
def test_a_command_that_crosses_the_end_is_answered_with_the_end(
    make: Callable[..., AlertCommand], revision: int, crashes: bool
) -> None:
    """Whoever reads the topic sees that it is over since when it was; once, and also after a crash."""
    incidents, alert, over = ended()
    command = make(alert, revision=revision, at_ms=ms(30))
    if crashes:
        incidents.partition.crash()
    (again,) = incidents.ask(command)
    known = incidents.partition.state
    assert incidents.partition.rebuilt()._values == known._values
    assert (again.alert_id, again.state, again.by) == (alert.alert_id, "resolved", NAME)
    assert (again.revision, again.command_id) == (over.revision + 1, command.command_id)
    assert (again.resolved_at_ms, again.updated_at_ms) == (over.resolved_at_ms, ms(30))
    assert again.explanation == over.explanation
    assert newest_of([alert, over, again]) == [again]
    if crashes:
        incidents.partition.crash()
    assert incidents.ask(command) == []  # a repeat
    # The same cause once more goes on counting.
    (back,) = incidents.take(report("a", 40, INPUT), report("z", 45))
    assert (back.alert_id, back.state, back.revision) == (alert.alert_id, "opened", again.revision + 1)


def test_a_command_that_was_carried_out_before_the_end_is_answered_after_it() -> None:
    """Asked once more from one reading: the second answer is the end."""
    incidents, alert = opened()
    command, again = seen(alert), seen(alert, at_ms=ms(30))
    assert incidents.take(command, command) == []
    incidents.take(report("a", 10), report("a", 20))
    assert [(each.state, each.revision) for each in incidents.ask(again, again)] == [("resolved", 3)]


def test_each_command_that_crosses_the_end_is_answered() -> None:
    """The second one was written by somebody who had read the first."""
    incidents, alert, _ = ended()
    first = seen(alert)
    second = silenced(alert, by="bob")
    assert [each.revision for each in incidents.ask(first, second)] == [2, 3]


def test_a_command_on_an_alert_that_is_over_leaves_the_next_one_alone() -> None:
    """The cause has another alert by now: that one stays open, and takes the command for the kind only."""
    incidents, alert, _ = ended(NEVER_AGAIN)
    (later,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    (again,) = incidents.ask(seen(alert))
    assert (again.alert_id, again.state) == (alert.alert_id, "resolved")
    (end,) = incidents.take(report("a", 40), report("a", 50))
    assert (end.alert_id, end.state, end.revision) == (later.alert_id, "resolved", 1)


def test_only_the_newest_ends_are_remembered() -> None:
    """What a camera keeps of them is bounded; a command on one that is forgotten is refused."""
    incidents, alert, _ = ended(NEVER_AGAIN)
    for number in range(REMEMBERED):
        at_s = 100 + 100 * number
        raised = alarm("camera_clock", at_s)
        (last, _over) = incidents.take(report("a", at_s, raised), report("a", at_s + 10), report("a", at_s + 20))
    known = incidents.partition.state
    camera = known.camera("a")
    kept = [alert_id for alert_id in camera.ended if known.last_record(alert_id)]
    assert (len(camera.ended), len(kept)) == (REMEMBERED, ANSWERED)
    assert kept == list(camera.ended)[-ANSWERED:]
    assert incidents.ask(seen(alert)) == []
    assert [letter.reason for letter in incidents.refused] == [Reason.COMMAND_REFUSED]
    assert [each.state for each in incidents.ask(seen(last))] == ["resolved"]


def test_an_acknowledged_alert_issues_up_only_when_it_means_something_else() -> None:
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
    incidents.take(silenced(alert, ms(1_000)), seen(alert))
    (later,) = incidents.take(report("a", 50, replace(INPUT, signal="contrast")))
    assert (later.state, later.revision) == ("acknowledged", 3)
    incidents.take(report("a", 60), report("a", 70))
    assert [each.state for each in incidents.take(report("a", 80, alarm("input", 80)), report("z", 85))] == ["opened"]


@pytest.mark.parametrize("revision", [0, 1])
def test_when_both_write_at_once_the_command_has_one_record(revision: int) -> None:
    """The person had not seen our newest record: what holds then is one record that has both, with a new revision."""
    incidents, alert = opened()
    (ours,) = incidents.take(report("a", 10, INPUT, alarm("accuracy", 10)))
    command = silenced(alert, revision=revision)
    (both,) = incidents.ask(command)
    assert (both.state, both.revision, both.by, both.severity) == ("suppressed", 2, NAME, ours.severity)
    assert (both.suppressed_by, both.suppressed_because, both.command_id) == ("ada", command.reason, command.command_id)
    assert both.explanation == ours.explanation
    assert incidents.ask(command) == []  # a repeat
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
    (later,) = incidents.take(report("a", 70, replace(INPUT, signal="contrast")))
    assert later.state == "acknowledged"


@pytest.mark.parametrize("with_the_fault", [False, True])
def test_a_seen_alert_that_is_worse_after_a_fault_issues_up(with_the_fault: bool) -> None:
    """Whether it grew worse in the report that brought the fault or while the fault lasted."""
    incidents, alert = opened()
    frozen, accuracy = alarm("camera_frozen", 10), alarm("accuracy", 10)
    incidents.take(seen(alert), report("a", 10, INPUT, frozen, *([accuracy] if with_the_fault else [])))
    incidents.take(report("a", 15, INPUT, frozen, accuracy), report("a", 20, INPUT, accuracy))
    *_, back = incidents.take(report("a", 30, INPUT, accuracy))
    assert (back.kind, back.severity, back.state) == ("input", "critical", "updated")
    assert incidents.take(report("a", 90, INPUT, accuracy)) == []
    (later,) = incidents.take(report("a", 91, replace(INPUT, signal="contrast"), accuracy))
    assert later.state == "updated"  # nobody has seen it as it is now


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


def test_a_command_in_nobody_s_name_is_refused() -> None:
    """The alert stays as it is."""
    incidents, alert = opened()
    assert incidents.ask(seen(alert, by="")) == []
    assert [letter.reason for letter in incidents.refused] == [Reason.COMMAND_REFUSED]
    assert [each.state for each in incidents.ask(silenced(alert))] == ["suppressed"]


def test_unsuppressing_lets_an_alert_be_received_again() -> None:
    """It, and the next ones of its kind; one that was never open opens."""
    incidents, alert = opened(NEVER_AGAIN)
    incidents.take(silenced(alert, ms(1_000)))
    (back,) = incidents.ask(asked(alert, "unsuppress"))
    assert (back.state, back.revision, back.suppressed_by) == ("updated", 2, None)
    incidents.take(silenced(alert, ms(1_000), by="bob"), report("a", 10), report("a", 20))
    (first,) = incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))
    assert (first.state, first.suppressed_by) == ("suppressed", "bob")
    (shown,) = incidents.ask(asked(first, "unsuppress"))
    assert (shown.alert_id, shown.state, shown.revision) == (first.alert_id, "opened", 1)
    incidents.take(report("a", 40), report("a", 50))
    assert [each.state for each in incidents.take(report("a", 60, alarm("input", 60)), report("z", 65))] == ["opened"]


def test_unsuppressing_after_the_end_lets_the_next_one_be_received() -> None:
    """The suppression outlived its alert."""
    incidents, alert = opened()
    incidents.take(silenced(alert, ms(1_000)), report("a", 10), report("a", 20))
    assert [each.state for each in incidents.ask(asked(alert, "unsuppress"))] == ["resolved"]
    assert [each.state for each in incidents.take(report("a", 30, alarm("input", 30)), report("z", 35))] == ["opened"]


@pytest.mark.parametrize("action", ["acknowledge", "suppress", "unsuppress"])
def test_a_command_leads_to_one_record_that_names_it(action: AlertAction) -> None:
    """Also where nothing changes by it: whoever asked is answered."""
    incidents, alert = opened()
    for number in range(3):
        command = asked(alert, action, at_ms=ms(6 + number))
        (answer,) = incidents.ask(command)
        assert (answer.command_id, answer.revision, answer.updated_at_ms) == (
            command.command_id,
            number + 1,
            command.at_ms,
        )
        assert (answer.kind, answer.severity, answer.by) == (alert.kind, alert.severity, NAME)
        assert incidents.ask(command) == []
    assert incidents.refused == []


def test_who_has_seen_an_alert_stands_on_it_until_it_is_another() -> None:
    """On every record of it, also while a fault holds it back."""
    incidents, alert = opened()
    (answer,) = incidents.ask(seen(alert))
    assert answer.acknowledged_by == "ada"
    frozen = alarm("camera_frozen", 10)
    _, quiet = incidents.take(report("a", 10, INPUT, frozen))
    assert (quiet.state, quiet.acknowledged_by, quiet.suppressed_by) == ("suppressed", "ada", None)
    *_, back = incidents.take(report("a", 20, INPUT), report("a", 30, INPUT))
    assert (back.state, back.acknowledged_by) == ("acknowledged", "ada")
    (worse,) = incidents.take(report("a", 40, INPUT, alarm("accuracy", 40)))
    assert (worse.state, worse.acknowledged_by) == ("updated", None)


def test_an_alert_that_a_fault_holds_back_can_be_commanded() -> None:
    """Seen, it comes back as seen; suppressed, it stays so when the fault is over."""
    incidents, alert = opened()
    frozen = alarm("camera_frozen", 10)
    incidents.take(report("a", 10, INPUT, frozen))
    (answer,) = incidents.ask(seen(alert))
    assert (answer.state, answer.acknowledged_by) == ("suppressed", "ada")
    assert answer.explanation.startswith("Kept quiet while the camera has a fault")
    (answer,) = incidents.ask(silenced(alert, ms(100)))
    assert (answer.state, answer.acknowledged_by, answer.suppressed_by) == ("suppressed", None, "ada")
    assert [each.kind for each in incidents.take(report("a", 20, INPUT), report("a", 40, INPUT))] == ["camera_frozen"]
    assert [each.state for each in incidents.take(report("z", 110))] == ["updated"]


def test_what_a_command_changed_survives_a_crash_and_not_an_abort() -> None:
    """The alert and the kinds that are to be quiet."""
    incidents, alert = opened()
    incidents.partition.abort([message(silenced(alert, ms(100)))])
    assert incidents.partition.state.camera("a").quiet == {}
    incidents.take(silenced(alert, ms(100)))
    incidents.partition.crash()
    (back,) = incidents.take(report("a", 50, INPUT), report("z", 110))
    assert (back.state, back.updated_at_ms) == ("updated", ms(100))


def test_other_topics_lead_to_no_command() -> None:
    """Incidents is the one that writes alerts, and reads none."""
    assert "alerts" not in READS
    assert "alerts" in WRITES
