"""What each service lived through before its state was written down, and what comes after it was read again.

Only public records and today's cores are used: nothing here knows how a state is laid out, but for the few values of
even earlier builds, which are put in as bytes.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from catseye.contract.checks import Limits
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedLabel, Outcome, PairedOutcome, Prediction
from catseye.runtime.router import Router
from services import vehicles
from services.drift.cameras import Cameras
from services.ground_truth.join_state import JoinState
from services.incidents.incidents_state import IncidentsState
from services.incidents.rules import Rules as IncidentRules
from services.ingest.window import Windows
from services.retrain_trigger.labels import Held, counted, packed
from services.rollout.rollout_state import RolloutState
from services.rollout.verdict import Rules as RolloutRules
from services.vehicles.core import VehiclesCore
from services.vehicles.state import VehiclesState
from tests.simulation import incidents as roads
from tests.simulation.cameras import CODEC, QUICK, Camera, drift_service, outcome
from tests.simulation.partitions import FakeMessage, Partition
from tests.simulation.rollout import Rollout, event, pair
from tests.simulation.rollout import core as rollout_core
from tests.simulation.test_join import routed as joining
from tests.unit.test_ingest_core import LIMITS, frame, routed

START_MS: Final = 1_800_000_000_000
Row = tuple[bytes, bytes]
Log = Sequence[tuple[bytes, bytes | None]]


def compacted(log: Log) -> list[Row]:
    """What a compacted topic keeps: the last value of each key, in the order in which they were written."""
    last = {key: place for place, (key, _) in enumerate(log)}
    return [(key, value) for place, (key, value) in enumerate(log) if last[key] == place and value is not None]


@dataclass(frozen=True)
class Story:
    """One service.

    Attributes:
        rows: Makes what its state topic keeps after the story.
        core: Makes the core that reads them; None where the service has none.
        afterwards: Makes the records that come then, each batch with our clock.
    """

    rows: Callable[[], list[Row]]
    core: Callable[[], Any] | None = None
    afterwards: Callable[[], list[tuple[int, list[FakeMessage]]]] = list


# -- ingest: windows of sequence numbers


def _ingest_core() -> Router[Windows]:
    return routed(CODEC, Limits(jpeg=LIMITS.jpeg), 1)


def _frame(camera: str, boot: str, sequence: int, at_s: float = 0.0) -> FakeMessage:
    at_ms = START_MS + round(at_s * 1_000)
    body = CODEC.encode(frame(sequence, camera, boot, captured_at_ms=at_ms))
    return FakeMessage("frames", body, 0, 0, camera.encode(), (2, at_ms))


def _ingest_rows() -> list[Row]:
    """`north`: gaps, repeats and a second boot. `east`: a jump beyond the window. `south`: ten boots, of which eight
    are kept. `süd/ö`: a name that is not ASCII. `before`: a value of the build that kept no time."""
    part = Partition(_ingest_core)
    seen = [number for number in range(100) if number not in (7, 50, 51)]
    part.take([_frame("north", "b1", number, number) for number in [*seen, 3, 3, 99]])
    part.take([_frame("north", "b2", number, 200 + number / 1e6) for number in (1_000_000, 1_000_002)])
    part.take([_frame("east", "e", number, number) for number in (0, 1, 5_000, 4_000)])
    part.take([_frame("south", f"r{number}", number, number) for number in range(10)])
    part.take([_frame("süd/ö", "b", number, number) for number in (0, 1)])
    before = (b"before", msgspec.msgpack.encode([[["b", 12, (0b1011).to_bytes()]], 2]))
    return [*compacted(part.state_log), before]


def _ingest_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """Repeats from before the upgrade, gaps that close, and what is too old to tell."""
    batch = [_frame("north", "b1", number, 300) for number in (3, 7, 100)]
    batch += [_frame("north", "b2", number, 300) for number in (1_000_000, 1_000_001)]
    batch += [_frame("east", "e", number, 300) for number in (1, 4_000, 4_001)]
    batch += [_frame("south", "r9", 9, 300), _frame("south", "r9", 10, 300), _frame("before", "b", 12, 300)]
    return [(START_MS + 300_000, batch)]


# -- ground truth: predictions and labels that wait


CLASSES: Final = ("bike", "car", "truck")
SIX: Final = ("bike", "bus", "car", "truck", "tram", "van")
TWENTY: Final = tuple(f"class {number}" for number in range(20))


def _ground_truth_core() -> Router[JoinState]:
    return joining(3_600_000, 60_000, 600_000)


def _predicted(
    camera: str, boot: str, sequence: int, at_s: float, version: str, classes: tuple[str, ...], role: str = "champion"
) -> FakeMessage:
    at_ms = START_MS + round(at_s * 1_000)
    first = sequence % len(classes)
    odds = {name: (0.75 if place == first else 0.25 / (len(classes) - 1)) for place, name in enumerate(classes)}
    record = Prediction(
        camera=camera,
        boot=boot,
        sequence=sequence,
        captured_at_ms=at_ms - 40,
        received_at_ms=at_ms,
        predicted_at_ms=at_ms + 25,
        prediction_id=prediction_id(camera, boot, sequence, "m", version, role),
        model="m",
        version=version,
        role="shadow" if role == "shadow" else "champion",
        frame_partition=0,
        frame_offset=1_000 + sequence,
        label=classes[first],
        probabilities=odds,
        brightness=0.4,
        contrast=0.1,
        sharpness=0.1,
        dark_share=0.0,
        bright_share=0.0,
        perceptual_hash=1,
        model_sha256="0" * 64,
        embedding=[],
    )
    topic = "predictions.shadow" if role == "shadow" else "predictions"
    return FakeMessage(topic, CODEC.encode(record), name=camera.encode())


def _labelled(camera: str, boot: str, sequence: int, text: str | None, at_s: float) -> FakeMessage:
    at_ms = START_MS + round(at_s * 1_000)
    record = AcceptedLabel(
        camera=camera,
        boot=boot,
        sequence=sequence,
        label=text,
        labelled_at_ms=at_ms,
        source="audit",
        propensity=0.5,
        received_at_ms=at_ms,
    )
    return FakeMessage("labels.accepted", CODEC.encode(record), name=camera.encode())


def _ground_truth_rows() -> list[Row]:
    """`gone`: four predictions past the horizon, of which a mark stays. `north`: ten of a model with three classes and
    three of one with twenty in the same segment; labels that matched, were corrected, withdrawn, came twice; a shadow
    with six classes. `south`: twenty classes. Labels that wait: on `north`, on `south` (a withdrawal), on `nobody`.
    `marked`: a mark of the build in which marks had no end."""
    part = Partition(_ground_truth_core)
    part.take([_predicted("gone", "o", number, -7_200 + number, "1", CLASSES) for number in range(4)])
    part.take([_predicted("north", "b", number, number, "1", CLASSES) for number in range(10)])
    part.take([_predicted("north", "b", number, number, "wide", TWENTY) for number in range(10, 13)])
    part.take([_predicted("north", "b", number, number, "2", SIX, "shadow") for number in (*range(6), 60)])
    part.take([_predicted("south", "s", number, number - 90, "wide", TWENTY) for number in range(100, 103)])
    part.take([_predicted("south", "s", number, number - 90, "1", CLASSES, "shadow") for number in (100, 101)])
    part.take([_predicted("south", "s", 102, 12, "wide-shadow", TWENTY, "shadow")])
    part.take(
        [
            _labelled("north", "b", 0, "car", 20),
            _labelled("north", "b", 6, "car", 20),
            _labelled("north", "b", 6, "truck", 21),
            _labelled("north", "b", 7, "bike", 20),
            _labelled("north", "b", 7, None, 22),
            _labelled("north", "b", 8, None, 20),
            _labelled("north", "b", 9, "car", 20),
            _labelled("north", "b", 9, "car", 23),
            _labelled("north", "b", 50, "car", 20),
            _labelled("south", "s", 200, None, 21),
            _labelled("nobody", "n", 0, "van", 22),
        ]
    )
    return [*compacted(part.state_log), (b"l6:markedb", (41).to_bytes(8, "big"))]


def _ground_truth_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """Labels for what waited, predictions for labels that waited, repeats, and labels that are too late."""
    return [
        (
            START_MS + 30_000,
            [
                _predicted("north", "b", 3, 3, "1", CLASSES),  # once more: nothing
                _labelled("north", "b", 1, "car", 30),  # joined, with its shadow
                _labelled("north", "b", 0, "bike", 31),  # corrected
                _labelled("north", "b", 6, "car", 20),  # superseded by the later one
                _labelled("north", "b", 7, "bike", 32),  # withdrawn before: corrected
                _labelled("north", "b", 8, "truck", 30),  # its withdrawal came first
                _labelled("north", "b", 9, "car", 23),  # repeated
                _labelled("north", "b", 11, "class 11", 30),
                _labelled("south", "s", 100, "class 3", 30),  # with a shadow of three classes
                _labelled("south", "s", 102, "class 19", 30),  # with one of twenty, of which 16 were kept
                _predicted("north", "b", 50, 30, "1", CLASSES),  # its label waited
                _predicted("south", "s", 200, 30, "wide", TWENTY),  # a withdrawal waited
                _labelled("gone", "o", 2, "car", 30),  # late
                _labelled("marked", "b", 41, "car", 30),  # late
                _labelled("gone", "o", 9, "car", 30),  # not late: it waits
            ],
        ),
        # Who waited too long by our clock goes: here nobody says how far the services before have worked.
        (START_MS + 3_600_000 + 120_000, [_predicted("north", "b", 61, 120, "1", CLASSES)]),
    ]


# -- drift: what is normal, and evidence


DRIFT_RULES: Final = dataclasses.replace(QUICK, detectors={"sharpness": "page_hinkley"})
NINE: Final = tuple(f"class {number}" for number in range(9))


def _drift_core() -> Router[Cameras]:
    return drift_service(DRIFT_RULES)


_THERMOMETER: Final = {"telemetry": {"temperature": 30.0, "voltage": 12.0}}
_BLACK: Final = {"brightness": 0.001, "contrast": 0.0, "sharpness": 0.0}
_FRAMES: Final = 880
_YOUNG_FROM: Final = 760
_DUSK_S: Final = 700.0
"""No frame comes while night falls and while it ends."""


def _changes(name: str, number: int) -> dict[str, Any]:
    """What is so of frame *number* of a camera, beside what is usual."""
    if name == "whole":
        light = 0.35 if number >= 640 else 0.1 + number % 7 / 500 if 260 <= number < 560 else 0.0
        return _THERMOMETER | ({"brightness": light} if light else {})
    return _BLACK if name == "wrong" and 300 <= number < 340 else {}


def _frames_of(camera: Camera, number: int, *, labelled: bool = True) -> list[FakeMessage]:
    """Frame *number* of a camera and its label."""
    if camera.name == "renewed" and number >= 800:
        camera.version = "v2"
    shot = camera.shot(**_changes(camera.name, number))
    if camera.name == "wide":
        shot = _wide(shot)
    truth = shot.label if camera.name == "wide" else camera.truth[shot.sequence]
    reported = "tractor" if camera.name == "wrong" and number >= 640 else truth
    label = outcome(shot, reported, propensity=0.5 if number % 3 else 1.0)
    found = [FakeMessage("predictions", CODEC.encode(shot), name=camera.name.encode())]
    return found + [FakeMessage("outcomes", CODEC.encode(label), name=camera.name.encode())] * labelled


def _wide(shot: Prediction) -> Prediction:
    """The same frame as a model with nine classes sees it: more than there are buckets."""
    first, odds = shot.sequence % 9, max(shot.probabilities.values())
    chances = {name: (odds if place == first else (1 - odds) / 8) for place, name in enumerate(NINE)}
    return replace(shot, label=NINE[first], probabilities=chances, version="wide")


def _drift_rows() -> list[Row]:
    """All at 20 frames/s, labelled. `whole`: learned by day and by night, with telemetry, then a darker day: an alarm
    of pictures is raised. `young`: learning still. `wrong`: black for two seconds, later its labels contradict it.
    `renewed`: a new version after it had learned. `wide`: nine classes, more than there are buckets. A detector of
    river's was chosen for sharpness."""
    part = Partition(_drift_core)
    cameras = [Camera(name) for name in ("whole", "wrong", "renewed", "wide")]
    for start in range(0, _FRAMES, 20):
        if start == _YOUNG_FROM:
            cameras.append(Camera("young"))
            cameras[-1].at_s = cameras[0].at_s
        if start in (260, 560):
            for camera in cameras:
                camera.at_s += _DUSK_S
        batch = [
            each for number in range(start, start + 20) for camera in cameras for each in _frames_of(camera, number)
        ]
        part.take(batch, START_MS + start)
    return compacted(part.state_log)


def _drift_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """Each camera goes on as it was: nobody learns anew, what is raised stays raised; then all are silent, so that each
    says all that is wrong."""
    cameras = [Camera(name) for name in ("whole", "wrong", "renewed", "wide", "young")]
    for camera in cameras:
        camera.at_s, camera.sequence = _FRAMES / 20 + 2 * _DUSK_S, _FRAMES
    batch = [
        each for number in range(_FRAMES, _FRAMES + 20) for camera in cameras for each in _frames_of(camera, number)
    ]
    return [(START_MS + _FRAMES, batch), (START_MS + _FRAMES + 5_000_000, [])]


def drift_days_rows() -> list[Row]:
    """Nine days of one camera, 25 labels a day; on each third day a third is wrong: layouts, versions and its days
    alone."""
    part, camera = Partition(_drift_core), Camera("days")
    for day in range(9):
        camera.at_s, camera.error_share = 86_400.0 * day, 0.3 if day % 3 == 0 else 0.04
        batch = [each for number in range(25) for each in _frames_of(camera, 25 * day + number)]
        part.take(batch, START_MS + 86_400_000 * day)
    pieces = tuple(b"\0" + letter for letter in (b"r", b"e", b"w", b"l"))
    return [(key, value) for key, value in compacted(part.state_log) if not key.endswith(pieces)]


def drift_ahead_rows() -> list[Row]:
    """`early`: three labels came before its first frame. `renewed`: two of a version that has not predicted yet."""
    part, early, renewed = Partition(_drift_core), Camera("early"), Camera("renewed")
    part.take(_frames_of(renewed, 0), START_MS)
    renewed.version = "v2"
    part.take([_frames_of(camera, 1)[1] for camera in (early, renewed, early, renewed, early)], START_MS)
    return [(key, value) for key, value in compacted(part.state_log) if key.endswith(b"\0a")]


# -- vehicles: those whose pictures come, those that are complete, counts, and labels that wait


def _vehicles_core() -> Router[VehiclesState]:
    return Router(VehiclesCore(5_000, 7 * 86_400_000), *_VEHICLES, CODEC, "", 1)


_VEHICLES: Final = (vehicles.NAME, vehicles.READS, vehicles.WRITES)


def _view_of(track: str, sequence: int, label: str = "car") -> Prediction:
    """A picture of a vehicle, of which the model is fairly sure."""
    chances = {name: 0.8 if name == label else 0.1 for name in CLASSES}
    shot = replace(
        Camera("north").shot(), sequence=sequence, label=label, probabilities=chances, captured_at_ms=START_MS
    )
    seen: dict[str, Any] = {"first_seen_ms": START_MS - 2_000, "last_seen_ms": START_MS, "direction": "left"}
    return replace(shot, received_at_ms=START_MS, track=track, line="gate", box=[0.1, 0.2, 0.3, 0.4], **seen)


def _said_of(track: str, sequence: int, label: str | None, at_s: float) -> FakeMessage:
    """What is said of a picture so long after it came."""
    said = outcome(_view_of(track, sequence), label or "", delay_s=at_s, track=track)
    change = {} if label else {"label": None, "correct": None, "change": "withdrawn"}
    return FakeMessage("outcomes", CODEC.encode(replace(said, **change)), name=b"north")


def _views(*views: Prediction) -> list[FakeMessage]:
    return [FakeMessage("predictions", CODEC.encode(each), name=b"north") for each in views]


def _vehicles_rows() -> list[Row]:
    """`done`: complete, of two views. `said`: complete and labelled. `taken`: complete, a label was taken back that
    nobody gave. `open`: its pictures still come, and it has a label. `ahead`: two labels came before any picture."""
    part = Partition(_vehicles_core)
    part.take(
        _views(_view_of("done", 0), _view_of("done", 1, "truck"), _view_of("said", 2), _view_of("taken", 3)), START_MS
    )
    part.take([_said_of("said", 2, "truck", 1), _said_of("taken", 3, None, 1)], START_MS + 6_000)
    part.take([*_views(_view_of("open", 4)), _said_of("open", 4, "bike", 7)], START_MS + 7_000)
    part.take([_said_of("ahead", 5, "truck", 3), _said_of("ahead", 6, "car", 2)], START_MS + 7_500)
    return compacted(part.state_log)


def _vehicles_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """Late views, labels that correct, the first picture of `ahead`; then all are complete, and counts are written."""
    late = [*_views(_view_of("done", 7), _view_of("open", 4), _view_of("ahead", 5), _view_of("ahead", 6))]
    late += [_said_of("done", 1, "car", 4), _said_of("said", 2, "car", 0.5), _said_of("taken", 3, "car", 2)]
    return [(START_MS + 8_000, late), (START_MS + 20_000, []), (START_MS + 200_000, [])]


# -- incidents: alerts that are open, wait, or are over


INCIDENT_RULES: Final = IncidentRules(group_pattern=re.compile(r"^(\w+)-"), floor_labels=50, reopen_ms=0)
"""As format 0 had it: what comes back is another alert."""


def _incidents_core() -> Router[IncidentsState]:
    return roads.core_of(INCIDENT_RULES)


def _incidents_rows() -> list[Row]:
    """`one-a`, `one-b`: one incident, open; the first acknowledged. `one-c`: frozen, and what follows of that held
    back. `two-a`: suppressed until it resolves; `two-b`: until second 500. `two-c`: resolved. `two-d`: resolved, and
    its kind suppressed until second 900. `two-e`: waits to be opened. `two-f`: two versions. The fleet: too often
    wrong."""
    service = roads.Incidents(INCIDENT_RULES)
    alarm, report = roads.alarm, roads.report
    steady = {name: alarm("input", 0) for name in ("one-a", "one-b", "two-a", "two-b", "two-c", "two-d")}
    service.take(report("two-f", -1), *[report(name, 0, each) for name, each in steady.items()])
    service.take(report("two-f", 6, version="v2", version_since_ms=roads.ms(5)))
    by_camera = {alert.camera: alert for alert in service.alerts if alert.state == "opened"}
    service.take(roads.seen(by_camera["one-a"]))
    service.take(roads.silenced(by_camera["two-a"]), roads.silenced(by_camera["two-b"], roads.ms(500)))
    service.take(report("one-c", 10, alarm("camera_frozen", 10), alarm("predictions", 11)))
    service.take(report("one-a", 20, steady["one-a"], alarm("predictions", 20)))
    service.take(*[report(name, 20) for name in ("two-c", "two-d")])
    service.take(report("two-f", 40, version="v2", version_since_ms=roads.ms(5)))
    service.take(roads.silenced(by_camera["two-d"], roads.ms(900)))
    service.take(report("one-b", 41, steady["one-b"], recent_labels=80.0, recent_errors=79.0))
    service.take(report("two-e", 43, alarm("input", 43)))
    return compacted(service.partition.state_log)


def _incidents_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """Time goes on: what waited opens, what was open goes on under its id, what was silenced stays so, until its time
    is over; the camera whose kind is suppressed is so from its first record; whatever ends is resolved."""
    alarm, report = roads.alarm, roads.report
    records = [
        report("two-f", 44, version="v2", version_since_ms=roads.ms(5)),
        report("two-d", 50, alarm("input", 50)),
        report("two-f", 60, version="v2", version_since_ms=roads.ms(5)),
        report("one-a", 70),
        report("one-c", 71),
        report("two-a", 72),
        report("two-f", 120, version="v2", version_since_ms=roads.ms(5)),
        report("one-b", 121, alarm("input", 0), recent_labels=80.0, recent_errors=1.0),
        report("two-c", 130, alarm("input", 130)),
        report("two-f", 550, version="v2", version_since_ms=roads.ms(5)),
        report("two-f", 950, version="v2", version_since_ms=roads.ms(5)),
    ]
    return [(0, [roads.message(record)]) for record in records]


# -- retrain trigger: labels counted by camera


def _outcome(label: str | None, at_ms: int, change: str = "matched") -> Outcome:
    sound = outcome(Camera("a").shot(), label or "", labelled_at_ms=at_ms)
    correct = None if label is None else sound.correct
    return replace(sound, received_at_ms=at_ms, label=label, correct=correct, change=change)


def _retrain_trigger_rows() -> list[Row]:
    """`old`: 30 days, so that buckets are of any width. `changed`: a correction and a withdrawal. `moved`: its outcomes
    went to another partition. `many`: more classes than are told apart."""
    held: dict[str, Held] = {name: Held() for name in ("old", "changed", "moved", "many")}

    def notify(camera: str, place: int, offset: int, label: str | None, at_ms: int, change: str = "matched") -> None:
        held[camera] = counted(held[camera], _outcome(label, at_ms, change), place, offset)

    for number in range(720):
        notify("old", 2, 10 * number, ("car", "bus", "van")[number % 3], START_MS + number * 3_600_000)
    for offset, (label, change) in enumerate(
        [("car", "matched"), ("car", "matched"), ("bus", "corrected"), (None, "withdrawn")]
    ):
        notify("changed", 0, offset, label, START_MS + offset * 1_000, change)
    notify("moved", 1, 500, "car", START_MS)
    notify("moved", 0, 3, "bus", START_MS + 60_000)
    for number in range(210):
        notify("many", 0, number, f"class {number}", START_MS)
    return [(name.encode(), packed(each)) for name, each in held.items()]


# -- rollout: races


def _rollout_core() -> Router[RolloutState]:
    """It finds in the register what it knows already."""
    return rollout_core(RolloutRules(), [event("B", "candidate")])


def _rollout_rows() -> list[Row]:
    """`vehicles`: B races against champion A, on two cameras and three classes, C waits, X was rejected. `bikes`: Q is
    champion on probation before P. `signs`: S is proved better and waits for a person. `plates`: V is canary on one
    camera. `trams`: no champion yet, one candidate."""
    rollout = Rollout(labels_min=30, approval=True)
    rollout.receive(event("R", "champion", model="signs"), event("S", "candidate", model="signs"))
    rollout.see(*[pair("R", "S", "S", number, model="signs") for number in range(40)])
    _under(rollout, labels_min=30, canary_cameras=("a",), canary_ms=10_000_000_000)
    rollout.receive(event("U", "champion", model="plates"), event("V", "candidate", model="plates"))
    rollout.see(*[pair("U", "V", "V", number, model="plates") for number in range(40)])
    _under(rollout)
    rollout.receive(event("A", "champion", decision_id="d", dataset_sha256="e" * 64))
    rollout.receive(event("X", "candidate"), event("X", "rejected"))
    rollout.receive(event("B", "candidate"), event("C", "candidate"))
    rollout.see(*[_pair("A", "B", ("A B", "B", "A", "A B", "")[number % 5], number) for number in range(30)])
    rollout.receive(event("P", "champion", model="bikes"), event("Q", "champion", model="bikes"))
    rollout.see(*[pair("Q", "P", "P Q", number, model="bikes") for number in range(12)])
    rollout.receive(event("T", "candidate", model="trams"))
    return compacted(rollout.partition.state_log)


def _under(rollout: Rollout, **rules: Any) -> None:
    """Start again with other rules of the operator."""
    rollout.rules = RolloutRules(**rules)
    rollout.crash()


def _rollout_afterwards() -> list[tuple[int, list[FakeMessage]]]:
    """The race of `vehicles` goes on to its end from where it stood; a pair of before is a repeat."""
    at_ms = START_MS + 10_000_000
    repeats = [FakeMessage("outcomes.paired", CODEC.encode(pair("A", "B", "A", 0)), 3)]
    pairs = [pair("A", "B", "B", 100 + number, camera="a", propensity=1.0) for number in range(600)]
    batches: list[tuple[int, list[FakeMessage]]] = [(at_ms, []), (at_ms + 20_000, []), (at_ms + 20_000, repeats)]
    messages = [FakeMessage("outcomes.paired", CODEC.encode(each), 1_000 + place) for place, each in enumerate(pairs)]
    return [*batches, (at_ms + 40_000, messages)]


def _pair(champion: str, shadow: str, right: str, number: int) -> PairedOutcome:
    """A frame of one of two cameras and three classes, labelled with one chance or another."""
    label = ("car", "van", "bus")[number % 3]
    predicted = [label if version in right.split() else "tractor" for version in (champion, shadow)]
    named = pair(champion, shadow, right, number, camera="ab"[number % 2], propensity=0.25 if number % 4 else 1.0)
    return replace(named, label=label, champion_predicted=predicted[0], shadow_predicted=predicted[1])


STORIES: Final = {
    "ingest": Story(_ingest_rows, _ingest_core, _ingest_afterwards),
    "ground_truth": Story(_ground_truth_rows, _ground_truth_core, _ground_truth_afterwards),
    "drift": Story(_drift_rows, _drift_core, _drift_afterwards),
    "incidents": Story(_incidents_rows, _incidents_core, _incidents_afterwards),
    "retrain_trigger": Story(_retrain_trigger_rows),
    "rollout": Story(_rollout_rows, _rollout_core, _rollout_afterwards),
    "vehicles": Story(_vehicles_rows, _vehicles_core, _vehicles_afterwards),
}
