"""Follows boxes from picture to picture, after SORT (Bewley et al., 2016): constant velocity, the best overlap first.

Motion breaks one vehicle into pieces and melts two that pass each other into one. Pieces within the box where a track
is expected are one; a box that holds two expected ones is neither, and both go on as they were until they part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from catseye.roads.boxes import Box, around

_KEEP_S = 1.2  # one that is hidden for a second is the same afterwards
_LEAST_OVERLAP = 0.1
_WITHIN = 0.6
_FOLLOWS_SPEED = 0.5
_FOLLOWS_SIZE = 0.5
_LEAST_HITS = 4
_MOVED_LENGTHS = 1.0
_PART_OF = 0.6
_CLOSE = 0.25
_ALIKE = 0.6
_LAMPS = 2.0
_AT_ONCE_S = 0.6


@dataclass
class Together:
    """What two tracks did while both were seen.

    Attributes:
        pictures: How many.
        close: In how many of them one was close before or behind the other.
        speed: Sum of the older one's speeds, across and down.
        apart: Sum of the differences of their speeds.
    """

    pictures: int = 0
    close: int = 0
    speed: tuple[float, float] = (0.0, 0.0)
    apart: tuple[float, float] = (0.0, 0.0)

    @property
    def is_one(self) -> bool:
        """Whether they are parts of one vehicle: close, and as fast on average."""
        close = self.close >= max(_LEAST_HITS, _PART_OF * self.pictures)
        return close and math.hypot(*self.apart) < _ALIKE * math.hypot(*self.speed)


@dataclass
class Track:
    """One thing that moves.

    Attributes:
        number: From 1 up.
        first_s: Time of its first picture.
        last_s: Time of the last in which it was seen.
        first_picture: Number of its first picture.
        last_picture: Number of the last in which it was seen.
        box: Where it was last.
        hits: Pictures in which it was seen by itself.
        together: Of older tracks, by number, how the two went.
    """

    number: int
    first_s: float
    last_s: float
    first_picture: int
    last_picture: int
    box: Box
    hits: int = 1
    together: dict[int, Together] = field(default_factory=dict)
    _first: Box = field(init=False)
    _lengths: list[float] = field(default_factory=list)
    _speed: tuple[float, float] = (0.0, 0.0)
    _at_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._first, self._at_s = self.box, self.first_s
        self._lengths.append(self.box.length)

    def expected(self, at_s: float) -> Box:
        """Where it should be."""
        passed_s = at_s - self._at_s
        return self.box._replace(
            left=self.box.left + passed_s * self._speed[0], top=self.box.top + passed_s * self._speed[1]
        )

    def seen(self, box: Box, at_s: float, picture: int) -> None:
        """It is here, by itself."""
        passed_s = max(1e-3, at_s - self._at_s)
        # By the edges: where a vehicle enters or leaves the picture its centre stands still and its box grows.
        moved = tuple(
            _moved(before, after, size_before, size_after)
            for before, after, size_before, size_after in (
                (self.box.left, box.left, self.box.width, box.width),
                (self.box.top, box.top, self.box.height, box.height),
            )
        )
        share = 1.0 if self.hits == 1 else _FOLLOWS_SPEED
        self._speed = (
            self._speed[0] + share * (moved[0] / passed_s - self._speed[0]),
            self._speed[1] + share * (moved[1] / passed_s - self._speed[1]),
        )
        self.box, self._at_s, self.last_s, self.last_picture = box, at_s, at_s, picture
        self.hits += 1
        self._lengths.append(box.length)

    def passed(self, at_s: float) -> None:
        """It is among others, where it was expected."""
        self.box, self._at_s, self.last_s = self.expected(at_s), at_s, at_s

    def compare(self, other: Track, *, dark: bool) -> None:
        """Both were seen in this picture; *other* is older. In the *dark* little but lamps is seen of a vehicle."""
        common = self.together.setdefault(other.number, Together())
        common.pictures += 1
        common.close += self._is_close(other) or (dark and self._is_lamp_beside(other))
        common.speed = common.speed[0] + other._speed[0], common.speed[1] + other._speed[1]
        common.apart = (
            common.apart[0] + self._speed[0] - other._speed[0],
            common.apart[1] + self._speed[1] - other._speed[1],
        )

    def _is_close(self, other: Track) -> bool:
        """Whether it is close before or behind *other*, and no further to the side."""
        across, down = other._speed
        mine, its = self.box, other.box
        gap = max(mine.left - its.right, its.left - mine.right, mine.top - its.bottom, its.top - mine.bottom)
        if abs(down) > abs(across):
            beside = min(mine.right, its.right) - max(mine.left, its.left) > _WITHIN * mine.width
        else:
            beside = min(mine.bottom, its.bottom) - max(mine.top, its.top) > _WITHIN * mine.height
        return beside and gap < _CLOSE * its.length

    def _is_lamp_beside(self, other: Track) -> bool:
        """Whether both came at once, and no further apart than lamps of one vehicle are, or lit parts of it."""
        mine, its = self.box, other.box
        reach = _LAMPS * max(mine.length, its.length)
        gap = max(mine.left - its.right, its.left - mine.right, mine.top - its.bottom, its.top - mine.bottom)
        level = min(mine.bottom, its.bottom) - max(mine.top, its.top) > 0.5 * min(mine.height, its.height)
        return level and gap < reach and self.first_s - other.first_s < _AT_ONCE_S

    @property
    def way(self) -> tuple[float, float]:
        """From where it was first to where it was last, across and down, as shares of the picture."""
        (left, top), (right, bottom) = self._first.centre, self.box.centre
        return right - left, bottom - top

    @property
    def direction(self) -> str:
        """Where it goes: left, right, up or down."""
        across, down = self.way
        if abs(across) > abs(down):
            return "right" if across > 0 else "left"
        return "down" if down > 0 else "up"

    @property
    def drives(self) -> bool:
        """Whether it was seen often enough, went further than it is long, and is no part of another: leaves, lamps and
        parked cars are none, and motion breaks one vehicle into two where its roof has the colour of the road.
        """
        length = sorted(self._lengths)[len(self._lengths) // 2]
        across, down = self.way
        if any(common.is_one for common in self.together.values()):
            return False
        return self.hits >= _LEAST_HITS and max(abs(across), abs(down)) > _MOVED_LENGTHS * min(length, 0.5)


def _moved(before: float, after: float, size_before: float, size_after: float) -> float:
    """How far something went, by the edge of it that does not touch the end of the picture."""
    low, high = after - before, after + size_after - before - size_before
    if before <= 0.01 or after <= 0.01:
        return high
    if max(before + size_before, after + size_after) >= 0.99:
        return low
    return (low + high) / 2


class Tracks:
    """All that move now."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.now: list[Track] = []

    def take(self, boxes: Sequence[Box], at_s: float, picture: int, *, dark: bool = False) -> list[Track]:
        """Follow everything into the next picture.

        Args:
            boxes: What moves in it.
            at_s: Its time, seconds.
            picture: Its number.
            dark: Whether it is night.

        Returns:
            Tracks that have ended.
        """
        expected = {track.number: track.expected(at_s) for track in self.now}
        free, melted = self._without_melted([*boxes], expected)
        for track in self.now:
            if track.number in melted:
                track.passed(at_s)
        waiting = [track for track in self.now if track.number not in melted]
        free = _united(free, [expected[track.number] for track in waiting])
        pairs = sorted(
            (
                (score, number, place)
                for number, track in enumerate(waiting)
                for place, box in enumerate(free)
                if (score := _likeness(track, expected[track.number], box)) > 0
            ),
            reverse=True,
        )
        taken_tracks: set[int] = set()
        taken_boxes: set[int] = set()
        for _, number, place in pairs:
            if number not in taken_tracks and place not in taken_boxes:
                taken_tracks.add(number)
                taken_boxes.add(place)
                waiting[number].seen(free[place], at_s, picture)
        ended = [track for track in self.now if self._is_over(track, at_s)]
        self.now = [track for track in self.now if track not in ended]
        seen = [track for track in self.now if track.last_picture == picture]
        for younger in seen:
            for older in seen:
                if older.number < younger.number:
                    younger.compare(older, dark=dark)
        self.now += [
            Track(next(self._numbers), at_s, at_s, picture, picture, box)
            for place, box in enumerate(free)
            if place not in taken_boxes
        ]
        return ended

    def end(self) -> list[Track]:
        """All that are left: the stream is over."""
        ended, self.now = self.now, []
        return ended

    def _is_over(self, track: Track, at_s: float) -> bool:
        return at_s - track.last_s > _KEEP_S

    @staticmethod
    def _without_melted(boxes: list[Box], expected: dict[int, Box]) -> tuple[list[Box], set[int]]:
        """Boxes of one thing each, and the tracks of those that two or more share."""
        free, melted = list[Box](), set[int]()
        for box in boxes:
            held = [
                number
                for number, where in expected.items()
                if (inner := where.inside()) is not None and inner.shared(box) > _WITHIN * inner.area
            ]
            if len(held) > 1 and box.area > 1.3 * max(expected[number].area for number in held):
                melted.update(held)
            else:
                free.append(box)
        return free, melted


def _united(boxes: Sequence[Box], expected: Sequence[Box]) -> list[Box]:
    """*boxes* with those made one that lie where one track is expected."""
    of_track: dict[int, list[Box]] = {}
    free: list[Box] = []
    for box in boxes:
        owners = [number for number, where in enumerate(expected) if where.shared(box) > _WITHIN * box.area]
        if len(owners) == 1:
            of_track.setdefault(owners[0], []).append(box)
        else:
            free.append(box)
    return free + [around(pieces) for pieces in of_track.values()]


def _likeness(track: Track, expected: Box, box: Box) -> float:
    """How well *box* is where a track should be, over 0 where it may be the same thing."""
    overlap = expected.overlap(box)
    if overlap >= _LEAST_OVERLAP:
        return 1 + overlap
    # Few pictures a second, or the second picture of something fast: near enough, and of its size.
    reach = 1.5 * max(expected.length, box.length)
    alike = min(expected.area, box.area) / max(expected.area, box.area)
    distance = expected.distance(box)
    return (1 - distance / reach) * alike if distance < reach and alike > 0.3 else 0.0
