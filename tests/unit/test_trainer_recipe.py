"""Recipes: what a search changes about one, and what is written of it."""

from dataclasses import replace

import numpy as np
import pytest

from services.trainer.augment import Augmentation, augment
from services.trainer.recipe import GRID, PRETRAINED, Recipe, Trial, as_parameters, over_frozen, varied

OWN = Recipe(learning_rate=0.02, weight_decay=1e-4)


def test_a_search_begins_with_the_recipe_itself() -> None:
    """The factor 1 is there for every name, and changes nothing."""
    assert all(1.0 in factors for factors in GRID.values())
    assert varied(OWN, dict.fromkeys(GRID, 1.0)) == varied(OWN, {}) == OWN


@pytest.mark.parametrize("name", GRID)
def test_every_name_of_the_grid_is_a_setting(name: str) -> None:
    """It changes that one, and no other."""
    changed = varied(OWN, {name: 0.5})
    assert getattr(changed, name) != getattr(OWN, name)
    assert replace(changed, **{name: getattr(OWN, name)}) == OWN


def test_no_share_leaves_its_range() -> None:
    """Whatever the grid makes of the recipe with which trainings begin."""
    for factor in GRID["augmentation"]:
        scaled = Augmentation().scaled(factor)
        shares = [scaled.blur_share, scaled.noise_share, scaled.jpeg_share, scaled.erase_share]
        assert all(0 <= share <= 1 for share in shares)
    assert all(0 < factor <= 1 for factor in GRID["replay_share"])


def test_an_augmentation_without_strength_only_mirrors() -> None:
    """A crop or its mirror image, and nothing between."""
    crop = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    changed = augment(crop, Augmentation().scaled(0.0), np.random.default_rng(1))
    assert np.array_equal(changed, crop) or np.array_equal(changed, crop[:, ::-1])
    assert Augmentation().scaled(0.0).zoom == (1.0, 1.0)


def test_over_a_frozen_half_only_what_learns_costs() -> None:
    """Copies are seen through it once; more stays than in a first fit; how long and how far crops are changed stays as
    it was asked for."""
    found = over_frozen(OWN)
    assert (found.frozen_modules > PRETRAINED.frozen_modules, found.copies > 0, found.optimiser) == (
        True,
        True,
        "adamw",
    )
    assert (found.epochs, found.augmentation) == (OWN.epochs, OWN.augmentation)
    assert found.learning_rate < OWN.learning_rate


def test_the_loss_of_a_trial_is_its_last() -> None:
    """Where it was given up, the one at which it was."""
    assert Trial(OWN, (0.9, 0.4, 0.5), 1.0, pruned=True).loss == 0.5


def test_parameters_are_text_by_name() -> None:
    """As MLflow wants them."""
    found = as_parameters(OWN)
    assert (found["learning_rate"], found["replay_share"]) == ("0.02", "1.0")
    assert set(map(type, found.values())) == {str}
