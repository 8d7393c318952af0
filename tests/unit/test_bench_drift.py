"""The drift bench: what it simulates is what it says, and it sees a promise that is broken."""

import io
import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import river.drift
from rich.console import Console

from infra.benches import drift, drift_river
from infra.benches.drift_cells import CELLS, Cell, Found, Simulation, Size
from infra.benches.drift_nulls import ASSESSED, CONTROLS, Null, run_length
from infra.benches.drift_page import page, panel
from infra.benches.drift_real import LONGEST, Ends, Outcome
from infra.benches.drift_river import Tuner, remembered_tests
from infra.benches.drift_streams import Changing, Curve, Engine, Floats, Law, Mask, Oracle, Unchanged, curve, passages
from infra.benches.harness import Interval, Options, Report, Row

LAWS = [Law(0.1), Law(0.1, 4), Law(0.5, 2)]
TINY = Size(run_length=400, learned=20, streams=20, changes=20, effort=0.001, settings=6)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_has_its_mean(law: Law) -> None:
    """Within five standard errors, and all samples in [0, 1]."""
    drawn = law.draw(np.random.default_rng(1), 40_000)
    assert (drawn.min() >= 0, drawn.max() <= 1) == (True, True)
    assert drawn.mean() == pytest.approx(law.mean, abs=5 * drawn.std() / 200)


@pytest.mark.parametrize(
    ("before", "after"), [(Law(0.1), Law(0.2)), (Law(0.1, 4), Law(0.2, 4)), (Law(0.5, 2), Law(0.6, 2))]
)
def test_the_oracle_knows_the_ratio_of_densities(before: Law, after: Law) -> None:
    """A likelihood ratio has the mean 1 under the law that it is held against, and drifts up under its own."""
    rng, evidence = np.random.default_rng(2), after.evidence_against(before)
    ratio = np.exp(evidence(before.draw(rng, 200_000)))
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(200_000))
    assert evidence(after.draw(rng, 20_000)).mean() > 0 > evidence(before.draw(rng, 20_000)).mean()


class Given:
    """Streams and a statistic at once: the values are what was written down."""

    def __init__(self, values: list[list[float]], bound: float = 0.5) -> None:
        self.values, self.bound = np.array(values, float), np.array(bound)
        self.at = 0

    def draw(self, steps: int) -> tuple[Floats, Floats]:
        shown = self.values[self.at : self.at + steps]
        self.at += steps
        return shown, self.bound

    def take(self, x: Floats, bound: Floats) -> Floats:
        return x

    def keep(self, rows: Mask) -> None:
        if self.at:
            self.values = self.values[:, rows]


class Shown(Given):
    """The statistic alone."""

    def keep(self, rows: Mask) -> None:
        pass


def test_passages_are_first_passages() -> None:
    """Each stream and threshold: number of the first sample at which the value is there, counted from 1."""
    source = Given([[1, 0], [0, 3], [5, 0], [0, 0], [0, 9]])
    found = passages(source, Shown([]), 2, np.array([1.0, 3.0, 6.0]), longest=5)
    assert found.tolist() == [[1, 3, math.inf], [2, 2, 5]]


def test_passages_agree_with_a_plain_loop() -> None:
    """Over many chunks, with streams that end early: as when each stream is watched by itself."""
    rng = np.random.default_rng(3)
    x = (rng.random((1_500, 30)) < 0.1).astype(float)
    thresholds = np.array([5.0, 50.0, 200.0])
    together = passages(Given(x.tolist(), 0.1), Engine(30), 30, thresholds, 1_500)
    for stream in range(30):
        watch = Engine(1)
        values = [float(watch.take(sample[None], np.array([0.1]))[0]) for sample in x[:, stream]]
        first = [next((n for n, value in enumerate(values, 1) if value >= c), math.inf) for c in thresholds]
        assert together[stream].tolist() == first


def test_a_change_comes_when_it_is_reported() -> None:
    """Samples of one law, then of the other, wherever chunks end."""
    source = Changing(np.random.default_rng(4), 500, Law(0.001), Law(0.999), change_at=10)
    means = np.concatenate([source.draw(steps)[0].mean(axis=1) for steps in (4, 9, 3)])
    assert (means > 0.5).tolist() == [False] * 10 + [True] * 6


def test_streams_without_change_are_what_they_are_called() -> None:
    """Phases have their means and bounds; persistence is the correlation of neighbours."""
    rng, rows = np.random.default_rng(5), 400
    mean = np.repeat([[0.1], [0.8]], rows, axis=1)
    x, bound = Unchanged(rng, mean, mean, np.zeros(rows), phase_samples=5).draw(1_000)
    for phase in (0.1, 0.8):
        assert x[bound == phase].mean() == pytest.approx(phase, abs=0.01)
    x, _ = Unchanged(rng, mean[1:], mean[1:], np.full(rows, 0.6)).draw(1_000)
    assert np.corrcoef(x[:-1].ravel(), x[1:].ravel())[0, 1] == pytest.approx(0.6, abs=0.02)
    assert x.mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("kind", ASSESSED)
def test_the_promise_holds(kind: str) -> None:
    """At a threshold of 300: the run length is above it even at the lower end of its interval."""
    assert run_length(kind, ASSESSED[kind], threshold=300, rows=150, seed=1).over_nominal.low >= 1


def test_a_broken_promise_is_seen() -> None:
    """Negative control: samples that repeat each other, all of them taken."""
    kind = "persistent, every sample taken"
    assert run_length(kind, CONTROLS[kind], threshold=1_000, rows=100, seed=1, assessed=False).over_nominal.high < 1


def test_delay_is_read_off_at_a_run_length() -> None:
    """Linear in its logarithm between two settings; beyond the ends it stays."""
    known = Curve(*(np.array(each, float) for each in ([100, 10_000], [20, 60], [0, 0.2], [0.5, 0.1])))
    assert known.at(1_000) == pytest.approx((40, 0.1, 0.3))
    assert (known.at(1), known.at(1e9)) == ((20, 0, 0.5), (60, 0.2, 0.1))


def test_alarms_before_the_change_are_no_finds() -> None:
    """They count as early, not in delay or misses; a threshold that some stream did not reach is left out."""
    still = np.array([[50.0, 90.0, math.inf], [150.0, 210.0, 300.0]])
    changed = np.array([[5.0, 30.0, 40.0], [12.0, 20.0, 30.0], [20.0, 90.0, 95.0]])
    made = curve(still, changed, change_at=10, missed_after=15)
    assert made.run_length.tolist() == [100, 150]
    assert made.delay.tolist() == [6, pytest.approx((20 + 10 + 80) / 3)]
    assert (made.missed.tolist(), made.early.tolist()) == ([0, pytest.approx(2 / 3)], [pytest.approx(1 / 3), 0])


def test_the_oracle_is_ahead_of_the_engine() -> None:
    """As it must be, at an equal measured run length, when a change comes with the first sample."""
    size = Size(run_length=500, learned=50, streams=150, changes=300, effort=0.01, settings=12)
    found = Simulation(size, 6, detectors=()).cell(Cell(Law(0.1), Law(0.4)))
    delay = {name: known.at(500)[0] for name, known in found.fresh.items()}
    assert 1 < delay["esr"] / delay["oracle"] < 2.5


class Counts:
    """A detector that alarms at every n-th sample."""

    def __init__(self, n: int) -> None:
        self.n, self.seen = n, 0

    @property
    def drift_detected(self) -> bool:
        return self.seen > 0 and self.seen % self.n == 0

    def update(self, x: float) -> None:
        self.seen += 1


def test_run_length_is_samples_an_alarm() -> None:
    """Exactly, for a detector that counts; where none comes, half as much again as was looked at."""
    rng = np.random.default_rng(7)
    assert drift_river.run_length(Counts(50), Law(0.5), rng, samples=10_000, alarms=40) == 50
    assert drift_river.run_length(Counts(10**9), Law(0.5), rng, samples=3_000, alarms=40) == 4_500
    assert drift_river.run_length(Counts(10**9), Law(0.5), rng, samples=30_000, alarms=4, quiet=2_000) == 3_000


def test_delays_leave_out_what_alarmed_before() -> None:
    """A detector that counts to 1,005 is five late; one that counts to 400 never gets to the change."""
    laws = Law(0.1), Law(0.9), np.random.default_rng(8)
    assert drift_river.delays(lambda: Counts(1_005), *laws, learned=1_000, changes=3, longest=50).tolist() == [5, 5, 5]
    assert (
        drift_river.delays(lambda: Counts(1_100), *laws, learned=1_000, changes=2, longest=50).tolist()
        == [math.inf] * 2
    )
    assert drift_river.delays(lambda: Counts(400), *laws, learned=1_000, changes=3, longest=50).tolist() == []


def test_tuning_finds_the_run_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bisection, and what it saw on the way is known."""
    tunable = drift_river.Tunable(lambda s: Counts(round(math.exp(s))), 0, 12, str)
    monkeypatch.setattr(drift_river, "TUNABLE", {"counts": tunable})
    tuner = Tuner("counts", Law(0.1), np.random.default_rng(9))
    found = tuner.search(1_000, steps=10)
    assert tuner.known[found] == pytest.approx(1_000, rel=0.16)
    assert len(tuner.known) > 1


def test_a_remembered_test_is_the_test() -> None:
    """KSWIN says the same of every sample with and without memory."""
    samples = (np.random.default_rng(10).random(260) < np.repeat([0.1, 0.6], 130)).astype(float).tolist()

    def reported() -> list[tuple[bool, float]]:
        detector: Any = river.drift.KSWIN(alpha=0.001, seed=0)
        received = []
        for x in samples:
            detector.update(x)
            received.append((detector.drift_detected, float(detector.p_value)))
        return received

    plain = reported()
    with remembered_tests():
        assert reported() == plain
    assert any(alarm for alarm, _ in plain)


def found_of(delays: dict[str, float], oracle: float) -> Found:
    """A cell with flat curves."""

    def flat(delay: float) -> Curve:
        return Curve(np.array([10.0, 1e5]), np.full(2, delay), np.full(2, 0.02), np.zeros(2))

    curves = {"oracle": flat(oracle)} | {name: flat(delay) for name, delay in delays.items()}
    settings = dict.fromkeys(delays.keys() - {"esr"}, "delta 1")
    return Found(CELLS[0], fresh={name: curves[name] for name in ("esr", "oracle")}, warm=curves, settings=settings)


def test_figures_compare_with_the_oracle_and_with_river() -> None:
    """Median and worst ratio, the worst share of misses, and how often the engine is sooner."""
    cells = [found_of({"esr": 120, "adwin": 130}, 100), found_of({"esr": 150, "adwin": math.nan}, 100)]
    cells.append(found_of({"esr": 200, "adwin": 150}, 100))
    cells.append(Found(Cell(Law(0.4, 6), Law(0.55, 6), assessed=False), cells[2].fresh, cells[2].warm))
    figures = {figure.name: figure.interval.median for figure in drift.cell_figures(cells, 1_000)}
    assert figures["delay / oracle's, median cell, change at once"] == pytest.approx(1.5)
    assert figures["delay / oracle's, worst cell, change at once"] == pytest.approx(2)
    assert figures["missed in 3 oracle delays, worst cell, change later"] == pytest.approx(0.02)
    assert figures["share of cells in which esr is sooner than adwin"] == pytest.approx(2 / 3)


def test_whoever_alarmed_on_most_streams_before_is_behind() -> None:
    """However soon it is on the streams that it left alone."""
    found = found_of({"esr": 120, "ddm": 60}, 100)
    assert not drift.is_sooner(found, "ddm", 1_000)
    found.warm["ddm"].early[:] = 0.8
    assert drift.is_sooner(found, "ddm", 1_000)
    assert not drift.is_sooner(found, "ddm", 1_000, most_early=1.0)


def test_ranks_are_watched_at_both_ends_and_far_out() -> None:
    """Up, down, far out: each is found; ranks that are spread evenly are not taken for a change."""
    rng, bound, raised = np.random.default_rng(12), np.full(50, 0.55), []
    for drawn in (
        rng.random,
        lambda n: rng.random(n) ** 0.4,
        lambda n: rng.random(n) ** 3,
        lambda n: rng.random(n) > 0.5,
    ):
        watch = Ends(50)
        values = [watch.take(np.asarray(drawn(50), float), bound) for _ in range(200)][-1]
        raised.append(float((values > 1_000).mean()))
    assert [round(share) for share in raised] == [0, 1, 1, 1]


@pytest.mark.parametrize(("low", "met"), [(1.0, True), (0.99, False)])
def test_a_promise_is_met_by_its_lower_end(low: float, met: bool) -> None:
    """Not by the middle of its interval."""
    null = Null("independent", Interval(1.3, low, 1.6, 100), 0.1, assessed=True)
    assert [figure.met for figure in drift.null_figures([null])] == [met]


def test_all_rows_have_the_same_columns() -> None:
    """One table holds what the parts of the bench found."""
    nulls = [Null("independent", Interval(1.3, 1.2, 1.4, 100), 0.1, assessed=True)]
    real = [Outcome("", 0, "loss", "esr", 0.02, LONGEST, 1.0), Outcome("fog", 1, "loss", "esr", 0.4, 12, 0.0)]
    costs: list[Row] = [{"pass": 1, "side": "esr", "updates": 5, "cpu_us": 0.02}]
    rows = drift.null_rows(nulls, 100) + drift.cell_rows([found_of({"esr": 120, "adwin": 130}, 100)], 1_000)
    rows += drift.cost_rows(costs) + drift.real_rows(real)
    assert all(one.keys() == other.keys() for one, other in pairwise(rows))
    assert [each["setting"] for each in rows[-3:]] == ["20.0 ns a stream-update", "", "12"]


def test_a_cell_is_simulated_with_rivers_detectors() -> None:
    """Small: every side has a curve, and each of river's a setting."""
    found = Simulation(TINY, 11, detectors=("adwin", "page_hinkley")).cell(Cell(Law(0.1), Law(0.5)))
    assert found.fresh.keys() == {"esr", "oracle"}
    assert found.settings.keys() == {"adwin", "page_hinkley"}
    assert found.warm.keys() == {"esr", "oracle", "adwin", "page_hinkley"}


def test_the_page_shows_each_change_and_each_line() -> None:
    """A panel a cell with a line a detector; nothing is loaded from elsewhere."""
    found = found_of({"esr": 120, "adwin": 130}, 100)
    report = Report("drift", notes=["a < b"], machine={"cpu": "x"})
    nulls = [Null("independent", Interval(1.3, 1.2, 1.4, 100), 0.1, assessed=True)]
    made = page(report, [found, found], nulls, 1_000)
    assert (made.count("<svg"), made.count("<polyline"), made.count("a &lt; b")) == (2, 6, 1)
    assert "http" not in made
    assert "src=" not in made


def test_a_panel_without_points_is_empty() -> None:
    """A detector that has alarmed on every stream before the change has no delay to draw."""
    nothing = Curve(np.array([100.0]), np.array([math.nan]), np.array([math.nan]), np.array([1.0]))
    assert 'points=""' in panel("x", {"ddm": nothing}, 100)


def test_the_oracles_statistic_starts_at_nothing() -> None:
    """Page's CUSUM never falls below 0."""
    oracle = Oracle(3, Law(0.1), Law(0.3))
    assert oracle.take(np.zeros(3), np.zeros(3)).tolist() == [0, 0, 0]
    assert oracle.take(np.ones(3), np.zeros(3)) == pytest.approx(math.log(3))


@pytest.mark.slow
def test_the_short_form_works() -> None:
    """From streams to page, without the share that needs a broker; its figures mean nothing."""
    report = drift.run(Options(short=True, only=tuple(drift_river.TUNABLE), progress=Console(file=io.StringIO())))
    assert {str(each["part"]) for each in report.rows} == {
        "no change",
        "control",
        "change at once",
        "change",
        "by name",
        "cost",
        "real",
    }
    assert len(report.figures) == 5 + 6 + 6 + 3
    assert json.loads(json.dumps(report.as_json()))["name"] == "drift"
