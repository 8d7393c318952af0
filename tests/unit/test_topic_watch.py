"""A process reports topics that are missing, were made again or do not fit together, until all is well."""

from collections.abc import Mapping

from catseye.kafka.topics_now import TopicNow, TopicsNow
from catseye.runtime.heartbeats import Problems
from catseye.runtime.topic_watch import SHOWN_S, TopicWatch
from catseye.settings import Settings

SETTINGS = Settings(topic_prefix="t.", partitions=6)
FITS = {"t.predictions": 6, "t.labels.accepted": 6, "t.outcomes": 6, "t.ground_truth.state": 6}


class Cluster(TopicsNow):
    """Topics as a test says."""

    def __init__(self) -> None:
        super().__init__(SETTINGS, FITS)
        self.counts: Mapping[str, int] = FITS
        self.ids: Mapping[str, str] = {}

    def ask(self) -> Mapping[str, TopicNow]:
        """What there is."""
        return {name: TopicNow(self.ids.get(name, "first"), count) for name, count in self.counts.items()}


class Watched:
    """Ground truth and its topics."""

    def __init__(self) -> None:
        self.cluster, self.problems, self.lines = Cluster(), Problems(lambda: 5), list[str]()
        self.now_s = 100.0
        self.watch = TopicWatch(
            "ground_truth",
            ["predictions", "labels.accepted"],
            [name.removeprefix("t.") for name in FITS],
            SETTINGS,
            self.cluster,
            self.problems,
            lambda event, **_: self.lines.append(event),
            monotonic=lambda: self.now_s,
        )
        self.watch.look()

    def seen(self) -> dict[str, str]:
        """What is reported after another look, by topic."""
        self.watch.look()
        assert {problem.kind for problem in self.problems.found()} <= {"topics_mismatch"}
        return {problem.subject: problem.detail for problem in self.problems.found()}


def test_what_does_not_fit_is_reported_until_it_fits() -> None:
    """Once in the log, as a problem all the while; with the way out in it."""
    watched = Watched()
    assert (watched.seen(), watched.lines) == ({}, [])
    watched.cluster.counts = FITS | {"t.predictions": 12}
    for _ in range(3):
        found = watched.seen()
    assert [problem.since_ms for problem in watched.problems.found()] == [5]
    assert list(found) == ["t.predictions"]
    assert "`catseye topics create` gives all 12" in found["t.predictions"]
    watched.cluster.counts = dict.fromkeys(FITS, 12)
    assert (watched.seen(), watched.lines) == ({}, ["topics_mismatch", "topics_fit"])


def test_a_topic_that_is_missing_is_reported_until_it_is_there() -> None:
    """Then it has another id, which is reported too."""
    watched = Watched()
    watched.cluster.counts = {name: count for name, count in FITS.items() if name != "t.outcomes"}
    assert "t.outcomes is not there: `catseye topics create` makes it" in watched.seen()["t.outcomes"]
    watched.cluster.counts, watched.cluster.ids = FITS, {"t.outcomes": "second"}
    assert "what ground_truth wrote there before is gone, and it goes on" in watched.seen()["t.outcomes"]
    watched.now_s += SHOWN_S
    assert watched.seen() == {}


def test_a_topic_that_was_made_again_is_reported_for_a_while() -> None:
    """Seen here, or by the worker before this process looked; what follows depends on what the topic is for."""
    watched = Watched()
    watched.cluster.ids = {"t.predictions": "second"}
    watched.watch.made_anew("t.labels.accepted")
    found = watched.seen()
    assert found.keys() == {"t.predictions", "t.labels.accepted"}
    assert "ground_truth reads it from its start, by itself" in found["t.predictions"]
    watched.now_s += SHOWN_S - 1
    assert watched.seen() == found
    watched.now_s += 1
    assert watched.seen() == {}


def test_a_state_topic_that_was_made_again_is_reported_as_long_as_it_matters() -> None:
    """To the end of the process, which knows everything still."""
    watched = Watched()
    watched.cluster.ids = {"t.ground_truth.state": "second"}
    assert "is in its memory alone, so leave it running" in watched.seen()["t.ground_truth.state"]
    watched.now_s += 1_000_000
    assert watched.seen().keys() == {"t.ground_truth.state"}
