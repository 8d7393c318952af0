"""Gives each partition of several topics as a stream of its own, with a bounded part of each in memory."""

from collections import deque
from collections.abc import Generator, Mapping
from typing import Any, Final

from catseye.kafka.reading import Part
from catseye.ops.lineage.log_reader import LogReader

MEMORY_BYTES: Final = 64 * 2**20
"""Of records that were read and not yet taken, all partitions together."""
FIRST_RECORDS: Final = 16  # that are read of a partition before it is known how large they are
MOST_RECORDS: Final = 2_000


class Feed:
    """Reads partitions in step with whoever takes their records.

    Args:
        log: The topics.
        wanted: Partition to its first offset and the one behind its last.
    """

    def __init__(self, log: LogReader, wanted: Mapping[Part, tuple[int, int]]) -> None:
        self._log = log
        self._at = {part: first for part, (first, _) in wanted.items()}
        self._ends = {part: end for part, (_, end) in wanted.items()}
        self._kept: dict[Part, deque[Any]] = {part: deque() for part in wanted}
        self._records = dict.fromkeys(wanted, 0)
        self._bytes = dict.fromkeys(wanted, 0)

    def stream(self, part: Part) -> Generator[Any, None, None]:
        """Messages of one partition, in order; a stream that is closed is read no further.

        Raises:
            Unavailable: the topic cannot be read.
        """
        kept = self._kept[part]
        try:
            while kept or self._at[part] < self._ends[part]:
                if kept:
                    yield kept.popleft()
                else:
                    self._refill()
        finally:
            self._ends[part] = 0
            kept.clear()

    def _refill(self) -> None:
        """Read on in every partition of which less than half is left: one round trip for all of them."""
        wanted: dict[Part, tuple[int, int]] = {}
        for part, kept in self._kept.items():
            most = self._most(part)
            if self._at[part] < self._ends[part] and len(kept) <= most // 2:
                wanted[part] = self._at[part], min(self._at[part] + most, self._ends[part])
        for messages, positions in self._log.read(wanted):
            self._at |= positions
            for message in messages:
                part = message.topic(), message.partition()
                self._kept[part].append(message)
                self._records[part] += 1
                self._bytes[part] += len(message)

    def _most(self, part: Part) -> int:
        """Records that may be read of a partition at once."""
        if not self._records[part]:
            return FIRST_RECORDS
        share = MEMORY_BYTES // len(self._kept)
        return max(2, min(share * self._records[part] // max(self._bytes[part], 1), MOST_RECORDS))
