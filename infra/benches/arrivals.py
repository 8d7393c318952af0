"""When a subscriber has what was published: a read_committed reader in a process of its own.

`python -m infra.benches.arrivals` notes for every record on the topic predictions the frame that it is about and the
monotonic clock at which it had it (one clock for all processes of a machine), and writes that down when asked
end, after it has read on to the end of the log. `Arrivals` runs it.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray

from catseye.contract.records import Frame, Prediction, Record
from catseye.contract.topics import full_name
from catseye.kafka.clients import log_bounds, reader_config
from catseye.settings import Settings, load
from infra.benches.frames import Fleet, numbers
from infra.benches.harness import ROOT, BenchError

KINDS: dict[str, type[Record]] = {kind.__name__: kind for kind in (Frame, Prediction)}
CHUNK = 1_000
ARRIVAL = np.dtype([("number", "<i8"), ("seen_ns", "<i8")])
"""Of one record: number of its frame, monotonic clock when the reader had it."""


class Arrivals:
    """The reader, as the one who publishes sees it.

    Args:
        fleet: Whose predictions are read.
        kind: What stands on that topic: `Prediction`, or of a copy `Frame`.
        tell: Says so on each of these numbers of records.
    """

    def __init__(self, fleet: Fleet, kind: type[Record], report_at: tuple[int, ...]) -> None:
        self._file = fleet.directory / "arrivals"
        self._log = fleet.directory / "arrivals.log"
        words = ["--kind", kind.__name__, "--file", str(self._file), *(f"--report-at={count}" for count in report_at)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.benches.arrivals", *words],
                env=os.environ | fleet.environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._reported = ""

    def wait(self, count: int, timeout_s: float) -> bool:
        """Return when it has *count* records, one of those that it reports at, or False after *timeout_s* seconds."""
        until_s = time.monotonic() + timeout_s
        pipe = self._process.stdout
        assert pipe is not None
        while str(count) not in self._reported.split():
            ready, _, _ = select.select([pipe], [], [], max(0.0, until_s - time.monotonic()))
            output = os.read(pipe.fileno(), 4_096).decode() if ready else ""
            if ready and not output:
                raise BenchError(f"the reader ended by itself; its log:\n{self._log.read_text()[-2_000:]}")
            if not ready:
                return False
            self._reported += output
        return True

    def end(self) -> NDArray[Any]:
        """Let it read to the end of the log and return what it had, as `ARRIVAL`, in order."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(60):
            raise BenchError(f"the reader failed; its log:\n{self._log.read_text()[-2_000:]}")
        return np.fromfile(self._file, ARRIVAL)

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def latencies_ms(intended_ns: NDArray[np.int64], arrivals: NDArray[Any], first: int) -> NDArray[np.float64]:
    """From when each frame was to be published to when the reader first had its record; infinite where it never had.

    Args:
        intended_ns: Monotonic clock, frame by frame.
        arrivals: `ARRIVAL`, in order of time.
        first: Number of the first of these frames; others do not count.
    """
    found = np.full(len(intended_ns), np.inf)
    places = arrivals["number"] - first
    counts = (places >= 0) & (places < len(intended_ns))
    seen_ms = arrivals["seen_ns"][counts] / 1e6
    np.minimum.at(found, places[counts], seen_ms - intended_ns[places[counts]] / 1e6)
    return found


def quantile_ms(latencies: NDArray[np.float64], share: float) -> float:
    """The latency that *share* of all frames keep; infinite where too many never came."""
    return float(np.quantile(latencies, share, method="higher"))


def read(settings: Settings, report_at: set[int], stop: Event) -> tuple[list[bytes], list[int]]:
    """Read until *stop* is set and the log is at its end; return values and the clock at which each was had."""
    topic = full_name("predictions", settings.topic_prefix)
    partitions = list(range(settings.partitions))
    consumer = Consumer(reader_config(settings, f"{settings.topic_prefix}arrivals"))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    values: list[bytes] = []
    seen_ns: list[int] = []
    ends: dict[int, int] | None = None
    while ends is None or _behind(consumer, topic, ends):
        if stop.is_set() and ends is None:
            ends = {partition: end for partition, (_, end) in log_bounds(settings, topic, partitions).items()}
        first = consumer.poll(0.1)
        if first is None:
            continue
        batch: list[Any] = [first, *consumer.consume(CHUNK, 0)]
        now_ns = time.monotonic_ns()
        got = [message.value() for message in batch if not message.error()]
        for count in range(len(values) + 1, len(values) + len(got) + 1):
            if count in report_at:
                print(count, flush=True)
        values += got
        seen_ns += [now_ns] * len(got)
    consumer.close()
    return values, seen_ns


def _behind(consumer: Consumer, topic: str, ends: dict[int, int]) -> bool:
    places = consumer.position([TopicPartition(topic, partition) for partition in ends])
    return any(max(place.offset, 0) < ends[place.partition] for place in places)


def main() -> None:
    """Read, and write down what was read when SIGTERM comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--report-at", type=int, action="append", default=[])
    flags = parser.parse_args()
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    values, seen_ns = read(load(Settings), set(flags.report_at), stop)
    arrivals = np.empty(len(values), ARRIVAL)
    arrivals["number"], arrivals["seen_ns"] = numbers(values, KINDS[flags.kind]), seen_ns
    arrivals.tofile(flags.file)


if __name__ == "__main__":
    main()
