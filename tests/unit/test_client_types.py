"""The SDK and the types of Python that people have at hand: taken as what is meant, or refused in one sentence that
says what to give instead."""

import datetime as dt
import io
import math
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.client import FrameId
from catseye.client.drafts import Drafts, label_of
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.records import Frame, Label

NOW_MS = 1_800_000_000_123
NOW = dt.datetime(2027, 1, 15, 8, 0, 0, 123_999, dt.UTC)
PICTURE = np.full((100, 100, 3), 90, np.uint8)


def encoded() -> NDArray[np.uint8]:
    """What `cv2.imencode` gives."""
    return np.asarray(cv2.imencode(".jpg", PICTURE)[1], np.uint8)


JPEG = encoded().tobytes()


def framed(jpeg: Any = JPEG, captured_at_ms: Any = NOW_MS, **given: Any) -> Frame:
    """The frame as whoever reads it has it."""
    frame = Drafts("b", "gate").frame(jpeg, captured_at_ms, now_ms=NOW_MS, **given)
    return Codec().decode(Codec().encode(frame), Frame)


def labelled(sequence: Any = 3, label: Any = "car", at_ms: Any = NOW_MS, propensity: Any = 1.0, **at: Any) -> Label:
    """The label as whoever reads it has it."""
    frame = FrameId(at.get("camera", "gate"), at.get("boot", "b"), sequence)
    record = label_of(frame, label, at_ms, now_ms=NOW_MS, source=at.get("source", "person"), propensity=propensity)
    return Codec().decode(Codec().encode(record), Label)


@pytest.mark.parametrize(
    "jpeg",
    [
        bytearray(JPEG),
        memoryview(JPEG),
        memoryview(JPEG * 2)[: len(JPEG)],
        encoded(),
        encoded().reshape(-1, 1),
        encoded().reshape(1, -1),
        np.repeat(encoded(), 2)[::2],
        array("B", JPEG),
        io.BytesIO(JPEG).getbuffer(),
    ],
    ids=["bytearray", "memoryview", "slice", "imencode", "column", "row", "strided", "array", "BytesIO"],
)
def test_a_jpeg_in_anything_that_holds_bytes_is_taken(jpeg: Any) -> None:
    """As the bytes that it holds."""
    assert framed(jpeg).jpeg == JPEG


@pytest.mark.parametrize(
    ("jpeg", "remedy"),
    [
        ("frame.jpg", r"jpeg is 'frame.jpg', of type str: .* pathlib.Path\('frame.jpg'\).read_bytes\(\)"),
        (
            Path("a/frame.jpg"),
            r"PosixPath\('a/frame.jpg'\), of type PosixPath: .* pathlib.Path\('a/frame.jpg'\).read_bytes\(\)",
        ),
        (
            PICTURE,
            r'and shape \(100, 100, 3\), .* a decoded picture; encode it first, cv2.imencode\("\.jpg", picture\)',
        ),
        (np.zeros(9, np.float32), "decoded picture"),
        (np.array([object()]), "jpeg is of type ndarray"),
        (io.BytesIO(JPEG), "jpeg is of type BytesIO: give the bytes of a JPEG file"),
        (
            [255, 216],
            "jpeg is of type list: give the bytes of a JPEG file, as bytes, bytearray, memoryview or a numpy array",
        ),
        (None, "jpeg is of type NoneType"),
    ],
    ids=["str", "Path", "picture", "floats", "objects", "file", "list", "None"],
)
def test_what_is_no_jpeg_is_refused_with_what_to_give(jpeg: Any, remedy: str) -> None:
    """A path, a decoded picture, a file, nothing."""
    with pytest.raises(TypeError, match=remedy):
        framed(jpeg)


def test_the_remedies_for_a_picture_and_a_path_work(tmp_path: Path) -> None:
    """As they are written in the sentences above."""
    path = tmp_path / "frame.jpg"
    path.write_bytes(JPEG)
    picture = PICTURE
    remedies = ('cv2.imencode(".jpg", picture)[1]', f"pathlib.Path({str(path)!r}).read_bytes()")
    for given, remedy in zip((picture, path), remedies, strict=True):
        with pytest.raises(TypeError) as refused:
            framed(given)
        assert remedy in str(refused.value)
        names = {"cv2": cv2, "picture": picture, "pathlib": __import__("pathlib")}
        assert framed(eval(remedy, names)).jpeg == JPEG


@pytest.mark.parametrize(
    "at",
    [
        NOW_MS,
        np.int64(NOW_MS),
        NOW_MS + 0.9,
        np.float64(NOW_MS),
        NOW,
        NOW.astimezone(dt.timezone(dt.timedelta(hours=-7))),
    ],
    ids=["int", "int64", "float", "float64", "UTC", "MST"],
)
def test_a_time_may_come_in_many_types(at: Any) -> None:
    """All of them are Unix milliseconds then, for frames and labels."""
    assert framed(captured_at_ms=at).captured_at_ms == NOW_MS
    assert labelled(at_ms=at).labelled_at_ms == NOW_MS


@pytest.mark.parametrize(
    ("at", "kind", "remedy"),
    [
        (
            NOW.replace(tzinfo=None),
            TypeError,
            r"no time zone: datetime.datetime.now\(datetime.UTC\) has one, and .astimezone\(\)",
        ),
        ("2027-01-15", TypeError, "of type str: give Unix milliseconds as a number, or a datetime with its time zone"),
        (np.datetime64("2027-01-15"), TypeError, "of type datetime64: give Unix milliseconds"),
        (dt.date(2027, 1, 15), TypeError, "of type date: give Unix milliseconds"),
        (True, TypeError, "of type bool: give Unix milliseconds"),
        (NOW_MS / 1_000, BadRecord, r"counts Unix milliseconds, not seconds; time.time\(\) \* 1000 gives them"),
        (NOW_MS // 1_000, BadRecord, "counts Unix milliseconds, not seconds"),
        (math.nan, BadRecord, "is nan; it counts Unix milliseconds"),
        (math.inf, BadRecord, "is inf; it counts Unix milliseconds"),
        (2**63, BadRecord, "it counts Unix milliseconds"),
        (-(2**63), BadRecord, "it counts Unix milliseconds, not seconds"),
        (NOW_MS * 1_000, BadRecord, "it counts Unix milliseconds"),
    ],
)
def test_a_time_that_says_nothing_is_refused(at: Any, kind: type[Exception], remedy: str) -> None:
    """With what to give instead, of frames and labels alike."""
    for refused in (lambda: framed(captured_at_ms=at), lambda: labelled(at_ms=at)):
        with pytest.raises(kind, match=remedy):
            refused()


@pytest.mark.parametrize(
    ("at", "remedy"),
    [
        (NOW.replace(tzinfo=None), "datetime.datetime.now(datetime.UTC)"),
        (NOW.replace(tzinfo=None), "at.astimezone()"),
        (NOW_MS / 1_000, "time.time() * 1000"),
    ],
)
def test_the_remedies_for_a_time_work(at: Any, remedy: str) -> None:
    """As they are written in the sentences above, whatever the time zone of this machine."""
    with pytest.raises((TypeError, BadRecord)) as refused:
        framed(captured_at_ms=at)
    assert remedy.removeprefix("at") in str(refused.value)
    names = {"datetime": dt, "time": time, "at": at}
    given = eval(remedy, names)
    now_ms = int(given.timestamp() * 1_000 if isinstance(given, dt.datetime) else given)
    frame = Drafts("b", "gate").frame(JPEG, given, now_ms=now_ms)
    label = label_of(FrameId("gate", "b", 3), "car", given, now_ms=now_ms, source="person", propensity=1.0)
    assert frame.captured_at_ms == label.labelled_at_ms == now_ms


def test_readings_are_numbers_of_any_type() -> None:
    """A reading that is missing costs itself only, as one that is no number."""
    given = {
        "int": 21,
        "on": True,
        "float32": np.float32(21.5),
        "missing": None,
        "broken": math.nan,
        "0-d": np.array(2),
    }
    assert framed(telemetry=given).telemetry == {"int": 21.0, "on": 1.0, "float32": 21.5, "0-d": 2.0}
    assert framed(telemetry=None).telemetry == {}


@pytest.mark.parametrize(
    ("refused", "kind", "remedy"),
    [
        (
            lambda: framed(telemetry={"temp": "21.5"}),
            TypeError,
            r"telemetry\['temp'\] is '21.5', of type str: .* float\(…\)",
        ),
        (
            lambda: framed(telemetry={"gps": {"lat": 1.0}}),
            TypeError,
            r"telemetry\['gps'\] .* of type dict: a reading is one",
        ),
        (lambda: framed(telemetry={1: 1.0}), TypeError, "a name in telemetry is 1, of type int: give a str"),
        (lambda: framed(telemetry=[("temp", 1.0)]), TypeError, "telemetry is of type list: give a dict"),
        (lambda: framed(telemetry={f"r{number}": 1.0 for number in range(65)}), BadRecord, "at most 64 are kept"),
        (lambda: framed(telemetry={"x" * 201: 1.0}), BadRecord, "at most 200 are kept"),
        (lambda: framed(camera=7), TypeError, "camera is 7, of type int: give a str"),
        (lambda: framed(camera="gate-\udce4"), BadRecord, r"camera is 'gate-\\udce4', which UTF-8 cannot write"),
        (lambda: labelled(label=2), TypeError, "label, the name of a class or None, is 2, of type int: give a str"),
        (lambda: labelled("3"), TypeError, "sequence is '3', of type str: give a whole number"),
        (lambda: labelled(3.0), TypeError, "sequence is 3.0, of type float: give a whole number"),
        (lambda: labelled(2**63), BadRecord, "sequence is 9223372036854775808; it is smaller than"),
        (lambda: labelled(propensity="1"), TypeError, "propensity is '1', of type str: give a number"),
        (lambda: labelled(propensity=math.nan), BadRecord, "propensity is nan; it is a chance over 0 up to 1"),
        (lambda: labelled(camera=None), TypeError, "camera is None, of type NoneType: give a str"),
        (lambda: labelled(source=1), TypeError, "source is 1, of type int: give a str"),
        (lambda: Drafts(7), TypeError, "boot is 7, of type int: give a str"),  # type: ignore[arg-type]
    ],
)
def test_what_fits_no_field_is_refused_by_its_name(
    refused: Callable[[], object], kind: type[Exception], remedy: str
) -> None:
    """One sentence, with what to give instead; nothing leaves for the broker as something else."""
    with pytest.raises(kind, match=remedy):
        refused()


def test_the_remedy_for_a_name_that_is_no_utf8_works() -> None:
    """As it is written in the sentence: the frame goes out under a name that everybody can read."""
    name = b"gate-\xe4".decode(errors="surrogateescape")
    with pytest.raises(BadRecord, match=r'name.encode\(errors="surrogateescape"\).decode\(errors="replace"\) replaces'):
        framed(camera=name)
    assert framed(camera=name.encode(errors="surrogateescape").decode(errors="replace")).camera == "gate-\ufffd"


def test_numpys_numbers_and_texts_are_taken() -> None:
    """A number of a frame from an array, a class from an array of texts."""
    label = labelled(np.int64(3), np.str_("car"), propensity=np.float32(0.5))
    assert (label.sequence, label.label, label.propensity) == (3, "car", 0.5)
