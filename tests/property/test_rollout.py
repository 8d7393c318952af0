"""Rollout through any words of the register and any labels, with repeats, aborts and crashes anywhere."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catseye.contract.records import ModelEvent, Stage
from catseye.models.stages import Stages
from services.rollout.test import Pairs
from services.rollout.verdict import Rules, look_at, numbers
from tests.simulation.partitions import FakeMessage
from tests.simulation.rollout import CODEC, MODEL, Rollout, event, pair

VERSIONS = ("A", "B", "C", "D")
STAGES: tuple[Stage, ...] = ("candidate", "candidate", "shadow", "champion", "rejected", "retired")
RULES = {"labels_min": 8, "labels_max": 40, "probation_labels": 20}


class Word(NamedTuple):
    """A person says what a version is."""

    version: str
    stage: Stage


class Labels(NamedTuple):
    """So many labels come; on this share of them the new version is right, on the others the old one."""

    labels: int
    share: float


Step = Word | Labels
WORDS = st.builds(Word, st.sampled_from(VERSIONS), st.sampled_from(STAGES))
LABELS = st.builds(Labels, st.integers(1, 25), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
LIVES: st.SearchStrategy[list[Step]] = st.lists(WORDS | LABELS, min_size=3, max_size=20)
SORTS = st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.333, 1.0]), st.booleans(), st.booleans()), max_size=60)


def started() -> Rollout:
    """With a champion and a candidate."""
    rollout = Rollout(**RULES)
    rollout.hear(event("A", "champion"), event("B", "candidate"))
    return rollout


def batch_of(rollout: Rollout, step: Step, place: int) -> list[FakeMessage]:
    """What comes in: a person's word, or labels of the two that are compared, some of them late ones of before."""
    if isinstance(step, Word):
        line = rollout.partition.state.line(MODEL)
        if step.stage == "shadow" and step.version == line.champion:  # nobody can mean that
            return []
        return rollout.registered([event(step.version, step.stage, because=str(place))])
    count, share = step
    comparison = rollout.partition.state.line(MODEL).comparison
    new, old = (comparison.new, comparison.old) if comparison else ("A", "B")
    rights = [new if number < share * count else old for number in range(count)]
    sides = [(new, old) if number % 3 else (old, new) for number in range(count)]
    return rollout.paired([pair(*side, right, camera=right) for side, right in zip(sides, rights, strict=True)])


def timeless(said: Sequence[ModelEvent]) -> list[ModelEvent]:
    """All that does not depend on when it was said."""
    clock = {"rollback/since_ms"}
    numbers = [{name: value for name, value in each.metrics.items() if name not in clock} for each in said]
    return [replace(each, at_ms=0, metrics=metrics) for each, metrics in zip(said, numbers, strict=True)]


def live(rollout: Rollout, steps: Sequence[Step]) -> None:
    """One after the other."""
    for place, step in enumerate(steps):
        rollout.take(batch_of(rollout, step, place))
        rollout.wait()


@settings(deadline=None, max_examples=60)
@given(LIVES)
def test_inference_serves_what_rollout_believes(steps: list[Step]) -> None:
    """After any words and labels: the champion, and the shadow of the comparison under way; each step is said once."""
    rollout = started()
    for place, step in enumerate(steps):
        rollout.take(batch_of(rollout, step, place))
        rollout.wait()
        line, stages = rollout.partition.state.line(MODEL), Stages()
        for message in rollout.register:
            stages.on_event(CODEC.decode(message.body, ModelEvent))
        champion, shadow = stages.serving("champion").everywhere, stages.serving("shadow").everywhere
        assert champion is not None
        assert champion.version == line.champion
        if line.comparison is not None:
            assert shadow is not None
            assert {champion.version, shadow.version} == {line.comparison.new, line.comparison.old}
        else:
            assert (line.queue, shadow) == ((), None)
    assert len({each.event_id for each in rollout.said}) == len(rollout.said)


@settings(deadline=None, max_examples=60)
@given(LIVES, st.data())
def test_repeats_splits_aborts_and_crashes_change_nothing(steps: list[Step], data: st.DataObject) -> None:
    """The same steps with the same numbers, however it comes about."""
    lived, disturbed = started(), started()
    live(lived, steps)
    for place, step in enumerate(steps):
        batch = batch_of(disturbed, step, place)
        match data.draw(st.sampled_from(["take", "abort", "crash", "repeat", "split"])):
            case "abort":
                disturbed.partition.abort(batch, disturbed.now_ms)
            case "crash":
                disturbed.crash()
            case "repeat":
                seen = {id(message) for message in batch}
                logs = [*disturbed.pairs, *disturbed.register]
                disturbed.take([message for message in logs if id(message) not in seen])
            case "split":
                size = data.draw(st.integers(0, len(batch)))
                disturbed.take(batch[:size])
                batch = batch[size:]
        disturbed.take(batch)
        disturbed.wait()
    assert timeless(disturbed.said) == timeless(lived.said)
    book = disturbed.partition.rebuilt()
    assert (book.line(MODEL).champion, book.line(MODEL).queue) == (
        lived.partition.state.line(MODEL).champion,
        lived.partition.state.line(MODEL).queue,
    )
    assert sorted(book.items()) == sorted(disturbed.partition.state.items())


@settings(deadline=None, max_examples=60)
@given(LIVES)
def test_a_state_that_was_lost_repeats_no_step(steps: list[Step]) -> None:
    """The register read from the start leads to no champion other than the one that it ends with."""
    rollout = started()
    live(rollout, steps)
    again = Rollout(**RULES)
    for message in rollout.register:
        again.take([message])
    assert again.said == []
    again.wait()
    assert again.partition.state.line(MODEL).champion == rollout.partition.state.line(MODEL).champion
    assert {each.event_id for each in again.said}.isdisjoint(each.event_id for each in rollout.said)


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
        return numbers(rules, look_at(rules, pairs), {"car": pairs}, {})

    before = found()
    chance.shuffle(sorts)
    assert found() == before
