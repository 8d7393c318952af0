"""Alert kinds: one row says a kind, and everything that knows kinds reads it."""

import pytest

from catseye.contract.alert_kinds import (
    DRIFT,
    EVIDENCE_OF_DRIFT,
    KINDS,
    PICTURE,
    cause_of,
    require_known,
    rows_of,
    unknown,
)
from catseye.contract.errors import Misconfigured, Reason
from catseye.contract.records import DeadLetter
from catseye.runtime.heartbeats import Problems
from infra.local.generate_kinds import PAGE, generated, replaced
from services.drift import __main__ as drift
from services.drift.fault_rules import ALARMS
from services.drift.settings import DriftSettings
from services.incidents.explain import MOVED
from services.retrain_trigger.policy import CAMERA_FAULTS, MAY_TRAIN
from services.simulator.scenario import SCENARIOS, load_scenario
from tests.simulation.incidents import CODEC, Incidents, alarm, report


def test_every_kind_that_drift_raises_has_a_row() -> None:
    """Its families, its faults, its absences, and the one that it names only in a report."""
    require_known((*ALARMS, "camera_moved"))
    assert unknown([*ALARMS, "camera_moved", "camera_upside_down"]) == ["camera_upside_down"]


def test_a_kind_without_a_row_is_an_error_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of drift: it names the kind and the table."""
    monkeypatch.setattr(drift, "ALARMS", (*ALARMS, "camera_upside_down"))
    with pytest.raises(Misconfigured, match=r"alert_kinds\.py has no row for camera_upside_down"):
        drift.build(DriftSettings(), CODEC, None, Problems())


def test_a_report_of_an_unknown_kind_is_refused() -> None:
    """With a sentence in the dead letters; what is known of the camera stays, and its next report is taken."""
    incidents = Incidents()
    assert incidents.take(report("a", 0, alarm("camera_upside_down", 0))) == []
    (letter,) = [CODEC.decode(each.value, DeadLetter) for each in incidents.partition.outputs]
    assert (letter.reason, "camera_upside_down" in letter.detail) == (Reason.FIELD_OUT_OF_RANGE, True)
    assert [each.kind for each in incidents.take(report("a", 1, alarm("camera_frozen", 1)))] == ["camera_frozen"]


def test_causes_are_those_of_the_rows() -> None:
    """Evidence of drift is of one cause though predictions and accuracy are no kinds; most kinds are their own."""
    assert {cause_of(kind) for kind in EVIDENCE_OF_DRIFT} == {DRIFT}
    assert {row.name for row in rows_of(DRIFT)} == {"input", "class_mix", "concept", "model_version"}
    assert [row.name for row in rows_of("telemetry")] == ["telemetry"]
    for find in (cause_of, rows_of):
        with pytest.raises(KeyError):
            find("camera_upside_down")


def test_rows_of_one_cause_agree_on_what_the_cause_decides() -> None:
    """And of the faults that a picture shows, no two would name an alert with the same right."""
    for cause in {cause_of(kind) for kind in KINDS}:
        rows = rows_of(cause)
        assert len({(row.is_camera_fault, row.is_blocked_by_faults, row.waits_for_others) for row in rows}) == 1
    assert len({row.precedence for row in rows_of(PICTURE)}) == len(rows_of(PICTURE))


def test_a_camera_at_fault_never_starts_a_training() -> None:
    """Nor do missing labels; what starts one by default may."""
    assert not CAMERA_FAULTS & set(MAY_TRAIN)
    assert not KINDS["labels_missing"].may_train
    assert all(row.may_train for row in KINDS.values() if row.trains_by_default)


def test_sentences_are_whole_in_their_places() -> None:
    """A meaning follows the camera's name, an action is a sentence without its stop; each moved family is named."""
    for row in KINDS.values():
        assert row.meaning[0].islower()
        assert row.action[0].isupper()
        assert not row.meaning.endswith(".")
        assert not row.action.endswith(".")
    assert set(MOVED) == set(EVIDENCE_OF_DRIFT)


def test_scenarios_know_the_kinds_of_the_table() -> None:
    """What a shipped scenario does not name is wrong there, also a kind that is added."""
    for name in SCENARIOS:
        scenario = load_scenario(name)
        assert {*scenario.right, *scenario.allowed, *scenario.wrong} == set(KINDS)


def test_the_table_of_the_page_is_the_generated_one() -> None:
    """`python -m infra.local.generate_kinds` would change nothing."""
    text = PAGE.read_text()
    assert replaced(text) == text
    assert replaced(text.replace("camera_silent", "camera_quiet")) == text
    assert all(f"| `{kind}` |" in generated() for kind in KINDS)
