"""Incidents on a real broker: each alert has one lifecycle, through kill -9 and with commands in between."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from msgspec.structs import replace

from catseye.cli import main
from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import Alert, AlertCommand, CameraReport
from catseye.kafka.producing import produce
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.simulation.incidents import alarm, report, rolled_back, silenced, version_2
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

CODEC = Codec()
LATER_S = 1_000


@pytest.fixture
def service(broker: KafkaCluster, prefix: str, tmp_path: Path) -> Iterator[Running]:
    """Incidents alone, with topics of its own; cameras have more partitions than its topics."""
    variables = {"CATSEYE_PARTITIONS": "3"}
    with running(broker.bootstrap_servers, tmp_path, prefix, [Service("incidents", 0)], variables=variables) as found:
        yield found


def report_to(service: Running, *reports: CameraReport) -> None:
    """As drift does."""
    producer = Producer({"bootstrap.servers": service.settings.kafka_bootstrap_servers, "enable.idempotence": True})
    for each in reports:
        topic = f"{service.settings.topic_prefix}drift.reports"
        producer.produce(topic, CODEC.encode(each), each.camera.encode(), 0)
    assert producer.flush(30) == 0


def ask(service: Running, *commands: AlertCommand) -> None:
    """As people do."""
    produce(service.settings, CODEC, "alert.commands", *commands)


def alerts(service: Running) -> list[Alert]:
    """All that is on the topic."""
    return service.records("alerts")


def states(service: Running) -> list[tuple[str | None, str, int, str]]:
    """Camera, state, revision and author of each."""
    return [(alert.camera, alert.state, alert.revision, alert.by) for alert in alerts(service)]


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> Any:
    """The object that `catseye alerts` prints."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["alerts", *argv, "--json", "-"])
    assert not ended.value.code
    return json.loads(capsys.readouterr().out)


def test_alerts_live_once_through_a_crash_and_commands_are_answered(
    service: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened at once, killed, nothing written again; suppressed by a person, then quiet until it is over."""
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    frozen = alarm("camera_frozen", 0)
    report_to(service, report("a", 0, frozen), report("b", 0, frozen))
    wait_until(lambda: len(alerts(service)) >= 2, "two alerts and the first one's cameras")
    report_to(service, report("a", 5, frozen), report("c", 5))
    wait_until(lambda: len(alerts(service)) >= 3, "the first one names both cameras")
    first, second, named = alerts(service)
    assert (first.incident_id, second.incident_id, named.cameras) == (first.alert_id, first.alert_id, ["a", "b"])
    # Killed and started again: it knows all from its own log, and reports that come again say nothing new.
    os.kill(service.process("incidents").pid, signal.SIGKILL)
    wait_until(lambda: service.starts()["incidents-0"] == 2, "a new process")
    wait_until(lambda: bool(service.stack.status()["ready"]), "it is ready")
    report_to(service, report("a", 5, frozen), report("b", 0, frozen), report("c", 6))
    assert [each["alert_id"] for each in command(capsys, "list")["alerts"]] == sorted([first.alert_id, second.alert_id])
    asked = command(capsys, "suppress", second.alert_id[:8], "--reason", "road works")
    assert (asked["state"], asked["revision"], asked["suppressed_by"]) == ("suppressed", 1, "ada")
    assert (asked["suppressed_because"], asked["suppressed_until_ms"]) == ("road works", None)
    seen = command(capsys, "acknowledge", first.alert_id)
    assert (seen["state"], seen["revision"], seen["acknowledged_by"]) == ("acknowledged", 2, "ada")
    assert service.counted("incidents").get("command_acknowledge") == 1
    # Another fault of both cameras changes the kind: the one that was suppressed keeps quiet.
    black = alarm("camera_black", LATER_S)
    report_to(service, report("a", LATER_S, frozen, black), report("b", LATER_S, frozen, black))
    report_to(service, report("a", LATER_S + 10), report("b", LATER_S + 10), report("c", LATER_S + 40))
    wait_until(lambda: [state for _, state, *_ in states(service)].count("resolved") == 2, "both end")
    assert states(service) == [
        ("a", "opened", 0, "incidents"),
        ("b", "opened", 0, "incidents"),
        ("a", "updated", 1, "incidents"),
        ("b", "suppressed", 1, "incidents"),
        ("a", "acknowledged", 2, "incidents"),
        ("a", "updated", 3, "incidents"),
        ("a", "resolved", 4, "incidents"),
        ("b", "resolved", 2, "incidents"),
    ]
    assert command(capsys, "list") == {"alerts": [], "faults": []}
    assert len(command(capsys, "list", "--all", "--camera", "b")["alerts"]) == 1


def test_a_command_that_crosses_a_record_is_answered_once(service: Running) -> None:
    """Somebody asks who read an old record: the answer has what holds and what was asked, and says so once."""
    report_to(service, report("a", 0, alarm("camera_frozen", 0)))
    wait_until(lambda: len(alerts(service)) == 1, "an alert")
    (alert,) = alerts(service)
    asked = silenced(alert, reason="Quiet, please.")
    ask(service, asked, asked)
    wait_until(lambda: len(alerts(service)) == 2, "what holds")
    held = alerts(service)[-1]
    assert (held.state, held.revision, held.by, held.suppressed_because) == (
        "suppressed",
        1,
        "incidents",
        "Quiet, please.",
    )
    assert (held.suppressed_by, held.command_id) == ("ada", asked.command_id)
    # What nobody knows is refused, with a sentence for whoever asked.
    ask(service, replace(asked, alert_id="0" * 32))
    wait_until(lambda: len(service.records("dead-letters")) == 1, "a dead letter")
    (letter,) = service.records("dead-letters")
    assert (letter.reason, letter.topic) == ("command_refused", f"{service.settings.topic_prefix}alert.commands")
    assert len(alerts(service)) == 2, "what came before it was answered once"


def test_a_record_of_a_person_from_before_commands_is_still_read(
    service: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stands on the topic in version 2 of its schema; the list shows it, and a command holds over it."""
    report_to(service, report("a", 0, alarm("camera_frozen", 0)))
    wait_until(lambda: len(alerts(service)) == 1, "an alert")
    (alert,) = alerts(service)
    prose = f"Suppressed by ada until it resolves || {alert.explanation}"
    old = replace(alert, state="suppressed", by="ada", revision=1, explanation=prose)
    producer = Producer({"bootstrap.servers": service.settings.kafka_bootstrap_servers})
    topic = f"{service.settings.topic_prefix}alerts"
    producer.produce(topic, version_2(old), alert.alert_id.encode(), 0)
    assert producer.flush(30) == 0
    (listed,) = command(capsys, "list")["alerts"]
    assert (listed["state"], listed["suppressed_by"], listed["explanation"]) == ("suppressed", None, prose)
    back = command(capsys, "unsuppress", alert.alert_id)
    assert (back["state"], back["explanation"]) == ("updated", alert.explanation)


def test_a_rollback_is_reported_by_incidents(service: Running) -> None:
    """Rollout's event leads to an alert that is over at once; an event of earlier builds leads to none."""
    event = rolled_back()
    produce(service.settings, CODEC, "models", replace(event, event_id="0" * 32, metrics={}), event)
    wait_until(lambda: len(alerts(service)) == 2, "opened and resolved")
    assert [(each.alert_id, each.kind, each.state) for each in alerts(service)] == [
        (digest("alert", "rollout", event.event_id), "model_version", state) for state in ("opened", "resolved")
    ]
