"""`catseye.models.net`: a model file runs when it keeps its contract, and harms nobody when it does not."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from catseye.contract.errors import BadModel
from catseye.models import net
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import FEATURES
from catseye.models.net import EMBEDDING_SIZE, Net, projection
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import bad_frames, encode, scene

CROP = encode(scene(40, 50))
CLASSES = ("bike", "car", "truck")
PROJECTION_OF_3 = ["-+-++----+---++-", "-+-+--+--+-+-++-", "+-++++++++-+--++"]
EXAMPLE = Path(net.__file__).resolve().parents[3] / "infra" / "example" / "vehicles.onnx"


@pytest.fixture(scope="module")
def tiny() -> bytes:
    """A sound file."""
    return tiny_model(CLASSES, CROP)


def left_behind(home: Path, program: str) -> list[str]:
    """Names of the files in the home of somebody who has run *program*."""
    home.mkdir()
    paths = os.pathsep.join(sys.path)
    own = {"HOME": str(home), "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", program], env=own, check=True, timeout=60)
    return sorted(path.name for path in home.rglob("*") if path.is_file())


def test_onnxruntime_notifies_nobody(tmp_path: Path) -> None:
    """By itself it makes an id of the machine and a queue of what it sends."""
    alone = f"import onnxruntime; onnxruntime.InferenceSession({str(EXAMPLE)!r})"
    assert "deviceid" in left_behind(tmp_path / "alone", alone)
    for first in ("catseye.models.net", "services.trainer"):
        assert left_behind(tmp_path / first, f"import {first}; {alone}") == []


def changed(onnx_file: bytes, key: str, value: str) -> bytes:
    """The same file with another line of metadata."""
    model = onnx.load_from_string(onnx_file)
    for line in model.metadata_props:
        if line.key == key:
            line.value = value
    content: bytes = model.SerializeToString()
    return content


def test_crops_of_any_size_are_classified_together(tiny: bytes) -> None:
    """Probabilities of each row sum to 1; a crop's answer does not depend on its neighbours."""
    loaded = Net(tiny)
    crops = [scene(40, 50), scene(120, 30, seed=1), scene(32, 32, seed=2)]
    answer = loaded.predict(crops)
    assert answer.probabilities.shape == (3, len(CLASSES))
    assert answer.probabilities.sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    alone = [loaded.predict([crop]) for crop in crops]
    assert answer.probabilities == pytest.approx(np.vstack([each.probabilities for each in alone]), abs=1e-6)
    assert answer.embedding == pytest.approx(np.vstack([each.embedding for each in alone]), abs=1e-6)
    assert answer.maps is None


def test_the_shipped_model_gives_all_three() -> None:
    """Probabilities, 16 numbers and a map a class."""
    loaded = Net(EXAMPLE.read_bytes(), threads=2)
    answer = loaded.predict([decode_rgb(CROP)])
    classes = len(loaded.spec.classes)
    assert (answer.probabilities.shape, answer.embedding.shape) == ((1, classes), (1, EMBEDDING_SIZE))
    assert answer.maps is not None
    assert answer.maps.shape[:2] == (1, classes)


def test_a_net_without_features_has_no_embedding(tiny: bytes) -> None:
    """[N, 0]: drift then looks at the other signals alone."""
    model = onnx.load_from_string(tiny)
    (features,) = [port for port in model.graph.output if port.name == FEATURES]
    model.graph.output.remove(features)
    assert Net(model.SerializeToString()).predict([scene()] * 2).embedding.shape == (2, 0)


def test_the_projection_is_the_same_everywhere() -> None:
    """Signs over the root of the size, pinned: drift compares embeddings of different machines and years."""
    matrix = projection(3)
    assert np.abs(matrix) == pytest.approx(np.full((3, EMBEDDING_SIZE), 1 / np.sqrt(3)))
    assert ["".join("+" if value > 0 else "-" for value in row) for row in matrix] == PROJECTION_OF_3
    assert projection(5)[:3] * np.sqrt(5) == pytest.approx(matrix * np.sqrt(3))


def test_the_projection_keeps_distances() -> None:
    """What Johnson and Lindenstrauss promise, roughly: the mean squared length stays."""
    features = np.random.default_rng(0).normal(size=(500, 400)).astype(np.float32)
    squared = ((features @ projection(400)) ** 2).sum(axis=1).mean()
    assert squared == pytest.approx(EMBEDDING_SIZE, rel=0.2)


@pytest.mark.parametrize("content", [b"", b"not ONNX", b"\x08\x07" + bytes(100)])
def test_what_is_not_onnx_is_refused(content: bytes) -> None:
    """By name of the fault, not by a crash."""
    with pytest.raises(BadModel, match="cannot load"):
        Net(content)


def test_a_file_without_the_contract_is_refused() -> None:
    """ONNX alone does not say what its classes are."""
    port = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [port],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(BadModel, match=r"catseye\."):
        Net(model.SerializeToString())


def test_a_file_whose_golden_crops_come_out_differently_is_refused(tiny: bytes) -> None:
    """Another temperature is another model."""
    with pytest.raises(BadModel, match="golden"):
        Net(changed(tiny, "catseye.temperature", "9.0"))


def test_a_golden_crop_that_is_no_jpeg_is_the_models_fault(tiny: bytes) -> None:
    """`BadModel`, as for every other breach: no caller of a net expects a bad record."""
    (line,) = [line.value for line in onnx.load_from_string(tiny).metadata_props if line.key == "catseye.golden"]
    golden = json.loads(line)
    key = next(key for key, value in golden[0].items() if isinstance(value, str))
    golden[0][key] = base64.b64encode(bad_frames()[0].jpeg).decode()
    with pytest.raises(BadModel, match="golden"):
        Net(changed(tiny, "catseye.golden", json.dumps(golden)))
