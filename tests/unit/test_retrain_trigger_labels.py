"""Counts of fresh labels: each once, never more than there were, and in little room."""

import random

import pytest

from catseye.contract.errors import Misconfigured
from catseye.settings import load
from services.retrain_trigger.labels import (
    CLASSES_MOST,
    FINEST_MS,
    OTHER,
    Count,
    Held,
    count,
    counted,
    newer,
    packed,
    unpacked,
)
from services.retrain_trigger.policy import Rules
from services.retrain_trigger.settings import RetrainTriggerSettings, rules_of
from tests.unit.test_retrain_trigger import DAY_MS, HOUR_MS, START_MS, outcome

PREFIX = "CATSEYE_RETRAIN_TRIGGER_"


def test_an_outcome_is_counted_once() -> None:
    """However often it is read; on another partition offsets start anew."""
    held = counted(Held(), outcome("car", START_MS), 3, 7)
    assert counted(held, outcome("car", START_MS), 3, 7) is held
    assert counted(held, outcome("car", START_MS), 3, 2) is held
    held = counted(held, outcome("car", START_MS), 3, 8)
    held = counted(held, outcome("bus", START_MS), 1, 0)
    assert count([held], 0) == Count({"bus": 1, "car": 2}, 3)


def test_a_label_that_was_taken_back_is_none() -> None:
    """A corrected one counts once in the sum, and under its new class."""
    held = Held()
    for offset, (label, change) in enumerate(
        [("car", "matched"), ("car", "matched"), ("bus", "corrected"), (None, "withdrawn")]
    ):
        held = counted(held, outcome(label, START_MS, change), 0, offset)
    assert count([held], 0) == Count({"bus": 1, "car": 2}, 1)
    assert count([counted(Held(), outcome(None, START_MS, "withdrawn"), 0, 0)], 0) == Count({}, 0)


def test_what_is_kept_comes_back_from_the_table() -> None:
    """The same after its way through the changelog."""
    held = counted(counted(Held(), outcome("car", START_MS), 0, 0), outcome("bus", START_MS + DAY_MS), 0, 1)
    assert unpacked(packed(held)) == held


def test_the_value_that_counted_further_holds() -> None:
    """Whoever wrote last: one that was paused writes what it knew. On other partitions the later one holds."""
    behind = counted(Held(), outcome("car", START_MS), 1, 7)
    ahead = counted(behind, outcome("car", START_MS), 1, 8)
    assert newer(None, behind) is behind
    assert newer(ahead, behind) is ahead
    assert newer(behind, ahead) is ahead
    moved = counted(ahead, outcome("car", START_MS), 2, 0)
    assert newer(ahead, moved) is moved


@pytest.mark.parametrize("seed", range(5))
def test_a_count_is_never_too_great_and_seldom_much_too_small(seed: int) -> None:
    """Frames of a week in any order of their labels: at most a quarter of the time asked for is left out."""
    dice = random.Random(seed)
    held, times = Held(), []
    for offset in range(3_000):
        at_ms = START_MS + 200_000 * offset - round(dice.expovariate(1 / HOUR_MS))
        times.append(at_ms)
        held = counted(held, outcome("car", at_ms), 0, offset)
    newest_ms = max(times)
    for age_ms in (HOUR_MS, 6 * HOUR_MS, DAY_MS, 5 * DAY_MS):
        there = sum(at_ms >= newest_ms - age_ms for at_ms in times)
        surely = sum(at_ms >= newest_ms - age_ms * 3 // 4 + FINEST_MS for at_ms in times)
        assert surely <= count([held], newest_ms - age_ms).total <= there
    assert count([held], 0).total == 3_000
    assert len(held.buckets) < 80
    assert len(packed(held)) < 4_000


def test_what_is_very_old_is_let_go() -> None:
    """So that a camera of many years costs what one of some months does."""
    held = counted(counted(Held(), outcome("car", START_MS), 0, 0), outcome("car", START_MS + 100 * DAY_MS), 0, 1)
    assert count([held], 0).total == 1


def test_labels_without_end_do_not_fill_the_memory() -> None:
    """A labeller gone wild makes one class more, not thousands."""
    held = Held()
    for offset in range(CLASSES_MOST + 50):
        held = counted(held, outcome(f"class {offset}", START_MS), 0, offset)
    by_class = count([held], 0).by_class
    assert len(by_class) == CLASSES_MOST + 1
    assert by_class[OTHER] == 50


@pytest.mark.usefixtures("bare_environment")
def test_the_settings_are_the_rules() -> None:
    """The same defaults, once in an operator's units and once in milliseconds."""
    assert rules_of(load(RetrainTriggerSettings, service="retrain_trigger")) == Rules()


@pytest.mark.usefixtures("bare_environment")
def test_changes_without_loss_can_be_made_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """And kinds are a list."""
    monkeypatch.setenv(f"{PREFIX}NEEDS_IMPAIRED", "false")
    monkeypatch.setenv(f"{PREFIX}KINDS", "input, concept")
    rules = rules_of(load(RetrainTriggerSettings, service="retrain_trigger"))
    assert (rules.needs_impaired, rules.kinds) == (frozenset[str](), frozenset({"input", "concept"}))


@pytest.mark.usefixtures("bare_environment")
@pytest.mark.parametrize(
    ("variable", "value", "reported"),
    [
        ("KINDS", "input,camera_frozen", "camera_frozen never starts a training"),
        ("KINDS", "labels_missing", "labels_missing never starts a training"),
        ("KINDS", "inputs", "inputs is no kind of alert"),
        ("LABELS", "19", "2 classes of CATSEYE_RETRAIN_TRIGGER_LABELS_OF_CLASS 10 labels each are more"),
        ("LABELS", "0", "CATSEYE_RETRAIN_TRIGGER_LABELS"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, reported: str
) -> None:
    """The sentence names what is wrong."""
    monkeypatch.setenv(PREFIX + variable, value)
    with pytest.raises(Misconfigured, match=reported):
        load(RetrainTriggerSettings, service="retrain_trigger")
