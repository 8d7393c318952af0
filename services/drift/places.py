"""Where cameras are known: a camera moves to rows of another layout with the version of its model that needs it."""

from collections.abc import Sequence

from catseye.contract.records import Prediction
from services.drift.cameras import Cameras, Home
from services.drift.layout import Layout, layout_of
from services.drift.report import version_of


def places_of(predictions: Sequence[tuple[Cameras, Prediction]]) -> tuple[list[Home], list[Layout], bool]:
    """Where the camera of each is known now, the layout that its rows have when it is taken, and whether any moves.

    A camera moves with a new version of its model which needs another layout. What an earlier build has learned of more
    classes in rows of eight stays as it is until then.
    """
    homes: list[Home] = []
    layouts: list[Layout] = []
    latest: dict[Home, tuple[tuple[str, str], Layout]] = {}
    moves = False
    for cameras, each in predictions:
        needed, version = layout_of(len(each.probabilities)), (each.model, each.version)
        home = cameras.home(each.camera, needed)
        before, layout = latest.get(home) or (None, home.table.layout)
        if layout is not needed and version != (before or _version(home)):
            layout, moves = needed, True
        latest[home] = version, layout
        homes.append(home)
        layouts.append(layout)
    return homes, layouts, moves


def moved(cameras: Cameras, prediction: Prediction, layout: Layout) -> Home:
    """Where the camera of a prediction is known, with rows of *layout*."""
    if cameras.home(prediction.camera).table.layout is not layout:
        cameras.move(prediction.camera, layout)
    return cameras.home(prediction.camera)


def _version(home: Home) -> tuple[str, str]:
    """Model and version of a camera."""
    found = version_of(*home)
    return found.model, found.version
