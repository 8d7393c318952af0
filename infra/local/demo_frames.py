"""Whether what a demo is asked to play can be played, found out before anything starts."""

from pathlib import Path

from catseye.contract.errors import BadModel, Misconfigured
from catseye.models.check import check_file
from catseye.models.net import Net
from catseye.ops.classes import unknown_classes
from infra.local.demo_models import CROPS, MODEL
from services.simulator.pictures import Appearance, Pictures


def check_pictures(model: Path, frames: Path | None, after: Path | None) -> None:
    """Read every picture that the simulator will read, and the classes that the model knows.

    Args:
        model: ONNX file.
        frames: One folder of JPEGs a class; None for the example's.
        after: Likewise, what changed cameras show; None where none changes.

    Raises:
        Misconfigured: a folder holds what cannot be played, or a class that the model does not know.
    """
    if model == MODEL and frames is None and after is None:
        return  # both are shipped, and known to fit
    shown = Pictures(frames or CROPS, 0, Appearance())
    check_known(shown.classes, classes_of(model), model)
    if frames is not None:
        shown.load()
    if after is not None:
        later = Pictures(after, 0, Appearance(), "--after")
        later.check_covers(shown.classes)
        later.load()


def check_known(shown: tuple[str, ...], known: tuple[str, ...], model: Path) -> None:
    """Raises `Misconfigured` when a class of *shown* is none of *known*, those of *model*: it could only be wrong."""
    if unknown := unknown_classes(shown, known):
        raise Misconfigured(
            f"--frames: {model.name} {unknown}: name the folders so, or name a model of your classes with --model"
        )


def classes_of(model: Path) -> tuple[str, ...]:
    """Classes of an ONNX file. Raises `Misconfigured` where it is no model."""
    try:
        onnx = model.read_bytes()
        check_file(onnx)
        return Net(onnx).spec.classes
    except (BadModel, OSError) as fault:
        raise Misconfigured(f"--model: {model} cannot be used: {fault}") from fault
