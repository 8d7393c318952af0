"""Redis on this machine: the system's `redis-server`, loopback only, nothing on disk.

What Redis holds here is a view that is rebuilt from the topics, so it need not outlive its process. A password or
TLS belongs to servers that others reach; this one listens on the loopback address.
"""

import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import ports, processes
from infra.local.processes import Process

CUSTOMARY_PORT = 6379
_NAME = "redis"
_ATTEMPTS = 3


class RedisServer:
    """A server whose record and log are in a folder.

    Args:
        directory: Its folder; made if absent. The same folder finds the server again.
        preferred_port: Port to listen on if it is free, 0 for any.
        memory_mb: Most that it stores, MiB; after that it refuses what is written.
    """

    def __init__(self, directory: Path, *, preferred_port: int = 0, memory_mb: int = 256) -> None:
        self._directory = directory.resolve()
        self._preferred_port = preferred_port
        self._memory_mb = memory_mb
        self._log = self._directory / "redis.log"

    @property
    def process(self) -> Process | None:
        """The server's process if it runs (or is paused)."""
        return processes.find(self._directory, _NAME)

    @property
    def url(self) -> str:
        """Address as clients want it. Raises `Unavailable` if the server does not run."""
        if (process := self.process) is None:
            raise Unavailable(f"Redis of {self._directory} does not run")
        return f"redis://{ports.LOOPBACK}:{process.port}/0"

    def start(self, timeout_s: float = 20.0) -> None:
        """Start the server unless it runs, and return when it answers.

        Raises:
            Unavailable: It ended or did not answer within *timeout_s*; the message names the log.
            Misconfigured: There is no `redis-server` on the PATH.
        """
        for attempt in range(_ATTEMPTS):
            process = self.process or self._launch(ports.choose(0 if attempt else self._preferred_port))
            try:
                self._wait(process, timeout_s)
            except Unavailable:
                # Somebody took the port after it was chosen.
                if attempt == _ATTEMPTS - 1 or process.alive() or ports.is_free(process.port):
                    raise
            else:
                return

    def _launch(self, port: int) -> Process:
        program = shutil.which("redis-server")
        if program is None:
            raise Misconfigured("redis-server is missing; install it with: sudo apt-get install redis-server")
        options = {
            "bind": ports.LOOPBACK,
            "port": str(port),
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{self._memory_mb}mb",
            "maxmemory-policy": "noeviction",
        }
        argv = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
        return Process.start(_NAME, argv, records=self._directory, log=self._log, cwd=self._directory, port=port)

    def _wait(self, process: Process, timeout_s: float) -> None:
        until = time.monotonic() + timeout_s
        while not _answers(process):
            if not process.alive():
                raise Unavailable(f"Redis ended: {processes.last_line(self._log)} (log: {self._log})")
            if time.monotonic() > until:
                raise Unavailable(f"Redis at port {process.port} does not answer (log: {self._log})")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop the server; what it held is gone."""
        if process := self.process:
            process.stop()
        processes.forget(self._directory, _NAME)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _answers(process: Process) -> bool:
    """Tell whether the Redis at its port answers and is this one: a port may belong to another by now."""
    try:
        with socket.create_connection((ports.LOOPBACK, process.port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(b"INFO server\r\n")  # a command's inline form needs no client
            return f"process_id:{process.pid}\r\n".encode() in connection.recv(4_096)
    except OSError:
        return False
