"""What the command line of the demo comes to: options of the simulator, length, what drift learns by, alerts."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert
from infra.local.demo import run
from infra.local.demo_alerts import alert_figures
from infra.local.demo_loop import MOST_S
from infra.local.demo_models import CROPS, MODEL
from infra.local.demo_road import Wishes, fresh_labels, of_services, reference_samples, wishes
from tests.unit.test_cli_alerts import NOW_MS, alert

ROAD = {"cameras": 6, "fps": 20.0, "label_delay": 5.0, "label_share": 0.9, "change_cameras": None, "seed": 1}


def asked(**changes: Any) -> Wishes:
    """The command line with nothing on it, or something."""
    nothing = {"scenario": None, "after": None, "change_at": None, "duration": None, "frames": None, "headless": True}
    return wishes(**({"model": Path("m.onnx")} | nothing | ROAD | changes))


def test_help_states_how_long_a_road_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    """As it is worked out: most of what is printed as `publishing for`."""
    with pytest.raises(SystemExit):
        run(["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    most_s = asked(scenario="fog", change_at=0.0).duration_s
    assert f"where something happens, until the loop has closed, at most {most_s:.0f} after the change]" in printed


def options(found: Wishes) -> dict[str, str]:
    """Options of the simulator by their names."""
    return dict(zip(found.road[::2], found.road[1::2], strict=True))


def test_a_road_on_which_nothing_happens() -> None:
    """A minute; no change is named, so that the simulator makes none."""
    found = asked(change_at=10.0)
    assert (found.duration_s, found.change_at_s, found.worse_model) == (60.0, None, False)
    assert options(found) == {
        "--day": "31536000.0",
        "--cameras": "6",
        "--fps": "20.0",
        "--label-delay": "5.0",
        "--label-share": "0.9",
        "--seed": "1",
        "--duration": "60.0",
    }
    assert asked(scenario="none").duration_s == 60.0


def test_a_road_that_only_people_label() -> None:
    """The simulator gives no label; about eight frames a second are drawn for people, all with the same chance; drift
    learns, and a training begins, with as few labels as they ever do."""
    found = asked(labels="none", scenario="fog")
    assert options(found)["--label-share"] == "0.0"
    assert (found.reference_samples, found.fresh_labels, found.people_label) == (150, 200, True)
    rates = {"*": {"audit": pytest.approx(8 / 120), "unsure": 0, "evidence": pytest.approx(8 / 120)}}
    assert msgspec.json.decode(of_services(found, {})["CATSEYE_VIEW_QUEUE_RATES"]) == rates
    slow = asked(labels="none", cameras=1, fps=2.0)
    assert msgspec.json.decode(of_services(slow, {})["CATSEYE_VIEW_QUEUE_RATES"])["*"]["audit"] == 1.0
    assert "CATSEYE_VIEW_QUEUE_RATES" not in of_services(asked(labels="simulator"), {})


@pytest.mark.parametrize(
    ("changes", "change_at_s", "duration_s"),
    [
        ({"scenario": "fog"}, 30.0, 30 + MOST_S),
        ({"scenario": "fog", "change_at": 45.0}, 45.0, 45 + MOST_S),
        ({"scenario": "fog", "duration": 50.0}, 30.0, 50.0),
        ({"after": Path("/after")}, 30.0, 30 + MOST_S),
        ({"after": Path("/after"), "change_at": 0.0}, 0.0, MOST_S),
    ],
)
def test_a_road_goes_on_after_something_happened(
    changes: dict[str, Any], change_at_s: float, duration_s: float
) -> None:
    """Until the loop has closed, unless it is said how long."""
    found = asked(**changes)
    assert found.until_closed == ("duration" not in changes)
    assert (found.change_at_s, found.duration_s) == (change_at_s, duration_s)
    assert (options(found)["--change-at"], options(found)["--duration"]) == (str(change_at_s), str(duration_s))


def test_folders_and_files_reach_the_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scenario's file by its whole path: the simulator runs elsewhere."""
    (tmp_path / "mine.yaml").write_text("{name: mine, sentence: Black., change: {kind: black}, at_s: 7, cameras: 1}")
    monkeypatch.chdir(tmp_path)
    found = asked(scenario="mine.yaml", frames=Path("/frames"), change_cameras="2")
    assert found.change_at_s == 7.0
    assert options(found)["--scenario"] == str(tmp_path / "mine.yaml")
    assert (options(found)["--frames"], options(found)["--change-cameras"]) == ("/frames", "2")
    assert options(asked(after=Path("/after")))["--after"] == "/after"


def test_a_scenario_may_want_a_worse_model() -> None:
    """The simulator has none: the demo promotes it."""
    found = asked(scenario="model_worse")
    assert (found.worse_model, found.change_at_s) == (True, 30.0)


def test_two_things_at_once_are_refused() -> None:
    """And a scenario that does not exist."""
    with pytest.raises(Misconfigured, match="--after is a scenario of its own"):
        asked(scenario="fog", after=Path("/after"))
    with pytest.raises(Misconfigured, match="there is no scenario frog; did you mean fog"):
        asked(scenario="frog")


@pytest.mark.parametrize(
    ("change_at_s", "fps", "label_share", "expected"),
    [(30, 20, 0.9, 324), (30, 10, 0.9, 162), (30, 2, 1, 150), (600, 20, 1, 1_000), (0, 20, 1, 150)],
)
def test_drift_learns_before_the_change(change_at_s: float, fps: float, label_share: float, expected: int) -> None:
    """Of what the slowest camera has by then, within bounds."""
    assert reference_samples(change_at_s, fps, label_share) == expected


@pytest.mark.parametrize(("labels_per_s", "expected"), [(54, 2_160), (2, 200), (500, 2_400)])
def test_a_training_waits_for_labels_of_the_new_road(labels_per_s: float, expected: int) -> None:
    """Of a cameras' half minute, within bounds."""
    assert fresh_labels(labels_per_s) == expected


def test_settings_of_the_person_go_first() -> None:
    """The demo fills in what is not said."""
    found = asked()
    all_ = of_services(found, {})
    assert all_ == {
        "CATSEYE_DRIFT_REFERENCE_SAMPLES": "324",
        "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0",
        "CATSEYE_RETRAIN_TRIGGER_CONFIRM_S": "5",
        "CATSEYE_RETRAIN_TRIGGER_RETRY_S": "5",
        "CATSEYE_RETRAIN_TRIGGER_LABELS": "2160",
        "CATSEYE_TRAINER_EXAMPLES_DIR": str(CROPS),
    }
    theirs = "CATSEYE_DRIFT_REFERENCE_SAMPLES"
    assert of_services(found, {theirs: "500"}) == {name: value for name, value in all_.items() if name != theirs}


def test_the_time_before_is_that_of_the_model() -> None:
    """Crops of the example with its model, else those that are played."""
    played = Path("/frames")
    assert of_services(asked(frames=played), {})["CATSEYE_TRAINER_EXAMPLES_DIR"] == str(played)
    found = of_services(asked(frames=played, model=MODEL), {})
    assert found["CATSEYE_TRAINER_EXAMPLES_DIR"] == str(CROPS)


def seen(record: Alert, at_s: float, **changes: Any) -> Alert:
    """A further record of an alert."""
    return replace(record, updated_at_ms=NOW_MS + round(at_s * 1_000), **changes)


def test_alerts_are_as_they_were_when_publishing_ended() -> None:
    """Times count from its beginning; what opened after its end is left out, and what was said then counts no more."""
    first, second = alert("b", 10), alert("a", 5, camera=None)
    late = seen(alert("c", 61, kind="camera_silent"), 61)
    records = [
        seen(second, 5),
        seen(first, 10),
        seen(second, 20, state="resolved", resolved_at_ms=NOW_MS + 20_000),
        seen(first, 60, state="updated"),
        late,
        seen(first, 62, state="suppressed"),
        seen(late, 63, state="resolved"),
    ]
    found, left_out = alert_figures(records, float(NOW_MS), NOW_MS + 60_000.0)
    assert found == [
        {
            "alert_id": "a" * 32,
            "kind": "input",
            "camera": None,
            "state": "resolved",
            "opened_at_s": 5.0,
            "times_opened": 1,
            "resolved_at_s": 20.0,
        },
        {
            "alert_id": "b" * 32,
            "kind": "input",
            "camera": "gate",
            "state": "updated",
            "opened_at_s": 10.0,
            "times_opened": 1,
            "resolved_at_s": None,
        },
    ]
    assert [msgspec.to_builtins(each)["kind"] for each in left_out] == ["camera_silent"]


def test_an_alert_counts_also_where_only_its_last_record_is_left() -> None:
    """The topic is compacted: one that opened while publishing went on was open at its end, whatever came after."""
    resolved = seen(alert("a", 5), 90, state="resolved", resolved_at_ms=NOW_MS + 90_000)
    (found,), left_out = alert_figures([resolved], float(NOW_MS), NOW_MS + 60_000.0)
    assert (found["state"], found["opened_at_s"], found["resolved_at_s"], left_out) == ("updated", 5.0, None, [])
