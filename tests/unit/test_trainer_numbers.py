"""What the trainer says of a model: temperature, calibration, accuracy and its interval, and the card."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.models.model_file import GoldenCrop, ModelSpec, probabilities
from services.trainer.calibrate import calibration_error, cross_entropy, fit_temperature
from services.trainer.card import Mistake, Report, as_json, as_markdown
from services.trainer.folds import unseen
from services.trainer.score import Share, score

CLASSES = ("bike", "car", "lorry")


def answers(temperature: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose labels were drawn with their own probabilities at *temperature*."""
    chance = np.random.default_rng(5)
    logits = chance.normal(0, 3, (4000, 3)).astype(np.float32)
    shares = probabilities(logits, temperature).cumsum(axis=1)
    labels = (chance.random((4000, 1)) > shares).sum(axis=1)
    return logits, np.minimum(labels, 2).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    """Within what 4,000 labels tell."""
    assert fit_temperature(*answers(temperature)) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_stays_in_its_bounds() -> None:
    """Always wrong: as unsure as is allowed. Never wrong: surer than it said, and still a number."""
    logits = np.array([[9, 0], [0, 9]], dtype=np.float32)
    assert fit_temperature(logits, np.array([1, 0])) == pytest.approx(20.0, rel=1e-3)
    assert 0.05 <= fit_temperature(logits, np.array([0, 1])) < 0.5


def test_cross_entropy_is_the_mean_negative_logarithm() -> None:
    """Also where softmax in float32 would be 0."""
    logits = np.array([[np.log(3), 0], [0, 2000]], dtype=np.float32)
    expected = (-np.log(0.75) + 2000) / 2
    assert cross_entropy(logits, np.array([0, 0]), 1.0) == pytest.approx(expected, rel=1e-6)


def test_calibration_error_is_the_distance_of_sureness_and_accuracy() -> None:
    """Half of the crops right at a sureness of 0.75: 0.25 off. Certain and right: nothing off."""
    logits = np.array([[np.log(3), 0], [np.log(3), 0]], dtype=np.float32)
    assert calibration_error(logits, np.array([0, 1]), 1.0) == pytest.approx(0.25, abs=1e-6)
    assert calibration_error(1000 * logits, np.array([0, 0]), 1.0) == 0.0


def test_the_right_temperature_lowers_the_calibration_error() -> None:
    """From what the logits say by themselves to next to nothing."""
    logits, labels = answers(3.0)
    assert calibration_error(logits, labels, 1.0) > 0.2
    assert calibration_error(logits, labels, 3.0) < 0.03


@pytest.mark.parametrize(
    ("right", "of", "low", "high"), [(588, 600, 0.9654, 0.9885), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775)]
)
def test_intervals_are_wilsons(right: int, of: int, low: float, high: float) -> None:
    """As computed by hand from the formula."""
    assert Share(right, of).interval == pytest.approx((low, high), abs=1e-4)


def some_report(attribution: str = "# Crops\n\n## Licence\n\nCC BY 4.0") -> Report:
    """A report of ten crops, nine of which came out right."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    logits = np.eye(3, dtype=np.float32)[labels] * 4
    logits[9] = [0, 4, 0]
    result = score(logits, labels, CLASSES, 0.8)
    trained: dict[str, Any] = {
        "code_sha256": "c0de",
        "crops_sha256": "c4095",
        "crops": {"train": 1200, "validation": 10, "test": 10},
        "recipe": {"epochs": 3, "augmentation": {"flip_share": 0.5}},
        "seed": 1,
        "precision": "float32",
        "torch": "2.14.1",
    }
    spec = ModelSpec(
        name="vehicles",
        classes=CLASSES,
        height=100,
        width=100,
        mean=(0.45, 0.45, 0.45),
        std=(0.22, 0.22, 0.22),
        temperature=0.8,
        golden=(GoldenCrop(b"\xff\xd8", (1.0, 0.0, 0.0)),),
        attribution=attribution,
        trained=trained,
    )
    return Report(
        spec=spec,
        sha256="abc",
        file_bytes=2_870_000,
        parameter_count=689_526,
        validation=result,
        test=result,
        parity=1e-6,
        cost_ms=0.51,
        processor="some core",
        fit_s=12.3,
    )


def test_the_score_counts_by_class() -> None:
    """Rows are the truth, columns what was said."""
    test = some_report().test
    assert test.confusion == ((4, 0, 0), (0, 3, 0), (0, 1, 2))
    assert (test.accuracy, test.by_class["lorry"]) == (Share(9, 10), Share(2, 3))


def test_the_card_says_what_a_person_asks() -> None:
    """Accuracy with its interval, confusion, sureness, cost, data and settings; headings stay in order."""
    card = as_markdown(some_report())
    for line in [
        "**90.0% (59.6% to 98.2%)** of 10 crops",
        "| lorry | 2 | 3 | 66.7% (20.8% to 93.9%) |",
        "| lorry | · | 1 | 2 |",
        "| cost | 0.51 ms a crop in onnxruntime on one core (some core), undisturbed |",
        "| size | 2.87 MB, 689,526 parameters |",
        "| train | 1,200 |",
        "| flip share | 0.5 |",
        "#### Licence",
        "Temperature 0.800",
    ]:
        assert line in card


def test_the_card_says_how_unseen_views_fare() -> None:
    """Each view by class, a class that it does not show as a dot, and how far the views differ; else nothing."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    logits = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 0, 2]] * 4
    found = unseen(logits, labels, np.array([0, 0, 0, 0, 1, 1]), CLASSES, 2)
    card = as_markdown(replace(some_report(), unseen=found))
    for line in [
        "Right on **83.3% (43.6% to 97.0%)**; the views differ from 50.0% to 100.0%.",
        "| view | bike | car | lorry | all |",
        "| 0 | 3/3 | 1/1 | · | 100.0% (51.0% to 100.0%) |",
        "| 1 | · | 0/1 | 1/1 | 50.0% (9.5% to 90.5%) |",
        "chosen on views that the net had not seen",
    ]:
        assert line in card
    assert "did not know" not in as_markdown(some_report())
    assert json.loads(json.dumps(as_json(replace(some_report(), unseen=found))))["unseen"]["folds"] == 2


def test_the_card_shows_what_is_wrong_and_where() -> None:
    """Test crops by view, and a picture of each mistake with what was said of it; nothing where nothing is wrong."""
    found = some_report()
    mistake = Mistake("crops/car/car7.jpg", "car", "lorry", 0.618)
    card = as_markdown(replace(found, test_by_view={0: found.test}, mistakes=[mistake]))
    for line in [
        "The split by number does not keep views apart:",
        "| 0 | 4/4 | 3/3 | 2/3 | 90.0% (59.6% to 98.2%) |",
        "| ![car](crops/car/car7.jpg) | car | lorry | 62% |",
    ]:
        assert line in card
    assert "What it got wrong" not in as_markdown(found)
    mistakes = json.loads(json.dumps(as_json(replace(found, mistakes=[mistake]))))["mistakes"]
    assert mistakes == [{"picture": "crops/car/car7.jpg", "label": "car", "predicted": "lorry", "confidence": 0.618}]


def test_the_card_says_what_a_model_began_with() -> None:
    """Weights from elsewhere by name, and how much of them stays; fewer passes of the folds in words."""
    found = some_report()
    trained = {**found.spec.trained, "pretrained": "weights 1.0"}
    trained["recipe"] = {**trained["recipe"], "frozen_modules": 8}
    card = as_markdown(replace(found, spec=replace(found.spec, trained=trained)))
    assert "ImageNet weights of EfficientNet-lite0, package weights 1.0, of which the first 8 modules" in card
    assert "ImageNet" not in as_markdown(found)
    views = unseen(np.eye(3, dtype=np.float32), np.arange(3), np.array([0, 0, 1]), CLASSES, 2)
    assert "of the same recipe, each fitted" in as_markdown(replace(found, unseen=views))
    assert "of the same recipe, with 6 passes, each fitted" in as_markdown(replace(found, unseen=views, fold_epochs=6))


def test_the_card_says_when_nobody_is_named() -> None:
    """A folder without attribution is not passed over in silence."""
    assert "Nobody is named for these crops." in as_markdown(some_report(attribution=""))


def test_the_report_is_json() -> None:
    """Shares with their interval, times with their unit."""
    report = json.loads(json.dumps(as_json(some_report())))
    assert report["test"]["accuracy"]["share"] == 0.9
    car = report["test"]["by_class"]["car"]
    assert (car["right"], car["of"], car["interval"]) == (3, 3, pytest.approx([0.4385, 1.0], abs=1e-4))
    assert report["crops"] == {"train": 1200, "validation": 10, "test": 10}
    assert (report["cost_ms"], report["fit_s"]) == (0.51, 12.3)
