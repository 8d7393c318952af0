"""What `catseye lineage` answers, and how it is printed. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from catseye.contract.identity import frame_id
from catseye.contract.records import Alert, ModelEvent, Outcome, Place, Prediction
from catseye.ops.lineage.history import Cause, Key, Link, Total

_ROWS = ("partitions", "offsets", "labels", "parts")  # of a manifest: thousands of numbers, which its hash names


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted frame, where the archive still has it.

    Attributes:
        place: Where it lies, or lay.
        missing: Why it is not there; empty when it is.
        name: `catseye.contract.identity.frame_id`.
        label: Class that it was taken for in a training; empty otherwise.
        captured_at_ms: The camera's clock, Unix milliseconds.
        received_at_ms: Ingest's clock, Unix milliseconds.
        jpeg_bytes: Size of the picture.
        jpeg_sha256: Of the picture, 64 hexadecimal digits.
        saved: File that the picture was written to; empty when none was asked for.
    """

    place: Place
    missing: str = ""
    name: str = ""
    label: str = ""
    captured_at_ms: int | None = None
    received_at_ms: int | None = None
    jpeg_bytes: int | None = None
    jpeg_sha256: str = ""
    saved: str = ""


class OfPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """Lineage of a prediction.

    Attributes:
        prediction_id: 32 hexadecimal digits.
        place: Where its record lies, or lay.
        prediction: The record; None when the log has dropped it.
        frame: The frame that it was made of; None when the record is gone.
        outcome: The newest outcome; None when no label came, or the log has dropped it.
        outcome_missing: Why there is none.
        chain: The model version, its base version and so on.
        training_frame: One frame that the version was trained on; None when there is none to show.
        training_frame_missing: Why there is none.
    """

    kind: Literal["prediction"] = "prediction"
    prediction_id: str
    place: Place
    prediction: Prediction | None = None
    frame: Kept | None = None
    outcome: Outcome | None = None
    outcome_missing: str = ""
    chain: list[Link]
    training_frame: Kept | None = None
    training_frame_missing: str = ""


class OfModel(msgspec.Struct, frozen=True, kw_only=True):
    """Lineage of a version of a model.

    Attributes:
        chain: The version, its base version and so on, back to the first.
        served: When it was champion: from and until (None: still), Unix milliseconds.
        training_frame: As `OfPrediction` has it.
        training_frame_missing: Why there is none.
    """

    kind: Literal["model"] = "model"
    chain: list[Link]
    served: list[tuple[int, int | None]]
    training_frame: Kept | None = None
    training_frame_missing: str = ""


class Influence(msgspec.Struct, frozen=True, kw_only=True):
    """What one version, trained on a dataset, predicted as champion.

    Attributes:
        model: Name of the model.
        version: Version.
        stage: What it is now.
        predictions: How many it made as champion.
        first_id: Id of the first of them; empty when there is none.
        first_at_ms: When it was made, Unix milliseconds.
        last_id: Id of the last of them.
        last_at_ms: When it was made.
        shadow_predictions: How many it made as shadow; those were not published.
    """

    model: str
    version: str
    stage: str
    predictions: int = 0
    first_id: str = ""
    first_at_ms: int | None = None
    last_id: str = ""
    last_at_ms: int | None = None
    shadow_predictions: int = 0


class OfDataset(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a dataset.

    Attributes:
        dataset_sha256: 64 hexadecimal digits.
        versions: The versions that were trained on it.
        predictions: How many predictions these made as champions.
        first_at_ms: When the first of them was made, Unix milliseconds; None when there is none.
        last_at_ms: When the last of them was made.
        missed: Offsets of the log that were dropped before they were indexed: where there are some, the counts are
            lower bounds.
        unreadable: Unreadable records.
    """

    kind: Literal["dataset"] = "dataset"
    dataset_sha256: str
    versions: list[Influence]
    predictions: int
    first_at_ms: int | None
    last_at_ms: int | None
    missed: int = 0
    unreadable: int = 0


Answer = OfPrediction | OfModel | OfDataset


def influence(
    sha256: str, versions: Sequence[Key], stages: dict[Key, str], totals: Iterable[Total], gaps: tuple[int, int]
) -> OfDataset:
    """Put together what a dataset influenced.

    Args:
        sha256: Of the dataset.
        versions: Trained on it.
        stages: Version to what it is now.
        totals: Of all versions and roles.
        gaps: Offsets that the index never saw, and unreadable records.
    """
    counted = {(total.predictor.model, total.predictor.version, total.predictor.role): total for total in totals}
    found = []
    for model, version in versions:
        champion, shadow = (counted.get((model, version, role)) for role in ("champion", "shadow"))
        found.append(
            Influence(
                model=model,
                version=version,
                stage=stages[model, version],
                predictions=champion.predictions if champion else 0,
                first_id=champion.first_id if champion else "",
                first_at_ms=champion.first_ms if champion else None,
                last_id=champion.last_id if champion else "",
                last_at_ms=champion.last_ms if champion else None,
                shadow_predictions=shadow.predictions if shadow else 0,
            )
        )
    return OfDataset(
        dataset_sha256=sha256,
        versions=found,
        predictions=sum(each.predictions for each in found),
        first_at_ms=min((each.first_at_ms for each in found if each.first_at_ms is not None), default=None),
        last_at_ms=max((each.last_at_ms for each in found if each.last_at_ms is not None), default=None),
        missed=gaps[0],
        unreadable=gaps[1],
    )


def as_json(answer: Answer) -> dict[str, Any]:
    """The answer as one JSON object; of manifests all but the rows, which the store has under their hash."""
    content: dict[str, Any] = msgspec.to_builtins(answer, builtin_types=(bytes,))
    for link in content.get("chain", []):
        if link["manifest"] is not None:
            link["manifest"] = without_rows(link["manifest"])
    return content


def without_rows(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest, as built-in types, without its lists of frames."""
    return {name: value for name, value in manifest.items() if name not in _ROWS}


def as_text(answer: Answer) -> str:
    """The answer for a person, several lines."""
    if isinstance(answer, OfPrediction):
        lines = _prediction(answer)
    elif isinstance(answer, OfModel):
        lines = [*_chain(answer.chain), *_training_frame(answer)]
        lines += [_row("champion", _period(*period)) for period in answer.served] or [_row("champion", "never")]
    else:
        lines = _dataset(answer)
    return "\n".join(lines) + "\n"


def at(at_ms: int | None) -> str:
    """Unix milliseconds as a person reads them, UTC."""
    if at_ms is None:
        return "unknown"
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def cause_text(cause: Cause) -> str:
    """An alert or request in one line."""
    if cause.alert is not None:
        return f"alert {cause.cause_id[:12]}: {alert_text(cause.alert)}"
    if cause.request is not None:
        return f"request {cause.cause_id[:12]} of {cause.request.by}: {cause.request.reason or 'no reason given'}"
    return f"{cause.cause_id}: the log has this alert or request no more"


def alert_text(alert: Alert) -> str:
    """An alert in one line."""
    where = alert.camera or alert.group or "fleet"
    return f"{alert.kind} on {where}, {alert.severity}, opened {at(alert.opened_at_ms)}: {alert.explanation}"


def event_text(event: ModelEvent) -> str:
    """A model event in one line."""
    cameras = f" on {', '.join(event.cameras)}" if event.cameras else ""
    asked = f" (command {event.command_id[:12]})" if event.command_id else ""
    return f"{at(event.at_ms)} {event.stage}{cameras} by {event.by}{asked}: {event.because}"


def _prediction(answer: OfPrediction) -> list[str]:
    lines = [f"prediction {answer.prediction_id}", _row("lies at", _place(answer.place))]
    prediction = answer.prediction
    if prediction is None:
        lines.append(_row("record", "the log has dropped it; the index remembers its place and its model"))
    else:
        chance = prediction.probabilities.get(prediction.label)
        lines += [
            _row("frame", frame_id(prediction.camera, prediction.boot, prediction.sequence)),
            _row(
                "predicted",
                prediction.label + ("" if chance is None else f" ({chance:.1%})") + f" as {prediction.role}",
            ),
            _row("when", f"captured {at(prediction.captured_at_ms)}, predicted {at(prediction.predicted_at_ms)}"),
            _row("model", f"{prediction.model} {prediction.version}, file sha256 {prediction.model_sha256}"),
        ]
    if answer.frame is not None:
        lines += ["frame", *_kept(answer.frame)]
    lines += ["outcome", _row("label", _outcome(answer))]
    return [*lines, *_chain(answer.chain), *_training_frame(answer)]


def _outcome(answer: OfPrediction) -> str:
    outcome = answer.outcome
    if outcome is None:
        return answer.outcome_missing
    if outcome.label is None:
        return f"withdrawn by {outcome.source} at {at(outcome.label_received_at_ms)}"
    right = "right" if outcome.correct else "wrong"
    return (
        f"{outcome.label} ({outcome.change}, by {outcome.source}, {outcome.label_delay_ms / 1_000:.1f} s after the "
        f"frame): the prediction is {right}"
    )


def _chain(chain: Sequence[Link]) -> list[str]:
    lines: list[str] = []
    for link in chain:
        lines.append(f"model {link.model} {link.version}")
        if not link.events:
            lines.append(_row("made by", "unknown: no event of this version is on the register"))
            continue
        lines += [_row("made by", link.made_by), *(_row("event", event_text(event)) for event in link.events)]
        lines += [_row("decision", _decision(link)), *(_row("cause", cause_text(cause)) for cause in link.causes)]
        lines.append(_row("dataset", _manifest(link)))
        lines.append(_row("base", link.base_version or "none known: it is the first, or its base is not recorded"))
    return lines


def _decision(link: Link) -> str:
    if link.decision_id is None:
        return "none: nobody asked for a training"
    if link.decision is None:
        return f"{link.decision_id}: the log has it no more"
    decision = link.decision
    why = f"{decision.because} ({decision.detail})"
    return f"{decision.decision_id} by {decision.by} at {at(decision.decided_at_ms)}: {why}"


def _manifest(link: Link) -> str:
    if link.dataset_sha256 is None:
        return "unknown: no event of this version names one"
    if link.manifest is None:
        return f"{link.dataset_sha256} ({link.manifest_missing})"
    parts = ", ".join(f"{part} {count}" for part, count in link.manifest.by_part.items())
    return f"{link.dataset_sha256} ({parts or 'frames unknown'}; labels until {at(link.manifest.cut_off_ms)})"


def _training_frame(answer: OfPrediction | OfModel) -> list[str]:
    if answer.training_frame is None:
        return ["training frame", _row("none", answer.training_frame_missing)]
    return ["training frame", *_kept(answer.training_frame)]


def _kept(frame: Kept) -> list[str]:
    lines = [_row("lies at", _place(frame.place))]
    if frame.missing:
        return [*lines, _row("gone", frame.missing)]
    lines += [_row("name", frame.name), _row("picture", f"{frame.jpeg_bytes:,} bytes, sha256 {frame.jpeg_sha256}")]
    lines += [_row("label", frame.label)] if frame.label else []
    return lines + ([_row("saved", frame.saved)] if frame.saved else [])


def _dataset(answer: OfDataset) -> list[str]:
    lines = [f"dataset {answer.dataset_sha256}"]
    for each in answer.versions:
        lines.append(_row("trained", f"{each.model} {each.version}, now {each.stage}"))
        if each.predictions:
            lines.append(
                _row(
                    "",
                    f"{each.predictions:,} predictions as champion, {at(each.first_at_ms)} ({each.first_id}) to "
                    f"{at(each.last_at_ms)} ({each.last_id})",
                )
            )
        if each.shadow_predictions:
            lines.append(_row("", f"{each.shadow_predictions:,} predictions as shadow, not published"))
    lines.append(_row("influenced", f"{answer.predictions:,} predictions" + _between(answer)))
    if answer.missed:
        lines.append(_row("at least", f"{answer.missed:,} offsets of the log were dropped before the index saw them"))
    if answer.unreadable:
        lines.append(_row("at least", f"{answer.unreadable:,} records of the log cannot be read"))
    return lines


def _between(answer: OfDataset) -> str:
    return f", {at(answer.first_at_ms)} to {at(answer.last_at_ms)}" if answer.predictions else ""


def _period(since_ms: int, until_ms: int | None) -> str:
    return f"{at(since_ms)} to {'now' if until_ms is None else at(until_ms)}"


def _place(place: Place) -> str:
    return f"{place.topic}, partition {place.partition}, offset {place.offset}"


def _row(name: str, value: str) -> str:
    return f"  {name:<11} {value}"
