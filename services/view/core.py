"""Decides what a batch of records does to the read model.

Law: what is there in the end follows from the records alone, not from how they came in batches nor from the order of
topics beside each other. So each field has one topic that writes it, and across partitions there are counts only.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord
from catseye.contract.identity import DOCTOR, frame_id
from catseye.contract.message import Message
from catseye.contract.records import (
    AcceptedFrame,
    Alert,
    CameraReport,
    DeadLetter,
    DriftStatistic,
    Heartbeat,
    LabelAnswer,
    LabelSuspect,
    ModelEvent,
    Outcome,
    PairedOutcome,
    Prediction,
    Record,
    RetrainDecision,
    VehicleCount,
)
from catseye.contract.topics import BY_NAME
from catseye.view import plots
from catseye.view.keys import Keys, log_place
from catseye.view.writes import Word, Writes, places
from services.view.picture import picture_of
from services.view.queue import Queue

PICTURE_LIVES_S: Final = 3_600
DEAD_LETTERS_MOST: Final = 5_000
DECISIONS_MOST: Final = 500
RESOLVED_MOST: Final = 5_000
LIFETIMES_KNOWN_MOST: Final = 1_000_000

Changes = dict[str, Any]
_encode: Callable[[Any], bytes] = msgspec.json.encode


class ViewCore:
    """Records of all topics to commands and to what a page is told.

    Args:
        keys: Names in Redis.
        codec: Reads records.
        queue: Decides which frames people are asked to label.
    """

    def __init__(self, keys: Keys, codec: Codec, queue: Queue) -> None:
        self._keys = keys
        self._queue = queue
        self._codec = codec
        self._expiring: set[str] = set()
        self._take: Mapping[str, Callable[[Iterable[Message], Writes, Changes], None]] = {
            "frames.accepted": self._frames,
            "predictions": self._predictions,
            "outcomes": self._outcomes,
            "outcomes.paired": self._each(PairedOutcome, self._paired),
            "statistics": self._each(DriftStatistic, self._statistic),
            "drift.reports": self._each(CameraReport, self._report),
            "alerts": self._each(Alert, self._alert),
            "models": self._each(ModelEvent, self._model),
            "retraining": self._each(RetrainDecision, self._decision),
            "dead-letters": self._dead_letters,
            "vehicles.counts": self._each(VehicleCount, self._vehicles),
            "labels.answers": self._each(LabelAnswer, self._answer),
            "labels.suspects": self._each(LabelSuspect, self._suspect),
            "heartbeats": self._each(Heartbeat, self._heartbeat),
        }
        self.unreadable = 0

    def begin(self) -> None:
        """Forget what is known of the read model: it may be another one from now on."""
        self._expiring.clear()

    def on_batch(self, batch: Mapping[str, list[Message]]) -> tuple[Writes, Changes]:
        """Commands for the records of *batch*, by topic without prefix, and what changed, for the live stream."""
        writes = Writes(self._expiring)
        changes: Changes = {}
        for topic, messages in batch.items():
            writes.count(self._keys.counts, topic, len(messages))
            if (take := self._take.get(topic)) is not None:
                take(messages, writes, changes)
        if len(self._expiring) > LIFETIMES_KNOWN_MOST:
            self.begin()  # set again where they are used: the same lifetimes
        return writes, changes

    # -- one method a topic

    def _frames(self, messages: Iterable[Message], writes: Writes, changes: Changes) -> None:
        """The newest picture of each camera; the rest of a batch is not even decoded."""
        newest: dict[bytes, Message] = {}
        for message in messages:
            newest[message.key() or b""] = message
        for message in newest.values():
            frame = self._read(message, AcceptedFrame)
            if frame is not None and frame.camera != DOCTOR:
                writes.newest(self._keys.picture(frame.camera), picture_of(frame.jpeg), PICTURE_LIVES_S)
                sizes = {"width": frame.width, "height": frame.height}
                name = frame_id(frame.camera, frame.boot, frame.sequence)
                values = {"picture_frame": name, "picture_at_ms": frame.received_at_ms}
                writes.fields(self._keys.camera(frame.camera), {**values, **sizes})
                writes.score(self._keys.cameras, frame.camera, 0)
                _camera(changes, frame.camera)["picture_at_ms"] = frame.received_at_ms

    def _predictions(self, messages: Iterable[Message], writes: Writes, changes: Changes) -> None:
        newest: dict[str, Message] = {}
        for message in messages:
            try:
                head = self._codec.leading_fields(message.value(), Prediction, "label")
            except BadRecord:
                self.unreadable += 1
                continue
            camera = head["camera"]
            if camera == DOCTOR:
                continue
            newest[camera] = message
            received_at_ms = head["received_at_ms"]
            hops = received_at_ms - head["captured_at_ms"], head["predicted_at_ms"] - received_at_ms
            version = f"{head['model']}/{head['version']}"
            writes.first(self._keys.versions(camera), version, received_at_ms)
            writes.count(self._keys.camera(camera), "predictions")
            for resolution, chunk, slot in places(received_at_ms):
                of_class = self._keys.plot(plots.MIX, f"{head['label']}/{camera}", resolution.step_ms, chunk)
                writes.slot_count(of_class, resolution, chunk, slot, plots.COUNT_BITS)
                for hop, took_ms in zip(plots.HOPS, hops, strict=True):
                    of_fleet = self._keys.plot(plots.LATENCY, hop, resolution.step_ms, chunk)
                    at = slot * plots.LATENCY_BINS + plots.latency_bin(took_ms)
                    writes.slot_count(of_fleet, resolution, chunk, at, plots.LATENCY_BITS)
            if self._queue.wants(camera, head["boot"], head["sequence"]) and (drawn := self._read(message, Prediction)):
                self._queue.predicted(drawn, writes)
        for camera, message in newest.items():
            if (prediction := self._read(message, Prediction)) is not None:
                self._prediction(camera, prediction, writes, changes)

    def _prediction(self, camera: str, prediction: Prediction, writes: Writes, changes: Changes) -> None:
        shown: dict[str, Word] = {
            "frame": frame_id(camera, prediction.boot, prediction.sequence),
            "label": prediction.label,
            "confidence": repr(max(prediction.probabilities.values(), default=0.0)),
            "captured_at_ms": prediction.captured_at_ms,
            "received_at_ms": prediction.received_at_ms,
            "predicted_at_ms": prediction.predicted_at_ms,
            "model": prediction.model,
            "version": prediction.version,
        }
        _camera(changes, camera).update(shown)
        writes.score(self._keys.cameras, camera, 0)
        extra: dict[str, Word] = {
            "prediction_id": prediction.prediction_id,
            "place": log_place(prediction.frame_partition, prediction.frame_offset),
            "probabilities": _encode(prediction.probabilities),
            "telemetry": _encode(prediction.telemetry),
            "brightness": repr(prediction.brightness),
        }
        writes.fields(self._keys.camera(camera), {**shown, **extra})

    def _outcomes(self, messages: Iterable[Message], writes: Writes, changes: Changes) -> None:
        for message in messages:
            outcome = self._read(message, Outcome)
            if outcome is None or outcome.role != "champion" or outcome.camera == DOCTOR:
                continue
            key = self._keys.camera(outcome.camera)
            writes.count(key, f"labels_{outcome.change}")
            shown: dict[str, Word] = {
                "labelled_frame": frame_id(outcome.camera, outcome.boot, outcome.sequence),
                "labelled": outcome.label or "",
                "labelled_predicted": outcome.predicted,
                "labelled_at_ms": outcome.label_received_at_ms,
            }
            writes.fields(key, shown)
            _camera(changes, outcome.camera).update(shown)
            self._queue.labelled(outcome, writes)

    def _vehicles(self, count: VehicleCount, _: Message, writes: Writes, changes: Changes) -> None:
        kind = _encode((count.label, count.direction, count.line)).decode()
        writes.count(self._keys.vehicles(count.camera), kind, count.vehicles)
        for resolution, chunk, slot in places(count.minute_ms):
            of_class = self._keys.plot(plots.VEHICLES, f"{count.label}/{count.camera}", resolution.step_ms, chunk)
            writes.slot_count(of_class, resolution, chunk, slot, plots.COUNT_BITS, count.vehicles)

    def _answer(self, answer: LabelAnswer, _: Message, writes: Writes, changes: Changes) -> None:
        self._queue.answered(answer, writes)
        changes["labels"] = changes.get("labels", 0) + 1

    def _suspect(self, suspect: LabelSuspect, _: Message, writes: Writes, changes: Changes) -> None:
        self._queue.in_doubt(suspect, writes)
        changes["labels"] = changes.get("labels", 0) + 1

    def _paired(self, paired: PairedOutcome, _: Message, writes: Writes, changes: Changes) -> None:
        right = 2 * (paired.shadow_predicted == paired.label) + (paired.champion_predicted == paired.label)
        propensity = f"{paired.propensity:.2g}"  # as evidence takes it
        member = f"{paired.model}/{paired.champion}/{paired.shadow}"
        key = self._keys.race(paired.model, paired.champion, paired.shadow)
        writes.count(key, f"{propensity}/{plots.RIGHT[right]}")
        writes.score(self._keys.races, member, paired.label_received_at_ms)
        for resolution, chunk, slot in places(paired.label_received_at_ms):
            of_race = self._keys.plot(plots.RACE, f"{propensity}/{member}", resolution.step_ms, chunk)
            writes.slot_count(of_race, resolution, chunk, slot * len(plots.RIGHT) + right, plots.RACE_BITS)
        changes["models"] = True

    def _statistic(self, statistic: DriftStatistic, _: Message, writes: Writes, changes: Changes) -> None:
        camera, share = statistic.camera, _share(statistic)
        kept = msgspec.structs.asdict(statistic) | {"share": share}
        writes.fields(self._keys.signals(camera), {statistic.signal: _encode(kept)})
        for resolution, chunk, slot in places(statistic.at_ms):
            if statistic.evidence > 0:
                key = self._keys.plot(plots.EVIDENCE, f"{statistic.signal}/{camera}", resolution.step_ms, chunk)
                writes.slot(key, resolution, chunk, slot, plots.pack_evidence(share))
            if statistic.signal == "loss" and _known(statistic.estimate, statistic.low, statistic.high):
                key = self._keys.plot(plots.ACCURACY, camera, resolution.step_ms, chunk)
                low, high = statistic.low or 0.0, statistic.high or 0.0
                shares = (1 - statistic.estimate, 1 - high, 1 - low)
                writes.slot(key, resolution, chunk, slot, plots.pack_shares(shares))
            if statistic.signal.startswith("telemetry.") and _known(statistic.estimate):
                name = statistic.signal.partition(".")[2]
                key = self._keys.plot(plots.TELEMETRY, f"{name}/{camera}", resolution.step_ms, chunk)
                writes.slot(key, resolution, chunk, slot, plots.pack_reading(statistic.estimate))

    def _report(self, report: CameraReport, _: Message, writes: Writes, changes: Changes) -> None:
        labels = report.recent_labels
        shown: dict[str, Word] = {
            "reported_at_ms": report.at_ms,
            "accuracy": repr(1 - report.recent_errors / labels) if labels >= 1 else "",
            "recent_labels": repr(labels),
            "estimated_accuracy": repr(report.estimated_accuracy) if report.estimate_valid else "",
            "learning_left": report.learning_left,
            "alarms": _encode([alarm.kind for alarm in report.alarms]).decode(),
        }
        writes.fields(self._keys.camera(report.camera), shown)
        writes.score(self._keys.cameras, report.camera, 0)
        self._queue.suspects(report.camera, report.alarms, writes)
        _camera(changes, report.camera).update(shown)

    def _alert(self, alert: Alert, _: Message, writes: Writes, changes: Changes) -> None:
        keys = self._keys
        writes.other("HSET", keys.alerts, alert.alert_id, _encode(alert))
        into, out_of = keys.alerts_open, keys.alerts_resolved
        if alert.state == "resolved":
            into, out_of = out_of, into
        writes.other("ZREM", out_of, alert.alert_id)
        writes.other("ZADD", into, alert.updated_at_ms, alert.alert_id)
        writes.cap(keys.alerts_resolved, keys.alerts, RESOLVED_MOST)
        changes.setdefault("alerts", []).append(alert.alert_id)

    def _model(self, event: ModelEvent, _: Message, writes: Writes, changes: Changes) -> None:
        shown = {name: value for name, value in msgspec.structs.asdict(event).items() if name != "signature"}
        writes.other("RPUSH", self._keys.models, _encode(shown))
        changes["models"] = True

    def _decision(self, decision: RetrainDecision, _: Message, writes: Writes, changes: Changes) -> None:
        writes.other("LPUSH", self._keys.decisions, _encode(decision))
        writes.other("LTRIM", self._keys.decisions, 0, DECISIONS_MOST - 1)
        changes["models"] = True

    def _dead_letters(self, messages: Iterable[Message], writes: Writes, changes: Changes) -> None:
        keys, refused = self._keys, 0
        topic_of = BY_NAME["dead-letters"].name
        for message in messages:
            letter = self._read(message, DeadLetter)
            if letter is None:
                continue
            shown = {
                name: value for name, value in msgspec.structs.asdict(letter).items() if name not in ("key", "value")
            }
            shown["value_bytes"] = len(letter.value or b"")
            shown["lies_at"] = f"{topic_of}/{log_place(message.partition(), message.offset())}"
            writes.other("HSET", keys.dead_letters, letter.dead_letter_id, _encode(shown))
            writes.score(keys.dead, letter.dead_letter_id, letter.refused_at_ms)
            writes.count(keys.dead_reasons, f"{letter.topic}/{letter.reason}")
            refused += 1
        if refused:
            writes.cap(keys.dead, keys.dead_letters, DEAD_LETTERS_MOST)
            changes["dead_letters"] = refused

    def _heartbeat(self, beat: Heartbeat, _: Message, writes: Writes, changes: Changes) -> None:
        """What the system page shows of a process: its state, what it refuses, what waits for it.

        No page is told: each process writes every few seconds, and who looks at that page asks as often.
        """
        writes.fields(self._keys.processes, {f"{beat.service}/{beat.instance}": _encode(beat)})

    # -- how they are read

    def _read(self, message: Message, kind: type[Any]) -> Any:
        try:
            return self._codec.decode(message.value(), kind)
        except BadRecord:
            self.unreadable += 1
            return None

    def _each(
        self, kind: type[Record], take: Callable[[Any, Message, Writes, Changes], None]
    ) -> Callable[[Iterable[Message], Writes, Changes], None]:
        def take_all(messages: Iterable[Message], writes: Writes, changes: Changes) -> None:
            for message in messages:
                if (record := self._read(message, kind)) is not None and getattr(record, "camera", "") != DOCTOR:
                    take(record, message, writes, changes)

        return take_all


def _camera(changes: Changes, name: str) -> dict[str, Any]:
    """What changed of one camera in this batch."""
    of_camera: dict[str, Any] = changes.setdefault("cameras", {}).setdefault(name, {})
    return of_camera


def _share(statistic: DriftStatistic) -> float:
    """Evidence as a share of its threshold, on a scale of logarithms: evidence grows by factors. 0 to 1."""
    if not statistic.evidence > 1 or not statistic.threshold > 1:
        return 0.0
    return min(math.log(statistic.evidence) / math.log(statistic.threshold), 1.0)


def _known(*numbers: float | None) -> bool:
    return all(number is not None and math.isfinite(number) for number in numbers)
