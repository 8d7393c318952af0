"""A whole replay over topics in memory: partitions in step, a bounded part of them in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.errors import BadModel, Misconfigured
from catseye.contract.records import AcceptedFrame, Outcome, Prediction
from catseye.kafka.reading import Part
from catseye.ops.lineage.log_reader import LogReader
from services.drift.rules import Rules as DriftRules
from services.incidents.rules import Rules as IncidentsRules
from services.inference.settings import InferenceSettings
from services.replay import TOPICS, feed
from services.replay.feed import FIRST_RECORDS, Feed
from services.replay.run import Candidate, Replay, candidate_of
from services.replay.span import Span
from tests.chaos.tiny_model import tiny_model
from tests.corpora.jpegs import encode, scene
from tests.simulation.cameras import CLASSES, Camera, ms, outcome
from tests.simulation.partitions import FakeMessage

CODEC = Codec()
JPEGS = [encode(scene(40, 50, seed=seed)) for seed in range(5)]
FRAMES = 40
PARTITIONS = 2


class Stored(FakeMessage):
    """A record with a length, as the client's has."""

    def __len__(self) -> int:
        return len(self.body or b"")


class Memory:
    """Topics in memory; what is used of a `LogReader`."""

    def __init__(self, topics: Mapping[Part, list[FakeMessage]]) -> None:
        self.codec = CODEC
        self._topics = {part: [Stored(*vars(each).values()) for each in own] for part, own in topics.items()}
        self.reads: list[dict[Part, tuple[int, int]]] = []

    def bounds(self, names: tuple[str, ...]) -> dict[Part, tuple[int, int]]:
        """Every record."""
        assert names == TOPICS
        return {part: (0, len(own)) for part, own in self._topics.items()}

    def since(self, bounds: Mapping[Part, tuple[int, int]], at_ms: int) -> dict[Part, int]:
        """Written at once: what is asked for is all there."""
        return {part: first for part, (first, _) in bounds.items()}

    def read(self, wanted: Mapping[Part, tuple[int, int]]) -> Iterator[tuple[list[Any], dict[Part, int]]]:
        """A chunk for each partition."""
        self.reads.append(dict(wanted))
        for part, (first, end) in wanted.items():
            yield list(self._topics[part][first:end]), {part: end}


def in_memory(*records: tuple[str, int, Any]) -> Memory:
    """Records of topics, with their partition."""
    topics: dict[Part, list[FakeMessage]] = {
        (f"catseye.{name}", partition): [] for name in TOPICS for partition in range(PARTITIONS)
    }
    for name, partition, record in records:
        own = topics[f"catseye.{name}", partition]
        value = record if isinstance(record, bytes) else CODEC.encode(record)
        own.append(FakeMessage(f"catseye.{name}", value, len(own), partition))
    return Memory(topics)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a model that costs nothing."""
    file = tmp_path_factory.mktemp("model") / "tiny.onnx"
    file.write_bytes(tiny_model(CLASSES, JPEGS[0]))
    return file


def frames() -> list[tuple[int, AcceptedFrame]]:
    """Of two cameras, in turn, a frame a second each."""
    cameras = [Camera(name, fps=1, seed=seed) for seed, name in enumerate("ab")]
    found = []
    for number in range(FRAMES):
        for partition, camera in enumerate(cameras):
            drawn = camera.shot()
            both = set(AcceptedFrame.__struct_fields__) & set(Prediction.__struct_fields__)
            fields = {name: getattr(drawn, name) for name in both}
            found.append((partition, AcceptedFrame(**fields, jpeg=JPEGS[number % 5], width=50, height=40)))
    return found


def replay(memory: Memory, candidate: Candidate, span: Span = Span(), *cameras: str) -> Replay:  # noqa: B008 - a constant
    """Of topics in memory."""
    settings = InferenceSettings(inference_micro_batch=4)
    return Replay(
        cast(LogReader, memory), settings, DriftRules(), IncidentsRules(), candidate, span, frozenset(cameras)
    )


def test_topics_are_predicted_joined_and_watched(model: Path) -> None:
    """A second run against what the first one said: the same word on each frame that can be read."""
    candidate, took = candidate_of(model, 1), frames()
    shown: list[tuple[int, int]] = []
    first = replay(in_memory(*[("frames.accepted", *each) for each in took]), candidate)
    answers = {(each.camera, each.sequence): each for each in _answers(first)}
    reported = [answers[frame.camera, frame.sequence] for _, frame in took]
    labels = [_outcome(each, "car") for each in reported]
    memory = in_memory(
        *[("frames.accepted", *each) for each in took],
        ("frames.accepted", 0, replace(took[-1][1], sequence=99, camera="a", jpeg=b"no picture")),
        *[("predictions", partition, each) for (partition, _), each in zip(took, reported, strict=True)],
        *[("outcomes", partition, each) for (partition, _), each in zip(took, labels, strict=True)],
        ("dead-letters", 0, b"nobody can read this"),
    )
    found = replay(memory, candidate).run(lambda done, total: shown.append((done, total)))
    score = found.score
    assert (score.frames, score.unanswered, score.compared, score.same) == (2 * FRAMES + 1, 1, 2 * FRAMES, 2 * FRAMES)
    assert score.overall is not None
    assert score.overall.candidate == score.overall.champion
    assert (score.labelled, found.unreadable, set(found.learning)) == (2 * FRAMES, 1, {"a", "b"})
    assert shown[-1][0] == shown[-1][1] == 6 * FRAMES + 2
    one = replay(memory, candidate, Span(ms(10), ms(19)), "b").run(lambda done, total: None)
    assert (one.score.frames, one.score.labelled, one.to_ms) == (10, 5, ms(19))
    with pytest.raises(Misconfigured, match="no frame of c in this span"):
        replay(memory, candidate, Span(), "c").run(lambda done, total: None)


def test_partitions_are_read_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each no more is kept than there is room for, and a stream that is closed is read no further."""
    monkeypatch.setattr(feed, "MEMORY_BYTES", 20_000)
    memory = in_memory(*[("frames.accepted", partition, b"x" * 100) for partition in (0, 1) for _ in range(500)])
    wanted = {(topic, partition): bounds for (topic, partition), bounds in memory.bounds(TOPICS).items()}
    fed = Feed(cast(LogReader, memory), wanted)
    one, other = (fed.stream(("catseye.frames.accepted", partition)) for partition in (0, 1))
    assert [message.offset() for message in one] == list(range(500))
    most = 20_000 // len(wanted) // 100
    sizes = [end - first for read in memory.reads for first, end in read.values()]
    assert set(sizes[:2]) == {FIRST_RECORDS}
    assert max(sizes) == most
    assert next(other).offset() == 0
    before = len(memory.reads)
    other.close()
    assert list(fed.stream(("catseye.frames.accepted", 1))) == []
    assert len(memory.reads) == before


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    """And one that is not there."""
    with pytest.raises(Misconfigured, match=r"none.onnx cannot be read: No such file"):
        candidate_of(tmp_path / "none.onnx", 1)
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no")
    with pytest.raises(BadModel, match=r"bad.onnx: the file cannot be used"):
        candidate_of(bad, 1)


def _answers(of: Replay) -> list[Prediction]:
    """What the candidate says of all frames."""
    reported: list[Prediction] = []
    taken = of._answers

    def kept(chunk: Any) -> Any:
        found = taken(chunk)
        reported.extend(found.values())
        return found

    of._answers = kept  # type: ignore[method-assign]
    of.run(lambda done, total: None)
    return reported


def _outcome(reported: Prediction, label: str) -> Outcome:
    """Its label, five seconds later."""
    return outcome(reported, label, delay_s=5)
