"""`catseye roadside`: from a camera's stream to vehicles, each once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catseye.cli.common import json_option, settings_with_broker, write_json
from catseye.cli.stopping import Stopping
from catseye.contract.errors import Misconfigured
from catseye.contract.masking import masked

if TYPE_CHECKING:
    from catseye.roads.road import Vehicle


@click.command()
@click.argument("source")
@click.option("--camera", required=True, help="Name of the camera.")
@click.option("--dry-run", is_flag=True, help="Count only: nothing is published, and no Kafka is needed.")
@json_option
def roadside(source: str, camera: str, dry_run: bool, json_file: Path | None) -> None:
    """Publish the vehicles of SOURCE, a video file or a stream of a whole road, each with its best views.

    What moves in front of the fixed camera is followed; what drove by is published as frames that share a track. Prints
    a line for each vehicle. A stream is followed until Ctrl-C or SIGTERM: where it ends or fails, it is opened anew.
    """
    try:
        from catseye.video.stream import Source  # noqa: PLC0415 - the SDK by itself does without these packages
    except ModuleNotFoundError as missing:
        raise Misconfigured(
            f"videos need the package {missing.name}: `pip install '.[video]'` in the folder of Catseye's sources "
            "installs it"
        ) from missing
    outlet = None if dry_run else _Outlet(camera)
    video = Source(source, on_event=lambda line: click.echo(masked(line), err=True))
    counted = _Counted(quiet=str(json_file) == "-", outlet=outlet)
    with Stopping() as stop:
        try:
            _follow(video, stop, counted)
            if outlet is not None:
                outlet.publisher.flush()
        finally:
            write_json(json_file, counted.content(video.dropped.damaged + video.dropped.late))


class _Outlet:
    """Publishes vehicles as frames of a camera.

    Args:
        camera: Its name.
    """

    def __init__(self, camera: str) -> None:
        from catseye.client import Publisher  # noqa: PLC0415 - a dry run needs no Kafka

        self.publisher = Publisher(settings_with_broker(), camera=camera)
        self._run = secrets.token_hex(4)

    def send(self, number: int, vehicle: Vehicle) -> None:
        """All its views, in the order of time."""
        from catseye.client import Sighting  # noqa: PLC0415

        for view in sorted(vehicle.views):
            sighting = Sighting(f"{self._run}-{number}", view.box, vehicle.first_seen_ms, vehicle.last_seen_ms)
            self.publisher.publish(view.jpeg, captured_at_ms=view.captured_at_ms, sighting=sighting)


class _Counted:
    """What came of a source so far.

    Args:
        quiet: Print nothing.
        outlet: Publishes; None for a dry run.
    """

    def __init__(self, *, quiet: bool, outlet: _Outlet | None) -> None:
        self._quiet = quiet
        self._outlet = outlet
        self.pictures = 0
        self.tracks: list[dict[str, Any]] = []

    def vehicles(self, found: list[Vehicle], before: int) -> None:
        """These have gone; pictures of their opening are counted from *before* on."""
        for vehicle in found:
            track, number = vehicle.track, len(self.tracks) + 1
            first, last = before + track.first_picture, before + track.last_picture
            self.tracks.append(
                {"track": str(number), "first_picture": first, "last_picture": last, "direction": track.direction}
            )
            if self._outlet is not None:
                self._outlet.send(number, vehicle)
            if not self._quiet:
                click.echo(f"{number}\t{track.direction}\tpictures {first} to {last}\t{len(vehicle.views)} views")

    def content(self, dropped: int) -> dict[str, Any]:
        """What `--json` writes."""
        directions = [track["direction"] for track in self.tracks]
        return {
            "pictures": self.pictures,
            "vehicles": len(self.tracks),
            "views": 0,  # of the whole picture
            "dropped": dropped,
            "by_direction": {each: directions.count(each) for each in sorted(set(directions))},
            "tracks": self.tracks,
        }


def _follow(video: Any, stop: Stopping, counted: _Counted) -> None:
    """Until the source ends or somebody asks. Raises `VideoFault`."""
    from catseye.roads.boxes import Box  # noqa: PLC0415
    from catseye.roads.road import Planes, Road  # noqa: PLC0415

    def crop(picture: Any, box: Box) -> bytes:
        left, top = int(box.left * picture.width), int(box.top * picture.height)
        right, bottom = round(box.right * picture.width), round(box.bottom * picture.height)
        made: bytes = picture.jpeg((left, top, max(2, right - left), max(2, bottom - top)))
        return made

    road, before, opening, shape = Road(crop), 0, 1, None
    picture: Planes
    for picture in video.pictures(stop):
        # After a gap or a change of its size nothing is where it was.
        if video.openings != opening or (shape is not None and picture.luma.shape != shape):
            counted.vehicles(road.end(), before)
            road, before, opening = Road(crop), counted.pictures, video.openings
        shape = picture.luma.shape
        counted.vehicles(road.take(picture), before)
        counted.pictures += 1
    counted.vehicles(road.end(), before)
