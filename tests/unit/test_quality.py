"""`services.ingest.quality`: each number against a slow definition of it, and what moves the hash."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.contract.identity import hash_distance
from services.ingest.quality import Quality, measure, perceptual_hash
from tests.corpora.jpegs import scene


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 luma by its definition."""
    return np.asarray(np.rint(rgb @ np.array([0.299, 0.587, 0.114])), np.uint8)


def _even(level: int, height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, dtype=np.uint8)


def _slow_sharpness(luma: NDArray[np.uint8]) -> float:
    padded = np.pad(luma.astype(float) / 255, 1, mode="reflect")
    centre = padded[1:-1, 1:-1]
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * centre
    return float(laplacian.var())


def _noisy(rgb: NDArray[np.uint8], deviation: float, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, deviation, rgb.shape)
    return np.rint(np.clip(rgb + noise, 0, 255)).astype(np.uint8)


def test_numbers_are_those_of_their_definitions() -> None:
    """Brightness, contrast, sharpness and both shares, against numpy."""
    rgb = scene(71, 53)
    rgb[:10] = 0
    rgb[10:15] = 255
    luma = _luma(rgb)
    quality = measure(rgb)
    assert quality.brightness == pytest.approx(float(luma.mean()) / 255, abs=1e-3)
    assert quality.contrast == pytest.approx(float(luma.std()) / 255, abs=1e-3)
    assert quality.sharpness == pytest.approx(_slow_sharpness(luma), rel=1e-2)
    assert quality.dark_share == pytest.approx(10 / 71)
    assert quality.bright_share == pytest.approx(5 / 71)


@pytest.mark.parametrize(("level", "dark", "bright"), [(0, 1, 0), (2, 1, 0), (3, 0, 0), (252, 0, 0), (253, 0, 1)])
def test_an_even_picture_has_its_level_and_nothing_else(level: int, dark: float, bright: float) -> None:
    """No contrast, no sharpness; both ends begin where the documentation says."""
    expected = Quality(level / 255, 0.0, 0.0, dark, bright, 0.0, 0.0, int(level > 0))
    assert measure(_even(level)) == pytest.approx(expected)


def test_colour_is_that_of_its_definition() -> None:
    """Means of Cb and Cr as JPEG defines them, also of a picture that is measured on a smaller one."""
    for rgb in (scene(71, 53), scene(700, 900)):
        red, green, blue = np.moveaxis(rgb.astype(float) / 255, 2, 0)
        quality = measure(rgb)
        of_blue = float((-0.168736 * red - 0.331264 * green + 0.5 * blue).mean())
        assert quality.chroma_blue == pytest.approx(of_blue, abs=1e-5)
        of_red = float((0.5 * red - 0.418688 * green - 0.081312 * blue).mean())
        assert quality.chroma_red == pytest.approx(of_red, abs=1e-5)


@pytest.mark.parametrize(
    ("pixel", "blue", "red"), [((0, 0, 255), 0.5, None), ((255, 0, 0), None, 0.5), ((255, 255, 0), -0.5, None)]
)
def test_colour_reaches_one_half_on_both_sides(
    pixel: tuple[int, int, int], blue: float | None, red: float | None
) -> None:
    """Pure blue, pure red and yellow lie at the ends."""
    quality = measure(np.full((8, 8, 3), pixel, np.uint8))
    assert blue is None or quality.chroma_blue == blue
    assert red is None or quality.chroma_red == red


def test_grey_has_no_colour() -> None:
    """Exactly none: at night many cameras give a picture without colour, whatever its light."""
    grey = np.repeat(_luma(scene())[:, :, None], 3, axis=2)
    assert (measure(grey).chroma_blue, measure(grey).chroma_red) == (0.0, 0.0)


def test_contrast_reaches_one_half_and_no_more() -> None:
    """Half black, half white is the widest spread there is."""
    rgb = _even(0)
    rgb[:, 30:] = 255
    assert measure(rgb).contrast == 0.5


def test_a_blurred_picture_is_less_sharp() -> None:
    """A lens that goes out of focus moves the number down at each step."""
    rgb = scene()
    steps = [rgb, *(np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma), np.uint8) for sigma in (0.7, 1.5, 3.0))]
    sharpness = [measure(step).sharpness for step in steps]
    assert sorted(sharpness, reverse=True) == sharpness
    assert sharpness[0] > 10 * sharpness[-1]


def test_the_same_pixels_give_the_same_numbers() -> None:
    """Also from a copy with other strides."""
    rgb = scene()
    assert measure(rgb) == measure(np.ascontiguousarray(rgb[::-1])[::-1].copy())


@pytest.mark.parametrize(("height", "width"), [(2_000, 3_000), (501, 503), (1, 400_000), (400_000, 1)])
def test_a_big_picture_is_measured_on_a_small_one(height: int, width: int) -> None:
    """Brightness and shares stay; the work is that of a quarter of a million pixels at most."""
    rgb = np.full((height, width, 3), 100, dtype=np.uint8)
    rgb[: height // 2, : (width + 1) // 2] = 0
    quality = measure(rgb)
    covered = (height // 2) * ((width + 1) // 2) / (height * width)
    assert quality.dark_share == pytest.approx(covered, abs=0.01)
    assert quality.brightness == pytest.approx((1 - covered) * 100 / 255, abs=0.01)


def test_sharpness_of_a_big_picture_is_that_of_its_reduction() -> None:
    """4 x 4 pixels of one level make one: 2,000 x 2,000 in blocks is as sharp as its 500 x 500."""
    small = scene(500, 500)
    big = small.repeat(4, axis=0).repeat(4, axis=1)
    assert measure(small).sharpness == measure(big).sharpness


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (20, 1), (2, 2), (32, 32), (33, 31)])
def test_small_pictures_are_measured(height: int, width: int) -> None:
    """There is no size that has no numbers."""
    quality = measure(scene(height, width))
    assert all(math.isfinite(number) for number in quality)
    assert -(2**63) <= quality.perceptual_hash < 2**63


def test_the_hash_is_that_of_its_definition() -> None:
    """Against the cosine transform of cv2, bit by bit."""
    luma = _luma(scene())
    small = cv2.resize(luma, (32, 32), interpolation=cv2.INTER_AREA)
    waves = np.rint(np.asarray(cv2.dct(small.astype(np.float64)))[:8, :8].ravel() / 4)
    median = sorted(waves)[32]
    expected = sum(1 << place for place, wave in enumerate(waves) if wave > median)
    assert expected == perceptual_hash(luma) & 0xFFFF_FFFF_FFFF_FFFF


def test_the_hash_holds_still_under_noise_and_moves_with_the_scene() -> None:
    """Near-identical frames differ in few bits, other scenes in many."""
    scenes = [scene(seed=seed) for seed in range(8)]
    noisy = [hash_distance(measure(rgb).perceptual_hash, measure(_noisy(rgb, 3, 1)).perceptual_hash) for rgb in scenes]
    turned = [
        hash_distance(measure(rgb).perceptual_hash, measure(rgb[:, ::-1].copy()).perceptual_hash) for rgb in scenes
    ]
    assert max(noisy) <= 6
    assert min(turned) >= 12


def test_the_hash_of_an_even_night_is_not_drawn_by_lot() -> None:
    """Sensor noise alone gives one hash: two dark frames with nothing on them are alike."""
    nights = [measure(_noisy(_even(8, 100, 100), 2, seed)).perceptual_hash for seed in range(20)]
    assert max(hash_distance(nights[0], night) for night in nights) <= 4


def test_distance_counts_bits_of_signed_numbers() -> None:
    """-1 has all 64 bits set."""
    assert hash_distance(-1, 0) == 64
    assert hash_distance(-(2**63), 0) == 1
    assert hash_distance(5, 5) == 0
