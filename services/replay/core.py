"""Scores a model on frames whose labels come as late as they really came. Law: an outcome counts from the moment on at
which its label came, and of the outcomes of a frame the newest holds; both models are scored on the same frames.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from catseye.contract.identity import prediction_id
from catseye.contract.records import Outcome, Prediction
from catseye.ops.card.figures import Share, share
from services.replay.answers import FULL, NOTHING, Answers, Row
from services.replay.order import Arrival, Place

FORGET_EVERY: Final = 10_000  # frames
Cell = tuple[str, str, bool, bool]
"""Camera, true class, whether the candidate was right, whether the champion of the time was."""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same labelled frames.

    Attributes:
        candidate: The model that is tried.
        champion: Whoever predicted at the time.
        only_candidate: Frames on which the candidate alone was right.
        only_champion: Frames on which the champion alone was.
    """

    candidate: Share
    champion: Share
    only_candidate: int
    only_champion: int


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay.

    Attributes:
        from_ms: When the first frame came, or the span began, Unix milliseconds.
        frames: That the archive holds of the span.
        unanswered: Of those, frames that the candidate has no answer for: they cannot be decoded, or it gives NaN.
        missing: Predicted frames that the archive does not hold (any more).
        missing_labelled: Labelled ones among the frames that it does not hold.
        compared: Frames that both have answered.
        same: Of those, frames that both give the same class.
        champions: Model and version that predicted at the time, to frames of the archive.
        labelled: Frames with a label that holds, which both have answered.
        corrected: Labels that another one replaced.
        withdrawn: Labels that were taken back.
        propensity_below_1: First labels of frames that were chosen with a chance below 1.
        label_delay_median_ms: From frame to first label; None without labels.
        label_delay_p95_ms: 95 % of them came sooner.
        overall: None without labelled frames.
        by_class: True class to both (recall).
        by_camera: Camera to both.
    """

    from_ms: int | None
    frames: int
    unanswered: int
    missing: int
    missing_labelled: int
    compared: int
    same: int
    champions: dict[str, int]
    labelled: int
    corrected: int
    withdrawn: int
    propensity_below_1: int
    label_delay_median_ms: int | None
    label_delay_p95_ms: int | None
    overall: Beside | None
    by_class: dict[str, Beside]
    by_camera: dict[str, Beside]


class Backtest:
    """Frames with the candidate's answers, predictions and outcomes in the order in which they came; a score out.

    Args:
        model: Name of the candidate.
        version: Its version.
        classes: Names of its classes.
        kept_ms: How long after a frame labels of it may come.
        from_ms: When the span begins; None for the first frame.
        firsts: First offset that is read of each partition of frames; what is about an earlier one waits for nothing.
    """

    def __init__(
        self,
        model: str,
        version: str,
        classes: Sequence[str],
        kept_ms: int,
        from_ms: int | None = None,
        firsts: Mapping[int, int] | None = None,
    ) -> None:
        self._model, self._version = model, version
        self._classes = list(classes)
        self._kept_ms = kept_ms
        self._from_ms = from_ms
        self._firsts = firsts or {}
        self._answers: dict[int, Answers] = {}
        self._early: dict[Place, list[Arrival]] = {}  # came before their frame
        self._labels: dict[str, int] = {}
        self._label_names: list[str] = []
        self._cells: Counter[Cell] = Counter()
        self._champions: Counter[str] = Counter()
        self._delays_ms = array("q")
        self._counts: Counter[str] = Counter()

    def on_frame(self, frame: Arrival, answer: Prediction | None) -> list[Outcome]:
        """Take a frame and the candidate's answer; None when it has none.

        Returns:
            The candidate's outcomes of labels that came before the frame.
        """
        if self._from_ms is None:
            self._from_ms = frame.at_ms
        partition, offset = frame.place
        answers = self._answers.get(partition)
        if answers is None:
            answers = self._answers[partition] = Answers(len(self._classes))
        if answer is None:
            self._counts["unanswered"] += 1
            answers.add(offset, frame.received_at_ms, NOTHING, ())
        else:
            chances = [answer.probabilities[name] for name in self._classes]
            answers.add(offset, frame.received_at_ms, self._classes.index(answer.label), chances)
        self._counts["frames"] += 1
        if not self._counts["frames"] % FORGET_EVERY:
            for each in self._answers.values():
                each.forget(frame.at_ms - self._kept_ms)
        found: list[Outcome] = []
        for waited in self._early.pop(frame.place, ()):
            found += self.on_outcome(waited) if waited.outcome else self.on_prediction(waited)
        return found

    def on_prediction(self, arrival: Arrival) -> list[Outcome]:
        """Take what was really predicted of a frame; leads to no outcome."""
        if self._is_before(arrival) or self._waits(arrival):
            return []
        row = self._row(arrival.place)
        if row is None:
            self._counts["missing"] += 1
            return []
        self._champions[arrival.version] += 1
        if row["predicted"] != NOTHING:
            self._counts["compared"] += 1
            self._counts["same"] += self._classes[row["predicted"]] == arrival.predicted
        return []

    def on_outcome(self, arrival: Arrival) -> list[Outcome]:
        """Take a label.

        Returns:
            What the outcome would have been, had the candidate predicted; none where it did not.
        """
        outcome = arrival.outcome
        assert outcome is not None
        if outcome.role != "champion" or self._is_before(arrival) or self._waits(arrival):
            return []
        row = self._row(arrival.place)
        if row is None:
            self._counts["missing_labelled"] += outcome.change == "matched"  # once a frame
            return []
        self._counts[outcome.change] += 1
        if outcome.change == "matched":
            self._delays_ms.append(outcome.label_delay_ms)
            self._counts["propensity_below_1"] += outcome.propensity < 1
        if row["predicted"] == NOTHING:
            return []
        candidate = self._of_candidate(outcome, int(row["predicted"]), row["chances"])
        if row["label"] != NOTHING:
            self._cells[_cell(outcome, candidate, self._label_names[row["label"]])] -= 1
        row["label"] = NOTHING if outcome.label is None else self._label_no(outcome.label)
        if outcome.label is not None:
            self._cells[_cell(outcome, candidate, outcome.label)] += 1
        return [candidate]

    def score(self) -> Score:
        """What holds now."""
        waiting = [arrival for each in self._early.values() for arrival in each]
        labelled = [each.outcome for each in waiting if each.outcome is not None]
        counts = self._counts
        delays = np.array(self._delays_ms, np.int64)
        median, p95 = np.percentile(delays, [50, 95]).round().astype(int).tolist() if len(delays) else (None, None)
        return Score(
            from_ms=self._from_ms,
            frames=counts["frames"],
            unanswered=counts["unanswered"],
            missing=counts["missing"] + len(waiting) - len(labelled),
            missing_labelled=counts["missing_labelled"] + sum(each.change == "matched" for each in labelled),
            compared=counts["compared"],
            same=counts["same"],
            champions=dict(sorted(self._champions.items())),
            labelled=sum(self._cells.values()),
            corrected=counts["corrected"],
            withdrawn=counts["withdrawn"],
            propensity_below_1=counts["propensity_below_1"],
            label_delay_median_ms=median,
            label_delay_p95_ms=p95,
            overall=_beside(self._cells.items()),
            by_class=self._grouped(1),
            by_camera=self._grouped(0),
        )

    def _grouped(self, part: int) -> dict[str, Beside]:
        """Both models by camera (*part* 0) or true class (1)."""
        groups: dict[str, list[tuple[Cell, int]]] = {}
        for cell, count in self._cells.items():
            groups.setdefault(str(cell[part]), []).append((cell, count))
        found = {name: _beside(cells) for name, cells in sorted(groups.items())}
        return {name: both for name, both in found.items() if both is not None}

    def _is_before(self, arrival: Arrival) -> bool:
        """Whether the frame that it is about came before the span."""
        return self._from_ms is None or arrival.received_at_ms < self._from_ms

    def _waits(self, arrival: Arrival) -> bool:
        """Whether its frame is still to come, so that it was put aside."""
        partition, offset = arrival.place
        answers = self._answers.get(partition)
        if offset < self._firsts.get(partition, 0) or (answers is not None and offset <= answers.last):
            return False
        self._early.setdefault(arrival.place, []).append(arrival)
        return True

    def _row(self, place: Place) -> Row:
        answers = self._answers.get(place[0])
        return None if answers is None else answers.find(place[1])

    def _label_no(self, label: str) -> int:
        number = self._labels.setdefault(label, len(self._labels))
        if number == len(self._label_names):
            self._label_names.append(label)
        return number

    def _of_candidate(self, outcome: Outcome, best: int, chances: Sequence[int]) -> Outcome:
        """*outcome* as it would stand there, had the candidate predicted at once."""
        predicted, label = self._classes[best], outcome.label
        return replace(
            outcome,
            model=self._model,
            version=self._version,
            prediction_id=prediction_id(
                outcome.camera, outcome.boot, outcome.sequence, self._model, self._version, "champion"
            ),
            predicted_at_ms=outcome.received_at_ms,
            predicted=predicted,
            confidence=float(chances[best]) / FULL,
            correct=None if label is None else predicted == label,
            label_probability=None if label is None else self._chance(label, chances),
        )

    def _chance(self, label: str, chances: Sequence[int]) -> float:
        """Probability of *label*; 0 where the candidate has no such class."""
        return float(chances[self._classes.index(label)]) / FULL if label in self._classes else 0.0


def _cell(outcome: Outcome, candidate: Outcome, label: str) -> Cell:
    return outcome.camera, label, candidate.predicted == label, outcome.predicted == label


def _beside(cells: Iterable[tuple[Cell, int]]) -> Beside | None:
    """Both models on the frames of *cells*; None where there are none."""
    counts: Counter[tuple[bool, bool]] = Counter()
    for (_, _, candidate, champion), count in cells:
        counts[candidate, champion] += count
    of = sum(counts.values())
    if not of:
        return None
    both, only_candidate, only_champion = counts[True, True], counts[True, False], counts[False, True]
    return Beside(
        candidate=share(both + only_candidate, of),
        champion=share(both + only_champion, of),
        only_candidate=only_candidate,
        only_champion=only_champion,
    )
