"""Processes are found again by pid and start time, signalled only if they are the same ones, and ended for good."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from infra.local import processes
from infra.local.processes import Process

ROOT = Path(__file__).parents[2]
SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")
DEAF = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
)


def start(folder: Path, argv: tuple[str, ...], cpus: set[int] | None = None) -> Process:
    """Start *argv* and wait until it says something."""
    process = Process.start("p", argv, records=folder, log=folder / "p.log", cpus=cpus)
    while not (folder / "p.log").read_bytes():
        assert process.alive()
    return process


def test_a_process_is_found_by_its_record_until_it_ends(tmp_path: Path) -> None:
    """The record is enough for another program."""
    process = start(tmp_path, SLEEPER)
    assert processes.find(tmp_path, "p") == process
    process.stop()
    assert processes.find(tmp_path, "p") is None
    assert processes.read(tmp_path, "p") == process


def test_a_stranger_with_the_same_pid_is_never_signalled(tmp_path: Path) -> None:
    """This very test has the recorded pid and another start time: kill -9 must pass it by."""
    stranger = Process("p", os.getpid(), start_ticks=1, log="")
    stranger.record(tmp_path)
    assert not stranger.alive()
    stranger.kill()
    stranger.stop(grace_s=0)
    assert processes.find(tmp_path, "p") is None


def test_what_does_not_receive_is_ended_after_the_grace(tmp_path: Path) -> None:
    """SIGTERM, then SIGKILL."""
    process = start(tmp_path, DEAF)
    process.stop(grace_s=0.05)
    assert not process.alive()
    assert process.reap() is None  # it was reaped when its end was noticed


def test_a_paused_process_is_alive_and_can_be_stopped(tmp_path: Path) -> None:
    """A process at SIGSTOP hears SIGTERM when it goes on."""
    process = start(tmp_path, SLEEPER)
    process.pause()
    assert process.alive()
    process.stop()
    assert not process.alive()


def test_a_pinned_process_begins_on_its_cores_and_leaves_ours_alone(tmp_path: Path) -> None:
    """The child inherits its cores before its first instruction."""
    ours = os.sched_getaffinity(0)
    core = {min(ours)}
    process = start(tmp_path, SLEEPER, cpus=core)
    assert os.sched_getaffinity(process.pid) == core
    assert os.sched_getaffinity(0) == ours
    process.kill()


def test_the_last_line_of_a_log_is_the_last_that_says_something(tmp_path: Path) -> None:
    """Blank lines at the end are passed over; no log and an empty log are said to be so."""
    log = tmp_path / "log"
    assert processes.last_line(log) == "it wrote no log"
    log.write_text("\n \n")
    assert processes.last_line(log) == "its log is empty"
    log.write_text("first\nthe reason\n\n")
    assert processes.last_line(log) == "the reason"


def test_a_record_that_is_not_one_is_an_error(tmp_path: Path) -> None:
    """Nobody else writes there: what cannot be read is a bug, not an absent process."""
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(msgspec.ValidationError):
        processes.find(tmp_path, "p")


def no_room(path: Path) -> None:
    """Let whatever is written beside *path*, to be renamed, meet a full disk."""
    path.with_name(f"{path.name}.new").symlink_to("/dev/full")


def runs(word: str) -> bool:
    """Whether a process with *word* among its arguments is there."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return False


def test_what_cannot_be_recorded_never_runs(tmp_path: Path) -> None:
    """A full disk: the reason is raised, and no process is left that `down` would not find."""
    no_room(tmp_path / "p.json")
    ran = tmp_path / "ran"
    with pytest.raises(OSError, match="No space left on device"):
        Process.start("p", ("touch", str(ran)), records=tmp_path, log=tmp_path / "p.log")
    assert not runs(str(ran))
    assert not ran.exists()
    Process.start("p", ("touch", str(ran)), records=tmp_path, log=tmp_path / "p.log").wait(10)
    assert ran.exists()


def test_what_is_not_recorded_when_its_starter_is_killed_never_runs(tmp_path: Path) -> None:
    """kill -9 between the start of a process and its record."""
    ran = tmp_path / "ran"
    code = f"""
import os, signal
from pathlib import Path
from infra.local.processes import Process
Process.record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Process.start("p", ("touch", {str(ran)!r}), records=Path({str(tmp_path)!r}), log=Path({str(tmp_path / "p.log")!r}))
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"}
    killed = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    while runs(str(ran)):
        pass
    assert not ran.exists()


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """And leaves no record."""
    with pytest.raises(FileNotFoundError, match=r"/no/program"):
        Process.start("p", ("/no/program",), records=tmp_path, log=tmp_path / "p.log")
    assert processes.read(tmp_path, "p") is None


def test_a_process_has_its_own_last_words(tmp_path: Path) -> None:
    """What an earlier one wrote into the same log is not taken for them; of JSON, what a person reads."""
    log = tmp_path / "p.log"
    log.write_text('{"event": "misconfigured", "what": "the old reason"}\n')
    silent = Process.start("p", ("true",), records=tmp_path, log=log)
    assert silent.wait(10)
    assert silent.last_words == "its log is empty"
    speaks = Process.start("p", ("echo", '{"what": "the new reason"}'), records=tmp_path, log=log)
    assert speaks.wait(10)
    assert speaks.last_words == "the new reason"
