"""Figure 8, last part: how much of what a frame costs the pipeline is the drift service's.

Ingest, inference with the shipped model, ground truth and drift run on the measured core; each is asked for its own CPU
time over the same frames, so both sides of the ratio are of one moment. Frames come in an open loop, as many a second
in a small fleet as in a large one. References are whole before anything counts: a frame that is tested costs more than
one that is learned from. First every frame is a sample, as in the demo; then those that lie far enough apart, as they
do by default, which the target is for. Nobody labels: a label costs the other services more than it costs drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.records import DriftStatistic, Prediction
from infra.benches import harness, load
from infra.benches.frames import (
    PARTITIONS,
    Fleet,
    Frames,
    crops,
    faults,
    numbers,
    require_none,
    warm_broker,
)
from infra.benches.harness import BUILT, BenchError, Child, Figure, Options, Row
from infra.benches.latency import MODEL, Publisher, arrival_times_ns
from infra.benches.load import LoadRecord
from infra.benches.worker import RUNTIME
from services.drift.rules import Rules

TARGET: Final = 0.02
READS: Final = {
    "ingest": "frames",
    "inference": "frames.accepted",
    "ground_truth": "predictions",
    "drift": "predictions",
}
"""What each is waited for, in the order in which a frame comes to them: what one has taken, the next has before it."""
SERVICES: Final = tuple(READS)
DEFAULT: Final = f"samples {Rules().sample_ms / 1_000:.0f} s apart"
SAMPLES: Final = ("every frame a sample", DEFAULT)
_SAMPLES: Final = 100
"""Frames of a reference: that cameras are done with learning is all that is wanted of them here."""
_EVERY_FRAME: Final = {"CATSEYE_DRIFT_REFERENCE_SAMPLES": str(_SAMPLES), "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0"}
_AT_ONCE: Final = 2_000  # frames that are published together while cameras learn
_PICTURES: Final = 10_007  # a prime: no camera sees the same few again and again


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        cameras: Fleets.
        learning: Frames of each camera before anything counts.
        rate_hz: Frames a second of a whole fleet.
        seconds: Length of a block.
        blocks: Of each fleet, one after the other.
        warm_up_s: How long the broker is kept busy first, seconds.
    """

    cameras: tuple[int, ...]
    learning: int
    rate_hz: float
    seconds: float
    blocks: int
    warm_up_s: float


FULL: Final = Size(cameras=(6, 100), learning=260, rate_hz=120, seconds=15, blocks=harness.PAIRS, warm_up_s=10.0)
SHORT: Final = Size(cameras=(2,), learning=260, rate_hz=60, seconds=2, blocks=1, warm_up_s=0.5)


class Pipeline:
    """Four services that have seen a fleet's cameras long enough to watch them.

    Args:
        fleet: Their topics.
        cameras: How many.
        learning: Frames of each before this is there.
        running: Stops what was started.
    """

    def __init__(self, fleet: Fleet, cameras: int, learning: int, running: ExitStack) -> None:
        self._fleet = fleet
        self._cameras = cameras
        self._sent = 0
        self._services: dict[str, Child] = {}
        running.callback(self._stop_all)
        for name in SERVICES:
            self._start(name, _EVERY_FRAME)
        jpegs = crops()
        drawn = np.random.default_rng(cameras).integers(len(jpegs), size=_PICTURES).tolist()
        self._frames = Frames([jpegs[place] for place in drawn], clock.now_ms(), cameras)
        self._publisher = Publisher(fleet)
        self._lags = []
        for name, topic in READS.items():
            group = fleet.settings.topic_prefix + name
            lag = load.Lag(fleet.settings.kafka_bootstrap_servers, group, {fleet.topic(topic): PARTITIONS})
            running.callback(lag.close)
            self._lags.append(lag)
        while self._sent < cameras * learning:
            self._publisher.at_once(self._records(min(_AT_ONCE, cameras * learning - self._sent)))
            self._settle()

    def sample_as_usual(self) -> None:
        """From now on drift takes samples as it does by default, against the references that it has.

        Raises:
            BenchError: it did not end when asked.
        """
        self._stop("drift")
        self._start("drift", {})
        self._publisher.at_once(self._records(self._cameras))
        self._settle()

    def block(self, seconds: float, rate_hz: float, seed: int) -> Row:
        """CPU of each service by its name, µs a frame, over as many `frames` as come in *seconds*."""
        times_ns = arrival_times_ns(rate_hz, seconds, seed)
        records = self._records(len(times_ns))
        before = {name: service.cpu_ns() for name, service in self._services.items()}
        self._publisher.in_time(records, times_ns)
        self._settle()
        row: Row = {"frames": len(records)}
        for name, service in self._services.items():
            row[name] = (service.cpu_ns() - before[name]) / len(records) / 1e3
        return row

    def end(self) -> None:
        """Stop the services and look at what they wrote.

        Raises:
            BenchError: one did not end when asked, a frame was lost or repeated, or a camera is still learning.
        """
        for name in SERVICES:
            self._stop(name)
        require_none("pipeline", faults(numbers(self._log("predictions"), Prediction, self._cameras), self._sent))
        codec = Codec()
        statistics = [codec.decode(value, DriftStatistic) for value in self._log("statistics")]
        if learning := self._cameras - len({each.camera for each in statistics if each.count}):
            raise BenchError(f"{learning} cameras were still learning: what was measured is not what was meant")

    def _start(self, name: str, settings: dict[str, str]) -> None:
        log = self._fleet.directory / f"{name}.log"
        self._services[name] = Child((RUNTIME, "-m", f"services.{name}"), log, self._fleet.environment | settings)

    def _stop_all(self) -> None:
        for service in self._services.values():
            service.stop()

    def _stop(self, name: str) -> None:
        service = self._services[name]
        if not service.stop():
            raise BenchError(f"{name} did not end when asked; its log:\n{service.log_tail()}")

    def _records(self, count: int) -> list[LoadRecord]:
        """The next frames of the fleet."""
        first, self._sent = self._sent, self._sent + count
        return [self._frames.published(number) for number in range(first, self._sent)]

    def _settle(self) -> None:
        """Wait until every service has all that was published."""
        for lag in self._lags:
            lag.wait(alive=lambda: all(service.alive() for service in self._services.values()))

    def _log(self, topic: str) -> list[bytes]:
        """All that stands on a topic."""
        found: list[bytes] = []
        sink = load.Sink(
            self._fleet.settings.kafka_bootstrap_servers, self._fleet.topic(topic), PARTITIONS, found.extend
        )
        sink.read_rest()
        sink.close()
        return found


def measured(options: Options) -> list[Row]:
    """A row a block: `cameras`, `samples` and what `Pipeline.block` says."""
    size = SHORT if options.short else FULL
    rows: list[Row] = []
    harness.stay_off_the_measured_core()
    with harness.broker(options.bootstrap) as bootstrap:
        warm_broker(bootstrap, size.warm_up_s)
        for cameras in size.cameras:
            fleet = Fleet(bootstrap, BUILT / "bench", f"share-{cameras}")
            fleet.make_champion(MODEL.read_bytes())
            with ExitStack() as running:
                pipeline = Pipeline(fleet, cameras, size.learning, running)
                for samples in SAMPLES:
                    if samples == DEFAULT:
                        pipeline.sample_as_usual()
                    for seed in range(options.pairs or size.blocks):
                        row: Row = {"cameras": cameras, "samples": samples}
                        block = pipeline.block(size.seconds, size.rate_hz, seed)
                        rows.append(row | block)
                        statistics = f"{cameras} cameras, {samples}: drift {float(block['drift']):.0f} µs a frame"
                        options.progress.print(statistics, style="dim")
                pipeline.end()
            fleet.clear()
    return rows


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Drift over all four, by size of the fleet and what counts as a sample."""
    found = []
    for cameras, samples in dict.fromkeys((row["cameras"], row["samples"]) for row in rows):
        mine = [row for row in rows if (row["cameras"], row["samples"]) == (cameras, samples)]
        drift = [float(row["drift"]) for row in mine]
        whole = [sum(float(row[name]) for name in SERVICES) for row in mine]
        found.append(
            Figure(
                f"drift's share of the pipeline's CPU, {cameras} cameras, {samples}",
                harness.ratio(drift, whole),
                TARGET,
            )
        )
    return found
