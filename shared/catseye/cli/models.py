"""`catseye models`: the register of models, and a person's commands to rollout, which alone writes it.

Whoever is promoted is on probation, with the champion before as its shadow.
"""

import getpass
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import click

from catseye import clock
from catseye.cli.common import (
    SENTENCE,
    Name,
    at,
    json_option,
    packages_missing,
    records_of,
    settings_with_broker,
    table,
    write_json,
)
from catseye.cli.describe import describe
from catseye.cli.score import naming, score
from catseye.cli.service_faults import refusals
from catseye.contract.records import ModelAction, ModelEvent
from catseye.kafka.registry import codec_for
from catseye.models.ask import WAIT_S, answers, ask
from catseye.models.asking import asked
from catseye.models.signing import PUBLIC, key_folder, make_keys, private_key
from catseye.models.stages import Version, champion_in, stages_of
from catseye.settings import Settings, load

NONE: Mapping[Version, str] = MappingProxyType({})


@click.group()
def models() -> None:
    """List, register, promote, approve, reject and roll back models; describe and score files."""


models.add_command(describe)
models.add_command(score)


@models.command("list")
@json_option
def list_(json_file: Path | None) -> None:
    """List each version and what it is now, newest step first.

    One is champion, whatever the names of the models are; one that was so before is replaced. One that a service
    refuses to serve is listed as refused, with the reason in the last column: the champion before goes on.
    """
    settings = settings_with_broker()
    rows = newest_steps(records_of(settings, "models"), refusals(settings))
    if write_json(json_file, {"models": rows}):
        return
    head = ("MODEL", "VERSION", "STAGE", "SINCE", "BY", "BECAUSE")
    table(
        [
            head,
            *[
                (r["model"], r["version"], r["stage"], at(r["at_ms"]), r["by"], r["refused"] or r["because"])
                for r in rows
            ],
        ]
        if rows
        else [("no model yet: `catseye models register FILE --stage champion` names one",)]
    )


_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


_WAIT = click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=WAIT_S,
    show_default=True,
    help="For rollout's answer, seconds.",
)


@models.command()
@_FILE
@click.option(
    "--stage", type=click.Choice(["champion", "candidate"]), default="candidate", show_default=True, help="What it is."
)
@click.option("--because", type=SENTENCE, default="registered by hand", show_default=True, help="Why, for the record.")
@click.option(
    "--owner",
    type=Name("owner"),
    metavar="ROUTE",
    help="Who answers for the model: the notifier's route of that name is told of its accuracy and rollout.",
)
@_WAIT
@json_option
def register(
    file: Path,
    stage: Literal["champion", "candidate"],
    because: str,
    owner: str | None,
    wait_s: float,
    json_file: Path | None,
) -> None:
    """Check an ONNX FILE, sign it, keep it and have rollout register it.

    A champion takes over as soon as it is loaded; a candidate waits to be compared.
    """
    registering = _with_what_runs_models()
    settings = settings_with_broker()
    by, content = getpass.getuser(), file.read_bytes()
    with naming(file):
        event = registering.register(
            settings, codec_for(settings), content, stage, by=by, because=because, wait_s=wait_s, owner=owner
        )
    _report(json_file, event)


@models.command()
@_FILE
@_WAIT
@json_option
def first(file: Path, wait_s: float, json_file: Path | None) -> None:
    """Have a new fleet predict: FILE is its champion unless it has one.

    Makes the signing keys too, unless they are there. Called again it changes nothing.
    """
    registering = _with_what_runs_models()
    settings = settings_with_broker()
    make_keys(key_folder(settings))
    event = serving(settings)
    if event is None:
        by, because = getpass.getuser(), "the first, since there was none"
        with naming(file):
            event = registering.register_first(
                settings, codec_for(settings), file.read_bytes(), by=by, because=because, wait_s=wait_s
            )
    _report(json_file, event)


@models.command()
@json_option
def keys(json_file: Path | None) -> None:
    """Make the keys that model files are signed with, unless they are there, and print the public one's path.

    A fleet has one pair. Where models are registered both are needed, where they are loaded the public one.
    """
    folder = key_folder(load(Settings))
    make_keys(folder)
    private_key(folder)
    public = str((folder / PUBLIC).resolve())
    if not write_json(json_file, {"public_key": public}):
        click.echo(public)


_VERSION = click.argument("version")
_MODEL = click.option("--model", type=Name("model"), help="Name of the model, where versions of several begin alike.")
_BECAUSE = click.option("--because", type=SENTENCE, default="", help="Why, for the record.")


@models.command()
@_VERSION
@_MODEL
@_BECAUSE
@_WAIT
@json_option
def promote(version: str, model: str | None, because: str, wait_s: float, json_file: Path | None) -> None:
    """Make VERSION the champion, whatever the evidence; its first characters are enough.

    The champion before stays on as its shadow for a while, and comes back if it proves better.
    """
    _ask("promote", version, model, because, wait_s, json_file)


@models.command()
@_VERSION
@_MODEL
@_BECAUSE
@_WAIT
@json_option
def approve(version: str, model: str | None, because: str, wait_s: float, json_file: Path | None) -> None:
    """Say yes to VERSION, which rollout has found better; its first characters are enough.

    That is asked for with CATSEYE_ROLLOUT_APPROVAL. Unlike `promote` it refuses a version that waits for no approval.
    """
    _ask("approve", version, model, because, wait_s, json_file)


@models.command()
@_VERSION
@_MODEL
@_BECAUSE
@_WAIT
@json_option
def reject(version: str, model: str | None, because: str, wait_s: float, json_file: Path | None) -> None:
    """Say that VERSION is not to be used; its first characters are enough."""
    _ask("reject", version, model, because, wait_s, json_file)


@models.command()
@_MODEL
@_BECAUSE
@_WAIT
@json_option
def rollback(model: str | None, because: str, wait_s: float, json_file: Path | None) -> None:
    """Make the champion before the champion again, and reject the one that replaced it."""
    _ask("roll_back", "", model, because, wait_s, json_file)


def newest_steps(events: Iterable[ModelEvent], refused: Mapping[Version, str] = NONE) -> list[dict[str, Any]]:
    """The last step of each version, newest first, with what it is: one champion, perhaps canaries, others replaced.

    Args:
        events: Of all models, oldest first.
        refused: Versions that inference was told to serve and refuses, and why: the ones before go on.
    """
    stages = stages_of(events)
    for version, event in stages.newest().items():
        if version in refused:
            stages.refuse(event)
    champions = stages.serving("champion")
    canaries = {(event.model, event.version) for event in champions.cameras.values()}
    return [
        _row(event, _standing(event, champions.everywhere, canaries), refused.get(version, ""))
        for version, event in reversed(stages.newest().items())
    ]


def _standing(event: ModelEvent, champion: ModelEvent | None, canaries: Container[Version]) -> str:
    """What a version is: its stage, but of those that were made champion only one is."""
    version = event.model, event.version
    if champion is not None and version == (champion.model, champion.version):
        return "champion"
    if event.stage != "champion":
        return event.stage
    return "canary" if version in canaries else "replaced"


def serving(settings: Settings) -> ModelEvent | None:
    """Who predicts the cameras that have no canary of their own; None for nobody."""
    return champion_in(records_of(settings, "models"))


def _ask(
    action: ModelAction, version: str, model: str | None, because: str, wait_s: float, json_file: Path | None
) -> None:
    """Have rollout carry out what this person asks for, and report what came of it."""
    settings = settings_with_broker()
    by, now_ms = getpass.getuser(), clock.now_ms()
    command = asked(records_of(settings, "models"), action, version, model, because=because, by=by, at_ms=now_ms)
    ask(settings, codec_for(settings), command)
    came = answers(settings, command, wait_s)
    if not write_json(json_file, {"models": [_row(event, event.stage) for event in came]}):
        for event in came:
            click.echo(f"{event.model} {event.version} is {event.stage}")


def _with_what_runs_models() -> ModuleType:
    """What registers a file. Raises `Misconfigured` where the packages that look into one are not installed."""
    try:
        from catseye.models import register  # noqa: PLC0415 - the other commands do without these packages
    except ModuleNotFoundError as missing:
        raise packages_missing(missing, "signed") from missing
    return register


def _report(json_file: Path | None, event: ModelEvent) -> None:
    """Print what a file is now, and what is to be done where it does not predict yet."""
    row = {"model": event.model, "version": event.version, "stage": event.stage, "sha256": event.sha256}
    if write_json(json_file, row):
        return
    then = f"; it predicts once rollout finds it better, or after `catseye models promote {event.version}`"
    click.echo(f"{event.model} {event.version} is {event.stage}{'' if event.stage == 'champion' else then}")


def _row(event: ModelEvent, stage: str, refused: str = "") -> dict[str, Any]:
    return {
        "model": event.model,
        "version": event.version,
        "stage": "refused" if refused else stage,
        "refused": refused,
        "at_ms": event.at_ms,
        "by": event.by,
        "because": event.because,
        "sha256": event.sha256,
        "metrics": event.metrics,
    }
