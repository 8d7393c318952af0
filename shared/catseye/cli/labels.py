"""`catseye labels`: the labels that hold now, in one file, for other programs or for a look by others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catseye.cli.common import (
    CAMERA,
    OutFile,
    csv_text,
    json_option,
    records_of,
    settings_with_broker,
    write_file,
    write_json,
)
from catseye.contract.errors import BadRecord, Misconfigured

if TYPE_CHECKING:
    from catseye.contract.records import AcceptedFrame, Outcome
    from catseye.settings import Settings

_WAIT_S = 3.0


@click.command()
@click.argument("file", type=OutFile())
@click.option(
    "--as",
    "form",
    type=click.Choice(("csv", "coco", "label-studio")),
    default="csv",
    show_default=True,
    help="What `catseye label --from-csv`, `--from-coco` and `--from-label-studio` read.",
)
@click.option("--camera", type=CAMERA, help="Of this camera only.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the pictures too, below this folder: CAMERA/BOOT/SEQUENCE.jpg.",
)
@json_option
def labels(file: Path, form: str, camera: str | None, pictures: Path | None, json_file: Path | None) -> None:
    """Write the labels that hold now into FILE: of frames that were predicted, the newest label of each.

    A file that comes back with other classes is a file of corrections: a later label of a frame replaces the earlier
    one.
    """
    settings = settings_with_broker()
    from catseye.cli.label_formats import WRITERS, Known, lines  # noqa: PLC0415 - help needs none of it

    held = holding(records_of(settings, "outcomes", camera=camera))
    frames = _frames(settings, held) if pictures is not None else ((outcome, None) for outcome in held)
    known, written = list[Known](), 0
    for outcome, frame in frames:
        size = None if frame is None else (frame.width, frame.height)
        known.append(Known(_labelled(outcome), outcome.predicted, size))
        if pictures is not None and frame is not None:
            _keep(pictures, known[-1], frame.jpeg)
            written += 1
    if form == "csv":
        content = csv_text(("frame", "label", "source", "propensity"), lines(known)).encode()
    else:
        content = WRITERS[form](known)
    write_file(file, content)
    gone = len(known) - written if pictures is not None else 0
    if not write_json(json_file, {"labels": len(known), "pictures": written, "pictures_gone": gone}):
        click.echo(f"{len(known)} labels are in {file}")
        if pictures is not None:
            click.echo(f"{written} pictures are in {pictures}; {gone} frames are not kept any more")


def holding(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The newest outcome of each frame that has a label, in the order in which frames were first labelled."""
    newest: dict[tuple[str, str, int], Outcome] = {}
    for outcome in outcomes:
        newest[outcome.camera, outcome.boot, outcome.sequence] = outcome
    return [outcome for outcome in newest.values() if outcome.label is not None]


def _labelled(outcome: Outcome) -> Any:
    from catseye.cli.label_file import Labelled  # noqa: PLC0415 - as above
    from catseye.client import FrameId  # noqa: PLC0415 - as above

    assert outcome.label is not None, "only outcomes that hold are written"
    name = FrameId(outcome.camera, outcome.boot, outcome.sequence)
    return Labelled(name, outcome.label, outcome.source, outcome.propensity)


def _frames(settings: Settings, outcomes: Iterable[Outcome]) -> Iterator[tuple[Outcome, AcceptedFrame | None]]:
    """Each with its frame; None where that is not kept any more."""
    from confluent_kafka import Consumer, TopicPartition  # noqa: PLC0415 - as above

    from catseye.contract.records import AcceptedFrame  # noqa: PLC0415 - as above
    from catseye.contract.topics import full_name  # noqa: PLC0415 - as above
    from catseye.kafka.clients import SILENT, reader_config  # noqa: PLC0415 - as above
    from catseye.kafka.reading import message_at  # noqa: PLC0415 - as above
    from catseye.kafka.registry import codec_for  # noqa: PLC0415 - as above

    codec, topic = codec_for(settings), full_name("frames.accepted", settings.topic_prefix)
    consumer = Consumer(reader_config(settings, f"{settings.topic_prefix}labels") | SILENT | {"fetch.wait.max.ms": 20})
    try:
        for outcome in outcomes:
            place = TopicPartition(topic, outcome.frame_partition, outcome.frame_offset)
            message: Any = message_at(consumer, place, _WAIT_S)
            try:
                yield outcome, None if message is None else codec.decode(message.value(), AcceptedFrame)
            except BadRecord:
                yield outcome, None
    finally:
        consumer.close()


def _keep(folder: Path, known: Any, jpeg: bytes) -> None:
    from catseye.cli.label_formats import picture_name  # noqa: PLC0415 - as above

    path = folder / picture_name(known.labelled)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Misconfigured(f"{path} is not below {folder}: a camera is called so that its path leads elsewhere")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
    except OSError as fault:
        raise Misconfigured(f"{path} cannot be written: {fault.strerror}") from fault
