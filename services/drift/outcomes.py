"""Accuracy as labels come: loss against what is normal in that light, of all, by class, by phase, and against a floor.

A label counts by how likely its frame was to be chosen: with propensity p its bet is scaled by p_least / p, so that
labels that were asked for because the model was unsure make it seem neither worse nor better than it is. The least
propensity fades, and no label counts less than a hundredth of another: one odd number must not end the watching.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.records import Outcome
from services.drift import days
from services.drift.layout import ACCURACY, LOSS_LAG, Layout, of_rows
from services.drift.rules import Rules
from services.drift.sample import Floats, Ints, bucket_of
from services.drift.streams import SURE, Fed

_RECENT: Final = np.float32(1 / 200)
_FEWEST_OF_CLASS: Final = 30
_LEAST_WEIGHT: Final = np.float32(0.01)
_LEAST_FADES: Final = np.float32(1.002)  # a label: after a stray .001 a propensity of 1 counts fully 3,500 labels on


@dataclass(frozen=True)
class Outcomes:
    """Matched labels of n cameras.

    Attributes:
        rows: Row of the camera, [n], no two alike.
        at_ms: When ingest took the label, [n].
        received_ms: When it took the frame, [n].
        phase: By the brightness of the frame itself, [n].
        bucket: Bucket of the true class, [n].
        loss: 1 where the prediction was wrong, else 0, [n].
        propensity: Chance with which the frame was chosen to be labelled, [n].
        confidence: Of the prediction, [n].
        cause: Id of the prediction, 16 bytes each, [n].
    """

    rows: Ints
    at_ms: Ints
    received_ms: Ints
    phase: Ints
    bucket: Ints
    loss: Floats
    propensity: Floats
    confidence: Floats
    cause: NDArray[np.void]

    def where(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """Those in *chosen*, [n]."""
        return self if chosen.all() else Outcomes(*(column[chosen] for column in vars(self).values()))


def outcomes(
    layout: Layout, rows: Sequence[int], matched: Sequence[Outcome], classes: Sequence[Sequence[str]], edge: float
) -> Outcomes:
    """Put *matched* into columns.

    Args:
        layout: That of the rows of all cameras.
        rows: Row of the camera of each.
        matched: At most one of each camera.
        classes: Classes of the model of each.
        edge: Brightness under which it is night.
    """
    return Outcomes(
        rows=np.array(rows, np.int64),
        at_ms=np.array([each.label_received_at_ms for each in matched], np.int64),
        received_ms=np.array([each.received_at_ms for each in matched], np.int64),
        phase=np.array([each.brightness >= edge for each in matched], np.int64),
        bucket=np.array(
            [bucket_of(layout, each.label, of) for each, of in zip(matched, classes, strict=True)], np.int64
        ),
        loss=np.array([not each.correct for each in matched], np.float32),
        # A NaN is no propensity, and by chance then: a label that nobody weighs counts fully.
        propensity=np.nan_to_num(np.clip([each.propensity for each in matched], 1e-3, 1), nan=1.0).astype(np.float32),
        confidence=np.array([each.confidence for each in matched], np.float32),
        cause=np.array([bytes.fromhex(each.prediction_id) for each in matched], "V16"),
    )


def weigh(watch: NDArray[Any], seen: Outcomes) -> Floats:
    """Weight of each label, [n], .01 to 1; keeps the least propensity and the recent accuracy."""
    rows = seen.rows
    known = watch["propensity"][rows]
    least = np.where(known > 0, np.minimum(known * _LEAST_FADES, seen.propensity), seen.propensity)
    watch["propensity"][rows] = least
    weight: Floats = np.maximum(least / seen.propensity, _LEAST_WEIGHT).astype(np.float32)
    watch["recent_labels"][rows] = watch["recent_labels"][rows] * (1 - _RECENT) + weight
    watch["recent_errors"][rows] = watch["recent_errors"][rows] * (1 - _RECENT) + weight * seen.loss
    return weight


def begin(reference: NDArray[Any], rows: Ints, phase: Ints, at_ms: Ints) -> None:
    """Note when the first label of each camera came, [n]."""
    began = reference["labels_began_s"][rows, phase]
    reference["labels_began_s"][rows, phase] = np.where(began == 0, at_ms // 1_000, began)


def close(reference: NDArray[Any], row: int, phase: int) -> None:
    """The usual loss of a phase is known."""
    reference["labels_closed"][row, phase] = 1


def forget(watch: NDArray[Any], row: int) -> None:
    """Labels of another version are no evidence about this one."""
    watch["recent_labels"][row] = watch["recent_errors"][row] = 0


def learn(reference: NDArray[Any], seen: Outcomes, weight: Floats, chosen: NDArray[np.bool_]) -> None:
    """Take labels of cameras that are learning, [n] *chosen*."""
    rows, phase = seen.rows[chosen], seen.phase[chosen]
    of, loss = weight[chosen], seen.loss[chosen]
    for column in (np.zeros(len(rows), np.int64), 1 + seen.bucket[chosen]):
        place = (rows, phase, column)
        reference["label_weights"][place] += of
        reference["label_squares"][place] += of * of
        reference["label_losses"][place] += of * loss


def of_outcomes(
    reference: NDArray[Any], seen: Outcomes, weight: Floats, rules: Rules, by_day: NDArray[Any] | None = None
) -> Fed:
    """Streams of an outcome: loss of all, of its class, of its phase, and against the floor, [n, streams of outcomes]:
    for eight classes 12.

    All labels are held against the loss that is usual up to now, those of a class and of a phase against the first
    reference, which is no other as long as the model is the same: what rises so slowly that it becomes usual is found
    by these. What today's labels show of today counts for all, as far as days differ.

    Args:
        rules: Tolerances, and the accuracy that is too low whatever is usual.
        by_day: Rows of `Layout.days` of the table, without these labels; None where nothing is learned after the first
            reference.
    """
    rows = seen.rows
    count = len(rows)
    layout = of_rows(reference)
    of_all, of_class, of_phase = (layout.along(ACCURACY, what) for what in ("", "class", "phase"))
    of_floor = layout.families[ACCURACY].streams
    x = np.full((count, layout.streams - layout.frame_streams), np.nan, np.float32)
    bound = np.full_like(x, 0.5)
    each, limit = np.arange(count), _limits(reference, rows, by_day)  # [n, PHASES, 1 + buckets]
    closed = reference["labels_closed"][rows].astype(bool)
    known = closed[each, seen.phase]
    first = limit + rules.tolerated(_means(reference, rows))
    own = first[each, seen.phase]
    new = _of_new_phase(closed, limit, rules.tolerance_new_phase)
    now = first[..., 0] if by_day is None else _learned_on(reference, by_day, rows, first[..., 0], rules)
    bound[:, of_all.start] = np.where(known, now[each, seen.phase], new)
    tested = known | closed.any(axis=1)
    x[:, of_all.start] = np.where(tested, seen.loss, np.nan)
    here = each, of_class.start + seen.bucket
    often = reference["label_weights"][rows, seen.phase, 1 + seen.bucket] >= _FEWEST_OF_CLASS
    bound[:, of_class] = own[:, 1:]
    x[here] = np.where(known & often, seen.loss, np.nan)
    bound[:, of_phase] = np.where(known, own[:, 0], new)[:, None]
    x[each, of_phase.start + seen.phase] = x[:, of_all.start]
    bound[:, of_floor], x[:, of_floor] = 1 - rules.accuracy_floor, seen.loss
    x[bound > 0.98] = np.nan
    if by_day is not None:
        bound[:, :of_floor] *= days.today(by_day, rows, np.where(closed, now, np.nan))[:, None]
    bound = np.clip(bound, 1e-3, 0.98)
    # A bet that is scaled by the weight is the bet on a sample that lies so much nearer to its bound.
    return Fed(bound + weight[:, None] * (x - bound), bound)


def _learned_on(reference: NDArray[Any], by_day: NDArray[Any], rows: Ints, first: Floats, rules: Rules) -> Floats:
    """Mean loss that must not be exceeded by all that was usual up to now, [n, PHASES]: as `days.usual` has it, once
    that is of as many labels as the *first* reference was made of; the limit of that before, [n, PHASES]."""
    mean, labels = days.usual(by_day, rows, slice(None))
    larger = _inflation(reference, rows, by_day)[:, None]
    limit = mean + SURE * np.sqrt((mean + 1 / np.maximum(labels, 1)) * (1 - mean) * larger / np.maximum(labels, 1))
    more = labels >= np.maximum(reference["label_weights"][rows, :, 0], 1)
    found: Floats = np.where(more, limit + rules.tolerated(mean), first).astype(np.float32)
    return found


def _means(reference: NDArray[Any], rows: Ints) -> Floats:
    """Mean loss of the first reference of each phase, [n, PHASES, 1 + buckets]."""
    mean: Floats = reference["label_losses"][rows] / np.maximum(reference["label_weights"][rows], 1e-9)
    return mean


def _inflation(reference: NDArray[Any], rows: Ints, by_day: NDArray[Any] | None) -> Floats:
    """By how much the variance of a mean loss is larger than if labels were independent, [n], 1 and more."""
    larger: Floats = np.maximum(reference["inflation"][rows, LOSS_LAG].astype(np.float32), 1)
    return larger if by_day is None else np.asarray(np.maximum(larger, by_day["day_inflation"][rows]))


def may_be_usual(reference: NDArray[Any], rows: Ints, phase: Ints, new_phase: float) -> NDArray[np.bool_]:
    """Whether the loss that was learned in a phase may be taken for what is normal, [n]: a phase that comes when
    another is known, the first dark nights for example, and in which the model is wrong beyond the tolerance for new
    ones, has drifted from the start."""
    closed = reference["labels_closed"][rows].astype(bool)
    place = rows, phase, np.zeros(len(rows), np.int64)
    mean = reference["label_losses"][place] / np.maximum(reference["label_weights"][place], 1e-9)
    usual: NDArray[np.bool_] = mean <= _of_new_phase(closed, _limits(reference, rows), new_phase)
    return usual | ~closed.any(axis=1)


def _of_new_phase(closed: NDArray[np.bool_], limit: Floats, tolerance: float) -> Floats:
    """Mean loss that a phase must not exceed which is not known yet: that of the worst that is, and a tolerance, [n].

    Args:
        closed: Whether each phase is known, [n, PHASES].
        limit: What `_limits` gives.
    """
    most: Floats = np.where(closed, limit[:, :, 0], -1).max(axis=1) + tolerance
    return most


def expected(reference: NDArray[Any], rows: Ints) -> Floats:
    """Mean loss of all labels that the reference has seen, [n]; NaN where it has none."""
    weights = reference["label_weights"][rows, :, 0].sum(axis=1)
    losses = reference["label_losses"][rows, :, 0].sum(axis=1)
    loss: Floats = np.where(weights > 0, losses / np.maximum(weights, 1e-9), np.nan).astype(np.float32)
    return loss


def worst(reference: NDArray[Any], row: int) -> float:
    """Upper confidence bound of the mean loss of the class that is most often wrong: no changed mix of classes makes
    more of the loss; 1 where no class is known well enough."""
    limits = _limits(reference, np.array([row]))[0, :, 1:]
    often = reference["label_weights"][row, :, 1:] >= _FEWEST_OF_CLASS
    return float(limits[often].max()) if often.any() else 1.0


def _limits(reference: NDArray[Any], rows: Ints, by_day: NDArray[Any] | None = None) -> Floats:
    """Upper confidence bound of the mean loss, by phase and class, [n, PHASES, 1 + buckets]."""
    weights = np.maximum(reference["label_weights"][rows], 1e-9)
    mean = reference["label_losses"][rows] / weights
    samples = weights**2 / np.maximum(reference["label_squares"][rows], 1e-9)
    inflation = _inflation(reference, rows, by_day)[:, None, None]
    # Of a day's labels a class has a part, and by as much less do its own means of days vary more than by chance.
    inflation = 1 + (inflation - 1) * weights / weights[..., :1] if by_day is not None else inflation
    # One error more than were seen: of a class that was never wrong yet the next label may be.
    spread = np.sqrt((mean + 1 / np.maximum(samples, 1)) * (1 - mean))
    limit: Floats = (mean + SURE * spread * np.sqrt(inflation / np.maximum(samples, 1))).astype(np.float32)
    return limit
