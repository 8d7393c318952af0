"""What a replay found, for people and for programs. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from catseye.contract.records import Alert
from catseye.ops.card.figures import Share
from services.replay.core import Beside, Score

Table = Sequence[Sequence[str]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """All that a replay found.

    Attributes:
        model: Name of the candidate.
        version: Its version: the start of the file's hash, as `catseye models register` gives it.
        sha256: Hash of the file.
        to_ms: When the span ended, Unix milliseconds.
        cameras: Cameras that were asked for; empty for all.
        score: Figures.
        alerts: The newest record of each alert that the candidate would have raised.
        learning: Cameras of which drift had not learned enough to claim anything, to the samples that it needed.
        unreadable: Records that could not be read.
    """

    model: str
    version: str
    sha256: str
    to_ms: int
    cameras: list[str]
    score: Score
    alerts: list[Alert]
    learning: dict[str, int]
    unreadable: int


def as_json(answer: Answer) -> dict[str, Any]:
    """One object; times in Unix milliseconds."""
    return {
        "from_ms": answer.score.from_ms,
        "to_ms": answer.to_ms,
        "cameras": answer.cameras,
        "candidate": {"model": answer.model, "version": answer.version, "sha256": answer.sha256},
        "score": {name: value for name, value in msgspec.to_builtins(answer.score).items() if name != "from_ms"},
        "alerts": [
            {
                "alert_id": alert.alert_id,
                "kind": alert.kind,
                "camera": alert.camera,
                "severity": alert.severity,
                "state": alert.state,
                "since_ms": alert.since_ms,
                "opened_at_ms": alert.opened_at_ms,
                "times_opened": alert.times_opened,
                "resolved_at_ms": alert.resolved_at_ms,
                "explanation": alert.explanation,
            }
            for alert in answer.alerts
        ],
        "learning": answer.learning,
        "unreadable": answer.unreadable,
    }


def as_lines(answer: Answer) -> tuple[list[str], list[Table]]:
    """Sentences and, below them, tables."""
    score = answer.score
    lines = [
        f"{answer.model} {answer.version} on {score.frames:,} frames, {_at(score.from_ms)} to {_at(answer.to_ms)} UTC",
        f"then predicted by {_champions(score.champions)}; the same class on {score.same:,} of {score.compared:,} "
        "frames that both answered",
    ]
    if score.missing or score.missing_labelled:
        lines.append(
            f"missing from the archive: {score.missing:,} frames that were predicted, {score.missing_labelled:,} that "
            "were labelled"
        )
    if score.unanswered:
        lines.append(f"{score.unanswered:,} frames have no answer: they cannot be decoded, or the model gives NaN")
    if answer.unreadable:
        lines.append(f"{answer.unreadable:,} records cannot be read and were left out")
    tables = [_accuracy(score)] if score.overall else []
    lines.append(_labels(score))
    lines += _watched(answer)
    return lines, [*tables, *([_alerts(answer.alerts)] if answer.alerts else [])]


def _labels(score: Score) -> str:
    if score.overall is None:
        return "no label of these frames was known by then: nothing can be scored"
    both = score.overall
    delay = f"{_time(score.label_delay_median_ms)} in the median, {_time(score.label_delay_p95_ms)} for 95 %"
    selected = (
        f"; {score.propensity_below_1:,} were chosen with a probability below 1" if score.propensity_below_1 else ""
    )
    return (
        f"{score.labelled:,} labelled frames, labels after {delay}, {score.corrected:,} corrected, {score.withdrawn:,} "
        f"withdrawn{selected}; only the candidate is right on {both.only_candidate:,}, only the champion on "
        f"{both.only_champion:,}"
    )


def _watched(answer: Answer) -> list[str]:
    line = "" if answer.alerts else "it would have raised no alert"
    if answer.learning:
        line += f"{'; ' if line else ''}drift was still learning what is normal on {len(answer.learning)} cameras"
        line += ": a longer span, or CATSEYE_DRIFT_REFERENCE_SAMPLES and CATSEYE_DRIFT_REFERENCE_SPAN_H, let it claim"
    return [line] if line else []


def _accuracy(score: Score) -> Table:
    assert score.overall is not None
    head = ("ACCURACY", "LABELLED", "CANDIDATE", "95 %", "CHAMPION", "95 %", "ONLY CANDIDATE", "ONLY CHAMPION")
    rows = [("all", score.overall)]
    rows += [(f"class {name}", both) for name, both in score.by_class.items()]
    rows += [(f"camera {name}", both) for name, both in score.by_camera.items()]
    return [head, *[_row(name, both) for name, both in rows]]


def _row(name: str, both: Beside) -> Sequence[str]:
    candidate, champion = both.candidate, both.champion
    shares = (_share(candidate), _interval(candidate), _share(champion), _interval(champion))
    return (name, f"{candidate.of:,}", *shares, f"{both.only_candidate:,}", f"{both.only_champion:,}")


def _share(share: Share) -> str:
    return f"{share.accuracy:.1%}"


def _interval(share: Share) -> str:
    return f"{share.low:.1%} to {share.high:.1%}"


def _alerts(alerts: Sequence[Alert]) -> Table:
    head = ("ALERT", "SEVERITY", "CAMERA", "OPENED", "RESOLVED", "WHY")
    return [
        head,
        *[
            (
                alert.kind,
                alert.severity,
                alert.camera or alert.group or "fleet",
                _at(alert.opened_at_ms),
                alert.state if alert.resolved_at_ms is None else _at(alert.resolved_at_ms),
                alert.explanation,
            )
            for alert in alerts
        ],
    ]


def _champions(champions: Mapping[str, int]) -> str:
    listed = [f"{name} ({count:,})" for name, count in champions.items()]
    return ", ".join(listed) if listed else "nobody that the topic still knows"


def _at(at_ms: int | None) -> str:
    return datetime.fromtimestamp((at_ms or 0) / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _time(length_ms: int | None) -> str:
    """A length of time in the unit in which a person would say it."""
    seconds = (length_ms or 0) / 1_000
    for unit, of in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * of:
            return f"{seconds / of:.1f} {unit}"
    return f"{seconds:.1f} s"
