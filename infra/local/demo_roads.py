"""`infra/demo --roads`: films of whole roads through `catseye roadside` to vehicles, held against what drove there."""

import importlib.util
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from rich import box
from rich.table import Table

from catseye.client import subscribe
from catseye.contract.errors import Unavailable
from catseye.contract.records import Vehicle
from catseye.settings import Settings
from infra.local.demo import Demo, ended
from infra.local.films import Drive, Film, composed, planned
from infra.local.jvm import ROOT
from infra.local.processes import last_line
from infra.local.set_up import need
from services.simulator.roads import FPS

PATIENCE_S: Final = 60.0
"""So long without one more vehicle, and what was sent and has no record is called lost."""
EVERY_S: Final = 1.0


@dataclass(frozen=True)
class Found:
    """A vehicle that roadside followed: its track, direction and when it was seen, seconds since the first picture."""

    track: str
    direction: str
    from_s: float
    to_s: float


class RoadsDemo(Demo):
    """One run; arguments as of `Demo`."""

    def play(self, cameras: int, seconds: float, seed: int) -> dict[str, Any]:
        """Do everything; returns the object for JSON."""
        python = _python_with_video()
        with ExitStack() as undo:
            self._print(f"composing {cameras} films of {seconds:.0f} s")
            films = self._composed(cameras, seconds, seed)
            settings = self._set_up(undo)
            self._print(f"ready after {time.time() - self._started_s:.1f} s; {cameras} roadside processes begin")
            began_s = time.time()
            found = self._followed(films, python, settings, undo)
            sent = sum(len(each) for each in found.values())
            self._print(f"{sent} vehicles were followed; waiting for the last of them")
            vehicles = _vehicles(settings, sent, lambda count: self._print(f"{count} vehicles"))
            figures = figures_of(films, found, vehicles)
            figures |= {"pages": self._pages, "duration_s": round(time.time() - began_s, 3)}
            self._print("stopping what was started")
        return figures

    def _composed(self, cameras: int, seconds: float, seed: int) -> list[Film]:
        folder = self._logs.parent / "films"
        folder.mkdir(exist_ok=True)
        with ProcessPoolExecutor() as pool:
            made = [
                pool.submit(composed, camera, condition, seed + number, seconds, folder)
                for number, (camera, condition) in enumerate(planned(cameras))
            ]
            return [each.result() for each in made]

    def _followed(
        self, films: Sequence[Film], python: str, settings: Settings, undo: ExitStack
    ) -> dict[str, list[Found]]:
        """What roadside says of each film. Raises `Unavailable` where one fails."""
        env = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers}
        running = {}
        for film in films:
            called = [python, "-m", "catseye", "roadside", str(film.file), "--camera", film.camera]
            with self._log(film.camera).open("ab") as log:
                running[film.camera] = process = subprocess.Popen(
                    [*called, "--json", str(_report_of(film))],
                    env=env,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            undo.callback(ended, process)
        found = {}
        for film in films:
            if running[film.camera].wait():
                raise Unavailable(f"roadside of {film.camera} failed: {last_line(self._log(film.camera))}")
            told = msgspec.json.decode(_report_of(film).read_bytes())
            found[film.camera] = [
                Found(each["track"], each["direction"], each["first_picture"] / FPS, each["last_picture"] / FPS)
                for each in told["tracks"]
            ]
            self._print(f"{film.camera}, {film.condition}: {told['vehicles']} vehicles of {len(film.drives)}")
        return found


def figures_of(
    films: Sequence[Film], found: Mapping[str, Sequence[Found]], vehicles: Sequence[Vehicle]
) -> dict[str, Any]:
    """What came of it, as ``--json`` has it.

    Args:
        films: With the truth.
        found: What roadside followed, by camera.
        vehicles: Records of the topic, all of them.
    """
    records = Counter(_sent_as(vehicle) for vehicle in vehicles)
    label_of = {_sent_as(vehicle): vehicle.label for vehicle in vehicles}
    sent = {(camera, each.track) for camera, own in found.items() for each in own}
    roads: list[dict[str, Any]] = []
    for film in films:
        own = found[film.camera]
        pairs = matched(film.drives, own)
        right = sum(label_of.get((film.camera, each.track)) == drive.label for drive, each in pairs)
        roads.append(
            {
                "camera": film.camera,
                "condition": film.condition,
                "vehicles": len(film.drives),
                "counted": len(own),
                "by_direction": dict(sorted(Counter(each.direction for each in own).items())),
                "matched": len(pairs),
                "right": right,
            }
        )
    pairs_all, right_all = (sum(road[name] for road in roads) for name in ("matched", "right"))
    return {
        "roads": roads,
        "vehicles": sum(road["vehicles"] for road in roads),
        "counted": sum(road["counted"] for road in roads),
        "accuracy_by_vehicle": right_all / pairs_all if pairs_all else 0.0,
        "lost": len(sent - records.keys()),
        "repeated": sum(records.values()) - len(records),
    }


def matched(drives: Sequence[Drive], found: Sequence[Found]) -> list[tuple[Drive, Found]]:
    """Vehicles and what was followed, each in one pair at most: those of one direction first, those that share most
    time next."""
    shared = [
        (drive.direction == each.direction, min(drive.to_s, each.to_s) - max(drive.from_s, each.from_s), place, number)
        for place, drive in enumerate(drives)
        for number, each in enumerate(found)
    ]
    pairs: dict[int, int] = {}
    for _, seconds, place, number in sorted(shared, reverse=True):
        if seconds > 0 and place not in pairs and number not in pairs.values():
            pairs[place] = number
    return [(drives[place], found[number]) for place, number in sorted(pairs.items())]


def table(figures: Mapping[str, Any]) -> Table:
    """The figures for a person."""
    drawn = Table(title="Vehicles", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for name in ("camera", "condition"):
        drawn.add_column(name)
    for name in ("drove by", "counted", "matched", "class right"):
        drawn.add_column(name, justify="right")
    for road in figures["roads"]:
        drawn.add_row(
            road["camera"],
            road["condition"],
            *(f"{road[name]}" for name in ("vehicles", "counted", "matched", "right")),
        )
    return drawn


def sentences(figures: Mapping[str, Any]) -> list[str]:
    """What of it matters most."""
    return [
        f"{figures['counted']} vehicles counted of {figures['vehicles']}; lost {figures['lost']}, repeated "
        f"{figures['repeated']}; the class is right of {figures['accuracy_by_vehicle']:.1%} of those that were matched",
        "At night little but lamps is seen: count there, and do not ask for the class.",
    ]


def _sent_as(vehicle: Vehicle) -> tuple[str, str]:
    """Camera and number of a vehicle; a track is called by its run of roadside too, and each camera has one here."""
    return vehicle.camera, vehicle.track.rpartition("-")[2]


def _report_of(film: Film) -> Path:
    """Where roadside writes what it followed."""
    return film.file.with_suffix(".json")


def _vehicles(settings: Settings, wanted: int, say: Any) -> list[Vehicle]:
    """Records of the topic once there are *wanted*, or no more come."""
    vehicles: list[Vehicle] = []
    until_s = time.monotonic() + PATIENCE_S
    while True:
        found = subscribe("vehicles", settings=settings, from_="beginning", until_end=True, timeout_s=60)
        read = [each for each in found if isinstance(each, Vehicle)]
        if len(read) > len(vehicles):
            vehicles, until_s = read, time.monotonic() + PATIENCE_S
            say(len(vehicles))
        if len(vehicles) >= wanted or time.monotonic() > until_s:
            return vehicles
        time.sleep(EVERY_S)


def _python_with_video() -> str:
    """An interpreter that has what films are read with: this one, or that of a camera's side."""
    if importlib.util.find_spec("av") is not None:
        return sys.executable
    need("edge")
    return str(ROOT / ".catseye" / "venv-edge" / "bin" / "python")
