"""`services.drift.detectors.esr`: the formula, its promise, and what it refuses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from services.drift.detectors.esr import CEILING, FRACTIONS, MixtureESR, advance, combined

IN_UNIT = st.floats(0, 1, width=32)
BOUNDS = st.floats(0.001, 0.98)


def plainly(evidence: list[float], x: float, bound: float) -> list[float]:
    """The formula as the paper has it, number by number: lambda_k = FRACTIONS[k] / bound."""
    bets = [fraction / bound for fraction in FRACTIONS.tolist()]
    return [(1 + bet * (x - bound)) * (m + 1) for bet, m in zip(bets, evidence, strict=True)]


def fed(x: list[float], bound: float) -> NDArray[np.float64]:
    """Evidence of one stream after all samples."""
    evidence = np.zeros(8)
    for each in x:
        advance(evidence, each, bound, out=evidence)
    return evidence


def test_eight_bets_between_nothing_and_all() -> None:
    """Growth is positive for every sample as long as each share is below 1; each step is the same factor."""
    assert FRACTIONS.shape == (8,)
    assert 0 < FRACTIONS[0] < FRACTIONS[-1] < 1
    np.testing.assert_allclose(FRACTIONS[1:] / FRACTIONS[:-1], FRACTIONS[1] / FRACTIONS[0])


@given(st.lists(IN_UNIT, min_size=1, max_size=30), BOUNDS)
def test_a_step_is_the_formula(x: list[float], bound: float) -> None:
    """Up to rounding, as long as nothing is clipped."""
    expected = [0.0] * 8
    for each in x:
        expected = [min(m, CEILING) for m in plainly(expected, each, bound)]
    np.testing.assert_allclose(fed(x, bound), expected, rtol=1e-9, atol=1e-12)


@given(
    arrays(np.float32, (3, 5), elements=IN_UNIT),
    arrays(np.float32, (3, 5), elements=st.floats(1 / 64, 0.875, width=32)),
)
def test_many_streams_are_each_one_stream(x: NDArray[np.float32], bound: NDArray[np.float32]) -> None:
    """Any shape, with a bound each, bit for bit what a stream of its own gives."""
    evidence = np.full((3, 5, 8), 7, np.float32)
    together = advance(evidence, x, bound)
    alone = [advance(evidence[place], x[place], bound[place]) for place in np.ndindex(3, 5)]
    assert together.tolist() == np.reshape(alone, (3, 5, 8)).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_type_stays(dtype: type[np.float32] | type[np.float64]) -> None:
    """Of evidence and of what is held against the threshold, whatever type samples and bounds have."""
    evidence = np.zeros((4, 8), dtype)
    after = advance(evidence, np.array([0, 1, 1, 0]), 0.25)
    assert [after.dtype, combined(after).dtype] == [np.dtype(dtype)] * 2


def test_it_can_be_done_in_place_or_not() -> None:
    """*out* gets the answer; without it evidence stays as it was."""
    evidence = np.ones((2, 8))
    x, bound = np.array([0.0, 1.0]), np.array([0.1, 0.2])
    after = advance(evidence, x, bound)
    assert evidence.tolist() == np.ones((2, 8)).tolist()
    assert advance(evidence, x, bound, out=evidence) is evidence
    assert evidence.tolist() == after.tolist()


@pytest.mark.parametrize("bound", [0.001, 0.5, 0.98])
def test_no_stream_overflows(bound: float) -> None:
    """Only ones, for ever: evidence stops at the ceiling, also as float32, and comes down again from there."""
    evidence = np.zeros((1, 8), np.float32)
    for _ in range(5_000):
        advance(evidence, 1.0, bound, out=evidence)
    assert np.isfinite(evidence).all()
    assert float(evidence.max()) == pytest.approx(CEILING)
    for _ in range(20_000):
        advance(evidence, 0.0, bound, out=evidence)
    assert float(combined(evidence)[0]) < 100


def test_evidence_never_falls_below_nothing() -> None:
    """Only zeros: each bet settles at (1 - share) / share."""
    np.testing.assert_allclose(fed([0.0] * 5_000, 0.05), (1 - FRACTIONS) / FRACTIONS, rtol=1e-6)


@given(BOUNDS, st.floats(0, 1e6))
def test_without_drift_evidence_grows_by_one_a_sample_in_the_mean(bound: float, start: float) -> None:
    """The promise, exactly: the expectation over a sample of 0 or 1 with mean *bound* is evidence + 1, for each bet."""
    evidence = np.full(8, start)
    mean = bound * advance(evidence, 1.0, bound) + (1 - bound) * advance(evidence, 0.0, bound)
    np.testing.assert_allclose(mean, evidence + 1, rtol=1e-9)


def test_the_run_length_is_kept() -> None:
    """400 streams with the mean at the bound run on for at least the threshold in the mean, sure to 3 errors."""
    rng, threshold = np.random.default_rng(11), 200.0
    evidence, length = np.zeros((400, 8)), np.full(400, math.inf)
    for sample in range(1, 6_001):
        advance(evidence, (rng.random(400) < 0.1).astype(float), 0.1, out=evidence)
        length = np.where(np.isinf(length) & (combined(evidence) >= threshold), sample, length)
    length = np.minimum(length, 6_000)
    assert length.mean() - 3 * length.std() / 20 > threshold


def test_a_doubled_rate_is_found() -> None:
    """Of 200 streams that go from .05 to .15 nearly all alarm within 300 samples at a threshold of 10,000."""
    rng = np.random.default_rng(12)
    evidence, raised = np.zeros((200, 8)), np.zeros(200, bool)
    for _ in range(300):
        advance(evidence, (rng.random(200) < 0.15).astype(float), 0.05, out=evidence)
        raised |= combined(evidence) >= 10_000
    assert raised.mean() > 0.97


def test_the_scalar_form_is_the_vector_form() -> None:
    """Same samples, same evidence, and an alarm when it reaches the threshold."""
    detector = MixtureESR(0.1, tolerance=0.05, threshold=500)
    evidence = np.zeros(8)
    for x in (np.random.default_rng(3).random(60) < 0.5).astype(float).tolist():
        detector.update(x)
        advance(evidence, x, 0.1 + 0.05, out=evidence)
        assert detector.evidence == float(combined(evidence))
        assert detector.drift_detected == (detector.evidence >= detector.threshold)
        if detector.drift_detected:
            break
    assert detector.drift_detected


def test_after_an_alarm_it_begins_anew() -> None:
    """As river's detectors: the alarm stands until the next sample, which is the first of a new run."""
    detector, new = MixtureESR(0.05, threshold=100), MixtureESR(0.05, threshold=100)
    while not detector.drift_detected:
        detector.update(1)
    detector.update(0)
    new.update(0)
    assert (detector.drift_detected, detector.evidence) == (False, new.evidence)


def test_a_tolerance_allows_a_rise() -> None:
    """A constant at mean + tolerance gains one a sample, no more; without tolerance it alarms again and again."""
    patient, strict = MixtureESR(0.1, tolerance=0.2, threshold=1_000), MixtureESR(0.1, threshold=1_000)
    raised = 0
    for _ in range(50):
        patient.update(0.3)
        strict.update(0.3)
        raised += strict.drift_detected
    assert patient.evidence == pytest.approx(50)
    assert raised > 1


@pytest.mark.parametrize("x", [math.nan, -0.001, 1.001, math.inf])
def test_what_is_no_sample_is_refused(x: float) -> None:
    """A NaN or a number outside of [0, 1] is an error, and nothing has moved."""
    detector = MixtureESR(0.2)
    detector.update(1)
    before = detector.evidence
    with pytest.raises(ValueError, match="not in"):
        detector.update(x)
    assert detector.evidence == before


@pytest.mark.parametrize(
    ("mean", "tolerance", "threshold"),
    [(0, 0, 100), (1, 0, 100), (math.nan, 0, 100), (0.9, 0.1, 100), (0.1, -0.1, 100), (0.1, 0, 1), (0.1, 0, math.inf)],
)
def test_arguments_out_of_range_are_refused(mean: float, tolerance: float, threshold: float) -> None:
    """A bound outside of (0, 1), a negative tolerance, a threshold that is none."""
    with pytest.raises(ValueError, match="must be"):
        MixtureESR(mean, tolerance, threshold)


@pytest.mark.parametrize("state", [b"", b"\0" * 56, np.full(8, np.nan).tobytes(), np.full(8, -1.0).tobytes()])
def test_what_is_no_state_is_refused(state: bytes) -> None:
    """Eight float64, no more and no less, none of them negative or no number."""
    with pytest.raises(ValueError, match=r"64 bytes|between"):
        MixtureESR(0.1).restore(state)
