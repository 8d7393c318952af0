"""What a model has right of frames whose class is known. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from catseye.ops.card.figures import Share, share


class Score:
    """Counts predictions by true class.

    Args:
        pairs: True class and predicted class of each frame; at least one.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        counts = Counter(pairs)
        classes = sorted({true for true, _ in counts})
        self.confusion: dict[str, dict[str, int]] = {
            true: {predicted: n for (own, predicted), n in counts.most_common() if own == true} for true in classes
        }
        self.by_class: dict[str, Share] = {
            true: share(row.get(true, 0), sum(row.values())) for true, row in self.confusion.items()
        }
        self.all = share(sum(own.right for own in self.by_class.values()), sum(counts.values()))

    def as_json(self) -> dict[str, Any]:
        """Frames, accuracy, accuracy by true class (recall), and true class to predicted class to frames."""
        return {
            "n": self.all.of,
            "accuracy": self.all.accuracy,
            "by_class": {name: own.accuracy for name, own in self.by_class.items()},
            "confusion": self.confusion,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """A table for people: a row a true class, with its interval and what it was taken for."""
        return [
            ("CLASS", "FRAMES", "RIGHT", "ACCURACY", "95 % INTERVAL", "TAKEN FOR"),
            *[
                (name, f"{own.of:,}", f"{own.right:,}", f"{own.accuracy:.1%}", _interval(own), self._taken_for(name))
                for name, own in self.by_class.items()
            ],
        ]

    def sentence(self) -> str:
        """The whole in one line."""
        return (
            f"{self.all.right:,} of {self.all.of:,} frames are right: {self.all.accuracy:.1%} ({_interval(self.all)})"
        )

    def _taken_for(self, true: str) -> str:
        return ", ".join(f"{predicted} {n:,}" for predicted, n in self.confusion[true].items() if predicted != true)


def _interval(own: Share) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"
