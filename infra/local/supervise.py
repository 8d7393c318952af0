"""Keep processes running: `python -m infra.local.supervise FOLDER [CLUSTER BROKERS]`, started by `infra.local.stack`.

A service that meets a fatal error exits and leaves the new start to whoever supervises. This is who does so on one
machine: it starts what `FOLDER/children.json` names, starts what exits again after a pause that doubles, and reads the
file again on SIGHUP. A child that exits with 2 is misconfigured: only a person can help it, so it stays down until
SIGHUP, which is a person's word that it was helped. SIGTERM stops all children, then this.

Where FOLDER is deleted or replaced, nobody could ask it for anything any more: it stops all children and itself, so
that a stack that is started in its place is alone.

Whoever sends SIGHUP writes a word to `asked` before; it is in `done` once all of that is carried out (`ask`,
`is_done`).

It starts brokers again too, where the stack has any, and writes who ended how and what it started: one line of JSON a
fact, as services do.
"""

import os
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Thread
from typing import NoReturn

import msgspec

from catseye import backoff
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.runtime import log
from infra.local import ports, processes
from infra.local.files import write_whole
from infra.local.kafka import KafkaCluster
from infra.local.processes import NOT_STARTED, Process

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
STEADY_S = 30.0
"""A child that ran for so long is not in a loop of failures: its next pause is the first one again."""
GRACE_S = 10.0
LOOK_S = 1.0
"""Between two looks at the brokers, of which the first ones are no children of this process, and at the folder: this
process hears of neither."""
MISCONFIGURED = 2
HEALTH_PORT = "CATSEYE_HEALTH_PORT"
_ASKED, _DONE = "asked", "done"
Log = Callable[..., object]


class Child(msgspec.Struct, frozen=True):
    """One process to keep running.

    Attributes:
        name: Name of its record and log.
        argv: Program and arguments.
        env: What its environment has beside the supervisor's own. It may hold passwords.
        port: Loopback port of its /live, /ready and /metrics, which it is told by `CATSEYE_HEALTH_PORT`. Where another
            program has it when the child is to start, it gets another one: its record says which. 0 for none.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    port: int = 0


class Backoff:
    """How long to wait before the next start: 0.2 s, doubled each time up to 5 s, anew after 30 s of steady running."""

    def __init__(self) -> None:
        self._pauses = backoff.Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, chance=lambda: 1.0)  # one machine: none scatter

    def after(self, ran_s: float) -> float:
        """Return the pause in seconds after a run of *ran_s* seconds."""
        if ran_s >= STEADY_S:
            self._pauses.reset()
        return self._pauses.pause_s()


class Slot:
    """One child: its process if it runs, else when to start it.

    Args:
        child: What to run.
        folder: Where its record goes; its log goes to `logs` beside.
        now_s: Monotonic clock, seconds: it is due at once.
        log: Gets an event name and fields.
    """

    def __init__(self, child: Child, folder: Path, now_s: float, log: Log) -> None:
        self.child = child
        self._log = log
        self.process: Process | None = None
        self._folder = folder
        self._backoff = Backoff()
        self._started_s = now_s
        self._due_s: float | None = now_s
        self._starts = 0

    def tick(self, now_s: float, taken: Collection[int] = ()) -> float | None:
        """Notice an end, start what is due.

        Args:
            now_s: Monotonic clock, seconds.
            taken: Ports of the other children.

        Returns:
            When to look again at the latest, seconds of the same clock; None if only an event can change anything.
        """
        self._notice_end(now_s)
        if self._due_s is not None and self._due_s <= now_s:
            self._starts += 1
            self._started_s, self._due_s = now_s, None
            self._start(now_s, taken)
        return self._due_s

    def again(self, now_s: float) -> None:
        """Start it at once unless it runs, whatever it ended of: somebody says that the cause is gone."""
        self._notice_end(now_s)
        if self.process is None:
            self._backoff = Backoff()
            self._due_s = now_s

    @property
    def port(self) -> int:
        """The port that it has, else the one that it should have."""
        return self.process.port if self.process else self.child.port

    def _notice_end(self, now_s: float) -> None:
        if self.process is None or (status := self.process.reap()) is None:
            return
        self._record(msgspec.structs.replace(self.process, exit_status=status))
        self.process = None
        ran_s = now_s - self._started_s
        pause_s = None if status == MISCONFIGURED else self._backoff.after(ran_s)
        self._due_s = None if pause_s is None else now_s + pause_s
        self._log("ended", name=self.child.name, **how(status), ran_s=round(ran_s, 1), starts_again_in_s=pause_s)

    def _start(self, now_s: float, taken: Collection[int]) -> None:
        child = self.child
        log = self._folder.parent / "logs" / f"{child.name}.log"
        try:
            port = ports.choose(child.port, taken=taken) if child.port else 0
            if port != child.port:
                self._log("port_taken", name=child.name, port=child.port, instead=port)
            own = {HEALTH_PORT: str(port)} if port else {}
            # Unbuffered: a line that a full disk did not take is not tried again, at the latest when the process ends.
            env = {**os.environ, **child.env, **own, "PYTHONUNBUFFERED": "1"}
            self.process = Process.start(
                child.name, child.argv, records=self._folder, log=log, env=env, port=port, starts=self._starts
            )
        except OSError as fault:
            pause_s = self._backoff.after(0)
            self._due_s = now_s + pause_s
            self._log("not_started", name=child.name, what=str(fault), starts_again_in_s=pause_s)
            self._record(Process(child.name, 0, -1, str(log), 0, self._starts, NOT_STARTED, what=str(fault)))
        else:
            self._log("started", name=child.name, pid=self.process.pid, starts=self._starts)

    def _record(self, process: Process) -> None:
        try:
            process.record(self._folder)
        except OSError as fault:  # the disk is full: the record that is there names a process that is gone
            self._log("not_recorded", name=self.child.name, what=str(fault))


def how(status: int | None) -> dict[str, object]:
    """How a process ended, as fields of a line: its exit status, or the signal that ended it, or neither if unknown."""
    if status is not None and status < 0:
        return {"signal": signal.Signals(-status).name}
    return {"exit_status": status}


class Supervisor:
    """All children of one folder. Time is an argument; signals are `main`'s.

    Args:
        folder: Of their records.
        log: Gets an event name and fields.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self._log = log
        self._folder = folder
        self._slots: dict[str, Slot] = {}

    def want(self, children: Sequence[Child], now_s: float) -> None:
        """Make *children* what is to run: stop those that are not among them or that changed, add the new, and start
        those again that ended, of whatever cause."""
        wanted = {child.name: child for child in children}
        leaving = [name for name, slot in self._slots.items() if wanted.get(name) != slot.child]
        self._stop([self._slots.pop(name) for name in leaving])
        for child in children:
            if slot := self._slots.get(child.name):
                slot.again(now_s)
            else:
                self._stop_orphan(child.name)
                self._slots[child.name] = Slot(child, self._folder, now_s, self._log)

    def tick(self, now_s: float) -> float | None:
        """Notice ends, start what is due; return when to look again at the latest."""
        due = []
        for slot in self._slots.values():
            taken = [other.port for other in self._slots.values() if other is not slot]
            if (due_s := slot.tick(now_s, taken)) is not None:
                due.append(due_s)
        return min(due, default=None)

    def stop(self) -> None:
        """Stop all children: each is asked, and ended when it has not ended after 10 s."""
        self._stop(list(self._slots.values()))
        self._slots.clear()

    def _stop(self, slots: Sequence[Slot]) -> None:
        processes.stop_all([slot.process for slot in slots if slot.process], GRACE_S)
        for slot in slots:
            processes.forget(self._folder, slot.child.name)
            self._log("stopped", name=slot.child.name)

    def _stop_orphan(self, name: str) -> None:
        # Left by a supervisor that was killed: it is not our child, so we would not hear of its end.
        if orphan := processes.find(self._folder, name):
            orphan.stop(GRACE_S)


def keep_brokers(cluster: KafkaCluster, log: Log) -> NoReturn:
    """Start brokers that end by themselves again, for ever; after a pause, which doubles while that does not help."""
    pauses, started_s = Backoff(), time.monotonic()
    while True:
        try:
            if ended := cluster.ended():
                pause_s = pauses.after(time.monotonic() - started_s)
                for broker in ended:
                    log("ended", name=broker.name, pid=broker.pid, **how(broker.reap()), starts_again_in_s=pause_s)
                time.sleep(pause_s)
                cluster.start_ended()
                started_s = time.monotonic()
                for broker in ended:
                    again = processes.find(cluster.directory, broker.name)
                    log("started", name=broker.name, pid=again and again.pid)
        except (Unavailable, Misconfigured, OSError) as fault:
            log("not_started", what=str(fault))
        time.sleep(LOOK_S)


def write_children(folder: Path, children: Sequence[Child]) -> None:
    """Write `children.json`, for the owner's eyes only."""
    write_whole(folder / "children.json", msgspec.json.encode(children), mode=0o600)


def read_children(folder: Path) -> list[Child]:
    """Read `children.json`; an empty list if there is none."""
    try:
        return msgspec.json.decode((folder / "children.json").read_bytes(), type=list[Child])
    except FileNotFoundError:
        return []


def ask(folder: Path) -> str:
    """Write a new word to `asked`, before `children.json` and SIGHUP, and return it."""
    word = secrets.token_hex(8)
    write_whole(folder / _ASKED, word.encode())
    return word


def is_done(folder: Path, word: str) -> bool:
    """Tell whether the supervisor has carried out what `children.json` held when *word* was asked, or later."""
    return _read(folder / _DONE) == word


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def main(folder: Path, cluster: KafkaCluster | None = None) -> None:
    """Supervise until SIGTERM, or until *folder* is another one or none."""
    own = _identity(folder)
    logger = log.set_up("supervisor", "0", "info").info
    ears, mouth = socket.socketpair()
    ears.setblocking(False)
    mouth.setblocking(False)
    signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    if cluster:
        Thread(target=keep_brokers, args=(cluster, logger), name="brokers", daemon=True).start()
    supervisor = Supervisor(folder, logger)
    due_s = _carry_out(supervisor, folder, logger)
    while True:
        wait_s = LOOK_S if due_s is None else max(0.0, due_s - time.monotonic())
        select.select([ears], [], [], min(wait_s, LOOK_S))
        signals = _drain(ears)
        is_gone = _identity(folder) != own
        if is_gone:
            logger("folder_gone", folder=str(folder))
        if is_gone or signals & {signal.SIGTERM, signal.SIGINT}:
            supervisor.stop()
            return
        due_s = (
            _carry_out(supervisor, folder, logger) if signal.SIGHUP in signals else supervisor.tick(time.monotonic())
        )


def _carry_out(supervisor: Supervisor, folder: Path, log: Log) -> float | None:
    """Make what `children.json` names run; return when to look again at the latest."""
    word = _read(folder / _ASKED)  # first: what was written after it is carried out too
    supervisor.want(read_children(folder), time.monotonic())
    due_s = supervisor.tick(time.monotonic())
    try:
        write_whole(folder / _DONE, word.encode())
    except OSError as fault:
        log("not_recorded", name=_DONE, what=str(fault))
    return due_s


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one of its name; None where there is none."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _drain(ears: socket.socket) -> set[int]:
    try:
        return set(ears.recv(4096))
    except BlockingIOError:
        return set()


if __name__ == "__main__":
    _, run, *brokers = sys.argv
    main(Path(run), KafkaCluster(Path(brokers[0]), brokers=int(brokers[1])) if brokers else None)
