"""One short fit from a folder to a file that the serving side takes. Runs in the trainer's environment (torch)."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner

from catseye import model
from catseye.jpeg import decode_rgb
from services.trainer.__main__ import main
from services.trainer.data import read_folder

EXAMPLE = Path(__file__).parents[2] / "infra" / "example" / "crops"
CROPS_A_CLASS = 20


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty crops of each class."""
    root = tmp_path_factory.mktemp("crops") / "road"
    folder = read_folder(EXAMPLE)
    for place, name in enumerate(folder.classes):
        (root / name).mkdir(parents=True)
        for crop in [crop for crop in folder.crops if crop.class_index == place][:CROPS_A_CLASS]:
            shutil.copy(crop.path, root / name)
    shutil.copy(EXAMPLE / "ATTRIBUTION.md", root)
    return root


def run_fit(frames: Path, out: Path, *options: str) -> dict[str, Any]:
    """Fit for one epoch and read the report."""
    report = out.with_suffix(".json")
    arguments = ["fit", "--frames", str(frames), "--out", str(out), "--json", str(report), "--epochs", "1", *options]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def fitted(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A model file and its report."""
    out = tmp_path_factory.mktemp("models") / "road.onnx"
    return out, run_fit(frames, out, "--validation-share", "0.2", "--test-share", "0.2")


def test_the_file_keeps_the_contract(fitted: tuple[Path, dict[str, Any]], frames: Path) -> None:
    """Metadata, shapes and golden crops pass on the serving side, which has no torch."""
    out, report = fitted
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    spec = model.spec_from_metadata(session.get_modelmeta().custom_metadata_map)
    assert (spec.name, spec.classes) == ("road", read_folder(frames).classes)
    assert spec.attribution == (frames / "ATTRIBUTION.md").read_text(encoding="utf-8").strip()
    assert (spec.trained["crops"], report["crops"]) == ({"train": 72, "validation": 24, "test": 24},) * 2
    outputs = model.check_graph(spec, session.get_inputs(), session.get_outputs())
    assert outputs == ("logits", "features", "activation_maps")
    inputs = model.to_input([decode_rgb(crop.jpeg) for crop in spec.golden], spec)
    logits, features, maps = session.run(list(outputs), {"image": inputs})
    assert model.check_golden(spec, model.probabilities(logits, spec.temperature)) < 1e-4
    assert (len(spec.golden), features.ndim, maps.shape[:2]) == (6, 2, (6, 6))


def test_maps_add_up_to_the_logits(fitted: tuple[Path, dict[str, Any]]) -> None:
    """The mean over all places and the class's bias are the logit: the maps explain all of it and nothing else."""
    session = onnxruntime.InferenceSession(fitted[0], providers=["CPUExecutionProvider"])
    inputs = np.random.default_rng(0).standard_normal((3, 3, 100, 100), dtype=np.float32)
    logits, maps = session.run(["logits", "activation_maps"], {"image": inputs})
    rest = logits - maps.mean(axis=(2, 3))
    np.testing.assert_allclose(rest, np.broadcast_to(rest[0], rest.shape), atol=1e-4)


def test_one_file_in_plain_operators(fitted: tuple[Path, dict[str, Any]]) -> None:
    """No data beside it, no custom operators, the fixed opset, nothing unfinished left over."""
    graph = onnx.load(fitted[0], load_external_data=False)
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]
    assert {tensor.data_location for tensor in graph.graph.initializer} == {onnx.TensorProto.DEFAULT}
    assert sorted(path.name for path in fitted[0].parent.iterdir()) == ["road.json", "road.md", "road.onnx"]


def test_the_card_and_the_report_agree(fitted: tuple[Path, dict[str, Any]]) -> None:
    """Both name the same file."""
    out, report = fitted
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    assert report["sha256"] in card
    assert f"**{report['test']['accuracy']['share']:.1%} (" in card


def test_a_seed_gives_the_same_net_again(fitted: tuple[Path, dict[str, Any]], frames: Path, tmp_path: Path) -> None:
    """Bit for bit on the same machine."""
    again = tmp_path / "road.onnx"
    run_fit(frames, again, "--validation-share", "0.2", "--test-share", "0.2")
    inputs = np.random.default_rng(0).standard_normal((2, 3, 100, 100), dtype=np.float32)
    first, second = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["logits"], {"image": inputs})[0]
        for path in (fitted[0], again)
    )
    np.testing.assert_array_equal(first, second)
