"""A person's command about a model: what `catseye models` asks for, what it leads to, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.cli import models as models_commands
from catseye.cli.models import newest_steps
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.records import ModelAction, ModelCommand, ModelEvent
from catseye.models import register
from catseye.models.asking import asked, request
from catseye.models.commands import KnownModels, carried_out, known_models
from catseye.models.stages import champion_in
from catseye.settings import Settings
from tests.simulation.rollout import MODEL, Rollout, command, event

REGISTER = [
    event("aaaa1111", "champion"),
    event("bbbb2222", "candidate"),
    event("bbbb2222", "champion", previous_version="aaaa1111"),
    event("aaaa1111", "shadow"),
    event("bbbb3333", "candidate"),
    event("bbbb3333", "champion", cameras=["x"]),
    event("cccc", "rejected"),
]


def reported(
    events: list[ModelEvent], action: ModelAction, version: str, model: str | None, at_ms: int = 7
) -> ModelCommand:
    """The command that ann means."""
    return asked(events, action, version, model, by="ann", at_ms=at_ms)


def steps(events: list[ModelEvent], action: ModelAction, version: str, model: str | None) -> list[ModelEvent]:
    """The events that her command leads to as the register stands."""
    command = reported(events, action, version, model)
    return carried_out(known_models(events), command, 8)


def promoted(events: list[ModelEvent], version: str, model: str | None) -> ModelEvent:
    """The one event of a promotion."""
    (promotion,) = steps(events, "promote", version, model)
    return promotion


def rejected(events: list[ModelEvent], version: str, model: str | None) -> ModelEvent:
    """The one event of a rejection."""
    (rejection,) = steps(events, "reject", version, model)
    return rejection


def rolled_back(events: list[ModelEvent], model: str | None) -> list[ModelEvent]:
    """The events of a rollback."""
    return steps(events, "roll_back", "", model)


def test_a_version_may_be_promoted_by_its_first_characters() -> None:
    """Also one that was rejected: it is a person's word."""
    first = promoted(REGISTER, "aaaa", None)
    assert (first.version, first.stage, first.previous_version) == ("aaaa1111", "champion", "bbbb2222")
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
def test_what_cannot_be_promoted_is_reported(version: str, model: str | None, fault: str) -> None:
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
        ([*REGISTER, event("5555", "champion", model="signs")], MODEL, "signs 5555 is champion of all cameras"),
    ],
)
def test_what_cannot_be_rolled_back_is_reported(events: list[ModelEvent], model: str | None, fault: str) -> None:
    """In one sentence."""
    with pytest.raises(Misconfigured, match=fault):
        rolled_back(events, model)


def test_one_rule_says_who_is_champion_of_models_of_several_names() -> None:
    """Commands, lists and services: the last that was made champion, and a rollback goes back over names."""
    register = [*REGISTER, event("5555", "champion", model="signs")]
    shown = {row["version"]: row["stage"] for row in newest_steps(register)}
    assert [version for version, stage in shown.items() if stage == "champion"] == ["5555"]
    assert request(register, "ann", "", 1).model == "signs"
    back, gone = rolled_back(register, None)
    assert (back.model, back.version, back.previous_version) == ("vehicles", "bbbb2222", "5555")
    assert (gone.model, gone.version, gone.stage) == ("signs", "5555", "rejected")
    promotion = promoted(register, "bbbb2222", None)
    after = [*register, promotion]
    champion = champion_in(after)
    assert champion is not None
    assert (champion.model, champion.version) == (promotion.model, promotion.version) == ("vehicles", "bbbb2222")
    with pytest.raises(Misconfigured, match="vehicles bbbb2222 is the champion already"):
        promoted(after, "bbbb2222", None)
    assert rejected(after, "5555", None).model == "signs"


def test_the_same_command_at_another_time_is_another_command() -> None:
    """Its id is made of who asks for what and when; its events name it."""
    first, again = (reported(REGISTER, "promote", "aaaa", None, at_ms=at_ms) for at_ms in (7, 8))
    assert first.command_id != again.command_id
    assert reported(REGISTER, "promote", "aaaa", None, at_ms=7) == first
    assert (first.seen_event_id, first.version, first.by) == (REGISTER[-1].event_id, "aaaa1111", "ann")
    (one,) = carried_out(known_models(REGISTER), first, 9)
    (other,) = carried_out(known_models(REGISTER), again, 9)
    assert (one.command_id, one.because, one.by, one.at_ms) == (first.command_id, "said by hand", "ann", 9)
    assert one.event_id != other.event_id
    assert carried_out(known_models(REGISTER), replace(first, reason="I know"), 9)[0].because == "I know"


def test_rollout_carries_out_what_the_command_line_asks_for() -> None:
    """A promotion and a rollback, with what follows of each."""
    rollout = Rollout()
    rollout.receive(*REGISTER[:2])
    assert rollout.ask(reported(rollout.register, "promote", "bbbb", None)) == [("aaaa1111", "shadow", "probation")]
    assert rollout.ask(reported(rollout.register, "roll_back", "", None)) == []
    assert rollout.partition.state.of_model("vehicles").champion == "aaaa1111"


def test_what_rollout_knows_is_what_the_register_says() -> None:
    """So that both judge a command alike; one that was handed in once more stays what it became."""
    rollout = Rollout(labels_min=10, approval=True)
    rollout.receive(*REGISTER)
    rollout.receive(event("bbbb2222", "candidate", because="again"))
    rollout.receive(event("cccc", "candidate", because="again"))
    rollout.ask(command("promote", "bbbb3333"))
    rollout.ask(command("roll_back"))
    known, seen = rollout.partition.state.known(), known_models(rollout.register)
    former = [(MODEL, version) for version in ("bbbb2222", "bbbb3333", "aaaa1111")]
    assert list(seen.champions) == list(known.champions) == former
    assert seen.champion == known.champion == former[0]
    assert {version: each.stage for version, each in seen.newest.items()} == {
        version: each.stage for version, each in known.newest.items()
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": None}, "its name and its version"),
        ({"stage": "shadow"}, "not as shadow"),
        ({"stage": None}, "not as None"),
        ({"sha256": "ab"}, "without the hash of its file and a signature"),
        ({"sha256": None}, "without the hash of its file and a signature"),
        ({"signature": None}, "without the hash of its file and a signature"),
        ({"version": "bbbb2222", "stage": "rejected"}, "is the champion"),
        ({"model": "si\u200bgns"}, r"the model's name has U\+200B"),
        ({"model": "signs "}, "the model's name is 'signs '; it is registered as 'signs'"),
        ({"version": "dd\0dd"}, "the version has the control character"),
        ({"by": "ann\u202e"}, r"by has U\+202E"),
        ({"reason": "x" * 2_001}, "reason has 2001 characters"),
        ({"owner": " ada"}, "the owner is ' ada'; it is registered as 'ada'"),
    ],
)
def test_what_cannot_be_registered_is_refused(changes: dict[str, Any], why: str) -> None:
    """A candidate without a file would be a champion that nobody can load."""
    sound = command("register", "dddd", stage="candidate", sha256="ab" * 32, signature=b"s")
    assert len(carried_out(known_models(REGISTER), sound, 1)) == 1
    with pytest.raises(BadRecord, match=why) as refused:
        carried_out(known_models(REGISTER), replace(sound, **changes), 1)
    assert refused.value.reason == Reason.COMMAND_REFUSED


@pytest.mark.parametrize(
    ("before", "becomes"),
    [
        ([], ["champion"]),
        ([event("aaaa", "candidate")], ["champion"]),
        ([event("aaaa", "champion")], []),
        ([event("aaaa", "champion", model="signs")], []),
        ([event("aaaa", "champion"), event("aaaa", "rejected")], []),
    ],
)
def test_a_first_champion_is_one_only_where_none_was_before(before: list[ModelEvent], becomes: list[str]) -> None:
    """Whatever its name, and also if it was rejected since: it goes on predicting."""
    first = command("register", "dddd", stage="champion", sha256="ab" * 32, signature=b"s", only_as_first=True)
    assert [each.stage for each in carried_out(known_models(before), first, 1)] == becomes
    assert len(carried_out(known_models(before), replace(first, only_as_first=False), 1)) == 1


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_champion_of_ones_own_is_not_replaced_by_the_first_of_a_new_fleet(order: tuple[int, int]) -> None:
    """Both were asked for while rollout was still starting, so neither saw the other; whichever it reads first."""
    file = {"stage": "champion", "sha256": "ab" * 32, "signature": b"s"}
    both = command("register", "dddd", **file, only_as_first=True), command("register", "eeee", model="signs", **file)
    rollout = Rollout()
    for number in order:
        rollout.ask(both[number])
    champion = champion_in(rollout.register)
    assert champion is not None
    assert (champion.model, champion.version) == ("signs", "eeee")
    assert rollout.partition.state.known().champion == ("signs", "eeee")


def test_a_registration_names_who_answers_for_the_model() -> None:
    """And so do the version's later steps, whoever takes them."""
    asked_for = command("register", "dddd", stage="candidate", sha256="ab" * 32, signature=b"s", owner="ada")
    (registered,) = carried_out(known_models(REGISTER), asked_for, 1)
    (promoted,) = steps([*REGISTER, registered], "promote", "dddd", None)
    assert (registered.owner, promoted.owner) == ("ada", "ada")


def test_a_rejection_needs_no_file() -> None:
    """A training may end without one; its numbers are on record."""
    asked_for = command("register", "dddd", stage="rejected", metrics={"a": 1.0}, decision_id="d")
    (one,) = carried_out(KnownModels(), asked_for, 1)
    assert (one.sha256, one.signature, one.metrics, one.decision_id) == ("", b"", {"a": 1.0}, "d")


def test_two_people_who_roll_back_at_once_go_back_once() -> None:
    """The second one meant a champion that is not there any more."""
    second = replace(reported(REGISTER, "roll_back", "", None), command_id="second")
    known = known_models([*REGISTER, *rolled_back(REGISTER, None)])
    with pytest.raises(BadRecord, match="bbbb2222 is not the champion any more: aaaa1111 is"):
        carried_out(known, second, 1)


def test_only_what_waits_for_approval_is_approved() -> None:
    """As rollout says it of a candidate that it found better."""
    waits = [*REGISTER[:4], event("dddd", "shadow", because="approval: on 50 labelled frames")]
    (approved,) = steps(waits, "approve", "dddd", None)
    assert (approved.stage, approved.previous_version) == ("champion", "bbbb2222")
    with pytest.raises(Misconfigured, match="aaaa1111 waits for no approval"):
        steps(waits, "approve", "aaaa", None)


@pytest.mark.parametrize("serves", [None, event("aaaa1111", "champion")])
def test_models_first_registers_a_file_where_no_champion_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, serves: ModelEvent | None
) -> None:
    """And prints who is champion, that file or the one that was there."""
    file = tmp_path / "own.onnx"
    file.write_bytes(b"a model")
    asked_for: list[bytes] = []

    def registered(_: object, __: object, onnx: bytes, **___: object) -> ModelEvent:
        asked_for.append(onnx)
        return event("bbbb2222", "champion")

    monkeypatch.setattr(models_commands, "settings_with_broker", lambda: Settings(data_dir=tmp_path))
    monkeypatch.setattr(models_commands, "serving", lambda _: serves)
    monkeypatch.setattr(register, "register_first", registered)
    models_commands.models(["first", str(file)], standalone_mode=False)
    assert asked_for == ([] if serves else [b"a model"])
    assert capsys.readouterr().out == f"vehicles {serves.version if serves else 'bbbb2222'} is champion\n"
