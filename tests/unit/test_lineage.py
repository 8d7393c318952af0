"""What follows what: which thing is asked about, who made a version of what, what a dataset influenced."""

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert, ModelEvent, Place, RetrainDecision, Stage, TrainingRequest
from catseye.ops.lineage.answer import Kept, OfModel, OfPrediction, as_json, as_text, cause_text, event_text, influence
from catseye.ops.lineage.history import History, Key, Predictor, Subject, Total, subject_of, version_meant
from catseye.ops.lineage.manifest import Manifest, TrainingFrame, a_kept_frame, manifest_in, training_frames

HASH = "ab12" * 16
DECISION = "d" * 32
ALERT = "a" * 32
VERSIONS: list[Key] = [("road", "1111aaaa"), ("road", "1111bbbb"), ("other", "2222")]
MANIFEST = Manifest(
    base_version="first",
    classes=["car", "bus"],
    by_part={"train": 2, "window": 1},
    cut_off_ms=1_800_000_000_000,
    partitions=[0, 0, 1],
    offsets=[5, 6, 9],
    labels=[1, 0, 0],
    parts=[0, 2, 0],
)


def event(version: str, stage: Stage, at_ms: int, **changed: Any) -> ModelEvent:
    """A model event of model road."""
    fields: dict[str, Any] = {
        "event_id": f"{version}-{stage}-{at_ms}",
        "model": "road",
        "sha256": "f" * 64,
        "signature": b"s",
        "because": f"{stage} it is",
        "by": "trainer",
    }
    return ModelEvent(version=version, stage=stage, at_ms=at_ms, **(fields | changed))


def decision(decision_id: str = DECISION, **changed: Any) -> RetrainDecision:
    """A decision with an alert, a request and something unknown behind it."""
    fields: dict[str, Any] = {
        "base_version": "first",
        "accepted": True,
        "because": "drift",
        "causes": [ALERT, "r" * 32, "gone"],
        "by": "retrain_trigger",
        "decided_at_ms": 5,
    }
    return RetrainDecision(decision_id=decision_id, model="road", detail="because so", **(fields | changed))


def alert(revision: int = 0, **changed: Any) -> Alert:
    """An alert of camera gate."""
    fields: dict[str, Any] = {
        "alert_id": ALERT,
        "state": "opened",
        "kind": "concept",
        "severity": "critical",
        "camera": "gate",
        "signal": "loss",
        "phase": "day",
        "detector": "esr",
        "estimate": 0.0,
        "reference": 0.0,
        "evidence": 0.0,
        "threshold": 0.0,
        "model": "road",
        "version": "first",
        "since_ms": 1,
        "opened_at_ms": 2,
        "updated_at_ms": 2,
        "explanation": f"revision {revision}",
        "by": "incidents",
    }
    return msgspec.convert(fields | {"revision": revision} | changed, Alert)


def history() -> History:
    """First was registered; second was trained on a dataset for a decision."""
    events = [
        event("first", "champion", 1, by="ada"),
        event("second", "candidate", 10, dataset_sha256=HASH, decision_id=DECISION),
        event("second", "shadow", 11, by="rollout", dataset_sha256=HASH, decision_id=DECISION),
        event("second", "champion", 12, by="rollout", dataset_sha256=HASH, decision_id=DECISION),
        event("first", "shadow", 13, by="rollout"),
    ]
    asked = TrainingRequest(request_id="r" * 32, model="road", reason="snow", by="ada", at_ms=3)
    return History(events, [decision()], [asked], [alert(1), alert(0)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1111aaaa", Subject("model", "1111aaaa", "road")),
        ("1111b", Subject("model", "1111bbbb", "road")),
        ("2222", Subject("model", "2222", "other")),
        (HASH, Subject("dataset", HASH)),
        (HASH[:8].upper(), Subject("dataset", HASH)),
        ("0A" * 16, Subject("prediction", "0a" * 16)),
    ],
)
def test_what_is_asked_about(text: str, expected: Subject) -> None:
    """Versions and datasets by what they begin with, predictions by their whole id."""
    assert subject_of(VERSIONS, {HASH: 1}, text) == expected


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("1111", "begins 2 versions and 0 datasets: give more of it"),
        ("111", "is nothing that is known: give a prediction's id"),
        (HASH[:7], "is nothing that is known"),
        ("0" * 31, "is nothing that is known"),
        ("no such thing", "is nothing that is known"),
        ("0" * 64, "no model was trained on a dataset whose sha256 begins with 0000"),
    ],
)
def test_what_nothing_answers_to_is_reported(text: str, reported: str) -> None:
    """With what to give instead."""
    with pytest.raises(Misconfigured, match=reported):
        subject_of(VERSIONS, {HASH: 1}, text)


def test_a_version_and_a_dataset_that_begin_alike_are_not_guessed() -> None:
    """More digits are asked for, unless it is the version as it is."""
    versions = [*VERSIONS, ("road", HASH[:12])]
    with pytest.raises(Misconfigured, match="1 versions and 1 datasets"):
        subject_of(versions, {HASH: 1}, HASH[:8])
    assert subject_of(versions, {HASH: 1}, HASH[:12]).kind == "model"


def test_one_version_is_meant() -> None:
    """None or several are refused."""
    assert version_meant(VERSIONS, "1111a") == ("road", "1111aaaa")
    with pytest.raises(Misconfigured, match="no version begins with 3333"):
        version_meant(VERSIONS, "3333")
    with pytest.raises(Misconfigured, match="2 versions begin with 1111"):
        version_meant(VERSIONS, "1111")


def test_a_version_is_followed_to_what_caused_it() -> None:
    """Its maker, decision, alert by its newest record, request, and what the log has no more."""
    link = history().link("road", "second", MANIFEST)
    assert (link.made_by, link.decision_id, link.dataset_sha256, link.base_version) == (
        "trainer",
        DECISION,
        HASH,
        "first",
    )
    assert [each.stage for each in link.events] == ["candidate", "shadow", "champion"]
    known, asked, gone = link.causes
    assert known.alert is not None
    assert known.alert.explanation == "revision 1"
    assert asked.request is not None
    assert asked.request.by == "ada"
    assert cause_text(asked) == f"request {'r' * 12} of ada: snow"
    assert (gone.alert, gone.request) == (None, None)


def test_a_request_from_before_version_3_is_still_a_cause() -> None:
    """It stood among the decisions then."""
    events = [event("second", "candidate", 10, decision_id=DECISION)]
    old = decision("r" * 32, accepted=False, by="ada")
    _, asked, _ = History(events, [old, decision()]).link("road", "second").causes
    assert cause_text(asked) == f"request {'r' * 12} of ada: because so"


def test_an_event_that_somebody_asked_for_names_the_command() -> None:
    """With who asked, and why."""
    by_hand = event("second", "champion", 0, by="ada", because="it rains", command_id="c" * 32)
    assert event_text(by_hand) == f"1970-01-01 00:00:00 champion by ada (command {'c' * 12}): it rains"
    assert event_text(replace(by_hand, command_id=None)) == "1970-01-01 00:00:00 champion by ada: it rains"


def test_the_base_is_what_the_manifest_or_else_the_decision_says() -> None:
    """A first version has none, and an unknown one no events."""
    assert history().link("road", "second").base_version == "first"
    assert history().link("road", "second", replace(MANIFEST, base_version="other")).base_version == "other"
    assert history().link("road", "first").base_version is None
    assert history().link("road", "nobody").events == []


def test_times_as_champion_end_with_the_next_one() -> None:
    """Of whatever name; canaries, which serve some cameras, end nobody's time. One that is rejected ends at once."""
    assert history().served("road", "first") == [(1, 12)]
    assert history().served("road", "second") == [(12, None)]
    canary = history()
    canary.events.insert(1, event("second", "champion", 3, cameras=["gate"]))
    assert canary.served("road", "first") == [(1, 12)]
    canary.events += [event("second", "rejected", 20), event("first", "champion", 21)]
    assert (canary.served("road", "second"), canary.served("road", "first")) == ([(12, 20)], [(1, 12), (20, None)])
    canary.events.append(event("first", "champion", 22, model="path"))
    assert (canary.served("road", "first"), canary.served("path", "first")) == ([(1, 12), (20, 22)], [(22, None)])


def test_a_manifest_of_a_trainer_of_one_s_own_says_what_it_knows() -> None:
    """What is no manifest is refused in one sentence."""
    assert manifest_in(b'{"by_part": {"train": 3}, "more": 1}') == Manifest(by_part={"train": 3})
    with pytest.raises(ValueError, match="it is no dataset manifest"):
        manifest_in(b"\x00\x01")
    with pytest.raises(ValueError, match="rows differ in length"):
        list(training_frames(replace(MANIFEST, parts=[0])))


def test_a_training_frame_is_one_that_was_trained_on_and_is_kept() -> None:
    """Held-out frames are none, nor those before the start of the log."""
    assert list(training_frames(MANIFEST)) == [TrainingFrame(0, 5, "bus"), TrainingFrame(1, 9, "car")]
    assert a_kept_frame(MANIFEST, {0: 0, 1: 0}) == TrainingFrame(0, 5, "bus")
    assert a_kept_frame(MANIFEST, {0: 6, 1: 9}) == TrainingFrame(1, 9, "car")
    assert a_kept_frame(MANIFEST, {0: 6, 1: 10}) is None


def test_a_dataset_influenced_what_its_versions_reported_as_champion() -> None:
    """Not what they said as shadow; versions that never served are named too."""
    totals = [
        Total(Predictor("predictions", "road", "second", "champion"), 7, "01" * 16, 100, "02" * 16, 200),
        Total(Predictor("predictions.shadow", "road", "second", "shadow"), 5, "03" * 16, 50, "04" * 16, 90),
        Total(Predictor("predictions", "road", "first", "champion"), 9, "05" * 16, 1, "06" * 16, 99),
    ]
    keys = [("road", "second"), ("road", "third")]
    found = influence(HASH, keys, {keys[0]: "champion", keys[1]: "rejected"}, totals, (3, 0))
    assert (found.predictions, found.first_at_ms, found.last_at_ms, found.missed) == (7, 100, 200, 3)
    assert [(each.version, each.predictions, each.shadow_predictions) for each in found.versions] == [
        ("second", 7, 5),
        ("third", 0, 0),
    ]
    text = as_text(found)
    assert "7 predictions as champion" in text
    assert "3 offsets of the log were dropped" in text
    assert influence(HASH, keys[1:], {keys[1]: "rejected"}, [], (0, 0)).first_at_ms is None


def test_an_answer_says_what_is_not_known() -> None:
    """In words and as JSON; the manifest's rows stay in the store."""
    chain = [history().link("road", "second", MANIFEST), history().link("road", "first")]
    place = Place(topic="predictions", partition=1, offset=2)
    answer = OfPrediction(
        prediction_id="0a" * 16,
        place=place,
        outcome_missing="no label came so far",
        chain=chain,
        training_frame=Kept(place=place, missing="too old"),
    )
    text = as_text(answer)
    for reported in (
        "the log has dropped it",
        "no label came so far",
        "gone        too old",
        "concept on gate",
        "by ada",
    ):
        assert reported in text
    reported_json = json.loads(msgspec.json.encode(as_json(answer)))
    assert reported_json["chain"][0]["manifest"]["by_part"] == {"train": 2, "window": 1}
    assert "offsets" not in reported_json["chain"][0]["manifest"]
    model = as_text(OfModel(chain=chain[1:], served=[(1, 12), (21, None)], training_frame_missing="no dataset"))
    assert "nobody asked for a training" in model
    assert "1970-01-01 00:00:00 to now" in model
