"""How large a record and its numbers may be, for who publishes and for who accepts."""

from typing import Final

PUBLIC_MAX_BYTES: Final = 4 * 2**20
"""Longest batch that a publisher can write, as it is sent: compressed or not."""
RECORD_MAX_BYTES: Final = 5 * 2**20
"""Longest record of ours: a dead letter with all that it keeps, and room to say why."""
FRAME_AHEAD_MAX_MS: Final = 2_000
"""How far a camera's clock may be ahead of the broker's; ingest's default."""
LABEL_AHEAD_MAX_MS: Final = 5 * 60_000
"""How far a labeller's clock may be ahead. Of two labels the later holds, so one of the future cannot be corrected."""
SEQUENCE_MAX: Final = 2**62
"""Sequence numbers of frames are smaller; they count from 0 up."""
