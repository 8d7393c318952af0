"""One camera's road: pictures in, vehicles out, each once, with its best views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from catseye.roads.boxes import Box
from catseye.roads.config import Line, Point, RoadConfig
from catseye.roads.motion import Grey, Motion
from catseye.roads.tracks import Track, Tracks

WHOLE = RoadConfig()
"""All of the picture."""
HOLD_S = 4.0
"""So long pictures are held at first, to know the empty road before what moves is looked for."""
_MOST_HELD = 64  # of a camera that gives many in that time
_APART_S = 0.4
_BETTER = 1.15
_EDGE = 0.01
_MARGIN = 0.08  # of the vehicle's size, around it: what a model of vehicles was shown


class Planes(Protocol):
    """What is needed of a `catseye.video.picture.Picture`."""

    @property
    def luma(self) -> Grey: ...
    @property
    def blue(self) -> Grey: ...
    @property
    def red(self) -> Grey: ...
    @property
    def at_s(self) -> float: ...
    @property
    def captured_at_ms(self) -> int: ...


class Finder(Protocol):
    """Finds vehicles in place of motion: a `catseye.roads.detector.Detector`."""

    def boxes(self, picture: Planes) -> list[Box]: ...


class View(NamedTuple):
    """One picture of a vehicle.

    Attributes:
        at_s: When, on the clock of the stream.
        captured_at_ms: When, Unix milliseconds.
        box: Where in the picture.
        score: Larger is better: larger, whole, by itself.
        jpeg: The crop.
    """

    at_s: float
    captured_at_ms: int
    box: Box
    score: float
    jpeg: bytes


class Vehicle(NamedTuple):
    """Something that has driven by.

    Attributes:
        track: How it was followed.
        line: Name of the first counting line that it crossed; None for none.
        first_seen_ms: Unix milliseconds.
        last_seen_ms: Unix milliseconds.
        views: Best first; at least one.
    """

    track: Track
    line: str | None
    first_seen_ms: int
    last_seen_ms: int
    views: list[View]


class Road:
    """Follows what moves through a camera's pictures.

    Args:
        crop: Makes a JPEG of a part of the picture at hand.
        config: What is known of the road.
        detector: Finds vehicles; None for motion, which learns the empty road of the first seconds before it finds
            anything in them.
        keep: Makes a picture that holds for some seconds.
    """

    def __init__(
        self,
        crop: Callable[[Planes, Box], bytes],
        config: RoadConfig = WHOLE,
        detector: Finder | None = None,
        *,
        keep: Callable[[Planes], Planes] = lambda picture: picture,
    ) -> None:
        self._keep = keep
        self._held: list[tuple[Planes, int]] | None = [] if detector is None else None
        self._detector = detector
        self._crop = crop
        self._config = config
        self._places: dict[int, Point] = {}
        self._crossed: dict[int, Line] = {}
        self._motion = Motion()
        self._tracks = Tracks()
        self._views: dict[int, list[View]] = {}
        self._last_ms = 0
        self._last_s = 0.0
        self.pictures = 0
        self.by_direction: Counter[str] = Counter()

    def take(self, picture: Planes, number: int | None = None) -> list[Vehicle]:
        """Vehicles that have gone by the time of this picture; of the first seconds all at once.

        Args:
            number: Of the picture in its source, by which tracks tell theirs; by default those taken are counted.
        """
        number = self.pictures if number is None else number
        self.pictures += 1
        if self._held is None:
            return self._followed(picture, number)
        self._held.append((self._keep(picture), number))
        is_long = picture.at_s - self._held[0][0].at_s >= HOLD_S or len(self._held) >= _MOST_HELD
        return self._played() if is_long else []

    def _played(self) -> list[Vehicle]:
        """The same of the pictures that were held."""
        held, self._held = self._held or [], None
        if held:
            self._motion.learn(held[0][0].at_s, [(each.luma, each.blue, each.red) for each, _ in held])
        return [vehicle for picture, number in held for vehicle in self._followed(picture, number)]

    def _followed(self, picture: Planes, number: int) -> list[Vehicle]:
        at_s = picture.at_s
        self._last_ms, self._last_s = picture.captured_at_ms, at_s
        if self._detector is not None:
            found = self._detector.boxes(picture)
        else:
            found = self._motion.boxes(at_s, picture.luma, picture.blue, picture.red)
        boxes = [box for box in found if self._config.has(box)]
        ended = self._tracks.take(boxes, at_s, number, dark=self._motion.is_dark)
        for track in self._tracks.now:
            if track.last_picture == number:
                self._cross(track)
                self._keep_view(track, picture)
        return self._gone(ended)

    def end(self) -> list[Vehicle]:
        """Those that were still there when the stream ended."""
        return self._played() + self._gone(self._tracks.end())

    @property
    def now(self) -> list[Track]:
        """What is followed now."""
        return self._tracks.now

    def _cross(self, track: Track) -> None:
        """Note the first line that it crosses."""
        place = track.box.centre
        before = self._places.get(track.number, place)
        self._places[track.number] = place
        for line in self._config.lines:
            if line.is_crossed(before, place):
                self._crossed.setdefault(track.number, line)

    def _keep_view(self, track: Track, picture: Planes) -> None:
        """Keep this view of it if it is among its best."""
        score = track.box.area * (1.0 if track.box.is_whole(_EDGE) else 0.25)
        kept = self._views.setdefault(track.number, [])
        rivals = [view for view in kept if picture.at_s - view.at_s < _APART_S]
        if not rivals and len(kept) == self._config.views:
            rivals = [min(kept, key=lambda view: view.score)]
        if any(score < _BETTER * view.score for view in rivals):
            return
        for view in rivals:
            kept.remove(view)
        wide, high = _MARGIN * track.box.width, _MARGIN * track.box.height
        grown = Box(
            track.box.left - wide, track.box.top - high, track.box.width + 2 * wide, track.box.height + 2 * high
        ).inside()
        if grown is not None:
            kept.append(View(picture.at_s, picture.captured_at_ms, grown, score, self._crop(picture, grown)))

    def _gone(self, ended: list[Track]) -> list[Vehicle]:
        found = []
        for track in ended:
            views = self._views.pop(track.number, [])
            line = self._crossed.pop(track.number, None)
            self._places.pop(track.number, None)
            if track.drives and views:
                self.by_direction[track.direction] += 1
                best = sorted(views, key=lambda view: -view.score)
                name = line.name if line is not None else None
                found.append(Vehicle(track, name, self._ms(track.first_s), self._ms(track.last_s), best))
        return found

    def _ms(self, at_s: float) -> int:
        return self._last_ms - round(1_000 * (self._last_s - at_s))
