"""The simulator's road: arrivals, light, the end, and what it refuses."""

import math
from dataclasses import replace
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from services.simulator.core import FrameDue, LabelDue, Plan, Road

PLAN = Plan(classes=("bike", "car", "truck"), seed=1, cameras=3, fps=50, duration_ms=60_000)


def test_arrivals_are_a_poisson_process_with_a_rate_of_each_camera() -> None:
    """Gaps of one camera are exponential: their mean equals their standard deviation; rates differ and add up."""
    taken: dict[str, list[float]] = {}
    for event in Road(replace(PLAN, copy_share=0)).due(math.inf):
        if isinstance(event, FrameDue):
            taken.setdefault(event.camera, []).append(event.at_ms)
    for times in taken.values():
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert fmean(gaps) == pytest.approx(pstdev(gaps), rel=0.1)
    counts = sorted(len(times) for times in taken.values())
    assert sum(counts) == pytest.approx(9_000, rel=0.05)
    assert counts[-1] > 1.05 * counts[0]


def test_labels_are_late_by_the_mean_delay() -> None:
    """First words come after an exponential delay."""
    events = Road(replace(PLAN, hurry=1, wrong_share=0)).due(math.inf)
    taken = {(e.camera, e.sequence): e.taken_at_ms for e in events if isinstance(e, FrameDue)}
    delays = [e.at_ms - taken[e.camera, e.sequence] for e in events if isinstance(e, LabelDue) and e.why == "first"]
    assert fmean(delays) == pytest.approx(PLAN.label_delay_ms, rel=0.1)


def test_the_day_makes_light_and_dark() -> None:
    """Over one day every camera sees both; without light none sees either."""
    events = Road(replace(PLAN, day_ms=60_000)).due(math.inf)
    light = {e.light for e in events if isinstance(e, FrameDue)}
    assert min(light) <= -2
    assert max(light) >= 2
    dull = Road(replace(PLAN, day_ms=60_000, light=False)).due(math.inf)
    assert {e.light for e in dull if isinstance(e, FrameDue)} == {0}


def test_after_the_last_frame_what_is_due_comes_faster() -> None:
    """The same labels, ten times sooner after the end, and the road says when that was."""
    slow, fast = (Road(replace(PLAN, hurry=hurry, wrong_share=0, repeat_share=0)) for hurry in (1.0, 10.0))
    ended_before = slow.ended_at_ms
    before = slow.due(60_000)
    assert before == fast.due(60_000)
    assert (ended_before, slow.ended_at_ms, fast.ended_at_ms) == (None, 60_000, 60_000)
    assert slow.labels_due == fast.labels_due > 0
    late, soon = slow.due(math.inf), fast.due(math.inf)
    assert [e.at_ms for e in soon] == [pytest.approx(60_000 + (e.at_ms - 60_000) / 10) for e in late]
    assert len(soon) > 0


def test_a_count_ends_the_road() -> None:
    """So many frames in all, and the road ends with the last one; it may be endless otherwise."""
    road = Road(replace(PLAN, duration_ms=math.inf, count=100, copy_share=0))
    frames = [event for event in road.due(math.inf) if isinstance(event, FrameDue)]
    assert len(frames) == 100
    assert road.ended_at_ms == frames[-1].at_ms


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"classes": ("car",)}, "two classes"),
        ({"cameras": 0}, "one camera"),
        ({"duration_ms": math.inf}, "needs an end"),
    ],
)
def test_a_road_that_cannot_be_is_refused(change: dict[str, object], sentence: str) -> None:
    """One class, no camera, no end."""
    with pytest.raises(ValueError, match=sentence):
        Road(replace(PLAN, **change))  # type: ignore[arg-type]
