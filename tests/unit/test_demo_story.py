"""What the demo's summary has to tell, from the figures of a road that has ended."""

import math
from typing import Any

import pytest
from rich.console import Console

from infra.local.demo_figures import ACCURACY_MS, BEHIND_MS, Scoreboard
from infra.local.demo_story import Change, events, fates, next_steps, story, verdict
from infra.local.demo_view import LEGEND, BehindLines, accuracy_table, behind_line, ending, line, screen, story_table
from infra.local.watch import Sighting
from tests.unit.test_demo_figures import frame, prediction

FOG = Change(30.0, ("cam-01", "cam-02"), "Fog comes up.")
FIRST, SECOND, THIRD = "aaaa", "bbbb", "cccc"


def slots(camera: str, *stretches: tuple[float, float, float]) -> list[dict[str, Any]]:
    """Bins of 5 s with 10 labels each; a stretch is from, to, accuracy."""
    return [
        {"at_s": float(at_s), "camera": camera, "n": 10, "accuracy": accuracy}
        for from_s, to_s, accuracy in stretches
        for at_s in range(int(from_s), int(to_s), 5)
    ]


def alert(kind: str, camera: str | None, opened_at_s: float, resolved_at_s: float | None) -> dict[str, Any]:
    state = "updated" if resolved_at_s is None else "resolved"
    return {
        "alert_id": f"{kind}{camera}",
        "kind": kind,
        "camera": camera,
        "state": state,
        "opened_at_s": opened_at_s,
        "resolved_at_s": resolved_at_s,
    }


def model(version: str, stage: str, at_s: float, because: str = "why") -> dict[str, Any]:
    return {"version": version, "stage": stage, "at_s": at_s, "because": because}


def foggy(**changes: Any) -> dict[str, Any]:
    """A road with fog, a candidate that the gate rejects, another one that takes over, and the end of the alerts."""
    changed = ((0, 30, 0.98), (30, 50, 0.7), (50, 100, 0.35), (100, 140, 0.4), (140, 300, 0.96))
    return {
        "accuracy_timeline": [
            *slots("cam-01", *changed),
            *slots("cam-02", *changed),
            *slots("cam-03", (0, 300, 0.97)),
        ],
        "alerts": [alert("input", "cam-02", 54.0, 250.0), alert("input", "cam-01", 58.0, 260.0)],
        "decisions": [
            {"accepted": False, "because": "too_few_labels", "detail": "12 labels", "at_s": 56.0},
            {"accepted": True, "because": "drift", "detail": "input on cam-02; 2160 labels", "at_s": 70.0},
        ],
        "models": [
            model(FIRST, "champion", -5.0),
            model(SECOND, "rejected", 90.0, "gate: worse by more than 1.0%: golden/class/car"),
            model(THIRD, "candidate", 120.0),
            model(THIRD, "shadow", 121.0),
            model(THIRD, "champion", 140.0, "better: evidence 40"),
            model(FIRST, "retired", 200.0),
        ],
    } | changes


def with_story(figures: dict[str, Any], change: Change = FOG, behind_s: float = 0.0) -> dict[str, Any]:
    return figures | {"story": story(figures, change, behind_s)}


def shown(*parts: Any) -> str:
    console = Console(width=120, force_terminal=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return captured.get()


def test_accuracy_is_told_before_at_its_lowest_and_at_the_end() -> None:
    """Of the changed cameras and of the others apart: a fall on some is no slow sinking of all."""
    found = with_story(foggy())["story"]["accuracy"]
    assert found["changed"] == {"before": 0.98, "lowest": 0.35, "lowest_at_s": 50.0, "end": 0.96}
    assert (found["others"]["before"], found["others"]["end"]) == (0.97, 0.97)


def test_the_time_to_the_alert_counts_from_the_change() -> None:
    """The first one on a changed camera or the fleet; one elsewhere, or from before, is none of the change's."""
    assert with_story(foggy())["story"]["alert_after_s"] == 24.0
    elsewhere = [alert("input", "cam-03", 40.0, None), alert("input", "cam-01", 20.0, 25.0)]
    assert with_story(foggy(alerts=elsewhere))["story"]["alert_after_s"] is None
    assert with_story(foggy(alerts=[*elsewhere, alert("fleet", None, 50.0, None)]))["story"]["alert_after_s"] == 20.0


def test_every_candidate_has_its_fate_and_its_reason() -> None:
    """In order of time; the model that served first is no candidate."""
    figures = with_story(foggy())
    assert [(each["version"], each["stage"]) for each in figures["story"]["candidates"]] == [
        (SECOND, "rejected"),
        (THIRD, "champion"),
    ]
    assert fates(figures["story"]) == [
        "candidate bbbb: rejected, 90 s: gate: worse by more than 1.0%: golden/class/car",
        "candidate cccc: took over, 140 s: better: evidence 40",
    ]


def test_a_training_that_the_end_of_the_road_cut_off_is_named() -> None:
    """Else it seems to have come to nothing; also the second try after a candidate that was rejected."""
    figures = foggy()
    assert with_story(figures)["story"]["training_open_since_s"] is None
    assert with_story(foggy(decisions=[]))["story"]["training_open_since_s"] is None
    for models, at_s in ((figures["models"][:1], 70.0), (figures["models"][:2], 100.0)):
        decided = [{"accepted": True, "because": "drift", "detail": "", "at_s": at_s}]
        cut_off = with_story(foggy(models=models, decisions=decided))
        assert fates(cut_off["story"])[-1].startswith(f"the training of {at_s:.0f} s had made no candidate when")
        assert "--duration waits for it" in " ".join(shown(ending(cut_off, [])).split())


def test_a_road_is_well_when_accuracy_is_back_and_no_alert_is_open() -> None:
    """Else each thing that is not well is named, with what to do about it."""
    figures = with_story(foggy())
    assert figures["story"]["well_again"] is True
    assert verdict(figures, figures["story"]).startswith("The road is well: the changed cameras are right on 96.0%")
    open_ = with_story(foggy(alerts=[alert("camera_frozen", "cam-01", 40.0, None)]))
    assert open_["story"]["well_again"] is False
    assert "1 alert camera_frozen still open: Restart the camera or its encoder" in verdict(open_, open_["story"])
    low = slots("cam-01", (0, 30, 0.98), (30, 300, 0.4)) + slots("cam-03", (0, 300, 0.97))
    fallen = with_story(foggy(accuracy_timeline=low, alerts=[]))
    assert fallen["story"]["well_again"] is False
    assert "the changed cameras are right less often than before, by 58.0 points" in verdict(fallen, fallen["story"])
    gone = slots("cam-01", (0, 30, 0.98)) + slots("cam-03", (0, 300, 0.97))
    unlabelled = with_story(foggy(accuracy_timeline=gone, alerts=[]))
    assert unlabelled["story"]["well_again"] is False
    assert "too few labels in the last minute" in verdict(unlabelled, unlabelled["story"])


def test_a_road_on_which_nothing_happens_says_so() -> None:
    """And names the alerts that nothing explains."""
    quiet = with_story(foggy(alerts=[]), Change())
    assert quiet["story"]["well_again"] is None
    assert verdict(quiet, quiet["story"]) == "Nothing happened on this road, and no alert was raised."
    false_alarm = with_story(foggy(alerts=[alert("input", "cam-01", 9.0, None)]), Change())
    assert "yet 1 alert opened: 1 input" in verdict(false_alarm, false_alarm["story"])


def test_what_happened_is_told_in_order() -> None:
    """Change, alerts of a kind in one line, trainings, models; refused trainings only where none was accepted."""
    figures = with_story(foggy())
    found = events(figures, figures["story"])
    assert [at_s for at_s, _ in found] == sorted(at_s for at_s, _ in found)
    sentences = [sentence for _, sentence in found]
    assert sentences[:4] == [
        "Fog comes up. (cam-01, cam-02)",
        "alert: input on cam-02, 24 s after the change: it shows other pictures than those it was learned on",
        "by now also alerts input on cam-01",
        "training starts: drift: input on cam-02; 2160 labels",
    ]
    assert "over: the last alert input" in sentences
    assert not any("no training" in sentence for sentence in sentences)
    refused = with_story(foggy(decisions=foggy()["decisions"][:1]))
    assert (56.0, "no training: too_few_labels: 12 labels") in events(refused, refused["story"])


def test_the_summary_shows_the_story_and_what_to_try_next() -> None:
    """Each part is on the screen; a machine that did not keep up is told what to turn."""
    figures = with_story(foggy(), behind_s=12.0)
    steps = next_steps(figures["story"], 20.0)
    found = shown(story_table(figures), accuracy_table(figures["story"]), ending(figures, steps))
    for expected in ("24 s after the change", "98.00%", "35.00% (50 s)", "96.00%", "took over", "The road is well"):
        assert expected in found
    assert steps[0][0] == "infra/demo --fps 10"
    assert "did not keep up for 12 s" in found
    assert "infra/stack up" in found
    assert next_steps(with_story(foggy(), Change())["story"], 20.0)[0][0] == "infra/demo --scenario fog"


def outcome(sequence: int, seen_at_ms: float, label: str, predicted: str = "car") -> Sighting:
    return Sighting("outcomes", seen_at_ms, "north", "b0", sequence, f"p{sequence}", label, predicted)


def test_accuracy_on_the_screen_is_that_of_the_last_minute() -> None:
    """A fall shows within a minute, whatever was right before; a correction replaces, also after the minute."""
    board = Scoreboard()
    board.on_sightings([outcome(number, 1_000.0, "car") for number in range(90)])
    board.on_sightings([outcome(number, 50_000.0, "truck") for number in range(90, 100)])
    assert board.total.accuracy == 0.9
    board.forget(2_000.0 + ACCURACY_MS)
    assert (board.total.accuracy, board.total.accuracy_since_start) == (0.0, 0.9)
    assert "accuracy 0.00% in the last minute" in line(board, elapsed_s=62, duration_s=120)
    board.on_sightings([outcome(0, 61_000.0, "truck"), outcome(99, 61_000.0, "")])
    assert (board.total.labelled, board.total.right, board.total.lately_labelled) == (99, 89, 10)
    board.forget(62_000.0 + ACCURACY_MS)
    assert math.isnan(board.total.accuracy)


@pytest.mark.parametrize("copies", [0, 1])
def test_never_more_is_predicted_than_published(copies: int) -> None:
    """A prediction proves that the broker has its frame, also before the ledger says so; its line counts once then."""
    board = Scoreboard()
    board.on_sightings([prediction(0, 40), prediction(1, 40)])
    assert (board.total.published, board.total.predictions) == (2, 2)
    board.on_ledger([frame(0), frame(1), *[frame(1, copy=1)] * copies])
    assert board.total.published == 2 + copies


def test_a_machine_that_does_not_keep_up_is_told_what_to_turn() -> None:
    """Half of the frames wait too long for their prediction; on another machine the screen says nothing of it."""
    board = Scoreboard()
    board.on_ledger([frame(0), frame(1)])
    board.on_sightings([prediction(0, 40)])
    assert behind_line(board) is None
    board.on_sightings([prediction(1, 2.5 * BEHIND_MS)])
    board.cameras["north"].timed.popleft()
    behind = behind_line(board) or ""
    assert "over 2.5 s" in behind
    assert "--fps" in behind
    found = shown(screen(board, elapsed_s=3, duration_s=60, phase="publishing", model="vehicles 1"))
    assert "this machine does not keep up" in found
    for word in LEGEND.split()[:5]:
        assert word in found

    lines = BehindLines()
    assert [at_s for at_s in range(0, 130, 5) if lines.at(at_s, board) == [behind]] == [0, 60, 120]
    assert BehindLines().at(0, Scoreboard()) == []
