"""A service that stands for longer than a silence takes: cameras that publish all the while are not silent."""

import os
import re
import signal
import time
from collections.abc import Iterator

import pytest

from catseye.contract.records import Alert
from infra.benches.stalls import MODEL, SERVICES, Load, alerts_of, stopped
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from infra.local.stack_commands import describe
from tests.system.running import Running, running, wait_until

pytestmark = pytest.mark.broker

SETTINGS = {
    "CATSEYE_PARTITIONS": "2",
    "CATSEYE_INCIDENTS_STALLED_S": "4",
    "CATSEYE_INCIDENTS_RESOLVE_S": "0",
    "CATSEYE_TRANSACTION_INTERVAL_MS": "200",
}
KNOWN_S = 6.0  # frames of so long make a camera known
STANDS_S = 20.0  # longer than the grace of a silence, and five pauses of a camera
PATIENCE_S = 300.0  # what has waited is worked off meanwhile, beside whatever else the machine does


@pytest.fixture(scope="module")
def it(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Services that predict, join and watch, and three cameras that publish."""
    services = [service for service in PASSING if service.name in SERVICES]
    folder, model = tmp_path_factory.mktemp("stalls"), MODEL.read_bytes()
    with (
        running(broker.bootstrap_servers, folder, "stalls-test.", services, model=model, variables=SETTINGS) as found,
        Load(found.settings, ["a", "b", "c"], fps=5),
    ):
        # What was never seen to work is not known to stand.
        wait_until(lambda: {each.camera for each in found.records("outcomes")} == {"a", "b", "c"}, "outcomes of each")
        time.sleep(KNOWN_S)
        yield found


def stalls(it: Running, service: str) -> list[Alert]:
    """Records of the incident that names *service*, so far."""
    return [alert for alert in alerts_of(it.settings) if (alert.kind, alert.signal) == ("service_stalled", service)]


def test_a_service_that_stands_is_told_once_and_silences_nobody(it: Running) -> None:
    """One incident of the fleet names inference and is over by itself. No camera was silent; that the predictions of
    each came late is true, and is reported too."""
    with stopped([it.process("inference").pid]):
        time.sleep(STANDS_S)
    wait_until(
        lambda: [alert.state for alert in stalls(it, "inference")][-1:] == ["resolved"],
        "the incident is over",
        PATIENCE_S,
    )
    # A machine that is busy may be slow in other ways, and says so; no camera has a fault.
    assert {alert.kind for alert in alerts_of(it.settings)} <= {"service_stalled", "service_slow"}
    alerts = stalls(it, "inference")
    assert {alert.camera for alert in alerts} == {None}
    assert alerts[0].state == "opened"
    assert len({alert.alert_id for alert in alerts}) == 1


def test_what_the_alert_says_to_do_ends_the_stall(it: Running) -> None:
    """Its words lead to a process, by number; once that is killed, another goes on where it was."""
    hung = it.process("ground_truth")
    os.kill(hung.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: bool(stalls(it, "ground_truth")), "an incident")
        explanation = stalls(it, "ground_truth")[0].explanation
        assert "See with `infra/stack status` which process is not ready, and its number" in explanation
        shown = re.findall(r"^(\w+)-0 .* not ready, process (\d+)", describe(it.stack.status()), re.MULTILINE)
        assert ("ground_truth", str(hung.pid)) in shown
        assert "end it with `kill -9`" in explanation
    finally:
        os.kill(hung.pid, signal.SIGKILL)
    wait_until(lambda: stalls(it, "ground_truth")[-1].state == "resolved", "the incident is over", PATIENCE_S)
    assert it.process("ground_truth").pid != hung.pid
