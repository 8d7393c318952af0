"""Apache Kafka on this machine: one broker or three, KRaft, loopback only, as plain Java processes.

    with KafkaCluster(folder) as cluster:
        producer = Producer({"bootstrap.servers": cluster.bootstrap_servers})

The jars come from `infra/kafka/pom.xml` (`need_kafka` in `infra/bootstrap.sh`). Everything that a cluster writes is in
its folder: `cluster.json` (ports), and per broker `server.properties`, `data/`, its log and its process record. A
cluster outlives the program that started it unless that program stops it; the same folder finds it again.
"""

import fcntl
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import jvm, kafka_layout, ports, processes
from infra.local.fencing import is_fenced
from infra.local.files import if_full, write_whole
from infra.local.kafka_layout import Broker
from infra.local.processes import Process

CUSTOMARY_PORT = 9092
SIZES = (1, 3)
_PROPERTIES = "server.properties"
_ALONE = "controller-alone.properties"
_CLEAN = ".kafka_cleanshutdown"
"""A broker that was stopped cleanly leaves this file in its data."""
_METADATA = "__cluster_metadata-0"
"""The log of the controller, in its data: not there before the first start."""
_ATTEMPTS = 3
_FENCED_S = 1.0
_BEAT_MS = 100
"""A controller that is alone writes a record so often."""


class KafkaCluster:
    """A cluster in a folder.

    Args:
        directory: Its folder; made if absent. One that was used before is used again, data and all.
        brokers: 1 or 3. Three keep three copies of everything, two of which must be in sync.
        heap_mb: Upper bound of each broker's Java heap, MiB. Kafka keeps records in the page cache, not here.
        first_port: Preferred port of the first broker, 0 for any; the others and the controllers follow it.
        cpus: Cores that brokers may run on; None for all.
        settings: Lines of `server.properties` that replace or add to those chosen here.
        jvm_options: More options of the Java machine.

    Raises:
        Misconfigured: The folder holds a cluster of another size, or *brokers* is neither 1 nor 3.
    """

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 1,
        heap_mb: int = 512,
        first_port: int = 0,
        cpus: set[int] | None = None,
        settings: Mapping[str, str] | None = None,
        jvm_options: Sequence[str] = (),
    ) -> None:
        if brokers not in SIZES:
            raise Misconfigured(f"a cluster here has 1 or 3 brokers, not {brokers}")
        self.directory = directory.resolve()
        self._size = brokers
        self._heap_mb = heap_mb
        self._first_port = first_port
        self._cpus = cpus
        self._settings = dict(settings or {})
        self._jvm_options = tuple(jvm_options)
        self._layout = kafka_layout.read(self.directory)
        if self._layout and len(self._layout.brokers) != brokers:
            raise Misconfigured(f"{directory} holds a cluster of {len(self._layout.brokers)} brokers, not {brokers}")

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The nodes; empty before the first start."""
        return self._layout.brokers if self._layout else ()

    @property
    def bootstrap_servers(self) -> str:
        """Addresses as clients want them: `host:port,…`."""
        return ",".join(f"{ports.LOOPBACK}:{broker.port}" for broker in self.brokers)

    def process(self, node_id: int = 1) -> Process | None:
        """Return a broker's process if it runs (or is paused)."""
        return processes.find(self.directory, _name(node_id))

    @property
    def runs(self) -> bool:
        """Whether any of its brokers runs."""
        return any(self.process(broker.node_id) for broker in self.brokers)

    def start(self, timeout_s: float = 60.0) -> None:
        """Start the brokers that do not run and return when all answer.

        Raises:
            Unavailable: A broker ended, or they did not answer within *timeout_s*; the message names the log.
            Misconfigured: Java or Kafka's jars are missing.
        """
        with self._locked():
            self._start_all(timeout_s)
            self._marker.touch()

    def ended(self) -> list[Process]:
        """Return the brokers that ended by themselves: whoever stops or kills one through this class wants it down."""
        with self._locked():
            records = [processes.read(self.directory, _name(broker.node_id)) for broker in self.brokers]
            return [each for each in records if each and self._marker.exists() and each.ended()]

    def start_ended(self, timeout_s: float = 60.0) -> None:
        """Start those again, at their ports: their clients know no others. Raises as `start`."""
        with self._locked():
            if self._marker.exists():
                self._start_missing(timeout_s, first=True)

    def _start_all(self, timeout_s: float) -> None:
        if self.runs:
            self._start_missing(timeout_s)
            return
        for attempt in range(_ATTEMPTS):
            # Who lost a port to somebody who chose it at the same time would only meet them again at the next one.
            self._lay_out(customary=attempt == 0)
            try:
                self._start_missing(timeout_s, first=True)
            except Unavailable:
                # Somebody took a port after it was chosen: choose again, while no client knows the first choice.
                if attempt == _ATTEMPTS - 1 or not self._lost_a_port():
                    raise
                self._stop_all()
            else:
                return

    def _start_missing(self, timeout_s: float, *, first: bool = False) -> None:
        self._format()
        for broker in self.brokers:
            if self.process(broker.node_id) is None:
                if first and self._size == 1:
                    self._take_leadership_away(broker, timeout_s)
                self._start(broker)
        self.wait_until_ready(timeout_s)

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Return when every broker is known to every client that asks.

        Raises:
            Unavailable: A broker ended, or they did not answer within *timeout_s*; the message names the log.
        """
        until = time.monotonic() + timeout_s
        for broker in self.brokers:
            while not ports.listens(f"{ports.LOOPBACK}:{broker.port}"):
                self._check(broker, until)
                time.sleep(0.02)
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        while not self._complete(admin):
            for broker in self.brokers:
                self._check(broker, until)
            time.sleep(0.02)

    def _complete(self, admin: AdminClient) -> bool:
        """Tell whether all brokers are there, and are this cluster's: a port may belong to another one by now."""
        assert self._layout is not None
        try:
            found: Any = admin.list_topics(timeout=5)  # its type stub says that it has no cluster_id
        except KafkaException:
            return False  # not yet: the caller's deadline decides
        return bool(found.cluster_id == self._layout.cluster_id and len(found.brokers) == len(self.brokers))

    def _lost_a_port(self) -> bool:
        ended = [broker for broker in self.brokers if self.process(broker.node_id) is None]
        return any(not ports.is_free(port) for broker in ended for port in (broker.port, broker.controller_port))

    def stop(self, grace_s: float = 15.0) -> None:
        """Stop all brokers, cleanly where they do so within *grace_s*. Their data stays."""
        with self._locked():
            self._stop_all(grace_s)

    def _stop_all(self, grace_s: float = 15.0) -> None:
        self._marker.unlink(missing_ok=True)
        running = [process for broker in self.brokers if (process := self.process(broker.node_id))]
        processes.stop_all(running, grace_s)
        for broker in self.brokers:
            processes.forget(self.directory, _name(broker.node_id))

    def kill(self, node_id: int = 1) -> None:
        """End a broker with kill -9; it stays down until `start`, on the same port with the same data."""
        with self._locked():
            self._marker.unlink(missing_ok=True)
            self._running(node_id).kill()

    def pause(self, node_id: int = 1) -> None:
        """Stop a broker where it stands (SIGSTOP)."""
        self._running(node_id).pause()

    def resume(self, node_id: int = 1) -> None:
        """Let a paused broker go on (SIGCONT)."""
        self._running(node_id).resume()

    def restart(self, node_id: int = 1, *, timeout_s: float = 60.0) -> None:
        """Stop a broker cleanly and start it again, on the same port with the same data."""
        with self._locked():
            self._marker.unlink(missing_ok=True)
            self._running(node_id).stop(15.0)
        self.start(timeout_s)

    @property
    def _marker(self) -> Path:
        """There while a broker that ends is to be started again."""
        return self.directory / "wanted"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One start at a time: a supervisor may want the same."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._layout = kafka_layout.read(self.directory)
            yield

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()  # a broker that was not ready in time goes on else, and nobody knows of it
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self, node_id: int) -> Process:
        process = self.process(node_id)
        if process is None:
            raise Unavailable(f"broker {node_id} of {self.directory} does not run")
        return process

    def _check(self, broker: Broker, until: float) -> None:
        log = self._log(broker.node_id)
        if self.process(broker.node_id) is None:
            last = processes.read(self.directory, _name(broker.node_id))
            why = jvm.last_words(log, last.log_from if last else 0) + if_full(self.directory)
            raise Unavailable(f"Kafka's broker {broker.node_id} ended: {why} (log: {log})")
        if time.monotonic() > until:
            raise Unavailable(f"Kafka's broker {broker.node_id} at port {broker.port} does not answer (log: {log})")

    def _home(self, node_id: int) -> Path:
        return self.directory / _name(node_id)

    def _log(self, node_id: int) -> Path:
        return self._home(node_id) / "broker.log"

    def _lay_out(self, *, customary: bool) -> None:
        """Choose ports and write down all that a start needs."""
        first_port = self._first_port
        self._layout = kafka_layout.choose(self._layout, self._size, first_port=first_port, customary=customary)
        self.directory.mkdir(parents=True, exist_ok=True)
        kafka_layout.write(self.directory, self._layout)
        for broker in self.brokers:
            self._home(broker.node_id).mkdir(exist_ok=True)
            self._write_properties(broker, _PROPERTIES, self._properties(broker))

    def _write_properties(self, broker: Broker, name: str, properties: Mapping[str, str]) -> None:
        lines = (f"{key}={value}\n" for key, value in properties.items())
        write_whole(self._home(broker.node_id) / name, "".join(lines).encode())

    def _properties(self, broker: Broker) -> dict[str, str]:
        return kafka_layout.properties(broker, self.brokers) | self._settings

    def _format(self) -> None:
        assert self._layout is not None
        fresh = [home for node in self.brokers if not ((home := self._home(node.node_id)) / "data").exists()]
        if fresh:
            tool = [*jvm.command(self._archive_option()), "kafka.tools.StorageTool"]
            # With "=", since one id in 64 begins with a dash.
            jvm.run([*tool, "format", f"--cluster-id={self._layout.cluster_id}", "-c", _PROPERTIES], fresh)

    def _start(self, broker: Broker, properties: str = _PROPERTIES, port: int = 0, options: Sequence[str] = ()) -> None:
        home = self._home(broker.node_id)
        java = jvm.command(self._archive_option())
        Process.start(
            _name(broker.node_id),
            [*java, f"-Xmx{self._heap_mb}m", *self._jvm_options, *options, "kafka.Kafka", properties],
            records=self.directory,
            log=self._log(broker.node_id),
            env=jvm.environment(),
            cwd=home,
            cpus=self._cpus,
            port=port or broker.port,
        )

    def _take_leadership_away(self, broker: Broker, timeout_s: float) -> None:
        """Let a broker that was killed begin without partitions, as one does that was away for longer.

        Kafka 4.3.1 reads its transactions back while the restarted controller takes the partitions from the broker that
        was killed, finds no leader, believes that topics were deleted, and forgets the markers of what was committed
        (KAFKA-20734; decision 0005). Where the controller runs alone until it has fenced the broker, that is over
        before the broker begins.
        """
        data = self._home(broker.node_id) / "data"
        if not (data / _METADATA).exists() or (data / _CLEAN).exists():
            return
        alone = self._properties(broker) | {
            "process.roles": "controller",
            "listeners": f"CONTROLLER://{ports.LOOPBACK}:{broker.controller_port}",
            "broker.session.timeout.ms": str(round(_FENCED_S * 1_000)),
            "broker.heartbeat.interval.ms": "100",
            "metadata.max.idle.interval.ms": str(_BEAT_MS),
        }
        self._write_properties(broker, _ALONE, alone)
        self._start(broker, _ALONE, broker.controller_port, ("-Dcatseye.cluster.level=info",))
        process, until = self._running(broker.node_id), time.monotonic() + timeout_s
        while not is_fenced(processes.words(self._log(broker.node_id), process.log_from) or (), broker.node_id):
            self._check(broker, until)
            time.sleep(0.02)
        # It has decided so, and tells before it is on its log: there it is when two later records are.
        for _ in range(2):
            written = _size(data / _METADATA)
            while _size(data / _METADATA) == written:
                self._check(broker, until)
                time.sleep(0.02)
        process.stop(15.0)

    def _archive_option(self) -> str:
        return f"-XX:SharedArchiveFile={jvm.class_archive(_rehearse)}"


class _Rehearsal(KafkaCluster):
    """A broker that writes, when it ends, an archive of the classes that it had loaded."""

    def __init__(self, directory: Path, archive: Path) -> None:
        super().__init__(directory)
        self._archive = archive

    def _archive_option(self) -> str:
        return f"-XX:ArchiveClassesAtExit={self._archive}"


def _rehearse(archive: Path) -> None:
    print("preparing Kafka for quick starts (once, about 8 s)", file=sys.stderr)
    folder = jvm.HOME / "rehearsal"
    _Rehearsal(folder, archive).stop()  # left by one that was killed
    shutil.rmtree(folder, ignore_errors=True)
    with _Rehearsal(folder, archive) as cluster:
        cluster.stop(grace_s=60.0)
    shutil.rmtree(folder)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.log"))


def _name(node_id: int) -> str:
    return f"broker-{node_id}"
