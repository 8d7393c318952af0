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
from infra.local.demo_loop import step_line
from infra.local.demo_story import events, fates, meaning, verdict
from infra.local.watch import Sighting

CAMERAS_SHOWN = 24
ALERTS_SHOWN = 8
STEPS_SHOWN = 4
BEHIND_EVERY_S = 60.0
LEGEND = (
    "published: the broker has it · predicted: its class is on the topic predictions · frames/s, p50, p99: of the last "
    f"{RECENT_MS / 1_000:.0f} s, from the moment a frame is due until a subscriber has its prediction · labelled: its "
    "true class came, seconds later · accuracy: share of the labels of the last minute that the model had right · "
    "dead: refused, with a reason · repeats: sent again, counted once"
)
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
        Group(
            _head(elapsed_s, duration_s, phase),
            table,
            _labels(board),
            *_behind(board),
            *_alerts(board),
            *_steps(board),
            Text(LEGEND, style="dim"),
        ),
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
        f"{_percent(total.accuracy)} in the last minute  dead {total.dead}  repeats {total.duplicates}  "
        f"alerts {len(board.alerts_open)}"
    )


def behind_line(board: Scoreboard) -> str | None:
    """Say that this machine does not keep up, and what to turn; None where it does."""
    if not board.behind_ms:
        return None
    return (
        f"this machine does not keep up: half of the frames wait over {board.behind_ms / 1_000:.1f} s for their "
        "prediction; run the demo with a lower --fps or fewer --cameras, or end what else runs here"
    )


class BehindLines:
    """The same among lines that follow one another: once a minute, since it stays so for long."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def at(self, elapsed_s: float, board: Scoreboard) -> list[str]:
        """What is to be printed at that second of the road: one line, or none."""
        behind = behind_line(board)
        if behind is None or elapsed_s < self._next_s:
            return []
        self._next_s = elapsed_s + BEHIND_EVERY_S
        return [behind]


def news_line(seen: Sighting) -> str:
    """Say that an alert opened, and what its kind means, or that it ended."""
    again = " again" if seen.other == "opened" and seen.sequence > 0 else ""
    means = meaning(seen.value) if seen.other == "opened" and not again else ""
    return f"alert {seen.other}{again}: {seen.value} on {seen.camera or 'the fleet'} ({seen.boot}){means}"


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


def story_table(figures: Mapping[str, Any]) -> Table:
    """Draw what happened, in order of time, and accuracy before and after."""
    told = figures["story"]
    table = Table(title="What happened", title_justify="left", show_header=False, box=box.SIMPLE, pad_edge=False)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for at_s, sentence in events(figures, told):
        table.add_row(f"{at_s:.0f} s", Text(sentence))
    if table.row_count == 0:
        table.add_row("", "nothing but traffic")
    return table


def accuracy_table(told: Mapping[str, Any]) -> Table:
    """Draw accuracy of the changed cameras and of the others: before, at its lowest, in the last minute."""
    table = Table(title="Accuracy", title_justify="left", box=box.SIMPLE, pad_edge=False, header_style="dim")
    table.add_column("")
    for column in ("minute before", "lowest half minute after", "last minute"):
        table.add_column(column, justify="right")
    for whose, name in (("changed cameras", "changed"), ("other cameras", "others")):
        found = told["accuracy"][name]
        if not (math.isnan(found["before"]) and math.isnan(found["end"])):
            at = "" if found["lowest_at_s"] is None else f" ({found['lowest_at_s']:.0f} s)"
            table.add_row(whose, _percent(found["before"]), _percent(found["lowest"]) + at, _percent(found["end"]))
    return table


def ending(figures: Mapping[str, Any], steps: Sequence[tuple[str, str]]) -> Group:
    """Say what became of the candidates, whether the road is well, and what to try next."""
    told = figures["story"]
    well = told["well_again"] is True or (told["well_again"] is None and not figures["alerts"])
    lines = [Text(sentence) for sentence in fates(told)]
    lines.append(Text(verdict(figures, told), style="green" if well else "yellow"))
    if told["behind_s"]:
        lines.append(
            Text(f"This machine did not keep up for {told['behind_s']:.0f} s: latencies say so.", style="yellow")
        )
    table = Table(title="Try next", title_justify="left", show_header=False, box=box.SIMPLE, pad_edge=False)
    for command, shows in steps:
        table.add_row(Text(command, style="bold"), Text(shows))
    return Group(*lines, Text(""), table)


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


def _behind(board: Scoreboard) -> list[Text]:
    behind = behind_line(board)
    return [Text(behind, style="bold yellow")] if behind else []


def _steps(board: Scoreboard) -> list[Text]:
    """The last decisions and events of models, the newest last."""
    lines = [step_line(seen) for seen in board.steps[-STEPS_SHOWN:]]
    return [Text(each, style="cyan", no_wrap=True, overflow="ellipsis") for each in lines if each]


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
