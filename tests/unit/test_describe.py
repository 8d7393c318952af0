"""`catseye models describe`: a file that was made elsewhere serves after one command, which its refusal names."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from catseye.cli import main
from catseye.cli.describe import golden_crops
from catseye.contract.errors import BadModel, Misconfigured
from catseye.models.jpeg import decode_rgb
from catseye.models.metadata import REQUIRED, spec_to_metadata
from catseye.models.net import Net
from catseye.models.onnx_fields import with_metadata
from catseye.models.presets import preset

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "infra" / "example"
CLASSES = ("red", "green", "blue")


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status and what was printed of `catseye models`."""
    with pytest.raises(SystemExit) as ended:
        main(["models", *argv])
    printed = capsys.readouterr()
    return int(str(ended.value.code or 0)), printed.out, printed.err


def foreign(
    *, nhwc: bool = False, batch: int | str = "n", side: int | str = 8, softmax: bool = True, double: bool = False
) -> bytes:
    """A classifier as other people's exporters write them: own names, no metadata; it says the strongest colour."""
    sides: list[Any] = [side, side, 3] if nhwc else [3, side, side]
    axes = [1, 2] if nhwc else [2, 3]
    nodes = [
        helper.make_node("Cast", ["x"], ["own"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["own"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["scores"]),
        helper.make_node("Softmax" if softmax else "Identity", ["scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE if double else TensorProto.FLOAT, [batch, *sides])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32) * 4, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="author", value="somebody")
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Real JPEGs; which colour is the strongest in each is not known."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for picture in sorted((EXAMPLE / "crops" / "truck").glob("*.jpg"))[:20]:
        shutil.copy(picture, folder)
    return folder


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("batch", ["n", 1, 4])
@pytest.mark.parametrize("softmax", [False, True])
def test_a_file_made_elsewhere_serves_after_one_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, crops: Path, nhwc: bool, batch: int | str, softmax: bool
) -> None:
    """Names, axes, batch and kind of output are read off it, and its answers are its own."""
    file, out = tmp_path / "other.onnx", tmp_path / "new.onnx"
    file.write_bytes(foreign(nhwc=nhwc, batch=batch, softmax=softmax))
    argv = ["--classes", ",".join(CLASSES), "--mean", "0.5", "--std", "0.25,0.25,0.25", "--golden", str(crops)]
    status, printed, _ = run(capsys, "describe", str(file), *argv, "-o", str(out), "--json", "-")
    said = json.loads(printed)
    assert (status, said["gives"], said["layout"], said["golden"]) == (
        0,
        "probabilities" if softmax else "logits",
        "NHWC" if nhwc else "NCHW",
        12,
    )
    net = Net(out.read_bytes())
    assert net.spec.batch == (0 if batch == "n" else batch)
    shown = [decode_rgb(picture.read_bytes()) for picture in sorted(crops.iterdir())[:5]]
    means = np.array([(crop.mean(axis=(0, 1)) / 255 - 0.5) / 0.25 for crop in shown]) * 4
    expected = np.exp(means) / np.exp(means).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict(shown).probabilities, expected, atol=0.05)
    kept = {line.key: line.value for line in onnx.load(str(out)).metadata_props}
    assert kept["author"] == "somebody"


def test_one_refusal_names_all_that_is_missing_and_its_command_mends_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, crops: Path
) -> None:
    """What the file says of itself is filled in; with the words in capitals filled in, the file serves."""
    file, out = tmp_path / "my model.onnx", tmp_path / "out.onnx"
    file.write_bytes(foreign())
    frames = crops.parent / "frames" / "blue"
    shutil.copytree(crops, frames)
    status, _, err = run(capsys, "score", str(file), "--frames", str(frames.parent))
    assert status == 1
    assert all(key in err for key in REQUIRED)
    command = err.split("`")[1]
    assert command == (
        f"catseye models describe '{file}' --classes CLASS_0,CLASS_1,CLASS_2 --size 8x8 --mean R,G,B --std R,G,B "
        "--golden DIR -o 'my model.described.onnx'"
    )
    for word, value in {"CLASS_0,CLASS_1,CLASS_2": "red,green,blue", "R,G,B": "0.5", "DIR": str(crops)}.items():
        command = command.replace(word, value)
    argv = shlex.split(command.replace("'my model.described.onnx'", str(out)))[2:]
    assert run(capsys, *argv)[0] == 0
    assert run(capsys, "score", str(out), "--frames", str(frames.parent))[0] == 0


def test_describe_says_all_that_is_missing_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each option that nobody gave and the graph does not say."""
    file = tmp_path / "other.onnx"
    file.write_bytes(foreign(side="s"))
    status, _, err = run(capsys, "describe", str(file))
    assert (status, err) == (
        1,
        "Error: --classes is missing: the names of its 3 classes, in the order of its output. --mean and --std are "
        "missing, or a --preset that knows them. --size is missing: the graph takes any height and width. --golden is "
        "missing: a folder with some real crops, JPEG.\n",
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other.onnx"]


@pytest.mark.parametrize(
    ("content", "argv", "sentence"),
    [
        (foreign(double=True), [], "x must be float32, found tensor(double)"),
        (foreign(), ["--classes", "a,b"], "--classes has 2 names, and the output 'y' gives 3"),
        (foreign(), ["--classes", "a,b,a"], "catseye.classes names a class twice"),
        (foreign(), ["--output", "z"], "--output z is no output of float32 [N, classes]"),
        (foreign(), ["--size", "9"], "x must have the shape [any, 3, 9, 9], found ['n', 3, 8, 8]"),
        (foreign(softmax=False), ["--gives", "probabilities"], "a row does not sum to 1"),
        (foreign(), ["--resize", "center_crop", "--short-side", "7"], "--short-side must be at least 8"),
        (b"no model", [], "onnxruntime cannot load the file"),
    ],
)
def test_what_no_description_mends_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, crops: Path, content: bytes, argv: list[str], sentence: str
) -> None:
    """Before anything is written."""
    file = tmp_path / "other.onnx"
    file.write_bytes(content)
    given = ["--classes", "a,b,c", "--mean", "0", "--std", "1", "--golden", str(crops), *argv]
    status, _, err = run(capsys, "describe", str(file), *given)
    assert (status, sentence in err) == (1, True)
    assert not (tmp_path / "other.described.onnx").exists()


def test_golden_crops_that_cannot_be_used_are_left_out(tmp_path: Path, crops: Path) -> None:
    """One odd file ends no folder; where all are odd the last one is named."""
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "a.jpg").write_bytes(b"no picture")
    (odd / "b.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Misconfigured, match=r"odd/b\.jpg cannot be read: No such file or directory"):
        golden_crops(odd)
    shutil.copytree(odd, crops, symlinks=True, dirs_exist_ok=True)
    assert len(golden_crops(crops)) >= 10


def test_a_wrong_order_of_classes_shows_in_the_golden_crops(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The shipped net with its classes turned round: the folders say otherwise, and so does the command."""
    file = tmp_path / "bare.onnx"
    content = onnx.load(str(EXAMPLE / "vehicles.onnx"))
    del content.metadata_props[:]
    onnx.save(content, str(file))
    own = Net((EXAMPLE / "vehicles.onnx").read_bytes()).spec
    argv = ["--mean", ",".join(map(str, own.mean)), "--std", ",".join(map(str, own.std))]
    argv += ["--golden", str(EXAMPLE / "crops")]
    _, right, _ = run(capsys, "describe", str(file), "--classes", ",".join(own.classes), *argv)
    assert "golden crops: 12; 12 are what their folder is called" in right
    assert "Fewer than half" not in right
    _, wrong, _ = run(capsys, "describe", str(file), "--classes", ",".join(own.classes[::-1]), *argv)
    assert "Fewer than half" in wrong


def test_metadata_replaces_its_own_keys_and_nothing_else() -> None:
    """The graph stays byte for byte, so that the weights that were tested are those that serve."""
    before = foreign()
    after = with_metadata(with_metadata(before, {"a": "1", "b": "ü" * 300}), {"a": "2"})
    model = onnx.load_from_string(after)
    assert {line.key: line.value for line in model.metadata_props} == {"author": "somebody", "a": "2", "b": "ü" * 300}
    assert model.graph == onnx.load_from_string(before).graph


def test_a_usual_model_has_usual_metadata() -> None:
    """What has its default is not written: files come out as they did before there were other ways."""
    spec = Net((EXAMPLE / "vehicles.onnx").read_bytes()).spec
    written = spec_to_metadata(spec)
    assert json.loads(written["catseye.input"]).keys() == {"height", "width", "mean", "std", "resize"}
    assert "catseye.output" not in written


def test_a_file_that_says_another_batch_than_its_graph_is_refused() -> None:
    """A fixed batch is a promise of both."""
    spec = Net((EXAMPLE / "vehicles.onnx").read_bytes()).spec
    shape = {"height": 8, "width": 8, "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "stretch", "name": "x", "batch": 2}
    entries = spec_to_metadata(spec) | {
        "catseye.input": json.dumps(shape),
        "catseye.output": '{"name": "y", "kind": "probabilities"}',
        "catseye.classes": json.dumps(CLASSES),
    }
    with pytest.raises(BadModel, match=r"says that a run has 2 crops, but x is \[1, 3, 8, 8\]"):
        Net(with_metadata(foreign(batch=1), entries | {"catseye.golden": '[{"jpeg": "", "probabilities": [1, 0, 0]}]'}))


@pytest.mark.parametrize(
    ("name", "size", "resize", "short_side"),
    [
        ("torchvision/ResNet50_Weights.IMAGENET1K_V1", 224, "center_crop", 256),
        ("torchvision/ResNet50_Weights.IMAGENET1K_V2", 224, "center_crop", 232),
        ("timm/mobilenetv3_large_100.ra_in1k", 224, "center_crop", 256),
        ("timm/convnext_base.fb_in22k_ft_in1k_384", 384, "stretch", 0),
        ("timm/resnet18.a1_in1k", 224, "center_crop", 235),
    ],
)
def test_a_preset_is_data(name: str, size: int, resize: str, short_side: int) -> None:
    """As torchvision's transforms and timm's configurations say it."""
    found = preset(name)
    assert (found.size, found.resize, found.short_side) == ((size, size), resize, short_side)
    assert found.mean == (0.485, 0.456, 0.406)


def test_a_preset_may_be_timms_own_file(tmp_path: Path) -> None:
    """As it lies beside the weights; what it cannot say is refused."""
    file = tmp_path / "config.json"
    config: dict[str, Any] = {"input_size": [3, 192, 256], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9}
    file.write_text(json.dumps({"pretrained_cfg": config}))
    assert preset(str(file)) == ((192, 256), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "center_crop", 284)
    file.write_text(json.dumps(config | {"crop_mode": "squash"}))
    assert preset(str(file)).resize == "stretch"
    broken: Any
    for broken in ({}, config | {"crop_mode": "border"}, []):
        file.write_text(json.dumps(broken))
        with pytest.raises(Misconfigured, match=r"--preset: .*config\.json"):
            preset(str(file))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision/resnet50", "ResNet50_Weights.IMAGENET1K_V2"),
        ("timm/vit_base_patch16_224", "name one of timm/vit_"),
    ],
)
def test_an_unknown_preset_names_what_is_near(name: str, words: str) -> None:
    """And one whose tags differ names them."""
    with pytest.raises(Misconfigured, match=words):
        preset(name)
