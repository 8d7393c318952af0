"""How alarms of one camera stand to each other: a fault takes what its own frames seemed to say with it."""

from services.drift.alarms import FIRST_FAULT, LABELS_MISSING, SILENT, clear_alarm, raise_alarm
from services.drift.layout import ALARMS, FAMILIES, INPUT
from services.drift.table import Table
from tests.simulation.cameras import ms

INPUT_PLACE = FAMILIES.index(INPUT)
BLACK = ALARMS.index("camera_black")


def raised_at(table: Table, alarm: int, since_s: float, at_s: float) -> None:
    """Raise an alarm of row 0."""
    raise_alarm(table, 0, alarm, since_ms=ms(since_s), at_ms=ms(at_s), cause=b"c" * 16)


def raised(table: Table) -> list[str]:
    """Kinds that are raised."""
    return [kind for place, kind in enumerate(ALARMS) if table.watch["raised"][0, place]]


def table_of_one() -> Table:
    """One camera, with evidence everywhere."""
    table = Table()
    table.row("a")
    table.watch["evidence"][0] = table.watch["family"][0] = 9
    return table


def test_a_fault_withdraws_what_was_raised_since_it_began() -> None:
    """And keeps what was raised before; evidence of frames is forgotten, that of labels is not."""
    for at_s, kept in ((9.0, ["input", "camera_black"]), (10.0, ["camera_black"]), (10.5, ["camera_black"])):
        table = table_of_one()
        raised_at(table, INPUT_PLACE, 1, at_s)
        raised_at(table, BLACK, 10, 11)
        assert raised(table) == kept
        assert table.watch["family"][0].tolist() == [0, 0, 0, 9, 9]


def test_a_camera_is_blind_from_its_first_fault_to_its_last() -> None:
    """Faults that overlap are one time in which it saw nothing."""
    table = table_of_one()
    raised_at(table, BLACK, 10, 11)
    raised_at(table, SILENT, 12, 18)
    assert int(table.watch["blind_from_ms"][0]) == ms(10)
    clear_alarm(table, 0, BLACK, at_ms=ms(20))
    assert int(table.watch["blind_until_ms"][0]) == 0
    clear_alarm(table, 0, SILENT, at_ms=ms(21))
    assert int(table.watch["blind_until_ms"][0]) == ms(21)
    raised_at(table, BLACK, 30, 31)
    assert int(table.watch["blind_from_ms"][0]) == ms(30)


def test_missing_labels_blind_no_camera() -> None:
    """Nor does their return forget anything."""
    table = table_of_one()
    raised_at(table, LABELS_MISSING, 10, 11)
    clear_alarm(table, 0, LABELS_MISSING, at_ms=ms(20))
    assert int(table.watch["blind_from_ms"][0]) == 0
    assert table.watch["family"][0].tolist() == [9] * len(FAMILIES)


def test_an_alarm_is_named_by_camera_kind_and_cause() -> None:
    """The same after a crash; no two are alike."""
    names = set()
    for camera in ("a", "b"):
        for alarm in (INPUT_PLACE, FIRST_FAULT):
            for cause in (b"c" * 16, b"d" * 16):
                table = Table()
                table.row(camera)
                for _ in range(2):
                    raise_alarm(table, 0, alarm, since_ms=1, at_ms=2, cause=cause)
                    names.add(table.watch["cause"][0, alarm].tobytes())
    assert len(names) == 8
