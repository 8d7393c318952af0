"""What the broker acknowledged, one JSON object a line: checkers compare topics and outcomes with it.

A line is written when the acknowledgement came. `frame` and `label` lines are promises of the broker. A `failed` line
says that no acknowledgement came: such a record may or may not stand on its topic.
"""

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec


class Ledger:
    """Writes lines and counts them.

    Args:
        path: The file, made anew; None counts only.
    """

    def __init__(self, path: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        self._encoder = msgspec.json.Encoder()
        self._file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=2**20)

    def write(self, line: dict[str, Any]) -> None:
        """Add one line; its `kind` is counted."""
        self.counts[line["kind"]] += 1
        if self._file is not None:
            self._file.write(self._encoder.encode(line) + b"\n")

    def flush(self) -> None:
        """Make the lines so far visible to readers of the file."""
        if self._file is not None:
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
