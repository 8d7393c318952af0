"""What is normal: ranks are uniform while nothing changes, and stay so when other classes pass."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from catseye.contract.records import Prediction
from services.drift.fields import BINS
from services.drift.layout import COMPOSITION, EMBEDDING, FOCUS, NARROWEST, PICTURE, RANKED
from services.drift.normal import normal
from services.drift.reference import learn, quarter, ranks, relative, usual
from services.drift.rules import Rules
from services.drift.sample import Frames, frames
from services.drift.table import Table
from tests.simulation.cameras import Camera

SAMPLES = 800
BRIGHTNESS = PICTURE.index("brightness")


def seen(prediction: Prediction) -> Frames:
    """One round of one camera, in row 0."""
    return frames(NARROWEST, [0], [prediction], [()])


def day(count: int = 1) -> NDArray[np.int64]:
    return np.ones(count, np.int64)


def learned(camera: Camera, samples: int = SAMPLES, **changes: Any) -> Table:
    """A table whose row 0 has learned a camera's first frames."""
    table = Table()
    for each in (camera.coloured(**changes) for _ in range(samples)):
        learn(table.reference, day(), seen(each), samples)
    return table


def ranked(table: Table, predictions: list[Prediction]) -> NDArray[np.float32]:
    """Ranks of frames within what row 0 has learned, [n, RANKED]."""
    found = []
    table.normal["known"] = False  # what is learned here was not announced
    usual_ = normal(table, np.array([0]), Rules())
    for each in predictions:
        one = seen(each)
        found.append(ranks(usual_, day(), one, relative(table.reference, day(), one))[0])
    return np.array(found)


def distance(values: NDArray[np.float32]) -> float:
    """Kolmogorov and Smirnov's, from the uniform distribution."""
    ordered = np.sort(values)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


@pytest.mark.parametrize("odd", [1e6, -1e30, float("inf"), float("nan")])
def test_one_odd_feature_does_not_switch_a_signal_off(odd: float) -> None:
    """While a camera learns and afterwards: its means stay numbers, and so do the ranks of the frames that follow."""
    camera = Camera()
    table = Table()
    for number in range(SAMPLES):
        each = camera.coloured()
        if number in (3, 300):
            each = replace(each, embedding=[odd, *each.embedding[1:]])
        learn(table.reference, day(), seen(each), SAMPLES)
    assert np.isfinite(table.reference["features"][0]).all()
    assert np.isfinite(table.reference["features_m2"][0]).all()
    found = ranked(table, camera.shots(20))
    assert np.isfinite(found[:, EMBEDDING]).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ranks_of_frames_like_those_of_the_reference_are_uniform(seed: int) -> None:
    """Each signal's, within the 99.9 % band of both samples and the width of a bin's middle."""
    camera = Camera(seed=seed)
    table = learned(camera)
    found = ranked(table, [camera.coloured() for _ in range(600)])
    band = 1.95 * np.sqrt(1 / 600 + 2 / SAMPLES)
    for signal, name in enumerate(PICTURE):
        widest = table.reference["histogram"][0, 1, signal].max() / (SAMPLES / 2)
        assert distance(found[:, signal]) <= band + widest / 2, name
    assert np.isnan(found[:, len(PICTURE) :]).all()  # no telemetry


def test_other_classes_do_not_move_ranks() -> None:
    """Means are those of a class: a camera that sees the rarest one instead of the most frequent ranks as before."""
    camera = Camera(shares=(0.45, 0.45, 0.1))
    lights = {"bike": 0.4, "car": 0.5, "truck": 0.6}

    def shot() -> Prediction:
        drawn = camera.shot()
        return camera_light(drawn, lights[drawn.label])

    table = Table()
    for _ in range(SAMPLES):
        learn(table.reference, day(), seen(shot()), SAMPLES)
    camera.shares = [0.1, 0.2, 0.7]
    found = ranked(table, [shot() for _ in range(600)])
    assert abs(float(found[:, BRIGHTNESS].mean()) - 0.5) <= 0.05
    mean, _ = usual(table.reference, np.array([0]), day(), BRIGHTNESS)
    assert mean[0] == pytest.approx(0.465, abs=0.01)  # of all classes, as they came


def camera_light(prediction: Prediction, light: float) -> Prediction:
    """*prediction* with brightness drawn around another mean."""
    return replace(prediction, brightness=prediction.brightness - 0.5 + light)


def test_a_rank_is_never_0_or_1_and_says_where_a_value_lies() -> None:
    """As a p-value must: however far out a value is, a thousand frames do not prove that it cannot be."""
    camera = Camera()
    table = learned(camera)
    low, usual_, high = ranked(
        table, [camera.shot(brightness=0.0), camera.shot(brightness=0.5), camera.shot(brightness=1.0)]
    )[:, BRIGHTNESS]
    assert 0 < low < 0.01
    assert 0.3 < usual_ < 0.7
    assert 0.99 < high < 1


def test_before_its_time_a_signal_has_no_rank() -> None:
    """Without a scale, without a histogram, and where the model gives no features."""
    camera = Camera()
    table = Table()
    assert np.isnan(ranked(table, [camera.shot()])).all()
    for each in camera.shots(quarter(SAMPLES) + 5):
        learn(table.reference, day(), seen(each), SAMPLES)
    assert np.isnan(ranked(table, [camera.shot()])).all()  # five frames are no scale
    blind = learned(Camera(), embedding=[])
    found = ranked(blind, Camera().shots(5, embedding=[]))
    assert np.isnan(found[:, EMBEDDING]).all()
    assert not np.isnan(found[:, COMPOSITION]).any()


def test_a_signal_that_never_moves_is_in_the_middle_until_it_moves() -> None:
    """A spread of nothing is taken for the smallest one there is."""
    camera = Camera()
    table = learned(camera, bright_share=0.0)
    still, moved = ranked(table, [camera.shot(bright_share=0.0), camera.shot(bright_share=0.01)])
    place = PICTURE.index("bright_share")
    assert (still[place], moved[place] > 0.99) == (0.5, True)


def test_the_reference_is_its_four_quarters() -> None:
    """The first gives features and bits, the second the scale, the other half the histogram."""
    table = learned(Camera(), 400)
    known = table.reference[0]
    assert int(known["frames"][1]) == 400
    assert (int(known["bits_of"]), int(known["class_frames"][1].sum())) == (100, 100)
    assert known["counts"][1, BRIGHTNESS].sum() == 100
    assert known["histogram"][1, BRIGHTNESS].sum() == 200
    assert known["histogram"].shape == (2, RANKED, BINS)
    assert not known["frames"][0]


def test_focus_is_sharpness_for_its_contrast() -> None:
    """Fog halves contrast and quarters the variance of the Laplacian: focus stays."""
    camera = Camera()
    clear = seen(camera.shot(sharpness=0.04, contrast=0.2)).ranked[0, FOCUS]
    fog = seen(camera.shot(sharpness=0.01, contrast=0.1)).ranked[0, FOCUS]
    blurred = seen(camera.shot(sharpness=0.004, contrast=0.2)).ranked[0, FOCUS]
    assert clear == pytest.approx(fog, abs=1e-3)
    assert blurred == pytest.approx(clear - np.log(10), abs=1e-3)
