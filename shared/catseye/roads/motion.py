"""What moves in front of a fixed camera: MOG2 (Zivkovic, 2004) over pictures made small and evened out in exposure.

A camera adapts its exposure when a vehicle fills the picture: the whole road gets darker, and all of it would move. So
each picture is first brought to the light of the background by the median of their ratio, which holds while at least
half of the picture is road. What no factor explains (a lamp, a cut) lets the background learn anew.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from catseye.roads.boxes import Box, around

_WIDTH = 320  # of the small picture: a vehicle of a twentieth of the road's width still has 16 pixels
_LEARN_S = 30.0
_RELEARN_S = 0.5
_FIRST_S, _FIRST_PICTURES = 0.4, 5  # the first masks mean nothing
_WARM_S, _WARM_PICTURES = 4.0, 24  # at first the background is the mean of all pictures
_ALL = 0.6  # more than this share of the picture moves only when the light does
_LEAST_AREA = 0.0025
_LEAST_FILL = 0.25
_FOREGROUND = 255
_SOME = slice(1, None, 3)  # of rows and columns: a median needs no more
_BACKGROUND_S = 0.2  # in which the background is as it was: to ask for it costs half as much as all else
_LEAST_LIGHT = 0.55
_EVEN = 0.08
_COLOURLESS = 3.0
_MOVES = 15  # levels from the median
_PASSES = 0.3  # of the time
_DARK = 50.0  # mean of luma
_LAMPS_APART = 6.0  # of their heights: 1.2 m between lamps that shine over 0.2 m
_AS_HIGH, _ABOVE_LAMPS = 0.8, 0.6  # of the width between lamps; of the height

Grey = NDArray[np.uint8]


class Motion:
    """Finds what moves.

    Args:
        least_area: Smallest box, as a share of the picture.
    """

    def __init__(self, least_area: float = _LEAST_AREA) -> None:
        self._least_area = least_area
        self._model = cv2.createBackgroundSubtractorMOG2(history=500, varThreshold=25, detectShadows=True)
        self._seen = 0
        self._began_s = self._at_s = 0.0
        self._relearning_s = 0.0
        self._is_dark = False
        self._background: NDArray[np.uint8] | None = None
        self._background_s = 0.0

    @property
    def is_dark(self) -> bool:
        """Whether the last picture was one of the night."""
        return self._is_dark

    def learn(self, at_s: float, pictures: Sequence[tuple[Grey, Grey, Grey]]) -> None:
        """What the road is when it is empty, of some seconds together, so that what moves from the first picture on is
        found: each pixel's median where it differs from that for a while only, and as it is where it does so often:
        that is noise, or a leaf that sways.

        Args:
            at_s: Time of the first, which comes again through `boxes`.
            pictures: Luma, blue and red difference of each, at least one.
        """
        small = np.stack([_small(*each) for each in pictures])
        empty = np.median(small, axis=0).astype(np.uint8)
        moves = np.stack([cv2.absdiff(each, empty).max(axis=2) > _MOVES for each in small])
        moves &= moves.mean(axis=0) < _PASSES
        for number, picture in enumerate(small, 1):
            picture[moves[number - 1]] = empty[moves[number - 1]]
            self._model.apply(picture, learningRate=1 / number)
        self._seen, self._began_s, self._at_s = _WARM_PICTURES, at_s - _WARM_S, at_s

    def boxes(self, at_s: float, luma: Grey, blue: Grey, red: Grey) -> list[Box]:
        """Boxes of what moves.

        Args:
            at_s: Time of the picture, seconds; pictures come in order.
            luma: Rows by columns.
            blue: Blue difference, of any size.
            red: Red difference.
        """
        picture = _small(luma, blue, red)
        height = picture.shape[0]
        self._is_dark = float(picture[_SOME, _SOME, 0].mean()) < _DARK
        if not self._seen:
            self._began_s = self._at_s = at_s
        passed_s, self._at_s = min(1.0, max(0.0, at_s - self._at_s)), at_s
        age_s = at_s - self._began_s
        self._seen += 1
        if self._seen > 1:
            picture = self._evened(picture, at_s)
        self._relearning_s = max(0.0, self._relearning_s - passed_s)
        pause_s = _RELEARN_S if self._relearning_s else _LEARN_S
        warm = self._seen >= _WARM_PICTURES and age_s >= _WARM_S
        rate = max(0.0 if warm else 1 / self._seen, min(0.5, passed_s / pause_s))
        mask = (self._model.apply(picture, learningRate=rate) == _FOREGROUND).astype(np.uint8)
        if self._seen <= _FIRST_PICTURES or age_s < _FIRST_S:
            return []
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        if cv2.countNonZero(mask) > _ALL * mask.size:
            self._relearning_s = 2 * _RELEARN_S
            return []
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        # A picture of so few pixels has less than 2^16 parts; 32 bits for each take three times as long.
        _, parts, found, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
        filled = [
            Box(left / _WIDTH, top / height, width / _WIDTH, tall / height)
            for number, (left, top, width, tall, area) in enumerate(found.tolist())
            if number
            and area >= _LEAST_FILL * width * tall
            and not self._is_light(picture, parts == number, np.s_[top : top + tall, left : left + width])
        ]
        boxes = lamps_joined(filled, self._least_area, _WIDTH / height) if self._is_dark else filled
        return [box for box in boxes if box.area >= self._least_area]

    def _is_light(self, picture: Grey, part: NDArray[np.bool_], where: tuple[slice, slice]) -> bool:
        """Whether a part differs from the background by one factor and in no colour: the edge of a cloud's shadow, the
        light of a lamp. A vehicle has dark and bright sides."""
        if self._background is None:
            return False
        inside = part[where]
        was, now = (each[where][inside].astype(np.float32) for each in (self._background, picture))
        ratio = (now[:, 0] + 8) / (was[:, 0] + 8)
        mean = float(ratio.mean())
        if not _LEAST_LIGHT < mean < 1 / _LEAST_LIGHT or float(ratio.std()) > _EVEN * mean:
            return False
        return float(np.abs(now[:, 1:] - was[:, 1:]).mean()) < _COLOURLESS

    def _evened(self, picture: Grey, at_s: float) -> Grey:
        """In the light of the background, by the median of some pixels."""
        if self._background is None or not 0 <= at_s - self._background_s < _BACKGROUND_S or self._relearning_s:
            seen = self._model.getBackgroundImage().astype(np.uint8, copy=False)
            self._background, self._background_s = seen, at_s
        was, now = (each[_SOME, _SOME, 0].astype(np.float32) + 8 for each in (self._background, picture))
        ratio = float(np.median(was / now))
        if abs(ratio - 1) < 0.01:
            return picture
        levels = np.clip(np.rint((np.arange(256) + 8) * ratio - 8), 0, 255).astype(np.uint8)
        picture[..., 0] = cv2.LUT(np.ascontiguousarray(picture[..., 0]), levels)
        return picture


def _small(luma: Grey, blue: Grey, red: Grey) -> Grey:
    """Rows by columns by luma and the colour differences."""
    size = _WIDTH, max(16, round(_WIDTH * luma.shape[0] / luma.shape[1]))
    planes = [cv2.resize(_halved(each), size, interpolation=cv2.INTER_AREA) for each in (luma, blue, red)]
    return cv2.merge(planes).astype(np.uint8, copy=False)


def lamps_joined(parts: list[Box], least_area: float, shape: float) -> list[Box]:
    """Boxes with those made one that are a vehicle's in the dark, where little but two lamps is seen of it: a lamp and
    the nearest other part that lies level with it.

    Args:
        parts: What moves.
        least_area: What is smaller is no vehicle, but may be a lamp.
        shape: Width of the picture over its height, pixels.
    """
    lamps = [box.area < least_area for box in parts]
    pairs = sorted(
        (gap, number, place)
        for place, right in enumerate(parts)
        for number, left in enumerate(parts)
        if (lamps[number] or lamps[place])
        and right.left > left.left
        and (gap := right.left - left.right) * shape <= _LAMPS_APART * min(left.height, right.height)
        and min(left.bottom, right.bottom) - max(left.top, right.top) > 0.5 * min(left.height, right.height)
    )
    taken, joined = set[int](), list[Box]()
    for _, number, place in pairs:
        if not taken & {number, place}:
            taken |= {number, place}
            pair = around([parts[number], parts[place]])
            if lamps[number] and lamps[place]:
                high = _AS_HIGH * pair.width * shape
                pair = pair._replace(top=pair.centre[1] - _ABOVE_LAMPS * high, height=high)
            joined.append(pair)
    return [box for number, box in enumerate(parts) if number not in taken] + joined


def _halved(plane: Grey) -> Grey:
    """Made half as large as often as it stays larger than what is wanted: a mean of two by two is many times as fast as
    one of any other number. An odd last row or column is left out."""
    plane = np.ascontiguousarray(plane)
    while plane.shape[1] >= 2 * _WIDTH and plane.shape[0] >= 2:
        wide, high = plane.shape[1] // 2, plane.shape[0] // 2
        even = plane[: 2 * high, : 2 * wide]
        plane = cv2.resize(even, (wide, high), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return plane
