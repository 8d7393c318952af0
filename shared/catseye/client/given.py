"""What callers give, as what a record needs: the usual types of Python are taken, others refused in one sentence. Pure.

A type that nothing can be made of raises TypeError: that is a fault of the program, whatever the frame. A value out of
range is a `BadRecord`, which is a matter of this one frame.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from operator import index
from typing import TYPE_CHECKING, Final, SupportsFloat, SupportsIndex

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.limits import LABELLED_MIN_MS

if TYPE_CHECKING:
    from typing_extensions import Buffer

    Picture = Buffer
    """A JPEG in anything that holds bytes: bytes, bytearray, memoryview, a numpy array of the file's bytes."""

Time = SupportsIndex | SupportsFloat | datetime
"""A time: Unix milliseconds, or a datetime with its time zone."""
Readings = Mapping[str, SupportsFloat | None]
"""Readings of a device by name; None is one that is missing."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_A_TIME: Final = "give Unix milliseconds as a number, or a datetime with its time zone"


def jpeg_bytes(jpeg: Picture) -> bytes:
    """The bytes of a JPEG file. Raises TypeError."""
    if type(jpeg) is bytes:
        return jpeg
    if isinstance(jpeg, str | os.PathLike):
        raise TypeError(
            f"jpeg is {jpeg!r}, of type {type(jpeg).__name__}: give the bytes of the file, "
            f"pathlib.Path({os.fspath(jpeg)!r}).read_bytes()"
        )
    try:
        view = memoryview(jpeg)
    except (TypeError, ValueError, BufferError) as fault:
        raise TypeError(
            f"jpeg is of type {type(jpeg).__name__}: give the bytes of a JPEG file, as bytes, bytearray, memoryview "
            "or a numpy array of them"
        ) from fault
    if view.itemsize != 1 or len([side for side in view.shape or () if side != 1]) > 1:
        raise TypeError(
            f"jpeg is of type {type(jpeg).__name__} and shape {view.shape}, {view.itemsize} bytes an item: that is a "
            'decoded picture; encode it first, cv2.imencode(".jpg", picture)[1]'
        )
    return view.tobytes()


def time_ms(name: str, given: Time) -> int:
    """Unix milliseconds of a time that is called *name*. Raises TypeError, `BadRecord`."""
    if type(given) is int:
        return given
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise TypeError(
                f"{name} is {given!r}, which has no time zone: datetime.datetime.now(datetime.UTC) has one, and "
                ".astimezone() gives it that of this machine"
            )
        return (given - _EPOCH) // _MILLISECOND
    if isinstance(given, bool):
        raise TypeError(
            f"{name} is {given}, of type bool: give Unix milliseconds as a number, or a datetime with its time zone"
        )
    if isinstance(given, SupportsIndex):
        return index(given)
    at_ms = _number(name, given, _A_TIME)
    if not math.isfinite(at_ms):
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{name} is {at_ms}; it counts Unix milliseconds")
    if 0 < at_ms < LABELLED_MIN_MS:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"{name} is {at_ms}: it counts Unix milliseconds, not seconds; time.time() * 1000 gives them",
        )
    return int(at_ms)


def whole(name: str, given: SupportsIndex) -> int:
    """A whole number that is called *name*. Raises TypeError."""
    try:
        return index(given)
    except TypeError as fault:
        raise TypeError(f"{name} is {given!r}, of type {type(given).__name__}: give a whole number") from fault


def text(name: str, given: str) -> str:
    """A text that is called *name*. Raises TypeError, and `BadRecord` for what UTF-8 cannot write."""
    if not isinstance(given, str):
        raise TypeError(f"{name} is {given!r}, of type {type(given).__name__}: give a str")
    try:
        given.encode()
    except UnicodeEncodeError as fault:
        raise BadRecord(
            Reason.FIELD_OUT_OF_RANGE,
            f"{name} is {given!a}, which UTF-8 cannot write: a file's name that was no UTF-8 has such characters; "
            'name.encode(errors="surrogateescape").decode(errors="replace") replaces them',
        ) from fault
    return str(given)


def share(name: str, given: SupportsFloat) -> float:
    """A number that is called *name*. Raises TypeError."""
    return _number(name, given, "give a number")


def readings_of(given: Readings | None) -> dict[str, float]:
    """Readings of a device; one that is missing is left out. Raises TypeError, `BadRecord`."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"telemetry is of type {type(given).__name__}: give a dict of names to numbers")
    return {
        text("a name in telemetry", name): _number(f"telemetry[{name!r}]", value, "a reading is one number, float(…)")
        for name, value in given.items()
        if value is not None
    }


def _number(name: str, given: SupportsFloat, remedy: str) -> float:
    try:
        return float("" if isinstance(given, str | bytes) else given)  # a text is no number, whatever it says
    except (TypeError, ValueError) as fault:
        raise TypeError(f"{name} is {given!r}, of type {type(given).__name__}: {remedy}") from fault
