"""Train, validation and window without leakage: the last frames of each camera are held out, and near-identical frames
stay together wherever they are.

A parked lorry, or a road that shows the same pictures again, would otherwise be learned by heart in one part and
recognised in another. Similarity is that of the perceptual hash that ingest has measured.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.trainer.dataset import Labelled, Part

LARGEST_SHARE = 0.5
"""A cluster that holds more of a camera's frames than this is not held out: nothing would be left to train on."""


def clusters(hashes: Sequence[int], *, bits: int) -> NDArray[np.int64]:
    """Number of the cluster of each frame: in one are frames that differ in at most *bits* of 64, or by way of others.

    4,000 different frames take about 0.1 s.

    Args:
        hashes: Perceptual hashes, signed 64-bit.
        bits: 0 to 64.
    """
    different, places = np.unique(np.array(hashes, dtype=np.int64), return_inverse=True)
    words = different.view(np.uint64)
    names = np.arange(len(words))
    for place in range(len(words)):
        near = names[place:][np.bitwise_count(words[place:] ^ words[place]) <= bits]
        if len(touched := np.unique(near)) > 1:
            names[np.isin(names, touched)] = touched[0]
    return np.asarray(np.unique(names, return_inverse=True)[1][places], dtype=np.int64)


def split(
    frames: Sequence[Labelled],
    cluster_of: Sequence[int],
    *,
    fresh: Callable[[Labelled], bool],
    frozen: frozenset[int],
    validation_share: float,
    window_share: float,
) -> list[Part]:
    """The part of each frame.

    The newest clusters of each camera become the window, the next ones validation. A changed camera counts as two: its
    frames since the change, and those before.

    Args:
        frames: By time.
        cluster_of: Cluster of each.
        fresh: Whether a frame is from after the change.
        frozen: Clusters of the golden set: not trained on, so they are in the window.
        validation_share: Share of each camera's frames, for the temperature.
        window_share: Share of each camera's frames, for the gate.
    """
    strata: dict[tuple[str, bool], list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        strata[frame.camera, fresh(frame)].append(place)
    part_of: dict[int, Part] = dict.fromkeys(frozen, "window")
    shares: tuple[tuple[Part, float], ...] = (("window", window_share), ("validation", validation_share))
    for part, share in shares:
        for _, places in sorted(strata.items()):
            _fill(part, share * len(places), [int(cluster_of[place]) for place in places], part_of)
    return [part_of.get(int(cluster), "train") for cluster in cluster_of]


def apart(
    examples: Sequence[int], cluster_of: Sequence[int], parts: Sequence[Part], frozen: frozenset[int]
) -> list[bool]:
    """Whether each example crop may be trained on: nothing near-identical to it is held out.

    Args:
        examples: Cluster of each.
        cluster_of: Cluster of each frame of the road.
        parts: Part of each of these.
        frozen: Clusters of the golden set.
    """
    held_out = frozen.union(cluster for cluster, part in zip(cluster_of, parts, strict=True) if part != "train")
    return [cluster not in held_out for cluster in examples]


def lacking(parts: Sequence[Part], fresh: Sequence[bool]) -> str:
    """Why a split is of no use, in one sentence that begins with a stable code; empty where it is.

    Args:
        parts: Part of each frame.
        fresh: Whether it shows the change.
    """
    if min(parts.count(part) for part in ("train", "validation", "window")) < 1:
        return "duplicates: near-identical frames leave no part to train on or to evaluate on"
    if any(fresh) and not any(shows and part == "window" for shows, part in zip(fresh, parts, strict=True)):
        return "duplicates: near-identical frames leave none that shows the change to evaluate on"
    return ""


def _fill(part: Part, wanted: float, own: Sequence[int], part_of: dict[int, Part]) -> None:
    """Give *part* clusters, the ones seen last first, until it has *wanted* of these frames."""
    sizes = Counter(own)
    have = sum(size for cluster, size in sizes.items() if part_of.get(cluster) == part)
    for cluster in dict.fromkeys(reversed(own)):
        if have >= wanted:
            return
        if cluster not in part_of and sizes[cluster] <= LARGEST_SHARE * len(own):
            part_of[cluster] = part
            have += sizes[cluster]
