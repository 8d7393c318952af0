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
"""How format 0 said that an alert is suppressed until it resolves."""
_SOMEBODY: Final = "somebody"
"""Format 0 did not keep who acknowledged an alert."""
_encode = msgspec.msgpack.Encoder().encode


class _Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A cause, in format 0; where nothing else is said, as in `CauseState`.

    Attributes:
        blocked: Whether a fault of the camera kept it from opening.
        behind: Its alarms.
        gone_ms: Since when all is well.
        alert: Its last record.
        shown: Whether it was ever open.
        held_until_ms: Until when a person wanted it quiet; 0 when nobody did.
        acknowledged: Whether a person had seen it.
        told: Outline of its last record.
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
    told: str = ""
    more: int = 0
    written_ms: int = 0


class _Camera(msgspec.Struct, frozen=True, kw_only=True):
    """A camera, in format 0; fields that are missing here were the same then."""

    lanes: dict[str, _Lane] = {}
    revisions: dict[str, int] = {}
    ended_ms: dict[str, int] = {}


def _camera_of_format_0(value: bytes) -> CameraState:
    same: CameraState = msgspec.msgpack.decode(value, type=CameraState)
    old = msgspec.msgpack.decode(value, type=_Camera)
    return replace(
        same,
        causes={name: _cause(lane) for name, lane in old.lanes.items()},
        ended={
            alert_id: Ended(revision=revision, at_ms=old.ended_ms.get(alert_id, same.at_ms))
            for alert_id, revision in old.revisions.items()
        },
    )


def _cause(lane: _Lane) -> CauseState:
    alert, suppression = (None, None) if lane.alert is None else _of_record(lane.alert, lane.held_until_ms)
    return CauseState(
        state=_state(lane),
        cause=lane.cause,
        since_ms=lane.since_ms,
        wait_ms=lane.wait_ms,
        alarms=lane.behind,
        raised=lane.raised,
        well_since_ms=lane.gone_ms,
        blames_version=lane.blames_version,
        beyond_mix=lane.beyond_mix,
        emitted=None
        if alert is None
        else Emitted(alert=alert, outline=lane.told, more=lane.more, at_ms=lane.written_ms),
        was_shown=lane.shown,
        suppression=suppression,
        acknowledged_by=_SOMEBODY if lane.acknowledged else None,
    )


def _state(lane: _Lane) -> LifecycleState:
    if lane.alert is None:
        return LifecycleState.BLOCKED if lane.blocked else LifecycleState.WAITING
    if lane.alert.state == "suppressed":
        return LifecycleState.SUPPRESSED if lane.held_until_ms else LifecycleState.HELD_BACK
    return LifecycleState.ACKNOWLEDGED if lane.alert.state == "acknowledged" else LifecycleState.OPEN


def _of_record(alert: Alert, held_until_ms: int) -> tuple[Alert, Suppression | None]:
    """An alert, and who suppressed it.

    The explanation said so, ``Suppressed by NAME until WHEN; reason: WHY || EXPLANATION``: no name or reason had a bar.
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
