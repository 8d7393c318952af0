"""Clients that are not ours: kcat (librdkafka in C) and the console tools that come with Kafka (Java).

The console tools are handed two classes (`java/`) that write and read records with Apache Avro's own library, so that
what they publish and print has not touched a line of Catseye's codec.
"""

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from catseye.contract.errors import Misconfigured
from infra.kafka.clients import registry
from infra.local import jvm

SOURCES = Path(__file__).with_name("java")
PATIENCE_S = 60


class Kcat:
    """`kcat` against one cluster. Its partitioner is librdkafka's default: CRC-32 of the key.

    Args:
        bootstrap_servers: host:port,…

    Raises:
        Misconfigured: there is no kcat on the PATH.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        program = shutil.which("kcat") or shutil.which("kafkacat")
        if program is None:
            raise Misconfigured("kcat is missing: infra/test installs it")
        self._start = [program, "-q", "-b", bootstrap_servers]

    def publish(self, topic: str, key: str, file: Path) -> None:
        """Write the bytes of *file* as one record."""
        _output_of([*self._start, "-P", "-t", topic, "-k", key, str(file)])

    def read(self, topic: str, count: int) -> list[bytes]:
        """The first *count* committed values of *topic*; waits for them."""
        # %R is the length, 4 bytes big-endian, and %s the value as it is.
        options = ["-C", "-t", topic, "-o", "beginning", "-c", str(count), "-u", "-f", "%R%s"]
        output = _output_of([*self._start, *options, "-X", "isolation.level=read_committed"])
        values = []
        while output:
            (length,) = struct.unpack(">i", output[:4])
            values.append(output[4 : 4 + length])
            output = output[4 + length :]
        return values


class ConsoleTools:
    """Kafka's console producer and console consumer against one cluster.

    Args:
        bootstrap_servers: host:port,…
        folder: Gets the compiled classes, where it has not got them already.
        registry_url: Schema registry; empty where Confluent's wire format is not used.

    Raises:
        Misconfigured: the classes do not compile: Java's compiler is missing, or jars are.
    """

    def __init__(self, bootstrap_servers: str, folder: Path, registry_url: str = "") -> None:
        self._servers = ["--bootstrap-server", bootstrap_servers]
        self._registry = {"registry": registry_url} if registry_url else {}
        avro = next((registry.fetched() / "lib").glob("org.apache.avro.avro-*.jar"))
        *self._java, libraries = jvm.command("-XX:TieredStopAtLevel=1")
        self._classes = os.pathsep.join((libraries, str(avro), str(folder)))
        if not any(folder.rglob("*.class")):
            self._compile(folder)

    def _compile(self, folder: Path) -> None:
        if shutil.which("javac") is None:
            raise Misconfigured("javac is missing: install a JDK, for example openjdk-17-jdk-headless")
        options = ["-J-XX:TieredStopAtLevel=1", "-d", str(folder), "-cp", self._classes]
        _output_of(["javac", *options, *map(str, sorted(SOURCES.glob("*.java")))])

    def publish(self, topic: str, schema: Path, lines: Iterable[str]) -> None:
        """Write a frame for each line, see `java/FrameReader.java`; the partitioner is Java's own."""
        reader = ["--line-reader", "catseye.clients.FrameReader", *self._settings("--reader-property", schema)]
        argv = ["org.apache.kafka.tools.ConsoleProducer", *self._servers, "--topic", topic, "--sync", *reader]
        _output_of([*self._java, self._classes, *argv], "".join(f"{line}\n" for line in lines).encode())

    def read(self, topic: str, schema: Path, count: int) -> list[dict[str, Any]]:
        """The first *count* committed records of *topic*; waits for them."""
        options = ["--from-beginning", "--isolation-level", "read_committed", "--max-messages", str(count)]
        formatter = ["--formatter", "catseye.clients.RecordPrinter", *self._settings("--formatter-property", schema)]
        argv = ["org.apache.kafka.tools.consumer.ConsoleConsumer", *self._servers, "--topic", topic]
        wait = ["--timeout-ms", str(1_000 * PATIENCE_S)]
        output = _output_of([*self._java, self._classes, *argv, *options, *wait, *formatter])
        return [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]

    def _settings(self, option: str, schema: Path) -> Sequence[str]:
        settings: Mapping[str, str] = {"schema": str(schema), **self._registry}
        return [part for name, value in settings.items() for part in (option, f"{name}={value}")]


def _output_of(argv: Sequence[str], standard_input: bytes = b"") -> bytes:
    """Standard output of a program that ended well; otherwise its output is in the error."""
    ended = subprocess.run(argv, input=standard_input, capture_output=True, check=False, timeout=PATIENCE_S)
    if ended.returncode:
        raise Misconfigured(f"{' '.join(argv[-6:])} failed: {(ended.stderr or ended.stdout).decode()[-1_000:]}")
    return ended.stdout
