"""A person's word on who serves: what `catseye models promote`, `reject` and `rollback` would write, and refuse."""

import pytest

from catseye.cli.models import promoted, rejected, rolled_back, spoken
from catseye.contract.errors import Misconfigured
from catseye.contract.records import ModelEvent
from tests.simulation.rollout import Rollout, event

REGISTER = [
    event("aaaa1111", "champion"),
    event("bbbb2222", "candidate"),
    event("bbbb2222", "champion", previous_version="aaaa1111"),
    event("aaaa1111", "shadow"),
    event("bbbb3333", "candidate"),
    event("bbbb3333", "champion", cameras=["x"]),
    event("cccc", "rejected"),
]


def test_a_version_may_be_promoted_by_its_first_characters() -> None:
    """Also one that was rejected: it is a person's word."""
    said = promoted(REGISTER, "aaaa", None)
    assert (said.version, said.stage, said.previous_version) == ("aaaa1111", "champion", "bbbb2222")
    assert promoted(REGISTER, "bbbb3333", "vehicles").version == "bbbb3333"
    assert promoted(REGISTER, "cccc", None).sha256 == event("cccc", "rejected").sha256
    assert promoted(REGISTER[4:5], "bbbb3333", None).previous_version is None


@pytest.mark.parametrize(
    ("version", "model", "fault"),
    [
        ("bbbb", None, "2 versions begin with bbbb"),
        ("bbb", None, "no version begins with bbb;"),
        ("dddd", None, "no version begins with dddd"),
        ("aaaa", "signs", "no version begins with aaaa"),
        ("bbbb2222", None, "is the champion already"),
    ],
)
def test_what_cannot_be_promoted_is_said(version: str, model: str | None, fault: str) -> None:
    """In one sentence."""
    with pytest.raises(Misconfigured, match=fault):
        promoted(REGISTER, version, model)


def test_a_version_may_be_rejected_unless_it_serves() -> None:
    """Then the way is a rollback."""
    assert rejected(REGISTER, "bbbb3", None).stage == "rejected"
    with pytest.raises(Misconfigured, match="is rejected already"):
        rejected(REGISTER, "cccc", None)
    with pytest.raises(Misconfigured, match="`catseye models rollback`"):
        rejected(REGISTER, "bbbb2222", None)


def test_a_rollback_goes_to_the_last_champion_that_was_not_rejected() -> None:
    """And rejects the one that is."""
    back, gone = rolled_back(REGISTER, None)
    assert (back.version, back.stage, back.previous_version) == ("aaaa1111", "champion", "bbbb2222")
    assert (gone.version, gone.stage, gone.previous_version) == ("bbbb2222", "rejected", None)
    later = [*REGISTER, event("dddd", "champion"), event("bbbb2222", "rejected")]
    assert [each.version for each in rolled_back(later, "vehicles")] == ["aaaa1111", "dddd"]


@pytest.mark.parametrize(
    ("events", "model", "fault"),
    [
        ([], None, "the register has no champion: there is nothing to roll back"),
        (REGISTER, "signs", "signs has no champion"),
        (REGISTER[:1], None, "has no champion before it"),
        ([*REGISTER, event("aaaa1111", "rejected")], None, "has no champion before it"),
        ([*REGISTER, event("aaaa1111", "champion", model="signs")], None, r"several models \(signs, vehicles\)"),
    ],
)
def test_what_cannot_be_rolled_back_is_said(events: list[ModelEvent], model: str | None, fault: str) -> None:
    """In one sentence."""
    with pytest.raises(Misconfigured, match=fault):
        rolled_back(events, model)


def test_the_same_word_after_another_event_is_another_word() -> None:
    """Its id is made of what was said, by whom, and of what stood there; rollout takes it as any other."""
    chosen = promoted(REGISTER, "aaaa", None)
    first, again = (spoken(chosen, "1", "ann", "", 7), spoken(chosen, "1", "ann", "", 8))
    assert (first.event_id, first.because, first.by, first.at_ms) == (again.event_id, "said by hand", "ann", 7)
    assert spoken(chosen, "2", "ann", "", 7).event_id != first.event_id
    rollout = Rollout()
    rollout.hear(*REGISTER[:2], spoken(promoted(REGISTER[:2], "bbbb", None), "2", "ann", "I know", 9))
    assert rollout.steps() == [("aaaa1111", "shadow", "probation")]
    words = rolled_back(REGISTER[:3], None)
    assert rollout.hear(*[spoken(each, "3", "ann", "", 10) for each in words]) == []
    assert rollout.partition.state.line("vehicles").champion == "aaaa1111"
