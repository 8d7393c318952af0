"""The demo as a person calls it: one command, the promised object, nothing left behind."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.cimpl import NewTopic

from catseye.contract.topics import TOPICS
from catseye.kafka.admin import admin
from catseye.settings import Settings
from infra.local import processes
from infra.local.kafka import KafkaCluster

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "infra" / "demo"
KEYS = {
    *("frames_published", "accepted", "dead", "duplicates", "predictions", "lost", "repeated", "labels_published"),
    *("outcomes", "labels_unmatched", "accuracy", "accuracy_by_camera", "accuracy_timeline", "latency_ms", "alerts"),
    *("decisions", "models", "story", "pages", "setup_s", "duration_s"),
}
PUBLISHING_S = 8
RECORDS = ("run/supervisor", "run/*-[0-9]", "kafka/*/broker-*")


def environment() -> dict[str, str]:
    """That of a person: no setting of the test's own."""
    dropped = ("CATSEYE_", "KAFKA_", "REDIS_URL", "SCHEMA_REGISTRY_URL", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def running() -> set[str]:
    """Processes of demos that run now, by their records."""
    records = (path for pattern in RECORDS for path in ROOT.glob(f".catseye/demo/run-*/{pattern}.json"))
    return {str(path) for path in records if processes.find(path.parent, path.stem)}


@pytest.mark.broker
def test_the_demo_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """A short run from the command line: every key of the object, lost 0, repeated 0, a prediction for every accepted
    frame, and all processes gone."""
    before, out = running(), tmp_path / "out.json"
    options = ("--cameras", "3", "--fps", "10", "--duration", str(PUBLISHING_S), "--label-delay", "1", "--headless")
    done = subprocess.run(
        [DEMO, *options, "--json", out],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(out.read_text())
    assert set(figures) == KEYS
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    assert figures["predictions"] == figures["accepted"]
    assert figures["frames_published"] == figures["accepted"] + figures["dead"] + figures["duplicates"]
    assert figures["labels_published"] == figures["outcomes"] + figures["labels_unmatched"]
    assert figures["frames_published"] > 3 * 10 * PUBLISHING_S / 2
    assert figures["accuracy"] > 0.9
    assert set(figures["accuracy_by_camera"]) == {"cam-01", "cam-02", "cam-03"}
    assert figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"] <= figures["latency_ms"]["max"]
    assert [model["stage"] for model in figures["models"]] == ["champion"]
    assert running() <= before
    assert "What came of it" in done.stdout


@pytest.mark.broker
def test_whole_roads_are_counted(tmp_path: Path) -> None:
    """A film through roadside to vehicles: each has one record, and nothing is left behind."""
    before, out = running(), tmp_path / "out.json"
    options = ("--roads", "--cameras", "1", "--duration", "25", "--headless", "--json", str(out))
    done = subprocess.run(
        [DEMO, *options], capture_output=True, text=True, timeout=600, check=False, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(out.read_text())
    assert set(figures) == {
        *("roads", "vehicles", "counted", "accuracy_by_vehicle", "lost", "repeated", "pages", "duration_s")
    }
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    assert figures["counted"] == figures["vehicles"] == figures["roads"][0]["matched"] > 0
    assert running() <= before


def _heed_ctrl_c() -> None:
    """What a shell starts in the background inherits that Ctrl-C is ignored, and so would the demo."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.broker
def test_ctrl_c_stops_what_was_started(tmp_path: Path) -> None:
    """A demo that is interrupted takes everything with it and says so."""
    before = running()
    demo = subprocess.Popen(
        [DEMO, "--headless", "--duration", "120"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - no thread of this process holds a lock
    )
    assert demo.stdout is not None
    for reported in demo.stdout:
        if "publishing for" in reported:
            break
    assert running() > before
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=600)
    assert demo.returncode == 1
    assert "stopped before its end" in rest
    assert running() <= before


@pytest.mark.broker
def test_a_cluster_of_somebodys_own_is_left_as_it_was(broker: KafkaCluster, tmp_path: Path) -> None:
    """Also by a demo that is interrupted: the topics of its prefix are gone, and no others."""
    settings = Settings(kafka_bootstrap_servers=broker.bootstrap_servers)
    client = admin(settings)
    for made in client.create_topics(
        [NewTopic("demo-another.frames", num_partitions=1, replication_factor=1)]
    ).values():
        made.result()
    before = client.list_topics(timeout=10).topics.keys()
    demo = subprocess.Popen(
        [DEMO, "--headless", "--duration", "120"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment() | {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "CATSEYE_REPLICATION_FACTOR": "1"},
        cwd=tmp_path,
        start_new_session=True,
        preexec_fn=_heed_ctrl_c,  # noqa: PLW1509 - no thread of this process holds a lock
    )
    assert demo.stdout is not None
    for reported in demo.stdout:
        if "publishing for" in reported:
            break
    during = client.list_topics(timeout=10).topics.keys() - before
    demo.send_signal(signal.SIGINT)
    rest, _ = demo.communicate(timeout=600)
    assert "stopped before its end" in rest
    left = client.list_topics(timeout=10).topics.keys()
    assert len([name for name in during if name.startswith("demo-")]) >= len(TOPICS)
    assert {name for name in left if name.startswith("demo-")} == {"demo-another.frames"}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--scenario", "frog"], "there is no scenario frog; did you mean fog?"),
        (["--model", "nowhere.onnx"], "does not exist"),
        (["--label-share", "2"], "not in the range"),
        (["--roads", "--scenario", "fog"], "--roads plays films of its own; it takes no --scenario"),
        (["--json", "/dev/null/o.json"], "/dev/null/o.json cannot be written"),
        (["--frames", "Cars"], "vehicles.onnx knows no class Car"),
        (["--after", "Cars"], "--after: no JPEGs of bike"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_starts(options: list[str], expected: str, tmp_path: Path) -> None:
    """One sentence says what is wrong; the status is 2."""
    for name in ("Car", "pickup"):
        (tmp_path / "Cars" / name).mkdir(parents=True)
        (tmp_path / "Cars" / name / "1.jpg").write_bytes(b"looked at later")
    done = subprocess.run(
        [DEMO, *options], capture_output=True, text=True, timeout=600, check=False, env=environment(), cwd=tmp_path
    )
    assert done.returncode == 2
    assert expected in done.stderr
    assert "starting" not in done.stdout + done.stderr
