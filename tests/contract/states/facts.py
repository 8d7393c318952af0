"""What must be known after a state topic was read, in names and numbers that no layout of code or bytes decides.

Zeros and empty things are left out. Whoever changes a state changes how its facts are found here, not what they are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from catseye.contract.records import AcceptedLabel, Alert
from catseye.models.sequential_test import Pairs
from services.drift import layout
from services.drift.cameras import Cameras
from services.drift.columns import FORMER
from services.drift.detector_choice import NAMES
from services.drift.fault_rules import ALARMS
from services.drift.layout import PHASE_NAMES
from services.drift.reference import usual
from services.drift.report import learning_left, version_of
from services.drift.state import AHEAD
from services.ground_truth.entry import FULL, HAD_OUTCOME, NEVER_MS, RECEIVED, SHADOW_FULL, unpack, unpack_shadow
from services.ground_truth.join_state import JoinState
from services.ground_truth.state_formats import as_known
from services.incidents.incidents_state import FLEET, IncidentsState
from services.incidents.known import CameraState, CauseState
from services.incidents.lifecycle import LifecycleState
from services.ingest.window import CameraWindow, Verdict, Windows
from services.retrain_trigger.labels import count, unpacked
from services.rollout.rollout_state import Kind, RolloutState
from services.vehicles.state import Labelled, VehiclesState, names_of
from tests.contract.states.stories import DRIFT_RULES, START_MS, Row
from tests.simulation.cameras import CODEC

Facts = dict[str, Any]


def spans(numbers: Iterable[int]) -> str:
    """*numbers*, rising, as people write them: 0-6,8."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def without_nothing(value: Any) -> Any:
    """*value* without what is zero, empty or None; floats with six digits."""
    if isinstance(value, Mapping):
        kept = {str(name): without_nothing(each) for name, each in value.items()}
        return {name: each for name, each in kept.items() if each not in (0, None, "", [], {}, False)}
    if isinstance(value, list | tuple):
        each_of = [without_nothing(each) for each in value]
        return [] if all(each in (0, None, "", [], {}) for each in each_of) else each_of
    return float(f"{value:.6g}") if isinstance(value, float) else value


# -- ingest

_PROBED: Final[Mapping[str, Mapping[str, Iterable[int]]]] = {
    "north": {"b1": range(103), "b2": range(999_998, 1_000_005)},
    "east": {"e": [*range(3), *range(2_950, 2_956), *range(3_999, 4_002), *range(4_999, 5_002)]},
    "south": {f"r{number}": [number, number + 1] for number in range(10)},
    "süd/ö": {"b": range(4)},
    "before": {"b": range(14)},
}


def of_ingest(rows: Sequence[Row]) -> Facts:
    """Of each camera: how a window judges sequence numbers around all that the story told it, by boot; when its last
    frame was written; and how many of its frames were dropped."""
    windows = Windows()
    for key, value in rows:
        windows.restore(key, value)
    facts: Facts = {}
    for camera, boots in _PROBED.items():

        def window(camera: str = camera) -> CameraWindow:
            stored = windows.get(camera.encode())
            return CameraWindow.from_bytes(stored) if stored else CameraWindow()

        assessed: Facts = {}
        for boot, numbers in boots.items():
            by_verdict: dict[Verdict, list[int]] = {}
            for number in numbers:
                by_verdict.setdefault(window().take(boot, number, 0), []).append(number)
            assessed[boot] = {verdict.name.lower(): spans(found) for verdict, found in by_verdict.items()}
        facts[camera] = {
            "dropped so far": window().duplicates,
            "last frame written at ms": window().newest_ms,
            "sequence numbers now": assessed,
        }
    return facts


# -- ground truth


def of_ground_truth(rows: Sequence[Row]) -> Facts:
    """Predictions, what shadows predicted, and labels that wait, by frame; marks of boots; models."""
    state = JoinState(3_600_000, 600_000)
    for key, value in rows:
        state.restore(key, value)
    state.commit()
    waiting, shadows, early, marks = {}, {}, {}, {}
    for key, value in sorted(state.items().items()):
        kind, name, packed = key[:1], key[1:], as_known(key, value) or b""
        if kind == b"p":
            model = state.models[int.from_bytes(packed[28:30], "little")]
            entry = unpack(packed, len(model.classes))
            waiting[_frame(name)] = {
                "received_at_ms": entry.received_at_ms,
                "captured_at_ms": entry.captured_at_ms,
                "predicted_at_ms": entry.received_at_ms + entry.predict_delay_ms,
                "frame_offset": entry.frame_offset,
                "version": model.version,
                "label": model.classes[entry.predicted_no],
                "probabilities": {
                    each: round(odds / FULL, 4) for each, odds in zip(model.classes, entry.probabilities, strict=True)
                },
                "brightness": round(entry.brightness / 255, 4),
                "had an outcome": bool(entry.flags & HAD_OUTCOME),
                "its label was made at ms": 0 if entry.labelled_at_ms == NEVER_MS else entry.labelled_at_ms,
                "digest of its label": "" if entry.labelled_at_ms == NEVER_MS else entry.digest.hex(),
            }
        elif kind == b"s":
            reported = unpack_shadow(packed)
            model = state.models[reported.model_no]
            shadows[_frame(name)] = {
                "received_at_ms": reported.received_at_ms,
                "version": model.version,
                "label": model.classes[reported.predicted_no],
                "its probability": round(reported.predicted_probability / SHADOW_FULL, 3),
                "probabilities": {
                    each: round(odds / SHADOW_FULL, 3)
                    for each, odds in zip(model.classes, reported.probabilities, strict=False)
                },
            }
        elif kind == b"e":
            label = CODEC.decode(packed[RECEIVED.size :], AcceptedLabel)
            early[_frame(name)] = msgspec.to_builtins(label) | {"received_at_ms": RECEIVED.unpack_from(packed)[0]}
        elif kind == b"l":
            sequence, at_ms = int.from_bytes(packed[:8], "big"), int.from_bytes(packed[8:], "big")
            marks[_named(name)] = {"forgotten up to": sequence, "at ms": at_ms}
    return {
        "predictions that wait": waiting,
        "what shadows predicted": shadows,
        "labels that wait": early,
        "boots forgotten": marks,
        "newest frame received at ms": state.newest_ms,
        "classes": {model.version: list(model.classes) for model in state.models},
    }


def _frame(key: bytes) -> str:
    return f"{_named(key[:-8])} {int.from_bytes(key[-8:], 'big')}"


def _named(packed: bytes) -> str:
    length, _, names = packed.partition(b":")
    return f"{names[: int(length)].decode()} {names[int(length) :].decode()}"


# -- drift

_KINDS: Final = layout.FAMILIES
_SIDES: Final = ("up", "down", "far")
_AS_EXPECTED: Final = {today: former for former, today in FORMER.items()}
"""Names of fields as the facts of format 0 have them."""


def _ranked(table: Any, row: int) -> list[str]:
    """Names of the signals that are ranked."""
    slots = [f"telemetry.{name.decode()}" if name else "" for name in table.reference["telemetry"][row].tolist()]
    return [*layout.PICTURE, *(name or f"free slot {place}" for place, name in enumerate(slots))]


def _buckets(table: Any, classes: tuple[str, ...]) -> list[str]:
    """Names of the classes that are told apart."""
    return [table.layout.class_of(bucket, classes) or f"rest {bucket}" for bucket in range(table.layout.buckets)]


def _axes(table: Any, row: int) -> dict[str, tuple[list[str] | tuple[str, ...], ...]]:
    """What the axes of each field mean."""
    ranked, buckets = _ranked(table, row), _buckets(table, version_of(table, row).classes)
    reported = [*(f"probability of {name}" for name in buckets), "entropy", "margin"]
    streams = [f"{signal} {side}" for signal in ranked for side in _SIDES]
    streams += [f"{name} {side}" for side in ("up", "down") for name in reported]
    streams += ["loss", *(f"loss of {name}" for name in buckets), *(f"loss by {phase}" for phase in PHASE_NAMES)]
    streams += ["accuracy"]
    correlated = [*ranked, "entropy", "margin", "predicted class", "loss"]
    labels = ["all", *buckets]
    phases = PHASE_NAMES
    per_phase = dict.fromkeys(("began_s", "frames", "closed", "labels_began_s", "labels_closed"), (phases,))
    reference = {
        "class_frames": (phases, buckets),
        "features": (phases, buckets),
        "features_m2": (phases,),
        "counts": (phases, ranked, buckets),
        "means": (phases, ranked, buckets),
        "m2": (phases, ranked),
        "histogram": (phases, ranked),
        "output_mean": (phases, reported),
        "output_m2": (phases, reported),
        "decorrelation_lag": (correlated,),
        "inflation": (correlated,),
        "label_weights": (phases, labels),
        "label_squares": (phases, labels),
        "label_losses": (phases, labels),
    }
    watch: dict[str, Any] = {"evidence": (streams,), "excess": (streams,), "values": ([*ranked, *reported],)}
    watch |= dict.fromkeys(("family", "cusum", "since_ms", "run", "window", "span", "alarmed"), (_KINDS,))
    watch |= dict.fromkeys(("raised", "raised_since_ms", "raised_at_ms", "cause"), (ALARMS,))
    watch |= dict.fromkeys(("fault_run", "fault_clear", "fault_from_ms"), (layout.FAULTS,))
    learning = dict.fromkeys(("count", "mean", "m2", "last", "products", "block", "squares"), (correlated,))
    return {
        **{f"reference.{name}": axes for name, axes in (per_phase | reference).items()},
        **{f"watch.{name}": axes for name, axes in watch.items()},
        **{f"learning.{name}": axes for name, axes in learning.items()},
        "streams": (streams,),
    }


def _by_name(value: Any, axes: Sequence[Sequence[str]]) -> Any:
    if axes:
        return {name: _by_name(each, axes[1:]) for name, each in zip(axes[0], value, strict=True)}
    if getattr(value, "dtype", None) is not None and value.dtype.names:
        return {name: _by_name(value[name], ()) for name in value.dtype.names}
    plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(plain, bytes):
        return plain.hex() if any(plain) else ""
    if isinstance(plain, list):
        return [each.decode() if isinstance(each, bytes) else each for each in plain]
    return plain


def _of_row(table: Any, row: int) -> Facts:
    axes = _axes(table, row)
    facts: Facts = {}
    for part in ("reference", "watch", "learning"):
        columns = getattr(table, part)
        for name in columns.dtype.names:
            if name != "version":
                facts[f"{part}.{_AS_EXPECTED.get(name, name)}"] = _by_name(
                    columns[name][row], axes.get(f"{part}.{name}", ())
                )
    for alarm in facts["watch.alarmed"].values():
        alarm["stream"] = axes["streams"][0][alarm["stream"]] if alarm["threshold"] else ""
        alarm["detector"] = NAMES[alarm["detector"]] if alarm["threshold"] else ""
    return facts


def of_days(rows: Sequence[Row]) -> Facts:
    """Of each camera what labels of its days show, by the names of fields and phases."""
    cameras = Cameras()
    for key, value in rows:
        cameras.restore(key, value)
    table = cameras.table
    phased = ("today", "recent", "usual")
    return {
        camera: {
            name: _by_name(table.days[name][cameras.row(camera)], (PHASE_NAMES,) if name in phased else ())
            for name in table.days.dtype.names or ()
        }
        for camera in sorted(cameras)
    }


def of_ahead(rows: Sequence[Row]) -> Facts:
    """Of each camera the labels that wait for their frames, in the order in which they came."""
    cameras = Cameras()
    for key, value in rows:
        cameras.restore(key, value)
    return {
        camera.decode(): [
            {
                "sequence": each.sequence,
                "version": each.version,
                "predicted": each.predicted,
                "label": each.label,
                "frame received at ms": each.received_at_ms,
                "label received at ms": each.label_received_at_ms,
                "propensity": each.propensity,
            }
            for each in AHEAD.read(value)
        ]
        for camera, value in cameras.ahead.items()
    }


def of_drift(rows: Sequence[Row]) -> Facts:
    """Of each camera every number that is kept of it, by the names of signals, streams, classes, families and alarms;
    its version; whether it learns; the mean of each signal by phase. Of the partition what its cameras share."""
    cameras = Cameras()
    for key, value in rows:
        cameras.restore(key, value)
    cameras.commit()
    table = cameras.table
    facts: Facts = {}
    for name in sorted(cameras):
        row = cameras.row(name)
        version = version_of(table, row)
        means = {}
        for place, phase in enumerate(PHASE_NAMES):
            mean, _ = usual(table.reference, np.array([row]), np.array([place]))
            means[phase] = dict(zip(_ranked(table, row), mean[0].tolist(), strict=True))
        facts[name] = {
            "version": version.version,
            "classes": list(version.classes),
            "frames still to learn": learning_left(table, row, DRIFT_RULES.reference_samples),
            "usual mean": means,
            **_of_row(table, row),
        }
    states = table.detector_states.items()
    return facts | {
        "partition": {
            "newest record at ms": cameras.shared.newest_ms,
            "statistics told up to ms": cameras.shared.statistics_up_to_ms,
            "newest report at ms": cameras.shared.last_report_ms,
            "place of who is next": cameras.shared.turn,
            "versions": sorted(version.version for version in cameras.versions.values()),
        },
        "chosen detectors": {
            f"{table.names[row]} {_axes(table, row)['streams'][0][stream]}": {
                "samples": len(state) // 4,
                "mean": float(np.frombuffer(state, "<f4").mean()),
            }
            for (row, stream), state in sorted(states)
        },
    }


# -- incidents


def of_incidents(rows: Sequence[Row]) -> Facts:
    """Of each camera, and of the fleet: its alerts that are open, by id; causes that wait; alerts that are over and
    remembered; kinds that are to be quiet; when it is to be looked at. Incidents by group and kind."""
    known = IncidentsState()
    for key, value in rows:
        known.restore(key, value)
    known.commit()
    cameras = {"the fleet": known.camera(FLEET), **dict(sorted(known.cameras().items()))}
    facts: Facts = {
        "cameras": {name: _of_camera(camera) for name, camera in cameras.items()},
        "clock ms": known.clock_ms,
        "incidents": {},
    }
    for group in ("one", "two", "fleet", ""):
        for kind in ("input", "camera_frozen", "class_mix", "concept", "model_version", "accuracy_floor"):
            if incident := known.incident(group, kind):
                facts["incidents"][f"{group} {kind}"] = {
                    "incident_id": incident.incident_id,
                    "first camera": incident.first_camera,
                    "opened at ms": incident.opened_at_ms,
                    "cameras": list(incident.cameras),
                    "more": incident.more,
                }
    return facts


def _of_camera(camera: CameraState) -> Facts:
    causes = camera.causes
    return {
        "newest report at ms": camera.at_ms + 1,
        "alarms": sorted(alarm.kind for alarm in camera.alarms),
        "model": f"{camera.model} {camera.version}",
        "version since ms": camera.version_since_ms,
        "version before": camera.version_before,
        "recent labels": camera.recent_labels,
        "recent errors": camera.recent_errors,
        "open": {
            cause.emitted.alert.alert_id: _of_open(cause, cause.emitted.alert)
            for cause in causes.values()
            if cause.emitted
        },
        "waits": {
            name: {
                "cause": cause.cause,
                "since ms": cause.since_ms,
                "for ms": cause.wait_ms,
                "held back": cause.state is LifecycleState.BLOCKED,
            }
            for name, cause in causes.items()
            if cause.emitted is None
        },
        "over": {
            alert_id: {"last revision": ended.revision + 1, "ended at ms": ended.at_ms}
            for alert_id, ended in camera.ended.items()
        },
        "quiet kinds": {kind: {"until ms": quiet.until_ms, "by": quiet.by} for kind, quiet in camera.quiet.items()},
        "part of": camera.counted,
        "episodes": camera.episodes,
        "due at ms": camera.due_ms,
    }


def _of_open(cause: CauseState, alert: Alert) -> Facts:
    return {
        "revisions so far": alert.revision + 1,
        "state": alert.state,
        "kind": alert.kind,
        "severity": alert.severity,
        "cameras": alert.cameras,
        "group": alert.group,
        "incident_id": alert.incident_id,
        "since ms": alert.since_ms,
        "opened at ms": alert.opened_at_ms,
        "updated at ms": alert.updated_at_ms,
        "cause": cause.cause,
        "alarms": {kind: alarm.cause for kind, alarm in sorted(cause.alarms.items())},
        "raised": sorted(cause.raised),
        "well since ms": cause.well_since_ms,
        "acknowledged": cause.acknowledged_by is not None,
        "quiet until ms": _until_ms(cause),
        "was ever opened": cause.was_shown,
        "blames a new version": cause.blames_version,
        "beyond what a mix explains": cause.beyond_mix,
    }


def _until_ms(cause: CauseState) -> int:
    """Until when it is suppressed; without an end of its own, as format 0 wrote it."""
    suppression = cause.suppression
    if suppression is None:
        return 0
    return 2**62 if suppression.until_ms is None else suppression.until_ms


# -- retrain trigger


def of_retrain_trigger(rows: Sequence[Row]) -> Facts:
    """Of each camera: up to where its outcomes are counted, and its labels since some times."""
    facts: Facts = {}
    day_ms = 86_400_000
    for key, value in rows:
        held = unpacked(value)
        since = {"the start": 0, **{f"day {day}": START_MS + day * day_ms for day in (7, 15, 25, 29)}}
        counts = {name: count([held], at_ms) for name, at_ms in since.items()}
        facts[key.decode()] = {
            "partition": held.partition,
            "next offset": held.next_offset,
            "newest frame at ms": held.newest_ms,
            "labels since": {name: {"in all": each.total, "of": each.by_class} for name, each in counts.items()},
        }
    return facts


# -- vehicles


def of_vehicles(rows: Sequence[Row]) -> Facts:
    """Those whose pictures come, those that are complete, labels that wait, and counts that are not written."""
    state = VehiclesState()
    for key, value in rows:
        state.restore(key, value)
    names = [key[1:] for key, _ in rows]
    counts = dict(state.all_counts())
    return {
        "open": {
            names_of(name)[2]: {
                "received at ms": vehicle.received_at_ms,
                "last picture at ms": vehicle.touched_ms,
                "version": f"{vehicle.model} {vehicle.version}",
                "sum of logs": vehicle.logs,
                "pictures": [[number + 1, at_ms, list(box)] for number, at_ms, box in vehicle.views],
                "seen": [vehicle.first_seen_ms, vehicle.last_seen_ms],
                "direction and line": [vehicle.direction, vehicle.line],
                "label": _of_label(vehicle.labelled),
            }
            for name, vehicle in state.all_open()
        },
        "complete": {
            names_of(name)[2]: {
                "received at ms": vehicle.received_at_ms,
                "version": f"{vehicle.model} {vehicle.version}",
                "predicted": [vehicle.label, vehicle.confidence],
                "label": _of_label(vehicle.labelled),
                "has an outcome": vehicle.has_outcome,
            }
            for name in names
            if (vehicle := state.complete(name)) is not None
        },
        "waits": {
            names_of(name)[2]: {"read at ms": ahead.touched_ms, "label": _of_label(ahead.labelled)}
            for name in names
            if (ahead := state.ahead(name)) is not None
        },
        "counts": {camera: {"since ms": each.since_ms, "of": each.vehicles} for camera, each in counts.items()},
    }


def _of_label(label: Labelled | None) -> Facts | None:
    if label is None:
        return None
    return {
        "says": label.label or "taken back",
        "made at ms": label.labelled_at_ms,
        "received at ms": label.received_at_ms,
        "by": label.source,
        "propensity": label.propensity,
    }


# -- rollout


def of_rollout(rows: Sequence[Row]) -> Facts:
    """Of each model: champion, who was before, who waits, the race under way and its pairs; each version's newest
    event; what of the register and of the pairs was read."""
    state = RolloutState()
    for key, value in rows:
        state.restore(key, value)
    state.commit()
    events = [key[1:].decode() for key, _ in rows if key[:1] == b"s"]
    facts: Facts = {"next pair": state.next_pair, "events known": sum(map(state.has_seen, events))}
    for model in state.models():
        own = state.of_model(model)
        race = own.comparison
        versions = {name: state.version(model, name) for name in "ABCXPQRSTUV" if state.has_version(model, name)}
        facts[model] = {
            "champion": own.champion,
            "former": list(own.former),
            "queue": list(own.queue),
            "idle": list(own.idle),
            "probation is due": own.probation_due,
            "race": race
            and {
                "id": race.comparison_id,
                "new": race.new,
                "old": race.old,
                "probation": race.probation,
                "since ms": race.since_ms,
                "classes": race.classes,
                "cameras": race.cameras,
                "fallen": race.fallen,
                "told at pairs": race.reported_pairs,
                "awaits approval": race.awaits_approval,
                "canary since ms": race.canary_since_ms,
            },
            "pairs": _of_pairs(state.pairs(model, "all")),
            **{f"pairs by {kind}": _of_strata(state, model, kind) for kind in ("class", "camera")},
            "versions": {
                name: {
                    "event_id": event.event_id,
                    "stage": event.stage,
                    "sha256": event.sha256,
                    "signature": event.signature.decode(),
                    "by": event.by,
                    "at ms": event.at_ms,
                    "decision": event.decision_id,
                    "previous": event.previous_version,
                    "cameras": event.cameras,
                    "its event is known": state.has_seen(event.event_id),
                }
                for name, event in versions.items()
            },
        }
    return facts


def _of_pairs(pairs: Pairs) -> Facts:
    return {
        f"propensity {propensity:g}": dict(zip(("neither", "old", "new", "both"), cell, strict=True))
        for propensity, cell in sorted(pairs.cells.items())
    }


def _of_strata(state: RolloutState, model: str, kind: Kind) -> Facts:
    return {name: _of_pairs(pairs) for name, pairs in state.strata(model, kind).items()}


FACTS: Final[Mapping[str, Callable[[Sequence[Row]], Facts]]] = {
    "ingest": of_ingest,
    "ground_truth": of_ground_truth,
    "drift": of_drift,
    "incidents": of_incidents,
    "retrain_trigger": of_retrain_trigger,
    "rollout": of_rollout,
    "vehicles": of_vehicles,
}
