"""What the demo counts live and computes in the end, and how it looks."""

import math
from typing import Any

import pytest
from rich.console import Console

from infra.local.checker import check
from infra.local.demo_figures import Scoreboard, accuracy_figures, latencies_ms, percentile, summary
from infra.local.demo_view import ALERTS_SHOWN, line, news_line, screen, summary_table
from infra.local.evidence import DeadAt, Ledger, Log, OutcomeAt
from infra.local.watch import Sighting

STARTED_MS = 1_000.0
KEYS = {
    *("frames_published", "accepted", "dead", "duplicates", "predictions", "lost", "repeated", "labels_published"),
    *("outcomes", "labels_unmatched", "accuracy", "accuracy_by_camera", "accuracy_timeline", "latency_ms"),
}


def frame(sequence: int, camera: str = "north", *, copy: int = 0) -> dict[str, Any]:
    return {
        "kind": "frame",
        "camera": camera,
        "boot": "b0",
        "sequence": sequence,
        "label": "car",
        "intended_at_ms": STARTED_MS + 1_000 * sequence + copy,
        "published_at_ms": STARTED_MS + 1_000 * sequence + copy,
        "copy": copy,
        "corrupt": False,
    }


def label(sequence: int, reported: str | None = "car", at_ms: int = 5) -> dict[str, Any]:
    return {
        "kind": "label",
        "camera": "north",
        "boot": "b0",
        "sequence": sequence,
        "label": reported,
        "labelled_at_ms": at_ms,
    }


def prediction(sequence: int, latency_ms: float) -> Sighting:
    seen_at_ms = STARTED_MS + 1_000 * sequence + latency_ms
    return Sighting("predictions", seen_at_ms, "north", "b0", sequence, f"p{sequence}", "car", "")


def outcome(sequence: int, reported: str, predicted: str = "car") -> Sighting:
    return Sighting("outcomes", 0, "north", "b0", sequence, f"p{sequence}/{reported}/5", reported, predicted)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.99, 4.0), (0.01, 1.0), (1.0, 4.0)])
def test_percentiles_are_values_that_occurred(share: float, expected: float) -> None:
    """A percentile is the smallest value that the share of them does not exceed."""
    assert expected == percentile([1.0, 2.0, 3.0, 4.0], share)


def test_a_percentile_of_nothing_is_no_number() -> None:
    """Without values there is no percentile."""
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize("ledger_first", [True, False])
def test_ledger_and_reader_may_come_in_any_order(ledger_first: bool) -> None:
    """A prediction may be seen before the ledger says that its frame was published."""
    board = Scoreboard()
    if ledger_first:
        board.on_ledger([frame(0), frame(1)])
    board.on_sightings([prediction(0, 40)])
    if not ledger_first:
        board.on_ledger([frame(0), frame(1)])
    assert board.frames_open == {("north", "b0", 1)}
    assert (board.total.published, board.total.predictions) == (2, 1)
    assert board.total.latencies_ms == [40]
    board.forget(STARTED_MS + 6_000)
    assert board.total.latencies_ms == []


def test_what_holds_of_a_label_counts_live() -> None:
    """A correction replaces, a withdrawal removes; unmatched and dead labels have their end."""
    board = Scoreboard()
    board.on_ledger([label(0), label(0, "truck"), label(1), label(1, None), label(2), label(3)])
    board.on_sightings([outcome(0, "truck"), outcome(1, "car"), outcome(0, "car")])
    assert (board.total.labelled, board.total.right) == (2, 2)
    assert board.labels_open == 3
    board.on_sightings(
        [
            outcome(1, ""),
            Sighting("labels.unmatched", 0, "north", "b0", 2, "", "unknown", ""),
            Sighting("dead-letters", 0, "north", "b0", 3, "d0", "field_out_of_range", "labels"),
        ]
    )
    assert (board.total.labelled, board.total.accuracy) == (1, 1.0)
    assert board.labels_open == 0


def test_dead_letters_and_repeats_count_by_camera() -> None:
    """A dead letter ends its frame; repeats are what ingest's state says."""
    board = Scoreboard()
    board.on_ledger([frame(0)])
    board.on_sightings(
        [
            Sighting("dead-letters", 0, "north", "b0", 0, "d0", "jpeg_corrupt", "frames"),
            Sighting("frames.repeated", 0, "north", "", -1, "", "3", ""),
        ]
    )
    assert (board.total.dead, board.total.duplicates, board.frames_open) == (1, 3, set())
    assert board.reasons == {"jpeg_corrupt": 1}


def alert(name: str, state: str, revision: int = 0, camera: str = "north") -> Sighting:
    return Sighting("alerts", 0, camera, "warning", revision, name, "input", state)


def test_open_alerts_are_known_and_news_is_kept_until_it_is_reported() -> None:
    """The newest record of an alert holds; only opening and ending are news."""
    board = Scoreboard()
    board.on_sightings(
        [
            alert("a", "opened"),
            alert("b", "opened"),
            alert("a", "updated", 1),
            alert("b", "resolved", 1),
            alert("c", "suppressed"),
        ]
    )
    assert [(seen.name, seen.other) for seen in board.alerts_open] == [("a", "updated")]
    assert [(seen.name, seen.other) for seen in board.news] == [("a", "opened"), ("b", "opened"), ("b", "resolved")]
    assert news_line(board.news[2]) == "alert resolved: input on north (warning)"
    assert news_line(alert("d", "opened", camera="")) == (
        "alert opened: input on the fleet (warning): it shows other pictures than those it was learned on"
    )
    assert news_line(alert("a", "opened", 3)) == "alert opened again: input on north (warning)"


def test_the_screen_shows_open_alerts() -> None:
    """A line each, the newest; of many the number of the others."""
    board = Scoreboard()
    board.on_sightings([alert(f"{number}", "opened", camera=f"cam-{number:02}") for number in range(ALERTS_SHOWN + 2)])
    console = Console(width=110, force_terminal=False)
    with console.capture() as captured:
        console.print(screen(board, elapsed_s=3, duration_s=60, phase="publishing", model="vehicles 1"))
    reported = captured.get()
    assert "and 2 more alerts" in reported
    assert "cam-01" not in reported
    assert "warning  input             cam-02  opened" in reported


def test_the_road_began_when_its_first_frame_was_due() -> None:
    """Whichever is acknowledged first."""
    board = Scoreboard()
    assert board.began_ms is None
    board.on_ledger([frame(2), frame(0), frame(1)])
    assert board.began_ms == STARTED_MS


def test_what_never_arrives_has_an_infinite_latency() -> None:
    """Dead letters have no latency; a frame without an end has an infinite one; a copy counts from the first."""
    ledger = Ledger.of([frame(0), frame(0, copy=1), frame(1), frame(2)])
    log = Log(dead=[DeadAt("d1", "ingest", "jpeg_corrupt", ("frames", 0, 1), ("north", "b0", 1), None)])
    assert latencies_ms(ledger, log, {("north", "b0", 0): STARTED_MS + 30}) == [30, math.inf]


def test_accuracy_is_that_of_the_labels_that_hold() -> None:
    """Corrections replace, withdrawals remove; bins are 5 s wide and by camera."""
    ledger = Ledger.of([frame(0), frame(1), frame(6), frame(7)])
    rows = [(0, "truck", "matched"), (0, "car", "corrected"), (1, "truck", "matched"), (6, "car", "matched")]
    rows += [(7, "truck", "matched")]
    outcomes = [
        OutcomeAt(0, n, (("north", "b0", sequence), reported, n), f"p{sequence}", "champion", "car", change)
        for n, (sequence, reported, change) in enumerate(rows)
    ]
    withdrawn = OutcomeAt(0, 9, (("north", "b0", 7), None, 9), "p7", "champion", "car", "withdrawn")
    figures = accuracy_figures(ledger, Log(outcomes=[*outcomes, withdrawn]), STARTED_MS)
    expected = {
        "accuracy": 0.66667,
        "accuracy_by_camera": {"north": 0.66667},
        "accuracy_timeline": [
            {"at_s": 0.0, "camera": "north", "n": 2, "accuracy": 0.5},
            {"at_s": 5.0, "camera": "north", "n": 1, "accuracy": 1.0},
        ],
    }
    assert expected == figures


def test_the_summary_has_the_promised_keys() -> None:
    """Scripts rely on the names in the object."""
    ledger, log = Ledger.of([frame(0)]), Log()
    assert summary(ledger, log, check(ledger, log), {}, STARTED_MS).keys() == KEYS


def test_the_screen_shows_cameras_and_what_is_bad() -> None:
    """The live screen names each camera, and the line says the same in short."""
    board = Scoreboard()
    board.on_ledger([frame(0), label(0)])
    board.on_sightings(
        [
            prediction(0, 40),
            outcome(0, "car"),
            Sighting("dead-letters", 0, "south", "b0", 0, "d", "jpeg_corrupt", "frames"),
        ]
    )
    console = Console(width=110, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as captured:
        console.print(screen(board, elapsed_s=3, duration_s=60, phase="publishing", model="vehicles 1"))
    reported = captured.get()
    for expected in ("north", "south", "100.00%", "jpeg_corrupt 1", "3 of 60 s", "vehicles 1"):
        assert expected in reported
    assert "published 1  predictions 1 (0/s)  latency p50 40 p99 40 ms" in line(board, elapsed_s=3, duration_s=60)


def test_the_summary_table_shows_an_infinite_latency() -> None:
    """What was lost shows in red numbers and an infinite latency."""
    ledger, log = Ledger.of([frame(0)]), Log()
    champions = [{"version": version, "stage": stage} for version, stage in (("v1", "champion"), ("v2", "candidate"))]
    more = {"alerts": [], "decisions": [{"accepted": True}, {"accepted": False}], "models": champions}
    figures = summary(ledger, log, check(ledger, log), {}, STARTED_MS) | more | {"setup_s": 1.0, "duration_s": 2.0}
    console = Console(width=80)
    with console.capture() as captured:
        console.print(summary_table(figures))
    assert "∞ ms" in captured.get()
    assert ["champions", "v1"] in [line.split() for line in captured.get().splitlines()]
