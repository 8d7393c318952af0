"""Scenarios: files that people write, what is said of a bad one, and that the road does what they say."""

import math
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from catseye.contract.checks import readings
from catseye.contract.errors import Misconfigured
from catseye.models.jpeg import decode_rgb, inspect
from infra.local.checker import check
from infra.local.evidence import FrameAt, FrameKey, LabelAt, LabelKey, Ledger, Log, OutcomeAt, PredictionAt, UnmatchedAt
from services.simulator.changes import ClassMix, Effect, NewKind, OtherFrames, Silent, Weather, WrongLabels
from services.simulator.core import Due, FrameDue, LabelDue, Plan, Road
from services.simulator.pictures import Appearance, Pictures
from services.simulator.play import frames_and_labels
from services.simulator.scenario import ALERT_KINDS, SCENARIOS, how_many, load_scenario, planned

CROPS = Path(__file__).parents[2] / "infra" / "example" / "crops"
PICTURES = Pictures(CROPS, 1, Appearance())
PLAN = Plan(classes=PICTURES.classes, seed=1, cameras=4, fps=20, duration_ms=20_000, label_delay_ms=2_000)
AT_MS = 8_000
FOG = "name: mine\nsentence: Fog.\nchange: {kind: fog, severity: 2}\n"


def story(name: str, plan: Plan = PLAN) -> Plan:
    """Two of four cameras change after 8 s."""
    return planned(plan, load_scenario(name), at_s=AT_MS / 1_000, cameras=2)


def events(plan: Plan) -> list[Due]:
    return Road(plan).due(math.inf)


def frames_of(plan: Plan) -> list[FrameDue]:
    return [event for event in events(plan) if isinstance(event, FrameDue) and not event.copy]


def changed_of(plan: Plan) -> list[FrameDue]:
    return [frame for frame in frames_of(plan) if frame.changed]


def labels_of(plan: Plan) -> list[LabelDue]:
    """Labels that cam-01 and cam-02 got from the change on."""
    return [
        event
        for event in events(plan)
        if isinstance(event, LabelDue) and event.camera in ("cam-01", "cam-02") and event.at_ms >= AT_MS
    ]


def test_all_that_are_promised_are_there() -> None:
    """Names as documented; the file of a scenario bears its name and says in one sentence what happens."""
    assert set(SCENARIOS) == {
        *("none", "fog", "night_lights", "rain", "blur", "dirt", "frozen", "black", "moved", "silent", "clock_jump"),
        *("class_mix", "new_kind", "wrong_labels", "labels_stop", "model_worse"),
    }
    for name in SCENARIOS:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.sentence.endswith(".")
        assert {*scenario.right, *scenario.allowed, *scenario.wrong} == set(ALERT_KINDS)
        assert bool(scenario.right) == (name != "none")
    assert load_scenario("night-lights") == load_scenario("night_lights")
    assert [name for name in SCENARIOS if load_scenario(name).model == "worse"] == ["model_worse"]


def test_an_alert_is_assessed_by_its_camera() -> None:
    """On changed cameras as the scenario says; on others every alert is wrong, and so is a kind that nobody knows."""
    fog = load_scenario("fog")
    assert [fog.verdict(kind, changed=True) for kind in ("input", "concept", "class_mix", "new")] == [
        "right",
        "allowed",
        "wrong",
        "wrong",
    ]
    assert fog.verdict("input", changed=False) == "wrong"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    """A path is read; what it leaves out has defaults, and every kind of alert that it does not name is wrong."""
    (tmp_path / "mine.yaml").write_text(FOG + "right: [input]\n", encoding="utf-8")
    mine = load_scenario(str(tmp_path / "mine.yaml"))
    assert (mine.change, mine.at_s, mine.cameras, mine.model) == (Weather(kind="fog", severity=2), 30.0, 0.5, "same")
    assert mine.wrong == tuple(kind for kind in ALERT_KINDS if kind != "input")


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (FOG + "camera: 2\n", r"mine\.yaml: there is no key camera; did you mean cameras\?"),
        (FOG.replace("severity", "severty"), r"change: fog has no key severty; did you mean severity\?"),
        (FOG.replace("fog,", "frog,"), r"change: there is no kind frog; did you mean (frozen|fog)\?"),
        (FOG.replace("kind: fog, ", ""), "and so is its change, which has a kind; for example"),
        (FOG.replace("fog,", "earthquake,"), "change: there is no kind earthquake; there are black, blur"),
        (FOG.replace("kind: fog", "kind: silent"), "change: silent has no key severity; there are kind"),
        (FOG + "right: [inputs]\n", r"right: there is no alert kind inputs; did you mean input\?"),
        (FOG + "right: input\n", r"Expected `array`, got `str` - at `\$\.right`"),
        (FOG.replace("2", "6"), r"Expected `float` <= 5.0 - at `\$\.severity`"),
        (FOG + "at_s: -1\n", r"Expected `float` >= 0\.0 - at `\$\.at_s`"),
        (FOG.replace("name: mine\n", ""), "missing required field `name`"),
        (FOG + "right: [input]\nallowed: [input]\n", "input stands 2 times in right, allowed and wrong"),
        (FOG + "wrong: [input]\n", "camera_silent stands 0 times in right, allowed and wrong"),
        ("- fog\n", "a scenario is a mapping, and so is its change"),
        ("name: mine\nchange: fog\n", "a scenario is a mapping, and so is its change"),
        ("name: [", "it is no YAML"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_file_that_is_not_right_is_refused(tmp_path: Path, written: str, sentence: str) -> None:
    """The sentence names the file, what is wrong in it, and the nearest that would be right."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(written.encode("utf-8", "surrogateescape"))
    with pytest.raises(Misconfigured, match=sentence) as refused:
        load_scenario(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fogg", r"there is no scenario fogg; did you mean fog\?"),
        ("night-light", r"there is no scenario night_light; did you mean night_lights\?"),
        ("earthquake", "there is no scenario earthquake; there are black, blur"),
        ("nowhere/fog.yaml", "nowhere/fog.yaml cannot be read"),
    ],
)
def test_a_scenario_that_is_not_there_is_named_with_its_nearest(name: str, sentence: str) -> None:
    """By name or by file."""
    with pytest.raises(Misconfigured, match=sentence):
        load_scenario(name)


def test_a_plan_takes_what_the_scenario_says_and_the_caller_overrides() -> None:
    """Time and cameras from the file, or from who asks."""
    fog = load_scenario("fog")
    plan = planned(PLAN, fog)
    assert (plan.change, plan.change_at_ms, plan.change_cameras) == (fog.change, 30_000, 2)
    plan = planned(PLAN, fog, at_s=3, cameras=1)
    assert (plan.change_at_ms, plan.change_cameras) == (3_000, 1)
    assert planned(PLAN, load_scenario("none")).change_cameras == 0
    assert [how_many(wanted, 4, "x") for wanted in (0, 3, 0.0, 0.01, 0.5, 1.0)] == [0, 3, 0, 1, 2, 4]
    for wanted in (5, -1, 1.5, -0.5, math.nan):
        with pytest.raises(Misconfigured, match=r"scenario fog: .* is not within the 4 cameras of the road"):
            planned(PLAN, fog, cameras=wanted)


def test_a_new_kind_must_be_new_and_made_of_something() -> None:
    """Not one of the road's classes; made of one of them. The road itself refuses it too."""
    new = load_scenario("new_kind")
    for change, sentence in (
        (NewKind(label="car"), "car is no new kind"),
        (NewKind(made_of="cars"), r"no class cars; did you mean car\?|made of cars"),
    ):
        scenario = type(new)(
            name="mine", sentence="New.", change=change, right=new.right, allowed=new.allowed, wrong=new.wrong
        )
        with pytest.raises(Misconfigured, match=sentence):
            planned(PLAN, scenario)
        with pytest.raises(ValueError, match=sentence):
            Road(replace(PLAN, change=change))
    assert planned(PLAN, new).change == new.change


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_other_cameras_and_the_time_before_stay_as_they_were(name: str) -> None:
    """Down to the last byte of each frame and the last field of each label."""
    plan = replace(PLAN, fps=4)

    def spared(plan: Plan) -> list[tuple[Due, bytes | None]]:
        played = frames_and_labels(plan, PICTURES)
        return [pair for pair in played if pair[0].camera in ("cam-03", "cam-04") or pair[0].at_ms < AT_MS]

    assert spared(story(name, plan)) == spared(plan)


@pytest.mark.parametrize("name", ["fog", "night_lights", "rain"])
def test_weather_comes_up_slowly(name: str) -> None:
    """From severity 1 at the moment of change to the full one at the end of the ramp, in order."""
    frames = [frame for frame in changed_of(replace(story(name), duration_ms=40_000)) if frame.camera == "cam-01"]
    effects = [frame.effect for frame in frames]
    severities = [effect.severity for effect in effects if effect is not None]
    weather = load_scenario(name).change
    assert isinstance(weather, Weather)
    whole = weather.severity
    steps = [*range(1, math.ceil(whole)), whole]
    assert [severity for severity, _ in groupby(severities)] == steps
    assert len(severities) == len(frames)
    full = [frame.at_ms for frame in frames if frame.effect is not None and frame.effect.severity == whole]
    assert full[0] == pytest.approx(AT_MS + 20_000 * (len(steps) - 1) / whole, abs=500)
    assert len({effect.variant for effect in effects if effect is not None}) == 8


@pytest.mark.parametrize("name", ["dirt", "moved"])
def test_what_lasts_is_one_camera_s_own(name: str) -> None:
    """All frames of a camera have the same blotches, another camera has others."""
    variants = defaultdict(set)
    for frame in changed_of(story(name)):
        assert frame.effect is not None
        variants[frame.camera].add(frame.effect)
    assert [len(found) for found in variants.values()] == [1, 1]
    assert variants["cam-01"] != variants["cam-02"]


def test_a_frozen_camera_sends_the_same_bytes() -> None:
    """Those of its last picture; sequence and time go on; labels say what is seen, not what passes."""
    plan = story("frozen")
    sent: dict[str, list[tuple[FrameDue, bytes]]] = defaultdict(list)
    for due, jpeg in frames_and_labels(plan, PICTURES):
        if isinstance(due, FrameDue) and jpeg is not None and not due.copy and due.camera in ("cam-01", "cam-02"):
            sent[due.camera].append((due, jpeg))
    for pairs in sent.values():
        first = next(number for number, (due, _) in enumerate(pairs) if due.changed)
        assert {jpeg for _, jpeg in pairs[first - 1 :]} == {pairs[first - 1][1]}
        assert pairs[first - 2][1] != pairs[first - 1][1]
        assert [due.sequence for due, _ in pairs] == list(range(len(pairs)))
        assert len({due.at_ms for due, _ in pairs}) == len(pairs)
        assert {due.label for due, _ in pairs[first - 1 :]} == {pairs[first - 1][0].label}
    at_once = planned(PLAN, load_scenario("frozen"), at_s=0, cameras=4)
    assert len({(frame.camera, frame.label, frame.nth) for frame in frames_of(at_once)}) == 4


def test_a_black_camera_sends_black_in_the_size_of_its_pictures() -> None:
    """No light at all, and labels as before."""
    plan = replace(story("black"), duration_ms=9_000)
    for due, jpeg in frames_and_labels(plan, PICTURES):
        if isinstance(due, FrameDue) and due.changed and jpeg is not None:
            assert not decode_rgb(jpeg).any()
            assert (inspect(jpeg).width, inspect(jpeg).height) == (100, 100)
    assert labels_of(plan) == labels_of(replace(plan, change=OtherFrames()))


def test_a_silent_camera_sends_nothing_and_a_road_of_them_ends() -> None:
    """No frame from then on, labels of earlier ones still; a count is reached as if it had not fallen silent."""
    plan = story("silent")
    assert not changed_of(plan)
    assert labels_of(plan)
    all_silent = replace(PLAN, duration_ms=math.inf, count=500, change=Silent(), change_at_ms=1_000, change_cameras=4)
    road = Road(all_silent)
    assert 0 < len([due for due in road.due(math.inf) if isinstance(due, FrameDue)]) < 200
    unchanged = Road(replace(all_silent, change_cameras=0))
    unchanged.due(math.inf)
    assert road.ended_at_ms == unchanged.ended_at_ms


def test_a_clock_jumps_back_by_an_hour() -> None:
    """The changed cameras' clocks, nothing else."""
    plan = story("clock_jump")
    assert {frame.clock_off_ms for frame in frames_of(plan)} == {0, -3_600_000}
    before = frames_of(replace(plan, change=OtherFrames()))
    assert [frame._replace(clock_off_ms=0) for frame in frames_of(plan)] == before


@pytest.mark.slow
def test_the_rarest_class_becomes_the_most_frequent() -> None:
    """To the share that was asked for, the others in their old proportions; slowly where a ramp is given."""
    plan = replace(story("class_mix"), duration_ms=108_000, fps=50)
    by_camera: dict[str, Counter[str]] = defaultdict(Counter)
    for frame in changed_of(plan):
        by_camera[frame.camera][frame.label] += 1
    for shares in by_camera.values():
        assert shares.most_common(1)[0][1] / shares.total() == pytest.approx(0.6, abs=0.03)
        assert len(shares) == 6
    usual = Counter(
        frame.label for frame in changed_of(replace(plan, change=OtherFrames())) if frame.camera == "cam-01"
    )
    assert by_camera["cam-01"].most_common(1)[0][0] == usual.most_common()[-1][0]
    ramp = replace(plan, change=ClassMix(share=1.0, ramp_s=100))
    frames = [frame for frame in changed_of(ramp) if frame.camera == "cam-01"]
    rarest = [frame.label == usual.most_common()[-1][0] for frame in frames]
    quarter = len(rarest) // 4
    early, late = sum(rarest[:quarter]) / quarter, sum(rarest[-quarter:]) / quarter
    assert early < 0.3
    assert late == pytest.approx(0.89, abs=0.05)


def test_a_new_kind_is_two_pictures_side_by_side_with_a_name_of_its_own() -> None:
    """In its share of frames; as high as the left one, and both halves are pictures of one class."""
    plan = story("new_kind")
    frames = changed_of(plan)
    new = [frame for frame in frames if frame.label == "trailer"]
    assert len(new) / len(frames) == pytest.approx(0.4, abs=0.07)
    assert {(frame.source, frame.effect and frame.effect.kind) for frame in new} == {("truck", "joined")}
    assert all(frame.source == frame.label and frame.effect is None for frame in frames if frame not in new)
    assert {label.label for label in labels_of(plan)} == {*PICTURES.classes, "trailer"}
    both = decode_rgb(PICTURES.picture("truck", 3, 0, Effect("joined", variant=2))).astype(int)
    left, right = (decode_rgb(PICTURES.picture("truck", nth, 0)) for nth in (3, 6))
    assert both.shape == (100, 200, 3)
    assert np.abs(both[:, :99] - left[:, :99]).mean() < 4
    assert np.abs(both[:, 101:] - right[:, 1:]).mean() < 4
    bikes = changed_of(replace(plan, change=NewKind(share=1.0, made_of="bike")))
    assert {(frame.label, frame.source) for frame in bikes} == {("trailer", "bike")}


def test_wrong_labels_stay_wrong() -> None:
    """Their share of first words from then on, of any frame; none of them is corrected, and frames stay the same."""
    plan = story("wrong_labels")
    words = [label for label in labels_of(plan) if label.why in ("first", "wrong", "uncorrected")]
    uncorrected = {(label.camera, label.sequence) for label in words if label.why == "uncorrected"}
    assert len(uncorrected) / len(words) == pytest.approx(0.4, abs=0.06)
    assert all((label.label == label.truth) == (label.why == "first") for label in words)
    corrected = {(label.camera, label.sequence) for label in labels_of(plan) if label.why == "correction"}
    assert corrected
    assert not corrected & uncorrected
    assert frames_of(plan) == frames_of(replace(plan, change=OtherFrames()))
    wrong = labels_of(replace(plan, change=WrongLabels(share=1.0), repeat_share=0))
    assert {label.why for label in wrong} == {"uncorrected", "correction"}


def test_labels_stop_at_once() -> None:
    """Not one more, also of frames from before, of corrections and repeats; frames stay the same."""
    plan = replace(story("labels_stop"), wrong_share=0.5, repeat_share=0.5)
    assert labels_of(plan) == []
    assert frames_of(plan) == frames_of(replace(plan, change=OtherFrames()))


def test_telemetry_is_slow_noisy_and_each_camera_s_own() -> None:
    """Readings that ingest takes; near in time they are near, over a day they swing with the sun."""
    plan = replace(PLAN, duration_ms=600_000, fps=1)
    by_camera: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for frame in frames_of(plan):
        assert readings(dict(frame.telemetry)) == frame.telemetry
        by_camera[frame.camera].append((frame.telemetry["temperature"], frame.telemetry["voltage"]))
    for found in by_camera.values():
        temperatures, volts = np.array(found).T
        assert np.abs(np.diff(temperatures)).mean() < 0.4
        assert 5 < np.ptp(temperatures) < 16
        assert 0.05 < np.ptp(volts) < 0.3
        assert 20 < temperatures.mean() < 50
        assert 11.5 < volts.mean() < 12.7
    assert len({found[0] for found in by_camera.values()}) == 4


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_checker_finds_nothing_wrong_with_what_a_scenario_makes(name: str) -> None:
    """A faultless pipeline keeps its promise whatever the labels say: new kinds and wrong ones are no breach."""
    report = check(*faultless(replace(story(name), wrong_share=0.1, repeat_share=0.1)))
    assert [str(finding) for finding in report.findings] == []
    assert report.frames_acknowledged > 500
    assert report.outcomes > 300


def faultless(plan: Plan) -> tuple[Ledger, Log]:
    """What a ledger and the topics hold when nothing goes wrong; every label comes after its prediction."""
    lines: list[dict[str, object]] = []
    frames: list[FrameAt] = []
    labels: list[LabelAt] = []
    for due in events(replace(plan, copy_share=0)):
        key: FrameKey = (due.camera, "b", due.sequence)
        line = {"camera": due.camera, "boot": "b", "sequence": due.sequence, "label": due.label}
        if isinstance(due, FrameDue):
            frames.append(FrameAt(0, len(frames), key))
            times = {"intended_at_ms": due.at_ms, "published_at_ms": due.at_ms}
            lines.append(line | times | {"kind": "frame", "corrupt": due.corrupt})
        else:
            labels.append(LabelAt(0, len(labels), (key, due.label, int(due.labelled_at_ms)), int(due.at_ms)))
            lines.append(line | {"kind": "label", "labelled_at_ms": int(due.labelled_at_ms)})
    ids = {frame.frame: f"p{frame.offset}" for frame in frames}
    predictions = [
        PredictionAt(0, frame.offset, frame.frame, ids[frame.frame], "v1", "champion", 0, frame.offset, "car")
        for frame in frames
        if frame.frame is not None
    ]
    outcomes, unmatched = joined(labels, ids)
    log = Log(
        frames=frames,
        accepted=frames,
        predictions=predictions,
        labels=labels,
        labels_accepted=labels,
        outcomes=outcomes,
        unmatched=unmatched,
    )
    return Ledger.of(lines), log


def joined(labels: list[LabelAt], ids: dict[FrameKey | None, str]) -> tuple[list[OutcomeAt], list[UnmatchedAt]]:
    """Each label that says something newer is an outcome."""
    outcomes: list[OutcomeAt] = []
    unmatched: list[UnmatchedAt] = []
    holds: dict[FrameKey, LabelKey] = {}
    for at in labels:
        assert at.label is not None
        frame = at.label[0]
        before = holds.get(frame)
        if before is not None and before[2] >= at.label[2]:
            reason = "repeated" if before == at.label else "superseded"
            unmatched.append(UnmatchedAt(0, at.offset, at.label, reason, at.at_ms))
            continue
        change = "matched" if before is None else "corrected"
        outcomes.append(OutcomeAt(0, at.offset, at.label, ids[frame], "champion", "car", change, at.at_ms))
        holds[frame] = at.label
    return outcomes, unmatched
