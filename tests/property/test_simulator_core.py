"""The simulator's road under any plan: the same seed gives the same road, in order, and labels are about its past."""

import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.simulator import changes
from services.simulator.core import LIGHT_LEVELS, Due, FrameDue, LabelDue, Plan, Road

SHARES = st.floats(0, 1)
PLANS = st.builds(
    Plan,
    classes=st.sampled_from([("bike", "car"), ("bike", "car", "truck")]),
    seed=st.integers(0, 2**32),
    cameras=st.integers(1, 5),
    fps=st.floats(1, 40),
    duration_ms=st.floats(0, 4_000),
    count=st.none() | st.integers(1, 100),
    light=st.booleans(),
    day_ms=st.floats(100, 10_000),
    copy_share=SHARES,
    corrupt_share=SHARES,
    label_share=SHARES,
    label_delay_ms=st.floats(1, 10_000),
    wrong_share=SHARES,
    repeat_share=SHARES,
    hurry=st.floats(1, 20),
    change_at_ms=st.floats(0, 4_000) | st.just(math.inf),
    change_cameras=st.integers(0, 5),
)

RAMPS_S = st.floats(0, 3)
CHANGES = st.one_of(
    st.just(changes.Nothing()),
    st.builds(changes.Weather, kind=st.sampled_from(["fog", "dirt"]), severity=st.integers(1, 5), ramp_s=RAMPS_S),
    st.just(changes.Frozen()),
    st.just(changes.Black()),
    st.just(changes.Silent()),
    st.builds(changes.ClockJump, jump_s=st.floats(-10_000, 10_000)),
    st.builds(changes.ClassMix, share=st.floats(0.01, 1), ramp_s=RAMPS_S),
    st.builds(changes.NewKind, share=st.floats(0.01, 1), made_of=st.sampled_from(["", "car"]), ramp_s=RAMPS_S),
    st.builds(changes.WrongLabels, share=st.floats(0.01, 1), ramp_s=RAMPS_S),
    st.just(changes.LabelsStop()),
)
STORIES = st.builds(lambda plan, change: replace(plan, change=change), PLANS, CHANGES)


def played(road: Road) -> list[Due]:
    """Everything that a road gives."""
    return road.due(math.inf)


def frames_of(events: list[Due]) -> list[FrameDue]:
    return [event for event in events if isinstance(event, FrameDue)]


def labels_of(events: list[Due]) -> list[LabelDue]:
    return [event for event in events if isinstance(event, LabelDue)]


@given(STORIES, st.lists(st.floats(0, 5_000), max_size=20))
@settings(deadline=None)
def test_the_same_seed_gives_the_same_events_however_often_it_is_asked(plan: Plan, asked_at_ms: list[float]) -> None:
    """Asked at any times or once: no event is lost, repeated or changed, and none comes before its time."""
    road, pieces = Road(plan), []
    for now_ms in sorted(asked_at_ms):
        given_ = road.due(now_ms)
        assert all(event.at_ms <= now_ms for event in given_)
        assert road.next_ms is None or road.next_ms > now_ms
        pieces += given_
    assert pieces + played(road) == played(Road(plan))
    assert road.next_ms is None
    assert road.labels_due == 0


@given(STORIES)
@settings(deadline=None)
def test_events_come_in_order_and_cameras_count_from_0(plan: Plan) -> None:
    """Times never go back; a camera's frames are numbered without a hole; a copy follows its frame."""
    events = played(Road(plan))
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    taken: dict[str, list[int]] = defaultdict(list)
    originals: dict[tuple[str, int], FrameDue] = {}
    for frame in frames_of(events):
        assert frame.taken_at_ms < plan.duration_ms
        assert abs(frame.light) <= (LIGHT_LEVELS if plan.light else 0)
        if frame.copy:
            original = originals[frame.camera, frame.sequence]
            assert not frame.corrupt
            assert frame == original._replace(at_ms=frame.at_ms, copy=1)
        else:
            assert frame.at_ms == frame.taken_at_ms
            taken[frame.camera].append(frame.sequence)
            originals[frame.camera, frame.sequence] = frame
    assert all(sequences == list(range(len(sequences))) for sequences in taken.values())
    assert plan.count is None or len(originals) <= plan.count


@given(PLANS)
@settings(deadline=None)
def test_every_label_is_about_an_earlier_frame_and_the_last_label_is_true(plan: Plan) -> None:
    """One first word a frame at most; a wrong one is corrected, later by both clocks; a repeat says the same again."""
    events = played(Road(plan))
    frames: dict[tuple[str, int], FrameDue] = {}
    reported: dict[tuple[str, int], list[LabelDue]] = defaultdict(list)
    for event in events:
        name = (event.camera, event.sequence)
        if isinstance(event, FrameDue):
            frames.setdefault(name, event)
            continue
        frame = frames[name]
        assert event.at_ms >= frame.at_ms
        assert not frame.corrupt
        assert event.truth == frame.label
        if event.why == "repeat":
            assert event._replace(at_ms=0, why="first") in [
                earlier._replace(at_ms=0, why="first") for earlier in reported[name]
            ]
        else:
            assert event.labelled_at_ms == event.at_ms
            assert (event.label == frame.label) == (event.why != "wrong")
        reported[name].append(event)
    for labels in reported.values():
        words = [label.why for label in labels if label.why != "repeat"]
        assert words in (["first"], ["wrong", "correction"])
        assert max(labels, key=lambda label: label.labelled_at_ms).label == labels[0].truth


@given(PLANS, st.floats(1, 10_000), SHARES)
@settings(deadline=None)
def test_labels_do_not_change_the_frames(plan: Plan, delay_ms: float, wrong_share: float) -> None:
    """With another label delay or share of wrong labels the same frames come at the same times."""
    other = replace(plan, label_delay_ms=delay_ms, wrong_share=wrong_share)
    first, second = ([frame for frame in frames_of(played(Road(each))) if not frame.copy] for each in (plan, other))
    assert first == second


@pytest.mark.slow
@given(PLANS)
@settings(deadline=None)
def test_only_changed_cameras_change_and_only_from_then_on(plan: Plan) -> None:
    """The first cameras, from the time on; everything else about the frames stays as it would have been."""
    changing = {f"cam-{number + 1:02d}" for number in range(plan.change_cameras)}
    frames = frames_of(played(Road(plan)))
    for frame in frames:
        assert frame.changed == (frame.camera in changing and frame.taken_at_ms >= plan.change_at_ms)
    unchanged = frames_of(played(Road(replace(plan, change_cameras=0))))
    assert [frame._replace(changed=False) for frame in frames] == unchanged


@given(STORIES)
@settings(deadline=None)
def test_whatever_happens_the_other_cameras_and_the_time_before_stay_as_they_were(story: Plan) -> None:
    """Frames and labels, to the last field; where it happens no frame comes at a time at which none came."""
    changing = {f"cam-{number + 1:02d}" for number in range(story.change_cameras)}
    with_it, without_it = (played(Road(each)) for each in (story, replace(story, change_cameras=0)))

    def spared(events: list[Due]) -> list[Due]:
        return [event for event in events if event.camera not in changing or event.at_ms < story.change_at_ms]

    assert spared(with_it) == spared(without_it)
    times = {(frame.camera, frame.at_ms) for frame in frames_of(without_it)}
    assert {(frame.camera, frame.at_ms) for frame in frames_of(with_it)} <= times


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=5)
def test_shares_and_rates_are_as_planned(seed: int) -> None:
    """Each count lies within five standard deviations of what was asked for."""
    plan = Plan(
        classes=("bike", "car", "truck"),
        seed=seed,
        cameras=4,
        fps=100,
        duration_ms=10_000,
        copy_share=0.05,
        corrupt_share=0.1,
        label_share=0.7,
        wrong_share=0.2,
        repeat_share=0.1,
    )
    events = played(Road(plan))
    frames, labels = frames_of(events), labels_of(events)
    originals = [frame for frame in frames if not frame.copy]
    sound = sum(not frame.corrupt for frame in originals)
    whys = Counter(label.why for label in labels)
    labelled = whys["first"] + whys["wrong"]

    def near(found: int, of: int, share: float) -> bool:
        return abs(found - of * share) <= 5 * math.sqrt(of * share * (1 - share))

    assert abs(len(originals) - 4_000) <= 5 * math.sqrt(4_000)
    assert near(len(originals) - sound, len(originals), 0.1)
    assert near(len(frames) - len(originals), sound, 0.05)
    assert near(labelled, sound, 0.7)
    assert near(whys["wrong"], labelled, 0.2)
    assert whys["correction"] == whys["wrong"]
    assert near(whys["repeat"], labelled + whys["correction"], 0.1)
