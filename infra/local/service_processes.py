"""The service processes of a stack and their supervisor: start them, wait until they are ready, find them again."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import ports, processes
from infra.local.jvm import ROOT
from infra.local.processes import Process
from infra.local.services import Service, children, is_ready
from infra.local.supervise import GRACE_S, MISCONFIGURED, Child, read_children, write_children

READY_S = 90.0
ENDS_AGAIN_AND_AGAIN = 4
_SUPERVISOR = "supervisor"
_SETTINGS = ("CATSEYE_", "KAFKA_", "REDIS_URL", "SCHEMA_REGISTRY_URL")


class ServiceProcesses:
    """What one supervisor keeps running.

    Args:
        data_dir: The stack's folder: records go to `run/`, logs to `logs/`.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._run_dir = data_dir / "run"

    @property
    def children(self) -> list[Child]:
        """The processes of the last `up`."""
        return read_children(self._run_dir)

    @property
    def supervisor(self) -> Process | None:
        """Who starts them again, if it runs."""
        return processes.find(self._run_dir, _SUPERVISOR)

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
        before = [child for child in listed if self._keeps_its_port(child)] if supervisor else []
        wanted = children(services, workers, env, before)
        if supervisor is None:
            for child in listed:
                self._forget_ended(child)
        write_children(self._run_dir, wanted)
        starts = {child.name: self._starts(child) for child in wanted}
        if supervisor is None:
            Process.start(
                _SUPERVISOR,
                [sys.executable, "-m", "infra.local.supervise", str(self._run_dir), *brokers],
                records=self._run_dir,
                log=self._data_dir / "logs" / f"{_SUPERVISOR}.log",
                env={name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
                cwd=ROOT,
            )
        elif wanted != listed:
            supervisor.hang_up()
            left = self._wait_until_left(listed, wanted)
            wait_until_settled(left)
        self._wait_until_ready(wanted, starts)

    def down(self) -> bool:
        """Stop all; tell whether any ran."""
        supervisor = self.supervisor
        if supervisor:
            supervisor.stop(GRACE_S + 5)
        # Normally none: the supervisor stops them.
        orphans = [process for child in self.children if (process := self.find(child))]
        processes.stop_all(orphans, GRACE_S)
        for name in (_SUPERVISOR, *(child.name for child in self.children)):
            processes.forget(self._run_dir, name)
        write_children(self._run_dir, [])
        return supervisor is not None or bool(orphans)

    def status(self) -> list[dict[str, Any]]:
        """Describe each, for JSON."""
        listed = []
        for child in self.children:
            running = self.find(child)
            listed.append(
                {
                    "name": child.name,
                    "pid": running.pid if running else None,
                    "ready": running is not None and is_ready(child.port, running.pid),
                    "health": f"http://127.0.0.1:{child.port}",
                    "starts": running.starts if running else None,
                    "log": str(self._log(child)),
                }
            )
        return listed

    def _log(self, child: Child) -> Path:
        return self._data_dir / "logs" / f"{child.name}.log"

    def _is_ready(self, child: Child) -> bool:
        running = self.find(child)
        return running is not None and is_ready(child.port, running.pid)

    def _keeps_its_port(self, child: Child) -> bool:
        return self.find(child) is not None or ports.is_free(child.port)

    def _forget_ended(self, child: Child) -> None:
        if self.find(child) is None:
            processes.forget(self._run_dir, child.name)

    def _starts(self, child: Child) -> int:
        process = processes.read(self._run_dir, child.name)
        return process.starts if process else 0

    def _wait_until_left(self, before: Sequence[Child], wanted: Sequence[Child]) -> list[str]:
        """Wait until workers that are not wanted any more are gone; return the names of their services.

        Those who stay say that they are ready until they hear of it, so their group is to be asked.
        """
        kept = {child.name for child in wanted}
        leaving = [child for child in before if child.name not in kept]
        until = time.monotonic() + GRACE_S + 5
        while left := [child for child in leaving if self.find(child)]:
            if time.monotonic() > until:
                raise Unavailable(f"{left[0].name} does not end (log: {self._log(left[0])})")
            time.sleep(0.05)
        return sorted({child.name.rpartition("-")[0] for child in leaving})

    def _wait_until_ready(self, wanted: Sequence[Child], starts: Mapping[str, int]) -> None:
        until = time.monotonic() + READY_S
        # All at the same time: a worker that joins takes partitions from the others, who are not ready meanwhile.
        while waiting := [child for child in wanted if not self._is_ready(child)]:
            for child in waiting:
                log = self._log(child)
                process = processes.read(self._run_dir, child.name)
                if process and process.exit_status == MISCONFIGURED:
                    raise Misconfigured(f"{child.name} refuses to start: {processes.last_line(log)}")
                if self._starts(child) - starts[child.name] >= ENDS_AGAIN_AND_AGAIN:
                    raise Unavailable(f"{child.name} ends again and again: {processes.last_line(log)} (log: {log})")
                if time.monotonic() > until:
                    raise Unavailable(f"{child.name} is not ready after {READY_S:.0f} s (log: {log})")
            time.sleep(0.05)
