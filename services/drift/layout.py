"""What is known of one camera, as two packed rows: at most 8 KB together, and the same bytes after a restart.

`REFERENCE` is written while a camera learns and then stays; `WATCH` changes with every frame. Streams are what the
engine keeps evidence of, one row of `BETS` numbers each, in the order of `STREAMS`.
"""

from typing import Final, NamedTuple

import numpy as np

BETS: Final = 8
BUCKETS: Final = 8
"""Classes that are told apart: the model's first seven and the rest, or all of up to eight."""
FEATURES: Final = 16
PHASES: Final = 2
"""Night and day: brightness under and over an edge."""
BINS: Final = 20
TELEMETRY_SLOTS: Final = 4
CONFIDENCE_BINS: Final = 16
"""Of -log10(1 - confidence), 0 to 4: most answers of a good model lie beyond 0.99."""
BLIND_TIMES: Final = 4
"""Times in which a camera saw nothing that are remembered, the newest first: labels come days later."""
LAGS: Final = (1, 4, 16)
BLOCKS: Final = (4, 16, 64)
MOST: Final = 60_000
"""Counts that are 16 bits wide end here."""
MOST_IN_A_ROW: Final = 255
"""Those that are 8 bits wide."""

PICTURE: Final = (
    "brightness",
    "contrast",
    "sharpness",
    "focus",
    "dark_share",
    "bright_share",
    "composition",
    "embedding",
)
RANKED: Final = len(PICTURE) + TELEMETRY_SLOTS
"""Signals that are ranked within their reference: a conformal p-value needs no model of them."""
COMPOSITION: Final = PICTURE.index("composition")
EMBEDDING: Final = PICTURE.index("embedding")
FOCUS: Final = PICTURE.index("focus")
LIGHT: Final = [PICTURE.index(name) for name in ("brightness", "contrast", "dark_share", "bright_share")]
SAID: Final = BUCKETS + 2
"""Numbers of a prediction: probability of each bucket, entropy over ln(classes), first margin over the second."""
ENTROPY: Final = BUCKETS
MARGIN: Final = BUCKETS + 1
CLASS_PACE: Final = RANKED + 2
LOSS_PACE: Final = RANKED + 3
CORRELATED: Final = LOSS_PACE + 1
"""Numbers whose autocorrelation is measured: the ranked ones, entropy, margin, predicted class and loss."""


class Family(NamedTuple):
    """Streams whose evidence is one number: their weighted mean.

    Attributes:
        kind: Kind of the alarm.
        first: Number of its first stream.
        streams: How many.
    """

    kind: str
    first: int
    streams: int

    @property
    def slice(self) -> slice:
        """Its streams in an array of all."""
        return slice(self.first, self.first + self.streams)


INPUT: Final = Family("input", 0, 3 * len(PICTURE))
TELEMETRY: Final = Family("telemetry", INPUT.streams, 3 * TELEMETRY_SLOTS)
PREDICTIONS: Final = Family("predictions", 3 * RANKED, 2 * SAID)
ACCURACY: Final = Family("accuracy", 3 * RANKED + 2 * SAID, 1 + BUCKETS + PHASES)
"""Loss of all labels, of those of each class and of those of each phase."""
FLOOR: Final = Family("accuracy_floor", ACCURACY.first + ACCURACY.streams, 1)
FAMILIES: Final[tuple[Family, ...]] = (INPUT, TELEMETRY, PREDICTIONS, ACCURACY, FLOOR)
OF_FRAMES: Final = 3
"""The first so many families are fed by frames, the others by outcomes."""
FRAME_STREAMS: Final = ACCURACY.first
STREAMS: Final = FLOOR.first + FLOOR.streams

FAULTS: Final = (
    "camera_frozen",
    "camera_black",
    "camera_white",
    "camera_covered",
    "camera_blurred",
    "camera_clock",
    "service_slow",
)
"""Rules that a run of frames fulfils or not."""
ABSENCES: Final = ("camera_silent", "labels_missing", "camera_dead_letters")
ALARMS: Final = (*(family.kind for family in FAMILIES), *FAULTS, *ABSENCES)
BLINDING: Final = 6
"""The first so many faults, and silence, make everything else that is seen of the camera worthless."""


ALARMED: Final = np.dtype(
    [
        ("evidence", "f4"),
        ("threshold", "f4"),
        ("stream", "u1"),
        ("estimate", "f4"),
        ("reference", "f4"),
        ("moved", "?"),
        ("detector", "u1"),
    ]
)
"""What an alarm of a family says for as long as it lasts: how things were when it was raised."""


def _weights() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    weights = np.zeros((STREAMS, len(FAMILIES)), np.float32)
    for place, family in enumerate(FAMILIES):
        weights[family.slice, place] = 1 / family.streams
    # Half for all labels together; the other half looks for one class, and for what is so by night or by day alone.
    of_accuracy = [0.5, *[0.3 / BUCKETS] * BUCKETS, *[0.2 / PHASES] * PHASES]
    weights[ACCURACY.slice, FAMILIES.index(ACCURACY)] = of_accuracy
    return weights


WEIGHTS: Final = _weights()

REFERENCE: Final = np.dtype(
    [
        ("began_s", "u4", PHASES),
        ("frames", "u4", PHASES),
        ("closed", "u1", PHASES),
        ("telemetry", "S16", TELEMETRY_SLOTS),
        ("bits", "u2", 64),
        ("bits_of", "u2"),
        ("class_frames", "u2", (PHASES, BUCKETS)),
        ("features", "f2", (PHASES, BUCKETS, FEATURES)),
        ("features_m2", "f4", (PHASES, FEATURES)),
        ("counts", "u2", (PHASES, RANKED, BUCKETS)),
        ("means", "f4", (PHASES, RANKED, BUCKETS)),
        ("m2", "f4", (PHASES, RANKED)),
        ("histogram", "u2", (PHASES, RANKED, BINS)),
        ("said_mean", "f4", (PHASES, SAID)),
        ("said_m2", "f4", (PHASES, SAID)),
        ("pace", "u2", CORRELATED),
        ("inflation", "f2", CORRELATED),
        ("examples", "i8", 4),
        ("labels_began_s", "u4", PHASES),
        ("labels_closed", "u1", PHASES),
        ("label_weights", "f4", (PHASES, 1 + BUCKETS)),
        ("label_squares", "f4", (PHASES, 1 + BUCKETS)),
        ("label_losses", "f4", (PHASES, 1 + BUCKETS)),
        ("confidence", "f4"),
        ("confidences", "u2", CONFIDENCE_BINS),
    ]
)

WATCH: Final = np.dtype(
    [
        ("evidence", "f4", (STREAMS, BETS)),
        ("excess", "f4", STREAMS),
        ("family", "f4", len(FAMILIES)),
        ("cusum", "f4", len(FAMILIES)),
        ("since_ms", "i8", len(FAMILIES)),
        ("run", "u4", len(FAMILIES)),
        ("window", "u4", len(FAMILIES)),
        ("span", "u4", len(FAMILIES)),
        ("raised", "u1", len(ALARMS)),
        ("raised_since_ms", "i8", len(ALARMS)),
        ("raised_at_ms", "i8", len(ALARMS)),
        ("cause", "V16", len(ALARMS)),
        ("alarmed", ALARMED, len(FAMILIES)),
        ("phase", "u1"),
        ("light", "f4"),
        ("tested", "u4"),
        ("labelled", "u4"),
        ("seen_ms", "i8"),
        ("label_seen_ms", "i8"),
        ("gap_ms", "f4"),
        ("gap_max_ms", "f4"),
        ("every_ms", "f8"),
        ("label_gap_max_ms", "f4"),
        ("label_every_ms", "f8"),
        ("propensity", "f4"),
        ("frames", "u4"),
        ("labels", "u4"),
        ("content", "i8"),
        ("contrast", "f4"),
        ("focus", "f4"),
        ("blur_run", "u1"),
        ("skew_ms", "f8"),
        ("skew_run_ms", "f8"),
        ("sampled_ms", "i8"),
        ("told_ms", "i8"),
        ("passed", "u1"),
        ("latency_ms", "f4"),
        ("fault_run", "u1", len(FAULTS)),
        ("fault_clear", "u1", len(FAULTS)),
        ("fault_from_ms", "i8", len(FAULTS)),
        ("blind_from_s", "u4", BLIND_TIMES),
        ("blind_until_s", "u4", BLIND_TIMES),
        ("dead", "f4"),
        ("dead_at_ms", "i8"),
        ("offsets", "i8", 4),
        ("values", "f4", RANKED + SAID),
        ("recent_labels", "f4"),
        ("recent_errors", "f4"),
        ("recent_confidence", "f4"),
        ("recent_histogram", "f4", CONFIDENCE_BINS),
        ("recent_variance", "f4"),
        ("version", "u8"),
        ("version_since_ms", "i8"),
        ("last_cause", "V16"),
    ]
)

LEARNING: Final = np.dtype(
    [
        ("count", "u2", CORRELATED),
        ("mean", "f4", CORRELATED),
        ("m2", "f4", CORRELATED),
        ("last", "f4", (CORRELATED, len(LAGS))),
        ("products", "f4", (CORRELATED, len(LAGS))),
        ("block", "f4", (CORRELATED, len(BLOCKS))),
        ("squares", "f4", (CORRELATED, len(BLOCKS))),
    ]
)
"""Autocorrelation so far; gone as soon as the first reference is whole."""

NORMAL: Final = np.dtype(
    [
        ("known", "?"),
        ("pace", "u2", STREAMS),
        ("weight", "f4", STREAMS),
        ("bound", "f4", (PHASES, FRAME_STREAMS)),
        ("centre", "f4", (PHASES, RANKED, BUCKETS)),
        ("spread", "f4", (PHASES, RANKED)),
        ("ranks", "f4", (PHASES, RANKED, BINS)),
    ],
    align=True,
)
"""What follows from a reference (`services.drift.normal`); nobody's state, since it can be made of it again."""
