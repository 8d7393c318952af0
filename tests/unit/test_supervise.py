"""Who ends is started again after a pause that doubles; who is misconfigured is not."""

import sys
from pathlib import Path

from infra.local import processes
from infra.local.processes import Process
from infra.local.supervise import Backoff, Child, Supervisor, how, read_children, write_children


def silent(event: str, **fields: object) -> None:
    pass


def ended(folder: Path, name: str) -> Process:
    """Wait for the end of a child's present process."""
    process = processes.read(folder, name)
    assert process is not None
    while process.reap() is None:
        pass
    return process


def exits(status: int, **env: str) -> Child:
    """Return a child that ends at once."""
    return Child("c", (sys.executable, "-c", f"raise SystemExit({status})"), env)


def test_pauses_double_to_a_bound_and_begin_anew_after_a_steady_run() -> None:
    """0.2 s, 0.4, 0.8 … 5 s; after 30 s of running 0.2 s again."""
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert backoff.after(30.0) == 0.2


def test_a_child_that_fails_is_started_again_when_its_pause_is_over(tmp_path: Path) -> None:
    """Time is an argument: nothing waits here."""
    supervisor = Supervisor(tmp_path / "run", silent)
    supervisor.want([exits(1)], now_s=100.0)
    assert supervisor.tick(100.0) is None
    first = ended(tmp_path / "run", "c")
    assert supervisor.tick(101.0) == 101.2
    assert supervisor.tick(101.1) == 101.2
    recorded = processes.read(tmp_path / "run", "c")
    assert recorded is not None
    assert (recorded.pid, recorded.exit_status) == (first.pid, 1)
    assert supervisor.tick(101.2) is None
    assert ended(tmp_path / "run", "c").starts == 2
    assert supervisor.tick(102.0) == 102.4
    supervisor.stop()


def test_a_misconfigured_child_stays_down(tmp_path: Path) -> None:
    """Exit status 2: only a person can help."""
    supervisor = Supervisor(tmp_path / "run", silent)
    supervisor.want([exits(2)], now_s=0.0)
    supervisor.tick(0.0)
    ended(tmp_path / "run", "c")
    assert supervisor.tick(1.0) is None
    assert supervisor.tick(1_000.0) is None
    recorded = processes.read(tmp_path / "run", "c")
    assert recorded is not None
    assert (recorded.starts, recorded.exit_status) == (1, 2)


def test_a_child_that_changed_is_started_anew_and_others_stay(tmp_path: Path) -> None:
    """`want` compares: the same child goes on, one with another environment begins again."""
    folder = tmp_path / "run"
    sleep = (sys.executable, "-c", "import time; time.sleep(60)")
    supervisor = Supervisor(folder, silent)
    supervisor.want([Child("a", sleep, {}), Child("b", sleep, {"X": "1"})], now_s=0.0)
    supervisor.tick(0.0)
    a, b = processes.find(folder, "a"), processes.find(folder, "b")
    supervisor.want([Child("a", sleep, {}), Child("b", sleep, {"X": "2"})], now_s=1.0)
    supervisor.tick(1.0)
    assert processes.find(folder, "a") == a
    assert b is not None
    assert not b.alive()
    assert processes.find(folder, "b") is not None
    supervisor.stop()
    assert processes.find(folder, "a") is None
    assert processes.find(folder, "b") is None


def test_children_are_for_the_owners_eyes(tmp_path: Path) -> None:
    """Their environment may hold a password."""
    child = Child("c", ("true",), {"KAFKA_SASL_PASSWORD": "secret"}, 8110)
    assert read_children(tmp_path) == []
    write_children(tmp_path, [child])
    assert read_children(tmp_path) == [child]
    assert (tmp_path / "children.json").stat().st_mode & 0o077 == 0


def test_a_supervisor_reports_who_ended_how_and_what_it_started(tmp_path: Path) -> None:
    """One fact a line: the exit status or the signal, how long it ran, when it is started again."""
    lines: list[tuple[str, dict[str, object]]] = []
    supervisor = Supervisor(tmp_path / "run", lambda event, **fields: lines.append((event, fields)))
    supervisor.want([exits(3)], now_s=0.0)
    supervisor.tick(0.0)
    pid = ended(tmp_path / "run", "c").pid
    supervisor.tick(7.0)
    supervisor.stop()
    assert lines == [
        ("started", {"name": "c", "pid": pid, "starts": 1}),
        ("ended", {"name": "c", "exit_status": 3, "ran_s": 7.0, "starts_again_in_s": 0.2}),
        ("stopped", {"name": "c"}),
    ]
    assert how(-9) == {"signal": "SIGKILL"}
