"""A reader at read_committed in a process of its own, from the first record on, for as long as it is wanted.

`python -m infra.local.watch` writes one JSON array a line to standard output for each record that it sees, with the
moment at which it had it; `Watch` starts it and collects the lines. What it is there for: latencies as a subscriber
has them, and the promise that nothing a reader saw is ever repeated or taken back.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import IO, Any, NamedTuple, Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from catseye.contract.errors import Unavailable
from catseye.contract.records import (
    Alert,
    DeadLetter,
    Frame,
    Label,
    ModelEvent,
    Outcome,
    Prediction,
    RepeatedFrame,
    RetrainDecision,
    UnmatchedLabel,
)
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.clients import reader_config
from catseye.kafka.reading import partitions_of
from catseye.settings import Settings, load
from infra.local.evidence import LABEL_TOPICS
from infra.local.log_reader import MALFORMED, head_reader

WATCHED = ("predictions", "outcomes", "labels.unmatched", "dead-letters", "frames.repeated", "alerts")
STEPS = ("models", "retraining")
"""What happens to models: a reader may want that too."""
CHUNK = 1_000


class Sighting(NamedTuple):
    """One record as a reader saw it.

    Attributes:
        topic: Without prefix.
        seen_at_ms: This machine's clock when the reader had it, Unix milliseconds.
        camera: Empty where it could not be read.
        boot: Of the frame that it is about; of an alert its severity, of a model its stage, of a decision yes or no.
        sequence: The same; -1 where it could not be read; of an alert its revision.
        name: What may be seen once only: prediction_id; prediction_id, label and its clock; dead_letter_id; alert_id,
            which with its revision is seen once; event_id; decision_id.
        said: The class predicted, the true class, the reason; of a repeat, the camera's so far; an alert's kind; a
            model's version; a decision's reason.
        other: Of an outcome the class predicted; of a dead letter the topic it came from; of an alert its state; of a
            model the reason; of a decision its detail.
    """

    topic: str
    seen_at_ms: float
    camera: str
    boot: str
    sequence: int
    name: str
    value: str
    other: str


Seen = tuple[str, str, int, str, str, str]


def _prediction(message: Any) -> Seen:
    fields = head_reader(Prediction, "label").read(message.value())
    return fields["camera"], fields["boot"], fields["sequence"], fields["prediction_id"], fields["label"], ""


def _outcome(message: Any) -> Seen:
    fields = head_reader(Outcome, "labelled_at_ms").read(message.value())
    name = f"{fields['prediction_id']}/{fields['label']}/{fields['labelled_at_ms']}"
    value = "" if fields["label"] is None else fields["label"]
    return fields["camera"], fields["boot"], fields["sequence"], name, value, fields["predicted"]


def _unmatched(message: Any) -> Seen:
    fields = head_reader(UnmatchedLabel, "reason").read(message.value())
    return fields["camera"], fields["boot"], fields["sequence"], "", fields["reason"], ""


def _repeated(message: Any) -> Seen:
    fields = head_reader(RepeatedFrame, "repeats").read(message.value())
    return fields["camera"], fields["boot"], fields["sequence"], "", str(fields["repeats"]), ""


def _alert(message: Any) -> Seen:
    fields = head_reader(Alert, "camera").read(message.value())
    camera = fields["camera"] or ""
    return camera, fields["severity"], fields["revision"], fields["alert_id"], fields["kind"], fields["state"]


def _model(message: Any) -> Seen:
    fields = head_reader(ModelEvent, "because").read(message.value())
    return "", fields["stage"], -1, fields["event_id"], fields["version"], fields["because"]


def _decision(message: Any) -> Seen:
    fields = head_reader(RetrainDecision, "detail").read(message.value())
    accepted = "yes" if fields["accepted"] else "no"
    return "", accepted, -1, fields["decision_id"], fields["because"], fields["detail"]


def _dead_letter(prefix: str) -> Callable[[Any], Seen]:
    def read(message: Any) -> Seen:
        fields = head_reader(DeadLetter, "value").read(message.value())
        topic = fields["topic"].removeprefix(prefix)
        about: tuple[str, str, int] = ("", "", -1)
        try:
            head = head_reader(Label if topic in LABEL_TOPICS else Frame, "sequence").read(fields["value"] or b"")
            about = (head["camera"], head["boot"], head["sequence"])
        except MALFORMED:
            pass  # that is why it is a dead letter
        return *about, fields["dead_letter_id"], fields["reason"], topic

    return read


def watch(settings: Settings, names: Sequence[str], out: IO[bytes], stop: Event) -> None:
    """Write a line for every record on topics *names* until *stop* is set.

    Raises:
        Unavailable: a topic cannot be read any more.
    """
    readers: dict[str, Callable[[Any], Seen]] = {
        "predictions": _prediction,
        "outcomes": _outcome,
        "labels.unmatched": _unmatched,
        "dead-letters": _dead_letter(settings.topic_prefix),
        "frames.repeated": _repeated,
        "alerts": _alert,
        "models": _model,
        "retraining": _decision,
    }
    wanted = {full_name(name, settings.topic_prefix): (name, readers[name]) for name in names}
    consumer = Consumer(reader_config(settings, f"{settings.topic_prefix}watch"))
    consumer.assign(
        [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic, (name, _) in wanted.items()
            for partition in partitions_of(settings, name)
        ]
    )
    encode = msgspec.json.Encoder().encode
    while not stop.is_set():
        first = consumer.poll(0.1)
        if first is None:
            continue
        batch: list[Any] = [first, *consumer.consume(CHUNK, 0)]
        seen_at_ms = time.time_ns() / 1e6
        lines = []
        for message in batch:
            if error := message.error():
                if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError._FATAL):
                    raise Unavailable(f"the watch cannot go on: {error.str()}")
                continue  # the broker is away for a while
            name, read = wanted[message.topic()]
            lines.append(encode((name, seen_at_ms, *read(message))))
        out.write(b"\n".join([*lines, b""]))
        out.flush()
    consumer.close()


class Watch:
    """Runs the reader as a process and hands over what it saw.

    Args:
        env: Environment with the settings of the fleet.
        log: File for its standard error.
        names: Topics, without prefix.
    """

    def __init__(self, env: dict[str, str], log: Path, names: Sequence[str] = WATCHED) -> None:
        unknown = [name for name in names if name not in BY_NAME]
        assert not unknown
        self._errors = log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra.local.watch", *names],
            env=env,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._pipe = self._process.stdout
        flags = fcntl.fcntl(self._pipe, fcntl.F_GETFL)
        fcntl.fcntl(self._pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 2**20)
        self._rest = b""
        self._decoder = msgspec.json.Decoder(tuple[str, float, str, str, int, str, str, str])

    def sightings(self) -> list[Sighting]:
        """What came since the last call. Raises `Unavailable` when the reader has ended by itself."""
        parts = [self._rest]
        while part := os.read(self._pipe.fileno(), 2**20) if self._readable() else b"":
            parts.append(part)
        *lines, self._rest = b"".join(parts).split(b"\n")
        if not lines and self._process.poll() is not None:
            raise Unavailable(f"the watching reader ended with status {self._process.returncode}")
        return [Sighting(*self._decoder.decode(line)) for line in lines]

    def _readable(self) -> bool:
        return bool(select.select([self._pipe], [], [], 0)[0])

    def stop(self) -> None:
        """End the process; what it had not handed over is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._pipe.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def main(names: Sequence[str]) -> None:
    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    try:
        watch(load(Settings), names, sys.stdout.buffer, stop)
    except Unavailable as fault:
        sys.exit(str(fault))
    except BrokenPipeError:
        pass  # whoever listened has gone


if __name__ == "__main__":
    main(sys.argv[1:])
