"""What the service asks of the process that trains, and what it hears from it: one JSON object a line."""

from typing import Literal

import msgspec

from catseye.contract.records import LabelSuspect, ModelEvent, RetrainDecision
from services.trainer.lessons import Lesson

SUSPECTS_MOST = 200
"""Labels in doubt that one training reports: some minutes' work of a person."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One training.

    Attributes:
        decision: Why.
        champion: What to go on from.
        cut_off_ms: The broker's clock for the decision: outcomes written later do not count, so that a training that
            is done again after a crash sees the same, Unix milliseconds.
        lessons: What rejected candidates of the same champion have taught, in order of time.
    """

    decision: RetrainDecision
    champion: ModelEvent
    cut_off_ms: int
    lessons: tuple[Lesson, ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a training ended.

    Attributes:
        stage: candidate, or rejected by the checks or the gate.
        because: One sentence; begins with a stable code where it was rejected.
        sha256: Hash and address of the model file in the artifact store; None when none was made.
        dataset_sha256: Hash and address of the manifest; None when it did not come to that.
        metrics: Numbers that the answer rests on.
        suspects: Labels that are probably wrong, at most `SUSPECTS_MOST` of them.
    """

    stage: Literal["candidate", "rejected"]
    because: str
    sha256: str | None = None
    dataset_sha256: str | None = None
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    suspects: tuple[LabelSuspect, ...] = ()


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the process that trains.

    Attributes:
        phase: What it is at.
        numbers: How far, how well.
        result: In the last line only.
    """

    phase: str
    numbers: dict[str, float] = msgspec.field(default_factory=dict)
    result: Result | None = None
