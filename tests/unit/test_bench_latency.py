"""Figure 3: times are drawn before, what never arrives is infinite, and what is lost or repeated stops the bench."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.contract.codec import Codec
from catseye.contract.records import Prediction
from catseye.models.net import Net
from infra.benches.arrivals import ARRIVAL, latencies_ms, quantile_ms
from infra.benches.frames import faults
from infra.benches.latency import MODEL, PREDICTION_BYTES, arrival_times_ns, compare
from infra.benches.peers.passing import Passing

FIRST = 50
INTENDED_NS = np.array([1_000_000, 2_000_000, 3_000_000])


def arrivals(*seen: tuple[int, int]) -> NDArray[Any]:
    """What a reader wrote down: numbers of frames and when it had them, milliseconds."""
    return np.array([(number, at_ms * 1_000_000) for number, at_ms in seen], ARRIVAL)


def test_the_same_seed_draws_the_same_times() -> None:
    """Both sides of a pass see the same road; the next pass sees another."""
    one, again, other = (arrival_times_ns(500, 2, seed).tolist() for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_times_are_a_poisson_process_of_the_wanted_rate() -> None:
    """Gaps have the mean of the rate and, as exponential ones do, a standard deviation as large as their mean."""
    times_ns = arrival_times_ns(500, 40, seed=3)
    gaps_ms = np.diff(times_ns) / 1e6
    assert len(times_ns) == 20_000
    assert (gaps_ms.mean(), gaps_ms.std()) == pytest.approx((2, 2), rel=0.05)


def test_latency_counts_from_the_intended_time() -> None:
    """Whoever published late is late; other frames, of the warm-up, do not count."""
    seen = arrivals((3, 1), (FIRST, 5), (FIRST + 2, 8), (FIRST + 1, 9))
    assert latencies_ms(INTENDED_NS, seen, FIRST).tolist() == [4, 7, 5]


def test_what_never_arrives_is_infinite() -> None:
    """Negative control: a chain does not get faster by losing what is slow."""
    found = latencies_ms(INTENDED_NS, arrivals((FIRST, 5), (FIRST + 2, 8)), FIRST)
    assert found.tolist() == [4, math.inf, 5]
    assert (quantile_ms(found, 0.5), quantile_ms(found, 0.99)) == (5, math.inf)


def test_of_a_repeat_the_first_counts() -> None:
    """A reader had it then; that it came again is a fault and said as such."""
    seen = arrivals((FIRST, 5), (FIRST + 1, 6), (FIRST + 2, 7), (FIRST, 90))
    assert latencies_ms(INTENDED_NS, seen, FIRST).tolist() == [4, 4, 4]


def test_a_missing_and_a_repeated_record_are_reported() -> None:
    """Negative control: one of each among four."""
    assert faults(arrivals((0, 1), (1, 2), (1, 3), (3, 4))["number"], 4) == ["1 frames lost", "1 frames repeated"]


class Record:
    """As much of a message as the copy looks at."""

    def topic(self) -> str:
        return "frames"

    def partition(self) -> int:
        return 2

    def offset(self) -> int:
        return 0

    def key(self) -> bytes:
        return b"camera"

    def value(self) -> bytes:
        return b"0123456789"

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def headers(self) -> None:
        return None


@pytest.mark.parametrize(("most_bytes", "written"), [(100, b"0123456789"), (4, b"0123")])
def test_the_copy_writes_what_it_reads_or_the_start_of_it(most_bytes: int, written: bytes) -> None:
    """One record for one, on the same partition, under the same key."""
    assert Passing("out", most_bytes).on_batch([Record()], {}, 0) == [("out", 2, b"camera", written)]


def test_the_copy_writes_as_much_as_a_prediction_of_the_shipped_model() -> None:
    """Both sides write records of one size in the end, to a tenth."""
    spec = Net(MODEL.read_bytes()).spec
    prediction = Prediction(
        camera="camera-0000", boot="boot-1", sequence=99, captured_at_ms=1_790_000_000_000,
        received_at_ms=1_790_000_000_000, predicted_at_ms=1_790_000_000_000, prediction_id="f" * 32, model=spec.name,
        version="a" * 12, role="champion", frame_partition=0, frame_offset=99, label=spec.classes[0],
        probabilities=dict.fromkeys(spec.classes, 1 / 6), brightness=0.5, contrast=0.2, sharpness=1.0, dark_share=0.0,
        bright_share=0.0, perceptual_hash=2**62, model_sha256="0" * 64, embedding=[0.5] * 16,
    )  # fmt: skip
    assert len(Codec().encode(prediction)) == pytest.approx(PREDICTION_BYTES, rel=0.1)


def test_rows_become_the_figures_of_the_design() -> None:
    """Both quantiles at both loads, with the bounds on p99, and the guards of ours at half load."""
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": side, "load": load, "p50_ms": p50_ms, "p99_ms": p99_ms}
        for side, load, p50_ms, p99_ms in (
            ("ours", "50 %", 30.0, 60.0),
            ("copy", "50 %", 20.0, 30.0),
            ("ours", "80 %", 45.0, 90.0),
            ("copy", "80 %", 20.0, 45.0),
        )
    ]
    assert {figure.name: (figure.interval.median, figure.met) for figure in compare(rows)} == {
        "p99 at 50 %, ours / copy": (2.0, False),
        "p50 at 50 %, ours / copy": (1.5, None),
        "p99 at 80 %, ours / copy": (2.0, True),
        "p50 at 80 %, ours / copy": (2.25, None),
        "guard: p50 at 50 %, ours / 60 ms": (0.5, True),
        "guard: p99 at 50 %, ours / 150 ms": (0.4, True),
    }
