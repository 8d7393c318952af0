"""A card as one HTML file: no script, nothing from elsewhere, everything escaped. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from catseye.ops.card.contents import Card, GateRow
from catseye.ops.card.figures import Bin, Share
from catseye.ops.lineage.answer import alert_text, at, cause_text
from catseye.ops.lineage.history import Link
from catseye.ops.lineage.manifest import PARTS, Manifest

_CSS = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c2126; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.2rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem;
  border-bottom: 1px solid #cfd6dc; padding-bottom: .2rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
table { border-collapse: collapse; margin: .4rem 0; font-size: 14px; } td, th { text-align: left; vertical-align: top;
  padding: .22rem .9rem .22rem 0; border-bottom: 1px solid #e6eaed; overflow-wrap: anywhere; }
th { color: #55606a; font-weight: 600; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; } .quiet { color: #55606a; } .unknown { color: #8a3b12; }
.stage { background: #e8eef4; border-radius: .3rem; padding: .05rem .5rem; } svg { display: block; margin: .6rem 0; }
@media (prefers-color-scheme: dark) { body { color: #dde3e8; background: #15191d; } td, th { border-color: #2b3238; }
  h2 { border-color: #3a434b; } th, .quiet { color: #9aa6b0; } .unknown { color: #f0a574; }
  .stage { background: #28323b; } }
"""
_SIDE = 260  # pixels of the reliability diagram

Cell = str | int | float
UNKNOWN = "unknown"


def as_html(card: Card) -> str:
    """The card as one HTML document, UTF-8."""
    link = card.chain[0]
    title = f"{card.model} {card.version}"
    sections = [
        f"<h1>Model card: {escape(title)} <span class=stage>{escape(card.stage)}</span></h1>",
        f"<p class=quiet>Made by catseye at {escape(at(card.made_at_ms))} UTC. All times are UTC; intervals are 95 % "
        "after Wilson.</p>",
        _section("Model", _model(card, link)),
        _section("Data", _data(link)),
        _section("Gate: against the champion, on held-out frames", _gate(card)),
        _section("Accuracy on outcomes so far", _accuracy(card)),
        _section("Calibration", _calibration(card)),
        _section("Drift history", _alerts(card)),
        _section("Decisions and events", _events(link)),
        _section("Lineage", _lineage(card.chain)),
        _section("Limits", f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in card.limits)}</ul>"),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Model card: {escape(title)}</title>\n<style>{_CSS}</style></head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def _model(card: Card, link: Link) -> str:
    served = "; ".join(f"{at(since)} to {'now' if until is None else at(until)}" for since, until in card.served)
    return _pairs(
        {
            "model": card.model,
            "version": card.version,
            "file sha256": link.sha256 or UNKNOWN,
            "made by": link.made_by or UNKNOWN,
            "base version": link.base_version or UNKNOWN,
            "champion": served or "never",
        }
    )


def _data(link: Link) -> str:
    manifest = link.manifest
    if manifest is None:
        why = link.manifest_missing or "no event of this version names a dataset"
        return _pairs({"dataset sha256": link.dataset_sha256 or UNKNOWN}) + _unknown(why)
    rows = {
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
    }
    split = _table(("part", "#frames"), [(part, manifest.by_part[part]) for part in PARTS if part in manifest.by_part])
    return "".join(
        (
            _pairs(rows),
            "<h3>Split</h3>",
            split if manifest.by_part else _unknown("the manifest does not say"),
            "<h3>By class</h3>",
            _by_part(manifest.by_class, "class"),
            "<h3>By camera</h3>",
            _by_part(manifest.by_camera, "camera"),
            "<h3>Offset ranges</h3>",
            _ranges(manifest),
        )
    )


def _changed(manifest: Manifest) -> str:
    return (
        ", ".join(f"{camera} since {at(since)}" for camera, since in manifest.changed_since_ms.items()) or "none named"
    )


def _by_part(counts: Mapping[str, Mapping[str, int]], what: str) -> str:
    if not counts:
        return _unknown("the manifest does not say")
    return _table(
        (what, *(f"#{part}" for part in PARTS)),
        [(name, *(own.get(part, 0) for part in PARTS)) for name, own in counts.items()],
    )


def _ranges(manifest: Manifest) -> str:
    rows = [
        (topic or UNKNOWN, partition, first, end)
        for topic, ranges in (
            (manifest.frames_topic, manifest.frames_ranges),
            (manifest.outcomes_topic, manifest.outcomes_ranges),
        )
        for partition, (first, end) in ranges.items()
    ]
    return (
        _table(("topic", "#partition", "#first offset", "#behind the last"), rows)
        if rows
        else _unknown("the manifest does not say")
    )


def _gate(card: Card) -> str:
    if not card.gate:
        return _unknown("no event of this version has a gate's numbers") + _numbers(card.numbers)
    rows = [
        (
            row.where,
            row.slice,
            row.champion.of,
            _share(row.champion),
            _share(row.candidate),
            row.won,
            row.lost,
            _won(row),
        )
        for row in card.gate
    ]
    head = ("where", "slice", "#frames", "#champion", "#candidate", "#won", "#lost", "#won of those that differ")
    return _table(head, rows) + _numbers(card.numbers)


def _won(row: GateRow) -> str:
    return f"{row.low:.0%} to {row.high:.0%}"


def _numbers(numbers: Mapping[str, float]) -> str:
    if not numbers:
        return ""
    return "<h3>Other numbers of the event</h3>" + _table(
        ("number", "#value"), [(name, f"{value:,.6g}") for name, value in sorted(numbers.items())]
    )


def _accuracy(card: Card) -> str:
    figures = card.figures
    if not figures.by_role:
        return _unknown("no label of a frame that it saw has come")
    return "".join(
        (
            f"<p class=quiet>Newest label of each frame (source: {escape(_counts(figures.sources))}); "
            f"{figures.withdrawn} withdrawn labels are left out. By class and by camera: frames seen as champion and "
            "as shadow together.</p>",
            _shares("role", figures.by_role),
            "<h3>By true class</h3>",
            _shares("class", figures.by_class),
            "<h3>By camera</h3>",
            _shares("camera", figures.by_camera),
        )
    )


def _shares(what: str, shares: Mapping[str, Share]) -> str:
    rows = [(name, own.right, own.of, f"{own.accuracy:.1%}", _interval(own)) for name, own in shares.items()]
    return _table((what, "#right", "#of", "#accuracy", "#95 % interval"), rows)


def _calibration(card: Card) -> str:
    error = card.figures.calibration_error
    if error is None:
        return _unknown("no label of a frame that it saw has come")
    rows = [
        (f"{each.from_:.2f} to {each.to:.2f}", each.share.of, f"{each.confidence:.1%}", _share(each.share))
        for each in card.figures.bins
    ]
    return (
        f"<p>Expected calibration error <b>{error:.3f}</b> in bins of equal width. A point on the diagonal is a model "
        "that is right as often as it says.</p>"
        + _diagram(card.figures.bins)
        + _table(("confidence", "#frames", "#mean confidence", "#accuracy"), rows)
    )


def _diagram(bins: Iterable[Bin]) -> str:
    """Accuracy over confidence with its intervals."""
    marks = []
    for each in bins:
        x, y, low, high = (
            each.confidence * _SIDE,
            *((1 - value) * _SIDE for value in (each.share.accuracy, each.share.low, each.share.high)),
        )
        marks.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="#5b87b5"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f5f9e"/>'
        )
    return (
        f'<svg viewBox="-34 -8 {_SIDE + 44} {_SIDE + 40}" width="{_SIDE + 44}" height="{_SIDE + 40}" role="img" '
        'aria-label="accuracy over confidence" font-size="11" fill="#7a858f">'
        f'<rect width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#aab3bb"/>'
        f'<line x1="0" y1="{_SIDE}" x2="{_SIDE}" y2="0" stroke="#aab3bb" stroke-dasharray="4 4"/>{"".join(marks)}'
        f'<text x="-6" y="8" text-anchor="end">1</text><text x="-6" y="{_SIDE}" text-anchor="end">0</text>'
        f'<text x="0" y="{_SIDE + 16}">0</text><text x="{_SIDE}" y="{_SIDE + 16}" text-anchor="end">1</text>'
        f'<text x="{_SIDE / 2}" y="{_SIDE + 16}" text-anchor="middle">confidence</text>'
        f'<text transform="translate(-12 {_SIDE / 2}) rotate(-90)" text-anchor="middle">accuracy</text></svg>'
    )


def _alerts(card: Card) -> str:
    if not card.alerts:
        return "<p>No alert names this version.</p>"
    rows = [
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
    return _table(("opened", "resolved", "kind", "severity", "where", "state", "why"), rows)


def _events(link: Link) -> str:
    decision = link.decision
    if decision is not None:
        said = _pairs(
            {
                "decision": decision.decision_id,
                "by": decision.by,
                "when": at(decision.decided_at_ms),
                "because": f"{decision.because}: {decision.detail}",
                "fresh labels": _counts(decision.fresh_labels),
                "causes": "; ".join(cause_text(cause) for cause in link.causes) or UNKNOWN,
            }
        )
    elif link.decision_id is not None:
        said = _unknown(f"the log has decision {link.decision_id} no more")
    else:
        said = "<p>No decision of the retrain trigger is named.</p>"
    rows = [
        (
            at(event.at_ms),
            event.stage,
            event.by,
            event.because,
            ", ".join(event.cameras) or "all",
            event.previous_version,
        )
        for event in link.events
    ]
    return said + _table(
        ("when", "stage", "by", "because", "cameras", "replaced"),
        [tuple(cell or "" for cell in row) for row in rows],
    )


def _lineage(chain: Sequence[Link]) -> str:
    rows = [
        (
            link.version,
            link.made_by or UNKNOWN,
            at(link.events[0].at_ms) if link.events else UNKNOWN,
            "; ".join(alert_text(cause.alert) if cause.alert else cause_text(cause) for cause in link.causes)
            or (link.decision.because if link.decision else "no decision"),
            link.dataset_sha256 or UNKNOWN,
            link.base_version or ("none known" if link.events else UNKNOWN),
        )
        for link in chain
    ]
    return _table(("version", "made by", "first event", "caused by", "dataset sha256", "base version"), rows)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>"


def _unknown(why: str) -> str:
    return f"<p class=unknown>Unknown: {escape(why)}.</p>"


def _pairs(rows: Mapping[str, Cell]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


def _table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table; columns whose name begins with # hold numbers."""
    ranks = [" class=n" if name.startswith("#") else "" for name in head]
    top = "".join(f"<th{rank}>{escape(name.removeprefix('#'))}</th>" for name, rank in zip(head, ranks, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{rank}>{_cell(cell)}</td>" for cell, rank in zip(row, ranks, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"


def _cell(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else escape(str(cell))


def _share(own: Share) -> str:
    return f"{own.accuracy:.1%} ({_interval(own)})"


def _interval(own: Share) -> str:
    return f"{own.low:.1%} to {own.high:.1%}"


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or UNKNOWN
