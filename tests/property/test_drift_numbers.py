"""Whatever numbers frames and labels carry, what drift remembers of a camera stays numbers."""

import math
from collections.abc import Iterator
from dataclasses import replace as changed
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from services.drift import numbers
from services.drift.sample import Frames
from tests.simulation.cameras import QUICK, Camera, Watched

ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30, 1e16, 1e6, -1e6, 0.0])
FIELDS = ("brightness", "contrast", "sharpness", "dark_share", "bright_share", "chroma_blue", "bits_per_pixel")
RULES = changed(QUICK, reference_samples=100)


def not_numbers(rows: NDArray[Any], within: str = "") -> Iterator[str]:
    """Columns of a row that hold something that is no number."""
    for name in rows.dtype.names or ():
        column = rows[name]
        if column.dtype.names:
            yield from not_numbers(column, f"{within}{name}.")
        elif column.dtype.kind == "f" and not np.isfinite(column).all():
            yield within + name


def remembered(odd: list[tuple[int, str, float]], propensity: float) -> list[str]:
    """What is no number after a camera has lived, of whose frames some carry odd ones."""
    camera, watched = Camera(), Watched(RULES)
    by_place: dict[int, dict[str, Any]] = {}
    for place, field, value in odd:
        by_place.setdefault(place, {})[field] = [value] * 16 if field == "embedding" else value
    for place in range(240):
        shot = camera.coloured()
        changes = by_place.get(place, {})
        if "probability" in changes:
            value = changes.pop("probability")
            changes["probabilities"] = dict.fromkeys(shot.probabilities, value)
        shot = replace(shot, **changes)
        watched.see(shot)
        if place % 20 == 0:
            watched.label(*camera.labelled([shot], propensity=propensity))
    table = watched.table
    parts = (table.reference[:1], table.watch[:1], table.learning[:1], table.days[:1])
    return [name for part in parts for name in not_numbers(part)]


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # a story of 240 frames is not made shorter by shrinking
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.integers(0, 239), st.sampled_from([*FIELDS, "embedding", "probability"]), ODD),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([1.0, 0.2, math.nan]),
)
def test_what_is_remembered_stays_numbers(odd: list[tuple[int, str, float]], propensity: float) -> None:
    """While a camera learns and afterwards, in pictures, predictions and labels."""
    assert remembered(odd, propensity) == []


def test_a_number_that_is_none_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: without the guard one NaN of brightness stays for ever."""

    def unguarded(watch: NDArray[Any], seen: Frames) -> tuple[Frames, int]:
        return seen, 0

    monkeypatch.setattr(numbers, "guarded", unguarded)
    assert "light" in remembered([(3, "brightness", math.nan)], 1.0)


def test_frames_with_odd_numbers_are_counted_and_the_others_are_not() -> None:
    """Once each."""
    camera, watched = Camera(), Watched(RULES)
    watched.see(*camera.shots(5), camera.shot(brightness=math.inf, contrast=math.nan), *camera.shots(5))
    counted = watched.core.counted()
    assert (counted["frames_with_odd_numbers"], counted["frames_watched"]) == (1, 11)


def test_a_signal_that_is_off_says_so() -> None:
    """A model that gives no features: its embedding claims nothing, and all others do."""
    camera, watched = Camera(), Watched(RULES)
    watched.see(*camera.shots(150, embedding=[]))
    left = {each.signal: each.learning_left for each in watched.statistics() if each.signal in ("embedding", "focus")}
    assert left == {"embedding": RULES.reference_samples, "focus": 0}
