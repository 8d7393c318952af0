"""Rollout through any commands, any old register and any labels, with repeats, aborts and crashes anywhere."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.contract.records import ModelAction, ModelCommand, ModelEvent, Stage
from catseye.models.commands import known_models
from catseye.models.sequential_test import Pairs
from catseye.models.stages import Stages
from services.rollout.verdict import Rules, inspect_pairs, numbers
from tests.simulation.partitions import FakeMessage
from tests.simulation.rollout import CODEC, MODEL, Rollout, command, event, pair, registering

VERSIONS = ("A", "B", "C", "D")
STAGES: tuple[Stage, ...] = ("candidate", "candidate", "champion", "rejected")
OLD_STAGES: tuple[Stage, ...] = (*STAGES, "shadow", "retired")
ACTIONS: tuple[ModelAction, ...] = ("promote", "reject", "roll_back", "approve")
RULES = {"labels_min": 8, "labels_max": 40, "probation_labels": 20}


MODELS = (MODEL, "signs")


class Word(NamedTuple):
    """A version is registered as something."""

    version: str
    stage: Stage
    model: str = MODEL


class Asked(NamedTuple):
    """A person asks for something."""

    action: ModelAction
    version: str
    model: str = MODEL


class Labels(NamedTuple):
    """So many labels come; on this share of them the new version is right, on the others the old one."""

    labels: int
    share: float


Step = Word | Asked | Labels
WORDS = st.builds(Word, st.sampled_from(VERSIONS), st.sampled_from(STAGES))
LABELS = st.builds(Labels, st.integers(1, 25), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
ASKED = st.builds(Asked, st.sampled_from(ACTIONS), st.sampled_from(VERSIONS))
EXISTS: st.SearchStrategy[list[Step]] = st.lists(WORDS | ASKED | LABELS, min_size=3, max_size=20)
NAMED: st.SearchStrategy[list[Step]] = st.lists(
    st.builds(Word, st.sampled_from(VERSIONS), st.sampled_from(STAGES), st.sampled_from(MODELS))
    | st.builds(Asked, st.sampled_from(ACTIONS), st.sampled_from(VERSIONS), st.sampled_from(MODELS))
    | LABELS,
    min_size=3,
    max_size=20,
)
"""The same, of models of two names."""
HISTORIES = st.lists(st.builds(Word, st.sampled_from(VERSIONS), st.sampled_from(OLD_STAGES)), max_size=12)
"""What others wrote to the register before rollout alone wrote it."""
SORTS = st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.333, 1.0]), st.booleans(), st.booleans()), max_size=60)


def started(words: Sequence[Word] = ()) -> Rollout:
    """On a register that others wrote: with a champion and a candidate, and then any words, each read at a start."""
    rollout = Rollout([event("A", "champion"), event("B", "candidate")], **RULES)
    for place, word in enumerate(words):
        if word.stage == "shadow" and word.version == rollout.partition.state.of_model(word.model).champion:
            continue  # nobody can mean that
        rollout.register.append(event(word.version, word.stage, because=f"old {place}", model=word.model))
        rollout.crash()
    return rollout


def served(rollout: Rollout) -> str:
    """Name of the model that rollout takes for the one that serves."""
    return (rollout.partition.state.known().champion or (MODEL, ""))[0]


def batch_of(rollout: Rollout, step: Step, place: int) -> list[FakeMessage]:
    """What comes in: a command, or labels of the two that are compared, some of them late ones of before."""
    if isinstance(step, Word):
        return rollout.commanded([registering(event(step.version, step.stage, because=str(place), model=step.model))])
    if isinstance(step, Asked):
        version = None if step.action == "roll_back" else step.version
        return rollout.commanded([command(step.action, version, reason=str(place), model=step.model)])
    count, share = step
    model = served(rollout)
    comparison = rollout.partition.state.of_model(model).comparison
    new, old = (comparison.new, comparison.old) if comparison else ("A", "B")
    rights = [new if number < share * count else old for number in range(count)]
    sides = [(new, old) if number % 3 else (old, new) for number in range(count)]
    return rollout.paired(
        [pair(*side, right, camera=right, model=model) for side, right in zip(sides, rights, strict=True)]
    )


def timeless(reported: Sequence[ModelEvent]) -> list[ModelEvent]:
    """All that does not depend on when it was said."""
    clock = {"rollback/since_ms"}
    numbers = [{name: value for name, value in each.metrics.items() if name not in clock} for each in reported]
    return [replace(each, at_ms=0, metrics=metrics) for each, metrics in zip(reported, numbers, strict=True)]


def live(rollout: Rollout, steps: Sequence[Step]) -> None:
    """One after the other."""
    for place, step in enumerate(steps):
        rollout.take(batch_of(rollout, step, place))
        rollout.wait()


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(HISTORIES, EXISTS)
def test_inference_serves_what_rollout_believes(words: list[Word], steps: list[Step]) -> None:
    """After any old register, any commands and labels: the champion, and the shadow of the comparison under way; each
    step is said once."""
    serves_what_rollout_believes(words, steps)


OLD_NAMED = st.builds(Word, st.sampled_from(VERSIONS), st.sampled_from(OLD_STAGES), st.sampled_from(MODELS))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(OLD_NAMED, max_size=12), NAMED)
def test_inference_serves_what_rollout_believes_of_models_of_two_names(words: list[Word], steps: list[Step]) -> None:
    """One champion in all; the command line, by the register, and rollout, by its state, know the same."""
    serves_what_rollout_believes(words, steps)


def serves_what_rollout_believes(words: list[Word], steps: list[Step]) -> None:
    """Asserts it after each step."""
    rollout = started(words)
    for place, step in enumerate(steps):
        rollout.take(batch_of(rollout, step, place))
        rollout.wait()
        line, stages = rollout.partition.state.of_model(served(rollout)), Stages()
        for each in rollout.register:
            stages.on_event(each)
        champion, shadow = stages.serving("champion").everywhere, stages.serving("shadow").everywhere
        assert champion is not None
        assert (champion.model, champion.version) == (served(rollout), line.champion)
        others = [rollout.partition.state.of_model(model) for model in MODELS if model != champion.model]
        assert [(other.champion, other.comparison) for other in others] == [("", None)] * len(others)
        known, seen = rollout.partition.state.known(), known_models(rollout.register)
        assert list(known.champions) == list(seen.champions)
        assert sorted(known.awaiting) == sorted(seen.awaiting)
        assert {version: each.stage for version, each in known.newest.items()} == {
            version: each.stage for version, each in seen.newest.items()
        }
        if line.comparison is not None:
            assert shadow is not None
            assert {champion.version, shadow.version} == {line.comparison.new, line.comparison.old}
        else:
            assert (line.queue, shadow) == ((), None)
    assert len({each.event_id for each in rollout.written}) == len(rollout.written)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(EXISTS, st.data())
def test_repeats_splits_aborts_and_crashes_change_nothing(steps: list[Step], data: st.DataObject) -> None:
    """The same steps with the same numbers, however it comes about."""
    run_through, disturbed = started(), started()
    live(run_through, steps)
    for place, step in enumerate(steps):
        batch = batch_of(disturbed, step, place)
        match data.draw(st.sampled_from(["take", "abort", "crash", "repeat", "split"])):
            case "abort":
                disturbed.partition.abort(batch, disturbed.now_ms)
            case "crash":
                disturbed.crash()
            case "repeat":
                seen = {id(message) for message in batch}
                logs = [*disturbed.pairs, *disturbed.commands]
                disturbed.take([message for message in logs if id(message) not in seen])
            case "split":
                size = data.draw(st.integers(0, len(batch)))
                disturbed.take(batch[:size])
                batch = batch[size:]
        disturbed.take(batch)
        disturbed.wait()
    assert timeless(disturbed.written) == timeless(run_through.written)
    assert len(disturbed.refused) == len(run_through.refused)
    state = disturbed.partition.rebuilt()
    assert (state.of_model(MODEL).champion, state.of_model(MODEL).queue) == (
        run_through.partition.state.of_model(MODEL).champion,
        run_through.partition.state.of_model(MODEL).queue,
    )
    assert sorted(state.items()) == sorted(disturbed.partition.state.items())


@settings(deadline=None, max_examples=60)
@given(EXISTS)
def test_a_state_that_was_lost_repeats_no_step(steps: list[Step]) -> None:
    """The register read from the start leads to no champion other than the one that it ends with; nor do commands that
    were carried out and are read once more."""
    rollout = started()
    live(rollout, steps)
    again = Rollout(rollout.register, **RULES)
    carried_out = {each.command_id for each in rollout.written}
    again.take([each for each in rollout.commands if CODEC.decode(each.body, ModelCommand).command_id in carried_out])
    again.wait()
    assert again.partition.state.of_model(MODEL).champion == rollout.partition.state.of_model(MODEL).champion
    assert {each.event_id for each in again.written}.isdisjoint(each.event_id for each in rollout.written)


@given(SORTS, st.randoms(use_true_random=False), st.sampled_from([0.0, 0.02, 0.3]))
def test_the_order_of_pairs_changes_no_number(
    sorts: list[tuple[float, bool, bool]], chance: Random, bound: float
) -> None:
    """To the last bit: evidence both ways, accuracies, labels still needed."""
    rules = Rules(margin=bound, tolerance=bound)

    def found() -> dict[str, float]:
        pairs = Pairs()
        for propensity, new_right, old_right in sorts:
            pairs = pairs.plus(propensity, new_right=new_right, old_right=old_right)
        return numbers(rules, inspect_pairs(rules, pairs), {"car": pairs}, {})

    before = found()
    chance.shuffle(sorts)
    assert found() == before
