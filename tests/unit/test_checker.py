"""The outside checker: silent on a log that keeps the promise, loud on each way of breaking it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from catseye.contract.codec import Codec
from catseye.contract.records import Frame, Prediction
from infra.local.checker import LABEL_SLACK_MS, check
from infra.local.evidence import DeadAt, FrameAt, LabelAt, Ledger, Log, OutcomeAt, PredictionAt, UnmatchedAt
from infra.local.log_reader import MALFORMED, HeadReader

FRAMES = 6
PREDICTED = [0, 1, 2, 3]  # frame 4 is damaged, frame 5 is sent twice
CAMERA, BOOT = "north", "b0"


def key(sequence: int) -> tuple[str, str, int]:
    return (CAMERA, BOOT, sequence)


def frame_line(sequence: int, *, copy: int = 0, corrupt: bool = False) -> dict[str, object]:
    return {
        "kind": "frame",
        "camera": CAMERA,
        "boot": BOOT,
        "sequence": sequence,
        "label": "car",
        "intended_at_ms": 1_000 + sequence + copy,
        "published_at_ms": 1_000 + sequence + copy,
        "corrupt": corrupt,
    }


def label_line(sequence: int, label: str | None, at_ms: int) -> dict[str, object]:
    return {
        "kind": "label",
        "camera": CAMERA,
        "boot": BOOT,
        "sequence": sequence,
        "label": label,
        "labelled_at_ms": at_ms,
    }


LABELS: list[tuple[int, str | None, int]] = [
    (0, "car", 10),
    (1, "truck", 10),
    (1, "car", 20),
    (2, "car", 10),
    (2, "car", 10),
]


def good() -> tuple[Ledger, Log]:
    """Six frames (one damaged, one twice), five labels (one corrects, one repeats), every end where it belongs."""
    ledger = Ledger.of(
        [
            *(frame_line(sequence, corrupt=sequence == 4) for sequence in range(FRAMES)),
            frame_line(5, copy=1),
            *(label_line(*label) for label in LABELS),
            {"kind": "end"},
        ]
    )
    accepted = [*PREDICTED, 5]
    log = Log(
        frames=[FrameAt(0, offset, key(sequence)) for offset, sequence in enumerate([*range(FRAMES), 5])],
        # Offsets have holes: a transaction marker stands after every second record.
        accepted=[FrameAt(1, n + n // 2, key(sequence)) for n, sequence in enumerate(accepted)],
        predictions=[
            PredictionAt(1, 3 * n, key(sequence), f"p{sequence}", "v1", "champion", 1, n + n // 2, "car")
            for n, sequence in enumerate(accepted)
        ],
        labels=[LabelAt(0, n, (key(sequence), label, at)) for n, (sequence, label, at) in enumerate(LABELS)],
        labels_accepted=[LabelAt(1, n, (key(sequence), label, at)) for n, (sequence, label, at) in enumerate(LABELS)],
        outcomes=[
            OutcomeAt(1, 0, (key(0), "car", 10), "p0", "champion", "car", "matched"),
            OutcomeAt(1, 1, (key(1), "truck", 10), "p1", "champion", "car", "matched"),
            OutcomeAt(1, 2, (key(2), "car", 10), "p2", "champion", "car", "matched"),
            OutcomeAt(1, 3, (key(1), "car", 20), "p1", "champion", "car", "corrected"),
        ],
        unmatched=[UnmatchedAt(1, 0, (key(2), "car", 10), "repeated")],
        dead=[DeadAt("d4", "ingest", "jpeg_truncated", ("frames", 0, 4), key(4), None)],
        duplicates={CAMERA: 1},
        ids={"event_id": ["e0", "e1"]},
    )
    return ledger, log


def test_nothing_is_found_where_the_promise_was_kept() -> None:
    """A log that keeps the promise has no finding, and its counts are those of the road."""
    report = check(*good())
    assert report.findings == []
    assert (report.lost, report.repeated) == (0, 0)
    assert (
        report.frames_acknowledged,
        report.frames_in,
        report.accepted,
        report.dead,
        report.duplicates,
        report.predictions,
    ) == (7, 7, 5, 1, 1, 5)
    assert (5, 5, 5, 0, 4, Counter(repeated=1), 0) == (
        report.labels_acknowledged,
        report.labels_in,
        report.labels_accepted,
        report.labels_dead,
        report.outcomes,
        report.unmatched,
        report.labels_waiting,
    )


Breakage = Callable[[Log], Log]


def without_last_prediction(log: Log) -> Log:
    return replace(log, predictions=log.predictions[:-1])


def prediction_again(log: Log) -> Log:
    last = log.predictions[-1]
    return replace(log, predictions=[*log.predictions, last._replace(offset=last.offset + 1)])


def prediction_by_two_versions(log: Log) -> Log:
    last = log.predictions[-1]
    return replace(log, predictions=[*log.predictions, last._replace(offset=99, prediction_id="p5'", version="v2")])


def accepted_again(log: Log) -> Log:
    return replace(log, accepted=[*log.accepted, log.accepted[-1]._replace(offset=99)])


def accepted_without_source(log: Log) -> Log:
    return replace(log, frames=log.frames[1:])


def acknowledged_not_there(log: Log) -> Log:
    return replace(
        log,
        frames=log.frames[1:],
        accepted=log.accepted[1:],
        predictions=log.predictions[1:],
        outcomes=log.outcomes[1:],
    )


def accepted_dropped(log: Log) -> Log:
    return replace(log, accepted=log.accepted[1:], predictions=log.predictions[1:])


def duplicate_uncounted(log: Log) -> Log:
    return replace(log, duplicates={})


def dead_letter_dropped(log: Log) -> Log:
    return replace(log, dead=[])


def dead_letter_again(log: Log) -> Log:
    return replace(log, dead=[*log.dead, *log.dead])


def dead_and_predicted(log: Log) -> Log:
    letter = DeadAt("d0", "inference", "jpeg_corrupt", ("frames.accepted", 1, 0), key(0), None)
    return replace(log, dead=[*log.dead, letter])


def order_swapped(log: Log) -> Log:
    first, second, *rest = log.accepted
    swapped = [first._replace(frame=second.frame), second._replace(frame=first.frame), *rest]
    return replace(log, accepted=swapped)


def predictions_swapped(log: Log) -> Log:
    first, second, *rest = log.predictions
    return replace(log, predictions=[second, first, *rest])


def camera_moved(log: Log) -> Log:
    return replace(log, accepted=[*log.accepted[:-1], log.accepted[-1]._replace(partition=2)])


def outcome_missing(log: Log) -> Log:
    return replace(log, outcomes=log.outcomes[1:])


def correction_missing(log: Log) -> Log:
    return replace(log, outcomes=log.outcomes[:-1])


def pair_twice(log: Log) -> Log:
    return replace(log, outcomes=[*log.outcomes, log.outcomes[-1]])


def corrections_swapped(log: Log) -> Log:
    zero, truck, two, car = log.outcomes
    swapped = [zero, car._replace(change="matched"), two, truck._replace(change="corrected")]
    return replace(log, outcomes=swapped)


def matched_twice(log: Log) -> Log:
    return replace(log, outcomes=[*log.outcomes[:-1], log.outcomes[-1]._replace(change="matched")])


def outcome_of_nothing(log: Log) -> Log:
    return replace(log, outcomes=[log.outcomes[0]._replace(prediction_id="p?"), *log.outcomes[1:]])


def label_dropped(log: Log) -> Log:
    return replace(log, labels_accepted=log.labels_accepted[1:], outcomes=log.outcomes[1:])


def label_accepted_again(log: Log) -> Log:
    again = replace(log, labels_accepted=[*log.labels_accepted, log.labels_accepted[0]])
    return replace(again, unmatched=[*log.unmatched, UnmatchedAt(1, 9, (key(0), "car", 10), "repeated")])


def unmatched_again(log: Log) -> Log:
    return replace(log, unmatched=[*log.unmatched, *log.unmatched])


def unknown_though_predicted(log: Log) -> Log:
    return replace(log, unmatched=[log.unmatched[0]._replace(reason="unknown")])


def all_superseded(log: Log) -> Log:
    rest = [UnmatchedAt(1, 9 + n, outcome.label, "superseded") for n, outcome in enumerate(log.outcomes)]
    return replace(log, outcomes=[], unmatched=[*log.unmatched, *rest])


def event_twice(log: Log) -> Log:
    return replace(log, ids={"event_id": ["e0", "e0"]})


@pytest.mark.parametrize(
    ("breakage", "lost", "repeated", "invariants"),
    [
        (without_last_prediction, 1, 0, {"I1"}),
        (prediction_again, 0, 1, {"I2"}),
        (prediction_by_two_versions, 0, 1, {"I2"}),
        (accepted_again, 0, 1, {"I1", "I2"}),
        (accepted_without_source, 1, 0, {"I1", "I3"}),
        (acknowledged_not_there, 1, 0, {"I1"}),
        (accepted_dropped, 1, 0, {"I1", "I3"}),
        (duplicate_uncounted, 0, 0, {"I1"}),
        (dead_letter_dropped, 1, 0, {"I1"}),
        (dead_letter_again, 0, 1, {"I1", "I9"}),
        (dead_and_predicted, 0, 1, {"I1"}),
        (order_swapped, 0, 0, {"I3", "I4"}),
        (predictions_swapped, 0, 0, {"I4"}),
        (camera_moved, 0, 0, {"I3", "I4"}),
        (outcome_missing, 1, 0, {"I5"}),
        (correction_missing, 1, 0, {"I5"}),
        (pair_twice, 0, 2, {"I5"}),
        (corrections_swapped, 0, 0, {"I5"}),
        (matched_twice, 0, 0, {"I5"}),
        (outcome_of_nothing, 0, 0, {"I3"}),
        (label_dropped, 1, 0, {"I5"}),
        (label_accepted_again, 0, 1, {"I5"}),
        (unmatched_again, 0, 1, {"I5"}),
        (unknown_though_predicted, 0, 0, {"I5"}),
        (all_superseded, 0, 0, {"I5"}),
        (event_twice, 0, 1, {"I9"}),
    ],
)
def test_a_broken_promise_is_found(breakage: Breakage, lost: int, repeated: int, invariants: set[str]) -> None:
    """Each breach is found, under its number, and counted as what it is: lost, repeated, or neither."""
    ledger, log = good()
    report = check(ledger, breakage(log))
    assert invariants == {finding.invariant for finding in report.findings}
    assert (lost, repeated) == (report.lost, report.repeated)


def test_a_label_waits_while_its_frame_has_no_prediction() -> None:
    """A label of a frame that nobody predicted (yet) is said to wait, and is not lost."""
    ledger, log = good()
    waiting = (key(4), "car", 10)
    ledger.labels[waiting] += 1
    report = check(
        ledger,
        replace(
            log,
            labels=[*log.labels, LabelAt(0, 9, waiting)],
            labels_accepted=[*log.labels_accepted, LabelAt(1, 9, waiting)],
        ),
    )
    assert (report.labels_waiting, report.lost, report.findings) == (1, 0, [])


def test_a_label_that_waits_beyond_its_time_is_lost() -> None:
    """I5 has a time in it: a label of a camera that does not exist has an end too, within what the setting says."""
    ledger, log = good()
    of_nobody = (("nobody", BOOT, 0), "car", 10)
    ledger.labels[of_nobody] += 1
    at_ms = 1_000_000
    came = replace(
        log,
        labels=[*log.labels, LabelAt(0, 9, of_nobody, at_ms)],
        labels_accepted=[*log.labels_accepted, LabelAt(1, 9, of_nobody, at_ms)],
    )
    wait_ms = 5_000
    in_time, too_late = at_ms + wait_ms, at_ms + wait_ms + LABEL_SLACK_MS + 1
    assert check(ledger, replace(came, until_ms=in_time), label_wait_ms=wait_ms).findings == []
    report = check(ledger, replace(came, until_ms=too_late), label_wait_ms=wait_ms)
    assert (report.lost, report.labels_waiting, {finding.invariant for finding in report.findings}) == (1, 0, {"I5"})
    ended = replace(came, until_ms=too_late, unmatched=[*log.unmatched, UnmatchedAt(1, 9, of_nobody, "unknown")])
    assert check(ledger, ended, label_wait_ms=wait_ms).findings == []


def test_an_unreadable_frame_is_known_by_its_place() -> None:
    """A frame that nobody can read has no id: its dead letter is looked for by where it lay."""
    ledger, log = good()
    nameless = replace(
        log,
        frames=[record._replace(frame=None) if record.frame == key(4) else record for record in log.frames],
        dead=[letter._replace(frame=None, reason="malformed_avro") for letter in log.dead],
    )
    assert check(ledger, nameless).findings == []
    report = check(
        ledger, replace(nameless, dead=[letter._replace(source=("frames", 0, 3)) for letter in nameless.dead])
    )
    assert (report.lost, report.findings[0].what) == (1, "unreadable frame without dead letter")


def test_a_withdrawal_holds_like_any_label() -> None:
    """The last outcome of a prediction whose newest label withdraws is the withdrawal."""
    ledger, log = good()
    taken_back = (key(0), None, 30)
    ledger.labels[taken_back] += 1
    withdrawn = replace(
        log,
        labels=[*log.labels, LabelAt(0, 9, taken_back)],
        labels_accepted=[*log.labels_accepted, LabelAt(1, 9, taken_back)],
        outcomes=[*log.outcomes, OutcomeAt(1, 9, taken_back, "p0", "champion", "car", "withdrawn")],
    )
    assert check(ledger, withdrawn).findings == []


def test_the_same_label_with_a_later_clock_changes_nothing() -> None:
    """A label that says again what holds, later, is a repeat: the outcome keeps the first clock."""
    ledger, log = good()
    again = (key(0), "car", 30)
    ledger.labels[again] += 1
    repeated = replace(
        log,
        labels=[*log.labels, LabelAt(0, 9, again)],
        labels_accepted=[*log.labels_accepted, LabelAt(1, 9, again)],
        unmatched=[*log.unmatched, UnmatchedAt(1, 9, again, "repeated")],
    )
    assert check(ledger, repeated).findings == []


def test_findings_read_as_sentences() -> None:
    """A finding says the invariant, how often, what, and a few examples."""
    ledger, log = good()
    finding = check(ledger, without_last_prediction(log)).findings[0]
    assert str(finding) == "I1: 1 × frame without prediction or dead letter: north/b0/5"


def test_a_head_is_read_without_the_rest() -> None:
    """The first fields of a record are read in both envelopes; bytes that are no such record are an error."""
    frame = Frame(camera=CAMERA, boot=BOOT, sequence=7, captured_at_ms=1, jpeg=b"\xff" * 5_000)
    head = HeadReader(Frame, "sequence")
    expected = {"camera": CAMERA, "boot": BOOT, "sequence": 7}
    assert expected == head.read(Codec().encode(frame))
    assert expected == head.read(Codec({"catseye.Frame": 3}).encode(frame))
    assert expected == head.read(Codec().encode(frame)[:-4_000])
    with pytest.raises(MALFORMED):
        HeadReader(Prediction, "label").read(b"\xc3\x01")
