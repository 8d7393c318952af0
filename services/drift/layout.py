"""What is known of one camera, as two packed rows: at most 8 KB together, and the same bytes after a restart.

`REFERENCE` is written while a camera learns and then stays; `WATCH` changes with every frame. Streams are what the
engine keeps evidence of, one row of `BETS` numbers each, in the order of `STREAM`. All places follow from the rows of
`signals.SIGNALS`, `signals.KINDS` and `fault_rules.FAULTS`.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from services.drift import fault_rules
from services.drift.columns import Axis, Field, row_of
from services.drift.fault_rules import ALARMS
from services.drift.signals import FEATURES, KINDS, SIGNALS, WAYS, Kind, Ranking, Signal, Slowest

BETS: Final = 8
BUCKETS: Final = 8
"""Classes that are told apart: the model's first seven and the rest, or all of up to eight."""
PHASE_NAMES: Final = ("night", "day")
PHASES: Final = len(PHASE_NAMES)
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

_PLACES_ALONG: Final = {
    "": ("",),
    "slot": tuple(f" {slot}" for slot in range(TELEMETRY_SLOTS)),
    "class": tuple(f" {bucket}" for bucket in range(BUCKETS)),
    "phase": tuple(f" {phase}" for phase in PHASE_NAMES),
}


class Place(NamedTuple):
    """A signal, or one of several that a row of the table stands for.

    Attributes:
        signal: Its row.
        number: Which of them it is: slot, bucket of a class, phase.
    """

    signal: Signal
    number: int

    @property
    def name(self) -> str:
        """Its name along axes."""
        return self.signal.name + _PLACES_ALONG[self.signal.along][self.number]


class Stream(NamedTuple):
    """A number in [0, 1] whose mean must not rise.

    Attributes:
        place: What it is of.
        way: Which way that would have gone.
    """

    place: Place
    way: str

    @property
    def name(self) -> str:
        """Its name along axes."""
        return f"{self.place.name} {self.way}"


def _places(ranking: Ranking, family: str = "") -> tuple[Place, ...]:
    """Places of all signals of a ranking, family by family."""
    return tuple(
        Place(signal, number)
        for kind in KINDS
        for signal in SIGNALS
        if signal.family == kind.name and signal.ranking is ranking and family in ("", kind.name)
        for number in range(len(_PLACES_ALONG[signal.along]))
    )


def _streams(kind: Kind) -> list[Stream]:
    """Streams of a family: of ranks all ways of a signal stand together, of other numbers all signals of a way."""
    found = []
    for ranking, ways in WAYS.items():
        places = _places(ranking, kind.name)
        if ranking is Ranking.RANK:
            found += [Stream(place, way) for place in places for way in ways]
        else:
            found += [Stream(place, way) for way in ways for place in places]
    return found


STREAMS_OF: Final = {kind.name: _streams(kind) for kind in KINDS}
STREAM: Final = tuple(stream for streams in STREAMS_OF.values() for stream in streams)
STREAMS: Final = len(STREAM)

RANKED_PLACES: Final = _places(Ranking.RANK)
RANKED: Final = len(RANKED_PLACES)
"""Signals that are ranked within their reference: a conformal p-value needs no model of them."""
PICTURE: Final = tuple(place.name for place in RANKED_PLACES if not place.signal.along)
RANK_WAYS: Final = len(WAYS[Ranking.RANK])
RANK_STREAMS: Final = RANK_WAYS * RANKED
"""Streams of ranks, the first of all."""
OUTPUT_PLACES: Final = _places(Ranking.MEAN)
OUTPUTS: Final = len(OUTPUT_PLACES)
"""Numbers of a prediction: probability of each bucket, entropy over ln(classes), first margin over the second."""


def _outputs(name: str) -> int:
    return next(place for place, each in enumerate(OUTPUT_PLACES) if each.signal.name == name)


COMPOSITION: Final = PICTURE.index("composition")
EMBEDDING: Final = PICTURE.index("embedding")
FOCUS: Final = PICTURE.index("focus")
SHARES: Final = slice(_outputs("class_share"), _outputs("class_share") + BUCKETS)
ENTROPY: Final = _outputs("entropy")
MARGIN: Final = _outputs("margin")
SLOTS: Final = slice(len(PICTURE), RANKED)
"""Telemetry among what is ranked."""


def held(slowest: Slowest) -> list[int]:
    """Places of the ranked signals that are no faster than that."""
    return [number for number, each in enumerate(RANKED_PLACES) if each.signal.slowest is slowest]


LIGHT: Final = [number for number in held(Slowest.LIGHT) if RANKED_PLACES[number].signal.in_most]
"""Signals of how light it is."""
IN_MOST: Final = [number for number, each in enumerate(RANKED_PLACES) if each.signal.in_most]
OPTIONAL: Final = [number for number, each in enumerate(RANKED_PLACES) if each.signal.optional]
"""Places of those that frames may lack."""
SURE: Final = [number for number, each in enumerate(OUTPUT_PLACES) if not each.signal.along]
"""Numbers of a prediction that measure how sure the model is."""
CORRELATED_NAMES: Final = (
    *(place.name for place in RANKED_PLACES),
    *(OUTPUT_PLACES[number].name for number in SURE),
    "class_share",
    "loss",
)
"""Numbers whose autocorrelation is measured: the ranked ones, entropy, margin, predicted class and loss."""
CORRELATED: Final = len(CORRELATED_NAMES)
ANSWERS_LAG: Final = slice(RANKED, CORRELATED - 1)
"""Those of a prediction: entropy, margin and predicted class."""
CLASS_LAG: Final = CORRELATED_NAMES.index("class_share")
LOSS_LAG: Final = CORRELATED_NAMES.index("loss")


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


def _families() -> tuple[Family, ...]:
    found, first = [], 0
    for kind, streams in STREAMS_OF.items():
        found.append(Family(kind, first, len(streams)))
        first += len(streams)
    return tuple(found)


FAMILIES: Final = _families()
INPUT, TELEMETRY, PREDICTIONS, ACCURACY, FLOOR = (
    next(family for family in FAMILIES if family.kind == kind)
    for kind in ("input", "telemetry", "predictions", "accuracy", "accuracy_floor")
)
FRAMES_FAMILIES: Final = slice(0, sum(kind.by == "frames" for kind in KINDS))
OUTCOME_FAMILIES: Final = slice(FRAMES_FAMILIES.stop, len(FAMILIES))
FRAME_STREAMS: Final = FAMILIES[OUTCOME_FAMILIES][0].first
OF_THE_ROAD: Final = [place for place, kind in enumerate(KINDS) if kind.of_the_road]

FAULTS: Final = tuple(fault.kind for fault in fault_rules.FRAME_FAULTS)
ABSENCES: Final = tuple(fault.kind for fault in fault_rules.ABSENCES)
MISSED: Final = tuple(fault.kind for fault in fault_rules.ABSENCES if fault.by == "time")
FAULT_ALARMS: Final = slice(ALARMS.index(FAULTS[0]), ALARMS.index(FAULTS[-1]) + 1)
BLINDING: Final = [place for place, fault in enumerate(fault_rules.FRAME_FAULTS) if fault.blinds]
"""Faults of frames that make everything else that is seen of the camera worthless."""
BLIND: Final = [ALARMS.index(fault.kind) for fault in fault_rules.FAULTS if fault.blinds]
"""Alarms while which the camera's frames show nothing of the road."""


def _weights() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    weights = np.zeros((STREAMS, len(FAMILIES)), np.float32)
    for number, (family, streams) in enumerate(zip(FAMILIES, STREAMS_OF.values(), strict=True)):
        of_row = [stream.place.signal for stream in streams]
        weights[family.slice, number] = [
            1 / len(streams) if signal.share is None else signal.share / of_row.count(signal) for signal in of_row
        ]
    return weights


WEIGHTS: Final = _weights()


def _source(stream: Stream) -> int:
    ranking = stream.place.signal.ranking
    if ranking is Ranking.RANK:
        return RANKED_PLACES.index(stream.place)
    if ranking is Ranking.MEAN:
        return RANKED + OUTPUT_PLACES.index(stream.place)
    return RANKED + OUTPUTS + (ranking is Ranking.FLOOR)


SOURCE: Final = np.array([_source(stream) for stream in STREAM])
"""Of each stream the number that it is of, among those of ranked signals, of predictions, of loss and of its floor."""

_PHASE: Final = Axis("phase", PHASE_NAMES)
_CLASS: Final = Axis("class", tuple(str(bucket) for bucket in range(BUCKETS)))
_LABEL: Final = Axis("label", ("all", *_CLASS.places))
_RANKED: Final = Axis("ranked", tuple(place.name for place in RANKED_PLACES))
_OUTPUT: Final = Axis("output", tuple(place.name for place in OUTPUT_PLACES))
_VALUE: Final = Axis("value", (*_RANKED.places, *_OUTPUT.places))
_CORRELATED: Final = Axis("correlated", CORRELATED_NAMES)
STREAM_AXIS: Final = Axis("stream", tuple(stream.name for stream in STREAM))
_FAMILY: Final = Axis("family", tuple(family.kind for family in FAMILIES))
_ALARM: Final = Axis("alarm", ALARMS)
_FAULT: Final = Axis("fault", FAULTS)
_MISSED: Final = Axis("missed", MISSED)

REFERENCE_FIELDS: Final = (
    Field("reference", "began_s", "u4", (_PHASE,)),
    Field("reference", "frames", "u4", (_PHASE,)),
    Field("reference", "closed", "u1", (_PHASE,)),
    Field("table", "telemetry", "S16", (TELEMETRY_SLOTS,)),
    Field("reference", "bits", "u2", (64,)),
    Field("reference", "bits_of", "u2"),
    Field("reference", "class_frames", "u2", (_PHASE, _CLASS)),
    Field("reference", "features", "f2", (_PHASE, _CLASS, FEATURES)),
    Field("reference", "features_m2", "f4", (_PHASE, FEATURES)),
    Field("reference", "counts", "u2", (_PHASE, _RANKED, _CLASS)),
    Field("reference", "means", "f4", (_PHASE, _RANKED, _CLASS)),
    Field("reference", "m2", "f4", (_PHASE, _RANKED)),
    Field("reference", "histogram", "u2", (_PHASE, _RANKED, BINS)),
    Field("reference", "said_mean", "f4", (_PHASE, _OUTPUT)),
    Field("reference", "said_m2", "f4", (_PHASE, _OUTPUT)),
    Field("decorrelation", "pace", "u2", (_CORRELATED,)),
    Field("decorrelation", "inflation", "f2", (_CORRELATED,)),
    Field("reference", "examples", "i8", (4,)),
    Field("late", "late", "u1", (_RANKED,)),
    Field("late", "late_began_s", "u4", (_PHASE,)),
    Field("outcomes", "labels_began_s", "u4", (_PHASE,)),
    Field("outcomes", "labels_closed", "u1", (_PHASE,)),
    Field("outcomes", "label_weights", "f4", (_PHASE, _LABEL)),
    Field("outcomes", "label_squares", "f4", (_PHASE, _LABEL)),
    Field("outcomes", "label_losses", "f4", (_PHASE, _LABEL)),
    Field("estimates", "confidence", "f4"),
    Field("estimates", "confidences", "u2", (CONFIDENCE_BINS,)),
)
REFERENCE: Final = row_of(REFERENCE_FIELDS)

ALARMED_FIELDS: Final = (
    Field("alarms", "evidence", "f4"),
    Field("alarms", "threshold", "f4"),
    Field("alarms", "stream", "u1"),
    Field("alarms", "estimate", "f4"),
    Field("alarms", "reference", "f4"),
    Field("alarms", "moved", "?"),
    Field("alarms", "detector", "u1"),
)
"""The numbers of an alarm of a family for as long as it lasts: how things were when it was raised."""
ALARMED: Final = row_of(ALARMED_FIELDS)

EVIDENCE_FIELDS: Final = (
    Field("streams", "evidence", "f4", (STREAM_AXIS, BETS)),
    Field("streams", "excess", "f4", (STREAM_AXIS,)),
    Field("streams", "family", "f4", (_FAMILY,)),
    Field("streams", "cusum", "f4", (_FAMILY,)),
    Field("streams", "since_ms", "i8", (_FAMILY,)),
    Field("streams", "run", "u4", (_FAMILY,)),
    Field("streams", "window", "u4", (_FAMILY,)),
    Field("alarms", "span", "u4", (_FAMILY,)),
    Field("alarms", "raised", "u1", (_ALARM,)),
    Field("alarms", "raised_since_ms", "i8", (_ALARM,)),
    Field("alarms", "raised_at_ms", "i8", (_ALARM,)),
    Field("alarms", "cause", "V16", (_ALARM,)),
    Field("alarms", "alarmed", ALARMED_FIELDS, (_FAMILY,)),
)
"""What moves with samples."""
SEEN_FIELDS: Final = (
    Field("watcher", "phase", "u1"),
    Field("watcher", "light", "f4"),
    Field("sampling", "tested", "u4"),
    Field("sampling", "labelled", "u4"),
    Field("arrivals", "seen_ms", "i8"),
    Field("arrivals", "label_seen_ms", "i8"),
    Field("arrivals", "gap_ms", "f4"),
    Field("arrivals", "gap_max_ms", "f4"),
    Field("arrivals", "every_ms", "f8"),
    Field("arrivals", "label_gap_max_ms", "f4"),
    Field("arrivals", "label_every_ms", "f8"),
    Field("outcomes", "propensity", "f4"),
    Field("arrivals", "frames", "u4"),
    Field("arrivals", "labels", "u4"),
    Field("fault_rules", "content", "i8"),
    Field("fault_rules", "contrast", "f4"),
    Field("fault_rules", "focus", "f4"),
    Field("fault_rules", "blur_run", "u1"),
    Field("fault_rules", "skew_ms", "f8"),
    Field("fault_rules", "skew_run_ms", "f8"),
    Field("sampling", "sampled_ms", "i8"),
    Field("core", "told_ms", "i8"),
    Field("arrivals", "passed", "u1"),
    Field("fault_rules", "latency_ms", "f4"),
    Field("faults", "fault_run", "u1", (_FAULT,)),
    Field("faults", "fault_clear", "u1", (_FAULT,)),
    Field("faults", "fault_from_ms", "i8", (_FAULT,)),
    Field("alarms", "blind_from_s", "u4", (BLIND_TIMES,)),
    Field("alarms", "blind_until_s", "u4", (BLIND_TIMES,)),
    Field("absences", "dead", "f4"),
    Field("absences", "dead_at_ms", "i8"),
    Field("absences", "back_from_s", "u4", (_MISSED,)),
    Field("watcher", "offsets", "i8", (4,)),
    Field("sampling", "values", "f4", (_VALUE,)),
    Field("outcomes", "recent_labels", "f4"),
    Field("outcomes", "recent_errors", "f4"),
    Field("estimates", "recent_confidence", "f4"),
    Field("estimates", "recent_histogram", "f4", (CONFIDENCE_BINS,)),
    Field("estimates", "recent_variance", "f4"),
    Field("renewal", "version", "u8"),
    Field("renewal", "version_since_ms", "i8"),
    Field("watcher", "last_cause", "V16"),
)
"""What moves with every frame that is inspected."""
WATCH_FIELDS: Final = (*EVIDENCE_FIELDS, *SEEN_FIELDS)
WATCH: Final = row_of(WATCH_FIELDS)

LEARNING_FIELDS: Final = (
    Field("decorrelation", "count", "u2", (_CORRELATED,)),
    Field("decorrelation", "mean", "f4", (_CORRELATED,)),
    Field("decorrelation", "m2", "f4", (_CORRELATED,)),
    Field("decorrelation", "last", "f4", (_CORRELATED, len(LAGS))),
    Field("decorrelation", "products", "f4", (_CORRELATED, len(LAGS))),
    Field("decorrelation", "block", "f4", (_CORRELATED, len(BLOCKS))),
    Field("decorrelation", "squares", "f4", (_CORRELATED, len(BLOCKS))),
)
"""Autocorrelation so far; gone as soon as the first reference is whole."""
LEARNING: Final = row_of(LEARNING_FIELDS)

NORMAL: Final[np.dtype[Any]] = np.dtype(
    [
        ("known", "?"),
        ("pace", "u2", STREAMS),
        ("weight", "f4", STREAMS),
        ("bound", "f4", (PHASES, FRAME_STREAMS)),
        ("centre", "f4", (PHASES, RANKED, BUCKETS)),
        ("spread", "f4", (PHASES, RANKED)),
        ("ranks", "f4", (PHASES, RANKED, BINS)),
        ("unknown", "?", (PHASES, len(OPTIONAL))),
    ],
    align=True,
)
"""What follows from a reference (`services.drift.normal`); nobody's state, since it can be made of it again."""
