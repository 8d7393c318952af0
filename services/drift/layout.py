"""Where what is known of a camera lies: two packed rows, at most 8 KB together for a model of up to eight classes.

The `reference` row is written while a camera learns and then stays; the `watch` row changes with every frame. Streams
are what the engine keeps evidence of, one row of `BETS` numbers each, in the order of `Layout.stream`. All places
follow from the rows of `signals.SIGNALS`, `signals.KINDS` and `fault_rules.FAULTS`, and those that classes have from
how many are told apart: a `Layout` has room for 8, 16 or 32, and a camera's rows have the one that its model needs.
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.drift import fault_rules
from services.drift.columns import Fields, places_given, row_of
from services.drift.fault_rules import ALARMS
from services.drift.fields import (
    ALARMED_FIELDS,
    BINS,
    DAYS_FIELDS,
    EVIDENCE_FIELDS,
    LEARNING_FIELDS,
    REFERENCE_FIELDS,
    SEEN_FIELDS,
    TELEMETRY_SLOTS,
)
from services.drift.signals import KINDS, SIGNALS, WAYS, Kind, Ranking, Signal, Slowest

BUCKETS: Final = (8, 16, 32)
"""Classes that may be told apart: all of a model, or its first and in the last bucket the rest."""
PHASE_NAMES: Final = ("night", "day")
PHASES: Final = len(PHASE_NAMES)
"""Night and day: brightness under and over an edge."""


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
        match self.signal.along:
            case "":
                return self.signal.name
            case "phase":
                return f"{self.signal.name} {PHASE_NAMES[self.number]}"
            case _:
                return f"{self.signal.name} {self.number}"


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


def _places(ranking: Ranking, buckets: int = 0, family: str = "") -> tuple[Place, ...]:
    """Places of all signals of a ranking, family by family."""
    along = {"": 1, "slot": TELEMETRY_SLOTS, "class": buckets, "phase": PHASES}
    return tuple(
        Place(signal, number)
        for kind in KINDS
        for signal in SIGNALS
        if signal.family == kind.name and signal.ranking is ranking and family in ("", kind.name)
        for number in range(along[signal.along])
    )


RANKED_PLACES: Final = _places(Ranking.RANK)
RANKED: Final = len(RANKED_PLACES)
"""Signals that are ranked within their reference: a conformal p-value needs no model of them."""
PICTURE: Final = tuple(place.name for place in RANKED_PLACES if not place.signal.along)
RANK_WAYS: Final = len(WAYS[Ranking.RANK])
RANK_STREAMS: Final = RANK_WAYS * RANKED
"""Streams of ranks, the first of all."""
COMPOSITION: Final = PICTURE.index("composition")
EMBEDDING: Final = PICTURE.index("embedding")
FOCUS: Final = PICTURE.index("focus")
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
CORRELATED_NAMES: Final = (
    *(place.name for place in RANKED_PLACES),
    *(signal.name for signal in SIGNALS if signal.ranking is Ranking.MEAN and not signal.along),
    "class_share",
    "loss",
)
"""Numbers whose autocorrelation is measured: the ranked ones, entropy, margin, predicted class and loss."""
CORRELATED: Final = len(CORRELATED_NAMES)
ANSWERS_LAG: Final = slice(RANKED, CORRELATED - 1)
"""Those of a prediction: entropy, margin and predicted class."""
CLASS_LAG: Final = CORRELATED_NAMES.index("class_share")
LOSS_LAG: Final = CORRELATED_NAMES.index("loss")

FAMILIES: Final = tuple(kind.name for kind in KINDS)
INPUT, TELEMETRY, PREDICTIONS, ACCURACY, FLOOR = (
    FAMILIES.index(kind) for kind in ("input", "telemetry", "predictions", "accuracy", "accuracy_floor")
)
FRAMES_FAMILIES: Final = slice(0, sum(kind.by == "frames" for kind in KINDS))
OUTCOME_FAMILIES: Final = slice(FRAMES_FAMILIES.stop, len(FAMILIES))
OF_THE_ROAD: Final = [place for place, kind in enumerate(KINDS) if kind.of_the_road]

FAULTS: Final = tuple(fault.kind for fault in fault_rules.FRAME_FAULTS)
ABSENCES: Final = tuple(fault.kind for fault in fault_rules.ABSENCES)
MISSED: Final = tuple(fault.kind for fault in fault_rules.ABSENCES if fault.by == "time")
FAULT_ALARMS: Final = slice(ALARMS.index(FAULTS[0]), ALARMS.index(FAULTS[-1]) + 1)
BLINDING: Final = [place for place, fault in enumerate(fault_rules.FRAME_FAULTS) if fault.blinds]
"""Faults of frames that make everything else that is seen of the camera worthless."""
BLIND: Final = [ALARMS.index(fault.kind) for fault in fault_rules.FAULTS if fault.blinds]
"""Alarms while which the camera's frames show nothing of the road."""
ALARMED: Final = row_of(ALARMED_FIELDS)


class Layout:
    """Places in rows that tell so many classes apart. There is one of each size, see `layout_of`.

    Attributes:
        buckets: Classes that are told apart: the model's first and the rest, or all of up to so many.
        output_places: Numbers of a prediction: probability of each bucket, entropy over ln(classes), first margin over
            the second.
        outputs: How many these are.
        shares, entropy, margin, sure: Places among them; *sure* are those that measure how sure the model is.
        stream: All streams in their order.
        streams: How many.
        families: Of streams, in the order of `FAMILIES`.
        frame_streams: Streams that frames feed, the first of all.
        weights: Share of each stream in the evidence of each family, [streams, families].
        source: Of each stream the number that it is of, among those of ranked signals, of predictions, of loss and of
            its floor, [streams].
        pieces: Fields of each piece of a camera's rows that has a key of its own on the state topic, by its letter.
        reference, watch, learning: Types of rows: what is normal, what is seen, and what is measured while the first
            reference grows.
        days: Type of rows of what labels of whole days show; beside the others, of cameras with labels alone.
        normal: What follows from a reference (`services.drift.normal`); nobody's state, since it can be made of it
            again.
    """

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        self.output_places = _places(Ranking.MEAN, buckets)
        self.outputs = len(self.output_places)
        names = [place.signal.name for place in self.output_places]
        self.shares = slice(names.index("class_share"), names.index("class_share") + buckets)
        self.entropy, self.margin = names.index("entropy"), names.index("margin")
        self.sure = [number for number, each in enumerate(self.output_places) if not each.signal.along]
        of_kinds = [_streams(kind, buckets) for kind in KINDS]
        self.stream = tuple(stream for streams in of_kinds for stream in streams)
        self.streams = len(self.stream)
        firsts = np.cumsum([0, *map(len, of_kinds)]).tolist()
        self.families = tuple(
            Family(kind, first, len(streams)) for kind, first, streams in zip(FAMILIES, firsts, of_kinds, strict=False)
        )
        self.frame_streams = self.families[OUTCOME_FAMILIES.start].first
        self.weights = self._weights()
        self.source = np.array([self._source(stream) for stream in self.stream])
        self.pieces = self._pieces()
        self.reference, self.learning = row_of(self.pieces[b"r"]), row_of(self.pieces[b"l"])
        self.days = row_of(self.pieces[b"y"])
        self.watch = row_of((*self.pieces[b"e"], *self.pieces[b"w"]))
        self.normal = self._normal()

    def along(self, family: int, what: str) -> slice:
        """Streams of a family of which there is one for each *what*, counted from its first one."""
        streams = self.stream[self.families[family].slice]
        places = [number for number, stream in enumerate(streams) if stream.place.signal.along == what]
        return slice(places[0], places[-1] + 1)

    def class_of(self, bucket: int, classes: tuple[str, ...]) -> str | None:
        """Class of a bucket; None where it has several or none."""
        alone = bucket < self.buckets - 1 or len(classes) == self.buckets
        return classes[bucket] if alone and bucket < len(classes) else None

    def _weights(self) -> NDArray[np.float32]:
        weights = np.zeros((self.streams, len(FAMILIES)), np.float32)
        for number, family in enumerate(self.families):
            of_row = [stream.place.signal for stream in self.stream[family.slice]]
            weights[family.slice, number] = [
                1 / len(of_row) if signal.share is None else signal.share / of_row.count(signal) for signal in of_row
            ]
        return weights

    def _source(self, stream: Stream) -> int:
        ranking = stream.place.signal.ranking
        if ranking is Ranking.RANK:
            return RANKED_PLACES.index(stream.place)
        if ranking is Ranking.MEAN:
            return RANKED + self.output_places.index(stream.place)
        return RANKED + self.outputs + (ranking is Ranking.FLOOR)

    def _pieces(self) -> dict[bytes, Fields]:
        ranked, output = (tuple(place.name for place in places) for places in (RANKED_PLACES, self.output_places))
        classes = tuple(str(bucket) for bucket in range(self.buckets))
        places = {
            "phase": PHASE_NAMES,
            "class": classes,
            "label": ("all", *classes),
            "ranked": ranked,
            "output": output,
            "value": (*ranked, *output),
            "correlated": CORRELATED_NAMES,
            "stream": tuple(stream.name for stream in self.stream),
            "family": FAMILIES,
            "alarm": ALARMS,
            "fault": FAULTS,
            "missed": MISSED,
        }
        fields = {b"r": REFERENCE_FIELDS, b"e": EVIDENCE_FIELDS, b"w": SEEN_FIELDS, b"l": LEARNING_FIELDS}
        fields[b"y"] = DAYS_FIELDS
        return {letter: places_given(of_it, places) for letter, of_it in fields.items()}

    def _normal(self) -> np.dtype[Any]:
        return np.dtype(
            [
                ("known", "?"),
                ("decorrelation_lag", "u2", self.streams),
                ("weight", "f4", self.streams),
                ("bound", "f4", (PHASES, self.frame_streams)),
                ("centre", "f4", (PHASES, RANKED, self.buckets)),
                ("spread", "f4", (PHASES, RANKED)),
                ("ranks", "f4", (PHASES, RANKED, BINS)),
                ("unknown", "?", (PHASES, len(OPTIONAL))),
            ],
            align=True,
        )


@lru_cache
def layout_of(classes: int) -> Layout:
    """The narrowest layout that tells *classes* apart; of more than 32 the first 31 and the rest.

    As every row, one of the widest would do for all; but evidence of a family is shared by its streams, and rows of 32
    take 18 KB.
    """
    return _LAYOUTS[next((buckets for buckets in BUCKETS if buckets >= classes), BUCKETS[-1])]


def of_rows(rows: NDArray[Any]) -> Layout:
    """The layout that references or watch rows of a table have."""
    return _BY_TYPE[rows.dtype]


def _streams(kind: Kind, buckets: int) -> list[Stream]:
    """Streams of a family: of ranks all ways of a signal stand together, of other numbers all signals of a way."""
    found = []
    for ranking, ways in WAYS.items():
        places = _places(ranking, buckets, kind.name)
        if ranking is Ranking.RANK:
            found += [Stream(place, way) for place in places for way in ways]
        else:
            found += [Stream(place, way) for way in ways for place in places]
    return found


_LAYOUTS: Final = {buckets: Layout(buckets) for buckets in BUCKETS}
_BY_TYPE: Final = {row: layout for layout in _LAYOUTS.values() for row in (layout.reference, layout.watch)}
NARROWEST: Final = _LAYOUTS[BUCKETS[0]]
