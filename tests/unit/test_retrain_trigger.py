"""The retrain trigger's policy: when it says yes, when no, and that it says either once."""

from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelEvent, Outcome, RetrainDecision, Stage, TrainingRequest
from services.retrain_trigger import NAME
from services.retrain_trigger.labels import Bucket, Held
from services.retrain_trigger.policy import Rules, decide
from services.retrain_trigger.trigger_state import Training, TriggerState

START_MS = 1_800_000_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
RULES = Rules(labels=20, labels_of_class=5, classes=2)
ENOUGH = {"car": 15, "bus": 5}


def alert(name: str = "a", kind: str = "concept", **changes: Any) -> Alert:
    """An alert of camera *name*, open since the start; its id is made of both."""
    opened = Alert(
        alert_id=digest(name, kind),
        revision=0,
        state="opened",
        kind=kind,
        severity="critical",
        camera=name,
        cameras=[name],
        signal="loss",
        phase="day",
        detector="e-sr",
        estimate=0.4,
        reference=0.1,
        evidence=20.0,
        threshold=10.0,
        model="vehicles",
        version="v1",
        since_ms=START_MS,
        opened_at_ms=START_MS,
        updated_at_ms=START_MS,
        explanation="",
        by="incidents",
    )
    return replace(opened, **changes)


def event(version: str, stage: Stage, at_ms: int, decision_id: str | None = None) -> ModelEvent:
    """One step of a version of the model."""
    return ModelEvent(
        event_id=digest(version, stage, at_ms),
        model="vehicles",
        version=version,
        stage=stage,
        sha256="",
        signature=b"",
        because="",
        by="trainer",
        at_ms=at_ms,
        decision_id=decision_id,
    )


def request(at_ms: int, by: str = "ada") -> TrainingRequest:
    """What a person asks for."""
    return TrainingRequest(
        request_id=digest("request", by, at_ms), model="vehicles", reason="a new road", by=by, at_ms=at_ms
    )


def request_before_version_3(at_ms: int, by: str = "ada") -> RetrainDecision:
    """The same as it stood on `retraining` before requests had a topic of their own."""
    return RetrainDecision(
        decision_id=digest("request", by, at_ms),
        model="vehicles",
        base_version="v1",
        accepted=False,
        because="request",
        detail="a new road",
        causes=[],
        by=by,
        decided_at_ms=at_ms,
    )


class Trigger:
    """Policy, state and labels, as the leader joins them, with a clock that is set by hand."""

    def __init__(self, rules: Rules = RULES, champion: bool = True) -> None:
        self.rules = rules
        self.state = TriggerState()
        self.labels: dict[str, Held] = {}
        self.now_ms = START_MS
        if champion:
            self.state.on_model(event("v1", "champion", START_MS - DAY_MS))

    def labelled(self, camera: str, by_class: dict[str, int], at_ms: int = START_MS) -> None:
        """Count labels of frames from *at_ms* on."""
        held = self.labels.get(camera, Held())
        self.labels[camera] = Held(buckets=held.buckets | {at_ms: Bucket(by_class)})

    def evaluate(self, after_ms: int = HOUR_MS) -> list[RetrainDecision]:
        """What is said *after_ms* later, and then known."""
        self.now_ms += after_ms
        reported = decide(self.rules, self.state, self.labels, self.now_ms)
        for decision in reported:
            self.state.on_decision(decision)
        return reported

    def reasons(self, after_ms: int = HOUR_MS) -> list[str]:
        """Codes of what is said *after_ms* later."""
        return [decision.because for decision in self.evaluate(after_ms)]

    def training(self) -> RetrainDecision:
        """A drift alert on camera a that has led to a training."""
        self.state.on_alert(alert())
        self.labelled("a", ENOUGH)
        (decision,) = self.evaluate()
        assert decision.accepted
        return decision


def test_an_alert_with_enough_labels_leads_to_one_training() -> None:
    """The record says why, with the numbers; and nothing more is said while the training runs."""
    trigger = Trigger()
    decision = trigger.training()
    assert decision == RetrainDecision(
        decision_id=digest("retraining", "yes", "", "drift", alert().alert_id),
        model="vehicles",
        base_version="v1",
        accepted=True,
        because="drift",
        detail="concept on a; 20 fresh labels of a (bus 5, car 15)",
        causes=[alert().alert_id],
        fresh_labels={"bus": 5, "car": 15},
        by=NAME,
        decided_at_ms=START_MS + HOUR_MS,
    )
    assert trigger.evaluate(0) == trigger.evaluate() == []


def test_an_alert_must_last() -> None:
    """One that resolves before it is confirmed was never up for decision."""
    trigger = Trigger()
    trigger.state.on_alert(alert())
    assert trigger.evaluate(trigger.rules.confirm_ms - 1) == []
    trigger.state.on_alert(alert(state="resolved", revision=1))
    assert trigger.evaluate() == []
    trigger.state.on_alert(alert(revision=2, opened_at_ms=trigger.now_ms))
    assert trigger.evaluate(trigger.rules.confirm_ms - 1) == []
    assert trigger.reasons(1) == ["too_few_labels"]


@pytest.mark.parametrize(
    ("opened", "because"),
    [
        (alert(kind="camera_frozen"), "camera_fault"),
        (alert(kind="camera_silent"), "camera_fault"),
        (alert(kind="labels_missing"), "labels_missing"),
        (alert(state="suppressed"), "suppressed"),
        (alert(kind="model_version"), "kind_not_counted"),
        (alert(kind="telemetry"), "kind_not_counted"),
        (alert(kind="input", severity="warning"), "accuracy_holds"),
        (alert(kind="class_mix", severity="info"), "accuracy_holds"),
        (alert(version="v0"), "other_version"),
        (alert(model="signs"), "other_version"),
    ],
)
def test_what_never_starts_a_training(opened: Alert, because: str) -> None:
    """However many labels there are; it is said once, at once, and by its cause."""
    trigger = Trigger()
    trigger.labelled("a", {"car": 1_000, "bus": 1_000})
    trigger.state.on_alert(opened)
    (decision,) = trigger.evaluate(0)
    assert (decision.accepted, decision.because, decision.causes) == (False, because, [opened.alert_id])
    assert decision.decision_id == digest("retraining", "no", because, opened.alert_id)
    assert trigger.evaluate(DAY_MS) == []


@pytest.mark.parametrize("opened", [alert(kind="input"), alert(kind="class_mix"), alert(state="acknowledged")])
def test_what_starts_one(opened: Alert) -> None:
    """Changed pictures once accuracy has fallen; a person's having seen the alert is no reason against it."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(opened)
    assert trigger.reasons() == ["drift"]


def test_a_change_without_loss_may_be_made_to_count() -> None:
    """`needs_impaired` is a setting."""
    trigger = Trigger(Rules(labels=20, labels_of_class=5, needs_impaired=frozenset()))
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(alert(kind="input", severity="warning"))
    assert trigger.reasons() == ["drift"]


def test_a_fault_of_the_same_camera_holds_its_drift_back() -> None:
    """And no longer than it is open."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(alert(kind="camera_blurred"))
    trigger.state.on_alert(alert())
    (decision,) = trigger.evaluate()
    assert decision.because == "camera_fault"
    assert set(decision.causes) == {alert().alert_id, alert(kind="camera_blurred").alert_id}
    assert decision.detail == (
        "camera_blurred on a, concept on a: a camera that does not see well is mended, not learnt from"
        if alert(kind="camera_blurred").alert_id < alert().alert_id
        else "concept on a, camera_blurred on a: a fault of the same camera is open"
    )
    trigger.state.on_alert(alert(kind="camera_blurred", state="resolved", revision=1))
    assert trigger.reasons() == ["drift"]


def reopened(trigger: Trigger, times: int, **changes: Any) -> Alert:
    """The record that an alert came back."""
    back = alert(revision=2 * times, times_opened=times, reopened_at_ms=trigger.now_ms, **changes)
    trigger.state.on_alert(back)
    return back


def test_an_alert_that_comes_and_goes_starts_no_training_until_it_stays() -> None:
    """It has been open since it came back, not since it first opened; nor is it held back for having come and gone."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    for times in range(1, 20):
        back = reopened(trigger, times)
        assert trigger.evaluate(trigger.rules.confirm_ms - 1) == []
        trigger.state.on_alert(replace(back, state="resolved", revision=back.revision + 1))
        assert trigger.evaluate() == []
    reopened(trigger, 20)
    assert trigger.reasons(trigger.rules.confirm_ms) == ["drift"]


def test_a_fault_that_comes_and_goes_is_answered_once_and_holds_drift_back_no_longer_than_it_lasts() -> None:
    """The same alert each time it is back: one refusal of each alert in the log, and the training once it is away."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(alert())
    reasons = []
    for times in range(1, 20):
        fault = reopened(trigger, times, kind="camera_silent")
        reasons += trigger.reasons(10_000)
        trigger.state.on_alert(replace(fault, state="resolved", revision=fault.revision + 1))
    assert reasons == ["camera_fault"]
    assert trigger.reasons() == ["drift"]


def test_labels_of_a_faulty_camera_do_not_count() -> None:
    """The fleet's alert counts all others."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    trigger.labelled("b", {"car": 3})
    trigger.state.on_alert(alert(kind="camera_moved"))
    trigger.state.on_alert(alert(kind="accuracy_floor", camera=None, cameras=[], group="fleet"))
    declined = {decision.because: decision for decision in trigger.evaluate()}
    assert declined["too_few_labels"].fresh_labels == {"car": 3}
    assert declined["too_few_labels"].detail == (
        "accuracy_floor on fleet; 3 fresh labels of all cameras (car 3); 20 are needed, with 5 of each of 2 classes"
    )


def test_labels_must_be_enough_by_class_and_fresh() -> None:
    """Of the cameras concerned, of frames since the drift began; the no is said once, the yes when it is time."""
    trigger = Trigger()
    trigger.state.on_alert(alert())
    trigger.labelled("a", {"car": 500, "bus": 500}, START_MS - 1)
    trigger.labelled("b", {"car": 500, "bus": 500})
    trigger.labelled("a", {"car": 100, "bus": 4})
    (decision,) = trigger.evaluate()
    assert (decision.because, decision.fresh_labels) == ("too_few_labels", {"bus": 4, "car": 100})
    trigger.labelled("a", {"bus": 1}, START_MS + 1)
    assert trigger.reasons() == ["drift"]


def test_labels_since_the_champion_was_trained_count() -> None:
    """Not since it was promoted, and none that it may have learnt from."""
    trigger = Trigger()
    trigger.state.on_model(event("v2", "candidate", START_MS + MINUTE_MS))
    trigger.state.on_model(event("v2", "champion", START_MS + 30 * MINUTE_MS))
    trigger.state.on_alert(alert(version="v2"))
    trigger.labelled("a", ENOUGH)
    assert trigger.reasons() == ["too_few_labels"]
    trigger.labelled("a", ENOUGH, START_MS + MINUTE_MS)
    assert trigger.reasons() == ["drift"]


def test_several_alerts_are_one_reason() -> None:
    """All that count are causes of the one decision; labels of all their cameras add up."""
    trigger = Trigger()
    for camera in "abcd":
        trigger.state.on_alert(alert(camera))
        trigger.labelled(camera, {"car": 3, "bus": 2})
    (decision,) = trigger.evaluate()
    assert decision.causes == sorted(alert(camera).alert_id for camera in "abcd")
    assert decision.fresh_labels == {"bus": 8, "car": 12}
    assert " and 1 more; 20 fresh labels of a, b, c and 1 more " in decision.detail


def test_one_training_at_a_time() -> None:
    """Another alert hears that one runs, once; the one that led to it hears nothing."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_alert(alert("b"))
    (declined,) = trigger.evaluate()
    assert (declined.because, declined.causes) == ("training_open", [alert("b").alert_id])
    assert declined.detail == f"training {decision.decision_id} was decided 60.0 min ago and has no candidate yet"
    assert trigger.evaluate() == []


def test_a_training_that_never_ends_is_abandoned() -> None:
    """Then the same alert may lead to another one, under another id, with the labels that nobody learnt from."""
    trigger = Trigger()
    first = trigger.training()
    assert trigger.evaluate(trigger.rules.training_timeout_ms - 1) == []
    (second,) = trigger.evaluate(1)
    assert second.accepted
    assert second.causes == first.causes
    assert second.decision_id == digest("retraining", "yes", first.decision_id, "drift", *first.causes)


def test_a_candidate_is_compared_before_another_is_trained() -> None:
    """Until it is rejected; then only labels count that its training had not seen."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_model(event("v2", "candidate", trigger.now_ms, decision.decision_id))
    trigger.state.on_model(event("v2", "shadow", trigger.now_ms))
    trigger.state.on_alert(alert("b"))
    (declined,) = trigger.evaluate()
    assert (declined.because, declined.causes) == ("candidate_open", [alert("b").alert_id])
    assert declined.detail == "v2, decided 60.0 min ago, is still compared with the champion"
    trigger.state.on_model(event("v2", "rejected", trigger.now_ms))
    assert trigger.reasons() == ["too_few_labels"]
    trigger.labelled("a", ENOUGH, trigger.now_ms)
    assert trigger.reasons() == ["drift"]


def test_a_rejection_in_the_trainer_ends_the_training() -> None:
    """A candidate that its gate did not let through was never announced as one."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_model(event("v2", "rejected", trigger.now_ms, decision.decision_id))
    trigger.labelled("a", ENOUGH, trigger.now_ms)
    assert trigger.reasons() == ["drift"]


def test_a_comparison_without_end_holds_nothing_back_for_ever() -> None:
    """After its time-out the next training may start."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_model(event("v2", "candidate", trigger.now_ms, decision.decision_id))
    trigger.labelled("a", ENOUGH, trigger.now_ms)
    assert trigger.evaluate(trigger.rules.comparison_timeout_ms - 1) == []
    assert trigger.reasons(1) == ["drift"]


def test_trainings_keep_their_distance() -> None:
    """The cool-down counts from one yes to the next."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_model(event("v2", "rejected", trigger.now_ms, decision.decision_id))
    trigger.labelled("a", ENOUGH, trigger.now_ms)
    (declined,) = trigger.evaluate(5_000)
    assert (declined.because, declined.detail) == (
        "cool_down",
        "the last training was decided 5 s ago; 60.0 min must pass",
    )
    assert trigger.evaluate(RULES.cool_down_ms - 5_001) == []
    assert trigger.reasons(1) == ["drift"]


def rejected(trigger: Trigger, version: str, decision: RetrainDecision, because: str) -> None:
    """A candidate that came of *decision* did not become champion; labels came since."""
    rejected = event(version, "rejected", trigger.now_ms, decision.decision_id)
    trigger.state.on_model(replace(rejected, because=because))
    trigger.labelled("a", ENOUGH, trigger.now_ms)


@pytest.mark.parametrize(
    "because", ["gate: worse by more than 1.0%: golden", "class_worse: car", "no_difference: of 9"]
)
def test_a_rejected_candidate_leads_to_another_try(because: str) -> None:
    """Sooner than the cool-down, each in a row later than the one before, and within the week's budget."""
    trigger = Trigger(replace_rules(budget=3))
    decision = trigger.training()
    rejected(trigger, "v2", decision, because)
    (declined,) = trigger.evaluate(RULES.retry_ms - 1)
    assert (declined.because, declined.detail.rpartition("; ")[2]) == ("cool_down", "10.0 min must pass")
    (again,) = trigger.evaluate(1)
    assert again.accepted
    rejected(trigger, "v3", again, because)
    assert [each.because for each in trigger.evaluate(2 * RULES.retry_ms - 1) if each.accepted] == []
    (third,) = trigger.evaluate(1)
    assert third.accepted
    rejected(trigger, "v4", third, because)
    assert [each.because for each in trigger.evaluate(RULES.cool_down_ms)] == ["budget"]


@pytest.mark.parametrize("because", ["labels: four in ten are wrong", "superseded: another champion", "", "a person"])
def test_only_a_measured_candidate_leads_to_another_try(because: str) -> None:
    """Of wrong labels nothing was learned: the cool-down must pass."""
    trigger = Trigger()
    rejected(trigger, "v2", trigger.training(), because)
    assert [each.accepted for each in trigger.evaluate(RULES.cool_down_ms - 1)] == [False]
    assert trigger.reasons(1) == ["drift"]


def test_trainings_have_a_budget() -> None:
    """Of any seven days."""
    trigger = Trigger(replace_rules(budget=1))
    decision = trigger.training()
    trigger.state.on_model(event("v2", "rejected", trigger.now_ms, decision.decision_id))
    trigger.labelled("a", ENOUGH, trigger.now_ms)
    (declined,) = trigger.evaluate()
    assert (declined.because, declined.detail) == (
        "budget",
        "1 trainings in the last seven days; 1 are allowed",
    )
    assert trigger.evaluate(6 * DAY_MS) == []
    assert trigger.reasons(DAY_MS) == ["drift"]


def replace_rules(**changes: Any) -> Rules:
    """The rules of these tests, with some changed."""
    return Rules(**{"labels": 20, "labels_of_class": 5, "classes": 2} | changes)


@pytest.mark.parametrize("camera", ["a", None])
def test_without_labels_no_training_starts(camera: str | None) -> None:
    """Where labels have stopped, those that there were may tell of another road."""
    trigger = Trigger()
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(alert())
    missing = alert("missing", kind="labels_missing", camera=camera)
    trigger.state.on_alert(missing)
    reported = trigger.evaluate()
    assert [(decision.because, decision.causes) for decision in reported] == [
        ("labels_missing", [missing.alert_id]),
        ("labels_missing", [alert().alert_id]),
    ]
    assert reported[1].detail == f"the labels of the {'cameras concerned' if camera else 'fleet'} have stopped: " + (
        "there is an open alert"
    )
    trigger.state.on_alert(replace(missing, state="resolved", revision=1))
    assert trigger.reasons() == ["drift"]


def test_labels_that_stopped_elsewhere_matter_little() -> None:
    """One camera of two concerned still has them; and for the fleet one camera is not the fleet."""
    trigger = Trigger()
    trigger.labelled("b", ENOUGH)
    trigger.state.on_alert(alert("a", kind="labels_missing"))
    trigger.state.on_alert(alert("fleet", kind="accuracy_floor", camera=None))
    trigger.state.on_alert(alert("b"))
    assert trigger.reasons() == ["labels_missing", "drift"]


def test_a_training_starts_from_the_version_that_serves() -> None:
    """Neither a canary nor one that was rejected is that; one of another name is."""
    state = Trigger().state
    state.on_model(replace(event("v2", "champion", START_MS), cameras=["gate"]))
    assert state.champion == event("v1", "champion", START_MS - DAY_MS)
    state.on_model(event("v3", "champion", START_MS))
    state.on_model(event("v3", "rejected", START_MS))
    assert state.champion == event("v1", "champion", START_MS - DAY_MS)
    other = replace(event("v1", "champion", START_MS), model="signs")
    state.on_model(other)
    assert (state.champion, state.trained_ms) == (other, START_MS)


def test_without_a_champion_there_is_nothing_to_start_from() -> None:
    """The record has no base."""
    trigger = Trigger(champion=False)
    trigger.labelled("a", ENOUGH)
    trigger.state.on_alert(alert())
    (decision,) = trigger.evaluate()
    assert (decision.because, decision.model, decision.base_version) == ("no_champion", "", "")


def test_a_person_who_asks_need_not_wait() -> None:
    """Neither for an alert nor for the cool-down nor for the budget; the answer names the request."""
    trigger = Trigger(replace_rules(budget=0))
    asked = request(START_MS)
    trigger.state.on_request(asked)
    trigger.labelled("a", ENOUGH)
    (decision,) = trigger.evaluate(0)
    assert (decision.accepted, decision.because, decision.causes) == (True, "request", [asked.request_id])
    assert decision.detail == "ada asked for it; 20 fresh labels of all cameras (bus 5, car 15)"
    trigger.state.on_request(asked)
    assert trigger.evaluate() == []


def test_a_person_who_asks_in_vain_receives_why_once() -> None:
    """Too few labels, or a training that runs: whoever still wants it asks again."""
    trigger = Trigger()
    trigger.state.on_request(request(START_MS))
    (decision,) = trigger.evaluate()
    assert decision.detail == (
        "ada asked for it; 0 fresh labels of all cameras (none); 20 are needed, with 5 of each of 2 classes"
    )
    assert trigger.evaluate() == []
    trigger.training()
    trigger.state.on_request(request(START_MS + 1))
    assert trigger.reasons() == ["training_open"]
    trigger.state.on_request(request(START_MS + 1))
    assert trigger.evaluate(0) == []


def test_a_request_from_before_version_3_changes_nothing() -> None:
    """Whoever read it then has answered it; its answer is still known, whichever of the two is read first."""
    trigger = Trigger()
    old = request_before_version_3(START_MS)
    answer = replace(old, decision_id="1", because="too_few_labels", causes=[old.decision_id], by=NAME)
    trigger.state.on_decision(old)
    trigger.state.on_decision(answer)
    assert trigger.evaluate() == []
    trigger.state.on_request(request(START_MS))
    assert trigger.evaluate() == []
    trigger.labelled("a", ENOUGH)
    trigger.state.on_request(request(START_MS + 1))
    assert trigger.reasons() == ["request"]


def test_what_others_decline_is_not_ours() -> None:
    """A foreign no is nobody's request; a foreign yes is a training that runs."""
    trigger = Trigger()
    foreign = replace(request_before_version_3(START_MS), because="cool_down", causes=[alert().alert_id])
    trigger.state.on_decision(foreign)
    assert trigger.evaluate() == []
    trigger.state.on_decision(replace(foreign, decision_id="1", because="request", accepted=True))
    trigger.state.on_alert(alert("b"))
    assert trigger.reasons() == ["training_open"]


def test_a_training_may_be_due_by_the_calendar() -> None:
    """So long after the champion was trained, or the last decision; each time has an id of its own."""
    trigger = Trigger(replace_rules(schedule_ms=2 * DAY_MS))
    assert trigger.evaluate(DAY_MS - 1) == []
    assert trigger.reasons(1) == ["too_few_labels"]
    assert trigger.evaluate(DAY_MS) == []
    trigger.labelled("a", ENOUGH)
    (decision,) = trigger.evaluate(DAY_MS)
    assert (decision.accepted, decision.because) == (True, "schedule")
    assert decision.causes == [digest("schedule", "vehicles", "v1", START_MS - DAY_MS, 2)]
    assert decision.detail == "the last training was 4.0 d ago; 20 fresh labels of all cameras (bus 5, car 15)"
    trigger.state.on_model(event("v2", "rejected", trigger.now_ms, decision.decision_id))
    assert trigger.evaluate(2 * DAY_MS - 1) == []
    assert trigger.reasons(1) == ["too_few_labels"]


def test_a_schedule_needs_a_champion() -> None:
    """Nothing is due before there is a model."""
    assert Trigger(replace_rules(schedule_ms=1), champion=False).evaluate() == []


def test_who_reads_the_logs_again_says_nothing_again() -> None:
    """All alerts once more, in order and after them all at once: no decision that was not there."""
    trigger = Trigger()
    lifecycle = [
        alert(),
        alert(state="updated", revision=1),
        alert(state="resolved", revision=2),
        alert("b", kind="camera_frozen"),
        alert("b", kind="camera_frozen", state="resolved", revision=1),
    ]
    trigger.labelled("a", ENOUGH)
    reported = []
    for step in lifecycle:
        trigger.state.on_alert(step)
        reported += trigger.evaluate(MINUTE_MS)
    assert [decision.because for decision in reported] == ["drift", "camera_fault"]
    for step in lifecycle:
        trigger.state.on_alert(step)
        assert trigger.evaluate(DAY_MS) == []

    again = Trigger()
    again.labels = trigger.labels
    for decision in reported:
        again.state.on_decision(decision)
    for step in lifecycle:
        again.state.on_alert(step)
        assert again.evaluate(MINUTE_MS) == []


def test_of_two_records_of_an_alert_the_greater_revision_holds() -> None:
    """And of two of the same, written by a person and the service at once, the later one."""
    state = TriggerState()
    state.on_alert(alert(revision=3, state="suppressed"))
    state.on_alert(alert(revision=2))
    assert state.alerts[alert().alert_id].state == "suppressed"
    state.on_alert(alert(revision=3, state="updated"))
    assert state.alerts[alert().alert_id].state == "updated"


def test_ends_are_remembered_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest end is forgotten first."""
    monkeypatch.setattr("services.retrain_trigger.trigger_state.ENDED_MOST", 2)
    state = TriggerState()
    for camera in "abc":
        state.on_alert(alert(camera, state="resolved", revision=5))
    for camera in "abc":
        state.on_alert(alert(camera, revision=4))
    assert list(state.alerts) == [alert("a").alert_id]


def test_events_of_other_versions_settle_nothing() -> None:
    """The old champion's step back and a version that a person registered are not what the training waits for."""
    trigger = Trigger()
    decision = trigger.training()
    trigger.state.on_model(event("v2", "candidate", trigger.now_ms, decision.decision_id))
    trigger.state.on_model(event("v0", "retired", trigger.now_ms))
    trigger.state.on_model(event("v9", "rejected", trigger.now_ms, decision.decision_id))
    assert trigger.state.last == Training(decision=decision, version="v2")
    trigger.state.on_model(event("v2", "champion", trigger.now_ms))
    assert trigger.state.last == Training(decision=decision, version="v2", settled=True)


def outcome(label: str | None, received_at_ms: int, change: Any = "matched") -> Outcome:
    """An outcome of camera a."""
    return Outcome(
        camera="a",
        boot="1",
        sequence=0,
        captured_at_ms=received_at_ms,
        received_at_ms=received_at_ms,
        predicted_at_ms=received_at_ms,
        prediction_id="",
        model="vehicles",
        version="v1",
        role="champion",
        frame_partition=0,
        frame_offset=0,
        predicted="car",
        confidence=0.9,
        change=change,
        label=label,
        brightness=0.5,
        source="person",
        propensity=1.0,
        labelled_at_ms=received_at_ms,
        label_received_at_ms=received_at_ms,
        label_delay_ms=0,
    )
