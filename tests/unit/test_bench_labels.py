"""The picture of what labels say of accuracy."""

from xml.etree import ElementTree as ET

import numpy as np

from infra.benches.labels_plot import NAIVE, WEIGHED, Estimated, plot

SVG = "{http://www.w3.org/2000/svg}"


def test_the_truth_stands_among_estimates_without_bias_and_beside_those_with() -> None:
    """One panel a road; each bar is as high as its estimates are many; those that are all the same are shown too."""
    rng = np.random.default_rng(1)
    weighed, naive = rng.normal(0.05, 0.002, 500), rng.normal(0.11, 0.002, 500)
    same = np.full(3, 0.2)
    drawn = ET.fromstring(plot([Estimated(0.05, weighed, naive, 0.95), Estimated(0.2, same, same, 1.0)]))
    first, second = drawn.findall(f"{SVG}g")
    truth = float(first.find(f"{SVG}line").attrib["x1"])  # type: ignore[union-attr]

    def span(colour: str) -> tuple[float, float]:
        at = [float(bar.attrib["x"]) for bar in first.findall(f"{SVG}rect") if bar.attrib["fill"] == colour]
        return min(at), max(at)

    assert span(WEIGHED)[0] < truth < span(WEIGHED)[1] < span(NAIVE)[0]
    assert len(second.findall(f"{SVG}rect")) == 2
    assert "true error 5.00%" in "".join(first.itertext())
