"""Values of drift's state topic: rows of other layouts are rows of today, by name; what is of the future is refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from catseye.contract.errors import Misconfigured
from services.drift import state
from services.drift.cameras import Cameras
from services.drift.columns import FORMER, Axis, Field, axes_of, fields_of, row_of, text_of
from services.drift.columns import copy as copy_of
from services.drift.fault_rules import ALARMS
from services.drift.layout import BUCKETS, PICTURE, layout_of
from tests.simulation.cameras import QUICK, Camera, Watched
from tests.simulation.eight_classes import FAMILIES, INPUT, LAYOUT, STREAM, WATCH_FIELDS

LAYOUT_KEY = b"\0l"
"""Before the name of a layout."""
TODAY = state.TODAY[LAYOUT.buckets]


def run_through() -> tuple[Watched, list[tuple[bytes, bytes | None]]]:
    """A camera whose pictures have drifted, and its log."""
    camera, watched = Camera(), Watched(QUICK)
    watched.live(camera, 300)
    watched.live(camera, 60, brightness=0.8)
    assert "input" in watched.kinds()
    log = [*watched.cameras.changes()]
    watched.cameras.commit()
    return watched, log


def restored(log: list[tuple[bytes, bytes | None]]) -> Cameras:
    cameras = Cameras()
    for key, value in log:
        cameras.restore(key, value)
    cameras.commit()
    return cameras


def turned(fields: Any, axes: dict[str, tuple[str, ...]]) -> Any:
    """*fields* the other way round, with the places of each axis as *axes* has them."""
    return [
        Field(
            "",
            field.name,
            field.kind if isinstance(field.kind, str) else tuple(turned(field.kind, axes)),
            tuple(axis if isinstance(axis, int) else Axis(axis.name, axes[axis.name]) for axis in field.axes),
        )
        for field in reversed(fields)
    ]


def of_another_time(log: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, bytes | None]]:
    """The same log as another version would have left it: fields and signals in another order, and one more of each."""
    axes = {name: (f"a new {name}", *reversed(places)) for name, places in TODAY.stored.axes.items()}
    axes["class"] = axes["class"][1:]  # how many classes it tells apart is what its rows are read as
    pieces = {letter: [*turned(fields, axes), Field("", "new", "f4")] for letter, fields in LAYOUT.pieces.items()}
    detectors = ("new", *reversed(TODAY.stored.detectors))
    layout = state.StoredLayout({letter.decode(): text_of(each) for letter, each in pieces.items()}, axes, detectors)
    streams = [axes["stream"].index(stream.name) for stream in STREAM]
    found: list[tuple[bytes, bytes | None]] = [
        (LAYOUT_KEY + b"other567", state.write_json(msgspec.json.encode(layout)))
    ]
    for key, value in log:
        letter = key.rpartition(b"\0")[2]
        if value is None or key.startswith(b"\0") or letter not in pieces:
            if not key.startswith(LAYOUT_KEY):
                found.append((key, value))
            continue
        rows = copy_of(LAYOUT.pieces[letter], pieces[letter])
        row = rows(np.frombuffer(value[9:], row_of(LAYOUT.pieces[letter])))
        if letter == b"e":
            alarmed = row["alarmed"]
            alarmed["stream"] = np.array(streams)[alarmed["stream"]]
            alarmed["detector"] = np.array([*map(detectors.index, TODAY.stored.detectors), 0])[alarmed["detector"]]
        found.append((key, b"\x01other567" + row.tobytes()))
    return found


@pytest.mark.slow
def test_rows_of_another_layout_are_the_same_by_name() -> None:
    """References, evidence, alarms and what they say, telemetry: to the bit, whatever stood where."""
    watched, log = run_through()
    found = restored(of_another_time(log))
    for name in ("reference", "watch", "learning"):
        assert getattr(found.table, name)[0].tobytes() == getattr(watched.table, name)[0].tobytes()
    alarmed = found.table.watch["alarmed"][0, FAMILIES.index(INPUT)]
    assert STREAM[int(alarmed["stream"])].place.name in PICTURE


def test_a_row_of_another_layout_is_written_in_todays() -> None:
    """As soon as it changes; the layout before it, once."""
    _, log = run_through()
    found, keys = restored(of_another_time(log)), []
    for _ in range(2):
        found.table.touch([0], b"w")
        found.table.watch["frames"][0] += 1
        keys.append([key for key, _ in found.changes()])
        found.commit()
    assert keys == [[LAYOUT_KEY + TODAY.name, b"a\0w"], [b"a\0w"]]


def test_a_layout_whose_transaction_was_aborted_is_written_again() -> None:
    """Else rows would lie on the log that nobody can read."""
    watched, found = Watched(QUICK), []
    for end in (watched.cameras.rollback, watched.cameras.commit, watched.cameras.commit):
        watched.see(Camera().shot())
        found.append(LAYOUT_KEY + TODAY.name in dict(watched.cameras.changes()))
        end()
    assert found == [True, True, False]


def test_a_row_of_a_format_of_the_future_is_refused_with_a_sentence() -> None:
    """Whoever starts an older version learns what to do."""
    for letter in state.PIECES:
        with pytest.raises(Misconfigured, match=r"drift\.state: a row is in format 2"):
            Cameras().restore(b"a\0" + letter, b"\x02" + b"x" * 100)


def test_a_row_whose_layout_nobody_knows_is_left_behind() -> None:
    """Its camera learns anew."""
    cameras = Cameras()
    cameras.restore(b"a\0w", b"\x01" + b"unknown8" + b"x" * 50)
    assert not cameras.table.watch[0].tobytes().strip(b"\0")


def test_no_value_of_today_is_as_long_as_one_of_format_0() -> None:
    """By their length those are told; a piece that came later had none."""
    for layout in map(layout_of, BUCKETS):
        for letter, fields in layout.pieces.items():
            today = len(state.write_row(layout, letter, bytes(row_of(fields).itemsize)))
            if before := state.FORMAT_0.pieces.get(letter.decode()):
                assert today != row_of(fields_of(before, state.FORMAT_0.axes)).itemsize
            else:
                assert letter == b"y"


def test_fields_are_read_from_what_was_written_of_them() -> None:
    """Kinds, axes, and fields within fields."""
    text = text_of(WATCH_FIELDS)
    assert row_of(fields_of(text, axes_of(WATCH_FIELDS))) == row_of(WATCH_FIELDS)
    assert text_of(fields_of(text, axes_of(WATCH_FIELDS))) == text


def test_fields_that_were_renamed_are_read_by_their_former_names() -> None:
    """Each has a place today, and none is called as another was."""
    names = {field.name for fields in LAYOUT.pieces.values() for field in fields}
    assert {*FORMER.values()} <= names
    assert not {*FORMER} & names
    (field,) = fields_of("said_mean f4[phase][output]", TODAY.stored.axes)
    assert (field.name, row_of([field])["output_mean"].shape) == ("output_mean", (2, 10))


def test_the_state_of_a_chosen_detector_moves_to_the_name_of_its_stream() -> None:
    """A key of format 0 numbers the stream; it goes with the first change, and what lies under the name stays."""
    stream = next(number for number, each in enumerate(STREAM) if each.name == "sharpness up")
    cameras = Cameras()
    cameras.restore(b"a\0d6", b"1234")
    assert cameras.table.detector_states == {(0, stream): b"1234"}
    cameras.commit()
    cameras.table.touch_detector(0, stream)
    changes = cameras.changes()
    assert changes == [(b"a\0dsharpness up", None), (b"a\0d6", None)]
    moved = Cameras()
    for key, value in [(b"a\0d6", b"1234"), (b"a\0dsharpness up", b"\x015678"), (b"a\0d6", None)]:
        moved.restore(key, value)
    assert moved.table.detector_states == {(0, stream): b"5678"}
    moved.restore(b"a\0dno such stream", b"\x011234")
    assert len(moved.table.detector_states) == 1


def test_every_alarm_has_a_place() -> None:
    """Along the axis that says which is raised."""
    assert axes_of(WATCH_FIELDS)["alarm"] == ALARMS
