"""What an import brings with it: who publishes or asks for help waits for no package that is not used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "aiokafka",
    "authlib",
    "click",
    "confluent_kafka.schema_registry",
    "cryptography",
    "cv2",
    "fsspec",
    "httpx2",
    "jinja2",
    "numpy",
    "onnxruntime",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "rich",
    "stamina",
    "structlog",
}
CLIENT = {"confluent_kafka", "fastavro", "msgspec"}
COMMAND = """
import sys
from catseye.cli import main
try:
    main({argv!r})
except SystemExit as ended:
    assert not ended.code
"""


def brought(code: str) -> set[str]:
    """Packages of `HEAVY` and `CLIENT` that *code* leaves loaded."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"],
        env={"PYTHONPATH": f"{ROOT / 'shared'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (HEAVY | CLIENT) & set(done.stderr.split())


def test_the_sdk_brings_what_a_record_and_a_client_need() -> None:
    """No settings before a client is made, no registry before one is set; nothing of services."""
    assert brought("import catseye.client") == CLIENT
    assert brought("from catseye.client import Publisher, subscribe") == CLIENT


def test_the_check_sees_what_is_brought() -> None:
    """A client that is made needs settings, and asyncio's needs aiokafka: else this would prove nothing."""
    assert {"pydantic", "pydantic_settings"} <= brought("from catseye.settings import Settings; Settings()")
    assert "aiokafka" in brought("import catseye.client.aio")
    assert "confluent_kafka.schema_registry" in brought("import catseye.kafka.registry_client")


def test_help_brings_the_command_line_alone() -> None:
    """All commands are listed without loading one."""
    assert brought(COMMAND.format(argv=["--help"])) == {"click"}


@pytest.mark.parametrize(
    "command",
    [
        "topics",
        "topics create",
        "cameras list",
        "dead list",
        "dead replay",
        "watch",
        "publish",
        "label",
        "alerts list",
        "train",
    ],
)
def test_help_of_a_command_brings_the_sdk_at_most(command: str) -> None:
    """Settings, tables and what looks into pictures are loaded when the command runs."""
    assert brought(COMMAND.format(argv=[*command.split(), "--help"])) <= {"click", *CLIENT}


def test_what_infra_starts_keeps_what_it_compiled(tmp_path: Path) -> None:
    """Whatever the caller's environment says: in one folder below .catseye, and beside no source."""
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "bootstrap.sh").write_text((ROOT / "infra" / "bootstrap.sh").read_text())
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "imported.py").write_text("")
    subprocess.run(
        ["bash", "-c", 'source "$0/infra/bootstrap.sh" && "$1" -c "import imported"', tmp_path, sys.executable],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    kept = [path.relative_to(tmp_path).parts[:3] for path in tmp_path.rglob("imported.*.pyc")]
    assert kept == [(".catseye", "cache", "bytecode")]


@pytest.mark.parametrize("image", sorted((ROOT / "infra" / "docker").glob("*.Dockerfile")), ids=lambda path: path.stem)
def test_an_image_holds_what_python_compiles(image: Path) -> None:
    """Its user may write nothing there: what is not compiled when it is built is compiled at each start."""
    lines = image.read_text().splitlines()
    copied = [number for number, line in enumerate(lines) if line.startswith(("COPY shared", "COPY services"))]
    folders = "shared services" if any(lines[number].startswith("COPY services") for number in copied) else "shared"
    compiled = lines.index(f"RUN python -m compileall -q {folders}")
    assert max(copied) < compiled < lines.index("USER catseye")
    assert not any("--no-compile" in line for line in lines)


NEEDED = {
    "ingest": {"cv2", "numpy"},
    "inference": {"cryptography", "cv2", "fsspec", "numpy", "onnxruntime"},
    "ground_truth": {"numpy"},
    "drift": {"numpy"},
    "vehicles": set[str](),
    "incidents": set[str](),
    "rollout": set[str](),
}
RUNTIME = {"prometheus_client", "pydantic", "pydantic_settings", "rich", "structlog", *CLIENT}
"""What each service needs to start; structlog brings rich where it is installed."""


@pytest.mark.parametrize("service", NEEDED)
def test_a_service_brings_what_it_works_with(service: str) -> None:
    """No command line, no other client, no registry, no pictures where there are none: its start waits for each."""
    assert brought(f"import services.{service}.__main__") == RUNTIME | NEEDED[service]
