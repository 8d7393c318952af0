"""`catseye publish` and `catseye label`: the SDK by hand."""

import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import click

from catseye.cli.common import CAMERA, Name, is_address, json_option, settings_with_broker, write_json
from catseye.cli.stopping import Stopping
from catseye.client import FrameId, Publisher
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.masking import masked
from catseye.contract.names import boot_of, camera_of, shown

_SUFFIXES = frozenset({".jpg", ".jpeg"})
_START = b"\xff\xd8"  # of every JPEG
_STOPPED_FLUSH_S = 8.0  # `docker stop` kills after 10 s


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH|VIDEO|rtsp://…")
@click.option("--camera", type=CAMERA, required=True, help="Name of the camera.")
@click.option("--explain", is_flag=True, help="Ask for a class activation map with each prediction.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), help="Of a video: at most so many frames a second.")
@click.option("--fast", is_flag=True, help="Of a video file: all at once, not at its own pace.")
@json_option
def publish(
    sources: tuple[str, ...], camera: str, explain: bool, fps: float | None, fast: bool, json_file: Path | None
) -> None:
    """Publish JPEG files, those in folders in the order of their names, videos and live streams.

    Prints each frame's name once the broker has it. A stream is published until Ctrl-C or SIGTERM: where it ends or
    fails, it is opened anew. What cannot be published is listed at the end, and the rest is sent all the same. Frames
    of a video that are damaged are not sent.
    """
    sending = _Sending(fps=fps, fast=fast, explain=explain, listed=json_file is not None, printed=str(json_file) != "-")
    pictures = [each for source in sources for each in _pictures(source)]
    with Stopping() as sending.stop:
        try:
            _send_all(sending, pictures, Publisher(settings_with_broker(), camera=camera))
        finally:
            if sending.begun:
                dropped = {"damaged": sending.damaged, "late": sending.late}
                frames = [str(name) for name in sending.names]
                write_json(json_file, {"published": len(frames), "frames": frames, "dropped": dropped})
    for line in sending.odd:
        click.echo(f"not published: {shown(masked(line))}", err=True)
    if sending.odd:
        click.echo(f"{len(sending.odd)} of {len(pictures)} could not be published; the rest was sent", err=True)
    if sending.odd or sending.unsent:
        sys.exit(1)


@dataclass
class _Sending:
    """One call of `publish`, as far as it came.

    Attributes:
        listed: Whether names are kept: a stream has many.
        printed: Whether each name is printed.
        names: Frames that the broker has.
        odd: A sentence for each source that was not sent, or not all of it.
        damaged: Frames of videos that were not sent for that.
        late: Frames of streams for which there was no room.
        begun: Whether anything was tried.
        unsent: Files that were not sent, or not to their end, because the command was asked to stop.
    """

    fps: float | None
    fast: bool
    explain: bool
    listed: bool
    printed: bool
    stop: threading.Event = field(default_factory=threading.Event)
    names: list[FrameId] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    damaged: int = 0
    late: int = 0
    begun: bool = False
    unsent: int = 0


def _send_all(sending: _Sending, pictures: list[str], publisher: Publisher) -> None:
    """Send each source, and return when the broker has it all. Raises as `Publisher.flush`."""
    sending.begun = True
    with publisher:
        for picture in pictures:
            if sending.stop.is_set():
                sending.unsent += not is_address(picture)
                continue
            try:
                _send(sending, picture, publisher)
            except BadRecord as fault:
                sending.odd.append(f"{picture}: {fault}")
            except (Misconfigured, OSError) as fault:
                sending.odd.append(str(fault) if masked(picture) in str(fault) else f"{picture}: {fault}")
        if sending.stop.is_set():
            click.echo("stopped", err=True)  # as live streams are; what was sent is still waited for
            publisher.flush(_STOPPED_FLUSH_S)


def _send(sending: _Sending, picture: str, publisher: Publisher) -> None:
    """Send a JPEG, or each frame of a video. Raises `BadRecord`, `Misconfigured`, `OSError`."""

    def acknowledged(frame: FrameId) -> None:
        if sending.listed:
            sending.names.append(frame)
        if sending.printed:
            click.echo(f"{frame}\t{shown(masked(picture))}")

    if _is_jpeg(picture):
        publisher.publish(Path(picture).read_bytes(), explain=sending.explain, on_acknowledged=acknowledged)
        return
    try:
        from catseye.cli.video import frames  # noqa: PLC0415 - the SDK by itself does without these packages
        from catseye.video.stream import Source  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"{picture} is no JPEG, and videos need the package {missing.name}: `pip install '.[video]'` in the folder "
            "of Catseye's sources installs it"
        ) from missing
    source = Source(picture, on_event=lambda line: click.echo(masked(line), err=True))
    try:
        for frame in frames(source, fps=sending.fps, fast=sending.fast, stop=sending.stop):
            publisher.publish(
                frame.jpeg,
                captured_at_ms=frame.captured_at_ms,
                explain=sending.explain,
                on_acknowledged=acknowledged,
            )
    finally:
        sending.damaged += source.dropped.damaged
        sending.late += source.dropped.late
        sending.unsent += sending.stop.is_set() and not source.live
    _report_dropped(sending, source.dropped.damaged, source.dropped.late, picture, live=source.live)


def _report_dropped(sending: _Sending, damaged: int, late: int, picture: str, *, live: bool) -> None:
    """A damaged file is not sent whole, which is a fault of it; a camera's stream has such moments."""
    if damaged and not live:
        sending.odd.append(f"{picture}: {damaged} of its frames are damaged; the others were sent")
    elif damaged or late:
        click.echo(f"{masked(picture)}: {damaged} frames were damaged, {late} came too fast; not sent", err=True)


@click.command()
@click.argument("camera", type=CAMERA)
@click.argument("frame")
@click.argument("class_", metavar="[CLASS]", type=Name("label"), required=False)
@click.option("--withdraw", is_flag=True, help="Withdraw the label given before, instead of a CLASS.")
@click.option(
    "--source",
    type=Name("source"),
    default="person",
    show_default=True,
    help="Who labelled: person, sensor, audit or other.",
)
@click.option(
    "--propensity", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Chance that this frame was chosen."
)
@click.option("--strict", is_flag=True, help="Refuse what would be warned of: no such frame, no such class.")
@json_option
def label(
    camera: str,
    frame: str,
    class_: str | None,
    withdraw: bool,
    source: str,
    propensity: float,
    strict: bool,
    json_file: Path | None,
) -> None:
    """Say that FRAME of CAMERA showed a CLASS.

    FRAME is boot/sequence, or the whole camera/boot/sequence as `publish` prints it. A frame of which no prediction is
    kept, and a class that its model does not know, are warned of on standard error: the label is sent all the same,
    since it may be there before its frame, or teach the next model.
    """
    if withdraw == (class_ is not None):
        raise click.UsageError("give either a CLASS or --withdraw")
    name = FrameId.parse(frame if frame.count("/") > 1 else f"{camera}/{frame}")
    if camera_of(name.camera) != camera:
        raise BadRecord(Reason.FIELD_OUT_OF_RANGE, f"{frame} is a frame of {name.camera}, not of {camera}")
    name = FrameId(camera, boot_of(name.boot), name.sequence)
    settings = settings_with_broker()
    from catseye.cli.doubts import doubts_of  # noqa: PLC0415 - it reads a topic: help needs none of that

    for doubt in doubts_of(settings, name, class_):
        if strict:
            raise click.ClickException(f"not sent: {doubt}")
        click.echo(f"warning: {doubt}", err=True)
    with Publisher(settings) as publisher:
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


def _is_jpeg(source: str) -> bool:
    """Whether it is a picture, whatever is wrong with it, and no video. Raises `OSError`."""
    if is_address(source):
        return False
    if Path(source).suffix.lower() in _SUFFIXES:
        return True
    with Path(source).open("rb") as file:
        return file.read(len(_START)) == _START
