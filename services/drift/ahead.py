"""Labels that are read before the prediction of their frame: they wait for it, on the state topic too.

Topics are read side by side, and a batch may bring an outcome before the next one brings its prediction. Of the version
that is known to predict it counts at once. Of a camera or a version that was not seen yet nobody can tell what it
shows: it counts with the first prediction that makes it known.
"""

from collections.abc import Sequence
from typing import Final

from catseye.contract.records import Outcome, Prediction
from services.drift.cameras import Cameras
from services.drift.report import version_of
from services.drift.state import AHEAD

MOST: Final = 200
"""Labels of a camera that wait: of as many its recent accuracy is made. Of more the oldest only show that they came."""


def due(
    predictions: Sequence[tuple[Cameras, Prediction]], matched: Sequence[tuple[Cameras, Outcome]]
) -> list[tuple[Cameras, Outcome]]:
    """Outcomes that are to be taken now, each camera's in the order in which they came; what is ahead waits.

    Args:
        predictions: Those that were taken just now, each with the cameras of its partition.
        matched: First labels of frames.
    """
    came: dict[tuple[Cameras, str], list[Outcome]] = {
        (cameras, each.camera): [] for cameras, each in predictions if each.camera.encode() in cameras.ahead
    }
    for cameras, each in matched:
        came.setdefault((cameras, each.camera), []).append(each)
    now: list[tuple[Cameras, Outcome]] = []
    for (cameras, camera), outcomes in came.items():
        known = cameras.ahead.get(camera.encode())
        all_of_it = outcomes if known is None else AHEAD.read(known) + outcomes
        ahead = [each for each in all_of_it if _is_ahead(cameras, each)][-MOST:]
        now += [(cameras, each) for each in all_of_it if each not in ahead]
        if ahead or known is not None:
            cameras.ahead.put(camera.encode(), AHEAD.write(ahead) if ahead else None)
    return now


def _is_ahead(cameras: Cameras, outcome: Outcome) -> bool:
    """Whether the camera's model is another one as far as is known, and the frame is none of those that are known."""
    if outcome.camera not in cameras:
        return True
    table, row = cameras.home(outcome.camera)
    version = version_of(table, row)
    other = (outcome.model, outcome.version) != (version.model, version.version)
    return other and outcome.received_at_ms >= int(table.watch["seen_ms"][row])
