"""Accuracy as labels come: unbiased by how frames were chosen, in each light, by class, and against a floor."""

from dataclasses import replace as changed_rules
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from catseye.contract.records import Outcome
from services.drift.detectors.esr import combined
from services.drift.layout import OUTCOME_FAMILIES
from services.drift.outcomes import Outcomes, expected, of_outcomes, outcomes, weigh
from services.drift.rules import Rules
from services.drift.streams import Fed, take, weights
from tests.simulation.cameras import CLASSES, QUICK, Camera, Watched, outcome
from tests.simulation.eight_classes import ACCURACY, BUCKETS, FAMILIES, LAYOUT, REFERENCE, STREAMS, WATCH

ROWS = np.zeros(1, np.int64)
STRICT = changed_rules(QUICK, false_per_week=1.0)
"""One false alarm a week: what alarms under it is no chance."""


def column(outputs: Outcome) -> Outcomes:
    """One outcome of row 0."""
    return outcomes(LAYOUT, [0], [outputs], [CLASSES], 0.18)


def one(**changes: Any) -> Outcome:
    shot = Camera(error_share=0).shot()
    return outcome(shot, shot.label, **changes)


def whole(losses: float = 0.05, phase: int = 1, weights: float = 1_000) -> NDArray[Any]:
    """A reference of labels in one phase."""
    known = np.zeros(1, REFERENCE)
    known["labels_closed"][0, phase] = 1
    for name in ("label_weights", "label_squares"):
        known[name][0, phase] = weights / 3
        known[name][0, phase, 0] = weights
    known["label_losses"][0, phase] = known["label_weights"][0, phase] * losses
    return known


ABSOLUTE = Rules(tolerance_loss_share=1.0)
"""Of a loss of .05 two in a hundred are tolerated, whatever share that is."""


def fed(known: NDArray[Any], seen: Outcomes, weight: float = 1.0) -> Fed:
    """Streams of a label under the usual tolerances."""
    return of_outcomes(known, seen, np.array([weight], np.float32), ABSOLUTE)


def labelled_because_unsure(camera: Camera, watched: Watched, count: int, propensity: float) -> None:
    """Frames of which the model is unsure are all labelled, the others with a chance of *propensity*."""
    lot = np.random.default_rng(9)
    for _ in range(count):
        shot = camera.shot()
        watched.see(shot)
        wrong = camera.truth[shot.sequence] != shot.label
        unsure = wrong or max(shot.probabilities.values()) < 0.8
        chance = 1.0 if unsure else propensity
        if lot.random() < chance:
            watched.label(*camera.labelled([shot], propensity=chance))


@pytest.mark.slow
def test_labels_that_were_chosen_because_the_model_was_unsure_raise_nothing() -> None:
    """A camera that learned from random labels of one frame in five, and then has the unsure ones labelled too: three
    times as many of its labels are wrong, and its accuracy is what it was."""
    camera, watched = Camera(), Watched(STRICT)
    lot = np.random.default_rng(5)
    for _ in range(2_500):
        shot = camera.shot()
        watched.see(shot)
        if lot.random() < 0.2:
            watched.label(*camera.labelled([shot], propensity=0.2))
    labelled_because_unsure(camera, watched, 3_000, 0.2)
    assert [kind for kind, _ in watched.history() if kind.startswith("accuracy")] == []
    report = watched.report()
    assert report.recent_errors / report.recent_labels == pytest.approx(0.04, abs=0.03)


@pytest.mark.slow
def test_and_one_that_gets_worse_is_seen_through_them() -> None:
    """The same choice of labels, and three frames in ten wrong."""
    camera, watched = Camera(), Watched(STRICT)
    labelled_because_unsure(camera, watched, 2_500, 0.2)
    assert watched.history() == []
    camera.error_share = 0.3
    labelled_because_unsure(camera, watched, 2_500, 0.2)
    assert ("accuracy", True) in watched.history()


def test_a_label_weighs_the_least_propensity_over_its_own() -> None:
    """So weights stay in [0, 1]; recent labels and errors are counted by them."""
    watch = np.zeros(1, WATCH)
    assert weigh(watch, column(one(propensity=0.5)))[0] == 1
    assert weigh(watch, column(one(propensity=1.0)))[0] == pytest.approx(0.501)
    assert weigh(watch, column(one(propensity=0.1)))[0] == 1
    assert weigh(watch, column(one(propensity=1.0, correct=False)))[0] == pytest.approx(0.1002)
    fade = 1 - 1 / 200
    # What is least fades by 2 in 1,000 a label.
    assert watch["recent_labels"][0] == pytest.approx(fade**3 + 0.501 * fade**2 + fade + 0.1002)
    assert watch["recent_errors"][0] == pytest.approx(0.1002)


@pytest.mark.slow
def test_a_single_odd_propensity_does_not_end_the_watching() -> None:
    """The labels behind it count a hundredth at first, and before long as they did."""
    watch = np.zeros(1, WATCH)
    weigh(watch, column(one(propensity=0.001)))
    weights = [float(weigh(watch, column(one(propensity=1.0)))[0]) for _ in range(4_000)]
    assert (weights[0], weights[-1]) == pytest.approx((0.01, 1.0))


def test_a_loss_is_held_against_its_phase_its_class_and_the_floor() -> None:
    """Bounds are the reference's mean, 1.64 standard errors, and the tolerance."""
    known = whole(0.05)
    found = fed(known, column(one(correct=False)))
    slack = 1.64 * np.sqrt((0.05 + 1 / 1_000) * 0.95 / 1_000)
    assert found.bound[0, 0] == pytest.approx(0.05 + slack + 0.02, rel=2e-3)
    bucket = CLASSES.index(str(one().label))
    assert (found.x[0, 0], found.x[0, 1 + bucket], found.x[0, -1]) == pytest.approx((1, 1, 1), rel=1e-5)
    assert found.bound[0, -1] == pytest.approx(0.6)
    day = 1 + BUCKETS + 1
    assert (found.x[0, day], found.bound[0, day]) == (found.x[0, 0], found.bound[0, 0])
    others = [place for place in range(1, ACCURACY.streams) if place not in (1 + bucket, day)]
    assert np.isnan(found.x[0, others]).all()


def test_a_phase_that_is_not_known_is_held_against_the_worst_that_is() -> None:
    """With its own tolerance; where none is known only the floor holds."""
    dark = column(one(brightness=0.1))
    found = fed(whole(0.05), dark)
    slack = 1.64 * np.sqrt((0.05 + 1 / 1_000) * 0.95 / 1_000)
    assert found.bound[0, 0] == pytest.approx(0.05 + slack + 0.1, rel=1e-3)
    night = 1 + BUCKETS
    assert np.flatnonzero(~np.isnan(found.x[0])).tolist() == [0, night, night + 2]
    assert found.bound[0, night] == found.bound[0, 0]
    nothing = fed(np.zeros(1, REFERENCE), dark)
    assert np.isnan(nothing.x[0, :-1]).all()
    assert nothing.x[0, -1] == 0


@pytest.mark.slow
def test_what_is_wrong_by_night_alone_is_reported_though_the_day_goes_on_as_before() -> None:
    """One label in ten is of the night, and each third of those is wrong: over all labels that is within tolerance."""
    known, watch = whole(0.05), np.zeros(1, WATCH)
    for name in ("labels_closed", "label_weights", "label_squares", "label_losses"):
        known[name][0, 0] = known[name][0, 1]
    for number in range(2_000):
        night, wrong = number % 10 == 0, number % 30 == 0 or number % 20 == 1
        seen = column(one(brightness=0.1 if night else 0.5, correct=not wrong))
        each = fed(known, seen)
        take(
            watch, ROWS, each, OUTCOME_FAMILIES, seen.at_ms, weights(LAYOUT, np.ones((1, STREAMS), np.uint16))[:, -12:]
        )
    evidence = combined(watch["evidence"][0, ACCURACY.slice])
    assert evidence[1 + BUCKETS] > 1e7
    assert evidence[0] < 1e3
    assert watch["family"][0, FAMILIES.index(ACCURACY)] > 1e6


@pytest.mark.parametrize(("error_share", "is_learned"), [(0.06, True), (0.40, False)])
def test_a_new_phase_in_which_the_model_is_much_worse_never_becomes_normal(
    error_share: float, is_learned: bool
) -> None:
    """First dark nights: within the tolerance for new phases they are learned, beyond it they drifted."""
    camera, watched = Camera(error_share=0.03), Watched(changed_rules(QUICK, false_per_week=1e-12))
    watched.label(*camera.labelled(watched.see_and_keep(camera.shots(QUICK.reference_samples + 10))))
    assert watched.table.reference["labels_closed"][0].tolist() == [0, 1]
    camera.error_share = error_share
    watched.label(*camera.labelled(camera.shots(QUICK.reference_samples + 10, brightness=0.1)))
    assert watched.table.reference["labels_closed"][0].tolist() == [is_learned, 1]


def test_a_rare_class_and_a_hopeless_reference_claim_nothing() -> None:
    """Thirty labels of a class, and a bound that leaves something to see."""
    known = whole(0.05)
    known["label_weights"][0, 1, 1:] = 29
    assert np.isnan(fed(known, column(one())).x[0, 1 : 1 + BUCKETS]).all()
    assert np.isnan(fed(whole(0.97), column(one())).x[0, :-1]).all()


def test_a_weight_draws_a_loss_to_its_bound() -> None:
    """Half a weight is half a bet; none is none."""
    full, half, none = (fed(whole(), column(one(correct=False)), weight) for weight in (1.0, 0.5, 0.0))
    assert half.x[0, 0] == pytest.approx((full.x[0, 0] + full.bound[0, 0]) / 2, rel=1e-4)
    assert none.x[0, 0] == none.bound[0, 0]


def test_the_usual_loss_is_that_of_all_phases() -> None:
    """And NaN where there is no label."""
    known = whole(0.05)
    known["label_weights"][0, 0, 0], known["label_losses"][0, 0, 0] = 1_000, 150
    assert expected(known, ROWS)[0] == pytest.approx(0.1)
    assert np.isnan(expected(np.zeros(1, REFERENCE), ROWS)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"change": "corrected"},
        {"change": "withdrawn", "label": None, "correct": None},
        {"role": "shadow"},
    ],
)
def test_what_says_nothing_of_the_model_that_predicts_is_not_counted(changes: dict[str, Any]) -> None:
    """Corrections, withdrawals, shadows and versions that are gone."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 10)
    before = watched.table.watch[0].tobytes()
    outputs = outcome(camera.shots(1)[0], "car")
    watched.label(replace(outputs, **changes))
    assert watched.table.watch[0].tobytes() == before
    assert watched.core.counted()["labels_watched"] == 10


@pytest.mark.parametrize("changes", [{"version": "v0"}, {"model": "other"}])
def test_labels_of_a_model_that_is_gone_only_show_that_labels_come(changes: dict[str, Any]) -> None:
    """They are no evidence and nothing is learned of them; without them labels would seem to be missing."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 10)
    table, fields = watched.table, ("evidence", "recent_labels", "recent_errors", "labelled")
    before = [table.watch[name][0].tobytes() for name in fields] + [table.reference[0].tobytes()]
    watched.label(replace(outcome(camera.shots(1)[0], "car"), **changes))
    assert [table.watch[name][0].tobytes() for name in fields] + [table.reference[0].tobytes()] == before
    assert table.watch["labels"][0] == 11
    assert watched.core.counted()["labels_watched"] == 10


def test_labels_of_frames_of_a_blind_camera_are_not_counted() -> None:
    """From the moment the fault began until it ended, whenever they come."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 100)
    before = watched.see_and_keep(camera.shots(5))
    watched.see(*camera.shots(20))  # the time of a fault is kept in whole seconds
    blind = watched.see_and_keep(camera.shots(40, brightness=0.01))
    watched.label(*camera.labelled(blind, delay_s=5))
    assert watched.core.counted()["labels_watched"] == 100
    after = watched.see_and_keep(camera.shots(60))
    watched.label(*camera.labelled(before + blind + after[-5:], delay_s=9))
    assert watched.core.counted()["labels_watched"] == 10


@pytest.mark.slow
def test_a_fall_of_accuracy_is_seen_and_says_by_how_much() -> None:
    """A loss of .04 that becomes .3: the alarm shows both, and since when."""
    camera, watched = Camera(), Watched(STRICT)
    watched.live(camera, 600)
    camera.error_share = 0.3
    worse_s = camera.at_s
    while ("accuracy", True) not in watched.history():
        watched.live(camera, 1)
    alarm = watched.alarm("accuracy")
    assert alarm.signal == "loss"
    assert alarm.reference == pytest.approx(0.04, abs=0.03)
    assert alarm.reference + 0.03 < alarm.estimate < 0.4
    assert abs(alarm.since_ms - alarm.raised_at_ms) <= 30_000
    assert alarm.evidence >= alarm.threshold > 1_000
    assert camera.at_s - worse_s <= 30


@pytest.mark.slow
def test_accuracy_under_the_floor_alarms_whatever_is_usual() -> None:
    """A model that was always wrong in seven of ten has no loss that rose, and is too bad."""
    camera, watched = Camera(error_share=0.75), Watched(STRICT)
    watched.live(camera, 800)
    assert {kind for kind, _ in watched.history()} == {"accuracy_floor"}
    alarm = watched.alarm("accuracy_floor")
    assert alarm.signal == "accuracy"
    assert alarm.reference == pytest.approx(0.4)
    assert alarm.estimate == pytest.approx(0.25, abs=0.1)
