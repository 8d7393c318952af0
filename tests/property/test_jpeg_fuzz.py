"""Whatever the bytes: `inspect` and `decode_rgb` end soon, with a value or a `BadRecord`, and agree with each other."""

import io
import time

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image

from catseye.contract.errors import BadRecord
from catseye.models.jpeg import decode_rgb, inspect
from tests.corpora.jpegs import SMALL_LIMITS, bad_frames, odd_frames, place_of, segment, sound_frames

pytestmark = pytest.mark.slow

_MOST_CPU_S = 1.0
"""Of one frame under `SMALL_LIMITS`; 100 scans of a million pixels took 0.06 s."""

_SEEDS = (*sound_frames()[:20], *(frame.jpeg for frame in odd_frames()), *(frame.jpeg for frame in bad_frames()))
_FRAMES = st.sampled_from([jpeg for jpeg in _SEEDS if len(jpeg) <= SMALL_LIMITS.max_bytes])
_SOUND = st.sampled_from(sound_frames()[:20])
_SEGMENTS = st.builds(segment, st.integers(0, 255), st.binary(max_size=40))
_PIECES = st.one_of(_SEGMENTS, st.binary(max_size=8), st.sampled_from([b"\xff\xd8", b"\xff\xd9", b"\xff\xd0", b"\xff"]))


@st.composite
def _damaged(draw: st.DrawFn, *, behind_metadata: bool = False) -> bytes:
    """A frame after a few faults: bytes changed, lost, put in, or another frame's rest in place of its own."""
    jpeg = bytearray(draw(_SOUND if behind_metadata else _FRAMES))
    first = place_of(bytes(jpeg), 0xC0, 0xC2)[0] if behind_metadata else 0
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(min(first, len(jpeg)), len(jpeg)))
        fault = draw(st.sampled_from(["change", "lose", "put in", "splice"]))
        if fault == "change":
            jpeg[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif fault == "lose":
            del jpeg[at : at + draw(st.integers(1, 200))]
        elif fault == "put in":
            jpeg[at:at] = draw(st.binary(max_size=8) if behind_metadata else _PIECES)
        else:
            other = draw(_SOUND if behind_metadata else _FRAMES)
            jpeg[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(jpeg)


_HEADERS = st.builds(lambda pieces: b"\xff\xd8" + b"".join(pieces), st.lists(_PIECES, max_size=30))


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.binary(max_size=400), _HEADERS, _damaged()))
def test_any_bytes_are_a_picture_or_a_bad_record(jpeg: bytes) -> None:
    """No other exception, no hang, and never another size than the header promised."""
    started_s = time.process_time()
    try:
        header = inspect(jpeg, SMALL_LIMITS)
    except BadRecord as refusal:
        event(f"refused: {refusal.reason}")
    else:
        try:
            rgb = decode_rgb(jpeg)
        except BadRecord as refusal:
            event(f"not decoded: {refusal.reason}")
        else:
            event("decoded")
            assert (header.height, header.width, 3) == rgb.shape
            assert rgb.dtype == np.uint8
    assert time.process_time() - started_s < _MOST_CPU_S


@settings(max_examples=200, deadline=None)
@given(_damaged(behind_metadata=True))
def test_pillow_sees_the_same_picture_in_whatever_is_accepted(jpeg: bytes) -> None:
    """An independent reader of the file, on another build of libjpeg: same size, same mean.

    The damage is to the picture, not to EXIF and the like: Pillow fails on some of that, which is no word on pixels.
    """
    try:
        inspect(jpeg, SMALL_LIMITS)
        rgb = decode_rgb(jpeg)
    except BadRecord:
        return
    with Image.open(io.BytesIO(jpeg)) as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert expected.shape == rgb.shape
    assert abs(float(expected.mean()) - float(rgb.mean())) < 1.5
