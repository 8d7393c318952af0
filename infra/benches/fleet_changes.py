"""What is done to single cameras of a fleet: ten faults and ten drifts, each with the kinds that name it rightly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from infra.benches.fleet_road import CLASSES, Road

FAULT: Final = "fault"
DRIFT: Final = "drift"


class Change(NamedTuple):
    """Something that happens to a camera and stays.

    Attributes:
        name: For people.
        sort: `FAULT` or `DRIFT`.
        kinds: Kinds of alert that name it rightly.
        done: Does it to a camera of the road.
    """

    name: str
    sort: str
    kinds: tuple[str, ...]
    done: Callable[[Road, int], None]


def _set(name: str, value: float) -> Callable[[Road, int], None]:
    """An effect that takes a value."""

    def done(road: Road, camera: int) -> None:
        getattr(road.effects, name)[camera] = value

    return done


def _moved(road: Road, camera: int) -> None:
    """Another view: other edges, the same light and the same vehicles."""
    road.bits[camera] = ~road.bits[camera]


def _rarest_is_common(road: Road, camera: int) -> None:
    """Nearly half of the traffic is what was rarest."""
    _shares(road, camera, int(road.shares[:, camera].sum(axis=0).argmin()), 0.45)


def _twice_as_many_trucks(road: Road, camera: int) -> None:
    """Twice the share of trucks, at least a tenth more."""
    truck = CLASSES.index("truck")
    share = float(road.shares[:, camera, truck].mean())
    _shares(road, camera, truck, min(max(2 * share, share + 0.1), 0.9))


def _shares(road: Road, camera: int, bucket: int, share: float) -> None:
    kept = road.shares[:, camera].copy()
    kept[:, bucket] = 0
    kept *= (1 - share) / kept.sum(axis=1, keepdims=True)
    kept[:, bucket] = share
    road.shares[:, camera] = kept


def _errors_rise_by(share: float) -> Callable[[Road, int], None]:
    """More answers are wrong, as sure as ever: a changed concept."""

    def done(road: Road, camera: int) -> None:
        road.effects.errors[camera] = share / (1 - float(road.errors[:, camera].mean()))

    return done


def _lamp_fails(road: Road, camera: int) -> None:
    """The first dark nights, in which a third of the answers are wrong."""
    road.effects.lamp[camera] = 0
    road.effects.errors_at_night[camera] = 0.3


def lit(road: Road, camera: int) -> None:
    """A lamp that makes night like dusk: the camera knows no night until it fails."""
    road.effects.lamp[camera] = 0.26


LAMP: Final = "first dark nights, error .33 in them"
CHANGES: Final[tuple[Change, ...]] = (
    Change("frozen", FAULT, ("camera_frozen",), _set("frozen", True)),
    Change("black", FAULT, ("camera_black",), _set("picture", 1)),
    Change("white", FAULT, ("camera_white",), _set("picture", 2)),
    Change("covered", FAULT, ("camera_covered",), _set("picture", 3)),
    Change("out of focus", FAULT, ("camera_blurred",), _set("focus", -3.0)),
    Change("moved", FAULT, ("camera_moved",), _moved),
    Change("clock ten minutes ahead", FAULT, ("camera_clock",), _set("clock_ms", 600_000)),
    Change("silent", FAULT, ("camera_silent",), _set("silent", True)),
    Change("every frame refused", FAULT, ("camera_dead_letters",), _set("dead", True)),
    Change("labels missing", FAULT, ("labels_missing",), _set("unlabelled", True)),
    Change("light to .6", DRIFT, ("input",), _set("light", 0.6)),
    Change("contrast to .6", DRIFT, ("input",), _set("contrast", 0.6)),
    Change("dirt: sharpness to .4", DRIFT, ("input",), _set("focus", float(np.log(0.4)))),
    Change("unknown vehicles: embedding moved", DRIFT, ("input",), _set("features", 1.0)),
    Change("rarest class 45 %", DRIFT, ("class_mix",), _rarest_is_common),
    Change("trucks doubled", DRIFT, ("class_mix",), _twice_as_many_trucks),
    Change("model in doubt, as right as before", DRIFT, ("class_mix",), _set("doubt", 0.3)),
    Change("errors + .07", DRIFT, ("concept",), _errors_rise_by(0.07)),
    Change("errors + .15", DRIFT, ("concept",), _errors_rise_by(0.15)),
    Change(LAMP, DRIFT, ("concept", "input"), _lamp_fails),  # its pictures are new too
)


def drawn(rng: np.random.Generator, cameras: int, count: int | None = None) -> dict[int, Change]:
    """Give each change a camera of its own.

    Args:
        rng: Source of chance.
        cameras: To choose from, at least as many as changes.
        count: Only so many of the changes, every n-th; None for all.
    """
    chosen = CHANGES if count is None else CHANGES[:: len(CHANGES) // count]
    at = rng.choice(cameras, len(chosen), replace=False)
    return dict(zip(at.tolist(), chosen, strict=True))
