"""Labels from a file and from folder names, predictions that are waited for, and a watch that says what it awaits."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catseye.cli import awaiting, watch
from catseye.cli.awaiting import Awaiting
from catseye.cli.label_file import read_labels
from catseye.cli.publish import _check_folders
from catseye.client import FrameId
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured
from catseye.contract.records import DeadLetter, Frame, Prediction
from catseye.settings import Settings
from tests.unit.test_cli import FIELDS


@pytest.mark.parametrize(
    "content",
    [
        "frame,label\ngate/b/4,car\n",
        "camera,boot,sequence,label\ngate,b,4,car\n",
        "label;frame\ncar;gate/b/4\n",
        "\ufeffframe\tlabel\r\ngate/b/4\t car\r\n",
    ],
)
def test_a_file_of_labels_may_name_frames_in_two_ways(content: str, tmp_path: Path) -> None:
    """Whole, or in three columns; with commas, semicolons or tabs, as spreadsheets write them."""
    path = tmp_path / "labels.csv"
    path.write_text(content, encoding="utf-8")
    (found,) = read_labels(path)
    assert (found.frame, found.label, found.source, found.propensity) == (FrameId("gate", "b", 4), "car", None, None)


def test_a_file_may_say_who_labelled_and_how_likely_a_frame_was_chosen(tmp_path: Path) -> None:
    """An empty cell leaves it to the command."""
    path = tmp_path / "labels.csv"
    path.write_text("frame,label,source,propensity\ngate/b/4,car,audit,0.25\ngate/b/5,car,,\n")
    assert [(each.source, each.propensity) for each in read_labels(path)] == [("audit", 0.25), (None, None)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "its first line must name the columns"),
        ("gate/b/4,car\n", "its first line must name the columns"),
        ("frame,label,colour\ngate/b/4,car,red\n", "there is no column colour"),
        ("frame,label\ngate/b/4,car\ngate/5,car\n", "line 3: .*nothing was sent"),
        ("frame,label\ngate/b/4\n", "line 2: it has more columns, or fewer"),
        ("frame,label\ngate/b/4,\n", "line 2: .*nothing was sent"),
        ("frame,label,propensity\ngate/b/4,car,often\n", "line 2: propensity 'often' is no number"),
        ("frame,label,propensity\ngate/b/4,car,2\n", "line 2: propensity 2 is not over 0 to 1"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_sent(content: str, reason: str, tmp_path: Path) -> None:
    """The whole file is read first."""
    path = tmp_path / "labels.csv"
    path.write_text(content)
    with pytest.raises(Misconfigured, match=reason):
        read_labels(path)


def test_folders_are_classes_before_anything_is_sent(tmp_path: Path) -> None:
    """A video lies in no class, and a folder's name must be one."""
    (tmp_path / "car").mkdir()
    for name in ("a.jpg", "b.mp4"):
        (tmp_path / "car" / name).write_bytes(b"whatever")
    _check_folders([str(tmp_path / "car" / "a.jpg")])
    with pytest.raises(Misconfigured, match=r"b\.mp4 is no JPEG"):
        _check_folders([str(tmp_path / "car" / "b.mp4")])


class Source:
    """A subscription that was given its records."""

    def __init__(self, *records: Any) -> None:
        self._records = list(records)

    def __next__(self) -> Any:
        if not self._records:
            raise StopIteration
        return self._records.pop(0)

    def __iter__(self) -> Iterator[Any]:
        return self

    def close(self) -> None:
        """Nothing."""


def test_frames_are_waited_for_until_each_has_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction, or a refusal with its reason; what has neither is given back once it has been quiet."""
    prediction = msgspec.convert(FIELDS | {"kind": "object"}, Prediction)
    frame = Frame(camera="gate", boot="b", sequence=5, captured_at_ms=0, jpeg=b"j")
    letter = DeadLetter(
        dead_letter_id="d",
        service="ingest",
        reason="jpeg_corrupt",
        detail="no picture",
        topic="frames",
        partition=0,
        offset=0,
        written_at_ms=0,
        refused_at_ms=0,
        value=Codec().encode(frame),
    )
    unreadable = msgspec.structs.replace(letter, value=b"nothing")
    given = {"predictions": Source(prediction), "dead-letters": Source(unreadable, letter)}
    monkeypatch.setattr(awaiting, "subscribe", lambda topic, **_: given[topic])
    seen: list[Prediction] = []
    predicted, refused, open_ = (FrameId("gate", "b", number) for number in (4, 5, 6))
    with Awaiting(Settings(), "gate", seen.append) as waits:
        assert waits.until_all({predicted, refused}, 60, threading.Event()) == set()
        assert waits.until_all({predicted, open_}, 0.01, threading.Event()) == {open_}
        asked = threading.Event()
        asked.set()
        assert waits.until_all({open_}, 60, asked) == {open_}
    assert (seen, waits.refused) == ([prediction], {refused: "jpeg_corrupt: no picture"})


class Clock:
    """Seconds, a half more each time it is asked."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        self.now_s += 0.5
        return self.now_s


def test_a_watch_that_waits_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Once, how many there are so far, and how it ends."""
    monkeypatch.setattr(watch, "time", Clock())
    found = list(watch._with_patience(Source("one", "two"), 5, 20.0))
    assert found == ["one", "two"]
    assert capsys.readouterr().err == (
        "2 of 5 so far, waiting for more: Ctrl-C ends, --timeout SECONDS gives up by itself\n"
    )
    list(watch._with_patience(Source(), None, 20.0))
    assert capsys.readouterr().err.startswith("0 so far, waiting for more")
