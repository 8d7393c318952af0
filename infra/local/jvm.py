"""How Kafka's Java programs are called: class path, options, and the archive that makes them start quickly."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from catseye.contract.errors import Misconfigured, Unavailable
from infra.local import processes

_TOLD = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:,.]+ (ERROR|FATAL) ")
_FAULT = re.compile(r"(Exception in thread .*|Error: .*|[\w.]+(Exception|Error)(:.*)?)$")

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".catseye" / "kafka"
LIBS = HOME / "libs"

# Measured with 1,500 records/s of 6 KB in transactions, one core, 512 MiB: the serial, parallel and G1 collectors cost
# the same CPU and stop the broker once in some seconds; G1's longest pause was the shortest: Kafka's own choice stays.
OPTIONS = (
    "-XX:TieredStopAtLevel=1",  # a cold broker compiles for 20 s on the core that the services need: p50 267 to 137 ms
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:MetaspaceSize=96m",  # Kafka loads about 60 MiB of classes; growing there takes full collections
    "-XX:-UsePerfData",  # its memory-mapped file stalls every thread when the disk is busy
    "-XX:+ExitOnOutOfMemoryError",
    f"-Dlog4j2.configurationFile={(ROOT / 'infra/kafka/log4j2.properties').as_uri()}",
)


def command(archive_option: str) -> list[str]:
    """Return the start of a command line, up to the class that is to run.

    Raises:
        Misconfigured: Java or Kafka's jars are missing.
    """
    return [_java(), archive_option, *OPTIONS, "-cp", _class_path()]


def environment() -> dict[str, str]:
    """Return the environment of a Java program: ours, with a locale that has all letters.

    Java opens no file whose path has a letter that its locale lacks, and cron, ssh and containers often set none, or
    one that is not installed. C.UTF-8 is there with glibc 2.35 and newer, on Debian, Ubuntu and Fedora also before.
    """
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def run(argv: Sequence[str], directories: Iterable[Path]) -> None:
    """Run a tool to its end in each of *directories*, all at once.

    Raises:
        Unavailable: It failed in one of them; the message holds what it said there.
    """
    tools = [
        (
            directory,
            subprocess.Popen(
                argv, cwd=directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ),
        )
        for directory in directories
    ]
    ended = [(directory, tool.communicate()[0], tool.returncode) for directory, tool in tools]
    for directory, output, status in ended:
        if status:
            raise Unavailable(f"{' '.join(argv[-5:])} failed in {directory}: {output.strip()}")


def last_words(log: Path, log_from: int) -> str:
    """Return why a program of Kafka ended, of what it wrote from byte *log_from* on: not the last frame of a trace."""
    lines = processes.words(log, log_from) or []
    told = [place for place, line in enumerate(lines) if _TOLD.match(line)]
    causes = [line for line in lines[told[-1] if told else 0 :] if line.startswith("Caused by: ")]
    if causes:
        return causes[-1].removeprefix("Caused by: ").strip()
    faults = [line for line in lines if _TOLD.match(line) or _FAULT.match(line)]
    return _TOLD.sub("", faults[-1]).strip() if faults else processes.last_line(log, log_from)


def class_archive(rehearse: Callable[[Path], None]) -> Path:
    """Return the archive of loaded classes (JEP 350) for this Java and these jars; make it if it is absent.

    Measured on 2 cores, Kafka 4.3.1, OpenJDK 17: a broker answers after 1.3 s and 2.0 CPU seconds with the archive,
    after 2.7 s and 4.5 CPU seconds without; making it takes 7 s. Java ignores an archive that does not fit.

    Args:
        rehearse: Writes an archive to the path that it is given.
    """
    made_of = f"{Path(_java()).resolve()} {_class_path()} {(LIBS / '.installed').read_text()}"
    archive = HOME / f"classes-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}.jsa"
    if archive.exists():
        return archive
    with (HOME / "classes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            fresh = archive.with_suffix(".new")
            rehearse(fresh)
            fresh.replace(archive)
    return archive


def _java() -> str:
    java = shutil.which("java")
    if java is None or not (LIBS / ".installed").exists():
        raise Misconfigured("Java or Kafka's jars are missing: infra/stack up and infra/test fetch them")
    return java


def _class_path() -> str:
    # In a fixed order: the archive holds only for the very class path that it was made with.
    return os.pathsep.join(str(jar) for jar in sorted(LIBS.glob("*.jar")))
