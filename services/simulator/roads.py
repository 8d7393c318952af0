"""Composed roads: real crops that drive over a drawn road, in weather and light that fool motion, and the exact truth.

A road of two lanes runs from below to a vanishing point. All is drawn from a seed: no clock, no file but the crops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Condition = Literal[
    "clear", "shadows", "rain", "night", "leaves", "exposure", "passing", "stop", "parked", "empty", "begun"
]
CONDITIONS: Final[tuple[Condition, ...]] = (
    "clear",
    "shadows",
    "rain",
    "night",
    "leaves",
    "exposure",
    "passing",
    "stop",
    "parked",
    "empty",
    "begun",
)
HEIGHT: Final = 360
WIDTH: Final = 640
FPS: Final = 12.5
START_MS: Final = 1_800_000_000_000
_VANISHES: Final = 0.18  # height of the point at which lanes meet, share of the picture
_SECONDS_APART: Final = (3.0, 9.0)
_DRIVES_S: Final = (3.5, 6.0)
_STOPS_S: Final = 3.0
_LEFT_S: Final = 1.5  # of a road that has begun: who is gone earlier is not counted

Plane = NDArray[np.uint8]
Light = NDArray[np.float32]


class Planes(NamedTuple):
    """A picture, as a decoder gives it.

    Attributes:
        luma: Rows by columns.
        blue: Blue difference, at half the width and height.
        red: Red difference.
        at_s: Seconds since the first picture.
        captured_at_ms: Unix milliseconds.
    """

    luma: Plane
    blue: Plane
    red: Plane
    at_s: float
    captured_at_ms: int


class Placed(NamedTuple):
    """Where a vehicle is in a picture: left, top, width, height, shares of it; what of it lies outside is cut off."""

    vehicle: int
    box: tuple[float, float, float, float]


class Shot(NamedTuple):
    """A picture and what is true of it."""

    picture: Planes
    truth: list[Placed]


@dataclass(frozen=True)
class Car:
    """One vehicle.

    Attributes:
        number: Its own.
        begins_s: When it enters.
        lasts_s: How long it takes to drive through.
        away: Whether it drives away from the camera.
        sprite: Number of its crop.
        size: Width at the lower edge, share of the picture.
        stops_at: How far it has come when it stops for some seconds, 0 to 1; None: it does not.
        parked: Whether it stands beside the road and never moves.
    """

    number: int
    begins_s: float
    lasts_s: float
    away: bool
    sprite: int
    size: float
    stops_at: float | None = None
    parked: bool = False

    @property
    def gone_s(self) -> float:
        """When it has driven through."""
        return self.begins_s + self.lasts_s + (_STOPS_S if self.stops_at is not None else 0.0)

    def come(self, at_s: float) -> float:
        """How far it has come, under 0 or over 1 where it is not there."""
        passed_s = at_s - self.begins_s
        if self.stops_at is not None:
            stop_s = self.stops_at * self.lasts_s
            passed_s = passed_s if passed_s < stop_s else max(stop_s, passed_s - _STOPS_S)
        return passed_s / self.lasts_s


@dataclass
class ComposedRoad:
    """One camera's road.

    Args:
        crops: Vehicles, BGR, of any size.
        seed: Of all that is drawn.
        condition: What makes it hard.
        seconds: How long it lasts; nothing enters in its last seconds.
    """

    crops: Sequence[Plane]
    seed: int
    condition: Condition
    seconds: float = 60.0
    cars: list[Car] = field(init=False)
    _rng: np.random.Generator = field(init=False)
    _ground: Light = field(init=False)
    _gain: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.seed, CONDITIONS.index(self.condition)])
        self.cars = [] if self.condition == "empty" else self._drawn()
        self._ground = self._drawn_ground()

    @property
    def driving(self) -> list[Car]:
        """Those that count."""
        return [car for car in self.cars if not car.parked]

    def shots(self) -> Iterator[Shot]:
        """Picture by picture."""
        for number in range(round(self.seconds * FPS)):
            yield self._shot(number / FPS)

    def _drawn(self) -> list[Car]:
        rng, cars, at_s = self._rng, list[Car](), -_DRIVES_S[1] if self.condition == "begun" else 4.0
        while at_s < self.seconds - 10:
            lasts_s, away = float(rng.uniform(*_DRIVES_S)), bool(rng.random() < 0.5)
            stops_at = float(rng.uniform(0.3, 0.6)) if self.condition == "stop" and rng.random() < 0.4 else None
            cars.append(self._car(len(cars), at_s, lasts_s, away, stops_at))
            if self.condition == "passing":
                cars.append(self._car(len(cars), at_s + float(rng.uniform(-0.4, 0.4)), lasts_s, not away, None))
            if at_s + lasts_s < _LEFT_S:
                cars.pop()  # it has gone, or will have in a moment
            # Behind one that stops the next one would wait.
            at_s += float(rng.uniform(*_SECONDS_APART)) + (lasts_s + _STOPS_S if stops_at is not None else 0.0)
        if self.condition == "parked":
            cars.append(Car(len(cars), 0.0, 1.0, False, int(rng.integers(len(self.crops))), 0.2, parked=True))
        return cars

    def _car(self, number: int, at_s: float, lasts_s: float, away: bool, stops_at: float | None) -> Car:
        sprite, size = int(self._rng.integers(len(self.crops))), float(self._rng.uniform(0.22, 0.32))
        return Car(number, at_s, lasts_s, away, sprite, size, stops_at)

    def _drawn_ground(self) -> Light:
        """Grass, a grey road, its marks; YCrCb as float."""
        rng = self._rng
        grass = cv2.GaussianBlur(rng.normal(0, 40, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 3) * 3
        ground = np.stack([105 + grass, np.full_like(grass, 122), np.full_like(grass, 118)], axis=2)
        top, middle = round(_VANISHES * HEIGHT), WIDTH // 2
        road = np.array([[0.08 * WIDTH, HEIGHT], [middle - 14, top], [middle + 14, top], [0.92 * WIDTH, HEIGHT]])
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(mask, [road.astype(np.int32)], 1)
        tar = 92 + cv2.GaussianBlur(rng.normal(0, 12, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1)
        ground[mask > 0] = np.stack([tar, np.full_like(tar, 128), np.full_like(tar, 128)], axis=2)[mask > 0]
        cv2.line(ground, (middle, top), (middle, HEIGHT), (170.0, 128.0, 128.0), 3)
        ground[: top - 6] = (175.0, 124.0, 132.0)
        return ground.astype(np.float32)

    def _shot(self, at_s: float) -> Shot:
        picture, truth = self._ground.copy(), list[Placed]()
        if self.condition in ("leaves", "empty"):
            self._sway(picture, at_s)
        if self.condition in ("shadows", "empty"):
            self._cloud(picture, at_s)
        for car in sorted(self.cars, key=lambda car: self._place(car, at_s)[1]):
            come = 0.5 if car.parked else car.come(at_s)
            if 0 <= come <= 1:
                left, bottom, wide, high = self._place(car, at_s)
                self._paste(picture, car, (left, bottom - high, wide, high))
                whole = max(0.0, left), max(0.0, bottom - high), min(1.0, left + wide), min(1.0, bottom)
                if whole[2] > whole[0] and whole[3] > whole[1]:
                    placed = Placed(car.number, (whole[0], whole[1], whole[2] - whole[0], whole[3] - whole[1]))
                    truth.append(placed)
        luma = np.ascontiguousarray(picture[..., 0])
        if self.condition == "night":
            luma *= 0.18
            for car in self.cars:
                if not car.parked and 0 <= car.come(at_s) <= 1:
                    self._lamps(luma, car, at_s)
        if self.condition in ("rain", "empty"):
            self._rain(luma)
        if self.condition in ("exposure", "empty"):
            if self._rng.random() < 1 / (6 * FPS):
                self._gain = float(self._rng.uniform(0.65, 1.4))
            luma *= self._gain
        luma += self._rng.normal(0, 3 if self.condition == "night" else 2, luma.shape)
        small = cv2.resize(picture[..., 1:], (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        red, blue = (np.clip(small[..., plane], 0, 255).astype(np.uint8) for plane in (0, 1))
        grey = np.clip(luma, 0, 255).astype(np.uint8)
        return Shot(Planes(grey, blue, red, at_s, START_MS + round(1_000 * at_s)), truth)

    def _place(self, car: Car, at_s: float) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a vehicle."""
        if car.parked:
            return 0.02, 0.75, car.size, car.size * WIDTH / HEIGHT * 0.8
        come = car.come(at_s)
        # As far away as it has come, seen from where it is nearest: 1 at the lower edge, 0 in the far.
        near = 1 / (1 + 6 * come) if car.away else 1 / (1 + 6 * (1 - come))
        bottom = _VANISHES + (1.25 - _VANISHES) * near
        wide = car.size * near
        lane = 0.5 + (0.2 if car.away else -0.2) * near
        return lane - wide / 2, bottom, wide, wide * WIDTH / HEIGHT * 0.8

    def _paste(self, picture: Light, car: Car, box: tuple[float, float, float, float]) -> None:
        wide, high = max(4, round(box[2] * WIDTH)), max(4, round(box[3] * HEIGHT))
        left, top = round(box[0] * WIDTH), round(box[1] * HEIGHT)
        sized = cv2.resize(self.crops[car.sprite], (wide, high), interpolation=cv2.INTER_AREA)
        sprite = cv2.cvtColor(sized, cv2.COLOR_BGR2YCrCb)
        mask = np.zeros((high, wide), np.float32)
        cv2.ellipse(mask, (wide // 2, high // 2), (round(0.48 * wide), round(0.48 * high)), 0, 0, 360, 1.0, -1)
        soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, wide / 40))
        if self.condition == "shadows":
            self._blend(picture, (left + wide // 3, top + high // 2, wide, high // 2), np.float32(0.45))
        high_, wide_ = picture.shape[:2]
        x0, y0, x1, y1 = max(0, left), max(0, top), min(wide_, left + wide), min(high_, top + high)
        if x0 >= x1 or y0 >= y1:
            return
        part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
        share = soft[part][..., None]
        picture[y0:y1, x0:x1] = (1 - share) * picture[y0:y1, x0:x1] + share * sprite[part].astype(np.float32)

    def _blend(self, picture: Light, box: tuple[int, int, int, int], gain: np.float32) -> None:
        """Darken a soft patch."""
        left, top, wide, high = box
        x0, y0, x1, y1 = max(0, left), max(0, top), min(WIDTH, left + wide), min(HEIGHT, top + high)
        if x0 < x1 and y0 < y1:
            picture[y0:y1, x0:x1, 0] *= gain

    def _sway(self, picture: Light, at_s: float) -> None:
        """A tree at each side."""
        for left in (0, WIDTH - 110):
            shift = 3 * np.sin(2 * np.pi * 0.7 * at_s + left) + 1.5 * np.sin(2 * np.pi * 1.9 * at_s)
            patch = picture[60:200, left : left + 110, 0]
            way = np.array([[1, 0, shift], [0, 1, shift / 2]], np.float32)
            moved = cv2.warpAffine(patch, way, (110, 140), borderMode=cv2.BORDER_REFLECT)
            picture[60:200, left : left + 110, 0] = moved + 15 * np.sin(at_s * 3 + np.arange(110) / 5)

    def _cloud(self, picture: Light, at_s: float) -> None:
        """The edge of a cloud's shadow goes over the road, softly."""
        edge = (at_s * 0.05 % 2 - 0.5) * WIDTH
        share = 1 / (1 + np.exp(-(np.arange(WIDTH) - edge) / 60))
        picture[..., 0] *= (0.65 + 0.35 * share).astype(np.float32)

    def _rain(self, luma: Light) -> None:
        for x, y, length in zip(
            self._rng.integers(0, WIDTH, 120).tolist(),
            self._rng.integers(0, HEIGHT, 120).tolist(),
            self._rng.integers(6, 18, 120).tolist(),
            strict=True,
        ):
            cv2.line(luma, (x, y), (x + 2, y + length), float(np.clip(luma[y, x] + 45, 0, 255)), 1)

    def _lamps(self, luma: Light, car: Car, at_s: float) -> None:
        """Two lamps, and light on the road before them where they look at the camera."""
        left, bottom, wide, high = self._place(car, at_s)
        size = max(1, round(wide * WIDTH / 14))
        for side in (0.22, 0.78):
            centre = round((left + side * wide) * WIDTH), round((bottom - 0.35 * high) * HEIGHT)
            cv2.circle(luma, centre, size, 120.0 if car.away else 250.0, -1)
        if not car.away:
            centre = round((left + wide / 2) * WIDTH), round((bottom + 0.25 * high) * HEIGHT)
            glow = np.zeros_like(luma)
            cv2.ellipse(glow, centre, (round(wide * WIDTH * 0.5), round(high * HEIGHT * 0.35)), 0, 0, 360, 45.0, -1)
            luma += cv2.GaussianBlur(glow, (0, 0), 6)
