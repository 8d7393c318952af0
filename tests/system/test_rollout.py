"""Rollout on a real broker: each step once, through kill -9 at every stage and with a person's word in between."""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from catseye.cli import main
from catseye.contract.codec import Codec
from catseye.contract.records import ModelCommand, ModelEvent, PairedOutcome
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.simulation.rollout import MODEL, event, pair, registering
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

CODEC = Codec()


@pytest.fixture
def service(broker: KafkaCluster, prefix: str, tmp_path: Path) -> Iterator[Running]:
    """Rollout alone, with topics of its own; cameras have more partitions than its topics."""
    variables = {"CATSEYE_PARTITIONS": "3", "CATSEYE_ROLLOUT_LABELS_MIN": "20"}
    with running(broker.bootstrap_servers, tmp_path, prefix, [Service("rollout", 0)], variables=variables) as found:
        yield found


def state(service: Running, topic: str, *records: ModelCommand | PairedOutcome) -> None:
    """As trainer and ground truth do."""
    producer = Producer({"bootstrap.servers": service.settings.kafka_bootstrap_servers, "enable.idempotence": True})
    for each in records:
        producer.produce(f"{service.settings.topic_prefix}{topic}", CODEC.encode(each), each.model.encode(), 0)
    assert producer.flush(30) == 0


def steps(service: Running) -> list[tuple[str, str, str]]:
    """Version, stage and code of all that rollout wrote."""
    events: list[ModelEvent] = service.records("models")
    assert len({each.event_id for each in events}) == len(events)
    return [(each.version, each.stage, each.because.partition(":")[0]) for each in events if each.command_id is None]


def killed(service: Running) -> None:
    """Kill it and wait for the next process."""
    before = service.starts()["rollout-0"]
    os.kill(service.process("rollout").pid, signal.SIGKILL)
    wait_until(lambda: service.starts()["rollout-0"] == before + 1, "a new process")
    wait_until(lambda: bool(service.stack.status()["ready"]), "it is ready")


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """The object that `catseye models` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["models", *argv, "--json", "-"])
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


def test_each_step_is_taken_once_through_crashes_and_a_person_is_received(
    service: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared, killed, half of the labels, killed, promoted; rolled back by a person; promoted by force, and rolled
    back by evidence; read again from the start, nothing."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    handed_in = [event("aaaa", "champion"), event("bbbb", "candidate", decision_id="d")]
    state(service, "model.commands", *map(registering, handed_in))
    expected = [("bbbb", "shadow", "compared")]
    wait_until(lambda: steps(service) == expected, "a comparison")
    killed(service)
    state(service, "outcomes.paired", *[pair("aaaa", "bbbb", "bbbb", number) for number in range(10)])
    wait_until(lambda: service.counted("rollout").get("pair") == 10, "half of the labels are counted")
    killed(service)
    state(service, "outcomes.paired", *[pair("aaaa", "bbbb", "bbbb", number) for number in range(10, 20)])
    expected += [("bbbb", "champion", "better"), ("aaaa", "shadow", "probation")]
    wait_until(lambda: steps(service) == expected, "a promotion and its probation")
    killed(service)
    listed = command(capsys, "list")["models"]
    assert [(each["version"], each["stage"]) for each in listed] == [("aaaa", "shadow"), ("bbbb", "champion")]
    assert listed[1]["metrics"]["pairs"] == 20
    reported = command(capsys, "rollback", "--because", "it rains")["models"]
    assert [(each["version"], each["stage"], each["by"]) for each in reported] == [
        ("aaaa", "champion", "ada"),
        ("bbbb", "rejected", "ada"),
    ]
    assert command(capsys, "promote", "bbbb")["models"][0]["stage"] == "champion"
    expected += [("aaaa", "shadow", "probation")]
    wait_until(lambda: steps(service) == expected, "another probation")
    state(service, "outcomes.paired", *[pair("bbbb", "aaaa", "aaaa", number) for number in range(7)])
    expected += [("aaaa", "champion", "rollback_worse"), ("bbbb", "rejected", "worse")]
    wait_until(lambda: steps(service) == expected, "a rollback by evidence")
    last: ModelEvent = service.records("models")[-1]
    assert (last.model, last.decision_id, last.metrics["pairs"], last.metrics["losses"]) == (MODEL, "d", 7, 7)
    # All is asked for and counted once more: nothing comes of it. What cannot be done is a dead letter.
    state(service, "model.commands", *map(registering, handed_in), registering(event("", "candidate")))
    wait_until(lambda: service.counted("rollout").get("command_repeated") == 2, "they were carried out before")
    wait_until(lambda: service.counted("rollout").get("dead_command_refused") == 1, "a refusal")
    killed(service)
    state(service, "outcomes.paired", *[pair("aaaa", "bbbb", "bbbb", number) for number in range(30)])
    wait_until(lambda: service.counted("rollout").get("pair_of_no_comparison") == 30, "labels of nothing")
    assert steps(service) == expected
    by_command = [(each.version, each.stage, each.by) for each in service.records("models") if each.command_id]
    assert by_command == [
        ("aaaa", "champion", "person"),
        ("bbbb", "candidate", "person"),
        ("aaaa", "champion", "ada"),
        ("bbbb", "rejected", "ada"),
        ("bbbb", "champion", "ada"),
    ]


def test_commands_lists_and_rollout_agree_on_the_champion_of_several_names(
    service: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """One is listed as champion; one that it replaced is promoted, and a rollback goes back to the other name."""
    vehicles, signs = event("aaaa", "champion"), event("ssss", "champion", model="signs")
    for each in (vehicles, signs):
        state(service, "model.commands", registering(each))
        wait_until(partial(_is_last, service, each.version), "it is champion")

    def champions() -> list[str]:
        return [each["version"] for each in command(capsys, "list")["models"] if each["stage"] == "champion"]

    assert champions() == ["ssss"]
    assert command(capsys, "promote", "aaaa")["models"][0]["stage"] == "champion"
    assert champions() == ["aaaa"]
    came = [(each["model"], each["version"], each["stage"]) for each in command(capsys, "rollback")["models"]]
    assert came == [("signs", "ssss", "champion"), (MODEL, "aaaa", "rejected")]
    assert champions() == ["ssss"]


def _is_last(service: Running, version: str) -> bool:
    last: list[ModelEvent] = service.records("models")[-1:]
    return [each.version for each in last] == [version]
