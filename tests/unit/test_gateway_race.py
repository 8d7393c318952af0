"""How a race is shown: by the evidence that rollout decides by."""

import math
from typing import Any

import pytest

from catseye.models.sequential_test import Pairs, evidence_of_better, evidence_of_worse
from services.gateway.race import shown

BOUNDS = {"evidence_better_needed": 20.0, "evidence_worse_needed": 20.0, "margin": 0.0, "tolerance": 0.0}
SLOTS = {"1": [(0, (0, 1, 2, 5)), (60_000, (0, 0, 3, 4))], "0.5": [(30_000, (1, 0, 1, 0)), (90_000, (0, 0, 0, 0))]}
"""Neither, only champion, only shadow, both."""
CELLS = {"1": [0, 1, 5, 9], "0.5": [1, 0, 1, 0]}


def event(version: str, stage: str, because: str = "", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "version": version, "stage": stage, "because": because, "metrics": {}, **fields}


def race(cells: dict[str, list[int]] | None = None) -> dict[str, Any]:
    return {"model": "m", "champion": "1", "shadow": "2", "cells": CELLS if cells is None else cells}


def test_evidence_is_that_of_rollout() -> None:
    """Label by label, as a share of what decides; a label more counts from its slot on."""
    found = shown(race(), SLOTS, [event("1", "champion"), event("2", "shadow", metrics=BOUNDS)])
    pairs = Pairs({1.0: (0, 1, 5, 9), 0.5: (1, 0, 1, 0)})
    better = evidence_of_better(pairs, 0.0, 0.5).log / math.log(20)
    worse = evidence_of_worse(pairs, 0.0, 0.5).log / math.log(20)
    plot = found["plot"]
    assert plot["times"] == [0, 8, 10, 17]
    assert plot["series"][0][1][-1] == pytest.approx(min(max(better, 0.0), 1.0))
    assert plot["series"][1][1][-1] == max(worse, 0.0)
    assert (found["new"], found["old"], found["probation"], found["pairs"]) == ("m 2", "m 1", False, 17)
    assert (found["only_new"], found["only_old"], found["neither"]) == (6, 1, 1)
    assert found["accuracy_new"] > found["accuracy_old"]


def test_pairs_older_than_what_is_kept_count_from_the_beginning() -> None:
    """The totals are right, whatever has left the plot."""
    found = shown(race({"1": [0, 1, 5, 109]}), {"1": SLOTS["1"]}, [event("2", "shadow", metrics=BOUNDS)])
    assert found["plot"]["times"] == [0, 108, 115]


def test_on_probation_the_champion_is_the_new_one() -> None:
    """What the shadow alone gets right speaks against it."""
    events = [
        event("1", "champion", "better: it was", previous_version="2", metrics=BOUNDS | {"pairs": 50.0}),
        event("2", "shadow", "probation"),
    ]
    found = shown(race(), SLOTS, events)
    assert (found["new"], found["old"], found["probation"]) == ("m 1", "m 2", True)
    assert (found["only_new"], found["only_old"]) == (1, 6)
    assert found["plot"]["series"][1][1][-1] > 0
    assert found["says"] == "better: it was"


@pytest.mark.parametrize(
    ("cells", "slots", "metrics"), [({}, {}, BOUNDS), (CELLS, SLOTS, {}), (CELLS, {}, {"pairs": 5.0})]
)
def test_what_is_not_known_is_not_drawn(cells: Any, slots: Any, metrics: Any) -> None:
    """No labels, or no bounds that rollout has said."""
    found = shown(race(cells), slots, [event("2", "shadow", metrics=metrics)])
    assert found["plot"] == {"times": [], "series": []}
    assert (found["accuracy_new"] is None) == (not cells)
