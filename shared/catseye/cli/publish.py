"""`catseye publish` and `catseye label`: the SDK by hand."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from catseye.cli.common import is_address, json_option, settings_with_broker, write_json
from catseye.client import FrameId, Publisher
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.masking import masked

_SUFFIXES = frozenset({".jpg", ".jpeg"})
_START = b"\xff\xd8"  # of every JPEG


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH|VIDEO|rtsp://…")
@click.option("--camera", required=True, help="Name of the camera.")
@click.option("--explain", is_flag=True, help="Ask for a class activation map with each prediction.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), help="Of a video: at most so many frames a second.")
@click.option("--fast", is_flag=True, help="Of a video file: all at once, not at its own pace.")
@json_option
def publish(
    sources: tuple[str, ...], camera: str, explain: bool, fps: float | None, fast: bool, json_file: Path | None
) -> None:
    """Publish JPEG files, those in folders in the order of their names, videos and live streams.

    Prints each frame's name once the broker has it. A stream is published until Ctrl-C. What cannot be published is
    listed at the end, and the rest is sent all the same.
    """
    names: list[str] = []

    def acknowledging(source: str) -> Callable[[FrameId], None]:
        def acknowledged(frame: FrameId) -> None:
            if json_file is not None:
                names.append(str(frame))
            if str(json_file) != "-":
                click.echo(f"{frame}\t{masked(source)}")

        return acknowledged

    pictures = [each for source in sources for each in _pictures(source)]
    odd: list[str] = []
    try:
        with Publisher(settings_with_broker(), camera=camera) as publisher:
            for picture in pictures:
                try:
                    for jpeg in _jpegs(picture, fps=fps, fast=fast):
                        publisher.publish(jpeg, explain=explain, on_acknowledged=acknowledging(picture))
                except BadRecord as fault:
                    odd.append(f"{picture}: {fault}")
                except (Misconfigured, OSError) as fault:
                    odd.append(str(fault) if picture in str(fault) else f"{picture}: {fault}")
                except KeyboardInterrupt:
                    if not is_address(picture):
                        raise
                    click.echo("stopped", err=True)  # as live streams are; what was sent is still waited for
    finally:
        if names:
            write_json(json_file, {"published": len(names), "frames": names})
    if odd:
        for line in odd:
            click.echo(f"not published: {masked(line)}", err=True)
        click.echo(f"{len(odd)} of {len(pictures)} could not be published; the rest was sent", err=True)
        sys.exit(1)


@click.command()
@click.argument("camera")
@click.argument("frame")
@click.argument("class_", metavar="[CLASS]", required=False)
@click.option("--withdraw", is_flag=True, help="Withdraw the label given before, instead of a CLASS.")
@click.option("--source", default="person", show_default=True, help="Who labelled: person, sensor, audit or other.")
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


def _pictures(source: str) -> list[str]:
    """What is to be published, one after the other. Raises `Misconfigured`."""
    if is_address(source):
        return [source]
    path = Path(source)
    if not path.exists():
        raise Misconfigured(f"{source} is not there")
    if path.is_file():
        return [source]
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in _SUFFIXES)
    if not found:
        raise Misconfigured(f"there is no JPEG in {path}")
    return [str(each) for each in found]


def _jpegs(source: str, *, fps: float | None, fast: bool) -> Iterator[bytes]:
    """A picture as it is, whatever is wrong with it; the frames of a video."""
    if not is_address(source):
        with Path(source).open("rb") as file:
            if Path(source).suffix.lower() in _SUFFIXES or file.read(len(_START)) == _START:
                return iter([Path(source).read_bytes()])
    try:
        from catseye.cli.video import jpegs  # noqa: PLC0415 - the SDK by itself does without these packages
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"{source} is no JPEG, and videos need the package {missing.name}: pip install opencv-python-headless "
            "simplejpeg"
        ) from missing
    return jpegs(source, fps=fps, fast=fast)
