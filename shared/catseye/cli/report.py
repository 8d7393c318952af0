"""`catseye report`: a model's card as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from catseye import clock
from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.cli.lineage import Progress, chain_of, history_of
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Unavailable
from catseye.contract.records import AcceptedFrame, Outcome, Place
from catseye.contract.topics import full_name
from catseye.kafka.registry import codec_for
from catseye.models.store import ArtifactStore
from catseye.ops.card.contents import Card, Picture, card_of
from catseye.ops.card.figures import Labelled, Mistake
from catseye.ops.card.file import FileFacts, facts_of
from catseye.ops.card.page import as_html
from catseye.ops.lineage.answer import without_rows
from catseye.ops.lineage.history import version_meant
from catseye.ops.lineage.log_reader import LogReader

if TYPE_CHECKING:
    from catseye.settings import Settings

_OUTCOMES = "outcomes"
_FRAMES = "frames.accepted"


@click.command()
@click.argument("version", metavar="MODEL_VERSION")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The HTML file [default: reports/MODEL-VERSION.html in the data folder]",
)
@json_option
def report(version: str, out: Path | None, json_file: Path | None) -> None:
    """Write the card of MODEL_VERSION as one HTML file; the version's first characters are enough.

    A verdict, classes and input, data, gate, accuracy, confusions and calibration on the labels so far, pictures of
    what it gets wrong, alerts, decisions, lineage, and what is not known. The file needs nothing else: no script, no
    network.
    """
    settings = settings_with_broker()
    with LogReader(settings, codec_for(settings)) as log:
        history = history_of(log)
        model, chosen = version_meant(history.versions(), version)
        chain = chain_of(history, settings, model, chosen)
        with Progress(f"reading {_OUTCOMES}") as progress:
            labelled, unreadable = _labelled(log, model, chosen, progress)
        pictures = pictures_of(log, settings, labelled.mistakes())
    card = card_of(
        history,
        chain,
        labelled.figures(),
        log.unreadable + unreadable,
        clock.now_ms(),
        facts=_facts(settings, chain[0].sha256),
        pictures=pictures,
    )
    file = out or settings.data_dir / "reports" / f"{_file_name(model, chosen)}.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(as_html(card), encoding="utf-8")
    except OSError as fault:
        raise Misconfigured(f"--out: {file} cannot be written: {fault}") from fault
    if not write_json(json_file, as_json(card)):
        click.echo(f"the card of {model} {chosen} is {file}")


def pictures_of(log: LogReader, settings: Settings, mistakes: Sequence[Mistake]) -> list[Picture]:
    """Small pictures of *mistakes*; without one where the frame is gone, or nothing here can look into frames."""
    try:
        from catseye.models.thumbnail import thumbnail  # noqa: PLC0415 - a card can be written without these packages
    except ModuleNotFoundError:
        return [Picture(mistake=each) for each in mistakes]
    topic = full_name(_FRAMES, settings.topic_prefix)
    found = []
    for each in mistakes:
        place = Place(topic=topic, partition=each.partition, offset=each.offset)
        value = log.at([place])[place]
        jpeg = None
        try:
            frame = None if value is None else log.decode(value, AcceptedFrame)
            if frame is not None and (frame.camera, frame.boot, frame.sequence) == (
                each.camera,
                each.boot,
                each.sequence,
            ):
                jpeg = thumbnail(frame.jpeg)
        except BadRecord:
            pass  # it is shown as a frame that is gone
        found.append(Picture(mistake=each, jpeg=jpeg))
    return found


def _facts(settings: Settings, sha256: str) -> FileFacts:
    """What the model file says of itself, if the store has it."""
    store = ArtifactStore(settings.artifacts_url or f"file://{(settings.data_dir / 'artifacts').resolve()}")
    try:
        return facts_of(store.get(sha256))
    except (Unavailable, BadModel) as fault:
        return FileFacts(missing=str(fault))


def as_json(card: Card) -> dict[str, Any]:
    """The card as one JSON object; of manifests all but the rows, which the store has under their hash."""
    content: dict[str, Any] = msgspec.to_builtins(card, builtin_types=(bytes,))
    for link in content["chain"]:
        if link["manifest"] is not None:
            link["manifest"] = without_rows(link["manifest"])
    return content


def _labelled(log: LogReader, model: str, version: str, progress: Progress) -> tuple[Labelled, int]:
    """The outcomes of one version, and the number of unreadable outcomes."""
    labelled, unreadable = Labelled(model, version), 0
    bounds = log.bounds([_OUTCOMES])
    at = {part: first for part, (first, _) in bounds.items()}
    total = sum(end - first for first, end in bounds.values())
    # A version's name stands in its outcomes as it is: those without it need not be decoded.
    name = version.encode()
    for messages, positions in log.read(bounds):
        for message in messages:
            value = message.value()
            if value is None or name not in value:
                continue
            try:
                labelled.on_outcome(log.codec.decode(value, Outcome))
            except BadRecord:
                unreadable += 1  # the card has the number
        at |= positions
        progress.show(total - sum(bounds[part][1] - done for part, done in at.items()), total)
    return labelled, unreadable


def _file_name(model: str, version: str) -> str:
    # Whoever writes to the register chooses the names.
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{model}-{version}").lstrip(".")
