"""Labels that are probably wrong: those that a confident champion and a held-out model contradict with one voice.

Confident learning (Northcutt, Jiang and Chuang, 2021): a class is predicted with confidence where its probability is at
least its mean over the frames that carry its label, so that a model that is unsure in fog is not taken for sure. The
held-out model looks at the nearest frames that are not of the same cluster, in the champion's features: it learns what
the labels say of foggy frames, which the champion cannot know, so that drift is not taken for wrong labels.
"""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 15
_ROWS = 512


def suspects(
    champion: NDArray[np.float32],
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    cluster_of: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether each label is a suspect, bool [N].

    Args:
        champion: Its probabilities, float32 [N, C].
        features: Its penultimate features, float32 [N, D].
        labels: Class indices as they were given, int64 [N].
        cluster_of: Cluster of near-identical frames, int64 [N].
    """
    held_out = neighbour_votes(features, labels, cluster_of, champion.shape[1])
    by_champion, by_neighbours = confident(champion, labels), confident(held_out, labels)
    contradicted = (by_champion >= 0) & (by_champion != labels)
    return np.asarray(contradicted & (by_champion == by_neighbours), dtype=np.bool_)


def confident(chances: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class that is predicted with confidence, int64 [N]; -1 where none is.

    Args:
        chances: Probabilities out of sample, float32 [N, C].
        labels: Class indices as they were given, int64 [N].
    """
    own = chances[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=chances.shape[1])
    sums = np.bincount(labels, own, minlength=chances.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
    sure = np.where(chances >= thresholds, chances, -1.0)
    return np.where(sure.max(axis=1) > 0, sure.argmax(axis=1), -1)


def neighbour_votes(
    features: NDArray[np.float32], labels: NDArray[np.int64], cluster_of: NDArray[np.int64], class_count: int
) -> NDArray[np.float32]:
    """Share of each class among the nearest frames of other clusters, float32 [N, C]; even where there are none."""
    centred = features - features.mean(axis=0)
    scaled = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    votes = np.full((len(labels), class_count), 1.0 / class_count, dtype=np.float32)
    for start in range(0, len(labels), _ROWS):
        near = scaled[start : start + _ROWS] @ scaled.T
        near[cluster_of[start : start + _ROWS, None] == cluster_of[None, :]] = -2.0
        for row, likeness in enumerate(near):
            nearest = np.argpartition(-likeness, min(NEIGHBOURS, len(likeness) - 1))[:NEIGHBOURS]
            nearest = nearest[likeness[nearest] > -2.0]
            if len(nearest):
                votes[start + row] = np.bincount(labels[nearest], minlength=class_count) / len(nearest)
    return votes
