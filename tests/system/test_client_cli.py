"""The commands of `catseye` against a real broker."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from catseye.cli import main
from catseye.client import FrameId, subscribe
from catseye.client.config import publisher_config
from catseye.contract.codec import Codec
from catseye.contract.records import DeadLetter, DriftStatistic, Frame, Record
from catseye.contract.topics import TOPICS
from catseye.kafka.admin import admin, create_topics
from catseye.models.signing import PUBLIC
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from infra.local.services import Service
from tests.chaos.tiny_model import tiny_model
from tests.system.running import running

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
SOURCES = os.pathsep.join([str(ROOT / "shared"), str(ROOT)])
CROPS = ROOT / "infra" / "example" / "crops"
CAR = next((CROPS / "car").glob("*.jpg")).read_bytes()
CAMERAS = [f"cam-{number}" for number in range(20)]
LONG_S = 300.0  # no test waits so long unless it fails


@pytest.fixture(scope="module")
def settings(broker: KafkaCluster) -> Iterator[Settings]:
    """Topics of this module's own, gone after it."""
    own = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"client-{uuid4().hex[:8]}.",
        replication_factor=1,
    )
    names = create_topics(own)
    wait_until_known(own, names)
    yield own
    delete(own, names)


def wait_until_known(settings: Settings, topics: list[str]) -> None:
    """A broker says that a topic is created a moment before it lists it."""
    client = admin(settings)
    while not set(topics) <= client.list_topics(timeout=10).topics.keys():
        pass


def delete(settings: Settings, topics: list[str]) -> None:
    """Leave the broker as it was."""
    client = admin(settings)
    for gone in client.delete_topics(topics).values():
        gone.result(30)


def everything(settings: Settings, topic: str) -> list[Any]:
    """All records of a topic."""
    return list(subscribe(topic, settings=settings, from_="beginning", until_end=True, timeout_s=LONG_S))


def names(records: list[Any]) -> list[FrameId]:
    """Frames that records are about."""
    return [FrameId(record.camera, record.boot, record.sequence) for record in records]


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Exit status and standard output of a `catseye` command."""
    capsys.readouterr()
    try:
        main(list(argv))
    except SystemExit as ended:
        return int(ended.code or 0), capsys.readouterr().out
    raise AssertionError("a command ends the process")


def test_the_commands_do_what_they_say(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Topics, publish, label, watch, models and dead, by hand, against the broker."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", settings.topic_prefix)
    monkeypatch.setenv("CATSEYE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", SOURCES)  # a model is first looked at in a process of its own
    monkeypatch.chdir(tmp_path)

    status, out = command(capsys, "topics", "create", "--json", "-")
    assert (status, json.loads(out)) == (0, {"created": [], "there": len(TOPICS)})
    assert command(capsys, "topics", "create")[1] == f"0 topics created, {len(TOPICS)} were there\n"
    assert json.loads(command(capsys, "topics", "describe", "--json", "-")[1])["topics"][0] == {
        "name": f"{settings.topic_prefix}frames",
        "record": "Frame",
        "key": "camera",
        "kept": "24 h",
        "partitions": settings.partitions,
    }
    assert len(command(capsys, "topics")[1].splitlines()) == len(TOPICS) + 1

    for name in ("b.jpg", "a.JPEG", "notes.txt"):
        (tmp_path / name).write_bytes(CAR)
    out = command(capsys, "publish", str(tmp_path), str(tmp_path / "b.jpg"), "--camera", "by/hand")[1]
    frames, files = zip(*(line.split("\t") for line in out.splitlines()), strict=True)
    assert [Path(file).name for file in files] == ["a.JPEG", "b.jpg", "b.jpg"]
    by_hand = [frame for frame in everything(settings, "frames") if frame.camera == "by/hand"]
    assert [str(frame) for frame in names(by_hand)] == list(frames)
    (tmp_path / "a-odd.jpg").write_bytes(b"no picture")
    assert command(capsys, "publish", str(tmp_path / "a-odd.jpg"), "--camera", "x") == (1, "")
    status, out = command(capsys, "publish", str(tmp_path), "--camera", "one is odd")
    assert status == 1
    assert [Path(line.split("\t")[1]).name for line in out.splitlines()] == ["a.JPEG", "b.jpg"], "the rest is sent"
    (tmp_path / "a-odd.jpg").unlink()
    assert json.loads(command(capsys, "publish", str(tmp_path / "b.jpg"), "--camera", "x", "--json", "-")[1])[
        "published"
    ] == 1  # fmt: skip

    assert command(capsys, "label", "by/hand", frames[0], "car") == (0, f"{frames[0]}\tcar\n")
    boot_and_number = frames[1].removeprefix("by/hand/")
    assert command(capsys, "label", "by", boot_and_number, "--withdraw")[1] == f"by/{boot_and_number}\twithdrawn\n"
    reported = {label.camera: label.label for label in everything(settings, "labels") if label.boot in frames[0]}
    assert reported == {"by/hand": "car", "by": None}

    to_topic(settings, "statistics", STATISTIC)
    line = command(capsys, "watch", "statistics", "--json", "--from", "beginning", "--count", "1")[1]
    assert json.loads(line)["signal"] == "brightness"
    assert command(capsys, "watch", "alerts", "--timeout", "0.1") == (0, "")

    nobody = "no model yet: `catseye models register FILE --stage champion` names one\n"
    assert command(capsys, "models", "list") == (0, nobody)
    assert command(capsys, "models", "keys") == (0, f"{tmp_path / 'keys' / PUBLIC}\n")
    file = str(ROOT / "infra/example/vehicles.onnx")
    with running(settings.kafka_bootstrap_servers, tmp_path, settings.topic_prefix, [Service("rollout", 0)]):
        out = command(capsys, "models", "register", file, "--stage", "champion")[1]
    assert command(capsys, "models", "register", file, "--wait", "0.1") == (1, ""), "rollout is gone"
    model, version, _, stage = out.split()
    (row,) = json.loads(command(capsys, "models", "list", "--json", "-")[1])["models"]
    assert (row["model"], row["version"], row["stage"]) == (model, version, stage)
    assert len(command(capsys, "models", "list")[1].splitlines()) == 2
    assert command(capsys, "models", "register", str(tmp_path / "notes.txt")) == (1, "")


def test_refused_records_are_shown_and_sent_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Counted by reason, shown with their bytes, and back on their topic byte for byte."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", settings.topic_prefix)
    monkeypatch.chdir(tmp_path)
    assert command(capsys, "dead", "list") == (0, "no dead letters\n")
    frame = Codec().encode(Frame(camera="dead", boot="b", sequence=0, captured_at_ms=0, jpeg=CAR))
    letter = DeadLetter(
        dead_letter_id="d" * 32,
        service="ingest",
        reason="jpeg_corrupt",
        detail="it was raining",
        topic=f"{settings.topic_prefix}frames.rekeyed",
        partition=0,
        offset=7,
        written_at_ms=0,
        refused_at_ms=0,
        camera="dead",
        key=b"dead",
        value=frame,
    )
    to_topic(settings, "dead-letters", letter)
    status, out = command(capsys, "dead", "list", "--json", "-")
    listed = json.loads(out)
    assert (status, listed["count"], listed["by_reason"]) == (0, 1, {"jpeg_corrupt": 1})
    assert listed["newest"][0]["value_bytes"] == len(frame)
    assert f"{settings.topic_prefix}frames.rekeyed-0@7" in command(capsys, "dead", "list", "--camera", "dead")[1]
    assert command(capsys, "dead", "list", "--reason", "other")[1] == "no dead letters\n"
    assert "it was raining" in command(capsys, "dead", "show", "ddd", "--save", str(tmp_path / "bytes"))[1]
    assert (tmp_path / "bytes").read_bytes() == frame
    shown = json.loads(command(capsys, "dead", "show", "ddd", "--json", "-")[1])
    assert base64.b64decode(shown["value"]) == frame
    assert command(capsys, "dead", "show", "e") == (2, "")
    assert command(capsys, "dead", "replay", "ddd") == (0, "1 records sent again\n")
    assert json.loads(command(capsys, "dead", "replay", "--reason", "jpeg_corrupt", "--json", "-")[1])["replayed"] == 1
    again = [each for each in everything(settings, "frames") if each.camera == "dead"]
    assert [Codec().encode(each) for each in again] == [frame, frame]


STATISTIC = DriftStatistic(
    camera="gate",
    signal="brightness",
    phase="day",
    detector="d",
    at_ms=0,
    model="m",
    version="v",
    count=9,
    estimate=0.25,
    reference=0.5,
    reference_name="r",
    evidence=3.0,
    threshold=10.0,
    learning_left=0,
)


def to_topic(settings: Settings, topic: str, record: Record) -> None:
    """Write one record as a service would."""
    producer = Producer(publisher_config(settings))
    producer.produce(f"{settings.topic_prefix}{topic}", Codec().encode(record), b"key")
    assert producer.flush(LONG_S) == 0


BARE = """
import sys
sys.modules.update(dict.fromkeys(("onnxruntime", "onnx", "cv2", "simplejpeg", "river", "redis", "uvloop", "yaml")))
from catseye.cli import main
main()
"""
"""`catseye` as `pip install '.[cli]'` gives it: with the packages of that list, not with those of services."""


def test_a_person_can_roll_back_with_the_library_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From wherever the broker is reached; only `register`, which looks into the file, needs more, and says what."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", settings.kafka_bootstrap_servers)
    monkeypatch.setenv("CATSEYE_TOPIC_PREFIX", settings.topic_prefix)
    monkeypatch.setenv("CATSEYE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for file, colour in zip(files, ("red", "blue"), strict=True):
        file.write_bytes(tiny_model(("bike", colour), CAR))
    assert bare("models", "keys").returncode == 0
    versions = []
    with running(settings.kafka_bootstrap_servers, tmp_path, settings.topic_prefix, [Service("rollout", 0)]):
        for file in files:
            out = command(capsys, "models", "register", str(file))[1]
            versions.append(version := out.split()[1])
            assert out.endswith(f"`catseye models promote {version}`\n"), "what has to be done for it to predict"
        first, second = versions
        reported = [
            bare("models", "promote", first),
            bare("models", "reject", second),
            bare("models", "promote", second),
            bare("models", "rollback", "--model", "tiny"),
        ]
    assert [done.stdout for done in reported] == [
        f"tiny {first} is champion\n",
        f"tiny {second} is rejected\n",
        f"tiny {second} is champion\n",
        f"tiny {first} is champion\ntiny {second} is rejected\n",
    ], reported
    refused = bare("models", "register", str(files[0]))
    assert refused.returncode == 2
    assert "which needs the package onnxruntime" in refused.stderr
    assert refused.stderr.count("\n") == 1


def bare(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Run `catseye` without the packages of services."""
    return subprocess.run([sys.executable, "-c", BARE, *argv], capture_output=True, text=True, timeout=600, check=False)
