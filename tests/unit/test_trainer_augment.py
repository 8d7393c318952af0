"""Changed crops: another picture of the same thing, the same for the same seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.augment import Augmentation, augment

STILL = Augmentation(
    flip_share=0,
    rotation_degrees=0,
    zoom=(1, 1),
    stretch=0,
    shift=0,
    light=0,
    tint=0,
    blur_share=0,
    noise_share=0,
    jpeg_share=0,
    erase_share=0,
)
CROP = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def change(**amounts: Any) -> NDArray[np.uint8]:
    """`CROP` with only *amounts* of change."""
    return augment(CROP, replace(STILL, **amounts), np.random.default_rng(1))


def test_without_any_amount_nothing_changes() -> None:
    """Resampling and colours are the identity then."""
    np.testing.assert_array_equal(change(), CROP)


def test_a_flip_is_a_mirror_image() -> None:
    """Left becomes right, and nothing else."""
    np.testing.assert_array_equal(change(flip_share=1), CROP[:, ::-1])


@pytest.mark.parametrize(
    "amounts",
    [
        {"rotation_degrees": 10},
        {"zoom": (1.1, 1.3)},
        {"stretch": 0.3},
        {"shift": 0.2},
        {"light": 0.3},
        {"tint": 0.2},
        {"blur_share": 1},
        {"noise_share": 1},
        {"jpeg_share": 1},
        {"erase_share": 1},
    ],
)
def test_each_amount_changes_pixels_and_not_the_size(amounts: dict[str, Any]) -> None:
    """Same size, same type, other pixels; the given crop is not touched."""
    before = CROP.copy()
    changed = change(**amounts)
    assert (changed.shape, str(changed.dtype), bool((changed != CROP).any())) == ((30, 40, 3), "uint8", True)
    np.testing.assert_array_equal(CROP, before)


def test_a_seed_gives_the_same_crop_again() -> None:
    """All chance comes from the generator."""
    crops = [augment(CROP, Augmentation(), np.random.default_rng(seed)) for seed in (7, 7, 8)]
    assert ((crops[0] == crops[1]).all(), (crops[0] == crops[2]).all()) == (True, False)


def test_an_erased_rectangle_is_one_colour_of_a_bounded_area() -> None:
    """At most 15 % of the crop, give or take rounding."""
    changed = change(erase_share=1)
    hidden = (changed != CROP).any(axis=2)
    assert 0.01 < hidden.mean() < 0.2
    assert len(np.unique(changed[hidden], axis=0)) == 1
