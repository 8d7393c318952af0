"""What turns raw rows into a figure."""

import os
import time
from functools import partial
from io import StringIO

import pytest
from rich.console import Console

from infra.benches import worker
from infra.benches.harness import (
    BenchError,
    Figure,
    Interval,
    Report,
    cpu_ns,
    family,
    measured,
    paired,
    passes,
    ratio,
    show,
)


def test_every_second_pass_runs_backwards() -> None:
    """ABBA: a machine that slows down while it is measured favours nobody."""
    assert passes("ABC", 4) == [["A", "B", "C"], ["C", "B", "A"], ["A", "B", "C"], ["C", "B", "A"]]


def test_ratio_is_the_median_of_the_passes_own_ratios() -> None:
    """Drift that hits both sides of a pass alike cancels out."""
    assert ratio([1.0, 2.0, 40.0], [2.0, 4.0, 80.0]) == Interval(0.5, 0.5, 0.5, 3)


def test_interval_holds_the_median_and_reaches_from_low_to_high() -> None:
    """One wild pass widens the interval but does not move the median."""
    found = ratio([1.0, 1.1, 0.9, 1.0, 5.0], [1.0] * 5)
    assert (found.median, found.low, found.high) == (1.0, 0.9, 5.0)


@pytest.mark.parametrize(
    ("median", "target", "at_most", "met"),
    [(1.2, 1.3, True, True), (1.4, 1.3, True, False), (0.95, 0.92, False, True), (0.9, 0.92, False, False)],
)
def test_a_target_is_kept_or_missed(median: float, target: float, at_most: bool, met: bool) -> None:
    """Costs must stay below their bound, speeds above."""
    assert Figure("", Interval(median, median, median, 6), target, at_most).met is met


def test_without_a_target_nothing_is_met() -> None:
    """A ratio that is only told has no verdict."""
    assert Figure("", Interval(1, 1, 1, 1)).met is None


def block(name: str) -> dict[str, float | str]:
    return {"side": name, "cpu_us": 1.0}


def test_blocks_run_in_the_order_of_the_passes_and_say_so() -> None:
    """Rows stand in the order in which they were measured, each with its pass; each is told as it comes."""
    reported = Console(record=True, file=StringIO())
    rows = measured(passes("AB", 2), {name: partial(block, name) for name in "AB"}, reported)
    assert [(row["pass"], row["side"]) for row in rows] == [(1, "A"), (1, "B"), (2, "B"), (2, "A")]
    assert reported.export_text().splitlines()[-1] == "4/4 A: 1.00 µs"


def wrong() -> dict[str, float | str]:
    raise BenchError("faust, count, gives wrong results: 1 records lost")


def test_a_peer_that_is_wrong_has_no_row_and_is_named() -> None:
    """A figure of a peer counts only where its output passed the check."""
    notes: list[str] = []
    assert measured([["faust"]], {"faust": wrong}, Console(file=StringIO()), notes) == []
    assert notes == ["pass 1 does not count for faust, count, gives wrong results: 1 records lost"]


def test_ours_must_never_be_wrong() -> None:
    """There is no figure of a worker that loses a record."""
    with pytest.raises(BenchError, match="1 records lost"):
        measured([["ours"]], {"ours": wrong}, Console(file=StringIO()), [])


def test_sides_are_compared_in_the_passes_that_both_have() -> None:
    """A pass that one side failed is left out for the other too."""
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": "A", "us": 1.0},
        {"pass": 1, "side": "B", "us": 2.0},
        {"pass": 2, "side": "A", "us": 3.0},
    ]
    assert paired(rows, {"side": "A"}, {"side": "B"}, "us") == ([1.0], [2.0])


def test_cpu_time_of_a_process_counts_what_it_worked() -> None:
    """The clock of this very process, asked for from outside, runs as its own does."""
    before, own = cpu_ns(os.getpid()), time.process_time_ns()
    while time.process_time_ns() - own < 2_000_000:
        pass
    assert cpu_ns(os.getpid()) - before >= 2_000_000


def test_family_starts_with_the_process_itself() -> None:
    """A process without children is its whole family."""
    assert family(os.getpid())[0] == os.getpid()


def test_a_report_prints_figures_rows_and_machine() -> None:
    """All that a reader needs stands in one place: ratio, interval, target, raw rows, CPU."""
    report = Report("worker", [Figure("ours / bare", Interval(1.25, 1.2, 1.3, 6), 1.3)], machine={"cpu": "EPYC"})
    report.rows = [{"side": "ours", "cpu_us": 3.0}]
    reported = Console(record=True, width=120, file=StringIO())
    show(report, reported)
    text = reported.export_text()
    assert [part in text for part in ("1.250", "1.200 … 1.300", "≤ 1.3", "met", "ours", "EPYC")] == [True] * 6
    assert report.as_json()["rows"] == [{"side": "ours", "cpu_us": 3.0}]


def test_worker_rows_become_the_figures_of_the_design() -> None:
    """Figures 2 and 4 from rows: CPU against each peer that was measured, throughput of both deliveries."""
    cost = {"ours": 3.0, "bare": 2.5, "faust": 300.0, worker.AT_LEAST_ONCE.name: 3.0}
    rows: list[dict[str, float | str]] = [
        {"pass": 1, "side": side, "mode": "count", "cpu_us": us, "records_per_s": 1e5} for side, us in cost.items()
    ]
    figures = {figure.name: figure for figure in worker.compare(rows, "count")}
    assert {name: (figure.interval.median, figure.met) for name, figure in figures.items()} == {
        "count: CPU a record, ours / bare": (1.2, True),
        "count: CPU a record, ours / faust": (0.01, True),
        "count: throughput, exactly once / at least once": (1.0, True),
        "count: CPU a record, exactly once / at least once": (1.0, None),
    }


def test_the_grid_holds_every_combination_once() -> None:
    """All peers are tuned on the same points."""
    assert len(worker.tuned(worker.SIDES["bare"])) == 8
