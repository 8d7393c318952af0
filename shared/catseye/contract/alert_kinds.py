"""Every kind of alert, once: what causes it, how grave it is, what it holds back, what it means and what to do.

Pure. A kind that has no row here cannot be raised: services check theirs with `require_known` when they start.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from catseye.contract.errors import Misconfigured
from catseye.contract.records import Severity

DRIFT: Final = "drift"
"""Cause of whatever statistics show: one alert a camera, whose kind says what explains all of it best."""
PICTURE: Final = "picture"
"""Cause of the faults that a picture shows: one alert a camera."""
EVIDENCE_OF_DRIFT: Final = ("input", "predictions", "accuracy")
"""Kinds of alarms that are explained together, as one alert of cause drift; they need not be kinds of alerts."""
LABELS_MISSING: Final = "labels_missing"
ACCURACY_FLOOR: Final = "accuracy_floor"
MODEL_VERSION: Final = "model_version"
SERVICE_STALLED: Final = "service_stalled"
SERVICE_DOWN: Final = "service_down"
MODEL_REFUSED: Final = "model_refused"
TOPICS_MISMATCH: Final = "topics_mismatch"
ROUTE_FAILING: Final = "route_failing"
OF_SERVICES: Final = (SERVICE_DOWN, MODEL_REFUSED, TOPICS_MISMATCH, ROUTE_FAILING)
"""Kinds that are about one service, which is the alert's signal; it has one alert of each."""


class AlertKind(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        name: The kind, as in `Alert.kind`; a stable code.
        meaning: What is so, in words that follow "camera NAME"; of a kind of `OF_SERVICES`, "service NAME".
        action: What to do, as a sentence without its full stop.
        severity: How soon a person should look. Kinds of cause drift are critical once accuracy has fallen.
        cause: A camera has at most one open alert of each cause; empty: the kind is a cause of its own.
        precedence: Of kinds with one cause that are raised at once, the lowest names the alert.
        is_camera_fault: Whether the camera itself is at fault, so that what is seen of the road is not to be believed.
        is_blocked_by_faults: Whether no alert opens while the camera has a fault.
        is_blocked_by_stalls: Whether no alert opens while a service stands: that is reported once, for the fleet.
        waits_for_others: Whether the alert opens only after a while, since another alarm may change what it means.
        may_train: Whether it may be made to start a training.
        trains_by_default: Whether it starts one unless an operator says otherwise.
        is_seen_without_labels: Whether it can be raised although the model answers as well as before.
    """

    name: str
    meaning: str
    action: str
    severity: Severity = "warning"
    cause: str = ""
    precedence: int = 0
    is_camera_fault: bool = False
    is_blocked_by_faults: bool = False
    is_blocked_by_stalls: bool = False
    waits_for_others: bool = False
    may_train: bool = False
    trains_by_default: bool = False
    is_seen_without_labels: bool = False


_ROWS: Final = (
    AlertKind(
        name="camera_silent",
        meaning="sends no frames",
        action="Check power, network and publisher of the camera",
        severity="critical",
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_frozen",
        meaning="sends the same picture again and again",
        action="Restart the camera or its encoder",
        severity="critical",
        cause=PICTURE,
        precedence=4,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_black",
        meaning="sends black pictures",
        action="Check exposure, night mode and whether something stands before the lens",
        severity="critical",
        cause=PICTURE,
        precedence=1,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_white",
        meaning="sends white pictures",
        action="Check exposure and glare",
        severity="critical",
        cause=PICTURE,
        precedence=2,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_covered",
        meaning="is covered",
        action="Clean or uncover the lens",
        severity="critical",
        cause=PICTURE,
        precedence=3,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_blurred",
        meaning="is out of focus",
        action="Focus the camera or clean its lens",
        cause=PICTURE,
        precedence=5,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_moved",
        meaning="looks elsewhere than before",
        action="Turn the camera back; if it is to stay so, its reference is learned anew with the next version of the "
        "model that serves this camera",
        cause=PICTURE,
        precedence=6,
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_clock",
        meaning="has a clock that jumped",
        action="Set the camera's clock and check its time server",
        is_camera_fault=True,
    ),
    AlertKind(
        name="camera_dead_letters",
        meaning="sends frames that are refused",
        action="See `catseye dead list` for the reasons",
        is_camera_fault=True,
    ),
    AlertKind(
        name="telemetry",
        meaning="reports device readings that are not usual",
        action="Look at the device before it fails",
        severity="info",
        waits_for_others=True,
    ),
    AlertKind(
        name="input",
        meaning="shows other pictures than those it was learned on",
        action="Compare the example frames; if the road is to stay so, label some and retrain",
        cause=DRIFT,
        is_blocked_by_faults=True,
        waits_for_others=True,
        may_train=True,
        trains_by_default=True,
        is_seen_without_labels=True,
    ),
    AlertKind(
        name="class_mix",
        meaning="sees another mix of classes, and its pictures look as before",
        action="Ask whether traffic changed; if so all is well once accuracy on labels says so, else look for pictures "
        "that only seem alike",
        severity="info",
        cause=DRIFT,
        is_blocked_by_faults=True,
        waits_for_others=True,
        may_train=True,
        trains_by_default=True,
        is_seen_without_labels=True,
    ),
    AlertKind(
        name="concept",
        meaning="is classified wrongly more often than another mix of classes explains, and its pictures look as "
        "before",
        action="Check first whether labels mean the same as before, then label more and retrain",
        cause=DRIFT,
        is_blocked_by_faults=True,
        waits_for_others=True,
        may_train=True,
        trains_by_default=True,
    ),
    AlertKind(
        name=MODEL_VERSION,
        meaning="is classified differently since a new version of the model serves, and its pictures look as before",
        action="Compare it with the version before on the same frames, and roll back if that one is better",
        cause=DRIFT,
        is_blocked_by_faults=True,
        waits_for_others=True,
        may_train=True,
        is_seen_without_labels=True,
    ),
    AlertKind(
        name=ACCURACY_FLOOR,
        meaning="is classified right less often than the floor allows",
        action="Do not rely on its predictions; find the cause in the other alerts, or retrain",
        severity="critical",
        is_blocked_by_faults=True,
        may_train=True,
        trains_by_default=True,
    ),
    AlertKind(
        name=LABELS_MISSING,
        meaning="gets no labels, or too few: missing labels look like good accuracy",
        action="Ask who labels, and look at labels that found no prediction",
        is_blocked_by_faults=True,
    ),
    AlertKind(
        name="service_slow",
        meaning="gets its predictions late",
        action="Look at lag and load of the services, and start more workers",
        is_blocked_by_stalls=True,
    ),
    AlertKind(
        name=SERVICE_STALLED,
        meaning="waits for a service that does not work off what it reads: frames and labels wait on the log, none is "
        "lost, and no camera behind it is taken for silent",
        action="See with `infra/stack status` which process is not ready, and its number; end it with `kill -9`: "
        "another takes its place and goes on where it was. If all are ready, more comes than they can do: see with "
        "`top` what else the machine does, or start more workers with `infra/stack up --workers SERVICE=N`",
        severity="critical",
    ),
    AlertKind(
        name=SERVICE_DOWN,
        meaning="is down: what it reads waits on the log and is not lost",
        action="See `catseye doctor` for what it wrote at its end and its log for the rest, mend that, and start it "
        "again: of a stack on one machine `infra/stack up` does so",
        severity="critical",
    ),
    AlertKind(
        name=MODEL_REFUSED,
        meaning="does not serve a model that it was told to serve: who served before goes on, or nobody does",
        action="See `catseye models list` for why and for what else there is; mend the file and register it again, or "
        "take that version back: `catseye models rollback` where it is the champion, else "
        "`catseye models reject VERSION`",
        severity="critical",
    ),
    AlertKind(
        name=TOPICS_MISMATCH,
        meaning="works on topics that somebody changed: one is missing, was made again, or has more partitions than "
        "others that must have the same number; who reads several of those waits",
        action="Run `catseye topics create`: it makes what is missing and gives all the same number, and the services "
        "go on by themselves; one that has ended meanwhile is started by `infra/stack up`. What was lost with a topic "
        "that was made again, send again where you have it",
        severity="critical",
    ),
    AlertKind(
        name=ROUTE_FAILING,
        meaning="cannot tell people by one of its routes: messages wait, and are tried again",
        action="See `catseye notify list` for why, and mend that server or `notify.yaml`; `catseye notify test ROUTE` "
        "tries it",
    ),
)
KINDS: Final = {row.name: row for row in _ROWS}
"""Rows by the name of the kind, in the order in which people are shown them."""


def cause_of(kind: str) -> str:
    """The cause that an alarm or an alert of *kind* has. Raises KeyError for a kind without a row."""
    if kind in EVIDENCE_OF_DRIFT:
        return DRIFT
    return KINDS[kind].cause or kind


def rows_of(cause: str) -> list[AlertKind]:
    """Kinds of an alert with that cause. Raises KeyError for a cause that no row has."""
    found = [row for row in _ROWS if (row.cause or row.name) == cause]
    if not found:
        raise KeyError(cause)
    return found


def unknown(kinds: Iterable[str]) -> list[str]:
    """Those of *kinds*, of alarms or of alerts, that no row says anything of."""
    return sorted({kind for kind in kinds if kind not in KINDS and kind not in EVIDENCE_OF_DRIFT})


def require_known(kinds: Iterable[str]) -> None:
    """What a service that raises *kinds*, of alarms or of alerts, asks when it starts.

    Raises:
        Misconfigured: one of them has no row.
    """
    if missing := unknown(kinds):
        raise Misconfigured(f"alert_kinds.py has no row for {', '.join(missing)}")
