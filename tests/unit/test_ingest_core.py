"""Ingest: every record has one end, whatever comes, wherever it comes in, and whatever happens meanwhile."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.contract.checks import Limits
from catseye.contract.codec import Codec
from catseye.contract.dead_letters import KEPT_MAX_BYTES, is_cut
from catseye.contract.errors import Reason, Unavailable
from catseye.contract.identity import dead_letter_id, partition_of
from catseye.contract.limits import FRAME_MAX_BYTES, PUBLIC_MAX_BYTES, RECORD_MAX_BYTES
from catseye.contract.records import AcceptedFrame, AcceptedLabel, CameraView, DeadLetter, Frame, Label, RepeatedFrame
from catseye.models.jpeg import JpegLimits, decode_rgb
from catseye.runtime.router import Router
from catseye.runtime.stream import Output
from services.ingest import NAME, READS, WRITES
from services.ingest.core import BEHIND_MAX_MS, QUEUED_MAX_MS, IngestCore
from services.ingest.quality import measure
from services.ingest.window import BUCKET_MS, WIDTH, Windows
from tests.corpora.bad_records import longest_value
from tests.corpora.jpegs import SMALL_LIMITS, bad_frames, encode, scene
from tests.simulation.partitions import FakeMessage, Partition

CODEC = Codec()
PARTITIONS = 3
NOW_MS = 1_800_000_000_000
LIMITS = Limits(jpeg=SMALL_LIMITS)
CROPS = Path(__file__).resolve().parents[2] / "infra" / "example" / "crops"
BY_CREATE_TIME = 1


@cache
def crops() -> tuple[bytes, ...]:
    """Four real crops, each of another class."""
    return tuple(sorted(folder.glob("*.jpg"))[0].read_bytes() for folder in sorted(CROPS.iterdir()) if folder.is_dir())[
        :4
    ]


def frame(sequence: int = 0, camera: str = "cam", boot: str = "b", **changes: Any) -> Frame:
    """A sound frame, changed where a test wants it."""
    sound = Frame(camera=camera, boot=boot, sequence=sequence, captured_at_ms=NOW_MS, jpeg=crops()[sequence % 4])
    return replace(sound, **changes)


def label(sequence: int = 0, camera: str = "cam", **changes: Any) -> Label:
    """A sound label, changed where a test wants it."""
    return replace(Label(camera=camera, boot="b", sequence=sequence, label="car", labelled_at_ms=NOW_MS), **changes)


def message(record: Frame | Label | bytes | None, place: int | None = None, at: int = 0) -> FakeMessage:
    """A record as it lies on its public topic; a frame at home unless another place is said."""
    value = CODEC.encode(record) if isinstance(record, Frame | Label) else record
    topic = "labels" if isinstance(record, Label) else "frames"
    home = partition_of(record.camera, PARTITIONS) if isinstance(record, Frame | Label) else 0
    return FakeMessage(topic, value, at, home if place is None else place, b"key", (2, NOW_MS))


def routed(codec: Codec, limits: Limits, partitions: int = PARTITIONS) -> Router[Windows]:
    """Ingest as its worker runs it."""
    return Router(IngestCore(partitions, limits), NAME, READS, WRITES, codec, "", partitions)


class Ingest:
    """All partitions under one worker: what it writes to frames.rekeyed comes in again; commits, aborts, crashes."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self.outputs: list[Output] = []
        self.counts: Counter[str] = Counter()
        self._log: dict[int, list[tuple[bytes, bytes | None]]] = defaultdict(list)
        self.crash()

    def crash(self) -> None:
        """Lose everything but the log."""
        self._core = routed(CODEC, self._limits)
        self.states = {partition: self._core.new_state() for partition in range(PARTITIONS)}
        for partition, state in self.states.items():
            for key, value in self._log[partition]:
                state.restore(key, value)

    def take(self, batch: Sequence[FakeMessage], now_ms: int = NOW_MS) -> list[Output]:
        """Do a batch, and what it sends round."""
        outputs = list(self._core.on_batch(batch, self.states, now_ms)) + self._core.on_time(self.states, now_ms)
        for partition, state in self.states.items():
            self._log[partition] += state.changes()
            state.commit()
        self.outputs += outputs
        self.counts += self._core.counted()
        round_ = [
            FakeMessage(output.topic, output.value, place, output.partition, output.key, (2, NOW_MS), output.headers)
            for place, output in enumerate(outputs)
            if output.topic == "frames.rekeyed"
        ]
        return outputs + (self.take(round_) if round_ else [])

    def assign(self, counts: dict[str, int]) -> None:
        """Partitions came: so many are there."""
        self._core.on_partitions(counts)

    def abort(self, batch: Sequence[FakeMessage], now_ms: int = NOW_MS) -> None:
        """Do a batch in vain."""
        self._core.on_batch(batch, self.states, now_ms)
        for state in self.states.values():
            state.changes()
            state.rollback()
        self._core.counted()

    def known(self) -> dict[int, dict[bytes, bytes]]:
        """The state of every partition."""
        return {partition: dict(state.items()) for partition, state in self.states.items()}


def ends(outputs: Sequence[Output]) -> Counter[str]:
    """Records by topic."""
    return Counter(output.topic for output in outputs)


def reasons(outputs: Sequence[Output]) -> list[str]:
    """Why records were refused, in order."""
    letters = [output.value for output in outputs if output.topic == "dead-letters"]
    return [CODEC.decode(value, DeadLetter).reason for value in letters]


cameras = st.sampled_from(["cam", "north", "Brücke 7", "c4"])
sound = st.builds(frame, st.integers(0, 5) | st.integers(WIDTH, WIDTH + 5), cameras, st.sampled_from(["b", "b2"]))
unsound = st.builds(lambda one, bad: replace(one, jpeg=bad.jpeg), sound, st.sampled_from(bad_frames()))
odd = st.builds(
    lambda one, changes: replace(one, **changes),
    sound,
    st.sampled_from(
        [
            {"camera": ""},
            {"sequence": -1},
            {"captured_at_ms": 0},
            {"captured_at_ms": NOW_MS * 2},
            {"boot": "x" * 201},
        ]
    ),
)
frames_in = st.builds(message, sound | sound | unsound | odd, st.integers(0, PARTITIONS - 1))
labels_in = st.builds(message, st.builds(label, st.integers(0, 5), cameras) | st.just(label(propensity=2.0)))
garbage = st.builds(message, st.binary(max_size=30) | st.none() | st.just(CODEC.encode(frame())[:-1]))
batches = st.lists(frames_in | labels_in | garbage, max_size=8)
stories = st.lists(st.tuples(st.sampled_from(["take", "take", "abort", "crash"]), batches), max_size=6)


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(stories)
def test_in_is_accepted_and_dead_and_duplicate_by_count(story: list[tuple[str, list[FakeMessage]]]) -> None:
    """The law, with frames on any partition, faults of every kind, aborts and crashes; and each pair accepted once."""
    ingest, calm = Ingest(), Ingest()
    for step, batch in story:
        if step == "abort":
            before = ingest.known()
            ingest.abort(batch)
            assert ingest.known() == before
        if step == "crash":
            ingest.crash()
        ingest.take(batch)
        calm.take(batch)
    assert (ingest.outputs, ingest.known(), ingest.counts) == (calm.outputs, calm.known(), calm.counts)
    records_in = sum(len(batch) for _, batch in story)
    by_topic, counts = ends(ingest.outputs), ingest.counts
    done = by_topic["frames.accepted"] + by_topic["labels.accepted"] + by_topic["dead-letters"]
    assert done + counts["frame_duplicate"] == records_in
    assert counts["frame_rekeyed"] == by_topic["frames.rekeyed"]
    assert counts["frame_accepted"] == by_topic["frames.accepted"]
    assert counts["label_accepted"] == by_topic["labels.accepted"]
    dead = {name: count for name, count in counts.items() if name.startswith("dead_")}
    assert dead == Counter(f"dead_{reason}" for reason in reasons(ingest.outputs))
    accepted = [CODEC.decode(o.value, AcceptedFrame) for o in ingest.outputs if o.topic == "frames.accepted"]
    names = [(one.camera, one.boot, one.sequence) for one in accepted]
    assert len(names) == len(set(names))


def test_an_accepted_frame_is_the_frame_and_its_measures() -> None:
    """The picture byte for byte, on the camera's partition, under its key."""
    sent = frame(3, telemetry={"temperature": 20.0, "broken": float("nan")}, explain=True)
    (output,) = Ingest().take([message(sent)])
    home = partition_of("cam", PARTITIONS)
    assert (output.topic, output.partition, output.key) == ("frames.accepted", home, b"cam")
    actual = CODEC.decode(output.value, AcceptedFrame)
    assert (actual.camera, actual.boot, actual.sequence, actual.jpeg) == ("cam", "b", 3, sent.jpeg)
    assert (actual.captured_at_ms, actual.received_at_ms) == (NOW_MS, NOW_MS)
    assert (actual.width, actual.height) == (100, 100)
    assert 0 < actual.brightness < 1
    measured = measure(decode_rgb(sent.jpeg))
    assert (actual.chroma_blue, actual.chroma_red) == (measured.chroma_blue, measured.chroma_red)
    assert actual.bits_per_pixel == 8 * len(sent.jpeg) / 10_000
    assert (actual.telemetry, actual.explain) == ({"temperature": 20.0}, True)
    assert (actual.kind, actual.track, actual.box) == ("object", None, None), "as publishers before roadside sent it"


def test_what_is_said_of_the_object_goes_along() -> None:
    """Field by field."""
    fields: dict[str, Any] = {"track": "b-1", "box": [0.1, 0.2, 0.3, 0.4], "first_seen_ms": 5, "last_seen_ms": 9}
    fields |= {"direction": "left", "line": "north"}
    (output,) = Ingest().take([message(frame(3, **fields))])
    actual = CODEC.decode(output.value, AcceptedFrame)
    assert {name: getattr(actual, name) for name in fields} == fields


def test_a_view_is_measured_and_goes_its_own_way() -> None:
    """To views, where nobody predicts it; a repeat of it is one."""
    sent, ingest = frame(3, kind="view"), Ingest()
    (output,) = ingest.take([message(sent)])
    assert output.topic == "views"
    actual = CODEC.decode(output.value, CameraView)
    measured = measure(decode_rgb(sent.jpeg))
    assert (actual.camera, actual.sequence, actual.jpeg) == ("cam", 3, sent.jpeg)
    assert (actual.perceptual_hash, actual.chroma_red) == (measured.perceptual_hash, measured.chroma_red)
    (again,) = ingest.take([message(sent)])
    assert again.topic == "frames.repeated"


@pytest.mark.parametrize("level", [0, 255])
def test_every_perceptual_hash_fits_a_signed_number(level: int) -> None:
    """Avro has no unsigned long; the upper half is written as negative."""
    pictures = [scene(40, 40, seed=seed) for seed in range(8)]
    for picture in pictures:
        picture[:8] = level
    outputs = Ingest().take([message(frame(at, jpeg=encode(picture))) for at, picture in enumerate(pictures)])
    hashes = [CODEC.decode(output.value, AcceptedFrame).perceptual_hash for output in outputs]
    assert len(hashes) == 8
    assert -(2**63) <= min(hashes) <= max(hashes) < 2**63


def test_hashes_above_half_are_negative() -> None:
    """Both signs occur among real crops."""
    pictures = [path.read_bytes() for path in sorted(CROPS.glob("*/*.jpg"))[::20]]
    outputs = Ingest().take([message(frame(at, jpeg=picture)) for at, picture in enumerate(pictures)])
    signs = {CODEC.decode(output.value, AcceptedFrame).perceptual_hash < 0 for output in outputs}
    assert signs == {True, False}


def test_a_camera_spread_over_partitions_is_brought_home() -> None:
    """Byte for byte, once round; a repeat that came in elsewhere is found."""
    sent = frame(5)
    ingest = Ingest()
    outputs = ingest.take([message(sent, place) for place in range(PARTITIONS)])
    home = partition_of("cam", PARTITIONS)
    rekeyed = [output for output in outputs if output.topic == "frames.rekeyed"]
    expected = ("frames.rekeyed", home, b"cam", CODEC.encode(sent))
    assert [output[:4] for output in rekeyed] == [expected] * (PARTITIONS - 1)
    assert ends(outputs) == {"frames.rekeyed": PARTITIONS - 1, "frames.accepted": 1, "frames.repeated": PARTITIONS - 1}
    assert ingest.counts["frame_duplicate"] == PARTITIONS - 1


def test_labels_need_not_go_round() -> None:
    """They are put on their camera's partition at once, with ingest's clock."""
    away = (partition_of("cam", PARTITIONS) + 1) % PARTITIONS
    (output,) = Ingest().take([message(label(2, label=None, source="audit", propensity=0.25), away)])
    home = partition_of("cam", PARTITIONS)
    assert (output.topic, output.partition, output.key) == ("labels.accepted", home, b"cam")
    expected = AcceptedLabel(
        camera="cam",
        boot="b",
        sequence=2,
        label=None,
        labelled_at_ms=NOW_MS,
        source="audit",
        propensity=0.25,
        received_at_ms=NOW_MS,
    )
    assert CODEC.decode(output.value, AcceptedLabel) == expected


def test_a_dead_letter_keeps_what_came_and_whence() -> None:
    """Bytes, key, place, the broker's clock; its id follows from the place alone."""
    came = FakeMessage("frames", b"\xff\xd8 no envelope", 41, 2, b"their key", (2, NOW_MS - 5))
    (output,) = Ingest().take([came])
    assert (output.topic, output.partition, output.key) == ("dead-letters", 2, b"frames-2")
    actual = CODEC.decode(output.value, DeadLetter)
    expected = DeadLetter(
        dead_letter_id=dead_letter_id("frames", 2, 41),
        service="ingest",
        reason="unknown_format",
        detail=actual.detail,
        topic="frames",
        partition=2,
        offset=41,
        written_at_ms=NOW_MS - 5,
        refused_at_ms=NOW_MS,
        key=b"their key",
        value=b"\xff\xd8 no envelope",
    )
    assert actual == expected
    assert "starts with ffd8" in actual.detail


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        (b"key", KEPT_MAX_BYTES - 3, (3, KEPT_MAX_BYTES - 3)),
        (b"key", KEPT_MAX_BYTES - 2, (3, KEPT_MAX_BYTES - 3)),
        (None, 60 * 2**20, (0, KEPT_MAX_BYTES)),
        (bytes(KEPT_MAX_BYTES + 1), 0, (KEPT_MAX_BYTES, 0)),
        (bytes(KEPT_MAX_BYTES - 5), 10, (KEPT_MAX_BYTES - 5, 5)),
    ],
    ids=["fits", "a byte too many", "60 MiB", "a long key", "both"],
)
def test_a_dead_letter_always_fits(key: bytes | None, value: int, kept: tuple[int, int]) -> None:
    """Compressed, a record of any size passes the broker: the first bytes are kept, and how many of how many."""
    for topic in ("frames", "labels"):
        (output,) = Ingest().take([FakeMessage(topic, bytes(value), 41, 2, key, (2, NOW_MS))])
        assert len(output.value or b"") < RECORD_MAX_BYTES - 10_000
        letter = CODEC.decode(output.value, DeadLetter)
        assert (len(letter.key or b""), len(letter.value or b"")) == kept
        is_whole = kept == (len(key or b""), value)
        reported = f"of its value {kept[1]} of {value}: the whole stands where it came from"
        assert (reported in letter.detail) is not is_whole
        assert is_cut(letter) is (sum(kept) == KEPT_MAX_BYTES)


def test_a_dead_letter_keeps_whole_what_is_written_uncompressed() -> None:
    """Such a record is shorter than its batch; `is_cut` never takes it for cut."""
    assert KEPT_MAX_BYTES == PUBLIC_MAX_BYTES
    (output,) = Ingest().take([FakeMessage("frames", bytes(longest_value(b"key")), 41, 2, b"key", (2, NOW_MS))])
    letter = CODEC.decode(output.value, DeadLetter)
    assert (len(letter.value or b""), is_cut(letter)) == (longest_value(b"key"), False)


def test_a_dead_letter_goes_to_where_its_camera_is_placed() -> None:
    """Where that can be read, wherever the publisher had put the frame; drift counts it there."""
    home = partition_of("cam", PARTITIONS)
    elsewhere = (home + 1) % PARTITIONS
    (output,) = Ingest().take([message(CODEC.encode(frame()) + b"\0", elsewhere)])
    refused = CODEC.decode(output.value, DeadLetter)
    assert (output.partition, refused.partition, refused.camera) == (home, elsewhere, "cam")
    (output,) = Ingest().take([message(CODEC.encode(frame(camera=" ")) + b"\0", elsewhere)])
    assert (output.partition, CODEC.decode(output.value, DeadLetter).camera) == (elsewhere, None)


def test_a_tombstone_is_dead_too() -> None:
    """No value and no key."""
    (output,) = Ingest().take([FakeMessage("labels", None, 1, 0, None)])
    actual = CODEC.decode(output.value, DeadLetter)
    assert (actual.reason, actual.key, actual.value) == ("unknown_format", None, None)


@pytest.mark.parametrize("bad", bad_frames(), ids=lambda bad: bad.name)
def test_each_bad_picture_is_dead_for_its_own_reason(bad: Any) -> None:
    """The corpus of bad frames, through the whole of ingest; nothing is remembered of them."""
    ingest = Ingest(Limits())
    outputs = ingest.take([message(frame(jpeg=bad.jpeg))])
    assert reasons(outputs) == [bad.reason]
    assert CODEC.decode(outputs[0].value, DeadLetter).camera == frame().camera
    assert ingest.known() == {partition: {} for partition in range(PARTITIONS)}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (lambda: frame(camera=" "), Reason.CAMERA_EMPTY),
        (lambda: frame(boot="b" * 201), Reason.TEXT_TOO_LONG),
        (lambda: frame(-1), Reason.FIELD_OUT_OF_RANGE),
        (lambda: frame(captured_at_ms=NOW_MS + 2_001), Reason.CAPTURED_IN_FUTURE),
        (lambda: frame(captured_at_ms=NOW_MS - 7 * 24 * 3_600_000 - 1), Reason.CAPTURED_TOO_LONG_AGO),
        (lambda: frame(telemetry={str(number): 1.0 for number in range(65)}), Reason.FIELD_OUT_OF_RANGE),
        (lambda: frame(jpeg=b"\0" * FRAME_MAX_BYTES), Reason.RECORD_TOO_LARGE),
        (lambda: frame(jpeg=b"\0" * SMALL_LIMITS.max_bytes + b"\0"), Reason.JPEG_TOO_LARGE),
        (lambda: CODEC.encode(frame())[:-1], Reason.MALFORMED_AVRO),
        (lambda: CODEC.encode(frame()) + b"\0", Reason.TRAILING_BYTES),
        (lambda: CODEC.encode(label()), Reason.WRONG_RECORD),
        (lambda: b"\xc3\x01" + bytes(9), Reason.UNKNOWN_SCHEMA),
        (lambda: frame(camera="\0v"), Reason.FIELD_OUT_OF_RANGE),
        (lambda: label(camera="\0v"), Reason.FIELD_OUT_OF_RANGE),
        (lambda: label(labelled_at_ms=NOW_MS + 5 * 60_000 + 1), Reason.FIELD_OUT_OF_RANGE),
        (lambda: label(label=" "), Reason.FIELD_OUT_OF_RANGE),
        (lambda: label(source="x" * 8_192), Reason.RECORD_TOO_LARGE),
        (lambda: label(camera=""), Reason.CAMERA_EMPTY),
    ],
)
def test_each_check_has_its_reason(record: Callable[[], Frame | Label | bytes], reason: Reason) -> None:
    """And what came before and after it in the batch is accepted."""
    outputs = Ingest().take([message(frame(1)), message(record()), message(frame(2))])
    assert reasons(outputs) == [reason]
    assert ends(outputs)["frames.accepted"] == 2


def test_each_repeat_is_a_fact_and_their_count_goes_on_after_a_restart() -> None:
    """What an aborted batch dropped is dropped once; in = accepted + dead + repeated, by records alone."""
    ingest = Ingest()
    ingest.take([message(frame(0)), message(frame(0))])
    ingest.abort([message(frame(0))])
    ingest.crash()
    ingest.take([message(frame(0)), message(frame(1))])
    found = [CODEC.decode(each.value, RepeatedFrame) for each in ingest.outputs if each.topic == "frames.repeated"]
    assert [(each.camera, each.sequence, each.repeats) for each in found] == [("cam", 0, 1), ("cam", 0, 2)]
    assert ends(ingest.outputs) == {"frames.accepted": 2, "frames.repeated": 2}


def test_the_dead_letter_of_a_frame_on_a_wrong_partition_names_where_it_was_published() -> None:
    """Topic, partition, offset, key and time of the public record; it lies with its camera's as ever."""
    home = partition_of("cam", PARTITIONS)
    place = (home + 1) % PARTITIONS
    sent = FakeMessage("frames", CODEC.encode(frame(captured_at_ms=0)), 41, place, b"foreign", (2, NOW_MS - 1))
    (output,) = [each for each in Ingest().take([sent]) if each.topic == "dead-letters"]
    letter = CODEC.decode(output.value, DeadLetter)
    assert (letter.topic, letter.partition, letter.offset, letter.key) == ("frames", place, 41, b"foreign")
    assert (letter.camera, letter.value, letter.written_at_ms) == ("cam", sent.body, NOW_MS - 1)
    assert (output.partition, output.key) == (home, f"frames-{place}".encode())


def test_a_frame_far_behind_is_dead_and_changes_nothing() -> None:
    """Nobody can tell whether it is a repeat; the window stays as it was."""
    ingest = Ingest()
    ingest.take([message(frame(WIDTH))])
    before = ingest.known()
    assert reasons(ingest.take([message(frame(0))])) == ["sequence_too_old"]
    assert ingest.known() == before


def test_a_dead_frame_does_not_count_as_seen() -> None:
    """Sent again whole, it is accepted."""
    ingest = Ingest()
    assert reasons(ingest.take([message(frame(7, jpeg=crops()[3][:-100]))])) == ["jpeg_truncated"]
    assert ends(ingest.take([message(frame(7))])) == {"frames.accepted": 1}


def test_the_publishers_clock_is_not_the_brokers() -> None:
    """On a topic without the broker's time a frame's age is measured by ingest's own clock."""
    sent = message(frame(captured_at_ms=NOW_MS))
    by_publisher = FakeMessage("frames", sent.body, 0, sent.place, b"key", (BY_CREATE_TIME, 5))
    assert ends(Ingest().take([by_publisher])) == {"frames.accepted": 1}


@pytest.mark.parametrize(
    ("ahead_ms", "is_wrong"),
    [
        (0, False),
        (-BEHIND_MAX_MS, False),
        (-BEHIND_MAX_MS - 1, True),
        (-NOW_MS, True),
        (QUEUED_MAX_MS, False),
        (QUEUED_MAX_MS + 1, True),
        (NOW_MS, True),
    ],
)
def test_a_wrong_clock_of_ours_is_not_passed_on(ahead_ms: int, is_wrong: bool) -> None:
    """Behind the broker's, or ahead by more than a record can wait: the broker's is taken, and that is counted."""
    ingest = Ingest()
    outputs = ingest.take([message(frame()), message(label())], NOW_MS + ahead_ms)
    expected = NOW_MS if is_wrong else NOW_MS + ahead_ms
    assert [CODEC.decode(outputs[0].value, AcceptedFrame).received_at_ms] == [expected]
    assert [CODEC.decode(outputs[1].value, AcceptedLabel).received_at_ms] == [expected]
    assert ingest.counts["clock_wrong"] == 2 * is_wrong


SILENT_MS = LIMITS.age_max_ms + LIMITS.future_max_ms + QUEUED_MAX_MS + BUCKET_MS


def written(one: Frame, after_ms: int) -> FakeMessage:
    """The frame as it is written *after_ms* after `NOW_MS`."""
    return dataclasses.replace(message(one), written=(2, NOW_MS + after_ms))


def later(one: Frame, after_ms: int) -> FakeMessage:
    """The frame as it is captured and written *after_ms* after `NOW_MS`."""
    return written(replace(one, captured_at_ms=NOW_MS + after_ms), after_ms)


def test_cameras_that_fell_silent_are_forgotten() -> None:
    """When each of their frames would be too old by far; with tombstones, and the same after an abort or a crash."""
    ingest = Ingest()
    ingest.take([message(frame(0, f"cam-{number}")) for number in range(50)] + [message(frame(0))])
    before = ingest.known()
    lively = [later(frame(at), SILENT_MS) for at in range(1, 31)]
    ingest.abort(lively, NOW_MS + SILENT_MS)
    assert ingest.known() == before
    ingest.take(lively, NOW_MS + SILENT_MS)
    home = partition_of("cam", PARTITIONS)
    assert (list(ingest.known()[home]), ingest.counts["camera_forgotten"]) == ([b"cam"], len(before[home]) - 1)
    assert reasons(ingest.take([written(frame(0, "cam-1"), SILENT_MS)])) == ["captured_too_long_ago"]
    run_through = ingest.known()
    ingest.crash()
    assert ingest.known() == run_through


def test_a_camera_is_not_forgotten_while_a_frame_of_it_may_come_again() -> None:
    """Nor when our clock, or the broker's, is ahead: the earlier one counts."""
    for written_ms, now_ms in ((SILENT_MS - BUCKET_MS, SILENT_MS), (SILENT_MS, 0), (0, SILENT_MS)):
        ingest = Ingest()
        ingest.take([message(frame(0, f"cam-{number}")) for number in range(50)])
        ingest.take([later(frame(at), written_ms) for at in range(30)], NOW_MS + now_ms)
        assert ingest.counts["camera_forgotten"] == 0


def test_a_registry_that_is_away_stops_the_batch() -> None:
    """`Unavailable` is no fault of a record: nobody is dead, the worker tries again."""

    def away(schema_id: int) -> bytes | None:
        raise Unavailable("the registry is away")

    core = routed(Codec(fingerprint_of_id=away), LIMITS)
    states = {partition: Windows() for partition in range(PARTITIONS)}
    with pytest.raises(Unavailable):
        core.on_batch([message(frame()), message(b"\0\0\0\0\5 body")], states, NOW_MS)


def test_the_worker_of_the_simulations_runs_it_too() -> None:
    """One partition: take, abort and crash as for every core."""
    partition = Partition(lambda: routed(CODEC, Limits(jpeg=JpegLimits()), 1))
    first, second = (message(frame(at), 0) for at in range(2))
    partition.take([first], NOW_MS)
    partition.abort([second], NOW_MS)
    partition.crash()
    partition.take([first, second], NOW_MS)
    assert ends(partition.outputs) == {"frames.accepted": 2, "frames.repeated": 1}


@given(st.lists(st.tuples(sound, st.integers(0, 6)), min_size=1, max_size=12), st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_a_public_topic_may_have_any_number_of_partitions(sent: list[tuple[Frame, int]], raised_after: int) -> None:
    """Raised while all runs, some frames of a camera lie on its old partition and some on a new one: each is accepted
    once, where its camera lives, a repeat is found though it lay elsewhere, and one partition's order is kept."""
    ingest = Ingest()
    for place, (each, where) in enumerate(sent):
        if place == raised_after:
            ingest.assign({"frames": 7, "frames.rekeyed": PARTITIONS, "labels": 5})
        ingest.take([message(each, where if place >= raised_after else where % PARTITIONS)])
    different = {(each.camera, each.boot, each.sequence) for each, _ in sent}
    accepted = [CODEC.decode(each.value, AcceptedFrame) for each in ingest.outputs if each.topic == "frames.accepted"]
    assert {each.partition for each in ingest.outputs if each.topic == "frames.accepted"} <= set(range(PARTITIONS))
    if "sequence_too_old" not in reasons(ingest.outputs):
        assert sorted((each.camera, each.boot, each.sequence) for each in accepted) == sorted(different)
        assert ends(ingest.outputs)["frames.repeated"] == len(sent) - len(different)


def test_where_partitions_are_shared_otherwise_all_frames_go_round() -> None:
    """Also those that lie at home: a camera that went round at some times only would lose its order. What is no frame
    is dead on a partition that there is, labels need no state."""
    ingest = Ingest()
    home = partition_of("cam", PARTITIONS)
    ingest.assign({"frames": 2 * PARTITIONS, "frames.rekeyed": PARTITIONS})
    outputs = ingest.take([message(frame(0), home), message(frame(1), home + PARTITIONS), message(label(), PARTITIONS)])
    outputs += ingest.take([FakeMessage("frames", b"no frame", 41, PARTITIONS + 1, None, (2, NOW_MS))])
    assert ends(outputs) == {"frames.rekeyed": 2, "frames.accepted": 2, "labels.accepted": 1, "dead-letters": 1}
    assert [(each.topic, each.partition) for each in outputs if each.topic == "dead-letters"] == [("dead-letters", 1)]
    ingest.assign({"frames": PARTITIONS, "frames.rekeyed": PARTITIONS})
    assert ends(ingest.take([message(frame(2), home)])) == {"frames.accepted": 1}
