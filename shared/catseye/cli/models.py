"""`catseye models`: the register of models."""

import getpass
from pathlib import Path
from typing import Any, Literal

import click

from catseye.cli.common import at, json_option, settings_with_broker, table, write_json
from catseye.client import subscribe
from catseye.records import ModelEvent


@click.group()
def models() -> None:
    """List and register models."""


@models.command("list")
@json_option
def list_(json_file: Path | None) -> None:
    """List each version and what it is now, newest step first. The champion is the last one that was made so."""
    settings = settings_with_broker()
    with subscribe("models", from_="beginning", until_end=True, settings=settings) as events:
        rows = newest_steps(list(events))
    if write_json(json_file, {"models": rows}):
        return
    head = ("MODEL", "VERSION", "STAGE", "SINCE", "BY", "BECAUSE")
    table(
        [head, *[(r["model"], r["version"], r["stage"], at(r["at_ms"]), r["by"], r["because"]) for r in rows]]
        if rows
        else [("no model yet: `catseye models register FILE` names one",)]
    )


@models.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--stage", type=click.Choice(["champion", "candidate"]), default="candidate", show_default=True, help="What it is."
)
@click.option("--because", default="registered by hand", show_default=True, help="Why, for the record.")
@json_option
def register(file: Path, stage: Literal["champion", "candidate"], because: str, json_file: Path | None) -> None:
    """Check an ONNX FILE, sign it, keep it and announce it.

    A champion takes over as soon as it is loaded; a candidate waits to be compared.
    """
    # onnxruntime comes with it, which the other commands do without.
    from catseye.models import register as to_register  # noqa: PLC0415
    from catseye.registry import codec_for  # noqa: PLC0415

    settings = settings_with_broker()
    event = to_register(settings, codec_for(settings), file.read_bytes(), stage, by=getpass.getuser(), because=because)
    if not write_json(
        json_file, {"model": event.model, "version": event.version, "stage": stage, "sha256": event.sha256}
    ):
        click.echo(f"{event.model} {event.version} is {stage}")


def newest_steps(events: list[ModelEvent]) -> list[dict[str, Any]]:
    """The last step of each version, newest first; a champion that another one followed is shown as replaced."""
    last: dict[tuple[str, str], ModelEvent] = {}
    champion: dict[str, str] = {}
    for event in events:
        last.pop((event.model, event.version), None)
        last[event.model, event.version] = event
        if event.stage == "champion":
            champion[event.model] = event.version
    return [_row(event, champion.get(event.model)) for event in reversed(last.values())]


def _row(event: ModelEvent, champion: str | None) -> dict[str, Any]:
    replaced = event.stage == "champion" and event.version != champion
    return {
        "model": event.model,
        "version": event.version,
        "stage": "replaced" if replaced else event.stage,
        "at_ms": event.at_ms,
        "by": event.by,
        "because": event.because,
        "sha256": event.sha256,
    }
