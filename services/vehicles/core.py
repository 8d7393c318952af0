"""Makes vehicles of predictions. Laws: a track is one vehicle, whatever comes late or again; counts add up to the
vehicles; the label of one of its pictures labels it, and the label that was made last holds.

Pictures of a vehicle come together, since it is followed until it has gone: so they are waited for by our own clock,
for some seconds. A picture that comes later finds the vehicle complete, is counted as late, and changes nothing.

Predictions and outcomes are read side by side, so a label may be read before any picture of its vehicle: it waits for
the first one, on the state topic too.
"""

import math
from collections import Counter
from collections.abc import Mapping

from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.message import Message
from catseye.contract.records import Change, Outcome, Prediction, Vehicle, VehicleCount, VehicleOutcome
from catseye.runtime.router import Written
from catseye.runtime.stream import Tally
from services.vehicles.state import Ahead, Complete, Counts, Labelled, Open, VehiclesState, names_of, vehicle_key

COUNT_MS = 60_000
"""How long vehicles are counted before their counts are written."""
FORGET_AT_ONCE = 1_000
AHEAD_MS = 3_600_000
"""How long a label waits for the first picture of its vehicle, by our clock; no topic is an hour behind another."""
MOST_AHEAD = 10_000
"""Labels of a partition that wait; of more those that were read first are counted as unknown."""
_LEAST = 1e-6  # of a probability: one picture alone cannot rule a class out
_STILL = 1e-6  # of the picture: so little is rounding, of sums of equal numbers too


class VehiclesCore(Tally):
    """Predictions and outcomes in; vehicles, their outcomes and counts out.

    Args:
        late_ms: How long the next picture of a vehicle is waited for.
        horizon_ms: Longest time from a frame's arrival to its label's.
    """

    new_state = VehiclesState

    def __init__(self, late_ms: int, horizon_ms: int) -> None:
        super().__init__()
        self._late_ms = late_ms
        self._horizon_ms = horizon_ms

    def on_prediction(
        self, prediction: Prediction, message: Message, state: VehiclesState, now_ms: int
    ) -> list[Written]:
        """Take a picture of a vehicle; frames that show no followed object are none."""
        if prediction.track is None:
            self.events["without_track"] += 1
            return []
        name = vehicle_key(prediction.camera, prediction.boot, prediction.track)
        if state.complete(name) is not None:
            self.events["view_late"] += 1
            return []
        known = state.open(name)
        if known is not None and any(view[0] == prediction.sequence for view in known.views):
            self.events["view_repeated"] += 1
            return []
        vehicle = _with_view(known, prediction, now_ms)
        if known is None and (ahead := state.ahead(name)) is not None:
            state.keep_ahead(name, None)
            vehicle = replace(vehicle, labelled=ahead.labelled)
        state.keep_open(name, vehicle)
        self.events["view"] += 1
        return []

    def on_outcome(self, outcome: Outcome, message: Message, state: VehiclesState, now_ms: int) -> list[Written]:
        """A label of a picture is a label of its vehicle."""
        if outcome.track is None or outcome.role != "champion":
            return []
        name = vehicle_key(outcome.camera, outcome.boot, outcome.track)
        labelled = Labelled(
            outcome.label,
            outcome.labelled_at_ms,
            outcome.label_received_at_ms,
            outcome.source,
            outcome.propensity,
        )
        if (known := state.open(name)) is not None:
            state.keep_open(name, replace(known, labelled=_last_made(known.labelled, labelled)))
            return []
        complete = state.complete(name)
        if complete is None:
            before = state.ahead(name)
            last = _last_made(before.labelled if before is not None else None, labelled)
            state.keep_ahead(name, Ahead(now_ms, last))
            return []
        return self._labelled(name, complete, labelled, state)

    def end(self, states: Mapping[int, VehiclesState], now_ms: int) -> list[Written]:
        """What is due with every batch as with time."""
        return self.on_time(states, now_ms)

    def on_time(self, states: Mapping[int, VehiclesState], now_ms: int) -> list[Written]:
        """Vehicles of which no picture comes any more are complete; a minute's counts are written."""
        written: list[Written] = []
        for state in states.values():
            for name, known in state.all_open():
                if not 0 <= now_ms - known.touched_ms < self._late_ms:  # or our clock was put back
                    written += self._completed(name, known, state, now_ms)
            for camera, counts in state.all_counts():
                if not 0 <= now_ms - counts.since_ms < COUNT_MS:
                    state.keep_counts(camera, None)
                    written += [_count(camera, each) for each in counts.vehicles]
            if gone := state.forget(now_ms - self._horizon_ms, FORGET_AT_ONCE):
                self.events["forgotten"] += gone
            self._forget_ahead(state, now_ms)
        return written

    def _forget_ahead(self, state: VehiclesState, now_ms: int) -> None:
        """Labels whose vehicles do not come, of which many wait or for long, are of nobody."""
        while (oldest := state.oldest_ahead()) is not None:
            name, label = oldest
            if 0 <= now_ms - label.touched_ms < AHEAD_MS and state.count_ahead <= MOST_AHEAD:
                return
            state.keep_ahead(name, None)
            self.events["label_unknown"] += 1

    def _completed(self, name: bytes, known: Open, state: VehiclesState, now_ms: int) -> list[Written]:
        vehicle = _vehicle(name, known, now_ms)
        complete = Complete(known.received_at_ms, known.model, known.version, vehicle.label, vehicle.confidence)
        state.keep_complete(name, complete)
        self._count_later(vehicle, state, now_ms)
        self.events["vehicle"] += 1
        written: list[Written] = [vehicle]
        if known.labelled is not None:
            written += self._labelled(name, complete, known.labelled, state)
        return written

    def _count_later(self, vehicle: Vehicle, state: VehiclesState, now_ms: int) -> None:
        before = state.counts(vehicle.camera) or Counts(now_ms, ())
        counted = Counter({each[:4]: each[4] for each in before.vehicles})
        minute_ms = vehicle.last_seen_ms // 60_000 * 60_000
        counted[minute_ms, vehicle.label, vehicle.direction, vehicle.line] += 1
        state.keep_counts(vehicle.camera, replace(before, vehicles=tuple((*key, n) for key, n in counted.items())))

    def _labelled(self, name: bytes, known: Complete, now: Labelled, state: VehiclesState) -> list[Written]:
        before = known.labelled
        if before is not None and (before.labelled_at_ms > now.labelled_at_ms or before.label == now.label):
            self.events["label_repeated" if before.label == now.label else "label_superseded"] += 1
            if before.labelled_at_ms < now.labelled_at_ms:  # what was made in between holds no more
                state.keep_complete(name, replace(known, labelled=now))
            return []
        change: Change = "withdrawn" if now.label is None else "corrected" if known.has_outcome else "matched"
        # A label that was taken back before it was an outcome is none, but what was made before that holds no more.
        says = known.has_outcome or now.label is not None
        state.keep_complete(name, replace(known, labelled=now, has_outcome=says))
        if not says:
            return []
        self.events[f"label_{change}"] += 1
        camera, boot, track = names_of(name)
        return [
            VehicleOutcome(
                camera=camera,
                boot=boot,
                track=track,
                vehicle_id=digest("vehicle", camera, boot, track),
                model=known.model,
                version=known.version,
                predicted=known.label,
                confidence=known.confidence,
                change=change,
                label=now.label,
                correct=None if now.label is None else now.label == known.label,
                received_at_ms=known.received_at_ms,
                label_received_at_ms=now.received_at_ms,
                labelled_at_ms=now.labelled_at_ms,
                source=now.source,
                propensity=now.propensity,
            )
        ]


def _last_made(before: Labelled | None, now: Labelled) -> Labelled:
    """The label that holds of two."""
    return now if before is None or before.labelled_at_ms <= now.labelled_at_ms else before


def _with_view(known: Open | None, prediction: Prediction, now_ms: int) -> Open:
    """A vehicle with one more picture."""
    logs = dict(known.logs) if known is not None else {}
    for label, probability in prediction.probabilities.items():
        logs[label] = logs.get(label, 0.0) + math.log(max(probability, _LEAST))
    view = prediction.sequence, prediction.captured_at_ms, tuple(prediction.box or ())
    first_ms = prediction.captured_at_ms if prediction.first_seen_ms is None else prediction.first_seen_ms
    last_ms = prediction.captured_at_ms if prediction.last_seen_ms is None else prediction.last_seen_ms
    return Open(
        received_at_ms=known.received_at_ms if known else prediction.received_at_ms,
        touched_ms=now_ms,
        model=prediction.model,
        version=prediction.version,
        logs=logs,
        views=(*(known.views if known else ()), view),
        first_seen_ms=min(first_ms, known.first_seen_ms) if known else first_ms,
        last_seen_ms=max(last_ms, known.last_seen_ms) if known else last_ms,
        direction=prediction.direction or (known.direction if known else None),
        line=prediction.line or (known.line if known else None),
        labelled=known.labelled if known else None,
    )


def _vehicle(name: bytes, known: Open, now_ms: int) -> Vehicle:
    camera, boot, track = names_of(name)
    probabilities = together(known.logs, len(known.views))
    label = max(probabilities, key=lambda each: (probabilities[each], each))
    boxes = [view[2] for view in sorted(known.views, key=lambda view: view[1]) if view[2]]
    return Vehicle(
        camera=camera,
        boot=boot,
        track=track,
        vehicle_id=digest("vehicle", camera, boot, track),
        first_seen_ms=known.first_seen_ms,
        last_seen_ms=known.last_seen_ms,
        received_at_ms=known.received_at_ms,
        completed_at_ms=now_ms,
        model=known.model,
        version=known.version,
        label=label,
        confidence=probabilities[label],
        probabilities=probabilities,
        sequences=[view[0] for view in known.views],
        direction=known.direction or direction_of(boxes),
        line=known.line,
        box=[*boxes[-1]] if boxes else None,
    )


def together(logs: Mapping[str, float], views: int) -> dict[str, float]:
    """Probability of each class by all pictures: the mean of log probabilities, normalised.

    Args:
        logs: Sum over the pictures, by class. At least one class.
        views: How many pictures, at least one. A class that a version does not know counts as unlikely there.
    """
    mean = {label: total / views for label, total in logs.items()}
    most = max(mean.values())
    weights = {label: math.exp(each - most) for label, each in mean.items()}
    whole = sum(weights.values())
    return {label: weight / whole for label, weight in weights.items()}


def direction_of(boxes: list[tuple[float, ...]]) -> str | None:
    """Where something went, by boxes in the order of time; None where they do not say."""
    if len(boxes) < 2:
        return None
    (left, top, width, height), (left_now, top_now, width_now, height_now) = boxes[0], boxes[-1]
    across, down = left_now + width_now / 2 - left - width / 2, top_now + height_now / 2 - top - height / 2
    if max(abs(across), abs(down)) < _STILL:
        return None
    if abs(across) > abs(down):
        return "right" if across > 0 else "left"
    return "down" if down > 0 else "up"


def _count(camera: str, counted: tuple[int, str, str | None, str | None, int]) -> VehicleCount:
    minute_ms, label, direction, line, vehicles = counted
    return VehicleCount(
        camera=camera, minute_ms=minute_ms, label=label, direction=direction, line=line, vehicles=vehicles
    )
