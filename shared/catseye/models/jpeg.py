"""From the bytes of a frame to its pixels: the one road for ingest, inference, training and viewers.

`inspect` judges the header (see `catseye.contract.jpeg_header`), `decode_rgb` decodes. Call them in this order on
anything that came from outside: `decode_rgb` alone allocates what the header asks for.

**A damaged frame is refused, never shown with grey or smeared blocks**, which a drift detector would take for a
change on the road. libjpeg decodes damaged data and only warns; here each warning about pixels is a refusal. Of
235,000 truncations (40 real crops cut at every length) none passes `inspect`, of 70,000 that were closed with an
end marker after the cut none is decoded. JPEG has no checksum: a flipped bit among the pixels is found in 27 % of
5,000 cases, 40 bytes lost from their middle in 37 % of 2,000; in the others the codes run on to the same end.

**Warnings about anything else must not cost a frame.** TurboJPEG stops at them too, so a frame that was stopped is
decoded once more without what makes the picture no different: garbage between header segments, ICC profiles, JFIF
versions and Adobe transforms that libjpeg does not know, spectral bounds in a baseline scan (which it ignores).
Bytes left over before the end of the picture are taken for a hardware encoder's padding when libjpeg counts at most 3
(alignment to 4 bytes) or when they are all zeros; other leftovers are what a damaged scan looks like (a mean error of
30 grey levels over real crops). Padding before restart markers is refused: libjpeg reports the first warning only,
so worse could hide behind it.

**Orientation** of EXIF is honoured, so that the quality numbers, the model and the browser of whoever looks at the
frame see the same picture.
"""

import re

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.jpeg_header import (
    APP0,
    APP14,
    APP15,
    COMMENT,
    DEFAULT_LIMITS,
    EXIF,
    SOS,
    JpegHeader,
    JpegLimits,
    inspect,
    orientation_of,
    segments,
)

__all__ = ["DEFAULT_LIMITS", "JpegHeader", "JpegLimits", "decode_rgb", "inspect"]

_METADATA = re.compile(
    r"extraneous bytes before marker 0x(?!d9)|bad ICC marker|unknown JFIF revision"
    r"|Unknown Adobe color transform|Invalid SOS parameters"
)
_LEFTOVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_ALIGNMENT_BYTES = 3
_FULL_SPECTRUM = b"\x00\x3f\x00"
_REASONS = {
    "Premature end of JPEG file": Reason.JPEG_TRUNCATED,
    "premature end of data segment": Reason.JPEG_TRUNCATED,
    "Could not determine subsampling": Reason.JPEG_UNSUPPORTED_COLOUR,
    "Unsupported color conversion": Reason.JPEG_UNSUPPORTED_COLOUR,
}
"""Parts of libjpeg-turbo's warnings, and what they mean; anything else means ``JPEG_CORRUPT``."""
_SENTENCES = {
    Reason.JPEG_TRUNCATED: "The picture ends before its last pixels: it was cut off at its source or on its way.",
    Reason.JPEG_UNSUPPORTED_COLOUR: "The picture's colours are stored in a way that is not decoded; baseline or "
    "progressive JPEG with chroma at 4:4:4, 4:2:2 or 4:2:0 is.",
}
_DAMAGED = "The picture is damaged: its pixels cannot be trusted."


def decode_rgb(jpeg: bytes) -> NDArray[np.uint8]:
    """Decode a frame to upright RGB; grey comes back as three equal planes.

    Args:
        jpeg: A frame that `inspect` let pass.

    Returns:
        uint8 [height, width, 3], contiguous, in the size that `inspect` stated.

    Raises:
        BadRecord: ``JPEG_TRUNCATED`` where pixels are missing, ``JPEG_CORRUPT`` where they cannot be trusted,
            ``JPEG_UNSUPPORTED_COLOUR`` for chroma sampling that TurboJPEG does not have (it has 4:4:4, 4:2:2, 4:2:0,
            4:4:0, 4:1:1, 4:4:1), ``JPEG_EMPTY``, and those of `catseye.contract.jpeg_header.segments`.
    """
    if not jpeg:
        raise BadRecord(Reason.JPEG_EMPTY, "The frame has no bytes.")
    try:
        rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(jpeg)
    except ValueError as fault:
        rgb = _decode_after(jpeg, str(fault))
    # Looking for six bytes costs a third of a walk over the segments, and most frames have no EXIF.
    if EXIF in jpeg:
        return _upright(rgb, orientation_of(jpeg))
    return rgb


def _decode_after(jpeg: bytes, warning: str) -> NDArray[np.uint8]:
    """Decode a frame that TurboJPEG stopped at, if *warning* was no fault of the picture."""
    rgb: NDArray[np.uint8]
    if _METADATA.search(warning):
        jpeg = _without_metadata(jpeg)
        try:
            rgb = simplejpeg.decode_jpeg(jpeg)
        except ValueError as fault:
            warning = str(fault)
        else:
            return rgb
    if not _is_padding(jpeg, warning):
        reason = next((code for words, code in _REASONS.items() if words in warning), Reason.JPEG_CORRUPT)
        raise BadRecord(reason, f"{_SENTENCES.get(reason, _DAMAGED)} libjpeg-turbo's words: {warning}.")
    # The first warning came at the end of the picture: there was none before, and there are no pixels after.
    rgb = simplejpeg.decode_jpeg(jpeg, strict=False)
    return rgb


def _without_metadata(jpeg: bytes) -> bytes:
    """The picture with all that libjpeg decodes it by, ending with EOI, less what it warns of before the pixels."""
    parts = [b"\xff\xd8"]
    sequential = True
    for marker, start, end in segments(jpeg):
        segment = jpeg[start:end]
        if marker == APP0:
            # A JFIF header means YCbCr; libjpeg warns of versions that it does not know.
            segment = segment[:9] + b"\x01\x01" + segment[11:] if segment[4:9] == b"JFIF\0" else b""
        elif marker == APP14:
            # Byte 15: 0 is RGB, 1 is YCbCr, and what libjpeg does not know it takes for YCbCr.
            known = segment[4:9] == b"Adobe" and len(segment) >= 16
            segment = segment[:15] + bytes([segment[15] and 1]) + segment[16:] if known else b""
        elif APP0 < marker <= APP15 or marker == COMMENT:
            segment = b""
        elif marker == 0xC2:
            sequential = False
        elif marker == SOS and sequential:
            bounds = 2 + int.from_bytes(segment[2:4], "big")
            segment = segment[: bounds - 3] + _FULL_SPECTRUM + segment[bounds:]
        parts.append(segment)
    return b"".join(parts)


def _is_padding(jpeg: bytes, warning: str) -> bool:
    """Whether a warning is about bytes before EOI that are a hardware encoder's padding."""
    found = _LEFTOVER.search(warning)
    if found is None:
        return False
    count = int(found[1])
    *_, (_, end_of_image, _) = segments(jpeg)
    leftover = jpeg[end_of_image - count : end_of_image]
    return count <= _ALIGNMENT_BYTES or not leftover.strip(b"\x00")


def _upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn what was coded into what was seen; 1 to 4 mirror and turn by 180°, 5 to 8 also swap the axes."""
    if orientation > 4:
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)
