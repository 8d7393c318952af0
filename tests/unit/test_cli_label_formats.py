"""Labels that leave for another program and come back: CSV, COCO, Label Studio."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from catseye.cli.common import csv_text
from catseye.cli.label_file import Labelled, read_labels
from catseye.cli.label_formats import READERS, WRITERS, Known, lines
from catseye.cli.labels import _keep, holding
from catseye.client import FrameId
from catseye.contract.errors import Misconfigured
from catseye.contract.records import Outcome

KNOWN = [
    Known(Labelled(FrameId("gate/7", "b", 4), "car", "audit", 0.25), "truck", (64, 48)),
    Known(Labelled(FrameId("=gate", "b", 5), "=2+2", "person", 1.0), "car", None),
    Known(Labelled(FrameId("gate/7", "b", 6), "car", "person", 1.0), "car", (64, 48)),
]
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "gate/b/4.jpg"}, {"id": 2, "file_name": "gate/b/5.jpg"}],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "truck"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [0, 0, 1, 1]}],
}
STUDIO: dict[str, Any] = {
    "data": {"image": "/data/local-files/?d=gate/b/4.JPG"},
    "annotations": [{"result": [{"type": "choices", "value": {"choices": ["truck"]}}], "updated_at": "2026-11-30"}],
}


@pytest.mark.parametrize("form", ["csv", *WRITERS])
def test_what_was_written_is_read_back(form: str, tmp_path: Path) -> None:
    """Frame, class, who labelled and with which chance, in their order, whatever names begin with."""
    file = tmp_path / "labels"
    if form == "csv":
        file.write_text(csv_text(("frame", "label", "source", "propensity"), lines(KNOWN)))
        assert "\n'=gate/b/5,'=2+2," in file.read_text()
        assert read_labels(file) == [each.labelled for each in KNOWN]
    else:
        file.write_bytes(WRITERS[form](KNOWN))
        assert READERS[form](file) == [each.labelled for each in KNOWN]


def test_an_image_nobody_annotated_and_a_skipped_task_are_left_out(tmp_path: Path) -> None:
    """Of a task the newest annotation holds, also one that drew a box."""
    (tmp_path / "coco").write_text(json.dumps(COCO))
    assert READERS["coco"](tmp_path / "coco") == [Labelled(FrameId("gate", "b", 4), "truck", None, None)]
    box = {"result": [{"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["car"]}}]}
    later = STUDIO | {"annotations": [*STUDIO["annotations"], box | {"updated_at": "2026-12-01"}]}
    skipped = {"data": {"frame": "gate/b/9"}, "annotations": [box | {"was_cancelled": True}, {"result": []}]}
    (tmp_path / "studio").write_text(json.dumps([later, skipped]))
    assert READERS["label-studio"](tmp_path / "studio") == [Labelled(FrameId("gate", "b", 4), "car", None, None)]


@pytest.mark.parametrize(
    ("form", "content", "reason"),
    [
        ("coco", "{", "is no COCO: .*nothing was sent"),
        ("coco", json.dumps(COCO | {"images": [{"file_name": "x"}]}), r"is no COCO: .*`id` - at `\$.images\[0\]`"),
        ("coco", json.dumps(COCO | {"images": []}), "image 1 and category 2, which are not both in the file"),
        (
            "coco",
            json.dumps(COCO | {"images": [{"id": 1, "file_name": "4.jpg"}]}),
            "is called camera/boot/seq",
        ),
        ("coco", json.dumps(COCO | {"images": [{"id": 1}]}), "is called camera/boot/seq"),
        (
            "coco",
            json.dumps(COCO | {"images": [{"id": 1, "file_name": "gate/b/4.jpg", "propensity": 2}]}),
            "propensity 2 is not over 0 to 1",
        ),
        (
            "coco",
            json.dumps(COCO | {"annotations": [{"image_id": 1, "category_id": each} for each in (1, 2)]}),
            r"gate/b/4.jpg has 2 classes \(car, truck\), and a frame has one",
        ),
        ("label-studio", json.dumps(STUDIO), "is no list of Label Studio's tasks"),
        (
            "label-studio",
            json.dumps([STUDIO | {"annotations": [{"result": [{"type": "textarea", "value": {"text": ["x"]}}]}]}]),
            "has no class, and a frame has one",
        ),
    ],
)
def test_what_is_no_label_is_named_and_nothing_is_sent(form: str, content: str, reason: str, tmp_path: Path) -> None:
    """The whole file is read first."""
    (tmp_path / "labels").write_text(content)
    with pytest.raises(Misconfigured, match=reason):
        READERS[form](tmp_path / "labels")
    with pytest.raises(Misconfigured, match="cannot be read"):
        READERS[form](tmp_path / "gone")


def test_the_newest_label_of_a_frame_holds() -> None:
    """One that was corrected has the later class, one that was withdrawn is not written."""
    outcomes = [
        msgspec.convert(_outcome("b/1", "matched", "car"), Outcome),
        msgspec.convert(_outcome("b/2", "matched", "car"), Outcome),
        msgspec.convert(_outcome("b/1", "corrected", "truck"), Outcome),
        msgspec.convert(_outcome("b/2", "withdrawn", None), Outcome),
    ]
    assert [(each.sequence, each.label) for each in holding(outcomes)] == [(1, "truck")]


def test_no_picture_is_written_beside_its_folder(tmp_path: Path) -> None:
    """A camera may be called anything."""
    away = KNOWN[0]._replace(labelled=KNOWN[0].labelled._replace(frame=FrameId("../gate", "b", 4)))
    with pytest.raises(Misconfigured, match="is not below"):
        _keep(tmp_path / "pictures", away, b"j")
    _keep(tmp_path / "pictures", KNOWN[0], b"j")
    assert (tmp_path / "pictures" / "gate" / "7" / "b" / "4.jpg").read_bytes() == b"j"
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot be written"):
        _keep(tmp_path / "file", KNOWN[0], b"j")


def _outcome(frame: str, change: str, label: str | None) -> dict[str, Any]:
    boot, sequence = frame.split("/")
    return {
        "camera": "gate",
        "boot": boot,
        "sequence": int(sequence),
        "captured_at_ms": 0,
        "received_at_ms": 0,
        "predicted_at_ms": 0,
        "prediction_id": frame,
        "model": "m",
        "version": "1",
        "role": "champion",
        "frame_partition": 0,
        "frame_offset": 0,
        "predicted": "car",
        "confidence": 0.9,
        "change": change,
        "label": label,
        "brightness": 0.5,
        "source": "person",
        "propensity": 1.0,
        "labelled_at_ms": 0,
        "label_received_at_ms": 0,
        "label_delay_ms": 0,
    }
