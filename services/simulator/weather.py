"""What weather, lenses and cables do to a picture, from barely visible (1) to severe (5), or anywhere between.

Strengths of whole numbers are set by eye on crops of about 100 x 100 pixels, never by what a model makes of them; what
lies between is interpolated. Sizes are shares of the shorter side, so that other resolutions look alike. Pixels only:
who is hit, when and for how long is decided by `services.simulator.core`, and all chance is the generator that is
handed in. **The draws of a kind do not depend on its severity**, so that the same generator gives the same blotches,
growing.

The idea of graded corruptions: Hendrycks and Dietterich, 2019, "Benchmarking neural network robustness to common
corruptions and perturbations"; everything here is drawn differently.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Kind = Literal["fog", "night", "rain", "blur", "dirt", "moved", "snow", "glare", "noise", "jpeg"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LASTING: frozenset[Kind] = frozenset({"dirt", "moved"})
"""Kinds that sit on a camera and stay as they are: hand in a generator of the camera's, in the same state each time."""

SEVEREST = 5

_FLAKES = (0.005, 0.009, 0.016)
"""Spread of far, middling and near snow flakes, shares of the shorter side."""
_EIGHTHS = 3
"""OpenCV's bits of a fraction: outlines are drawn in eighths of a pixel, so that small ones keep their form."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def corrupt(rgb: Pixels, kind: str, severity: float, rng: Generator) -> Pixels:
    """The picture as it would look.

    Args:
        rgb: uint8 [height, width, 3], neither side 0; it is not changed.
        kind: One of `KINDS`.
        severity: 1 to 5; a fraction lies between two steps.
        rng: Of all chance.

    Returns:
        uint8 [height, width, 3], contiguous.

    Raises:
        ValueError: no such kind or severity.
    """
    if kind not in _EFFECTS:
        raise ValueError(f"{kind} is not one of {', '.join(KINDS)}")
    if not 1 <= severity <= SEVEREST:
        raise ValueError(f"severity is {severity}; it is 1 to {SEVEREST}")
    return _EFFECTS[kind](rgb, severity, rng)


def _fog(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Scattered light replaces the picture, more so the farther away, which on a road is the upper part (Koschmieder's
    law: what is left is exp(-density x distance))."""
    height, width = rgb.shape[:2]
    distance = np.linspace(1.25, 0.75, height, dtype=np.float32)[:, None]
    thickness = distance * (np.float32(0.65) + np.float32(0.7) * _clouds(height, width, rng))
    replaced = 255 * (1 - np.exp(np.float32(-_at(severity, 0.22, 0.5, 0.85, 1.3, 2.0)) * thickness))
    soft = _softened(rgb, _at(severity, 0, 0.003, 0.006, 0.009, 0.012))
    return _mixed(soft, 212 + 8 * rng.random(), replaced, 1.0)


def _night(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Little light and bluish, a pair of headlamps with their glow, and the noise of a sensor that is turned up."""
    height, width = rgb.shape[:2]
    tint = 1 - np.array([0.16, 0.08, 0.0], dtype=np.float32) * np.float32(severity / SEVEREST)
    middle, row, apart = rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.75), rng.uniform(0.16, 0.3)
    warmth = np.array([1.0, rng.uniform(0.86, 0.97), rng.uniform(0.68, 0.9)], dtype=np.float32)
    power = np.float32(_at(severity, 22.0, 75.0, 135.0, 190.0, 230.0))
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(_at(severity, 1.5, 3, 4.5, 6, 7.5))
    lamps = np.zeros((height, width), dtype=np.float32)
    for across in (middle - apart, middle + apart):
        lamps += _blob(height, width, row, across, 0.035) + np.float32(0.32) * _blob(height, width, row, across, 0.13)
    light = rgb * (np.float32(_at(severity, 0.8, 0.55, 0.36, 0.22, 0.13)) * tint)
    light += lamps[..., None] * (power * warmth)
    light += grain[..., None]
    return _pixels(light)


def _rain(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Slanting bright streaks before a picture that is greyer and flatter."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    slant = rng.uniform(-0.35, 0.35)
    drops = rng.random((190, 3))[: round(_at(severity, 14, 34, 70, 120, 190))]
    reach = _at(severity, 0.1, 0.12, 0.15, 0.18, 0.22) * side * (0.6 + 0.8 * drops[:, 2:])
    tops = (drops[:, :2] * 1.2 - 0.1) * (width, height)
    streaks = _eighths(np.stack([tops, tops + reach * (slant, 1.0)], axis=1))
    share = np.zeros((height, width), dtype=np.uint8)
    # Three shades of streaks, the near ones brightest, each drawn at one go.
    for shade, of_shade in zip((125, 165, 210), np.array_split(streaks, 3), strict=True):
        cv2.polylines(share, list(of_shade), False, shade, 1, cv2.LINE_AA, _EIGHTHS)
    veil = _at(severity, 0.04, 0.09, 0.16, 0.24, 0.34)
    flat = cv2.convertScaleAbs(
        _softened(rgb, _at(severity, 0, 0.003, 0.006, 0.009, 0.013)),
        alpha=(1 - veil) * (1 - 0.25 * veil),
        beta=125 * veil,
    )
    return _mixed(flat, 225, cv2.GaussianBlur(share, (3, 3), 0.6), 0.85)


def _blur(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Out of focus: each point becomes a disc."""
    radius = _at(severity, 0.009, 0.016, 0.026, 0.04, 0.062) * min(rgb.shape[:2]) * (0.95 + 0.1 * rng.random())
    return cast("Pixels", cv2.filter2D(rgb, -1, _disc(round(radius, 1)), borderType=cv2.BORDER_REFLECT_101))


def _dirt(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Mud on the glass: soft-edged blotches, too near to be in focus."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    round_ = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places, sizes, outlines = rng.random((16, 2)), rng.random(16), rng.uniform(0.55, 1.25, (16, 12))
    shades = rng.uniform(0.7, 1.0, 16)
    size = _at(severity, 0.045, 0.07, 0.095, 0.125, 0.16) * side
    cover = np.zeros((height, width), dtype=np.uint8)
    for number in range(round(_at(severity, 4, 6, 9, 12, 16))):
        middle = places[number] * (width, height)
        outline = middle + round_ * (outlines[number] * (0.5 + sizes[number]) * size)[:, None]
        cv2.fillPoly(cover, [_eighths(outline)], int(255 * shades[number]), cv2.LINE_AA, _EIGHTHS)
    thick = cv2.GaussianBlur(cover, (0, 0), max(0.3, 0.02 * side))
    return _mixed(rgb, np.array([62, 52, 40], dtype=np.float32), thick, _at(severity, 0.4, 0.6, 0.74, 0.85, 0.93))


def _moved(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """Knocked: turned, shifted and, by the lens, nearer."""
    height, width = rgb.shape[:2]
    turn_deg = _at(severity, 1.5, 4.0, 8.0, 14.0, 22.0) * rng.choice((-1, 1)) * rng.uniform(0.8, 1.2)
    direction = rng.uniform(0, 2 * np.pi)
    reach = _at(severity, 0.02, 0.05, 0.1, 0.16, 0.24)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn_deg, 1 + reach * rng.uniform(0.3, 0.9))
    matrix[:, 2] += reach * width * np.cos(direction), reach * height * np.sin(direction)
    return cast(
        "Pixels",
        cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
    )


def _snow(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """White flakes, near ones large and soft, before a picture that is paler."""
    height, width = rgb.shape[:2]
    places = (rng.random((230, 2))[: round(_at(severity, 18, 45, 90, 150, 230))] * (height, width)).astype(np.intp)
    share = np.zeros((height, width), dtype=np.float32)
    # Six in ten are far, one in ten is near.
    for flakes, size in zip(np.split(places, [len(places) * 6 // 10, len(places) * 9 // 10]), _FLAKES, strict=True):
        spread = max(0.45, size * min(height, width))
        points = np.zeros((height, width), dtype=np.float32)
        points[flakes[:, 0], flakes[:, 1]] = 255 * 1.15 * 2 * np.pi * spread**2  # a bell as high as full white
        np.maximum(share, cv2.GaussianBlur(points, (0, 0), spread, borderType=cv2.BORDER_CONSTANT), out=share)
    veil = _at(severity, 0.05, 0.11, 0.19, 0.28, 0.38)
    pale = cv2.convertScaleAbs(
        _softened(rgb, _at(severity, 0, 0.002, 0.004, 0.007, 0.01)), alpha=1 - veil, beta=205 * veil
    )
    return _mixed(pale, 250, np.minimum(share, 255), 1.0)


def _glare(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """A low sun in the lens: a burnt-out spot, its halo, and a veil over the rest."""
    height, width = rgb.shape[:2]
    down, across = rng.uniform(0.1, 0.5), rng.uniform(0.15, 0.85)
    power = np.float32(_at(severity, 30.0, 65.0, 110.0, 165.0, 230.0))
    spot = _blob(height, width, down, across, 0.08 + 0.015 * (severity - 1))
    spot += np.float32(0.5) * _blob(height, width, down, across, 0.38)
    veil = np.float32(_at(severity, 0.03, 0.07, 0.12, 0.18, 0.25))
    colour = np.array([1.0, 0.96, 0.86], dtype=np.float32)
    light = rgb * (1 - veil)
    light += (power * spot + 235 * veil)[..., None] * colour
    return _pixels(light)


def _noise(rgb: Pixels, severity: float, rng: Generator) -> Pixels:
    """A sensor that is turned up: grain, stronger where it is dark, partly in colour."""
    strength = np.float32(_at(severity, 5.0, 10.0, 18.0, 29.0, 44.0))
    grain = rng.standard_normal((*rgb.shape[:2], 4), dtype=np.float32)
    light = np.float32(0.8) * grain[..., :1] + np.float32(0.6) * grain[..., 1:]
    light *= strength * (np.float32(1.15) - rgb * np.float32(0.5 / 255))
    light += rgb
    return _pixels(light)


def _jpeg(rgb: Pixels, severity: float, _: Generator) -> Pixels:
    """A thin line: blocks and smeared colours."""
    # OpenCV counts colours from blue.
    coded, made = cv2.imencode(
        ".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(_at(severity, 45, 22, 12, 7, 4))]
    )
    assert coded
    return np.ascontiguousarray(cast("Pixels", cv2.imdecode(made, cv2.IMREAD_COLOR))[..., ::-1])


_EFFECTS: dict[str, Callable[[Pixels, float, Generator], Pixels]] = {
    "fog": _fog,
    "night": _night,
    "rain": _rain,
    "blur": _blur,
    "dirt": _dirt,
    "moved": _moved,
    "snow": _snow,
    "glare": _glare,
    "noise": _noise,
    "jpeg": _jpeg,
}


def _at(severity: float, *strengths: float) -> float:
    """Of *strengths*, one for each whole severity."""
    return float(np.interp(severity - 1, range(SEVEREST), strengths))


def _clouds(height: int, width: int, rng: Generator) -> Floats:
    """Smooth chance, 0 to 1 with a mean of about one half: coarse waves and, at half their height, finer ones."""
    coarse, fine = rng.random((3, 3), dtype=np.float32), rng.random((7, 7), dtype=np.float32)
    waves = cast("Floats", cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    waves += 0.5 * cv2.resize(fine, (width, height), interpolation=cv2.INTER_CUBIC)
    waves /= 1.5
    np.clip(waves, 0, 1, out=waves)
    return waves


def _blob(height: int, width: int, down: float, across: float, spread: float) -> Floats:
    """A bell of height 1 around a place that is given in shares of the sides; *spread* is one of the shorter side."""
    side = spread * min(height, width)
    rows = np.exp(-(((np.arange(height) + 0.5 - down * height) / side) ** 2) / 2)
    columns = np.exp(-(((np.arange(width) + 0.5 - across * width) / side) ** 2) / 2)
    return np.outer(rows, columns).astype(np.float32)


@lru_cache(maxsize=64)
def _disc(radius: float) -> Floats:
    """A disc of *radius* pixels with a smooth edge, which adds up to 1."""
    reach = int(np.ceil(radius + 0.5))
    offsets = np.arange(-reach, reach + 1)
    disc = np.clip(radius + 0.5 - np.hypot(offsets[:, None], offsets), 0, 1)
    shares: Floats = (disc / disc.sum()).astype(np.float32)
    return shares


def _softened(rgb: Pixels, share: float) -> Pixels:
    spread = share * min(rgb.shape[:2])
    return cast("Pixels", cv2.GaussianBlur(rgb, (0, 0), spread)) if spread > 0.25 else rgb


def _eighths(places: NDArray[np.float64]) -> NDArray[np.int32]:
    rounded: NDArray[np.int32] = np.rint(places * 2**_EIGHTHS).astype(np.int32)
    return rounded


def _mixed(rgb: Any, colour: float | Floats, mask: Any, strength: float) -> Pixels:
    """*colour* replaces a share of the picture: *strength* where *mask* [height, width] is 255, none where it is 0."""
    share = (mask * np.float32(strength / 255))[..., None]
    light = rgb * (1 - share)
    light += colour * share
    return _pixels(light)


def _pixels(light: Floats) -> Pixels:
    np.clip(light, 0, 255, out=light)
    return light.astype(np.uint8)
