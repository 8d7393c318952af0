"""Evidence: what streams are fed, how a family gathers it, and when it calms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from services.drift.decorrelation import inflation
from services.drift.layout import FRAMES_FAMILIES, IN_MOST, OUTCOME_FAMILIES, PICTURE, RANKED
from services.drift.streams import (
    SHORTEST_WINDOW,
    Fed,
    bounds,
    calmed,
    crossed,
    forget,
    gathered,
    lags,
    of_frames,
    take,
    weighed,
    weights,
)
from tests.simulation.eight_classes import (
    ACCURACY,
    BUCKETS,
    ENTROPY,
    FAMILIES,
    FRAME_STREAMS,
    INPUT,
    LAYOUT,
    OUTPUTS,
    PREDICTIONS,
    REFERENCE,
    STREAMS,
    WATCH,
    WEIGHTS,
)

ROWS = np.zeros(1, np.int64)
DAY = np.ones(1, np.int64)
INPUT_PLACE = FAMILIES.index(INPUT)
EACH = np.ones((1, FRAME_STREAMS), np.uint16)
"""Pace of streams of which every frame is a sample."""
ALL = np.ones((1, STREAMS), np.uint16)
WEIGHT = weights(LAYOUT, ALL)[:, :FRAME_STREAMS]


def known(frames: int = 1_000, lag: int = 1) -> NDArray[np.void]:
    """A whole reference in which everything was said at .2, with a standard deviation of .1."""
    reference = np.zeros(1, REFERENCE)
    reference["histogram"][0, 1, :, 10] = frames // 2
    reference["frames"][0, 1] = frames
    reference["output_mean"][0, 1] = 0.2
    reference["output_m2"][0, 1] = frames * 0.01
    reference["decorrelation_lag"][0] = lag
    reference["inflation"][0] = inflation(np.array([lag], np.uint16))
    return reference


def fed_by(rank: float, outputs: float, reference: NDArray[np.void]) -> Fed:
    """Streams of a frame whose ranks and probabilities are all alike."""
    ranks = np.full((1, RANKED), rank, np.float32)
    numbers = np.full((1, OUTPUTS), outputs, np.float32)
    found = bounds(reference, ROWS, lags(reference, ROWS), rank=0.05, probability=0.02)
    return of_frames(ranks, numbers, found[ROWS, DAY])


def test_a_signal_that_seems_much_faster_than_others_like_it_is_not() -> None:
    """What was measured so saw too little; composition and what a device tells have paces of their own."""
    reference = known(lag=1)
    reference["decorrelation_lag"][0, IN_MOST] = [100, 100, 1, 50, 100, 1, 1, 1]
    found = lags(reference, ROWS)[0]
    assert found[: 3 * len(PICTURE) : 3][IN_MOST].tolist() == [100, 100, 8, 50, 100, 100, 1, 8]
    colour = [PICTURE.index(name) for name in ("chroma_blue", "chroma_red", "bits_per_pixel")]
    assert found[: 3 * len(PICTURE) : 3][colour].tolist() == [100, 100, 8]  # colour follows light
    assert found[3 * len(PICTURE) : 3 * RANKED].tolist() == [1] * 12
    assert found[PREDICTIONS.first] == 8  # shares of classes: a third of that
    assert found[PREDICTIONS.first + ENTROPY] == 25  # between 1 and 50: most of the picture's


def alike(value: float, bound: float, streams: int = FRAME_STREAMS) -> Fed:
    """All streams of a block fed the same."""
    return Fed(np.full((1, streams), value, np.float32), np.full((1, streams), bound, np.float32))


def test_a_rank_goes_up_down_and_out() -> None:
    """Three streams a signal, each in [0, 1], against its mean plus what a finite reference and the operator allow."""
    fed = fed_by(0.9, 0.3, known())
    assert fed.x[0, :3] == pytest.approx([0.9, 0.1, 0.8**7])
    error = 1.64 / np.sqrt(500)
    expected = [0.5 + 0.05 + 0.2887 * error] * 2 + [1 / 8 + 0.05 + np.sqrt(1 / 15 - 1 / 64) * error]
    assert fed.bound[0, :3] == pytest.approx(expected, rel=1e-3)


def test_mean_and_spread_of_the_third_stream_are_those_of_uniform_ranks() -> None:
    """Its bound rests on them."""
    reference = known()
    reference["histogram"][0, 1] = 60_000  # as good as without an error of its own
    far = np.array([fed_by(rank, 0.2, reference).x[0, 2] for rank in (np.arange(1_000) + 0.5) / 1_000])
    assert far.mean() == pytest.approx(fed_by(0.5, 0.2, reference).bound[0, 2] - 0.05, abs=1e-3)
    small = fed_by(0.5, 0.2, known(200)).bound[0, 2] - 0.05 - far.mean()
    assert small == pytest.approx(1.64 * far.std() / np.sqrt(100 * np.tanh(np.log(10))), abs=1e-3)


def test_what_is_reported_goes_up_and_down() -> None:
    """Against the reference's mean, its error and the tolerance, on both sides."""
    fed = fed_by(0.5, 0.3, known())
    up, down = PREDICTIONS.first, PREDICTIONS.first + OUTPUTS
    slack = 1.64 * 0.1 / np.sqrt(1_000) + 0.02
    assert (fed.x[0, up], fed.x[0, down]) == pytest.approx((0.3, 0.7))
    assert (fed.bound[0, up], fed.bound[0, down]) == pytest.approx((0.2 + slack, 0.8 + slack), rel=1e-3)


def test_a_smaller_and_a_slower_reference_allows_more() -> None:
    """A hundred frames, or a thousand that tell as much as one in ten of them, are the same; and little of them claims
    nothing. Correlation that falls to .01 in 23 frames makes a mean's variance ten times as large."""
    small, slow = fed_by(0.5, 0.2, known(100)).bound, fed_by(0.5, 0.2, known(1_000, lag=23)).bound
    assert small == pytest.approx(slow, rel=1e-2)
    assert (small >= fed_by(0.5, 0.2, known()).bound).all()
    reference = known(1_000)
    reference["decorrelation_lag"][0, : len(PICTURE)] = (
        23  # so what is said is as slow, though it was measured to be fast
    )
    of_entropy = fed_by(0.5, 0.2, reference).bound[0, PREDICTIONS.first + ENTROPY]
    assert of_entropy == pytest.approx(slow[0, PREDICTIONS.first], rel=1e-4)
    assert np.isnan(fed_by(0.5, 0.2, known(10, lag=100)).x[0, : 3 * RANKED]).all()


def test_a_missing_value_feeds_nothing() -> None:
    """Its streams take NaN, and their evidence stays."""
    fed = fed_by(float("nan"), float("nan"), known())
    assert np.isnan(fed.x).all()
    watch = np.zeros(1, WATCH)
    watch["evidence"] = 3
    take(watch, ROWS, fed, FRAMES_FAMILIES, np.array([1_000]), WEIGHT)
    assert (watch["evidence"] == 3).all()
    assert not watch["window"].any()


def test_each_stream_takes_one_frame_in_its_decorrelation_lag() -> None:
    """Three streams a signal; how sure the model is goes by the slowest of entropy, margin and class; light by most of
    its four; all losses by that of the loss."""
    reference = np.zeros(1, REFERENCE)
    reference["decorrelation_lag"][0, :RANKED] = np.arange(RANKED)
    reference["decorrelation_lag"][0, RANKED:] = 4, 7, 3, 5
    every = lags(reference, ROWS)[0]
    assert every[: 3 * RANKED].tolist() == [max(signal, 2) for signal in range(RANKED) for _ in range(3)]
    assert every[3 * RANKED :].tolist() == 2 * ([3] * BUCKETS + [7] * 2) + [5] * (ACCURACY.streams + 1)


def test_weights_of_a_family_are_one_and_its_streams_are_its_own() -> None:
    """So the family's evidence is a mean of e-detectors and keeps their promise; all labels together count half."""
    assert WEIGHTS.sum(axis=0) == pytest.approx(np.ones(len(FAMILIES)), rel=1e-6)
    assert ((WEIGHTS > 0).sum(axis=1) == 1).all()
    assert WEIGHTS.shape == (STREAMS, len(FAMILIES))
    assert WEIGHTS[ACCURACY.first, FAMILIES.index(ACCURACY)] == 0.5
    assert WEIGHTS[ACCURACY.first + 1, FAMILIES.index(ACCURACY)] == pytest.approx(0.3 / BUCKETS)


def test_evidence_stays_low_at_the_bound_and_grows_beyond_it() -> None:
    """After R samples at the bound it is R; beyond, it grows exponentially and the family says since when."""
    watch = np.zeros(1, WATCH)
    for at in range(100):
        take(watch, ROWS, alike(0.5, 0.5), FRAMES_FAMILIES, np.array([at]), WEIGHT)
    assert watch["family"][0, INPUT_PLACE] == pytest.approx(100, rel=1e-3)
    watch = np.zeros(1, WATCH)
    for at in range(100):
        take(watch, ROWS, alike(0.45, 0.5), FRAMES_FAMILIES, np.array([at]), WEIGHT)
    assert watch["family"][0, INPUT_PLACE] < 100
    for at in range(100, 160):
        take(watch, ROWS, alike(0.9, 0.5), FRAMES_FAMILIES, np.array([at]), WEIGHT)
    assert watch["family"][0, INPUT_PLACE] > 1e6
    assert 95 <= watch["since_ms"][0, INPUT_PLACE] <= 105
    assert watch["window"][0, INPUT_PLACE] == 160
    assert not watch["family"][0, OUTCOME_FAMILIES].any()


def test_a_family_s_evidence_is_its_streams_together() -> None:
    """And the stream with the most of it is the one that is told."""
    watch = np.zeros(1, WATCH)
    fed = alike(0.4, 0.5)
    fed.x[0, 7] = 0.95
    for at in range(50):
        take(watch, ROWS, fed, FRAMES_FAMILIES, np.array([at]), WEIGHT)
    shares = weighed(watch, known(), ROWS)[0, INPUT.slice]
    assert watch["family"][0, INPUT_PLACE] == pytest.approx(shares.sum(), rel=1e-4)
    assert int(shares.argmax()) == 7


def test_a_slow_stream_counts_as_many_times_as_its_samples_are_rarer() -> None:
    """At the bound both have the same evidence after the same frames; so the fast do not use up what all may say."""
    watch = np.zeros(1, WATCH)
    lag = EACH.copy()
    lag[0, : INPUT.streams : 2] = 10
    for at in range(1, 101):
        watch["tested"] = at
        fed = gathered(watch, ROWS, alike(0.501, 0.5), FRAMES_FAMILIES, lag)
        take(watch, ROWS, fed, FRAMES_FAMILIES, np.array([at]), WEIGHT * lag)
    slow, fast = watch["evidence"][0, 0].mean() * 10, watch["evidence"][0, 1].mean()
    assert slow == pytest.approx(fast, rel=0.05)
    assert watch["family"][0, INPUT_PLACE] == pytest.approx(100, rel=0.02)


def test_a_stream_takes_the_mean_of_the_samples_that_were_for_it() -> None:
    """One in ten labels; a class of which none came takes nothing; what is over is forgotten."""
    watch, streams = np.zeros(1, WATCH), ACCURACY.streams + 1
    lag = np.full((1, streams), 10, np.uint16)
    for at in range(1, 11):
        watch["labelled"] = at
        fed = alike(0.0, 0.2, streams)
        fed.x[0, 0] = 1.0 if at % 3 == 0 else 0.0
        fed.x[0, 1] = np.nan if at == 10 else 0.3  # the last one of its ten is of another class
        fed.x[0, 2] = np.nan
        last = gathered(watch, ROWS, fed, OUTCOME_FAMILIES, lag).x[0]
        assert np.isnan(last).all() == (at < 10)
    assert last[:2] == pytest.approx([0.3, 0.2 + 0.9 * 0.1])
    assert np.isnan(last[2])
    assert not watch["excess"].any()


def test_an_alarm_is_raised_once_at_the_threshold() -> None:
    """What is raised does not cross again."""
    watch = np.zeros(1, WATCH)
    watch["family"][0] = 1_000
    threshold = np.array([[1_000.0]], np.float32)
    assert crossed(watch, ROWS, FRAMES_FAMILIES, threshold).all()
    assert not crossed(watch, ROWS, FRAMES_FAMILIES, threshold + 1).any()
    watch["raised"][0, INPUT_PLACE] = 1
    assert crossed(watch, ROWS, FRAMES_FAMILIES, threshold)[0].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("span", "window", "family", "verdict"),
    [
        (0, SHORTEST_WINDOW - 1, 0, (False, False)),
        (0, SHORTEST_WINDOW, 0, (True, False)),
        (0, SHORTEST_WINDOW, 10 * SHORTEST_WINDOW, (True, False)),
        (0, SHORTEST_WINDOW, 11 * SHORTEST_WINDOW, (False, True)),
        (100, 199, 0, (False, False)),
        (100, 200, 0, (True, False)),
    ],
)
@pytest.mark.parametrize("lag", [1, 5])
def test_an_alarm_calms_after_a_window_without_evidence(
    span: int, window: int, family: float, verdict: tuple[bool, bool], lag: int
) -> None:
    """At least as long as it took to be raised, twice; a window with evidence begins again. Of slow streams a window
    holds more frames, and chance as much more evidence."""
    watch = np.zeros(1, WATCH)
    watch["raised"][0, INPUT_PLACE] = 1
    watch["span"][0], watch["window"][0], watch["family"][0] = span, window, family * lag
    slower = lag * EACH
    slower[0, 5] *= 3  # the fastest says how many frames a window holds
    calm, again = calmed(watch, ROWS, FRAMES_FAMILIES, slower)
    assert (bool(calm[0, INPUT_PLACE]), bool(again[0, INPUT_PLACE])) == verdict
    assert not calm[0, INPUT_PLACE + 1 :].any()  # of what is not raised nothing calms


def test_forgetting_a_family_leaves_the_others() -> None:
    """No evidence, a new window."""
    watch = np.zeros(1, WATCH)
    for name in ("evidence", "family", "cusum", "window"):
        watch[name] = 5
    forget(watch, 0, INPUT_PLACE)
    assert not watch["evidence"][0, INPUT.slice].any()
    assert (watch["evidence"][0, INPUT.streams :] == 5).all()
    for name in ("family", "cusum", "window"):
        assert watch[name][0].tolist() == [0, 5, 5, 5, 5]
