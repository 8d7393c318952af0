"""The model card: what it counts, what it says is unknown, and that its page is harmless."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace

from catseye.contract.records import Outcome
from catseye.ops.card.contents import Card, card_of, gate_rows
from catseye.ops.card.figures import Figures, Labelled, wilson
from catseye.ops.card.page import as_html
from catseye.ops.lineage.history import History
from catseye.ops.lineage.manifest import Manifest
from tests.unit.test_lineage import HASH, MANIFEST, alert, event, history

NOW_MS = 1_800_000_000_000
GATE = {
    f"{name}/{number}": value
    for name in ("drifted", "golden", "drifted/class/car", "elsewhere/camera/a/b")
    for number, value in (("frames", 40.0), ("champion", 0.5), ("candidate", 0.75), ("won", 12.0), ("lost", 2.0))
}
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


def card(*outcomes: Outcome, manifest: Manifest | None = MANIFEST, reported: History | None = None) -> Card:
    """The card of version second."""
    reported = reported or history()
    missing = "" if manifest else "the store has it not"
    chain = [reported.link("road", "second", manifest, missing), reported.link("road", "first")]
    return card_of(reported, chain, figures(*outcomes), 0, NOW_MS)


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
    found = card(outcome(1), manifest=whole, reported=reported)
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
    ):
        assert words in page, words
    assert not [each for each in found.limits if each.startswith("Unknown")]
    assert (found.stage, found.served) == ("champion", [(12, None)])


def test_a_card_with_nothing_says_that() -> None:
    """Each section says that it is unknown."""
    bare = History([event("second", "candidate", 1)])
    found = card(manifest=None, reported=bare)
    text = " ".join(found.limits)
    for words in ("what it was trained on", "against the champion", "how accurate", "No decision", "never served"):
        assert words in text, words
    page = as_html(found)
    assert page.count("class=unknown") >= 4
    text = " ".join(card(manifest=None).limits)
    assert f"what dataset {HASH} holds: the store has it not" in text
    assert "offset ranges, sources of labels" in " ".join(card().limits)


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
    page = as_html(card(outcome(1, camera=EVIL, label=EVIL, source=EVIL), manifest=evil, reported=reported))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "a"}
    assert not tags.attributes & {"src", "href", "style", "onload"}
    assert "<script" not in page
    assert not re.search(r"https?://|url\(|@import", page)
