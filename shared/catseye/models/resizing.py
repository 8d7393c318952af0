"""How a crop of any size becomes what a net takes. Pure.

Smaller is made by averaging over areas, larger by straight lines between pixels; what already has the size is taken as
it is. Other libraries have other filters, so a net sees nearly, not exactly, what it saw in training; the golden crops
of a file come out as this code makes them.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.models.spec import Resize


def resized(
    crop: NDArray[np.uint8], height: int, width: int, mode: Resize = "stretch", *, short_side: int = 0, fill: int = 0
) -> NDArray[np.uint8]:
    """A crop in the size of the net's input.

    Args:
        crop: uint8 [h, w, 3].
        height: Pixels.
        width: Pixels.
        mode: stretch: both sides to the size, the aspect ratio is not kept. center_crop: the shorter side to
            *short_side*, then the middle is cut out, as torchvision and timm do. letterbox: the whole crop in the
            middle, as large as it fits, with bars of one grey level.
        short_side: Pixels, of center_crop: at least *height* and *width*; 0 is just so large that the crop covers both.
        fill: Grey level of the bars of letterbox, 0 to 255.

    Returns:
        uint8 [*height*, *width*, 3].
    """
    rows, columns = crop.shape[:2]
    if mode == "stretch":
        return _to(crop, height, width)
    if mode == "letterbox":
        scale = min(height / rows, width / columns)
        inner = _to(crop, _at_least_1(rows * scale, height), _at_least_1(columns * scale, width))
        top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
        boxed = np.full((height, width, 3), fill, np.uint8)
        boxed[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        return boxed
    if short_side:
        outer = _to(crop, *_in_proportion(rows, columns, short_side, rows <= columns))
    else:
        outer = _to(crop, *_covering(rows, columns, height, width))
    # As torchvision rounds it.
    top, left = round((outer.shape[0] - height) / 2), round((outer.shape[1] - width) / 2)
    return outer[top : top + height, left : left + width]


def _in_proportion(rows: int, columns: int, side: int, of_rows: bool) -> tuple[int, int]:
    """Height and width where one side, that of rows or of columns, is *side*; the other is cut to whole pixels."""
    return (side, side * columns // rows) if of_rows else (side * rows // columns, side)


def _covering(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """The smallest height and width in proportion that cover both."""
    found = _in_proportion(rows, columns, *((height, True) if height * columns >= width * rows else (width, False)))
    return max(height, found[0]), max(width, found[1])


def _at_least_1(side: float, most: int) -> int:
    return min(most, max(1, round(side)))


def _to(crop: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if crop.shape[:2] == (height, width):
        return crop
    smaller = crop.shape[0] >= height and crop.shape[1] >= width
    found: Any = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)
