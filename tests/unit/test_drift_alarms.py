"""How alarms of one camera stand to each other: a fault takes what its own frames seemed to say with it."""

import numpy as np

from services.drift.alarms import FIRST_FAULT, LABELS_MISSING, SILENT, clear_alarm, raise_alarm, was_blind
from services.drift.fault_rules import ALARMS
from services.drift.table import Table
from tests.simulation.cameras import ms
from tests.simulation.eight_classes import FAMILIES, INPUT

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
    table.names.append("a")
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


def blind(table: Table, *at_s: float) -> list[bool]:
    """Whether frames of these moments are taken to show nothing."""
    received_ms = np.array([ms(each) for each in at_s])
    return list(was_blind(table.watch, np.zeros(len(at_s), np.int64), received_ms).tolist())


def test_a_camera_is_blind_from_its_first_fault_to_its_last() -> None:
    """Faults that overlap are one time in which it saw nothing."""
    table = table_of_one()
    raised_at(table, BLACK, 10, 11)
    raised_at(table, SILENT, 12, 18)
    assert blind(table, 9, 10, 99) == [False, True, True]
    clear_alarm(table, 0, BLACK, at_ms=ms(20))
    assert blind(table, 99) == [True]
    clear_alarm(table, 0, SILENT, at_ms=ms(21))
    assert blind(table, 9, 10, 21, 22) == [False, True, True, False]
    raised_at(table, BLACK, 30, 31)
    assert blind(table, 9, 10, 21, 22, 30, 99) == [False, True, True, False, True, True]


def test_the_last_four_times_are_remembered() -> None:
    """Of frames from before them nobody knows any more whether they showed anything."""
    table = table_of_one()
    for at_s in (10, 20, 30, 40):
        raised_at(table, BLACK, at_s, at_s + 1)
        clear_alarm(table, 0, BLACK, at_ms=ms(at_s + 5))
    assert blind(table, 8, 12, 18, 32, 38, 99) == [True, True, False, True, False, False]
    raised_at(table, BLACK, 50, 51)
    clear_alarm(table, 0, BLACK, at_ms=ms(50.5))
    assert blind(table, 18, 22, 50, 51, 52) == [True, True, True, True, False]


def test_missing_labels_blind_no_camera() -> None:
    """Nor does their return forget anything."""
    table = table_of_one()
    raised_at(table, LABELS_MISSING, 10, 11)
    clear_alarm(table, 0, LABELS_MISSING, at_ms=ms(20))
    assert blind(table, 10) == [False]
    assert table.watch["family"][0].tolist() == [9] * len(FAMILIES)


def test_an_alarm_is_named_by_camera_kind_and_cause() -> None:
    """The same after a crash; no two are alike."""
    names = set()
    for camera in ("a", "b"):
        for alarm in (INPUT_PLACE, FIRST_FAULT):
            for cause in (b"c" * 16, b"d" * 16):
                table = Table()
                table.names.append(camera)
                for _ in range(2):
                    raise_alarm(table, 0, alarm, since_ms=1, at_ms=2, cause=cause)
                    names.add(table.watch["cause"][0, alarm].tobytes())
    assert len(names) == 8
