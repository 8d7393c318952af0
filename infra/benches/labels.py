"""Labels from people: whether the accuracy that they give is true, and how long a queue of a million frames takes.

First by simulation: a camera whose model is calibrated sends frames; view's drawers draw some, with the unsure ones ten
times as likely as audits; drift's own weights and interval say what the accuracy is. Against it the same labels without
their chances. Then on a real Redis: what it takes to be offered 20 frames of a million, against taking the newest
20 off the same sorted set, which knows no leases, no labels and no people.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from redis import Redis

from catseye.rights.scopes import EVERYTHING, Principal
from catseye.view.keys import Keys
from infra.benches.harness import BUILT, Figure, Interval, Options, Report, machine
from infra.benches.labels_plot import Estimated, plot
from infra.local.redis import RedisServer
from services.drift.outcomes import Outcomes, weigh
from services.drift.statistics import interval_of_loss
from services.gateway.model import ReadModel
from services.gateway.offers import Offers
from services.view.queue import Rates

Floats = NDArray[np.float64]
RATES = Rates(audit=0.02, unsure=0.2, evidence=0)
FRAMES = 20_000
_LEAST_UNSURE = 0.1
_WATCH = np.dtype([("propensity", "f4"), ("recent_labels", "f4"), ("recent_errors", "f4")])


@dataclass(frozen=True)
class Estimates:
    """What labels said of many cameras.

    Attributes:
        error: True share of errors.
        weighed: Share of errors by drift's weights, [runs].
        low: Lower end of its 95 % interval, [runs].
        high: Upper end, [runs].
        naive: Share of errors among all labels, as if each frame had been as likely, [runs].
        labels: Labels of each, [runs].
    """

    error: float
    weighed: Floats
    low: Floats
    high: Floats
    naive: Floats
    labels: NDArray[np.int64]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Whether the interval holds the truth, [runs]."""
        return (self.low <= self.error) & (self.error <= self.high)


def estimates(runs: int, sharpness: float, rng: np.random.Generator, frames: int = FRAMES) -> Estimates:
    """Draw *runs* cameras, label what view's drawers draw, and estimate their errors as drift does.

    Args:
        runs: Cameras.
        sharpness: How sure the model is: the first parameter of a Beta distribution of what it is unsure of; the lower,
            the surer.
        rng: Of everything.
        frames: Of each camera.
    """
    doubt = rng.beta(sharpness, 2.0, (runs, frames)) / 2  # two classes: chance to be wrong, 0 to 1/2
    wrong = rng.random((runs, frames)) < doubt
    unsure = RATES.unsure * np.maximum(2 * doubt, _LEAST_UNSURE)
    audited = rng.random((runs, frames)) < RATES.audit
    asked = ~audited & (rng.random((runs, frames)) < unsure)
    chance = np.where(audited, RATES.audit, unsure)
    drawn = audited | asked
    watch = np.zeros(runs, _WATCH)
    counts = drawn.sum(axis=1)
    places = np.argsort(~drawn, axis=1, kind="stable")[:, : counts.max()]  # of the labels of each run, in their order
    for number in range(places.shape[1]):
        rows = np.flatnonzero(counts > number)
        at = places[rows, number]
        weigh(watch, _labels(rows, wrong[rows, at], chance[rows, at]))
    weighed = watch["recent_errors"] / np.maximum(watch["recent_labels"], 1e-9)
    known = zip(weighed.tolist(), watch["recent_labels"].tolist(), strict=True)
    bounds = [interval_of_loss(share, labels) for share, labels in known]
    low, high = (np.array(ends) for ends in zip(*bounds, strict=True))
    naive = (wrong & drawn).sum(axis=1) / counts
    error = sharpness / (sharpness + 2.0) / 2
    return Estimates(error, weighed.astype(np.float64), low, high, naive, counts)


def _labels(rows: NDArray[np.int64], wrong: NDArray[np.bool_], chance: Floats) -> Outcomes:
    none = np.zeros(len(rows), np.int64)
    return Outcomes(
        rows=rows,
        at_ms=none,
        received_ms=none,
        phase=none,
        bucket=none,
        loss=wrong.astype(np.float32),
        propensity=chance.astype(np.float32),
        confidence=np.zeros(len(rows), np.float32),
        cause=np.zeros(len(rows), "V16"),
    )


def run(options: Options) -> Report:
    """Simulate, then offer."""
    report = Report("labels", machine=machine())
    runs = 100 if options.short else 1_000
    rng = np.random.default_rng(23)
    plotted: list[Estimated] = []
    for sharpness in (0.1, 0.3, 1.0):
        found = estimates(runs, sharpness, rng, 4_000 if options.short else FRAMES)
        share = float(found.covered.mean())
        plotted.append(Estimated(found.error, found.weighed, found.naive, share))
        half = 1.96 * (share * (1 - share) / runs) ** 0.5
        covered = Interval(share / 0.95, (share - half) / 0.95, (share + half) / 0.95, runs)
        report.figures.append(
            Figure(f"interval covers over 95 %, error {found.error:.1%}", covered, target=0.93 / 0.95, at_most=False)
        )
        report.rows.append(
            {
                "true error": found.error,
                "labels": float(found.labels.mean()),
                "weighed": float(found.weighed.mean()),
                "bias": float(found.weighed.mean()) - found.error,
                "without chances": float(found.naive.mean()),
                "bias without": float(found.naive.mean()) - found.error,
                "covered": share,
                "width": float((found.high - found.low).mean()),
            }
        )
    picture = BUILT / "bench" / ("labels-short.svg" if options.short else "labels.svg")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(plot(plotted))
    report.notes.append(f"estimates: {picture.relative_to(BUILT.parent)}")
    report.notes.append(offering(report, 20_000 if options.short else 1_000_000, 100 if options.short else 1_000))
    return report


def offering(report: Report, frames: int, offers: int) -> str:
    """Fill a queue and take from it. Returns what was seen, in words."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), memory_mb=2_000) as server:
        now_ms = time.time_ns() // 1_000_000
        keys = Keys("bench.")
        redis = Redis.from_url(server.url)
        _fill(redis, keys, frames, now_ms)
        ours, bare = asyncio.run(_offer(server.url, keys, offers, now_ms))
        redis.close()
    p99 = float(np.quantile(ours, 0.99)), float(np.quantile(bare, 0.99))
    drawn = np.random.default_rng(1).choice(len(ours), (400, len(ours)))
    ratios = np.quantile(np.asarray(ours)[drawn], 0.99, axis=1) / np.quantile(np.asarray(bare)[drawn], 0.99, axis=1)
    low, high = (float(bound) for bound in np.quantile(ratios, [0.025, 0.975]))
    report.figures.append(Figure("offer of 20 over 20 newest, p99", Interval(p99[0] / p99[1], low, high, len(ours))))
    offered = f"20 offered in p50 {np.median(ours):.2f}, p99 {p99[0]:.2f} ms"
    return f"queue of {frames:,} frames: {offered}; taken unasked p99 {p99[1]:.2f} ms"


def _fill(redis: Redis, keys: Keys, frames: int, now_ms: int) -> None:
    known = {"place": "0/1", "predicted": "car", "classes": ["bus", "car"], "track": None, "received_at_ms": now_ms}
    dice = Random(1)
    for begin in range(0, frames, 10_000):
        pipeline = redis.pipeline(transaction=False)
        names = {f"gate-{number % 500}/b/{number}": number for number in range(begin, min(begin + 10_000, frames))}
        pipeline.zadd(keys.drawer("audit"), {name: now_ms - frames + number for name, number in names.items()})
        facts: dict[Any, Any] = {
            name: msgspec.json.encode(known | {"hash": dice.getrandbits(63), "chance": 0.01, "twice": number % 20 == 0})
            for name, number in names.items()
        }
        pipeline.hset(keys.drawn("audit"), mapping=facts)
        pipeline.execute()


async def _offer(url: str, keys: Keys, offers: int, now_ms: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each offer, and of taking as many off without asking; turn about."""
    model = ReadModel(url, keys)
    queue = Offers(model, 7 * 24 * 3_600_000, Random(2))
    ours, bare = list[float](), list[float]()
    for number in range(offers):
        began = time.perf_counter()
        found = await queue.some(Principal(f"person-{number % 10}", EVERYTHING), 20, now_ms)
        ours.append((time.perf_counter() - began) * 1_000)
        # As people do: answered frames are labelled before long, and the queue forgets them.
        await model.redis.zadd(keys.labelled, dict.fromkeys(_names(found), now_ms))
        began = time.perf_counter()
        await model.redis.zpopmax(keys.drawer("audit"), 20)
        bare.append((time.perf_counter() - began) * 1_000)
    await model.close()
    return ours, bare


def _names(found: Iterable[object]) -> list[str]:
    return [name for offer in found for name in (offer.frame, *offer.same)]  # type: ignore[attr-defined]
