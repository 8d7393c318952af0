"""`catseye roadside`: from a camera's stream to vehicles, each once."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from catseye.cli.common import CAMERA, OutFile, json_option, write_file, write_json
from catseye.cli.stopping import Stopping
from catseye.contract.errors import Misconfigured
from catseye.contract.masking import masked

if TYPE_CHECKING:
    from catseye.cli.roadside_outlet import Outlet
    from catseye.roads.config import Point, RoadConfig
    from catseye.roads.road import Finder, Road, Vehicle
    from catseye.video.messages import Count
    from catseye.video.picture import Picture
    from catseye.video.stream import Source

_PROGRESS_S: Final = 10.0
_HELD_WIDTH: Final = 960  # of pictures of the first seconds, whose memory is bounded so
_TRAILS: Final = 20  # vehicles whose ways are drawn, the newest


@click.command()
@click.argument("source")
@click.option("--camera", type=CAMERA, required=True, help="Name of the camera.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML of the camera's road: region, lines, sizes, views, view_every_s, pictures_per_s, detector.",
)
@click.option(
    "--detector",
    "detector_file",
    type=click.Path(path_type=Path),
    help="ONNX file of a detector of your own, in place of motion; its other settings are in --config.",
)
@click.option("--draw", "drawing", type=OutFile(), help="Write a picture of the road, region, lines and ways here.")
@click.option("--dry-run", is_flag=True, help="Count only: nothing is published, and no Kafka is needed.")
@click.option(
    "--ring",
    "ring_folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of what Kafka does not have yet; left out, rings/ in the data folder.",
)
@click.option(
    "--ring-mib",
    type=click.IntRange(16, 1_000_000),
    default=256,
    show_default=True,
    help="Room for it on disk, MiB; the oldest vehicles are dropped, and counted, when there is no more.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65_535),
    help="Port of /live, /ready and /metrics; 0 takes a free one; left out, none.",
)
@click.option("--health-host", default="127.0.0.1", show_default=True, help="Address that they listen on.")
@json_option
def roadside(
    source: str,
    camera: str,
    config_file: Path | None,
    detector_file: Path | None,
    drawing: Path | None,
    dry_run: bool,
    ring_folder: Path | None,
    ring_mib: int,
    health_port: int | None,
    health_host: str,
    json_file: Path | None,
) -> None:
    """Publish the vehicles of SOURCE, a video file or a stream of a whole road, each with its best views.

    What moves in front of the fixed camera is followed; what drove by is published as frames that share a track, and
    every few seconds the whole picture, by which the camera is watched when nobody drives by. Prints a line for each
    vehicle. A stream is followed until Ctrl-C or SIGTERM: where it ends or fails, it is opened anew.

    What is to be published lies on disk until Kafka has it, also while Kafka is away or this process is not there: the
    next one of this camera sends it first, under its names.

    Exit status: 0 all is done; 1 something waits on disk, or could not be published; 2 wrongly called.
    """
    try:
        from catseye.video.stream import Source  # noqa: PLC0415 - the SDK by itself does without these packages
    except ModuleNotFoundError as missing:
        raise _video_packages(missing) from missing
    config = _config(config_file)
    detector = _detector(config, config_file, detector_file)
    video = Source(
        source, on_event=lambda line: click.echo(masked(line), err=True), pictures_per_s=config.pictures_per_s
    )
    with ExitStack() as ends:
        outlet = None if dry_run else ends.enter_context(_outlet(camera, ring_folder, ring_mib))
        followed = _Followed(config, outlet, drawing, quiet=str(json_file) == "-")
        if health_port is not None:
            _serve_health(followed, video, health_host, health_port)
        stop = ends.enter_context(Stopping())
        try:
            _follow(video, stop, followed, detector)
            waiting = 0 if outlet is None else outlet.finish(stopped=stop.is_set())
        finally:
            followed.draw()
            write_json(json_file, followed.content(video.dropped))
    if waiting:
        sys.exit(1)


def _outlet(camera: str, ring_folder: Path | None, ring_mib: int) -> Outlet:
    from catseye.cli.roadside_outlet import Outlet  # noqa: PLC0415 - a dry run needs no Kafka

    return Outlet(camera, ring_folder, ring_mib)


def _serve_health(followed: _Followed, video: Source, host: str, port: int) -> None:
    """Raises `Misconfigured`."""
    try:
        from catseye.cli.roadside_health import Figures, serve  # noqa: PLC0415 - as `_outlet`
    except ModuleNotFoundError as missing:
        raise _video_packages(missing) from missing
    figures = Figures(lambda: followed.counts(video.dropped), followed.ring)
    click.echo(f"health: http://{host}:{serve(figures, host, port)}/ready", err=True)


def _video_packages(missing: ModuleNotFoundError) -> Misconfigured:
    return Misconfigured(
        f"videos need the package {missing.name}: `pip install '.[video]'` in the folder of Catseye's sources "
        "installs it"
    )


def _config(file: Path | None) -> RoadConfig:
    """What *file* says of the road. Raises `Misconfigured`."""
    from catseye.roads.config import RoadConfig, parsed  # noqa: PLC0415 - help comes at once

    if file is None:
        return RoadConfig()
    try:
        import yaml  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise _video_packages(missing) from missing
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise Misconfigured(f"{file} is no YAML that can be read: {' '.join(str(fault).split())}") from fault
    return parsed(content, str(file))


def _detector(config: RoadConfig, config_file: Path | None, file: Path | None) -> Finder | None:
    """The one that is named, loaded and checked; None for motion. Raises `Misconfigured`."""
    from catseye.roads.config import DetectorConfig  # noqa: PLC0415 - as in `_config`

    settings = config.detector
    if file is not None:
        settings = replace(settings, file=str(file)) if settings else DetectorConfig(str(file))
    elif settings is not None and config_file is not None:
        settings = replace(settings, file=str(config_file.parent / settings.file))
    if settings is None:
        return None
    try:
        from catseye.roads.detector import Detector  # noqa: PLC0415

        return Detector(Path(settings.file).read_bytes(), settings)
    except OSError as fault:
        raise Misconfigured(f"the detector {settings.file} cannot be read: {fault.strerror}") from fault
    except ModuleNotFoundError as missing:
        raise _video_packages(missing) from missing


class _Followed:
    """What comes of a source: counted, published, drawn.

    Args:
        config: Of the road.
        outlet: Publishes; None for a dry run.
        drawing: File of a picture of it; None for none.
        quiet: Print nothing.
    """

    def __init__(self, config: RoadConfig, outlet: Outlet | None, drawing: Path | None, *, quiet: bool) -> None:
        self.config = config
        self._outlet = outlet
        self._drawing = drawing
        self._quiet = quiet
        self._ways: dict[int, list[Point]] = {}
        self._trails: deque[tuple[str, list[Point]]] = deque(maxlen=_TRAILS)
        self._shown: tuple[bytes, list[Any]] | None = None
        self._shown_s = self._view_s = float("-inf")
        self._began_s = self._reported_s = time.monotonic()
        self._reported = 0
        self._lines: Counter[str] = Counter()
        self.pictures = 0
        self.views = 0
        self.tracks: list[dict[str, Any]] = []

    def opened(self) -> None:
        """A stream begins: its clock, and the names of what is followed."""
        self._view_s = self._shown_s = float("-inf")
        self._ways.clear()

    def picture(self, picture: Picture, road: Road, dropped: Count) -> None:
        """One that was inspected."""
        self.pictures += 1
        if self.config.view_every_s and picture.at_s - self._view_s >= self.config.view_every_s - 1e-3:
            self._view_s = picture.at_s
            self.views += 1
            if self._outlet is not None:
                self._outlet.send_view(picture)
        if self._drawing is not None:
            for track in road.now:
                self._ways.setdefault(track.number, []).append(track.box.centre)
            if picture.at_s - self._shown_s >= 1.0:
                self._shown, self._shown_s = (picture.jpeg(), [track.box for track in road.now]), picture.at_s
        self._progress(dropped)

    def vehicles(self, found: list[Vehicle]) -> None:
        """These have gone."""
        for vehicle in found:
            track, number = vehicle.track, len(self.tracks) + 1
            first, last = track.first_picture, track.last_picture
            entry: dict[str, Any] = {
                "track": str(number),
                "first_picture": first,
                "last_picture": last,
                "direction": track.direction,
            }
            self.tracks.append(entry)
            if self.config.lines:
                entry["line"] = vehicle.line
            if vehicle.line is not None:
                self._lines[vehicle.line] += 1
            if self._outlet is not None:
                self._outlet.send(number, vehicle)
            if way := self._ways.pop(track.number, []):
                self._trails.append((str(number), way))
            if not self._quiet:
                crossed = f"\tline {vehicle.line}" if vehicle.line is not None else ""
                views = f"{len(vehicle.views)} views"
                click.echo(f"{number}\t{track.direction}\tpictures {first} to {last}\t{views}{crossed}")
        if found:
            self.draw()

    def draw(self) -> None:
        """Write the picture of the road, if one is wanted and was seen."""
        from catseye.roads.drawing import drawn  # noqa: PLC0415 - as in `_config`

        if self._drawing is not None and self._shown is not None:
            jpeg, boxes = self._shown
            write_file(self._drawing, drawn(jpeg, self.config, boxes, dict(self._trails)))

    def _progress(self, dropped: Count) -> None:
        """Say now and then how it goes."""
        now_s = time.monotonic()
        if self._quiet or now_s - self._reported_s < _PROGRESS_S:
            return
        rate = (self.pictures - self._reported) / (now_s - self._reported_s)
        self._reported, self._reported_s = self.pictures, now_s
        click.echo(
            f"{now_s - self._began_s:.0f} s: {rate:.1f} pictures/s, {len(self.tracks)} vehicles, {self.views} views, "
            f"{dropped.damaged + dropped.late} pictures dropped" + (self._outlet.progress if self._outlet else ""),
            err=True,
        )

    def counts(self, dropped: Count) -> dict[str, int]:
        """As metrics have it, by name."""
        return {
            "pictures": self.pictures + dropped.thinned,
            "vehicles": len(self.tracks),
            "views": self.views,
            "pictures_dropped": dropped.damaged + dropped.late,
        }

    @property
    def ring(self) -> Callable[[], tuple[int, dict[str, int]]] | None:
        """What waits on disk and what was dropped there; None where nothing is published."""
        return self._outlet.on_disk if self._outlet is not None else None

    def content(self, dropped: Count) -> dict[str, Any]:
        """What `--json` writes; `pictures` are all of the source that were whole."""
        directions = [track["direction"] for track in self.tracks]
        content: dict[str, Any] = {
            "pictures": self.pictures + dropped.thinned,
            "vehicles": len(self.tracks),
            "views": self.views,
            "dropped": dropped.damaged + dropped.late,
            "by_direction": {each: directions.count(each) for each in sorted(set(directions))},
            "tracks": self.tracks,
        }
        if self._outlet is not None:
            content["ring"] = self._outlet.content
        return content | ({"by_line": dict(sorted(self._lines.items()))} if self.config.lines else {})


def _follow(video: Any, stop: Stopping, followed: _Followed, detector: Finder | None) -> None:
    """Until the source ends or somebody asks. Raises `VideoFault`."""
    from catseye.roads.boxes import Box  # noqa: PLC0415
    from catseye.roads.road import Road  # noqa: PLC0415

    def crop(picture: Any, box: Box) -> bytes:
        left, top = int(box.left * picture.width), int(box.top * picture.height)
        right, bottom = round(box.right * picture.width), round(box.bottom * picture.height)
        made: bytes = picture.jpeg((left, top, max(2, right - left), max(2, bottom - top)))
        return made

    def begun() -> Road:
        return Road(crop, config, detector, keep=lambda picture: cast("Picture", picture).smaller(_HELD_WIDTH))

    config = followed.config
    road, opening, shape = begun(), 1, None
    for picture in video.pictures(stop):
        # After a gap or a change of its size nothing is where it was.
        if video.openings != opening or (shape is not None and picture.luma.shape != shape):
            followed.vehicles(road.end())
            road, opening = begun(), video.openings
            followed.opened()
        shape = picture.luma.shape
        gone = road.take(picture, followed.pictures + video.dropped.thinned)
        followed.picture(picture, road, video.dropped)
        followed.vehicles(gone)
    followed.vehicles(road.end())
