"""Ctrl-C while a command of infra/ is still loading, and while it installs what the loop needs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADING = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
def run(argv):
    print("came here")
"""
RUNNING = """
import os, signal
def run(argv):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted with", *argv)
        return 7
"""
RUNNING_ON = """
import os, signal
def run(argv):
    os.kill(os.getpid(), signal.SIGINT)
    return 7
"""
INSTALLING = """
from infra.local import set_up
set_up._SCRIPT = 'trap "echo set-up stopped; exit 130" INT; echo installing; while :; do sleep 1 || :; done'
try:
    set_up.need_loop()
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize(
    ("command", "expected"), [(LOADING, (-signal.SIGINT, "", "")), (RUNNING, (7, "interrupted with a b\n", ""))]
)
def test_ctrl_c_while_a_command_loads_ends_it_in_silence(
    tmp_path: Path, command: str, expected: tuple[int, str, str]
) -> None:
    """No traceback of imports; once it runs, Ctrl-C is the command's to answer, and so is the exit status."""
    (tmp_path / "command.py").write_text(command)
    done = subprocess.run(
        [sys.executable, "-m", "infra.local.launch", "command", "a", "b"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        preexec_fn=_heed_ctrl_c,
    )
    assert (done.returncode, done.stdout, done.stderr) == expected


@pytest.mark.parametrize("command", [LOADING + "    return 7\n", RUNNING_ON])
def test_what_a_script_started_in_the_background_does_not_heed_ctrl_c(tmp_path: Path, command: str) -> None:
    """As the shell wants it, which starts it with that signal ignored."""
    (tmp_path / "command.py").write_text(command)
    line = f"'{sys.executable}' -m infra.local.launch command & wait $!"
    env = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    assert subprocess.run(["sh", "-c", line], check=False, env=env, stdout=subprocess.DEVNULL).returncode == 7


def test_ctrl_c_ends_all_of_an_installation() -> None:
    """It says what it left, and nothing goes on installing behind the command's back."""
    with subprocess.Popen(
        [sys.executable, "-c", INSTALLING],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # as a terminal's foreground
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"},
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - no thread of this process holds a lock
    ) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "installing\n"
        os.killpg(command.pid, signal.SIGINT)
        assert command.stdout.read().splitlines() == ["set-up stopped", "stopped"]
    deadline = time.monotonic() + 60  # one that has ended is of the group until the system has taken it off
    while _has_members(command.pid):
        assert time.monotonic() < deadline, "something goes on"
        time.sleep(0.02)


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else ignored where tests run in the background
