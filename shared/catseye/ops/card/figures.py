"""Accuracy with its doubt, and calibration, from outcomes as they come. Pure."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from catseye.contract.records import Outcome
from catseye.intervals import wilson

BINS = 15
"""Bins of confidence, of equal width, as the trainer has them (Guo et al., 2017)."""


MISTAKES = 24
"""Mistakes of which a picture is looked for."""
_OF_A_PAIR = 4


class Share(msgspec.Struct, frozen=True):
    """A share of labelled frames on which the model was right.

    Attributes:
        right: Frames.
        of: Frames, at least 1.
        accuracy: 0 to 1.
        low: Lower end of the 95 % interval after Wilson, 1927.
        high: Upper end.
    """

    right: int
    of: int
    accuracy: float
    low: float
    high: float


class Bin(msgspec.Struct, frozen=True):
    """Labelled frames with nearly the same confidence.

    Attributes:
        from_: Lowest confidence of the bin, 0 to 1.
        to: Highest.
        confidence: Mean confidence.
        share: How often the model was right.
    """

    from_: float
    to: float
    confidence: float
    share: Share


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy and calibration of a version on the labels so far.

    Attributes:
        by_role: As champion and as shadow; only roles that have labelled frames.
        by_class: True class to the share found of it (recall).
        by_camera: Camera to its share.
        confusion: True class to predicted class to labelled frames.
        bins: Bins that have frames, by confidence.
        calibration_error: Expected calibration error, 0 to 1; None without labelled frames.
        withdrawn: Predictions whose label was taken back; they count nowhere.
        propensity_below_1: Labelled frames that were chosen with a chance below 1.
        sources: Source of labels to labelled frames.
    """

    by_role: dict[str, Share] = {}
    by_class: dict[str, Share] = {}
    by_camera: dict[str, Share] = {}
    confusion: dict[str, dict[str, int]] = {}
    bins: list[Bin] = []
    calibration_error: float | None = None
    withdrawn: int = 0
    propensity_below_1: int = 0
    sources: dict[str, int] = {}


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A labelled frame on which the version was wrong.

    Attributes:
        camera: Of the frame.
        boot: Likewise.
        sequence: Likewise.
        label: What it showed.
        predicted: What the version took it for.
        confidence: How sure it was, 0 to 1.
        partition: Of frames.accepted, where the frame lies while it is kept.
        offset: Likewise.
    """

    camera: str
    boot: str
    sequence: int
    label: str
    predicted: str
    confidence: float
    partition: int
    offset: int


class Labelled:
    """The outcomes of one version: of each prediction the newest holds.

    Args:
        model: Name of the model.
        version: Version; outcomes of others are passed by.
    """

    def __init__(self, model: str, version: str) -> None:
        self._of = (model, version)
        self._newest: dict[str, Outcome | None] = {}

    def on_outcome(self, outcome: Outcome) -> None:
        """Take one outcome in, in the order of its partition."""
        if (outcome.model, outcome.version) != self._of:
            return
        self._newest[outcome.prediction_id] = None if outcome.label is None else outcome

    def figures(self) -> Figures:
        """What holds now."""
        kept = self._kept()
        right = [each.predicted == each.label for each in kept]
        bins = _bins((each.confidence, is_right) for each, is_right in zip(kept, right, strict=True))
        return Figures(
            by_role=_shares(zip((each.role for each in kept), right, strict=True)),
            by_camera=_shares(zip((each.camera for each in kept), right, strict=True)),
            by_class=_shares(zip((str(each.label) for each in kept), right, strict=True)),
            confusion=_confusion(kept),
            bins=bins,
            calibration_error=calibration_error(bins) if kept else None,
            withdrawn=len(self._newest) - len(kept),
            propensity_below_1=sum(each.propensity < 1 for each in kept),
            sources={name: share.of for name, share in _shares((each.source, True) for each in kept).items()},
        )

    def mistakes(self, most: int = MISTAKES) -> list[Mistake]:
        """The surest mistakes, at most *most*, and few that take the same class for the same other one."""
        found: list[Mistake] = []
        pairs: Counter[tuple[str, str]] = Counter()
        wrong = [each for each in self._kept() if each.predicted != each.label]
        for each in sorted(wrong, key=lambda each: (-each.confidence, each.prediction_id)):
            pair = str(each.label), each.predicted
            if len(found) == most or pairs[pair] == _OF_A_PAIR:
                continue
            pairs[pair] += 1
            found.append(
                Mistake(
                    camera=each.camera,
                    boot=each.boot,
                    sequence=each.sequence,
                    label=pair[0],
                    predicted=pair[1],
                    confidence=each.confidence,
                    partition=each.frame_partition,
                    offset=each.frame_offset,
                )
            )
        return found

    def _kept(self) -> list[Outcome]:
        return [each for each in self._newest.values() if each is not None]


def share(right: int, of: int) -> Share:
    """*right* of *of* with its interval; *of* is at least 1."""
    return Share(right, of, right / of, *wilson(right, of))


def calibration_error(bins: Iterable[Bin]) -> float:
    """Expected calibration error, 0 to 1: the mean distance of confidence and accuracy, by frames."""
    kept = list(bins)
    frames = sum(each.share.of for each in kept)
    return sum(each.share.of * abs(each.confidence - each.share.accuracy) for each in kept) / frames


def _bins(rows: Iterable[tuple[float, bool]]) -> list[Bin]:
    right, of, total = [0] * BINS, [0] * BINS, [0.0] * BINS
    for confidence, is_right in rows:
        place = max(0, min(int(confidence * BINS), BINS - 1))
        right[place] += is_right
        of[place] += 1
        total[place] += confidence
    return [
        Bin(place / BINS, (place + 1) / BINS, total[place] / of[place], share(right[place], of[place]))
        for place in range(BINS)
        if of[place]
    ]


def _shares(rows: Iterable[tuple[str, bool]]) -> dict[str, Share]:
    counts: dict[str, list[int]] = {}
    for name, is_right in rows:
        count = counts.setdefault(name, [0, 0])
        count[0] += is_right
        count[1] += 1
    return {name: share(*count) for name, count in sorted(counts.items())}


def _confusion(kept: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    counts = Counter((str(each.label), each.predicted) for each in kept)
    found: dict[str, dict[str, int]] = {}
    for (label, predicted), count in sorted(counts.items()):
        found.setdefault(label, {})[predicted] = count
    return found
