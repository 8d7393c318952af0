"""What view makes of records, without Redis: the same in whatever batches, nothing of what cannot be read."""

import json
from collections import Counter, defaultdict
from typing import Any, cast

import numpy as np
import pytest
import simplejpeg
from msgspec.structs import replace

from catseye.contract.codec import Codec
from catseye.contract.identity import DOCTOR
from catseye.contract.records import (
    AcceptedFrame,
    Backlog,
    CameraReport,
    DriftStatistic,
    Heartbeat,
    LabelAnswer,
    LabelSuspect,
    Outcome,
    Prediction,
    Record,
    VehicleCount,
)
from catseye.contract.topics import BY_NAME
from catseye.models.jpeg import decode_rgb
from catseye.view import plots, writes
from catseye.view.keys import Keys
from catseye.view.writes import Command, Writes
from services.view import core
from services.view.core import ViewCore
from services.view.picture import BYTES_MOST, picture_of
from services.view.queue import Queue
from tests.system.view_records import Road

KEYS = Keys("t.")
CODEC = Codec()
QUEUE = Queue(KEYS, {}, 1_000)


class Message:
    """A record as it lies on a topic."""

    def __init__(self, topic: str, value: bytes, key: bytes = b"", offset: int = 0) -> None:
        self._parts = topic, value, key, offset

    def topic(self) -> str:
        return self._parts[0]

    def value(self) -> bytes:
        return self._parts[1]

    def key(self) -> bytes:
        return self._parts[2]

    def offset(self) -> int:
        return self._parts[3]

    def partition(self) -> int:
        return 0


def message(topic: str, record: Record) -> Message:
    return Message(topic, CODEC.encode(record), BY_NAME[topic].key_of(record))


def batch(*records: tuple[str, Record]) -> dict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for topic, record in records:
        found[topic].append(message(topic, record))
    return found


def one(kind: type[Record]) -> Any:
    """A record of a kind."""
    return next(record for _, record in Road(3, b"jpeg").records(300) if type(record) is kind)


def commands_of(*records: tuple[str, Record]) -> list[Command]:
    return ViewCore(KEYS, CODEC, QUEUE).on_batch(cast("Any", batch(*records)))[0].commands()


def applied(batches: list[list[tuple[str, Record]]]) -> tuple[dict[Any, Any], Counter[Any]]:
    """Fields that were set, the newest of each, and what was counted."""
    view = ViewCore(KEYS, CODEC, QUEUE)
    fields: dict[Any, Any] = {}
    counted: Counter[Any] = Counter()
    for records in batches:
        found, _ = view.on_batch(cast("Any", batch(*records)))
        for name, key, *words in found.commands():
            if name == "HSET":
                fields.update({(key, field): value for field, value in zip(words[::2], words[1::2], strict=True)})
            elif name == "HSETNX":
                fields.setdefault((key, words[0]), words[1])
            elif name == "SETRANGE":
                fields[key, words[0]] = words[1]
            elif name == "HINCRBY":
                counted[key, words[0]] += int(words[1])
            elif name == "BITFIELD":
                for _, _, slot, more in zip(*[iter(words[2:])] * 4, strict=True):
                    counted[key, slot] += int(more)
        found.written()
    return fields, counted


def test_batches_change_nothing() -> None:
    """One by one, in sevens and all at once: the same fields, plots and counts."""
    records = Road(5, b"jpeg").records(400)
    whole = applied([records])
    assert applied([[record] for record in records]) == whole
    assert applied([records[at : at + 7] for at in range(0, len(records), 7)]) == whole
    assert applied([records[:-1]]) != whole


def test_what_cannot_be_read_is_counted_and_left_out() -> None:
    """On each topic; the records beside it are taken."""
    view = ViewCore(KEYS, CODEC, QUEUE)
    kinds = ("frames.accepted", "predictions", "outcomes", "statistics", "dead-letters")
    found, changes = view.on_batch(cast("Any", {topic: [Message(topic, b"nothing")] for topic in kinds}))
    assert view.unreadable == len(kinds)
    assert changes == {}
    assert {command[0] for command in found.commands()} == {"HINCRBY"}  # of records that were seen


def test_a_prediction_whose_rest_is_broken_is_left_out() -> None:
    """Its head is counted, as it was a prediction."""
    view = ViewCore(KEYS, CODEC, QUEUE)
    value = CODEC.encode(one(Prediction))
    _, changes = view.on_batch(cast("Any", {"predictions": [Message("predictions", value[:-20])]}))
    assert (view.unreadable, changes) == (1, {})


def test_the_doctors_camera_is_none() -> None:
    """And a shadow's outcome is not the camera's; a topic that is only counted changes nothing else."""
    prediction = replace(one(Prediction), camera=DOCTOR)
    statistic = replace(one(DriftStatistic), camera=DOCTOR)
    shadow = replace(one(Outcome), role="shadow")
    frame = replace(one(AcceptedFrame), camera=DOCTOR)
    found = commands_of(
        ("predictions", prediction), ("statistics", statistic), ("outcomes", shadow), ("frames.accepted", frame)
    )
    assert {command[1] for command in found} == {KEYS.counts}
    assert commands_of(("labels.unmatched", shadow)) == [["HINCRBY", KEYS.counts, "labels.unmatched", 1]]


@pytest.mark.parametrize(
    ("evidence", "threshold", "share"),
    [(0.5, 1e6, 0.0), (1e3, 1e6, 0.5), (1e9, 1e6, 1.0), (5.0, 1.0, 0.0), (float("nan"), 1e6, 0.0)],
)
def test_evidence_is_a_share_of_its_threshold(evidence: float, threshold: float, share: float) -> None:
    """By the logarithm, since it grows by factors; none of what is no number."""
    statistic = replace(one(DriftStatistic), evidence=evidence, threshold=threshold)
    assert core._share(statistic) == pytest.approx(share)


def test_what_is_not_known_is_not_drawn() -> None:
    """A loss without its interval, a reading that is no number; what a report does not know is empty."""
    statistic = replace(one(DriftStatistic), evidence=0.0, signal="loss", low=None, high=None)
    cold = replace(statistic, signal="telemetry.temperature", estimate=float("nan"))
    found = commands_of(("statistics", statistic), ("statistics", cold))
    assert [command for command in found if ":plot:" in str(command[1])] == []
    report = replace(one(CameraReport), recent_labels=0.0, estimate_valid=False)
    (fields,) = [command for command in commands_of(("drift.reports", report)) if command[0] == "HSET"]
    shown = dict(zip(fields[2::2], fields[3::2], strict=True))
    assert (shown["accuracy"], shown["estimated_accuracy"]) == ("", "")


def test_a_lifetime_is_set_once_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the read model may be another one, or too many are remembered."""
    view, records = ViewCore(KEYS, CODEC, QUEUE), batch(("predictions", one(Prediction)))

    def lifetimes() -> int:
        found, _ = view.on_batch(cast("Any", records))
        found.written()
        return sum(command[0] == "EXPIREAT" for command in found.commands())

    assert lifetimes() > 0
    assert lifetimes() == 0
    view.begin()
    assert lifetimes() > 0
    monkeypatch.setattr(core, "LIFETIMES_KNOWN_MOST", 0)
    assert lifetimes() == 0
    assert lifetimes() > 0


def test_no_command_has_too_many_words() -> None:
    """Lua hands over some thousand at most: fields and slots are cut into several commands."""
    collected = Writes(set())
    collected.fields("h", {str(number): number for number in range(2_500)})
    for slot in range(2_500):
        collected.slot_count("c", plots.MINUTES, 0, slot, 16)
    found = collected.commands()
    assert max(len(command) for command in found) <= 4 * writes._FIELDS_MOST + 4
    assert [command[0] for command in found] == ["HSET"] * 3 + ["SET"] + ["BITFIELD"] * 3 + ["EXPIREAT"]


def test_all_keys_share_one_root() -> None:
    """What an installation has in Redis can be told from what others have."""
    names = [
        *(getattr(KEYS, name) for name, value in vars(Keys).items() if isinstance(value, property)),
        *(KEYS.camera("a"), KEYS.signals("a"), KEYS.versions("a"), KEYS.vehicles("a"), KEYS.picture("a")),
        *(KEYS.plot("mix", "car/a", 60_000, 7), KEYS.race("m", "1", "2")),
    ]
    assert len(set(names)) == len(names)
    assert [name for name in names if not name.startswith("t.view:")] == []


def test_counts_of_vehicles_add_up_by_kind_and_by_minute() -> None:
    """A line or a direction that is not known is one kind; of the plot there is a class alone."""
    car = VehicleCount(camera="a", minute_ms=120_000, label="car", direction="up", vehicles=2)
    later, truck = replace(car, vehicles=3), replace(car, label="a/truck", line="gate", vehicles=1)
    found, _ = ViewCore(KEYS, CODEC, QUEUE).on_batch(
        cast("Any", batch(*(("vehicles.counts", each) for each in (car, later, truck))))
    )
    commands = found.commands()
    kinds = {words[0]: words[1] for name, key, *words in commands if (name, key) == ("HINCRBY", KEYS.vehicles("a"))}
    assert kinds == {'["car","up",null]': 5, '["a/truck","up","gate"]': 1}
    slots = {str(key): words[-1] for name, key, *words in commands if name == "BITFIELD" and ":60:" in str(key)}
    assert slots == {
        KEYS.plot("vehicles", f"{label}/a", 60_000, 0): more for label, more in (("car", 5), ("a/truck", 1))
    }


def test_the_newest_heartbeat_of_each_process_says_what_waits_for_it() -> None:
    """By service and instance, as the process wrote it; no page is woken by it."""
    beat = one(Heartbeat)
    later = replace(beat, state="not_ready", backlogs=[Backlog(topic="predictions", records=7, oldest_ms=1_500)])
    found, changes = ViewCore(KEYS, CODEC, QUEUE).on_batch(
        cast("Any", batch(("heartbeats", beat), ("heartbeats", later)))
    )
    (written,) = [words for name, key, *words in found.commands() if (name, key) == ("HSET", KEYS.processes)]
    assert changes == {}
    assert written[0] == f"{beat.service}/0"
    assert json.loads(cast("bytes", written[1]))["backlogs"] == [
        {"topic": "predictions", "records": 7, "oldest_ms": 1_500}
    ]


def test_a_chunk_begins_with_all_its_slots() -> None:
    """Redis gives a string that grows slot by slot twice the memory; its lifetime is set with it, once a process."""
    expiring: set[str] = set()
    for _ in range(2):
        collected = Writes(expiring)
        collected.slot("e", plots.MINUTES, 0, 5, b"\x07")
        collected.slot_count("c", plots.MINUTES, 0, 5, 16)
        found = [command for command in collected.commands() if command[0] in ("SET", "EXPIREAT")]
        if not expiring:
            slots = plots.MINUTES.slots
            assert found[:2] == [["SET", "e", bytes(slots), "NX"], ["SET", "c", bytes(2 * slots), "NX"]]
            assert [command[1] for command in found[2:]] == ["e", "c"]
        else:
            assert found == []
        collected.written()


def test_no_picture_takes_more_than_its_share() -> None:
    """Of noise, which no codec makes small, neither: it is coarser then; 500 cameras fit by this."""
    rng = np.random.default_rng(3)
    for height, width in ((240, 320), (1_080, 1_920), (320, 320), (16, 5_000)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        shown = picture_of(simplejpeg.encode_jpeg(noise, quality=95))
        assert len(shown) <= BYTES_MOST
        assert max(decode_rgb(shown).shape) <= 320


def test_an_answer_of_a_person_is_told_to_open_pages() -> None:
    """How many came in the batch; what is written is the queue's."""
    answer = LabelAnswer(
        answer_id="a",
        camera="gate-1",
        boot="b",
        sequence=1,
        drawer="audit",
        chance=0.1,
        answer="not_sure",
        by="ada",
        at_ms=7,
    )
    view = ViewCore(KEYS, CODEC, QUEUE)
    records = batch(("labels.answers", answer), ("labels.answers", replace(answer, answer_id="b", sequence=2)))
    found, changes = view.on_batch(cast("Any", records))
    assert changes == {"labels": 2}
    assert ["ZADD", KEYS.answers_of("ada"), 7, "b"] in found.commands()


def test_a_label_in_doubt_is_told_to_open_pages() -> None:
    """As an answer is; its frame comes back to the queue."""
    suspect = LabelSuspect(
        camera="gate-1",
        boot="b",
        sequence=1,
        frame_partition=2,
        frame_offset=3,
        received_at_ms=7,
        label="bus",
        classes=["car", "bus"],
        source="audit",
        propensity=0.25,
        because="training",
        by="trainer",
        at_ms=9,
    )
    found, changes = ViewCore(KEYS, CODEC, QUEUE).on_batch(cast("Any", batch(("labels.suspects", suspect))))
    assert changes == {"labels": 1}
    assert ["ZADD", KEYS.drawer("suspect"), 7, "gate-1/b/1"] in found.commands()
