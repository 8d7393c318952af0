"""What a model has right of frames whose class is known. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from catseye.ops.card.figures import Share, share


class Score:
    """Counts predictions by true class.

    Args:
        pairs: True class and predicted class of each frame; at least one.
        views: Number of each frame's view, see `catseye.models.views`; none where they are not asked for.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], views: Sequence[int] = ()) -> None:
        pairs = list(pairs)
        counts = Counter(pairs)
        self.by_view: dict[int, Score] = {
            view: Score(pair for pair, own in zip(pairs, views, strict=True) if own == view)
            for view in sorted(set(views))
        }
        classes = sorted({true for true, _ in counts})
        self.confusion: dict[str, dict[str, int]] = {
            true: {predicted: n for (own, predicted), n in counts.most_common() if own == true} for true in classes
        }
        self.by_class: dict[str, Share] = {
            true: share(row.get(true, 0), sum(row.values())) for true, row in self.confusion.items()
        }
        self.all = share(sum(own.right for own in self.by_class.values()), sum(counts.values()))

    def as_json(self) -> dict[str, Any]:
        """Frames, accuracy, accuracy by true class (recall), true class to predicted class to frames; by view."""
        found: dict[str, Any] = {
            "n": self.all.of,
            "accuracy": self.all.accuracy,
            "by_class": {name: own.accuracy for name, own in self.by_class.items()},
            "confusion": self.confusion,
        }
        if self.by_view:
            found["by_view"] = {str(view): own.as_json() for view, own in self.by_view.items()}
        return found

    def rows(self) -> list[tuple[str, ...]]:
        """A table for people: a row a true class, with its interval and what it was taken for."""
        return [
            ("CLASS", "FRAMES", "RIGHT", "ACCURACY", "95 % INTERVAL", "TAKEN FOR"),
            *[
                (name, f"{own.of:,}", f"{own.right:,}", f"{own.accuracy:.1%}", _interval(own), self._taken_for(name))
                for name, own in self.by_class.items()
            ],
        ]

    def view_rows(self) -> list[tuple[str, ...]]:
        """A table for people: a row a view, the commonest first, with the right and all frames of each class in it."""
        return [
            ("VIEW", "FRAMES", "RIGHT", "ACCURACY", "95 % INTERVAL", "BY CLASS"),
            *[
                (str(view), f"{own.all.of:,}", f"{own.all.right:,}", f"{own.all.accuracy:.1%}", _interval(own.all),
                 ", ".join(f"{name} {one.right}/{one.of}" for name, one in own.by_class.items()))
                for view, own in self.by_view.items()
            ],
        ]  # fmt: skip

    def views_sentence(self) -> str:
        """How far the views differ, in one line; at least two."""
        worst, *_, best = sorted(self.by_view.items(), key=lambda each: each[1].all.accuracy)
        return (
            f"{len(self.by_view)} views (angle and background): from {worst[1].all.accuracy:.1%} of view {worst[0]} "
            f"to {best[1].all.accuracy:.1%} of view {best[0]}"
        )

    def sentence(self) -> str:
        """The whole in one line."""
        return (
            f"{self.all.right:,} of {self.all.of:,} frames are right: {self.all.accuracy:.1%} ({_interval(self.all)})"
        )

    def _taken_for(self, true: str) -> str:
        return ", ".join(f"{predicted} {n:,}" for predicted, n in self.confusion[true].items() if predicted != true)


def _interval(own: Share) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"
