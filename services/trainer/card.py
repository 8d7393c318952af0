"""The model card: what a person reads before trusting it (Mitchell et al., 2019, "Model Cards")."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from catseye.models.model_file import ModelSpec
from services.trainer.folds import Unseen
from services.trainer.score import Score, Share


@dataclass(frozen=True, slots=True)
class Mistake:
    """A test crop of which the model said another class.

    Args:
        picture: Its file, from the card's folder.
        label: Its class.
        predicted: What the model said.
        confidence: With what probability, 0 to 1.
    """

    picture: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Report:
    """What came out of one fit.

    Args:
        spec: What the file says of itself.
        sha256: Of the file.
        file_bytes: Of the file.
        parameter_count: Numbers that were learnt.
        validation: Score on validation, on which the temperature was chosen.
        test: Score on test, which nothing was chosen by.
        parity: Largest difference of a logit between torch and onnxruntime on the test crops.
        cost_ms: Milliseconds a crop on one core in onnxruntime, without decoding, undisturbed by other processes.
        processor: Where that was measured.
        fit_s: Seconds that fitting took.
        unseen: How views fare that a net was not fitted on; None where that was not asked for.
        fold_epochs: Passes of the nets that were asked about them; None where they had as many as the one that is kept.
        test_by_view: View to its score on test.
        mistakes: Test crops of which it said another class.
    """

    spec: ModelSpec
    sha256: str
    file_bytes: int
    parameter_count: int
    validation: Score
    test: Score
    parity: float
    cost_ms: float
    processor: str
    fit_s: float
    unseen: Unseen | None = None
    fold_epochs: int | None = None
    test_by_view: Mapping[int, Score] = field(default_factory=dict)
    mistakes: Sequence[Mistake] = ()


def as_json(report: Report) -> dict[str, Any]:
    """The report as one JSON object; shares are 0 to 1, times in the unit of their name."""
    return {
        "name": report.spec.name,
        "sha256": report.sha256,
        "file_bytes": report.file_bytes,
        "parameters": report.parameter_count,
        "crops": report.spec.trained["crops"],
        "validation": score_as_json(report.validation),
        "test": score_as_json(report.test),
        "temperature": report.spec.temperature,
        "parity": report.parity,
        "cost_ms": report.cost_ms,
        "processor": report.processor,
        "fit_s": report.fit_s,
        "unseen": _unseen_as_json(report.unseen) if report.unseen else None,
        "test_by_view": {str(view): score_as_json(own) for view, own in report.test_by_view.items()},
        "mistakes": [asdict(mistake) for mistake in report.mistakes],
        "trained": dict(report.spec.trained),
    }


def _unseen_as_json(unseen: Unseen) -> dict[str, Any]:
    return {
        "folds": unseen.fold_count,
        "temperature": unseen.temperature,
        "score": score_as_json(unseen.score),
        "by_view": {str(view): score_as_json(own) for view, own in unseen.by_view.items()},
    }


def score_as_json(score: Score) -> dict[str, Any]:
    """A score as one JSON object."""
    return asdict(score) | {
        "accuracy": _share_as_json(score.accuracy),
        "by_class": {name: _share_as_json(share) for name, share in score.by_class.items()},
    }


def as_markdown(report: Report) -> str:
    """The card as Markdown."""
    spec, test = report.spec, report.test
    sections = [
        f"# Model card: {spec.name}",
        f"Says which of {len(spec.classes)} classes a crop shows: {', '.join(spec.classes)}. Right on "
        f"**{_percent(test.accuracy)}** of {test.accuracy.of} crops that nothing about it was chosen by.",
        *_file(report),
        "## Data",
        # The folder's own text, with its headings under ours.
        spec.attribution.replace("\n#", "\n###").removeprefix("# ") or "Nobody is named for these crops.",
        *_split(report),
        *_accuracy(report),
        *_mistakes(report),
        *(_unseen_views(report.unseen, spec.classes, report.fold_epochs) if report.unseen else ()),
        *_sureness(report),
        *_fitting(report),
        "## Limits",
        "It knows only the classes above and says one of them whatever it is shown. It was fitted and tested on crops "
        "from one source; another camera, another light, night or rain can cost accuracy, which is what drift "
        "detection and retraining are for. Neighbouring numbers can show the same object, so the crops are fewer "
        "independent trials than the intervals take them for.",
    ]
    return "\n\n".join(sections) + "\n"


def _file(report: Report) -> list[str]:
    spec = report.spec
    rows = [
        ("sha256", f"`{report.sha256}`"),
        ("size", f"{report.file_bytes / 1e6:.2f} MB, {report.parameter_count:,} parameters"),
        ("input", f"RGB, {spec.width} x {spec.height} (`{spec.resize}`), mean {spec.mean}, std {spec.std}"),
        ("cost", f"{report.cost_ms:.2f} ms a crop in onnxruntime on one core ({report.processor}), undisturbed"),
        ("torch against onnxruntime", f"largest difference of a logit {report.parity:.1g}"),
        ("code", f"sha256 `{spec.trained['code_sha256']}`"),
        ("crops", f"sha256 `{spec.trained['crops_sha256']}`"),
    ]
    return ["## File", _table(("what", "value"), rows)]


def _split(report: Report) -> list[str]:
    return [
        "## Split",
        "By the number in the file name, which is the order of capture, class by class: the first crops for training, "
        "then validation (temperature), the last ones for test.",
        _table(("part", "crops"), [(part, f"{count:,}") for part, count in report.spec.trained["crops"].items()]),
    ]


def _accuracy(report: Report) -> list[str]:
    test, classes = report.test, report.spec.classes
    shares = (*test.by_class.items(), ("**all**", test.accuracy))
    return [
        "## Accuracy on the test crops",
        "Intervals are 95 % after Wilson.",
        _table(
            ("class", "right", "of", "accuracy"),
            [(name, str(share.right), str(share.of), _percent(share)) for name, share in shares],
        ),
        "What it said (columns) of which class (rows):",
        _table(
            ("", *classes),
            [
                (name, *(str(count) if count else "·" for count in row))
                for name, row in zip(classes, test.confusion, strict=True)
            ],
        ),
        *(
            (
                "By view, which is angle and background (clusters that know nothing of the classes); right of all. The "
                "split by number does not keep views apart:",
                _by_view(report.test_by_view, test, classes),
            )
            if report.test_by_view
            else ()
        ),
    ]


def _mistakes(report: Report) -> list[str]:
    rows = [
        (f"![{one.label}]({one.picture})", one.label, one.predicted, f"{one.confidence:.0%}") for one in report.mistakes
    ]
    return ["What it got wrong:", _table(("crop", "class", "predicted", "confidence"), rows)] if rows else []


def _unseen_views(unseen: Unseen, classes: Sequence[str], fold_epochs: int | None) -> list[str]:
    accuracies = [own.accuracy.value for own in unseen.by_view.values()]
    own = [name for name in classes if name in unseen.score.by_class]
    passes = f", with {fold_epochs} passes," if fold_epochs else ","
    return [
        "## Accuracy on views that it did not know",
        f"Grouped cross-validation: {unseen.fold_count} more nets of the same recipe{passes} each fitted without some "
        f"of the views (angle and background, clusters that know nothing of the classes) and asked about those. Right "
        f"on **{_percent(unseen.score.accuracy)}**; the views differ from {min(accuracies):.1%} to "
        f"{max(accuracies):.1%}. Expected calibration error {unseen.score.calibration_error:.3f}. In the table: right "
        "of all.",
        _by_view(unseen.by_view, unseen.score, own),
    ]


def _by_view(by_view: Mapping[int, Score], whole: Score, own: Sequence[str]) -> str:
    return _table(
        ("view", *own, "all"),
        [
            *(
                (str(view), *(_of(found.by_class.get(name)) for name in own), _percent(found.accuracy))
                for view, found in by_view.items()
            ),
            ("**all**", *(_percent(whole.by_class[name]) for name in own), _percent(whole.accuracy)),
        ],
    )


def _of(share: Share | None) -> str:
    return f"{share.right}/{share.of}" if share else "·"


def _sureness(report: Report) -> list[str]:
    test, validation = report.test, report.validation
    return [
        "## Sureness",
        f"Temperature {report.spec.temperature:.3f}, chosen on "
        f"{'views that the net had not seen' if report.unseen else 'validation'}.",
        _table(
            ("part", "calibration error (15 bins), before", "after", "cross entropy, nats", "accuracy"),
            [
                (
                    part,
                    f"{found.calibration_error_raw:.3f}",
                    f"{found.calibration_error:.3f}",
                    f"{found.cross_entropy:.3f}",
                    _percent(found.accuracy),
                )
                for part, found in (("validation", validation), ("test", test))
            ],
        ),
    ]


def _fitting(report: Report) -> list[str]:
    trained = report.spec.trained
    recipe = dict(trained["recipe"])
    augmentation = recipe.pop("augmentation")
    start = trained.get("start_sha256")
    began = f" It went on from the model `{start}`." if start else ""
    if pretrained := trained.get("pretrained"):
        began = (
            f" It began with the ImageNet weights of EfficientNet-lite0, package {pretrained}, of which the first "
            f"{recipe['frozen_modules']} modules of the body stay as they were."
        )
    settings = {**recipe, **augmentation, "seed": trained["seed"], "precision": trained["precision"]}
    return [
        "## Fitting",
        f"{report.fit_s:.0f} s with torch {trained['torch']}.{began}",
        _table(("setting", "value"), [(name.replace("_", " "), str(value)) for name, value in settings.items()]),
    ]


def _percent(share: Share) -> str:
    low, high = share.interval
    return f"{share.value:.1%} ({low:.1%} to {high:.1%})"


def _share_as_json(share: Share) -> dict[str, Any]:
    return {"right": share.right, "of": share.of, "share": share.value, "interval": share.interval}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---" for _ in head], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
