"""Views of a class that are rare among the crops are drawn more often, so that a net meets them as if they were not.

A net that sees cars turn off once in thirty times learns that what turns off is no car.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from catseye.models.views import view_features, views_of
from services.trainer.data import Part

FEWEST_OF_A_VIEW: Final = 8
"""A group of two or three is chance, or a mistaken label: it does not get the weight of a view."""


def shares_of(part: Part, balance: float) -> NDArray[np.float64]:
    """How likely each crop of *part* is drawn, float64 [N], 1 together.

    Args:
        part: Crops.
        balance: 0 draws each crop alike, 1 each view of a class (`catseye.models.views`) as often as its others.
            Classes are as frequent among those drawn as among the crops.
    """
    return shares_by_view(part.labels, views_of([view_features(image) for image in part.images]), balance)


def shares_by_view(labels: NDArray[np.int64], views: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    """The same, of crops whose *views*, int64 [N], are known."""
    group = labels * (int(views.max()) + 1) + views
    sizes = np.maximum(np.bincount(group), FEWEST_OF_A_VIEW)
    weights = sizes[group].astype(np.float64) ** -balance
    of_class, weight_of_class = np.bincount(labels), np.bincount(labels, weights)
    return np.asarray(weights / weight_of_class[labels] * of_class[labels] / len(labels), dtype=np.float64)
