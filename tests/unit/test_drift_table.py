"""Rows of cameras: many of them, taken back, made again of the log, and free again when their partition goes."""

from services.drift.cameras import Cameras
from services.drift.core import DriftCore
from services.drift.layout import NARROWEST
from services.drift.table import Tables
from tests.simulation.cameras import QUICK, Camera, Watched


def test_a_table_grows_with_its_cameras() -> None:
    """What was there stays where it was."""
    cameras = Cameras()
    table = cameras.table
    table.watch["frames"][cameras.row("first")] = 7
    rows = [cameras.row(f"cam-{number}") for number in range(300)]
    assert rows == list(range(1, 301))
    assert (len(cameras), int(table.watch["frames"][cameras.row("first")])) == (301, 7)
    assert not table.reference[300].tobytes().strip(b"\0")


def test_cameras_that_came_in_an_aborted_transaction_never_came() -> None:
    """Nor did their version; the next ones get clean rows, which are theirs."""
    core = DriftCore(QUICK)
    cameras, beside = core.new_state(), core.new_state()
    table = cameras.table
    core.on_predictions([(cameras, each) for each in Camera("a").shots(3)])
    cameras.commit()
    stranger = Camera("b", version="v2").shots(3)
    core.on_predictions([(cameras, each) for each in [*stranger, *Camera("a", seed=2).shots(2)]])
    cameras.rollback()
    assert ([*cameras], [version.version for version in cameras.versions.values()]) == (["a"], ["v1"])
    assert (cameras.rows.tolist(), int(table.watch["frames"][0])) == ([0], 3)
    assert beside.row("c") == 1
    assert not table.watch[1].tobytes().strip(b"\0")
    assert (cameras.row("d"), table.names) == (2, ["a", "c", "d"])


def filled(tables: Tables, partition: int, cameras: int) -> Cameras:
    """A partition of which everything is known that there is to know."""
    found, table = Cameras(tables), tables.of(NARROWEST)
    for number in range(cameras):
        row = found.row(f"{partition}-{number}")
        for part in (b"r", b"w", b"l"):
            table.put_back(row, part, b"\1" * len(table.part(row, part)))
        table.detector_states[row, 3] = b"1"
        table.slots(row)
    found.commit()
    return found


def test_rows_of_a_partition_that_is_gone_are_free_and_clean() -> None:
    """However often partitions go and come, in whatever order: nothing grows, and nothing of the last one is left."""
    tables = Tables()
    table = tables.of(NARROWEST)
    states = {partition: filled(tables, partition, 70) for partition in range(3)}
    for turn in range(50):
        del states[turn % 3]
        assert sum(name == "" for name in table.names) == 70
        for row in [row for row, name in enumerate(table.names) if not name]:
            assert not any(table.part(row, part).strip(b"\0") for part in (b"r", b"w", b"l"))
            assert (table.slots(row), table.detector_states.get((row, 3))) == ((), None)
        states[turn % 3] = filled(tables, turn % 3, 70)
        rows = [row for cameras in states.values() for row in cameras.rows.tolist()]
        assert sorted(rows) == list(range(210))
        assert all(table.names[cameras.row(name)] == name for cameras in states.values() for name in cameras)
    assert len(table.watch) == 256


def test_a_partition_that_goes_leaves_the_others_as_they_are() -> None:
    """Also in the midst of a transaction, which then never was."""
    tables = Tables()
    table = tables.of(NARROWEST)
    gone, kept = filled(tables, 0, 2), filled(tables, 1, 2)
    before = [table.part(row, b"w") for row in kept.rows.tolist()]
    table.touch(range(4), b"w")
    table.watch["frames"] = 7
    del gone
    assert len([key for key, _ in kept.changes() if not key.startswith(b"\0")]) == 2
    kept.rollback()
    assert [table.part(row, b"w") for row in kept.rows.tolist()] == before


def test_nothing_changed_is_nothing_written() -> None:
    """A row that was touched and is as it was."""
    watched = Watched()
    watched.see(*Camera().shots(2))
    watched.cameras.commit()
    watched.table.touch([0], b"wrl")
    watched.cameras.shares()
    assert watched.cameras.changes() == []


def test_keys_name_camera_and_part() -> None:
    """A version and the partition's own facts begin with a zero byte, which no camera's name does."""
    watched = Watched()
    watched.live(Camera(), 150)
    changes = dict(watched.cameras.changes())
    versions, layouts = ([key for key in changes if key.startswith(start)] for start in (b"\0v", b"\0l"))
    assert set(changes) == {b"a\0e", b"a\0w", b"a\0r", b"a\0l", b"a\0y", b"\0p", *versions, *layouts}
    assert (len(versions), len(layouts)) == (1, 1)


def test_rows_of_another_layout_are_left_behind() -> None:
    """A camera of an older version of the service learns anew; the service starts."""
    cameras = Cameras()
    for part in (b"r", b"w", b"l"):
        cameras.restore(b"a\0" + part, b"x" * 100)
    assert [*cameras] == ["a"]
    assert not cameras.table.watch[0].tobytes().strip(b"\0")


def test_a_removed_key_is_a_row_without_it() -> None:
    """Learning that was done before a restart is all zeros after it, in whatever order keys come."""
    cameras = Cameras()
    cameras.restore(b"a\0l", None)
    assert ([*cameras], cameras.table.learning[0].tobytes().strip(b"\0")) == (["a"], b"")
