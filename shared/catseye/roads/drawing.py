"""A picture of a road with what an operator said of it, and what is followed there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from catseye.roads.boxes import Box
from catseye.roads.config import Point, RoadConfig

_REGION: Final = (80, 200, 80)
_LINE: Final = (40, 200, 240)
_BOX: Final = (60, 60, 240)
_TRAIL: Final = (240, 160, 40)


def drawn(jpeg: bytes, config: RoadConfig, boxes: Iterable[Box], trails: Mapping[str, Sequence[Point]]) -> bytes:
    """The picture as JPEG: region green, lines yellow with their names, boxes red, the ways of vehicles blue.

    Args:
        jpeg: The whole picture.
        config: Region and lines.
        boxes: Of what moves now.
        trails: Where the centre of each vehicle was, by what is written beside it.
    """
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("the picture is no JPEG")
    height, width = picture.shape[:2]
    thick = max(1, width // 480)

    def at(point: Point) -> tuple[int, int]:
        return round(point[0] * (width - 1)), round(point[1] * (height - 1))

    def write(text: str, point: Point, colour: tuple[int, int, int]) -> None:
        plain = text.encode("ascii", "replace").decode()  # the font has no other characters
        cv2.putText(picture, plain, at(point), cv2.FONT_HERSHEY_SIMPLEX, width / 1_200, colour, thick, cv2.LINE_AA)

    if config.region:
        cv2.polylines(picture, [np.array([at(each) for each in config.region])], True, _REGION, thick)
    for line in config.lines:
        cv2.arrowedLine(picture, at(line.start), at(line.end), _LINE, thick, cv2.LINE_AA, tipLength=0.03)
        write(line.name, line.start, _LINE)
    for text, trail in trails.items():
        cv2.polylines(picture, [np.array([at(each) for each in trail])], False, _TRAIL, thick, cv2.LINE_AA)
        write(text, trail[-1], _TRAIL)
    for box in boxes:
        cv2.rectangle(picture, at((box.left, box.top)), at((box.right, box.bottom)), _BOX, thick)
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1])
