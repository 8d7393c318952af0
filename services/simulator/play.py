"""Plays a road: in real time with a clock, records to the broker and lines to the ledger out; or in no time at all."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, NamedTuple, Protocol

from catseye.contract.codec import Codec
from catseye.contract.records import Frame, Label
from services.simulator.core import Due, FrameDue, LabelDue, Plan, Road
from services.simulator.ledger import Ledger
from services.simulator.pictures import Pictures, damaged

_LONGEST_NAP_S = 0.05  # a signal is seen at least this often
_PROGRESS_EVERY_MS = 5_000
_LEDGER_EVERY_MS = 500

OnDelivery = Callable[[Any, Any], None]


class Outbox(Protocol):
    """What is needed of a confluent_kafka.Producer."""

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: OnDelivery) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


class Stage(NamedTuple):
    """What a road is played with.

    Attributes:
        pictures: What cameras show.
        after: What changed cameras show.
        boot: Name of this run of the counters.
        frames: Full name of the topic.
        labels: Full name of the topic.
        label_wait_ms: How long labels are waited for after the last frame.
    """

    pictures: Pictures
    after: Pictures
    boot: str
    frames: str
    labels: str
    label_wait_ms: float


def jpeg_of(due: FrameDue, pictures: Pictures, after: Pictures) -> bytes:
    """The bytes that a frame carries: those of *after* once its camera has changed, damaged where it is corrupt."""
    jpeg = (after if due.changed else pictures).shown(due)
    return damaged(jpeg, due.nth) if due.corrupt else jpeg


def frames_and_labels(
    plan: Plan, pictures: Pictures, after: Pictures | None = None
) -> Iterator[tuple[Due, bytes | None]]:
    """Play a whole road in virtual time, without a broker: as fast as the caller takes it.

    Args:
        plan: What the road is like; its times are those of what is due.
        pictures: What cameras show.
        after: What changed cameras show, if something else.

    Returns:
        What is due, oldest first: a frame with its bytes, or a label with None.
    """
    road = Road(plan)
    while (next_ms := road.next_ms) is not None:
        for due in road.due(next_ms):
            yield due, jpeg_of(due, pictures, after or pictures) if isinstance(due, FrameDue) else None


class Player:
    """Sends what is due when it is due.

    Args:
        road: What is due.
        stage: What it is played with.
        outbox: Takes records; acknowledgements come while it is polled.
        codec: Writes records.
        ledger: Gets a line for each acknowledgement.
        clock: Unix milliseconds.
        log: Gets an event name and fields.
    """

    def __init__(
        self,
        road: Road,
        stage: Stage,
        outbox: Outbox,
        codec: Codec,
        ledger: Ledger,
        clock: Callable[[], int],
        log: Callable[..., None],
    ) -> None:
        self._road = road
        self._stage = stage
        self._outbox = outbox
        self._codec = codec
        self._ledger = ledger
        self._clock = clock
        self._log = log
        self._started_ms = 0
        self._latest_ms = 0.0
        self._frames_sent = 0
        self._labels_sent = 0

    def play(self, stop: Event, flush_s: float = 125.0) -> dict[str, Any]:
        """Play until the road has ended or *stop* is set, then wait for acknowledgements at most *flush_s* seconds.

        Returns:
            The last line of the ledger, which is written.
        """
        self._started_ms = self._clock()
        self._log("publishing", boot=self._stage.boot, started_at_ms=self._started_ms)
        progress_ms = ledger_ms = 0
        while not stop.is_set() and (next_ms := self._road.next_ms) is not None and not self._waited_enough(next_ms):
            now_ms = self._clock() - self._started_ms
            for due in self._road.due(now_ms):
                self._latest_ms = max(self._latest_ms, now_ms - due.at_ms)
                self._send(due)
            self._outbox.poll(self._nap_s())
            if now_ms >= ledger_ms:
                self._ledger.flush()
                ledger_ms = now_ms + _LEDGER_EVERY_MS
            if now_ms >= progress_ms:
                self._report("progress")
                progress_ms = now_ms + _PROGRESS_EVERY_MS
        unacknowledged = self._outbox.flush(flush_s)
        self._report("ended")
        return self._end_line(stop.is_set(), unacknowledged)

    def _waited_enough(self, next_ms: float) -> bool:
        ended_ms = self._road.ended_at_ms
        return ended_ms is not None and next_ms > ended_ms + self._stage.label_wait_ms

    def _nap_s(self) -> float:
        next_ms = self._road.next_ms
        wait_ms = 0.0 if next_ms is None else next_ms - (self._clock() - self._started_ms)
        return min(max(wait_ms / 1_000, 0.0), _LONGEST_NAP_S)

    def _send(self, due: FrameDue | LabelDue) -> None:
        if isinstance(due, FrameDue):
            self._send_frame(due)
        else:
            self._send_label(due)

    def _send_frame(self, due: FrameDue) -> None:
        stage = self._stage
        frame = Frame(
            camera=due.camera,
            boot=stage.boot,
            sequence=due.sequence,
            captured_at_ms=self._started_ms + int(due.taken_at_ms) + due.clock_off_ms,
            jpeg=jpeg_of(due, stage.pictures, stage.after),
            telemetry=dict(due.telemetry),
        )
        line = {
            "kind": "frame",
            "camera": due.camera,
            "boot": stage.boot,
            "sequence": due.sequence,
            "label": due.label,
            "intended_at_ms": self._started_ms + int(due.at_ms),
            "published_at_ms": self._clock(),
            "acked_at_ms": 0,
            "copy": due.copy,
            "corrupt": due.corrupt,
            "changed": due.changed,
        }
        self._frames_sent += 1
        self._produce(stage.frames, due.camera, self._codec.encode(frame), line)

    def _send_label(self, due: LabelDue) -> None:
        stage = self._stage
        label = Label(
            camera=due.camera,
            boot=stage.boot,
            sequence=due.sequence,
            label=due.label,
            labelled_at_ms=self._started_ms + int(due.labelled_at_ms),
            source="simulator",
            propensity=1.0,
        )
        line = {
            "kind": "label",
            "camera": due.camera,
            "boot": stage.boot,
            "sequence": due.sequence,
            "label": due.label,
            "labelled_at_ms": label.labelled_at_ms,
            "why": due.why,
            "acked_at_ms": 0,
        }
        self._labels_sent += 1
        self._produce(stage.labels, due.camera, self._codec.encode(label), line)

    def _produce(self, topic: str, camera: str, value: bytes, line: dict[str, Any]) -> None:
        def acknowledged(fault: Any, _: Any) -> None:
            if fault is None:
                line["acked_at_ms"] = self._clock()
                self._ledger.write(line)
            else:
                self._ledger.write(line | {"kind": "failed", "of": line["kind"], "because": str(fault)})

        while True:
            try:
                self._outbox.produce(topic, value, camera.encode(), on_delivery=acknowledged)
            except BufferError:
                # The local queue is full: nothing is dropped, the road falls behind and says so.
                self._outbox.poll(0.1)
            else:
                return

    def _report(self, event: str) -> None:
        counts = self._ledger.counts
        self._log(
            event,
            frames_sent=self._frames_sent,
            frames_acked=counts["frame"],
            labels_sent=self._labels_sent,
            labels_acked=counts["label"],
            failed=counts["failed"],
            labels_due=self._road.labels_due,
            latest_ms=round(self._latest_ms, 1),
        )

    def _end_line(self, stopped: bool, unacknowledged: int) -> dict[str, Any]:
        counts = self._ledger.counts
        line = {
            "kind": "end",
            "boot": self._stage.boot,
            "started_at_ms": self._started_ms,
            "ended_at_ms": self._clock(),
            "frames_sent": self._frames_sent,
            "frames_acked": counts["frame"],
            "labels_sent": self._labels_sent,
            "labels_acked": counts["label"],
            "failed": counts["failed"],
            "unacknowledged": unacknowledged,
            "labels_unsent": self._road.labels_due,
            "latest_ms": round(self._latest_ms, 1),
            "stopped": stopped,
            "changed_cameras": self._road.changed_cameras,
            "change_at_ms": None if (at_ms := self._road.change_at_ms) is None else self._started_ms + int(at_ms),
        }
        self._ledger.write(line)
        return line
