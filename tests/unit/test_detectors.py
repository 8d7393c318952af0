"""One contract for every detector that a user can pick, and the promises of `Replayed`."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.contract.errors import Misconfigured
from services.drift.detectors.registry import DETECTORS, Detector, make
from services.drift.detectors.replayed import LONGEST, Replayed

NAMES = sorted(DETECTORS)
MEAN, RUN_LENGTH = 0.1, 10_000.0
STEP_AT = 200


def made(name: str, state: bytes = b"") -> Detector:
    return make(name, MEAN, run_length=RUN_LENGTH, state=state)


def alarms(detector: Detector, samples: list[float]) -> list[int]:
    """Places of the samples that raised an alarm."""
    raised = []
    for place, x in enumerate(samples):
        detector.update(x)
        if detector.drift_detected:
            raised.append(place)
    return raised


def zeros_and_ones(seed: int, *means: tuple[int, float]) -> list[float]:
    """So many samples of each mean."""
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([rng.random(count) < mean for count, mean in means])
    return [float(x) for x in drawn]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Each detector in turn."""
    return str(request.param)


def test_the_same_samples_give_the_same_alarms(name: str) -> None:
    """Two detectors side by side agree on every sample and in state: nothing but the samples counts."""
    samples = zeros_and_ones(1, (STEP_AT, MEAN), (100, 0.7))
    one, other = made(name), made(name)
    assert alarms(one, samples) == alarms(other, samples)
    assert one.to_bytes() == other.to_bytes()


@pytest.mark.parametrize("at", [1, 150, 260])
def test_a_restart_changes_nothing(name: str, at: int) -> None:
    """A detector that went through bytes says of all later samples what the one that lived on says."""
    samples = zeros_and_ones(2, (STEP_AT, MEAN), (100, 0.6))
    run_through = made(name)
    before = alarms(run_through, samples[:at])
    restored = made(name, run_through.to_bytes())
    assert (restored.drift_detected, restored.to_bytes()) == (run_through.drift_detected, run_through.to_bytes())
    assert alarms(restored, samples[at:]) == alarms(run_through, samples[at:])
    assert before == alarms(made(name), samples)[: len(before)]


@pytest.mark.parametrize("x", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_sample_is_refused(name: str, x: float) -> None:
    """A NaN or a number outside of [0, 1] is an error and leaves no trace."""
    detector, untouched = made(name), made(name)
    alarms(detector, [0.0, 1.0, 0.0])
    alarms(untouched, [0.0, 1.0, 0.0])
    with pytest.raises(ValueError, match="not in"):
        detector.update(x)
    assert detector.to_bytes() == untouched.to_bytes()


@pytest.mark.parametrize("x", [0.0, MEAN / 2])
def test_a_constant_that_is_no_rise_never_alarms(name: str, x: float) -> None:
    """What does not move, below the reference mean, is no drift."""
    assert alarms(made(name), [x] * 400) == []


def test_a_step_is_found(name: str) -> None:
    """From 10 % to 90 %, after 200 samples: an alarm within 60 and, for all but one seed of three, none before."""
    early = 0
    for seed in range(3):
        raised = alarms(made(name), zeros_and_ones(seed, (STEP_AT, MEAN), (60, 0.9)))
        early += any(place < STEP_AT for place in raised)
        assert any(place >= STEP_AT for place in raised)
    assert early <= 1


def test_a_state_is_bounded(name: str) -> None:
    """However long the stream: 4,000 bytes at most."""
    detector = made(name)
    alarms(detector, zeros_and_ones(7, (LONGEST + 20, MEAN)))
    assert len(detector.to_bytes()) <= 4_000


def test_a_reference_is_needed_in_range(name: str) -> None:
    """A mean or run length that is none is an error for every detector, also for those that do not use it."""
    for mean, run_length in ((0.0, 100.0), (1.0, 100.0), (math.nan, 100.0), (0.1, 1.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match="must be"):
            make(name, mean, run_length=run_length)


@pytest.mark.parametrize("run_length", [2.0, 100.0, 1e4, 5e6, 1e12])
def test_any_run_length_can_be_asked_for(name: str, run_length: float) -> None:
    """What river wants instead stays in its range."""
    detector = make(name, 0.3, run_length=run_length)
    detector.update(1.0)
    assert detector.to_bytes() != b""


@pytest.mark.parametrize(("wrong", "near"), [("adwn", "adwin"), ("Page-Hinkley", "page_hinkley"), ("ESR", "esr")])
def test_a_name_that_is_none_is_reported_the_nearest(wrong: str, near: str) -> None:
    """One sentence for whoever set it."""
    with pytest.raises(Misconfigured, match=f"did you mean {near}"):
        make(wrong, 0.1)


class Every:
    """A detector that alarms at its 700th sample."""

    def __init__(self) -> None:
        self.history: list[float] = []

    @property
    def drift_detected(self) -> bool:
        return bool(self.history) and len(self.history) % 700 == 0

    def update(self, x: float) -> None:
        self.history.append(x)


class Patient(Every):
    """One that never alarms."""

    @property
    def drift_detected(self) -> bool:
        return False


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2_500), st.integers(0, 2_500), st.integers(0, 2**32 - 1))
def test_restored_is_run_through(at: int, more: int, seed: int) -> None:
    """Wherever it is cut, across forgetting and alarms: the same past, and the same ever after."""
    samples = np.random.default_rng(seed).random(at + more).tolist()
    inner: list[Every] = []

    def build() -> Every:
        inner.append(Every())
        return inner[-1]

    run_through = Replayed(build)
    alarms(run_through, samples[:at])
    restored = Replayed.from_bytes(build, run_through.to_bytes())
    for x in samples[at:]:
        run_through.update(x)
        restored.update(x)
        assert restored.drift_detected == run_through.drift_detected
    assert restored.to_bytes() == run_through.to_bytes()


def test_the_older_half_is_forgotten() -> None:
    """With the sample after the thousandth; what is left is the newer half and that sample."""
    samples = np.linspace(0, 1, LONGEST + 1, dtype=np.float32)
    detector = Replayed(Patient)
    for x in samples[:-1].tolist():
        detector.update(x)
    assert detector.to_bytes() == samples[:-1].tobytes()
    detector.update(float(samples[-1]))
    assert detector.to_bytes() == samples[LONGEST // 2 :].tobytes()


def test_cost_and_memory_are_bounded() -> None:
    """In 5,000 samples: no detector ever holds more than a thousand, and together they took two a sample at most."""
    inner: list[Patient] = []

    def build() -> Patient:
        inner.append(Patient())
        return inner[-1]

    detector = Replayed(build)
    for _ in range(5_000):
        detector.update(0.5)
    assert max(len(each.history) for each in inner) == LONGEST
    assert sum(len(each.history) for each in inner) <= 2 * 5_000


def test_an_alarm_ends_the_past() -> None:
    """The sample after it is the first that a new detector sees."""
    detector = Replayed(Every)
    for _ in range(700):
        detector.update(0.5)
    assert detector.drift_detected
    detector.update(0.25)
    assert (detector.drift_detected, detector.to_bytes()) == (False, np.float32(0.25).tobytes())


@pytest.mark.parametrize(
    "state",
    [b"\0" * 3, *(np.array(each, "<f4").tobytes() for each in ([0] * (LONGEST + 1), [np.nan], [2], [-1]))],
)
def test_what_is_no_history_is_refused(state: bytes) -> None:
    """Half a number, too many, a NaN, one outside of [0, 1]."""
    with pytest.raises(ValueError, match=r"state|buffer"):
        Replayed.from_bytes(Every, state)
