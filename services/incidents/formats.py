"""Formats of the values on the state topic: 1 is written; 0, of builds without a number, is read too."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from catseye.contract.records import Alarm, Alert
from catseye.runtime.state_format import Format, Unnumbered
from services.incidents import NAME
from services.incidents.known import CameraState, CauseState, Emitted, Ended, Incident, Suppression
from services.incidents.lifecycle import LifecycleState

_FOR_EVER_MS: Final = 2**62
"""How format 0 wrote that an alert is suppressed until it resolves."""
_SOMEBODY: Final = "somebody"
"""Format 0 did not keep who acknowledged an alert."""
_encode = msgspec.msgpack.Encoder().encode


class _Cause0(msgspec.Struct, frozen=True, kw_only=True):
    """A cause, in format 0; where nothing else stands here, as in `CauseState`.

    Attributes:
        blocked: Whether a fault of the camera kept it from opening.
        behind: Its alarms.
        gone_ms: Since when all is well.
        alert: Its last record.
        shown: Whether it was ever open.
        held_until_ms: Until when a person wanted it quiet; 0 when nobody did.
        acknowledged: Whether a person had seen it.
        outline: Of its last record; the field was called told.
        written_ms: When that was.
    """

    cause: str
    since_ms: int
    wait_ms: int
    blocked: bool = False
    behind: dict[str, Alarm] = {}
    raised: tuple[str, ...] = ()
    gone_ms: int | None = None
    blames_version: bool = False
    beyond_mix: bool = False
    alert: Alert | None = None
    shown: bool = False
    held_until_ms: int = 0
    acknowledged: bool = False
    outline: str = msgspec.field(default="", name="told")
    more: int = 0
    written_ms: int = 0


class _Camera0(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, in format 0; fields that are missing here were the same then."""

    causes: dict[str, _Cause0] = msgspec.field(default_factory=dict, name="lanes")
    revisions: dict[str, int] = {}
    ended_ms: dict[str, int] = {}


def _camera_of_format_0(value: bytes) -> CameraState:
    same: CameraState = msgspec.msgpack.decode(value, type=CameraState)
    old = msgspec.msgpack.decode(value, type=_Camera0)
    return replace(
        same,
        causes={name: _cause(cause) for name, cause in old.causes.items()},
        ended={
            alert_id: Ended(revision=revision, at_ms=old.ended_ms.get(alert_id, same.at_ms))
            for alert_id, revision in old.revisions.items()
        },
    )


def _cause(old: _Cause0) -> CauseState:
    alert, suppression = (None, None) if old.alert is None else _of_record(old.alert, old.held_until_ms)
    return CauseState(
        state=_state(old),
        cause=old.cause,
        since_ms=old.since_ms,
        wait_ms=old.wait_ms,
        alarms=old.behind,
        raised=old.raised,
        well_since_ms=old.gone_ms,
        blames_version=old.blames_version,
        beyond_mix=old.beyond_mix,
        emitted=None
        if alert is None
        else Emitted(alert=alert, outline=old.outline, more=old.more, at_ms=old.written_ms),
        was_shown=old.shown,
        suppression=suppression,
        acknowledged_by=_SOMEBODY if old.acknowledged else None,
    )


def _state(old: _Cause0) -> LifecycleState:
    if old.alert is None:
        return LifecycleState.BLOCKED if old.blocked else LifecycleState.WAITING
    if old.alert.state == "suppressed":
        return LifecycleState.SUPPRESSED if old.held_until_ms else LifecycleState.HELD_BACK
    return LifecycleState.ACKNOWLEDGED if old.alert.state == "acknowledged" else LifecycleState.OPEN


def _of_record(alert: Alert, held_until_ms: int) -> tuple[Alert, Suppression | None]:
    """An alert, and who suppressed it.

    The explanation had it: ``Suppressed by NAME until WHEN; reason: WHY || EXPLANATION``; no name or reason had a bar.
    """
    if not held_until_ms:
        return alert, None
    until_ms = None if held_until_ms == _FOR_EVER_MS else held_until_ms
    words, bars, explanation = alert.explanation.partition(" || ")
    if not bars or not words.startswith("Suppressed by "):
        return alert, Suppression(until_ms=until_ms, by=_SOMEBODY)
    who, _, why = words.removeprefix("Suppressed by ").partition("; reason: ")
    by = who.rpartition(" until ")[0]
    alert = replace(
        alert,
        explanation=explanation,
        suppressed_until_ms=until_ms,
        suppressed_by=by,
        suppressed_because=why,
        by=NAME,
    )
    return alert, Suppression(until_ms=until_ms, by=by, because=why)


def _is_map(value: bytes) -> bool:
    """Whether a value begins as MessagePack begins a map: no number does."""
    return value[:1] == b"\xde" or 0x80 <= (value[0] if value else 0) <= 0x8F


def _reader(kind: type[Any]) -> Any:
    return msgspec.msgpack.Decoder(kind).decode


CAMERAS: Final = Format[CameraState](
    NAME,
    "what is known of a camera",
    write=_encode,
    readers={1: _reader(CameraState)},
    unnumbered=Unnumbered(_is_map, _camera_of_format_0),
)
INCIDENTS: Final = Format[Incident](
    NAME,
    "an incident",
    write=_encode,
    readers={1: _reader(Incident)},
    unnumbered=Unnumbered(_is_map, _reader(Incident)),
)
LAST_RECORDS: Final = Format[Alert](NAME, "the last record of an alert", write=_encode, readers={1: _reader(Alert)})
