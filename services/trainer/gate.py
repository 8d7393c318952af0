"""Whether a candidate may become a shadow: better where the road drifted, and not worse elsewhere.

Both models answer the same frames, so only those count on which one is right and the other wrong (McNemar, 1947).
Near-identical frames are one picture, and one observation: a lorry that is parked before a camera for an hour says once
which model knows it, however many frames show it. Of the pictures on which the two differ the candidate's share is
assessed by its Wilson interval: all of it over one half is evidence of better, all of it under one half of worse. The
chance of an error is shared (Bonferroni): half of it by the wholes, half by the slices by class and camera, which are
many; and a loss must also be larger than a margin to count. Nothing here was trained on: the golden set is frozen, the
window was held out.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from catseye.intervals import wilson

Where = Literal["golden", "drifted", "elsewhere"]
GOLDEN: Where = "golden"
DRIFTED: Where = "drifted"
ELSEWHERE: Where = "elsewhere"

NOT_BETTER = "gate: no evidence of better where it drifted"
WORSE = "gate: worse by more than"
"""How the two verdicts against a candidate begin; a later training learns from them (`services.trainer.lessons`)."""
MOST_ROWS = 200
"""Rows that a model event carries: a fleet of thousands of cameras does not fit into one record."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out frame and whether each model is right about it.

    Args:
        where: golden, or held-out frames of the road: drifted cameras since their change, or elsewhere.
        camera: Its camera; empty for golden crops.
        label: Its true class.
        champion: Whether the champion is right.
        candidate: Whether the candidate is right.
        picture: Number of the near-identical frames that it is one of; those of another class are another picture.
    """

    where: Where
    camera: str
    label: str
    champion: bool
    candidate: bool
    picture: int


@dataclass(frozen=True, slots=True)
class Row:
    """A slice of the held-out frames.

    Args:
        name: What it is: ``drifted``, ``elsewhere/class/car``, ``elsewhere/camera/north-1``.
        frames: How many.
        champion: How many of them the champion has right.
        candidate: How many the candidate has right.
        won: Pictures of which the candidate has more frames right.
        lost: Pictures of which the champion has more frames right.
        low: Lower end of the interval of won / (won + lost); 0 where both agree on all.
        high: Upper end; 1 where both agree on all.
    """

    name: str
    frames: int
    champion: int
    candidate: int
    won: int
    lost: int
    low: float
    high: float

    @property
    def gain(self) -> float:
        """Accuracy won, -1 to 1."""
        return (self.candidate - self.champion) / self.frames

    @property
    def is_better(self) -> bool:
        """Whether there is evidence that the candidate is better here."""
        return self.low > 0.5

    def is_worse(self, margin: float) -> bool:
        """Whether there is evidence that the candidate is worse here, and by more than *margin*."""
        return self.high < 0.5 and self.gain < -margin

    def __str__(self) -> str:
        champion, candidate = self.champion / self.frames, self.candidate / self.frames
        return f"{self.name} {champion:.1%} to {candidate:.1%} of {self.frames} (won {self.won}, lost {self.lost})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says.

    Args:
        passed: Whether the candidate may go on.
        because: One sentence with the numbers; begins with a stable code where it did not pass.
        rows: The whole table: the three wholes first, then by class and by camera.
    """

    passed: bool
    because: str
    rows: tuple[Row, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The table as numbers by name, the rows with most frames first where there are too many."""
        kept = sorted(self.rows, key=lambda row: (row.name.count("/"), -row.frames, row.name))[:MOST_ROWS]
        return {
            f"{row.name}/{name}": value
            for row in kept
            for name, value in (
                ("frames", float(row.frames)),
                ("champion", row.champion / row.frames),
                ("candidate", row.candidate / row.frames),
                ("won", float(row.won)),
                ("lost", float(row.lost)),
            )
        }


def assess(held_out: Sequence[HeldOut], *, margin: float, error: float) -> Verdict:
    """Judge a candidate.

    Args:
        held_out: Frames.
        margin: Accuracy that may be lost elsewhere, 0 to 1, even with evidence that it is lost.
        error: Chance with which a candidate that is as good as the champion is taken for better where it drifted, or
            for worse anywhere, 0 to 1.
    """
    slices: dict[str, list[HeldOut]] = defaultdict(list)
    for frame in held_out:
        slices[frame.where].append(frame)
        slices[f"{frame.where}/class/{frame.label}"].append(frame)
        if frame.camera:
            slices[f"{frame.where}/camera/{frame.camera}"].append(frame)
    wholes = sum("/" not in name for name in slices)
    z = NormalDist().inv_cdf(1 - error / 2)
    z_whole, z_slice = (NormalDist().inv_cdf(1 - error / 4 / max(1, count)) for count in (wholes, len(slices) - wholes))
    rows = {
        name: _row(name, own, z if name == DRIFTED else z_slice if "/" in name else z_whole)
        for name, own in sorted(slices.items(), key=lambda item: (item[0].count("/"), item[0]))
    }
    table = tuple(rows.values())
    drifted = rows.get(DRIFTED)
    if drifted is not None and not drifted.is_better:
        return Verdict(False, f"{NOT_BETTER}: {drifted}", table)
    worse = [row for row in table if row.is_worse(margin)]
    if worse:
        return Verdict(False, f"{WORSE} {margin:.1%}: {'; '.join(map(str, worse[:3]))}", table)
    if not held_out:
        return Verdict(False, "gate: there is no held-out frame to assess by", table)
    sentences = [str(row) for row in table if "/" not in row.name]
    return Verdict(True, f"passed the gate: {'; '.join(sentences)}", table)


def markdown(rows: Iterable[Row]) -> str:
    """The table for a person."""
    head = "| slice | frames | champion | candidate | won | lost |\n| --- | --- | --- | --- | --- | --- |\n"
    return head + "".join(
        f"| {row.name} | {row.frames} | {_with_interval(row.champion, row.frames)} "
        f"| {_with_interval(row.candidate, row.frames)} | {row.won} | {row.lost} |\n"
        for row in rows
    )


def _with_interval(right: int, of: int) -> str:
    low, high = wilson(right, of, NormalDist().inv_cdf(0.975))
    return f"{right / of:.1%} ({low:.1%} to {high:.1%})"


def _row(name: str, held_out: Sequence[HeldOut], z: float) -> Row:
    gains: Counter[tuple[int, str]] = Counter()
    for frame in held_out:
        gains[frame.picture, frame.label] += frame.candidate - frame.champion
    won, lost = (sum(sign * gain > 0 for gain in gains.values()) for sign in (1, -1))
    low, high = wilson(won, won + lost, z)
    return Row(
        name=name,
        frames=len(held_out),
        champion=sum(frame.champion for frame in held_out),
        candidate=sum(frame.candidate for frame in held_out),
        won=won,
        lost=lost,
        low=low,
        high=high,
    )
