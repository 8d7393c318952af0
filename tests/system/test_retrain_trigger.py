"""The retrain trigger on a broker: one yes for an alert with enough labels, whoever is killed, whatever is repeated."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import partition_of
from catseye.contract.records import Alert, Outcome, Record, RetrainDecision
from catseye.contract.topics import full_name
from catseye.kafka.clients import client_config
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.processes import Process
from infra.local.services import SERVICES
from tests.system.running import ROOT, Running, running, wait_until
from tests.unit.test_retrain_trigger import alert, event, outcome, request

pytestmark = pytest.mark.broker

TRIGGER = [service for service in SERVICES if service.name == "retrain_trigger"]
CODEC = Codec()
CAMERAS = ("a", "b", "f", "h")
PARTITIONS = 3
LABELS = 30
SETTINGS = {
    "CATSEYE_PARTITIONS": str(PARTITIONS),
    "CATSEYE_RETRAIN_TRIGGER_CONFIRM_S": "0",
    "CATSEYE_RETRAIN_TRIGGER_LABELS": str(LABELS),
    "CATSEYE_RETRAIN_TRIGGER_LABELS_OF_CLASS": "5",
    "CATSEYE_RETRAIN_TRIGGER_LOOK_EVERY_S": "0.1",
}
COUNTED_S = 300.0
"""Faust takes partitions over from an instance that was killed, and its changelog back, in up to a minute."""
CHECKS_S = 1.0
"""Long enough for some looks: what has not been said by then is not going to be."""


@pytest.fixture(scope="module")
def environment() -> None:
    """The trigger's own Python environment."""
    made = ["bash", "-c", 'source "$0/infra/bootstrap.sh" && need_python retrain_trigger', str(ROOT)]
    subprocess.run(made, check=True, timeout=600)


class Fleet:
    """A trigger with a champion, and what others write on its topics."""

    def __init__(self, running_: Running) -> None:
        self.running = running_
        self.settings: Settings = running_.settings
        self.now_ms = clock.now_ms()
        self.published: Counter[str] = Counter()
        self._sequence = 0
        self._producer = Producer(client_config(self.settings))

    def write(self, topic: str, records: Sequence[Record], producer: Producer | None = None) -> None:
        """Write *records* where they belong."""
        producer = producer or self._producer
        faults: list[object] = []
        for record in records:
            key, partition = "vehicles", 0
            if isinstance(record, Outcome):
                key, partition = record.camera, partition_of(record.camera, PARTITIONS)
            elif isinstance(record, Alert):
                key = record.alert_id
            producer.produce(
                full_name(topic, self.settings.topic_prefix),
                CODEC.encode(record),
                key,
                partition,
                on_delivery=lambda fault, _: faults.append(fault) if fault else None,
            )
        assert producer.flush(30) == 0
        assert faults == []

    def drift(self, camera: str = "a", **changes: object) -> Alert:
        """An alert that has been open for a minute, of a change ten minutes ago."""
        times = {"since_ms": self.now_ms - 600_000, "opened_at_ms": self.now_ms - 60_000}
        return replace(alert(camera), **(times | changes))

    def label(self, count: int, camera: str = "a") -> list[Outcome]:
        """Write *count* labels for frames of the last minute, one in three a bus."""
        made = []
        for number in range(count):
            self._sequence += 1
            label = "bus" if number % 3 == 0 else "car"
            at_ms = self.now_ms - 60_000 + self._sequence
            made.append(replace(outcome(label, at_ms), camera=camera, sequence=self._sequence))
            self.published[label] += 1
        self.write("outcomes", made)
        return made

    def decisions(self) -> list[RetrainDecision]:
        """What the trigger has said."""
        reported: list[RetrainDecision] = self.running.records("retraining")
        return [decision for decision in reported if decision.by == "retrain_trigger"]

    def reported(self) -> list[str]:
        """Its codes, yes or no."""
        return [decision.because for decision in self.decisions()]

    def wait_for(self, *codes: str) -> None:
        """Wait until the trigger has said *codes*, and nothing else."""
        wait_until(lambda: len(self.reported()) >= len(codes), f"the trigger says {codes}, not {self.reported()}")
        time.sleep(CHECKS_S)
        assert Counter(self.reported()) == Counter(codes)
        ids = [decision.decision_id for decision in self.decisions()]
        assert len(ids) == len(set(ids))

    def ask(self) -> RetrainDecision:
        """Ask as a person, and return the answer, which has all labels that were counted."""
        asked = request(clock.now_ms())
        self.write("training.requests", [asked])
        answers: list[RetrainDecision] = []

        def answered() -> bool:
            answers[:] = [decision for decision in self.decisions() if asked.request_id in decision.causes]
            return bool(answers)

        wait_until(answered, "the trigger answers")
        return answers[0]

    def wait_for_count(self) -> None:
        """Wait until all labels are counted, each once; a training runs, so that asking starts none."""
        last: dict[str, int] = {}

        def counted() -> bool:
            answer = self.ask()
            assert not answer.accepted
            last.update(answer.fresh_labels)
            return last == dict(self.published)

        try:
            wait_until(counted, f"{dict(self.published)} are counted", COUNTED_S)
        except AssertionError as fault:
            raise AssertionError(f"{fault}; the last count was {last}") from fault
        time.sleep(CHECKS_S)
        assert self.ask().fresh_labels == dict(self.published)

    def trigger(self, instance: int = 0) -> Process:
        """The process of one instance, once it runs."""
        found: list[Process] = []

        def runs() -> bool:
            processes = {process.name: process for process in self.running.stack.processes("retrain_trigger")}
            found[:] = [process for name, process in processes.items() if name == f"retrain_trigger-{instance}"]
            return bool(found)

        wait_until(runs, f"instance {instance} runs")
        return found[0]

    def leader(self) -> int:
        """Which instance decides: the one that took over last."""
        logs = Path(self.settings.data_dir) / "logs"
        took = {
            line.split('"timestamp": ')[1]: int(path.stem.rpartition("-")[2])
            for path in logs.glob("retrain_trigger-*.log")
            for line in path.read_text().splitlines()
            if '"took_over"' in line
        }
        return took[max(took)]


@pytest.fixture
def fleet(broker: KafkaCluster, tmp_path: Path, prefix: str, environment: None) -> Iterator[Fleet]:
    """A trigger that runs; its model has been champion for a day."""
    with running(broker.bootstrap_servers, tmp_path, prefix, TRIGGER, variables=SETTINGS) as running_:
        made = Fleet(running_)
        made.write("models", [event("v1", "champion", made.now_ms - 86_400_000)])
        yield made


def test_an_alert_leads_to_one_training_once_there_are_labels(fleet: Fleet) -> None:
    """First no, with the numbers, then yes; and no more than that, whatever else is said of the alert."""
    fleet.write("alerts", [fleet.drift()])
    fleet.wait_for("too_few_labels")
    fleet.label(LABELS - 1)
    fleet.label(LABELS, "b")
    time.sleep(CHECKS_S)
    assert fleet.reported() == ["too_few_labels"]
    fleet.label(1)
    fleet.wait_for("too_few_labels", "drift")
    decision = fleet.decisions()[-1]
    assert (decision.accepted, decision.base_version, decision.causes) == (True, "v1", [alert().alert_id])
    assert decision.fresh_labels == {"bus": LABELS // 3 + 1, "car": LABELS - LABELS // 3 - 1}
    fleet.write("alerts", [fleet.drift(state="updated", revision=1), fleet.drift(state="resolved", revision=2)])
    time.sleep(CHECKS_S)
    assert fleet.reported() == ["too_few_labels", "drift"]


def test_a_camera_fault_starts_no_training(fleet: Fleet) -> None:
    """However many labels there are."""
    fleet.label(3 * LABELS)
    fleet.write("alerts", [fleet.drift(kind="camera_frozen"), fleet.drift("b", kind="camera_silent")])
    wait_until(lambda: sum(len(decision.causes) for decision in fleet.decisions()) == 2, "both alerts have a no")
    time.sleep(CHECKS_S)
    assert {(decision.accepted, decision.because) for decision in fleet.decisions()} == {(False, "camera_fault")}


def test_kill_9_and_a_replay_of_everything_repeat_nothing(fleet: Fleet) -> None:
    """Killed while it counts and while it decides; then all alerts are written once more."""
    alerts = [fleet.drift(camera) for camera in CAMERAS]
    for number, opened in enumerate(alerts):
        fleet.label(10, CAMERAS[number])
        fleet.write("alerts", [opened])
        fleet.label(10, CAMERAS[number])
        fleet.trigger().kill()
    wait_until(lambda: "drift" in fleet.reported(), "a training starts")
    fleet.wait_for_count()
    reported = fleet.decisions()
    assert [decision.because for decision in reported if decision.accepted] == ["drift"]
    fleet.write("alerts", alerts)
    fleet.trigger().kill()
    fleet.write("alerts", [*alerts, *[replace(each, state="resolved", revision=1) for each in alerts], *alerts])
    fleet.wait_for_count()
    ids = [decision.decision_id for decision in fleet.decisions()]
    assert len(ids) == len(set(ids))
    assert [decision for decision in fleet.decisions() if decision.accepted] == [
        decision for decision in reported if decision.accepted
    ]
    assert {decision.because for decision in fleet.decisions()[len(reported) :]} == {"training_open"}


def test_what_was_taken_back_is_not_acted_on(fleet: Fleet) -> None:
    """Alerts and labels of a transaction that was aborted are never seen, nor before it ends."""
    fleet.label(LABELS)
    writer = Producer(client_config(fleet.settings) | {"transactional.id": fleet.settings.topic_prefix + "other"})
    writer.init_transactions(30)
    writer.begin_transaction()
    fleet.write("alerts", [fleet.drift()], writer)
    fleet.write("outcomes", [replace(outcome("car", fleet.now_ms), camera="a", sequence=9_999)], writer)
    time.sleep(CHECKS_S)
    assert fleet.reported() == []
    writer.abort_transaction(30)
    fleet.write("alerts", [fleet.drift("b", kind="camera_frozen")])
    fleet.wait_for("camera_fault")
    fleet.write("alerts", [fleet.drift()])
    fleet.wait_for("camera_fault", "drift")
    assert fleet.decisions()[-1].fresh_labels == dict(fleet.published)


def test_two_instances_decide_once(fleet: Fleet) -> None:
    """Each counts its share; one decides on all; when it is killed the other one goes on where it was."""
    fleet.running.stack.up(workers={"retrain_trigger": 2})
    for camera in CAMERAS:
        fleet.label(LABELS, camera)
    fleet.write("alerts", [fleet.drift(camera) for camera in CAMERAS])
    wait_until(lambda: "drift" in fleet.reported(), "a training starts")
    fleet.trigger(fleet.leader()).kill()
    for camera in CAMERAS:
        fleet.label(LABELS, camera)
    fleet.wait_for_count()
    accepted = [decision for decision in fleet.decisions() if decision.accepted]
    ids = [decision.decision_id for decision in fleet.decisions()]
    assert len(accepted) == 1
    assert len(ids) == len(set(ids))


def test_a_leader_that_was_paused_writes_nothing_when_it_wakes(fleet: Fleet) -> None:
    """Stopped past its session with an alert before it; the other one decides; the first is fenced off."""
    fleet.running.stack.up(workers={"retrain_trigger": 2})
    paused = fleet.leader()
    fleet.trigger(paused).pause()
    fleet.label(LABELS)
    fleet.write("alerts", [fleet.drift()])
    wait_until(lambda: "drift" in fleet.reported(), "the other one decides")
    assert fleet.leader() != paused
    fleet.trigger(paused).resume()
    fleet.label(LABELS)
    fleet.wait_for_count()
    assert [decision.because for decision in fleet.decisions() if decision.accepted] == ["drift"]


@pytest.mark.usefixtures("environment")
def test_what_faust_alone_would_lose_is_kept() -> None:
    """An offset is committed once its counts are written, and not at all when that failed; Faust alone leaves out the
    change that is on its way. And what was queued since a rebalance is still there when its flow is resumed once more;
    Faust alone drops it."""
    (service,) = TRIGGER
    done = subprocess.run(
        [service.argv[0], str(ROOT / "tests" / "system" / "faust_alone.py")],
        env={"PATH": "", "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    alone, ours, changes, after_a_failure, left_alone, left = map(int, done.stdout.split())
    assert alone < ours == changes
    assert after_a_failure == 0
    assert left_alone == 0
    assert left == changes


def test_topics_that_are_missing_are_named(
    broker: KafkaCluster, tmp_path: Path, prefix: str, environment: None
) -> None:
    """It refuses to start, with the command that helps."""
    (service,) = TRIGGER
    variables = {
        "PATH": "",
        "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}",
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "CATSEYE_TOPIC_PREFIX": prefix,
    }
    ended = subprocess.run(
        service.command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 2
    assert "`catseye topics create` makes it" in ended.stdout
