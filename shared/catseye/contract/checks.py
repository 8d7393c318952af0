"""What a frame and a label may be: one rule, for who publishes before it is sent and for ingest after it was read.

The table of limits is `catseye.contract.limits`. A service that was told to take less checks by smaller ones.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.jpeg_header import JpegHeader, JpegLimits, inspect
from catseye.contract.limits import (
    FRAME_AGE_MAX_MS,
    FRAME_AHEAD_MAX_MS,
    FRAME_MAX_BYTES,
    LABEL_AHEAD_MAX_MS,
    LABEL_MAX_BYTES,
    LABELLED_MIN_MS,
    READINGS_MAX,
    SEQUENCE_MAX,
)
from catseye.contract.names import boot_of, camera_of, check_text, label_of, name_of
from catseye.contract.records import Frame, Label

R = TypeVar("R", Frame, Label)


class Limits(NamedTuple):
    """What is accepted.

    Attributes:
        frame_max_bytes: Longest frame record.
        label_max_bytes: Longest label record.
        future_max_ms: How far a camera's clock may be ahead.
        label_future_max_ms: How far a labeller's clock may be ahead.
        age_max_ms: How old a frame may be.
        jpeg: Limits of the picture.
    """

    frame_max_bytes: int = FRAME_MAX_BYTES
    label_max_bytes: int = LABEL_MAX_BYTES
    future_max_ms: int = FRAME_AHEAD_MAX_MS
    label_future_max_ms: int = LABEL_AHEAD_MAX_MS
    age_max_ms: int = FRAME_AGE_MAX_MS
    jpeg: JpegLimits = JpegLimits()


CONTRACT = Limits()
DIRECTIONS = ("left", "right", "up", "down")
"""What everybody may rely on who was told nothing else."""


def folded(record: R) -> R:
    """*record* with its names as they are kept (`catseye.contract.names`). Raises `BadRecord` for one that is none."""
    names = {"camera": camera_of(record.camera), "boot": boot_of(record.boot)}
    if isinstance(record, Label):
        names["source"] = name_of("source", record.source)
        if record.label is not None:
            names["label"] = label_of(record.label)
    changed = {field: name for field, name in names.items() if name != getattr(record, field)}
    return replace(record, **changed) if changed else record


def check_identity(camera: str, boot: str, sequence: int) -> None:
    """Raises `BadRecord` when a frame could not be named or keyed by these."""
    camera_of(camera)
    boot_of(boot)
    if sequence < 0:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {sequence}; it counts from 0 up")
    if sequence >= SEQUENCE_MAX:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {sequence}; it is smaller than {SEQUENCE_MAX}")


def check_content(frame: Frame, at_ms: int, limits: Limits = CONTRACT, *, then: str = "now") -> JpegHeader:
    """Check all of *frame* but its identity and what only decoding shows.

    Args:
        frame: As it was sent, or is to be.
        at_ms: When it comes in, Unix milliseconds.
        limits: What is accepted.
        then: What *at_ms* is called in a sentence.

    Returns:
        What the picture says of itself.

    Raises:
        BadRecord: it is not accepted.
    """
    check_captured(frame, at_ms, future_max_ms=limits.future_max_ms, age_max_ms=limits.age_max_ms, then=then)
    check_readings(frame.telemetry)
    check_sighting(frame)
    return inspect(frame.jpeg, limits.jpeg)


def check_captured(frame: Frame, at_ms: int, *, future_max_ms: int, age_max_ms: int, then: str = "now") -> None:
    """Raises `BadRecord` when the camera's clock is too far from *at_ms*, which is called *then*."""
    ahead_ms = frame.captured_at_ms - at_ms
    if ahead_ms > future_max_ms:
        raise BadRecord(
            Reason.CAPTURED_IN_FUTURE,
            f"captured_at_ms is {frame.captured_at_ms}, {ahead_ms} ms after {then}; at most {future_max_ms} ms are "
            "allowed: it counts Unix milliseconds; is the camera's clock right?",
        )
    if -ahead_ms > age_max_ms:
        raise BadRecord(
            Reason.CAPTURED_TOO_LONG_AGO,
            f"captured_at_ms is {frame.captured_at_ms}, {-ahead_ms} ms before {then}; at most {age_max_ms} ms are "
            "allowed: it counts Unix milliseconds, not seconds; is the camera's clock right?",
        )


def check_label(
    label: Label, at_ms: int, *, future_max_ms: int = CONTRACT.label_future_max_ms, then: str = "now"
) -> None:
    """Raises `BadRecord` when a label says something that cannot be, at *at_ms*, which is called *then*."""
    if label.label is not None:
        label_of(label.label)
    name_of("source", label.source)
    if not 0 < label.propensity <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {label.propensity}; it is a chance over 0 up to 1")
    if label.labelled_at_ms < LABELLED_MIN_MS:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"labelled_at_ms is {label.labelled_at_ms}, before {LABELLED_MIN_MS}: it counts Unix milliseconds, not "
            "seconds",
        )
    ahead_ms = label.labelled_at_ms - at_ms
    if ahead_ms > future_max_ms:  # it would hold for ever: of two labels the one that was made later does
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"labelled_at_ms is {label.labelled_at_ms}, {ahead_ms} ms after {then}: at most {future_max_ms} ms are "
            "taken, since of two labels the later one holds, so that this one could not be corrected; it counts Unix "
            "milliseconds; is the labeller's clock right?",
        )


def check_sighting(frame: Frame) -> None:
    """Raises `BadRecord` when what a frame says of the object in it cannot be."""
    for field in ("track", "line"):
        name = getattr(frame, field)
        check_text(field, name or "")
        if name == "":
            raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{field} is empty; null (None) says that there is none")
    if frame.direction is not None and frame.direction not in DIRECTIONS:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE, f"direction is {frame.direction!r:.50}; it is one of {', '.join(DIRECTIONS)}"
        )
    if frame.kind == "view" and any(each is not None for each in (frame.track, frame.box, frame.direction, frame.line)):
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            "a view shows the whole picture; track, box, direction and line are of an object",
        )
    if frame.box is not None and not _is_box(frame.box):
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"box is {frame.box[:5]}; it is left, top, width and height, shares of the picture from 0 to 1, not empty",
        )
    first_ms, last_ms = frame.first_seen_ms, frame.last_seen_ms
    if first_ms is not None and last_ms is not None and first_ms > last_ms:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"first_seen_ms is {first_ms}, after last_seen_ms, {last_ms}",
        )


def _is_box(box: Sequence[float]) -> bool:
    """Whether *box* lies in the picture; rounding may take it over the edge by a thousandth."""
    if len(box) != 4 or not all(0 <= each <= 1 for each in box):
        return False
    left, top, width, height = box
    return width > 0 and height > 0 and max(left + width, top + height) <= 1.001


def check_readings(telemetry: Mapping[str, float]) -> None:
    """Raises `BadRecord` for more than `READINGS_MAX` readings, or a name that is none."""
    if len(telemetry) > READINGS_MAX:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE, f"telemetry has {len(telemetry)} readings; at most {READINGS_MAX} are kept"
        )
    for name in telemetry:
        name_of("telemetry", name)


def readings(telemetry: Mapping[str, float]) -> dict[str, float]:
    """Finite readings of *telemetry*, their names folded: a broken sensor's NaN must not cost the frame.

    Raises:
        BadRecord: as `check_readings`.
    """
    check_readings(telemetry)
    return {name_of("telemetry", name): value for name, value in telemetry.items() if math.isfinite(value)}
