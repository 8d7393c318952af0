"""Playing a road: pictures, ledger and the loop, with a clock moved by hand and a broker that answers when told."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.records import Frame, Label
from catseye.models.jpeg import decode_rgb, inspect
from services.simulator.__main__ import changed_cameras, happening
from services.simulator.changes import Black, ClockJump, OtherFrames
from services.simulator.core import Plan, Road
from services.simulator.ledger import Ledger
from services.simulator.pictures import Appearance, Pictures, damaged
from services.simulator.play import Player, Stage

CROPS = Path(__file__).parents[2] / "infra" / "example" / "crops"
PLAN = Plan(classes=("bike", "car"), seed=1, cameras=2, fps=20, duration_ms=2_000, label_delay_ms=500, copy_share=0.1)


class Broker:
    """Takes records and acknowledges them when polled; its clock moves by what a poll waits.

    Args:
        fails: Sequence numbers of frames that it never takes.
        capacity: How many records it holds between two polls.
    """

    def __init__(self, fails: frozenset[int] = frozenset(), capacity: int = 1_000) -> None:
        self.now_s = 1_000.0
        self.taken: list[tuple[str, bytes, bytes]] = []
        self._fails = fails
        self._capacity = capacity
        self._waiting: list[tuple[Callable[[Any, Any], None], bool]] = []

    def now_ms(self) -> int:
        return int(self.now_s * 1_000)

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        if len(self._waiting) >= self._capacity:
            raise BufferError
        failed = topic == "frames" and Codec().decode(value, Frame).sequence in self._fails
        if not failed:
            self.taken.append((topic, key, value))
        self._waiting.append((on_delivery, failed))

    def poll(self, timeout: float) -> int:
        self.now_s += max(timeout, 0.001)
        waiting, self._waiting = self._waiting, []
        for acknowledged, failed in waiting:
            acknowledged("timed out" if failed else None, None)
        return len(waiting)

    def flush(self, timeout: float) -> int:
        self.poll(0)
        return 0


def pictures(check: Appearance = Appearance(0.0), folder: Path = CROPS) -> Pictures:  # noqa: B008 - a NamedTuple of constants
    return Pictures(folder, 1, check)


def play(
    tmp_path: Path, broker: Broker, plan: Plan = PLAN, *, label_wait_ms: float = math.inf, stop: Event | None = None
) -> tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any]]]]:
    """Lines of the ledger and of the log."""
    log: list[tuple[str, dict[str, Any]]] = []
    stage = Stage(pictures(), pictures(), "b1", "frames", "labels", label_wait_ms)
    with Ledger(tmp_path / "new" / "ledger.jsonl") as ledger:
        player = Player(
            Road(plan),
            stage,
            broker,
            Codec(),
            ledger,
            broker.now_ms,
            lambda event, **more: log.append((event, more)),
        )
        player.play(stop or Event())
    lines = (tmp_path / "new" / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], log


def test_the_ledger_says_what_was_acknowledged(tmp_path: Path) -> None:
    """Each line is a record that the broker took, at its intended time, with the truth beside it."""
    broker = Broker()
    *lines, end = play(tmp_path, broker)[0]
    frames = [Codec().decode(value, Frame) for topic, _, value in broker.taken if topic == "frames"]
    labels = [Codec().decode(value, Label) for topic, _, value in broker.taken if topic == "labels"]
    by_kind = {kind: [line for line in lines if line["kind"] == kind] for kind in ("frame", "label")}
    assert [(line["camera"], line["boot"], line["sequence"]) for line in by_kind["frame"]] == [
        (frame.camera, frame.boot, frame.sequence) for frame in frames
    ]
    assert [(line["sequence"], line["label"], line["labelled_at_ms"]) for line in by_kind["label"]] == [
        (label.sequence, label.label, label.labelled_at_ms) for label in labels
    ]
    assert {key for _, key, _ in broker.taken} == {b"cam-01", b"cam-02"}
    for line in by_kind["frame"]:
        assert line["intended_at_ms"] <= line["published_at_ms"] <= line["acked_at_ms"]
    assert [frame.captured_at_ms for frame, line in zip(frames, by_kind["frame"], strict=True) if not line["copy"]] == [
        line["intended_at_ms"] for line in by_kind["frame"] if not line["copy"]
    ]
    assert any(line["copy"] for line in by_kind["frame"])
    assert (end["frames_acked"], end["labels_acked"], end["failed"]) == (len(frames), len(labels), 0)
    assert (end["kind"], end["stopped"], end["labels_unsent"]) == ("end", False, 0)


def test_what_the_broker_did_not_take_is_reported_to_have_failed(tmp_path: Path) -> None:
    """Neither silence nor a promise: a line of its own kind, and the count at the end."""
    lines, _ = play(tmp_path, Broker(fails=frozenset({3})))
    failed = [line for line in lines if line["kind"] == "failed"]
    assert {(line["of"], line["sequence"], line["because"]) for line in failed} == {("frame", 3, "timed out")}
    assert lines[-1]["failed"] == len(failed) >= 2
    assert not [line for line in lines if line["kind"] == "frame" and line["sequence"] == 3]


def test_a_full_queue_makes_it_late_and_loses_nothing(tmp_path: Path) -> None:
    """With room for one record at a time everything still goes out once, and the delay is reported."""
    roomy, narrow = Broker(), Broker(capacity=1)
    assert len(play(tmp_path, roomy)[0]) == len(play(tmp_path, narrow)[0])
    assert narrow.taken[0] == roomy.taken[0]
    lines, _ = play(tmp_path, Broker(capacity=1))
    assert lines[-1]["latest_ms"] > 0


def test_labels_are_waited_for_only_so_long(tmp_path: Path) -> None:
    """With a wait of 0 the road ends with its last frame; what was not sent is counted."""
    lines, _ = play(tmp_path, Broker(), label_wait_ms=0)
    assert lines[-1]["labels_unsent"] > 0
    assert max(line["acked_at_ms"] for line in lines[:-1]) <= 1_000_000 + 2_000 + 200


def test_stop_ends_it_early_and_cleanly(tmp_path: Path) -> None:
    """Told to stop before it began: no frame, but the end line."""
    stop = Event()
    stop.set()
    lines, reported = play(tmp_path, Broker(), stop=stop)
    assert [(line["kind"], line["stopped"], line["frames_sent"]) for line in lines] == [("end", True, 0)]
    assert [event for event, _ in reported] == ["publishing", "ended"]


def test_corrupt_frames_are_refused_by_every_reader() -> None:
    """Cut off, without a start, empty: ingest's own checks take none of them."""
    jpeg = pictures().picture("car", 0, 0)
    assert len({damaged(jpeg, nth) for nth in range(6)}) == 3
    for nth in range(3):
        with pytest.raises(BadRecord):
            decode_rgb(damaged(jpeg, nth)) if not inspect(damaged(jpeg, nth)) else None


def test_corrupt_and_changed_frames_are_marked(tmp_path: Path) -> None:
    """The ledger tells them apart, and a corrupt one carries other bytes."""
    plan = Plan(
        classes=PLAN.classes, seed=2, cameras=2, fps=20, duration_ms=2_000, corrupt_share=0.5, change_at_ms=1_000,
        change_cameras=1,
    )  # fmt: skip
    broker = Broker()
    frames = [line for line in play(tmp_path, broker, plan)[0] if line["kind"] == "frame"]
    sound = [inspects(Codec().decode(value, Frame).jpeg) for topic, _, value in broker.taken if topic == "frames"]
    assert [not line["corrupt"] for line in frames] == sound
    assert {line["camera"] for line in frames if line["changed"]} == {"cam-01"}


def inspects(jpeg: bytes) -> bool:
    """Whether ingest would look at the pixels."""
    try:
        inspect(jpeg)
    except BadRecord:
        return False
    return True


def test_light_makes_pictures_brighter_and_darker_and_none_leaves_the_bytes_alone() -> None:
    """At level 0 the file itself; at the ends the mean moves by about the share that was asked for."""
    lit = pictures(Appearance(brightness=0.2))
    original = pictures().picture("truck", 5, 4)
    assert lit.picture("truck", 5, 0) == original
    dark, even, bright = (float(decode_rgb(lit.picture("truck", 5, light)).mean()) for light in (-4, 0, 4))
    assert dark == pytest.approx(0.8 * even, rel=0.05)
    assert bright == pytest.approx(1.2 * even, rel=0.05)


def test_tiny_pictures_are_small_and_whole() -> None:
    """32 x 32 and about 0.8 KB, light or not."""
    tiny = pictures(Appearance(brightness=0.2, tiny=True))
    for light in (-4, 0, 4):
        jpeg = tiny.picture("bike", 1, light)
        assert (inspect(jpeg).width, inspect(jpeg).height) == (32, 32)
        assert len(jpeg) < 1_500


def test_pictures_go_round_in_an_order_of_the_seed() -> None:
    """After the last one comes the first; another seed shows another order."""
    shown = pictures()
    assert shown.classes == ("bike", "car", "juggernaut", "minibus", "pickup", "truck")
    assert shown.picture("car", 3, 0) == shown.picture("car", 103, 0)
    other = Pictures(CROPS, 2, Appearance(0.0))
    assert [shown.picture("car", nth, 0) for nth in range(9)] != [other.picture("car", nth, 0) for nth in range(9)]


def test_kept_pictures_do_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit they are made again, and are the same."""
    monkeypatch.setattr("services.simulator.pictures._KEPT_BYTES", 10_000)
    few = pictures(Appearance(0.2))
    first = [few.picture("car", nth, 2) for nth in range(10)]
    assert [few.picture("car", nth, 2) for nth in range(10)] == first


def test_folders_that_will_not_do_are_named(tmp_path: Path) -> None:
    """No folder, one class, a class missing from --after, a file that is no JPEG."""
    with pytest.raises(Misconfigured, match=r"^--frames: there is no folder"):
        pictures(folder=tmp_path / "nowhere")
    for name in ("bike", "car"):
        (tmp_path / name).mkdir()
        if name == "car":
            with pytest.raises(Misconfigured, match="at least two classes, found 1"):
                pictures(folder=tmp_path)
        (tmp_path / name / "1.jpg").write_bytes(b"no picture")
    other = Pictures(tmp_path, 1, Appearance(), "--after")
    with pytest.raises(Misconfigured, match=r"^--after: no JPEGs of truck, van;"):
        other.check_covers(("bike", "car", "truck", "van"))
    other.check_covers(("bike", "car"))
    with pytest.raises(Misconfigured, match=r"^--after: .*1\.jpg cannot be used: not_a_jpeg"):
        other.load()


@pytest.mark.parametrize(("wanted", "expected"), [("2", 2), ("0.5", 3), ("1.0", 6), ("1", 1), ("0", 0)])
def test_cameras_change_by_number_or_by_share(wanted: str, expected: int) -> None:
    """A point makes it a share."""
    assert changed_cameras(wanted, 6) == expected


@pytest.mark.parametrize("wanted", ["half", "7", "1.5", "-1", "nan.", ".1e999"])
def test_other_numbers_of_cameras_are_refused(wanted: str) -> None:
    """Neither a number nor a share of the road."""
    with pytest.raises(Misconfigured, match="--change-cameras"):
        changed_cameras(wanted, 6)


def test_a_wrong_clock_is_on_the_frame_and_not_on_the_ledger(tmp_path: Path) -> None:
    """Captured an hour ago, due now; each frame carries readings, and the last line says who changed and when."""
    broker = Broker()
    plan = replace(PLAN, change=ClockJump(jump_s=-3_600), change_at_ms=1_000, change_cameras=1, copy_share=0)
    *lines, end = play(tmp_path, broker, plan)[0]
    frames = [Codec().decode(value, Frame) for topic, _, value in broker.taken if topic == "frames"]
    sent = [line for line in lines if line["kind"] == "frame"]
    assert [frame.captured_at_ms - line["intended_at_ms"] for frame, line in zip(frames, sent, strict=True)] == [
        -3_600_000 if line["changed"] else 0 for line in sent
    ]
    assert any(line["changed"] for line in sent)
    assert {tuple(frame.telemetry) for frame in frames} == {("temperature", "voltage")}
    assert (end["changed_cameras"], end["change_at_ms"]) == (["cam-01"], 1_001_000)
    assert [play(tmp_path, Broker())[0][-1][name] for name in ("changed_cameras", "change_at_ms")] == [[], None]


def test_options_say_what_happens() -> None:
    """A scenario with its own time and cameras, or those of the options; other frames; or nothing."""
    plan = replace(PLAN, cameras=6)
    black = happening(plan, "black", None, None, None)
    assert (black.change, black.change_at_ms, black.change_cameras) == (Black(), 30_000, 3)
    black = happening(plan, "black", None, 5.0, "2")
    assert (black.change_at_ms, black.change_cameras) == (5_000, 2)
    after = happening(plan, "none", CROPS, None, None)
    assert (after.change, after.change_at_ms, after.change_cameras) == (OtherFrames(), 30_000, 6)
    after = happening(plan, None, CROPS, 7.0, "0.5")
    assert (after.change_at_ms, after.change_cameras) == (7_000, 3)
    assert [happening(plan, name, None, 5.0, "1.0").change_cameras for name in (None, "none", "model_worse")] == [
        0,
        0,
        6,
    ]
    with pytest.raises(Misconfigured, match="--after is a scenario of its own; it cannot be played with"):
        happening(plan, "fog", CROPS, None, None)
    with pytest.raises(Misconfigured, match="--change-cameras: 7 is not within the 6 cameras"):
        happening(plan, "none", None, None, "7")
