"""Packed plots: what goes in comes out, a slot that nobody wrote is nothing, a chunk ends."""

import math

import pytest

from catseye.view import plots
from catseye.view.plots import MINUTES, QUARTERS, RESOLUTIONS


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97531, 1.0])
def test_shares_come_back_to_a_ten_thousandth(share: float) -> None:
    """Zero is a number, too; what is outside 0 to 1 is at its end."""
    empty, found = plots.unpack_shares(bytes(6) + plots.pack_shares((share, -1.0, 2.0)))
    assert empty is None
    assert found is not None
    kept, least, most = found
    assert kept == pytest.approx(share, abs=1e-4)
    assert (least, most) == (0.0, 1.0)


def test_evidence_and_readings_come_back() -> None:
    """In one byte and in four; zero, below zero, and a string whose last slot Redis cut."""
    assert plots.unpack_evidence(b"\x00" + plots.pack_evidence(0.0) + plots.pack_evidence(7.0)) == [None, 0.0, 1.0]
    packed = bytes(4) + b"".join(map(plots.pack_reading, (0.0, -21.5, 1e300)))
    nothing, zero, cold, most = plots.unpack_readings(packed)
    assert (nothing, zero, cold) == (None, 0.0, -21.5)
    assert most is not None
    assert most > 1e38
    assert plots.unpack_counts(b"\x00\x07\x01") == [7, 256]


def test_a_latency_is_counted_where_it_lies() -> None:
    """Bins double: 1 ms and less, 2, 4 and so on; percentiles are upper ends."""
    assert [plots.latency_bin(ms) for ms in (-5, 0, 1, 2, 3, 4, 5, 1_000, 10**9)] == [0, 0, 0, 1, 2, 2, 3, 10, 15]
    histogram = [0] * plots.LATENCY_BINS
    assert plots.percentile_ms(histogram, 0.5) is None
    histogram[5], histogram[10] = 99, 1
    assert [plots.percentile_ms(histogram, share) for share in (0.5, 0.99, 1.0)] == [32.0, 32.0, 1_024.0]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_time_has_one_slot_and_every_slot_its_time(resolution: plots.Resolution) -> None:
    """Also the last millisecond of a chunk; a chunk ends a while after its last slot."""
    for at_ms in (0, resolution.step_ms - 1, resolution.chunk_ms - 1, resolution.chunk_ms, 1_790_000_123_456):
        chunk, slot = resolution.place(at_ms)
        begins = list(plots.times(resolution, chunk, resolution.slots))[slot]
        assert begins <= at_ms < begins + resolution.step_ms
        assert resolution.expires_s(chunk) * 1_000 >= begins + resolution.step_ms + resolution.keep_ms - 1_000
    first = 1_790_000_000_000
    assert set(resolution.chunks(first, first + resolution.keep_ms)) >= {resolution.place(first)[0]}


def test_a_camera_costs_less_than_it_may() -> None:
    """200 KB with 30 signals, 8 classes and 4 readings, each key with what Redis needs for it."""
    of_key = 150
    minute, quarter = (math.ceil(resolution.keep_ms / resolution.chunk_ms) + 1 for resolution in (MINUTES, QUARTERS))

    def series(width: int) -> int:
        return minute * (of_key + MINUTES.slots * width) + quarter * (of_key + QUARTERS.slots * width)

    whole = (
        series(plots.SHARES_WIDTH) + 30 * series(plots.EVIDENCE_WIDTH) + 8 * series(2) + 4 * series(plots.READING_WIDTH)
    )
    assert whole + 12_288 + 20_000 < 200_000


def test_a_percentile_of_all_is_the_last_bin() -> None:
    """Also where rounding asks for more than there is."""
    assert plots.percentile_ms([0] * 15 + [3], 1.0) == 32_768.0
    assert plots.percentile_ms([1, 0], 2.0) is None
    assert plots.unpack_latencies(bytes(4 * plots.LATENCY_BINS)) == [(0,) * plots.LATENCY_BINS]


def test_paired_outcomes_come_back() -> None:
    """By who was right; a slot whose last numbers were never written has none of them."""
    assert plots.unpack_race((1).to_bytes(4, "big") + bytes(8) + (7).to_bytes(4, "big")) == [(1, 0, 0, 7)]
    assert plots.unpack_race((2).to_bytes(4, "big")) == [(2, 0, 0, 0)]
