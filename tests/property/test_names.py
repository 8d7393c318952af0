"""One rule of names: what the SDK takes ingest takes, under the same names; what it refuses ingest refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catseye.client.drafts import Drafts, FrameId, label_of
from catseye.contract.checks import Limits
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.names import boot_of, camera_of, class_meant, name_of, shown
from catseye.contract.records import AcceptedFrame, AcceptedLabel, Frame, Label
from services.ingest.core import IngestCore
from services.ingest.window import Windows
from tests.corpora.jpegs import encode, scene
from tests.simulation.partitions import FakeMessage

NOW_MS = 1_800_000_000_000
CODEC = Codec()
ODD = "aA/ \n\t\x7f\u00a0\u00adu\u0308ü\u200b\u200c\u200d\u2028\u202e\u2066\u3000\ufe0f\ufeff🚦✈ک\u094dक"
TEXTS = st.text(st.sampled_from(ODD), max_size=12) | st.text(max_size=210)
"""Any text that UTF-8 can write: others cannot be sent."""
JPEG = encode(scene(32, 32))


def ingested(record: Frame | Label) -> tuple[Any, ...] | None:
    """Names under which ingest accepts what a client sent; None where it refuses."""
    core, state = IngestCore(1, Limits()), Windows()
    topic = "frames" if isinstance(record, Frame) else "labels"
    message = FakeMessage(topic, CODEC.encode(record), written=(1, NOW_MS))
    try:
        if isinstance(record, Frame):
            (written,) = core.on_frame(record, message, state, NOW_MS)
        else:
            (written,) = core.on_label(record, message, state, NOW_MS)
    except BadRecord:
        return None
    assert isinstance(written, AcceptedFrame | AcceptedLabel)
    return names_of(written)


def names_of(record: Frame | Label | AcceptedFrame | AcceptedLabel) -> tuple[Any, ...]:
    """All names that a record has."""
    if isinstance(record, Frame | AcceptedFrame):
        return record.camera, record.boot, tuple(record.telemetry)
    return record.camera, record.boot, record.label, record.source


def drafted_frame(camera: str, boot: str, reading: str) -> Frame | None:
    """What the SDK sends; None where it refuses."""
    try:
        return Drafts(boot).frame(JPEG, NOW_MS, now_ms=NOW_MS, camera=camera, telemetry={reading: 1.0})
    except BadRecord:
        return None


def drafted_label(camera: str, boot: str, label: str, source: str) -> Label | None:
    """The same of a label."""
    try:
        return label_of(FrameId(camera, boot, 0), label, NOW_MS, now_ms=NOW_MS, source=source, propensity=1.0)
    except BadRecord:
        return None


def agree(drafted: Frame | Label | None, raw: Frame | Label) -> None:
    """Asserts that a client of one's own that sends *raw* gets what the SDK gets, which sends *drafted* for it."""
    kept = ingested(raw)
    if drafted is None:
        assert kept is None
    else:
        assert ingested(drafted) == names_of(drafted) == kept


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS)
@example("Su\u0308d-Tor 3", " b\u00a0", "temp\ufe0f")
@example("a", "b/c", "t")
def test_ingest_keeps_a_frame_under_the_names_that_the_sdk_gives_it(camera: str, boot: str, reading: str) -> None:
    """And refuses what the SDK refuses."""
    raw = Frame(camera=camera, boot=boot, sequence=0, captured_at_ms=NOW_MS, jpeg=JPEG, telemetry={reading: 1.0})
    agree(drafted_frame(camera, boot, reading), raw)


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
@example("cam", "b", "truck\u00a0", "person ")
def test_ingest_keeps_a_label_under_the_names_that_the_sdk_gives_it(
    camera: str, boot: str, label: str, source: str
) -> None:
    """And refuses what the SDK refuses."""
    raw = Label(camera=camera, boot=boot, sequence=0, label=label, labelled_at_ms=NOW_MS, source=source)
    agree(drafted_label(camera, boot, label, source), raw)


@pytest.mark.parametrize("name", ["cam ", "Su\u0308d", "cam\u200b01", "\u202ecam"])
def test_a_door_of_its_own_is_noticed(name: str) -> None:
    """Negative control: an SDK that sent names as they are given, or took what ingest does not."""
    raw = Frame(camera=name, boot="b", sequence=0, captured_at_ms=NOW_MS, jpeg=JPEG)
    with pytest.raises(AssertionError):
        agree(raw, raw)


@pytest.mark.parametrize("fold", [camera_of, boot_of, lambda text: name_of("label", text)])
@given(TEXTS)
@example("e\ufe0f\u0301")
@example("\u2000x\u2001")
def test_a_name_is_folded_once(fold: Callable[[str], str], text: str) -> None:
    """What came through one door is the same at the next, and terminals show it as it is."""
    try:
        name = fold(text)
    except BadRecord:
        return
    assert fold(name) == name == shown(name)


@given(TEXTS, TEXTS)
def test_a_frame_is_read_back_from_its_name(camera: str, boot: str) -> None:
    """So that two frames never have one name."""
    try:
        frame = FrameId(camera_of(camera), boot_of(boot), 7)
    except BadRecord:
        return
    if frame.boot:
        assert FrameId.parse(str(frame)) == frame


@given(st.text(max_size=6), st.lists(st.text(max_size=6), max_size=4))
def test_a_label_means_one_class(label: str, classes: list[str]) -> None:
    """The same in any order of the classes; and a class means itself."""
    assert class_meant(label, classes) == class_meant(label, classes[::-1])
    for name in classes:
        assert class_meant(name, classes) == name
