"""What is down, in a crash loop, or refuses a model is an alert within seconds, and is over by itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catseye.contract.records import Alert
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING_WATCHING
from tests.chaos.tiny_model import tiny_model
from tests.system.running import CROPS, ROOT, Running, catseye, running, wait_until

pytestmark = pytest.mark.broker

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
SERVICES = ("inference", "incidents", "rollout")
SETTINGS = {
    "CATSEYE_PARTITIONS": "2",
    "CATSEYE_HEARTBEAT_EVERY_S": "0.5",
    "CATSEYE_SERVICE_DOWN_S": "8",
    "CATSEYE_CRASH_LOOP_STARTS": "3",
    "CATSEYE_CRASH_LOOP_S": "60",
    "CATSEYE_INCIDENTS_RESOLVE_S": "0",
}


@pytest.fixture(scope="module")
def watched(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service, one that watches it, and who carries out what people want with models."""
    services = [service for service in PASSING_WATCHING if service.name in SERVICES]
    folder = tmp_path_factory.mktemp("down")
    with running(
        broker.bootstrap_servers, folder, "down-test.", services, model=MODEL.read_bytes(), variables=SETTINGS
    ) as it:
        yield it


def newest(it: Running, kind: str, service: str = "inference") -> Alert | None:
    """The last record of the alert of *kind* about *service*."""
    found = [alert for alert in it.records("alerts") if (alert.kind, alert.signal) == (kind, service)]
    return found[-1] if found else None


def is_(it: Running, kind: str, state: str, service: str = "inference") -> bool:
    """Whether that is the alert's state now."""
    alert = newest(it, kind, service)
    return alert is not None and alert.state == state


def answer(*argv: str) -> tuple[int, Any]:
    """Exit status of a command, and the object that it prints."""
    status, out, _ = catseye(*argv, "--json", "-")
    return status, json.loads(out)


def test_a_service_that_is_gone_is_told_and_is_over_when_it_is_back(watched: Running) -> None:
    """Killed where nobody starts it again; whoever asks is told the same at once, and what they say is to be done ends
    it."""
    supervisor = watched.stack.supervisor
    assert supervisor is not None
    assert answer("alerts", "list") == (0, {"alerts": [], "faults": []})
    supervisor.kill()
    watched.process("inference").kill()
    wait_until(lambda: is_(watched, "service_down", "opened"), "the alert")
    alert = newest(watched, "service_down")
    assert alert is not None
    assert "No sign of life from inference (inference-0 on" in alert.explanation
    assert "`infra/stack up`" in alert.explanation
    status, out, _ = catseye("alerts", "list")
    assert status == 0
    assert "service_down" in out
    assert "nothing is wrong" not in out
    (fault,) = answer("doctor", "--timeout", "1")[1]["faults"]
    assert (fault["service"], fault["kind"]) == ("inference", "service_down")
    status, out, _ = catseye("doctor", "--timeout", "1")
    assert status == 1
    assert "No sign of life from inference" in out
    watched.stack.up()
    wait_until(lambda: is_(watched, "service_down", "resolved"), "the end of the alert")


def test_a_model_that_is_refused_is_told_until_it_is_taken_back(watched: Running, tmp_path: Path) -> None:
    """Its file in the store is not what was signed. The alert, `models list` and `doctor` have the reason, and what
    they say is to be done ends it."""
    file = tmp_path / "second.onnx"
    file.write_bytes(tiny_model(("car", "bus"), next((CROPS / "car").glob("*.jpg")).read_bytes()))
    registered = answer("models", "register", str(file), "--wait", "30")[1]
    version, sha256 = registered["version"], registered["sha256"]
    (watched.settings.data_dir / "artifacts" / sha256[:2] / sha256).write_bytes(b"another")
    assert answer("models", "promote", version, "--wait", "30")[0] == 0
    wait_until(lambda: is_(watched, "model_refused", "opened"), "the alert")
    alert = newest(watched, "model_refused")
    assert alert is not None
    assert (alert.model, alert.version) == (registered["model"], version)
    assert "`catseye models rollback` where it is the champion" in alert.explanation
    refused = {row["version"]: row["refused"] for row in answer("models", "list")[1]["models"]}
    assert refused.pop(version).startswith("inference refuses it: ")
    assert set(refused.values()) == {""}
    assert "inference refuses it: " in catseye("models", "list")[1]
    status, out, _ = catseye("doctor", "--timeout", "1")
    assert status == 1
    assert f"inference: {registered['model']} {version}: " in out
    assert answer("models", "rollback", "--wait", "30")[0] == 0
    wait_until(lambda: is_(watched, "model_refused", "resolved"), "the end of the alert")


def test_a_crash_loop_is_told_though_the_service_is_never_gone_for_long(watched: Running) -> None:
    """Killed after each start; its supervisor goes on to start it, until it stays."""

    def there() -> int:
        """The process whose heartbeat is the newest of rollout's."""
        pids: list[int] = [beat.pid for beat in watched.records("heartbeats") if beat.service == "rollout"]
        return pids[-1]

    def explanations() -> list[str]:
        alerts: list[Alert] = watched.records("alerts")
        return [each.explanation for each in alerts if (each.kind, each.signal) == ("service_down", "rollout")]

    def told() -> bool:
        """Kill it once more; on a busy machine starts may lie too far apart for a loop at first."""
        before = there()
        watched.process("rollout").kill()
        wait_until(lambda: there() != before, "the next start")
        return any("rollout-0 on" in each and "is in a crash loop" in each for each in explanations())

    wait_until(told, "the alert")
    wait_until(lambda: is_(watched, "service_down", "resolved", service="rollout"), "the end of the alert")


def test_incidents_itself_is_missed_by_who_asks(watched: Running, tmp_path: Path) -> None:
    """Nobody writes alerts then: a list without any must not read as if all were well."""
    supervisor = watched.stack.supervisor
    assert supervisor is not None
    supervisor.pause()
    try:
        watched.process("incidents").kill()
        wait_until(lambda: "No sign of life from incidents" in catseye("alerts", "list")[1], "the list says so")
        assert "nothing is wrong" not in catseye("alerts", "list")[1]
    finally:
        supervisor.resume()
    wait_until(lambda: catseye("alerts", "list")[1] == "nothing is wrong: no alert is open\n", "all is well")
