"""Does a model know the object or the place? It is asked about the same object before another class's background.

Nothing is moved and nothing is lit anew: only the background is another. A model that reads the place changes its
answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catseye.models.net import MICRO_BATCH, Net
from services.trainer.cutout import Crop, Cutout, cut_out
from services.trainer.data import Part
from services.trainer.score import Share


@dataclass(frozen=True, slots=True)
class Unchanged:
    """How many answers stayed what they were on the object's own background, right or wrong.

    Args:
        share: Over all composites.
        by_class: Class name to its share; classes of which no object could be cut out are missing.
    """

    share: Share
    by_class: dict[str, Share]


def unchanged(
    answers: Callable[[Sequence[Crop]], NDArray[np.float32]],
    part: Part,
    classes: Sequence[str],
    *,
    count: int,
    seed: int,
) -> Unchanged:
    """Ask about *count* composites of crops of *part*.

    Args:
        answers: What the model says of crops, float32 [N, C]: logits or probabilities.
        part: Crops of at least two classes; those whose object cannot be cut out give backgrounds only.
        classes: Names of the classes.
        count: How many composites, 1 or more.
        seed: Of their choice.

    Raises:
        ValueError: No object could be cut out, or there is no background of another class.
    """
    chance = np.random.default_rng(seed)
    cutouts = [cut_out(image) for image in part.images]
    objects = np.array([place for place, own in enumerate(cutouts) if own.mask is not None])
    places = np.array([place for place, own in enumerate(cutouts) if own.place is not None])
    if not len(objects) or len(np.unique(part.labels[places])) < 2:
        raise ValueError("there is no object and background of two classes")
    chosen = chance.choice(objects, count)
    behind = [chance.choice(places[part.labels[places] != part.labels[own]]) for own in chosen]
    composites = tuple(
        composite(part.images[own], cutouts[own], cutouts[other]) for own, other in zip(chosen, behind, strict=True)
    )
    before = answers(part.images).argmax(axis=1)[chosen]
    same = answers(composites).argmax(axis=1) == before
    return Unchanged(Share(int(same.sum()), count), _by_class(same, part.labels[chosen], classes))


def answered_by(net: Net) -> Callable[[Sequence[Crop]], NDArray[np.float32]]:
    """What *net* says of any number of crops."""

    def answers(crops: Sequence[Crop]) -> NDArray[np.float32]:
        batches = [crops[start : start + MICRO_BATCH] for start in range(0, len(crops), MICRO_BATCH)]
        return np.concatenate([net.predict(batch).probabilities for batch in batches])

    return answers


def composite(image: Crop, own: Cutout, other: Cutout) -> Crop:
    """The object of *image* before the place of *other*, which is of the same size; both were told apart."""
    assert own.mask is not None
    assert other.place is not None
    share = own.mask[:, :, None].astype(np.float32) / 255.0
    return np.asarray(image * share + other.place * (1.0 - share), dtype=np.uint8)


def _by_class(same: NDArray[np.bool_], labels: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Share]:
    return {
        name: Share(int(same[labels == place].sum()), int((labels == place).sum()))
        for place, name in enumerate(classes)
        if (labels == place).any()
    }
