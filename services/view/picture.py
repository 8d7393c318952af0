"""A picture as a page shows it: small enough that 500 fit in memory and on a screen."""

from typing import Final

import cv2
import numpy as np
import simplejpeg

from catseye.models.jpeg import decode_rgb

WIDTH_MOST: Final = 320
BYTES_MOST: Final = 12_288
_QUALITIES: Final = (70, 45, 25, 10)


def picture_of(jpeg: bytes) -> bytes:
    """*jpeg*, or a copy of at most `WIDTH_MOST` pixels a side where it is over `BYTES_MOST`, which no copy is: of a
    picture full of detail (leaves, rain, noise) it is a coarser one, in the end of a quarter of the side.

    Ingest has decoded the picture before, so it can be decoded.
    """
    if len(jpeg) <= BYTES_MOST:
        return jpeg
    rgb = decode_rgb(jpeg)
    height, width = rgb.shape[:2]
    share = WIDTH_MOST / max(width, height)
    if share < 1:
        size = max(1, round(width * share)), max(1, round(height * share))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    for quality in _QUALITIES:
        small: bytes = simplejpeg.encode_jpeg(rgb, quality=quality)
        if len(small) <= BYTES_MOST:
            return small
    size = max(1, rgb.shape[1] // 4), max(1, rgb.shape[0] // 4)
    tiny = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return bytes(simplejpeg.encode_jpeg(tiny, quality=_QUALITIES[0]))
