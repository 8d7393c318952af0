"""How long a group stood still though it had work, and how long records waited: from the broker's clock, afterwards.

Pure. Lag by offsets would not do: markers and aborted records count in it, and nobody ever reads them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from infra.local.evidence import Log


class Passage(NamedTuple):
    """One record's way through a group.

    Attributes:
        partition: On which what came of it lies.
        in_at_ms: When all that it is made of was on its topics.
        out_at_ms: When what came of it was written.
    """

    partition: int
    in_at_ms: float
    out_at_ms: float


def passages(log: Log) -> dict[str, list[Passage]]:
    """Ways of frames through ingest and inference and of first labels through ground truth, by service."""
    published: dict[object, int] = {}
    for frame in log.frames:
        published.setdefault(frame.frame, frame.at_ms)
    accepted = {frame.frame: frame.at_ms for frame in log.accepted}
    predicted = {prediction.prediction_id: prediction.at_ms for prediction in log.predictions}
    labelled: dict[object, int] = {}
    for label in log.labels_accepted:
        labelled.setdefault(label.label, label.at_ms)
    return {
        "ingest": [
            Passage(frame.partition, published[frame.frame], frame.at_ms)
            for frame in log.accepted
            if frame.frame in published
        ],
        "inference": [
            Passage(prediction.partition, accepted[prediction.frame], prediction.at_ms)
            for prediction in log.predictions
            if prediction.frame in accepted
        ],
        "ground_truth": [
            Passage(outcome.partition, max(predicted[outcome.prediction_id], labelled[outcome.label]), outcome.at_ms)
            for outcome in log.outcomes
            if outcome.prediction_id in predicted and outcome.label in labelled
        ],
    }


def longest_still_ms(ways: Iterable[Passage], away: Sequence[tuple[float, float]] = ()) -> float:
    """Longest time in which some partition gave nothing though its next record was there, milliseconds.

    Args:
        ways: Of one service.
        away: From when to when there was no broker, Unix milliseconds: nobody can work then, so that it does not count.
    """
    by_partition: dict[int, list[Passage]] = defaultdict(list)
    for way in ways:
        by_partition[way.partition].append(way)
    longest = 0.0
    for in_order in by_partition.values():
        last_out_ms = float("-inf")
        for way in sorted(in_order, key=lambda way: way.out_at_ms):
            since_ms = max(last_out_ms, way.in_at_ms)
            without_ms = sum(max(0.0, min(end, way.out_at_ms) - max(start, since_ms)) for start, end in away)
            longest = max(longest, way.out_at_ms - since_ms - without_ms)
            last_out_ms = way.out_at_ms
    return longest


def lag_gone_at_ms(ways: Iterable[Passage], within_ms: float) -> float:
    """When the last record that took longer than *within_ms* came out; minus infinity if none did."""

    return max((way.out_at_ms for way in ways if way.out_at_ms - way.in_at_ms > within_ms), default=float("-inf"))
