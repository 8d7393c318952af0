"""Start a process that outlives its starter, find it again, signal it, stop it.

A process is remembered in ``NAME.json`` by pid *and* start time (field 22 of proc(5)'s stat): a pid alone is reused
by the kernel, and a stranger's process must never be signalled. Linux only, as /proc is.
"""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from infra.local.files import write_whole

POLL_S = 0.01
"""Between two looks at a process that is about to end. Processes that are nobody's child here cannot be waited for."""

NOT_STARTED = 127
"""Exit status of what could not even be started, as shells have it."""
_GATE = "trap '' HUP; read -r _ && exec \"$@\" </dev/null"
"""What a process is until its record is written: it reads a line and becomes the program; it ends if there comes none,
so when whoever starts it is killed or finds no room for the record. The end of a terminal is none of its business."""


class Process(msgspec.Struct, frozen=True):
    """One process that was started here, now or by an earlier command.

    Attributes:
        name: Name of its record and of its log.
        pid: Process id; also its process group and its session.
        start_ticks: Clock ticks between boot and its start.
        log: Where its standard output and error go.
        port: Loopback port that it was told to listen on; 0 if none.
        starts: How often a supervisor has started it, this time included.
        exit_status: Status that its supervisor saw it end with, negative for a signal; None before.
        log_from: Length of the log when it was started: what follows are its own words, bytes.
        what: Why it could not even be started; empty if it was.
    """

    name: str
    pid: int
    start_ticks: int
    log: str
    port: int = 0
    starts: int = 1
    exit_status: int | None = None
    log_from: int = 0
    what: str = ""

    @property
    def last_words(self) -> str:
        """What it said last, or why it could not be started."""
        return self.what or last_line(Path(self.log), self.log_from)

    @classmethod
    def start(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        records: Path,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        cpus: set[int] | None = None,
        port: int = 0,
        starts: int = 1,
    ) -> Self:
        """Start *argv* in a session of its own, when its record is written: nothing runs that nobody remembers.

        Args:
            name: File name without suffix.
            argv: Program and arguments.
            records: Folder of records, made if absent.
            log: File that its output is appended to.
            env: The whole environment; None for this process's own.
            cwd: Working directory; None for this process's own.
            cpus: Cores that it may run on; None for all.
            port: Goes into the record as it is.
            starts: Goes into the record as it is.

        Raises:
            OSError: The program cannot be started, or its record or its log cannot be written; then nothing runs.
        """
        records.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        program = _program(argv[0], env)
        with log.open("ab") as output, pinned(cpus):
            log_from = output.tell()
            child = subprocess.Popen(
                ["/bin/sh", "-c", _GATE, program, program, *argv[1:]],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        assert child.stdin is not None
        try:
            ticks = _start_ticks(child.pid)
            process = cls(name, child.pid, -1 if ticks is None else ticks, str(log), port, starts, log_from=log_from)
            process.record(records)
        except BaseException:  # also Ctrl-C
            child.stdin.close()
            child.wait()
            raise
        _children[child.pid] = child
        with suppress(BrokenPipeError), child.stdin:  # it was ended meanwhile, which its status says
            child.stdin.write(b"\n")
        return process

    def record(self, records: Path) -> None:
        """Write the record that `find` and `read` look for, whole or not at all."""
        write_whole(records / f"{self.name}.json", msgspec.json.encode(self))

    def reap(self) -> int | None:
        """Return the exit status of a child of this very process that has ended, negative for a signal, else None."""
        child = _children.get(self.pid)
        return child.poll() if child else None

    def ended(self) -> bool:
        """Tell whether it is gone; `reap` still gives the status of a child of this very process."""
        if self.pid in _children:
            return self.reap() is not None
        return not self.alive()

    def alive(self) -> bool:
        """Tell whether it still runs (or is stopped by a signal). An exited child of this process is reaped."""
        if (child := _children.get(self.pid)) is not None:
            if child.poll() is None:
                return True
            del _children[self.pid]
            return False
        return self.start_ticks == _start_ticks(self.pid)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal if it still runs; tell whether it was sent."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End it and what it started, without notice (kill -9), and wait until it is gone."""
        if self.alive():
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self.wait(timeout_s=10)

    def pause(self) -> None:
        """Stop it where it stands (SIGSTOP), as a long pause of the machine would."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.signal(signal.SIGCONT)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is gone; tell whether it is."""
        until = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        return True

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); one that is paused hears it when it goes on."""
        self.signal(signal.SIGTERM)

    def hang_up(self) -> None:
        """Send SIGHUP, on which a supervisor reads its file again."""
        self.signal(signal.SIGHUP)

    def stop(self, grace_s: float = 10.0) -> None:
        """Ask it to end (SIGTERM), and end it without asking after *grace_s*."""
        stop_all([self], grace_s)


_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Processes that this very process started: only their parent can reap them."""


def read(records: Path, name: str) -> Process | None:
    """Return *name*'s record, of a process that runs or ran."""
    try:
        return msgspec.json.decode((records / f"{name}.json").read_bytes(), type=Process)
    except FileNotFoundError:
        return None


def find(records: Path, name: str) -> Process | None:
    """Return the process that *name*'s record tells of if it still runs."""
    process = read(records, name)
    return process if process and process.alive() else None


def stop_all(running: Sequence[Process], grace_s: float) -> None:
    """Ask all to end at the same time, and end those that have not after *grace_s*."""
    for process in running:
        process.terminate()
        process.resume()  # one that was paused would not hear it
    until = time.monotonic() + grace_s
    for process in running:
        if not process.wait(until - time.monotonic()):
            process.kill()


def forget(records: Path, name: str) -> None:
    """Remove the record of a process that is gone."""
    (records / f"{name}.json").unlink(missing_ok=True)


def last_line(log: Path, log_from: int = 0) -> str:
    """Return the last line of a log that says something, for a message; the log's end is where the reason is.

    Args:
        log: Of a line of JSON, as services write them, only what a person reads is returned: its field `what`.
        log_from: Where to begin, bytes: what was written before is another start's.
    """
    lines = words(log, log_from)
    if lines is None:
        return "it wrote no log"
    line = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    try:
        fact = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    return str(fact["what"]) if isinstance(fact, dict) and "what" in fact else line


def words(log: Path, log_from: int = 0) -> list[str] | None:
    """Return the lines of a log from byte *log_from* on; None if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(log_from)
            return file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return None


def _program(name: str, env: Mapping[str, str] | None) -> str:
    """Path of a program. Raises `FileNotFoundError` or `PermissionError`."""
    found = shutil.which(name, path=(os.environ if env is None else env).get("PATH", os.defpath))
    if found is None:
        number = errno.EACCES if os.path.exists(name) else errno.ENOENT
        raise OSError(number, os.strerror(number), name)
    return found


@contextmanager
def pinned(cpus: set[int] | None) -> Iterator[None]:
    """Run the body on *cpus* only. What it starts inherits them before its first instruction, which matters to a
    Java machine: it sizes its thread pools and picks its collector by the cores that it sees when it starts."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _start_ticks(pid: int) -> int | None:
    """Clock ticks between boot and the start of *pid*; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        # While it ends, its first thread is a zombie before the others have closed what they hold open.
        ending = len(os.listdir(f"/proc/{pid}/task")) > 1
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may hold spaces and brackets itself.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" and not ending else int(fields[18])
