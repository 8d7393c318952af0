"""What is said of a camera: names that people know, numbers that are numbers, alarms that stay as they were raised."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from catseye.contract.records import Alarm, CameraReport, DriftStatistic, Record
from services.drift.alarms import FIRST_FAULT, raise_alarm
from services.drift.describe import estimates, recent_loss, signal_of
from services.drift.layout import PICTURE
from services.drift.report import accuracy_without_labels
from services.drift.statistics import statistics
from tests.simulation.cameras import CLASSES, CODEC, QUICK, Camera, Watched, ms
from tests.simulation.eight_classes import ACCURACY, FLOOR, OUTPUTS, PREDICTIONS, STREAMS, TELEMETRY

FIRST = ["brightness", "contrast", "sharpness", "focus", "dark_share", "bright_share", "composition", "embedding"]
MEASURED_LATER = ["chroma_blue", "chroma_red", "bits_per_pixel"]
"""Named in statistics once something is known of them."""
OUTPUT_NAMES = [*(f"class_share.{name}" for name in CLASSES), "entropy", "margin"]


def by_name(watched: Watched) -> dict[str, DriftStatistic]:
    return {statistic.signal: statistic for statistic in watched.statistics()}


def check_numbers(records: Sequence[Record]) -> None:
    """Every float in *records* is finite, and they survive the wire."""
    for record in records:
        for name, value in flat(msgspec.to_builtins(record)):
            assert not isinstance(value, float) or math.isfinite(value), f"{name} of {record}"
        assert CODEC.decode(CODEC.encode(record), type(record)) == record


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """All leaves of nested builtins, with their names."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in flat(item, f"{name}.{key}")]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in flat(item, f"{name}[{number}]")]
    return [(name, value)]


def learned(**changes: Any) -> tuple[Camera, Watched]:
    camera, watched = Camera(), Watched()
    watched.live(camera, 400, **changes)
    return camera, watched


@pytest.mark.slow
def test_every_stream_has_a_name() -> None:
    """Picture, telemetry by its reading, classes by their bucket, loss by class."""
    _, watched = learned(telemetry={"voltage": 12.0})
    names = [signal_of(watched.table, 0, stream) for stream in range(STREAMS)]
    assert [name for name, _ in names[0 : 3 * len(PICTURE) : 3]] == [*FIRST, *MEASURED_LATER]
    assert names[TELEMETRY.first] == ("telemetry.voltage", None)
    outputs = [*(("class_share", bucket) for bucket in range(8)), ("entropy", None), ("margin", None)]
    assert names[PREDICTIONS.first : ACCURACY.first] == outputs + outputs
    assert names[ACCURACY.first : FLOOR.first] == [
        ("loss", None),
        *(("loss", bucket) for bucket in range(8)),
        *[("loss", None)] * 2,
    ]
    assert names[FLOOR.first] == ("accuracy", None)
    assert len(outputs) == OUTPUTS


@pytest.mark.slow
def test_statistics_name_every_signal_once() -> None:
    """Of telemetry only what the camera sends, of classes only what the model has, of labels only when they come."""
    _, watched = learned(telemetry={"voltage": 12.0})
    estimates = ["accuracy_cbpe", "accuracy_atc", "accuracy_doc"]
    names = [statistic.signal for statistic in watched.statistics()]
    assert names == [*FIRST, "telemetry.voltage", *OUTPUT_NAMES, "loss", *estimates]
    unlabelled = Watched()
    unlabelled.see(*Camera().shots(300))
    names = [statistic.signal for statistic in unlabelled.statistics()]
    assert names == [*FIRST, *OUTPUT_NAMES, "accuracy_cbpe"]
    young = Watched()
    young.see(*Camera().shots(30))
    assert [statistic.signal for statistic in young.statistics()] == [*FIRST, *OUTPUT_NAMES]


@pytest.mark.slow
def test_statistics_say_what_is_and_what_is_usual() -> None:
    """In the signal's own units, with the model, the phase and what the reference was made of."""
    _, watched = learned()
    found = by_name(watched)
    light = found["brightness"]
    assert [light.estimate, light.reference] == pytest.approx([0.5, 0.5], abs=0.03)
    assert (light.model, light.version, light.phase, light.detector) == ("m", "v1", "day", "esr")
    assert (light.reference_name, light.count, light.threshold, light.learning_left) == ("v1/day/200", 200, 1e4, 0)
    share = found["class_share.car"]
    assert [share.estimate, share.reference] == pytest.approx([0.45, 0.45], abs=0.15)
    loss = found["loss"]
    assert (loss.count, loss.threshold, loss.learning_left) == (400, 2e4, 0)
    assert loss.low is not None
    assert loss.high is not None
    assert 0 <= loss.low <= loss.estimate <= loss.high <= 1


@pytest.mark.slow
def test_learning_left_counts_down_and_never_says_whole_too_early() -> None:
    """Frames and labels apart; at least one while the time that a reference must cover is not over."""
    camera, watched = Camera(), Watched()
    watched.live(camera, 150)
    found = by_name(watched)
    assert (found["brightness"].learning_left, found["loss"].learning_left) == (50, 50)
    assert watched.report().learning_left == 50
    patient = Watched(replace(QUICK, reference_span_ms=3_600_000))
    patient.live(Camera(fps=0.2), 300)
    assert patient.report().learning_left == 1
    assert by_name(patient)["loss"].learning_left == 1


@pytest.mark.parametrize("count", [0, 1, 30, 250])
@pytest.mark.parametrize("kind", ["frames", "labels too", "no features", "telemetry"])
def test_nothing_that_is_not_a_number_is_written(count: int, kind: str) -> None:
    """Whatever a camera has shown so far, down to nothing."""
    camera, watched = Camera(), Watched()
    watched.cameras.row("a")
    for number in range(count):
        changes: dict[str, Any] = {}
        if kind == "no features":
            changes["embedding"] = []
        if kind == "telemetry" and number % 3:
            changes["telemetry"] = {"temperature": 20.0 + number}
        shot = camera.shot(**changes)
        watched.see(shot)
        if kind == "labels too":
            watched.label(*camera.labelled([shot]))
    check_numbers(watched.statistics())
    check_numbers([watched.report()])


def test_a_report_names_the_signals_that_are_off() -> None:
    """Once the reference is whole: those that frames lacked, or had no number of that can be measured; not readings
    that the camera never sends."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(30, embedding=[], telemetry={"voltage": math.nan}))
    assert watched.report().signals_off == []
    watched.see(*camera.shots(300, embedding=[], telemetry={"voltage": math.nan}))
    assert watched.report().signals_off == ["embedding", "telemetry.voltage"]
    _, whole = learned(telemetry={"voltage": 12.0})
    assert whole.report().signals_off == []


def test_labels_that_could_not_be_learned_from_give_numbers() -> None:
    """A camera whose pictures had drifted before its first label came."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(300))
    watched.see(*camera.shots(100, brightness=0.8))
    assert "input" in watched.kinds()
    watched.live(camera, 5, brightness=0.8)
    check_numbers(watched.statistics())
    check_numbers([watched.report()])


@pytest.mark.slow
def test_an_alarm_says_what_it_was_raised_for_as_long_as_it_lasts() -> None:
    """Only examples and the phase are those of now."""
    camera, watched = learned()
    while "input" not in watched.kinds():
        watched.live(camera, 1, brightness=0.8)
    first = watched.alarm("input")
    watched.live(camera, 30, brightness=0.8)
    later = watched.alarm("input")
    fixed = [name for name in Alarm.__struct_fields__ if name not in ("examples_after", "phase")]
    assert [getattr(later, name) for name in fixed] == [getattr(first, name) for name in fixed]
    assert (first.signal, first.detector, first.phase, first.label) == ("brightness", "esr", "day", None)
    assert first.estimate > 0.6
    assert first.reference == pytest.approx(0.5, abs=0.03)
    assert first.since_ms <= first.raised_at_ms
    assert [place.topic for place in first.examples_before] == ["frames.accepted"] * 4
    assert [place.offset for place in first.examples_before] == [50, 100, 150, 200]
    assert [place.offset for place in later.examples_after] == list(range(camera.sequence - 3, camera.sequence + 1))
    check_numbers([watched.report()])


def test_examples_of_a_young_camera_are_the_frames_that_it_has() -> None:
    """Offset 0 is a place like any other, and what was never filled is none."""
    camera, watched = Camera(), Watched()
    watched.see(*camera.shots(2))
    raise_alarm(watched.table, 0, FIRST_FAULT, since_ms=ms(0), at_ms=ms(1), cause=b"0" * 16)
    (alarm,) = watched.report().alarms
    assert [place.offset for place in alarm.examples_after] == [1, 2]


@pytest.mark.slow
def test_a_class_share_alarm_names_the_class() -> None:
    """The one whose share moved most."""
    camera, watched = learned()
    camera.shares = [0.05, 0.05, 0.9]
    watched.live(camera, 120)
    alarm = watched.alarm("predictions")
    assert (alarm.signal, alarm.label) in [("class_share", name) for name in CLASSES]


@pytest.mark.slow
def test_another_view_under_the_same_light_is_a_camera_that_moved() -> None:
    """Composition changes alone; with the light it is input that changed."""
    camera, watched = Camera(), Watched(replace(QUICK, false_per_week=1.0))
    watched.live(camera, 400)
    bits = int.from_bytes(np.packbits(np.random.default_rng(3).random(64) < 0.5).tobytes(), "little", signed=True)
    for _ in range(200):
        drawn = camera.shot()
        watched.see(msgspec.structs.replace(drawn, perceptual_hash=drawn.perceptual_hash ^ bits))
    assert "camera_moved" in watched.kinds()
    assert "input" not in watched.kinds()


@pytest.mark.slow
def test_accuracy_without_labels_is_believed_while_pictures_are_usual() -> None:
    """None before anything was learned; not valid without labels to compare with, nor when pictures have drifted."""
    watched = Watched()
    watched.see(*Camera().shots(10))
    assert accuracy_without_labels(watched.table, 0) == (None, False)
    camera, watched = learned()
    estimate, _ = accuracy_without_labels(watched.table, 0)
    assert estimate is not None
    assert 0.8 <= estimate <= 1
    unlabelled = Watched()
    unlabelled.see(*Camera().shots(300))
    assert not accuracy_without_labels(unlabelled.table, 0)[1]
    watched.live(camera, 100, brightness=0.8)
    assert not accuracy_without_labels(watched.table, 0)[1]


def test_calibrated_confidence_that_agreed_with_labels_is_valid() -> None:
    """A model that is right as often as it says."""
    camera, watched = Camera(error_share=0.07), Watched()
    watched.live(camera, 500)
    assert accuracy_without_labels(watched.table, 0)[1]
    found = by_name(watched)
    for name in ("accuracy_cbpe", "accuracy_atc", "accuracy_doc"):
        statistic = found[name]
        assert statistic.valid
        assert statistic.low is not None
        assert statistic.high is not None
        assert 0 <= statistic.low <= statistic.estimate <= statistic.high <= 1
        assert statistic.estimate == pytest.approx(0.93, abs=0.1)


@pytest.mark.slow
def test_a_model_that_is_often_wrong_has_an_accuracy_that_is_a_number() -> None:
    """Shares of confidence are sums of many roundings: none of them makes an interval that is not a number."""
    for seed in range(8):
        camera, watched = Camera(seed=seed, error_share=0.5), Watched(replace(QUICK, reference_samples=60))
        watched.live(camera, 70 + seed)
        check_numbers(watched.statistics())
        assert by_name(watched)["accuracy_atc"].estimate >= 0


@pytest.mark.slow
def test_a_report_says_what_a_changed_mix_could_make_of_the_loss() -> None:
    """That of the class that is most often wrong; nothing is known of it before there are labels of it."""
    camera, watched = Camera(error_share=0.1), Watched()
    watched.see(*camera.shots(10))
    assert watched.report().worst_loss == 1.0
    watched.live(camera, 400)
    assert 0.1 < watched.report().worst_loss < 0.35


@pytest.mark.slow
def test_statistics_of_several_cameras_are_those_of_each() -> None:
    """Each with its own thresholds, its own light and its own labels."""
    watched = Watched()
    watched.live(Camera("a"), 400)
    watched.live(Camera("b", seed=2, error_share=0.3), 250)
    watched.see(*Camera("c", seed=3).shots(20, brightness=0.05))
    table, rules, at_ms = watched.table, watched.rules, watched.cameras.shared.newest_ms
    rows, limits = np.array([watched.cameras.row(name) for name in "abc"]), np.array([1e3, 2e3, 3e3])
    alone = [
        statistic
        for place in range(3)
        for here in [slice(place, place + 1)]
        for statistic in statistics(table, rows[here], rules, at_ms, limits[here], 2 * limits[here])
    ]
    assert [*statistics(table, rows, rules, at_ms, limits, 2 * limits)] == alone
    assert {(each.camera, each.phase, each.threshold) for each in alone if each.signal in ("brightness", "loss")} == {
        ("a", "day", 1e3),
        ("a", "day", 2e3),
        ("b", "day", 2e3),
        ("b", "day", 4e3),
        ("c", "night", 3e3),
    }
    assert [*statistics(table, rows[:0], rules, at_ms, limits[:0], limits[:0])] == []


def test_without_labels_a_loss_is_not_known() -> None:
    """NaN inside, and never outside."""
    watched = Watched()
    watched.see(*Camera().shots(5))
    assert math.isnan(recent_loss(watched.table.watch, np.array([0]))[0])
    assert estimates(watched.table, np.array([0]), 0.4)[1][0, FLOOR.first] == pytest.approx(0.4)
    assert isinstance(watched.report(), CameraReport)
