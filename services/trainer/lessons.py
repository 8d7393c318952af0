"""What a training learns from those before it whose candidates did worse than the champion. Pure.

A candidate that lost what the champion knew is followed by one that learns more slowly and sees more of the classes
that were lost; one that learned too little, by one that learns for longer. Both are judged on frames that came since.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from catseye.contract.records import ModelEvent
from services.trainer.gate import NOT_BETTER, WORSE
from services.trainer.recipe import Recipe

SLOWER: Final = 0.5
LONGER: Final = 1.5
MOST: Final = 3
"""After so many candidates in a row the recipe changes no further: the data are at fault then."""
_FORGOT: Final = ("worse", "class_worse", "camera_worse")
_TOO_LITTLE: Final = "no_difference"
_CLASS: Final = "/class/"


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate that was rejected.

    Attributes:
        fault: It forgot what the champion knew, or it learned too little of the changed road.
        classes: Of the classes on which it was worse than the champion where nothing had changed, those known.
    """

    fault: Literal["forgot", "too_little"]
    classes: tuple[str, ...] = ()


def lesson_of(event: ModelEvent) -> Lesson | None:
    """What a rejection teaches; None where no candidate was measured: wrong labels, a superseded decision, a person."""
    code = event.because.partition(":")[0]
    if event.because.startswith(NOT_BETTER) or code == _TOO_LITTLE:
        return Lesson(fault="too_little")
    if event.because.startswith(WORSE) or code in _FORGOT:
        return Lesson(fault="forgot", classes=_lost(event))
    return None


def adapted(recipe: Recipe, lessons: Sequence[Lesson]) -> Recipe:
    """*recipe* after *lessons*, the last few of which count."""
    counted = lessons[-MOST:]
    forgot = sum(lesson.fault == "forgot" for lesson in counted)
    return replace(
        recipe,
        learning_rate=recipe.learning_rate * SLOWER**forgot,
        epochs=round(recipe.epochs * LONGER ** len(counted)),
    )


def repeated(labels: NDArray[np.int64], classes: Sequence[str], lessons: Iterable[Lesson]) -> NDArray[np.int64]:
    """Places of *labels*, int64 [N], those of the classes that were lost twice."""
    lost = {name for lesson in lessons for name in lesson.classes}
    again = np.isin(labels, [place for place, name in enumerate(classes) if name in lost])
    return np.concatenate([np.arange(len(labels)), np.flatnonzero(again)])


def _lost(event: ModelEvent) -> tuple[str, ...]:
    """Classes on which the candidate had fewer right than the champion, on the golden set or on unchanged cameras."""
    lost = set()
    for name, candidate in event.metrics.items():
        where, found, rest = name.partition(_CLASS)
        if found and where in ("golden", "elsewhere") and rest.endswith("/candidate"):
            label = rest.removesuffix("/candidate")
            if candidate < event.metrics.get(f"{where}{_CLASS}{label}/champion", 0.0):
                lost.add(label)
    return tuple(sorted(lost))
