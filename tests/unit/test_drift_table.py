"""Rows of cameras: many of them, taken back, and made again of the log."""

from services.drift.core import DriftCore
from services.drift.table import Table
from tests.simulation.cameras import CODEC, QUICK, Camera, Watched


def test_a_table_grows_with_its_cameras() -> None:
    """What was there stays where it was."""
    table = Table()
    table.watch["frames"][table.row("first")] = 7
    rows = [table.row(f"cam-{number}") for number in range(300)]
    assert rows == list(range(1, 301))
    assert (len(table), int(table.watch["frames"][table.row("first")])) == (301, 7)
    assert not table.reference[300].tobytes().strip(b"\0")


def test_cameras_that_came_in_an_aborted_transaction_never_came() -> None:
    """Nor did their version; the next ones get clean rows."""
    table, core = Table(), DriftCore(CODEC, "", QUICK)
    core.on_predictions(Camera("a").shots(3), table)
    table.commit()
    core.on_predictions([*Camera("b", version="v2").shots(3), *Camera("a", seed=2).shots(2)], table)
    table.rollback()
    assert (table.names, [version.version for version in table.versions.values()]) == (["a"], ["v1"])
    assert int(table.watch["frames"][0]) == 3
    assert table.row("c") == 1
    assert not table.watch[1].tobytes().strip(b"\0")


def test_nothing_changed_is_nothing_written() -> None:
    """A row that was touched and is as it was."""
    watched = Watched()
    watched.see(*Camera().shots(2))
    table = watched.table
    table.commit()
    table.touch([0], b"wrl")
    table.shares()
    assert table.changes() == []


def test_keys_name_camera_and_part() -> None:
    """A version and the partition's own facts begin with a zero byte, which no camera's name does."""
    watched = Watched()
    watched.live(Camera(), 150)
    changes = dict(watched.table.changes())
    versions = [key for key in changes if key.startswith(b"\0v")]
    assert set(changes) == {b"a\0w", b"a\0r", b"a\0l", b"\0p", *versions}
    assert len(versions) == 1


def test_rows_of_another_layout_are_left_behind() -> None:
    """A camera of an older version of the service learns anew; the service starts."""
    table = Table()
    for part in (b"r", b"w", b"l"):
        table.restore(b"a\0" + part, b"x" * 100)
    assert table.names == ["a"]
    assert not table.watch[0].tobytes().strip(b"\0")


def test_a_removed_key_is_a_row_without_it() -> None:
    """Learning that was done before a restart is all zeros after it, in whatever order keys come."""
    table = Table()
    table.restore(b"a\0l", None)
    assert (table.names, table.learning[0].tobytes().strip(b"\0")) == (["a"], b"")
