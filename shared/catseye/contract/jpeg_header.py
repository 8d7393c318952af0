"""What a JPEG says of itself, read before a single pixel is: the walk over the markers of ITU-T T.81, annex B.

The size in a frame header is a promise that costs its sender 11 bytes and its reader 10 GB (60,000 x 60,000
pixels), so the header is judged first and alone. The walk finds the same markers as libjpeg, resynchronisation
after garbage included: otherwise one picture would be judged and another one decoded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.limits import (
    JPEG_MAX_ASPECT,
    JPEG_MAX_BYTES,
    JPEG_MAX_PIXELS,
    JPEG_MAX_SCAN_PIXELS,
    JPEG_MAX_SCANS,
    JPEG_MAX_SEGMENTS,
)

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
APP0, APP1, APP2, APP14, APP15, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
EXIF = b"Exif\0\0"
MULTI_PICTURE = b"MPF\0"

# SOI and the first byte of any marker: what viewers know a JPEG by. libjpeg alone would pass over garbage there.
_MAGIC = b"\xff\xd8\xff"
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset({_BASELINE, _EXTENDED, _PROGRESSIVE})
# Lossless, hierarchical and arithmetic frames, JPEG-LS, and the markers that announce a hierarchy.
_OTHER_CODINGS = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC8, 0xCC), *range(0xCD, 0xD0), 0xDE, 0xDF, 0xF7})
# Without a length: TEM, RST0-7, SOI, EOI.
_STANDALONE = frozenset({0x01, *range(0xD0, EOI + 1)})
# Huffman tables, arithmetic conditioning, quantisation, number of lines, restart interval, applications, comment; and
# stray restarts, over which every decoder passes.
_SKIPPED = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, *range(APP0, APP15 + 1), COMMENT, *range(0xD0, SOI)})

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Within a scan 0xFF00 is a stuffed byte and RST0-7 belong to the scan.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PADDING = rb"(?:\xff\xd9|[\x00\xff\r\n ])"
_ALL_PADDING = re.compile(_PADDING + rb"*+")
_SECOND_IMAGE = re.compile(_PADDING + rb"*?\xff\xd8\xff")

_SHORT = 3
_ORIENTATION_TAG = 0x0112
_BYTE_ORDERS = {b"II*\0": "little", b"MM\0*": "big"}


@dataclass(frozen=True, slots=True)
class JpegLimits:
    """What a frame may ask of whoever decodes it; the reasons stand in `catseye.contract.limits`.

    Args:
        max_bytes: Size of the file, bytes.
        max_pixels: Width times height.
        max_aspect: Longer side over the shorter one.
        max_scans: Passes over the picture.
        max_scan_pixels: Scans times pixels.
        max_segments: Marker segments, scans included.
    """

    max_bytes: int = JPEG_MAX_BYTES
    max_pixels: int = JPEG_MAX_PIXELS
    max_aspect: int = JPEG_MAX_ASPECT
    max_scans: int = JPEG_MAX_SCANS
    max_scan_pixels: int = JPEG_MAX_SCAN_PIXELS
    max_segments: int = JPEG_MAX_SEGMENTS


DEFAULT_LIMITS = JpegLimits()


class JpegHeader(NamedTuple):
    """What is known of a frame before it is decoded.

    Args:
        width: Pixels of the upright picture, as `catseye.models.jpeg.decode_rgb` gives it.
        height: Pixels of the upright picture.
        components: 1 (grey) or 3 (colour).
        progressive: Coded in passes from coarse to fine.
        orientation: EXIF orientation, 1 to 8; 1 when it is upright as coded or says nothing.
        scans: Passes over the picture.
        end_byte: Where the picture ends: the offset of the byte after EOI.
    """

    width: int
    height: int
    components: int
    progressive: bool
    orientation: int
    scans: int
    end_byte: int


def inspect(jpeg: bytes, limits: JpegLimits = DEFAULT_LIMITS) -> JpegHeader:
    """Judge a frame by its markers alone; about 10 µs for a crop of 4 KB.

    What follows the picture (after EOI): nothing, or padding of zeros, 0xFF, blanks, line ends and further EOI, as
    cameras write it. Further pictures are accepted only where the file itself announces them by a multi-picture index
    (CIPA DC-007, in APP2); the first one is the frame. Anything else is refused, since nobody can tell whether it is
    the next frame, glued on by a broken transport. A thumbnail inside of a segment is part of the segment.

    Garbage between the segments of the header is passed over, as libjpeg does.

    Raises:
        BadRecord: With the reason ``JPEG_EMPTY``, ``JPEG_TOO_LARGE``, ``NOT_A_JPEG``, ``JPEG_TRUNCATED``,
            ``JPEG_CORRUPT``, ``JPEG_ZERO_SIZE``, ``JPEG_TOO_MANY_PIXELS``, ``JPEG_ASPECT``,
            ``JPEG_TOO_MANY_SCANS``, ``JPEG_TOO_MANY_SEGMENTS``, ``JPEG_UNSUPPORTED_CODING``,
            ``JPEG_UNSUPPORTED_PRECISION``, ``JPEG_UNSUPPORTED_COLOUR``, ``JPEG_TWO_IMAGES`` or
            ``JPEG_TRAILING_BYTES``.
    """
    _check_bytes(jpeg, limits)
    frame: tuple[int, int, int, bool] | None = None
    orientation = 0
    announced = False
    scans = 0
    most_scans = limits.max_scans
    end = 0
    for count, (marker, start, end) in enumerate(segments(jpeg)):
        if count >= limits.max_segments:
            _refuse(Reason.JPEG_TOO_MANY_SEGMENTS, f"More than {limits.max_segments} marker segments.")
        if marker == SOS:
            scans += 1
            if scans > most_scans:
                _refuse(Reason.JPEG_TOO_MANY_SCANS, f"More than {most_scans} scans.")
        elif marker in _FRAMES:
            if frame is not None:
                _refuse(Reason.JPEG_CORRUPT, "Two frame headers in one picture.")
            frame = _frame(jpeg, start, end, limits)
            most_scans = min(limits.max_scans, max(1, limits.max_scan_pixels // (frame[0] * frame[1])))
        elif marker == APP1:
            orientation = orientation or _orientation(jpeg, start, end)
        elif marker == APP2:
            announced = announced or jpeg.startswith(MULTI_PICTURE, start + 4)
        elif marker not in _SKIPPED:
            _check_marker(marker)
    if frame is None or not scans:
        _refuse(Reason.JPEG_CORRUPT, "The file ends without a picture.")
    if end < len(jpeg):
        _check_tail(jpeg, end, announced=announced)
    width, height, components, progressive = frame
    if orientation > 4:
        width, height = height, width
    return JpegHeader(width, height, components, progressive, orientation or 1, scans, end)


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk the markers after SOI, EOI included.

    Yields:
        Marker, offset of its 0xFF, offset behind the segment. A scan's segment reaches to the next marker that is
        not a restart.

    Raises:
        BadRecord: ``NOT_A_JPEG`` without SOI and a marker at the start; ``JPEG_TRUNCATED`` where the file ends
            before EOI or within a segment; ``JPEG_CORRUPT`` for a length that cannot be.
    """
    if not jpeg.startswith(_MAGIC):
        _refuse(Reason.NOT_A_JPEG, f"The frame starts with {jpeg[:8].hex(' ')}; a JPEG starts with ff d8 ff.")
    size = len(jpeg)
    start = 2
    marker = SOI
    while marker != EOI:
        if start + 2 > size:
            _truncated(size)
        marker = jpeg[start + 1]
        if jpeg[start] != 0xFF or marker in (0x00, 0xFF):
            found = _NEXT_MARKER.search(jpeg, start) or _truncated(size)
            start = found.start()
            marker = jpeg[start + 1]
        end = start + 2
        if marker not in _STANDALONE:
            if end + 2 > size:
                _truncated(size)
            length = jpeg[end] << 8 | jpeg[end + 1]
            if length < 2:
                _refuse(Reason.JPEG_CORRUPT, f"Segment FF {marker:02X} declares a length of {length}.")
            end += length
            if end > size:
                _truncated(size)
            if marker == SOS:
                found = _END_OF_SCAN.search(jpeg, end) or _truncated(size)
                end = found.start()
        yield marker, start, end
        start = end


def orientation_of(jpeg: bytes) -> int:
    """EXIF orientation (Exif 3.0, tag 0x0112), 1 to 8; 1 where there is none or it cannot be read.

    Raises:
        BadRecord: As `segments`.
    """
    for marker, start, end in segments(jpeg):
        if marker == APP1 and (orientation := _orientation(jpeg, start, end)):
            return orientation
    return 1


def _check_bytes(jpeg: bytes, limits: JpegLimits) -> None:
    if not jpeg:
        _refuse(Reason.JPEG_EMPTY, "The frame has no bytes.")
    if len(jpeg) > limits.max_bytes:
        _refuse(Reason.JPEG_TOO_LARGE, f"{len(jpeg)} bytes; allowed are {limits.max_bytes}.")


def _frame(jpeg: bytes, start: int, end: int, limits: JpegLimits) -> tuple[int, int, int, bool]:
    """Width and height as coded, components, progressive: T.81, B.2.2."""
    if end - start < 10 or end - start != 10 + 3 * jpeg[start + 9]:
        _refuse(Reason.JPEG_CORRUPT, "The frame header's length does not fit its components.")
    precision, components = jpeg[start + 4], jpeg[start + 9]
    height = jpeg[start + 5] << 8 | jpeg[start + 6]
    width = jpeg[start + 7] << 8 | jpeg[start + 8]
    if precision != 8:
        _refuse(Reason.JPEG_UNSUPPORTED_PRECISION, f"{precision} bits a sample; 8 are decoded.")
    if not width or not height:
        _refuse(Reason.JPEG_ZERO_SIZE, f"{width} x {height} pixels.")
    if width * height > limits.max_pixels:
        _refuse(Reason.JPEG_TOO_MANY_PIXELS, f"{width} x {height} pixels; allowed are {limits.max_pixels}.")
    if max(width, height) > limits.max_aspect * min(width, height):
        _refuse(Reason.JPEG_ASPECT, f"{width} x {height} pixels; one side may be {limits.max_aspect} times the other.")
    if components not in (1, 3):
        _refuse(Reason.JPEG_UNSUPPORTED_COLOUR, f"{components} components; grey (1) and colour (3) are decoded.")
    return width, height, components, jpeg[start + 1] == _PROGRESSIVE


def _orientation(jpeg: bytes, start: int, end: int) -> int:
    """Orientation that an APP1 segment states; 0 when it states none."""
    if not jpeg.startswith(EXIF, start + 4):
        return 0
    tiff = jpeg[start + 10 : end]
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return 0

    def number(offset: int, size: int) -> int:
        return int.from_bytes(tiff[offset : offset + size], "little" if order == "little" else "big")

    directory = number(4, 4)
    # Entries of 12 bytes: tag, type, how many, value. Those that reach beyond the segment are not there.
    stop = min(directory + 2 + 12 * number(directory, 2), len(tiff) - 11)
    for entry in range(directory + 2, stop, 12):
        if number(entry, 2) == _ORIENTATION_TAG:
            one_short = number(entry + 2, 2) == _SHORT and number(entry + 4, 4) == 1
            value = number(entry + 8, 2)
            return value if one_short and 1 <= value <= 8 else 0
    return 0


def _check_marker(marker: int) -> None:
    if marker == SOI:
        _refuse(Reason.JPEG_TWO_IMAGES, "A second picture starts before the first one ends.")
    if marker in _OTHER_CODINGS:
        _refuse(
            Reason.JPEG_UNSUPPORTED_CODING,
            f"Coding FF {marker:02X} (lossless, hierarchical or arithmetic); baseline and progressive are decoded.",
        )
    if marker != EOI:
        _refuse(Reason.JPEG_CORRUPT, f"Marker FF {marker:02X} has no place in a JPEG.")


def _check_tail(jpeg: bytes, end: int, *, announced: bool) -> None:
    if _ALL_PADDING.fullmatch(jpeg, end):
        return
    second_image = _SECOND_IMAGE.match(jpeg, end) is not None
    if second_image and not announced:
        _refuse(Reason.JPEG_TWO_IMAGES, f"A second picture starts after the first one's end at byte {end}.")
    if not second_image:
        _refuse(Reason.JPEG_TRAILING_BYTES, f"{len(jpeg) - end} bytes after the picture's end that are no padding.")


def _truncated(size: int) -> NoReturn:
    _refuse(Reason.JPEG_TRUNCATED, f"The file ends after {size} bytes, before the picture does.")


def _refuse(reason: Reason, detail: str) -> NoReturn:
    raise BadRecord(reason, detail)
