"""Videos and streams are decoded in a child: its death is a reason, damaged pictures are dropped, streams come back."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from catseye.backoff import Backoff
from catseye.contract.errors import Misconfigured
from catseye.models.jpeg import decode_rgb
from catseye.video.faults import Because, VideoFault
from catseye.video.feed import Feed, Patience
from catseye.video.picture import Picture
from catseye.video.stream import Source
from tests.corpora.videos import RtspServer, grey, rtp_packets, write_sound, write_video

ROOT = Path(__file__).parents[2]
SHORT = Patience(open_s=5, read_s=1, no_picture_s=5, hang_s=30)
PICTURES = [grey(number) for number in range(25)]


def source(name: object, events: list[str] | None = None, patience: Patience = SHORT) -> Source:
    """With short pauses."""
    reported = events if events is not None else []
    return Source(str(name), on_event=reported.append, patience=patience, backoff=Backoff(0.05, 0.1))


def levels(name: Source, count: int | None = None) -> list[float]:
    """Mean level of each picture, of the first *count* ones."""
    stop, found = threading.Event(), []
    for picture in name.pictures(stop):
        found.append(float(decode_rgb(picture.jpeg()).mean()))
        if len(found) == count:
            stop.set()
    return found


def reason(name: object, patience: Patience = SHORT) -> VideoFault:
    """Why nothing can be read of it."""
    with pytest.raises(VideoFault) as ended:
        levels(source(name, patience=patience))
    return ended.value


@pytest.mark.parametrize(
    ("file", "codec", "pixels"),
    [
        ("h264.mp4", "libx264", "yuv420p"),
        ("hevc.mp4", "libx265", "yuv420p"),
        ("ten_bit.mp4", "libx264", "yuv420p10le"),
        ("fine_chroma.mkv", "libx264", "yuv444p"),
        ("mjpeg.avi", "mjpeg", "yuvj422p"),
        ("h264.ts", "libx264", "yuv420p"),
        ("bare.h264", "libx264", "yuv420p"),
    ],
)
def test_every_usual_kind_is_read_with_its_colours(tmp_path: Path, file: str, codec: str, pixels: str) -> None:
    """All pictures, in order, within some levels."""
    write_video(tmp_path / file, PICTURES, codec=codec, pixels=pixels)
    assert levels(source(tmp_path / file)) == pytest.approx([each.mean() for each in PICTURES], abs=4)


def test_odd_sizes_parts_and_times(tmp_path: Path) -> None:
    """A picture of odd width and height is whole; a part of it is that part; times are those of the file."""
    odd = np.zeros((49, 67, 3), np.uint8)
    odd[20:, 30:] = (200, 40, 40)
    write_video(tmp_path / "odd.mp4", [odd] * 3, stamps_ms=[10_000, 10_030, 12_000], pixels="yuv444p")
    found = []
    for picture in source(tmp_path / "odd.mp4").pictures(threading.Event()):
        assert decode_rgb(picture.jpeg()).shape == (49, 67, 3)
        part = decode_rgb(picture.jpeg((40, 30, 15, 11)))
        assert part.shape == (11, 15, 3)
        assert part.mean(axis=(0, 1)) == pytest.approx((200, 40, 40), abs=6)
        found.append(picture.at_s)
    assert found == pytest.approx([0, 0.03, 2], abs=0.002)


def test_a_size_that_changes_is_an_event(tmp_path: Path) -> None:
    """As a camera sends whose settings are changed: all pictures of both sizes."""
    write_video(tmp_path / "a.h264", PICTURES[:5])
    write_video(tmp_path / "b.h264", [grey(number, 96, 128) for number in range(5)])
    (tmp_path / "both.h264").write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
    events: list[str] = []
    assert len(levels(source(tmp_path / "both.h264", events))) == 10
    assert [line.partition("changed")[2] for line in events] == [" its pictures from 64 x 48 to 128 x 96 pixels"]


def lose_packets(whole: bytes) -> bytes:
    """As on a bad line: three of the packets of 188 bytes."""
    packets = [whole[at : at + 188] for at in range(0, len(whole), 188)]
    lost = {len(packets) // 3, len(packets) // 3 + 4, 2 * len(packets) // 3}
    return b"".join(packet for number, packet in enumerate(packets) if number not in lost)


def flip_bytes(whole: bytes) -> bytes:
    """As in the reproduction of issue 18: here and there, from the first quarter on."""
    noisy = bytearray(whole)
    for at in np.random.default_rng(0).integers(len(whole) // 4, len(whole), 60):
        noisy[at] ^= 0xFF
    return bytes(noisy)


@pytest.mark.parametrize("damage", [lose_packets, flip_bytes])
def test_damaged_pictures_and_those_that_refer_to_them_are_dropped_and_counted(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """After lost packets all that is shown is what was sent; negative control: of the whole stream none is dropped."""
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 12, (60, 96, 128, 3))
    pictures = [(grey(n % 25, 96, 128) + noise[n]).clip(0, 255).astype(np.uint8) for n in range(60)]
    write_video(tmp_path / "whole.ts", pictures, gop=12)
    (tmp_path / "noisy.ts").write_bytes(damage((tmp_path / "whole.ts").read_bytes()))
    sent, received = source(tmp_path / "whole.ts"), source(tmp_path / "noisy.ts")
    truth = {round(each.at_s, 3): each.luma.copy() for each in sent.pictures(threading.Event())}
    assert (len(truth), sent.dropped.damaged) == (60, 0)
    shown = {round(each.at_s, 3): each.luma.copy() for each in received.pictures(threading.Event())}
    assert 1 < received.dropped.damaged < 60
    if damage is lose_packets:
        assert len(shown) > 20
        assert [at for at in shown if np.abs(shown[at].astype(int) - truth[at]).mean() > 0.5] == []


@pytest.mark.parametrize(
    ("name", "content", "because"),
    [
        ("empty.mp4", b"", Because.NOT_A_VIDEO),
        ("notes.txt", b"no video\n" * 50, Because.NOT_A_VIDEO),
        ("text.mp4", b"no video\n" * 50, Because.NOT_A_VIDEO),
        ("list.ffconcat", b"ffconcat version 1.0\nfile '/etc/passwd'\n", Because.NOT_A_VIDEO),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n", Because.NOT_A_VIDEO),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, because: Because) -> None:
    """Text is not drawn, and a list does not name files that are read then."""
    (tmp_path / name).write_bytes(content)
    assert reason(tmp_path / name).because == because


def test_other_faults_of_files_have_their_sentence(tmp_path: Path) -> None:
    """A folder, no file, sound alone, an index that was not written, no key frame, too many pixels."""
    assert reason(tmp_path).because == Because.NOT_THERE
    assert "no such file" in str(reason(tmp_path / "none.mp4"))
    write_sound(tmp_path / "sound.m4a")
    assert str(reason(tmp_path / "sound.m4a")).endswith("sound.m4a has no video stream: it has audio")
    write_video(tmp_path / "whole.mp4", PICTURES)
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "power_cut.mp4").write_bytes(whole[: whole.rindex(b"moov") - 4])
    assert reason(tmp_path / "power_cut.mp4").because == Because.NOT_A_VIDEO
    write_video(tmp_path / "whole.ts", PICTURES, gop=60)
    content = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "begins_late.ts").write_bytes(content[188 * 12 :])
    assert reason(tmp_path / "begins_late.ts").because in {Because.NOT_A_VIDEO, Because.NO_PICTURE}
    with Feed(str(tmp_path / "whole.ts"), max_pixels=3_000) as feed, pytest.raises(VideoFault) as ended:
        list(feed.pictures(threading.Event()))
    assert ended.value.because in {Because.TOO_LARGE, Because.NO_PICTURE, Because.NOT_A_VIDEO}


def kill(pid: int) -> None:
    """As the kernel does to a process that has done wrong."""
    os.kill(pid, signal.SIGABRT)


def pause(pid: int) -> None:
    """As if it went round in circles."""
    os.kill(pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("harm", "says"), [(kill, "has died: by the signal SIGABRT"), (pause, "no word of it for 1 s")]
)
def test_the_child_of_a_file_dies_or_hangs_and_that_is_a_reason(
    tmp_path: Path, harm: Callable[[int], None], says: str
) -> None:
    """After the pictures that it had shown; no process is left behind."""
    write_video(tmp_path / "long.mp4", PICTURES * 4)
    patience = Patience(hang_s=600)  # a child may take its time to start
    video = source(tmp_path / "long.mp4", patience=patience)
    pictures = video.pictures(threading.Event())
    for _ in range(3):
        next(pictures)
    pid = video.pid
    assert pid is not None
    harm(pid)
    object.__setattr__(patience, "hang_s", 1.0)
    with pytest.raises(VideoFault, match=says):
        list(pictures)  # what waits in the shared memory
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    """A second of a camera's stream."""
    return rtp_packets(PICTURES)


@pytest.mark.parametrize("harm", [kill, None])
def test_a_stream_that_fails_is_opened_anew(packets: list[bytes], harm: Callable[[int], None] | None) -> None:
    """Whether the decoder dies or the camera is cut off; each with a sentence that shows no password."""
    events: list[str] = []
    with closing(RtspServer(packets, then="again", password="rosebud")) as server:
        video = source(server.address, events)
        stop, harmed = threading.Event(), 0
        for picture in video.pictures(stop):
            if video.openings == 3:
                assert picture.at_s < 2
                stop.set()
            elif video.openings > harmed:
                harmed = video.openings
                assert video.pid is not None
                harm(video.pid) if harm else server.cut()
    assert len(events) == 2
    assert all("opened anew" in line and "rosebud" not in line and "***@127.0.0.1" in line for line in events)


@pytest.mark.slow
def test_h265_silence_and_a_size_that_changes_between_two_openings() -> None:
    """A camera that says nothing for a while is asked anew; its new size is no fault."""
    events: list[str] = []
    small, large = (rtp_packets([grey(n, *size) for n in range(25)], "libx265") for size in ((64, 96), (96, 128)))
    with closing(RtspServer(small, encoding="H265", then="silence")) as server:
        video, stop, shapes = source(server.address, events), threading.Event(), set[tuple[int, int]]()
        for picture in video.pictures(stop):
            shapes.add(picture.luma.shape)
            server.packets = large
            if video.openings == 2:
                stop.set()
    assert shapes == {(64, 96), (96, 128)}
    assert [("sends nothing" in line, "1 s" in line) for line in events] == [(True, True)]


def test_times_of_a_live_stream_are_those_of_its_own_clock(packets: list[bytes]) -> None:
    """Never of the future; one picture after the other by 40 ms, however they came."""
    from catseye.clock import now_ms

    with closing(RtspServer(packets, then="again")) as server:
        stop, stamps = threading.Event(), list[int]()
        for picture in source(server.address).pictures(stop):
            stamps.append(picture.captured_at_ms)
            assert picture.captured_at_ms <= now_ms()
            if len(stamps) == 10:
                stop.set()
    assert max(stamps) - min(stamps) < 5_000


def test_a_stream_that_never_opened_is_a_sentence(packets: list[bytes]) -> None:
    """Wrong password, no such host, nobody there, sound alone: to the person who typed it, without the password."""
    with closing(RtspServer(packets, password="rosebud")) as server:
        wrong = reason(server.address.replace("rosebud", "tulip"))
    assert wrong.because == Because.WRONG_PASSWORD
    assert str(wrong) == (
        f"rtsp://***@127.0.0.1:{server.port}/road cannot be opened: the server refuses this user and password (401)"
    )
    assert reason("rtsp://user:tulip@no.such.host.invalid/road").because == Because.NO_SUCH_HOST
    assert str(reason("rtsp://user:tulip@no.such.host.invalid/road")).endswith(
        "rtsp://***@no.such.host.invalid/road cannot be opened: there is no host of the name no.such.host.invalid"
    )
    assert reason("rtsp://127.0.0.1:1/road").because == Because.NOBODY_LISTENS
    assert reason("foo://127.0.0.1/road").because == Because.UNKNOWN_PROTOCOL
    assert reason("gopher://127.0.0.1/road").because == Because.UNKNOWN_PROTOCOL, "FFmpeg knows it, and may not"
    with closing(RtspServer([], video=False)) as server:
        assert reason(server.address).because == Because.NO_VIDEO_STREAM


def test_the_parent_never_loads_ffmpeg(tmp_path: Path) -> None:
    """It links x264 and x265, which are under the GPL: it is the child's alone, and in no service image."""
    write_video(tmp_path / "clip.mp4", PICTURES[:3])
    code = f"""
import sys, threading
from catseye.video.stream import Source
assert len(list(Source({str(tmp_path / "clip.mp4")!r}, on_event=print).pictures(threading.Event()))) == 3
print([name for name in sys.modules if name == "av" or name.startswith("av.")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
    for requirements in ("runtime", "trainer", "retrain_trigger"):
        lines = (ROOT / "infra" / "requirements" / f"{requirements}.txt").read_text().splitlines()
        assert not [line for line in lines if line.startswith("av==")]


def test_without_the_package_one_sentence_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is called video."""
    monkeypatch.setattr("catseye.video.feed.find_spec", lambda _: None)
    with pytest.raises(Misconfigured, match=r"pip install '\.\[video\]'"):
        levels(source("clip.mp4"))


def test_the_colours_of_bt709_become_those_of_jpeg() -> None:
    """Red as a high-definition camera codes it is red in the JPEG."""
    red = {name: np.full((16, 16), value, np.uint8) for name, value in {"luma": 63, "blue": 102, "red": 240}.items()}
    coarse = {name: plane[:8, :8] if name != "luma" else plane for name, plane in red.items()}
    found = decode_rgb(Picture(**coarse, full_range=False, bt709=True, at_s=0, captured_at_ms=0).jpeg())
    assert found.mean(axis=(0, 1)) == pytest.approx((255, 0, 0), abs=4)


@pytest.mark.slow
def test_no_hostile_video_does_more_than_end_its_child() -> None:
    """Cut, flipped, repeated, with numbers as large as can be: the parent outlives each, with a reason."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.benches.video_corpus", "200", "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("whole: end") == 10
    assert set(found) <= set(Because)
    assert sum(found.values()) == 200
    assert len(found) >= 3, "if each ended alike, nothing was hostile"
