"""Where each prediction lies, by its id: `lineage.sqlite` in the data folder. To find one in the log is a scan.

Law: rows and the offsets that they were read up to are written in one transaction, so that whoever is killed goes on
where the last chunk ended. Everything here can be made again from the log: the file may be deleted at any time.
Places stay when the log has dropped their records, and so do the counts.
"""

import fcntl
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.records import Outcome, Place, Prediction
from catseye.contract.topics import full_name
from catseye.kafka.reading import Part
from catseye.ops.lineage.history import Predictor, Total
from catseye.ops.lineage.log_reader import Bounds, LogReader

FILE = "lineage.sqlite"
PREDICTIONS = ("predictions", "predictions.shadow")
OUTCOMES = "outcomes"
INDEXED = (*PREDICTIONS, OUTCOMES)
"""Topics that the index is made of."""

_VERSION = 1  # of the tables; others are made anew
_TABLES = """
CREATE TABLE origin (identity TEXT NOT NULL);
CREATE TABLE positions (
    topic TEXT, partition INTEGER, next_offset INTEGER NOT NULL, missed INTEGER NOT NULL, unreadable INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE predictors (
    predictor INTEGER PRIMARY KEY, topic TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, role TEXT NOT NULL,
    count INTEGER NOT NULL, first_ms INTEGER, first_id BLOB, last_ms INTEGER, last_id BLOB,
    UNIQUE (topic, model, version, role)
);
CREATE TABLE predictions (
    prediction_id BLOB PRIMARY KEY, predictor INTEGER NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE outcomes (
    prediction_id BLOB PRIMARY KEY, partition INTEGER NOT NULL, offset INTEGER NOT NULL
) WITHOUT ROWID;
"""
_CACHE_KIB = 131_072  # ids are hashes: each row goes to another page, and those should be in memory


class Made(NamedTuple):
    """A prediction, as the index sees it.

    Attributes:
        prediction_id: 16 bytes.
        predictor: Who made it.
        partition: Where it lies.
        offset: Where it lies.
        at_ms: When it was made, Unix milliseconds.
    """

    prediction_id: bytes
    predictor: Predictor
    partition: int
    offset: int
    at_ms: int


class Known(NamedTuple):
    """What the index knows of one prediction.

    Attributes:
        predictor: Who made it.
        place: Where its record lies, or lay.
        outcome: Partition and offset of the newest outcome; None when no label came.
    """

    predictor: Predictor
    place: Place
    outcome: tuple[int, int] | None


class Index:
    """The index of one fleet.

    Args:
        path: Its file; made if absent.

    Raises:
        Misconfigured: the file is none of ours, or damaged; any method may raise it too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._reported():
            self._file = sqlite3.connect(path, isolation_level=None, timeout=60)
            self._file.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes away is read again
        self._predictors: dict[Predictor, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    @contextmanager
    def alone(self, waiting: Callable[[], object]) -> Iterator[None]:
        """Let one process at a time add rows: two that read the same records would count them twice.

        Args:
            waiting: Is called once when another one is at it.
        """
        with self._path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def begin(self, identity: Mapping[str, str], bounds: Bounds) -> tuple[Bounds, dict[Part, int]]:
        """What is still to be read; what was indexed of topics that are there no more is forgotten.

        Args:
            identity: `LogReader.identity` of the topics.
            bounds: `LogReader.bounds` of them.

        Returns:
            Partition to the next offset and the end, and to the number of offsets that the log has dropped unread.
        """
        with self._reported(), closing(self._file.cursor()) as cursor:
            text = json.dumps(dict(identity), sort_keys=True)
            if not self._continues(cursor, text, bounds):
                self._start_anew(cursor, text)
            read = self._positions(cursor)
        wanted = {part: (max(first, read.get(part, 0)), end) for part, (first, end) in bounds.items()}
        return wanted, {part: first - read.get(part, 0) for part, (first, _) in wanted.items()}

    def add(
        self,
        predictions: Iterable[Made],
        outcomes: Iterable[tuple[bytes, int, int]],
        positions: Mapping[Part, int],
        missed: Mapping[Part, int],
        unreadable: Mapping[Part, int],
    ) -> None:
        """Add what a chunk held, in one transaction.

        Args:
            predictions: In the order of their partitions. An id that is known is passed by.
            outcomes: Prediction's id (16 bytes), partition, offset, in the order of their partitions; the last holds.
            positions: Partition to the offset that it is read up to.
            missed: Partition to the number of offsets that the log had dropped before they were read.
            unreadable: Partition to the number of unreadable records.
        """
        by_predictor: dict[Predictor, list[Made]] = defaultdict(list)
        for made in predictions:
            by_predictor[made.predictor].append(made)
        with self._reported(), closing(self._file.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                for predictor, own in by_predictor.items():
                    self._add_predictions(cursor, predictor, own)
                # In order of the ids: neighbours share pages. Of two outcomes of one prediction the later stays.
                newest = {prediction_id: (partition, offset) for prediction_id, partition, offset in outcomes}
                cursor.executemany(
                    "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)",
                    [(prediction_id, *place) for prediction_id, place in sorted(newest.items())],
                )
                cursor.executemany(
                    "INSERT INTO positions VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                    "next_offset = excluded.next_offset, missed = missed + excluded.missed, "
                    "unreadable = unreadable + excluded.unreadable",
                    [(*part, at, missed.get(part, 0), unreadable.get(part, 0)) for part, at in positions.items()],
                )
            except BaseException:
                cursor.execute("ROLLBACK")
                self._predictors.clear()
                raise
            cursor.execute("COMMIT")

    def find(self, prediction_id: bytes) -> Known | None:
        """The prediction with these 16 bytes, None when it is not indexed."""
        with self._reported():
            found = self._file.execute(
                "SELECT topic, model, version, role, partition, offset FROM predictions JOIN predictors "
                "USING (predictor) WHERE prediction_id = ?",
                (prediction_id,),
            ).fetchone()
            outcome = self._file.execute(
                "SELECT partition, offset FROM outcomes WHERE prediction_id = ?", (prediction_id,)
            ).fetchone()
        if found is None:
            return None
        return Known(
            Predictor(*found[:4]),
            Place(topic=found[0], partition=found[4], offset=found[5]),
            outcome and tuple(outcome),
        )

    def totals(self) -> list[Total]:
        """How many predictions each version made in each role."""
        with self._reported():
            rows = self._file.execute(
                "SELECT topic, model, version, role, count, first_id, first_ms, last_id, last_ms FROM predictors "
                "WHERE count > 0 ORDER BY first_ms, predictor"
            ).fetchall()
        return [Total(Predictor(*row[:4]), row[4], row[5].hex(), row[6], row[7].hex(), row[8]) for row in rows]

    def gaps(self) -> tuple[int, int]:
        """Offsets that the log had dropped before they were indexed, and unreadable records."""
        with self._reported():
            row = self._file.execute(
                "SELECT coalesce(sum(missed), 0), coalesce(sum(unreadable), 0) FROM positions"
            ).fetchone()
        return int(row[0]), int(row[1])

    def _add_predictions(self, cursor: sqlite3.Cursor, predictor: Predictor, own: list[Made]) -> None:
        number = self._number(cursor, predictor)
        before = self._file.total_changes
        cursor.executemany(
            "INSERT OR IGNORE INTO predictions VALUES (?, ?, ?, ?)",
            sorted((made.prediction_id, number, made.partition, made.offset) for made in own),
        )
        added = self._file.total_changes - before
        first, last = (pick(own, key=lambda made: (made.at_ms, made.prediction_id)) for pick in (min, max))
        cursor.execute(
            "UPDATE predictors SET count = count + :added, "
            "first_id = CASE WHEN first_ms IS NULL OR :from_ms < first_ms THEN :from_id ELSE first_id END, "
            "first_ms = min(coalesce(first_ms, :from_ms), :from_ms), "
            "last_id = CASE WHEN last_ms IS NULL OR :to_ms > last_ms THEN :to_id ELSE last_id END, "
            "last_ms = max(coalesce(last_ms, :to_ms), :to_ms) WHERE predictor = :predictor",
            {
                "added": added,
                "from_ms": first.at_ms,
                "from_id": first.prediction_id,
                "to_ms": last.at_ms,
                "to_id": last.prediction_id,
                "predictor": number,
            },
        )

    def _number(self, cursor: sqlite3.Cursor, predictor: Predictor) -> int:
        if predictor not in self._predictors:
            cursor.execute(
                "INSERT OR IGNORE INTO predictors (topic, model, version, role, count) VALUES (?, ?, ?, ?, 0)",
                predictor,
            )
            (self._predictors[predictor],) = cursor.execute(
                "SELECT predictor FROM predictors WHERE (topic, model, version, role) = (?, ?, ?, ?)", predictor
            ).fetchone()
        return self._predictors[predictor]

    def _continues(self, cursor: sqlite3.Cursor, identity: str, bounds: Bounds) -> bool:
        """Whether the tables are of these topics, none of which was made anew since."""
        (version,) = cursor.execute("PRAGMA user_version").fetchone()
        if version != _VERSION or cursor.execute("SELECT identity FROM origin").fetchone() != (identity,):
            return False
        # A partition that ends before what was read of it is another one, whatever its name.
        return all(part in bounds and at <= bounds[part][1] for part, at in self._positions(cursor).items())

    def _start_anew(self, cursor: sqlite3.Cursor, identity: str) -> None:
        tables = [name for (name,) in cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        drops = "".join(f'DROP TABLE "{name}";' for name in tables)
        cursor.executescript(f"BEGIN IMMEDIATE; {drops} {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
        cursor.execute("INSERT INTO origin VALUES (?)", (identity,))
        self._predictors.clear()

    def _positions(self, cursor: sqlite3.Cursor) -> dict[Part, int]:
        rows = cursor.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
        return {(topic, partition): next_offset for topic, partition, next_offset in rows}

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as fault:
            raise Misconfigured(
                f"the index {self._path} cannot be used: {fault}; it is made of the log, so delete it and call again"
            ) from fault


def catch_up(
    index: Index,
    log: LogReader,
    prefix: str,
    *,
    progress: Callable[[int, int], object],
    waiting: Callable[[], object],
) -> int:
    """Index what was written since the last time.

    Args:
        index: Grows.
        log: The log.
        prefix: Of topic names.
        progress: Gets the offsets read so far, and those to read, after each chunk.
        waiting: Is called once when another process is at it.

    Returns:
        How many offsets were read.

    Raises:
        Unavailable: the broker does not answer.
        Misconfigured: a topic does not exist, or the index cannot be used.
    """
    with index.alone(waiting):
        bounds = log.bounds(INDEXED)
        wanted, missed = index.begin(log.identity(INDEXED), bounds)
        at = {part: first for part, (first, _) in wanted.items()}
        total, done = sum(max(0, end - first) for first, end in wanted.values()), 0
        outcomes = full_name(OUTCOMES, prefix)
        for messages, positions in log.read(wanted):
            made, labelled, unreadable = _rows(messages, log.codec, outcomes)
            index.add(made, labelled, positions, {part: missed.pop(part, 0) for part in positions}, unreadable)
            done += sum(position - at[part] for part, position in positions.items())
            at |= positions
            progress(done, total)
        return total


def _rows(
    messages: Iterable[Any], codec: Codec, outcomes: str
) -> tuple[list[Made], list[tuple[bytes, int, int]], dict[Part, int]]:
    """Predictions, outcomes, and how many records of which partition cannot be read."""
    made: list[Made] = []
    labelled: list[tuple[bytes, int, int]] = []
    unreadable: dict[Part, int] = defaultdict(int)
    for message in messages:
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        try:
            if topic == outcomes:
                fields = codec.leading_fields(message.value(), Outcome, "prediction_id")
                labelled.append((id_bytes(fields["prediction_id"]), partition, offset))
                continue
            fields = codec.leading_fields(message.value(), Prediction, "role")
            predictor = Predictor(topic, fields["model"], fields["version"], fields["role"])
            prediction_id = id_bytes(fields["prediction_id"])
        except (BadRecord, ValueError):
            unreadable[topic, partition] += 1  # counted, and reported by the command
        else:
            made.append(Made(prediction_id, predictor, partition, offset, fields["predicted_at_ms"]))
    return made, labelled, unreadable


def id_bytes(prediction_id: str) -> bytes:
    """The 16 bytes of an id. Raises ValueError when it is not 32 hexadecimal digits."""
    found = bytes.fromhex(prediction_id)
    if len(found) != 16:
        raise ValueError(f"{prediction_id} has not 32 hexadecimal digits")
    return found
