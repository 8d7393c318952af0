"""A card as one HTML file: no script, nothing from elsewhere, everything escaped. Pure but for its template's file."""

import base64
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from catseye.contract.identity import frame_id
from catseye.ops.card.contents import Card, Picture
from catseye.ops.card.figures import Bin, Share
from catseye.ops.card.file import FileFacts
from catseye.ops.card.verdict import LABELS
from catseye.ops.lineage.answer import alert_text, at, cause_text
from catseye.ops.lineage.history import Link
from catseye.ops.lineage.manifest import PARTS, Manifest

_CLASSES = 20  # of a confusion matrix that fits a page
_PAIRS = 20
_SHOWN = 12  # pictures of mistakes
_SIDE = 260  # pixels of the reliability diagram

Cell = str | int | float
Rows = list[tuple[Cell, ...]]
UNKNOWN = "unknown"


def as_html(card: Card) -> str:
    """The card as one HTML document, UTF-8."""
    link = card.chain[0]
    return _template().render(
        title=f"{card.model} {card.version}",
        stage=card.stage,
        made_at=at(card.made_at_ms),
        verdict=card.verdict,
        file=_file(card.file),
        file_missing=card.file.missing,
        confusion=_confusion(card.figures.confusion),
        pictures=_pictures(card.pictures),
        calibration_missing=_calibration_missing(card),
        model=_model(card, link),
        data=_data(link),
        gate=_gate(card),
        numbers=[(name, f"{value:,.6g}") for name, value in sorted(card.numbers.items())],
        accuracy=_accuracy(card),
        calibration=_calibration(card),
        alerts=_alerts(card),
        decision=_decision(link),
        events=_events(link),
        lineage=_lineage(card),
        limits=card.limits,
    )


@cache
def _template() -> Template:
    here = Path(__file__).parent
    environment = Environment(loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined)
    environment.filters["cell"] = _cell
    return environment.get_template("page.html")


def _cell(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _model(card: Card, link: Link) -> dict[str, Cell]:
    served = "; ".join(f"{at(since)} to {'now' if until is None else at(until)}" for since, until in card.served)
    return {
        "model": card.model,
        "version": card.version,
        "file sha256": link.sha256 or UNKNOWN,
        "made by": link.made_by or UNKNOWN,
        "base version": link.base_version or UNKNOWN,
        "champion": served or "never",
    }


def _file(facts: FileFacts) -> dict[str, Cell]:
    return {
        "classes": ", ".join(facts.classes),
        "input": facts.input,
        "temperature": f"{facts.temperature:g}",
        "training data and licence": facts.attribution or UNKNOWN,
        "crops": _counts(facts.crops),
    }


def _confusion(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Any] | None:
    """Counts of true by predicted class; of many classes the commonest confusions alone."""
    names = sorted(counts.keys() | {name for row in counts.values() for name in row})
    if not names:
        return None
    if len(names) <= _CLASSES:
        rows: Rows = [(label, *(counts.get(label, {}).get(name, 0) for name in names)) for label in names]
        return {"head": ["true \\ predicted", *(f"#{name}" for name in names)], "rows": rows}
    pairs = [(n, label, name) for label, row in counts.items() for name, n in row.items() if name != label]
    pairs.sort(key=lambda pair: (-pair[0], pair[1:]))
    return {"head": ["true", "predicted", "#frames"], "rows": [(label, name, n) for n, label, name in pairs[:_PAIRS]]}


def _pictures(pictures: Iterable[Picture]) -> list[dict[str, str]]:
    """Those whose frames are kept, as data that the page carries."""
    return [
        {
            "data": base64.b64encode(picture.jpeg).decode("ascii"),
            "label": picture.mistake.label,
            "predicted": f"{picture.mistake.predicted} {picture.mistake.confidence:.0%}",
            "frame": frame_id(picture.mistake.camera, picture.mistake.boot, picture.mistake.sequence),
        }
        for picture in pictures
        if picture.jpeg is not None
    ][:_SHOWN]


def _calibration_missing(card: Card) -> str:
    labels = sum(own.of for own in card.figures.by_role.values())
    if not labels:
        return "no label of a frame that it saw has come"
    return f"an Expected calibration error of {labels} labels says nothing; {LABELS} are needed"


def _data(link: Link) -> dict[str, Any]:
    manifest = link.manifest
    if manifest is None:
        return {
            "pairs": {"dataset sha256": link.dataset_sha256 or UNKNOWN},
            "missing": link.manifest_missing or "no event of this version names a dataset",
        }
    return {
        "pairs": {
            "dataset sha256": link.dataset_sha256 or UNKNOWN,
            "label cut-off": at(manifest.cut_off_ms),
            "outcomes": f"{_number(manifest.outcomes_read)} of {manifest.outcomes_topic or UNKNOWN}",
            "labelled frames": _number(manifest.labelled),
            "frames gone": _number(manifest.gone),
            "classes": ", ".join(manifest.classes) or UNKNOWN,
            "sources of labels": _counts(manifest.sources),
            "propensities": _counts(manifest.propensities),
            "labels of other classes": _counts(manifest.unknown_labels) if manifest.unknown_labels else "none",
            "changed cameras": _changed(manifest),
            "example crops sha256": manifest.examples_sha256 or "none",
            "golden set sha256": manifest.golden_sha256 or "none",
        },
        "missing": "",
        "parts": [f"#{part}" for part in PARTS],
        "split": [(part, manifest.by_part[part]) for part in PARTS if part in manifest.by_part],
        "by_class": _by_part(manifest.by_class),
        "by_camera": _by_part(manifest.by_camera),
        "ranges": _ranges(manifest),
    }


def _changed(manifest: Manifest) -> str:
    return (
        ", ".join(f"{camera} since {at(since)}" for camera, since in manifest.changed_since_ms.items()) or "none named"
    )


def _by_part(counts: Mapping[str, Mapping[str, int]]) -> Rows:
    return [(name, *(own.get(part, 0) for part in PARTS)) for name, own in counts.items()]


def _ranges(manifest: Manifest) -> Rows:
    return [
        (topic or UNKNOWN, partition, first, end)
        for topic, ranges in (
            (manifest.frames_topic, manifest.frames_ranges),
            (manifest.outcomes_topic, manifest.outcomes_ranges),
        )
        for partition, (first, end) in ranges.items()
    ]


def _gate(card: Card) -> Rows:
    return [
        (
            row.where,
            row.slice,
            row.champion.of,
            _share(row.champion),
            _share(row.candidate),
            row.won,
            row.lost,
            f"{row.low:.0%} to {row.high:.0%}",
        )
        for row in card.gate
    ]


def _accuracy(card: Card) -> dict[str, Any] | None:
    figures = card.figures
    if not figures.by_role:
        return None
    return {
        "sources": _counts(figures.sources),
        "withdrawn": figures.withdrawn,
        "by_role": _shares(figures.by_role),
        "by_class": _shares(figures.by_class),
        "by_camera": _shares(figures.by_camera),
    }


def _shares(shares: Mapping[str, Share]) -> Rows:
    return [(name, own.right, own.of, f"{own.accuracy:.1%}", _interval(own)) for name, own in shares.items()]


def _calibration(card: Card) -> dict[str, Any] | None:
    error = card.figures.calibration_error
    if error is None:
        return None
    return {
        "error": f"{error:.3f}",
        "side": _SIDE,
        "marks": _marks(card.figures.bins),
        "bins": [
            (f"{each.from_:.2f} to {each.to:.2f}", each.share.of, f"{each.confidence:.1%}", _share(each.share))
            for each in card.figures.bins
        ],
    }


def _marks(bins: Iterable[Bin]) -> list[dict[str, str]]:
    """Places in the diagram, pixels from its left and upper edge."""
    return [
        {
            "x": f"{each.confidence * _SIDE:.1f}",
            "y": f"{(1 - each.share.accuracy) * _SIDE:.1f}",
            "low": f"{(1 - each.share.low) * _SIDE:.1f}",
            "high": f"{(1 - each.share.high) * _SIDE:.1f}",
        }
        for each in bins
    ]


def _alerts(card: Card) -> Rows:
    return [
        (
            at(alert.opened_at_ms),
            "" if alert.resolved_at_ms is None else at(alert.resolved_at_ms),
            alert.kind,
            alert.severity,
            alert.camera or alert.group or "fleet",
            alert.state,
            alert.explanation,
        )
        for alert in card.alerts
    ]


def _decision(link: Link) -> dict[str, Any]:
    decision = link.decision
    if decision is None:
        missing = "" if link.decision_id is None else f"the log has decision {link.decision_id} no more"
        return {"pairs": None, "missing": missing}
    return {
        "pairs": {
            "decision": decision.decision_id,
            "by": decision.by,
            "when": at(decision.decided_at_ms),
            "because": f"{decision.because}: {decision.detail}",
            "fresh labels": _counts(decision.fresh_labels),
            "causes": "; ".join(cause_text(cause) for cause in link.causes) or UNKNOWN,
        }
    }


def _events(link: Link) -> Rows:
    return [
        (
            at(event.at_ms),
            event.stage,
            event.by,
            event.because,
            ", ".join(event.cameras) or "all",
            event.previous_version or "",
        )
        for event in link.events
    ]


def _lineage(card: Card) -> Rows:
    return [
        (
            link.version,
            link.made_by or UNKNOWN,
            at(link.events[0].at_ms) if link.events else UNKNOWN,
            "; ".join(alert_text(cause.alert) if cause.alert else cause_text(cause) for cause in link.causes)
            or (link.decision.because if link.decision else "no decision"),
            link.dataset_sha256 or UNKNOWN,
            link.base_version or ("none known" if link.events else UNKNOWN),
        )
        for link in card.chain
    ]


def _share(own: Share) -> str:
    return f"{own.accuracy:.1%} ({_interval(own)})"


def _interval(own: Share) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or UNKNOWN
