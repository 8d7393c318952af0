"""The bench as one static page: delay against run length, a panel a change, a line a detector; no script, no font."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

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

_FRAME: Final = {
    "width": _WIDTH,
    "height": _HEIGHT,
    "left": _LEFT,
    "right": _RIGHT,
    "top": _TOP,
    "bottom": _BOTTOM,
}
_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
)


def page(report: Report, cells: Sequence[Found], nulls: Sequence[Null], run_length: float) -> str:
    """Return the whole document.

    Args:
        report: Figures, notes and machine.
        cells: With their curves.
        nulls: Of streams without change.
        run_length: To which all are tuned.
    """
    used = [name for name in LINES if any(name in found.warm for found in cells)]
    return _TEMPLATES.get_template("drift_page.html").render(
        frame=_FRAME,
        legend=[LINES[name] for name in used],
        panels=[_panel(found.cell.name, found.warm, run_length) for found in cells],
        figures=[_figure(figure) for figure in report.figures],
        nulls=[_null(null) for null in nulls],
        notes=report.notes,
        machine=" · ".join(f"{key} {value}" for key, value in report.machine.items()),
    )


def panel(title: str, curves: Mapping[str, Curve], run_length: float) -> str:
    """Return one change as an SVG: mean delay over run length, both logarithmic."""
    shown = _panel(title, curves, run_length)
    return _TEMPLATES.get_template("drift_panel.html").render(shown=shown, frame=_FRAME)


def _panel(title: str, curves: Mapping[str, Curve], run_length: float) -> dict[str, Any]:
    """Where what stands in a panel; pixels, written out."""
    lengths = (run_length / 20, run_length * 1.5)
    shown = {name: _points(curve, lengths) for name, curve in curves.items()}
    delays = [delay for points in shown.values() for _, delay in points] or [1.0, 10.0]
    low, high = min(delays) / 1.25, max(delays) * 1.25

    def place(length: float, delay: float) -> tuple[float, float]:
        across = math.log(length / lengths[0]) / math.log(lengths[1] / lengths[0])
        up = math.log(delay / low) / math.log(high / low)
        x = _LEFT + across * (_WIDTH - _LEFT - _RIGHT)
        return x, _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    delay_ticks = [(tick, place(lengths[0], tick)[1]) for tick in _ticks(low, high)]
    lines = []
    # The engine and its bound last, over the others.
    for name in sorted(shown, key=lambda name: -list(LINES).index(name)):
        places = [(f"{x:.1f}", f"{y:.1f}") for x, y in (place(*point) for point in shown[name])]
        lines.append(
            {
                "points": " ".join(f"{x},{y}" for x, y in places),
                "colour": LINES[name][0],
                "width": 2.6 if name in {"esr", "oracle"} else 1.5,
                "marks": places if len(places) < 6 else [],  # measured one by one
            }
        )
    return {
        "title": title,
        "delays": [{"y": f"{y:.1f}", "text_y": f"{y + 4:.1f}", "label": f"{tick:,g}"} for tick, y in delay_ticks],
        "lengths": [{"x": f"{place(tick, low)[0]:.1f}", "label": f"{tick:,g}"} for tick in _ticks(*lengths)],
        "compared_x": f"{place(run_length, low)[0]:.1f}",
        "lines": lines,
    }


def _points(curve: Curve, lengths: tuple[float, float]) -> list[tuple[float, float]]:
    pairs = zip(curve.run_length.tolist(), curve.delay.tolist(), strict=True)
    return [(length, delay) for length, delay in pairs if lengths[0] <= length <= lengths[1] and delay > 0]


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten in between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]


def _figure(figure: Figure) -> tuple[tuple[str, ...], bool | None]:
    """Cells of a row, and whether the target is met; None without one."""
    target = "" if figure.target is None else f"{'≤' if figure.at_most else '≥'} {figure.target:g}"
    interval = figure.interval
    return (figure.name, f"{interval.median:.3f}", f"{interval.low:.3f} … {interval.high:.3f}", target), figure.met


def _null(null: Null) -> tuple[str, ...]:
    value = null.over_nominal
    role = "judged" if null.assessed else "negative control"
    return null.name, f"{value.median:.3f}", f"{value.low:.3f} … {value.high:.3f}", f"{null.soon:.0%}", role
