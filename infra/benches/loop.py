"""Figure 12: from a change on the road to recovered accuracy, against what no loop can do without.

`infra/demo` plays fog on half of six cameras, with nobody's hand in it. The whole is from the change to the promotion.
What no loop can do without is the mean delay of labels, the training (from the decision to the candidate: snapshot,
checks, fit, gate, export), and the time in which the rollout's test got the labels that it needed. What remains is the
loop's own: to see the change, to believe it, to collect labels to train on, to hand over.
"""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from infra.benches.harness import ROOT, BenchError, Figure, Options, Report, Row, machine, ratio

TARGET = 1.3
CHANGE_AT_S = 60.0
LABEL_DELAY_S = 5.0
CHANGED = ("cam-01", "cam-02", "cam-03")
RECOVERED = 0.92
"""Accuracy of each changed camera once the new champion serves; under it nothing has recovered."""
SETTLED_S = 5.0  # after the promotion: frames that the old champion still had


def run(options: Options) -> Report:
    """Measure figure 12: `--pairs` roads of some seven minutes each, 1 if not said otherwise."""
    if options.short:
        raise BenchError("the loop has no short form: it is the whole of it; tests/live plays it too")
    report = Report("loop", machine=machine())
    for number in range(options.pairs or 1):
        row = row_of(_played(seed=number + 1))
        report.rows.append({"pass": number + 1} | row)
    wholes, sums = ([float(row[name]) for row in report.rows] for name in ("whole_s", "sum_s"))
    name = "12: change to recovered over label delay, training and test"
    report.figures.append(Figure(name, ratio(wholes, sums), TARGET))
    report.notes.append(f"fog at {CHANGE_AT_S:.0f} s; label delay {LABEL_DELAY_S:.0f} s on average")
    return report


def row_of(figures: Mapping[str, Any]) -> Row:
    """The parts of one road, from what the demo says of it.

    Raises:
        BenchError: a frame was lost or repeated, the loop did not close at the first go, or accuracy is not back.
    """
    if figures["lost"] or figures["repeated"]:
        raise BenchError(f"lost {figures['lost']}, repeated {figures['repeated']}")
    decided = [decision["at_s"] for decision in figures["decisions"] if decision["accepted"]]
    candidates = [model["at_s"] for model in figures["models"] if model["stage"] == "candidate"]
    promoted = [model["at_s"] for model in figures["models"] if model["stage"] == "champion"][1:]
    alerts = [alert["opened_at_s"] for alert in figures["alerts"] if alert["opened_at_s"] >= CHANGE_AT_S]
    if not alerts or [len(decided), len(candidates), len(promoted)] != [1, 1, 1]:
        counts = (
            f"{len(alerts)} alerts, {len(decided)} decisions, {len(candidates)} candidates, {len(promoted)} promotions"
        )
        raise BenchError(f"the loop did not close at once: {counts} after the change")
    timeline, settled_s = figures["accuracy_timeline"], promoted[0] + SETTLED_S
    back = {camera: _accuracy(timeline, {camera}, settled_s, math.inf) for camera in CHANGED}
    if min(back.values()) < RECOVERED:
        raise BenchError(f"accuracy is not back: {back}")
    others = {slot["camera"] for slot in timeline} - set(CHANGED)
    lost = _accuracy(timeline, others, 0, CHANGE_AT_S) - _accuracy(timeline, others, settled_s, math.inf)
    seen = min(alerts)
    parts = {
        "to_alert_s": seen - CHANGE_AT_S,
        "to_decision_s": decided[0] - seen,
        "training_s": candidates[0] - decided[0],
        "test_s": promoted[0] - candidates[0],
    }
    whole = promoted[0] - CHANGE_AT_S
    total = LABEL_DELAY_S + parts["training_s"] + parts["test_s"]
    ends = {"whole_s": whole, "sum_s": total, "ratio": whole / total}
    return {**parts, **ends, "accuracy_back": min(back.values()), "lost_elsewhere": lost}


def _accuracy(timeline: Sequence[Mapping[str, Any]], cameras: Set[str], from_s: float, to_s: float) -> float:
    """Of some cameras in a stretch of time; 0 without labels."""
    slots = [slot for slot in timeline if slot["camera"] in cameras and from_s <= slot["at_s"] < to_s]
    labels = sum(slot["n"] for slot in slots)
    return sum(slot["n"] * slot["accuracy"] for slot in slots) / labels if labels else 0.0


def _played(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        options = ["--scenario", "fog", "--change-at", CHANGE_AT_S, "--label-delay", LABEL_DELAY_S, "--seed", seed]
        argv = [str(ROOT / "infra" / "demo"), *map(str, options), "--headless", "--json", str(out)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"the demo ended with {done.returncode}: {done.stderr[-2_000:]}")
        figures: dict[str, Any] = json.loads(out.read_text())
        return figures
