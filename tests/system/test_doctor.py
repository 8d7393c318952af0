"""`catseye doctor` on real services: each hop that does not answer is named; nobody takes its camera for one."""

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from catseye.cli.doctor import HOPS
from catseye.client import Publisher
from catseye.contract.identity import DOCTOR
from catseye.kafka.admin import create_topics
from infra.local.kafka import KafkaCluster
from infra.local.services import PASSING_WATCHING
from tests.system.running import CROPS, ROOT, Running, catseye, running, wait_until

pytestmark = pytest.mark.broker

MODEL = ROOT / "infra" / "example" / "vehicles.onnx"
PATIENCE_S, IMPATIENCE_S = 60, 10
"""For a service that answers, and for one that does not, which takes all of it."""


def command(*argv: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit status and standard output of a `catseye` command, which says nothing on standard error."""
    status, out, err = catseye(*argv, environment=environment)
    assert err == ""
    return status, out


def doctor(timeout_s: int = PATIENCE_S, environment: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """Exit status and answer."""
    status, out = command("doctor", "--timeout", str(timeout_s), "--json", "-", environment=environment)
    return status, json.loads(out)


@pytest.fixture(scope="module")
def watching(broker: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Services that predict, join and watch."""
    folder = tmp_path_factory.mktemp("doctor")
    with running(
        broker.bootstrap_servers,
        folder,
        "doctor-test.",
        PASSING_WATCHING,
        model=MODEL.read_bytes(),
        variables={"CATSEYE_PARTITIONS": "2"},
    ) as found:
        yield found


def test_all_hops_answer_and_the_marked_camera_is_none(watching: Running) -> None:
    """By JSON and in words; drift knows of the cameras that there are, and of the doctor's nothing."""
    status, found = doctor()
    assert (status, found["healthy"], found["silent"]) == (0, True, None)
    assert [hop["hop"] for hop in found["hops"]] == list(HOPS)
    assert all(hop["answered"] and hop["ms"] >= 0 for hop in found["hops"])
    assert command("cameras", "list") == (0, "no camera was seen yet\n")
    picture = next((CROPS / "car").glob("*.jpg")).read_bytes()
    with Publisher(watching.settings, camera="gate") as publisher:
        publisher.publish(picture)
    wait_until(lambda: len(watching.records("drift.reports")) > 0, "a report of the camera")
    status, out = command("doctor", "--timeout", str(PATIENCE_S))
    assert (status, out.splitlines()[-1], len(out.splitlines())) == (0, "all hops answer", len(HOPS) + 1)
    (listed,) = json.loads(command("cameras", "list", "--json", "-")[1])["cameras"]
    assert (listed["camera"], listed["accuracy"], listed["alarms"]) == ("gate", None, [])
    assert listed["learning_left"] > 0
    assert "learning" in command("cameras", "list")[1]
    assert {prediction.camera for prediction in watching.records("predictions")} == {DOCTOR, "gate"}


def test_what_came_again_is_shown(watching: Running) -> None:
    """Frames that were dropped, by the doctor and for each camera; labels that said nothing new, for each camera."""
    picture = next((CROPS / "car").glob("*.jpg")).read_bytes()
    for _ in range(3):  # one that loses count and knows its boot
        with Publisher(watching.settings, camera="twice", boot="b") as publisher:
            frame = publisher.publish(picture)
    with Publisher(watching.settings) as publisher:
        for _ in range(2):
            publisher.label(*frame, "car")
    wait_until(lambda: len(watching.records("frames.repeated")) == 2, "two frames that came again")
    wait_until(lambda: len(watching.records("labels.unmatched")) == 1, "a label that came again")
    wait_until(lambda: "twice" in {each.camera for each in watching.records("drift.reports")}, "a report")
    assert doctor()[1]["frames_repeated"] == {"twice": 2}
    assert "frames that came again and were dropped: 2 of twice" in command("doctor")[1]
    listed = json.loads(command("cameras", "list", "--json", "-")[1])["cameras"]
    assert {each["camera"]: (each["frames_repeated"], each["labels_repeated"]) for each in listed}["twice"] == (2, 1)
    assert re.search(r"^twice .* 2, 1 ", command("cameras", "list")[1], re.MULTILINE)


def test_frames_are_published_predicted_labelled_and_known_by_camera(watching: Running, tmp_path: Path) -> None:
    """`publish --wait` prints each prediction and ends with status 0; labels come by folder and from a CSV, whose
    wrong one shows in the accuracy of its camera though no frame comes after it. They leave in a file, with their
    pictures, and come back with a correction."""
    picture = next((CROPS / "car").glob("*.jpg"))
    options = ("--camera", "folders", "--wait", "--timeout", str(PATIENCE_S))
    status, out = command("publish", str(picture), str(picture.parent / picture.name), *options, "--label-by-folder")
    rows = [line.split("\t") for line in out.splitlines()]
    assert (status, [row[2] for row in rows]) == (0, [str(picture)] * 2)
    assert all(row[1].startswith("car ") for row in rows)
    status, out = command("publish", str(picture), *options, "--json", "-")
    found = json.loads(out)
    assert (status, found["published"], found["refused"]) == (0, 1, {})
    assert [each["label"] for each in found["predictions"]] == ["car"]
    labels = tmp_path / "labels.csv"
    labels.write_text(f"frame,label,source\n{found['frames'][0]},truck,audit\n")
    assert command("label", "--from-csv", str(labels), "--json", "-") == (0, '{\n "labels": 1\n}\n')

    def accuracy() -> float | None:
        listed = json.loads(command("cameras", "list", "--json", "-")[1])["cameras"]
        return next((each["accuracy"] for each in listed if each["camera"] == "folders"), None)

    shown = []

    def shows() -> bool:
        shown.append(accuracy())
        return shown[-1] not in (None, 1.0)

    wait_until(shows, "the wrong prediction shows")
    assert shown[-1] == pytest.approx(2 / 3, abs=0.01)  # none of the three labels was lost
    outcomes = [each for each in watching.records("outcomes") if each.camera == "folders"]
    assert sorted((each.label, each.source) for each in outcomes) == [
        ("car", "person"),
        ("car", "person"),
        ("truck", "audit"),
    ]
    file, pictures = tmp_path / "out.json", tmp_path / "pictures"
    asked = ("labels", str(file), "--camera", "folders", "--pictures", str(pictures), "--json", "-", "--as")
    for form in ("csv", "label-studio", "coco"):
        status, out = command(*asked, form)
        assert (status, json.loads(out)) == (0, {"labels": 3, "pictures": 3, "pictures_gone": 0})
    assert {path.read_bytes() for path in pictures.rglob("*.jpg")} == {picture.read_bytes()}
    file.write_text(file.read_text().replace('"truck"', '"pickup"'))  # as somebody corrected it elsewhere
    assert command("label", "--from-coco", str(file), "--json", "-") == (0, '{\n "labels": 3\n}\n')

    def corrected() -> bool:
        return "pickup" in {each.label for each in watching.records("outcomes") if each.change == "corrected"}

    wait_until(corrected, "a label with a later time replaces the earlier one")


@pytest.mark.parametrize("service", ["inference", "drift"])
def test_a_service_that_stands_still_is_named(watching: Running, service: str) -> None:
    """And answers again when it goes on."""
    process = watching.process(service)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        status, found = doctor(IMPATIENCE_S)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert (status, found["healthy"], found["silent"]) == (1, False, service)
    assert [hop["answered"] for hop in found["hops"]] == [True] * HOPS.index(service) + [False]
    assert doctor()[1]["healthy"]


def test_what_is_not_there_is_named(broker: KafkaCluster, watching: Running, tmp_path: Path) -> None:
    """A broker, topics, workers; a frame that is refused says why."""
    assert doctor(environment={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})[1]["silent"] == "broker"
    nothing = {"CATSEYE_TOPIC_PREFIX": "doctor-nothing."}
    status, found = doctor(environment=nothing)
    assert (status, found["silent"]) == (1, "topics")
    assert "catseye topics create" in found["hops"][-1]["says"]
    settings = watching.settings.__class__(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix="doctor-nothing.", partitions=2
    )
    create_topics(settings)
    found = doctor(1, nothing)[1]
    assert found["silent"] == "ingest"
    assert "no worker takes part" in found["hops"][-1]["says"]
    ingest = [service for service in PASSING_WATCHING if service.name == "ingest"]
    with running(
        broker.bootstrap_servers,
        tmp_path,
        "doctor-nothing.",
        ingest,
        variables={"CATSEYE_INGEST_JPEG_MAX_BYTES": "100"},
    ):
        refused_here = doctor(IMPATIENCE_S)[1]
        found = doctor(IMPATIENCE_S, {"CATSEYE_INGEST_JPEG_MAX_BYTES": "100000"})[1]
    assert refused_here["silent"] == "publish"
    assert "jpeg_too_large" in refused_here["hops"][-1]["says"]
    assert found["silent"] == "ingest"
    assert "refused the frame: jpeg_too_large" in found["hops"][-1]["says"]
