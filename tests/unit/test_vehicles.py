"""A track is one vehicle, whatever comes late, again or before its turn, and counts add up to the vehicles."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catseye.cli.counts import counted, csv_of
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured
from catseye.contract.records import Outcome, Prediction, Vehicle, VehicleCount, VehicleOutcome
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.vehicles import NAME, READS, WRITES
from services.vehicles.core import AHEAD_MS, VehiclesCore, direction_of, together
from services.vehicles.state import VehiclesState, vehicle_key
from tests.simulation.cameras import Camera, outcome
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
START_MS = 1_800_000_000_000
LATE_MS = 5_000
HORIZON_MS = 7 * 86_400_000


def service() -> Router[VehiclesState]:
    """As its worker runs it."""
    return Router(VehiclesCore(LATE_MS, HORIZON_MS), NAME, READS, WRITES, CODEC, "", 1)


def picture(track: str | None, sequence: int, sure: float = 0.9, label: str = "car", **changes: Any) -> Prediction:
    """A prediction of a view of a vehicle."""
    shot = Camera().shot()
    chances = dict.fromkeys(("bike", "car", "truck"), (1 - sure) / 2) | {label: sure}
    return msgspec.structs.replace(
        shot, track=track, sequence=sequence, label=label, probabilities=chances, received_at_ms=START_MS, **changes
    )


def messages(*records: Prediction | Outcome) -> list[FakeMessage]:
    """As they lie on their topics."""
    return [
        FakeMessage("outcomes" if isinstance(each, Outcome) else "predictions", CODEC.encode(each)) for each in records
    ]


def written(partition: Partition[VehiclesState], kind: type[Any]) -> list[Any]:
    """All that stands on the topic of a record."""
    topics: dict[Any, str] = {
        Vehicle: "vehicles",
        VehicleOutcome: "vehicles.outcomes",
        VehicleCount: "vehicles.counts",
    }
    return [CODEC.decode(each.value, kind) for each in partition.outputs if each.topic == topics[kind]]


def label(view: Prediction, text: str | None, delay_s: float, **changes: Any) -> Outcome:
    """What is said of a view so long after it came; None takes back what was said."""
    labelled = outcome(view, text or "", delay_s=delay_s, track=view.track, **changes)
    return labelled if text else msgspec.structs.replace(labelled, label=None, correct=None, change="withdrawn")


def passes(partition: Partition[VehiclesState], at_s: float) -> None:
    """Time goes on to so long after the start, and what follows of it is on the log."""
    due = partition.core.on_time({0: partition.state}, START_MS + round(1_000 * at_s))
    partition.outputs += [Output(*each) for each in due]
    partition.state_log += partition.state.changes()
    partition.state.commit()


def test_three_views_are_one_vehicle() -> None:
    """Its class is that of all of them, its times the widest, its way as the publisher says."""
    partition = Partition(service)
    seen: dict[str, Any] = {"first_seen_ms": 40, "last_seen_ms": 90, "direction": "left", "line": "north"}
    views = [picture("v1", 0, 0.6, "truck", **seen), picture("v1", 1, 0.95, **seen), picture("v1", 2, 0.9, **seen)]
    partition.take(messages(*views, picture(None, 3)), START_MS)
    assert written(partition, Vehicle) == []
    passes(partition, 6)
    (found,) = written(partition, Vehicle)
    assert (found.label, found.sequences, found.direction, found.line) == ("car", [0, 1, 2], "left", "north")
    assert (found.first_seen_ms, found.last_seen_ms, found.received_at_ms) == (40, 90, START_MS)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    passes(partition, 100)
    assert len(written(partition, Vehicle)) == 1


def test_a_late_view_makes_no_second_vehicle() -> None:
    """It is counted; a repeat within the time is, too."""
    partition = Partition(service)
    partition.take(messages(picture("v1", 0), picture("v1", 0)), START_MS)
    passes(partition, 6)
    partition.crash()
    partition.take(messages(picture("v1", 1)), START_MS + 7_000)
    passes(partition, 20)
    assert [each.sequences for each in written(partition, Vehicle)] == [[0]]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "take", "abort", "crash", "time"]),
            st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=4),
        ),
        max_size=20,
    )
)
def test_each_track_is_one_vehicle_whatever_happens(story: list[tuple[str, list[tuple[int, int]]]]) -> None:
    """Aborts, crashes, repeats, views that come late: one record of each, and counts that add up."""
    partition, at_s, taken = Partition(service), 0.0, set[str]()
    for step, views in story:
        at_s += 2
        batch = messages(*(picture(f"v{track}", 3 * track + view) for track, view in views))
        if step == "abort":
            partition.abort(batch, START_MS + round(1_000 * at_s))
        elif step == "crash":
            partition.crash()
        elif step == "time":
            passes(partition, at_s)
        else:
            partition.take(batch, START_MS + round(1_000 * at_s))
            taken |= {f"v{track}" for track, _ in views}
    passes(partition, at_s + 10)
    passes(partition, at_s + 100)
    found = written(partition, Vehicle)
    assert sorted(each.track for each in found) == sorted(taken)
    assert sum(each.vehicles for each in written(partition, VehicleCount)) == len(found)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["car", "truck", None])), max_size=6).flatmap(
        lambda said: st.permutations([*range(6), *((delay, *each) for delay, each in enumerate(said, 1))])
    ),
    st.lists(st.sampled_from(["abort", "crash", "time", ""]), min_size=12, max_size=12),
)
def test_the_label_that_was_made_last_holds_in_whatever_order_all_is_read(
    read: list[int | tuple[int, int, str | None]], faults: list[str]
) -> None:
    """Three vehicles of two views each, labels before, between and after them; each batch of one may be done twice."""
    partition, views = Partition(service), [picture(f"v{number // 2}", number) for number in range(6)]
    last: dict[str, str | None] = {}
    for _, track, text in sorted(each for each in read if isinstance(each, tuple)):
        last[f"v{track}"] = text
    for number, (each, fault) in enumerate(zip(read, faults, strict=False)):
        record = views[each] if isinstance(each, int) else label(views[2 * each[1]], each[2], each[0])
        if fault == "abort":
            partition.abort(messages(record), START_MS + number)
        partition.take(messages(record), START_MS + number)
        if fault == "crash":
            partition.crash()
        if fault == "time":
            passes(partition, 6)
    passes(partition, 20)
    holds = {each.track: each.label for each in written(partition, VehicleOutcome)}
    assert holds | {track: None for track in last if track not in holds} == last
    assert len(written(partition, Vehicle)) == 3


def test_the_label_of_one_view_labels_the_vehicle() -> None:
    """Before or after it is complete; the same label of another view says nothing new, a later one corrects."""
    partition = Partition(service)
    views = [picture("v1", 0), picture("v1", 1)]
    partition.take(messages(*views, label(views[0], "car", 1)), START_MS)
    passes(partition, 6)
    partition.crash()
    partition.take(messages(label(views[1], "car", 2)), START_MS + 7_000)
    partition.take(messages(label(views[1], "truck", 3)), START_MS + 8_000)
    partition.take(messages(label(views[0], "car", 1.5, change="corrected")), START_MS + 9_000)
    partition.take(messages(label(views[1], "bike", 4)), START_MS)
    found = [(each.change, each.label, each.predicted, each.correct) for each in written(partition, VehicleOutcome)]
    assert found == [
        ("matched", "car", "car", True),
        ("corrected", "truck", "car", False),
        ("corrected", "bike", "car", False),
    ]


@pytest.mark.parametrize("late", [False, True], ids=["while views come", "when it is complete"])
@pytest.mark.parametrize("changes", [{"track": None}, {"role": "shadow"}], ids=["no track", "a shadow's"])
def test_an_outcome_that_is_of_no_vehicle_labels_none(changes: dict[str, Any], late: bool) -> None:
    """One of a frame without a track, or of another model's prediction of a view: the vehicle has the champion's."""
    partition, view = Partition(service), picture("v1", 0)
    partition.take(messages(view), START_MS)
    if late:
        passes(partition, 6)
    other = msgspec.structs.replace(label(view, "truck", 1), **changes)
    partition.take(messages(other), START_MS)
    passes(partition, 6)
    assert len(written(partition, Vehicle)) == 1
    assert written(partition, VehicleOutcome) == []
    partition.take(messages(label(view, "car", 1)), START_MS)  # the same of the vehicle itself does
    assert [each.label for each in written(partition, VehicleOutcome)] == ["car"]


def test_labels_that_come_in_another_order_while_views_come_leave_the_last_made() -> None:
    """Whichever view each is of: what was made before does not replace what was made after."""
    partition, views = Partition(service), [picture("v1", 0), picture("v1", 1)]
    partition.take(messages(*views, label(views[0], "truck", 3), label(views[1], "car", 2)), START_MS)
    passes(partition, 6)
    assert [(each.change, each.label) for each in written(partition, VehicleOutcome)] == [("matched", "truck")]


def test_a_label_that_was_said_again_holds_from_when_it_was_said_last() -> None:
    """Another one that was made in between, and comes after both, does not replace it; a later one does."""
    partition, views = Partition(service), [picture("v1", 0), picture("v1", 1)]
    partition.take(messages(*views), START_MS)
    passes(partition, 6)
    partition.take(messages(label(views[0], "car", 1), label(views[1], "car", 3)), START_MS)
    partition.take(messages(label(views[0], "car", 1)), START_MS)  # the first once more changes nothing
    partition.take(messages(label(views[0], "truck", 2)), START_MS)
    assert [(each.change, each.label) for each in written(partition, VehicleOutcome)] == [("matched", "car")]
    partition.take(messages(label(views[0], "truck", 4)), START_MS)
    assert [each.label for each in written(partition, VehicleOutcome)] == ["car", "truck"]


def test_a_label_that_is_read_before_the_first_view_labels_the_vehicle() -> None:
    """Topics are read side by side. Of several that wait the one that was made last holds, and nothing waits after."""
    partition, views = Partition(service), [picture("v1", 0), picture("v1", 1)]
    partition.take(messages(label(views[0], "truck", 3), label(views[1], "car", 2)), START_MS)
    partition.take(messages(*views), START_MS + 1_000)
    passes(partition, 7)
    found = [(each.change, each.label, each.predicted) for each in written(partition, VehicleOutcome)]
    assert found == [("matched", "truck", "car")]
    assert partition.state.count_ahead == 0


def test_a_label_that_waits_survives_aborts_and_crashes() -> None:
    """It is on the log as long as it waits, and is an outcome once."""
    partition, view = Partition(service), picture("v1", 0)
    partition.take(messages(label(view, "truck", 1)), START_MS)
    partition.crash()
    partition.abort(messages(view), START_MS)
    assert partition.state.count_ahead == 1
    partition.take(messages(view), START_MS)
    partition.crash()
    partition.take(messages(view, label(view, "truck", 1)), START_MS + 1_000)
    passes(partition, 7)
    partition.crash()
    passes(partition, 3_700)
    assert [each.label for each in written(partition, VehicleOutcome)] == ["truck"]
    assert partition.state.count_ahead == 0


@pytest.mark.parametrize(("at_ms", "waits"), [(0, True), (AHEAD_MS - 1, True), (AHEAD_MS, False), (-1, False)], ids=str)
def test_a_label_whose_vehicle_does_not_come_is_counted_and_says_nothing(at_ms: int, waits: bool) -> None:
    """After an hour by our clock, or when that was put back: it is of a vehicle that was forgotten, or never was."""
    core, state = VehiclesCore(LATE_MS, HORIZON_MS), VehiclesState()
    (message,) = messages(labelled := label(picture("v1", 0), "car", 1))
    assert core.on_outcome(labelled, message, state, START_MS) == []
    assert core.on_time({0: state}, START_MS + at_ms) == []
    assert core.counted() == ({} if waits else {"label_unknown": 1})
    assert state.count_ahead == waits


def test_of_more_labels_than_may_wait_those_that_were_read_last_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label of a vehicle that waits already is read anew, also on the log."""
    monkeypatch.setattr("services.vehicles.core.MOST_AHEAD", 2)
    partition = Partition(service)
    for track in ("v1", "v2", "v1", "v3"):
        partition.take(messages(label(picture(track, 0), "car", 1)), START_MS)
    for _ in range(2):  # the second time from the log
        waiting = [track for track in ("v1", "v2", "v3") if partition.state.ahead(vehicle_key("a", "b", track))]
        assert waiting == ["v1", "v3"]
        partition.crash()


@pytest.mark.parametrize("late", [False, True], ids=["while views come", "when it is complete"])
def test_a_label_that_nobody_gave_cannot_be_taken_back(late: bool) -> None:
    """No outcome says so; the first label after it is matched, and taking that back is an outcome."""
    partition, view = Partition(service), picture("v1", 0)
    partition.take(messages(view), START_MS)
    if late:
        passes(partition, 6)
    partition.take(messages(label(view, None, 1)), START_MS)
    passes(partition, 6)
    assert written(partition, VehicleOutcome) == []
    partition.take(messages(label(view, "truck", 2), label(view, None, 3)), START_MS)
    found = [(each.change, each.label, each.correct) for each in written(partition, VehicleOutcome)]
    assert found == [("matched", "truck", False), ("withdrawn", None, None)]


@pytest.mark.parametrize("late", [False, True], ids=["while views come", "when it is complete"])
def test_a_label_that_was_taken_back_lets_none_hold_that_was_made_before(late: bool) -> None:
    """Of another view, and later on the log, also after a restart; one that is made afterwards is the first outcome."""
    partition, views = Partition(service), [picture("v1", 0), picture("v1", 1)]
    partition.take(messages(*views), START_MS)
    if late:
        passes(partition, 6)
    partition.take(messages(label(views[0], None, 3)), START_MS)
    passes(partition, 6)
    partition.crash()
    partition.take(messages(label(views[1], "truck", 2)), START_MS)
    assert written(partition, VehicleOutcome) == []
    partition.take(messages(label(views[1], "car", 4), label(views[1], "bike", 5)), START_MS)
    found = [(each.change, each.label) for each in written(partition, VehicleOutcome)]
    assert found == [("matched", "car"), ("corrected", "bike")]


def test_what_is_complete_is_forgotten_after_the_label_horizon() -> None:
    """A label that comes later is of nobody."""
    partition = Partition(service)
    partition.take(messages(picture("v1", 0)), START_MS)
    passes(partition, 6)
    key = vehicle_key("a", "b", "v1")
    assert partition.state.complete(key) is not None
    passes(partition, HORIZON_MS / 1_000 + 3_601)
    assert partition.state.complete(key) is None
    assert len(partition.state) == 0


def test_a_label_of_one_vehicle_forgets_no_other_of_its_hour() -> None:
    """What is said of one is written again; both go when their time is over."""
    partition = Partition(service)
    first, second = picture("v1", 0), picture("v2", 1)
    partition.take(messages(first, second), START_MS)
    passes(partition, 6)
    partition.take(messages(label(first, "truck", 2)), START_MS + 7_000)
    keys = [vehicle_key("a", "b", track) for track in ("v1", "v2")]
    assert all(partition.state.complete(key) is not None for key in keys)
    passes(partition, HORIZON_MS / 1_000 + 3_601)
    assert [partition.state.complete(key) for key in keys] == [None, None]
    assert len(partition.state) == 0


def test_counts_are_written_a_minute_later_by_class_line_and_direction() -> None:
    """Each with its minute, and a vehicle is counted once."""
    partition = Partition(service)
    for number, (label, way, line) in enumerate((("car", "left", "n"), ("car", "left", "n"), ("bike", "up", None))):
        seen: dict[str, Any] = {"first_seen_ms": 60_000, "last_seen_ms": 119_000, "direction": way, "line": line}
        partition.take(messages(picture(f"v{number}", number, label=label, **seen)), START_MS)
    passes(partition, 6)
    assert written(partition, VehicleCount) == []
    passes(partition, 67)
    found = Counter({(e.minute_ms, e.label, e.direction, e.line): e.vehicles for e in written(partition, VehicleCount)})
    assert found == {(60_000, "car", "left", "n"): 2, (60_000, "bike", "up", None): 1}
    rows = counted(written(partition, Vehicle))
    assert rows == [
        ("1970-01-01T00:01Z", "a", "bike", "", "up", 1),
        ("1970-01-01T00:01Z", "a", "car", "n", "left", 2),
    ]
    assert csv_of([("m", "=a", "car", "", "up", 1)]).splitlines()[1] == "m,'=a,car,,up,1"


def test_views_together() -> None:
    """Three that lean one way are surer than one; a class that one rules out stays possible."""
    one, three = together({"a": -0.5, "b": -0.93}, 1), together({"a": -1.5, "b": -2.79}, 3)
    assert one["a"] == pytest.approx(three["a"])  # a mean: views are not independent
    assert direction_of([(0.1, 0.1, 0.1, 0.1), (0.5, 0.2, 0.1, 0.1)]) == "right"
    assert direction_of([(0.1, 0.5, 0.1, 0.1), (0.1, 0.2, 0.1, 0.1)]) == "up"
    assert direction_of([(0.1, 0.5, 0.1, 0.1)]) is None
    assert direction_of([(0.1, 0.5, 0.1, 0.1), (0.1, 0.5, 0.1, 0.1)]) is None  # it stood
    assert direction_of([(0.2, 0.4, 0.2, 0.2), (0.1, 0.3, 0.4, 0.4)]) is None  # and came nearer


OPEN_1 = (
    "019b0a14a16da17681a3636172cbbfe00000000000009193032894cb3fb999999999999acb3fc999999999999acb3fd33333"
    "33333333cb3fd999999999999a1e32a46c656674c0c0"
)
COMPLETE_1 = "01960aa16da176a3636172cb3fe800000000000095a462696b653c46a6706572736f6ecb3ff0000000000000"
COMPLETE_2 = "02970aa16da176a3636172cb3fe800000000000095c00909a36e696bcb3fe0000000000000c2"
COUNTS_1 = "0192509195cdea60a3636172a46c656674c002"
AHEAD_1 = "01921e95a462696b653c46a6706572736f6ecb3ff0000000000000"


def test_state_of_every_format_is_read_for_ever() -> None:
    """Golden bytes of each kind of value; one from the future is refused."""
    state = VehiclesState()
    state.restore(b"oa\0b\0v1", bytes.fromhex(OPEN_1))
    state.restore(b"ca\0b\0v2", bytes.fromhex(COMPLETE_1))
    state.restore(b"na", bytes.fromhex(COUNTS_1))
    state.restore(b"aa\0b\0v4", bytes.fromhex(AHEAD_1))
    ahead = state.ahead(b"a\0b\0v4")
    assert ahead is not None
    assert (ahead.touched_ms, ahead.labelled.label, ahead.labelled.source) == (30, "bike", "person")
    opened, complete, counts = state.open(b"a\0b\0v1"), state.complete(b"a\0b\0v2"), state.counts("a")
    assert opened is not None
    assert complete is not None
    assert counts is not None
    assert (opened.logs, opened.views, opened.direction) == ({"car": -0.5}, ((3, 40, (0.1, 0.2, 0.3, 0.4)),), "left")
    assert (complete.label, complete.labelled and complete.labelled.label) == ("car", "bike")
    assert complete.has_outcome
    state.restore(b"ca\0b\0v3", bytes.fromhex(COMPLETE_2))
    taken_back = state.complete(b"a\0b\0v3")
    assert taken_back is not None
    assert (taken_back.labelled and taken_back.labelled.label, taken_back.has_outcome) == (None, False)
    assert counts.vehicles == ((60_000, "car", "left", None, 2),)
    with pytest.raises(Misconfigured, match=r"^vehicles\.state: .* format 2, .* start that version again"):
        state.restore(b"na", b"\x02" + bytes.fromhex(COUNTS_1)[1:])
