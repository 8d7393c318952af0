"""Frames good, odd and bad, each made of a sound one, so that what is wrong with it is known.

The bad ones come with the one reason that they must be refused for, the odd ones with the sound frame whose pixels
they must be decoded to.
"""

import io
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from catseye.contract.errors import Reason
from catseye.contract.jpeg_header import APP2, SOS, JpegLimits, segments
from catseye.contract.limits import JPEG_MAX_BYTES

CROPS = Path(__file__).resolve().parents[2] / "infra" / "example" / "crops"
SMALL_LIMITS = JpegLimits(max_bytes=200_000, max_pixels=1_000_000)
"""For tests that decode whatever passes: a picture of a million pixels takes milliseconds."""


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A frame that must be refused.

    Args:
        name: What is wrong with it.
        jpeg: Its bytes.
        reason: The one that it must be refused for.
        by_decoding: Its markers are in order; only who decodes it can see the fault.
    """

    name: str
    jpeg: bytes
    reason: Reason
    by_decoding: bool = False


@dataclass(frozen=True, slots=True)
class OddFrame:
    """A frame that looks suspicious and must be decoded.

    Args:
        name: What is odd about it.
        jpeg: Its bytes.
        same_as: A sound frame with exactly its pixels.
    """

    name: str
    jpeg: bytes
    same_as: bytes


def scene(height: int = 100, width: int = 100, *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a road with a box on it under sensor noise; RGB, uint8 [height, width, 3]."""
    chance = np.random.default_rng(seed)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    picture = np.stack([90 + 80 * down, 100 + 60 * across, 140 - 70 * down * across], axis=-1)
    picture[height // 3 : height * 2 // 3, width // 4 : width * 3 // 4] = chance.integers(0, 256, 3)
    return (picture + chance.normal(0, 6, picture.shape)).clip(0, 255).astype(np.uint8)


@cache
def sound_frames() -> tuple[bytes, ...]:
    """Every crop of the example where the checkout has them, and drawn ones in each form that encoders write."""
    drawn = [
        simplejpeg.encode_jpeg(scene(seed=seed), quality, colorsubsampling=sampling)
        for seed, (quality, sampling) in enumerate([(75, "420"), (90, "422"), (95, "444"), (85, "440"), (60, "411")])
    ]
    drawn += [
        encode(scene()[:, :, 0]),
        encode(scene(), progressive=True),
        encode(scene(seed=1), quality=90, optimize=True),
        encode(scene(71, 53, seed=2), restart_marker_blocks=4),
        encode(scene(90, 160, seed=3), keep_rgb=True),
        encode(scene(1, 1, seed=4)),
        encode(scene(1, 20, seed=5)),
    ]
    return (*drawn, *(path.read_bytes() for path in sorted(CROPS.glob("*/*.jpg"))))


def encode(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    """Encode RGB or grey with Pillow, whose options reach where simplejpeg's do not."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **options)
    return stream.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    """A marker with its length and *body*."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def after_start(jpeg: bytes, inserted: bytes) -> bytes:
    """*jpeg* with bytes inserted right after SOI."""
    return jpeg[:2] + inserted + jpeg[2:]


def exif(orientation: int, *, byte_order: str = "MM", kind: int = 3, count: int = 1, tail: bytes = b"") -> bytes:
    """An APP1 segment that states an orientation, after another entry."""
    order: Any = "big" if byte_order == "MM" else "little"

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)

    entries = [(0x0100, 3, 1, 7), (0x0112, kind, count, orientation)]
    tiff = byte_order.encode() + number(42, 2) + number(8, 4) + number(len(entries), 2)
    for tag, type_, how_many, value in entries:
        tiff += number(tag, 2) + number(type_, 2) + number(how_many, 4) + number(value, 2) + b"\0\0"
    no_next_directory = bytes(4)
    return segment(0xE1, b"Exif\0\0" + tiff + no_next_directory + tail)


def place_of(jpeg: bytes, *markers: int) -> tuple[int, int]:
    """Start and end of the first segment with one of *markers*."""
    return next((start, end) for marker, start, end in segments(jpeg) if marker in markers)


def scan_start(jpeg: bytes) -> int:
    """Offset of the first byte of entropy-coded data."""
    start, _ = place_of(jpeg, SOS)
    return start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")


def with_frame(  # the fields of a frame header, under their names in T.81
    jpeg: bytes,
    *,
    marker: int | None = None,
    precision: int | None = None,
    height: int | None = None,
    width: int | None = None,
    sampling: int | None = None,
) -> bytes:
    """*jpeg* with fields of its frame header overwritten; *sampling* is that of the first component."""
    start, _ = place_of(jpeg, 0xC0, 0xC1, 0xC2)
    fields = [(1, 1, marker), (4, 1, precision), (5, 2, height), (7, 2, width), (11, 1, sampling)]
    changed = bytearray(jpeg)
    for offset, size, value in fields:
        if value is not None:
            changed[start + offset : start + offset + size] = value.to_bytes(size, "big")
    return bytes(changed)


def _without(jpeg: bytes, marker: int) -> bytes:
    start, end = place_of(jpeg, marker)
    return jpeg[:start] + jpeg[end:]


def _without_all(jpeg: bytes, marker: int) -> bytes:
    return b"\xff\xd8" + b"".join(jpeg[start:end] for found, start, end in segments(jpeg) if found != marker)


def _two_components(jpeg: bytes) -> bytes:
    start, end = place_of(jpeg, 0xC0)
    return (
        jpeg[:start] + segment(0xC0, jpeg[start + 4 : start + 9] + b"\2" + jpeg[start + 10 : start + 16]) + jpeg[end:]
    )


def _png(rgb: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "PNG")
    return stream.getvalue()


@cache
def bad_frames() -> tuple[BadFrame, ...]:
    """One of each kind of bad frame, judged under `catseye.models.jpeg.DEFAULT_LIMITS`."""
    sound = encode(scene(), quality=90)
    other = encode(scene(seed=1), quality=90)
    data = scan_start(sound)
    middle = (data + len(sound)) // 2
    sof_start, sof_end = place_of(sound, 0xC0)
    bomb = with_frame(sound, width=60_000, height=60_000)
    comment = segment(0xFE, b"camera 7")
    noise = random.Random(7).randbytes(4_000)
    frames = [
        ("empty", b"", Reason.JPEG_EMPTY),
        ("a byte more than is read", sound + bytes(JPEG_MAX_BYTES + 1 - len(sound)), Reason.JPEG_TOO_LARGE),
        ("PNG under another name", _png(scene()), Reason.NOT_A_JPEG),
        ("an error page", b"<!doctype html><title>502 Bad Gateway</title>", Reason.NOT_A_JPEG),
        ("random bytes", noise, Reason.NOT_A_JPEG),
        ("zeros", bytes(4_000), Reason.NOT_A_JPEG),
        ("one byte", b"\xff", Reason.NOT_A_JPEG),
        ("start marker alone", b"\xff\xd8", Reason.NOT_A_JPEG),
        ("start marker and zeros", b"\xff\xd8" + bytes(400), Reason.NOT_A_JPEG),
        ("start marker, fill bytes and zeros", b"\xff\xd8\xff\xff" + bytes(400), Reason.JPEG_TRUNCATED),
        ("start marker and half a marker", b"\xff\xd8\xff", Reason.JPEG_TRUNCATED),
        ("ends within a length", b"\xff\xd8\xff\xe0\x00", Reason.JPEG_TRUNCATED),
        ("ends within a header segment", sound[: sof_start + 6], Reason.JPEG_TRUNCATED),
        ("ends after the header", sound[:data], Reason.JPEG_TRUNCATED),
        ("ends half-way", sound[:middle], Reason.JPEG_TRUNCATED),
        ("lacks its end marker", sound[:-2], Reason.JPEG_TRUNCATED),
        ("60,000 x 60,000", bomb, Reason.JPEG_TOO_MANY_PIXELS),
        ("60,000 x 60,000 without pixels", bomb[: sof_end + 2], Reason.JPEG_TOO_MANY_PIXELS),
        ("one row of pixels too many", with_frame(sound, width=4_000, height=4_001), Reason.JPEG_TOO_MANY_PIXELS),
        ("a strip", with_frame(sound, width=2_001, height=100), Reason.JPEG_ASPECT),
        ("a standing strip", with_frame(sound, width=100, height=2_001), Reason.JPEG_ASPECT),
        ("no width", with_frame(sound, width=0), Reason.JPEG_ZERO_SIZE),
        ("no height, to be told after the scan", with_frame(sound, height=0), Reason.JPEG_ZERO_SIZE),
        ("12 bits", with_frame(sound, marker=0xC1, precision=12), Reason.JPEG_UNSUPPORTED_PRECISION),
        ("2 bits", with_frame(sound, precision=2), Reason.JPEG_UNSUPPORTED_PRECISION),
        ("lossless", with_frame(sound, marker=0xC3), Reason.JPEG_UNSUPPORTED_CODING),
        ("hierarchical", with_frame(sound, marker=0xC5), Reason.JPEG_UNSUPPORTED_CODING),
        ("arithmetic", with_frame(sound, marker=0xC9), Reason.JPEG_UNSUPPORTED_CODING),
        ("arithmetic and progressive", with_frame(sound, marker=0xCA), Reason.JPEG_UNSUPPORTED_CODING),
        ("JPEG-LS", with_frame(sound, marker=0xF7), Reason.JPEG_UNSUPPORTED_CODING),
        ("CMYK", _cmyk(), Reason.JPEG_UNSUPPORTED_COLOUR),
        ("two components", _two_components(sound), Reason.JPEG_UNSUPPORTED_COLOUR),
        ("two start markers", after_start(sound, b"\xff\xd8"), Reason.JPEG_TWO_IMAGES),
        ("two whole frames", sound + other, Reason.JPEG_TWO_IMAGES),
        ("two whole frames, padding between", sound + bytes(64) + other, Reason.JPEG_TWO_IMAGES),
        ("two whole frames, end markers between", sound + b"\xff\xd9\0\xff\xd9" + other, Reason.JPEG_TWO_IMAGES),
        ("text after two ends", sound + b"\xff\xd9text", Reason.JPEG_TRAILING_BYTES),
        ("half a frame and the next one", sound[:middle] + other, Reason.JPEG_TWO_IMAGES),
        ("half a header and the next one", sound[:sof_start] + other, Reason.JPEG_TWO_IMAGES),
        ("text after the end", sound + b"HTTP/1.1 200 OK\r\n", Reason.JPEG_TRAILING_BYTES),
        ("a multi-picture index and text", _multi_picture(sound, b"text"), Reason.JPEG_TRAILING_BYTES),
        ("101 scans", _with_scans(101), Reason.JPEG_TOO_MANY_SCANS),
        ("13 scans of 16 Mpx", with_frame(_with_scans(13), width=4_000, height=4_000), Reason.JPEG_TOO_MANY_SCANS),
        ("1,001 segments", after_start(sound, segment(0xFE, b"") * 1_001), Reason.JPEG_TOO_MANY_SEGMENTS),
        ("a length of 1", after_start(sound, b"\xff\xe5\x00\x01"), Reason.JPEG_CORRUPT),
        ("two frame headers", sound[:sof_end] + sound[sof_start:], Reason.JPEG_CORRUPT),
        ("no frame header", _without(sound, 0xC0), Reason.JPEG_CORRUPT),
        ("no scan", _without(sound, SOS), Reason.JPEG_CORRUPT),
        ("no picture at all", b"\xff\xd8\xff\xd9", Reason.JPEG_CORRUPT),
        ("a frame header of no length", after_start(sound, segment(0xC0, b"")), Reason.JPEG_CORRUPT),
        ("a frame header for more", after_start(sound, segment(0xC0, bytes(14))), Reason.JPEG_CORRUPT),
        ("a marker of arithmetic coding", after_start(sound, b"\xff\x01"), Reason.JPEG_CORRUPT),
        ("a reserved marker", after_start(sound, b"\xff\x02\x00\x02"), Reason.JPEG_CORRUPT),
    ]
    decoded = [
        ("half a scan, then an end marker", sound[:middle] + b"\xff\xd9", Reason.JPEG_TRUNCATED),
        ("1,000 bytes lost in the scan", sound[:middle] + sound[middle + 1_000 :], Reason.JPEG_TRUNCATED),
        ("40 bytes twice in the scan", sound[:middle] + sound[middle - 40 :], Reason.JPEG_CORRUPT),
        ("100 bytes of ones in the scan", sound[:middle] + b"\xfe" * 100 + sound[middle:], Reason.JPEG_CORRUPT),
        ("no quantisation tables", _without(sound, 0xDB), Reason.JPEG_CORRUPT),
        ("chroma in quarters by four", with_frame(sound, sampling=0x42), Reason.JPEG_UNSUPPORTED_COLOUR),
        (
            "garbage and half a scan",
            after_start(sound[:middle], comment + bytes(9)) + b"\xff\xd9",
            Reason.JPEG_TRUNCATED,
        ),
        ("an unknown JFIF version and half a scan", _jfif_9(sound[:middle]) + b"\xff\xd9", Reason.JPEG_TRUNCATED),
        ("a restart marker too early", sound[:middle] + b"\xff\xd3" + sound[middle:], Reason.JPEG_TRUNCATED),
        ("8 bytes of text left over", sound[:-2] + b"leftover\xff\xd9", Reason.JPEG_CORRUPT),
    ]
    return tuple([BadFrame(*frame) for frame in frames] + [BadFrame(*frame, by_decoding=True) for frame in decoded])


@cache
def odd_frames() -> tuple[OddFrame, ...]:
    """Frames as real devices and programs write them."""
    sound = encode(scene(), quality=90)
    end = sound[-2:]
    comment = segment(0xFE, b"camera 7")
    thumbnail = exif(1, tail=encode(scene(20, 20)))
    progressive = encode(scene(), progressive=True)
    rgb = encode(scene(), keep_rgb=True)
    adobe = segment(0xEE, b"Adobe" + bytes([0, 100, 0, 0, 0, 0, 1]))
    bare = _without(sound, 0xE0)
    by_name = {
        "zeros after the end": sound + bytes(512),
        "ones after the end": sound + b"\xff" * 3,
        "a line end after the end": sound + b"\r\n",
        "the end twice": sound + end,
        "zeros, the end again, ones and a line end": sound + bytes(64) + end + b"\xff" + end * 2 + b"\r\n",
        "a second picture that the index announces": _multi_picture(sound, encode(scene(seed=1))),
        "an index behind another APP2": _multi_picture(after_start(sound, segment(APP2, b"ICC")), sound),
        "a thumbnail in EXIF": after_start(sound, thumbnail),
        "a comment": after_start(sound, comment),
        "XMP": after_start(sound, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>")),
        "EXIF that is none": after_start(sound, segment(0xE1, b"Exif\0\0nothing to read here")),
        "EXIF that ends early": after_start(sound, segment(0xE1, exif(6)[4:30])),
        "EXIF of an unknown orientation": after_start(sound, exif(9)),
        "EXIF orientation as a long": after_start(sound, exif(6, kind=4)),
        "EXIF with two orientations": after_start(sound, exif(6, count=2)),
        "fill bytes before a marker": after_start(sound, b"\xff\xff\xff"),
        "garbage between segments": after_start(sound, comment + b"garbage\xff\x00\x00"),
        "a stray restart marker in the header": after_start(sound, b"\xff\xd3"),
        "an ICC profile that is none": after_start(sound, segment(APP2, b"ICC_PROFILE\0\2\1nothing")),
        "an unknown JFIF version": _jfif_9(sound),
        "APP0 that is not JFIF, and garbage": after_start(bare, segment(0xE0, b"AVI1" + bytes(8)) + b"\0"),
        "an unknown Adobe transform": after_start(bare, adobe[:-1] + b"\7"),
        "APP14 that is not Adobe, and garbage": after_start(bare, segment(0xEE, b"Nobody") + b"\0"),
        "no JFIF": bare,
        "spectral bounds that a baseline scan has not": sound[: scan_start(sound) - 2]
        + b"\0\0"
        + sound[scan_start(sound) :],
        "standard Huffman tables left out, as in Motion JPEG": _without_all(sound, 0xC4),
        "a byte of alignment": sound[:-2] + b"\x5a" + end,
        "three bytes of alignment": sound[:-2] + b"\x5a\xa5\x5a" + end,
        "zeros to a block of 64": sound[:-2] + bytes(64) + end,
    }
    odd = [OddFrame(name, jpeg, sound) for name, jpeg in by_name.items()]
    return (
        *odd,
        OddFrame("progressive, with garbage", after_start(progressive, comment + b"\0\0"), progressive),
        OddFrame("RGB, with garbage", after_start(rgb, comment + b"\0\0"), rgb),
    )


def _cmyk() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(scene()).convert("CMYK").save(stream, "JPEG")
    return stream.getvalue()


def _jfif_9(jpeg: bytes) -> bytes:
    return jpeg[:11] + b"\x09" + jpeg[12:]


def _multi_picture(jpeg: bytes, rest: bytes) -> bytes:
    return after_start(jpeg, segment(APP2, b"MPF\0" + bytes(60))) + rest


def _with_scans(count: int) -> bytes:
    jpeg = encode(scene(), progressive=True)
    scans = [(start, end) for marker, start, end in segments(jpeg) if marker == SOS]
    start, end = scans[-1]
    return jpeg[:end] + jpeg[start:end] * (count - len(scans)) + jpeg[end:]
