"""How good a model is on crops that it never saw, with the doubt that their number leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catseye.intervals import wilson
from services.trainer.calibrate import calibration_error, cross_entropy


@dataclass(frozen=True, slots=True)
class Share:
    """A share of trials that came out right."""

    right: int
    of: int

    @property
    def value(self) -> float:
        """0 to 1."""
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval after Wilson, 1927: sensible for shares near 1, where the normal one leaves 0 to 1."""
        return wilson(self.right, self.of)


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy and calibration on one part of the crops.

    Args:
        accuracy: Over all crops.
        by_class: Class name to its share found (recall).
        confusion: Rows are true classes, columns what the model said.
        cross_entropy: Mean, in nats, after calibration.
        calibration_error_raw: Expected calibration error with temperature 1, 0 to 1.
        calibration_error: The same with the model's temperature.
    """

    accuracy: Share
    by_class: dict[str, Share]
    confusion: tuple[tuple[int, ...], ...]
    cross_entropy: float
    calibration_error_raw: float
    calibration_error: float


def score(
    logits: NDArray[np.float32], labels: NDArray[np.int64], classes: tuple[str, ...], temperature: float
) -> Score:
    """Compare *logits* [N, C] with *labels* [N]; every class occurs among the labels."""
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (labels, logits.argmax(axis=1)), 1)
    return Score(
        accuracy=Share(int(np.trace(confusion)), len(labels)),
        by_class={
            name: Share(int(row[place]), int(row.sum()))
            for place, (name, row) in enumerate(zip(classes, confusion, strict=True))
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        cross_entropy=cross_entropy(logits, labels, temperature),
        calibration_error_raw=calibration_error(logits, labels, 1.0),
        calibration_error=calibration_error(logits, labels, temperature),
    )
