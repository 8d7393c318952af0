"""Records on disk that the broker has not acknowledged: a bounded ring in one SQLite file.

Records of a bundle are kept, handed on and dropped together. They are handed on in the order in which they came; of
those that were not handed on yet the oldest bundles are dropped when there is no more room, and counted.

Each bundle is committed to the write-ahead log before it is handed on, so that a process that is killed loses none.
`synchronous=NORMAL` leaves writing through to the kernel: a commit of 6 kB took 27 us so and 5.4 ms with `FULL` (median
of 2,000). After a power cut the last seconds may be missing; the file is whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from catseye.contract.errors import Misconfigured, Unavailable

_FORMAT: Final = 1
_LOCKED_S: Final = 5.0  # one that was asked to end a moment ago still has it
_LOG_BYTES: Final = 4 * 2**20
REFUSED: Final = "refused"
"""What records are counted as that no broker takes, such as too large ones."""
_TABLES: Final = """
CREATE TABLE kept (
    id INTEGER PRIMARY KEY, bundle INTEGER NOT NULL, run INTEGER NOT NULL, what TEXT NOT NULL,
    topic TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL
);
CREATE TABLE dropped (what TEXT PRIMARY KEY, bundles INTEGER NOT NULL) WITHOUT ROWID;
"""


class Kept(NamedTuple):
    """A record to be sent.

    Attributes:
        number: Its place in the ring.
        run: The opening of the ring in which it came: one run of its publisher.
        topic: Full name.
        key: As the broker gets it.
        value: As the broker gets it.
    """

    number: int
    run: int
    topic: str
    key: bytes
    value: bytes


class RingStore:
    """The file. Nothing here waits for a broker; it is of one process at a time.

    Args:
        file: Made where it is not there.
        max_bytes: Room that records take on disk, at most; the log beside the file takes up to 4 MiB more.

    Raises:
        Misconfigured: the file is no ring, another process has it, or it cannot be made.
    """

    def __init__(self, file: Path, max_bytes: int) -> None:
        self.file = file
        self._max_bytes = max_bytes
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Closed and used by whoever has the lock of `DiskRing`.
            self._db = sqlite3.connect(file, timeout=_LOCKED_S, check_same_thread=False)
        except (OSError, sqlite3.Error) as fault:
            raise Misconfigured(f"the ring {file} cannot be made: {fault}") from fault
        try:
            self._open()
        except sqlite3.Error as fault:
            self._db.close()
            raise Misconfigured(self._why_not(fault)) from fault
        except Misconfigured:
            self._db.close()
            raise
        self._page_bytes = self._number("PRAGMA page_size")
        self._next = 1 + self._number("SELECT coalesce(max(id), 0) FROM kept")
        self._run = 1 + self._number("SELECT coalesce(max(run), 0) FROM kept")
        self._handed_on = 0
        self.count = self._number("SELECT count(*) FROM kept")
        self.dropped: dict[str, int] = dict(self._db.execute("SELECT what, bundles FROM dropped"))

    def put(self, what: str, records: Sequence[tuple[str, bytes, bytes]]) -> tuple[list[int], list[int]]:
        """Keep a bundle.

        Args:
            what: What it is, as drops are counted.
            records: Topic, key and value of each.

        Returns:
            Their places, and those of the records that were dropped to make room, which may be among them.

        Raises:
            Unavailable: the disk is full or broken.
        """
        first = self._next
        places = list(range(first, first + len(records)))
        rows = [(place, first, self._run, what, *record) for place, record in zip(places, records, strict=True)]
        try:
            with self._db:
                self._db.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                lost, counts = self._make_room()
        except sqlite3.Error as fault:
            raise Unavailable(f"the ring {self.file} cannot be written: {fault}") from fault
        self._next += len(records)
        self.count += len(records) - len(lost)
        self.dropped |= counts
        return places, lost

    def next_bundle(self) -> list[Kept]:
        """The oldest that was not handed on; none where there is none. It counts as handed on from `hand_on`.

        Raises:
            Unavailable: the file cannot be read.
        """
        return [
            Kept(*row)
            for row in self._rows(
                "SELECT id, run, topic, key, value FROM kept WHERE id > ? AND bundle = "
                "(SELECT bundle FROM kept WHERE id > ? ORDER BY id LIMIT 1) ORDER BY id",
                self._handed_on,
                self._handed_on,
            )
        ]

    def hand_on(self, bundle: Sequence[Kept]) -> None:
        """It is under way: it is not dropped any more."""
        self._handed_on = bundle[-1].number

    def remove(self, places: Sequence[int], refused: int = 0) -> None:
        """The broker has them, or will never take them.

        Args:
            places: Those that are done with.
            refused: How many of them the broker will never take; they are counted with the dropped ones.

        Raises:
            Unavailable: as `put`.
        """
        try:
            with self._db:
                self._db.executemany("DELETE FROM kept WHERE id = ?", [(place,) for place in places])
                counts = self._counted(REFUSED, refused) if refused else {}
        except sqlite3.Error as fault:
            raise Unavailable(f"the ring {self.file} cannot be written: {fault}") from fault
        self.count -= len(places)
        self.dropped |= counts

    def close(self) -> None:
        """What is kept stays."""
        self._db.close()

    def _open(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}")
        found = self._number("PRAGMA user_version")
        if found == 0:
            self._db.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={_FORMAT};COMMIT;")
        elif found != _FORMAT:
            raise Misconfigured(f"the ring {self.file} was written by a newer Catseye (format {found}): use that one")
        with self._db:  # takes the lock, which is held from here on
            self._db.execute("UPDATE dropped SET bundles = bundles")

    def _why_not(self, fault: sqlite3.Error) -> str:
        if fault.sqlite_errorname == "SQLITE_BUSY":
            return f"the ring {self.file} is in use: there is one process to a ring"
        if fault.sqlite_errorname in {"SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"}:
            return f"{self.file} is no ring that can be read ({fault}): move it away, and a new one is made"
        return f"the ring {self.file} cannot be opened: {fault}"

    def _make_room(self) -> tuple[list[int], dict[str, int]]:
        """Drop the oldest bundles that were not handed on, until what is kept has room; count them."""
        lost: list[int] = []
        counts: dict[str, int] = {}
        while self._bytes() > self._max_bytes:
            found = self._rows("SELECT bundle, what FROM kept WHERE id > ? ORDER BY id LIMIT 1", self._handed_on)
            if not found:
                break
            bundle, what = found[0]
            gone = self._rows("DELETE FROM kept WHERE id > ? AND bundle = ? RETURNING id", self._handed_on, bundle)
            lost += [place for (place,) in gone]
            counts |= self._counted(what, 1)
        return lost, counts

    def _counted(self, what: str, more: int) -> dict[str, int]:
        """How many were dropped with *more* of them; as of `dropped`, once the transaction is through."""
        found = self._db.execute(
            "INSERT INTO dropped VALUES (?, ?) ON CONFLICT DO UPDATE SET bundles = bundles + excluded.bundles "
            "RETURNING bundles",
            (what, more),
        ).fetchall()
        return {what: int(found[0][0])}

    def _bytes(self) -> int:
        """Of the pages that hold something."""
        pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
        return pages * self._page_bytes

    def _rows(self, query: str, *values: int) -> list[Any]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as fault:
            raise Unavailable(f"the ring {self.file} cannot be read: {fault}") from fault

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchone()[0])
