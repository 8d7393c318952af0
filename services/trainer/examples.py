"""Crops from folders that stand beside the road's frames: some are replayed, some are the frozen golden set."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import Misconfigured
from catseye.models.model_file import STRETCH, ModelSpec
from services.trainer.data import Crop, Folder, Part, decode, fingerprint, read_folder

NO_CROPS = Part((), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Examples:
    """Decoded crops.

    Args:
        train: Those that are replayed.
        golden: Those that nothing is ever trained on.
        train_sha256: Hash of names and bytes; None where there are none.
        golden_sha256: The same of the golden set.
    """

    train: Part
    golden: Part
    train_sha256: str | None
    golden_sha256: str | None


def read_examples(examples: Path | None, golden: Path | None, golden_share: float, spec: ModelSpec) -> Examples:
    """Read what there is; with a golden folder of its own, all examples are replayed.

    Args:
        examples: One folder a class; None for none.
        golden: The same; None takes the last of the examples, by number.
        golden_share: Share of each class of the examples that is golden then, 0 to 1.
        spec: The model whose classes they must be of.

    Raises:
        Misconfigured: a folder is none, or of other classes, or holds what is no picture.
    """
    train, own = _read(examples, 0.0 if golden is not None else golden_share, spec)
    if golden is not None:
        _, own = _read(golden, 1.0, spec)
    return Examples(train[0], own[0], train[1], own[1])


def shrink(image: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """A crop that is larger than the net's input, made as small: it is kept in memory for the whole training."""
    if spec.resize != STRETCH or image.shape[0] <= spec.height or image.shape[1] <= spec.width:
        return image
    return np.asarray(cv2.resize(image, (spec.width, spec.height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _read(path: Path | None, golden_share: float, spec: ModelSpec) -> list[tuple[Part, str | None]]:
    """The first crops of each class, and the last ones, each with its hash."""
    if path is None:
        return [(NO_CROPS, None), (NO_CROPS, None)]
    folder = read_folder(path)
    if unknown := sorted(set(folder.classes) - set(spec.classes)):
        raise Misconfigured(f"{path} holds classes that model {spec.name} has not: {', '.join(unknown)}")
    first: list[Crop] = []
    last: list[Crop] = []
    for place in range(len(folder.classes)):
        own = [crop for crop in folder.crops if crop.class_index == place]
        cut = len(own) - round(len(own) * golden_share)
        first += own[:cut]
        last += own[cut:]
    return [_decoded(folder, crops, spec) for crops in (first, last)]


def _decoded(folder: Folder, crops: list[Crop], spec: ModelSpec) -> tuple[Part, str | None]:
    if not crops:
        return NO_CROPS, None
    part = decode(crops, lambda: None)
    places = [spec.classes.index(name) for name in folder.classes]
    labels = np.array([places[label] for label in part.labels], dtype=np.int64)
    return Part(tuple(shrink(image, spec) for image in part.images), labels), fingerprint(folder, crops)
