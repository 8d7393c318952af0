"""What is watched of a camera: one row a signal, one a family. Places, counts, offsets and masks follow from the rows.

A number of the picture that predictions carry becomes a signal by a row of `SIGNALS`, and by nothing else.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from services.drift.measures import composition, distance, focus

FEATURES: Final = 16
"""Numbers of an embedding; as of independent normal numbers, the log of their mean square varies by sqrt(2 / 16)."""
_SPREAD_OF_DISTANCE: Final = (2 / FEATURES) ** 0.5


class Ranking(Enum):
    """How a signal becomes numbers in [0, 1], whose means must not rise: one stream each way.

    `RANK`: conformal p-value of a value within the reference; it needs no model of the signal. `MEAN`: the number
    itself against the mean of the reference. `LOSS`: wrong or right, against the loss of the reference. `FLOOR`: the
    same against a number that the operator sets.
    """

    RANK = "rank"
    MEAN = "mean"
    LOSS = "loss"
    FLOOR = "floor"


WAYS: Final = {
    Ranking.RANK: ("up", "down", "far"),
    Ranking.MEAN: ("up", "down"),
    Ranking.LOSS: ("up",),
    Ranking.FLOOR: ("up",),
}
"""Ways in which each may go: `far` is far out on either side."""


class Slowest(Enum):
    """What a ranked signal is no faster than, whatever was measured of it (decisions 0010 and 0011)."""

    ITSELF = "as it was measured"
    VIEW = "a third of most of the picture's signals"
    LIGHT = "most of those that follow the light"


class Signal(NamedTuple):
    """One signal.

    Attributes:
        name: As people read it in alerts and statistics.
        family: Kind of the alarm that it raises with others.
        ranking: How it becomes numbers between 0 and 1.
        text: What it is, for an operator.
        field: Field of a prediction that holds it.
        derived: Makes it of other fields.
        relative: Makes it of a frame and what is usual, in the phase of the frame.
        along: What there are several of: ``slot`` for readings of a device, ``class`` or ``phase``.
        slowest: What it is no faster than.
        in_most: Whether it is one of those by which the speed of most signals of a picture is judged.
        share: Of its family's evidence; where it is None, all streams of the family have the same.
        detector: Ways in which a detector that an operator chose for it is fed; it has none where this is empty.
        least_spread: Least standard deviation, in its own unit.
        optional: Whether frames may lack it, such as those that were written before it was measured.
    """

    name: str
    family: str
    ranking: Ranking
    text: str
    field: str = ""
    derived: Callable[..., Any] | None = None
    relative: Callable[..., Any] | None = None
    along: Literal["", "slot", "class", "phase"] = ""
    slowest: Slowest = Slowest.ITSELF
    in_most: bool = False
    share: float | None = None
    detector: tuple[str, ...] = ()
    least_spread: float = 1e-6
    optional: bool = False


class Kind(NamedTuple):
    """One family of signals, which raise an alarm together; `catseye.contract.alert_kinds` explains each.

    Attributes:
        name: Kind of the alarm.
        by: Records that feed it.
        of_the_road: Whether its alarm means that the road, not only a device, has changed.
    """

    name: str
    by: Literal["frames", "outcomes"]
    of_the_road: bool


_KINDS: Final = (
    Kind("input", "frames", True),
    Kind("telemetry", "frames", False),
    Kind("predictions", "frames", True),
    Kind("accuracy", "outcomes", True),
    Kind("accuracy_floor", "outcomes", True),
)

KINDS: Final = tuple(sorted(_KINDS, key=lambda kind: kind.by != "frames"))
"""Those that frames feed stand together, then those that outcomes feed."""
_BOTH: Final = ("up", "down")


def _picture(name: str, text: str, slowest: Slowest, **more: Any) -> Signal:
    """A signal of the picture."""
    return Signal(name, "input", Ranking.RANK, text, slowest=slowest, detector=_BOTH, **more)


SIGNALS: Final = (
    _picture("brightness", "Mean luma", Slowest.LIGHT, field="brightness", in_most=True),
    _picture("contrast", "Standard deviation of luma", Slowest.LIGHT, field="contrast", in_most=True),
    _picture("sharpness", "Variance of the Laplacian of luma", Slowest.VIEW, field="sharpness", in_most=True),
    _picture("focus", "Sharpness for its contrast, natural log", Slowest.VIEW, derived=focus, in_most=True),
    _picture("dark_share", "Share of black pixels", Slowest.LIGHT, field="dark_share", in_most=True),
    _picture("bright_share", "Share of white pixels", Slowest.LIGHT, field="bright_share", in_most=True),
    # Its bits do not follow light.
    _picture("composition", "Agreement with the usual layout", Slowest.ITSELF, relative=composition, in_most=True),
    _picture(
        "embedding",
        "Distance of the model's features from those of the predicted class, natural log",
        Slowest.VIEW,
        relative=distance,
        in_most=True,
        least_spread=_SPREAD_OF_DISTANCE,
    ),
    # Grey at night is usual, and colour comes and goes with the light; half a grey level is no tint.
    _picture("chroma_blue", "Mean chroma, blue", Slowest.LIGHT, field="chroma_blue", least_spread=0.002, optional=True),
    _picture("chroma_red", "Mean chroma, red", Slowest.LIGHT, field="chroma_red", least_spread=0.002, optional=True),
    _picture(
        "bits_per_pixel",
        "Size of the picture as the encoder left it, bits a pixel",
        Slowest.VIEW,
        field="bits_per_pixel",
        least_spread=0.01,
        optional=True,
    ),
    Signal("telemetry", "telemetry", Ranking.RANK, "A reading of the device", along="slot"),
    Signal("class_share", "predictions", Ranking.MEAN, "Mean probability of a class", along="class"),
    Signal("entropy", "predictions", Ranking.MEAN, "Entropy of the answer, 0 to 1", detector=("up",)),
    Signal("margin", "predictions", Ranking.MEAN, "First probability less the second", detector=("down",)),
    # Half for all labels together; the other half watches for one class, and for what is so by night or by day alone.
    Signal("loss", "accuracy", Ranking.LOSS, "Share of wrong answers", share=0.5, detector=("up",)),
    Signal("loss", "accuracy", Ranking.LOSS, "Share of wrong answers for a class", along="class", share=0.3),
    Signal("loss", "accuracy", Ranking.LOSS, "Share of wrong answers by night or by day", along="phase", share=0.2),
    Signal("accuracy", "accuracy_floor", Ranking.FLOOR, "Share of right answers"),
)
