"""A broker that is killed and comes back: work goes on soon, and no worker hangs.

`pytest tests/chaos/test_broker_dies.py -s --broker-kills 10` prints how long each kill stopped what, from the broker's
answer on.
"""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from infra.local.processes import Process
from infra.local.stills import longest_still_ms, passages
from tests.chaos.fleet import Fleet, is_due

SERVICES = ("ingest", "inference", "ground_truth")
CAMERAS = 6
FPS = 10
BETWEEN_S = 4.0
LONGEST_S = 60
PATIENCE_S = 300


@pytest.mark.broker
@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("bare_environment")
def test_work_goes_on_after_a_brokers_death(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody kills the broker: the supervisor starts it again, no watchdog has to end a worker that hangs, and each
    frame has its end."""
    with Fleet(tmp_path, monkeypatch, workers=1) as fleet:
        frames = CAMERAS * FPS * LONGEST_S * (1 + request.config.getoption("--broker-kills"))  # it is stopped before
        fleet.publish(
            *("--tiny", "--count", str(frames), "--cameras", str(CAMERAS), "--fps", str(FPS)),
            *("--label-delay", "1", "--light", "0"),
        )
        fleet.check_until(lambda: bool(fleet.board.seen_at_ms), PATIENCE_S, "the first prediction")
        away = [killed(fleet) for _ in range(request.config.getoption("--broker-kills"))]
        fleet.stop_publishing()
        fleet.drain(PATIENCE_S)
        starts = {service: [process.starts for process in fleet.stack.processes(service)] for service in SERVICES}
        _, log, report = fleet.verdict()
    ways = passages(log)
    print({service: round(longest_still_ms(ways[service], away)) for service in SERVICES}, starts)  # noqa: T201
    logs = {service: (tmp_path / "logs" / f"{service}-0.log").read_text() for service in SERVICES}
    assert [service for service, lines in logs.items() if '"stuck"' in lines] == []
    assert all('"assigned"' in lines for lines in logs.values())
    assert [str(finding) for finding in report.findings] == []
    assert (report.lost, report.repeated) == (0, 0)


def killed(fleet: Fleet) -> tuple[float, float]:
    """Kill the broker and wait for the next prediction; from when to when it was away, Unix milliseconds."""
    fleet.check_until(partial(is_due, time.monotonic() + BETWEEN_S), PATIENCE_S, "the next kill")
    cluster = fleet.stack.cluster()
    broker = cluster.process()
    assert broker is not None
    killed_ms = time.time() * 1_000
    os.kill(broker.pid, signal.SIGKILL)
    fleet.check_until(lambda: is_another(cluster.process(), broker), PATIENCE_S, "a new broker")
    cluster.wait_until_ready(PATIENCE_S)
    answered_ms, seen = time.time() * 1_000, len(fleet.board.seen_at_ms)
    fleet.check_until(lambda: len(fleet.board.seen_at_ms) > seen, PATIENCE_S, "a prediction")
    print(f"away {answered_ms - killed_ms:.0f} ms, a prediction {time.time() * 1_000 - answered_ms:.0f} ms later")  # noqa: T201
    return killed_ms, answered_ms


def is_another(process: Process | None, before: Process) -> bool:
    """The controller alone comes first: the broker is the one at its own port."""
    return process is not None and process.pid != before.pid and process.port == before.port
