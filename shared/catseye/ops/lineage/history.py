"""Who made which version of a model, of what, and why: model events, decisions and alerts put together. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert, ModelEvent, RetrainDecision, TrainingRequest
from catseye.models.stages import Stages
from catseye.ops.lineage.manifest import Manifest

VERSION_AT_LEAST = 4  # characters of a version that must be given, as in `catseye models`
DATASET_AT_LEAST = 8  # hexadecimal digits of a dataset's hash that must be given

Key = tuple[str, str]
"""Name of a model, and version."""


class Predictor(NamedTuple):
    """One version of a model in one role.

    Attributes:
        topic: Full name of the topic that its predictions stand on.
        model: Name of the model.
        version: Version.
        role: champion or shadow.
    """

    topic: str
    model: str
    version: str
    role: str


class Total(NamedTuple):
    """Predictions of one version in one role.

    Attributes:
        predictor: Who made them.
        predictions: How many, each id once.
        first_id: Of the earliest, 32 hexadecimal digits; empty when there is none.
        first_ms: When it was made, Unix milliseconds.
        last_id: Of the latest.
        last_ms: When it was made.
    """

    predictor: Predictor
    predictions: int
    first_id: str
    first_ms: int
    last_id: str
    last_ms: int


class Subject(msgspec.Struct, frozen=True):
    """What somebody asks about.

    Attributes:
        kind: What *name* is.
        name: A prediction's id (32 hexadecimal digits), a frame's name, a version, or a dataset's sha256 (64 digits).
        model: Name of the model that a version is of; empty otherwise.
    """

    kind: Literal["prediction", "frame", "model", "dataset"]
    name: str
    model: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision rests on: an alert, a person's request, or an id that the log knows no more.

    Attributes:
        cause_id: As the decision names it.
        alert: The newest record of the alert.
        request: What a person asked for.
    """

    cause_id: str
    alert: Alert | None = None
    request: TrainingRequest | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One version in a chain of versions, each made from the next.

    Attributes:
        model: Name of the model.
        version: Version.
        sha256: Hash of the model file; empty when no file was made, or no event is known.
        made_by: Service or person whose event was the first of this version; empty when no event is known.
        events: Its events, oldest first; empty for a version that only others name.
        decision_id: Decision that asked for it; None when there was none, for example for a model that was registered.
        decision: That decision; None when there is none, or the log has it no more.
        causes: What the decision rests on.
        dataset_sha256: Hash of the dataset manifest; None when no event names one.
        manifest: The manifest; None when there is none, or it cannot be read.
        manifest_missing: Why it cannot be read; empty otherwise.
        base_version: Version that it goes on from; None when it is not recorded.
    """

    model: str
    version: str
    sha256: str = ""
    made_by: str = ""
    events: list[ModelEvent] = []
    decision_id: str | None = None
    decision: RetrainDecision | None = None
    causes: list[Cause] = []
    dataset_sha256: str | None = None
    manifest: Manifest | None = None
    manifest_missing: str = ""
    base_version: str | None = None


class History:
    """Everything recorded about models.

    Args:
        events: Of all models, oldest first.
        decisions: Of the retrain trigger, oldest first.
        requests: Of people for a training.
        alerts: In the order of their topic; the newest record of each holds.
    """

    def __init__(
        self,
        events: Iterable[ModelEvent],
        decisions: Iterable[RetrainDecision] = (),
        requests: Iterable[TrainingRequest] = (),
        alerts: Iterable[Alert] = (),
    ) -> None:
        self.events = list(events)
        self.decisions = {decision.decision_id: decision for decision in decisions}
        self.requests = {request.request_id: request for request in requests}
        self.alerts = newest_alerts(alerts)

    def versions(self) -> list[Key]:
        """Every version that has an event, in the order of their first."""
        return list(dict.fromkeys((event.model, event.version) for event in self.events))

    def datasets(self) -> dict[str, list[Key]]:
        """Hash of each dataset to the versions that were trained on it, in the order of their first event."""
        found: dict[str, dict[Key, None]] = {}
        for event in self.events:
            if event.dataset_sha256:
                found.setdefault(event.dataset_sha256, {})[event.model, event.version] = None
        return {sha256: list(versions) for sha256, versions in found.items()}

    def of(self, model: str, version: str) -> list[ModelEvent]:
        """The events of one version, oldest first."""
        return [event for event in self.events if (event.model, event.version) == (model, version)]

    def dataset_of(self, model: str, version: str) -> str | None:
        """Hash of the dataset that a version was trained on, None when no event names one."""
        return next((event.dataset_sha256 for event in self.of(model, version) if event.dataset_sha256), None)

    def link(self, model: str, version: str, manifest: Manifest | None = None, missing: str = "") -> Link:
        """One version and what led to it.

        Args:
            model: Name of the model.
            version: Version.
            manifest: Of its dataset, where it could be read.
            missing: Why it could not be read.
        """
        events = self.of(model, version)
        decision_id = next((event.decision_id for event in events if event.decision_id), None)
        decision = self.decisions.get(decision_id or "")
        bases = (manifest.base_version if manifest else "", decision.base_version if decision else "")
        return Link(
            model=model,
            version=version,
            sha256=next((event.sha256 for event in events if event.sha256), ""),
            made_by=events[0].by if events else "",
            events=events,
            decision_id=decision_id,
            decision=decision,
            causes=[self._cause(cause_id) for cause_id in (decision.causes if decision else [])],
            dataset_sha256=self.dataset_of(model, version),
            manifest=manifest,
            manifest_missing=missing,
            base_version=next((base for base in bases if base), None),
        )

    def served(self, model: str, version: str) -> list[tuple[int, int | None]]:
        """When a version was champion of all cameras: from, and until when (None: still), Unix milliseconds."""
        periods: list[tuple[int, int | None]] = []
        since: int | None = None
        stages = Stages()
        for event in self.events:
            stages.on_event(event)
            champion = stages.serving("champion").everywhere
            serves = champion is not None and (champion.model, champion.version) == (model, version)
            if serves and since is None:
                since = event.at_ms
            elif since is not None and not serves:
                periods.append((since, event.at_ms))
                since = None
        return periods if since is None else [*periods, (since, None)]

    def alerts_of(self, model: str, version: str) -> list[Alert]:
        """Alerts that name a version as the one that served, by the time they opened."""
        own = (alert for alert in self.alerts.values() if (alert.model, alert.version) == (model, version))
        return sorted(own, key=lambda alert: (alert.opened_at_ms, alert.alert_id))

    def _cause(self, cause_id: str) -> Cause:
        request = self.requests.get(cause_id)
        if request is None and (decision := self.decisions.get(cause_id)) is not None:
            request = _request_of(decision)
        return Cause(cause_id=cause_id, alert=self.alerts.get(cause_id), request=request)


def _request_of(decision: RetrainDecision) -> TrainingRequest:
    """A request from before schema version 3: it stood among the decisions, as one that was not made yet."""
    return TrainingRequest(
        request_id=decision.decision_id,
        model=decision.model,
        reason=decision.detail,
        by=decision.by,
        at_ms=decision.decided_at_ms,
    )


def newest_alerts(alerts: Iterable[Alert]) -> dict[str, Alert]:
    """The record that holds of each alert, by id."""
    found: dict[str, Alert] = {}
    for alert in alerts:
        if alert.alert_id not in found or alert.revision >= found[alert.alert_id].revision:
            found[alert.alert_id] = alert
    return found


def version_meant(versions: Sequence[Key], text: str) -> Key:
    """The one version that *text* is, or begins. Raises `Misconfigured` for none or several."""
    found = _versions(versions, text)
    if not found:
        raise Misconfigured(f"no version begins with {text}; `catseye models list` shows them")
    if len(found) > 1:
        raise Misconfigured(f"{len(found)} versions begin with {text} ({_names(found)}): give more of it")
    return found[0]


def subject_of(versions: Sequence[Key], datasets: Mapping[str, object], text: str) -> Subject:
    """What *text* names: a version, a dataset, or else, when it has the form of an id, a prediction.

    Args:
        versions: All that are known.
        datasets: All that are known, by sha256.
        text: What a person typed.

    Raises:
        Misconfigured: it names nothing, or several things.
    """
    lower = text.lower()
    found = _versions(versions, text)
    hashes = [sha256 for sha256 in datasets if len(lower) >= DATASET_AT_LEAST and sha256.startswith(lower)]
    exact = any(version == text for _, version in found)
    if len(found) > 1 or len(hashes) > 1 or (found and hashes and not exact):
        raise Misconfigured(
            f"{text} begins {len(found)} versions and {len(hashes)} datasets: give more of it ("
            f"{', '.join([_names(found), *hashes]).removeprefix(', ')})"
        )
    if found:
        return Subject("model", found[0][1], found[0][0])
    if hashes:
        return Subject("dataset", hashes[0])
    if re.fullmatch("[0-9a-f]{32}", lower):
        return Subject("prediction", lower)
    if re.fullmatch("[0-9a-f]{33,64}", lower):
        raise Misconfigured(
            f"no model was trained on a dataset whose sha256 begins with {text}; `catseye models list` shows versions, "
            "and `catseye lineage VERSION` the dataset of one"
        )
    raise Misconfigured(
        f"{text} is nothing that is known: give a prediction's id (32 hexadecimal digits, `catseye watch predictions` "
        f"shows them), at least {VERSION_AT_LEAST} characters of a model's version (`catseye models list`), or at "
        f"least {DATASET_AT_LEAST} hexadecimal digits of a dataset's sha256"
    )


def _versions(versions: Sequence[Key], text: str) -> list[Key]:
    exact = [key for key in versions if key[1] == text]
    return exact or [key for key in versions if len(text) >= VERSION_AT_LEAST and key[1].startswith(text)]


def _names(versions: Sequence[Key]) -> str:
    return ", ".join(f"{model} {version}" for model, version in versions)
