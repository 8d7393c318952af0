"""Golden files: what a state topic kept, what must be known after it is read, and what must follow then.

`python -m tests.contract.states.golden N SERVICE…` writes those of format N, which must not be there yet.
"""

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from catseye.contract.records import (
    AcceptedFrame,
    Alert,
    CameraReport,
    DeadLetter,
    DriftStatistic,
    ModelEvent,
    Outcome,
    PairedOutcome,
    UnmatchedLabel,
    Vehicle,
    VehicleCount,
    VehicleOutcome,
)
from catseye.runtime.stream import Output
from tests.contract.states.facts import FACTS, Facts, of_ahead, of_days, without_nothing
from tests.contract.states.stories import STORIES, Row, drift_ahead_rows, drift_days_rows
from tests.simulation.cameras import CODEC
from tests.simulation.partitions import Partition

FOLDER: Final = Path(__file__).parent
_RECORDS: Final[dict[str, Any]] = {
    "frames.accepted": AcceptedFrame,
    "dead-letters": DeadLetter,
    "outcomes": Outcome,
    "outcomes.paired": PairedOutcome,
    "labels.unmatched": UnmatchedLabel,
    "drift.reports": CameraReport,
    "statistics": DriftStatistic,
    "alerts": Alert,
    "models": ModelEvent,
    "vehicles": Vehicle,
    "vehicles.outcomes": VehicleOutcome,
    "vehicles.counts": VehicleCount,
}
_SHOWN: Final = {
    "frames.accepted": ("camera", "boot", "sequence"),
    "dead-letters": ("camera", "reason"),
    "outcomes": (
        *("camera", "boot", "sequence", "prediction_id", "version", "predicted", "change", "label"),
        *("frame_offset", "label_probability", "label_delay_ms", "propensity"),
    ),
    "outcomes.paired": (
        *("camera", "boot", "sequence", "champion", "shadow", "label", "champion_predicted", "shadow_predicted"),
        *("champion_label_probability", "shadow_label_probability"),
    ),
    "labels.unmatched": ("camera", "boot", "sequence", "label", "reason"),
    "alerts": (
        *("alert_id", "revision", "state", "kind", "severity", "camera", "cameras", "incident_id"),
        *("since_ms", "opened_at_ms", "updated_at_ms", "resolved_at_ms"),
    ),
    "models": ("event_id", "model", "version", "stage", "previous_version", "decision_id", "dataset_sha256", "by"),
    "vehicles": (
        *(
            "camera",
            "boot",
            "track",
            "vehicle_id",
            "first_seen_ms",
            "last_seen_ms",
            "received_at_ms",
            "completed_at_ms",
        ),
        *("model", "version", "label", "confidence", "direction", "line", "box"),
    ),
    "vehicles.outcomes": (
        *("camera", "boot", "track", "vehicle_id", "version", "predicted", "confidence", "change", "label"),
        *("labelled_at_ms", "source", "propensity"),
    ),
    "vehicles.counts": ("camera", "minute_ms", "label", "direction", "line", "vehicles"),
}
"""Fields that are compared: texts for people may change."""


def rows_of(number: int, service: str) -> list[Row]:
    """What the state topic of a service kept, keys and values as they lay there, oldest first."""
    lines = (FOLDER / str(number) / f"{service}.rows").read_text().splitlines()
    return [
        (base64.b64decode(key), base64.b64decode(value)) for key, _, value in (line.partition(" ") for line in lines)
    ]


def expected(number: int, service: str) -> Facts:
    """What must be known of them."""
    facts: Facts = json.loads((FOLDER / str(number) / f"{service}.json").read_text())
    return facts


def known(service: str, rows: Sequence[Row]) -> Facts:
    """What is known of *rows* today, and what follows in today's core when more records come."""
    facts: Facts = without_nothing(FACTS[service](rows))
    story = STORIES[service]
    if story.core is not None:
        facts["then"] = [without_nothing(each) for each in _then(service, rows)]
    return facts


_NOT_SHOWN: Final = ("statistics", "frames.repeated")
"""Records that earlier versions wrote otherwise or not at all."""


def _then(service: str, rows: Sequence[Row]) -> list[Facts]:
    """Records that a core writes, in order, when it goes on from *rows*."""
    story = STORIES[service]
    assert story.core is not None
    partition: Partition[Any] = Partition(story.core)
    partition.state_log += rows
    partition.crash()
    for now_ms, batch in story.afterwards():
        partition.take(batch, now_ms)
        partition.outputs += [Output(*row) for row in partition.core.on_time({0: partition.state}, now_ms)]
        partition.state.commit()
    found = [_shown(output) for output in partition.outputs if output.topic not in _NOT_SHOWN]
    return _newest(found) if service == "drift" else found


def _shown(output: Output) -> Facts:
    fields: Facts = msgspec.to_builtins(CODEC.decode(output.value, _RECORDS[output.topic]))
    if output.topic == "drift.reports":
        alarms = {alarm["kind"]: alarm["cause"] for alarm in fields["alarms"]}
        return {"camera": fields["camera"], "alarms": alarms, "learns": fields["learning_left"] > 0}
    shown = {name: fields[name] for name in _SHOWN[output.topic]}
    # A revision that is 0 is not left out with what is nothing.
    named = {("revision from 1" if name == "revision" else name): value for name, value in shown.items()}
    return {"topic": output.topic} | {
        name: value + 1 if name == "revision from 1" else value for name, value in named.items()
    }


def _newest(reports: list[Facts]) -> list[Facts]:
    """The last report of each camera."""
    newest = {report["camera"]: report for report in reports}
    return [newest[camera] for camera in sorted(newest)]


def differences(wanted: Any, found: Any, where: str = "") -> list[str]:
    """Where *found* is not what is *wanted*; numbers that are not whole may differ by a millionth part."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [*wanted, *(name for name in found if name not in wanted)]
        return [fault for name in names for fault in differences(wanted.get(name), found.get(name), f"{where}/{name}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [fault for place, pair in pairs for fault in differences(*pair, f"{where}/{place}")]
    if isinstance(wanted, float) and isinstance(found, float | int):
        return [] if abs(wanted - found) <= 1e-5 * abs(wanted) else [f"{where}: {wanted} wanted, {found} found"]
    return [] if wanted == found else [f"{where}: {wanted} wanted, {found} found"]


def _text(facts: Any, depth: int = 3) -> str:
    """JSON, a line for each thing up to some depth."""
    if isinstance(facts, list) and depth == 2:
        return "[\n" + ",\n".join(_text(each, 0) for each in facts) + "\n]"
    if depth == 0 or not isinstance(facts, dict):
        return json.dumps(facts, ensure_ascii=False, separators=(", ", ": "))
    lines = [f"{json.dumps(name, ensure_ascii=False)}: {_text(each, depth - 1)}" for name, each in facts.items()]
    return "{\n" + ",\n".join(lines) + "\n}"


def write_days(number: int) -> None:
    """Make the golden files of drift's days of labels, which format 1 did not have at first."""
    _write(FOLDER / str(number), "drift_days", drift_days_rows(), without_nothing(of_days(drift_days_rows())))


def write_ahead(number: int) -> None:
    """Make those of drift's labels that wait for their frames, which came later too."""
    _write(FOLDER / str(number), "drift_ahead", drift_ahead_rows(), without_nothing(of_ahead(drift_ahead_rows())))


def _write(folder: Path, name: str, rows: Sequence[Row], facts: Facts) -> None:
    lines = [f"{base64.b64encode(key).decode()} {base64.b64encode(value).decode()}\n" for key, value in rows]
    with (folder / f"{name}.rows").open("x") as file:
        file.writelines(lines)
    with (folder / f"{name}.json").open("x") as file:
        file.write(_text(facts) + "\n")


def write(number: int, services: Sequence[str]) -> None:
    """Make the golden files of a format from today's code; of all services where none is named."""
    folder = FOLDER / str(number)
    folder.mkdir(exist_ok=True)
    for service in services or STORIES:
        rows = STORIES[service].rows()
        _write(folder, service, rows, known(service, rows))


if __name__ == "__main__":
    write(int(sys.argv[1]), sys.argv[2:])
