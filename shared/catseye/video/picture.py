"""One decoded picture: planes of luma and chroma, and what is made of them."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
QUALITY = 92

_LEVELS = np.arange(256)
_LUMA = np.clip(np.rint((_LEVELS - 16) * 255 / 219), 0, 255).astype(np.uint8)
_CHROMA = np.clip(np.rint((_LEVELS - 128) * 255 / 224 + 128), 0, 255).astype(np.uint8)
# Luma and colour differences of BT.709 to those of BT.601, which JPEG has; both in full range (ITU-R BT.2087 by way
# of red, green and blue).
_FROM_709 = np.array([[1.0, 0.101579, 0.196076], [0.0, 0.989854, -0.110653], [0.0, -0.072453, 0.983398]])


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, upright. Its planes lie in shared memory: they hold until the next picture is asked for.

    Args:
        luma: Rows by columns.
        blue: Blue difference, half as many rows and columns, rounded up.
        red: Red difference, the same.
        full_range: Luma goes from 0 to 255, not from 16 to 235.
        bt709: The colours are those of BT.709, not BT.601.
        at_s: Seconds since the first picture of this opening; they never go back.
        captured_at_ms: When it was taken, Unix milliseconds: of a live stream by its own clock, otherwise now.
    """

    luma: Plane
    blue: Plane
    red: Plane
    full_range: bool
    bt709: bool
    at_s: float
    captured_at_ms: int

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.luma.shape[0])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.luma.shape[1])

    def smaller(self, width: int) -> "Picture":
        """The picture in at most *width* pixels across, of memory of its own."""
        wide = min(width, self.width) // 2 * 2
        high = max(2, round(self.height * wide / self.width) // 2 * 2)
        luma, blue, red = (
            cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
            for plane, size in (
                (self.luma, (wide, high)),
                (self.blue, (wide // 2, high // 2)),
                (self.red, (wide // 2, high // 2)),
            )
        )
        return replace(self, luma=luma, blue=blue, red=red)

    def jpeg(self, box: tuple[int, int, int, int] | None = None, *, quality: int = QUALITY) -> bytes:
        """The picture, or a part of it, as JPEG with chroma as coarse as in the video.

        Args:
            box: Left, top, width and height in pixels; left and top are taken down to even numbers. None: the whole.
            quality: From 1 to 100.
        """
        left, top, width, height = (0, 0, self.width, self.height) if box is None else box
        right, bottom, left, top = left + width, top + height, left - left % 2, top - top % 2
        luma = self.luma[top:bottom, left:right]
        blue, red = (each[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] for each in (self.blue, self.red))
        if not self.full_range:
            luma, blue, red = _mapped(luma, _LUMA), _mapped(blue, _CHROMA), _mapped(red, _CHROMA)
        if self.bt709:
            luma, blue, red = _as_bt601(luma, blue, red)
        planes = [np.ascontiguousarray(each) for each in (luma, blue, red)]
        return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=quality))


def _mapped(plane: Plane, table: Plane) -> Plane:
    return cv2.LUT(np.ascontiguousarray(plane), table).astype(np.uint8, copy=False)


def _as_bt601(luma: Plane, blue: Plane, red: Plane) -> tuple[Plane, Plane, Plane]:
    """Full range in, full range out."""
    coarse = cv2.merge([np.full_like(blue, 128), blue, red]).astype(np.float32) - 128
    turned = cv2.transform(coarse, _FROM_709)  # what chroma adds to luma, and the new chroma
    height, width = luma.shape
    added = np.repeat(np.repeat(turned[..., 0], 2, axis=0), 2, axis=1)[:height, :width]
    return (
        np.clip(np.rint(luma + added), 0, 255).astype(np.uint8),
        np.clip(np.rint(turned[..., 1] + 128), 0, 255).astype(np.uint8),
        np.clip(np.rint(turned[..., 2] + 128), 0, 255).astype(np.uint8),
    )
