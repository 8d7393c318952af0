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
_GONE_S = 0.35  # one that was at the end of what can be seen is gone, and what comes from there is another
_SWELLS = 1.6  # times its size, at once: something else has melted with it
_SURE_REACH, _REACH = 0.8, 1.5  # lengths
_SMALL = 0.005  # share of the picture; motion finds nothing under half of it
_END = 0.01
_LEAST_OVERLAP = 0.1
_WITHIN = 0.6
_FOLLOWS_S = 0.115  # time constant of speeds
_LEAST_S, _LEAST_HITS = 0.2, 3  # a track that is shorter proves nothing
_LONGEST_S = 0.35  # so much of a pause between two pictures counts as seen
_MOVED_LENGTHS = 1.0
_PART_OF = 0.6
_CLOSE = 0.25
_ALIKE = 0.6
_LAMPS = 2.0
_AT_ONCE_S = 0.6
_FURTHER = 1.5
_HELD_S = 3.0


@dataclass
class Together:
    """What two tracks did while both were seen.

    Attributes:
        seconds: How long.
        close_s: For how long of it one was close before or behind the other.
        close: In how many pictures.
        speed: The older one's speeds, across and down, times seconds.
        apart: The differences of their speeds, the same.
    """

    seconds: float = 0.0
    close_s: float = 0.0
    close: int = 0
    speed: tuple[float, float] = (0.0, 0.0)
    apart: tuple[float, float] = (0.0, 0.0)

    @property
    def is_one(self) -> bool:
        """Whether they are parts of one vehicle: close, and on one way."""
        close = self.close_s >= max(_LEAST_S, _PART_OF * self.seconds)
        if not close or self.close < _LEAST_HITS:
            return False
        # The same way and not much slower: a piece that grows seems faster than what it is a piece of.
        (across, down), (apart_across, apart_down) = self.speed, self.apart
        bound = _ALIKE * math.hypot(across, down) ** 2
        along, beside = apart_across * across + apart_down * down, apart_across * down - apart_down * across
        return along > -bound and abs(beside) < bound


@dataclass
class Track:
    """One thing that moves.

    Attributes:
        number: From 1 up.
        first_s: Time of its first picture.
        last_s: Time of the last in which it was seen, by itself or among others.
        last_seen_s: By itself.
        first_picture: Number of its first picture.
        last_picture: Number of the last in which it was seen.
        box: Where it was last.
        hits: Pictures in which it was seen by itself.
        seen_s: For how long it was, pauses left out.
        together: Of older tracks, by number, how the two went.
        is_shed: It came with another, beside it and the same way, and that went much further: a piece that was seen by
            itself at first.
    """

    number: int
    first_s: float
    last_s: float
    first_picture: int
    last_picture: int
    box: Box
    hits: int = 1
    seen_s: float = 0.0
    together: dict[int, Together] = field(default_factory=dict)
    is_shed: bool = False
    _first: Box = field(init=False)
    _lengths: list[float] = field(default_factory=list)
    _speed: tuple[float, float] = (0.0, 0.0)
    _at_s: float = field(init=False)
    last_seen_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._first, self._at_s, self.last_seen_s = self.box, self.first_s, self.first_s
        self._lengths.append(self.box.length)

    def expected(self, at_s: float) -> Box:
        """Where it should be."""
        passed_s = at_s - self._at_s
        return self.box._replace(
            left=self.box.left + passed_s * self._speed[0], top=self.box.top + passed_s * self._speed[1]
        )

    def swells(self, box: Box, expected: Box, at_s: float) -> bool:
        """Whether *box* holds it and something else, for it was much smaller a moment ago."""
        if not self.is_sure or at_s - self.last_seen_s > _KEEP_S or not box.is_whole(_END):
            return False
        grown = max(box.width / expected.width, box.height / expected.height)
        return grown > _SWELLS and box.area > _SWELLS * expected.area and expected.shared(box) > _WITHIN * expected.area

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
        share = 1.0 if self.hits == 1 else -math.expm1(-passed_s / _FOLLOWS_S)
        self._speed = (
            self._speed[0] + share * (moved[0] / passed_s - self._speed[0]),
            self._speed[1] + share * (moved[1] / passed_s - self._speed[1]),
        )
        self.box, self._at_s, self.last_picture = box, at_s, picture
        self.last_s = self.last_seen_s = at_s
        self.hits += 1
        self.seen_s += min(passed_s, _LONGEST_S)
        self._lengths.append(box.length)

    def passed(self, at_s: float, among: Box) -> None:
        """It is one of those that share the box *among*, as near to where it was expected as that allows."""
        self.box, self._at_s, self.last_s = self.expected(at_s).within(among), at_s, at_s

    def compare(self, other: Track, passed_s: float, *, dark: bool) -> None:
        """Both were seen in this picture, *passed_s* after the one before; *other* is older. In the *dark* little but
        lamps is seen of a vehicle."""
        common = self.together.setdefault(other.number, Together())
        common.seconds += passed_s
        if _is_close(self.box, other.box, other._speed) or (dark and self._is_lamp_beside(other)):
            common.close_s += passed_s
            common.close += 1
        mine, its = self._speed, other._speed
        common.speed = common.speed[0] + passed_s * its[0], common.speed[1] + passed_s * its[1]
        common.apart = (
            common.apart[0] + passed_s * (mine[0] - its[0]),
            common.apart[1] + passed_s * (mine[1] - its[1]),
        )

    def _is_lamp_beside(self, other: Track) -> bool:
        """Whether both came at once, and no further apart than lamps of one vehicle are, or lit parts of it."""
        mine, its = self.box, other.box
        reach = _LAMPS * max(mine.length, its.length)
        gap = _gap(mine, its)
        level = min(mine.bottom, its.bottom) - max(mine.top, its.top) > 0.5 * min(mine.height, its.height)
        return level and gap < reach and self.first_s - other.first_s < _AT_ONCE_S

    def came_with(self, other: Track) -> bool:
        """Whether both came at once, touching each other nearly, and went the same way."""
        gap = _gap(self._first, other._first)
        (across, down), (its_across, its_down) = self.way, other.way
        near = gap < max(self._first.length, other._first.length)
        return near and abs(self.first_s - other.first_s) < _AT_ONCE_S and across * its_across + down * its_down > 0

    def goes_further(self, other: Track) -> bool:
        """Whether it has gone so much further that *other* is no vehicle beside it, which would have gone as far."""
        return math.hypot(*self.way) > _FURTHER * math.hypot(*other.way)

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
    def is_sure(self) -> bool:
        """Whether it was seen often and long enough to be something."""
        return self.hits >= _LEAST_HITS and self.seen_s >= _LEAST_S

    @property
    def leaves(self) -> bool:
        """Whether it was last where nothing is seen any more: small in the far, or on its way out of the picture."""
        (across, down), box = self._speed, self.box
        out = (
            (box.left <= _END and across < 0)
            or (box.right >= 1 - _END and across > 0)
            or (box.top <= _END and down < 0)
            or (box.bottom >= 1 - _END and down > 0)
        )
        return out or box.area < _SMALL

    @property
    def is_part(self) -> bool:
        """Whether it is part of an older one."""
        return any(common.is_one for common in self.together.values())

    def has_piece(self, box: Box, mine: Box) -> bool:
        """Whether *box*, which nothing else explains, is a piece of this track, which is at *mine*."""
        return self.is_sure and _is_close(box, mine, self._speed)

    @property
    def drives(self) -> bool:
        """Whether it was seen often enough, went further than it is long, and is no part of another: leaves, lamps and
        parked cars are none, and motion breaks one vehicle into two where its roof has the colour of the road.
        """
        length = sorted(self._lengths)[len(self._lengths) // 2]
        across, down = self.way
        if self.is_part or self.is_shed:
            return False
        return self.is_sure and max(abs(across), abs(down)) > _MOVED_LENGTHS * min(length, 0.5)


def _gap(box: Box, other: Box) -> float:
    """Between them, across or down, whichever is more; under 0 where they overlap."""
    return max(box.left - other.right, other.left - box.right, box.top - other.bottom, other.top - box.bottom)


def _is_close(box: Box, other: Box, speed: tuple[float, float]) -> bool:
    """Whether *box* is close before or behind *other*, which is that fast, and no further to the side."""
    across, down = speed
    gap = _gap(box, other)
    if abs(down) > abs(across):
        beside = min(box.right, other.right) - max(box.left, other.left) > _WITHIN * box.width
    else:
        beside = min(box.bottom, other.bottom) - max(box.top, other.top) > _WITHIN * box.height
    return beside and gap < _CLOSE * other.length


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
        self._held: list[Track] = []
        self._at_s: float | None = None

    def take(self, boxes: Sequence[Box], at_s: float, picture: int, *, dark: bool = False) -> list[Track]:
        """Follow everything into the next picture.

        Args:
            boxes: What moves in it.
            at_s: Its time, seconds.
            picture: Its number.
            dark: Whether it is night.

        Returns:
            Tracks that have ended, once it is known whether what came with them goes further, or some seconds later.
        """
        passed_s = at_s - self._at_s if self._at_s is not None else 0.0
        self._at_s = at_s
        over = [track for track in self.now if _is_over(track, at_s, passed_s)]
        self.now = [track for track in self.now if track not in over]
        ended = self._known(over, self.now, at_s)
        expected = {track.number: track.expected(at_s) for track in self.now}
        parts = {track.number for track in self.now if track.is_part}
        whole = {number: where for number, where in expected.items() if number not in parts}
        free, melted = _without_melted([*boxes], whole)
        for track in self.now:
            if track.number in melted:
                track.passed(at_s, melted[track.number])
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
        of_track: dict[int, Box] = {}
        taken: set[int] = set()
        for _, number, place in pairs:
            if number not in of_track and place not in taken:
                taken.add(place)
                of_track[number] = free[place]
        for place, box in enumerate(free):
            owners = [number for number, mine in of_track.items() if waiting[number].has_piece(box, mine)]
            if place not in taken and len(owners) == 1:
                taken.add(place)
                of_track[owners[0]] = around([of_track[owners[0]], box])
        for number, box in of_track.items():
            track = waiting[number]
            if track.swells(box, expected[track.number], at_s):
                track.passed(at_s, box)
            else:
                track.seen(box, at_s, picture)
        seen = [track for track in self.now if track.last_picture == picture]
        for younger in seen:
            for older in seen:
                if older.number < younger.number:
                    younger.compare(older, min(passed_s, _LONGEST_S), dark=dark)
        self.now += [
            Track(next(self._numbers), at_s, at_s, picture, picture, box)
            for place, box in enumerate(free)
            if place not in taken
        ]
        return ended

    def end(self) -> list[Track]:
        """All that are left: the stream is over."""
        over, self.now = self.now, []
        return self._known(over, over, math.inf)

    def _known(self, over: list[Track], among: list[Track], at_s: float) -> list[Track]:
        """Those of *over*, and of earlier ones, of which it is known whether they were a piece of one that came with
        them, *among* those that are followed still; what came with none is none."""
        known, held = list[Track](), list[Track]()
        for track in [*self._held, *over]:
            with_it = [other for other in among if track.came_with(other)]
            track.is_shed = any(other.goes_further(track) for other in with_it)
            waits = with_it and not track.is_shed and at_s - track.last_s < _HELD_S
            (held if waits else known).append(track)
        self._held = held
        return known


def _is_over(track: Track, at_s: float, passed_s: float) -> bool:
    """Whether it was not seen for too long, of pictures that are so far apart."""
    keep_s = max(_GONE_S, 2 * min(passed_s, _LONGEST_S)) if track.leaves else _KEEP_S
    return at_s - track.last_s > keep_s


def _without_melted(boxes: list[Box], expected: dict[int, Box]) -> tuple[list[Box], dict[int, Box]]:
    """Boxes of one thing each, and those that two or more tracks share, by track."""
    free, melted = list[Box](), dict[int, Box]()
    for box in boxes:
        held = [
            number
            for number, where in expected.items()
            if (inner := where.inside()) is not None and inner.shared(box) > _WITHIN * inner.area
        ]
        if len(held) > 1 and box.area > 1.3 * max(expected[number].area for number in held):
            melted.update(dict.fromkeys(held, box))
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
    reach = (_SURE_REACH if track.is_sure else _REACH) * max(expected.length, box.length)
    alike = min(expected.area, box.area) / max(expected.area, box.area)
    distance = expected.distance(box)
    return (1 - distance / reach) * alike if distance < reach and alike > 0.3 else 0.0
