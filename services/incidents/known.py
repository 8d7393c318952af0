"""What incidents knows: of a camera its newest report and its causes, of a group its incidents, of alerts that are over
their last records. Immutable values.
"""

import msgspec

from catseye.contract.records import Alarm, Alert
from services.incidents.lifecycle import LifecycleState


class Suppression(msgspec.Struct, frozen=True, kw_only=True):
    """A person's command: an alert, or alerts of a kind on a camera, are to be quiet for a while.

    Attributes:
        until_ms: Unix milliseconds; None until the alert resolves.
        by: Who asked for it.
        because: Why; may be empty.
    """

    until_ms: int | None
    by: str
    because: str = ""

    def lasts(self, at_ms: int) -> bool:
        """Whether it still holds at *at_ms*, event time."""
        return self.until_ms is None or self.until_ms > at_ms


class Emitted(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of an alert.

    Attributes:
        alert: The record.
        outline: All that it contained but the numbers.
        more: Cameras of the incident that it counted and did not name.
        at_ms: When it was written, the camera's event time.
    """

    alert: Alert
    outline: str
    more: int
    at_ms: int


class CauseState(msgspec.Struct, frozen=True, kw_only=True):
    """One cause on one camera, from the first alarm to the end: at most one alert.

    Attributes:
        state: Where it is in its lifecycle; what happens next depends on that.
        cause: Of the alarm that was first; names the alert.
        since_ms: From when on it waits to be opened, event time.
        wait_ms: How long it waits for other alarms.
        alarms: Newest alarm of each kind that was raised since it began.
        raised: Kinds that are raised now.
        well_since_ms: Since when none is; None while one is.
        blames_version: Whether a new version of the model began shortly before.
        beyond_mix: Whether accuracy fell further than another mix of classes can make it.
        emitted: The alert's last record; None before it opened.
        was_shown: Whether it was ever open, and not only suppressed.
        suppression: Who wants it quiet while it is suppressed.
        acknowledged_by: Who has seen it as it is; None while nobody has.
    """

    state: LifecycleState
    cause: str
    since_ms: int
    wait_ms: int
    alarms: dict[str, Alarm] = {}
    raised: tuple[str, ...] = ()
    well_since_ms: int | None = None
    blames_version: bool = False
    beyond_mix: bool = False
    emitted: Emitted | None = None
    was_shown: bool = False
    suppression: Suppression | None = None
    acknowledged_by: str | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is over.

    Attributes:
        revision: Of its last record: one that comes back goes on counting.
        at_ms: When it ended, event time.
    """

    revision: int
    at_ms: int


class CameraState(msgspec.Struct, frozen=True, kw_only=True):
    """One camera.

    Attributes:
        at_ms: Event time of the newest report.
        lag_ms: How far its event time was behind the clock of all when it came: its own time goes on from there.
        alarms: What was raised then.
        model: Name of the model.
        version: Version that serves.
        version_since_ms: Since when, for this camera.
        version_before: The one before; empty while no other was seen.
        recent_labels: Of the newest report.
        recent_errors: The same.
        worst_loss: The same.
        signals_off: The same.
        causes: Causes under way, by name.
        ended: Alerts that are over by id, oldest first.
        counted: Kinds of whose newest incident it is part without being named there: when that incident opened.
        quiet: Kinds that a person wants no alert of for a while.
        last_command: Id of the newest command, so that a repeat is known.
        sentences: Of a service: what is so, by kind of its alarms.
        episodes: Of the fleet: how often its accuracy has been too low.
        due_ms: When it is to be evaluated though no report comes, by the clock of all.
    """

    at_ms: int = -1
    lag_ms: int = 0
    alarms: tuple[Alarm, ...] = ()
    model: str = ""
    version: str = ""
    version_since_ms: int = 0
    version_before: str = ""
    recent_labels: float = 0.0
    recent_errors: float = 0.0
    worst_loss: float = 1.0
    signals_off: tuple[str, ...] = ()
    causes: dict[str, CauseState] = {}
    ended: dict[str, Ended] = {}
    counted: dict[str, int] = {}
    quiet: dict[str, Suppression] = {}
    last_command: str = ""
    sentences: dict[str, str] = {}
    episodes: int = 0
    due_ms: int | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts of one kind that opened in one group within the window.

    Attributes:
        incident_id: The first one's alert_id.
        first_camera: Whose that is.
        opened_at_ms: When it opened.
        cameras: Those that joined first, in that order.
        more: How many joined after them.
    """

    incident_id: str
    first_camera: str
    opened_at_ms: int
    cameras: tuple[str, ...]
    more: int = 0
