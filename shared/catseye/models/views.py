"""Views: from what angle and before what background crops show their objects, found without a label.

A camera at a road sees one kind of vehicle turn off and another drive on: then the place tells the class, and a split
by time leaves it on both sides. Views are clusters of what is not the vehicle, so that a split and an accuracy can be
made by them. Of each crop are taken the colours along its border, against their own median, and how its edges are
directed.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_VIEWS = 12
FEWEST_CROPS = 40
"""Of a view on average; fewer crops make fewer views."""

_SIDE = 96
_CELLS = 12
_DIRECTIONS = 12
_GREY_LEVELS = 60.0
"""A border that differs by more from its median is an object that reaches into it."""
_BORDER_WEIGHT, _EDGES_WEIGHT = 0.35 / 20.0, 2.5
"""Either part has about the same variance on crops of a road, summed over its numbers."""
_COMPONENTS = 12
_ATTEMPTS, _ROUNDS, _SEED = 8, 100, 1

_DOWN, _ACROSS = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
_INSIDE = np.hypot(_DOWN, _ACROSS) < 0.9


def view_features(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What tells the view of one crop: colours of its border and directions of its edges. About 0.3 ms.

    Args:
        crop: RGB, uint8 [h, w, 3].
    """
    even = np.asarray(cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    cells = cv2.resize(even, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA).astype(np.float32)
    # Two rows above and below: a vehicle reaches the sides of its crop sooner.
    border = np.concatenate([cells[:2].reshape(-1, 3), cells[-2:].reshape(-1, 3), cells[2:-2, 0], cells[2:-2, -1]])
    border = np.clip(border - np.median(border, axis=0), -_GREY_LEVELS, _GREY_LEVELS)
    return np.concatenate([border.ravel() * _BORDER_WEIGHT, (_directions(even) - 1.0) * _EDGES_WEIGHT]).astype(
        np.float32
    )


def views_of(features: Sequence[NDArray[np.float32]]) -> NDArray[np.int64]:
    """Number of the view of each crop; 0 is the commonest.

    The same crops in the same order give the same views.

    Args:
        features: As `view_features` gives them; at least one.

    Returns:
        int64 [N]; 1 to `MOST_VIEWS` different ones, one for `FEWEST_CROPS` crops or less.
    """
    rows = np.stack(features).astype(np.float32)
    count = min(MOST_VIEWS, max(1, len(rows) // FEWEST_CROPS))
    if count == 1:
        return np.zeros(len(rows), dtype=np.int64)
    centred = rows - rows.mean(axis=0)
    components = np.asarray(cv2.eigen(centred.T @ centred)[2])
    points = np.ascontiguousarray(centred @ components[:_COMPONENTS].T, dtype=np.float32)
    cv2.setRNGSeed(_SEED)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, _ROUNDS, 1e-4)
    found = cv2.kmeans(points, count, None, stop, _ATTEMPTS, cv2.KMEANS_PP_CENTERS)[1].ravel()  # type: ignore[call-overload]
    names, places, sizes = np.unique(found, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(names))
    return rank[places]


def _directions(even: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much edge there is in each of twelve directions, 1 on average (Dalal and Triggs, 2005, "HOG")."""
    grey = cv2.GaussianBlur(cv2.cvtColor(even, cv2.COLOR_RGB2GRAY), (0, 0), 1.5).astype(np.float32)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down) * _INSIDE
    place = (np.arctan2(down, across) % np.pi) / np.pi * _DIRECTIONS
    low = np.floor(place).astype(np.int64)
    share = place - low
    sums = np.bincount((low % _DIRECTIONS).ravel(), (strength * (1.0 - share)).ravel(), _DIRECTIONS)
    sums += np.bincount(((low + 1) % _DIRECTIONS).ravel(), (strength * share).ravel(), _DIRECTIONS)
    total = float(sums.sum())
    return np.ones(_DIRECTIONS) if total == 0.0 else np.asarray(sums * (_DIRECTIONS / total), dtype=np.float64)
