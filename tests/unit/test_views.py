"""Views: crops of one angle and background lie together, whatever they show."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.models.views import FEWEST_CROPS, MOST_VIEWS, view_features, views_of

Crop = NDArray[np.uint8]


def road(angle: float, kerb: bool, shade: int, chance: np.random.Generator, side: int = 100) -> Crop:
    """A bright or dark box at *angle* degrees on asphalt, with an orange kerb above it or without."""
    crop = np.full((side, side, 3), 120, dtype=np.uint8)
    if kerb:
        crop[: side // 6] = (230, 160, 60)
    box = cv2.boxPoints(((side / 2, side / 2), (side * 0.6, side * 0.3), angle + chance.normal(0, 2)))
    cv2.fillPoly(crop, [box.astype(np.int32)], (shade, shade, shade))
    return np.clip(crop + chance.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)


def of_roads(side: int = 100) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """True place, shade of the object and found view of 160 crops of four places."""
    chance = np.random.default_rng(3)
    places = np.arange(4 * FEWEST_CROPS) % 4
    shades = chance.integers(0, 2, len(places))
    crops = [
        road((10, 60)[place % 2], bool(place > 1), (30, 220)[shade], chance, side)
        for place, shade in zip(places, shades, strict=True)
    ]
    return places, shades, views_of([view_features(crop) for crop in crops])


@pytest.mark.parametrize("side", [48, 100, 300])
def test_a_view_is_angle_and_background_and_not_the_object(side: int) -> None:
    """Four places are four views; dark and bright objects are in each. So for crops of any size."""
    places, shades, found = of_roads(side)
    assert [len(set(found[places == place])) for place in range(4)] == [1, 1, 1, 1]
    assert len(set(found)) == 4
    assert all(set(shades[found == view]) == {0, 1} for view in range(4))


def test_the_same_crops_have_the_same_views() -> None:
    """Number by number."""
    np.testing.assert_array_equal(of_roads()[2], of_roads()[2])


def test_the_commonest_view_is_number_0() -> None:
    """And the numbers have no gaps."""
    chance = np.random.default_rng(4)
    crops = [road((10, 60)[place % 4 == 0], place % 4 == 0, 30, chance) for place in range(2 * FEWEST_CROPS)]
    counts = np.bincount(views_of([view_features(crop) for crop in crops]))
    assert counts.tolist() == [FEWEST_CROPS * 3 // 2, FEWEST_CROPS // 2]


def test_few_crops_are_one_view_and_many_are_twelve_at_most() -> None:
    """What would be two crops a view says nothing of it."""
    chance = np.random.default_rng(5)
    rows = [chance.normal(size=8).astype(np.float32) for _ in range(FEWEST_CROPS * (MOST_VIEWS + 2))]
    assert set(views_of(rows[: 2 * FEWEST_CROPS - 1])) == {0}
    assert set(views_of(rows)) == set(range(MOST_VIEWS))


def test_an_even_crop_has_a_view() -> None:
    """No edge, no direction: every one as likely."""
    features = view_features(np.full((20, 30, 3), 90, dtype=np.uint8))
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features, np.zeros_like(features))
