"""Crops in folders, one folder a class, and their split by the order in which they were captured.

A road camera sees one vehicle in many frames in a row. A split at random puts neighbours on both sides and
measures memory instead of sight; so the last numbers of each class are the test, those before them validation.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.names import class_of_folder
from catseye.models.jpeg import decode_rgb, inspect

ATTRIBUTION_FILE = "ATTRIBUTION.md"

_JPEG_SUFFIXES = frozenset({".jpg", ".jpeg"})
_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_FEWEST_IN_A_PART = 2


@dataclass(frozen=True, slots=True)
class Crop:
    """One labelled crop.

    Args:
        path: Its JPEG.
        class_index: Place of its class among the classes.
        number: Place in the order of capture: the last number in the file name.
    """

    path: Path
    class_index: int
    number: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What one folder of frames holds: classes by name, crops by class and number."""

    name: str
    classes: tuple[str, ...]
    crops: tuple[Crop, ...]
    attribution: str


@dataclass(frozen=True, slots=True)
class Split:
    """Crops of one folder in three parts, in each of which every class occurs."""

    train: tuple[Crop, ...]
    validation: tuple[Crop, ...]
    test: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Decoded crops with their labels.

    Args:
        images: RGB, uint8 [h, w, 3] each.
        labels: Class indices, int64 [N].
    """

    images: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64]


def taken(part: Part, chosen: NDArray[np.bool_]) -> Part:
    """The crops of *part* that are *chosen*, bool [N]."""
    return Part(tuple(image for image, own in zip(part.images, chosen, strict=True) if own), part.labels[chosen])


def at(part: Part, places: NDArray[np.int64]) -> Part:
    """The crops of *part* at *places*, int64 [M], as often as they are named."""
    return Part(tuple(part.images[place] for place in places), part.labels[places])


def joined(one: Part, other: Part) -> Part:
    """The crops of both."""
    return Part(one.images + other.images, np.concatenate([one.labels, other.labels]))


def batches(places: NDArray[np.int64], size: int = 64) -> list[NDArray[np.int64]]:
    """*places*, *size* at a time."""
    return [places[start : start + size] for start in range(0, len(places), size)]


def read_folder(frames: Path) -> Folder:
    """List the crops in *frames*: one folder of JPEGs a class, numbered in the order of capture.

    Raises:
        Misconfigured: No such folder, fewer than two classes, or a JPEG without a number in its name.
    """
    if not frames.is_dir():
        raise Misconfigured(f"--frames: there is no folder {frames}.")
    folders = sorted(path for path in frames.iterdir() if path.is_dir() and not path.name.startswith("."))
    listed: dict[str, list[Path]] = {}
    for folder in folders:
        if paths := _jpegs(folder):
            listed.setdefault(class_of_folder(folder.name), []).extend(paths)
    classes = tuple(listed)
    if len(classes) < 2:
        raise Misconfigured(
            f"--frames: {frames} must hold one folder of JPEGs for each of at least two classes, "
            f"found {len(classes)} with JPEGs in it."
        )
    crops = [
        Crop(path, class_index, _number(path)) for class_index, name in enumerate(classes) for path in listed[name]
    ]
    crops.sort(key=lambda crop: (crop.class_index, crop.number, crop.path.name))
    attribution = frames / ATTRIBUTION_FILE
    return Folder(
        name=frames.resolve().name,
        classes=classes,
        crops=tuple(crops),
        attribution=attribution.read_text(encoding="utf-8").strip() if attribution.is_file() else "",
    )


def split_by_number(folder: Folder, *, validation_share: float, test_share: float) -> Split:
    """Part each class by number: first train, then validation, the last ones test.

    Args:
        validation_share: Share of all crops of a class, over 0 and under 1.
        test_share: Share of all crops of a class, over 0; both together under 1.

    Raises:
        Misconfigured: A class has too few crops for all three parts.
    """
    parts: tuple[list[Crop], list[Crop], list[Crop]] = ([], [], [])
    for class_index, name in enumerate(folder.classes):
        crops = [crop for crop in folder.crops if crop.class_index == class_index]
        test_from = len(crops) - round(len(crops) * test_share)
        validation_from = test_from - round(len(crops) * validation_share)
        pieces = (crops[:validation_from], crops[validation_from:test_from], crops[test_from:])
        if min(len(piece) for piece in pieces) < _FEWEST_IN_A_PART:
            raise Misconfigured(
                f"--frames: class {name!r} has {len(crops)} crops, too few for training, validation and test: "
                f"they would get {', '.join(str(len(piece)) for piece in pieces)}."
            )
        for part, piece in zip(parts, pieces, strict=True):
            part.extend(piece)
    train, validation, test = parts
    return Split(tuple(train), tuple(validation), tuple(test))


def decode(crops: Sequence[Crop], on_crop: Callable[[], None]) -> Part:
    """Read and decode *crops*; *on_crop* is called after each one.

    Raises:
        Misconfigured: A JPEG cannot be read; the sentence names it.
    """
    images = []
    for crop in crops:
        try:
            jpeg = crop.path.read_bytes()
            inspect(jpeg)
            images.append(decode_rgb(jpeg))
        except BadRecord as fault:
            raise Misconfigured(f"--frames: {crop.path} cannot be decoded: {fault.detail}") from fault
        on_crop()
    return Part(tuple(images), np.array([crop.class_index for crop in crops], dtype=np.int64))


def fingerprint(folder: Folder, crops: Sequence[Crop]) -> str:
    """sha256 over classes, names and bytes of *crops*: the same crops have the same one, wherever they lie."""
    total = hashlib.sha256()
    for crop in crops:
        own = hashlib.sha256(crop.path.read_bytes()).hexdigest()
        total.update(f"{folder.classes[crop.class_index]}/{crop.path.name} {own}\n".encode())
    return total.hexdigest()


def _jpegs(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _JPEG_SUFFIXES and path.is_file()]


def _number(path: Path) -> int:
    found = _LAST_NUMBER.search(path.stem)
    if found is None:
        raise Misconfigured(f"--frames: {path} has no number in its name, so its place in time is unknown.")
    return int(found.group(1))
