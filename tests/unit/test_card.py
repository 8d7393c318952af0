"""The model card: what it counts, what it says is unknown, and that its page is harmless."""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.cli import COMMANDS
from catseye.cli.describe import describe
from catseye.contract.records import Outcome
from catseye.intervals import wilson
from catseye.ops.card.contents import Card, Picture, card_of, gate_rows
from catseye.ops.card.figures import Figures, Labelled
from catseye.ops.card.file import FileFacts, facts_of
from catseye.ops.card.page import as_html
from catseye.ops.lineage.history import History
from catseye.ops.lineage.manifest import Manifest
from services.gateway.pages import PAGES
from tests.unit.test_lineage import HASH, MANIFEST, alert, event, history

NOW_MS = 1_800_000_000_000
GATE = {
    f"{name}/{number}": value
    for name in ("drifted", "golden", "drifted/class/car", "elsewhere/camera/a/b")
    for number, value in (("frames", 40.0), ("champion", 0.5), ("candidate", 0.75), ("won", 12.0), ("lost", 2.0))
}
FACTS = FileFacts(classes=("bus", "car"), input="8 x 8 pixels", attribution="Ann, CC BY 4.0", crops={"train": 9})
EVIL = "<script>alert('x')</script>&\""


def outcome(number: int, **changed: Any) -> Outcome:
    """A right outcome of camera gate."""
    first = Outcome(
        camera="gate",
        boot="b",
        sequence=number,
        captured_at_ms=0,
        received_at_ms=0,
        predicted_at_ms=0,
        prediction_id=f"{number:032x}",
        model="road",
        version="second",
        role="champion",
        frame_partition=0,
        frame_offset=number,
        predicted="car",
        confidence=0.9,
        change="matched",
        label="car",
        correct=True,
        label_probability=0.9,
        brightness=0.5,
        source="person",
        propensity=1.0,
        labelled_at_ms=0,
        label_received_at_ms=0,
        label_delay_ms=0,
    )
    return replace(first, **changed)


def figures(*outcomes: Outcome) -> Figures:
    """Of version second of model road."""
    labelled = Labelled("road", "second")
    for each in outcomes:
        labelled.on_outcome(each)
    return labelled.figures()


def card(
    *outcomes: Outcome,
    manifest: Manifest | None = MANIFEST,
    reported: History | None = None,
    facts: FileFacts = FACTS,
    pictures: Sequence[Picture] = (),
) -> Card:
    """The card of version second."""
    reported = reported or history()
    missing = "" if manifest else "the store has it not"
    chain = [reported.link("road", "second", manifest, missing), reported.link("road", "first")]
    return card_of(reported, chain, figures(*outcomes), 0, NOW_MS, facts=facts, pictures=pictures)


def test_the_newest_outcome_of_each_prediction_counts() -> None:
    """Corrected ones by their correction, withdrawn ones not at all, other versions not at all."""
    found = figures(
        outcome(1),
        outcome(2),
        outcome(3),
        outcome(2, change="corrected", label="bus", correct=False),
        outcome(3, change="withdrawn", label=None, correct=None),
        outcome(4, version="first"),
        outcome(5, role="shadow", camera="other", propensity=0.5),
    )
    assert {name: (own.right, own.of) for name, own in found.by_class.items()} == {"bus": (0, 1), "car": (2, 2)}
    assert {name: (own.right, own.of) for name, own in found.by_camera.items()} == {"gate": (1, 2), "other": (1, 1)}
    assert {name: (own.right, own.of) for name, own in found.by_role.items()} == {"champion": (1, 2), "shadow": (1, 1)}
    assert (found.withdrawn, found.propensity_below_1, found.sources) == (1, 1, {"person": 3})


def test_intervals_are_wilson_s() -> None:
    """Against the published example of 10 of 10 (0.722 to 1) and symmetry at one half."""
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=5e-5)
    assert sum(wilson(50, 100)) == pytest.approx(1.0)
    assert wilson(0, 0) == (0.0, 1.0)


def test_calibration_is_the_distance_of_confidence_and_accuracy() -> None:
    """By bins of equal width; a confidence of 1 is in the last one."""
    found = figures(
        outcome(1, confidence=0.95), outcome(2, confidence=1.0), outcome(3, confidence=0.55, label="bus", correct=False)
    )
    assert [(each.share.right, each.share.of) for each in found.bins] == [(0, 1), (2, 2)]
    assert found.calibration_error == pytest.approx((2 * 0.025 + 0.55) / 3)
    assert figures().calibration_error is None


def test_the_gate_s_table_is_read_from_the_event() -> None:
    """Wholes first; names of cameras may hold slashes; other numbers are left over."""
    rows, others = gate_rows(GATE | {"fit/seconds": 3.0, "drifted/camera/half/frames": 4.0})
    assert [(row.where, row.slice) for row in rows] == [
        ("drifted", "all"),
        ("golden", "all"),
        ("drifted", "class car"),
        ("elsewhere", "camera a/b"),
    ]
    assert (rows[0].champion.right, rows[0].candidate.right, rows[0].won, rows[0].lost) == (20, 30, 12, 2)
    assert rows[0].low > 0.5
    assert others == {"fit/seconds": 3.0, "drifted/camera/half/frames": 4.0}


def test_a_card_with_everything_says_it() -> None:
    """Data, gate, accuracy, calibration, alerts, decision, lineage."""
    reported = history()
    reported.events[1] = event("second", "candidate", 10, dataset_sha256=HASH, decision_id="d" * 32, metrics=GATE)
    reported.alerts["b"] = alert(alert_id="b", version="second", explanation="It is fog.")
    whole = replace(
        MANIFEST,
        frames_topic="f",
        frames_ranges={"0": (5, 7)},
        outcomes_topic="o",
        outcomes_ranges={"0": (0, 3)},
        sources={"audit": 3},
        propensities={"0.50": 3},
        by_class={"car": {"train": 1}},
        by_camera={"gate": {"train": 2}},
    )
    found = card(*[outcome(number) for number in range(100)], manifest=whole, reported=reported)
    page = as_html(found)
    for words in (
        HASH,
        "audit 3",
        "0.50 3",
        "2027-01-15 08:00:00",
        "drifted",
        "Expected calibration error",
        "It is fog.",
        "because so",
        "camera a/b",
        "100.0%",
        "concept on gate",
        "bus, car",
        "8 x 8 pixels",
        "Ann, CC BY 4.0",
        "It is champion. As champion it is right on 100.0% (96.3% to 100.0%) of 100 labelled frames.",
    ):
        assert words in page, words
    assert not [each for each in found.limits if each.startswith("Unknown")]
    assert (found.stage, found.served) == ("champion", [(12, None)])


def test_a_card_with_nothing_says_that() -> None:
    """Each section says that it is unknown."""
    bare = History([event("second", "candidate", 1)])
    found = card(manifest=None, reported=bare, facts=FileFacts(missing="the store has it not"))
    text = " ".join(found.limits)
    for words in ("what it was trained on", "against the champion", "how accurate", "No decision", "never served"):
        assert words in text, words
    page = as_html(found)
    assert page.count("class=unknown") >= 4
    text = " ".join(card(manifest=None).limits)
    assert f"what dataset {HASH} holds: the store has it not" in text
    assert "offset ranges, sources of labels" in " ".join(card().limits)


def wrong(number: int, label: str = "bus", confidence: float = 0.9) -> Outcome:
    """A frame that was taken for a car."""
    return outcome(number, label=label, correct=False, confidence=confidence)


def test_no_calibration_figure_comes_from_few_labels() -> None:
    """99 are few, 100 are not; the page says why there is none."""
    few, enough = ([outcome(number) for number in range(count)] for count in (99, 100))
    assert (card(*few).figures.calibration_error, card(*few).figures.bins) == (None, [])
    assert card(*enough).figures.calibration_error is not None
    assert "an Expected calibration error of 99 labels says nothing; 100 are needed" in as_html(card(*few))


def test_the_first_lines_say_what_to_think_of_it() -> None:
    """Accuracy with its doubt, the weakest class, open alerts; less where less is known."""
    many = [*[outcome(number) for number in range(150)], *[wrong(number) for number in range(150, 190)]]
    assert card(*many).verdict == (
        "It is champion. As champion it is right on 78.9% (72.6% to 84.1%) of 190 labelled frames. Its weakest class "
        "is bus: 0.0% (0.0% to 8.8%) of 40."
    )
    facts = replace(FACTS, tested=600, right=587)
    assert card(outcome(1), wrong(2), facts=facts).verdict == (
        "It is champion. 1 of 2 labelled frames are right, too few for a verdict (100 are needed). Its maker says "
        "97.8% (96.3% to 98.7%) of 600 test crops."
    )
    reported = history()
    reported.alerts["b"] = alert(alert_id="b", version="second", kind="drift")
    nothing = card(reported=reported).verdict
    assert nothing.endswith("no label of a frame that it saw has come. Open alerts that name it: 1 (drift).")


def test_what_a_card_does_not_know_is_what_a_person_can_give() -> None:
    """The licence by an option that there is, labels by a command and a page that there are."""
    limits = " ".join(card(facts=replace(FACTS, attribution="")).limits)
    assert "`catseye models describe --attribution` writes it" in limits
    assert "--attribution" in [name for option in describe.params for name in option.opts]
    assert "page /label or with `catseye label`" in limits
    assert "/label" in [page.path for page in PAGES]
    assert "label" in COMMANDS


def test_a_card_counts_what_is_taken_for_what() -> None:
    """By true class; of many classes the commonest confusions."""
    found = figures(outcome(1), wrong(2), wrong(3), wrong(4, "van"))
    assert found.confusion == {"bus": {"car": 2}, "car": {"car": 1}, "van": {"car": 1}}
    assert "true \\ predicted" in as_html(card(outcome(1), wrong(2)))
    many = as_html(card(*[wrong(number, f"class {number}") for number in range(30)]))
    assert "true \\ predicted" not in many
    assert many.count("<td>class ") >= 20


def test_the_surest_mistakes_are_shown_few_of_each_kind() -> None:
    """As data in the page; a frame that is gone is left out."""
    labelled = Labelled("road", "second")
    for number in range(10):
        labelled.on_outcome(wrong(number, confidence=number / 10))
    labelled.on_outcome(wrong(10, "van", 0.05))
    mistakes = labelled.mistakes()
    assert [(each.label, each.sequence) for each in mistakes] == [*[("bus", n) for n in (9, 8, 7, 6)], ("van", 10)]
    assert len(labelled.mistakes(2)) == 2
    shown = [Picture(mistake=mistakes[0], jpeg=b"\xff\xd8picture"), Picture(mistake=mistakes[1])]
    page = as_html(card(pictures=shown))
    assert re.findall(r'<img[^>]* src="([^"]*)"', page) == ["data:image/jpeg;base64,/9hwaWN0dXJl"]
    assert "bus, taken for car 90%" in page


def test_a_card_reads_the_model_file() -> None:
    """Classes, input, licence and what its maker tested, of the file that is shipped; of damage it says that."""
    file = Path(__file__).parents[2] / "infra" / "example" / "vehicles.onnx"
    facts = facts_of(file.read_bytes())
    assert facts.missing == ""
    assert {"car", "truck"} <= set(facts.classes)
    assert "CC BY 4.0" in facts.attribution
    assert facts.input.endswith("pixels, RGB, stretch")
    assert facts.crops["train"] > 0
    assert 0 < facts.right <= facts.tested
    assert facts_of(b"\xff" * 30).missing.startswith("the file is no ONNX")
    assert "catseye.classes" in facts_of(b"").missing


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta", "line", "circle", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_carries_nothing_that_runs_or_loads() -> None:
    """Whatever cameras, labels, people and trainers call themselves."""
    reported = History(
        [event("second", "champion", 1, because=EVIL, by=EVIL, metrics={EVIL: 1.0, f"drifted/camera/{EVIL}/x": 1.0})],
        alerts=[alert(version="second", explanation=EVIL, camera=EVIL, kind=EVIL)],
    )
    evil = Manifest(
        classes=[EVIL],
        by_class={EVIL: {"train": 1}},
        by_camera={EVIL: {EVIL: 1}},
        sources={EVIL: 1},
        frames_topic=EVIL,
        frames_ranges={EVIL: (0, 1)},
        changed_since_ms={EVIL: 1},
        base_version=EVIL,
    )
    facts = FileFacts(classes=(EVIL,), input=EVIL, attribution=EVIL, crops={EVIL: 1})
    labels = outcome(1, camera=EVIL, label=EVIL, source=EVIL)
    page = as_html(card(labels, manifest=evil, reported=reported, facts=facts))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "a"}
    assert not tags.attributes & {"src", "href", "style", "onload"}
    assert "<script" not in page
    assert not re.search(r"https?://|url\(|@import", page)
