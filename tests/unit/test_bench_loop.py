"""Figure 12: the parts of a road, and what is no recovery."""

from typing import Any

import pytest

from infra.benches.harness import BenchError, Options
from infra.benches.loop import CHANGED, row_of, run


def figures(**changes: Any) -> dict[str, Any]:
    """What a demo says in which the loop closed, changed where a test wants it."""
    slots = [(50, 100, 0.98), (100, 100, 0.3), (260, 100, 0.9), (300, 300, 0.98)]
    sound = {
        "lost": 0,
        "repeated": 0,
        "alerts": [{"opened_at_s": 75.0}, {"opened_at_s": 70.0}],
        "decisions": [{"accepted": False, "at_s": 72.0}, {"accepted": True, "at_s": 90.0}],
        "models": [
            {"stage": "champion", "at_s": -10.0},
            {"stage": "candidate", "at_s": 240.0},
            {"stage": "champion", "at_s": 250.0},
        ],
        "accuracy_timeline": [
            {"at_s": at_s, "camera": camera, "n": count, "accuracy": accuracy}
            for camera in (*CHANGED, "cam-04")
            for at_s, count, accuracy in slots
        ],
    }
    return sound | changes


def test_the_parts_of_a_road() -> None:
    """They add up to the whole; the ratio is over label delay, training and test."""
    row = row_of(figures())
    parts = ("to_alert_s", "to_decision_s", "training_s", "test_s")
    assert [row[name] for name in parts] == [10.0, 20.0, 150.0, 10.0]
    assert (row["whole_s"], row["sum_s"], row["ratio"]) == (190.0, 165.0, 190 / 165)
    assert row["accuracy_back"] == pytest.approx(0.96)
    assert row["lost_elsewhere"] == pytest.approx(0.98 - 0.96)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"lost": 1}, "lost 1"),
        ({"repeated": 2}, "repeated 2"),
        ({"decisions": []}, "did not close"),
        ({"decisions": [{"accepted": True, "at_s": 90.0}, {"accepted": True, "at_s": 300.0}]}, "2 decisions"),
        ({"alerts": [{"opened_at_s": 59.0}]}, "0 alerts"),
        ({"models": [{"stage": "champion", "at_s": -10.0}]}, "did not close"),
        ({"accuracy_timeline": [{"at_s": 300, "camera": CHANGED[0], "n": 9, "accuracy": 0.99}]}, "is not back"),
    ],
)
def test_what_is_no_recovery_gives_no_figure(changes: dict[str, Any], what: str) -> None:
    """An error says why."""
    with pytest.raises(BenchError, match=what):
        row_of(figures(**changes))


def test_it_has_no_short_form() -> None:
    """Rather than one that shows nothing."""
    with pytest.raises(BenchError, match="no short form"):
        run(Options(short=True))
