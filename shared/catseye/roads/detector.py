"""Vehicles by a detector of one's own, where motion fails: an ONNX file in one of the usual layouts of exports.

The file takes one picture, float [3, height, width] or [1, 3, height, width], red, green and blue from 0 to 1. It gives

- one output [1, 4 + classes, N]: centre across and down, width and height in its pixels, then a score a class;
- or three outputs `boxes` [N, 4] (left, top, right, bottom in pixels), `scores` [N] and `labels` [N], each with or
  without a 1 before.

Pictures keep their shape: what is left beside them is grey. Boxes that cover each other by more than half are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel, Misconfigured
from catseye.onnx_files import FAULTS, session_of
from catseye.roads.boxes import Box

if TYPE_CHECKING:
    from catseye.roads.config import DetectorConfig
    from catseye.roads.road import Planes

_USUAL: Final = 640  # height and width, where the file takes any
_GREY: Final = 114 / 255
_COVERS: Final = 0.5
_LAYOUTS: Final = "one output [1, 4 + classes, N], or three called boxes, scores and labels"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class _Placed:
    """How a picture lies in the input: pixels of the input a pixel of its, and what is left of and above it."""

    scale: float
    left: int
    top: int


class Detector:
    """Finds vehicles in one picture after the other.

    Args:
        content: The ONNX file.
        config: Name, for sentences, and what counts.

    Raises:
        Misconfigured: the file cannot be loaded, or takes or gives something else than a detector does.
    """

    def __init__(self, content: bytes, config: DetectorConfig) -> None:
        self._config = config
        try:
            self._session = session_of(content)
        except BadModel as fault:
            raise self._wrong(f"cannot be used: {fault}") from fault
        self._name, self._shape = self._input()
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._check()

    def boxes(self, picture: Planes) -> list[Box]:
        """Of vehicles, shares of the picture."""
        given, placed = self._given(picture)
        pixels, scores, classes = self._found(self._run(given))
        wanted = scores >= self._config.confidence
        if self._config.classes:
            wanted &= np.isin(classes, self._config.classes)
        pixels, scores = pixels[wanted], scores[wanted]
        high, wide = picture.luma.shape
        corners = (
            (pixels - (placed.left, placed.top, placed.left, placed.top)) / placed.scale / (wide, high, wide, high)
        )
        found = []
        for number in _best(pixels, scores, self._config.confidence):
            left, top, right, bottom = (float(each) for each in corners[number])
            if right > left and bottom > top and (box := Box(left, top, right - left, bottom - top).inside()):
                found.append(box)
        return found

    def _input(self) -> tuple[str, tuple[int, ...]]:
        """Its name and shape. Raises `Misconfigured`."""
        takes = self._session.get_inputs()
        shown = ", ".join(f"{each.name} {each.type} {each.shape}" for each in takes)
        shape = takes[0].shape if len(takes) == 1 and takes[0].type == "tensor(float)" else []
        *before, channels, high, wide = shape if len(shape) in {3, 4} else (0, 0, 0)
        # What is no number may be any.
        if channels != 3 or (before and isinstance(before[0], int) and before[0] != 1):
            raise self._wrong(f"takes {shown}; a detector takes one picture, tensor(float) [1, 3, height, width]")
        high, wide = (each if isinstance(each, int) else _USUAL for each in (high, wide))
        if not (32 <= high <= 4_096 and 32 <= wide <= 4_096):
            raise self._wrong(f"takes pictures of {wide} x {high} pixels; 32 to 4,096 are right")
        return takes[0].name, (*([1] if before else []), 3, high, wide)

    def _check(self) -> None:
        """Whether an empty picture gives what a detector gives. Raises `Misconfigured`."""
        classes = self._of_classes(self._run(np.full(self._shape, _GREY, np.float32)))
        unknown = [each for each in self._config.classes if classes is not None and each >= classes]
        if unknown:
            raise self._wrong(
                f"tells {classes} classes apart, 0 to {(classes or 0) - 1}; there is no class {unknown[0]}"
            )

    def _run(self, given: Floats) -> dict[str, Any]:
        try:
            found = self._session.run(self._outputs, {self._name: given})
        except FAULTS as fault:
            raise self._wrong(f"fails on a picture: {' '.join(str(fault).split())[:300]}") from fault
        return dict(zip(self._outputs, (np.asarray(each) for each in found), strict=True))

    def _of_classes(self, found: dict[str, Any]) -> int | None:
        """How many classes there are; None where outputs do not tell. Raises `Misconfigured`."""
        shown = ", ".join(f"{name} {[*each.shape]}" for name, each in found.items())
        if {"boxes", "scores", "labels"} <= found.keys():
            shapes = {name: _without_batch(found[name], 2 if name == "boxes" else 1) for name in found}
            many = len(shapes["scores"])
            if shapes["boxes"].shape != (many, 4) or any(
                shapes[name].shape != (many,) for name in ("scores", "labels")
            ):
                raise self._wrong(f"gives {shown}; boxes are [N, 4], scores and labels [N]")
            return None
        only = next(iter(found.values()))
        if len(found) != 1 or only.ndim != 3 or only.shape[0] != 1 or only.shape[1] < 5:
            raise self._wrong(f"gives {shown}; a detector gives {_LAYOUTS}")
        if only.shape[1] > only.shape[2] > 4:
            raise self._wrong(f"gives {shown}; it seems to be [1, N, 4 + classes], turned over against {_LAYOUTS}")
        return int(only.shape[1]) - 4

    def _found(self, found: dict[str, Any]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Corners in pixels of the input, scores, classes."""
        if "boxes" in found:
            boxes = _without_batch(found["boxes"], 2).astype(np.float32)
            scores, labels = (_without_batch(found[name], 1) for name in ("scores", "labels"))
            return boxes, scores.astype(np.float32), labels.astype(np.int64)
        rows = next(iter(found.values()))[0].T.astype(np.float32)
        middle, half, classes = rows[:, :2], rows[:, 2:4] / 2, rows[:, 4:]
        return np.hstack([middle - half, middle + half]), classes.max(axis=1), classes.argmax(axis=1).astype(np.int64)

    def _given(self, picture: Planes) -> tuple[Floats, _Placed]:
        """A picture as the file takes it."""
        high, wide = self._shape[-2:]
        tall, across = picture.luma.shape
        scale = min(high / tall, wide / across)
        size = max(1, round(across * scale)), max(1, round(tall * scale))
        rgb = _rgb(picture, size)
        given = np.full(self._shape, _GREY, np.float32)
        left, top = (wide - size[0]) // 2, (high - size[1]) // 2
        given[..., top : top + size[1], left : left + size[0]] = rgb.transpose(2, 0, 1)
        return given, _Placed(scale, left, top)

    def _wrong(self, what: str) -> Misconfigured:
        return Misconfigured(f"the detector {self._config.file} {what}")


def _rgb(picture: Planes, size: tuple[int, int]) -> Floats:
    """From 0 to 1, in so many columns and rows."""
    planes = [
        cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for plane in (picture.luma, picture.blue, picture.red)
    ]
    full = getattr(picture, "full_range", True)
    luma = planes[0] / 255 if full else (planes[0] - 16) / 219
    blue, red = ((each - 128) / (255 if full else 224) for each in planes[1:])
    of_red, of_blue = (0.2126, 0.0722) if getattr(picture, "bt709", False) else (0.299, 0.114)  # BT.709, BT.601
    reds, blues = luma + 2 * (1 - of_red) * red, luma + 2 * (1 - of_blue) * blue
    greens = (luma - of_red * reds - of_blue * blues) / (1 - of_red - of_blue)
    return np.clip(np.dstack([reds, greens, blues]), 0, 1).astype(np.float32)


def _best(corners: Floats, scores: Floats, confidence: float) -> list[int]:
    """Numbers of boxes, of those that cover each other the one with the best score."""
    sizes = np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), confidence, _COVERS)
    return [int(number) for number in np.asarray(kept).ravel()]


def _without_batch(found: Any, dimensions: int) -> Any:
    return found[0] if found.ndim == dimensions + 1 and found.shape[0] == 1 else found
