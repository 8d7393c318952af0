"""Boxes, as shares of the picture, so that nothing depends on its size."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle.

    Attributes:
        left: From 0 to 1.
        top: From 0 to 1.
        width: Over 0.
        height: Over 0.
    """

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """From 0 to 1."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """From 0 to 1."""
        return self.top + self.height

    @property
    def centre(self) -> tuple[float, float]:
        """Across and down."""
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def area(self) -> float:
        """Share of the picture."""
        return self.width * self.height

    @property
    def length(self) -> float:
        """Longer side."""
        return max(self.width, self.height)

    def shared(self, other: Box) -> float:
        """Area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def overlap(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        shared = self.shared(other)
        return shared / (self.area + other.area - shared)

    def distance(self, other: Box) -> float:
        """Between the centres."""
        return math.dist(self.centre, other.centre)

    def is_whole(self, margin: float) -> bool:
        """Whether it lies in the picture with so much room to each side."""
        return min(self.left, self.top, 1 - self.right, 1 - self.bottom) >= margin

    def within(self, other: Box) -> Box:
        """Moved no further than it must be to lie within *other*; in its middle where it is larger."""
        left, top = (
            max(low, min(at, low + room - size)) if size <= room else low + (room - size) / 2
            for at, size, low, room in (
                (self.left, self.width, other.left, other.width),
                (self.top, self.height, other.top, other.height),
            )
        )
        return self._replace(left=left, top=top)

    def inside(self) -> Box | None:
        """What of it lies in the picture; None where nothing does."""
        left, top = max(0.0, self.left), max(0.0, self.top)
        width, height = min(1.0, self.right) - left, min(1.0, self.bottom) - top
        return Box(left, top, width, height) if width > 0 and height > 0 else None


def around(boxes: Iterable[Box]) -> Box:
    """The smallest box that holds all of at least one."""
    all_ = [*boxes]
    left, top = min(each.left for each in all_), min(each.top for each in all_)
    return Box(left, top, max(each.right for each in all_) - left, max(each.bottom for each in all_) - top)
