"""Estimates of accuracy from labels that were not drawn evenly, as one static picture: no script, no font."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 150, 20, 20, 34, 30
_BINS: Final = 80
WEIGHED, NAIVE = "#0072b2", "#d55e00"  # of Okabe and Ito's palette


class Estimated(NamedTuple):
    """What many cameras of one true error came to.

    Attributes:
        error: True share of errors.
        weighed: By drift's weights, [cameras].
        naive: As if each frame had been as likely, [cameras].
        covered: Share of cameras whose interval holds the truth.
    """

    error: float
    weighed: NDArray[np.float64]
    naive: NDArray[np.float64]
    covered: float


def plot(found: Sequence[Estimated]) -> str:
    """SVG, a panel each: how often which error was estimated, with the true one as a line."""
    panels = "\n".join(_panel(each, number * _PANEL) for number, each in enumerate(found))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {len(found) * _PANEL}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{panels}\n</svg>\n'
    )


def _panel(one: Estimated, top: int) -> str:
    both = np.concatenate([one.weighed, one.naive, [one.error]])
    low, high = float(both.min()), float(both.max())
    span = (high - low) or 1.0
    low, high = low - 0.05 * span, high + 0.05 * span
    counts = [np.histogram(each, _BINS, (low, high))[0] for each in (one.weighed, one.naive)]
    most = max(int(count.max()) for count in counts)
    base, height, wide = top + _PANEL - _BOTTOM, _PANEL - _TOP - _BOTTOM, _WIDTH - _LEFT - _RIGHT

    def x(share: float) -> float:
        return _LEFT + wide * (share - low) / (high - low)

    bars = "".join(
        f'<rect x="{_LEFT + wide * bin_ / _BINS:.1f}" y="{base - height * count / most:.1f}" '
        f'width="{wide / _BINS:.1f}" height="{height * count / most:.1f}" fill="{colour}" fill-opacity="0.7"/>'
        for column, colour in zip(counts, (WEIGHED, NAIVE), strict=True)
        for bin_, count in enumerate(column.tolist())
        if count
    )
    head = (
        f"{len(one.weighed):,} cameras, true error {one.error:.2%}: "
        f'<tspan fill="{WEIGHED}">by the chances {one.weighed.mean():.2%}</tspan>, '
        f'<tspan fill="{NAIVE}">without them {one.naive.mean():.2%}</tspan>; '
        f"interval holds it: {one.covered:.1%}"
    )
    ends = f'<text x="{_LEFT}" y="{base + 16}">{low:.1%}</text>'
    ends += f'<text x="{_WIDTH - _RIGHT}" y="{base + 16}" text-anchor="end">{high:.1%}</text>'
    truth = f'<line x1="{x(one.error):.1f}" x2="{x(one.error):.1f}" y1="{top + _TOP}" y2="{base}" stroke="#000"/>'
    return f'<g><text x="{_LEFT}" y="{top + 20}">{head}</text>{bars}{truth}{ends}</g>'
