"""A replay: what came is put in the order in which it came, and both models are judged on the same frames."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.dead_letters import dead_letter
from catseye.contract.errors import BadRecord, Misconfigured, Reason
from catseye.contract.identity import prediction_id
from catseye.contract.records import AcceptedFrame, Outcome, Prediction
from services.drift.rules import Rules as DriftRules
from services.incidents.rules import Rules as IncidentsRules
from services.replay import core as replay_core
from services.replay.answer import Answer, as_json, as_lines
from services.replay.answers import NOTHING, PAGE, Answers
from services.replay.core import Backtest, Score
from services.replay.order import HELD_MS, Arrival, Arrivals, in_order
from services.replay.span import Span, span_of, time_ms
from services.replay.watch import TICK_MS, Kept, Watch
from tests.simulation.cameras import CLASSES, START_MS, Camera, ms, outcome
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
HOUR_MS = 3_600_000
ALWAYS = Span()
QUICK = DriftRules(reference_samples=200, reference_span_ms=0, telemetry_span_ms=0, fleet_cameras=1, false_per_week=1e6)


def shot(at_s: float, sequence: int, reported: str = "car", camera: str = "a") -> Prediction:
    """What the champion of the time said of a frame, whose offset is its sequence number."""
    drawn = Camera(camera).shot()
    return replace(
        drawn,
        sequence=sequence,
        received_at_ms=ms(at_s),
        predicted_at_ms=ms(at_s) + 40,
        frame_partition=0,
        frame_offset=sequence,
        label=reported,
        probabilities=dict.fromkeys(CLASSES, 0.25) | {reported: 0.5},
        prediction_id=prediction_id(camera, drawn.boot, sequence, drawn.model, drawn.version, "champion"),
    )


def accepted(of: Prediction) -> AcceptedFrame:
    """The frame that a prediction is of."""
    both = set(AcceptedFrame.__struct_fields__) & set(Prediction.__struct_fields__)
    return AcceptedFrame(**{name: getattr(of, name) for name in both}, jpeg=b"x", width=8, height=8)


def frame_message(of: Prediction) -> FakeMessage:
    """It as it stands on frames.accepted."""
    return FakeMessage("frames.accepted", CODEC.encode(accepted(of)), of.frame_offset, of.frame_partition)


def label_of(of: Prediction, label: str | None, at_s: float) -> Outcome:
    """Its label, which came at a moment; None takes it back."""
    matched = outcome(of, label or "", delay_s=at_s - (of.received_at_ms - START_MS) / 1_000)
    if label is not None:
        return matched
    return replace(matched, label=None, correct=None, label_probability=None, change="withdrawn")


def arrivals(
    kind: Any, records: Sequence[Any], span: Span = ALWAYS, cameras: frozenset[str] = frozenset()
) -> list[Arrival]:
    """Records of one partition, read."""
    values = [
        frame_message(each) if kind == "frame" else FakeMessage(kind, CODEC.encode(each), place)
        for place, each in enumerate(records)
    ]
    return list(Arrivals(CODEC, span, cameras).of(kind, values))


class Road:
    """A replay of one partition under test: the candidate says what is given."""

    def __init__(self, from_ms: int | None = START_MS, **how: Any) -> None:
        self.test = Backtest("road", "v2", CLASSES, how.pop("kept_ms", HOUR_MS), from_ms, how.pop("firsts", None))

    def frame(self, of: Prediction, candidate: str | None) -> list[Outcome]:
        """A frame came, of which the candidate says *candidate*."""
        (arrival,) = arrivals("frame", [of])
        if candidate is None:
            return self.test.on_frame(arrival, None)
        chances = dict.fromkeys(CLASSES, 0.1) | {candidate: 0.8}
        return self.test.on_frame(arrival, replace(of, label=candidate, probabilities=chances))

    def reported(self, of: Prediction) -> None:
        """The champion's prediction came."""
        (arrival,) = arrivals("prediction", [of])
        assert self.test.on_prediction(arrival) == []

    def label(self, record: Outcome) -> list[Outcome]:
        """An outcome came."""
        (arrival,) = arrivals("outcome", [record])
        return self.test.on_outcome(arrival)

    @property
    def score(self) -> Score:
        """What holds now."""
        return self.test.score()


def test_records_come_when_they_came() -> None:
    """Frames and predictions when ingest took the frame, labels when it took the label; frames first."""
    shots = [shot(0, 0), shot(10, 1), shot(20, 2)]
    labels = [label_of(shots[0], "car", 10), label_of(shots[1], "car", 15)]
    letter = dead_letter("ingest", frame_message(shots[0]), BadRecord(Reason.JPEG_EMPTY, "none"), ms(12))
    kinds: Any = {"outcome": labels, "prediction": shots, "frame": shots, "refused": [letter]}
    merged = in_order([iter(arrivals(kind, records)) for kind, records in kinds.items()])
    assert [(each.kind, each.at_ms - START_MS) for each in merged] == [
        ("frame", 0),
        ("prediction", 0),
        ("frame", 10_000),
        ("prediction", 10_000),
        ("outcome", 10_000),
        ("refused", 12_000),
        ("outcome", 15_000),
        ("frame", 20_000),
        ("prediction", 20_000),
    ]


def test_a_partition_never_goes_back_in_time() -> None:
    """A clock that went back moves nothing; a record keeps the moment of the one before."""
    came = arrivals("frame", [shot(10, 0), shot(4, 1), shot(12, 2)])
    assert [each.at_ms - START_MS for each in came] == [10_000, 10_000, 12_000]
    assert [each.received_at_ms - START_MS for each in came] == [10_000, 4_000, 12_000]


def test_only_the_span_and_the_cameras_that_are_asked_for() -> None:
    """Both ends belong to it; a label that came after the end is not known yet."""
    span = Span(ms(10), ms(20))
    shots = [shot(9.999, 0), shot(10, 1), shot(20, 2), shot(20.001, 3)]
    assert [each.place[1] for each in arrivals("frame", shots, span)] == [1, 2]
    labels = [label_of(shots[0], "car", 15), label_of(shots[1], "car", 20), label_of(shots[2], "car", 20.001)]
    assert [each.place[1] for each in arrivals("outcome", labels, span)] == [1]
    both = [shot(11, 0), shot(12, 1, camera="b")]
    assert [each.camera for each in arrivals("frame", both, span, frozenset("b"))] == ["b"]


def test_reading_ends_where_nothing_of_the_span_can_come() -> None:
    """A while behind its end; what follows is not even taken from the topic."""
    messages = iter([frame_message(shot(at_s, place)) for place, at_s in enumerate([1, HELD_MS / 1_000 + 11, 2])])
    assert len(list(Arrivals(CODEC, Span(None, ms(10))).of("frame", messages))) == 1
    assert len(list(messages)) == 1


def test_what_cannot_be_read_is_counted() -> None:
    """And the rest goes on."""
    reader = Arrivals(CODEC, Span())
    assert len(list(reader.of("frame", [FakeMessage("frames.accepted", b"no"), frame_message(shot(1, 1))]))) == 1
    assert reader.unreadable == 1


def test_both_are_assessed_on_the_same_frames() -> None:
    """Overall, by class and by camera, with pairs on which they differ."""
    road = Road()
    rows = [("car", "car", "car"), ("car", "truck", "car"), ("car", "car", "truck"), ("bike", "car", "truck")]
    for sequence, (truth, candidate, champion) in enumerate(rows):
        reported = shot(sequence, sequence, champion, camera="ab"[sequence % 2])
        road.frame(reported, candidate)
        road.reported(reported)
        road.label(label_of(reported, truth, 60 + sequence))
    score = road.score
    assert score.overall is not None
    assert (score.overall.candidate.right, score.overall.champion.right, score.overall.champion.of) == (2, 2, 4)
    assert (score.overall.only_candidate, score.overall.only_champion) == (1, 1)
    assert {name: (both.candidate.right, both.candidate.of) for name, both in score.by_class.items()} == {
        "bike": (0, 1),
        "car": (2, 3),
    }
    assert {name: (both.candidate.right, both.champion.right) for name, both in score.by_camera.items()} == {
        "a": (2, 1),
        "b": (0, 1),
    }
    assert (score.frames, score.compared, score.same, score.labelled) == (4, 4, 1, 4)
    assert score.champions == {"m v1": 4}
    assert (score.label_delay_median_ms, score.label_delay_p95_ms) == (60_000, 60_000)


def test_the_newest_label_holds() -> None:
    """A correction replaces, a withdrawal takes back, a label may come again."""
    road = Road()
    first, second = shot(0, 0), shot(1, 1)
    road.frame(first, "car")
    road.frame(second, "car")
    (notified,) = road.label(label_of(first, "car", 10))
    assert notified.correct
    assert notified.label_probability == pytest.approx(0.8, abs=1e-4)
    road.label(replace(label_of(first, "truck", 20), change="corrected", correct=False))
    road.label(label_of(second, "car", 21))
    (notified,) = road.label(label_of(second, None, 22))
    assert (notified.correct, notified.label_probability, notified.change) == (None, None, "withdrawn")
    score = road.score
    assert score.overall is not None
    assert (score.overall.candidate.right, score.overall.candidate.of) == (0, 1)
    assert list(score.by_class) == ["truck"]
    assert (score.labelled, score.corrected, score.withdrawn) == (1, 1, 1)
    road.label(replace(label_of(second, "car", 23), change="corrected"))
    assert road.score.labelled == 2


def test_an_outcome_is_the_one_that_the_candidate_would_have_had() -> None:
    """Its name, its word and its confidence; the frame, the label and their times as they were."""
    road = Road()
    reported = shot(0, 0)
    road.frame(reported, "truck")
    recorded = label_of(reported, "tram", 5)
    (notified,) = road.label(recorded)
    expected = replace(
        CODEC.decode(CODEC.encode(recorded), Outcome),  # numbers as a topic carries them
        model="road",
        version="v2",
        prediction_id=prediction_id(reported.camera, reported.boot, 0, "road", "v2", "champion"),
        predicted_at_ms=reported.received_at_ms,
        predicted="truck",
        confidence=notified.confidence,
        correct=False,
        label_probability=0.0,  # it has no such class
    )
    assert notified == expected
    assert notified.confidence == pytest.approx(0.8, abs=1e-4)


def test_what_comes_before_its_frame_waits_for_it() -> None:
    """A label that was there first counts when the frame comes; one whose frame never comes is missing."""
    road = Road()
    early, never = shot(5, 0), shot(6, 9)
    road.frame(shot(4, -1), "car")
    assert road.label(label_of(early, "car", 1)) == []
    road.reported(early)
    road.label(label_of(never, "car", 7))
    road.reported(never)
    assert (road.score.missing, road.score.missing_labelled) == (2, 2)
    (notified,) = road.frame(early, "car")
    assert notified.correct
    assert (road.score.missing, road.score.missing_labelled, road.score.compared) == (1, 1, 1)


def test_frames_that_the_archive_lost_are_counted_once() -> None:
    """By their prediction, and by their first label; a correction of it is no further frame."""
    road = Road(firsts={0: 5})
    lost = shot(1, 3)
    road.reported(lost)
    road.label(label_of(lost, "car", 2))
    road.label(replace(label_of(lost, "truck", 3), change="corrected"))
    road.frame(shot(4, 6), "car")
    skipped = shot(3, 5)
    road.reported(skipped)
    assert (road.score.missing, road.score.missing_labelled, road.score.frames) == (2, 1, 1)


def test_a_frame_without_an_answer_is_assessed_for_neither() -> None:
    """It is counted, and its label leads to nothing."""
    road = Road()
    reported = shot(0, 0)
    road.frame(reported, None)
    road.reported(reported)
    assert road.label(label_of(reported, "car", 3)) == []
    score = road.score
    assert (score.frames, score.unanswered, score.compared, score.labelled) == (1, 1, 0, 0)
    assert score.overall is None


def test_what_is_about_frames_before_the_first_one_is_left_out() -> None:
    """Where no start was given, the first frame is the start; shadows' outcomes count nowhere."""
    road = Road(from_ms=None)
    before, first = shot(0, 0), shot(10, 1)
    road.reported(before)
    assert road.label(label_of(before, "car", 5)) == []
    road.frame(first, "car")
    assert road.label(label_of(before, "car", 15)) == []
    assert road.label(replace(label_of(first, "car", 15), role="shadow")) == []
    road.label(replace(label_of(first, "car", 15), propensity=0.5))
    score = road.score
    assert (score.from_ms, score.missing, score.labelled, score.propensity_below_1) == (ms(10), 0, 1, 1)


def test_memory_ends_with_the_labels_that_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of frames that are older than any label may be are dropped whole."""
    monkeypatch.setattr(replay_core, "FORGET_EVERY", 1)
    road = Road(kept_ms=1_000)
    reported = shot(0, 0)
    for sequence in range(PAGE + 2):
        road.frame(replace(reported, sequence=sequence, frame_offset=sequence, received_at_ms=ms(sequence)), "car")
    road.label(label_of(reported, "car", 3))
    assert road.score.missing_labelled == 1


def test_rows_are_found_by_offset() -> None:
    """Offsets may have holes; a frame of an older page is found as well."""
    reported = Answers(3)
    for place in range(PAGE + 1):
        reported.add(place * 2, place, place % 3, (0.0, 1.0, 0.5))
    assert reported.find(-1) is None
    assert reported.find(3) is None
    assert reported.find(10 * PAGE) is None
    for place in (0, 1, PAGE - 1, PAGE):
        row = reported.find(place * 2)
        assert (row["offset"], row["predicted"], row["label"]) == (place * 2, place % 3, NOTHING)
        assert row["chances"].tolist() == [0, 65_535, 32_768]
    reported.forget(PAGE + 10)
    assert reported.find(0) is None
    assert reported.find(PAGE * 2) is not None


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        ("2027-01-15T08:00", 1_800_000_000_000),
        ("2027-01-15T10:00+02:00", 1_800_000_000_000),
        ("2027-01-15", 1_799_971_200_000),
        ("1800000000000", 1_800_000_000_000),
        ("-90s", 1_799_999_910_000),
        ("-1.5h", 1_799_994_600_000),
        ("-7d", 1_799_395_200_000),
    ],
)
def test_times_as_people_write_them(text: str, expected_ms: int) -> None:
    """ISO 8601, how long ago, Unix milliseconds."""
    assert time_ms(text, "--from", START_MS) == expected_ms


@pytest.mark.parametrize("text", ["yesterday", "", "-", "-2", "2h", "2027-13-01", "-1w", "1e9"])
def test_what_is_no_time_is_named(text: str) -> None:
    """With the option, and how times are written."""
    with pytest.raises(Misconfigured, match=r"--to: .*is no time; it is written"):
        time_ms(text, "--to", START_MS)


def test_a_span_has_an_order_and_no_future() -> None:
    """From may be left out, and so may to; the end is now at the latest."""
    assert span_of(None, None, 100) == Span(None, None)
    assert span_of("5", "900", 100) == Span(5, 100)
    for from_, to in (("50", "40"), ("200", None), ("200", "300")):
        with pytest.raises(Misconfigured, match="ends before it begins"):
            span_of(from_, to, 100)


def test_the_cores_raise_the_alerts_by_the_clock_of_the_records() -> None:
    """A camera that stops is told silent while others go on; it is over when it comes again."""
    watch = Watch(CODEC, "", QUICK, IncidentsRules(), [0, 1])
    steady, stops = Camera("a", fps=1), Camera("b", fps=1, seed=2)
    for _ in range(60):
        for partition, camera in enumerate((steady, stops)):
            at = camera.shot()
            watch.take(at.received_at_ms, Kept("predictions", partition, at.sequence, CODEC.encode(at)))
    for _ in range(120):
        at = steady.shot()
        watch.take(at.received_at_ms, Kept("predictions", 0, at.sequence, CODEC.encode(at)))
    (alert,) = watch.finish(at.received_at_ms + 1)
    assert (alert.kind, alert.camera, alert.resolved_at_ms) == ("camera_silent", "b", None)
    # Sixty seconds of frames, five gaps and five seconds of grace, and at most one look later.
    assert ms(59) + 10_000 < alert.opened_at_ms <= ms(60) + 10_000 + 2 * TICK_MS
    assert set(watch.learning()) == {"a", "b"}
    assert Watch(CODEC, "", QUICK, IncidentsRules(), [0]).finish(START_MS) == []


def answer(**changes: Any) -> Answer:
    """Of one labelled frame."""
    road = Road()
    reported = shot(0, 0)
    road.frame(reported, "car")
    road.reported(reported)
    road.label(replace(label_of(reported, "car", 7_200), propensity=0.5))
    sound = Answer(
        model="road",
        version="v2",
        sha256="0" * 64,
        to_ms=ms(9_000),
        cameras=[],
        score=road.score,
        alerts=[],
        learning={},
        unreadable=0,
    )
    return replace(sound, **changes)


def test_people_are_reported_in_sentences_and_tables() -> None:
    """Everything that is not as it should be has its own words."""
    lines, (accuracy,) = as_lines(answer())
    assert "2.0 h in the median" in " ".join(lines)
    assert "1 were chosen with a probability below 1" in " ".join(lines)
    assert "no alert" in lines[-1]
    assert [row[0] for row in accuracy] == ["ACCURACY", "all", "class car", "camera a"]
    assert accuracy[1][2:4] == ("100.0%", "20.7% to 100.0%")
    score = replace(answer().score, missing=3, missing_labelled=2, unanswered=1, overall=None, champions={})
    alert = silent_alert()
    notified = answer(score=score, alerts=[alert], learning={"a": 5}, unreadable=4)
    lines, tables = as_lines(notified)
    for words in ("3 frames that were predicted", "2 that were", "1 frames have no", "4 records", "still learning"):
        assert words in " ".join(lines)
    assert [table[1][:3] for table in tables] == [("camera_silent", "critical", "b")]
    quick = as_lines(answer(score=replace(answer().score, label_delay_median_ms=1_500)))[0]
    assert "labels after 1.5 s in the median, 2.0 h for 95 %" in " ".join(quick)
    assert as_json(notified)["alerts"][0]["resolved_at_ms"] is None
    assert as_json(answer())["score"]["by_camera"]["a"]["candidate"]["of"] == 1


def silent_alert() -> Any:
    """One alert."""
    watch = Watch(CODEC, "", QUICK, IncidentsRules(), [0])
    for at in Camera("b", fps=1).shots(60):
        watch.take(at.received_at_ms, Kept("predictions", 0, at.sequence, CODEC.encode(at)))
    (alert,) = watch.finish(ms(120))
    return alert
