"""How large a record and its numbers may be: the one table, for who publishes, who accepts and what lies between.

The SDK, the command line and ingest check by it (`catseye.contract.checks`); topics, producers and what a dead letter
keeps are sized by it. Times are compared with the clock of whoever checks: the SDK's own, at ingest the broker's.
"""

from typing import Final

NAME_MAX: Final = 200
"""Characters of the name of a camera, a boot, a label, its source or a reading."""
READINGS_MAX: Final = 64
"""Readings of a device in one frame."""
SEQUENCE_MAX: Final = 2**62
"""Sequence numbers of frames are smaller; they count from 0 up."""

JPEG_MAX_BYTES: Final = 8 * 2**20
"""Longest picture. A camera of 3840 x 2160 pixels sends 1 to 4 MiB; at quality 100, by night, up to 8."""
JPEG_MAX_PIXELS: Final = 16_000_000
"""Width times height; 16 Mpx decode in 15 ms to 0.1 s and 48 MB."""
JPEG_MAX_ASPECT: Final = 20
"""Longer side over the shorter one."""
JPEG_MAX_SCANS: Final = 100
"""Passes over the picture. Usual: 1, progressive 10."""
JPEG_MAX_SCAN_PIXELS: Final = 200_000_000
"""Scans times pixels; a few bytes can make a scan that visits every pixel. 200 million take 0.15 s; 16 Mpx in 100 scans
took 1.1 s from a file of 97 KB."""
JPEG_MAX_SEGMENTS: Final = 1_000
"""Marker segments, scans included. Usual: 10 to 40."""

FRAME_AHEAD_MAX_MS: Final = 2_000
"""How far a camera's clock may be ahead."""
FRAME_AGE_MAX_MS: Final = 7 * 24 * 3_600_000
"""How old a frame may be."""
LABEL_AHEAD_MAX_MS: Final = 5 * 60_000
"""How far a labeller's clock may be ahead. Of two labels the later holds, so one of the future cannot be corrected."""
LABELLED_MIN_MS: Final = 10**11
"""Earliest time of a label. In milliseconds that is March 1973; what is smaller was counted in seconds, and would lose
to every other label."""

FRAME_MAX_BYTES: Final = JPEG_MAX_BYTES + 64 * 2**10
"""Longest value on frames: the longest picture with the longest names and readings, whose characters have up to four
bytes, has 54 KB more than the picture."""
LABEL_MAX_BYTES: Final = 8_192
"""Longest value on labels; the longest names have 3.3 KB."""
PUBLIC_MAX_BYTES: Final = FRAME_MAX_BYTES + 64 * 2**10
"""Longest batch that a publisher can write, as it is sent, compressed or not: a frame, its key and headers. It is
``max.message.bytes`` of public topics, and the longest request of who publishes."""
RECORD_MAX_BYTES: Final = PUBLIC_MAX_BYTES + 2**20
"""Longest record of ours: a dead letter with all that it keeps, and room to say why."""
