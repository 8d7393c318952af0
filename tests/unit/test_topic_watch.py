"""A process reports topics that do not fit together, and withdraws what it reported once they do."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from catseye.runtime.heartbeats import Problems
from catseye.runtime.topic_watch import TopicWatch
from catseye.settings import Settings

SETTINGS = Settings(topic_prefix="t.", partitions=6)


class Cluster:
    """A client that lists topics."""

    def __init__(self) -> None:
        self.counts: Mapping[str, int] = {}

    def list_topics(self, timeout: float) -> Any:
        """What there is."""
        there = {name: SimpleNamespace(partitions=range(count)) for name, count in self.counts.items()}
        return SimpleNamespace(topics=there)


def test_what_does_not_fit_is_reported_until_it_fits() -> None:
    """Once in the log, as a problem all the while; with the way out in it."""
    cluster, problems, lines = Cluster(), Problems(lambda: 5), list[str]()
    watch = TopicWatch(["predictions", "labels.accepted"], SETTINGS, problems, lambda event, **_: lines.append(event))
    fits = {"t.predictions": 6, "t.labels.accepted": 6}
    cluster.counts = fits
    watch.look(cluster)
    assert (problems.found(), lines) == ([], [])
    cluster.counts = fits | {"t.predictions": 12}
    for _ in range(3):
        watch.look(cluster)
    (problem,) = problems.found()
    assert (problem.kind, problem.subject, problem.since_ms) == ("topics_mismatch", "t.predictions", 5)
    assert "`catseye topics create` gives all 12" in problem.detail
    cluster.counts = dict.fromkeys(fits, 12)
    watch.look(cluster)
    assert (problems.found(), lines) == ([], ["topics_mismatch", "topics_fit"])
