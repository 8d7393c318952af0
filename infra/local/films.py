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
from services.simulator.roads import CONDITIONS, FPS, HEIGHT, WIDTH, Car, ComposedRoad, Condition, Plane, Planes

SHOWN: Final = tuple(condition for condition in CONDITIONS if condition != "empty")
_OF_A_CLASS: Final = 4
"""Crops of each class that drive."""


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
    labels, pictures = crops()
    road = ComposedRoad(pictures, seed, condition, seconds)
    file = folder / f"{camera}.avi"
    film = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    if not film.isOpened():
        raise OSError(f"{file} cannot be written")
    for shot in road.shots():
        film.write(_bgr(shot.picture))
    film.release()
    drives = sorted((_drive(car, labels) for car in road.driving), key=lambda drive: drive.from_s)
    return Film(camera, condition, file, tuple(drives))


def crops() -> tuple[list[str], list[Plane]]:
    """Classes and pictures, BGR, of those that drive: four of each class of the example."""
    labels, pictures = [], []
    for sub in sorted(CROPS.iterdir()):
        for path in sorted(sub.glob("*.jpg"))[:_OF_A_CLASS]:
            if (picture := cv2.imread(str(path))) is not None:
                labels.append(class_of_folder(sub.name))
                pictures.append(picture.astype(np.uint8, copy=False))
    return labels, pictures


def _bgr(picture: Planes) -> Plane:
    colours = [
        cv2.resize(plane, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR) for plane in (picture.red, picture.blue)
    ]
    made = cv2.cvtColor(np.dstack([picture.luma, *colours]), cv2.COLOR_YCrCb2BGR)
    return made.astype(np.uint8, copy=False)


def _drive(car: Car, labels: list[str]) -> Drive:
    return Drive(labels[car.sprite], "up" if car.away else "down", car.begins_s, car.gone_s)
