"""What `docker compose build` would make of docker-compose.yml and the Dockerfiles, without an engine.

An image is a folder here: what its Dockerfile copies and .dockerignore lets through, and the environment that it sets.
"""

import re
import shlex
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS: dict[str, Any] = {
    name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("catseye-")
}
"""Services that run an image of ours."""
DOCKERFILES = {service["image"]: service["build"]["dockerfile"] for service in OURS.values() if "build" in service}
JOBS = [name for name, service in OURS.items() if service["restart"] == "no"]
"""Those that end, in the order of the file."""
_IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


@dataclass(frozen=True)
class Image:
    """One image.

    Attributes:
        folder: Stands for its root.
        env: What it sets, with its own paths.
        entrypoint: What the command of a container is put behind.
        work_dir: Where that starts.
    """

    folder: Path
    env: dict[str, str]
    entrypoint: list[str]
    work_dir: Path

    @property
    def python_path(self) -> str:
        """PYTHONPATH, with the paths that it has here."""
        return ":".join(str(self.folder / path.lstrip("/")) for path in self.env["PYTHONPATH"].split(":"))


def built(image: str, folder: Path) -> Image:
    """Make *image* in *folder*."""
    return built_by(ROOT / DOCKERFILES[image], folder)


def built_by(dockerfile: Path, folder: Path) -> Image:
    """Make the image of *dockerfile* in *folder*."""
    work_dir, env, entrypoint = folder, dict[str, str](), ""
    for line in dockerfile.read_text().replace("\\\n", " ").splitlines():
        instruction, _, rest = line.partition(" ")
        if instruction == "WORKDIR":
            work_dir = folder / rest.lstrip("/")
        elif instruction == "ENV":
            env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif instruction == "ENTRYPOINT":
            entrypoint = rest
        elif instruction == "COPY":
            source, target = rest.split()
            _copy(source, work_dir / target)
    return Image(folder, env, re.findall(r'"([^"]*)"', entrypoint), work_dir)


def let_through(path: str) -> bool:
    """Whether a file comes into the build: the last line that names it, or a folder that it is in, decides."""
    file = PurePosixPath(path)
    names = [str(file), *(str(folder) for folder in file.parents[:-1])]
    through = True
    for line in _IGNORED:
        if any(fnmatch(name, line.removeprefix("!")) for name in names):
            through = line.startswith("!")
    return through


def _copy(source: str, target: Path) -> None:
    """As COPY does: a file, or what is in a folder. Nothing to copy is an error, as it is there."""
    start = ROOT / source
    files = [start] if start.is_file() else [file for file in sorted(start.rglob("*")) if file.is_file()]
    files = [file for file in files if let_through(str(file.relative_to(ROOT)))]
    assert files, f"COPY {source}: .dockerignore lets nothing of it through"
    for file in files:
        to = target / file.relative_to(start) if start.is_dir() else target
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to)
