"""The index of predictions: what is found, what is counted once, and when it starts anew."""

from pathlib import Path

import pytest

from catseye.contract.errors import Misconfigured
from catseye.ops.lineage.history import Predictor
from catseye.ops.lineage.index import FILE, Index, Made, id_bytes

CHAMPION = Predictor("p.predictions", "road", "one", "champion")
SHADOW = Predictor("p.predictions.shadow", "road", "two", "shadow")
PART, OTHER = ("p.predictions", 0), ("p.outcomes", 0)
BOUNDS = {PART: (0, 100), OTHER: (0, 100)}
IDENTITY = {"cluster": "c", "p.predictions": "t"}


def made(number: int, predictor: Predictor = CHAMPION, at_ms: int | None = None) -> Made:
    """Prediction *number*, which lies at that offset."""
    return Made(bytes([number] * 16), predictor, 0, number, number if at_ms is None else at_ms)


def test_predictions_are_found_and_counted_once(tmp_path: Path) -> None:
    """By id, with the newest outcome; a repeated id counts once; all of it is there in the next process."""
    with Index(tmp_path / "data" / FILE) as index:
        assert index.begin(IDENTITY, BOUNDS) == (BOUNDS, {PART: 0, OTHER: 0})
        index.add([made(5), made(3), made(4, SHADOW)], [(bytes([3] * 16), 0, 1)], {PART: 6}, {}, {})
        index.add([made(3), made(9)], [(bytes([3] * 16), 0, 7), (bytes([3] * 16), 0, 8)], {PART: 10, OTHER: 9}, {}, {})
    with Index(tmp_path / "data" / FILE) as index:
        assert index.begin(IDENTITY, BOUNDS)[0] == {PART: (10, 100), OTHER: (9, 100)}
        found = index.find(bytes([3] * 16))
        assert found is not None
        assert (found.predictor, found.place.offset, found.outcome) == (CHAMPION, 3, (0, 8))
        assert index.find(bytes(16)) is None
        totals = {total.predictor: total for total in index.totals()}
        assert (totals[CHAMPION].predictions, totals[SHADOW].predictions) == (3, 1)
        assert (totals[CHAMPION].first_id, totals[CHAMPION].last_id) == ("03" * 16, "09" * 16)
        assert (totals[CHAMPION].first_ms, totals[CHAMPION].last_ms) == (3, 9)


@pytest.mark.parametrize(
    ("identity", "bounds"),
    [
        (IDENTITY | {"cluster": "another"}, BOUNDS),
        (IDENTITY | {"p.predictions": "made anew"}, BOUNDS),
        (IDENTITY, BOUNDS | {PART: (0, 9)}),
        (IDENTITY, {OTHER: (0, 100)}),
    ],
    ids=["another cluster", "a topic made anew", "an end before what was read", "a partition that is gone"],
)
def test_topics_that_are_others_start_a_new_index(
    identity: dict[str, str], bounds: dict[tuple[str, int], tuple[int, int]], tmp_path: Path
) -> None:
    """Nothing of the old ones is left."""
    with Index(tmp_path / FILE) as index:
        index.begin(IDENTITY, BOUNDS)
        index.add([made(1)], [(bytes([1] * 16), 0, 1)], {PART: 10}, {PART: 2}, {PART: 3})
        assert index.gaps() == (2, 3)
        assert index.begin(identity, bounds)[0] == bounds
        assert (index.totals(), index.find(bytes([1] * 16)), index.gaps()) == ([], None, (0, 0))
        index.add([made(1)], [], {PART: 2}, {}, {})
        assert [total.predictions for total in index.totals()] == [1]


def test_what_the_log_dropped_unread_is_counted(tmp_path: Path) -> None:
    """Reading goes on where the log begins."""
    with Index(tmp_path / FILE) as index:
        index.begin(IDENTITY, BOUNDS)
        index.add([], [], {PART: 10}, {}, {})
        wanted, missed = index.begin(IDENTITY, BOUNDS | {PART: (25, 100)})
        assert (wanted[PART], missed[PART]) == ((25, 100), 15)


def test_a_chunk_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    """Rows without their offsets would be counted twice by the next call."""
    with Index(tmp_path / FILE) as index:
        index.begin(IDENTITY, BOUNDS)
        with pytest.raises(Misconfigured, match="NOT NULL"):
            index.add([made(1)], [(b"", 0, None)], {PART: 10}, {}, {})  # type: ignore[list-item]
        assert (index.totals(), index.begin(IDENTITY, BOUNDS)[0][PART]) == ([], (0, 100))
        index.add([made(1)], [], {PART: 10}, {}, {})
        assert [total.predictions for total in index.totals()] == [1]


def test_a_file_that_is_no_index_is_named(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / FILE).write_bytes(b"this is no database, whatever its name says" * 100)
    with (
        pytest.raises(Misconfigured, match=r"lineage\.sqlite cannot be used.*delete it"),
        Index(tmp_path / FILE) as index,
    ):
        index.begin(IDENTITY, BOUNDS)


def test_one_process_at_a_time_adds(tmp_path: Path) -> None:
    """The lock is free again afterwards, and nobody waits for nobody."""
    waited: list[int] = []
    with Index(tmp_path / FILE) as index:
        for _ in range(2):
            with index.alone(lambda: waited.append(1)):
                assert waited == []


def test_an_id_has_16_bytes() -> None:
    """In hexadecimal digits."""
    assert id_bytes("0a" * 16) == b"\n" * 16
    for wrong in ("0a", "x" * 32):
        with pytest.raises(ValueError, match="hexadecimal"):
            id_bytes(wrong)
