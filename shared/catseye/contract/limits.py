"""How large a record may be, for who publishes and for who accepts."""

from typing import Final

PUBLIC_MAX_BYTES: Final = 4 * 2**20
"""Longest batch that a publisher can write, as it is sent: compressed or not."""
RECORD_MAX_BYTES: Final = 5 * 2**20
"""Longest record of ours: a dead letter with all that it keeps, and room to say why."""
