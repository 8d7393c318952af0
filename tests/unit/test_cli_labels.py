"""Labels from a file and from folder names, predictions that are waited for, and a watch that says what it awaits."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from catseye.cli import awaiting, doubts, label, watch
from catseye.cli.awaiting import Awaiting
from catseye.cli.doctor import GREY as JPEG
from catseye.cli.label_file import read_labels
from catseye.cli.publish import _check_folders, _print, _report, _send_all, _Sending
from catseye.client import FrameId, Publisher
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured
from catseye.contract.records import DeadLetter, Frame, Prediction
from catseye.settings import Settings
from tests.unit.test_cli import FIELDS, run
from tests.unit.test_client import SETTINGS, Outbox


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


def closed(_: object, **__: object) -> None:
    """Print where nobody reads."""
    raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@pytest.mark.parametrize("waits_for", [4, 5])
def test_a_pipe_that_is_closed_ends_the_wait(monkeypatch: pytest.MonkeyPatch, waits_for: int) -> None:
    """At once, whether all predictions came or not, and by the fault that click ends a command quietly for."""
    prediction = msgspec.convert(FIELDS | {"kind": "object"}, Prediction)
    given = {"predictions": Source(prediction), "dead-letters": Source()}
    monkeypatch.setattr(awaiting, "subscribe", lambda topic, **_: given[topic])
    with pytest.raises(BrokenPipeError), Awaiting(Settings(), "gate", closed) as waits:
        waits.until_all({FrameId("gate", "b", waits_for)}, 3_600, threading.Event())


def test_what_nobody_reads_is_not_sent_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither once a prediction nor once a name cannot be printed; that is no fault of the pictures."""
    monkeypatch.setattr(click, "echo", closed)
    sending = _Sending(fps=None, fast=False, explain=False, listed=True, printed=True, boot="b")
    with pytest.raises(BrokenPipeError):
        _print(sending, True, msgspec.convert(FIELDS | {"kind": "object"}, Prediction))
    assert sending.stop.is_set()
    sending = _Sending(fps=None, fast=False, explain=False, listed=False, printed=True)
    picture = tmp_path / "a.jpg"
    picture.write_bytes(JPEG)
    outbox = Outbox(capacity=1)
    with pytest.raises(BrokenPipeError):
        _send_all(sending, [str(picture)] * 3, Publisher(SETTINGS, camera="gate", outbox=outbox))
    assert (sending.odd, len(outbox.taken)) == ([], 1)


@pytest.mark.parametrize(
    ("odd", "pictures", "unsent", "last"),
    [
        (["a"], 3, 0, "1 of 3 could not be published; the rest was sent"),
        (["a"], 1, 0, "1 of 1 could not be published"),
        (["a"], 3, 1, "1 of 3 could not be published"),
    ],
)
def test_a_rest_is_sent_where_there_is_one(
    capsys: pytest.CaptureFixture[str], odd: list[str], pictures: int, unsent: int, last: str
) -> None:
    """Not where nothing else was to be sent, nor where the command was stopped before."""
    sending = _Sending(fps=None, fast=False, explain=False, listed=False, printed=True, odd=odd, unsent=unsent)
    with pytest.raises(SystemExit):
        _report(sending, None, pictures, 30.0)
    assert capsys.readouterr().err.splitlines()[-1] == last


@pytest.mark.parametrize(
    ("rows", "sent"), [("gate/b/4,car\n", "1 label"), ("gate/b/4,car\ngate/b/5,car\n", "2 labels")]
)
def test_labels_of_a_file_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rows: str, sent: str
) -> None:
    """One is one."""
    monkeypatch.setattr(label, "settings_with_broker", Settings)
    monkeypatch.setattr(doubts, "unknown_to_the_model", lambda *_: None)
    monkeypatch.setattr(label, "Publisher", lambda settings: Publisher(settings, outbox=Outbox()))
    (tmp_path / "labels.csv").write_text(f"frame,label\n{rows}")
    status, out, _ = run(capsys, "label", "--from-csv", str(tmp_path / "labels.csv"))
    assert (status, out.partition(" sent")[0]) == (0, sent)


@pytest.mark.parametrize("argv", [["gate-7"], ["gate-7", "b7"], ["gate-7", "b7", "truck"]])
def test_a_frame_without_a_number_is_answered_with_the_form(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    """The one that the help names."""
    status, _, err = run(capsys, "label", *argv)
    assert status == 2
    assert "give CAMERA BOOT/SEQUENCE CLASS, for example gate-7 b7/42 truck" in err
    assert "[CAMERA] [BOOT/SEQUENCE] [CLASS]" in run(capsys, "label", "--help")[1]


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
