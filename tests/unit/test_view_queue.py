"""Which frames people are asked about: each with its chance, the same whenever the queue is built."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye.contract.identity import frame_id
from catseye.contract.records import LabelAnswer, LabelSuspect, Outcome, Prediction
from catseye.view.keys import Keys, log_place, partition_and_offset
from catseye.view.writes import Command, Writes
from services.view.queue import EVIDENCE_MOST, Queue, Rates, dice, uncertainty
from services.view.settings import ViewSettings, rates_of
from tests.system.view_records import Road

KEYS = Keys("t.")
RATES = Rates(audit=0.1, unsure=0.4, evidence=0.3)
FRAMES = 20_000


def one(kind: type[Any]) -> Any:
    return next(record for _, record in Road(3, b"jpeg").records(300) if type(record) is kind)


def queue(rates: dict[str, Rates] | None = None) -> Queue:
    return Queue(KEYS, {"*": RATES} if rates is None else rates, 1_000)


def commands(writes: Writes) -> list[Command]:
    return writes.commands()


def drawn(probabilities: dict[str, float]) -> dict[str, float]:
    """Share of frames with such a prediction that each drawer has."""
    view, writes = queue(), Writes(set())
    base = replace(one(Prediction), camera="gate-1", probabilities=probabilities)
    for sequence in range(FRAMES):
        if view.wants("gate-1", "b", sequence):
            view.predicted(replace(base, boot="b", sequence=sequence), writes)
    ranked = {command[1]: 0 for command in commands(writes) if command[0] == "ZADD"}
    for command in commands(writes):
        if command[0] == "ZADD":
            ranked[command[1]] += 1
    return {
        name: ranked.get(KEYS.drawer(name, camera), 0) / FRAMES
        for name, camera in (("audit", ""), ("unsure", ""), ("evidence", "gate-1"))
    }


@pytest.mark.parametrize(
    ("probabilities", "unsure"),
    [({"car": 1.0, "bus": 0.0}, 0.04), ({"car": 0.5, "bus": 0.5}, 0.4), ({"car": 0.75, "bus": 0.25}, 0.2)],
)
def test_each_frame_is_drawn_with_the_chance_that_is_logged(probabilities: dict[str, float], unsure: float) -> None:
    """By a hash of its name: audits whatever the model says, unsure ones the likelier the less it knows, never 0."""
    found = drawn(probabilities)
    for share, chance in ((found["audit"], 0.1), (found["unsure"], unsure), (found["evidence"], 0.3)):
        assert abs(share - chance) < 5 * (chance * (1 - chance) / FRAMES) ** 0.5


def test_drawers_do_not_depend_on_each_other() -> None:
    """A frame of one is no likelier in the other: each estimate stands alone."""
    thrown = [dice(frame_id("gate-1", "b", sequence)) for sequence in range(FRAMES)]
    both = sum(each.audit < 0.3 and each.unsure < 0.3 for each in thrown) / FRAMES
    assert abs(both - 0.09) < 5 * (0.09 * 0.91 / FRAMES) ** 0.5
    assert 0.04 < sum(each.second < 0.05 for each in thrown) / FRAMES < 0.06


def test_rates_go_by_camera() -> None:
    """The first pattern that fits holds; where none fits, the usual ones."""
    none = Rates(audit=0, unsure=0, evidence=0)
    view = queue({"quiet-*": none, "*-1": RATES})
    assert not any(view.wants("quiet-1", "b", sequence) for sequence in range(2_000))
    assert sum(view.wants("gate-1", "b", sequence) for sequence in range(2_000)) > 900
    assert 300 < sum(view.wants("gate-2", "b", sequence) for sequence in range(2_000)) < 700


def test_what_is_unsure_is_measured_from_the_probabilities() -> None:
    """One class, or none, says nothing: as unsure as can be."""
    assert uncertainty({}) == uncertainty({"car": 1.0}) == 1
    assert uncertainty({"car": 1.0, "bus": 0.0}) == 0
    assert uncertainty({"car": 0.5, "bus": 0.5}) == 1
    assert uncertainty({"car": 1.5, "bus": 0.0}) == 0


def test_a_frame_that_is_labelled_is_kept_in_mind_if_it_may_be_asked_about() -> None:
    """One whose label was taken back is forgotten; of others nothing is written."""
    view = queue({"*": Rates(audit=1, unsure=0, evidence=0)})
    outcome = replace(one(Outcome), label="car", label_received_at_ms=5)
    writes = Writes(set())
    view.labelled(outcome, writes)
    frame = frame_id(outcome.camera, outcome.boot, outcome.sequence)
    assert commands(writes)[0] == ["ZADD", KEYS.labelled, 5, frame]
    writes = Writes(set())
    view.labelled(replace(outcome, label=None, change="withdrawn"), writes)
    assert commands(writes) == [["ZREM", KEYS.labelled, frame]]
    writes = Writes(set())
    queue({"*": Rates(audit=0, unsure=0, evidence=0)}).labelled(outcome, writes)
    assert commands(writes) == []


def answer(sequence: int = 1, **changed: Any) -> LabelAnswer:
    given = LabelAnswer(
        answer_id="a",
        camera="gate-1",
        boot="b",
        sequence=sequence,
        drawer="audit",
        chance=0.1,
        answer="labelled",
        label="car",
        by="ada",
        at_ms=7,
    )
    return replace(given, **changed)


def after(*answers: LabelAnswer) -> dict[Any, set[Any]]:
    """Members of each sorted set and fields of each hash, after *answers*."""
    writes = Writes(set())
    for each in answers:
        queue().answered(each, writes)
    found: dict[Any, set[Any]] = {}
    for name, key, *words in commands(writes):
        if name == "ZADD":
            found.setdefault(key, set()).add(words[1])
        elif name == "HSET":
            found.setdefault(key, set()).add(words[0])
        elif name in ("ZREM", "HDEL"):
            found.setdefault(key, set()).discard(words[0])
    return {key: members for key, members in found.items() if members}


SECOND = next(number for number in range(1_000) if dice(f"gate-1/b/{number}").second < 0.05)
FIRST = next(number for number in range(1_000) if dice(f"gate-1/b/{number}").second >= 0.05)


def test_an_answer_counts_once_and_can_be_taken_back() -> None:
    """By its id: sent twice it is one, undone it is none, for a first opinion and for a second."""
    for sequence in (FIRST, SECOND):
        for second in (False, True):
            given = answer(sequence, second_opinion=second)
            assert after(given, given) == after(given)
            assert after(given)[KEYS.answers_of("ada")] == {"a"}
            undone = after(given, replace(given, answer="undone", label=None))
            assert set(undone) <= {"t.view:queue:people", KEYS.opinion_labels}


def test_only_what_two_people_are_asked_about_is_compared() -> None:
    """And only where a class was given."""
    assert KEYS.opinions not in after(answer(FIRST))
    assert after(answer(SECOND))[KEYS.opinions] == {f"ada\ngate-1/b/{SECOND}"}
    assert KEYS.opinions not in after(answer(SECOND, answer="not_sure", label=None))
    assert after(answer(SECOND, second_opinion=True))[KEYS.second_opinions] == {f"gate-1/b/{SECOND}"}


def test_a_skipped_frame_is_for_somebody_else() -> None:
    """It is no answer."""
    assert after(answer(answer="skipped", label=None)) == {KEYS.skipped: {"ada\ngate-1/b/1"}}


def suspect(sequence: int) -> LabelSuspect:
    return LabelSuspect(
        camera="gate-1",
        boot="b",
        sequence=sequence,
        frame_partition=2,
        frame_offset=7,
        received_at_ms=1_000,
        label="bus",
        classes=["car", "bus"],
        source="audit",
        propensity=0.25,
        because="training",
        by="trainer",
        at_ms=2_000,
    )


def test_a_label_in_doubt_is_shown_again_with_its_own_chance() -> None:
    """Named twice it waits once, and newer frames drive older ones out; the class in doubt is shown."""
    writes = Writes(set())
    for each in (suspect(1), suspect(1), suspect(2)):
        queue().in_doubt(each, writes)
    ranked = [command for command in commands(writes) if command[0] == "ZADD"]
    assert {command[-1] for command in ranked} == {"gate-1/b/1", "gate-1/b/2"}
    words = [command[2:] for command in commands(writes) if command[0] == "HSET"]
    facts = {frame: fact for each in words for frame, fact in zip(each[::2], each[1::2], strict=True)}
    written = facts["gate-1/b/1"]
    assert isinstance(written, bytes)
    known = msgspec.json.decode(written)
    assert (known["place"], known["predicted"], known["chance"], known["source"]) == ("2/7", "bus", 0.25, "audit")


def test_who_looks_again_answers_once() -> None:
    """It is an answer of his, of no first and no second opinion; undone it is none."""
    for sequence in (FIRST, SECOND):
        given = answer(sequence, drawer="suspect")
        assert after(given, given) == after(given)
        assert after(given) == {
            KEYS.people: {"ada"},
            KEYS.answers_of("ada"): {"a"},
            KEYS.looked_again: {f"gate-1/b/{sequence}"},
        }
        assert after(given, replace(given, answer="undone", label=None)) == {KEYS.people: {"ada"}}


def test_suspected_cameras_have_a_drawer_of_their_own() -> None:
    """Small, so that a fleet of them is small too."""
    writes = Writes(set())
    queue().suspects("gate-1", ["loss", "content"], writes)
    assert commands(writes) == [["ZADD", KEYS.suspected, 2, "gate-1"]]
    assert EVIDENCE_MOST * 500 < 100_000


@pytest.mark.parametrize("wrong", ["[", '{"*": {"audit": 2}}', '{"*": {"audits": 0.1}}', '{"*": 3}'])
def test_wrong_rates_are_refused_with_an_example(wrong: str) -> None:
    """At the start, not at the first frame."""
    with pytest.raises(ValueError, match=r"chance|example"):
        ViewSettings(view_queue_rates=wrong)
    assert rates_of('{"gate-*": {"audit": 0.02}}') == {"gate-*": Rates(audit=0.02)}


@pytest.mark.parametrize("topic", ["", "dead-letters/"])
def test_a_place_on_a_log_is_taken_apart_as_it_was_put_together(topic: str) -> None:
    """Whether its topic stands before it or not."""
    assert partition_and_offset(topic + log_place(3, 70_000)) == (3, 70_000)
