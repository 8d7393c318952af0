"""A service that stands for longer than a silence takes: cameras that publish all the while are not silent."""

import time
from pathlib import Path

import pytest

from catseye.contract.records import Alert
from infra.benches.stalls import MODEL, SERVICES, Load, alerts_of, stopped
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING
from tests.system.running import running, wait_until

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180)]

SETTINGS = {
    "CATSEYE_PARTITIONS": "2",
    "CATSEYE_INCIDENTS_STALLED_S": "4",
    "CATSEYE_INCIDENTS_RESOLVE_S": "0",
    "CATSEYE_TRANSACTION_INTERVAL_MS": "200",
}
KNOWN_S = 6.0  # frames of so long make a camera known
STANDS_S = 20.0  # longer than the grace of a silence, and five pauses of a camera


def test_a_service_that_stands_is_told_once_and_silences_nobody(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """One incident of the fleet names inference and is over by itself. No camera was silent; that the predictions of
    each came late is true, and is reported too."""
    services = [service for service in PASSING if service.name in SERVICES]
    model = MODEL.read_bytes()
    with (
        running(broker.bootstrap_servers, tmp_path, prefix, services, model=model, variables=SETTINGS) as it,
        Load(it.settings, ["a", "b", "c"], fps=5),
    ):

        def reported() -> list[Alert]:
            return alerts_of(it.settings)

        time.sleep(KNOWN_S)
        with stopped([it.process("inference").pid]):
            time.sleep(STANDS_S)

        def stalled() -> list[Alert]:
            return [alert for alert in reported() if (alert.kind, alert.signal) == ("service_stalled", "inference")]

        wait_until(lambda: [alert.state for alert in stalled()][-1:] == ["resolved"], "the incident is over")
        # A machine that is busy may be slow in other ways, and says so; no camera has a fault.
        assert {alert.kind for alert in reported()} <= {"service_stalled", "service_slow"}
        assert {alert.camera for alert in stalled()} == {None}
        assert stalled()[0].state == "opened"
        assert len({alert.alert_id for alert in stalled()}) == 1
