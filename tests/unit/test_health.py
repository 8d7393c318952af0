"""`catseye.runtime.health`: what a supervisor and a scraper are told."""

from collections import Counter
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry

from catseye.runtime.health import CAUSES_MOST, LOGGED_EVERY_S, STILL_S, Health
from catseye.runtime.metrics import Metrics


class Clock:
    """Seconds that a test moves by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Log:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))


@pytest.fixture
def clock() -> Clock:
    """Starts at 100 s."""
    return Clock()


@pytest.fixture
def log() -> Log:
    """Empty."""
    return Log()


@pytest.fixture
def health(clock: Clock, log: Log) -> Health:
    """Of a process that has just started."""
    return Health(Metrics(CollectorRegistry()), log, clock)


def status_of(health: Health, path: str) -> str:
    """What is answered to GET *path*."""
    reported: list[str] = []
    list(health.application({"PATH_INFO": path}, lambda status, headers: reported.append(status)))
    return reported[0]


def page(health: Health) -> str:
    """The metrics, as they are scraped."""
    environ = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}
    return b"".join(health.application(environ, lambda status, headers: None)).decode()


def test_a_worker_is_alive_while_it_gives_signs(health: Health, clock: Clock) -> None:
    """A minute without one and it is dead; a sign brings it back."""
    notified = [status_of(health, "/live")]
    clock.now_s += STILL_S
    notified.append(status_of(health, "/live"))
    health.beat()
    notified.append(status_of(health, "/live"))
    assert notified == ["200 OK", "503 Service Unavailable", "200 OK"]
    assert health.beat_at == clock.now_s


def test_a_worker_is_ready_with_partitions_and_state(health: Health, clock: Clock) -> None:
    """Not before, not while it restores, not when it lost them, not when it is dead."""
    notified = [status_of(health, "/ready")]
    for partitions, ready in ((3, False), (3, True), (0, False), (2, True)):
        health.assigned(partitions, ready=ready)
        notified.append(status_of(health, "/ready"))
    clock.now_s += STILL_S
    notified.append(status_of(health, "/ready"))
    yes, no = "200 OK", "503 Service Unavailable"
    assert notified == [no, no, yes, no, yes, no]


def test_a_worker_that_stands_or_has_no_broker_is_not_ready(clock: Clock, log: Log) -> None:
    """It hangs in a call, or waits for a broker; either way nothing is predicted now, and it is alive."""
    health = Health(Metrics(CollectorRegistry()), log, clock, quiet_s=5.0)
    health.assigned(3, ready=True)
    notified = [status_of(health, "/ready")]
    clock.now_s += 5.0
    notified.append(status_of(health, "/ready"))
    assert "catseye_ready 0.0" in page(health).splitlines()
    assert status_of(health, "/live") == "200 OK"
    health.beat()
    notified.append(status_of(health, "/ready"))
    for connected in (False, True):
        health.connected(connected=connected)
        notified.append(status_of(health, "/ready"))
    yes, no = "200 OK", "503 Service Unavailable"
    assert notified == [yes, no, yes, no, yes]
    assert [event for event, _ in log.lines] == ["assigned", "disconnected", "connected"]


def test_other_paths_are_not_found(health: Health) -> None:
    """Nothing else is served."""
    assert status_of(health, "/") == "404 Not Found"


def test_metrics_follow_the_worker(health: Health) -> None:
    """Records, events, aborts, partitions and readiness, as Prometheus reads them."""
    health.assigned(4, ready=True)
    health.committed(10, Counter(frame_accepted=9, frame_duplicate=1), 0.02, 0.01)
    health.committed(5, Counter(frame_accepted=5), 0.02, 0.01)
    health.aborted("send_offsets: the broker was away")
    lines = page(health).splitlines()
    expected = {
        "catseye_records_total 15.0",
        'catseye_events_total{event="frame_accepted"} 14.0',
        'catseye_events_total{event="frame_duplicate"} 1.0',
        "catseye_aborts_total 1.0",
        "catseye_partitions 4.0",
        "catseye_ready 1.0",
        "catseye_transaction_records_count 2.0",
        "catseye_work_seconds_sum 0.04",
        "catseye_commit_seconds_sum 0.02",
    }
    assert expected - set(lines) == set()


def test_names_of_metrics_end_in_their_unit(health: Health) -> None:
    """`_total` for what only grows; no label holds an id."""
    families = list(Metrics(CollectorRegistry()).registry.collect())
    assert {family.type for family in families} == {"counter", "histogram", "gauge"}
    ends = {
        "counter": (),
        "histogram": ("_seconds", "_records"),
        "gauge": ("_partitions", "_ready", "_seconds", "_records"),
    }
    others = [family for family in families if family.type != "counter"]  # the client adds _total to a counter itself
    assert [family.name for family in others if not family.name.endswith(ends[family.type])] == []
    health.committed(1, Counter(predicted=1), 0.1, 0.1)
    assert {line.split("{")[1].split("=")[0] for line in page(health).splitlines() if "{" in line} == {"event", "le"}


def test_a_fault_that_repeats_is_logged_seldom(health: Health, clock: Clock, log: Log) -> None:
    """Counted each time, said once in ten seconds."""
    for _ in range(50):
        health.aborted("no champion")
    clock.now_s += LOGGED_EVERY_S + 1
    health.aborted("no champion")
    assert log.lines == [("aborted", {"cause": "no champion"})] * 2
    assert "catseye_aborts_total 51.0" in page(health)


def test_another_fault_is_reported_at_once(health: Health, log: Log) -> None:
    """It does not wait for the one before."""
    health.aborted("no champion")
    health.aborted("no broker")
    assert [fields["cause"] for _, fields in log.lines] == ["no champion", "no broker"]


def test_faults_that_take_turns_are_logged_seldom(health: Health, clock: Clock, log: Log) -> None:
    """One does not make the other new: each is said once in ten seconds of its own."""
    for _ in range(20):
        health.aborted("no champion")
        clock.now_s += LOGGED_EVERY_S / 40
        health.aborted("no broker")
        clock.now_s += LOGGED_EVERY_S / 40
    assert [fields["cause"] for _, fields in log.lines] == ["no champion", "no broker"]
    clock.now_s += 1
    for _ in range(2):
        health.aborted("no champion")
        health.aborted("no broker")
    assert [fields["cause"] for _, fields in log.lines] == ["no champion", "no broker"] * 2


def test_faults_that_are_never_the_same_do_not_fill_the_log(health: Health, clock: Clock, log: Log) -> None:
    """So many in ten seconds, whatever they say; all are counted."""
    for number in range(1_000):
        health.aborted(f"no record at {number}")
    clock.now_s += LOGGED_EVERY_S + 1
    health.aborted("no record at 5")
    assert [fields["cause"] for _, fields in log.lines] == [
        *[f"no record at {number}" for number in range(CAUSES_MOST)],
        "no record at 5",
    ]
    assert "catseye_aborts_total 1001.0" in page(health)


def test_it_is_served_over_http(health: Health) -> None:
    """On a free port, from a thread of its own."""
    port = health.serve("127.0.0.1", 0)
    with urlopen(f"http://127.0.0.1:{port}/live") as answer:
        assert (answer.status, answer.read()) == (200, b"200 OK\n")
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b"catseye_ready 0.0" in answer.read()
    with pytest.raises(HTTPError, match="503") as refusal:
        urlopen(f"http://127.0.0.1:{port}/ready")
    refusal.value.close()
