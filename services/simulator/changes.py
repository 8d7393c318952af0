"""What can happen on a road: one struct a kind of change, with its parameters as scenario files spell them. Pure."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from services.simulator.weather import SEVEREST, Kind

Severity = Annotated[float, Meta(ge=1, le=SEVEREST)]
Share = Annotated[float, Meta(gt=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]
LONGEST_CLOCK_JUMP_S = 365 * 24 * 3_600


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happens to the changed cameras from one moment on, and stays."""


class Growing(Change, frozen=True, kw_only=True):
    """Something that can come up slowly.

    Attributes:
        ramp_s: Seconds from nothing, at the moment of change, to all of it; 0 is at once.
    """

    ramp_s: Seconds = 0.0


class Nothing(Change, frozen=True, kw_only=True):
    """The road stays as it is; what changes, if anything, lies elsewhere, such as in the model."""

    kind: Literal["nothing"] = "nothing"


class OtherFrames(Change, frozen=True, kw_only=True):
    """Cameras show the pictures of another folder. Only the command line has it: ``--after``."""

    kind: Literal["other_frames"] = "other_frames"


class Weather(Growing, frozen=True, kw_only=True):
    """Pictures are corrupted, one of `services.simulator.weather.KINDS`.

    Attributes:
        severity: 1, barely visible, to 5, severe; a fraction lies between.
    """

    kind: Kind
    severity: Severity = 3


class Frozen(Change, frozen=True, kw_only=True):
    """The last picture again and again, byte for byte; frames go on being counted, dated and labelled by what they
    show."""

    kind: Literal["frozen"] = "frozen"


class Black(Change, frozen=True, kw_only=True):
    """Pictures are black. Labels go on as if from a sensor in the road, which sees what passes."""

    kind: Literal["black"] = "black"


class Silent(Change, frozen=True, kw_only=True):
    """No frames come, and so no labels for them; labels of earlier frames still do."""

    kind: Literal["silent"] = "silent"


class ClockJump(Change, frozen=True, kw_only=True):
    """The camera's clock is wrong by so much.

    Attributes:
        jump_s: Seconds; negative is back. Ingest takes frames up to 7 days old and up to 2 s ahead.
    """

    kind: Literal["clock_jump"] = "clock_jump"
    jump_s: Annotated[float, Meta(ge=-LONGEST_CLOCK_JUMP_S, le=LONGEST_CLOCK_JUMP_S)] = -3_600.0


class ClassMix(Growing, frozen=True, kw_only=True):
    """Other classes pass: the rarest of each camera becomes frequent, the others keep their proportions.

    Attributes:
        share: Share of frames that show the class that was the camera's rarest.
    """

    kind: Literal["class_mix"] = "class_mix"
    share: Share = 0.6


class NewKind(Growing, frozen=True, kw_only=True):
    """Something passes that the model does not know: two different pictures of one class side by side.

    Attributes:
        label: What it is called; not one of the classes.
        share: Share of frames that show it.
        made_of: The class; empty takes the last one of the folder.
    """

    kind: Literal["new_kind"] = "new_kind"
    label: Annotated[str, Meta(min_length=1, max_length=200)] = "trailer"
    share: Share = 0.4
    made_of: str = ""


class WrongLabels(Growing, frozen=True, kw_only=True):
    """Labels are wrong and are never corrected.

    Attributes:
        share: Share of the labels that are said from then on.
    """

    kind: Literal["wrong_labels"] = "wrong_labels"
    share: Share = 0.4


class LabelsStop(Change, frozen=True, kw_only=True):
    """Nobody labels the camera's frames any more, not even those that were taken before."""

    kind: Literal["labels_stop"] = "labels_stop"


OTHER_FRAMES = OtherFrames()


class Effect(NamedTuple):
    """What is done to a picture.

    Attributes:
        kind: One of `services.simulator.weather.KINDS`, or black, or joined: beside another one of its class.
        severity: Of weather, 1 to 5; 0 otherwise.
        variant: Names the chance in it, 0 up: the same variant gives the same drops or blotches.
    """

    kind: str
    severity: float = 0
    variant: int = 0


def progress(change: Change, since_ms: float) -> float:
    """How much of *change* there is, 0 to 1, *since_ms* after it began; negative is before."""
    if since_ms < 0:
        return 0.0
    if not isinstance(change, Growing) or not change.ramp_s:
        return 1.0
    return min(1.0, since_ms / (change.ramp_s * 1_000))


def rarest_frequent(weights: Sequence[float], share: float) -> list[float]:
    """Weights with the same sum, *share* of it with the smallest one, the rest in their old proportions."""
    total, rarest = sum(weights), min(range(len(weights)), key=weights.__getitem__)
    others = (1 - share) * total / (total - weights[rarest])
    return [share * total if number == rarest else weight * others for number, weight in enumerate(weights)]
