"""The library as people install it: the wheel, in an environment that has nothing else."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from catseye.contract.codec import Codec
from catseye.contract.records import Prediction
from catseye.kafka.admin import admin, create_topics
from catseye.kafka.producing import produce
from catseye.kafka.reading import read_to_end
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
FOR_SERVICES_AND_COMMANDS = "click cryptography cv2 fsspec jinja2 numpy onnxruntime prometheus_client rich structlog"
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
PREDICTION = Prediction(
    camera="gate-7",
    boot="b",
    sequence=99,
    captured_at_ms=1,
    received_at_ms=2,
    predicted_at_ms=3,
    prediction_id="p",
    model="m",
    version="v",
    role="champion",
    frame_partition=0,
    frame_offset=0,
    label="truck",
    probabilities={"car": 0.25, "truck": 0.75},
    brightness=0.5,
    contrast=0.1,
    sharpness=1.0,
    dark_share=0.0,
    bright_share=0.0,
    perceptual_hash=0,
    model_sha256="",
    embedding=[],
)


def called(
    *argv: str | Path, cwd: Path = ROOT, status: int = 0, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program without a path to our sources."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(each) for each in argv],
        env={name: value for name, value in inherited.items() if not name.startswith("CATSEYE_")} | variables,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


class Installed:
    """An environment of its own with a wheel of these sources.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv" / "bin"
        if UV:
            called(UV, "build", "--wheel", "--out-dir", folder, ROOT)
            called(UV, "venv", "--python", sys.executable, folder / "venv")
        else:
            called(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", folder, ROOT)
            called(sys.executable, "-m", "venv", folder / "venv")
        (self._wheel,) = folder.glob("catseye-*.whl")
        self.add("")

    def add(self, extra: str) -> None:
        """Install the wheel with an extra, in brackets."""
        python, wheel = self.bin / "python", f"{self._wheel}{extra}"
        if UV:
            called(UV, "pip", "install", "-q", "--python", python, wheel)
        else:
            called(python, "-m", "pip", "install", "-q", wheel)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With the bare wheel."""
    return Installed(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def settings(broker: KafkaCluster, prefix: str) -> Iterator[Settings]:
    """Topics of this test's own, gone after it."""
    own = Settings(kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, replication_factor=1)
    names = create_topics(own)
    yield own
    client = admin(own)
    for gone in client.delete_topics(names).values():
        gone.result(30)


def test_the_bare_wheel_publishes_and_subscribes(installed: Installed, settings: Settings) -> None:
    """README's first two pieces of Python run as they stand there, with what `pip install` brings and no more."""
    produce(settings, Codec(), "predictions", PREDICTION)
    publish, subscribe = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[:2]
    alone = (
        "import sys, catseye, importlib.util as u\n"
        "assert catseye.__file__.startswith(sys.prefix), catseye.__file__\n"
        f"assert not [name for name in {FOR_SERVICES_AND_COMMANDS.split()} if u.find_spec(name)]\n"
    )
    reported = [
        called(
            installed.bin / "python",
            "-P",
            "-c",
            alone + piece,
            KAFKA_BOOTSTRAP_SERVERS=settings.kafka_bootstrap_servers,
            CATSEYE_TOPIC_PREFIX=settings.topic_prefix,
        ).stdout
        for piece in (publish, subscribe)
    ]
    assert re.fullmatch(r"last frame: gate-7/\w+/99\n", reported[0])
    assert len(list(read_to_end(settings, "frames"))) == 100
    assert reported[1] == "gate-7 b 99 truck\n{'car': 0.25, 'truck': 0.75}\n"


def test_the_command_says_which_extra_it_needs_and_runs_with_it(installed: Installed, tmp_path: Path) -> None:
    """One sentence from the bare wheel; a replay, which the services' code does, says where that is."""
    command = installed.bin / "catseye"
    refused = called(command, "topics", status=2, cwd=tmp_path)
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "`pip install '.[cli]'`" in refused.stderr
    code = "from catseye.client import Publisher; Publisher(camera='a')"
    away = "http://127.0.0.1:1"
    failed = called(installed.bin / "python", "-c", code, status=1, cwd=tmp_path, SCHEMA_REGISTRY_URL=away)
    assert "`pip install '.[registry]'`" in failed.stderr

    installed.add("[cli]")
    assert "alerts" in called(command, "--help", cwd=tmp_path).stdout
    assert "CATSEYE_PARTITIONS" in called(command, "settings", cwd=tmp_path).stdout
    template = "from catseye.ops.card import page; page._template()"
    called(installed.bin / "python", "-P", "-c", template, cwd=tmp_path)
    replay = called(command, "replay", "--model", "m.onnx", status=2, cwd=tmp_path).stderr
    assert replay.count("\n") == 1
    assert "call `catseye replay` in a checkout of Catseye" in replay
    assert "runtime.txt` installs it" in called(command, "replay", "--model", "m.onnx", status=2).stderr
