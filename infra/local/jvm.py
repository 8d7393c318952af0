"""How Kafka's Java programs are called: class path, options, and the archive that makes them start quickly."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from catseye.errors import Misconfigured, Unavailable

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".catseye" / "kafka"
LIBS = HOME / "libs"

OPTIONS = (
    "-XX:+UseSerialGC",
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


def run(argv: list[str], directory: Path) -> None:
    """Run a tool in *directory* to its end. Raises `Unavailable`, with what it said, if it fails."""
    done = subprocess.run(argv, cwd=directory, check=False, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{argv[-5:]} failed in {directory}: {(done.stderr or done.stdout).strip()}")


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
