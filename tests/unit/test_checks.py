"""`catseye.contract.checks`: each range at both of its ends, and the reason for what lies outside."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.checks import (
    check_captured,
    check_identity,
    check_label,
    check_sighting,
    readings,
)
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.limits import LABEL_AHEAD_MAX_MS, LABELLED_MIN_MS, NAME_MAX, READINGS_MAX, SEQUENCE_MAX
from catseye.contract.records import Frame, Label

LABEL = Label(camera="cam", boot="b", sequence=1, label="car", labelled_at_ms=1_700_000_000_000)
NOW_MS = 1_800_000_000_000


def reason_of(check: Callable[[], object]) -> Reason | None:
    """Why *check* refuses; None when it does not."""
    try:
        check()
    except BadRecord as fault:
        return fault.reason
    return None


@pytest.mark.parametrize(
    ("camera", "boot", "sequence", "expected"),
    [
        ("cam", "b", 0, None),
        ("cam", "", SEQUENCE_MAX - 1, None),
        ("界" * NAME_MAX, "🚗" * NAME_MAX, 1, None),
        ("", "b", 1, Reason.CAMERA_EMPTY),
        (" \t\n", "b", 1, Reason.CAMERA_EMPTY),
        ("c" * (NAME_MAX + 1), "b", 1, Reason.TEXT_TOO_LONG),
        ("cam", "b" * (NAME_MAX + 1), 1, Reason.TEXT_TOO_LONG),
        ("cam\u00a0 7", "~\u00a0", 1, None),
        ("cam\u200d7", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam\u2028 7", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "b\u202e", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam/7", "b", 1, None),
        ("cam", "7/b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("\0cam", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam\x1b[2J", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "b\x1f", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam\x7f", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "\x80", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam\x9f", "b", 1, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "b", -1, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "b", SEQUENCE_MAX, Reason.FIELD_OUT_OF_RANGE),
        ("cam", "b", -(2**63), Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_a_frame_has_a_name(camera: str, boot: str, sequence: int, expected: Reason | None) -> None:
    """Without one it could not be keyed, joined or found."""
    assert reason_of(lambda: check_identity(camera, boot, sequence)) == expected


@pytest.mark.parametrize(
    ("ahead_ms", "expected"),
    [
        (0, None),
        (2_000, None),
        (2_001, Reason.CAPTURED_IN_FUTURE),
        (-60_000, None),
        (-60_001, Reason.CAPTURED_TOO_LONG_AGO),
        (-NOW_MS - 2**63, Reason.CAPTURED_TOO_LONG_AGO),
        (2**63 - 1 - NOW_MS, Reason.CAPTURED_IN_FUTURE),
    ],
)
def test_a_cameras_clock_may_be_off_by_so_much(ahead_ms: int, expected: Reason | None) -> None:
    """Both limits are allowed themselves."""
    frame = Frame(camera="cam", boot="b", sequence=1, captured_at_ms=NOW_MS + ahead_ms, jpeg=b"")
    check = lambda: check_captured(frame, NOW_MS, future_max_ms=2_000, age_max_ms=60_000)  # noqa: E731 - one line each
    assert reason_of(check) == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (LABEL, None),
        (replace(LABEL, label=None), None),
        (replace(LABEL, label="x" * NAME_MAX, source="y" * NAME_MAX), None),
        (replace(LABEL, label=""), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, label="  "), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, label="x" * (NAME_MAX + 1)), Reason.TEXT_TOO_LONG),
        (replace(LABEL, source="x" * (NAME_MAX + 1)), Reason.TEXT_TOO_LONG),
        (replace(LABEL, propensity=math.ulp(0.0)), None),
        (replace(LABEL, propensity=0.0), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, propensity=-0.5), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, propensity=1 + 1e-9), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, propensity=math.nan), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, propensity=math.inf), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=LABELLED_MIN_MS), None),
        (replace(LABEL, labelled_at_ms=LABELLED_MIN_MS - 1), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=NOW_MS // 1_000), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=0), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=-1), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, label="a truck\n"), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, source="\x1b[2J"), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=NOW_MS + LABEL_AHEAD_MAX_MS), None),
        (replace(LABEL, labelled_at_ms=NOW_MS + LABEL_AHEAD_MAX_MS + 1), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=NOW_MS * 1_000_000), Reason.FIELD_OUT_OF_RANGE),
        (replace(LABEL, labelled_at_ms=2**63 - 1), Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_a_label_says_what_can_be(label: Label, expected: Reason | None) -> None:
    """A withdrawal is null, not an empty text; a propensity divides, so it is never zero; the latest label holds, so
    that one from the future could never be corrected."""
    assert reason_of(lambda: check_label(label, NOW_MS, future_max_ms=LABEL_AHEAD_MAX_MS)) == expected


def test_a_control_character_is_reported_without_being_written() -> None:
    """Which and where; the sentence itself comes to terminals too."""
    with pytest.raises(BadRecord, match=r"the control character U\+001B at 3; every printable one"):
        check_identity("cam\x1b[2J", "b", 0)


def test_a_broken_sensor_costs_its_reading_only() -> None:
    """NaN and infinities are left out, everything finite is kept."""
    sent = {"temperature": 21.5, "vibration": math.nan, "voltage": math.inf, "humidity": -math.inf, "zero": 0.0}
    assert readings(sent) == {"temperature": 21.5, "zero": 0.0}


@pytest.mark.parametrize(
    ("telemetry", "expected"),
    [
        ({}, None),
        ({str(number): 1.0 for number in range(READINGS_MAX)}, None),
        ({str(number): math.nan for number in range(READINGS_MAX + 1)}, Reason.FIELD_OUT_OF_RANGE),
        ({"t" * NAME_MAX: 1.0}, None),
        ({"t\0": 1.0}, Reason.FIELD_OUT_OF_RANGE),
        ({"t" * (NAME_MAX + 1): math.nan}, Reason.TEXT_TOO_LONG),
    ],
)
def test_a_device_has_so_many_readings(telemetry: dict[str, float], expected: Reason | None) -> None:
    """Counted and measured before anything is left out."""
    assert reason_of(lambda: readings(telemetry)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"kind": "view"}, None),
        ({"track": "b-1", "box": [0, 0, 1, 1], "first_seen_ms": 5, "last_seen_ms": 5}, None),
        ({"track": "b-1", "box": [0.5, 0.5, 0.5005, 0.5005]}, None),
        ({"track": ""}, Reason.FIELD_OUT_OF_RANGE),
        ({"track": "t" * (NAME_MAX + 1)}, Reason.TEXT_TOO_LONG),
        ({"box": [0, 0, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"box": [0.5, 0, 0.6, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"box": [0, 0, 0, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"box": [0, 0, math.nan, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"box": [-0.1, 0, 1, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"direction": "left"}, None),
        ({"direction": "up"}, None),
        ({"direction": "LEFT"}, Reason.FIELD_OUT_OF_RANGE),
        ({"direction": ""}, Reason.FIELD_OUT_OF_RANGE),
        ({"kind": "view", "direction": "left"}, Reason.FIELD_OUT_OF_RANGE),
        ({"kind": "view", "track": "b-1"}, Reason.FIELD_OUT_OF_RANGE),
        ({"kind": "view", "box": [0, 0, 1, 1]}, Reason.FIELD_OUT_OF_RANGE),
        ({"first_seen_ms": 6, "last_seen_ms": 5}, Reason.FIELD_OUT_OF_RANGE),
    ],
)
def test_what_is_said_of_an_object_can_be_so(fields: dict[str, Any], expected: Reason | None) -> None:
    """A box in the picture, a name, one of four directions, times in order; a view is of no object."""
    frame = Frame(camera="cam", boot="b", sequence=1, captured_at_ms=NOW_MS, jpeg=b"", **fields)
    assert reason_of(lambda: check_sighting(frame)) == expected


def test_a_direction_that_is_none_is_refused_with_those_that_are() -> None:
    """The sentence has the remedy, and no more of what was sent than a line can hold."""
    frame = Frame(camera="cam", boot="b", sequence=1, captured_at_ms=NOW_MS, jpeg=b"", direction="n" * 1_000)
    with pytest.raises(BadRecord) as refused:
        check_sighting(frame)
    assert refused.value.detail == f"direction is '{'n' * 49}; it is one of left, right, up, down"
