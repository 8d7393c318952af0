"""Rows of the tables of signals and faults, and what follows from them."""

import ast
from pathlib import Path

import pytest

import services.drift
from catseye.contract import alert_kinds
from services.drift.fault_rules import FAULTS
from services.drift.fields import DAYS_FIELDS, EVIDENCE_FIELDS, LEARNING_FIELDS, REFERENCE_FIELDS
from services.drift.layout import FRAMES_FAMILIES, OUTCOME_FAMILIES
from services.drift.settings import DriftSettings
from services.drift.signals import KINDS, SIGNALS
from tests.simulation.eight_classes import FAMILIES, STREAM, WATCH_FIELDS, WEIGHTS

FOLDER = Path(services.drift.__file__).parent
FIELDS = (*REFERENCE_FIELDS, *WATCH_FIELDS, *LEARNING_FIELDS, *DAYS_FIELDS)
NO_STATE = {"normal"}
"""Modules whose rows follow from state and are none."""


def changed_columns(source: str) -> set[str]:
    """Names of columns that code assigns to: ``watch["light"][rows] = …``, also as one of several targets."""
    targets: list[ast.AST] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            targets += [each for target in node.targets for each in getattr(target, "elts", [target])]
        if isinstance(node, ast.AugAssign):
            targets.append(node.target)
    found = set()
    for target in targets:
        while isinstance(target, ast.Subscript):
            if isinstance(target.slice, ast.Constant) and isinstance(target.slice.value, str):
                found.add(target.slice.value)
            target = target.value  # noqa: PLW2901 - inwards
    return found


def trespassers(sources: dict[str, str]) -> list[str]:
    """Modules that change a column that another one owns."""
    owners: dict[str, set[str]] = {}
    for field in (*FIELDS, *EVIDENCE_FIELDS):
        owners.setdefault(field.name, set()).add(field.owner)
    return [
        f"{module} changes {name}"
        for module, source in sources.items()
        for name in sorted(changed_columns(source))
        if module not in owners.get(name, {module}) and module not in NO_STATE
    ]


def test_each_column_of_state_is_changed_by_its_owner_alone() -> None:
    """Renewal, which takes whole rows back, goes through them."""
    sources = {path.stem: path.read_text() for path in FOLDER.glob("*.py")}
    assert {field.owner for field in FIELDS} <= {*sources}
    assert trespassers(sources) == []


def test_a_module_that_changes_anothers_column_is_found() -> None:
    """Negative control: alone, as one of several targets, and by adding."""
    for line in ('watch["light"][rows] = 1', 'a, watch["light"][rows] = 1, 2', 'watch["light"][rows] += 1'):
        assert trespassers({"streams": line}) == ["streams changes light"]
        assert trespassers({"watcher": line}) == []


def test_streams_of_a_family_stand_together_and_share_its_evidence() -> None:
    """All of it, and no other's; families that frames feed stand before those that outcomes feed."""
    for number, family in enumerate(FAMILIES):
        assert {stream.place.signal.family for stream in STREAM[family.slice]} == {family.kind}
        assert WEIGHTS[:, number].sum() == pytest.approx(1) == WEIGHTS[family.slice, number].sum()
    assert [kind.by for kind in KINDS[FRAMES_FAMILIES]] == ["frames"] * 3
    assert [kind.by for kind in KINDS[OUTCOME_FAMILIES]] == ["outcomes"] * 2


def test_names_of_streams_are_their_own() -> None:
    """State is copied by them."""
    assert len({stream.name for stream in STREAM}) == len(STREAM)
    assert all(row.text for row in SIGNALS)


def test_settings_that_a_fault_names_exist() -> None:
    """Under that name."""
    assert {name for fault in FAULTS for name in fault.settings} <= {*DriftSettings.model_fields}


def test_what_blinds_a_camera_is_what_people_are_shown_as_its_fault() -> None:
    """The rows of drift and those of alerts agree."""
    for fault in FAULTS:
        assert fault.blinds == alert_kinds.KINDS[fault.kind].is_camera_fault


def test_the_page_of_drift_lists_every_signal() -> None:
    """As its row has it."""
    page = (FOLDER / "README.md").read_text()
    for row in SIGNALS:
        along = f" by {row.along}" if row.along else ""
        assert f"| `{row.name}`{along} | `{row.family}` | {row.text} |\n" in page
