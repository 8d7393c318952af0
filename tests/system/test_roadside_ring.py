"""`catseye roadside` with a broker that does not answer for a while, and itself killed meanwhile."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catseye.client import subscribe
from catseye.contract.records import Frame
from catseye.kafka.admin import create_topics
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from services.ingest.window import CameraWindow, Verdict
from tests.corpora.videos import road, write_video

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
CARS = 6
LONG_S = 300.0


def roadside(settings: Settings, folder: Path) -> subprocess.Popen[str]:
    """`catseye roadside` of the film, begun."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "CATSEYE_TOPIC_PREFIX": settings.topic_prefix,
        "CATSEYE_DATA_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "catseye", "roadside", "road.mp4", "--camera", "road", "--json", "road.json"],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines that it prints: a vehicle each, which lies on disk by then."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def test_every_vehicle_counts_once_though_broker_and_roadside_fail(
    broker: KafkaCluster, prefix: str, tmp_path: Path
) -> None:
    """The broker stands still, roadside is killed; a new one starts without a broker: it sends what the first one left.

    Nothing of a boot is missing on the topic, and what came twice ingest's window takes for a repeat.
    """
    write_video(tmp_path / "road.mp4", list(road(CARS)), gop=50)
    settings = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, partitions=1, replication_factor=1
    )
    create_topics(settings)
    with roadside(settings, tmp_path) as first:
        seen = lines(first, 2)
        broker.pause()  # what is under way then lies in its socket
        try:
            seen += lines(first, 2)
            first.kill()
            with roadside(settings, tmp_path) as second:
                again = lines(second, 2)
                broker.resume()
                out, err = second.communicate(timeout=LONG_S)
        finally:
            broker.resume()
    with subscribe("frames", from_="beginning", until_end=True, settings=settings, timeout_s=LONG_S) as frames:
        arrived = [frame for frame in frames if isinstance(frame, Frame)]
    assert second.returncode == 0, err
    assert "frames of before wait in" in err
    assert "no Kafka broker answers" in err
    report = json.loads((tmp_path / "road.json").read_text())
    assert report["vehicles"] == len(again) + len(out.splitlines()) == CARS
    assert (report["ring"]["waiting"], report["ring"]["dropped"]) == (0, {})
    window = CameraWindow()
    counted = [frame for frame in arrived if window.take(frame.boot, frame.sequence, 1) is Verdict.NEW]
    boots = list(dict.fromkeys(frame.boot for frame in counted))
    assert len(boots) == 2, "those of the first go first"
    for boot in boots:
        numbers = [frame.sequence for frame in counted if frame.boot == boot]
        assert numbers == list(range(len(numbers)))
    tracks = [{frame.track for frame in counted if frame.boot == boot and frame.track} for boot in boots]
    assert len(seen) <= len(tracks[0]) <= CARS, "one that it was printing may be there besides"
    assert len(tracks[1]) == CARS
    assert len(arrived) == len(counted) + window.duplicates
