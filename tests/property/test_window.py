"""The window against a plain set of everything that was ever accepted."""

from collections import OrderedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.window import BOOTS, WIDTH, CameraWindow, Verdict

AT_MS = 1_800_000_000_000
near = st.integers(0, 40)
edges = st.integers(WIDTH - 3, WIDTH + 3) | st.integers(2 * WIDTH - 3, 2 * WIDTH + 3)
far = st.sampled_from([2**40, 2**62 - 1])
few_boots = st.sampled_from(["a", "b", ""])
many_boots = st.sampled_from([f"boot-{number}" for number in range(BOOTS + 3)])
frames = st.tuples(few_boots, near | edges | far)
steps = st.lists(frames | st.just("restart"), max_size=60)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(steps)
def test_a_window_says_of_each_frame_what_a_set_would_say(story: list[tuple[str, int] | str]) -> None:
    """No pair is accepted twice, no new one within the width is refused, too old is only what lies beyond it."""
    window, seen, highest, duplicates = CameraWindow(), set[tuple[str, int]](), dict[str, int](), 0
    for step in story:
        if isinstance(step, str):
            window = CameraWindow.from_bytes(window.to_bytes())
            continue
        boot, sequence = step
        if highest.get(boot, sequence) - sequence >= WIDTH:
            expected = Verdict.TOO_OLD
        elif step in seen:
            expected = Verdict.DUPLICATE
        else:
            expected = Verdict.NEW
        assert window.take(boot, sequence, AT_MS) == expected
        if expected is Verdict.NEW:
            seen.add(step)
            highest[boot] = max(highest.get(boot, sequence), sequence)
        duplicates += expected is Verdict.DUPLICATE
    assert window.duplicates == duplicates


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(many_boots, near), max_size=80))
def test_no_frame_of_the_boots_used_last_is_accepted_twice(story: list[tuple[str, int]]) -> None:
    """With more boots than are remembered: a boot starts anew only after BOOTS others were used since."""
    window = CameraWindow()
    remembered: OrderedDict[str, set[int]] = OrderedDict()
    for boot, sequence in story:
        seen = remembered.pop(boot, set())
        assert window.take(boot, sequence, AT_MS) == (Verdict.DUPLICATE if sequence in seen else Verdict.NEW)
        remembered[boot] = seen | {sequence}
        if len(remembered) > BOOTS:
            remembered.popitem(last=False)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(many_boots, near | edges | far), max_size=40))
def test_bytes_and_back_is_the_same_window(story: list[tuple[str, int]]) -> None:
    """The order in which boots were used included; small whatever came."""
    window = CameraWindow()
    for boot, sequence in story:
        window.take(boot, sequence, AT_MS)
    stored = window.to_bytes()
    again = CameraWindow.from_bytes(stored)
    assert again == window
    assert again.to_bytes() == stored
    assert list(again._boots) == list(window._boots)
    assert len(stored) < 8_192
