"""The promise under faults: kill -9, pauses past the session, a broker that dies. As in Kafka's own
transactions_test: 9 partitions, 3 workers a service, 3 hard kills a service at least, a reader that reads all the
while, and everything read back from the start.

`pytest tests/chaos --chaos-seeds 20 --chaos-frames 100000` is the proof; two seeds of 20,000 frames are the check
that it still holds (`infra/test`).
"""

import time
from functools import partial
from heapq import heappop, heappush
from pathlib import Path

import pytest

from infra.local.processes import Process
from infra.local.stills import lag_gone_at_ms, longest_still_ms, passages
from tests.chaos.fleet import SESSION_TIMEOUT_MS, Fleet, is_due
from tests.chaos.schedule import Fault, schedule

SERVICES = ("ingest", "inference", "ground_truth")
WORKERS = 3
CAMERAS = 27
FRAMES_PER_S = 900
PAUSE_S = SESSION_TIMEOUT_MS / 1_000 + 2.0
STANDSTILL_MS = 60_000
LAG_MS = 1_000
LAG_GONE_S = 120
PATIENCE_S = 300


@pytest.mark.broker
@pytest.mark.timeout(3_600)
@pytest.mark.usefixtures("bare_environment")
def test_nothing_is_lost_or_repeated_under_faults(
    chaos_seed: int, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service is killed three times and paused past its session once, the broker is killed once: every frame and
    every label still has exactly one end, in order, and no group stands still for a minute."""
    frames = request.config.getoption("--chaos-frames")
    publishing_s = frames / FRAMES_PER_S
    with Fleet(tmp_path, monkeypatch, workers=WORKERS, variables={"CATSEYE_PARTITIONS": "9"}) as fleet:
        # Every other publisher is not like Java's: its frames come in on partitions that are not their cameras'.
        partitioner = "consistent_random" if chaos_seed % 2 else "murmur2_random"
        fleet.publish(
            *("--tiny", "--count", str(frames), "--cameras", str(CAMERAS), "--fps", str(FRAMES_PER_S / CAMERAS)),
            *("--seed", str(chaos_seed), "--label-delay", "2", "--label-share", "0.5", "--wrong-share", "0.05"),
            *("--repeat-share", "0.02", "--copy-share", "0.01", "--corrupt-share", "0.01", "--light", "0"),
            *("--partitioner", partitioner),
        )
        fleet.check_until(lambda: bool(fleet.board.seen_at_ms), 60, "the first prediction")
        away, last_fault_ms = play(fleet, schedule(chaos_seed, SERVICES, WORKERS, publishing_s * 0.8))
        fleet.drain(PATIENCE_S)
        ledger, log, report = fleet.verdict()
    ways = passages(log)
    still_ms = {service: longest_still_ms(ways[service], away) for service in SERVICES}
    lag_s = {service: (lag_gone_at_ms(ways[service], LAG_MS) - last_fault_ms) / 1_000 for service in SERVICES}
    print(f"seed {chaos_seed}: {report.frames_in} frames, {report.labels_in} labels")  # noqa: T201 - shown by -s
    print(f"longest standstill, ms: {still_ms}; lag under a second, s after the last fault: {lag_s}")  # noqa: T201
    assert ledger.ended
    assert [str(finding) for finding in report.findings] == []
    assert (report.lost, report.repeated, report.labels_waiting) == (0, 0, 0)
    assert frames == len(ledger.frames)
    assert report.predictions == report.accepted
    assert max(still_ms.values()) < STANDSTILL_MS
    assert max(lag_s.values()) < LAG_GONE_S


def play(fleet: Fleet, faults: list[Fault]) -> tuple[list[tuple[float, float]], float]:
    """Let *faults* happen at their times.

    Returns:
        From when to when the broker was away, and when the last fault was over: Unix milliseconds.
    """
    away: list[tuple[float, float]] = []
    began_s = time.monotonic()
    due: list[tuple[float, int, Fault | Process]] = [(fault.at_s, number, fault) for number, fault in enumerate(faults)]
    while due:
        at_s, number, what = heappop(due)
        due_s = began_s + at_s
        fleet.check_until(partial(is_due, due_s), 3_600, "the next fault")
        if isinstance(what, Process):
            what.resume()
        elif what.kind == "kill_broker":
            killed_ms = time.time() * 1_000
            cluster = fleet.stack.cluster()
            cluster.kill()
            time.sleep(what.down_s)
            cluster.start()
            away.append((killed_ms, time.time() * 1_000))
            began_s += (away[-1][1] - killed_ms) / 1_000  # how long a broker takes to start is not in the schedule
        elif running := fleet.stack.processes(what.service):
            victim = running[what.worker % len(running)]
            if what.kind == "kill":
                victim.kill()
            else:
                victim.pause()
                heappush(due, (time.monotonic() - began_s + PAUSE_S, -number - 1, victim))
        else:
            heappush(due, (at_s + 0.5, number, what))  # all its workers are down: later
    return away, time.time() * 1_000
