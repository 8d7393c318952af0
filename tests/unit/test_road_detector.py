"""A detector of one's own finds vehicles in place of motion, and what is none is refused with a sentence."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from catseye.cli import main
from catseye.contract.errors import Misconfigured
from catseye.roads.config import DetectorConfig
from catseye.roads.detector import Detector
from tests.corpora.videos import road, write_video

SIDE = 160


def onnx_file(
    layout: str,
    *,
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    kind: TensorProto.DataType = TensorProto.FLOAT,
    label: int = 2,
) -> bytes:
    """A detector of the one bright thing in a picture: where columns and rows have a pixel over 0.7.

    Args:
        layout: `yolo` gives one output of two classes, of which the second is sure to 0.9; `three` gives boxes, scores
            and labels; `picture` gives what no detector gives.
        shape: Of its input.
        kind: Of its input.
        label: What `three` says of it.
    """
    constants = {
        "limit": np.float32(0.7),
        "places": np.arange(SIDE, dtype=np.float32),
        "far": np.float32(9_999),
        "near": np.float32(-9_999),
        "one": np.float32(1),
        "half": np.float32(0.5),
        "score": np.array([0.9], np.float32),
        "both": np.array([[[0.1], [0.9]]], np.float32),
        "label": np.array([label], np.int64),
        "flat": np.array([1], np.int64),
        "column": np.array([1, 1, 1], np.int64),
        "row": np.array([1, 4], np.int64),
    }
    nodes = [helper.make_node("ReduceMax", ["picture"], ["channel"], axes=[1], keepdims=0)]
    for side, axis in (("x", 1), ("y", 2)):
        nodes += [
            helper.make_node("ReduceMax", ["channel"], [f"max_{side}"], axes=[0, axis], keepdims=0),
            helper.make_node("Greater", [f"max_{side}", "limit"], [f"bright_{side}"]),
            helper.make_node("Where", [f"bright_{side}", "places", "far"], [f"first_{side}"]),
            helper.make_node("Where", [f"bright_{side}", "places", "near"], [f"last_{side}"]),
            helper.make_node("ReduceMin", [f"first_{side}"], [f"low_{side}"], axes=[0], keepdims=1),
            helper.make_node("ReduceMax", [f"last_{side}"], [f"end_{side}"], axes=[0], keepdims=1),
            helper.make_node("Add", [f"end_{side}", "one"], [f"high_{side}"]),
            helper.make_node("Add", [f"low_{side}", f"high_{side}"], [f"sum_{side}"]),
            helper.make_node("Mul", [f"sum_{side}", "half"], [f"middle_{side}"]),
            helper.make_node("Sub", [f"high_{side}", f"low_{side}"], [f"size_{side}"]),
        ]
    if layout == "three":
        nodes += [
            helper.make_node("Concat", ["low_x", "low_y", "high_x", "high_y"], ["corners"], axis=0),
            helper.make_node("Reshape", ["corners", "row"], ["boxes"]),
            helper.make_node("Identity", ["score"], ["scores"]),
            helper.make_node("Identity", ["label"], ["labels"]),
        ]
        outputs = [("boxes", TensorProto.FLOAT), ("scores", TensorProto.FLOAT), ("labels", TensorProto.INT64)]
    elif layout == "picture":
        nodes, outputs = [helper.make_node("Identity", ["picture"], ["output0"])], [("output0", kind)]
    else:
        parts = ["middle_x", "middle_y", "size_x", "size_y"]
        nodes += [helper.make_node("Reshape", [part, "column"], [f"{part}_"]) for part in parts]
        nodes.append(helper.make_node("Concat", [*(f"{part}_" for part in parts), "both"], ["output0"], axis=1))
        outputs = [("output0", TensorProto.FLOAT)]
    graph = helper.make_graph(
        nodes,
        layout,
        [helper.make_tensor_value_info("picture", kind, list(shape))],
        [helper.make_tensor_value_info(name, type_, None) for name, type_ in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


@dataclass(frozen=True)
class Shot:
    """A picture of 320 x 180 pixels, dark, with something bright in it."""

    luma: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]
    full_range: bool = True
    at_s: float = 0
    captured_at_ms: int = 0


def shot(level: int = 255, *, full_range: bool = True) -> Shot:
    """From 64 to 128 across, 40 to 80 down."""
    luma = np.full((180, 320), 40, np.uint8)
    luma[40:80, 64:128] = level
    grey = np.full((90, 160), 128, np.uint8)
    return Shot(luma, grey, grey, full_range)


@pytest.mark.parametrize("layout", ["yolo", "three"])
def test_boxes_are_shares_of_the_picture_in_both_layouts(layout: str) -> None:
    """Whatever was added to make the picture a square; a class that does not count, or too small a score, is none."""
    name = f"{layout}.onnx"
    (box,) = Detector(onnx_file(layout), DetectorConfig(name)).boxes(shot())
    assert box == pytest.approx((64 / 320, 40 / 180, 64 / 320, 40 / 180), abs=0.007)
    wanted = 1 if layout == "yolo" else 2
    assert len(Detector(onnx_file(layout), DetectorConfig(name, classes=(wanted,))).boxes(shot())) == 1
    assert Detector(onnx_file(layout), DetectorConfig(name, classes=(0,))).boxes(shot()) == []
    assert Detector(onnx_file(layout), DetectorConfig(name, confidence=0.95)).boxes(shot()) == []
    assert Detector(onnx_file(layout), DetectorConfig(name)).boxes(shot(60)) == [], "nothing bright"


def test_levels_of_video_are_brought_to_the_full_range() -> None:
    """0.7 is 178 of 255 in full range, 169 in that of video."""
    detector = Detector(onnx_file("yolo"), DetectorConfig("a.onnx"))
    found = [len(detector.boxes(shot(173, full_range=full_range))) for full_range in (True, False)]
    assert found == [0, 1]


@pytest.mark.parametrize(
    ("content", "classes", "sentence"),
    [
        (b"no model", (), "cannot be used: onnxruntime cannot load the file"),
        (onnx_file("yolo", shape=(1, 1, SIDE, SIDE)), (), "a detector takes one picture, tensor(float) [1, 3, height"),
        (onnx_file("yolo", shape=(8, 3, SIDE, SIDE)), (), "takes picture tensor(float) [8, 3, 160, 160]"),
        (onnx_file("picture", kind=TensorProto.UINT8), (), "takes picture tensor(uint8)"),
        (onnx_file("picture", shape=(1, 3, 8, 8)), (), "takes pictures of 8 x 8 pixels; 32 to 4,096 are right"),
        (onnx_file("picture"), (), "gives output0 [1, 3, 160, 160]; a detector gives one output [1, 4 + classes, N]"),
        (onnx_file("yolo", shape=(1, 3, "height", "width")), (), "fails on a picture"),
        (onnx_file("yolo"), (7,), "tells 2 classes apart, 0 to 1; there is no class 7"),
    ],
)
def test_what_is_no_detector_is_refused_at_the_start(content: bytes, classes: tuple[int, ...], sentence: str) -> None:
    """With what it takes or gives, and what would be right."""
    with pytest.raises(Misconfigured) as refused:
        Detector(content, DetectorConfig("mine.onnx", classes=classes))
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("the detector mine.onnx ")


@pytest.mark.parametrize("least_bytes", [0, 512], ids=["all", "large ones"])
def test_weights_outside_of_a_detector_are_refused_where_they_lie(
    least_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the working folder, in which onnxruntime by itself reads them; what the refusal names mends the detector."""
    monkeypatch.chdir(tmp_path)
    whole = onnx.load_model_from_string(onnx_file("three"))
    onnx.save(whole, "mine.onnx", save_as_external_data=True, location="weights.bin", size_threshold=least_bytes)
    content = Path("mine.onnx").read_bytes()
    if least_bytes:
        assert onnxruntime.InferenceSession(content).get_inputs()[0].name == "picture", "negative control"
    with pytest.raises(Misconfigured, match=r"mine\.onnx cannot be used: its .* onnx\.save\(onnx\.load\(FILE\), OUT\)"):
        Detector(content, DetectorConfig("mine.onnx"))
    onnx.save(onnx.load("mine.onnx"), "whole.onnx")
    assert len(Detector(Path("whole.onnx").read_bytes(), DetectorConfig("whole.onnx")).boxes(shot())) == 1


def test_roadside_counts_by_a_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named in the camera's file, beside it, or by an option; of a class that does not count there is none."""
    write_video(tmp_path / "road.mp4", list(road(1)), gop=25)
    onnx.save_model(onnx.load_model_from_string(onnx_file("three")), str(tmp_path / "mine.onnx"))
    (tmp_path / "road.yaml").write_text("detector: {file: mine.onnx, classes: [2]}\n")
    (tmp_path / "none.yaml").write_text("detector: {file: other.onnx, classes: [5]}\n")
    argv = ["roadside", str(tmp_path / "road.mp4"), "--camera", "road", "--dry-run", "--json", str(tmp_path / "o.json")]
    by_option = ["--config", str(tmp_path / "none.yaml"), "--detector", str(tmp_path / "mine.onnx")]
    for more, counted in ((["--config", str(tmp_path / "road.yaml")], {"right": 1}), (by_option, {})):
        with pytest.raises(SystemExit) as ended:
            main([*argv, *more])
        assert ended.value.code == 0, capsys.readouterr().err
        assert json.loads((tmp_path / "o.json").read_text())["by_direction"] == counted
    with pytest.raises(SystemExit) as ended:
        main([*argv, "--config", str(tmp_path / "none.yaml")])
    assert ended.value.code == 2
    assert "other.onnx cannot be read: No such file or directory" in capsys.readouterr().err
    (tmp_path / "none.yaml").write_text("detector: {flie: a.onnx}")
    with pytest.raises(SystemExit):
        main([*argv, "--config", str(tmp_path / "none.yaml")])
    assert "detector is {file: FILE.onnx" in capsys.readouterr().err
