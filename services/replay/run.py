"""One replay: topics in order of arrival, the candidate's answers in micro-batches, score and alerts."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final, NoReturn

from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, Misconfigured
from catseye.contract.records import ModelEvent, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.reading import Part
from catseye.models.check import check_file
from catseye.models.net import Net
from catseye.models.stages import Serving
from catseye.ops.lineage.log_reader import LogReader
from catseye.runtime.router import Router
from services import inference
from services.drift.rules import Rules as DriftRules
from services.incidents.rules import Rules as IncidentsRules
from services.inference.__main__ import decoded
from services.inference.core import InferenceCore, ServingVersions
from services.inference.settings import InferenceSettings
from services.replay import TOPICS
from services.replay.answer import Answer
from services.replay.core import Backtest
from services.replay.feed import Feed
from services.replay.order import KINDS, Arrival, Arrivals, Place, in_order
from services.replay.span import Span
from services.replay.watch import Kept, Watch

CHUNK: Final = 256
"""Arrivals that are taken at once: enough frames among them for whole micro-batches."""
SLACK_MS: Final = 60_000
"""So much may the broker's clock be behind ingest's: records are looked for from so long before the span."""
_VERSION_DIGITS: Final = 12  # as `catseye.models.register` has it


@dataclass(frozen=True)
class Candidate:
    """A model that is tried: its event, as its registration would say it, and the loaded net."""

    event: ModelEvent
    net: Net


def candidate_of(file: Path, threads: int) -> Candidate:
    """Check and load a model file.

    Raises:
        BadModel: it is no ONNX file, or breaks the contract.
        Misconfigured: it cannot be read.
    """
    try:
        onnx = file.read_bytes()
    except OSError as fault:
        raise Misconfigured(f"--model: {file} cannot be read: {fault.strerror}") from fault
    try:
        check_file(onnx)
        net = Net(onnx, threads)
    except BadModel as fault:
        raise BadModel(f"--model: {file}: {fault}") from fault
    name = sha256(onnx).hexdigest()
    event = ModelEvent(
        event_id="",
        model=net.spec.name,
        version=name[:_VERSION_DIGITS],
        stage="champion",
        sha256=name,
        signature=b"",
        because="replay",
        by="replay",
        at_ms=0,
    )
    return Candidate(event, net)


class Replay:
    """A span of recorded frames, predicted once more.

    Args:
        log: The topics.
        settings: Of inference, and what is common.
        drift: Rules of drift.
        incidents: Rules of incidents.
        candidate: Who predicts.
        span: From when to when.
        cameras: Whose frames; empty for all.

    Raises:
        Misconfigured: a topic does not exist.
        Unavailable: the broker does not answer.
    """

    def __init__(
        self,
        log: LogReader,
        settings: InferenceSettings,
        drift: DriftRules,
        incidents: IncidentsRules,
        candidate: Candidate,
        span: Span,
        cameras: frozenset[str],
    ) -> None:
        self._candidate, self._span, self._cameras = candidate, span, cameras
        self._done = 0  # records that were taken
        self._codec: Codec = log.codec
        prefix = settings.topic_prefix
        self._names = {full_name(name, prefix): name for name in TOPICS}
        wanted = _wanted(log, span)
        self._ends = wanted if span.to_ms is None else _until(log, wanted, span.to_ms)
        self._feed = Feed(log, wanted)
        self._parts = list(wanted)
        self._arrivals = Arrivals(self._codec, span, cameras)
        frames = {number: first for (topic, number), (first, _) in wanted.items() if self._names[topic] == TOPICS[0]}
        self._predictions = full_name("predictions", prefix)
        self._outcomes = full_name("outcomes", prefix)
        self._watch = Watch(self._codec, prefix, dataclasses.replace(drift, partitions=len(frames)), incidents, frames)
        self._pool = ThreadPoolExecutor(settings.inference_decode_threads, thread_name_prefix="decode")
        serving = Serving((candidate.event, candidate.net))
        core = InferenceCore(
            lambda: serving, _give_up, lambda jpegs: self._pool.map(decoded, jpegs), settings.inference_micro_batch
        )
        self._inference: Router[ServingVersions] = Router(
            core, inference.NAME, inference.BATCHES, inference.WRITES_AS["champion"], self._codec, prefix, len(frames)
        )
        self._serving_versions = {partition: self._inference.new_state() for partition in frames}
        self._backtest = Backtest(
            candidate.event.model,
            candidate.event.version,
            candidate.net.spec.classes,
            int((settings.label_horizon_h + settings.archive_margin_h) * 3_600_000),
            span.from_ms,
            frames,
        )

    def run(self, progress: Callable[[int, int], None]) -> Answer:
        """Do it.

        Args:
            progress: Is called with how many offsets of how many are read.

        Raises:
            Misconfigured: no frame is in the span.
            Unavailable: the broker does not answer.
        """
        last_ms, total = 0, sum(max(0, end - first) for first, end in self._ends.values())
        arrivals = in_order([self._arrivals.of(KINDS[self._names[part[0]]], self._read(part)) for part in self._parts])
        try:
            while chunk := list(islice(arrivals, CHUNK)):
                self._take(chunk)
                last_ms = chunk[-1].at_ms
                progress(min(self._done, total), total)
        finally:
            self._pool.shutdown()
        score = self._backtest.score()
        if not score.frames:
            of = f" of {', '.join(sorted(self._cameras))}" if self._cameras else ""
            raise Misconfigured(
                f"the archive has no frame{of} in this span: it keeps what CATSEYE_LABEL_HORIZON_H and "
                "CATSEYE_ARCHIVE_MARGIN_H say; left out, --from and --to take all of it"
            )
        progress(total, total)
        to_ms = last_ms if self._span.to_ms is None else self._span.to_ms
        event = self._candidate.event
        return Answer(
            model=event.model,
            version=event.version,
            sha256=event.sha256,
            to_ms=to_ms,
            cameras=sorted(self._cameras),
            score=score,
            alerts=self._watch.finish(to_ms),
            learning=self._watch.learning(),
            unreadable=self._arrivals.unreadable,
        )

    def _read(self, part: Part) -> Iterator[Any]:
        for message in self._feed.stream(part):
            self._done += 1
            yield message

    def _take(self, chunk: list[Arrival]) -> None:
        answers = self._answers(chunk)
        for arrival in chunk:
            if arrival.kind == "frame":
                answer = answers.get(arrival.place)
                found = self._backtest.on_frame(arrival, answer)
                if answer is not None:
                    value = self._codec.encode(answer)
                    self._watch.take(arrival.at_ms, Kept(self._predictions, *arrival.place, value))
            elif arrival.kind == "prediction":
                found = self._backtest.on_prediction(arrival)
            elif arrival.kind == "outcome":
                found = self._backtest.on_outcome(arrival)
            else:
                found = []
                self._watch.take(arrival.at_ms, arrival.message)
            for outcome in found:
                value = self._codec.encode(outcome)
                self._watch.take(arrival.at_ms, Kept(self._outcomes, arrival.place[0], 0, value))

    def _answers(self, chunk: list[Arrival]) -> dict[Place, Prediction]:
        """What the candidate says of the frames of *chunk*, as if at once: how fast it serves is not known here."""
        messages = [arrival.message for arrival in chunk if arrival.kind == "frame"]
        outputs = self._inference.on_batch(messages, self._serving_versions, 0) if messages else []
        predictions = [
            self._codec.decode(each.value, Prediction) for each in outputs if each.topic == self._predictions
        ]
        return {
            (each.frame_partition, each.frame_offset): replace(each, predicted_at_ms=each.received_at_ms)
            for each in predictions
        }


def _wanted(log: LogReader, span: Span) -> dict[Part, tuple[int, int]]:
    """Offsets to read, from the first that may be of the span."""
    bounds = log.bounds(TOPICS)
    if span.from_ms is None:
        return bounds
    firsts = log.since(bounds, max(0, span.from_ms - SLACK_MS))
    return {part: (firsts[part], end) for part, (_, end) in bounds.items()}


def _until(log: LogReader, wanted: Mapping[Part, tuple[int, int]], to_ms: int) -> dict[Part, tuple[int, int]]:
    """About where the span ends: for the progress alone, since an archive may have been copied later."""
    ends = log.since(dict(wanted), to_ms + SLACK_MS)
    return {part: (first, ends[part]) for part, (first, _) in wanted.items()}


def _give_up(event: ModelEvent, because: str) -> NoReturn:
    """There is no version before it that could go on."""
    raise BadModel(f"{event.model} {event.version}: {because}")
