"""`catseye publish`: the SDK by hand."""

import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click

from catseye.cli.awaiting import Awaiting
from catseye.cli.common import CAMERA, is_address, json_option, settings_with_broker, write_json
from catseye.cli.stopping import Stopping
from catseye.client import FrameId, Publisher
from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.masking import masked
from catseye.contract.names import label_of, shown
from catseye.contract.records import Prediction

_SUFFIXES = frozenset({".jpg", ".jpeg"})
_START = b"\xff\xd8"  # of every JPEG
_STOPPED_FLUSH_S = 8.0  # `docker stop` kills after 10 s


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="PATH|VIDEO|rtsp://…")
@click.option("--camera", type=CAMERA, required=True, help="Name of the camera.")
@click.option("--explain", is_flag=True, help="Ask for a class activation map with each prediction.")
@click.option("--fps", type=click.FloatRange(0, min_open=True), help="Of a video: at most so many frames a second.")
@click.option("--fast", is_flag=True, help="Of a video file: all at once, not at its own pace.")
@click.option("--label-by-folder", is_flag=True, help="Label each JPEG with the name of the folder it lies in.")
@click.option("--wait", is_flag=True, help="Print predictions as they come, until each frame has one.")
@click.option(
    "--timeout",
    "quiet_s",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="With --wait: give up after so many seconds without a prediction.",
)
@json_option
def publish(
    sources: tuple[str, ...],
    camera: str,
    explain: bool,
    fps: float | None,
    fast: bool,
    label_by_folder: bool,
    wait: bool,
    quiet_s: float,
    json_file: Path | None,
) -> None:
    """Publish JPEG files, those in folders in the order of their names, videos and live streams.

    Prints each frame's name once the broker has it; with --wait its prediction once that is there. A stream is
    published until Ctrl-C or SIGTERM: where it ends or fails, it is opened anew. What cannot be published is listed at
    the end, and the rest is sent all the same. Frames of a video that are damaged are not sent.

    Exit status: 0 the broker has all frames, and with --wait each has a prediction; 1 not all; 2 wrongly called.
    """
    printed = str(json_file) != "-"
    sending = _Sending(
        fps=fps,
        fast=fast,
        explain=explain,
        listed=wait or json_file is not None,
        printed=printed and not wait,
        by_folder=label_by_folder,
    )
    pictures = [each for source in sources for each in _pictures(source)]
    if label_by_folder:
        _check_folders(pictures)
    settings = settings_with_broker()
    with ExitStack() as ends:
        sending.stop = ends.enter_context(Stopping())
        awaiting = ends.enter_context(Awaiting(settings, camera, partial(_print, sending, printed))) if wait else None
        try:
            _send_all(sending, pictures, Publisher(settings, camera=camera))
            if awaiting is not None:
                sending.unanswered = awaiting.until_all(set(sending.names), quiet_s, sending.stop)
        finally:
            if sending.begun:
                write_json(json_file, _content(sending, awaiting))
    _report(sending, awaiting, len(pictures), quiet_s)


def _report(sending: "_Sending", awaiting: Awaiting | None, pictures: int, quiet_s: float) -> None:
    """Say on standard error what was not published, or not predicted; then exit with status 1."""
    for line in sending.odd:
        click.echo(f"not published: {shown(masked(line))}", err=True)
    if sending.odd:
        rest = "" if sending.unsent or len(sending.odd) >= pictures else "; the rest was sent"
        click.echo(f"{len(sending.odd)} of {pictures} could not be published{rest}", err=True)
    refused = awaiting.refused if awaiting is not None else {}
    ours = set(sending.names)
    for frame, reason in refused.items():
        if frame in ours:
            click.echo(f"refused: {frame}\t{shown(masked(sending.sources[frame]))}\t{shown(reason)}", err=True)
    if sending.unanswered:
        click.echo(
            f"{len(sending.unanswered)} of {len(sending.names)} frames have no prediction, and none came for "
            f"{quiet_s:g} s; they keep their place, and `catseye watch predictions` shows them later. `catseye doctor` "
            "names the service that does not answer",
            err=True,
        )
    if sending.odd or sending.unsent or sending.unanswered or ours & refused.keys():
        sys.exit(1)


def _content(sending: "_Sending", awaiting: Awaiting | None) -> dict[str, Any]:
    """The object of `--json`."""
    frames = [str(name) for name in sending.names]
    dropped = {"damaged": sending.damaged, "late": sending.late}
    content: dict[str, Any] = {"published": len(frames), "frames": frames, "dropped": dropped}
    if awaiting is not None:
        found = {name: awaiting.predictions[name] for name in sending.names if name in awaiting.predictions}
        content["predictions"] = [
            {"frame": str(name), "label": each.label, "probability": each.probabilities[each.label]}
            for name, each in found.items()
        ]
        content["refused"] = {str(name): awaiting.refused[name] for name in sending.names if name in awaiting.refused}
    return content


def _print(sending: "_Sending", printed: bool, prediction: Prediction) -> None:
    """A line for the prediction of a frame of this call; once nobody reads them nothing more is sent."""
    frame = FrameId(prediction.camera, prediction.boot, prediction.sequence)
    if printed and frame.boot == sending.boot:
        sure = prediction.probabilities[prediction.label]
        try:
            click.echo(f"{frame}\t{prediction.label} {sure:.1%}\t{shown(masked(sending.source_of(frame)))}")
        except BrokenPipeError:
            sending.unread = True
            sending.stop.set()
            raise


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
        by_folder: Whether each JPEG is labelled with the name of its folder.
        boot: Of the frames of this call.
        sources: What each frame was made of, where names are kept.
        unanswered: Frames whose end was waited for in vain.
        unread: Whether nobody reads what is printed any more, as behind `| head`.
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
    by_folder: bool = False
    boot: str = ""
    sources: dict[FrameId, str] = field(default_factory=dict)
    unanswered: set[FrameId] = field(default_factory=set)
    unread: bool = False

    def source_of(self, frame: FrameId) -> str:
        """What *frame* was made of; a prediction may be there before the broker's word on its frame."""
        return self.sources.get(frame, "")


def _send_all(sending: _Sending, pictures: list[str], publisher: Publisher) -> None:
    """Send each source, and return when the broker has it all. Raises as `Publisher.flush`."""
    sending.begun = True
    sending.boot = publisher.boot
    with publisher:
        for picture in pictures:
            if sending.stop.is_set():
                sending.unsent += not is_address(picture)
                continue
            try:
                _send(sending, picture, publisher)
            except BadRecord as fault:
                sending.odd.append(f"{picture}: {fault}")
            except BrokenPipeError:  # of what is printed, no fault of the picture: click ends the command by it
                raise
            except (Misconfigured, OSError) as fault:
                sending.odd.append(str(fault) if masked(picture) in str(fault) else f"{picture}: {fault}")
        if sending.stop.is_set():
            if not sending.unread:
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
        jpeg = Path(picture).read_bytes()
        frame = publisher.publish(jpeg, explain=sending.explain, on_acknowledged=acknowledged)
        sending.sources[frame] = picture
        if sending.by_folder:
            publisher.label(*frame, label_of(Path(picture).absolute().parent.name))
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
        for shot in frames(source, fps=sending.fps, fast=sending.fast, stop=sending.stop):
            frame = publisher.publish(
                shot.jpeg,
                captured_at_ms=shot.captured_at_ms,
                explain=sending.explain,
                on_acknowledged=acknowledged,
            )
            if sending.listed:
                sending.sources[frame] = picture
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


def _check_folders(pictures: list[str]) -> None:
    """Before anything is sent: each picture is a JPEG in a folder whose name may be a class. Raises `Misconfigured`."""
    for picture in pictures:
        if not _is_jpeg(picture):
            raise Misconfigured(f"--label-by-folder: {masked(picture)} is no JPEG, so its folder is no class")
        try:
            label_of(Path(picture).absolute().parent.name)
        except BadRecord as fault:
            raise Misconfigured(f"--label-by-folder: {picture}: {fault.detail}") from fault


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
