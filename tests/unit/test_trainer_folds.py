"""Grouped cross-validation and counterfactuals: what shows that a model knows the place and not the object."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from catseye.contract.errors import Misconfigured
from services.trainer.counterfactual import unchanged
from services.trainer.data import Part
from services.trainer.folds import cross_validate, folds_of

Crop = NDArray[np.uint8]
CLASSES = ("dark", "light")
KERBS = ((210, 150, 60), (60, 110, 190))


def crop(label: int, place: int, chance: np.random.Generator) -> Crop:
    """A dark or light box on asphalt with the kerb of one of two places along two sides."""
    found = np.full((60, 60, 3), 120, dtype=np.uint8)
    found[:8] = KERBS[place]
    found[:, :8] = KERBS[place]
    found[18:44, 18:44] = (20, 240)[label]
    return np.clip(found + chance.normal(0, 2, found.shape), 0, 255).astype(np.uint8)


def road(mixed: int = 4) -> tuple[Part, NDArray[np.int64]]:
    """Crops of two places, and their places: each class stands at its own but for one in *mixed*."""
    chance = np.random.default_rng(1)
    labels = np.arange(100) % 2
    places = np.where(np.arange(100) // 2 % mixed == 0, 1 - labels, labels)
    images = tuple(crop(label, place, chance) for label, place in zip(labels.tolist(), places.tolist(), strict=True))
    return Part(images, labels.astype(np.int64)), places


def by_object(crops: Sequence[Crop]) -> NDArray[np.float32]:
    """A model that knows the object."""
    return np.array([[0, float(one[25:35, 25:35].mean()) - 120] for one in crops], dtype=np.float32)


def by_place(crops: Sequence[Crop]) -> NDArray[np.float32]:
    """A model that knows the place."""
    return np.array([[0, float(one[2:5, ..., 2].mean()) - 120] for one in crops], dtype=np.float32)


def test_a_view_is_in_one_fold_and_classes_are_spread() -> None:
    """Four views of two classes: each fold has one of either class."""
    views = np.repeat([0, 1, 2, 3], [30, 30, 20, 20])
    labels = np.repeat([0, 1, 0, 1], [30, 30, 20, 20])
    found = folds_of(views, labels, 2)
    assert all(len(set(found[views == view])) == 1 for view in range(4))
    assert sorted(len(set(labels[found == fold])) for fold in (0, 1)) == [2, 2]
    np.testing.assert_array_equal(found, folds_of(views, labels, 2))


def test_crops_of_one_view_are_refused() -> None:
    """A net without that view would be fitted on nothing."""
    part, _ = road()
    few = Part(part.images[:20], part.labels[:20])
    with pytest.raises(Misconfigured, match="--folds: 20 crops show one view"):
        cross_validate(few, CLASSES, 2, lambda known, out: by_object(out.images))


def test_each_crop_is_predicted_by_a_net_that_never_saw_its_view() -> None:
    """A net that learns the place alone is found out; one that learns the object is not."""
    part, places = road()
    calls: list[tuple[set[int], set[int]]] = []

    def places_of(some: Part) -> set[int]:
        known = {image.tobytes(): place for image, place in zip(part.images, places.tolist(), strict=True)}
        return {known[image.tobytes()] for image in some.images}

    def learns_the_place(known: Part, out: Part) -> NDArray[np.float32]:
        calls.append((places_of(known), places_of(out)))
        commonest = np.bincount(known.labels).argmax()
        return np.eye(2, dtype=np.float32)[np.full(len(out.labels), commonest)]

    found = cross_validate(part, CLASSES, 2, learns_the_place)
    assert [known & out for known, out in calls] == [set(), set()]
    assert (found.fold_count, found.score.accuracy.of, len(found.by_view)) == (2, 100, 2)
    assert found.score.accuracy.value < 0.3
    assert cross_validate(part, CLASSES, 2, lambda _, out: by_object(out.images)).score.accuracy.value == 1.0


@pytest.mark.slow
def test_a_model_that_reads_the_place_changes_its_answer_with_the_background() -> None:
    """One that reads the object does not, right or wrong."""
    part, _ = road(mixed=1000)
    knows = unchanged(by_object, part, CLASSES, count=60, seed=1)
    assert (knows.share.right, sum(own.of for own in knows.by_class.values())) == (60, 60)
    wrong = unchanged(lambda crops: -by_object(crops), part, CLASSES, count=60, seed=1)
    assert wrong.share.value == 1.0
    reads = unchanged(by_place, part, CLASSES, count=60, seed=1)
    assert reads.share.value < 0.1


def test_composites_need_two_classes_and_an_object() -> None:
    """Else there is nothing to put anywhere."""
    part, _ = road()
    one = Part(part.images[::2], part.labels[::2])
    even = Part((np.full((60, 60, 3), 90, dtype=np.uint8),) * 4, np.array([0, 1, 0, 1]))
    for crops in (one, even):
        with pytest.raises(ValueError, match="no object and background of two classes"):
            unchanged(by_object, crops, CLASSES, count=5, seed=1)
