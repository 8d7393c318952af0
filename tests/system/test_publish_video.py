"""`catseye publish` of videos and streams against a real broker: what is damaged stays, and who is asked to stop says
what was sent."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from catseye.client import subscribe
from catseye.contract.records import Frame
from catseye.kafka.admin import create_topics
from catseye.settings import Settings
from infra.local.kafka import KafkaCluster
from tests.corpora.videos import RtspServer, grey, rtp_packets, write_video

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
PICTURES = [grey(number % 40) for number in range(50)]
LONG_S = 300.0


@pytest.fixture(scope="module")
def settings(broker: KafkaCluster) -> Settings:
    """Topics of this module's own."""
    own = Settings(
        kafka_bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"v-{uuid4().hex[:8]}.", replication_factor=1
    )
    create_topics(own)
    return own


def publishing(settings: Settings, folder: Path, *argv: str) -> subprocess.Popen[str]:
    """`catseye publish`, begun, with its names printed line by line."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "CATSEYE_TOPIC_PREFIX": settings.topic_prefix,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "catseye", "publish", *argv],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sent(settings: Settings, camera: str) -> list[str]:
    """Names of a camera's frames on the topic."""
    with subscribe(
        "frames", camera=camera, from_="beginning", until_end=True, settings=settings, timeout_s=LONG_S
    ) as all_:
        return [f"{frame.camera}/{frame.boot}/{frame.sequence}" for frame in all_ if isinstance(frame, Frame)]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_who_is_asked_to_stop_sends_all_and_says_what(settings: Settings, tmp_path: Path, signum: int) -> None:
    """By `docker stop` and systemd as by Ctrl-C: what was published is acknowledged, and `--json` names all of it."""
    camera = f"stopped-{signum}"
    write_video(tmp_path / "slow.mp4", PICTURES, stamps_ms=[200 * number for number in range(50)])
    argv = (str(tmp_path / "slow.mp4"), "--camera", camera, "--json", "stopped.json")
    with publishing(settings, tmp_path, *argv) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signum)
        out, err = process.communicate(timeout=LONG_S)
    printed = [line.partition("\t")[0] for line in [*first, *out.splitlines()]]
    written = json.loads((tmp_path / "stopped.json").read_text())
    assert (process.returncode, err) == (1, "stopped\n"), "a file that was not sent to its end is not done"
    assert 3 <= len(printed) < 50
    assert written == {"published": len(printed), "frames": printed, "dropped": {"damaged": 0, "late": 0}}
    assert sorted(sent(settings, camera)) == sorted(printed)


def test_a_stream_is_published_until_somebody_stops_it(settings: Settings, tmp_path: Path) -> None:
    """The camera is cut off in between and comes back; no password is shown; stopped is done."""
    with closing(RtspServer(rtp_packets(PICTURES[:25]), password="rosebud")) as server:
        argv = (server.address, "--camera", "live", "--json", "live.json")
        with publishing(settings, tmp_path, *argv) as process:
            assert process.stdout is not None
            first = [process.stdout.readline() for _ in range(40)]
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 0
    assert server.sessions >= 2
    assert "has ended; it is opened anew in" in err
    assert err.endswith("stopped\n")
    assert "rosebud" not in out + err + "".join(first)
    assert json.loads((tmp_path / "live.json").read_text())["published"] == len(sent(settings, "live")) >= 40


def test_a_damaged_video_is_not_published_as_whole(settings: Settings, tmp_path: Path) -> None:
    """What is whole of it is sent, what is not is counted; what cannot be read is named, and the rest is sent."""
    write_video(tmp_path / "whole.ts", PICTURES, gop=10)
    packets = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "noisy.ts").write_bytes(packets[: 188 * 20] + packets[188 * 24 :])
    (tmp_path / "text.mp4").write_bytes(b"no video" * 100)
    names = [str(tmp_path / name) for name in ("noisy.ts", "text.mp4", "whole.ts")]
    argv = (*names, "--camera", "damaged", "--fast", "--json", "damaged.json")
    with publishing(settings, tmp_path, *argv) as process:
        _, err = process.communicate(timeout=LONG_S)
    written = json.loads((tmp_path / "damaged.json").read_text())
    damaged = written["dropped"]["damaged"]
    assert process.returncode == 1
    assert 0 < damaged < 50
    assert written["published"] == len(sent(settings, "damaged"))
    assert 95 < written["published"] + damaged <= 100, "of a picture that is gone with its packets nobody knows"
    assert err.splitlines() == [
        f"not published: {names[0]}: {damaged} of its frames are damaged; the others were sent",
        f"not published: {names[1]} cannot be opened: neither a JPEG nor a video that FFmpeg reads",
        "2 of 3 could not be published; the rest was sent",
    ]
