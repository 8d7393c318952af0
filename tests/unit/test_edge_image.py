"""The image that stands beside a camera runs `catseye roadside`, and no other image has a GPL part."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.simulation.images import built_by

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "infra" / "docker"
REQUIREMENTS = ROOT / "infra" / "requirements"
GPL = {"av": ("libx264", "libx265")}  # which its FFmpeg, by itself under the LGPL, links


def versions(name: str) -> dict[str, str]:
    """What a file of requirements installs."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", (REQUIREMENTS / f"{name}.txt").read_text(), re.MULTILINE)
    return {package.lower().replace("_", "-"): version for package, version in found}


def installed(dockerfile: Path) -> set[str]:
    """Packages of an image, of all files that its `pip install` reads."""
    files = re.findall(r"-r infra/requirements/([\w.]+)\.txt", dockerfile.read_text())
    assert files
    return {package for file in files for package in versions(file)}


@pytest.mark.parametrize("dockerfile", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_only_the_edge_image_has_a_gpl_part(dockerfile: Path) -> None:
    """And it has no service; the check finds the part where it is."""
    assert (GPL.keys() <= installed(dockerfile)) == (dockerfile.stem == "edge")
    assert ("COPY services" in dockerfile.read_text()) == (dockerfile.stem != "edge")


@pytest.mark.parametrize("package", GPL)
def test_a_gpl_part_is_one_by_what_its_wheel_carries(package: str) -> None:
    """So that a build without it is noticed, and may go elsewhere."""
    carried = {path.name for path in distribution(package).files or [] if path.parts[0] == f"{package}.libs"}
    assert [part for part in GPL[package] if not any(name.startswith(part) for name in carried)] == []


def test_the_edge_image_has_what_its_extras_ask_for_as_it_was_tested() -> None:
    """Of the bare wheel, `cli` and `video`; the versions are those of the tests' environment, each with its hashes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {re.split("[>=<~]", each)[0] for each in project["dependencies"] + extras["cli"] + extras["video"]}
    edge, tested = versions("edge"), versions("test")
    assert asked - edge.keys() == set()
    assert edge.items() <= tested.items()
    stanzas = (REQUIREMENTS / "edge.txt").read_text().split("==")[1:]
    assert all("--hash=sha256:" in stanza for stanza in stanzas)


def test_the_edge_image_runs_roadside(tmp_path: Path) -> None:
    """Of the files that its Dockerfile copies, by the environment that it sets."""
    image = built_by(DOCKER / "edge.Dockerfile", tmp_path)
    assert image.entrypoint[:4] == ["python", "-m", "catseye", "roadside"]
    argv = [sys.executable, *image.entrypoint[1:-1], "0"]  # any port
    environ = image.env | {"PYTHONPATH": image.python_path, "CATSEYE_DATA_DIR": str(tmp_path / "data")}
    for more, status, says in (
        (["--help"], 0, "Publish the vehicles of SOURCE"),
        (["none.mp4", "--camera", "gate-7", "--dry-run"], 2, "none.mp4 cannot be opened: no such file"),
    ):
        done = subprocess.run(
            [*argv, *more], cwd=image.work_dir, env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, says in done.stdout + done.stderr) == (status, True), done.stderr
    assert "health: http://0.0.0.0:" in done.stderr, "its HEALTHCHECK asks there"
