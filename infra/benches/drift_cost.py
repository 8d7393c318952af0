"""What one more sample of one stream costs: the engine on a thousand streams at once, river's detectors on one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from river.drift import ADWIN, KSWIN, PageHinkley

from infra.benches import harness
from infra.benches.harness import Figure, Options, Row
from services.drift.detectors.esr import FRACTIONS, advance
from services.drift.detectors.replayed import River

STREAMS: Final = 1_000
TARGETS: Final = {"page_hinkley": 0.25, "adwin": 1.0, "kswin": 0.01}
_ERROR: Final = 0.05
_RIVER: Final[dict[str, Callable[[], River]]] = {
    "page_hinkley": PageHinkley,
    "adwin": ADWIN,
    "kswin": partial(KSWIN, seed=0),
}


def _engine(rounds: int) -> Row:
    rng = np.random.default_rng(0)
    evidence = np.zeros((STREAMS, len(FRACTIONS)), np.float32)
    bound = np.full(STREAMS, _ERROR, np.float32)
    samples = (rng.random((rounds, STREAMS)) < _ERROR).astype(np.float32)
    began_ns = time.process_time_ns()
    for x in samples:
        advance(evidence, x, bound, out=evidence)
    return _row("esr", time.process_time_ns() - began_ns, rounds * STREAMS)


def _river(name: str, updates: int) -> Row:
    detector = _RIVER[name]()
    samples = (np.random.default_rng(0).random(updates + 200) < _ERROR).astype(float).tolist()
    for x in samples[:200]:  # KSWIN tests nothing until its window is full
        detector.update(x)
    began_ns = time.process_time_ns()
    for x in samples[200:]:
        detector.update(x)
    return _row(name, time.process_time_ns() - began_ns, updates)


def _row(side: str, cpu_ns: int, updates: int) -> Row:
    return {"side": side, "updates": updates, "cpu_us": cpu_ns / updates / 1e3}


def measure(options: Options) -> list[Row]:
    """Run all sides in ABBA order."""
    scale = 1 if options.short else 20
    blocks: dict[str, Callable[[], Row]] = {
        "ours": partial(_engine, 250 * scale),
        "page_hinkley": partial(_river, "page_hinkley", 10_000 * scale),
        "adwin": partial(_river, "adwin", 10_000 * scale),
        "kswin": partial(_river, "kswin", 100 * scale),
    }
    order = harness.passes(list(blocks), options.pairs or (1 if options.short else harness.PAIRS))
    return harness.measured(order, blocks, options.progress)


def figures(rows: list[Row]) -> list[Figure]:
    """Compare pass by pass."""
    return [
        Figure(
            f"cost of a stream-update: esr, {STREAMS:,} streams at once / {name}",
            harness.ratio(*harness.paired(rows, {"side": "esr"}, {"side": name}, "cpu_us")),
            target,
        )
        for name, target in TARGETS.items()
    ]
