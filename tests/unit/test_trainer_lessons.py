"""What a training learns from candidates that were rejected before it."""

import numpy as np
import pytest
from msgspec.structs import replace

from services.trainer.gate import DRIFTED, ELSEWHERE, GOLDEN, HeldOut, assess
from services.trainer.lessons import Lesson, adapted, lesson_of, repeated
from services.trainer.recipe import Recipe
from tests.unit.test_trainer_core import event


def held_out(where: str, label: str, champion: bool, candidate: bool, count: int = 99) -> list[HeldOut]:
    """Frames that both answered alike."""
    camera = "north" * (where != GOLDEN)
    return [HeldOut(where, camera, label, champion, candidate, picture) for picture in range(count)]  # type: ignore[arg-type]


def rejection(*frames: list[HeldOut]) -> Lesson | None:
    """What is learned from what the gate itself says of *frames*."""
    verdict = assess([frame for some in frames for frame in some], margin=0.01, error=0.05)
    assert not verdict.passed
    return lesson_of(replace(event("two", "rejected"), because=verdict.because, metrics=verdict.metrics))


def test_a_candidate_that_forgot_names_the_classes_it_lost() -> None:
    """On the golden set and on cameras that did not change; what it lost where the road drifted is another matter."""
    better = held_out(DRIFTED, "bus", False, True)
    lost = held_out(GOLDEN, "car", True, False, 20) + held_out(GOLDEN, "car", True, True)
    kept = held_out(ELSEWHERE, "truck", True, True) + held_out(DRIFTED, "van", True, False, 5)
    assert rejection(better, lost, kept) == Lesson(fault="forgot", classes=("car",))


def test_a_candidate_that_is_no_better_learned_too_little() -> None:
    """Where the road drifted."""
    assert rejection(held_out(DRIFTED, "bus", False, False), held_out(GOLDEN, "car", True, True)) == Lesson(
        fault="too_little"
    )


@pytest.mark.parametrize(
    "because", ["labels: four in ten", "superseded: x", "budget: the training did not end", "rejected"]
)
def test_what_measured_no_candidate_teaches_nothing(because: str) -> None:
    """Nor does a person, who rejects for reasons of their own."""
    assert lesson_of(replace(event("two", "rejected"), because=because)) is None


def test_the_recipe_follows_the_lessons() -> None:
    """Slower after one that forgot, longer after each; at most three count."""
    recipe = Recipe(epochs=10, learning_rate=0.02)
    forgot, too_little = Lesson(fault="forgot"), Lesson(fault="too_little")
    assert adapted(recipe, []) == recipe
    one = adapted(recipe, [forgot])
    assert (one.epochs, one.learning_rate) == (15, 0.01)
    two = adapted(recipe, [forgot, too_little])
    assert (two.epochs, two.learning_rate) == (22, 0.01)
    assert adapted(recipe, [forgot] * 9) == adapted(recipe, [forgot] * 3)


def test_crops_of_the_lost_classes_come_twice() -> None:
    """A class that the model does not have any more is passed over."""
    labels = np.array([0, 1, 2, 1])
    lessons = [Lesson(fault="forgot", classes=("car", "gone"))]
    assert repeated(labels, ("bus", "car", "van"), lessons).tolist() == [0, 1, 2, 3, 1, 3]
    assert repeated(labels, ("bus", "car", "van"), []).tolist() == [0, 1, 2, 3]
