"""The lifecycle of an alert: which state follows which, by what. Pure, and all of it: any other step is a bug.

A cause on a camera goes through these states. What happens to it is an event: `evaluation`
finds the event, this table finds the next state, and `record` makes of that state what is written.

A cause that is raised again begins in `WAITING` again. Whether its alert is then the one before or another is no state:
`evaluation` asks how long ago that one was resolved.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class LifecycleState(StrEnum):
    """Where a cause on a camera is."""

    WAITING = "waiting"
    """Alarms are raised; others may still change what they mean."""
    BLOCKED = "blocked"
    """Alarms are raised; a fault of the camera, or a service that stands, keeps the alert from opening."""
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Open, and a person has seen it as it is."""
    SUPPRESSED = "suppressed"
    """A person wants it quiet for a while."""
    HELD_BACK = "held_back"
    """A fault of the camera, or a service that stands, may be all there is to it."""
    RESOLVED = "resolved"
    DROPPED = "dropped"
    """It was over before its alert opened."""


class LifecycleEvent(StrEnum):
    """What may happen to it."""

    SETTLED = "settled"
    """It has waited long enough for other alarms."""
    SETTLED_SUPPRESSED = "settled_suppressed"
    """Likewise, and a person wants no alert of its kind for a while."""
    FAULT = "fault"
    """The camera has a fault, or a service stands, and nobody suppresses the alert."""
    FAULT_OVER = "fault_over"
    FAULT_OVER_AS_SEEN = "fault_over_as_seen"
    """Likewise, and a person has seen the alert as it still is."""
    CHANGED = "changed"
    """Its kind or its severity is another one."""
    REFRESHED = "refreshed"
    """Something else that a reader should know is another, and the last record is old enough."""
    SUPPRESSION_OVER = "suppression_over"
    ENDED = "ended"
    """Nothing behind it has been raised for long enough."""
    ACKNOWLEDGE = "acknowledge"
    """A person's command, as the next two."""
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"


_S, _E = LifecycleState, LifecycleEvent
TRANSITIONS: Final[Mapping[LifecycleState, Mapping[LifecycleEvent, LifecycleState]]] = {
    _S.WAITING: {
        _E.SETTLED: _S.OPEN,
        _E.SETTLED_SUPPRESSED: _S.SUPPRESSED,
        _E.FAULT: _S.BLOCKED,
        _E.ENDED: _S.DROPPED,
    },
    _S.BLOCKED: {
        _E.FAULT_OVER: _S.WAITING,
        _E.ENDED: _S.DROPPED,
    },
    _S.OPEN: {
        _E.CHANGED: _S.OPEN,
        _E.REFRESHED: _S.OPEN,
        _E.FAULT: _S.HELD_BACK,
        _E.ENDED: _S.RESOLVED,
        _E.ACKNOWLEDGE: _S.ACKNOWLEDGED,
        _E.SUPPRESS: _S.SUPPRESSED,
        _E.UNSUPPRESS: _S.OPEN,
    },
    _S.ACKNOWLEDGED: {
        _E.CHANGED: _S.OPEN,
        _E.REFRESHED: _S.ACKNOWLEDGED,
        _E.FAULT: _S.HELD_BACK,
        _E.ENDED: _S.RESOLVED,
        _E.ACKNOWLEDGE: _S.ACKNOWLEDGED,
        _E.SUPPRESS: _S.SUPPRESSED,
        _E.UNSUPPRESS: _S.ACKNOWLEDGED,
    },
    _S.SUPPRESSED: {
        _E.SUPPRESSION_OVER: _S.OPEN,
        _E.FAULT: _S.HELD_BACK,
        _E.ENDED: _S.RESOLVED,
        _E.ACKNOWLEDGE: _S.ACKNOWLEDGED,
        _E.SUPPRESS: _S.SUPPRESSED,
        _E.UNSUPPRESS: _S.OPEN,
    },
    _S.HELD_BACK: {
        _E.FAULT_OVER: _S.OPEN,
        _E.FAULT_OVER_AS_SEEN: _S.ACKNOWLEDGED,
        _E.ENDED: _S.RESOLVED,
        _E.ACKNOWLEDGE: _S.HELD_BACK,
        _E.SUPPRESS: _S.SUPPRESSED,
        _E.UNSUPPRESS: _S.HELD_BACK,
    },
}
OVER: Final = (_S.RESOLVED, _S.DROPPED)
"""States that nothing follows on."""
_WITHOUT_ALERT: Final = (_S.WAITING, _S.BLOCKED, _S.DROPPED)


def next_state(state: LifecycleState, event: LifecycleEvent) -> LifecycleState:
    """Where *event* leads. Raises KeyError where it cannot happen: that is a bug of the caller."""
    return TRANSITIONS[state][event]


def is_written(state: LifecycleState, event: LifecycleEvent) -> bool:
    """Whether a record tells of the step: it does of each that readers can see.

    A suppressed alert that a fault holds back when its time is over is suppressed as before, to them.
    """
    is_same = (state, event) == (_S.SUPPRESSED, _E.FAULT)
    return next_state(state, event) not in _WITHOUT_ALERT and not is_same
