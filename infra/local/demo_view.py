"""How the demo shows what goes on: a live table where a person looks, plain lines where none does."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from infra.local.demo_figures import RECENT_MS, Camera, Scoreboard, percentile
from infra.local.watch import Sighting

CAMERAS_SHOWN = 24
ALERTS_SHOWN = 8
_COLOURS = {"critical": "red", "warning": "yellow", "info": "cyan"}
GOOD_ACCURACY = 0.97
GOOD_P99_MS = 150.0


def screen(board: Scoreboard, *, elapsed_s: float, duration_s: float, phase: str, model: str) -> RenderableType:
    """Draw everything that is known now.

    Args:
        board: The counts.
        elapsed_s: Since publishing began.
        duration_s: Of publishing.
        phase: What the demo does now.
        model: Name and version of the champion.
    """
    table = Table(expand=True, box=box.SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
    table.add_column("camera", no_wrap=True)
    for column in ("published", "predicted", "frames/s", "p50 ms", "p99 ms", "labelled", "accuracy", "dead", "repeats"):
        table.add_column(column, justify="right", no_wrap=True)
    shown = sorted(board.cameras)[:CAMERAS_SHOWN]
    for name in shown:
        table.add_row(name, *_cells(board.cameras[name]))
    if len(board.cameras) > len(shown):
        table.add_row(f"and {len(board.cameras) - len(shown)} more", *[""] * 9, style="dim")
    table.add_section()
    table.add_row("all", *_cells(board.total), style="bold")
    return Panel(
        Group(_head(elapsed_s, duration_s, phase), table, _labels(board), *_alerts(board)),
        title="[bold]Catseye[/]",
        subtitle=f"[dim]{model}[/]",
        border_style="cyan",
    )


def line(board: Scoreboard, *, elapsed_s: float, duration_s: float) -> str:
    """Say in one line how things stand."""
    total = board.total
    ordered = total.latencies_ms
    return (
        f"{min(elapsed_s, duration_s):5.0f} of {duration_s:.0f} s  "
        f"published {total.published}  predictions {total.predictions} "
        f"({len(total.recent) / (RECENT_MS / 1_000):.0f}/s)  latency p50 {_number(percentile(ordered, 0.5))} "
        f"p99 {_number(percentile(ordered, 0.99))} ms  labels {board.labels_published}  accuracy "
        f"{_percent(total.accuracy)}  dead {total.dead}  repeats {total.duplicates}  alerts {len(board.alerts_open)}"
    )


def news_line(seen: Sighting) -> str:
    """Say that an alert opened or ended."""
    again = " again" if seen.other == "opened" and seen.sequence > 0 else ""
    return f"alert {seen.other}{again}: {seen.value} on {seen.camera or 'the fleet'} ({seen.boot})"


def summary_table(figures: Mapping[str, Any]) -> Table:
    """Draw the figures that a person asks for first."""
    latency = figures["latency_ms"]
    table = Table(title="What came of it", title_justify="left", show_header=False, box=box.SIMPLE, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    rows: list[tuple[str, str, bool | None]] = [
        ("frames published", f"{figures['frames_published']:,}", None),
        ("accepted", f"{figures['accepted']:,}", None),
        ("dead letters", f"{figures['dead']:,}", None),
        ("repeats dropped", f"{figures['duplicates']:,}", None),
        ("predictions", f"{figures['predictions']:,}", figures["predictions"] == figures["accepted"]),
        ("lost", f"{figures['lost']:,}", figures["lost"] == 0),
        ("repeated", f"{figures['repeated']:,}", figures["repeated"] == 0),
        ("labels published", f"{figures['labels_published']:,}", None),
        ("outcomes", f"{figures['outcomes']:,}", None),
        ("labels unmatched", f"{figures['labels_unmatched']:,}", None),
        ("accuracy", _percent(figures["accuracy"]), figures["accuracy"] >= GOOD_ACCURACY),
        ("alerts", _kinds(figures["alerts"]), None),
        ("trainings decided", f"{sum(decision['accepted'] for decision in figures['decisions'])}", None),
        ("champions", _champions(figures["models"]), None),
        ("latency p50", f"{_number(latency['p50'])} ms", None),
        ("latency p99", f"{_number(latency['p99'])} ms", latency["p99"] <= GOOD_P99_MS),
        ("latency max", f"{_number(latency['max'])} ms", None),
        ("set-up", f"{figures['setup_s']:.1f} s", None),
        ("run", f"{figures['duration_s']:.1f} s", None),
    ]
    for name, value, good in rows:
        table.add_row(name, Text(value, style={None: "", True: "green", False: "red"}[good]))
    return table


def _champions(models: Sequence[Mapping[str, Any]]) -> str:
    """Versions in the order in which they came to serve."""
    return " → ".join(model["version"] for model in models if model["stage"] == "champion") or "-"


def _head(elapsed_s: float, duration_s: float, phase: str) -> Text:
    share = min(1.0, elapsed_s / duration_s) if duration_s else 1.0
    bar = "━" * round(40 * share)
    return Text.assemble(
        (bar, "cyan"),
        ("━" * (40 - len(bar)), "dim"),
        f"  {min(elapsed_s, duration_s):4.0f} of {duration_s:.0f} s  ",
        (phase, "italic"),
    )


def _labels(board: Scoreboard) -> Text:
    reasons = ", ".join(f"{reason} {count}" for reason, count in board.reasons.most_common(4))
    return Text(
        f"labels {board.labels_published:,} · outcomes {board.outcomes:,} · unmatched {board.unmatched:,} · "
        f"on their way: frames {len(board.frames_open):,}, labels {max(0, board.labels_open):,}"
        + (f" · dead letters: {reasons}" if reasons else ""),
        style="dim",
    )


def _alerts(board: Scoreboard) -> list[Text]:
    """A line for each alert that is open, the newest last."""
    alerts = board.alerts_open
    more = len(alerts) - ALERTS_SHOWN
    lines = [
        Text(
            f"{alert.boot:<9}{alert.value:<18}{alert.camera or 'the fleet'}  {alert.other}",
            style=_COLOURS.get(alert.boot, ""),
        )
        for alert in alerts[-ALERTS_SHOWN:]
    ]
    return [Text(f"and {more} more alerts", style="dim"), *lines] if more > 0 else lines


def _kinds(alerts: Sequence[Mapping[str, Any]]) -> str:
    """How many alerts there were of each kind."""
    counts = Counter(alert["kind"] for alert in alerts)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"


def _cells(camera: Camera) -> list[str | Text]:
    ordered = camera.latencies_ms
    p99 = percentile(ordered, 0.99)
    accuracy = camera.accuracy
    return [
        f"{camera.published:,}",
        f"{camera.predictions:,}",
        f"{len(camera.recent) / (RECENT_MS / 1_000):.1f}",
        _number(percentile(ordered, 0.5)),
        Text(_number(p99), style="yellow" if p99 > GOOD_P99_MS else ""),
        f"{camera.labelled:,}",
        Text(_percent(accuracy), style="yellow" if accuracy < GOOD_ACCURACY else ""),
        f"{camera.dead:,}",
        f"{camera.duplicates:,}",
    ]


def _number(value: float) -> str:
    return "–" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:.0f}"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.2%}"
