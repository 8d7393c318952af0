"""Rollout's steps: candidate, shadow, champion on probation, champion; and every way back."""

import math
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye.contract.errors import Misconfigured, Reason
from catseye.contract.records import PairedOutcome
from catseye.models.stages import Stages
from catseye.runtime.heartbeats import Problems
from catseye.settings import load
from services.rollout import NAME
from services.rollout.__main__ import build, rules_of
from services.rollout.core import RolloutCore
from services.rollout.rollout_state import VEHICLES, Comparison, ModelState, RolloutState
from services.rollout.settings import RolloutSettings
from services.rollout.verdict import SHOWN, Rules
from tests.simulation.partitions import FakeMessage
from tests.simulation.rollout import CODEC, MODEL, START_MS, Rollout, command, core, event, pair, registering


def started(**rules: Any) -> Rollout:
    """Champion A, and B that is compared with it."""
    rollout = Rollout(**rules)
    assert rollout.receive(event("A", "champion")) == []
    assert rollout.receive(event("B", "candidate")) == [("B", "shadow", "compared")]
    return rollout


def on_probation(**rules: Any) -> Rollout:
    """B promoted by force over A."""
    rollout = Rollout(**rules)
    rollout.receive(event("A", "champion"))
    assert rollout.receive(event("B", "champion")) == [("A", "shadow", "probation")]
    return rollout


def pairs(champion: str, shadow: str, right: str, count: int, **changes: Any) -> list[PairedOutcome]:
    """So many frames on which those of *right* were right."""
    return [pair(champion, shadow, right, number, **changes) for number in range(count)]


# -- evidence


def test_a_better_candidate_is_promoted_as_soon_as_it_is_proved() -> None:
    """At the least number of labels; the champion before becomes its shadow, all with numbers."""
    rollout = started(labels_min=30)
    assert rollout.see(*pairs("A", "B", "B", 20), *pairs("A", "B", "A B", 9)) == []
    assert rollout.see(*pairs("A", "B", "A B", 20)) == [("B", "champion", "better"), ("A", "shadow", "probation")]
    _, promoted, probation = rollout.emitted
    assert (promoted.previous_version, promoted.by, promoted.cameras) == ("A", NAME, [])
    assert (promoted.sha256, promoted.signature, promoted.at_ms) == (
        event("B", "candidate").sha256,
        b"B",
        rollout.now_ms,
    )
    assert (promoted.metrics["pairs"], promoted.metrics["wins"], promoted.metrics["losses"]) == (30, 20, 0)
    assert promoted.metrics["accuracy_new"] == 1
    assert promoted.metrics["accuracy_old"] == pytest.approx(1 / 3)
    assert promoted.metrics["evidence_better"] > promoted.metrics["evidence_better_needed"] == pytest.approx(20)
    assert promoted.metrics["labels_to_promote"] == 0
    assert "labels_to_reject" not in promoted.metrics
    assert promoted.because.startswith("better: on 30 labelled frames that both predicted B is right on 100.0% and A")
    assert (probation.version, probation.metrics, probation.previous_version) == ("A", {}, None)
    assert rollout.alerts == []


def test_a_worse_candidate_is_rejected_and_the_next_one_has_its_turn() -> None:
    """Candidates wait in the order in which they came; evidence against one needs no least number of labels."""
    rollout = started()
    assert rollout.receive(event("C", "candidate"), event("D", "candidate")) == []
    assert rollout.see(*pairs("A", "B", "A", 7)) == [("B", "rejected", "worse")]
    assert rollout.wait() == [("C", "shadow", "compared")]
    assert "1 more wait" in rollout.emitted[-1].because
    assert rollout.see(*pairs("A", "B", "B", 100)) == []  # late labels of the comparison before
    assert rollout.see(*pairs("A", "C", "A", 7)) == [("C", "rejected", "worse")]
    assert rollout.wait() == [("D", "shadow", "compared")]


def test_the_ways_of_a_candidate_go_with_it() -> None:
    """Data set and decision of the training stand on each step, so that whoever decided learns of it."""
    rollout = Rollout()
    rollout.receive(event("A", "champion"), event("B", "candidate", decision_id="d", dataset_sha256="s"))
    rollout.see(*pairs("A", "B", "A", 7))
    assert [(each.decision_id, each.dataset_sha256) for each in rollout.emitted] == [("d", "s")] * 2


def test_how_it_stands_is_reported_at_twice_as_many_labels_each_time() -> None:
    """With what is still needed; ids differ, though nothing else changed."""
    rollout = started(labels_min=10, labels_max=1_000)
    mixed = [*pairs("A", "B", "B", 3), *pairs("A", "B", "A", 2), *pairs("A", "B", "A B", 5)]
    assert rollout.see(*mixed * 4) == [("B", "shadow", "comparing")] * 3
    first, second, third = rollout.emitted[1:]
    assert [each.metrics["pairs"] for each in (first, second, third)] == [10, 20, 40]
    assert len({first.event_id, second.event_id, third.event_id}) == 3
    assert f"about {third.metrics['labels_to_promote']:.0f} more labels to promote it" in third.because
    rollout = started(labels_min=10)
    rollout.see(*pairs("A", "B", "A", 4), *pairs("A", "B", "", 6))
    assert "more labels to reject it" in rollout.emitted[-1].because
    rollout = started(labels_min=10)
    rollout.see(*pairs("A", "B", "", 10))
    assert rollout.emitted[-1].because.endswith("no difference that labels could show soon; rejected after 5000")


def test_what_cannot_be_distinguished_is_rejected_in_the_end() -> None:
    """The champion stays: after so many labels, or so much time."""
    rollout = started(labels_min=10, labels_max=20)
    assert rollout.see(*pairs("A", "B", "A B", 20))[-1] == ("B", "rejected", "no_difference")
    rollout = started(labels_min=10, shadow_max_ms=60_000)
    rollout.see(*pairs("A", "B", "A B", 10))
    assert rollout.wait(49.9) == []
    assert rollout.wait(10.1) == [("B", "rejected", "no_difference")]
    rollout = started(labels_min=10, shadow_max_ms=60_000)
    assert rollout.wait(60) == [("B", "rejected", "too_few_labels")]
    assert "0 labelled frames in the time given, 10 needed" in rollout.emitted[-1].because


def test_views_of_one_vehicle_are_one_pair() -> None:
    """They are no independent evidence: a hundred of one vehicle reject nothing, one of each of seven do. A vehicle is
    a camera's, of one start of it; it stays known after a crash."""
    rollout = started()
    assert rollout.see(*pairs("A", "B", "A", 100, track="v0")) == []
    assert rollout.partition.state.pairs(MODEL, "all").count == 1
    rollout.crash()
    assert rollout.see(pair("A", "B", "A", track="v0")) == []
    assert rollout.partition.state.pairs(MODEL, "all").count == 1
    rollout.see(pair("A", "B", "A", track="v0", boot="c"), pair("A", "B", "A", track="v0", camera="x"))
    assert rollout.partition.state.pairs(MODEL, "all").count == 3
    seen = [pair("A", "B", "A", track=f"v{number}") for number in range(1, 5)]
    assert rollout.see(*seen[:3]) == []
    assert rollout.see(seen[3]) == [("B", "rejected", "worse")]


def test_vehicles_are_known_of_the_comparison_under_way_only() -> None:
    """Another candidate is judged on a vehicle that was seen before."""
    rollout = started()
    rollout.see(*(pair("A", "B", "A", track=f"v{number}") for number in range(7)))
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]
    rollout.see(pair("A", "C", "A", track="v6"))
    assert rollout.partition.state.pairs(MODEL, "all").count == 1


def test_the_last_vehicles_of_each_camera_are_remembered() -> None:
    """So many, that a state stays small; other cameras push none of them out, nor does a vehicle that comes again."""
    state = RolloutState()
    assert all(state.is_new_vehicle(MODEL, "a", number) for number in range(VEHICLES))
    assert all(state.is_new_vehicle(MODEL, "x", number) for number in range(VEHICLES))
    assert not any(state.is_new_vehicle(MODEL, "a", number) for number in range(VEHICLES))
    assert state.is_new_vehicle(MODEL, "a", VEHICLES)
    assert not state.is_new_vehicle(MODEL, "a", 1)
    assert state.is_new_vehicle(MODEL, "a", 0)  # the oldest, which is known no more


def test_labels_that_contradict_both_are_no_evidence() -> None:
    """Wrong labels promote nobody."""
    rollout = started(labels_min=10)
    assert [code for _, _, code in rollout.see(*pairs("A", "B", "", 1_000))] == ["comparing"] * 7


@pytest.mark.parametrize(("changes", "code"), [({"label": "car"}, "class_worse"), ({"camera": "x"}, "camera_worse")])
def test_a_candidate_that_falls_on_one_class_or_camera_is_rejected(changes: dict[str, str], code: str) -> None:
    """Though it is better in all; the numbers of each are on the event."""
    rollout = started(labels_min=1_000)
    other = {"camera": "y", "champion_predicted": "car", "shadow_predicted": "van", "label": "van"}
    falls = {"camera": "y", "champion_predicted": "car", "shadow_predicted": "van", "label": "car"} | changes
    wins = [pair("A", "B", "", n, **other) for n in range(60)]
    falls_x = [pair("A", "B", "", n, **falls) for n in range(14)]
    if "camera" in changes:  # so that no class falls
        falls_x = [each for n in range(14) for each in (falls_x[n], pair("A", "B", "", n, **other | {"label": "van"}))]
        wins += [pair("A", "B", "B", n, camera="y") for n in range(30)]
    (step,) = rollout.see(*wins, *falls_x)
    assert step == ("B", "rejected", code)
    rejected = rollout.emitted[-1]
    kind, name = ("class", "car") if code == "class_worse" else ("camera", "x")
    assert f"on {kind} {name} it is worse by more than 0.05" in rejected.because
    assert rejected.metrics[f"{kind}/{name}/difference"] == pytest.approx(-1)
    assert rejected.metrics["class/van/difference"] == pytest.approx(1)


def test_an_event_shows_the_worst_strata_only() -> None:
    """A fleet is large; a record is not."""
    rollout = started(labels_min=SHOWN + 10)
    rollout.see(*[pair("A", "B", "A B", camera=f"c{n:02}") for n in range(SHOWN + 9)])
    rollout.see(pair("A", "B", "A", camera="worst"))
    shown = [name for name in rollout.emitted[-1].metrics if name.startswith("camera/") and name.endswith("/pairs")]
    assert (len(shown), shown[0]) == (SHOWN, "camera/worst/pairs")


# -- probation


def test_a_new_champion_that_is_worse_is_rolled_back() -> None:
    """By evidence of either orientation: late labels of before the promotion count as well."""
    rollout = on_probation()
    reported = rollout.see(*pairs("A", "B", "A", 4), *pairs("B", "A", "A", 3))
    assert reported == [("A", "champion", "rollback_worse"), ("B", "rejected", "worse")]
    back, rejected = rollout.emitted[-2:]
    assert (back.previous_version, rejected.previous_version) == ("B", None)
    assert back.metrics["losses"] == rejected.metrics["losses"] == 7
    opened, resolved = rollout.alerts
    assert (opened.state, resolved.state, resolved.resolved_at_ms) == ("opened", "resolved", back.at_ms)
    assert opened == replace(resolved, state="opened", revision=0, resolved_at_ms=None)
    assert (opened.kind, opened.severity, opened.version, opened.camera) == ("model_version", "critical", "B", None)
    assert (opened.estimate, opened.reference, round(opened.threshold)) == (0.0, 1.0, 20)
    assert opened.evidence > opened.threshold
    assert START_MS < opened.since_ms <= back.at_ms
    assert "Version B of vehicles was worse than A, which is champion again after" in opened.explanation
    assert "on 7 labelled frames" in opened.explanation
    assert rollout.wait() == []
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]
    assert "with champion A" in rollout.emitted[-1].because


def test_a_new_champion_that_falls_on_a_class_is_rolled_back() -> None:
    """The same guard as before the promotion."""
    rollout = on_probation()
    rollout.see(*pairs("B", "A", "B", 60, label="van", champion_predicted="van", shadow_predicted="car"))
    reported = rollout.see(*pairs("B", "A", "A", 14))
    assert reported == [("A", "champion", "rollback_class_worse"), ("B", "rejected", "class_worse")]
    opened, resolved = rollout.alerts
    assert (opened.label, opened.camera, resolved.state) == ("car", None, "resolved")
    assert (opened.estimate, opened.reference, round(opened.threshold)) == (0.0, 1.0, 40)
    assert opened.evidence > opened.threshold


def test_a_new_champion_that_falls_on_a_camera_is_reported_of_that_camera() -> None:
    """With the numbers there."""
    rollout = on_probation()
    rollout.see(*pairs("B", "A", "B", 60))
    reported = rollout.see(*pairs("B", "A", "A", 16, camera="far"))
    assert reported == [("A", "champion", "rollback_camera_worse"), ("B", "rejected", "camera_worse")]
    opened, _ = rollout.alerts
    assert (opened.camera, opened.cameras, opened.label) == ("far", ["far"], None)
    assert (opened.estimate, opened.reference) == (0.0, 1.0)


def test_probation_ends_by_labels_or_time() -> None:
    """Then the champion before it is retired, and the next candidate has its turn."""
    rollout = on_probation(probation_labels=40)
    rollout.receive(event("C", "candidate"))
    assert rollout.see(*pairs("B", "A", "A B", 40)) == [("A", "retired", "probation_passed")]
    assert rollout.wait() == [("C", "shadow", "compared")]
    rollout = on_probation(probation_max_ms=60_000)
    assert rollout.wait(60) == [("A", "retired", "probation_passed")]
    assert rollout.wait(1_000_000) == []


# -- a person, and settings


def test_a_promotion_may_need_a_yes() -> None:
    """It says so once and waits; evidence against it is still heard; a person's yes is a promotion."""
    rollout = started(labels_min=10, approval=True, shadow_max_ms=600_000)
    assert rollout.see(*pairs("A", "B", "B", 12)) == [("B", "shadow", "approval")]
    assert rollout.emitted[-1].because.endswith("; a person has to say yes: catseye models promote B")
    assert rollout.see(*pairs("A", "B", "B", 30)) == []
    assert rollout.wait(1_000) == []
    assert rollout.receive(event("B", "champion")) == [("A", "shadow", "probation")]
    rollout = started(labels_min=10, approval=True)
    assert rollout.see(*pairs("A", "B", "B", 10)) == [("B", "shadow", "approval")]
    assert rollout.see(*pairs("A", "B", "A", 60)) == [("B", "rejected", "worse")]


def test_a_canary_gets_it_first() -> None:
    """Some cameras for a while, then all; or back, if something speaks against it."""
    rules: dict[str, Any] = {"labels_min": 10, "canary_cameras": ("x", "y"), "canary_ms": 60_000}
    rollout = started(**rules)
    assert rollout.see(*pairs("A", "B", "B", 10)) == [("B", "champion", "canary")]
    assert rollout.emitted[-1].cameras == ["x", "y"]
    assert rollout.wait(59) == []
    assert rollout.wait(1) == [("B", "champion", "canary_passed"), ("A", "shadow", "probation")]
    assert (rollout.emitted[-2].cameras, rollout.emitted[-2].previous_version) == ([], "A")
    rollout = started(**rules)
    rollout.see(*pairs("A", "B", "B", 10))
    assert rollout.see(*pairs("A", "B", "A", 60)) == [("B", "rejected", "worse")]
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]


def test_a_persons_canary_is_no_champion() -> None:
    """Unless there is no other."""
    rollout = started()
    assert rollout.receive(event("B", "champion", cameras=["x"])) == []
    rollout = Rollout()
    rollout.receive(event("A", "champion", cameras=["x"]))
    assert rollout.receive(event("B", "candidate")) == [("B", "shadow", "compared")]


def test_a_person_may_promote_another_one_meanwhile() -> None:
    """The one that was compared is compared with the new champion afterwards."""
    rollout = started(probation_labels=10)
    assert rollout.receive(event("C", "champion")) == [("A", "shadow", "probation")]
    rollout.see(*pairs("C", "A", "A C", 10))
    assert rollout.wait() == [("B", "shadow", "compared")]
    assert "champion C" in rollout.emitted[-1].because


def test_a_person_may_promote_a_third_one_during_probation() -> None:
    """The shadow of the probation that is over need not predict any more."""
    rollout = on_probation()
    assert rollout.receive(event("C", "champion")) == [
        ("A", "retired", "probation_ended"),
        ("B", "shadow", "probation"),
    ]


def test_a_person_may_roll_back() -> None:
    """Two words, in either order; no probation for the champion that comes back, and nothing is repeated."""
    words = event("A", "champion", previous_version="B", because="rolled back"), event("B", "rejected")
    for reported in (words, words[::-1]):
        rollout = on_probation()
        assert rollout.receive(*reported) == []
        assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]
        assert "champion A" in rollout.emitted[-1].because


def test_the_champion_before_is_back_when_a_person_rejects_the_champion() -> None:
    """On probation and later; its place in the queue, if any, is gone. Without one before it nothing can be done."""
    rollout = on_probation()
    assert rollout.receive(event("B", "rejected")) == [("A", "champion", "champion_rejected")]
    assert rollout.emitted[-1].previous_version == "B"
    assert rollout.receive(event("A", "rejected")) == []
    rollout = on_probation(probation_labels=10)
    rollout.see(*pairs("B", "A", "A B", 10))
    rollout.receive(event("C", "candidate"), event("A", "candidate"))
    assert rollout.receive(event("B", "retired")) == [
        ("A", "champion", "champion_rejected"),
        ("C", "shadow", "compared"),
    ]
    assert rollout.see(*pairs("A", "C", "A", 7)) == [("C", "rejected", "worse")]
    assert rollout.wait() == []


def test_the_candidate_under_way_is_compared_with_the_champion_that_comes_back() -> None:
    """Its comparison was with one that is gone."""
    rollout = on_probation(probation_labels=10)
    rollout.see(*pairs("B", "A", "A B", 10))
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]
    assert rollout.receive(event("B", "rejected")) == [
        ("A", "champion", "champion_rejected"),
        ("C", "shadow", "compared"),
    ]


def test_a_person_may_reject_whoever_waits_or_is_compared() -> None:
    """It is dropped; the next one has its turn. An old champion that is rejected ends the probation."""
    rollout = started()
    rollout.receive(event("C", "candidate"), event("D", "candidate"))
    assert rollout.receive(event("C", "rejected")) == []
    assert rollout.receive(event("B", "rejected")) == [("D", "shadow", "compared")]
    rollout = on_probation()
    rollout.receive(event("C", "candidate"))
    assert rollout.receive(event("A", "rejected")) == [("C", "shadow", "compared")]


def test_a_person_may_choose_who_is_compared() -> None:
    """It comes at once; the one under way comes after it. A probation ends without a word on it."""
    rollout = started()
    assert rollout.receive(event("C", "shadow")) == [("C", "shadow", "compared")]
    assert rollout.receive(event("C", "shadow", because="again")) == []
    assert rollout.receive(event("A", "shadow")) == []
    rollout.see(*pairs("A", "C", "A", 7))
    assert rollout.wait() == [("B", "shadow", "compared")]
    rollout = on_probation()
    assert rollout.receive(event("C", "shadow")) == [("A", "retired", "probation_ended"), ("C", "shadow", "compared")]


def test_the_champion_before_may_be_the_shadow_already() -> None:
    """Whoever promotes may say so too; nothing else comes of it. One that is gone is not put on probation."""
    rollout = Rollout()
    rollout.receive(event("A", "champion"))
    assert rollout.receive(event("B", "champion"), event("A", "shadow")) == [("A", "shadow", "probation")]
    rollout = Rollout()
    rollout.receive(event("A", "champion"))
    assert rollout.receive(event("B", "champion"), event("A", "retired")) == []
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]


def test_a_champion_that_nothing_can_replace_goes_on() -> None:
    """Rejected by a person, with no other: candidates are compared with it, and none of them with itself."""
    rollout = started(labels_min=10)
    assert rollout.receive(event("A", "rejected"), event("A", "candidate")) == [("B", "shadow", "compared")]
    assert rollout.receive(event("A", "rejected", because="really")) == [("B", "shadow", "compared")]
    assert rollout.see(*pairs("A", "B", "B", 10)) == [("B", "champion", "better")]
    assert rollout.wait() == []


def test_a_former_champion_that_is_wanted_again_is_better_than_one_that_is_rejected() -> None:
    """Both were rejected; the one under way is compared with the one that is back."""
    rollout = on_probation()
    rollout.see(*pairs("B", "A", "A", 7))
    assert rollout.receive(event("A", "rejected"), event("C", "candidate")) == [("C", "shadow", "compared")]
    assert rollout.receive(event("B", "candidate")) == [
        ("B", "champion", "champion_rejected"),
        ("C", "shadow", "compared"),
    ]
    assert "with champion B" in rollout.emitted[-1].because


def test_a_candidate_that_is_announced_again_stays_what_it_became() -> None:
    """Unless it was rejected, and somebody wants it compared again."""
    rollout = started()
    assert rollout.receive(event("B", "candidate", because="again"), event("A", "candidate")) == []
    rollout.see(*pairs("A", "B", "A", 7))
    assert rollout.receive(event("B", "candidate")) == []  # the very same word, once more
    assert rollout.receive(event("B", "candidate", because="labels were wrong")) == [("B", "shadow", "compared")]
    assert len({each.event_id for each in rollout.emitted}) == len(rollout.emitted)


def test_the_champion_promoted_again_is_the_champion() -> None:
    """No probation against itself; nor is there anything to compare a candidate with before there is a champion."""
    rollout = Rollout()
    assert rollout.receive(event("B", "candidate"), event("A", "candidate")) == []
    assert rollout.receive(event("A", "champion")) == [("B", "shadow", "compared")]
    assert rollout.receive(event("A", "champion", because="again")) == []


SIGNS = {"model": "signs"}


def test_models_do_not_mix() -> None:
    """Two models that have versions of the same name: what one predicts is no evidence about the other."""
    rollout = started()
    assert rollout.receive(event("A", "champion", **SIGNS)) == []
    assert rollout.receive(event("B", "candidate", **SIGNS)) == [("B", "shadow", "compared")]
    assert rollout.emitted[-1].model == "signs"
    mixed = [*pairs("A", "B", "A", 6, **SIGNS), *pairs("A", "B", "B", 6), *pairs("A", "B", "A", 1, **SIGNS)]
    assert rollout.see(*mixed) == [("B", "rejected", "worse")]
    assert rollout.emitted[-1].model == "signs"


def serving(rollout: Rollout) -> tuple[tuple[str, str], list[str]]:
    """Who serves all cameras by the register, and what its shadow is."""
    stages = Stages()
    for each in rollout.register:
        stages.on_event(each)
    champion = stages.serving("champion").everywhere
    assert champion is not None
    return (champion.model, champion.version), [each.version for each in stages.serving("shadow").each()]


def test_a_champion_of_another_name_replaces_the_one_that_serves() -> None:
    """A fleet has one champion: what was compared before waits, and goes on once its own model serves again."""
    rollout = started()
    rollout.see(*pairs("A", "B", "A", 6))
    assert rollout.ask(registering(event("S", "champion", **SIGNS))) == []
    assert serving(rollout) == (("signs", "S"), [])
    assert rollout.see(pair("A", "B", "A", 6)) == []  # a late label of the frames before
    assert rollout.wait(1e6) == []
    assert rollout.ask(command("promote", "A")) == [("B", "shadow", "compared")]
    assert serving(rollout) == ((MODEL, "A"), ["B"])
    assert rollout.see(*pairs("A", "B", "A", 6)) == []
    assert rollout.see(pair("A", "B", "A", 6)) == [("B", "rejected", "worse")]


def test_a_rollback_goes_to_the_champion_before_whatever_its_name() -> None:
    """And what was on probation when the other one came is on probation no more."""
    rollout = on_probation()
    assert rollout.ask(registering(event("S", "champion", **SIGNS))) == [("A", "retired", "probation_ended")]
    assert rollout.ask(command("roll_back", "S", **SIGNS)) == []
    asked = [(each.model, each.version, each.stage) for each in rollout.written if each.command_id is not None]
    assert asked[-2:] == [(MODEL, "B", "champion"), ("signs", "S", "rejected")]
    assert serving(rollout) == ((MODEL, "B"), [])
    assert rollout.refused == []


def test_a_rollback_of_a_model_that_does_not_serve_is_refused() -> None:
    """With who does."""
    rollout = on_probation()
    rollout.ask(registering(event("S", "champion", **SIGNS)))
    rollout.ask(command("roll_back"))
    (letter,) = rollout.refused
    assert letter.detail.startswith("vehicles has no champion: signs S is champion of all cameras, and a rollback is")
    assert serving(rollout) == (("signs", "S"), [])


def test_a_champion_of_another_name_that_was_rejected_falls_back_to_the_one_before() -> None:
    """As an old register may have it: rollout writes down who serves already."""
    rollout = started()
    rollout.receive(event("S", "champion", **SIGNS))
    assert rollout.receive(event("S", "rejected", **SIGNS)) == [
        ("A", "champion", "champion_rejected"),
        ("B", "shadow", "compared"),
    ]
    assert rollout.written[-1].model == MODEL
    assert serving(rollout) == ((MODEL, "A"), ["B"])


def test_a_state_that_knows_champions_by_name_learns_from_the_register_who_serves() -> None:
    """It was written before there was one champion; what was compared under another name waits."""
    rollout = Rollout()
    rollout.receive(event("S", "champion", **SIGNS), event("T", "candidate", **SIGNS))
    rollout.receive(event("A", "champion"), event("B", "candidate"))
    order = next(key for key, _ in rollout.partition.state_log if key == b"h")
    before = [row for row in rollout.partition.state_log if row[0] != order]
    rollout.partition.state_log[:] = before
    rollout.crash()
    assert rollout.partition.state.champions() == [(MODEL, "A"), ("signs", "S")]
    assert rollout.partition.state.of_model("signs").champion == ""
    assert serving(rollout) == ((MODEL, "A"), ["B"])


# -- replays and bad input


def test_nothing_is_done_before_the_register_is_read() -> None:
    """A register that is read again from the start, with all state lost, leads to no step that was taken back since;
    nor do the commands and labels that led to it."""
    rollout = started(labels_min=10)
    rollout.see(*pairs("A", "B", "B", 10), *pairs("B", "A", "A", 30))
    assert [code for _, _, code in rollout.steps()] == ["compared", "better", "probation", "rollback_worse", "worse"]
    again = Rollout(rollout.register, labels_min=10)
    for message in rollout.commands:
        again.take([message])
        again.take(rollout.pairs[:5])
        again.now_ms += 500
    assert again.written == []
    assert again.wait() == []
    assert again.receive(event("C", "candidate")) == [("C", "shadow", "compared")]


def test_a_promotion_survives_a_lost_state() -> None:
    """The champion's probation goes on, or stays over."""
    rollout = started(labels_min=10)
    rollout.see(*pairs("A", "B", "B", 10))
    assert Rollout(rollout.register).steps() == [("A", "shadow", "probation")]
    rollout.now_ms += 8 * 24 * 3_600_000
    assert rollout.wait() == [("A", "retired", "probation_passed")]
    assert Rollout(rollout.register).steps() == []


def test_a_log_that_is_read_again_counts_nothing_twice() -> None:
    """With the state as it is: offsets of a group are forgotten sooner than a state topic."""
    rollout = started(labels_min=10)
    rollout.see(*pairs("A", "B", "A", 5))
    rollout.take([*rollout.commands, *rollout.pairs])
    rollout.crash()
    assert [code for _, _, code in rollout.steps()] == ["compared"]
    assert rollout.partition.state.pairs(MODEL, "all").count == 5


def test_labels_that_come_with_a_command_count_and_decide_after_it() -> None:
    """In one batch, whichever lies first; what fell stays fallen."""
    rollout = started(labels_min=1_000)
    vans = pairs("A", "B", "B", 60, label="van", champion_predicted="car", shadow_predicted="van")
    batch = [
        *rollout.paired([*vans, *pairs("A", "B", "A", 14)]),
        *rollout.commanded([registering(event("X", "candidate"))]),
    ]
    rollout.take(batch)
    assert rollout.steps()[1:] == [("B", "rejected", "class_worse")]
    assert rollout.wait() == [("X", "shadow", "compared")]


def test_a_clock_that_is_set_back_does_no_harm() -> None:
    """Commands are carried out at once all the same."""
    rollout = started()
    rollout.now_ms -= 3_600_000
    assert rollout.ask(command("reject", "B"), registering(event("C", "candidate"))) == [("C", "shadow", "compared")]
    rollout.now_ms -= 3_600_000
    assert rollout.wait() == []


@pytest.mark.parametrize("propensity", [0.0, -1.0, 1.5, math.nan])
def test_a_pair_with_an_impossible_propensity_is_refused(propensity: float) -> None:
    """As what cannot be read is: to the dead letters."""
    rollout = started()
    rollout.take(rollout.paired([pair("A", "B", "A", propensity=propensity)]))
    rollout.take([FakeMessage("model.commands", b"\x00"), FakeMessage("outcomes.paired", None)])
    letters = rollout.refused
    assert [letter.reason for letter in letters][:1] == [Reason.FIELD_OUT_OF_RANGE]
    assert [letter.topic for letter in letters] == ["outcomes.paired", "model.commands", "outcomes.paired"]
    assert rollout.partition.state.pairs(MODEL, "all").count == 0


def test_a_version_that_was_never_received_of_is_no_version() -> None:
    """Asked for by name."""
    with pytest.raises(KeyError):
        Rollout().partition.state.version(MODEL, "A")


def test_the_counts_notify_what_happened() -> None:
    """By event."""
    service = core(Rules(labels_min=10))
    state = service.new_state()
    service.on_time({0: state}, START_MS)
    candidate = registering(event("B", "candidate"))
    asked = [registering(event("A", "champion")), candidate, candidate, command("promote", "Z")]
    messages = [FakeMessage("model.commands", CODEC.encode(each), n) for n, each in enumerate(asked)]
    service.on_batch(messages, {0: state}, START_MS)
    service.on_time({0: state}, START_MS + 1_000)
    seen = [*pairs("A", "B", "A", 7), pair("A", "Z", "A")]
    service.on_batch(
        [FakeMessage("outcomes.paired", CODEC.encode(each), n) for n, each in enumerate([*seen, seen[0]])],
        {0: state},
        START_MS + 1_000,
    )
    service.on_batch([FakeMessage("outcomes.paired", CODEC.encode(seen[0]), 0)], {0: state}, START_MS + 1_000)
    assert service.counted() == {
        "command_register": 2,
        "command_repeated": 1,
        "dead_command_refused": 1,
        "emitted_champion": 1,
        "emitted_candidate": 1,
        "emitted_shadow": 1,
        "pair": 7,
        "pair_of_no_comparison": 2,
        "emitted_rejected": 1,
        "pair_repeated": 1,
    }


# -- commands


def test_a_command_leads_to_events_that_name_it() -> None:
    """At once, once each, by who asked; what follows of it is rollout's own."""
    rollout = Rollout()
    asked = registering(event("A", "champion", metrics={"a": 1.0}, decision_id="d", dataset_sha256="s"))
    rollout.take(rollout.commanded([asked]))
    (registered,) = rollout.written
    assert registered == replace(
        event("A", "champion", metrics={"a": 1.0}, decision_id="d", dataset_sha256="s"),
        event_id=registered.event_id,
        at_ms=rollout.now_ms,
        command_id=asked.command_id,
    )
    rollout.ask(registering(event("B", "candidate")), command("promote", "B", by="ann", reason="it rains"))
    promoted, probation = rollout.written[-2:]
    assert (promoted.version, promoted.stage, promoted.previous_version) == ("B", "champion", "A")
    assert (promoted.by, promoted.because) == ("ann", "it rains")
    assert promoted.command_id == command("promote", "B", by="ann", reason="it rains").command_id
    assert (probation.version, probation.stage, probation.by, probation.command_id) == ("A", "shadow", NAME, None)
    ids = [each.event_id for each in rollout.written]
    assert len(set(ids)) == len(ids)
    assert rollout.wait() == []


def test_a_rollback_by_a_person_is_whole() -> None:
    """Both events by one command; no probation for the champion that comes back."""
    rollout = on_probation()
    asked = command("roll_back", reason="it rains")
    assert rollout.ask(asked) == []
    assert [(each.version, each.stage, each.command_id) for each in rollout.written[-2:]] == [
        ("A", "champion", asked.command_id),
        ("B", "rejected", asked.command_id),
    ]
    assert rollout.receive(event("C", "candidate")) == [("C", "shadow", "compared")]
    assert "champion A" in rollout.emitted[-1].because


def test_a_command_that_cannot_be_carried_out_is_a_dead_letter() -> None:
    """It says why and names the command; what others ask for in the same batch is done."""
    rollout = started()
    wrong = [command("promote", "A"), command("reject", "A"), command("promote", "Z"), command("approve", "B")]
    assert rollout.ask(*wrong, command("reject", "B"), command("roll_back")) == []
    assert {letter.reason for letter in rollout.refused} == {Reason.COMMAND_REFUSED}
    reported = [letter.detail for letter in rollout.refused]
    assert reported[0] == f"vehicles A is the champion already (command {wrong[0].command_id})"
    assert [detail.partition(" (command")[0].partition(":")[0] for detail in reported[1:]] == [
        "vehicles A is the champion",
        "vehicles has no version Z",
        "vehicles B waits for no approval",
        "vehicles A has no champion before it that was not rejected",
    ]
    assert rollout.written[-1].stage == "rejected"


def test_a_command_that_was_refused_is_not_assessed_again() -> None:
    """Though it would be carried out now, and though its offset comes again."""
    rollout = started()
    assert rollout.ask(command("promote", "C")) == []
    rollout.receive(event("C", "candidate"))
    rollout.take(rollout.commands)
    assert len(rollout.refused) == 1
    assert rollout.partition.state.of_model(MODEL).champion == "A"


def test_a_yes_is_an_approval() -> None:
    """Where one is waited for."""
    rollout = started(labels_min=10, approval=True)
    assert rollout.ask(command("approve", "B")) == []
    assert len(rollout.refused) == 1
    assert rollout.see(*pairs("A", "B", "B", 12)) == [("B", "shadow", "approval")]
    assert rollout.ask(command("approve", "B", by="ann")) == [("A", "shadow", "probation")]
    assert (rollout.written[-2].version, rollout.written[-2].stage, rollout.written[-2].by) == ("B", "champion", "ann")


def test_a_command_is_carried_out_on_a_register_that_others_wrote() -> None:
    """In the first batch too: rollout starts on a fleet that had none, or lost its state."""
    rollout = Rollout([event("A", "champion"), event("B", "candidate"), event("B", "champion")])
    again = Rollout(rollout.register[:3])
    again.partition.crash()
    again.partition.state_log.clear()
    again.partition.crash()
    again.take(again.commanded([command("roll_back")]))
    assert again.refused == []
    assert [(each.version, each.stage) for each in again.written[-2:]] == [("A", "champion"), ("B", "rejected")]


# -- settings


@pytest.mark.usefixtures("bare_environment")
def test_settings_become_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """In milliseconds; rollout's topics have one partition, whatever cameras have."""
    monkeypatch.setenv("CATSEYE_PARTITIONS", "12")
    settings = load(RolloutSettings, service=NAME)
    assert (settings.partitions, rules_of(settings)) == (1, Rules())
    monkeypatch.setenv("CATSEYE_ROLLOUT_CANARY_CAMERAS", "a, b,")
    monkeypatch.setenv("CATSEYE_ROLLOUT_CANARY_H", "0.5")
    settings = load(RolloutSettings, service=NAME)
    assert rules_of(settings) == Rules(canary_cameras=("a", "b"), canary_ms=1_800_000)
    monkeypatch.setattr("services.rollout.__main__.subscribe", lambda *_, **__: nullcontext([event("A", "champion")]))
    built = build(settings, CODEC, None, Problems())
    assert isinstance(built, RolloutCore)
    state = built.new_state()
    built.on_time({0: state}, START_MS)
    assert state.of_model(MODEL).champion == "A"


@pytest.mark.usefixtures("bare_environment")
def test_a_minimum_over_the_maximum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, in words."""
    monkeypatch.setenv("CATSEYE_ROLLOUT_LABELS_MAX", "49")
    with pytest.raises(Misconfigured, match=r"CATSEYE_ROLLOUT_LABELS_MAX: .*must not be under"):
        load(RolloutSettings, service=NAME)


def test_states_of_before_have_another_name_for_what_was_reported() -> None:
    """Pairs that were reported stay so, and what is written has the name of today, like nothing else that changes."""
    comparison = Comparison(comparison_id="c", new="B", old="A", probation=False, since_ms=1, reported_pairs=7)
    today = msgspec.msgpack.encode(ModelState(champion="A", comparison=comparison))
    before = today.replace(b"\xaereported_pairs", b"\xaatold_pairs")
    assert before != today
    state = RolloutState()
    state.restore(b"lvehicles", before)
    assert state.of_model("vehicles") == ModelState(champion="A", comparison=comparison)
    state.put_model("vehicles", state.of_model("vehicles"))
    assert state.changes() == []
    assert state.get(b"lvehicles") == today
