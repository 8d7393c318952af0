"""Weather on pictures: graded, repeatable, of any size, and like what it is called."""

from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.models.jpeg import decode_rgb
from services.ingest.quality import Quality, measure
from services.simulator.weather import KINDS, LASTING, SEVEREST, corrupt

CROPS = Path(__file__).parents[2] / "infra" / "example" / "crops"
PICTURES = [decode_rgb(sorted(folder.glob("*.jpg"))[n].read_bytes()) for folder in CROPS.glob("*/") for n in (0, 50)]
GREY = np.full((100, 100, 3), 128, dtype=np.uint8)


def after(kind: str, severity: float, picture: NDArray[np.uint8] = GREY, seed: int = 1) -> NDArray[np.uint8]:
    return corrupt(picture, kind, severity, np.random.default_rng(seed))


def change(kind: str, severity: float) -> float:
    """Mean difference over many pictures, grey levels."""
    return fmean(
        float(np.abs(after(kind, severity, picture, seed).astype(int) - picture).mean())
        for seed, picture in enumerate(PICTURES)
    )


def quality(kind: str, severity: int, picture: NDArray[np.uint8]) -> Quality:
    return measure(after(kind, severity, picture))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 40), (32, 32), (100, 100), (64, 100), (240, 320)])
def test_any_size_comes_back_as_it_was(kind: str, size: tuple[int, int]) -> None:
    """Shape, type and memory as before at every severity; what was handed in is not touched."""
    picture = np.asarray(cv2.resize(PICTURES[0], size[::-1]), dtype=np.uint8)
    before = picture.copy()
    for severity in range(1, SEVEREST + 1):
        corrupted = after(kind, severity, picture)
        assert corrupted.shape == (*size, 3)
        assert corrupted.dtype == np.uint8
        assert corrupted.flags.c_contiguous
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_chance_gives_the_same_picture(kind: str) -> None:
    """Twice the same from the same generator state."""
    assert np.array_equal(after(kind, 3, PICTURES[1], 7), after(kind, 3, PICTURES[1], 7))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jpeg"])
def test_other_chance_gives_another_picture(kind: str) -> None:
    """No two frames in the rain are alike, no two cameras are dirty in the same places."""
    assert not np.array_equal(after(kind, 4, PICTURES[1], 7), after(kind, 4, PICTURES[1], 8))


@pytest.mark.parametrize("kind", KINDS)
def test_severity_grows_from_barely_to_much(kind: str) -> None:
    """Each step changes pictures more than the one before; the last one at least twice as much as the first."""
    steps = [change(kind, severity) for severity in range(1, SEVEREST + 1)]
    assert steps == sorted(steps)
    assert steps[0] > 0.3
    assert steps[-1] > 2 * steps[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fraction_lies_between_two_steps(kind: str) -> None:
    """Severity 4.4 changes pictures more than 4 does and less than 5."""
    steps = [change(kind, severity) for severity in (4, 4.4, 5)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("picture", PICTURES[:6])
def test_pictures_check_like_their_weather(picture: NDArray[np.uint8]) -> None:
    """Fog flattens and pales, night darkens but for lamps, blur softens, noise and rain and snow roughen."""
    clear = measure(picture)
    fog, night, blur, noise = (quality(kind, 4, picture) for kind in ("fog", "night", "blur", "noise"))
    assert fog.contrast < 0.6 * clear.contrast
    assert fog.sharpness < 0.3 * clear.sharpness
    assert fog.brightness > clear.brightness
    assert night.brightness < 0.5 * clear.brightness
    assert after("night", 4, picture).max() > 200
    assert blur.sharpness < 0.2 * clear.sharpness
    assert blur.brightness == pytest.approx(clear.brightness, abs=0.02)
    assert noise.sharpness > clear.sharpness
    assert quality("glare", 4, picture).bright_share > clear.bright_share + 0.02
    for kind in ("snow", "rain"):
        assert measure(after(kind, 4)).sharpness > measure(GREY).sharpness + 0.001


def test_fog_is_thicker_far_away() -> None:
    """The upper part of a road is the far one; and fog is not even."""
    black = np.zeros_like(GREY)
    rows = np.mean([after("fog", 3, black, seed).mean(axis=(1, 2)) for seed in range(40)], axis=0)
    assert rows[:20].mean() > rows[-20:].mean() + 10
    assert after("fog", 3, black)[50].std() > 1


def test_what_lasts_keeps_its_places() -> None:
    """The same generator state dirties two pictures in the same places, and worse dirt covers what milder dirt did."""
    assert {"dirt", "moved"} == LASTING
    white = np.full_like(GREY, 255)
    first, second = (after("dirt", 4, picture) != picture for picture in (GREY, white))
    assert np.array_equal(first.any(axis=2), second.any(axis=2))
    mild, bad = (after("dirt", severity).astype(int) < 118 for severity in (3, 5))
    assert 0.02 < mild.mean() < bad.mean()
    assert (bad & mild).sum() > 0.97 * mild.sum()


def test_a_moved_camera_moves_everything_alike() -> None:
    """A dot lands in the same place whatever else is in the picture."""
    dots = []
    for background in (0, 60):
        picture = np.full_like(GREY, background)
        picture[38:42, 58:62] = 255
        dots.append(divmod(int(after("moved", 3, picture)[..., 0].argmax()), 100))
    (down, across), (other_down, other_across) = dots
    assert max(abs(down - other_down), abs(across - other_across)) <= 1
    assert max(abs(down - 40), abs(across - 60)) > 2


def test_what_is_not_weather_is_refused() -> None:
    """The sentence names what there is."""
    with pytest.raises(ValueError, match="hail is not one of fog, night"):
        after("hail", 1)
    for severity in (0, 0.9, 5.1, 6, float("nan")):
        with pytest.raises(ValueError, match=f"severity is {severity}; it is 1 to 5"):
            after("fog", severity)
