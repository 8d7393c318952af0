"""State of the join: what it costs, and its edges. Its law is in tests/property/test_join_state.py."""

import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from services.ground_truth.entry import NEVER_MS, NO_LABEL, RECEIVED, Entry, ShadowEntry, pack, pack_shadow
from services.ground_truth.join_state import (
    BUCKETS_A_HORIZON,
    EARLY_BUCKET_MS,
    MARK,
    MARK_BUCKETS,
    JoinState,
    Model,
    frame_key,
)

HOUR_MS = 3_600_000
HORIZON_MS = 24 * HOUR_MS
SIX = tuple(f"class {number}" for number in range(6))
CAMERAS = 40
BOOT = "2026-01-01T00:00:00Z"


def entry(state: JoinState, received_at_ms: int, classes: tuple[str, ...] = SIX, version: str = "1") -> bytes:
    """A prediction that came in then, packed as the core packs it."""
    number = state.model_no("m", version, classes)
    return pack(Entry(received_at_ms, received_at_ms, 1, 7, number, 0, 128, 0, NEVER_MS, NO_LABEL, (9,) * len(classes)))


def put(state: JoinState, sequence: int, received_at_ms: int, camera: str = "cam", **how: Any) -> bytes:
    """Let a prediction wait. Returns its key."""
    key = frame_key(camera, BOOT, sequence)
    state.saw(received_at_ms)
    state.put(key, entry(state, received_at_ms, **how), None)
    return key


def filled(count: int, *, step_ms: int = 1, stride: int = 1) -> JoinState:
    """A state in which so many predictions of 40 cameras wait."""
    state = JoinState(HORIZON_MS)
    rest = entry(state, 0)[RECEIVED.size :]
    for number in range(count):
        key = frame_key(f"camera-{number % CAMERAS}", BOOT, number // CAMERAS * stride)
        state.restore(b"p" + key, RECEIVED.pack(number * step_ms) + rest)
    state.commit()
    return state


def shadowed(count: int) -> JoinState:
    """A state in which what a shadow said of so many frames waits."""
    state = JoinState(HORIZON_MS)
    number = state.model_no("m", "2", SIX)
    for place in range(count):
        key = frame_key(f"camera-{place % CAMERAS}", BOOT, place // CAMERAS)
        state.restore(b"s" + key, pack_shadow(ShadowEntry(place, number, 0, 255, (9,) * len(SIX))))
    state.commit()
    return state


def lines_of(work: Callable[[], object]) -> int:
    """How many lines of Python *work* runs: counts, unlike a time, do not depend on the machine."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    gc.disable()  # others may have asked to be told of a collection: their lines are not ours
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


@pytest.mark.slow
def test_a_waiting_prediction_costs_at_most_120_bytes() -> None:
    """50,000 of them with six classes, dense as publishers count."""
    tracemalloc.start()
    state = filled(50_000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.waiting == 50_000
    assert used / state.waiting < 120


@pytest.mark.slow
def test_what_a_shadow_reported_costs_at_most_30_bytes() -> None:
    """Beside the prediction; of six classes."""
    tracemalloc.start()
    state = shadowed(50_000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.shadows == 50_000
    assert used / state.shadows < 30


@pytest.mark.slow
def test_memory_of_shadows_returns_when_labels_come() -> None:
    """Long before the horizon, when frames have labels: no empty segment stays until then."""
    tracemalloc.start()
    state = shadowed(20_000)
    full, _ = tracemalloc.get_traced_memory()
    for place in range(20_000):
        state.take_shadow(frame_key(f"camera-{place % CAMERAS}", BOOT, place // CAMERAS))
        state.commit()
    empty, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.shadows == 0
    assert empty < 0.05 * full


def test_a_state_is_gone_when_nobody_holds_it() -> None:
    """Without the collector, which a worker lets run seldom: partitions that moved must not be kept twice."""
    state = filled(10)
    gone = weakref.ref(state)
    gc.disable()
    try:
        del state
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_memory_returns_when_predictions_expire() -> None:
    """All of it but what names the boots."""
    tracemalloc.start()
    state = filled(20_000)
    full, _ = tracemalloc.get_traced_memory()
    state.saw(2 * HORIZON_MS)
    while state.expire(1_000):
        state.commit()
    state.commit()
    empty, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.waiting == 0
    assert empty < 0.05 * full


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 64], ids=["dense", "sparse"])
def test_the_cost_of_a_record_does_not_grow(stride: int) -> None:
    """Finding, adding, changing and forgetting run the same lines with 2,000 waiting as with 40,000."""

    def costs(waiting: int) -> list[int]:
        state = filled(waiting, stride=stride)
        next_at = waiting // CAMERAS * stride
        key = frame_key("camera-3", BOOT, 10 * stride)
        late = frame_key("camera-3", BOOT, next_at + 64 * stride)
        packed = state.get(key)
        assert packed is not None
        found = lines_of(lambda: state.get(key))
        added = lines_of(lambda: state.put(late, entry(state, waiting), None))
        changed = lines_of(lambda: state.put(key, packed, packed))
        nothing_due = lines_of(lambda: state.expire(1_000))
        return [found, added, changed, nothing_due]

    assert costs(2_000) == costs(40_000)


def test_looking_for_what_is_due_costs_what_is_due() -> None:
    """A hundred entries leave at the same cost from a small state and from a large one."""

    def cost(waiting: int) -> int:
        state = filled(waiting, step_ms=HORIZON_MS // BUCKETS_A_HORIZON // 100)
        state.saw(HORIZON_MS + HORIZON_MS // BUCKETS_A_HORIZON)
        lines = lines_of(lambda: state.expire(10**9))
        assert waiting - state.waiting == 100
        return lines

    assert cost(3_000) == cost(18_000)


def test_expiry_can_be_spread() -> None:
    """About as many as asked for at a time, the oldest bucket first, until none is due."""
    state = filled(1_000, step_ms=1_000)
    state.saw(2 * HORIZON_MS)
    rounds = []
    while gone := state.expire(100):
        rounds.append(gone)
    assert sum(rounds) == 1_000
    assert max(rounds) < 100 + 64


def test_nothing_leaves_before_the_horizon() -> None:
    """A prediction leaves when its bucket, half a per cent of the horizon, is wholly past it."""
    state = JoinState(HORIZON_MS)
    put(state, 0, 0)
    bucket_ms = HORIZON_MS // BUCKETS_A_HORIZON
    left = []
    for newest_ms in (HORIZON_MS, HORIZON_MS + bucket_ms - 1, HORIZON_MS + bucket_ms):
        state.saw(newest_ms)
        left.append(state.expire(10))
    assert left == [0, 0, 1]


def test_time_moves_on_and_never_back() -> None:
    """A frame that comes in late makes nothing young again."""
    state = JoinState(HORIZON_MS)
    for at_ms in (5, 3, 9, 8):
        state.saw(at_ms)
    assert state.newest_ms == 9


def test_a_horizon_shorter_than_its_buckets_works() -> None:
    """For tests and benches of seconds."""
    state = JoinState(50)
    put(state, 0, 0)
    state.saw(51)
    assert state.expire(10) == 1


def test_expired_sequences_are_known_by_boot() -> None:
    """Up to the highest that was forgotten; other boots are not touched."""
    state = JoinState(HORIZON_MS)
    for sequence in (3, 5):
        put(state, sequence, 0)
    put(state, 9, 2 * HORIZON_MS)
    state.expire(10)
    asked = [frame_key("cam", BOOT, sequence) for sequence in (0, 4, 5, 6)]
    assert [state.is_expired(key) for key in asked] == [True, True, True, False]
    assert not state.is_expired(frame_key("cam", "another", 0))


def test_a_late_straggler_does_not_lower_what_is_forgotten() -> None:
    """A lower number that expires later leaves the mark where it is."""
    state = JoinState(HORIZON_MS)
    put(state, 500, 0)
    state.saw(2 * HORIZON_MS)
    state.expire(10)
    put(state, 3, 0)
    assert state.expire(10) == 1
    assert state.is_expired(frame_key("cam", BOOT, 500))


def test_a_mark_ends_when_no_label_of_its_frames_can_come() -> None:
    """A horizon and twice the margin after its boot last forgot a frame, however long nothing had come in before."""
    margin_ms = 2 * HOUR_MS
    state, kept_ms = JoinState(HORIZON_MS, margin_ms), HORIZON_MS + 2 * margin_ms
    gone, young = (put(state, 0, 0, camera) for camera in ("gone", "young"))
    state.saw(10 * kept_ms)
    assert (state.expire(10), state.end_marks(10)) == (2, 0)
    put(state, 1, HORIZON_MS, "young")
    state.saw(10 * kept_ms + HOUR_MS)
    state.expire(10)
    ended = []
    for newest_ms in (11 * kept_ms, 11 * kept_ms + kept_ms // MARK_BUCKETS - 1, 11 * kept_ms + kept_ms // MARK_BUCKETS):
        state.saw(newest_ms)
        ended.append((state.end_marks(10), state.is_expired(gone), state.is_expired(young)))
    assert ended == [(0, True, True), (0, True, True), (1, False, True)]
    assert dict(state.changes())[b"l" + gone[:-8]] is None
    state.saw(12 * kept_ms)
    assert [state.end_marks(10), state.end_marks(10), state.is_expired(young)] == [1, 0, False]


def test_a_mark_that_an_abort_took_back_does_not_end_again() -> None:
    """Where it would have ended nothing is found, and nothing said."""
    state = JoinState(HORIZON_MS)
    key = put(state, 0, 0)
    state.commit()
    state.saw(2 * HORIZON_MS)
    assert state.expire(10) == 1
    state.rollback()
    state.saw(5 * HORIZON_MS)
    assert (state.end_marks(10), state.changes(), state.get(key) is None) == (0, [], False)


def test_nothing_is_left_of_boots_that_ended() -> None:
    """A camera that starts anew every hour for half a year leaves what two horizons hold, and a bucket."""
    state = JoinState(HORIZON_MS)
    for hour in range(180 * 24):
        state.saw(hour * HOUR_MS)
        state.put(frame_key("cam", f"boot {hour}", 0), entry(state, hour * HOUR_MS), None)
        state.expire(100)
        state.end_marks(100)
        state.commit()
    marks = [key for key in state.items() if key[:1] == b"l"]
    assert len(marks) <= 24 + 2
    assert sum(len(boots) for boots in vars(state)["_mark_buckets"].values()) == len(marks)


def test_ended_marks_can_be_spread() -> None:
    """As many as asked for at a time."""
    state = JoinState(HORIZON_MS)
    for camera in range(25):
        put(state, 0, 0, f"camera {camera}")
    for newest_ms in (2 * HORIZON_MS, 4 * HORIZON_MS):
        state.saw(newest_ms)
        state.expire(100)
    assert [state.end_marks(10) for _ in range(4)] == [10, 10, 5, 0]


def test_marks_from_before_they_had_an_end_are_read() -> None:
    """Eight bytes; they end as if they had moved last when the youngest frame before them on the log came in."""
    state, key = JoinState(HORIZON_MS), frame_key("cam", BOOT, 5)
    put(state, 9, HOUR_MS, "other")
    state.restore(b"l" + key[:-8], (5).to_bytes(8, "big"))
    state.commit()
    assert (state.is_expired(key), state.items()[b"l" + key[:-8]]) == (True, b"\x01" + MARK.pack(5, HOUR_MS))
    state.saw(HOUR_MS + 3 * HORIZON_MS)
    assert (state.end_marks(10), state.is_expired(key)) == (1, False)


def test_models_of_different_widths_share_a_segment() -> None:
    """Each entry comes back as it was put, whichever was first."""
    for widths in ((2, 7, 3), (7, 2, 3)):
        state = JoinState(HORIZON_MS)
        expected = {}
        for sequence, width in enumerate(widths):
            classes = tuple(f"c{number}" for number in range(width))
            key = put(state, sequence, 5, classes=classes, version=f"of {width}")
            expected[key] = entry(state, 5, classes, f"of {width}")
        assert {key: state.get(key) for key in expected} == expected


def test_no_two_frames_share_a_key() -> None:
    """Where the camera ends is part of it."""
    keys = {
        frame_key(*name) for name in (("a", "bc", 1), ("ab", "c", 1), ("1:a", "", 1), ("a", "bc", 256), ("", "abc", 1))
    }
    assert len(keys) == 5


def test_removing_what_is_not_there_changes_nothing() -> None:
    """Tombstones of keys that compaction has taken already: no boot, no segment, no bit, no label, no mark."""
    state = JoinState(HORIZON_MS)
    put(state, 70, 5)
    before = state.items()
    for kind, key in (
        (b"p", frame_key("nobody", "b", 1)),
        (b"p", frame_key("cam", BOOT, 1)),
        (b"p", frame_key("cam", BOOT, 71)),
        (b"s", frame_key("cam", BOOT, 70)),
        (b"e", frame_key("cam", BOOT, 70)),
        (b"l", b"nobody"),
    ):
        state.restore(kind + key, None)
    assert state.items() == before


def test_a_model_that_came_and_went_with_an_aborted_batch_leaves_its_number_free() -> None:
    """The next one gets it, on the log too."""
    state = JoinState(HORIZON_MS)
    state.model_no("m", "1", SIX)
    state.rollback()
    assert state.models == []
    assert state.model_no("m", "2", SIX[:2]) == 0
    assert state.models == [Model("m", "2", SIX[:2])]
    again = JoinState(HORIZON_MS)
    for key, value in state.changes():
        again.restore(key, value)
    assert again.models == state.models


def test_the_last_label_on_a_models_number_holds() -> None:
    """With at_least_once an aborted batch may stand on the log, and the number be given to another model later."""
    first, second = JoinState(HORIZON_MS), JoinState(HORIZON_MS)
    first.model_no("m", "1", SIX)
    second.model_no("m", "2", SIX[:2])
    state = JoinState(HORIZON_MS)
    for key, value in (*first.changes(), *second.changes()):
        state.restore(key, value)
    assert state.models == [Model("m", "2", SIX[:2])]
    assert state.model_no("m", "1", SIX) == 1


def test_a_label_that_was_replaced_waits_from_its_own_time() -> None:
    """Not from that of the one before; the same as after a new start."""
    state = JoinState(HORIZON_MS)
    key = frame_key("cam", "b", 1)
    for at_ms in (0, 5 * EARLY_BUCKET_MS):
        state.put_early(key, RECEIVED.pack(at_ms))
    left = [state.early_before(at_ms) for at_ms in (EARLY_BUCKET_MS, 5 * EARLY_BUCKET_MS, 6 * EARLY_BUCKET_MS)]
    assert left == [[], [], [(key, RECEIVED.pack(5 * EARLY_BUCKET_MS))]]
