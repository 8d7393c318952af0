"""When a demo's road has nothing more to wait for."""

import pytest

from infra.local.demo_loop import ANSWER_S, PATIENCE_S, SHOWN_S, Loop, step_line
from infra.local.demo_models import BY_SCENARIO
from infra.local.watch import Sighting

BEGAN_MS = 1_000_000.0
CHANGE_AT_S = 60.0


def at_ms(at_s: float) -> float:
    """The clock when the road is so old."""
    return BEGAN_MS + at_s * 1_000


def step(topic: str, at_s: float, what: str, because: str = "evidence") -> Sighting:
    """A decision or an event of a model."""
    return Sighting(topic, at_ms(at_s), "", what, -1, "id", "v2", because)


def loop(*sightings: Sighting) -> Loop:
    """What was seen so far."""
    found = Loop(CHANGE_AT_S)
    found.on_sightings([step("models", -5, "champion"), *sightings])
    return found


ACCEPTED, REFUSED = step("retraining", 90, "yes"), step("retraining", 70, "no")
CANDIDATE, PROMOTED, REJECTED = (step("models", 200, each) for each in ("candidate", "champion", "rejected"))
EARLY, LATE = CHANGE_AT_S + ANSWER_S - 1, CHANGE_AT_S + ANSWER_S + 1


@pytest.mark.parametrize(
    ("seen", "at_s", "alerts_open", "closed"),
    [
        ((), EARLY, 0, False),
        ((), LATE, 1, True),
        ((REFUSED,), LATE, 1, True),
        ((ACCEPTED,), LATE, 0, False),
        ((ACCEPTED, CANDIDATE), 500, 0, False),
        ((ACCEPTED, CANDIDATE, REJECTED), 200 + SHOWN_S - 1, 0, False),
        ((ACCEPTED, CANDIDATE, REJECTED), 200 + SHOWN_S + 1, 0, True),
        ((ACCEPTED, CANDIDATE, PROMOTED), 200 + SHOWN_S + 1, 1, False),
        ((ACCEPTED, CANDIDATE, PROMOTED), 200 + PATIENCE_S + 1, 1, True),
        ((ACCEPTED, PROMOTED, step("retraining", 210, "yes")), 500, 0, False),
        ((step("models", 61, "champion", BY_SCENARIO),), LATE, 1, True),
    ],
)
def test_a_road_ends_when_the_loop_has_closed(
    seen: tuple[Sighting, ...], at_s: float, alerts_open: int, closed: bool
) -> None:
    """No training began in time, or the model that stays is known and was seen for a while."""
    assert loop(*seen).has_closed(BEGAN_MS, at_ms(at_s), alerts_open) is closed


def test_steps_are_reported() -> None:
    """Decisions and events of models, and nothing else."""
    assert step_line(ACCEPTED) == "retraining: yes, v2: evidence"
    assert step_line(PROMOTED) == "model v2: champion, since evidence"
    assert step_line(step("alerts", 1, "warning")) is None
