"""`catseye models`: the register of models, and a person's word on who serves.

Rollout takes a person's word from the register as everybody else does: whoever is promoted is on probation, with the
champion before as its shadow.
"""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click
from msgspec.structs import replace

from catseye import clock
from catseye.cli.common import at, json_option, settings_with_broker, table, write_json
from catseye.client import subscribe
from catseye.contract.errors import Misconfigured
from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent
from catseye.kafka.registry import codec_for
from catseye.models.announce import announce
from catseye.models.signing import PUBLIC, key_folder, make_keys, private_key
from catseye.models.stages import Stages
from catseye.settings import Settings, load

_AT_LEAST = 4  # characters of a version that must be given
_SERVICE = "rollout"


@click.group()
def models() -> None:
    """List, register, promote, reject and roll back models."""


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
        else [("no model yet: `catseye models register FILE --stage champion` names one",)]
    )


_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@models.command()
@_FILE
@click.option(
    "--stage", type=click.Choice(["champion", "candidate"]), default="candidate", show_default=True, help="What it is."
)
@click.option("--because", default="registered by hand", show_default=True, help="Why, for the record.")
@json_option
def register(file: Path, stage: Literal["champion", "candidate"], because: str, json_file: Path | None) -> None:
    """Check an ONNX FILE, sign it, keep it and announce it.

    A champion takes over as soon as it is loaded; a candidate waits to be compared.
    """
    to_register = _with_what_runs_models()
    settings = settings_with_broker()
    event = to_register(settings, codec_for(settings), file.read_bytes(), stage, by=getpass.getuser(), because=because)
    _tell(json_file, event)


@models.command()
@_FILE
@json_option
def first(file: Path, json_file: Path | None) -> None:
    """Have a new fleet predict: FILE is its champion unless it has one.

    Makes the signing keys too, unless they are there. Called again it changes nothing.
    """
    to_register = _with_what_runs_models()
    settings = settings_with_broker()
    make_keys(key_folder(settings))
    _tell(
        json_file,
        serving(settings)
        or to_register(
            settings,
            codec_for(settings),
            file.read_bytes(),
            "champion",
            by=getpass.getuser(),
            because="the first, since there was none",
        ),
    )


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
_MODEL = click.option("--model", help="Name of the model, where versions of several begin alike.")
_BECAUSE = click.option("--because", default="", help="Why, for the record.")


@models.command()
@_VERSION
@_MODEL
@_BECAUSE
@json_option
def promote(version: str, model: str | None, because: str, json_file: Path | None) -> None:
    """Make VERSION the champion, whatever the evidence; its first characters are enough.

    The champion before stays on as its shadow for a while, and comes back if it proves better.
    """
    _say(json_file, lambda events: [promoted(events, version, model)], because)


@models.command()
@_VERSION
@_MODEL
@_BECAUSE
@json_option
def reject(version: str, model: str | None, because: str, json_file: Path | None) -> None:
    """Say that VERSION is not to be used; its first characters are enough."""
    _say(json_file, lambda events: [rejected(events, version, model)], because)


@models.command()
@_MODEL
@_BECAUSE
@json_option
def rollback(model: str | None, because: str, json_file: Path | None) -> None:
    """Make the champion before the champion again, and reject the one that replaced it."""
    _say(json_file, lambda events: rolled_back(events, model), because)


def promoted(events: list[ModelEvent], version: str, model: str | None) -> ModelEvent:
    """The version as champion. Raises `Misconfigured` when it is unknown, or champion already."""
    chosen = _chosen(events, version, model)
    now = _champion(events, chosen.model)
    if now is not None and now.version == chosen.version:
        raise Misconfigured(f"{chosen.model} {chosen.version} is the champion already")
    return replace(chosen, stage="champion", previous_version=now and now.version)


def rejected(events: list[ModelEvent], version: str, model: str | None) -> ModelEvent:
    """The version as rejected. Raises `Misconfigured` when it is unknown, the champion, or rejected already."""
    chosen = _chosen(events, version, model)
    now = _champion(events, chosen.model)
    if now is not None and now.version == chosen.version:
        raise Misconfigured(
            f"{chosen.model} {chosen.version} is the champion: `catseye models rollback` puts the one before in its "
            "place, `catseye models promote VERSION` another"
        )
    if chosen.stage == "rejected":
        raise Misconfigured(f"{chosen.model} {chosen.version} is rejected already")
    return replace(chosen, stage="rejected", previous_version=None)


def rolled_back(events: list[ModelEvent], model: str | None) -> list[ModelEvent]:
    """The champion before as champion, and the champion as rejected.

    Raises:
        Misconfigured: there is none before, or there are several models.
    """
    names = sorted({event.model for event in events if event.stage == "champion"})
    if model is None and len(names) > 1:
        raise Misconfigured(f"there are several models ({', '.join(names)}): name one with --model")
    name = model or (names[0] if names else "")
    now = _champion(events, name)
    if now is None:
        raise Misconfigured(f"{name or 'the register'} has no champion: there is nothing to roll back")
    newest = {event.version: event for event in events if event.model == name}
    before = [
        newest[event.version]
        for event in events
        if event.model == name and event.stage == "champion" and event.version != now.version and not event.cameras
    ]
    standing = [event for event in before if event.stage != "rejected"]
    if not standing:
        raise Misconfigured(
            f"{name} {now.version} has no champion before it that was not rejected: promote another one"
        )
    return [
        replace(standing[-1], stage="champion", previous_version=now.version),
        replace(newest[now.version], stage="rejected", previous_version=None),
    ]


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


def _chosen(events: list[ModelEvent], version: str, model: str | None) -> ModelEvent:
    """The newest event of the one version that *version* begins. Raises `Misconfigured` for none or several."""
    newest = {(event.model, event.version): event for event in events if model in (None, event.model)}
    exact = [event for event in newest.values() if event.version == version]
    found = exact or [
        event for event in newest.values() if len(version) >= _AT_LEAST and event.version.startswith(version)
    ]
    if not found:
        raise Misconfigured(f"no version begins with {version}; `catseye models list` shows them")
    if len(found) > 1:
        raise Misconfigured(f"{len(found)} versions begin with {version}: give more of it, or --model")
    return found[0]


def _champion(events: list[ModelEvent], model: str) -> ModelEvent | None:
    """The newest event that made a version champion of all cameras."""
    made = [event for event in events if event.model == model and event.stage == "champion" and not event.cameras]
    return made[-1] if made else None


def serving(settings: Settings) -> ModelEvent | None:
    """Who predicts the cameras that have no canary of their own; None for nobody."""
    stages = Stages()
    with subscribe("models", from_="beginning", until_end=True, settings=settings) as events:
        for event in events:
            stages.on_event(event)
    return stages.serving("champion").everywhere


def _say(json_file: Path | None, choose: Callable[[list[ModelEvent]], list[ModelEvent]], because: str) -> None:
    """Write what *choose* makes of the register so far, as this person's word."""
    settings, by = settings_with_broker(), getpass.getuser()
    if by == _SERVICE:
        raise Misconfigured(f"the user {_SERVICE} is the service itself: call this as a person")
    with subscribe("models", from_="beginning", until_end=True, settings=settings) as events:
        known = list(events)
    said = [spoken(event, known[-1].event_id, by, because, clock.now_ms()) for event in choose(known)]
    for event in said:
        announce(settings, codec_for(settings), event)
    if not write_json(json_file, {"models": [_row(event, None) | {"stage": event.stage} for event in said]}):
        for event in said:
            click.echo(f"{event.model} {event.version} is {event.stage}")


def _with_what_runs_models() -> Callable[..., ModelEvent]:
    """What registers a file. Raises `Misconfigured` where the packages that look into one are not installed."""
    try:
        from catseye.models.register import register  # noqa: PLC0415 - the other commands do without these packages
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"a model file is looked into before it is signed, which needs the package {missing.name}: "
            "`pip install '.[models]'` in the folder of Catseye's sources installs it"
        ) from missing
    return register


def _tell(json_file: Path | None, event: ModelEvent) -> None:
    """Say what a file is now, and what is to be done where it does not predict yet."""
    said = {"model": event.model, "version": event.version, "stage": event.stage, "sha256": event.sha256}
    if write_json(json_file, said):
        return
    then = f"; it predicts once rollout finds it better, or after `catseye models promote {event.version}`"
    click.echo(f"{event.model} {event.version} is {event.stage}{'' if event.stage == 'champion' else then}")


def spoken(event: ModelEvent, after: str, by: str, because: str, at_ms: int) -> ModelEvent:
    """A person's word; its id is made of what it says and of the newest event that this person could see."""
    return replace(
        event,
        event_id=digest("person", by, event.model, event.version, event.stage, after),
        because=because or "said by hand",
        by=by,
        at_ms=at_ms,
        cameras=[],
        metrics={},
    )


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
        "metrics": event.metrics,
    }
