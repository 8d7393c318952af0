"""What is looked at before a training starts: too few frames, one picture again and again, labels that are wrong.

A finding begins with a stable code and names the setting that draws the line.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a data set is refused.

    Args:
        fresh_fewest: Labelled frames that it takes.
        different_fewest: Different pictures among them, near-identical ones counted once.
        suspects_most: Share of labels that may be suspects, 0 to 1.
    """

    fresh_fewest: int
    different_fewest: int
    suspects_most: float


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found.

    Args:
        refusal: Why not to train, in one sentence; empty when nothing speaks against it.
        numbers: What was counted, by name.
    """

    refusal: str
    numbers: dict[str, float]


def check(
    labels: Sequence[str],
    cluster_of: Sequence[int],
    suspected: Sequence[bool],
    fresh: Sequence[bool],
    limits: Limits,
) -> Checked:
    """Look at the frames that a training would see.

    Args:
        labels: Class of each frame.
        cluster_of: Cluster of near-identical frames of each.
        suspected: Whether its label is a suspect.
        fresh: Whether it is from a changed camera since its change. Where there are none all frames are looked at.
        limits: Where to refuse.
    """
    fresh_places = [place for place, is_fresh in enumerate(fresh) if is_fresh] or list(range(len(labels)))
    clusters = {cluster_of[place] for place in fresh_places}
    suspect_count = sum(suspected[place] for place in fresh_places)
    suspect_share = suspect_count / len(fresh_places) if fresh_places else 0.0
    by_class = Counter(labels)
    numbers = {
        "data/frames": float(len(labels)),
        "data/fresh": float(sum(fresh)),
        "data/different": float(len(set(cluster_of))),
        "data/fresh_different": float(len(clusters)),
        "data/suspects": float(sum(suspected)),
        "data/fresh_suspect_share": suspect_share,
        "data/imbalance": max(by_class.values()) / min(by_class.values()) if by_class else 0.0,
    }
    refusal = ""
    if len(fresh_places) < limits.fresh_fewest:
        refusal = (
            f"too_few_frames: {len(fresh_places)} labelled frames show the change, {limits.fresh_fewest} are needed "
            "(CATSEYE_TRAINER_FRESH_FEWEST)"
        )
    elif len(by_class) < 2:
        refusal = f"one_class: all {len(labels)} labelled frames are of class {labels[0]}"
    elif len(clusters) < limits.different_fewest:
        refusal = (
            f"duplicates: the {len(fresh_places)} labelled frames show {len(clusters)} different pictures, "
            f"{limits.different_fewest} are needed (CATSEYE_TRAINER_DIFFERENT_FEWEST)"
        )
    elif suspect_share > limits.suspects_most:
        refusal = (
            f"labels: {suspect_count} of {len(fresh_places)} labels ({suspect_share:.1%}) are contradicted by the "
            f"champion and by similar frames; {limits.suspects_most:.0%} may be (CATSEYE_TRAINER_SUSPECTS_MOST)"
        )
    return Checked(refusal, numbers)
