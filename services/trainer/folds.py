"""Grouped cross-validation: each view is predicted by a net that never saw it (`catseye.models.views`).

A split at random, or by time, leaves every view on both sides: what comes out then is how well a net knows the place.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import Misconfigured
from catseye.models.model_file import ModelSpec
from catseye.models.views import view_features, views_of
from services.trainer.calibrate import fit_temperature
from services.trainer.data import Part, taken
from services.trainer.score import Score, score


@dataclass(frozen=True, slots=True)
class Unseen:
    """What came of it.

    Args:
        fold_count: How many nets were fitted, each without the views of one fold.
        temperature: With the least cross entropy on these predictions.
        score: Over all crops.
        by_view: View to its score, the commonest first.
    """

    fold_count: int
    temperature: float
    score: Score
    by_view: dict[int, Score]


def folds_of(views: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Fold of each crop: a view is in one fold, and every class is spread over the folds as evenly as that allows.

    The largest views are dealt out first, each to the fold that has least of its classes.

    Args:
        views: int64 [N].
        labels: Class indices, int64 [N].
        count: 2 or more; fewer views make fewer folds.
    """
    held = np.zeros((count, int(labels.max()) + 1))
    totals = np.bincount(labels, minlength=held.shape[1]).clip(1)
    found = np.zeros(len(views), dtype=np.int64)
    for view in sorted(set(views.tolist()), key=lambda view: (-int((views == view).sum()), view)):
        shares = np.bincount(labels[views == view], minlength=held.shape[1]) / totals
        fold = int((held @ shares).argmin())
        held[fold] += shares
        found[views == view] = fold
    return found


def cross_validate(
    part: Part,
    classes: tuple[str, ...],
    count: int,
    logits_without: Callable[[Part, Part], NDArray[np.float32]],
) -> Unseen:
    """Fit *count* nets and score each on the views that it did not see.

    Args:
        part: All crops that a net may be fitted on.
        classes: Their names.
        count: Folds, 2 or more.
        logits_without: Fits a net on its first argument; what it says of the second, float32 [N, C].

    Raises:
        Misconfigured: The crops show one view.
    """
    views = views_of([view_features(image) for image in part.images])
    if len(set(views.tolist())) < 2:
        raise Misconfigured(f"--folds: {len(part.images)} crops show one view; a fold without it would have none left")
    fold_of = folds_of(views, part.labels, count)
    logits = np.zeros((len(part.images), len(classes)), dtype=np.float32)
    for fold in sorted(set(fold_of.tolist())):
        out = fold_of == fold
        logits[out] = logits_without(taken(part, ~out), taken(part, out))
    return unseen(logits, part.labels, views, classes, len(set(fold_of.tolist())))


def unseen(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    views: NDArray[np.int64],
    classes: tuple[str, ...],
    fold_count: int,
) -> Unseen:
    """Score *logits* [N, C] over all and by view."""
    temperature = round(fit_temperature(logits, labels), 4)
    whole = _score_of(logits, labels, classes, temperature, np.ones(len(labels), dtype=bool))
    return Unseen(fold_count, temperature, whole, _scores(logits, labels, views, classes, temperature))


def by_view(logits: NDArray[np.float32], part: Part, spec: ModelSpec) -> dict[int, Score]:
    """Score *logits* [N, C] of *part* for each of its views, the commonest first."""
    views = views_of([view_features(image) for image in part.images])
    return _scores(logits, part.labels, views, spec.classes, spec.temperature)


def _scores(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    views: NDArray[np.int64],
    classes: tuple[str, ...],
    temperature: float,
) -> dict[int, Score]:
    return {int(view): _score_of(logits, labels, classes, temperature, views == view) for view in np.unique(views)}


def _score_of(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    temperature: float,
    which: NDArray[np.bool_],
) -> Score:
    """Of those crops; classes that do not occur among them are left out."""
    found = score(logits[which], labels[which], classes, temperature)
    return replace(found, by_class={name: share for name, share in found.by_class.items() if share.of})
