"""`python -m infra.benches [NAME …] [--short] [--json FILE]`: measure, print, and write the raw rows."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import click
from rich.console import Console

from catseye.cli.common import OutFile, write_file
from infra.benches.harness import BenchError, Options, Report, show

BENCHES = (
    "pipeline",
    "worker",
    "latency",
    "swap",
    "join",
    "jpeg",
    "video",
    "roads",
    "drift",
    "fleet",
    "rollout",
    "loop",
    "restart",
    "stalls",
    "labels",
    "label_page",
    "label_loop",
    "pages",
    "view",
    "predict",
    "streams",
    "fuzz",
)
"""Modules of this package with a `run(options: Options) -> Report`; one line here adds one."""
SHORT = ("jpeg", "video", "fleet", "rollout")
"""What `--short` plays where none is named: of the others each takes a minute beside the rest of CI, or tests play the
same."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(BENCHES))
@click.option("--short", is_flag=True, help="A small run that shows that the bench works; its figures mean nothing.")
@click.option("--only", multiple=True, metavar="SIDE", help="Measure this side (may be given more than once).")
@click.option("--pairs", type=click.IntRange(1), help="Passes, when others than usual are wanted.")
@click.option("--grid", is_flag=True, help="Tune: every side at every point of its grid, no ratios.")
@click.option(
    "--bootstrap", default="", metavar="HOST:PORT", help="Use this broker instead of a fresh one on its core."
)
@click.option("--long", is_flag=True, help="Peers too at the sizes that take them minutes a block.")
@click.option("--json", "json_file", type=OutFile(), help="Write one object here.")
def main(
    names: tuple[str, ...],
    *,
    short: bool,
    only: tuple[str, ...],
    pairs: int | None,
    grid: bool,
    long: bool,
    bootstrap: str,
    json_file: Path | None,
) -> None:
    """Measure NAMES (default: everything) and print ratios, intervals and raw rows."""
    console = Console() if sys.stdout.isatty() else Console(width=140)
    options = Options(short, only, pairs, grid, long, bootstrap)
    reports: list[Report] = []
    for name in names or (SHORT if short else BENCHES):
        bench, began = importlib.import_module(f"infra.benches.{name}"), time.monotonic()
        try:
            reports.append(bench.run(options))
        except BenchError as failed:
            raise click.ClickException(f"bench {name}: {failed}") from failed
        if short:
            reports[-1].notes.append("short: this shows that the bench works, no more; its ratios mean nothing")
        show(reports[-1], console)
        console.print(f"bench {name}: {time.monotonic() - began:.0f} s", style="dim", highlight=False)
    if json_file:
        write_file(json_file, json.dumps([report.as_json() for report in reports], indent=1).encode())


if __name__ == "__main__":
    main()
