"""`catseye alerts`: which alert is meant, for how long, and what is written."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from msgspec.structs import replace

from catseye import clock
from catseye.cli import alerts as command
from catseye.cli import main
from catseye.cli.alerts import chosen, duration_ms, newest_of
from catseye.contract.alert_kinds import KINDS
from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed_until_ms, without_suppression
from catseye.settings import Settings

NOW_MS = 1_800_000_000_000
FIELDS: dict[str, Any] = {
    "revision": 0,
    "state": "opened",
    "kind": "input",
    "severity": "warning",
    "camera": "gate",
    "cameras": ["gate"],
    "signal": "sharpness",
    "phase": "day",
    "detector": "esr",
    "estimate": 0.1,
    "reference": 0.5,
    "evidence": 20.0,
    "threshold": 10.0,
    "model": "m",
    "version": "v",
    "since_ms": NOW_MS - 20_000,
    "updated_at_ms": NOW_MS - 10_000,
    "explanation": "It is blurred.",
    "by": "incidents",
}


def alert(alert_id: str, opened_s: float = -10, **changes: Any) -> Alert:
    """An alert, changed where a test wants it."""
    own = {"alert_id": alert_id * 32, "opened_at_ms": NOW_MS + round(opened_s * 1_000)}
    return msgspec.convert(FIELDS | own | changes, Alert)


A, B = alert("a"), alert("b", -5)


class Broker:
    """What is on the topic, and what was written to it."""

    def __init__(self, *records: Alert) -> None:
        self.records = list(records)
        self.written: list[Alert] = []

    def write(self, _: Settings, written: Alert) -> None:
        self.written.append(written)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Three alerts: one open, one updated, one over."""
    over = alert("c", -20, state="resolved", camera=None, cameras=[], kind="accuracy_floor")
    own = Broker(A, over, B, replace(A, revision=1, state="updated", explanation="It is more blurred."))
    monkeypatch.setattr(command, "settings_with_broker", Settings)
    monkeypatch.setattr(command, "_records", lambda settings: own.records)
    monkeypatch.setattr(command, "_write", own.write)
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return own


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["alerts", *argv])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.mark.usefixtures("broker")
def test_what_is_open_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, by its newest record; all with --all, and of one camera."""
    lines = run(capsys, "list")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "b" * 12, "a" * 12]
    assert lines[2].endswith("updated  warning   input  gate   It is more blurred.")
    assert [line.split()[0][0] for line in run(capsys, "list", "--all")[1].splitlines()[1:]] == ["b", "a", "c"]
    assert run(capsys, "list", "--camera", "nowhere")[1] == "nothing is wrong: no alert is open\n"
    assert run(capsys, "list", "--camera", "nowhere", "--all")[1] == "no alerts\n"
    listed = json.loads(run(capsys, "list", "--json", "-")[1])["alerts"]
    assert [(each["alert_id"][0], each["revision"]) for each in listed] == [("b", 0), ("a", 1)]


def test_an_alert_is_silenced_until_it_resolves(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """The next revision of its newest record, with whose word it is."""
    status, out, _ = run(capsys, "suppress", "aaaa", "--reason", "road works")
    (written,) = broker.written
    assert (status, out) == (0, "input on gate is suppressed until it resolves\n")
    assert (written.alert_id, written.revision, written.state, written.by) == (A.alert_id, 2, "suppressed", "ada")
    assert (written.updated_at_ms, suppressed_until_ms(written.explanation)) == (NOW_MS, UNTIL_RESOLVED)
    assert without_suppression(written.explanation) == "It is more blurred."


def test_an_alert_is_silenced_for_a_time(broker: Broker, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The time counts from now."""
    assert run(capsys, "suppress", "b" * 32, "--for", "2h")[1] == (
        "input on gate is suppressed until 2027-01-15 10:00:00 UTC\n"
    )
    file = tmp_path / "said.json"
    run(capsys, "suppress", "bbbb", "--for", "30m", "--json", str(file))
    assert [suppressed_until_ms(each.explanation) - NOW_MS for each in broker.written] == [7_200_000, 1_800_000]
    assert json.loads(file.read_text())["state"] == "suppressed"


def test_an_alert_is_acknowledged(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Its explanation stays."""
    assert run(capsys, "acknowledge", "aaaa")[1] == "input on gate is acknowledged\n"
    assert json.loads(run(capsys, "acknowledge", "aaaa", "--json", "-")[1])["state"] == "acknowledged"
    assert {(each.state, each.revision, each.explanation) for each in broker.written} == {
        ("acknowledged", 2, "It is more blurred.")
    }


@pytest.mark.usefixtures("broker")
def test_alerts_of_one_kind_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """A kind without a row is no answer but a fault."""
    listed = run(capsys, "list", "--all", "--kind", "accuracy_floor")[1].splitlines()[1:]
    assert [line.split()[0][0] for line in listed] == ["c"]
    status, _, err = run(capsys, "list", "--kind", "inputs")
    assert (status, "'inputs' is not one of 'camera_silent'" in err) == (2, True)


def test_kinds_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its severity, its meaning and what to do; no broker is needed."""
    lines = run(capsys, "kinds")[1].splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(KINDS)
    assert "camera_clock" in lines[7]
    assert "has a clock that jumped" in lines[7]
    assert lines[7].endswith(KINDS["camera_clock"].action)
    printed = json.loads(run(capsys, "kinds", "--json", "-")[1])["kinds"]
    assert [row["name"] for row in printed] == list(KINDS)


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["suppress", "aaa"], "too short"),
        (["suppress", "dddd"], "no alert has an id that starts with dddd"),
        (["acknowledge", "cccc"], "is over already"),
        (["suppress", "aaaa", "--for", "2 weeks"], "it is written 90s, 30m, 2h or 7d"),
        (["suppress", "aaaa", "--for", "0s"], "no length of time"),
        (["suppress", "aaaa", "--for", "2h", "--until-resolved"], "either --for or --until-resolved"),
    ],
)
def test_what_cannot_be_is_said(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence, with the status of a wrong command line."""
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert said in err


@pytest.mark.usefixtures("broker")
def test_the_service_s_own_name_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It would take that word for its own and not hear it."""
    monkeypatch.setattr("getpass.getuser", lambda: "incidents")
    assert run(capsys, "acknowledge", "aaaa")[0] == 2


def test_several_alerts_that_could_be_meant_are_not_guessed() -> None:
    """More digits are asked for."""
    twin = replace(A, alert_id="aaaa" + "b" * 28)
    with pytest.raises(Misconfigured, match="2 alerts have ids that start with aaaa"):
        chosen([A, twin], "aaaa")
    assert chosen([A, twin], "aaaab") == twin


def test_the_last_record_of_an_alert_holds() -> None:
    """Newest alert first; of two that opened at once, in the order of their ids."""
    twin = alert("z")
    assert newest_of([twin, A, B, replace(A, revision=1)]) == [B, replace(A, revision=1), twin]
    assert newest_of([]) == []


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90_000), ("30m", 1_800_000), ("1.5h", 5_400_000), ("7d", 604_800_000)]
)
def test_times_are_read(text: str, expected: int) -> None:
    """With their unit."""
    assert duration_ms(text) == expected


def test_the_command_is_a_group() -> None:
    """With the three that were promised, and the table of kinds."""
    assert isinstance(command.alerts, click.Group)
    assert sorted(command.alerts.commands) == ["acknowledge", "kinds", "list", "suppress"]
