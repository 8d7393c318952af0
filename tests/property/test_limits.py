"""One table of limits: what the SDK accepts ingest accepts, and the other way round, at each limit and beyond it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.client import FrameId
from catseye.client.drafts import Drafts, label_of
from catseye.contract.checks import CONTRACT, Limits
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.identity import partition_of
from catseye.contract.limits import (
    FRAME_AGE_MAX_MS,
    FRAME_AHEAD_MAX_MS,
    FRAME_MAX_BYTES,
    JPEG_MAX_ASPECT,
    JPEG_MAX_BYTES,
    JPEG_MAX_PIXELS,
    JPEG_MAX_SCANS,
    JPEG_MAX_SEGMENTS,
    LABEL_AHEAD_MAX_MS,
    LABEL_MAX_BYTES,
    LABELLED_MIN_MS,
    NAME_MAX,
    PUBLIC_MAX_BYTES,
    READINGS_MAX,
    RECORD_MAX_BYTES,
    SEQUENCE_MAX,
)
from catseye.contract.records import AcceptedFrame, DeadLetter, Frame, Label, Record
from catseye.runtime.router import Router
from services.ingest import NAME, READS, WRITES
from services.ingest.core import IngestCore
from services.ingest.settings import IngestSettings
from services.ingest.window import Windows
from tests.corpora.jpegs import encode, scene
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
NOW_MS = 1_800_000_000_000
JPEG = encode(scene(40, 30))
FRAME = Frame(camera="gate", boot="b", sequence=0, captured_at_ms=NOW_MS, jpeg=JPEG)
LABEL = Label(camera="gate", boot="b", sequence=0, label="car", labelled_at_ms=NOW_MS)
WIDE = "\U0001f697"  # four bytes in UTF-8


class Case(NamedTuple):
    """A record at a limit or just beyond it."""

    name: str
    record: Frame | Label
    is_fine: bool


def by_the_sdk(record: Frame | Label, limits: Limits = CONTRACT) -> str:
    """Why the SDK refuses it; empty when it does not."""
    try:
        if isinstance(record, Label):
            label_of(
                FrameId(record.camera, record.boot, record.sequence),
                record.label,
                record.labelled_at_ms,
                now_ms=NOW_MS,
                source=record.source,
                propensity=record.propensity,
            )
        else:
            Drafts(record.boot, limits=limits).frame(
                record.jpeg,
                record.captured_at_ms,
                now_ms=NOW_MS,
                camera=record.camera,
                telemetry=record.telemetry,
            )
    except BadRecord as fault:
        return fault.reason
    return ""


def ingested(record: Frame | Label, limits: Limits = CONTRACT) -> Record:
    """What ingest makes of a record that lies where its camera lives."""
    core: Router[Windows] = Router(IngestCore(1, limits), NAME, READS, WRITES, CODEC, "", 1)
    topic = "labels" if isinstance(record, Label) else "frames"
    message = FakeMessage(topic, CODEC.encode(record), 0, partition_of(record.camera, 1), b"key", (2, NOW_MS))
    (output,) = core.on_batch([message], {0: core.new_state()}, NOW_MS)
    assert len(output.value or b"") + 1_000 < RECORD_MAX_BYTES  # what ingest writes has room on its topic
    kinds: dict[str, type[Record]] = {"dead-letters": DeadLetter, "frames.accepted": AcceptedFrame}
    return CODEC.decode(output.value, kinds[output.topic]) if output.topic in kinds else record


def by_ingest(record: Frame | Label, limits: Limits = CONTRACT) -> str:
    """Why ingest refuses it; empty when it does not."""
    made = ingested(record, limits)
    return made.reason if isinstance(made, DeadLetter) else ""


def jpeg(*, size: int = 0, segments: int = 0, scans: int = 0) -> bytes:
    """A picture with comments until it has *size* bytes or *segments* segments more, or a scan *scans* times more."""
    made = JPEG
    for _ in range(segments):
        made = made[:2] + b"\xff\xfe\0\2" + made[2:]
    if scans:
        at, end = made.index(b"\xff\xda"), made.rindex(b"\xff\xd9")
        made = made[:end] + made[at:end] * scans + made[end:]
    while (missing := size - len(made)) > 0:
        length = missing if missing < 65_537 else min(65_537, missing - 4)
        made = made[:2] + b"\xff\xfe" + (length - 2).to_bytes(2) + bytes(length - 4) + made[2:]
    return made


def segments_of(made: bytes) -> int:
    from catseye.contract.jpeg_header import segments

    return len(list(segments(made)))


def at_limits() -> Iterator[Case]:
    """Each limit of the table, itself and one more."""

    def frames(name: str, make: Callable[[int], dict[str, Any]], fine: int, step: int = 1) -> Iterator[Case]:
        for beyond in (0, step):
            yield Case(f"{name} {beyond:+}", replace(FRAME, **make(fine + beyond)), not beyond)

    def labels(name: str, make: Callable[[int], dict[str, Any]], fine: int, step: int = 1) -> Iterator[Case]:
        for beyond in (0, step):
            yield Case(f"{name} {beyond:+}", replace(LABEL, **make(fine + beyond)), not beyond)

    yield from frames("camera", lambda n: {"camera": WIDE * n}, NAME_MAX)
    yield from frames("boot", lambda n: {"boot": WIDE * n}, NAME_MAX)
    yield from frames("readings", lambda n: {"telemetry": {str(each): 1.0 for each in range(n)}}, READINGS_MAX)
    yield from frames("name of a reading", lambda n: {"telemetry": {WIDE * n: 1.0}}, NAME_MAX)
    yield from frames("ahead", lambda n: {"captured_at_ms": NOW_MS + n}, FRAME_AHEAD_MAX_MS)
    yield from frames("age", lambda n: {"captured_at_ms": NOW_MS - n}, FRAME_AGE_MAX_MS)
    yield from frames("bytes", lambda n: {"jpeg": jpeg(size=n)}, JPEG_MAX_BYTES)
    yield from frames("segments", lambda n: {"jpeg": jpeg(segments=n)}, JPEG_MAX_SEGMENTS - segments_of(JPEG))
    yield from frames("aspect", lambda n: {"jpeg": encode(scene(n, 10))}, 10 * JPEG_MAX_ASPECT)
    yield from frames("pixels", lambda n: {"jpeg": encode(scene(n, 4_000))}, JPEG_MAX_PIXELS // 4_000)
    yield from labels("label's camera", lambda n: {"camera": WIDE * n}, NAME_MAX)
    yield from labels("label's boot", lambda n: {"boot": WIDE * n}, NAME_MAX)
    yield from labels("label", lambda n: {"label": WIDE * n}, NAME_MAX)
    yield from labels("source", lambda n: {"source": WIDE * n}, NAME_MAX)
    yield from labels("sequence", lambda n: {"sequence": n}, SEQUENCE_MAX - 1)
    yield from labels("first sequence", lambda n: {"sequence": n}, 0, -1)
    yield from labels("label ahead", lambda n: {"labelled_at_ms": NOW_MS + n}, LABEL_AHEAD_MAX_MS)
    yield from labels("label in seconds", lambda n: {"labelled_at_ms": n}, LABELLED_MIN_MS, -1)
    yield from labels("propensity", lambda n: {"propensity": n / 2}, 2)
    yield from labels("no propensity", lambda n: {"propensity": float(n)}, 1, -1)


CASES = tuple(at_limits())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_both_doors_have_each_limit_at_the_same_place(case: Case) -> None:
    """The limit itself passes both, the next number neither, for the same reason."""
    sdk, ingest = by_the_sdk(case.record), by_ingest(case.record)
    assert sdk == ingest
    assert (sdk == "") is case.is_fine


def test_more_scans_than_are_allowed_pass_neither() -> None:
    """Of this limit the last allowed number is no picture: libjpeg wants no second scan of a baseline one."""
    record = replace(FRAME, jpeg=jpeg(scans=JPEG_MAX_SCANS))
    assert by_the_sdk(record) == by_ingest(record) == "jpeg_too_many_scans"


times = st.integers(-(2**40), 2**40).map(lambda off: NOW_MS + off) | st.sampled_from(
    [0, -1, NOW_MS // 1_000, NOW_MS * 1_000, 2**63 - 1, -(2**63)]
)
names = (
    st.text(max_size=3) | st.integers(195, 205).map(lambda n: "n" * n) | st.sampled_from(["", " ", "a\0", "é", WIDE])
)
sequences = st.integers(-2, 2) | st.sampled_from([SEQUENCE_MAX - 1, SEQUENCE_MAX, 2**63 - 1])
pictures = st.sampled_from([b"", b"\xff\xd8", JPEG, JPEG[:-2], JPEG + b"x", JPEG + JPEG, JPEG + b"\xff\xd9\0"])
frames = st.builds(
    Frame,
    camera=names,
    boot=names,
    sequence=st.just(0),
    captured_at_ms=times,
    jpeg=pictures,
    telemetry=st.dictionaries(names, st.floats(), max_size=3),
)
labels = st.builds(
    Label,
    camera=names,
    boot=names,
    sequence=sequences,
    label=st.none() | names,
    labelled_at_ms=times,
    source=names,
    propensity=st.floats(),
)


def differ(record: Frame | Label, limits: Limits = CONTRACT, of_ingest: Limits | None = None) -> bool:
    """Whether one door takes what the other refuses."""
    return bool(by_the_sdk(record, limits)) is not bool(by_ingest(record, of_ingest or limits))


@settings(max_examples=60, deadline=None)
@given(frames | labels)
def test_what_the_sdk_accepts_ingest_accepts_and_the_other_way_round(record: Frame | Label) -> None:
    """Whatever is in a record."""
    assert not differ(record)


@pytest.mark.parametrize(
    "other",
    [
        CONTRACT._replace(future_max_ms=FRAME_AHEAD_MAX_MS - 1),
        CONTRACT._replace(age_max_ms=FRAME_AGE_MAX_MS + 1),
        CONTRACT._replace(label_future_max_ms=2_000),
        CONTRACT._replace(jpeg=IngestSettings(ingest_jpeg_max_bytes=2**20).limits.jpeg),
        CONTRACT._replace(jpeg=IngestSettings(ingest_jpeg_max_pixels=8_000_000).limits.jpeg),
    ],
)
def test_a_door_of_its_own_is_found_out(other: Limits) -> None:
    """The checker's negative control: ingest with another limit than the SDK's differs on one of the cases."""
    assert any(differ(case.record, of_ingest=other) for case in CASES)


def test_what_an_operator_turns_both_doors_have() -> None:
    """A publisher that reads ingest's variables refuses what ingest was told to refuse, and takes what it takes."""
    limits = IngestSettings(ingest_future_max_ms=60_000, ingest_jpeg_max_bytes=len(JPEG)).limits
    late, large = replace(FRAME, captured_at_ms=NOW_MS + 60_000), replace(FRAME, jpeg=jpeg(size=len(JPEG) + 9))
    assert by_the_sdk(late, limits) == by_ingest(late, limits) == ""
    assert by_the_sdk(large, limits) == by_ingest(large, limits) == "jpeg_too_large"


def test_the_longest_records_fit_what_they_are_sent_in() -> None:
    """The largest picture with the longest names and readings, a label of the longest names, and a batch around."""
    readings = {WIDE * (NAME_MAX - 3) + f"{number:03}": 1.0 for number in range(READINGS_MAX)}
    frame = Frame(
        camera=WIDE * NAME_MAX,
        boot=WIDE * NAME_MAX,
        sequence=SEQUENCE_MAX - 1,
        captured_at_ms=NOW_MS,
        jpeg=jpeg(size=JPEG_MAX_BYTES),
        telemetry=readings,
    )
    label = Label(
        camera=WIDE * NAME_MAX,
        boot=WIDE * NAME_MAX,
        sequence=SEQUENCE_MAX - 1,
        label=WIDE * NAME_MAX,
        labelled_at_ms=NOW_MS,
        source=WIDE * NAME_MAX,
    )
    key_and_batch = 4 * NAME_MAX + 200
    assert len(CODEC.encode(frame)) < FRAME_MAX_BYTES < PUBLIC_MAX_BYTES - key_and_batch
    assert len(CODEC.encode(label)) < LABEL_MAX_BYTES
    accepted = ingested(frame)
    assert isinstance(accepted, AcceptedFrame)
    # Whoever refuses an accepted frame keeps it whole in a dead letter.
    assert len(CODEC.encode(accepted)) < PUBLIC_MAX_BYTES - key_and_batch < RECORD_MAX_BYTES - 10_000
