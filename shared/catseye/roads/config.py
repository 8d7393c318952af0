"""What an operator says of one camera's road: where vehicles are, what they cross, how large they are. Checked here,
with a sentence for each mistake. Pure: `catseye.cli.roadside` reads the file.

::

    region: [[0.1, 1.0], [0.4, 0.3], [0.6, 0.3], [0.9, 1.0]]   # of the road, as shares of the picture
    lines:
      - {name: northbound, from: [0.2, 0.6], to: [0.8, 0.6]}
    sizes:                                                     # the smallest vehicle, at two heights of the picture
      - {at: 0.3, length: 0.04}
      - {at: 1.0, length: 0.15}
    views: 3              # pictures of a vehicle, at most
    view_every_s: 5       # seconds between two pictures of the whole view
    pictures_per_s: 12.5  # of a faster camera only so many are inspected
    detector:             # instead of motion; see catseye.roads.detector
      file: vehicles.onnx # beside this file
      confidence: 0.4     # a smaller score is none
      classes: [2, 5, 7]  # numbers of those that count; left out, all
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.names import name_of
from catseye.roads.boxes import Box

Point = tuple[float, float]
INSPECTED_PER_S: Final = 12.5
"""To inspect a picture costs as much as to decode it, and of 25 a second every other one is enough. Tracks are judged
by seconds, so a camera that gives only 6 is counted too."""
_KEYS: Final = ("region", "lines", "sizes", "views", "view_every_s", "pictures_per_s", "detector")


class Line(NamedTuple):
    """A counting line.

    Attributes:
        name: Its own.
        start: Across and down, shares of the picture.
        end: The same.
    """

    name: str
    start: Point
    end: Point

    def is_crossed(self, before: Point, after: Point) -> bool:
        """Whether something that moved from *before* to *after* crossed it."""
        return (
            _side(self.start, self.end, before) != _side(self.start, self.end, after)
            and _side(before, after, self.start) != _side(before, after, self.end)
            and before != after
        )


class Size(NamedTuple):
    """The smallest vehicle at a height of the picture.

    Attributes:
        at: Of the box's lower edge, share of the picture from above.
        length: Longer side of its box, share of the picture.
    """

    at: float
    length: float


@dataclass(frozen=True)
class DetectorConfig:
    """A detector of one's own.

    Attributes:
        file: Path of its ONNX file.
        confidence: Smallest score that counts, over 0 to 1.
        classes: Numbers of the classes that count; empty for all.
    """

    file: str
    confidence: float = 0.4
    classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class RoadConfig:
    """One camera's road.

    Attributes:
        region: Corners of the road; empty for all of the picture.
        lines: Counting lines.
        sizes: None, or two.
        views: Most pictures of a vehicle, 1 to 10.
        view_every_s: Seconds between two pictures of the whole view; 0 sends none.
        pictures_per_s: Pictures of a second that are inspected, at most; more are decoded and no more.
        detector: What finds vehicles; None for motion.
    """

    region: tuple[Point, ...] = ()
    lines: tuple[Line, ...] = ()
    sizes: tuple[Size, ...] = ()
    views: int = 3
    view_every_s: float = 5.0
    pictures_per_s: float = INSPECTED_PER_S
    detector: DetectorConfig | None = None

    def has(self, box: Box) -> bool:
        """Whether *box* may be a vehicle: on the road, and not too small for where it is."""
        if self.sizes:
            near, far = self.sizes
            share = (box.bottom - near.at) / (far.at - near.at)
            if box.length < near.length + min(1.0, max(0.0, share)) * (far.length - near.length):
                return False
        return not self.region or _is_within(self.region, (box.left + box.width / 2, box.top + 0.75 * box.height))


def parsed(content: object, file: str) -> RoadConfig:
    """Check what stands in a file.

    Args:
        content: As YAML has it.
        file: Its name, for sentences.

    Raises:
        Misconfigured: the first mistake.
    """
    if content is None:
        return RoadConfig()
    if not isinstance(content, Mapping):
        raise Misconfigured(f"{file} holds no keys such as `region:` and `lines:`")
    for key in content:
        if key not in _KEYS:
            near = get_close_matches(str(key), _KEYS, 1)
            raise Misconfigured(
                f"{file}: there is no key {key!r}; {f'is it {near[0]}?' if near else 'keys are ' + ', '.join(_KEYS)}"
            )
    return RoadConfig(
        region=_region(content.get("region"), file),
        lines=_lines(content.get("lines"), file),
        sizes=_sizes(content.get("sizes"), file),
        views=int(_number(content.get("views", 3), f"{file}: views", 1, 10)),
        view_every_s=_number(content.get("view_every_s", 5.0), f"{file}: view_every_s", 0, 3_600),
        pictures_per_s=_number(content.get("pictures_per_s", INSPECTED_PER_S), f"{file}: pictures_per_s", 1, 240),
        detector=_detector(content.get("detector"), file),
    )


def _region(found: object, file: str) -> tuple[Point, ...]:
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) < 3:
        raise Misconfigured(f"{file}: region is a list of at least three corners, [[x, y], [x, y], [x, y]]")
    corners = tuple(_point(each, f"{file}: corner {number} of region") for number, each in enumerate(found, 1))
    if abs(_area(corners)) < 1e-4:
        raise Misconfigured(f"{file}: region has no area: its corners lie on one line")
    return corners


def _lines(found: object, file: str) -> tuple[Line, ...]:
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise Misconfigured(f"{file}: lines is a list of {{name: …, from: [x, y], to: [x, y]}}")
    lines: list[Line] = []
    for number, each in enumerate(found, 1):
        what = f"{file}: line {number}"
        if not isinstance(each, Mapping) or each.keys() != {"name", "from", "to"}:
            raise Misconfigured(f"{what} is {{name: …, from: [x, y], to: [x, y]}}, with these three keys")
        try:
            name = name_of("line", str(each["name"]))
        except BadRecord as fault:
            raise Misconfigured(f"{what}: {fault.detail}") from fault
        line = Line(name, _point(each["from"], f"{what}, from"), _point(each["to"], f"{what}, to"))
        if math.dist(line.start, line.end) < 0.01:
            raise Misconfigured(f"{what} ({name}) has no length")
        if name in (other.name for other in lines):
            raise Misconfigured(f"{file}: two lines are called {name}")
        lines.append(line)
    return tuple(lines)


def _sizes(found: object, file: str) -> tuple[Size, ...]:
    if found is None:
        return ()
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != 2:
        raise Misconfigured(f"{file}: sizes is a list of two, {{at: y, length: share}}")
    sizes = []
    for number, each in enumerate(found, 1):
        what = f"{file}: size {number}"
        if not isinstance(each, Mapping) or each.keys() != {"at", "length"}:
            raise Misconfigured(f"{what} is {{at: y, length: share}}, with these two keys")
        at = _number(each["at"], f"{what}, at", 0, 1)
        sizes.append(Size(at, _number(each["length"], f"{what}, length", 0, 1)))
    if sizes[0].at == sizes[1].at:
        raise Misconfigured(f"{file}: both sizes are at {sizes[0].at}; they are at two heights")
    return tuple(sizes)


def _detector(found: object, file: str) -> DetectorConfig | None:
    if found is None:
        return None
    keys = ("file", "confidence", "classes")
    if not isinstance(found, Mapping) or not isinstance(found.get("file"), str) or not set(found) <= set(keys):
        raise Misconfigured(
            f"{file}: detector is {{file: FILE.onnx, confidence: 0.4, classes: [2, 5]}}; the file must be"
        )
    classes = found.get("classes", [])
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        raise Misconfigured(f"{file}: detector, classes is a list of numbers, [2, 5, 7]; it is {classes!r:.50}")
    numbers = tuple(_number(each, f"{file}: detector, classes: each", 0, 100_000) for each in classes)
    confidence = _number(found.get("confidence", 0.4), f"{file}: detector, confidence", 0.01, 1)
    return DetectorConfig(found["file"], confidence, tuple(int(each) for each in numbers))


def _point(found: Any, what: str) -> Point:
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != 2:
        raise Misconfigured(f"{what} is [x, y], shares of the picture from 0 to 1; it is {found!r:.50}")
    return _number(found[0], f"{what}, x", 0, 1), _number(found[1], f"{what}, y", 0, 1)


def _number(found: Any, what: str, least: float, most: float) -> float:
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not least <= found <= most:
        pixels = "; shares of the picture, not pixels" if most == 1 else ""
        raise Misconfigured(f"{what} is a number from {least:g} to {most:g}{pixels}; it is {found!r:.50}")
    return float(found)


def _side(start: Point, end: Point, point: Point) -> bool:
    across, down = end[0] - start[0], end[1] - start[1]
    return across * (point[1] - start[1]) - down * (point[0] - start[0]) > 0


def _area(corners: Sequence[Point]) -> float:
    pairs = zip(corners, [*corners[1:], corners[0]], strict=True)
    return sum(one[0] * other[1] - other[0] * one[1] for one, other in pairs) / 2


def _is_within(corners: Sequence[Point], point: Point) -> bool:
    """Even and odd: how many edges a ray to the right crosses."""
    inside, (x, y) = False, point
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1):
            inside = not inside
    return inside
