"""What the command line of the demo asks for: the simulator's options, how long, what drift must have learned by then.
Pure but for looking scenario files up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from catseye.contract.errors import Misconfigured
from infra.local.demo_loop import MOST_S
from infra.local.demo_models import CROPS, MODEL
from services.simulator.changes import Nothing
from services.simulator.scenario import load_scenario

DURATION_S = 60.0
CHANGE_AT_S = 30.0
LABELS_S = 40.0
"""So many seconds' labels of the changed cameras a training waits for: what it learns the new road by."""
_FEWEST_LABELS, _MOST_LABELS = 200, 2_400
DAY_S = 365 * 86_400.0
"""So long that light stands still: to who has learned for a quarter of a minute its next step is a change, and rightly
so. With a day of a day one of six cameras saw such a step in seven minutes."""
_SHARE_LEARNED = 0.6
"""Of the frames until the change: the slowest camera of the simulator has so many of what the mean one has."""
_FEWEST_SAMPLES, _MOST_SAMPLES = 150, 1_000
DRAWN_PER_S = 8.0
"""Frames of the whole road that are drawn for people to label, where only people do: more than they manage."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The command line.

    Attributes:
        road: Options for the simulator, as they are.
        duration_s: Of publishing, at most.
        until_closed: Whether it ends before, as soon as the loop has closed.
        change_at_s: When something happens; None when nothing does.
        worse_model: Whether a worse model is promoted then.
        sentence: What happens then; empty when nothing does.
        fps: Frames per second of a camera.
        reference_samples: Frames, and labels, that drift learns a camera by.
        fresh_labels: Labels of the new road that a training waits for.
        people_label: Whether people give all labels; else the simulator does.
        frames_per_s: Of the whole road.
        model: ONNX file to start with.
        frames: Folder of JPEGs; None for the example's.
        headless: Lines instead of a screen.
    """

    road: tuple[str, ...]
    duration_s: float
    until_closed: bool
    change_at_s: float | None
    worse_model: bool
    sentence: str
    fps: float
    reference_samples: int
    fresh_labels: int
    people_label: bool
    frames_per_s: float
    model: Path
    frames: Path | None
    headless: bool


def wishes(
    *,
    scenario: str | None,
    after: Path | None,
    change_at: float | None,
    duration: float | None,
    model: Path,
    frames: Path | None,
    headless: bool,
    labels: str = "simulator",
    **road: Any,
) -> Wishes:
    """Work out what is not said.

    Raises:
        Misconfigured: there is no such scenario, or two things would happen at once.
    """
    story = load_scenario(scenario or "none")
    happens = story.model == "worse" or not isinstance(story.change, Nothing)
    if happens and after is not None:
        raise Misconfigured(f"--after is a scenario of its own; it cannot be played with --scenario {story.name}")
    change_at_s: float | None = None
    if happens or after is not None:
        change_at_s = change_at if change_at is not None else story.at_s if happens else CHANGE_AT_S
    until_closed = duration is None and change_at_s is not None
    if duration is None:
        duration = DURATION_S if change_at_s is None else change_at_s + MOST_S
    people_label = labels == "none"
    if people_label:
        road = {**road, "label_share": 0.0}
    given = {
        "day": DAY_S,
        "frames": frames,
        "after": after,
        "scenario": _found(scenario),
        "change-at": change_at_s,
        **road,
    }
    options = {name: value for name, value in {**given, "duration": duration}.items() if value is not None}
    return Wishes(
        road=tuple(part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))),
        duration_s=duration,
        until_closed=until_closed,
        change_at_s=change_at_s,
        worse_model=story.model == "worse",
        sentence=story.sentence if happens else "" if after is None else f"Cameras show the pictures of {after.name}.",
        fps=road["fps"],
        reference_samples=reference_samples(change_at_s or CHANGE_AT_S, road["fps"], road["label_share"]),
        fresh_labels=fresh_labels(road["cameras"] * road["fps"] * road["label_share"] / 2),
        people_label=people_label,
        frames_per_s=road["cameras"] * road["fps"],
        model=model,
        frames=frames,
        headless=headless,
    )


def queue_rates(frames_per_s: float) -> str:
    """Chances with which frames are drawn for people, as the setting has it: of every kind the same."""
    chance = min(DRAWN_PER_S / frames_per_s, 1.0)
    return msgspec.json.encode({"*": {"audit": chance, "unsure": 0, "evidence": chance}}).decode()


def reference_samples(change_at_s: float, fps: float, label_share: float) -> int:
    """So many frames, and labels, that each camera has learned before the change: 150 to 1,000."""
    labels = _SHARE_LEARNED * change_at_s * fps * label_share
    return min(max(round(labels), _FEWEST_SAMPLES), _MOST_SAMPLES)


def fresh_labels(labels_per_s: float) -> int:
    """Labels of the new road that a training waits for: 200 to 2,400."""
    return min(max(round(LABELS_S * labels_per_s), _FEWEST_LABELS), _MOST_LABELS)


def of_services(asked: Wishes, environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the services that a demo sets unless *environment* does: minutes must be enough for what takes days.

    Crops of the time before are those of the example where the model is the example's, else those that are played.
    """
    examples = CROPS if asked.frames is None or asked.model == MODEL else asked.frames
    settings = {
        "CATSEYE_DRIFT_REFERENCE_SAMPLES": str(asked.reference_samples),
        "CATSEYE_DRIFT_REFERENCE_SPAN_H": "0",
        "CATSEYE_RETRAIN_TRIGGER_CONFIRM_S": "5",
        "CATSEYE_RETRAIN_TRIGGER_RETRY_S": "5",
        "CATSEYE_RETRAIN_TRIGGER_LABELS": str(asked.fresh_labels),
        "CATSEYE_TRAINER_EXAMPLES_DIR": str(examples),
    }
    if asked.people_label:
        settings["CATSEYE_VIEW_QUEUE_RATES"] = queue_rates(asked.frames_per_s)
    return {name: value for name, value in settings.items() if name not in environment}


def _found(scenario: str | None) -> str | None:
    """A file by its whole path, since the simulator is started elsewhere; a name as it is."""
    if scenario is None or not Path(scenario).is_file():
        return scenario
    return str(Path(scenario).resolve())
