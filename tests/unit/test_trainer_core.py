"""What the trainer does with a decision: one answer each, made of the decision alone."""

from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from catseye.contract.records import Alert, ModelEvent, RetrainDecision, Stage
from services.trainer.core import Pass, Refuse, Register, Train, answer, changed_cameras
from services.trainer.lessons import Lesson


def event(version: str, stage: Stage, *, model: str = "vehicles", decision_id: str | None = None) -> ModelEvent:
    """One step of a model."""
    return ModelEvent(
        event_id=f"{model}{version}{stage}",
        model=model,
        version=version,
        stage=stage,
        sha256="ab" * 32,
        signature=b"s",
        because="a test",
        by="a test",
        at_ms=1,
        decision_id=decision_id,
    )


def decision(
    *, decision_id: str = "d" * 32, accepted: bool = True, base_version: str = "one", causes: tuple[str, ...] = ()
) -> RetrainDecision:
    """A decision on the model vehicles."""
    return RetrainDecision(
        decision_id=decision_id,
        model="vehicles",
        base_version=base_version,
        accepted=accepted,
        because="drift",
        detail="",
        causes=list(causes),
        by="a test",
        decided_at_ms=1,
    )


def alert(alert_id: str, since_ms: int, camera: str | None, *cameras: str, incident_id: str = "") -> Alert:
    """An alert on cameras."""
    return Alert(
        alert_id=alert_id,
        revision=0,
        state="opened",
        kind="input",
        severity="warning",
        camera=camera,
        cameras=list(cameras),
        signal="",
        phase="",
        detector="",
        estimate=0,
        reference=0,
        evidence=0,
        threshold=0,
        model="vehicles",
        version="one",
        since_ms=since_ms,
        opened_at_ms=since_ms,
        updated_at_ms=since_ms,
        explanation="",
        by="a test",
        incident_id=incident_id,
    )


@dataclass
class Informed:
    """A register that was told events."""

    events: tuple[ModelEvent, ...] = field(default=(event("one", "champion"),))

    def on(self, asked: RetrainDecision) -> Train | Refuse | Pass:
        """What it says."""
        register = Register()
        for one in self.events:
            register.on_event(one)
        return register.on_decision(asked)


def test_an_accepted_decision_trains_from_the_champion() -> None:
    """The one that serves, whatever served before, under that name or another."""
    informed = Informed((event("zero", "champion"), event("x", "champion", model="people"), event("one", "champion")))
    assert informed.on(decision()) == Train(event("one", "champion"))


def test_a_decision_about_a_model_that_serves_no_more_is_superseded() -> None:
    """One of another name does; a canary does not."""
    canary = replace(event("two", "champion"), cameras=["gate"])
    assert Informed((event("one", "champion"), canary)).on(decision()) == Train(event("one", "champion"))
    informed = Informed((event("one", "champion"), event("x", "champion", model="people")))
    assert informed.on(decision()) == Refuse(
        "superseded: the decision was about model vehicles, the champion is now people x"
    )


def test_a_decision_that_names_no_version_is_about_the_champion() -> None:
    """A person may ask for a training without looking the version up."""
    assert Informed().on(decision(base_version="")) == Train(event("one", "champion"))


def test_a_training_knows_the_rejected_candidates_of_its_champion() -> None:
    """Those that were measured, in order of time; a new champion begins anew, a canary does not."""
    forgot = replace(event("two", "rejected", decision_id="c" * 32), because="gate: worse by more than 1.0%: golden")
    handed_in = event("three", "candidate", decision_id="b" * 32)
    no_better = replace(event("three", "rejected"), because="no_difference: of 900 labels")
    wrong = replace(event("four", "rejected", decision_id="a" * 32), because="labels: four in ten are wrong")
    by_hand = replace(event("five", "rejected"), because="worse: says a person of a model of another's")
    canary = replace(event("six", "champion"), cameras=["gate"])
    events = (event("one", "champion"), forgot, handed_in, no_better, wrong, by_hand, canary)
    lessons = (Lesson(fault="forgot"), Lesson(fault="too_little"))
    assert Informed(events).on(decision()) == Train(event("one", "champion"), lessons)
    assert Informed((*events, event("ten", "champion"))).on(decision(base_version="ten")) == Train(
        event("ten", "champion")
    )


def test_a_declined_decision_is_passed_by() -> None:
    """It is on record, and that is all."""
    assert Informed().on(decision(accepted=False)) == Pass("it was decided not to train")


@pytest.mark.parametrize("stage", ["candidate", "rejected"])
def test_an_answered_decision_is_passed_by(stage: Stage) -> None:
    """The trigger may write a decision twice, and the trainer may read it twice."""
    informed = Informed((event("one", "champion"), event("two", stage, decision_id="d" * 32)))
    assert informed.on(decision()) == Pass("answered before")
    assert informed.on(decision(decision_id="e" * 32)) == Train(event("one", "champion"))


def test_a_decision_about_an_earlier_champion_is_refused() -> None:
    """What was seen of that one says nothing about this one."""
    found = Informed().on(decision(base_version="zero"))
    assert found == Refuse("superseded: the decision was about version zero, the champion is now one")


def test_without_a_champion_there_is_nothing_to_go_on_from() -> None:
    """A candidate is none."""
    found = Informed((event("one", "candidate"),)).on(decision())
    assert found == Refuse("no_champion: model vehicles has no champion to go on from")


def test_an_answer_is_named_after_its_decision() -> None:
    """Done again after a crash, with another file and at another time, it has the same id."""
    one = answer(decision(), "candidate", "better", 1, sha256="12" * 32, signature=b"s", metrics={"a": 1.0})
    other = answer(decision(), "rejected", "worse", 2, sha256="34" * 32)
    assert one.command_id == other.command_id
    assert (one.version, one.decision_id, one.by, one.metrics) == ("121212121212", "d" * 32, "trainer", {"a": 1.0})


def test_a_refusal_without_a_file_is_no_version_that_exists() -> None:
    """Least of all the champion's, which would be taken for rejected."""
    found = answer(decision(), "rejected", "labels: many", 1, dataset_sha256="56" * 32)
    assert (found.version, found.sha256, found.signature) == ("d" * 12, None, None)
    assert (found.dataset_sha256, found.metrics) == ("56" * 32, {})


def test_changed_cameras_are_those_of_the_alerts_since_the_earliest() -> None:
    """Causes that are no alerts, such as a person's request, name no camera."""
    alerts = {
        "a": alert("a", 50, "north", "north", "south"),
        "b": alert("b", 30, None, "north"),
        "c": alert("c", 1, "x"),
    }
    found = changed_cameras(decision(causes=("a", "request", "b")), alerts)
    assert found == {"north": 30, "south": 50}


def test_all_cameras_of_an_incident_changed() -> None:
    """An alert names some of them only; each has an alert of its own in the incident, which says since when."""
    alerts = {
        "a": alert("a", 50, "north", "north", "south", incident_id="a"),
        "b": alert("b", 30, "south", "north", "south", incident_id="a"),
        "c": alert("c", 40, "west", "north", "west", incident_id="a"),
        "d": alert("d", 1, "x", incident_id="d"),
        "e": alert("e", 1, None, incident_id="a"),
        "f": alert("f", 20, "east"),
    }
    expected = {"north": 50, "south": 30, "west": 40, "east": 20}
    assert changed_cameras(decision(causes=("a", "f")), alerts) == expected
