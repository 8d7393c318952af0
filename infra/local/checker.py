"""The outside checker: compares what a publisher had acknowledged with what lies on the topics.

Pure: `infra.local.log_reader` brings the topics, the simulator's ledger says what the broker acknowledged. It trusts
no counter of a service: a duplicate is a record on frames.repeated, a term of the sum "in = accepted + views +
dead + duplicate".

What is checked, by the numbers of the delivery promise:

- I1 every acknowledged frame has exactly one end, a prediction or a dead letter, or is a view; the sum holds by count;
- I2 no prediction id, no accepted frame and no dead letter twice;
- I3 nothing visible whose source is not;
- I4 accepted frames of a camera in the publisher's order, predictions in the order of the accepted frames;
- I5 every label has exactly one end, within a time where its frame was never predicted, no (prediction, label) pair
  stands twice, and the outcome that holds in the end is that of the label that holds;
- I9 ids of alerts, decisions and model events once each.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from infra.local.evidence import LABEL_TOPICS, DeadAt, FrameKey, Ledger, Log, OutcomeAt, PredictionAt

EXAMPLES = 5
LABEL_WAIT_MS = 3_600_000
"""Default of CATSEYE_GROUND_TRUTH_EARLY_S."""
LABEL_SLACK_MS = 30_000
"""What may go by until a watermark has come along its road, and the label's end has been written."""


class Finding(NamedTuple):
    """One way in which the promise is broken.

    Attributes:
        invariant: Its number, I1 to I9.
        what: In words.
        times: How often.
        examples: The first few, for a person.
    """

    invariant: str
    what: str
    times: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.invariant}: {self.times} × {self.what}: {', '.join(self.examples)}"


@dataclass
class Report:
    """The checker's answer: the counts, and what is wrong with them.

    Attributes:
        labels_waiting: Accepted labels of frames that have no prediction (yet), and whose time is not over.
        lost: Acknowledged frames and labels without an end.
        repeated: Ends too many: of frames, of labels, ids that stand twice.
        findings: Everything that breaks the promise; empty when it was kept.
    """

    frames_acknowledged: int = 0
    frames_in: int = 0
    accepted: int = 0
    views: int = 0
    dead: int = 0
    duplicates: int = 0
    predictions: int = 0
    labels_acknowledged: int = 0
    labels_in: int = 0
    labels_accepted: int = 0
    labels_dead: int = 0
    outcomes: int = 0
    unmatched: Counter[str] = field(default_factory=Counter)
    labels_waiting: int = 0
    lost: int = 0
    repeated: int = 0
    findings: list[Finding] = field(default_factory=list)

    def lose(self, invariant: str, what: str, keys: Iterable[Any]) -> None:
        self.lost += self.find(invariant, what, keys)

    def repeat(self, invariant: str, what: str, keys: Iterable[Any]) -> None:
        self.repeated += self.find(invariant, what, keys)

    def find(self, invariant: str, what: str, keys: Iterable[Any]) -> int:
        """Note every one of *keys* as a breach; returns how many there are."""
        found = list(keys)
        if found:
            self.findings.append(Finding(invariant, what, len(found), tuple(_shown(key) for key in found[:EXAMPLES])))
        return len(found)


def check(ledger: Ledger, log: Log, *, label_wait_ms: int = LABEL_WAIT_MS) -> Report:
    """Compare *ledger* and *log*; both must be whole: the publisher done, the topics read to their ends.

    Args:
        ledger: What was acknowledged.
        log: What lies on the topics.
        label_wait_ms: How long a label waits for its prediction, by setting. No service may have stood still meanwhile.
    """
    report = Report()
    _check_frames(ledger, log, report)
    _check_sources(log, report)
    _check_order(log, report)
    _check_labels(ledger, log, report, label_wait_ms)
    _check_outcomes(log, report)
    for what, ids in log.ids.items():
        report.repeat("I9", f"{what} twice", _extra(Counter(ids)))
    return report


def _check_frames(ledger: Ledger, log: Log, report: Report) -> None:
    frame_letters = [letter for letter in log.dead if letter.source[0] not in LABEL_TOPICS]
    refused = [letter for letter in frame_letters if letter.service == "ingest"]
    accepted = Counter(record.frame for record in (*log.accepted, *log.views) if record.frame)
    views = {record.frame for record in log.views}
    predicted = Counter(record.frame for record in log.predictions)
    dead = Counter(letter.frame for letter in frame_letters if letter.frame is not None)
    report.frames_acknowledged = ledger.copies.total()
    report.frames_in = len(log.frames)
    report.accepted = len(log.accepted)
    report.views = len(log.views)
    report.dead = len(refused)
    report.duplicates = sum(log.duplicates.values())
    report.predictions = len(log.predictions)

    on_topic = Counter(record.frame for record in log.frames if record.frame)
    unreadable = len(log.frames) - on_topic.total()
    # Frames whose bytes nobody can read have no name on the topic: they can only be counted.
    nameless = [frame for frame in ledger.frames if not on_topic[frame]]
    if len(nameless) > unreadable:
        report.lose("I1", "acknowledged frame not on frames", nameless)
    named = ledger.frames.keys() | on_topic.keys() if len(nameless) > unreadable else on_topic.keys()
    ended = predicted.keys() | dead.keys() | views
    without_end = [frame for frame in named if frame not in ended and on_topic[frame]]
    report.lose("I1", "frame without prediction or dead letter", without_end)
    if unreadable:
        letters = {letter.source for letter in refused}
        places = (("frames", record.partition, record.offset) for record in log.frames if record.frame is None)
        report.lose("I1", "unreadable frame without dead letter", (place for place in places if place not in letters))
    if (missing := report.frames_in - report.accepted - report.views - report.dead - report.duplicates) != 0:
        report.find(
            "I1",
            "sum that does not hold",
            [
                f"in {report.frames_in} = accepted {report.accepted} + views {report.views} + dead {report.dead} + "
                f"duplicates {report.duplicates}, off by {missing}"
            ],
        )
    report.repeat("I1", "frame with a prediction and a dead letter of inference", _both_ends(frame_letters, predicted))
    report.repeat("I2", "accepted frame twice", _extra(accepted))
    report.repeat("I2", "prediction_id twice", _extra(Counter(record.prediction_id for record in log.predictions)))
    report.repeat("I2", "frame predicted twice", _predicted_again(log.predictions))
    report.repeat("I9", "dead_letter_id twice", _extra(Counter(letter.dead_letter_id for letter in log.dead)))


def _both_ends(letters: Iterable[DeadAt], predicted: Counter[FrameKey]) -> list[FrameKey]:
    return [
        letter.frame
        for letter in letters
        if letter.service != "ingest" and letter.frame is not None and predicted[letter.frame]
    ]


def _predicted_again(predictions: Iterable[PredictionAt]) -> list[FrameKey]:
    """Frames that two prediction ids are of: a hot swap must not let both versions speak as champion."""
    return _extra(Counter({record.prediction_id: record.frame for record in predictions}.values()))


def _check_sources(log: Log, report: Report) -> None:
    on_topic = {record.frame for record in log.frames}
    report.find(
        "I3",
        "accepted frame that was not published",
        (record.frame for record in (*log.accepted, *log.views) if record.frame not in on_topic),
    )
    places = {(record.partition, record.offset): record.frame for record in log.accepted}
    report.find(
        "I3",
        "prediction whose frame does not lie where it says",
        (
            record.frame
            for record in log.predictions
            if places.get((record.frame_partition, record.frame_offset)) != record.frame
        ),
    )
    predictions = {record.prediction_id for record in log.predictions}
    report.find(
        "I3",
        "outcome of a prediction that does not exist",
        (record.prediction_id for record in log.outcomes if record.prediction_id not in predictions),
    )


def _check_order(log: Log, report: Report) -> None:
    highest: dict[tuple[int, str, str], int] = {}
    partition_of: dict[str, int] = {}
    backwards: list[FrameKey] = []
    moved: list[FrameKey] = []
    for record in log.accepted:
        assert record.frame is not None
        camera, boot, sequence = record.frame
        if partition_of.setdefault(camera, record.partition) != record.partition:
            moved.append(record.frame)
        if sequence < highest.get((record.partition, camera, boot), -1):
            backwards.append(record.frame)
        highest[record.partition, camera, boot] = sequence
    report.find("I4", "camera on two partitions of frames.accepted", moved)
    report.find("I4", "accepted frame before an earlier one of its camera", backwards)
    last_offset: dict[int, int] = {}
    elsewhere: list[FrameKey] = []
    overtaking: list[FrameKey] = []
    for prediction in log.predictions:
        if prediction.partition != prediction.frame_partition:
            elsewhere.append(prediction.frame)
        if prediction.frame_offset < last_offset.get(prediction.partition, -1):
            overtaking.append(prediction.frame)
        last_offset[prediction.partition] = prediction.frame_offset
    report.find("I4", "prediction on another partition than its frame", elsewhere)
    report.find("I4", "prediction out of the order of the accepted frames", overtaking)


def _check_labels(ledger: Ledger, log: Log, report: Report, label_wait_ms: int) -> None:
    letters = [letter for letter in log.dead if letter.source[0] in LABEL_TOPICS]
    dead = Counter(letter.label for letter in letters if letter.label is not None)
    on_topic = Counter(record.label for record in log.labels if record.label)
    accepted = Counter(record.label for record in log.labels_accepted if record.label)
    ends = Counter(record.label for record in log.outcomes)
    ends.update(record.label for record in log.unmatched)
    report.labels_acknowledged = ledger.labels.total()
    report.labels_in = len(log.labels)
    report.labels_accepted = len(log.labels_accepted)
    report.labels_dead = len(letters)
    report.outcomes = len(log.outcomes)
    report.unmatched = Counter(record.reason for record in log.unmatched)
    report.lose("I5", "acknowledged label not on labels", (ledger.labels - on_topic).elements())
    report.lose("I5", "label neither accepted nor dead", (on_topic - accepted - dead).elements())
    predicted = {record.frame for record in log.predictions}
    endless = list((accepted - ends).elements())
    # A label may come before its prediction; while there is none, it waits, but not for ever.
    came_ms = {record.label: record.at_ms for record in log.labels_accepted}
    over_ms = log.until_ms - label_wait_ms - LABEL_SLACK_MS
    waiting = [label for label in endless if label[0] not in predicted]
    overdue = [label for label in waiting if came_ms[label] < over_ms]
    report.labels_waiting = len(waiting) - len(overdue)
    report.lose("I5", "label of a frame without a prediction that has no end after its time", overdue)
    report.lose("I5", "accepted label without an end", (label for label in endless if label[0] in predicted))
    report.repeat("I5", "accepted label that was not published so often", (accepted + dead - on_topic).elements())
    report.repeat("I5", "label with more ends than copies", (ends - accepted).elements())


def _check_outcomes(log: Log, report: Report) -> None:
    pairs = Counter((record.prediction_id, record.label) for record in log.outcomes)
    report.repeat("I5", "pair of prediction and label twice", _extra(pairs))
    history: dict[FrameKey, list[OutcomeAt]] = defaultdict(list)
    for outcome in log.outcomes:
        history[outcome.label[0]].append(outcome)
    predicted_at_ms = {record.frame: record.at_ms for record in log.predictions}
    holds = _labels_that_hold(log)
    report.find(
        "I5",
        "frame whose last outcome is not of the label that holds",
        (
            frame
            for frame in predicted_at_ms.keys() & holds.keys()
            if (history[frame][-1].label[1] if frame in history else None) not in holds[frame]
        ),
    )
    report.find(
        "I5",
        "frame whose outcomes do not begin with a match, or match again",
        (
            frame
            for frame, records in history.items()
            if [record.change == "matched" for record in records] != [True] + [False] * (len(records) - 1)
        ),
    )
    report.find(
        "I5",
        "label called unknown though its frame was predicted",
        (
            record.label
            for record in log.unmatched
            if record.reason == "unknown" and predicted_at_ms.get(record.label[0], math.inf) <= record.at_ms
        ),
    )


def _labels_that_hold(log: Log) -> dict[FrameKey, set[str | None]]:
    """What is true of each labelled frame in the end: the label with the latest clock, None when it is withdrawn.

    Labels with the same clock are told apart by the service alone: each of them may hold.
    """
    too_late = {record.label for record in log.unmatched if record.reason in {"late", "unknown"}}
    latest: dict[FrameKey, tuple[int, set[str | None]]] = {}
    for accepted in log.labels_accepted:
        if accepted.label is None or accepted.label in too_late:
            continue
        frame, text, at_ms = accepted.label
        before_ms, texts = latest.get(frame, (-1, set()))
        if at_ms > before_ms:
            latest[frame] = (at_ms, {text})
        elif at_ms == before_ms:
            texts.add(text)
    return {frame: texts for frame, (_, texts) in latest.items()}


def _extra(counts: Counter[Any]) -> list[Any]:
    """Each key as often as it stands too many times."""
    return [key for key, count in counts.items() for _ in range(count - 1)]


def _shown(key: Any) -> str:
    if isinstance(key, tuple):
        return "/".join(_shown(part) for part in key)
    return "withdrawn" if key is None else str(key)
