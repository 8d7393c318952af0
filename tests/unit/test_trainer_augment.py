"""Changed crops: another picture of the same thing, the same for the same seed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.trainer.augment import Augmentation, augment
from services.trainer.cutout import cut_out

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
        {"shear": 0.3},
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


def object_on(shade: int, side: int = 60) -> NDArray[np.uint8]:
    """A red box in the middle of asphalt of that *shade*, with a little noise."""
    crop = np.full((side, side, 3), shade, dtype=np.uint8)
    crop[side // 4 : -side // 4, side // 4 : -side // 4] = (200, 30, 30)
    return np.clip(crop + np.random.default_rng(shade).normal(0, 3, crop.shape), 0, 255).astype(np.uint8)


def test_an_object_is_cut_out_and_its_place_is_filled() -> None:
    """The mask is the box, the place has nothing of it left."""
    found = cut_out(object_on(120))
    assert found.mask is not None
    assert found.place is not None
    box = np.zeros((60, 60), dtype=bool)
    box[15:45, 15:45] = True
    assert ((found.mask > 127) == box).mean() > 0.9
    assert np.abs(found.place.astype(int) - 120).max() < 40


def test_what_fills_its_crop_or_is_not_there_is_not_cut_out() -> None:
    """Neither has a border that it differs from."""
    assert cut_out(np.full((40, 40, 3), 90, dtype=np.uint8)).mask is None
    assert cut_out(np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)).mask is None


def test_a_swapped_object_stands_before_another_place() -> None:
    """Its own pixels in the middle, the other's around it; without a mask, a place or the wish, nothing is swapped."""
    own, other = cut_out(object_on(60)), cut_out(object_on(220))
    swap = replace(STILL, swap_share=1)

    def changed(by: Augmentation, mask: Any, place: Any) -> NDArray[np.uint8]:
        return augment(object_on(60), by, np.random.default_rng(1), mask=mask, place=place)

    found = changed(swap, own.mask, other.place).astype(int)
    assert np.abs(found[20:40, 20:40] - (200, 30, 30)).mean() < 5
    assert found[[2, -3]].mean() > 150
    for by, mask, place in ((STILL, own.mask, other.place), (swap, None, other.place), (swap, own.mask, None)):
        np.testing.assert_array_equal(changed(by, mask, place), object_on(60))


def test_a_slant_shifts_the_top_against_the_bottom() -> None:
    """An upright line leans; its middle stays."""
    line = np.zeros((41, 41, 3), dtype=np.uint8)
    line[:, 20] = 255
    leant = augment(line, replace(STILL, shear=0.5), np.random.default_rng(1))[..., 0].argmax(axis=1)
    assert leant[20] == 20
    assert abs(int(leant[2]) - int(leant[-3])) > 3
