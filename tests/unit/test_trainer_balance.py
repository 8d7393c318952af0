"""Balance: rare views of a class are drawn more often, classes as often as they are there."""

import numpy as np
import pytest

from services.trainer.balance import FEWEST_OF_A_VIEW, shares_by_view, shares_of
from services.trainer.data import Part

LABELS = np.repeat([0, 0, 1, 1, 1], [90, 10, 40, 59, 1])
VIEWS = np.repeat([0, 1, 1, 2, 0], [90, 10, 40, 59, 1])


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_classes_stay_as_frequent_as_they_are(balance: float) -> None:
    """Whatever is done about their views; all shares together are 1."""
    shares = shares_by_view(LABELS, VIEWS, balance)
    assert np.bincount(LABELS, shares) == pytest.approx([0.5, 0.5])


def test_without_balance_each_crop_is_as_likely_as_any_other() -> None:
    """The control: nothing is drawn more often."""
    assert shares_by_view(LABELS, VIEWS, 0.0) == pytest.approx(np.full(200, 1 / 200))


def test_at_full_balance_each_view_of_a_class_is_as_likely_as_its_others() -> None:
    """Ten of a class that stand apart are together as likely as the ninety; a single one is not."""
    shares = shares_by_view(LABELS, VIEWS, 1.0)
    assert shares[:90].sum() == pytest.approx(shares[90:100].sum()) == pytest.approx(0.25)
    assert shares[199] == pytest.approx(shares[140:199].sum() / FEWEST_OF_A_VIEW)


def test_views_are_found_in_the_crops() -> None:
    """Crops too few for views of their own are of one: all alike."""
    crops = tuple(np.full((60, 60, 3), 10 * place, dtype=np.uint8) for place in range(6))
    assert shares_of(Part(crops, np.arange(6) % 2), 1.0) == pytest.approx(np.full(6, 1 / 6))
