"""A small picture of a frame, for people. Pure."""

from typing import Any

import cv2

from catseye.models.jpeg import decode_rgb, inspect

SIDE = 112  # pixels of the longer side
_QUALITY = 80


def thumbnail(jpeg: bytes) -> bytes:
    """A JPEG of a few kilobytes: whatever its sender wrote beside the pixels is left behind.

    Raises:
        BadRecord: ingest would refuse the frame.
    """
    inspect(jpeg)
    rgb: Any = decode_rgb(jpeg)
    rows, columns = rgb.shape[:2]
    scale = min(1.0, SIDE / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA) if scale < 1 else rgb
    return bytes(cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
