"""What one round takes: at most one frame of each camera, as columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catseye.contract.records import Prediction
from services.drift.layout import PICTURE, RANKED, RANKED_PLACES, SLOTS, Layout
from services.drift.signals import FEATURES

_TINY: Final = 1e-6
LARGEST: Final = 1e15
"""Of a number: its square, summed over a reference, is still a float32."""
_FEATURE_MOST: Final = 30_000.0
"""Of a feature: means of classes are kept in 16 bits, which end at 65,504. What is larger counts as this."""
_FIELDS: Final = {each.signal.field: number for number, each in enumerate(RANKED_PLACES) if each.signal.field}
_PLACES: Final = [*_FIELDS.values()]
_measured: Final = attrgetter(*_FIELDS)
_DERIVED: Final = [(number, each.signal.derived) for number, each in enumerate(RANKED_PLACES) if each.signal.derived]
_SHARPNESS, _BRIGHTNESS = PICTURE.index("sharpness"), PICTURE.index("brightness")
_NO_FEATURES: Final = [np.nan] * FEATURES

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Inspection(NamedTuple):
    """What a frame is inspected for.

    Attributes:
        is_sample: Whether it may be learned from and tested; else for faults alone.
        passed: How many frames of the camera between the one before and this one were passed over.
        again: Whether it is another picture of a vehicle that was a sample already.
        by_views: Whether views, and not this, say what is wrong with the camera.
    """

    is_sample: bool = True
    passed: int = 0
    again: bool = False
    by_views: bool = False


@dataclass(frozen=True)
class Frames:
    """Predictions of n cameras.

    Attributes:
        rows: Row of the camera in its table, [n], no two alike.
        at_ms: When ingest took the frame, [n].
        captured_ms: The camera's own clock, [n].
        latency_ms: From then to the prediction, [n].
        ranked: Values of the ranked signals, [n, RANKED]; NaN where there is none. `composition` and `embedding` are
            NaN here: they are relative to what is normal.
        bits: Bits of the perceptual hash, [n, 64], 0 or 1.
        features: Projected features, [n, FEATURES]; NaN when the model gives none.
        bucket: Bucket of the predicted class, [n].
        outputs: Probabilities of the buckets (NaN where the model has none), entropy and margin, [n, outputs], 0 to 1.
        confidence: Probability of the predicted class, [n].
        content: What two identical pictures share and two others hardly do, [n].
        offset: Offset of the frame in frames.accepted, [n].
        cause: Id of the prediction, 16 bytes each, [n].
        passed: Frames of the camera between the one before and this one that were passed over, [n].
        again: Whether it is another picture of a vehicle that was a sample already, [n].
        by_views: Whether views, and not these, say what is wrong with the camera, [n].
    """

    rows: Ints
    at_ms: Ints
    captured_ms: Ints
    latency_ms: Floats
    ranked: Floats
    bits: Floats
    features: Floats
    bucket: Ints
    outputs: Floats
    confidence: Floats
    content: Ints
    offset: Ints
    cause: NDArray[np.void]
    passed: Ints
    again: NDArray[np.bool_]
    by_views: NDArray[np.bool_]

    def part(self, first: int, end: int) -> "Frames":
        """Those from *first* up to *end*."""
        return Frames(*(column[first:end] for column in vars(self).values()))

    def where(self, chosen: NDArray[np.bool_]) -> "Frames":
        """Those in *chosen*, [n]."""
        return self if chosen.all() else Frames(*(column[chosen] for column in vars(self).values()))


def frames(
    layout: Layout,
    rows: Sequence[int],
    predictions: Sequence[Prediction],
    slots: Sequence[Sequence[str]],
    inspections: Sequence[Inspection] | None = None,
) -> Frames:
    """Put *predictions* into columns.

    Args:
        layout: That of the rows of all cameras.
        rows: Row of the camera of each.
        predictions: In any order; `Frames.part` gives what may be one round.
        slots: Names of the telemetry that each camera's slots hold.
        inspections: What each is inspected for; all of them for everything where it is None.
    """
    count = len(rows)
    inspections = [Inspection()] * count if inspections is None else inspections
    samples = [place for place, inspection in enumerate(inspections) if inspection.is_sample]
    of_samples = [predictions[place] for place in samples]
    ranked = np.full((count, RANKED), np.nan, np.float32)
    ranked[:, _PLACES] = [_measured(each) for each in predictions]
    measured = {field: ranked[:, number] for field, number in _FIELDS.items()}
    for number, derived in _DERIVED:
        ranked[:, number] = derived(measured)
    for place in samples:
        for slot, name in enumerate(slots[place]):
            reading = predictions[place].telemetry.get(name, np.nan)
            ranked[place, SLOTS.start + slot] = reading if abs(reading) < LARGEST else np.nan
    hashes = np.array([each.perceptual_hash for each in predictions], np.int64)
    sharpness = np.ascontiguousarray(ranked[:, _SHARPNESS]).view(np.uint32).astype(np.int64)
    light = np.ascontiguousarray(ranked[:, _BRIGHTNESS]).view(np.uint32).astype(np.int64)
    features, bits = np.full((count, FEATURES), np.nan, np.float32), np.zeros((count, 64), np.float32)
    bucket, outputs = np.zeros(count, np.int64), np.full((count, layout.outputs), np.nan, np.float32)
    confidence = np.zeros(count, np.float32)
    if samples:
        features[samples] = [each.embedding if len(each.embedding) == FEATURES else _NO_FEATURES for each in of_samples]
        features[~np.isfinite(features)] = np.nan
        np.clip(features, -_FEATURE_MOST, _FEATURE_MOST, out=features)
        bits[samples] = np.unpackbits(hashes[samples].view(np.uint8), bitorder="little").reshape(-1, 64)
        bucket[samples], outputs[samples], confidence[samples] = _outputs(layout, of_samples)
    received = np.array([each.received_at_ms for each in predictions], np.int64)
    return Frames(
        rows=np.array(rows, np.int64),
        at_ms=received,
        captured_ms=np.array([each.captured_at_ms for each in predictions], np.int64),
        latency_ms=(np.array([each.predicted_at_ms for each in predictions], np.int64) - received).astype(np.float32),
        ranked=ranked,
        bits=bits,
        features=features,
        bucket=bucket,
        outputs=outputs,
        confidence=confidence,
        content=hashes ^ (sharpness << 32) ^ light,
        offset=np.array([each.frame_offset for each in predictions], np.int64),
        cause=np.array([bytes.fromhex(each.prediction_id) for each in predictions], "V16"),
        passed=np.array([inspection.passed for inspection in inspections], np.int64),
        again=np.array([inspection.again for inspection in inspections], bool),
        by_views=np.array([inspection.by_views for inspection in inspections], bool),
    )


def bucket_of(layout: Layout, label: str | None, classes: Sequence[str]) -> int:
    """Bucket of a class; the last one also takes classes that the model does not know."""
    place = classes.index(label) if label in classes else layout.buckets - 1
    return min(place, layout.buckets - 1)


def _outputs(layout: Layout, predictions: Sequence[Prediction]) -> tuple[Ints, Floats, Floats]:
    """Bucket of the predicted class, outputs of the model in numbers, and confidence."""
    buckets, shares = layout.buckets, layout.shares
    outputs = np.full((len(predictions), layout.outputs), np.nan, np.float32)
    by_width: dict[int, list[int]] = {}
    for place, each in enumerate(predictions):
        by_width.setdefault(len(each.probabilities), []).append(place)
    best = np.zeros(len(predictions), np.int64)
    confidence = np.zeros(len(predictions), np.float32)
    for width, places in by_width.items():
        odds = np.array([list(predictions[place].probabilities.values()) for place in places], np.float32)
        odds = np.clip(np.nan_to_num(odds), 0, 1)
        shown = min(width, buckets)
        outputs[places, shares.start : shares.start + shown] = odds[:, :shown]
        if width > buckets:
            outputs[places, shares.stop - 1] = np.minimum(odds[:, buckets - 1 :].sum(axis=1), 1)
        outputs[places, layout.entropy] = np.clip(
            -(odds * np.log(odds + _TINY)).sum(axis=1) / np.log(max(width, 2)), 0, 1
        )
        order = np.sort(odds, axis=1)
        outputs[places, layout.margin] = order[:, -1] - (order[:, -2] if width > 1 else 0)
        best[places] = np.minimum(odds.argmax(axis=1), buckets - 1)
        confidence[places] = order[:, -1]
    return best, outputs, confidence
