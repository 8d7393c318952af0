"""An upgrade on a broker: services of an earlier commit are fed and stopped, today's go on, and topics tell the rest.

Cameras that drift watches live in a time of their own, with a frame a minute: what a start takes is no silence.
"""

import io
import json
import os
import re
import secrets
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec
import pytest
from confluent_kafka import Producer
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from catseye import clock
from catseye.client import subscribe
from catseye.contract.alert_kinds import cause_of
from catseye.contract.codec import schema_fingerprint
from catseye.contract.identity import partition_of
from catseye.contract.records import (
    Alert,
    DriftStatistic,
    Frame,
    Label,
    ModelEvent,
    Outcome,
    Prediction,
    Record,
    RetrainDecision,
    Stage,
)
from catseye.contract.topics import full_name
from catseye.kafka.admin import admin
from catseye.kafka.clients import client_config
from catseye.kafka.reading import read_to_end
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.processes import last_line
from infra.local.services import SERVICES, is_ready
from services.retrain_trigger.labels import Held, counted, newer, unpacked
from tests.chaos.tiny_model import tiny_model
from tests.contract.states.golden import rows_of
from tests.contract.test_states import GOLDEN
from tests.corpora.jpegs import encode, scene
from tests.simulation.cameras import START_MS, Camera, outcome
from tests.simulation.rollout import event, pair
from tests.system.running import ROOT

pytestmark = pytest.mark.broker

BEFORE: Final = "8d74d52154c1fe768de379b85918a0196f64e009"
"""The last commit whose states have no format number."""
PARTS: Final = ("road", "watch")
"""Topics of frames that come now, and of cameras in a time of their own."""
ROAD: Final = ("ingest", "inference", "ground_truth")
WATCH: Final = ("drift", "incidents", "rollout", "retrain_trigger")
VARIABLES: Final = {
    "CATSEYE_PARTITIONS": "1",
    "CATSEYE_DRIFT_REFERENCE_SAMPLES": "100",
    "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0",
    "CATSEYE_DRIFT_FLEET_CAMERAS": "4",
    "CATSEYE_DRIFT_FALSE_INCIDENTS_PER_WEEK": "1000",
    "CATSEYE_INCIDENTS_SETTLE_S": "1",
    "CATSEYE_INCIDENTS_RESOLVE_S": "0.5",
    "CATSEYE_ROLLOUT_LABELS_MIN": "60",
    "CATSEYE_RETRAIN_TRIGGER_CONFIRM_S": "0",
    "CATSEYE_RETRAIN_TRIGGER_LABELS": "20",
    "CATSEYE_RETRAIN_TRIGGER_LABELS_OF_CLASS": "5",
    "CATSEYE_RETRAIN_TRIGGER_LOOK_EVERY_S": "0.1",
}
PATIENCE_S: Final = 300.0
CHECK_EVERY_S: Final = 0.5
"""Each look reads topics from their start: the services need the processor."""
CAMERAS: Final = ("a", "b", "c", "d")
JPEGS: Final = [encode(scene(40, 50, seed=seed)) for seed in range(5)]


def eventually(done: Callable[[], bool], what: str) -> None:
    """Wait until *done*."""
    until = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < until, f"{what}: not within {PATIENCE_S:.0f} s"
        time.sleep(CHECK_EVERY_S)


@pytest.fixture(scope="module")
def environment() -> None:
    """The trigger's own Python environment."""
    made = ["bash", "-c", 'source "$0/infra/bootstrap.sh" && need_python retrain_trigger', str(ROOT)]
    subprocess.run(made, check=True, timeout=600)


@dataclass(frozen=True)
class Build:
    """One version of the source.

    Attributes:
        source: Its root.
        variables: Of the environment that its processes have.
    """

    source: Path
    variables: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """All of it, with nothing of whoever runs the tests."""
        foreign = ("CATSEYE_", "KAFKA_", "REDIS_", "SCHEMA_REGISTRY_", "PYTHON")
        own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        roots = os.pathsep.join((str(self.source / "shared"), str(self.source)))
        return own | {"PYTHONPATH": roots, "PYTHONSAFEPATH": "1"} | dict(self.variables)

    def catseye(self, *argv: str) -> None:
        """Run a `catseye` command."""
        command = [sys.executable, "-m", "catseye", *argv]
        done = subprocess.run(
            command, env=self.environment, cwd=self.source, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr

    def start(self, service: str, folder: Path) -> "Process":
        """Start one process of a service."""
        (command,) = [each.command for each in SERVICES if each.name == service]
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / f"{service}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(command, stdout=output, stderr=output, env=self.environment, cwd=self.source)
        return Process(service, child, log)

    def encoded(self, record: Record) -> bytes:
        """*record* as a program of this version writes it: with the fields that its schema has."""
        files = (self.source / "schemas").glob("*.avsc")
        texts = [json.loads(file.read_text()) for file in files]
        name = record.schema_name.removeprefix("catseye.")
        (schema,) = [fastavro.parse_schema(each, {}) for each in texts if each["name"] == name]
        assert isinstance(schema, dict)
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, msgspec.to_builtins(record, builtin_types=(bytes,)))
        return b"\xc3\x01" + schema_fingerprint(schema) + body.getvalue()


@dataclass(frozen=True)
class Process:
    """One that was started here.

    Attributes:
        service: Of which it is.
        child: Its handle.
        log: Its output.
    """

    service: str
    child: "subprocess.Popen[bytes]"
    log: Path

    @property
    def port(self) -> int:
        """Where it tells how it is; 0 while it does not yet."""
        reported = re.search(r'"port": (\d+), "event": "listening"', self.log.read_text())
        return int(reported[1]) if reported else 0

    def is_ready(self) -> bool:
        """Whether it works; fails the test when it has ended."""
        assert self.child.poll() is None, f"{self.service}: {last_line(self.log)}"
        return self.port > 0 and is_ready(self.port, self.child.pid)


@dataclass(frozen=True)
class Plane:
    """Topics of one prefix, and who writes there.

    Attributes:
        settings: With the prefix.
        build: Whose processes run, and whose clients write.
        folder: Data and logs.
        processes: What runs, by service.
    """

    settings: Settings
    build: Build
    folder: Path
    processes: dict[str, Process] = field(default_factory=dict)

    def write(self, topic: str, records: Sequence[Record], key: str = "") -> None:
        """Write *records* to a topic, those of a camera where it lives."""
        producer = Producer(client_config(self.settings) | {"enable.idempotence": True})
        for record in records:
            named = key or getattr(record, "camera", "")
            producer.produce(
                full_name(topic, self.settings.topic_prefix), self.build.encoded(record), named, partition_of(named, 1)
            )
        assert producer.flush(60) == 0

    def records(self, topic: str) -> list[Any]:
        """All that is on a topic."""
        return list(subscribe(topic, settings=self.settings, from_="beginning", until_end=True, timeout_s=60))

    def count(self, service: str, counted_event: str) -> int:
        """How often a service's process has counted an event."""
        process = self.processes[service]
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        found = [
            int(sample.value)
            for sample in samples
            if sample.name == "catseye_events_total" and sample.labels["event"] == counted_event
        ]
        return sum(found)

    def wait_for(self, service: str, counted_event: str, count: int) -> None:
        """Wait until a service's process has counted *count* of an event."""
        eventually(lambda: self.count(service, counted_event) >= count, f"{service} counts {count} {counted_event}")


@contextmanager
def running(services: Mapping[str, Plane]) -> Iterator[None]:
    """A process of each service, each on the topics of its plane; at the end they are asked to end, and do."""
    try:
        for service, plane in services.items():
            plane.processes[service] = plane.build.start(service, plane.folder)
        for service, plane in services.items():
            eventually(plane.processes[service].is_ready, f"{service} is ready")
        yield
        ended = {service: plane.processes[service].child for service, plane in services.items()}
        for child in ended.values():
            child.terminate()
        assert {service: child.wait(60) for service, child in ended.items()} == dict.fromkeys(services, 0)
    finally:
        for service, plane in services.items():
            if service in plane.processes:
                plane.processes[service].child.kill()
                plane.processes[service].child.wait()


def source_of(commit: str, folder: Path) -> Path:
    """The files of a commit."""
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", commit], capture_output=True, timeout=600, check=False
    )
    if packed.returncode != 0:
        pytest.fail(
            f"commit {commit} is not in this checkout, so no upgrade from it can be tried: get the whole history with "
            f"`git fetch --unshallow` ({packed.stderr.decode().strip()})"
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def frames(numbers: Sequence[int]) -> list[Frame]:
    """Frames of two cameras."""
    return [
        Frame(camera=camera, boot="b", sequence=number, captured_at_ms=clock.now_ms(), jpeg=JPEGS[number % 5])
        for number in numbers
        for camera in ("east", "west")
    ]


def labels(numbers: Sequence[int], text: str, at_ms: int) -> list[Label]:
    """A label of each of these frames of both cameras, made at one time."""
    return [
        Label(camera=camera, boot="b", sequence=number, label=text, labelled_at_ms=at_ms)
        for number in numbers
        for camera in ("east", "west")
    ]


def named(records: Sequence[Any]) -> list[tuple[str, int]]:
    """Which frames they are about."""
    return sorted((record.camera, record.sequence) for record in records)


def both(numbers: Sequence[int]) -> list[tuple[str, int]]:
    """The same of both cameras."""
    return [(camera, number) for camera in ("east", "west") for number in numbers]


class Fleet:
    """Cameras that drift watches: a frame of each a minute, and labels that come when all frames are there."""

    def __init__(self, base_ms: int) -> None:
        self._cameras = [Camera(name, seed=seed, fps=1 / 60) for seed, name in enumerate(CAMERAS)]
        self._labels: list[Outcome] = []
        for camera in self._cameras:
            camera.at_s = (base_ms - START_MS) / 1_000

    def live(self, plane: Plane, count: int, **changes: Mapping[str, Any]) -> int:
        """*count* frames of each; of some other pictures, or every second label wrong. Returns how many frames."""
        shots: list[Prediction] = []
        for number in range(count):
            for camera in self._cameras:
                its = dict(changes.get(camera.name, {}))
                wrong = its.pop("wrong", False) and number % 2
                shot = camera.shot(**its)
                shots.append(shot)
                self._labels.append(outcome(shot, "tractor" if wrong else camera.truth[shot.sequence]))
        plane.write("predictions", shots)
        return len(shots)

    def label(self, plane: Plane) -> None:
        """All labels that are due."""
        labels, self._labels = self._labels, []
        plane.write("outcomes", labels)


WRONG: Final = {"wrong": True}
BRIGHT: Final = {"brightness": 0.8}
BLACK: Final = {"brightness": 0.001, "contrast": 0.0, "sharpness": 0.0}


def alerts_of(plane: Plane, camera: str, cause: str = "drift") -> list[Alert]:
    """Records of the alerts of one cause on a camera, in order."""
    found: list[Alert] = plane.records("alerts")
    return [alert for alert in found if alert.camera == camera and cause_of(alert.kind) == cause]


def usual(plane: Plane) -> dict[tuple[str, str, str], tuple[str, float]]:
    """Name of the reference, and what is normal by the newest statistic of each camera, signal and phase; but for
    accuracy, which goes by labels that came later than the statistic."""
    found: list[DriftStatistic] = plane.records("statistics")
    return {
        (each.camera, each.signal, each.phase): (each.reference_name, each.reference)
        for each in found
        if not each.signal.startswith("accuracy")
    }


@dataclass(frozen=True)
class Upgraded:
    """What lies on the topics after an upgrade, and what was there before it.

    Attributes:
        road: Frames, predictions, labels.
        watch: Drift, alerts, models, decisions.
        usual: What was normal for drift.
        alerts: Records of alerts.
        decisions: Of the trigger.
        fleet: Cameras that are watched.
    """

    road: Plane
    watch: Plane
    usual: dict[tuple[str, str, str], tuple[str, float]]
    alerts: list[Alert]
    decisions: list[RetrainDecision]
    fleet: Fleet

    def opened(self, camera: str) -> list[Alert]:
        """Records before the upgrade of a camera's alert of drift."""
        return [alert for alert in self.alerts if alert.camera == camera and cause_of(alert.kind) == "drift"]


@pytest.fixture(scope="module")
def upgraded(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory, environment: None) -> Upgraded:
    """Frames, labels and all that is watched: before, while nothing ran, and after."""
    folder, prefix = tmp_path_factory.mktemp("upgrade"), f"upgrade-{secrets.token_hex(4)}."
    fleet, began_ms = Fleet(clock.now_ms() - 12 * 3_600_000), clock.now_ms()
    source = source_of(BEFORE, folder / "source")
    road, watch = (_plane(broker, folder, prefix, part, source) for part in PARTS)
    _live_before(road, watch, fleet, began_ms)
    usual_before, alerts, decisions = usual(watch), watch.records("alerts"), watch.records("retraining")
    road, watch = (_plane(broker, folder, prefix, part, ROOT) for part in PARTS)
    _live_after(road, watch, fleet, began_ms)
    return Upgraded(road, watch, usual_before, alerts, decisions, fleet)


def _plane(broker: KafkaCluster, folder: Path, prefix: str, part: str, source: Path) -> Plane:
    """Topics of a part, and the build that works on them; the topics that it knows are made."""
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers,
        data_dir=folder / "data",
        topic_prefix=f"{prefix}{part}.",
        partitions=1,
    )
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CATSEYE_DATA_DIR": str(folder / "data"),
        "CATSEYE_TOPIC_PREFIX": settings.topic_prefix,
    }
    build = Build(source, VARIABLES | own)
    build.catseye("topics", "create")
    return Plane(settings, build, folder / f"logs-{source.name}")


def _live_before(road: Plane, watch: Plane, fleet: Fleet, began_ms: int) -> None:
    """A model, frames, labels in time and early; cameras that are learned, of which two change; a race; a person who
    silences an alert; a training."""
    model = road.folder / "tiny.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(tiny_model(("bike", "car", "truck"), JPEGS[0]))
    road.build.catseye("models", "first", str(model))
    road.write("frames", frames(range(30)))
    road.write("labels", [*labels(range(10), "car", began_ms), *labels([40], "car", began_ms)])
    at_ms = began_ms - 24 * 3_600_000
    versions: tuple[tuple[str, Stage], ...] = (("v1", "champion"), ("v2", "candidate"))
    watch.write("models", [event(*each, model="m", at_ms=at_ms) for each in versions], "m")
    count = fleet.live(watch, 120) + fleet.live(watch, 60, b=WRONG, c=BRIGHT)
    with running({**dict.fromkeys(ROAD, road), **dict.fromkeys(WATCH, watch)}):
        watch.wait_for("drift", "frames_watched", count)
        fleet.label(watch)
        eventually(lambda: len(alerts_of(watch, "b")) > 0, "an alert of labels")
        eventually(lambda: len(alerts_of(watch, "c")) > 0, "an alert of pictures")
        silenced = alerts_of(watch, "c")[-1]
        text = f"Suppressed by ada until it resolves; reason: works || {silenced.explanation}"
        word = replace(silenced, state="suppressed", by="ada", revision=silenced.revision + 1, explanation=text)
        watch.write("alerts", [word], word.alert_id)
        watch.wait_for("incidents", "suppressed", 1)
        eventually(lambda: any(each.accepted for each in watch.records("retraining")), "a training is decided")
        eventually(lambda: any(each.stage == "shadow" for each in watch.records("models")), "a race begins")
        watch.write("outcomes.paired", [pair("v1", "v2", "v2", number, model="m") for number in range(30)], "m")
        watch.wait_for("rollout", "pair", 30)
        road.wait_for("inference", "predicted", 60)
        road.wait_for("ground_truth", "label_matched", 20)
        road.wait_for("ground_truth", "label_early", 2)


def _live_after(road: Plane, watch: Plane, fleet: Fleet, began_ms: int) -> None:
    """All frames again and new ones; labels for frames of before, some again, one corrected; the cameras that had
    changed change further, and another one does; the rest of the race. In the end one camera goes black."""
    road.write("frames", frames(range(45)))
    repeated = [*labels(range(5), "car", began_ms), *labels([5], "bike", began_ms + 1)]
    road.write("labels", [*labels(range(10, 20), "car", began_ms), *repeated])
    count = fleet.live(watch, 60, b=WRONG | BRIGHT, c=WRONG | BRIGHT, d=WRONG)
    with running({**dict.fromkeys(ROAD, road), **dict.fromkeys(WATCH, watch)}):
        watch.wait_for("drift", "frames_watched", count)
        fleet.label(watch)
        eventually(lambda: len(alerts_of(watch, "d")) > 0, "an alert of what began after the upgrade")
        fleet.live(watch, 20, a=BLACK, b=BRIGHT, c=BRIGHT)
        fleet.label(watch)
        eventually(lambda: len(alerts_of(watch, "a", "picture")) > 0, "the last that drift sees is told")
        new = alerts_of(watch, "d")[0].alert_id
        eventually(lambda: new in _answered(watch, "training_open"), "the trigger answers it")
        watch.write("outcomes.paired", [pair("v1", "v2", "v2", number, model="m") for number in range(30, 60)], "m")
        eventually(lambda: _promoted(watch) != [], "the race ends")
        eventually(lambda: len(road.records("predictions")) >= 90, "new frames are predicted")
        eventually(lambda: len(road.records("outcomes")) >= 44, "labels are joined")
        eventually(lambda: len(road.records("labels.unmatched")) >= 10, "labels that were said again end")
        eventually(lambda: _labels_counted(watch) == _labels_notified(watch), "labels are counted")


def test_each_frame_has_one_prediction(upgraded: Upgraded) -> None:
    """Also one that was sent again after the upgrade: what was seen is known."""
    accepted, predicted = (upgraded.road.records(topic) for topic in ("frames.accepted", "predictions"))
    assert named(accepted) == named(predicted) == both(range(45))


def test_labels_and_predictions_that_waited_are_joined(upgraded: Upgraded) -> None:
    """Each once, whichever came after the upgrade; a label that is said again is a repeat, another one a correction."""
    outcomes, unmatched = (upgraded.road.records(topic) for topic in ("outcomes", "labels.unmatched"))
    assert named([each for each in outcomes if each.change == "matched"]) == both([*range(20), 40])
    assert [(each.sequence, each.change) for each in outcomes if each.change != "matched"] == [(5, "corrected")] * 2
    assert (named(unmatched), {each.reason for each in unmatched}) == (both(range(5)), {"repeated"})
    ids = {(each.camera, each.sequence): each.prediction_id for each in upgraded.road.records("predictions")}
    assert all(each.prediction_id == ids[each.camera, each.sequence] for each in outcomes)


def test_what_is_normal_stays_so(upgraded: Upgraded) -> None:
    """Of every signal that there was before, by day and on every camera; nobody learns it anew."""
    after = usual(upgraded.watch)
    for key, (reference, mean) in upgraded.usual.items():
        assert after[key][0] == reference
        assert after[key][1] == pytest.approx(mean, rel=1e-5)
    statistics: list[DriftStatistic] = upgraded.watch.records("statistics")
    learning = [each for each in statistics if (each.camera, each.signal, each.phase) in upgraded.usual]
    learnt_ms = max(each.at_ms for each in learning if each.learning_left)
    assert learnt_ms < upgraded.opened("b")[0].opened_at_ms


def test_an_open_alert_goes_on(upgraded: Upgraded) -> None:
    """Under its id and with its next revision; each cause has one alert, and each record stands there once."""
    alerts: list[Alert] = upgraded.watch.records("alerts")
    revisions: dict[str, list[int]] = defaultdict(list)
    for alert in alerts:
        revisions[alert.alert_id].append(alert.revision)
    assert {alert_id: found for alert_id, found in revisions.items() if found != [*range(len(found))]} == {}
    for camera in ("b", "c", "d"):
        assert len({alert.alert_id for alert in alerts_of(upgraded.watch, camera)}) == 1
    before = upgraded.opened("b")
    went_on = alerts_of(upgraded.watch, "b")[len(before) :]
    assert {alert.state for alert in (*before[1:], *went_on)} == {"updated"}
    assert went_on[-1].kind == "input"


def test_an_alert_that_a_person_silenced_is_silent(upgraded: Upgraded) -> None:
    """Though more is wrong with its camera now."""
    assert upgraded.opened("c")[-1].state == "suppressed"
    assert alerts_of(upgraded.watch, "c") == upgraded.opened("c")


def test_a_race_counts_the_labels_of_before(upgraded: Upgraded) -> None:
    """It is won with all of them, once."""
    events: list[ModelEvent] = upgraded.watch.records("models")
    assert len({each.event_id for each in events}) == len(events)
    assert [each.metrics["pairs"] for each in _promoted(upgraded.watch)] == [60]


def test_a_training_is_still_the_only_one(upgraded: Upgraded) -> None:
    """What speaks for another is answered by it; labels are counted once."""
    decisions: list[RetrainDecision] = upgraded.watch.records("retraining")
    assert decisions[: len(upgraded.decisions)] == upgraded.decisions
    assert len({each.decision_id for each in decisions}) == len(decisions)
    assert [each.accepted for each in decisions].count(True) == 1
    assert _labels_counted(upgraded.watch) == _labels_notified(upgraded.watch)


def test_nothing_is_refused(upgraded: Upgraded) -> None:
    """What lay on the topics when the upgrade came is read."""
    assert [plane.records("dead-letters") for plane in (upgraded.road, upgraded.watch)] == [[], []]


def _promoted(plane: Plane) -> list[ModelEvent]:
    """Events by which the race was won."""
    found: list[ModelEvent] = plane.records("models")
    return [each for each in found if (each.version, each.stage, each.by) == ("v2", "champion", "rollout")]


def _answered(plane: Plane, because: str) -> set[str]:
    """Causes to which the trigger has said so."""
    return {cause for each in plane.records("retraining") if each.because == because for cause in each.causes}


def _labels_counted(plane: Plane) -> dict[str, Held]:
    """What the trigger knows of each camera's labels, by its state topic."""
    held: dict[str, Held] = {}
    for message in read_to_end(plane.settings, "retrain_trigger.state"):
        if (value := message.value()) is not None:
            camera = message.key().decode()
            held[camera] = newer(held.get(camera), unpacked(value))
    return held


def _labels_notified(plane: Plane) -> dict[str, Held]:
    """The same by the outcomes that are there."""
    held: dict[str, Held] = defaultdict(Held)
    messages = [*read_to_end(plane.settings, "outcomes")]
    for message, reported in zip(messages, plane.records("outcomes"), strict=True):
        held[reported.camera] = counted(held[reported.camera], reported, message.partition(), message.offset())
    return dict(held)


def test_states_that_are_lost_are_missed(upgraded: Upgraded) -> None:
    """The control: on the same topics, each check of a state fails once the state is gone. It comes last, since it
    leaves the topics so. What rollout and people decided stands on topics that are kept, and needs no state here."""
    checks: list[Callable[[Upgraded], None]] = [
        test_each_frame_has_one_prediction,
        test_labels_and_predictions_that_waited_are_joined,
        test_what_is_normal_stays_so,
        test_an_open_alert_goes_on,
        test_an_alert_that_a_person_silenced_is_silent,
        test_a_training_is_still_the_only_one,
    ]
    for check in checks:
        check(upgraded)
    road, watch = (
        Plane(each.settings, each.build, each.folder / "control") for each in (upgraded.road, upgraded.watch)
    )
    _live_without_states(road, watch, upgraded.fleet)
    missed = []
    for check in checks:
        try:
            check(upgraded)
        except AssertionError:
            missed.append(check)
    assert missed == checks


def _live_without_states(road: Plane, watch: Plane, fleet: Fleet) -> None:
    """All states are deleted; then the same frames and labels as ever, and cameras that change as they did."""
    for plane in (road, watch):
        client = admin(plane.settings)
        states = [name for name in client.list_topics(timeout=10).topics if name.endswith(".state")]
        for gone in client.delete_topics(
            [each for each in states if each.startswith(plane.settings.topic_prefix)]
        ).values():
            gone.result(30)
        plane.build.catseye("topics", "create")
    road.write("frames", frames(range(45)))
    labels_ms, outcomes = clock.now_ms(), len(road.records("outcomes"))
    road.write("labels", labels(range(10), "car", labels_ms))
    count = fleet.live(watch, 120) + fleet.live(watch, 60, b=WRONG, c=BRIGHT)
    alerts = {camera: len(alerts_of(watch, camera)) for camera in "bc"}
    with running({**dict.fromkeys(ROAD, road), **dict.fromkeys(WATCH, watch)}):
        road.wait_for("inference", "predicted", 90)
        eventually(lambda: len(road.records("outcomes")) > outcomes, "labels are joined again")
        watch.wait_for("drift", "frames_watched", count)
        fleet.label(watch)
        eventually(lambda: all(len(alerts_of(watch, each)) > alerts[each] for each in "bc"), "both are alerted again")
        eventually(lambda: len(_labels_counted(watch)) == len(CAMERAS), "the trigger counts anew")


def test_a_checkout_without_history_says_so(tmp_path: Path) -> None:
    """In a sentence with what to do, rather than passing without having tried anything."""
    with pytest.raises(pytest.fail.Exception, match=r"is not in this checkout, .*git fetch --unshallow"):
        source_of("0" * 40, tmp_path)


def test_a_state_from_the_future_ends_a_service(
    broker: KafkaCluster, prefix: str, tmp_path: Path, environment: None
) -> None:
    """With status 2, which no supervisor starts again, and a sentence; nothing is written."""
    services = sorted({service for number, service in GOLDEN if number > 0})
    variables = VARIABLES | {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CATSEYE_DATA_DIR": str(tmp_path),
        "CATSEYE_TOPIC_PREFIX": prefix,
    }
    build = Build(ROOT, variables)
    build.catseye("topics", "create")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for service in services:
        newest = max(number for number, each in GOLDEN if each == service)
        key, value = next((key, value) for key, value in rows_of(newest, service) if value[0] == newest)
        producer.produce(f"{prefix}{service}.state", b"\x1f" + value[1:], key, 0)
    assert producer.flush(30) == 0
    started = [build.start(service, tmp_path / "logs") for service in services]
    try:
        ended = {process.service: process.child.wait(PATIENCE_S) for process in started}
    finally:
        for process in started:
            process.child.kill()
            process.child.wait()
    assert ended == dict.fromkeys(services, 2)
    for process in started:
        lines = process.log.read_text()
        for part in (f"{process.service}.state: ", "format 31", "start that version again"):
            assert part in lines
