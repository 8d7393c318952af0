"""Who ends is started again after a pause that doubles; who is misconfigured is not."""

import os
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from infra.local import ports, processes
from infra.local.processes import Process
from infra.local.supervise import (
    HEALTH_PORT,
    Backoff,
    Child,
    Supervisor,
    ask,
    how,
    is_done,
    read_children,
    write_children,
)

ROOT = Path(__file__).parents[2]


def silent(event: str, **fields: object) -> None:
    pass


def ended(folder: Path, name: str) -> Process:
    """Wait for the end of a child's present process."""
    process = processes.read(folder, name)
    assert process is not None
    while process.reap() is None:
        pass
    return process


def supervising(folder: Path) -> Process:
    """Start a supervisor of *folder*; its log lies beside."""
    return Process.start(
        "supervisor",
        (sys.executable, "-m", "infra.local.supervise", str(folder)),
        records=folder,
        log=folder.parent / "log",
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"},
    )


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


def test_whoever_asks_again_gets_a_new_start_whatever_it_ended_of(tmp_path: Path) -> None:
    """Misconfigured, or in its pause: the same children wanted once more are started at once; who runs goes on."""
    folder = tmp_path / "run"
    sleep = Child("s", (sys.executable, "-c", "import time; time.sleep(60)"), {})
    supervisor = Supervisor(folder, silent)
    for status in (2, 1):
        supervisor.want([exits(status), sleep], now_s=0.0)
        supervisor.tick(0.0)
        first, sleeper = ended(folder, "c"), processes.find(folder, "s")
        supervisor.want([exits(status), sleep], now_s=0.1)
        supervisor.tick(0.1)
        second = ended(folder, "c")
        assert (first.starts, second.starts) == (1, 2)
        assert processes.find(folder, "s") == sleeper
    supervisor.stop()


def test_a_port_that_another_program_has_is_another_port(tmp_path: Path) -> None:
    """The child is told, its record says it, its neighbours' ports are not taken; the next start has its own again."""
    folder = tmp_path / "run"
    prints = (sys.executable, "-c", f"import os; print(os.environ['{HEALTH_PORT}'])")
    mine = ports.choose()
    next_one = ports.choose(taken={mine})
    supervisor = Supervisor(folder, silent)
    with socket.create_server((ports.LOOPBACK, mine)):
        supervisor.want([Child("c", prints, {}, mine), Child("d", prints, {}, next_one)], now_s=0.0)
        supervisor.tick(0.0)
        moved = ended(folder, "c")
    assert moved.port not in {mine, next_one}
    assert moved.last_words == str(moved.port)
    assert ended(folder, "d").port == next_one
    supervisor.tick(1.0)
    supervisor.tick(2.0)
    assert ended(folder, "c").port == mine
    supervisor.stop()


def test_what_cannot_be_started_is_tried_again_and_others_run(tmp_path: Path) -> None:
    """A program that is missing: its record holds the reason, the supervisor goes on."""
    folder = tmp_path / "run"
    program = tmp_path / "program"
    supervisor = Supervisor(folder, silent)
    supervisor.want([Child("c", (str(program),), {}), msgspec.structs.replace(exits(0), name="d")], now_s=0.0)
    assert supervisor.tick(0.0) == 0.2
    recorded = processes.read(folder, "c")
    assert recorded is not None
    assert (recorded.exit_status, recorded.last_words) == (127, f"[Errno 2] No such file or directory: '{program}'")
    assert not recorded.alive()
    assert ended(folder, "d").starts == 1
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    supervisor.tick(0.2)
    assert ended(folder, "c").starts == 2
    supervisor.stop()


def test_a_full_disk_ends_no_supervisor(tmp_path: Path) -> None:
    """A child that could not be recorded does not run; it does when there is room again."""
    folder = tmp_path / "run"
    folder.mkdir()
    lines: list[str] = []
    supervisor = Supervisor(folder, lambda event, **_: lines.append(event))
    (folder / "c.json.new").symlink_to("/dev/full")
    supervisor.want([exits(0)], now_s=0.0)
    assert supervisor.tick(0.0) == 0.2
    assert lines == ["not_started"]
    supervisor.tick(0.2)
    assert ended(folder, "c").starts == 2
    supervisor.stop()


def test_a_supervisor_answers_when_it_has_done_what_it_was_asked(tmp_path: Path) -> None:
    """By the process itself: after the answer nothing of before runs, and what ended was started again."""
    folder = tmp_path / "run"
    folder.mkdir()

    def wait_for(word: str) -> Process:
        while not is_done(folder, word):
            assert supervisor.alive(), supervisor.last_words
        while (recorded := processes.read(folder, "c")) is None or recorded.exit_status is None:
            assert supervisor.alive(), supervisor.last_words
        return recorded

    first = ask(folder)
    write_children(folder, [exits(2)])
    supervisor = supervising(folder)
    try:
        assert wait_for(first).starts == 1
        second = ask(folder)
        assert not is_done(folder, second)
        supervisor.hang_up()
        assert wait_for(second).starts == 2
        third = ask(folder)
        write_children(folder, [exits(2, X="1")])  # one that ends with 0 is started again meanwhile
        supervisor.hang_up()
        assert wait_for(third).starts == 1
    finally:
        supervisor.stop()


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_a_supervisor_whose_folder_is_gone_ends_with_all_that_it_started(tmp_path: Path, is_made_anew: bool) -> None:
    """Nobody could ask it for anything; a stack in its place would not be alone."""
    folder = tmp_path / "run"
    folder.mkdir()
    write_children(folder, [Child("c", (sys.executable, "-c", "import time; time.sleep(600)"), {})])
    supervisor = supervising(folder)
    try:
        while (child := processes.find(folder, "c")) is None:
            assert supervisor.alive(), supervisor.last_words
        folder.rename(tmp_path / "gone")
        if is_made_anew:
            folder.mkdir()
        assert supervisor.wait(timeout_s=120)
        assert not child.alive()
        assert '"event": "folder_gone"' in (tmp_path / "log").read_text()
    finally:
        supervisor.stop()
        if child:
            child.kill()
