"""One round of watching: phases, what may be learned, thresholds, and what a drift does to the reference: nothing."""

from dataclasses import replace

import numpy as np
import pytest

from catseye.contract.records import Prediction
from services.drift.estimates import confidence_bin
from services.drift.layout import PICTURE
from services.drift.reference import usual
from services.drift.rules import Rules
from services.drift.watcher import Watcher
from tests.simulation.cameras import QUICK, Camera, Watched
from tests.simulation.eight_classes import FAMILIES


@pytest.mark.slow
def test_what_has_drifted_does_not_become_the_reference() -> None:
    """Neither of the phase that is known, nor of one that begins while an alarm is raised."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 300)
    before = watched.table.reference[0].tobytes()
    watched.see(*camera.shots(400, brightness=0.8))
    assert "input" in watched.kinds()
    assert watched.table.reference[0].tobytes() == before
    watched.see(*camera.shots(100, brightness=0.1))  # night falls while the alarm lasts
    assert watched.report().learning_left == QUICK.reference_samples
    assert watched.table.reference[0].tobytes() == before


@pytest.mark.slow
def test_a_drift_that_ends_is_cleared_and_can_be_raised_again() -> None:
    """Each time with a cause of its own."""
    camera, watched = Camera(), Watched(replace(QUICK, false_per_week=100.0))
    watched.see(*camera.shots(300))
    causes = []
    for _ in range(2):
        watched.see(*camera.shots(100, contrast=0.3))
        causes.append(watched.alarm("input").cause)
        watched.see(*camera.shots(600))
        assert watched.kinds() == set()
    assert watched.history() == [("input", True), ("input", False)] * 2
    assert causes[0] != causes[1]


@pytest.mark.slow
def test_an_alarm_stays_while_the_drift_does() -> None:
    """For a thousand frames, raised once."""
    camera, watched = Camera(), Watched(replace(QUICK, false_per_week=100.0))
    watched.see(*camera.shots(300))
    watched.see(*camera.shots(1_000, contrast=0.3))
    assert watched.history() == [("input", True)]


@pytest.mark.slow
def test_night_is_a_phase_with_a_reference_of_its_own() -> None:
    """It is learned when it comes, and day is as it was when it is back: no fault, and each is as bright as it is."""
    camera, watched = Camera(), Watched(replace(QUICK, false_per_week=1.0, reference_span_ms=40_000))
    for _ in range(4):
        for lights in (np.full(200, 0.5), np.linspace(0.5, 0.1, 30), np.full(200, 0.1), np.linspace(0.1, 0.5, 30)):
            for light in lights:
                camera.light = float(light)
                watched.live(camera, 1)
    assert watched.table.reference["closed"][0].tolist() == [1, 1]
    assert [kind for kind, _ in watched.history() if kind.startswith("camera_")] == []
    night, day = (usual(watched.table.reference, np.array([0]), np.array([phase]), 0)[0][0] for phase in (0, 1))
    assert (night, day) == (pytest.approx(0.12, abs=0.04), pytest.approx(0.47, abs=0.05))


def test_a_phase_does_not_flicker_at_its_edge() -> None:
    """Brightness that wavers around the edge stays in the phase that it was in."""
    for first in (0.10, 0.30):
        camera, watched = Camera(), Watched()
        watched.see(*camera.shots(100, brightness=first))
        phases = set()
        for number in range(200):
            watched.see(camera.shot(brightness=QUICK.night + (0.015 if number % 2 else -0.015)))
            phases.add(int(watched.table.watch["phase"][0]))
        assert phases == {int(first > QUICK.night)}


@pytest.mark.parametrize(("seconds", "frames"), [(0.05, 55), (60, 16), (240, 3)])
def test_night_falls_within_some_fifty_frames_or_a_quarter_of_an_hour(seconds: float, frames: int) -> None:
    """A camera that shows little is not said to see the day until midnight; and one dark frame is no night."""
    camera, watched = Camera(fps=1 / seconds), Watched()
    watched.see(*camera.shots(100, brightness=0.3))
    watched.see(camera.shot(brightness=0.12))
    assert watched.table.watch["phase"][0] == 1
    watched.see(*camera.shots(frames, brightness=0.12))
    assert watched.table.watch["phase"][0] == 0


def test_the_threshold_is_what_the_fleet_sees_between_two_false_alarms() -> None:
    """Cameras, families and samples a week over false alarms a week, and a thousand at least."""
    week_ms = 7 * 86_400_000
    watched = Watched(Rules(fleet_cameras=500, false_per_week=2.0))
    row = np.array([watched.cameras.row("a")])
    watched.table.watch["every_ms"][0], watched.table.watch["label_every_ms"][0] = 60_000, 600_000
    watcher = Watcher(watched.rules)
    assert watcher.thresholds(watched.table, row)[0] == pytest.approx(500 * len(FAMILIES) * week_ms / 60_000 / 2)
    assert watcher.thresholds(watched.table, row, "label_")[0] == pytest.approx(
        500 * len(FAMILIES) * week_ms / 600_000 / 2
    )
    assert Watcher(Rules(false_per_week=1e9)).thresholds(watched.table, row)[0] == 1_000
    watched.cameras.row("b")
    seen = Watcher(Rules(partitions=3)).thresholds(watched.table, row)[0]
    assert seen == pytest.approx(6 * len(FAMILIES) * week_ms / 60_000)


def test_confidence_is_distinguished_where_good_models_live() -> None:
    """Four bins a nine."""
    found = confidence_bin(np.array([0.0, 0.5, 0.91, 0.991, 0.9991, 1.0], np.float32))
    assert found.tolist() == [0, 1, 4, 8, 12, 15]


@pytest.mark.slow
def test_a_reference_covers_the_time_that_it_must() -> None:
    """Enough frames are not enough: an hour is an hour."""
    camera, watched = Camera(fps=1), Watched(replace(QUICK, reference_span_ms=600_000))
    watched.live(camera, 600)
    assert watched.report().learning_left == 1
    watched.live(camera, 2)
    assert watched.report().learning_left == 0
    assert int(watched.table.reference["labels_closed"][0, 1]) == 1


@pytest.mark.parametrize(("classes", "width"), [(2, 2), (8, 8), (12, 12), (32, 32), (40, 32)])
def test_a_model_of_any_number_of_classes_is_watched(classes: int, width: int) -> None:
    """Those beyond the thirty-first are one bucket where there are more than 32."""
    names = [f"class {number}" for number in range(classes)]
    camera, watched = Camera(), Watched()
    for number in range(300):
        best = names[number % classes]
        chances = dict.fromkeys(names, 0.1 / (classes - 1)) | {best: 0.9}
        watched.see(camera.shot(label=best, probabilities=chances))
    table, row = watched.cameras.home("a")
    means = table.reference["output_mean"][row, 1, table.layout.shares]
    assert (means > 0).sum() == width
    assert means.sum() == pytest.approx(1, abs=0.01)


def test_a_bucket_of_several_classes_has_no_class_s_name() -> None:
    """Of forty the last nine share one, which is nobody's share."""
    names = [f"class {number}" for number in range(40)]
    camera, watched = Camera(), Watched()

    def shot(best: str) -> Prediction:
        return camera.shot(label=best, probabilities=dict.fromkeys(names, 0.1 / 39) | {best: 0.9})

    for number in range(300):
        watched.see(shot(names[number % 40]))
    while "predictions" not in watched.kinds():
        watched.see(shot("class 35"))
    alarm = watched.alarm("predictions")
    assert (alarm.signal, alarm.label) == ("class_share", None)
    outputs = watched.statistics()
    assert [each.signal for each in outputs if each.signal.startswith("class_share")] == [
        *(f"class_share.class {number}" for number in range(31)),
        "class_share.others",
    ]


@pytest.mark.slow
def test_a_reference_comes_from_all_of_its_time() -> None:
    """Of a camera that shows four frames a second it takes one now and then, and so it tests them later."""
    rules = replace(QUICK, reference_span_ms=1_800_000)
    camera, watched = Camera(fps=4), Watched(rules)
    watched.see(*camera.shots(7_202))
    frames = int(watched.table.reference["frames"][0, 1])
    assert frames == pytest.approx(8 * rules.reference_samples, rel=0.15)
    half = int(watched.table.reference["histogram"][0, 1, 0].sum())
    assert half == frames - 2 * (rules.reference_samples // 4)
    before = watched.table.watch["tested"][0]
    watched.see(*camera.shots(1_000))
    assert watched.table.watch["tested"][0] - before == pytest.approx(250_000 / rules.sample_ms, rel=0.15)


@pytest.mark.slow
def test_what_lies_far_out_does_not_hide_how_slow_a_signal_is() -> None:
    """Light that comes and goes in minutes, and glares 25 times as bright in one frame of fifty."""
    camera, watched = Camera(), Watched(Rules(reference_samples=1_000, reference_span_ms=0))
    for number in range(1_000):
        glare = 25.0 if number % 50 == 17 else 1.0
        watched.see(camera.shot(bright_share=0.002 * (1.5 + np.sin(number / 20)) * glare))
    place = PICTURE.index("bright_share")
    assert watched.report().learning_left == 0
    assert watched.table.reference["decorrelation_lag"][0, place] >= 16
    assert watched.table.reference["decorrelation_lag"][0, PICTURE.index("contrast")] == 1


def test_a_model_of_one_class_is_watched_too() -> None:
    """It is always sure."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(300, label="car", probabilities={"car": 1.0}))
    assert watched.report().learning_left == 0
    assert watched.table.reference["output_mean"][0, 1, 0] == pytest.approx(1)


def test_where_every_stream_is_slow_most_frames_are_passed_over() -> None:
    """One in so many is looked at; all of them are counted."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(200))
    watched.table.reference["decorrelation_lag"][0] = 5
    watched.see(*camera.shots(51))
    assert (int(watched.table.watch["tested"][0]), int(watched.table.watch["window"][0, 0])) == (51, 10)


@pytest.mark.parametrize(("signal", "kind"), [("brightness", "input"), ("loss", "accuracy")])
def test_a_chosen_detector_raises_in_the_engine_s_place(signal: str, kind: str) -> None:
    """The alarm says which; it is raised once, and a table made of the log goes on with it to the bit."""
    camera, watched = Camera(), Watched(replace(QUICK, detectors={signal: "page_hinkley"}, detectors_run_length=1_000))
    watched.live(camera, 300)
    camera.error_share = 0.6
    watched.live(camera, 100, brightness=0.7)
    raised = [name for name, is_raised in watched.history() if is_raised]
    assert raised.count(kind) >= 1
    if kind in watched.kinds():
        assert (watched.alarm(kind).signal, watched.alarm(kind).detector) == (signal, "page_hinkley")
    restored = Watched(watched.rules)
    for key, value in watched.cameras.changes():
        restored.cameras.restore(key, value)
    restored.cameras.commit()
    watched.cameras.commit()
    further = camera.shots(50)
    for each in (watched, restored):
        each.see(*further)
        each.label(*camera.labelled(further))
    assert dict(restored.cameras.changes()) == dict(watched.cameras.changes())
