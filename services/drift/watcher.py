"""One round of watching: at most one frame, or one label, of each camera, as columns."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.drift import (
    absences,
    arrivals,
    days,
    decorrelation,
    describe,
    estimates,
    faults,
    late,
    numbers,
    outcomes,
    reference,
    sampling,
    streams,
)
from services.drift.alarms import LABELS_MISSING, SILENT, clear_alarm, keep_numbers, raise_alarm
from services.drift.detector_choice import DetectorChoice
from services.drift.layout import (
    ACCURACY,
    BLIND,
    BLINDING,
    CORRELATED,
    FAMILIES,
    FAULT_ALARMS,
    FRAMES_FAMILIES,
    LOSS_LAG,
    OPTIONAL,
    OUTCOME_FAMILIES,
    PICTURE,
)
from services.drift.normal import normal
from services.drift.outcomes import Outcomes
from services.drift.rules import Rules
from services.drift.sample import Floats, Frames, Ints
from services.drift.table import Rows, Table

_LEAST_THRESHOLD: Final = 1_000.0
_DUSK: Final = 0.02  # brightness on both sides of the edge in which a phase stays what it was
_LIGHT_SMOOTH: Final = np.float32(0.03)
_LIGHT_MS: Final = 600_000  # in which dusk does little
_SUSPICIOUS: Final = 3  # frames in a row that break a rule, from which on they are not taken for the road
_BRIGHTNESS: Final = PICTURE.index("brightness")


class Watcher:
    """Applies the rules to tables; remembers nothing itself but a count.

    Args:
        rules: What the operator decided.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._choice = DetectorChoice(rules.detectors, rules.detectors_run_length)
        self._left_out = 0

    def left_out(self) -> int:
        """Frames since this was asked last of which some numbers were none."""
        count, self._left_out = self._left_out, 0
        return count

    def frames(self, table: Table, seen: Frames) -> set[int]:
        """Take one frame of each camera; returns the rows whose alarms changed."""
        watch, rows = table.watch, seen.rows
        table.touch(rows, b"w")
        seen, left_out = numbers.guarded(watch, seen)
        self._left_out += left_out
        phase, waited_ms = self._phase(watch, seen), absences.frames_waited_ms(watch, seen)
        rules = self._rules
        holds = faults.evaluate(
            watch,
            table.reference,
            phase,
            seen,
            skew_ms=rules.clock_skew_ms,
            latency_ms=rules.latency_ms,
        )
        changed = _faults(table, seen, holds) | absences.came(table, rows, seen.at_ms, SILENT)
        arrivals.came(watch, rows, seen.at_ms, "", seen.passed, waited_ms)
        watch["offsets"][rows, watch["frames"][rows] % 4] = seen.offset
        watch["last_cause"][rows] = seen.cause
        due = sampling.take_due(watch, seen, self._rules) & ~seen.again
        if not due.any():
            return changed
        odd = (watch["fault_run"][rows][:, BLINDING] >= _SUSPICIOUS).any(axis=1)
        odd |= watch["blur_run"][rows] >= _SUSPICIOUS
        clear = due & ~odd & ~watch["raised"][rows][:, BLIND].any(axis=1)
        closed = table.reference["closed"][rows, phase].astype(bool)
        if (learners := clear & ~closed).any() and (learners := learners & _is_normal(watch, rows)).any():
            changed |= self._learn(table, seen.where(learners), phase[learners])
        if (testers := clear & closed).any():
            sampling.count_tested(watch, rows[testers])
            changed |= self._test(table, seen.where(testers), phase[testers])
        return changed

    def labels(self, table: Table, seen: Outcomes, counts: NDArray[np.bool_]) -> set[int]:
        """Take one label of each camera; returns the rows whose alarms changed.

        Args:
            counts: Which of them are evidence about the model that predicts now and the road, [n]. The others are
                labels that came, and no more.
        """
        table.touch(seen.rows, b"w")
        watch, known, rows = table.watch, table.reference, seen.rows
        waited_ms = absences.labels_waited_ms(watch, rows, seen.at_ms)
        changed = absences.came(table, rows, seen.at_ms, LABELS_MISSING)
        arrivals.came(watch, rows, seen.at_ms, "label_", waited_ms=waited_ms)
        if not counts.any():
            return changed
        seen = seen.where(counts)
        rows = seen.rows
        weight = outcomes.weigh(watch, seen)
        closed = known["labels_closed"][rows, seen.phase].astype(bool)
        normal_now = _is_normal(watch, rows)
        if (learners := ~closed & normal_now).any():
            table.touch(rows[learners], b"r", labels_alone=True)
            self._learn_labels(table, seen, weight, learners)
        self._learn_days(table, seen)
        fed = outcomes.of_outcomes(known, seen, weight, self._rules, table.days)
        theirs = seen.where(normal_now)
        days.take(table.days, theirs.rows, theirs.phase, theirs.loss, weight[normal_now])
        sampling.count_labelled(watch, rows)
        usual = normal(table, rows, self._rules)
        return changed | self._evidence(table, rows, usual, fed, OUTCOME_FAMILIES, seen.at_ms, seen.cause)

    def _learn_days(self, table: Table, seen: Outcomes) -> None:
        """With a day that is over its camera's usual loss may be known better."""
        watch, rows, by_day = table.watch, seen.rows, table.days
        table.touch(rows, b"y")
        over = days.turn(by_day, rows, seen.at_ms)
        if over.any():
            ended = rows[over]
            # Half of the way to an alarm, as evidence goes: what comes then waits until it is over, or never counts.
            calm = watch["family"][ended, ACCURACY] <= np.sqrt(self.thresholds(table, ended, "label_"))
            due = days.may_learn(table.reference, by_day, ended, calm)
            if due.any():
                table.touch(ended[due], b"r")
                days.learn(table.reference, by_day, ended[due], calm[due])

    def thresholds(self, table: Table, rows: Ints, of: str = "") -> Floats:
        """Evidence at which an alarm is raised, [n]: the samples that the fleet's families see in the time in which
        it may have one false alarm.

        Args:
            of: ``""`` for families of frames, ``"label_"`` for those of labels.
        """
        rules = self._rules
        # Those of the row's own partition stand for the others: what is reported of it depends on no record elsewhere.
        cameras = rules.fleet_cameras or np.array(
            [len(table.cameras(row)) * rules.partitions for row in rows.tolist()], np.int64
        )
        least_ms = 1.0 if of else max(self._rules.sample_ms, 1.0)
        a_week = arrivals.WEEK_MS / np.maximum(table.watch[f"{of}every_ms"][rows], least_ms)
        least: Floats = np.maximum(_LEAST_THRESHOLD, cameras * len(FAMILIES) * a_week / rules.false_per_week)
        return least

    def _phase(self, watch: NDArray[Any], seen: Frames) -> Ints:
        """Night or day, by brightness that is smoothed over some thirty frames or ten minutes, whichever is shorter,
        with hysteresis."""
        rows, light = seen.rows, seen.ranked[:, _BRIGHTNESS]
        count = watch["frames"][rows]
        lasted = np.minimum((seen.at_ms - watch["seen_ms"][rows]) / _LIGHT_MS, 1).astype(np.float32)
        share = np.maximum(np.maximum(_LIGHT_SMOOTH, lasted), 1 / (count.astype(np.float32) + 1))
        mean = watch["light"][rows]
        smooth = watch["light"][rows] = mean + share * (light - mean)
        edge = self._rules.night
        before = watch["phase"][rows].astype(bool)
        held = smooth >= np.where(before, edge - _DUSK, edge + _DUSK)
        day = np.where(count < 1 / _LIGHT_SMOOTH, smooth >= edge, held)
        watch["phase"][rows] = day
        return np.asarray(day, np.int64)

    def _learn(self, table: Table, seen: Frames, phase: Ints) -> set[int]:
        rows = seen.rows
        table.touch(rows, b"rl")
        known, learning, rules = table.reference, table.learning, self._rules
        place = (rows, phase)
        reference.begin(known, rows, phase, seen.at_ms)
        # From the half of the reference on that is ranked: what is off the mean of its class and its phase, since the
        # step from night to day is no persistence.
        half = 2 * reference.quarter(rules.reference_samples)
        measured = np.asarray((known["closed"][rows].max(axis=1) == 0) & (known["frames"][place] >= half))
        if measured.any():
            some, its_phase = seen.where(measured), phase[measured]
            off = reference.scaled(known, its_phase, some, reference.relative(known, its_phase, some))
            # As far as ranks tell them apart: a few that lie far out would hide how alike the others are.
            off = np.clip(off, -reference.EDGE, reference.EDGE)
            outputs = (some.outputs - known["output_mean"][some.rows, its_phase])[:, table.layout.sure]
            columns = [off, outputs, some.bucket[:, None].astype(np.float32)]
            decorrelation.measure(learning, some.rows, slice(0, LOSS_LAG), np.concatenate(columns, axis=1))
        reference.learn(known, phase, seen, rules.reference_samples)
        estimates.learn(known, seen)
        so_far = known["frames"][place]
        reference.keep_examples(known, phase, seen, rules.reference_samples)
        covered = seen.at_ms - 1_000 * known["began_s"][place].astype(np.int64)
        over = (so_far >= rules.reference_samples) & (covered >= rules.reference_span_ms)
        for row, its_phase in zip(rows[over].tolist(), phase[over].tolist(), strict=True):
            _close(table, row, its_phase, reference.quarter(rules.reference_samples))
        for row, its_phase in zip(
            *(each[over & (covered < rules.telemetry_span_ms)].tolist() for each in place), strict=True
        ):
            reference.leave_telemetry_out(known, row, its_phase)
        return set(rows[over].tolist())

    def _test(self, table: Table, seen: Frames, phase: Ints) -> set[int]:
        watch, rows = table.watch, seen.rows
        usual = normal(table, rows, self._rules)
        missing = usual["unknown"][rows, phase] & ~np.isnan(seen.ranked[:, OPTIONAL])
        if missing.any() and self._learn_late(table, seen, phase, missing):
            usual = normal(table, rows, self._rules)
        ranked = reference.relative(table.reference, phase, seen)
        of_all = sampling.share_of_one(watch, rows)
        sampling.estimate(watch, rows, np.concatenate([ranked, seen.outputs], axis=1), of_all)
        estimates.recent(watch, seen, of_all)
        fed = streams.of_frames(reference.ranks(usual, phase, seen, ranked), seen.outputs, usual["bound"][rows, phase])
        return self._evidence(table, rows, usual, fed, FRAMES_FAMILIES, seen.at_ms, seen.cause)

    def _learn_late(self, table: Table, seen: Frames, phase: Ints, missing: NDArray[np.bool_]) -> bool:
        """Learn signals that came when the reference was whole; returns whether any did."""
        learners = missing.any(axis=1) & _is_normal(table.watch, seen.rows)
        if learners.any():
            table.touch(seen.rows[learners], b"rl")
            late.learn(table, seen.where(learners), phase[learners], missing[learners], self._rules)
        return bool(learners.any())

    def _evidence(
        self,
        table: Table,
        rows: Ints,
        usual: Rows,
        fed: streams.Fed,
        families: slice,
        at_ms: Ints,
        cause: NDArray[np.void],
    ) -> set[int]:
        """Let streams take what they are fed; raise what crossed its threshold and clear what calmed.

        Args:
            usual: What `normal` gives for *rows*.
        """
        watch, of_them = table.watch, (rows, streams.of(table.layout, families))
        lag = usual["decorrelation_lag"][of_them]
        fed = streams.gathered(watch, rows, fed, families, lag)
        theirs = self._choice.take(table, rows, fed, families)
        streams.take(watch, rows, fed, families, at_ms, usual["weight"][of_them])
        first = families.start
        threshold = self.thresholds(table, rows, "label_" if families == OUTCOME_FAMILIES else "")
        over = streams.crossed(watch, rows, families, threshold[:, None])
        changed = set()
        for place, family in zip(*(each.tolist() for each in np.nonzero(over)), strict=True):
            row = int(rows[place])
            since = int(watch["since_ms"][row, first + family])
            numbers = describe.alarmed(table, row, first + family, float(threshold[place]), self._rules.accuracy_floor)
            keep_numbers(watch, row, first + family, numbers)
            raise_alarm(
                table, row, first + family, since_ms=since, at_ms=int(at_ms[place]), cause=cause[place].tobytes()
            )
            streams.forget(watch, row, first + family)
            _drop_recent_days(table, row)
            changed.add(row)
        for place, family, stream, detector in theirs:
            row = int(rows[place])
            if not watch["raised"][row, family]:
                floor, alone = self._rules.accuracy_floor, (stream, detector)
                numbers = describe.alarmed(table, row, family, float(threshold[place]), floor, alone)
                keep_numbers(watch, row, family, numbers)
                now = int(at_ms[place])
                raise_alarm(table, row, family, since_ms=now, at_ms=now, cause=cause[place].tobytes())
                streams.forget(watch, row, family)
                _drop_recent_days(table, row)
                changed.add(row)
        if watch["raised"][rows, families].any():
            calm, again = streams.calmed(watch, rows, families, lag)
            for place, family in zip(*(each.tolist() for each in np.nonzero(calm)), strict=True):
                clear_alarm(table, int(rows[place]), first + family, at_ms=int(at_ms[place]))
                changed.add(int(rows[place]))
            for place, family in zip(*(each.tolist() for each in np.nonzero(again)), strict=True):
                streams.forget(watch, int(rows[place]), first + family)
        return changed

    def _learn_labels(self, table: Table, seen: Outcomes, weight: Floats, chosen: NDArray[np.bool_]) -> None:
        known, learning, rules = table.reference, table.learning, self._rules
        rows, phase = seen.rows[chosen], seen.phase[chosen]
        at_s = seen.at_ms[chosen] // 1_000
        outcomes.begin(known, rows, phase, seen.at_ms[chosen])
        measured = chosen & ~known["labels_closed"][seen.rows].any(axis=1)
        if measured.any():
            table.touch(seen.rows[measured], b"l")
            columns = slice(LOSS_LAG, CORRELATED)
            decorrelation.measure(learning, seen.rows[measured], columns, seen.loss[measured][:, None])
        outcomes.learn(known, seen, weight, chosen)
        over = (
            known["label_weights"][rows, phase, 0] >= rules.reference_samples * _mean_weight(known, rows, phase)
        ) & (1_000 * (at_s - known["labels_began_s"][rows, phase]) >= rules.reference_span_ms)
        if over.any():
            over &= outcomes.may_be_usual(known, rows, phase, rules.tolerance_new_phase)
        for row, its_phase in zip(rows[over].tolist(), phase[over].tolist(), strict=True):
            _close_labels(table, row, its_phase)


def _drop_recent_days(table: Table, row: int) -> None:
    """Something has changed: labels of the last days are not usual."""
    table.touch([row], b"y")
    days.drop_recent(table.days, row)


def _is_normal(watch: NDArray[Any], rows: Ints) -> NDArray[np.bool_]:
    """Whether nothing has drifted, [n]: what a camera sees while something has must not become its reference."""
    drifted = np.asarray(watch["raised"][rows, : len(FAMILIES)], bool)
    normal: NDArray[np.bool_] = np.logical_not(np.any(drifted, axis=1))
    return normal


def _mean_weight(known: NDArray[Any], rows: Ints, phase: Ints) -> Floats:
    """Sum of squared weights over their sum: with it a sum of weights is told from a number of labels."""
    squares = known["label_squares"][rows, phase, 0]
    mean: Floats = squares / np.maximum(known["label_weights"][rows, phase, 0], 1e-9)
    return mean


def _close(table: Table, row: int, phase: int, enough: int) -> None:
    """The reference of a phase is whole; with the first one the camera's own decorrelation lags are known, but
    for optional signals of which fewer than *enough* values were counted."""
    known = table.reference
    if not known["closed"][row].any():
        decorrelation.keep(known, table.learning, row, slice(0, LOSS_LAG))
        for signal in OPTIONAL:
            if known["histogram"][row, phase, signal].sum() < enough:
                decorrelation.forget_signal(known, row, signal)
    reference.close(known, row, phase)


def _close_labels(table: Table, row: int, phase: int) -> None:
    known = table.reference
    if not known["labels_closed"][row].any():
        table.touch([row], b"r")
        decorrelation.keep(known, table.learning, row, slice(LOSS_LAG, CORRELATED))
    outcomes.close(known, row, phase)
    streams.forget(table.watch, row, ACCURACY)


def _faults(table: Table, seen: Frames, holds: NDArray[np.bool_]) -> set[int]:
    """Raise and clear the alarms of rules on runs of frames."""
    watch, rows = table.watch, seen.rows
    raised = watch["raised"][rows, FAULT_ALARMS].astype(bool)
    changed: set[int] = set()
    if not (holds | raised).any():
        return changed
    for place, fault in zip(*(each.tolist() for each in np.nonzero(holds & ~raised)), strict=True):
        row = int(rows[place])
        since = int(watch["fault_from_ms"][row, fault])
        cause = seen.cause[place].tobytes()
        raise_alarm(table, row, FAULT_ALARMS.start + fault, since_ms=since, at_ms=int(seen.at_ms[place]), cause=cause)
        changed.add(row)
    over = raised & faults.cleared(watch, seen)
    for place, fault in zip(*(each.tolist() for each in np.nonzero(over)), strict=True):
        clear_alarm(table, int(rows[place]), FAULT_ALARMS.start + fault, at_ms=int(seen.at_ms[place]))
        changed.add(int(rows[place]))
    return changed
