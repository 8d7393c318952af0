"""`catseye.models.jpeg`: what is refused, for which reason; what is decoded, and that Pillow sees the same picture."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.jpeg_header import SOS, orientation_of, segments
from catseye.models.jpeg import JpegHeader, JpegLimits, decode_rgb, inspect
from tests.corpora.jpegs import (
    BadFrame,
    OddFrame,
    after_start,
    bad_frames,
    encode,
    exif,
    odd_frames,
    place_of,
    scan_start,
    scene,
    sound_frames,
    with_frame,
)

_PAGE_BYTES = 4096


def _verdict(assess: Callable[[bytes], object], jpeg: bytes) -> Reason | None:
    try:
        assess(jpeg)
    except BadRecord as refusal:
        return refusal.reason
    return None


def _pillow_rgb(jpeg: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(jpeg)) as picture:
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright.convert("RGB"))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def _growth_bytes(once: Callable[[], object], *, times: int) -> int:
    for _ in range(100):
        once()
    before = _resident_bytes()
    for _ in range(times):
        once()
    return _resident_bytes() - before


def test_every_sound_frame_is_accepted_and_pillow_sees_the_same_picture() -> None:
    """No frame that decodes is refused: whatever encoders write, the crops of the example among it."""
    for jpeg in sound_frames():
        header = inspect(jpeg)
        rgb = decode_rgb(jpeg)
        expected = _pillow_rgb(jpeg)
        assert (header.height, header.width, 3) == rgb.shape
        assert expected.shape == rgb.shape
        assert float(np.abs(expected.astype(int) - rgb).mean()) < 1.0


@pytest.mark.parametrize("frame", bad_frames(), ids=lambda frame: frame.name)
def test_a_bad_frame_is_refused_for_its_own_reason(frame: BadFrame) -> None:
    """Each fault has its code; what the markers tell is told before a pixel is decoded."""
    assert (None if frame.by_decoding else frame.reason) == _verdict(inspect, frame.jpeg)
    if frame.by_decoding:
        assert frame.reason == _verdict(decode_rgb, frame.jpeg)


@pytest.mark.parametrize("frame", odd_frames(), ids=lambda frame: frame.name)
def test_an_odd_frame_is_decoded_to_exactly_the_pixels_of_the_sound_one(frame: OddFrame) -> None:
    """What does not touch the pixels costs no frame."""
    header = inspect(frame.jpeg)
    rgb = decode_rgb(frame.jpeg)
    assert rgb.shape == (header.height, header.width, 3)
    assert np.array_equal(simplejpeg.decode_jpeg(frame.same_as), rgb)


def test_a_strict_decoder_alone_would_refuse_sound_frames() -> None:
    """Negative control of the odd frames: TurboJPEG stops at a warning about nothing."""
    stopped = []
    for frame in odd_frames():
        try:
            simplejpeg.decode_jpeg(frame.jpeg)
        except ValueError:
            stopped.append(frame.name)
    assert len(stopped) >= 8


def test_the_header_says_what_was_encoded() -> None:
    """Size, components, coding, orientation, scans and the end of the picture are those of the file."""
    grey = encode(scene(40, 60)[:, :, 0])
    assert JpegHeader(60, 40, 1, False, 1, 1, len(grey)) == inspect(grey + bytes(16))
    progressive = encode(scene(40, 60), progressive=True)
    scans = sum(marker == SOS for marker, _, _ in segments(progressive))
    assert JpegHeader(60, 40, 3, True, 1, scans, len(progressive)) == inspect(progressive)
    turned = after_start(encode(scene(40, 60)), exif(6))
    assert JpegHeader(40, 60, 3, False, 6, 1, len(turned)) == inspect(turned)


def test_grey_comes_back_as_three_equal_planes() -> None:
    """One component is decoded to RGB, so that nobody downstream has a second case."""
    rgb = decode_rgb(encode(scene()[:, :, 0]))
    assert rgb.shape == (100, 100, 3)
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 1])
    assert np.array_equal(rgb[:, :, 0], rgb[:, :, 2])


@pytest.mark.parametrize("byte_order", ["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured_as_pillow_does(orientation: int, byte_order: str) -> None:
    """Quality numbers, model and viewer see the same picture, whichever way the camera hangs."""
    jpeg = after_start(encode(scene(40, 60)), exif(orientation, byte_order=byte_order))
    rgb = decode_rgb(jpeg)
    header = inspect(jpeg)
    assert orientation == header.orientation
    assert (header.height, header.width, 3) == rgb.shape
    assert rgb.flags.c_contiguous
    assert np.array_equal(_pillow_rgb(jpeg), rgb)


def test_the_first_stated_orientation_counts() -> None:
    """An EXIF segment that says nothing does not hide the one that does; a frame without any is upright."""
    jpeg = encode(scene(40, 60))
    assert orientation_of(after_start(jpeg, exif(0) + exif(8) + exif(3))) == 8
    assert orientation_of(jpeg) == 1


@pytest.mark.parametrize("jpeg", [sound_frames()[0], sound_frames()[6]], ids=["baseline", "progressive"])
def test_no_truncation_passes(jpeg: bytes) -> None:
    """Cut at any byte, a frame is refused; so there is none that Pillow refuses and we accept."""
    passed = [length for length in range(len(jpeg)) if _verdict(inspect, jpeg[:length]) is None]
    assert passed == []
    decoded = [length for length in range(0, len(jpeg), 7) if _verdict(decode_rgb, jpeg[:length]) is None]
    assert decoded == []


def test_a_lenient_decoder_would_have_greyed_the_frame_in() -> None:
    """Negative control: the naive decode of a truncated frame gives a whole picture with an even bottom."""
    jpeg = encode(scene(), quality=90)
    half = jpeg[: (scan_start(jpeg) + len(jpeg)) // 2]
    greyed = simplejpeg.decode_jpeg(half, strict=False)
    assert greyed.shape == (100, 100, 3)
    assert float(greyed[-20:].std(axis=(0, 1)).max()) < 2 < float(decode_rgb(jpeg)[-20:].std(axis=(0, 1)).min())
    assert _verdict(inspect, half) == Reason.JPEG_TRUNCATED
    assert _verdict(decode_rgb, half + b"\xff\xd9") == Reason.JPEG_TRUNCATED


def test_looking_for_the_frame_header_by_its_marker_would_find_the_thumbnails() -> None:
    """Negative control of the walk: the first SOF in the file is not the picture's."""
    thumbnail = encode(scene(20, 30))
    jpeg = after_start(encode(scene(60, 80)), exif(1, tail=thumbnail))
    naive = jpeg.find(b"\xff\xc0")
    assert int.from_bytes(jpeg[naive + 5 : naive + 7], "big") == 20
    assert inspect(jpeg)[:2] == (80, 60)


def test_limits_let_pass_what_is_exactly_at_them() -> None:
    """Each limit is the largest allowed number, not the smallest refused one."""
    jpeg = encode(scene(10, 100), progressive=True)
    count = sum(1 for _ in segments(jpeg))
    scans = inspect(jpeg).scans
    at = JpegLimits(len(jpeg), 1_000, 10, scans, 1_000 * scans, count)
    assert _verdict(lambda frame: inspect(frame, at), jpeg) is None
    below = [
        (JpegLimits(max_bytes=len(jpeg) - 1), Reason.JPEG_TOO_LARGE),
        (JpegLimits(max_pixels=999), Reason.JPEG_TOO_MANY_PIXELS),
        (JpegLimits(max_aspect=9), Reason.JPEG_ASPECT),
        (JpegLimits(max_scans=scans - 1), Reason.JPEG_TOO_MANY_SCANS),
        (JpegLimits(max_scan_pixels=1_000 * scans - 1), Reason.JPEG_TOO_MANY_SCANS),
        (JpegLimits(max_segments=count - 1), Reason.JPEG_TOO_MANY_SEGMENTS),
    ]
    assert [reason for _, reason in below] == [
        _verdict(lambda frame, limits=limits: inspect(frame, limits), jpeg)  # type: ignore[misc]
        for limits, _ in below
    ]


def test_memory_stays_flat_over_refused_bombs() -> None:
    """20,000 frames that promise 10 GB each leave no trace."""
    jpeg = with_frame(encode(scene()), width=60_000, height=60_000)
    assert _verdict(inspect, jpeg) == Reason.JPEG_TOO_MANY_PIXELS
    assert _growth_bytes(lambda: _verdict(inspect, jpeg), times=20_000) < 4 << 20


def test_the_memory_check_would_see_a_leak() -> None:
    """Negative control: whoever kept the refused bytes would be caught."""
    kept: list[bytes] = []
    assert _growth_bytes(lambda: kept.append(bytes(10_000)), times=20_000) > 4 << 20


def test_a_refusal_says_what_was_found() -> None:
    """The detail is for the person who sent the frame."""
    jpeg = encode(scene())
    start, _ = place_of(jpeg, 0xC0)
    with pytest.raises(BadRecord) as refused:
        inspect(with_frame(jpeg, width=60_000, height=60_000))
    assert refused.value.detail == "60000 x 60000 pixels; allowed are 16000000."
    with pytest.raises(BadRecord) as cut:
        inspect(jpeg[: start + 5])
    assert cut.value.detail == f"The file ends after {start + 5} bytes, before the picture does."
