"""`catseye publish` and `catseye label`: the SDK by hand."""

from pathlib import Path

import click

from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.client import FrameId, Publisher
from catseye.errors import BadRecord, Misconfigured, Reason

_SUFFIXES = frozenset({".jpg", ".jpeg"})


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…")
@click.option("--camera", required=True, help="Name of the camera.")
@click.option("--explain", is_flag=True, help="Ask for a class activation map with each prediction.")
@json_option
def publish(paths: tuple[Path, ...], camera: str, explain: bool, json_file: Path | None) -> None:
    """Publish JPEG files, and those in folders, in the order of their names; print each frame's name.

    Done when the broker has acknowledged all of them.
    """
    pictures = [picture for path in paths for picture in _pictures(path)]
    frames: list[FrameId] = []
    with Publisher(settings_with_broker(), camera=camera) as publisher:
        for picture in pictures:
            try:
                frames.append(publisher.publish(picture.read_bytes(), explain=explain))
            except BadRecord as fault:
                raise BadRecord(fault.reason, f"{picture}: {fault.detail}") from fault
    if not write_json(json_file, {"published": len(frames), "frames": [str(frame) for frame in frames]}):
        for frame, picture in zip(frames, pictures, strict=True):
            click.echo(f"{frame}\t{picture}")


@click.command()
@click.argument("camera")
@click.argument("frame")
@click.argument("class_", metavar="[CLASS]", required=False)
@click.option("--withdraw", is_flag=True, help="Take back what was said before, instead of a CLASS.")
@click.option("--source", default="person", show_default=True, help="Who says so: person, sensor, audit or other.")
@click.option(
    "--propensity", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Chance that this frame was chosen."
)
@json_option
def label(
    camera: str, frame: str, class_: str | None, withdraw: bool, source: str, propensity: float, json_file: Path | None
) -> None:
    """Say that FRAME of CAMERA showed a CLASS.

    FRAME is boot/sequence, or the whole camera/boot/sequence as `publish` prints it.
    """
    if withdraw == (class_ is not None):
        raise click.UsageError("give either a CLASS or --withdraw")
    name = FrameId.parse(frame if frame.count("/") > 1 else f"{camera}/{frame}")
    if name.camera != camera:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{frame} is a frame of {name.camera}, not of {camera}")
    with Publisher(settings_with_broker()) as publisher:
        publisher.label(*name, class_, source=source, propensity=propensity)
    if not write_json(json_file, {"frame": str(name), "label": class_}):
        click.echo(f"{name}\t{'withdrawn' if class_ is None else class_}")


def _pictures(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in _SUFFIXES)
    if not found:
        raise Misconfigured(f"there is no JPEG in {path}")
    return found
