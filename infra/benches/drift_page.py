"""The bench as one static page: delay against run length, a panel a change, a line a detector; no script, no font."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from infra.benches.drift_cells import Found
from infra.benches.drift_nulls import Null
from infra.benches.drift_streams import Curve
from infra.benches.harness import Figure, Report

# Okabe and Ito's palette: told apart by people who see colours differently.
LINES: Final[Mapping[str, tuple[str, str]]] = {
    "esr": ("#d55e00", "engine (esr)"),
    "oracle": ("#000000", "oracle CUSUM"),
    "adwin": ("#0072b2", "ADWIN"),
    "page_hinkley": ("#009e73", "Page-Hinkley"),
    "hddm_a": ("#cc79a7", "HDDM-A"),
    "hddm_w": ("#e69f00", "HDDM-W"),
    "ddm": ("#56b4e9", "DDM"),
    "kswin": ("#999999", "KSWIN"),
}
_WIDTH, _HEIGHT = 350, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 28, 36

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; background: #fff; margin: 2rem auto; max-width: 1120px;
  padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .4rem }
p { max-width: 48rem; margin: .3rem 0 .8rem; color: #45525f }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: .6rem }
svg { width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #45525f }
svg .title { font-weight: 600; font-size: 13px; fill: #1d2733 }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .5rem 0 1rem }
.legend i { display: inline-block; width: 22px; height: 3px; vertical-align: middle; margin-right: .4rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #e3e8ed; vertical-align: top }
td.number { text-align: right } .met { color: #00795a } .missed { color: #b3261e }
"""


def page(report: Report, cells: Sequence[Found], nulls: Sequence[Null], run_length: float) -> str:
    """Return the whole document.

    Args:
        report: Figures, notes and machine.
        cells: With their curves.
        nulls: Of streams without change.
        run_length: To which all are tuned.
    """
    used = [name for name in LINES if any(name in found.warm for found in cells)]
    legend = "".join(f'<span><i style="background:{LINES[name][0]}"></i>{LINES[name][1]}</span>' for name in used)
    panels = "".join(panel(found.cell.name, found.warm, run_length) for found in cells)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Catseye: drift detectors</title><style>{_STYLE}</style>
<h1>How soon a change is found, and how rarely none is</h1>
<p>Simulated streams of 0 and 1 (or Beta, where it says so) whose mean changes after 1,000 samples. Lower is sooner;
farther right is fewer false alarms. The dashed line is the run length at which detectors are compared. The oracle knows
the law before and after the change; it is the best for a change at the worst moment, so that at short run lengths, and
here, where the change comes late, the engine can be ahead of it.</p>
<div class="legend">{legend}</div><div class="panels">{panels}</div>
<h2>Judged by</h2>{_figures(report.figures)}
<h2>Run length without a change, over the threshold</h2>{_nulls(nulls)}
<h2>Notes</h2><ul>{"".join(f"<li>{escape(note)}</li>" for note in report.notes)}</ul>
<p>{escape(" · ".join(f"{key} {value}" for key, value in report.machine.items()))}</p>
</html>
"""


def panel(title: str, curves: Mapping[str, Curve], run_length: float) -> str:
    """Return one change as an SVG: mean delay over run length, both logarithmic."""
    lengths = (run_length / 20, run_length * 1.5)
    shown = {name: _points(curve, lengths) for name, curve in curves.items()}
    delays = [delay for points in shown.values() for _, delay in points] or [1.0, 10.0]
    low, high = min(delays) / 1.25, max(delays) * 1.25

    def place(length: float, delay: float) -> tuple[float, float]:
        across = math.log(length / lengths[0]) / math.log(lengths[1] / lengths[0])
        up = math.log(delay / low) / math.log(high / low)
        x = _LEFT + across * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    drawn = []
    for tick in _ticks(low, high):
        y = place(lengths[0], tick)[1]
        drawn.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#e3e8ed"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:,g}</text>')
    for tick in _ticks(*lengths):
        x = place(tick, low)[0]
        drawn.append(f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{tick:,g}</text>')
    x = place(run_length, low)[0]
    drawn.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#8896a3" stroke-dasharray="3 3"/>')
    # The engine and its bound last, over the others.
    for name in sorted(shown, key=lambda name: -list(LINES).index(name)):
        places = [place(*point) for point in shown[name]]
        colour, width = LINES[name][0], 2.6 if name in {"esr", "oracle"} else 1.5
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        if len(places) < 6:  # measured one by one
            drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in places]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>{"".join(drawn)}'
        f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">run length, samples</text>'
        f'<text transform="rotate(-90 11 {_HEIGHT / 2})" x="11" y="{_HEIGHT / 2}" text-anchor="middle">'
        "delay, samples</text></svg>"
    )


def _points(curve: Curve, lengths: tuple[float, float]) -> list[tuple[float, float]]:
    pairs = zip(curve.run_length.tolist(), curve.delay.tolist(), strict=True)
    return [(length, delay) for length, delay in pairs if lengths[0] <= length <= lengths[1] and delay > 0]


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]


def _figures(figures: Iterable[Figure]) -> str:
    rows = []
    for figure in figures:
        verdict = {None: "", True: '<span class="met">met</span>', False: '<span class="missed">missed</span>'}
        sign = "≤" if figure.at_most else "≥"
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        interval = figure.interval
        spread = f"{interval.low:.3f} … {interval.high:.3f}"
        rows.append((figure.name, f"{interval.median:.3f}", spread, target, verdict[figure.met]))
    return _table(("figure", "value", "interval", "target", ""), rows)


def _nulls(nulls: Iterable[Null]) -> str:
    rows = []
    for null in nulls:
        value = null.over_nominal
        role = "judged" if null.assessed else "negative control"
        spread = f"{value.low:.3f} … {value.high:.3f}"
        rows.append((null.name, f"{value.median:.3f}", spread, f"{null.soon:.0%}", role))
    return _table(("streams", "run length / threshold", "95 %", "alarm within a fifth", ""), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """All cells but verdicts are text; a verdict is markup of ours."""
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if cell.startswith('<span') else escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(head)}</th>' for head in heads)}</tr>{body}</table>"
