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
from catseye.cli.service_faults import NOBODY_ALERTS, Services
from catseye.contract.alert_commands import command_on
from catseye.contract.alert_kinds import KINDS
from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert, AlertCommand, AlertState
from catseye.runtime.presence import ServiceFault
from catseye.settings import Settings
from tests.simulation.incidents import CODEC, version_2

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
    """What is on the topic, what commands were written, and what incidents makes of them."""

    def __init__(self, *records: Alert) -> None:
        self.records = list(records)
        self.written: list[AlertCommand] = []
        self.state: AlertState | None = "suppressed"
        self.services = Services([], incidents_runs=True)

    def asked(self, _: Settings, command: AlertCommand, __: float) -> Alert | None:
        """The record that a command leads to; none while incidents is not up."""
        self.written.append(command)
        held = next(each for each in reversed(self.records) if each.alert_id == command.alert_id)
        if self.state is None:
            return None
        return replace(held, revision=held.revision + 1, state=self.state, command_id=command.command_id)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Three alerts: one open, one updated, one over."""
    over = alert("c", -20, state="resolved", camera=None, cameras=[], kind="accuracy_floor")
    own = Broker(A, over, B, replace(A, revision=1, state="updated", explanation="It is more blurred."))
    monkeypatch.setattr(command, "settings_with_broker", Settings)
    monkeypatch.setattr(command, "_records", lambda settings: own.records)
    monkeypatch.setattr(command, "_was_seen", lambda settings, camera: camera != "nowhere")
    monkeypatch.setattr(command, "_asked", own.asked)
    monkeypatch.setattr(command, "services_now", lambda settings: own.services)
    monkeypatch.setattr(clock, "now_ms", lambda: NOW_MS)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return own


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as ended:
        main(["alerts", *argv])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.mark.usefixtures("broker")
def test_what_is_open_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, by its newest record; all with --all, and of one camera."""
    lines = run(capsys, "list")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "b" * 12, "a" * 12]
    assert lines[2].endswith("updated  warning   input  gate   It is more blurred.")
    assert [line.split()[0][0] for line in run(capsys, "list", "--all")[1].splitlines()[1:]] == ["b", "a", "c"]
    listed = json.loads(run(capsys, "list", "--json", "-")[1])["alerts"]
    assert [(each["alert_id"][0], each["revision"]) for each in listed] == [("b", 0), ("a", 1)]


def test_a_list_without_alerts_says_of_what(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """An alert elsewhere is not denied, and a camera that was never seen is named."""
    assert run(capsys, "list", "--camera", "calm")[1] == "no alert is open on calm\n"
    assert run(capsys, "list", "--camera", "calm", "--all")[1] == "no alerts on calm\n"
    assert run(capsys, "list", "--kind", "concept")[1] == "no alert of kind concept is open\n"
    assert run(capsys, "list", "--kind", "concept", "--all")[1] == "no alerts of kind concept\n"
    never = "no camera nowhere was seen; `catseye cameras list` shows those that were\n"
    assert run(capsys, "list", "--camera", "nowhere")[1] == f"no alert is open on nowhere\n{never}"
    assert run(capsys, "list", "--camera", "nowhere", "--all")[1] == f"no alerts on nowhere\n{never}"
    broker.records = []
    assert run(capsys, "list")[1] == "nothing is wrong: no alert is open\n"


def test_no_alert_is_not_all_is_well_while_a_service_is_down(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor while nobody opens alerts, or that is not known; what an open alert says is not said twice."""
    broker.records = []
    down = ServiceFault("ingest", "service_down", "", NOW_MS, "No sign of life")
    broker.services = Services([down], incidents_runs=True)
    assert run(capsys, "list")[1] == "ingest: No sign of life\n"
    assert json.loads(run(capsys, "list", "--json", "-")[1])["faults"][0]["sentence"] == "No sign of life"
    broker.services = Services([], incidents_runs=False)
    assert run(capsys, "list")[1] == f"{NOBODY_ALERTS}\n"
    broker.services = Services([], incidents_runs=False, unknown="nothing is known")
    assert run(capsys, "list")[1] == "nothing is known\n"
    broker.records = [alert("d", kind="service_down", signal="ingest", camera=None, cameras=[])]
    broker.services = Services([down], incidents_runs=True)
    listed = run(capsys, "list")[1]
    assert "No sign of life" not in listed
    assert listed.splitlines()[1].split()[5:7] == ["service_down", "ingest"]


def test_an_alert_that_came_back_is_listed_by_when_it_did(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """First, since it opened last, and with how often it has opened."""
    broker.records.append(replace(A, revision=3, times_opened=2, reopened_at_ms=NOW_MS - 1_000))
    first, second = run(capsys, "list")[1].splitlines()[1:]
    assert first.startswith("a" * 12 + "  2027-01-15 07:59:59")
    assert "opened (2 times)" in first
    assert second.startswith("b" * 12)


def test_an_alert_is_silenced_until_it_resolves(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """A command about its newest record, with who asks."""
    status, out, _ = run(capsys, "suppress", "aaaa", "--reason", "road works")
    (written,) = broker.written
    assert (status, out) == (0, "input on gate is suppressed until it resolves\n")
    assert (written.alert_id, written.revision, written.action, written.by) == (A.alert_id, 1, "suppress", "ada")
    assert (written.at_ms, written.until_ms, written.reason) == (NOW_MS, None, "road works")


def test_an_alert_is_silenced_for_a_time(broker: Broker, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The time counts from now."""
    assert run(capsys, "suppress", "b" * 32, "--for", "2h")[1] == (
        "input on gate is suppressed until 2027-01-15 10:00:00 UTC\n"
    )
    file = tmp_path / "answer.json"
    run(capsys, "suppress", "bbbb", "--for", "30m", "--json", str(file))
    assert [(each.until_ms or 0) - NOW_MS for each in broker.written] == [7_200_000, 1_800_000]
    assert json.loads(file.read_text())["state"] == "suppressed"


def test_an_alert_is_acknowledged(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Its explanation stays."""
    broker.state = "acknowledged"
    assert run(capsys, "acknowledge", "aaaa")[1] == "input on gate is acknowledged\n"
    printed = json.loads(run(capsys, "acknowledge", "aaaa", "--json", "-")[1])
    assert (printed["state"], printed["explanation"]) == ("acknowledged", "It is more blurred.")
    assert {(each.action, each.revision, each.until_ms) for each in broker.written} == {("acknowledge", 1, None)}


def test_a_silence_is_taken_back(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Also of an alert that is over: those of its kind are shown again."""
    broker.state = "updated"
    assert run(capsys, "unsuppress", "aaaa")[1] == "input on gate is not suppressed any more\n"
    broker.state = "resolved"
    out = run(capsys, "unsuppress", "cccc")[1]
    assert out.startswith("accuracy_floor on fleet is not suppressed any more; it is over by now")
    assert [each.action for each in broker.written] == ["unsuppress", "unsuppress"]


def test_an_alert_that_ended_meanwhile_is_reported(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """The command holds for the next one."""
    broker.state = "resolved"
    status, out, _ = run(capsys, "suppress", "aaaa", "--for", "2h")
    assert (status, "it is over by now, and the command holds for the next one" in out) == (0, True)


def test_a_command_without_an_answer_stands(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says so and names it; the exit status is that of a server that does not answer."""
    broker.state = None
    status, out, err = run(capsys, "suppress", "aaaa", "--wait", "0")
    (written,) = broker.written
    assert (status, out) == (1, "")
    assert f"incidents has not answered within 0 s: is it up? The command {written.command_id} stands" in err
    printed = run(capsys, "acknowledge", "aaaa", "--json", "-")
    assert (printed[0], json.loads(printed[1])["action"]) == (1, "acknowledge")


def test_two_commands_have_two_ids() -> None:
    """Of another action, person, time, reason or end; the same twice is one."""
    sound = command_on(A, "suppress", "ada", NOW_MS)
    others = [
        command_on(B, "suppress", "ada", NOW_MS),
        command_on(A, "acknowledge", "ada", NOW_MS),
        command_on(A, "suppress", "bob", NOW_MS),
        command_on(A, "suppress", "ada", NOW_MS + 1),
        command_on(A, "suppress", "ada", NOW_MS, until_ms=NOW_MS + 1),
        command_on(A, "suppress", "ada", NOW_MS, reason="why"),
    ]
    assert len({each.command_id for each in [sound, *others]}) == 7
    assert command_on(A, "suppress", "ada", NOW_MS) == sound


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
    ("argv", "sentence"),
    [
        (["suppress", "aaa"], "too short"),
        (["suppress", "dddd"], "no alert has an id that starts with dddd"),
        (["acknowledge", "cccc"], "is over already"),
        (["suppress", "aaaa", "--for", "2 weeks"], "it is written 90s, 30m, 2h or 7d"),
        (["suppress", "aaaa", "--for", "0s"], "no length of time"),
        (["suppress", "aaaa", "--for", "2h", "--until-resolved"], "either --for or --until-resolved"),
    ],
)
def test_what_cannot_be_is_refused(argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence, with the status of a wrong command line."""
    status, _, err = run(capsys, *argv)
    assert status == 2
    assert sentence in err


def test_anybody_s_name_may_ask(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also that of the service: commands have a topic of their own."""
    monkeypatch.setattr("getpass.getuser", lambda: "incidents")
    assert run(capsys, "acknowledge", "aaaa")[0] == 0
    assert [each.by for each in broker.written] == ["incidents"]


def test_several_alerts_that_could_be_meant_are_not_guessed() -> None:
    """More digits are asked for."""
    twin = replace(A, alert_id="aaaa" + "b" * 28)
    with pytest.raises(Misconfigured, match="2 alerts have ids that start with aaaa"):
        chosen([A, twin], "aaaa")
    assert chosen([A, twin], "aaaab") == twin


def test_records_of_version_2_are_read() -> None:
    """A person wrote them to the topic itself; what suppressed an alert stood in its explanation."""
    old = replace(A, state="suppressed", by="ada", explanation="Suppressed by ada until it resolves || It is blurred.")
    assert CODEC.decode(version_2(old), Alert) == old


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
    """With the three that were promised, the way back, and the table of kinds."""
    assert isinstance(command.alerts, click.Group)
    assert sorted(command.alerts.commands) == ["acknowledge", "kinds", "list", "suppress", "unsuppress"]
