"""Watches cameras. Law: reports on a camera depend on its own records alone, and are the same after a crash."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import DOCTOR, digest, partition_of
from catseye.contract.message import Message
from catseye.contract.records import CameraReport, DriftStatistic, Outcome, Prediction, Record
from catseye.contract.topics import full_name
from catseye.runtime.progress import UNKNOWN, Progress, road_of_frames, road_of_labels
from catseye.runtime.router import Unread
from catseye.runtime.stream import Tally
from services.drift import absences, arrivals, renewal
from services.drift.alarms import was_blind
from services.drift.batch import Batch, Worth
from services.drift.layout import TELEMETRY_SLOTS
from services.drift.outcomes import Outcomes, outcomes
from services.drift.report import report, version_of
from services.drift.rules import Rules
from services.drift.sample import Frames, Inspection, frames
from services.drift.statistics import statistics
from services.drift.table import Cameras, Table, Version
from services.drift.watcher import Watcher

_CAMERAS_AT_ONCE: Final = 200
"""Cameras whose statistics are written at once: of a larger fleet each has its turn."""
_NAME_BYTES: Final = 16  # of telemetry, as its column in the layout holds it


Emit = Callable[[set[int]], None]


class DriftCore(Tally):
    """Predictions, outcomes and dead letters in, reports and statistics out.

    Args:
        rules: What the operator decided.
        prefix: Of topic names.
    """

    roads: Final = (
        road_of_frames("drift", "predictions", "dead-letters"),
        road_of_labels("drift", "predictions", "outcomes"),
    )
    in_parts = ("predictions", "dead-letters")

    def __init__(self, rules: Rules, prefix: str = "") -> None:
        super().__init__()
        self._rules = rules
        self._table = Table()
        self._watcher = Watcher(rules)
        self._frames = tuple(full_name(name, prefix) for name in ("frames", "frames.rekeyed"))
        self._archive = full_name("frames.accepted", prefix)
        self._batch = Batch(rules)
        self._worked = (UNKNOWN, UNKNOWN)

    def on_progress(self, *roads: Progress) -> None:
        """How far frames, and labels, have been worked off: absence is judged up to there."""
        self._worked = (roads[0], roads[1])

    def new_state(self) -> Cameras:
        return Cameras(self._table)

    def begin(self, batch: Sequence[Message], states: Mapping[int, Cameras], now_ms: int) -> Sequence[Message]:
        """Records of a batch are taken together at its end: predictions, outcomes, then frames that were refused."""
        self._batch = Batch(self._rules)
        return batch

    def on_prediction(self, unread: Unread, message: Message, cameras: Cameras, now_ms: int) -> list[Record]:
        """Most of the frames of a fast camera are inspected for faults alone, or not at all: of them less is read."""
        batch, worth = self._batch, Worth.SAMPLE
        if self._rules.sample_ms:
            came = unread.leading("received_at_ms")
            worth = batch.worth(cameras, came["camera"], came["received_at_ms"])
        if worth is Worth.NOTHING:
            batch.pass_over(cameras, came["camera"], came["received_at_ms"])
            return []
        if worth is Worth.INSPECTION:
            prediction = Prediction(**unread.leading("perceptual_hash"), model_sha256="", embedding=[])
        else:
            prediction = unread.whole()
        if prediction.camera != DOCTOR:
            batch.inspect(cameras, prediction, worth)
        return []

    def on_outcome(self, outcome: Outcome, message: Message, cameras: Cameras, now_ms: int) -> list[Record]:
        self._batch.outcomes.append((cameras, outcome))
        self._batch.active.add(cameras)
        return []

    def on_dead_letter(self, unread: Unread, message: Message, cameras: Cameras, now_ms: int) -> list[Record]:
        letter = unread.leading("key")  # the bytes that were refused are of no use here
        camera = _camera_of(letter, cameras)
        if camera in (None, DOCTOR) or letter["topic"] not in self._frames:
            return []
        # By its key alone it may lie anywhere; another partition's is no place for a camera.
        if partition_of(camera, self._rules.partitions) == message.partition():
            self._batch.refused.append((cameras, camera, letter["reason"], letter["refused_at_ms"]))
            self._batch.active.add(cameras)
        return []

    def end(self, states: Mapping[int, Cameras], now_ms: int) -> list[Record]:
        outputs: list[Record] = []
        sorted_, self._batch = self._batch, Batch(self._rules)  # holds on to no partition that goes
        active = {cameras: partition for partition, cameras in states.items() if cameras in sorted_.active}
        for cameras in active:
            cameras.shares().last_record_at_ms = now_ms

        def emit(rows: set[int]) -> None:
            # At once, not at the end of the batch: what began and ended while a backlog was read is reported too.
            outputs.extend(
                self._report(row, active[cameras], cameras.shared.newest_ms) for row, cameras in self._by_name(rows)
            )

        self.on_predictions(sorted_.predictions, emit, sorted_.inspections)
        self._remember_passed(sorted_)
        self.on_outcomes(sorted_.outcomes, emit)
        for cameras, camera, reason, at_ms in sorted_.refused:
            cameras.saw(at_ms)
            emit(absences.refused(self._table, cameras.row(camera), reason, at_ms))
        emit(self._evaluate_absences({cameras: cameras.shared.newest_ms for cameras in active}, active))
        for cameras in active:
            outputs += self._statistics_in_turn(cameras, emit)
        return outputs

    def on_time(self, states: Mapping[int, Cameras], now_ms: int) -> list[Record]:
        """Notice what does not come. While records come event time goes on with them; after that with our clock, and
        never further than the services before have worked."""
        at_ms: dict[Cameras, int] = {}
        for cameras in states.values():
            shared = cameras.shared
            if not shared.last_record_at_ms:
                cameras.shares().last_record_at_ms = now_ms
            elif shared.newest_ms:
                at_ms[cameras] = shared.newest_ms + max(0, now_ms - shared.last_record_at_ms)
        partitions = {cameras: partition for partition, cameras in states.items()}
        changed = self._by_name(self._evaluate_absences(at_ms, partitions))
        return [self._report(row, partitions[cameras], at_ms[cameras]) for row, cameras in changed]

    def on_predictions(
        self,
        predictions: Sequence[tuple[Cameras, Prediction]],
        emit: Emit = lambda _: None,
        inspections: Sequence[Inspection] | None = None,
    ) -> set[int]:
        """Take predictions, each camera's in order; returns the rows whose alarms changed.

        Args:
            predictions: Each with the cameras of its partition.
            emit: Gets the rows whose alarms have just changed.
            inspections: What each is inspected for; all of them for everything where it is None.
        """
        if not predictions:
            return set()
        changed: set[int] = set()
        rounds = _rounds([cameras.row(each.camera) for cameras, each in predictions])
        places = [place for these in rounds for place in these]
        ordered = [predictions[place] for place in places]
        rows = [cameras.row(each.camera) for cameras, each in ordered]
        slots = [self._slots(row, each.telemetry) for row, (_, each) in zip(rows, ordered, strict=True)]
        columns = frames(
            rows, [each for _, each in ordered], slots, inspections and [inspections[place] for place in places]
        )
        versions = np.array([_version_number(each.model, each.version) for _, each in ordered], np.uint64)
        end = 0
        for these in rounds:
            first, end = end, end + len(these)
            seen = columns.part(first, end)
            now_changed = self._renewed(seen, versions[first:end], ordered[first:end])
            now_changed |= self._watcher.frames(self._table, seen)
            for cameras, each in ordered[first:end]:
                cameras.saw(each.received_at_ms)
            emit(now_changed)
            changed |= now_changed
        self.events["frames_watched"] += len(predictions)
        return changed

    def on_outcomes(self, matched: Sequence[tuple[Cameras, Outcome]], emit: Emit = lambda _: None) -> set[int]:
        """Take outcomes, each camera's in order; as `on_predictions`."""
        changed: set[int] = set()
        matched = [each for each in matched if each[1].change == "matched" and each[1].role == "champion"]
        rows = [cameras.row(each.camera) for cameras, each in matched]
        for these in _rounds(rows):
            now_rows, now = [rows[place] for place in these], [matched[place][1] for place in these]
            versions = [version_of(self._table, row) for row in now_rows]
            seen = outcomes(now_rows, now, [version.classes for version in versions], self._rules.night)
            counts = self._counts(seen, now, versions)
            now_changed = self._watcher.labels(self._table, seen, counts)
            for place in these:
                cameras, each = matched[place]
                cameras.saw(each.label_received_at_ms)
            emit(now_changed)
            changed |= now_changed
            self.events["labels_watched"] += int(counts.sum())
        return changed

    def _remember_passed(self, batch: Batch) -> None:
        """Take note of frames that were passed over."""
        for cameras, at_ms in batch.passed_ms.items():
            cameras.saw(at_ms)
        if batch.passed_ms:
            self.events["frames_passed_over"] += batch.passed_over
        if batch.passed:
            rows = [cameras.row(camera) for cameras, camera in batch.passed]
            self._table.touch(rows, b"w")
            arrivals.passed_over(self._table.watch, rows, np.array([*batch.passed.values()]))

    def _renewed(
        self, seen: Frames, versions: NDArray[np.uint64], predictions: Sequence[tuple[Cameras, Prediction]]
    ) -> set[int]:
        """A new version of the model for a camera: what its predictions were like before no longer matters."""
        new = np.flatnonzero(self._table.watch["version"][seen.rows] != versions).tolist()
        for place in new:
            row, number, (cameras, prediction) = int(seen.rows[place]), int(versions[place]), predictions[place]
            cameras.knows(number, Version(prediction.model, prediction.version, tuple(prediction.probabilities)))
            self._table.touch([row], b"wrl")
            renewal.renew(self._table, row, number, prediction.received_at_ms)
        return {int(seen.rows[place]) for place in new}

    def _slots(self, row: int, telemetry: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the telemetry that the camera's slots hold; a new name takes a free one."""
        kept = self._table.slots(row)
        if len(kept) < TELEMETRY_SLOTS and not telemetry.keys() <= set(kept):
            new = [
                name
                for name in sorted(telemetry)
                if name not in kept and name.isascii() and name.isprintable() and 0 < len(name) <= _NAME_BYTES
            ]
            if new:
                self._table.touch([row], b"r")
                kept = self._table.keep_slots(row, (*kept, *new)[:TELEMETRY_SLOTS])
        return kept

    def _counts(self, seen: Outcomes, matched: Sequence[Outcome], now: Sequence[Version]) -> NDArray[np.bool_]:
        """Which outcomes, [n], are evidence about the model that predicts *now* and of a camera that saw the road."""
        of_it = [(each.model, each.version) == (it.model, it.version) for each, it in zip(matched, now, strict=True)]
        return np.array(of_it) & ~was_blind(self._table.watch, seen.rows, seen.received_ms)

    def _evaluate_absences(self, at_ms: Mapping[Cameras, int], partitions: Mapping[Cameras, int]) -> set[int]:
        """Look for what is absent from partitions at a time of each; returns the rows whose alarms changed."""
        frames, labels = (
            np.array([road.worked_until_ms(partitions[cameras]) for cameras in at_ms], np.int64)
            for road in self._worked
        )
        times = np.minimum(np.array([*at_ms.values()], np.int64), frames)
        rows = np.concatenate([np.zeros(0, np.int64), *(cameras.rows for cameras in at_ms)])
        counts = [len(cameras) for cameras in at_ms]
        return absences.evaluate(self._table, rows, np.repeat(times, counts), np.repeat(labels, counts))

    def _statistics_in_turn(self, cameras: Cameras, emit: Emit) -> list[DriftStatistic]:
        """Every few seconds of event time: statistics of some cameras, and how accurate they are."""
        at_ms = cameras.shared.newest_ms
        if at_ms - cameras.shared.statistics_up_to_ms < self._rules.statistics_ms:
            return []
        shared = cameras.shares()
        shared.statistics_up_to_ms = at_ms
        watch, rows = self._table.watch, np.roll(cameras.rows, -shared.turn)
        newest_ms = np.maximum(watch["sampled_ms"][rows], watch["label_seen_ms"][rows])
        # Where no sample and no label came since, everything has been published.
        news = np.flatnonzero((newest_ms > watch["told_ms"][rows]) & (watch["version"][rows] > 0))[:_CAMERAS_AT_ONCE]
        if not len(news):
            return []
        shared.turn = (shared.turn + int(news[-1]) + 1) % len(rows)
        rows, newest_ms = rows[news], newest_ms[news]
        self._table.touch(rows, b"w")
        watch["told_ms"][rows] = newest_ms
        emit(set(rows[watch["labels"][rows] > 0].tolist()))
        thresholds = (self._watcher.thresholds(self._table, rows, of) for of in ("", "label_"))
        return [*statistics(self._table, rows, self._rules, at_ms, *thresholds)]

    def _by_name(self, rows: set[int]) -> list[tuple[int, Cameras]]:
        """*rows*, each with the cameras of its partition, in an order that no process chose: by name."""
        table = self._table
        return [(row, table.cameras(row)) for row in sorted(rows, key=table.names.__getitem__)]

    def _report(self, row: int, partition: int, at_ms: int) -> CameraReport:
        # Silence is judged by our own clock: frames that come after all were taken before, yet what they change is new.
        shared = self._table.cameras(row).shares()
        shared.last_report_ms = max(at_ms, shared.last_report_ms)
        self.events["reported"] += 1
        return report(self._table, row, self._rules, shared.last_report_ms, (self._archive, partition))


@lru_cache(maxsize=1_000)
def _version_number(model: str, version: str) -> int:
    """Number by which rows know a version: 60 bits of a hash."""
    return int(digest("version", model, version)[:15], 16)


def _rounds(rows: Sequence[int]) -> list[list[int]]:
    """Places of the first record of each row, of the second of each that has one, and so on."""
    counts: dict[int, int] = {}
    rounds: list[list[int]] = []
    for place, row in enumerate(rows):
        nth = counts.get(row, 0)
        counts[row] = nth + 1
        if nth == len(rounds):
            rounds.append([])
        rounds[nth].append(place)
    return rounds


def _camera_of(letter: Mapping[str, Any], cameras: Cameras) -> str | None:
    """Camera of a refused frame: as it was read, or as the record's key has it where it names a camera that is known:
    others may key by anything."""
    if letter["camera"]:
        return str(letter["camera"])
    try:
        keyed = (letter["key"] or b"").decode()
    except UnicodeDecodeError:
        return None
    return keyed if keyed in cameras else None
