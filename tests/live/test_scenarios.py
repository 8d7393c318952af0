"""Each scenario as a person plays it, `infra/demo --scenario NAME`: its alert, no wrong one, what the loop makes of it.

Minutes each, real time and a whole stack: `infra/test live`.
"""

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.simulator.scenario import SCENARIOS, Scenario, how_many, load_scenario
from tests.system.test_demo import DEMO, environment

CAMERAS = 6
BACK = 0.92
"""Accuracy of changed cameras once the loop has closed."""
LOST_MOST = 0.01
FAULTS = ("frozen", "black", "silent", "moved", "clock_jump", "labels_stop")
"""Nothing that a training could mend."""

pytestmark = [pytest.mark.broker, pytest.mark.timeout(2_400)]


def played(scenario: Scenario, folder: Path) -> dict[str, Any]:
    """What the demo says of *scenario*; nothing was lost, nothing repeated."""
    out = folder / "out.json"
    options = ["--scenario", scenario.name, "--cameras", str(CAMERAS), "--headless", "--json", str(out)]
    done = subprocess.run(
        [DEMO, *options], capture_output=True, text=True, timeout=2_000, check=False, env=environment(), cwd=folder
    )
    print(done.stdout)  # noqa: T201 - shown when the test fails, and by -s
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(out.read_text())
    assert (figures["lost"], figures["repeated"]) == (0, 0)
    return figures


def accuracy(figures: dict[str, Any], cameras: set[str], *, after_s: float, before_s: float) -> float:
    """Of *cameras*, between two times of the road, by the labels of those frames."""
    slots = [
        slot
        for slot in figures["accuracy_timeline"]
        if slot["camera"] in cameras and after_s <= slot["at_s"] < before_s
    ]
    count = sum(slot["n"] for slot in slots)
    assert count > 0, f"no labels from {after_s:.0f} to {before_s:.0f} s"
    right: float = sum(slot["n"] * slot["accuracy"] for slot in slots)
    return right / float(count)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_reported_and_dealt_with(name: str, tmp_path: Path) -> None:
    """The right alert on each changed camera, once; none elsewhere; a training only where one can help."""
    scenario = load_scenario(name)
    figures = played(scenario, tmp_path)
    names = [f"cam-{number + 1:02d}" for number in range(CAMERAS)]
    changed = set(names[: how_many(scenario.cameras, CAMERAS, name)])
    alerts = figures["alerts"]
    verdicts = [
        (scenario.verdict(alert["kind"], changed=alert["camera"] is None or alert["camera"] in changed), alert)
        for alert in alerts
    ]
    assert [alert for verdict, alert in verdicts if verdict == "wrong"] == []
    notified = {alert["camera"] for verdict, alert in verdicts if verdict == "right"}
    if name == "model_worse":
        assert None in notified  # the rollback tells; it may come before any camera by itself has seen enough
    else:
        assert notified - {None} == (changed if scenario.right else set())
    assert max(Counter((alert["camera"], alert["kind"]) for alert in alerts).values(), default=1) == 1

    accepted = [decision for decision in figures["decisions"] if decision["accepted"]]
    champions = [model for model in figures["models"] if model["stage"] == "champion"]
    if name in FAULTS or name == "none":
        assert accepted == []
    if name == "wrong_labels":
        assert len({model["version"] for model in champions}) == 1
        rejected = [model["because"] for model in figures["models"] if model["stage"] == "rejected"]
        assert rejected
        assert all("label" in because for because in rejected)
    if name == "model_worse":
        assert len(champions) == 3
        assert champions[-1]["version"] == champions[0]["version"]
    if name == "fog":
        assert len(accepted) == 1
        assert len(champions) == 2
        assert [alert for alert in alerts if alert["state"] != "resolved"] == []
        began_s, ended_s, promoted_s = scenario.at_s, figures["duration_s"], champions[-1]["at_s"]
        rest = set(names) - changed
        assert accuracy(figures, changed, after_s=promoted_s + 10, before_s=ended_s) >= BACK
        before = accuracy(figures, rest, after_s=0, before_s=began_s)
        assert accuracy(figures, rest, after_s=promoted_s + 10, before_s=ended_s) >= before - LOST_MOST
