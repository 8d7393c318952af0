"""Start a replay: options, settings, topics, model; what it found as text or JSON."""

from pathlib import Path

import click

from catseye import clock
from catseye.cli import ended
from catseye.cli.common import settings_with_broker, table, write_json
from catseye.cli.lineage import Progress
from catseye.cli.replay import options
from catseye.kafka.registry import codec_for
from catseye.ops.lineage.log_reader import LogReader
from catseye.settings import load
from services.drift.__main__ import rules_of as drift_rules_of
from services.drift.settings import DriftSettings
from services.incidents.__main__ import rules_of as incidents_rules_of
from services.incidents.settings import IncidentsSettings
from services.inference.settings import InferenceSettings
from services.replay.answer import as_json, as_lines
from services.replay.run import Replay, candidate_of
from services.replay.span import span_of


@click.command()
@options
def replay(from_: str | None, to: str | None, model: Path, cameras: tuple[str, ...], json_file: Path | None) -> None:
    """As `catseye replay`, which calls this."""
    span = span_of(from_, to, clock.now_ms())
    settings = load(InferenceSettings, service="inference")
    drift = drift_rules_of(load(DriftSettings, service="drift"))
    incidents = incidents_rules_of(load(IncidentsSettings, service="incidents"))
    candidate = candidate_of(model, settings.inference_threads)
    common = settings_with_broker()
    with LogReader(common, codec_for(common)) as log, Progress("replaying") as progress:
        answer = Replay(log, settings, drift, incidents, candidate, span, frozenset(cameras)).run(progress.show)
    if not write_json(json_file, as_json(answer)):
        lines, tables = as_lines(answer)
        for line in lines:
            click.echo(line)
        for rows in tables:
            click.echo()
            table(rows)


if __name__ == "__main__":
    ended(replay)
