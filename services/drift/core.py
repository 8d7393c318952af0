"""Watches cameras. Law: what is said of a camera depends on its own records alone, and is the same after a crash."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from catseye.codec import Codec
from catseye.dead_letters import dead_letter, source_of
from catseye.errors import BadRecord
from catseye.identity import DOCTOR, digest, partition_of
from catseye.records import DeadLetter, Outcome, Prediction
from catseye.stream import Message, Output, Tally
from catseye.topics import full_name
from services.drift import absences, renewal
from services.drift.alarms import was_blind
from services.drift.layout import TELEMETRY_SLOTS
from services.drift.outcomes import outcomes
from services.drift.report import report, statistics, version_of
from services.drift.rules import Rules
from services.drift.sample import Frames, frames
from services.drift.table import Table, Version
from services.drift.watcher import Watcher

_CAMERAS_AT_ONCE: Final = 200
"""Cameras whose statistics are written at once: of a larger fleet each has its turn."""
_NAME_BYTES: Final = 16  # of telemetry, as its column in the layout holds it
_REPORTS: Final = 0  # partition: all reports meet on the only one of their topic


Tell = Callable[[set[int]], None]


class DriftCore(Tally):
    """Predictions, outcomes and dead letters in, reports and statistics out.

    Args:
        codec: Reads and writes records.
        prefix: Of topic names.
        rules: What the operator decided.
    """

    new_state = Table

    def __init__(self, codec: Codec, prefix: str, rules: Rules) -> None:
        super().__init__()
        self._codec = codec
        self._rules = rules
        self._watcher = Watcher(rules)
        self._topics = {name: full_name(name, prefix) for name in _NAMES}

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, Table], now_ms: int) -> list[Output]:
        outputs: list[Output] = []
        seen: dict[int, _Batch] = {}
        for message in batch:
            partition = message.partition()
            try:
                self._sort(message, seen.setdefault(partition, _Batch()), states[partition])
            except BadRecord as fault:
                self.events[f"dead_{fault.reason}"] += 1
                letter = self._codec.encode(dead_letter("drift", message, fault, now_ms))
                outputs.append(Output(self._topics["dead-letters"], partition, source_of(message), letter))
        for partition, sorted_ in seen.items():
            if not (sorted_.predictions or sorted_.outcomes or sorted_.refused):
                continue
            table = states[partition]
            table.shares().heard_at_ms = now_ms
            # At once, not at the end of the batch: what began and ended while a backlog was read is told too.
            tell = self._teller(table, partition, outputs)
            self.on_predictions(sorted_.predictions, table, tell)
            self.on_outcomes(sorted_.outcomes, table, tell)
            for camera, reason, at_ms in sorted_.refused:
                table.saw(at_ms)
                tell(absences.refused(table, table.row(camera), reason, at_ms))
            tell(absences.look(table, table.shared.newest_ms))
            outputs += self._statistics_in_turn(table, partition, tell)
        return outputs

    def on_time(self, states: Mapping[int, Table], now_ms: int) -> list[Output]:
        """Notice what does not come. While records come event time goes on with them; after that with our clock."""
        outputs: list[Output] = []
        for partition, table in states.items():
            if not table.shared.heard_at_ms:
                table.shares().heard_at_ms = now_ms
            elif table.shared.newest_ms:
                at_ms = table.shared.newest_ms + max(0, now_ms - table.shared.heard_at_ms)
                changed = absences.look(table, at_ms)
                outputs += [self._report(table, partition, row, at_ms) for row in sorted(changed)]
        return outputs

    def on_predictions(self, predictions: Sequence[Prediction], table: Table, tell: Tell = lambda _: None) -> set[int]:
        """Take predictions, each camera's in order; returns the rows whose alarms changed.

        Args:
            predictions: Of cameras of one partition.
            table: What is known of them.
            tell: Gets the rows whose alarms have just changed.
        """
        if not predictions:
            return set()
        changed: set[int] = set()
        rounds = _rounds(predictions)
        ordered = [each for these in rounds for each in these]
        rows = [table.row(each.camera) for each in ordered]
        slots = [self._slots(table, row, each.telemetry) for row, each in zip(rows, ordered, strict=True)]
        columns = frames(rows, ordered, slots)
        first = 0
        for these in rounds:
            seen = columns.part(first, first + len(these))
            now_changed = self._renewed(table, seen, these) | self._watcher.frames(table, seen)
            table.saw(int(seen.at_ms.max()))
            tell(now_changed)
            changed |= now_changed
            first += len(these)
        self.events["frames_watched"] += len(predictions)
        return changed

    def on_outcomes(self, matched: Sequence[Outcome], table: Table, tell: Tell = lambda _: None) -> set[int]:
        """Take outcomes, each camera's in order; as `on_predictions`."""
        changed: set[int] = set()
        for these in _rounds([each for each in matched if each.change == "matched" and each.role == "champion"]):
            rows = [table.row(each.camera) for each in these]
            classes = [version_of(table, row).classes for row in rows]
            seen = outcomes(rows, these, classes, self._rules.night)
            counts = self._counts(table, rows, these)
            now_changed = self._watcher.labels(table, seen, counts)
            table.saw(int(seen.at_ms.max()))
            tell(now_changed)
            changed |= now_changed
            self.events["labels_watched"] += int(counts.sum())
        return changed

    def _sort(self, message: Message, batch: "_Batch", table: Table) -> None:
        topic = message.topic()
        if topic == self._topics["predictions"]:
            prediction = self._codec.decode(message.value(), Prediction)
            if prediction.camera != DOCTOR:
                batch.predictions.append(prediction)
        elif topic == self._topics["outcomes"]:
            batch.outcomes.append(self._codec.decode(message.value(), Outcome))
        else:
            letter = self._codec.leading_fields(message.value(), DeadLetter, "key")
            camera = _camera_of(letter, table)
            of_frames = letter["topic"] in (self._topics["frames"], self._topics["frames.rekeyed"])
            if camera in (None, DOCTOR) or not of_frames:
                return
            # By its key alone it may lie anywhere; another partition's table is no place for a camera.
            if partition_of(camera, self._rules.partitions) == message.partition():
                batch.refused.append((camera, letter["reason"], letter["refused_at_ms"]))

    def _renewed(self, table: Table, seen: Frames, predictions: Sequence[Prediction]) -> set[int]:
        """A new version of the model for a camera: what its predictions were like before says nothing any more."""
        numbers = [_version_number(each.model, each.version) for each in predictions]
        new = np.flatnonzero(table.watch["version"][seen.rows] != np.array(numbers, np.uint64)).tolist()
        for place in new:
            row, prediction = int(seen.rows[place]), predictions[place]
            table.knows(numbers[place], Version(prediction.model, prediction.version, tuple(prediction.probabilities)))
            table.touch([row], b"wrl")
            renewal.renew(table, row, numbers[place], prediction.received_at_ms)
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

    def _counts(self, table: Table, rows: Sequence[int], matched: Sequence[Outcome]) -> NDArray[np.bool_]:
        """Which outcomes, [n], say something of the model that predicts now and of a camera that saw the road."""
        versions = [version_of(table, row) for row in rows]
        now = np.array(
            [(each.model, each.version) == (of.model, of.version) for each, of in zip(matched, versions, strict=True)]
        )
        received_ms = np.array([each.received_at_ms for each in matched], np.int64)
        return now & ~was_blind(table.watch, np.array(rows, np.int64), received_ms)

    def _teller(self, table: Table, partition: int, outputs: list[Output]) -> Tell:
        """Writes reports of rows as they are now to *outputs*."""

        def tell(rows: set[int]) -> None:
            outputs.extend(self._report(table, partition, row, table.shared.newest_ms) for row in sorted(rows))

        return tell

    def _statistics_in_turn(self, table: Table, partition: int, tell: Tell) -> list[Output]:
        """Every few seconds of event time: statistics of some cameras, and how accurate they are."""
        at_ms = table.shared.newest_ms
        if at_ms - table.shared.told_ms < self._rules.statistics_ms:
            return []
        shared = table.shares()
        shared.told_ms = at_ms
        count = len(table)
        turn = [(shared.turn + place) % count for place in range(min(count, _CAMERAS_AT_ONCE))]
        shared.turn = (shared.turn + len(turn)) % max(count, 1)
        rows = [row for row in turn if table.watch["version"][row]]
        tell({row for row in rows if table.watch["labels"][row]})
        return self._statistics(table, partition, rows, at_ms)

    def _statistics(self, table: Table, partition: int, rows: list[int], at_ms: int) -> list[Output]:
        places = np.array(rows, np.int64)
        of_frames = self._watcher.thresholds(table, places).tolist()
        of_labels = self._watcher.thresholds(table, places, "label_").tolist()
        return [
            Output(self._topics["statistics"], partition, table.names[row].encode(), self._codec.encode(statistic))
            for row, *both in zip(rows, of_frames, of_labels, strict=True)
            for statistic in statistics(table, row, self._rules, at_ms, (both[0], both[1]))
        ]

    def _report(self, table: Table, partition: int, row: int, at_ms: int) -> Output:
        # Of silence our own clock tells: frames that come after all were taken before, and yet what they change is new.
        at_ms = max(at_ms, table.shared.said_ms)
        table.shares().said_ms = at_ms
        said = report(table, row, self._rules, at_ms, (self._topics["frames.accepted"], partition))
        self.events["reported"] += 1
        return Output(self._topics["drift.reports"], _REPORTS, said.camera.encode(), self._codec.encode(said))


class _Batch:
    """Records of one partition, by kind."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.outcomes: list[Outcome] = []
        self.refused: list[tuple[str, str, int]] = []


_NAMES: Final = (
    "predictions",
    "outcomes",
    "dead-letters",
    "frames",
    "frames.rekeyed",
    "frames.accepted",
    "statistics",
    "drift.reports",
)


@lru_cache(maxsize=1_000)
def _version_number(model: str, version: str) -> int:
    """Number by which rows know a version: 60 bits of a hash."""
    return int(digest("version", model, version)[:15], 16)


def _rounds(records: Sequence[Any]) -> list[list[Any]]:
    """The first record of each camera, the second of each that has one, and so on."""
    counts: dict[str, int] = {}
    rounds: list[list[Any]] = []
    for record in records:
        nth = counts.get(record.camera, 0)
        counts[record.camera] = nth + 1
        if nth == len(rounds):
            rounds.append([])
        rounds[nth].append(record)
    return rounds


def _camera_of(letter: Mapping[str, Any], table: Table) -> str | None:
    """Camera of a refused frame: as it was read, or as the record's key has it where it names a camera that is known:
    others may key by anything."""
    if letter["camera"]:
        return str(letter["camera"])
    try:
        keyed = (letter["key"] or b"").decode()
    except UnicodeDecodeError:
        return None
    return keyed if keyed in table else None
