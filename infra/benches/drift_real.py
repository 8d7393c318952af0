"""Streams of the real model: what it says of the example's crops, as they are and as weather leaves them.

A stream draws crops with replacement, so that before the change it is exchangeable with its reference by construction;
what is real is the law: how losses, confidence and features of this model move under each corruption.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from infra.benches.drift_nulls import REFERENCE
from infra.benches.drift_streams import Engine, Floats, passages
from infra.benches.harness import ROOT
from services.drift.detectors.registry import make
from services.drift.streams import FAR, SURE, USUALLY_FAR
from services.simulator.weather import SEVEREST, corrupt

CROPS: Final = ROOT / "infra" / "example" / "crops"
MODEL: Final = ROOT / "infra" / "example" / "vehicles.onnx"
KINDS: Final = ("fog", "night", "rain", "blur", "dirt", "noise")
SIGNALS: Final = {"loss": 0.02, "doubt": 0.02, "embedding": 0.05}
"""With the rise of the mean that is tolerated: as the service has it."""
PEERS: Final = ("adwin", "page_hinkley")
LONGEST: Final = 2_000
_BATCH: Final = 32


@dataclass(frozen=True)
class Answers:
    """What the model says of n crops.

    Attributes:
        loss: 1 where it is wrong, [n].
        doubt: 1 - the largest probability, [n].
        embedding: [n, 16].
    """

    loss: Floats
    doubt: Floats
    embedding: Floats


@dataclass(frozen=True)
class Outcome:
    """How one signal fared under one corruption.

    Attributes:
        kind: Corruption; "" for none.
        severity: 1 to 5; 0 for none.
        signal: A key of `SIGNALS`.
        detector: A name of the registry.
        mean: Of the signal's samples.
        delay: Mean samples to the alarm; without one in `LONGEST` that many count.
        missed: Share of streams without an alarm in `LONGEST` samples.
    """

    kind: str
    severity: int
    signal: str
    detector: str
    mean: float
    delay: float
    missed: float


class Road:
    """The crops, as they are and corrupted.

    Args:
        crops: Folder with one folder of JPEGs a class.
        every: One crop in so many is used.
        seed: Of all chance.
    """

    def __init__(self, crops: Path = CROPS, *, every: int = 2, seed: int = 0) -> None:
        files = sorted(crops.glob("*/*.jpg"))[::every]
        self._net = Net(MODEL.read_bytes())
        self._pictures = [decode_rgb(file.read_bytes()) for file in files]
        self._truth = np.array([self._net.spec.classes.index(file.parent.name) for file in files])
        self._seed = seed
        self._clean = self.answers("", 0)
        self._normal = self._clean.embedding.mean(axis=0), self._clean.embedding.std(axis=0) + 1e-9

    def answers(self, kind: str, severity: int) -> Answers:
        """What the model says when the weather is so."""
        rng = np.random.default_rng(self._seed)
        pictures = [corrupt(picture, kind, severity, rng) if kind else picture for picture in self._pictures]
        answers = [self._net.predict(pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)]
        probabilities = np.concatenate([each.probabilities for each in answers]).astype(float)
        wrong = probabilities.argmax(axis=1) != self._truth
        embedding = np.concatenate([each.embedding for each in answers]).astype(float)
        return Answers(wrong.astype(float), np.clip(1 - probabilities.max(axis=1), 0, 1), embedding)

    def signal(self, name: str, answers: Answers) -> Floats:
        """One number in [0, 1] a crop; how unusual an embedding is, is ranked among those of the crops as they are."""
        if name != "embedding":
            return np.asarray(getattr(answers, name), float)
        mean, spread = self._normal
        usual, now = (np.abs((each.embedding - mean) / spread).mean(axis=1) for each in (self._clean, answers))
        ranks: Floats = np.searchsorted(np.sort(usual), now) / len(usual)
        return ranks

    def outcomes(self, kind: str, severity: int, *, threshold: float, streams: int) -> list[Outcome]:
        """Watch all signals with all detectors."""
        answers = self.answers(kind, severity) if kind else self._clean
        found = []
        for number, (name, tolerance) in enumerate(SIGNALS.items()):
            rng = np.random.default_rng([self._seed, number, severity])
            before, after = self.signal(name, self._clean), self.signal(name, answers)
            known = rng.choice(before, (REFERENCE, streams))
            mean = np.full(streams, 0.5) if name == "embedding" else known.mean(axis=0)
            bound = mean + SURE * known.std(axis=0) / np.sqrt(REFERENCE) + tolerance
            source = _Drawn(rng, after, bound)
            watch = Ends(streams) if name == "embedding" else Engine(streams)
            late = passages(source, watch, streams, np.array([threshold]), LONGEST)[:, 0]
            found.append(_outcome(kind, severity, name, "esr", after, late))
            for peer in PEERS if kind else ():
                late = np.array([_peer(peer, known[:, n], after, threshold, rng) for n in range(max(2, streams // 20))])
                found.append(_outcome(kind, severity, name, peer, after, late))
        return found


def _outcome(kind: str, severity: int, signal: str, detector: str, after: Floats, late: Floats) -> Outcome:
    delay, missed = float(np.minimum(late, LONGEST).mean()), float(np.isinf(late).mean())
    return Outcome(kind, severity, signal, detector, float(after.mean()), delay, missed)


class Ends:
    """Ranks watched as the service does: do they go up, down, or far out? The mean of the three keeps the promise.

    Args:
        rows: Streams.
    """

    def __init__(self, rows: int) -> None:
        self._ways = [Engine(rows) for _ in range(3)]

    def take(self, x: Floats, bound: Floats) -> Floats:
        """As `Watch`."""
        up, down, far = self._ways
        out = far.take(np.abs(2 * x - 1) ** FAR, USUALLY_FAR + bound - 0.5)
        values = [up.take(x, bound), down.take(1 - x, bound), out]
        return np.asarray(np.mean(values, axis=0), float)

    def keep(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """As `Watch`."""
        for way in self._ways:
            way.keep(rows)


@dataclass
class _Drawn:
    """Samples drawn with replacement from what the model said; see `Source`."""

    rng: np.random.Generator
    answers: Floats
    bounds: Floats

    def draw(self, steps: int) -> tuple[Floats, Floats]:
        return self.rng.choice(self.answers, (steps, len(self.bounds))), self.bounds

    def keep(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        self.bounds = self.bounds[rows]


def _peer(name: str, known: Floats, after: Floats, run_length: float, rng: np.random.Generator) -> float:
    """Samples from the change to the alarm of a detector that has seen the reference, from its last alarm there on."""
    detector = make(name, min(max(float(known.mean()), 1e-3), 0.99), run_length=run_length)
    for x in known:
        detector.update(float(x))
    for late, x in enumerate(rng.choice(after, LONGEST), 1):
        detector.update(float(x))
        if detector.drift_detected:
            return float(late)
    return float(np.inf)


@dataclass(frozen=True)
class Size:
    """How much is looked at.

    Attributes:
        every: One crop in so many.
        kinds, severities: Of weather.
        streams: For each of them.
    """

    every: int
    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    streams: int


FULL: Final = Size(2, KINDS, tuple(range(1, SEVEREST + 1)), 200)
SHORT: Final = Size(12, KINDS[:1], (SEVEREST,), 20)


def survey(size: Size) -> list[Outcome]:
    """Return how every signal fares without a change and under every corruption."""
    road = Road(every=size.every)
    found = road.outcomes("", 0, threshold=10_000, streams=size.streams)
    for kind in size.kinds:
        for severity in size.severities:
            found += road.outcomes(kind, severity, threshold=10_000, streams=size.streams)
    return found
