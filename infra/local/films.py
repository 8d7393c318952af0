"""Films of composed roads, one a camera, and what drove over each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from catseye.contract.names import class_of_folder
from infra.local.demo_models import CROPS
from services.simulator.roads import CONDITIONS, FPS, HEIGHT, WIDTH, Car, ComposedRoad, Condition, Planes

SHOWN: Final = tuple(condition for condition in CONDITIONS if condition != "empty")
_OF_A_CLASS: Final = 4
"""Crops of each class that drive."""
_STOP_S: Final = 3.0
"""So much later than its way takes a vehicle that stops has gone, seconds."""


@dataclass(frozen=True)
class Film:
    """One camera's.

    Attributes:
        camera: Its name.
        condition: What makes it hard.
        file: Motion JPEG.
        drives: The vehicles that drive by, by the time at which they come.
    """

    camera: str
    condition: Condition
    file: Path
    drives: tuple["Drive", ...]


@dataclass(frozen=True)
class Drive:
    """A vehicle that drives by.

    Attributes:
        label: Its class.
        direction: up, away from the camera, or down.
        from_s: When it comes, seconds since the first picture.
        to_s: When it has gone.
    """

    label: str
    direction: str
    from_s: float
    to_s: float


def planned(cameras: int) -> Iterator[tuple[str, Condition]]:
    """Names of cameras, and the condition of each: each once before one comes again."""
    for number, condition in enumerate(islice(cycle(SHOWN), cameras), 1):
        yield f"road-{number:02}", condition


def composed(camera: str, condition: Condition, seed: int, seconds: float, folder: Path) -> Film:
    """Write the film of a camera into *folder*.

    Raises:
        OSError: it cannot be written.
    """
    labels, crops = _crops()
    road = ComposedRoad(crops, seed, condition, seconds)
    file = folder / f"{camera}.avi"
    film = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    if not film.isOpened():
        raise OSError(f"{file} cannot be written")
    for shot in road.shots():
        film.write(_bgr(shot.picture))
    film.release()
    drives = sorted((_drive(car, labels) for car in road.driving), key=lambda drive: drive.from_s)
    return Film(camera, condition, file, tuple(drives))


def _crops() -> tuple[list[str], list[np.ndarray]]:
    """Classes and pictures, BGR, of those that drive."""
    paths = [path for sub in sorted(CROPS.iterdir()) for path in sorted(sub.glob("*.jpg"))[:_OF_A_CLASS]]
    pictures = [cv2.imread(str(path)) for path in paths]
    return [class_of_folder(path.parent.name) for path in paths], [each for each in pictures if each is not None]


def _bgr(picture: Planes) -> np.ndarray:
    colours = [
        cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for plane in (picture.red, picture.blue)
    ]
    return cv2.cvtColor(np.dstack([picture.luma, *colours]), cv2.COLOR_YCrCb2BGR)


def _drive(car: Car, labels: list[str]) -> Drive:
    to_s = car.begins_s + car.lasts_s + (_STOP_S if car.stops_at is not None else 0.0)
    return Drive(labels[car.sprite], "up" if car.away else "down", car.begins_s, to_s)
