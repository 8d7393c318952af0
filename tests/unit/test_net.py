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
from onnx import TensorProto, helper, numpy_helper

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


def with_graph(onnx_file: bytes, nodes: list[onnx.NodeProto], **constants: int | list[int]) -> bytes:
    """The tiny model with other nodes between its pooled colours and `weights`."""
    model = onnx.load_from_string(onnx_file)
    first, _, last = model.graph.node
    del model.graph.node[:]
    model.graph.node.extend([first, *nodes, last])
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()
    )
    content: bytes = model.SerializeToString()
    return content


def test_a_net_that_mixes_its_batch_is_refused(tiny: bytes) -> None:
    """A mean over all crops is right for a crop alone, and says for each what the others look like."""
    mixes = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[0]),
        helper.make_node("Sub", ["flat", "mean"], ["own"]),
        helper.make_node("Add", ["own", "mean"], ["whole"]),
        helper.make_node("Add", ["whole", "own"], ["features"]),
    ]
    with pytest.raises(BadModel, match="golden"):
        Net(with_graph(tiny, [*mixes[:2], helper.make_node("Add", ["flat", "mean"], ["features"])]))
    with pytest.raises(BadModel, match=r"between a batch of 2 and the crop alone.*net\.eval\(\)"):
        Net(with_graph(tiny, mixes))


def test_a_net_for_one_crop_is_refused(tiny: bytes) -> None:
    """The ends of the graph promise any number; in the middle stands the example's one."""
    one = [helper.make_node("Reshape", ["pooled", "shape"], ["features"])]
    with pytest.raises(BadModel, match="must leave the number of crops free"):
        Net(with_graph(tiny, one, shape=[1, 3]))
    first_row = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gather", ["flat", "row"], ["features"], axis=0),
    ]
    with pytest.raises(BadModel, match="must leave the number of crops free"):
        Net(with_graph(tiny, first_row, row=[0]))


def test_the_largest_batch_of_a_service_is_tried(tiny: bytes) -> None:
    """A net that works for up to three crops fails for more than that."""
    few = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Slice", ["flat", "start", "stop", "axis"], ["features"]),
    ]
    content = with_graph(tiny, few, start=[0], stop=[3], axis=[0])
    assert Net(content, micro_batch=3).spec.classes == CLASSES
    with pytest.raises(BadModel, match="for 16 crops"):
        Net(content)


def test_weights_outside_of_the_file_are_refused_wherever_it_is_loaded(
    tiny: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder in which they lie too, since nobody signed them; what the refusal names mends the model."""
    monkeypatch.chdir(tmp_path)
    onnx.save(
        onnx.load_from_string(tiny), "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert Path("weights.bin").exists()
    with pytest.raises(BadModel, match=r"onnx\.save\(onnx\.load\(FILE\), OUT\)"):
        Net(Path("model.onnx").read_bytes())
    onnx.save(onnx.load("model.onnx"), "whole.onnx")
    assert Net(Path("whole.onnx").read_bytes()).spec.classes == CLASSES


def test_a_net_that_answers_for_one_crop_alone_is_refused(tiny: bytes) -> None:
    """Which rows it keeps is known only when it runs, so that no shape tells."""
    rows = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "second"], ["planes"], axis=0),
        helper.make_node("Sub", ["planes", "two"], ["one"]),
        helper.make_node("Slice", ["flat", "zero", "one", "zero"], ["features"]),
    ]
    with pytest.raises(BadModel, match=r"\[1, 3\] for 2 crops.*their number is fixed"):
        Net(with_graph(tiny, rows, second=[1], two=[2], zero=[0]))


def test_a_net_that_has_no_number_for_a_crop_in_company_is_refused(tiny: bytes) -> None:
    """Every row but the first is the root of a negative number; a net that has none for such a crop alone is let be."""
    row = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Shape", ["flat"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"], axis=0),
        helper.make_node("Range", ["zero", "rows", "one"], ["row"]),
        helper.make_node("Cast", ["row"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["number", "axis"], ["column"]),
        helper.make_node("Neg", ["column"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["nothing"]),
        helper.make_node("Add", ["flat", "nothing"], ["features"]),
    ]
    with pytest.raises(BadModel, match="differs by inf between a batch of 2 and the crop alone"):
        Net(with_graph(tiny, row, zero=0, one=1, axis=[1]))
    dark = [
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Sqrt", ["flat"], ["root"]),
        helper.make_node("Mul", ["root", "root"], ["features"]),
    ]
    light = tiny_model(CLASSES, encode(np.full((40, 50, 3), 250, np.uint8)))
    assert Net(with_graph(light, dark)).spec.classes == CLASSES


def test_a_net_in_training_mode_is_refused_and_one_in_evaluation_mode_is_not(tiny: bytes) -> None:
    """Batch normalisation as torch exports it before and after `net.eval()`, which the refusal names; golden answers
    are the file's own, as `catseye models describe` writes them."""

    def normalised(*, training: bool) -> bytes:
        norm = helper.make_node(
            "BatchNormalization",
            ["flat", "scale", "shift", "mean", "variance"],
            ["features", "next_mean", "next_variance"] if training else ["features"],
            training_mode=int(training),
            epsilon=1e-7,
        )
        model = onnx.load_from_string(with_graph(tiny, [helper.make_node("Flatten", ["pooled"], ["flat"]), norm]))
        model.graph.initializer.extend(
            numpy_helper.from_array(np.full(3, value, np.float32), name)
            for name, value in {"scale": 1, "shift": 0, "mean": 0, "variance": 1}.items()
        )
        content: bytes = model.SerializeToString()
        return content

    alike = [1 / len(CLASSES)] * len(CLASSES)  # of a crop that is its own mean
    golden = json.dumps([{"jpeg": base64.b64encode(CROP).decode(), "probabilities": alike}])
    with pytest.raises(BadModel, match=r"and the crop alone.*net\.eval\(\)"):
        Net(changed(normalised(training=True), "catseye.golden", golden))
    assert Net(normalised(training=False)).spec.classes == CLASSES
