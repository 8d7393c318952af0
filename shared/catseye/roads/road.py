"""One camera's road: pictures in, vehicles out, each once, with its best views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from catseye.roads.boxes import Box
from catseye.roads.motion import Grey, Motion
from catseye.roads.tracks import Track, Tracks

_VIEWS = 3
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
        first_seen_ms: Unix milliseconds.
        last_seen_ms: Unix milliseconds.
        views: Best first; at least one.
    """

    track: Track
    first_seen_ms: int
    last_seen_ms: int
    views: list[View]


class Road:
    """Follows what moves through a camera's pictures.

    Args:
        crop: Makes a JPEG of a part of the picture at hand.
        views: Most views of a vehicle.
    """

    def __init__(self, crop: Callable[[Planes, Box], bytes], *, views: int = _VIEWS) -> None:
        self._crop = crop
        self._most = views
        self._motion = Motion()
        self._tracks = Tracks()
        self._views: dict[int, list[View]] = {}
        self._last_ms = 0
        self._last_s = 0.0
        self.pictures = 0
        self.by_direction: Counter[str] = Counter()

    def take(self, picture: Planes) -> list[Vehicle]:
        """Vehicles that have gone by the time of this picture."""
        at_s = picture.at_s
        self._last_ms, self._last_s = picture.captured_at_ms, at_s
        boxes = self._motion.boxes(at_s, picture.luma, picture.blue, picture.red)
        ended = self._tracks.take(boxes, at_s, self.pictures)
        for track in self._tracks.now:
            if track.last_picture == self.pictures:
                self._look(track, picture)
        self.pictures += 1
        return self._gone(ended)

    def end(self) -> list[Vehicle]:
        """Those that were still there when the stream ended."""
        return self._gone(self._tracks.end())

    def _look(self, track: Track, picture: Planes) -> None:
        """Keep this view of it if it is among its best."""
        score = track.box.area * (1.0 if track.box.is_whole(_EDGE) else 0.25)
        kept = self._views.setdefault(track.number, [])
        rivals = [view for view in kept if picture.at_s - view.at_s < _APART_S]
        if not rivals and len(kept) == self._most:
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
            if track.drives and views:
                self.by_direction[track.direction] += 1
                best = sorted(views, key=lambda view: -view.score)
                found.append(Vehicle(track, self._ms(track.first_s), self._ms(track.last_s), best))
        return found

    def _ms(self, at_s: float) -> int:
        return self._last_ms - round(1_000 * (self._last_s - at_s))
