"""Watches cameras. Law: reports on a camera depend on its own records alone, and are the same after a crash."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from catseye.contract.identity import DOCTOR, digest, partition_of
from catseye.contract.message import Message
from catseye.contract.records import CameraReport, DriftStatistic, Outcome, Prediction, Record
from catseye.contract.topics import full_name
from catseye.runtime.progress import UNKNOWN, Progress, road_of_frames, road_of_labels
from catseye.runtime.router import Unread
from catseye.runtime.stream import Tally
from services.drift import absences, ahead, arrivals, renewal, views
from services.drift.alarms import was_blind
from services.drift.batch import Batch, Worth
from services.drift.cameras import Cameras, Home, Version
from services.drift.fields import TELEMETRY_SLOTS
from services.drift.layout import Layout
from services.drift.outcomes import Outcomes, outcomes
from services.drift.places import moved, places_of
from services.drift.report import report, version_of
from services.drift.rules import Rules
from services.drift.sample import Frames, Inspection, frames
from services.drift.statistics import statistics
from services.drift.table import Table, Tables
from services.drift.watcher import Watcher

_CAMERAS_AT_ONCE: Final = 200
"""Cameras whose statistics are written at once: of a larger fleet each has its turn."""
_NAME_BYTES: Final = 16  # of telemetry, as its column in the layout holds it


_Of = TypeVar("_Of")
Emit = Callable[[Table, set[int]], None]
"""Takes rows of a table whose alarms have just changed."""


class DriftCore(Tally):
    """Predictions, outcomes and dead letters in, reports and statistics out.

    Args:
        rules: What the operator decided.
        prefix: Of topic names.
    """

    roads: Final = (
        road_of_frames("drift", "predictions", "dead-letters", "views"),
        road_of_labels("drift", "predictions", "outcomes"),
    )
    in_parts = ("predictions", "dead-letters", "views")

    def __init__(self, rules: Rules, prefix: str = "") -> None:
        super().__init__()
        self._rules = rules
        self._tables = Tables()
        self._watcher = Watcher(rules)
        self._frames = tuple(full_name(name, prefix) for name in ("frames", "frames.rekeyed"))
        self._archive = full_name("frames.accepted", prefix)
        self._batch = Batch(rules)
        self._worked = (UNKNOWN, UNKNOWN)

    def on_progress(self, *roads: Progress) -> None:
        """How far frames, and labels, have been worked off: absence is judged up to there."""
        self._worked = (roads[0], roads[1])

    def new_state(self) -> Cameras:
        return Cameras(self._tables)

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
        if outcome.camera != DOCTOR:
            self._batch.outcomes.append((cameras, outcome))
            self._batch.active.add(cameras)
        return []

    def on_camera_view(self, unread: Unread, message: Message, cameras: Cameras, now_ms: int) -> list[Record]:
        """The whole picture: is the camera well? Of the road it says nothing."""
        view = unread.leading(views.LAST)
        if view["camera"] != DOCTOR:
            self._batch.views.append((cameras, view))
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

        def emit(table: Table, rows: set[int]) -> None:
            # At once, not at the end of the batch: what began and ended while a backlog was read is reported too.
            outputs.extend(
                self._report(table, row, active[cameras], cameras.shared.newest_ms)
                for row, cameras in _by_name(table, rows)
            )

        self.on_predictions(sorted_.predictions, emit, sorted_.inspections)
        self._remember_passed(sorted_)
        self.on_views(sorted_.views, emit)
        first = [(cameras, each) for cameras, each in sorted_.outcomes if _is_first(each)]
        self.on_outcomes(ahead.due(sorted_.predictions, first), emit)
        for cameras, each in sorted_.outcomes:
            cameras.saw(each.label_received_at_ms)  # whatever it says: it came
        for cameras, camera, reason, at_ms in sorted_.refused:
            cameras.saw(at_ms)
            table, row = cameras.home(camera)
            emit(table, absences.refused(table, row, reason, at_ms))
        self._evaluate_absences({cameras: cameras.shared.newest_ms for cameras in active}, active, emit)
        for cameras in active:
            # While nothing came time went on with our clock; what comes now may have been on its way since before that.
            shared = cameras.shares()
            shared.statistics_up_to_ms = min(shared.statistics_up_to_ms, shared.newest_ms)
            outputs += self._statistics_in_turn(cameras, shared.newest_ms, emit)
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
        outputs: list[Record] = []

        def emit(table: Table, rows: set[int]) -> None:
            outputs.extend(
                self._report(table, row, partitions[cameras], at_ms[cameras]) for row, cameras in _by_name(table, rows)
            )

        self._evaluate_absences(at_ms, partitions, emit)
        for cameras, its_ms in at_ms.items():
            if now_ms - cameras.shared.last_record_at_ms >= self._rules.statistics_ms:
                # Of what came last nothing else would tell until more comes.
                outputs += self._statistics_in_turn(cameras, its_ms, emit)
        return outputs

    def on_predictions(
        self,
        predictions: Sequence[tuple[Cameras, Prediction]],
        emit: Emit = lambda _table, _rows: None,
        inspections: Sequence[Inspection] | None = None,
    ) -> None:
        """Take predictions, each camera's in order.

        Args:
            predictions: Each with the cameras of its partition.
            emit: Gets the rows whose alarms have just changed.
            inspections: What each is inspected for; all of them for everything where it is None.
        """
        if not predictions:
            return
        homes, layouts, moves = places_of(predictions)
        rounds = _rounds(homes)
        columns, firsts = {}, {}
        for layout in sorted({*layouts}, key=attrgetter("buckets")):
            places = [place for these in rounds for place in these if layouts[place] is layout]
            columns[layout], firsts[layout] = self._columns(layout, places, homes, predictions, inspections), 0
        numbers = [_version_number(each.model, each.version) for _, each in predictions]
        for these in rounds:
            for layout, all_of_it in columns.items():
                now = these if len(columns) == 1 else [place for place in these if layouts[place] is layout]
                if not now:
                    continue
                first, firsts[layout] = firsts[layout], firsts[layout] + len(now)
                seen, shown = all_of_it.part(first, firsts[layout]), [predictions[place] for place in now]
                if moves:
                    seen = replace(seen, rows=np.array([moved(*each, layout).row for each in shown], np.int64))
                table = self._tables.of(layout)
                changed = self._renewed(table, seen, np.array([numbers[place] for place in now], np.uint64), shown)
                changed |= self._watcher.frames(table, seen)
                _is_news(table, seen.rows[table.watch["sampled_ms"][seen.rows] == seen.at_ms])
                for cameras, each in shown:
                    cameras.saw(each.received_at_ms)
                emit(table, changed)
        self.events["frames_watched"] += len(predictions)
        if left_out := self._watcher.left_out():
            self.events["frames_with_odd_numbers"] += left_out

    def _columns(
        self,
        layout: Layout,
        places: Sequence[int],
        homes: Sequence[Home],
        predictions: Sequence[tuple[Cameras, Prediction]],
        inspections: Sequence[Inspection] | None,
    ) -> Frames:
        """Those in *places* as columns; of a camera that moves before them the row is where it was."""
        of_it = [predictions[place][1] for place in places]
        slots = [self._slots(*homes[place], each.telemetry) for place, each in zip(places, of_it, strict=True)]
        rows = [homes[place].row for place in places]
        inspected = [inspections[place] if inspections else Inspection() for place in places]
        for number, (place, each) in enumerate(zip(places, of_it, strict=True)):
            inspected[number] = _with_followed(inspected[number], predictions[place][0], each)
        return frames(layout, rows, of_it, slots, inspected)

    def on_outcomes(self, matched: Sequence[tuple[Cameras, Outcome]], emit: Emit = lambda _table, _rows: None) -> None:
        """Take outcomes, each camera's in order; as `on_predictions`."""
        by_table: dict[Table, list[tuple[Cameras, Outcome]]] = {}
        for cameras, each in matched:
            if _is_first(each):
                by_table.setdefault(cameras.home(each.camera).table, []).append((cameras, each))
        for table, of_it in _by_width(by_table):
            rows = [cameras.row(each.camera) for cameras, each in of_it]
            for these in _rounds(rows):
                now_rows, now = [rows[place] for place in these], [of_it[place][1] for place in these]
                versions = [version_of(table, row) for row in now_rows]
                classes = [version.classes for version in versions]
                seen = outcomes(table.layout, now_rows, now, classes, self._rules.night)
                counts = _counts(table, seen, now, versions)
                counts &= _are_new_vehicles([of_it[place] for place in these], counts)
                changed = self._watcher.labels(table, seen, counts)
                _is_news(table, seen.rows)
                for place in these:
                    cameras, each = of_it[place]
                    cameras.saw(each.label_received_at_ms)
                emit(table, changed)
                self.events["labels_watched"] += int(counts.sum())

    def on_views(
        self, shown: Sequence[tuple[Cameras, Mapping[str, Any]]], emit: Emit = lambda _table, _rows: None
    ) -> None:
        """Take views, each camera's in order; as `on_predictions`."""
        for cameras, view in shown:
            table, row = cameras.home(view["camera"])
            changed = views.take(table, row, cameras.followed.of(view["camera"]), view, self._rules.night)
            cameras.saw(view["received_at_ms"])
            emit(table, {row} if changed else set())
        if shown:
            self.events["views_watched"] += len(shown)

    def _remember_passed(self, batch: Batch) -> None:
        """Take note of frames that were passed over."""
        for cameras, at_ms in batch.passed_ms.items():
            cameras.saw(at_ms)
        if batch.passed_ms:
            self.events["frames_passed_over"] += batch.passed_over
        if batch.passed:
            by_table: dict[Table, dict[int, int]] = {}
            for (cameras, camera), count in batch.passed.items():
                table, row = cameras.home(camera)
                by_table.setdefault(table, {})[row] = count
            for table, counts in by_table.items():
                table.touch([*counts], b"w")
                arrivals.passed_over(table.watch, [*counts], np.array([*counts.values()]))

    def _renewed(
        self,
        table: Table,
        seen: Frames,
        versions: NDArray[np.uint64],
        predictions: Sequence[tuple[Cameras, Prediction]],
    ) -> set[int]:
        """A new version of the model for a camera: what its predictions were like before no longer matters."""
        new = np.flatnonzero(table.watch["version"][seen.rows] != versions).tolist()
        for place in new:
            row, number, (cameras, prediction) = int(seen.rows[place]), int(versions[place]), predictions[place]
            cameras.knows(number, Version(prediction.model, prediction.version, tuple(prediction.probabilities)))
            same = version_of(table, row).classes == cameras.versions[number].classes
            table.touch([row], b"wrly")
            renewal.renew(table, row, number, prediction.received_at_ms, same_classes=same)
        return {int(seen.rows[place]) for place in new}

    def _slots(self, table: Table, row: int, telemetry: Mapping[str, float]) -> tuple[str, ...]:
        """Names of the telemetry that the camera's slots hold; a new name takes a free one."""
        kept = table.slots(row)
        if len(kept) < TELEMETRY_SLOTS and not telemetry.keys() <= set(kept):
            new = [
                name
                for name in sorted(telemetry)
                if name not in kept and name.isascii() and name.isprintable() and 0 < len(name) <= _NAME_BYTES
            ]
            if new:
                table.touch([row], b"r")
                kept = table.keep_slots(row, (*kept, *new)[:TELEMETRY_SLOTS])
        return kept

    def _evaluate_absences(self, at_ms: Mapping[Cameras, int], partitions: Mapping[Cameras, int], emit: Emit) -> None:
        """Look for what is absent from partitions at a time of each."""
        by_table: dict[Table, list[NDArray[np.int64]]] = {}
        for cameras, its_ms in at_ms.items():
            frames_ms, labels_ms = (road.worked_until_ms(partitions[cameras]) for road in self._worked)
            for table, _, rows in cameras.placed:
                times = (np.full(len(rows), each, np.int64) for each in (min(its_ms, frames_ms), labels_ms))
                by_table.setdefault(table, []).append(np.stack([rows, *times]))
        for table, of_it in _by_width(by_table):
            views_of = {row: known for cameras in at_ms for row, known in cameras.with_views(table)}
            rows, now_ms, labels_ms = np.concatenate(of_it, axis=1)
            emit(table, absences.evaluate(table, rows, now_ms, labels_ms, views_of))

    def _statistics_in_turn(self, cameras: Cameras, at_ms: int, emit: Emit) -> list[DriftStatistic]:
        """Every few seconds of event time: statistics of some cameras, and how accurate they are."""
        if at_ms - cameras.shared.statistics_up_to_ms < self._rules.statistics_ms:
            return []
        shared = cameras.shares()
        shared.statistics_up_to_ms = at_ms
        newest_ms, news = np.zeros(len(cameras), np.int64), np.zeros(len(cameras), bool)
        for table, places, rows in cameras.placed:
            watch = table.watch
            newest_ms[places] = np.maximum(watch["sampled_ms"][rows], watch["label_seen_ms"][rows])
            # Where no sample and no label came since, everything has been published.
            news[places] = (newest_ms[places] > watch["reported_ms"][rows]) & (watch["version"][rows] > 0)
        turns = np.flatnonzero(np.roll(news, -shared.turn))[:_CAMERAS_AT_ONCE]
        if not len(turns):
            return []
        order = np.full(len(cameras), -1)
        order[(turns + shared.turn) % len(cameras)] = turns
        shared.turn = (shared.turn + int(turns[-1]) + 1) % len(cameras)
        found: list[DriftStatistic] = []
        for table, places, rows in cameras.placed:
            mine = np.flatnonzero(order[places] >= 0)
            mine = mine[np.argsort(order[places][mine])]
            if not len(mine):
                continue
            chosen = rows[mine]
            table.touch(chosen, b"w")
            table.watch["reported_ms"][chosen] = newest_ms[places][mine]
            emit(table, set(chosen[table.watch["labels"][chosen] > 0].tolist()))
            thresholds = (self._watcher.thresholds(table, chosen, of) for of in ("", "label_"))
            found += statistics(table, chosen, self._rules, at_ms, *thresholds)
        return found

    def _report(self, table: Table, row: int, partition: int, at_ms: int) -> CameraReport:
        # Silence is judged by our own clock: frames that come after all were taken before, yet what they change is new.
        shared = table.cameras(row).shares()
        shared.last_report_ms = max(at_ms, shared.last_report_ms)
        self.events["reported"] += 1
        return report(table, row, self._rules, shared.last_report_ms, (self._archive, partition))


@lru_cache(maxsize=1_000)
def _version_number(model: str, version: str) -> int:
    """Number by which rows know a version: 60 bits of a hash."""
    return int(digest("version", model, version)[:15], 16)


def _rounds(rows: Sequence[Hashable]) -> list[list[int]]:
    """Places of the first record of each row or home, of the second of each that has one, and so on."""
    counts: dict[Hashable, int] = {}
    rounds: list[list[int]] = []
    for place, row in enumerate(rows):
        nth = counts.get(row, 0)
        counts[row] = nth + 1
        if nth == len(rounds):
            rounds.append([])
        rounds[nth].append(place)
    return rounds


def _by_width(by_table: Mapping[Table, _Of]) -> list[tuple[Table, _Of]]:
    """What is of each table, in an order that no other partition's cameras choose."""
    return sorted(by_table.items(), key=lambda each: each[0].layout.buckets)


def _by_name(table: Table, rows: set[int]) -> list[tuple[int, Cameras]]:
    """*rows*, each with the cameras of its partition, in an order that no process chose: by name."""
    return [(row, table.cameras(row)) for row in sorted(rows, key=table.names.__getitem__)]


def _is_first(outcome: Outcome) -> bool:
    """Whether it is the first label of a frame, by which accuracy goes."""
    return outcome.change == "matched" and outcome.role == "champion"


def _is_news(table: Table, rows: NDArray[np.int64]) -> None:
    """A sample or a label has come of each that was not reported yet, whatever its time: a label may be of the moment
    that was reported last, or of one before."""
    table.watch["reported_ms"][rows] = 0


def _counts(table: Table, seen: Outcomes, matched: Sequence[Outcome], now: Sequence[Version]) -> NDArray[np.bool_]:
    """Which outcomes, [n], are evidence about the model that predicts *now* and of a camera that saw the road."""
    of_it = [(each.model, each.version) == (it.model, it.version) for each, it in zip(matched, now, strict=True)]
    return np.array(of_it) & ~was_blind(table.watch, seen.rows, seen.received_ms)


def _with_followed(inspection: Inspection, cameras: Cameras, prediction: Prediction) -> Inspection:
    """*inspection* with what is known of the vehicle and of views of its camera."""
    known = cameras.followed.get(prediction.camera)
    if prediction.track is None and known is None:
        return inspection
    known = cameras.followed.of(prediction.camera)
    again = not known.is_new(prediction.boot, prediction.track)
    return inspection._replace(again=again, by_views=known.judges(prediction.received_at_ms))


def _are_new_vehicles(matched: Sequence[tuple[Cameras, Outcome]], counts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which outcomes, [n], are the first ones of their vehicles among those that count: labels of two of its pictures
    are one fact."""
    return np.array(
        [
            each.track is None
            or (bool(its) and cameras.followed.of(each.camera).is_new(each.boot, each.track, of_label=True))
            for (cameras, each), its in zip(matched, counts, strict=True)
        ]
    )


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
