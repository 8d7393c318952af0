"""The service processes of a stack and their supervisor: start them, wait until they are ready, find them again."""

import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import processes
from infra.local.jvm import ROOT
from infra.local.processes import Process
from infra.local.services import Service, children, is_ready
from infra.local.supervise import (
    GRACE_S,
    MISCONFIGURED,
    Child,
    ask,
    is_done,
    read_children,
    write_children,
)

READY_S = 300.0
"""Far more than services take on a busy machine: who waits is told for what, and may stop waiting."""
REPORT_S = 10.0
"""Who waits is told so often for what."""
ANSWERS_S = 60.0
"""Longer than it takes the supervisor to end services that do not end when they are asked."""
ENDS_AGAIN_AND_AGAIN = 4
_SUPERVISOR = "supervisor"
_WORKER = re.compile(r"\w+-\d+")
_SETTINGS = ("CATSEYE_", "KAFKA_", "REDIS_URL", "SCHEMA_REGISTRY_URL")


class ServiceProcesses:
    """What one supervisor keeps running.

    Args:
        data_dir: The stack's folder: records go to `run/`, logs to `logs/`.
        report: Gets a line for people now and then while they wait.
    """

    def __init__(self, data_dir: Path, report: Callable[[str], None] = lambda _: None) -> None:
        self._data_dir = data_dir
        self._report = report
        self._run_dir = data_dir / "run"

    @property
    def children(self) -> list[Child]:
        """The processes of the last `up`."""
        return read_children(self._run_dir)

    @property
    def supervisor(self) -> Process | None:
        """Who starts them again, if it runs."""
        return processes.find(self._run_dir, _SUPERVISOR)

    @property
    def logs(self) -> list[Path]:
        """Logs of the services and of the supervisor, old ones too."""
        return logs_of(self._data_dir)

    def find(self, child: Child) -> Process | None:
        """Its process if it runs."""
        return processes.find(self._run_dir, child.name)

    def up(
        self,
        services: Sequence[Service],
        workers: Mapping[str, int],
        where: Mapping[str, str],
        brokers: Sequence[str],
        wait_until_settled: Callable[[Sequence[str]], None],
    ) -> None:
        """Start what does not run and return when all are ready.

        Args:
            services: What to start.
            workers: How many of each, by its name, where it is not one.
            where: Settings of all, beside those of the environment.
            brokers: Folder and size of the cluster that the supervisor keeps up too; empty if there is none.
            wait_until_settled: Called when workers have left, with the names of their services.

        Raises:
            Misconfigured: A service refused its settings.
            Unavailable: One did not get ready, or one that is to leave does not.
        """
        env = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)} | dict(where)
        supervisor = self.supervisor
        listed = self.children
        wanted = children(services, workers, env, listed if supervisor else [])
        before = {child.name: processes.read(self._run_dir, child.name) for child in wanted}
        word = ask(self._run_dir)
        write_children(self._run_dir, wanted)
        if supervisor:
            supervisor.hang_up()
        else:
            supervisor = Process.start(
                _SUPERVISOR,
                [sys.executable, "-m", "infra.local.supervise", str(self._run_dir), *brokers],
                records=self._run_dir,
                log=self._data_dir / "logs" / f"{_SUPERVISOR}.log",
                env={name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
                cwd=ROOT,
            )
        self._wait_until_done(supervisor, word)
        kept = {child.name for child in wanted}
        if left := {_service(child) for child in listed if child.name not in kept}:
            # Those who stay say that they are ready until they hear of it, so their group is asked.
            wait_until_settled(sorted(left))
        self._wait_until_ready(wanted, before)

    def down(self) -> bool:
        """Stop all, whatever is on record; tell whether any ran."""
        supervisor = self.supervisor
        if supervisor:
            supervisor.stop(GRACE_S + 5)
        # Normally none: the supervisor stops them.
        names = {path.stem for path in self._run_dir.glob("*-*.json")}
        orphans = [process for name in sorted(names) if (process := processes.find(self._run_dir, name))]
        processes.stop_all(orphans, GRACE_S)
        for name in (_SUPERVISOR, *names):
            processes.forget(self._run_dir, name)
        write_children(self._run_dir, [])
        return supervisor is not None or bool(orphans)

    def status(self) -> list[dict[str, Any]]:
        """Describe each, for JSON."""
        return [self._status(child) for child in self.children]

    def _status(self, child: Child) -> dict[str, Any]:
        last = processes.read(self._run_dir, child.name)
        running = self.find(child)
        return {
            "name": child.name,
            "pid": running.pid if running else None,
            "ready": self._is_ready(child),
            "health": f"http://127.0.0.1:{running.port if running else child.port}",
            "starts": running.starts if running else None,
            "log": str(self._data_dir / "logs" / f"{child.name}.log"),
            # Why it does not run: only a person can help it.
            "refuses": last.last_words if last and not running and last.exit_status == MISCONFIGURED else None,
        }

    def _is_ready(self, child: Child) -> bool:
        running = self.find(child)
        return running is not None and is_ready(running.port, running.pid)

    def _wait_until_done(self, supervisor: Process, word: str) -> None:
        """Wait until the supervisor has stopped and started what it was asked to."""
        until = time.monotonic() + ANSWERS_S
        while not is_done(self._run_dir, word):
            if not supervisor.alive():
                raise Unavailable(f"the supervisor ended: {supervisor.last_words} (log: {supervisor.log})")
            if time.monotonic() > until:
                raise Unavailable(
                    f"the supervisor does not answer after {ANSWERS_S:.0f} s (log: {supervisor.log}); "
                    "infra/stack down ends it, then infra/stack up starts another"
                )
            time.sleep(0.02)

    def _wait_until_ready(self, wanted: Sequence[Child], before: Mapping[str, Process | None]) -> None:
        """Wait until all are ready; what the records told *before* is of another start."""
        began_s = time.monotonic()
        until, report_s = began_s + READY_S, began_s + REPORT_S
        logs: dict[str, dict[int, int]] = defaultdict(dict)  # of each start that was seen, where its log begins
        # All at the same time: a worker that joins takes partitions from the others, who are not ready meanwhile.
        while waiting := [child for child in wanted if not self._is_ready(child)]:
            if time.monotonic() >= report_s:
                report_s += REPORT_S
                names = ", ".join(child.name for child in waiting)
                self._report(f"after {time.monotonic() - began_s:.0f} s not ready yet: {names}")
            for child in waiting:
                process = processes.read(self._run_dir, child.name)
                if process is not None and process != before[child.name]:
                    logs[child.name][process.starts] = process.log_from
                    _check(process, list(logs[child.name].values()))
                if time.monotonic() > until:
                    log = self._data_dir / "logs" / f"{child.name}.log"
                    raise Unavailable(f"{child.name} is not ready after {READY_S:.0f} s (log: {log})")
            time.sleep(0.05)


def _check(process: Process, logs: Sequence[int]) -> None:
    """Raise `Misconfigured` or `Unavailable` if there is nothing to wait for."""
    if process.exit_status == MISCONFIGURED:
        raise Misconfigured(f"{process.name} refuses to start: {process.last_words}")
    if len(logs) > ENDS_AGAIN_AND_AGAIN:
        words = process.what or processes.last_line(Path(process.log), logs[0])
        raise Unavailable(f"{process.name} ends again and again: {words} (log: {process.log})")


def logs_of(data_dir: Path) -> list[Path]:
    """Return the logs of services and supervisor in a data folder; those of installations lie beside."""
    paths = (data_dir / "logs").glob("*.log")
    return sorted(path for path in paths if path.stem == _SUPERVISOR or _WORKER.fullmatch(path.stem))


def _service(child: Child) -> str:
    return child.name.rpartition("-")[0]
