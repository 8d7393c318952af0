"""A camera's RTSP stream as it is in the world: passwords by Digest, a size that changes, a clock that jumps, a cut."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from catseye.video.faults import Because
from tests.corpora.videos import RtspServer, grey, joined, road, rtp_packets
from tests.unit.test_video_feed import SHORT, levels, reason, source

ROOT = Path(__file__).parents[2]
CODECS = {"H264": "libx264", "H265": "libx265"}
PICTURES = [grey(number) for number in range(25)]
CARS = 3
LONG_S = 60


@pytest.fixture(scope="module", params=CODECS)
def encoding(request: pytest.FixtureRequest) -> str:
    """How a camera codes."""
    return str(request.param)


@pytest.fixture(scope="module")
def packets(encoding: str) -> list[bytes]:
    """A second of its stream."""
    return rtp_packets(PICTURES, CODECS[encoding])


def test_a_password_is_given_by_digest_and_a_wrong_one_is_a_sentence(packets: list[bytes], encoding: str) -> None:
    """As most cameras ask for it; neither password is shown."""
    with closing(RtspServer(packets, encoding=encoding, password="rosebud", digest=True, then="silence")) as server:
        assert len(levels(source(server.address), 20)) >= 20
        wrong = reason(server.address.replace("rosebud", "tulip"))
    assert wrong.because == Because.WRONG_PASSWORD
    assert str(wrong) == (
        f"rtsp://***@127.0.0.1:{server.port}/road cannot be opened: the server refuses this user and password (401)"
    )


@pytest.mark.parametrize("jumps_s", [3_600.0, -3_600.0, 86_400.0, -0.5])
def test_a_clock_that_jumps_moves_no_picture(packets: list[bytes], encoding: str, jumps_s: float) -> None:
    """Forth, back, and over the end of its 32 bits (13 hours): times go on by 40 ms, and none lies in the future."""
    from catseye.clock import now_ms

    stream = joined(packets, packets, packets, jumps_s=jumps_s)
    with closing(RtspServer(stream, encoding=encoding, then="silence")) as server:
        stop, times = threading.Event(), list[float]()
        for picture in source(server.address, patience=SHORT).pictures(stop):
            times.append(picture.at_s)
            assert picture.captured_at_ms <= now_ms()
            if len(times) == 70:
                stop.set()
    steps = np.diff(times)
    assert steps.min() > 0
    assert steps.max() < 0.5, steps


def test_a_size_that_changes_within_a_session_is_an_event(packets: list[bytes], encoding: str) -> None:
    """Somebody changed the camera's settings: no picture of either size is lost, the stream is not opened anew."""
    large = rtp_packets([grey(number, 96, 128) for number in range(25)], CODECS[encoding])
    events: list[str] = []
    with closing(RtspServer(joined(packets, large), encoding=encoding, then="silence")) as server:
        video, stop, shapes = source(server.address, events), threading.Event(), list[tuple[int, ...]]()
        for picture in video.pictures(stop):
            shapes.append(picture.luma.shape)
            if len(shapes) == 45:
                stop.set()
    assert shapes[:45] == [(48, 64)] * 25 + [(96, 128)] * 20
    assert video.openings == 1
    assert [line.partition("changed")[2] for line in events] == [" its pictures from 64 x 48 to 128 x 96 pixels"]


def test_roadside_counts_each_vehicle_once_through_a_cut_and_another_size(tmp_path: Path) -> None:
    """The camera is cut off, comes back at half its size, and changes it back within the session."""
    film = list(road(CARS, first=80))  # what comes while the background is learned may count twice
    half = [cv2.resize(picture, (160, 90), interpolation=cv2.INTER_AREA).astype(np.uint8) for picture in film]
    whole, small = rtp_packets(film), rtp_packets(half)
    argv = [sys.executable, "-m", "catseye", "roadside", "--camera", "road", "--dry-run", "--json", "road.json"]
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
    }
    with (
        closing(RtspServer(whole, password="rosebud", digest=True, after=joined(small, whole, small[:20]))) as server,
        subprocess.Popen(
            [*argv, server.address],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3 * CARS)]
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=LONG_S)
    assert (process.returncode, out) == (0, ""), "".join((*lines, err))
    assert [line.split("\t")[:2] for line in lines] == [[str(n + 1), "right"] for n in range(3 * CARS)]
    assert "is opened anew in" in err
    assert "from 160 x 90 to 320 x 180 pixels" in err
    assert "rosebud" not in err
    assert json.loads((tmp_path / "road.json").read_text())["by_direction"] == {"right": 3 * CARS}
