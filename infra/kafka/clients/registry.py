"""A schema registry on this machine: Apicurio Registry, which speaks the REST interface of Confluent's.

    with Registry(folder) as registry:
        settings = Settings(schema_registry_url=registry.url)

Confluent's own is on none of the package registries that a bare checkout fetches from. Apicurio 2.6 is the last line
that runs on Java 17 (3.3 is compiled for 21); Apache-2.0, 136 MB, fetched once. Its schemas live in an H2 file of the
folder, so that ids are the same again after a kill.
"""

import fcntl
import http.client
import shutil
import subprocess
import tarfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import ports, processes
from infra.local.jvm import ROOT
from infra.local.processes import Process

VERSION = "2.6.13.Final"
HOME = ROOT / ".catseye" / "registry"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_PATH = "/apis/ccompat/v7"
_NAME = "registry"


def fetched() -> Path:
    """Folder of the program; fetched first where it is not there.

    Raises:
        Misconfigured: Maven or Java is missing, or Maven could not fetch it.
    """
    HOME.mkdir(parents=True, exist_ok=True)
    program = HOME / VERSION
    with (HOME / "fetch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(program)
    return program


def _fetch(program: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Misconfigured("Maven, which fetches the schema registry, is missing: infra/test installs it")
    fetched = subprocess.run(
        [maven, "-q", "-B", _COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={HOME}"],
        check=False,
        capture_output=True,
        text=True,
    )
    if fetched.returncode:
        raise Misconfigured(f"Maven could not fetch the schema registry: {fetched.stdout[-500:]}")
    (packed,) = HOME.glob("*.tar.gz")
    fresh = HOME / "new"
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(packed) as archive:
        archive.extractall(fresh, filter="data")
    packed.unlink()
    fresh.rename(program)


class Registry:
    """A registry in a folder.

    Args:
        directory: Its log, its process record and its schemas.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = ports.choose()

    @property
    def url(self) -> str:
        """Address for `SCHEMA_REGISTRY_URL`; the same after `kill` and `start`."""
        return f"http://{ports.LOOPBACK}:{self._port}{_PATH}"

    def start(self, timeout_s: float = 90.0) -> None:
        """Start it and return when it answers. Raises `Unavailable` when it does not within *timeout_s*."""
        program = fetched()
        jar = program / f"apicurio-registry-app-{VERSION}-runner.jar"
        log = self._directory / "registry.log"
        started = Process.start(
            _NAME,
            [
                *("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"),
                f"-Dquarkus.http.host={ports.LOOPBACK}",
                f"-Dquarkus.http.port={self._port}",
                f"-Dquarkus.datasource.jdbc.url=jdbc:h2:file:{self._directory / 'schemas'}",
                *("-jar", str(jar)),
            ],
            records=self._directory,
            log=log,
            port=self._port,
        )
        until = time.monotonic() + timeout_s
        while not self._answers():
            if not started.alive() or time.monotonic() > until:
                raise Unavailable(f"the registry does not answer: {processes.last_line(log)} (log: {log})")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it with kill -9."""
        self._running().kill()

    def pause(self) -> None:
        """Stop it where it stands: it takes connections and answers nothing."""
        self._running().pause()

    def resume(self) -> None:
        """Let it go on."""
        self._running().resume()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if running := processes.find(self._directory, _NAME):
            running.stop()

    def _running(self) -> Process:
        running = processes.find(self._directory, _NAME)
        if running is None:
            raise Unavailable("the registry does not run")
        return running

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(ports.LOOPBACK, self._port, timeout=2)
        try:
            connection.request("GET", f"{_PATH}/subjects")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
