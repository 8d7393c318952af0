"""Scenarios: what happens on a road and which alerts ought to come of it, as files that people read and write."""

import difflib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from catseye.contract.alert_kinds import KINDS
from catseye.contract.errors import Misconfigured
from services.simulator import changes
from services.simulator.changes import Change
from services.simulator.core import Plan
from services.simulator.weather import KINDS as WEATHERS

FOLDER = Path(__file__).parent / "scenarios"
SCENARIOS = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
"""Names of the scenarios that are shipped."""

ALERT_KINDS: tuple[str, ...] = tuple(KINDS)
Verdict = Literal["right", "allowed", "wrong"]

_EXAMPLE = "for example: change: {kind: fog, severity: 4}"

_CHANGES: dict[str, type[Change]] = {
    **dict.fromkeys(WEATHERS, changes.Weather),
    "nothing": changes.Nothing,
    "frozen": changes.Frozen,
    "black": changes.Black,
    "silent": changes.Silent,
    "clock_jump": changes.ClockJump,
    "class_mix": changes.ClassMix,
    "new_kind": changes.NewKind,
    "wrong_labels": changes.WrongLabels,
    "labels_stop": changes.LabelsStop,
}


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario but for what happens in it.

    Attributes:
        name: Of the file.
        sentence: What happens, in one.
        at_s: When, in seconds since publishing began.
        cameras: To how many: a whole number is a number of them, a fraction a share.
        model: "worse" asks whoever runs the models to promote a worse one at that time; the simulator has none.
        right: Kinds of alerts of which at least one must open on each changed camera.
        allowed: Kinds that may open there too.
        wrong: Kinds that must not open there; left out, all others. On other cameras every kind is wrong.
    """

    name: str
    sentence: str
    at_s: changes.Seconds = 30.0
    cameras: int | float = 0.5
    model: Literal["same", "worse"] = "same"
    right: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


class Scenario(_Written, frozen=True, kw_only=True):
    """What happens on a road, to whom and when, and which alerts ought to come of it.

    Attributes:
        change: What happens to the changed cameras.
    """

    change: Change

    def verdict(self, kind: str, *, changed: bool) -> Verdict:
        """What to think of an alert of *kind* on a camera that *changed* or did not."""
        if changed and kind in self.right:
            return "right"
        return "allowed" if changed and kind in self.allowed else "wrong"


def load_scenario(name_or_file: str | Path) -> Scenario:
    """A scenario by its name, with - or _ alike, or from a file: with a suffix or a folder in its name.

    Raises:
        Misconfigured: there is none, or it is not written as it must be; the sentence names what is wrong and what is
            nearest to it.
    """
    path = Path(name_or_file)
    if path.suffix.lower() not in {".yaml", ".yml"} and len(path.parts) < 2:
        name = str(name_or_file).replace("-", "_")
        _check_known("--scenario: there is no scenario", [name], SCENARIOS)
        path = FOLDER / f"{name}.yaml"
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise Misconfigured(f"--scenario: {path} cannot be read: {fault}") from fault
    except yaml.YAMLError as fault:
        raise Misconfigured(f"{path}: it is no YAML: {fault}") from fault
    return _scenario(written, str(path))


def planned(plan: Plan, scenario: Scenario, *, at_s: float | None = None, cameras: float | None = None) -> Plan:
    """*plan* with what happens in *scenario*.

    Args:
        plan: The road without it.
        scenario: What happens.
        at_s: When, instead of the scenario's own time.
        cameras: To how many, instead of the scenario's own number (int) or share (float).

    Raises:
        Misconfigured: the road has not so many cameras, or no such classes.
    """
    at_s = scenario.at_s if at_s is None else at_s
    count = how_many(scenario.cameras if cameras is None else cameras, plan.cameras, f"scenario {scenario.name}")
    change = scenario.change
    if isinstance(change, changes.NewKind):
        if change.label in plan.classes:
            raise Misconfigured(f"scenario {scenario.name}: {change.label} is no new kind: the road has that class")
        if change.made_of:
            _check_known(f"scenario {scenario.name}: made_of: the road has no class", [change.made_of], plan.classes)
    return replace(plan, change=change, change_at_ms=at_s * 1_000, change_cameras=count)


def how_many(wanted: float, cameras: int, whose: str) -> int:
    """How many of *cameras* are meant by *wanted*: an int is a number of them, a float a share, at least one of them
    unless it is 0. *whose* begins the sentence when it cannot be.

    Raises:
        Misconfigured: more than there are, or less than none.
    """
    if isinstance(wanted, int):
        if 0 <= wanted <= cameras:
            return wanted
    elif 0 <= wanted <= 1:
        return max(1, round(wanted * cameras)) if wanted else 0
    raise Misconfigured(f"{whose}: {wanted} is not within the {cameras} cameras of the road")


def _scenario(written: Any, path: str) -> Scenario:
    if not isinstance(written, dict) or not isinstance(written.get("change"), dict) or "kind" not in written["change"]:
        raise Misconfigured(f"{path}: a scenario is a mapping, and so is its change, which has a kind; {_EXAMPLE}")
    rest = {key: value for key, value in written.items() if key != "change"}
    change, kind = written["change"], str(written["change"]["kind"])
    _check_known(f"{path}: there is no key", rest, _Written.__struct_fields__)
    _check_known(f"{path}: change: there is no kind", [kind], _CHANGES)
    _check_known(f"{path}: change: {kind} has no key", change, _CHANGES[kind].__struct_fields__)
    for verdict in ("right", "allowed", "wrong"):
        if isinstance(rest.get(verdict), list):
            _check_known(f"{path}: {verdict}: there is no alert kind", rest[verdict], ALERT_KINDS)
    try:
        written_out = msgspec.convert(rest, _Written)
        happens = msgspec.convert(change, _CHANGES[kind])
    except msgspec.ValidationError as fault:
        raise Misconfigured(f"{path}: {fault}") from fault
    others = tuple(kind for kind in ALERT_KINDS if kind not in written_out.right + written_out.allowed)
    written_out = msgspec.structs.replace(written_out, wrong=written_out.wrong if "wrong" in rest else others)
    listed = written_out.right + written_out.allowed + written_out.wrong
    for alert in ALERT_KINDS:
        if listed.count(alert) != 1:
            raise Misconfigured(
                f"{path}: {alert} stands {listed.count(alert)} times in right, allowed and wrong; every kind of alert "
                "stands there once, and where wrong is left out it is all others"
            )
    return Scenario(**msgspec.structs.asdict(written_out), change=happens)


def _check_known(sentence: str, names: Iterable[Any], known: Iterable[str]) -> None:
    """Raises `Misconfigured` with *sentence*, the first of *names* that is not *known*, and the nearest that is."""
    known = sorted(known)
    for name in map(str, names):
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            raise Misconfigured(
                f"{sentence} {name}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
            )
