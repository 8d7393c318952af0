"""What `catseye roadside` publishes: vehicles and views, by way of a ring on disk."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import click

from catseye.cli.common import ask_broker, settings_of_publisher
from catseye.client import Publisher, Sighting
from catseye.client.ring import DiskRing
from catseye.contract.errors import Unavailable

if TYPE_CHECKING:
    from catseye.roads.road import Vehicle
    from catseye.video.picture import Picture

VIEW_WIDTH: Final = 320
_ANSWER_S: Final = 2.0  # nothing depends on it but one sentence
_FLUSH_S: Final = 120.0
_STOPPED_FLUSH_S: Final = 8.0  # `docker stop` kills after 10 s
_NAMES = {"vehicle": "vehicles", "view": "views", "refused": "refused frames"}


def ring_file(folder: Path, camera: str) -> Path:
    """Where a camera's ring lies. No two cameras have the same, whatever stands in their names."""
    readable = re.sub(r"[^A-Za-z0-9-]+", "-", camera)[:60]
    return folder / f"{readable}-{hashlib.sha256(camera.encode()).hexdigest()[:8]}.sqlite"


class Outlet:
    """Publishes vehicles and views as frames of a camera. Use it in a with-statement.

    Args:
        camera: Its name.
        folder: Of its ring; None for rings/ in the data folder.
        ring_mib: Room for the ring on disk, MiB.

    Raises:
        Misconfigured: a setting is wrong, or the ring cannot be had.
    """

    def __init__(self, camera: str, folder: Path | None, ring_mib: int) -> None:
        settings = settings_of_publisher()
        self._ring = DiskRing(
            ring_file(folder or settings.data_dir / "rings", camera), settings, max_bytes=ring_mib * 2**20
        )
        self._before = self._ring.dropped
        self._publisher = Publisher(settings, camera=camera, outbox=self._ring)
        self._settings = settings
        self._run = secrets.token_hex(4)
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        if self._ring.waiting:
            click.echo(f"{self._ring.waiting} frames of before wait in {self._ring.file}; they go first", err=True)
        try:
            ask_broker(self._settings, _ANSWER_S)
        except Unavailable as fault:
            click.echo(f"{fault}. Until one answers, frames wait in {self._ring.file}", err=True)
        self._ends.enter_context(self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._ends:
            if isinstance(fault, Exception) and not isinstance(fault, Unavailable):
                self.finish(stopped=True)  # of a video that broke off what was seen until then goes out all the same

    def send(self, number: int, vehicle: Vehicle) -> None:
        """All its views, in the order of time. Raises as `Publisher.publish`."""
        with self._ring.together("vehicle"):
            for view in sorted(vehicle.views):
                sighting = Sighting(
                    f"{self._run}-{number}",
                    view.box,
                    vehicle.first_seen_ms,
                    vehicle.last_seen_ms,
                    vehicle.track.direction,
                    vehicle.line,
                )
                self._publisher.publish(view.jpeg, captured_at_ms=view.captured_at_ms, sighting=sighting)

    def send_view(self, picture: Picture) -> None:
        """The whole picture, small. Raises as `Publisher.publish`."""
        jpeg = picture.smaller(VIEW_WIDTH).jpeg(quality=80)
        with self._ring.together("view"):
            self._publisher.publish(jpeg, captured_at_ms=picture.captured_at_ms, kind="view")

    def finish(self, *, stopped: bool) -> int:
        """Wait until the broker has all, not long if somebody has asked to stop; how many frames wait on disk then.

        Raises:
            Unavailable: the ring cannot be written, or the broker refuses what is sent.
        """
        waiting = self._ring.flush(_STOPPED_FLUSH_S if stopped else _FLUSH_S)
        if waiting:
            click.echo(
                f"{waiting} frames wait in {self._ring.file}: the next `catseye roadside` of this camera sends them "
                "first",
                err=True,
            )
        return waiting

    @property
    def dropped(self) -> dict[str, int]:
        """What the ring dropped in this run, by what it was."""
        return {what: count - self._before.get(what, 0) for what, count in sorted(self._ring.dropped.items())}

    def on_disk(self) -> tuple[int, dict[str, int]]:
        """Frames that wait, and what the ring dropped in this run."""
        return self._ring.waiting, self.dropped

    @property
    def progress(self) -> str:
        """Of the line that says how it goes; nothing where Kafka has all."""
        lost = [f"{count} {_NAMES[what]} dropped by the ring" for what, count in self.dropped.items() if count]
        waiting = [f"{self._ring.waiting} frames wait for Kafka"] if self._ring.waiting else []
        return "".join(f", {each}" for each in waiting + lost)

    @property
    def content(self) -> dict[str, Any]:
        """What `--json` writes of the ring: `dropped` since it was made, as the sum over a vehicle's runs counts."""
        return {"file": str(self._ring.file), "waiting": self._ring.waiting, "dropped": self._ring.dropped}
