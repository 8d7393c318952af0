"""Ranges of what publishers send, checked after the bytes were read."""

import math

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.limits import SEQUENCE_MAX
from catseye.contract.names import check_camera, check_text
from catseye.contract.records import Frame, Label

READINGS_MAX = 64  # readings of a device in one frame


def check_identity(camera: str, boot: str, sequence: int) -> None:
    """Raises `BadRecord` when a frame could not be named or keyed by these."""
    check_camera(camera)
    check_text("boot", boot)
    if not 0 <= sequence < SEQUENCE_MAX:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"sequence is {sequence}; it counts from 0 up")


def check_captured(frame: Frame, written_ms: int, *, future_max_ms: int, age_max_ms: int) -> None:
    """Raises `BadRecord` when the camera's clock is too far from the broker's *written_ms*."""
    ahead_ms = frame.captured_at_ms - written_ms
    if ahead_ms > future_max_ms:
        raise BadRecord(
            Reason.CAPTURED_IN_FUTURE,
            f"captured_at_ms is {ahead_ms} ms after the broker took the frame; at most {future_max_ms} ms are allowed: "
            "is the camera's clock right?",
        )
    if -ahead_ms > age_max_ms:
        raise BadRecord(
            Reason.CAPTURED_TOO_LONG_AGO,
            f"captured_at_ms is {-ahead_ms} ms before the broker took the frame; at most {age_max_ms} ms are allowed",
        )


def check_label(label: Label, written_ms: int, *, future_max_ms: int) -> None:
    """Raises `BadRecord` when a label says something that cannot be, by the broker's clock *written_ms* too."""
    if label.label is not None and not label.label.strip():
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, "label is empty; send null to withdraw a label")
    check_text("label", label.label or "")
    check_text("source", label.source)
    if not 0 < label.propensity <= 1:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"propensity is {label.propensity}; it is a chance over 0 up to 1")
    if label.labelled_at_ms < 0:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"labelled_at_ms is {label.labelled_at_ms}; it is Unix milliseconds")
    ahead_ms = label.labelled_at_ms - written_ms
    if ahead_ms > future_max_ms:  # it would hold for ever: of two labels the one that was made later does
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"labelled_at_ms is {ahead_ms} ms after the broker took the label; at most {future_max_ms} ms are allowed: "
            "is it in milliseconds, and is the labeller's clock right?",
        )


def readings(telemetry: dict[str, float]) -> dict[str, float]:
    """Finite readings of *telemetry*: a broken sensor's NaN must not cost the frame.

    Raises:
        BadRecord: more than `READINGS_MAX` readings, or a name longer than `NAME_MAX`.
    """
    if len(telemetry) > READINGS_MAX:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE, f"telemetry has {len(telemetry)} readings; at most {READINGS_MAX} are kept"
        )
    for name in telemetry:
        check_text("telemetry", name)
    return {name: value for name, value in telemetry.items() if math.isfinite(value)}
