"""Publish frames and labels from plain Python; librdkafka sends them in the background."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, SupportsFloat

from confluent_kafka import KafkaError, Producer

from catseye import clock
from catseye.client.config import kafka_logger, limits_of, publisher_config, settings_or_environment
from catseye.client.drafts import Drafts, FrameId, Sighting, label_of
from catseye.client.given import Readings, Time
from catseye.client.process import OwnProcess
from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.masking import masked
from catseye.contract.records import FrameKind, Record
from catseye.contract.topics import full_name
from catseye.kafka.clients import in_words
from catseye.kafka.registry import codec_for

if TYPE_CHECKING:
    from catseye.client.given import Picture
    from catseye.settings import Settings

_FULL_QUEUE_WAIT_S = 0.1


class Undelivered(Unavailable):
    """The broker did not acknowledge these frames or labels; each may or may not have arrived.

    Sending such a frame anew gives it a new number, so that it may then count twice; sending a label anew is harmless.

    Args:
        frames: Names of the frames, or of the frames that labels are about.
        because: What the client says of the last one.
    """

    def __init__(self, frames: list[FrameId], because: str) -> None:
        shown = ", ".join(map(str, frames[:3])) + (" …" if len(frames) > 3 else "")
        super().__init__(f"the broker did not acknowledge {len(frames)} of what was published ({shown}): {because}")
        self.frames = frames


class Outbox(Protocol):
    """What is needed of a confluent_kafka.Producer."""

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def flush(self, timeout: float) -> int: ...


class Publisher:
    """Sends frames and labels. Safe to use from several threads; a process that is forked makes one of its own.

    ::

        from pathlib import Path
        from catseye.client import Publisher

        with Publisher(camera="gate-7") as publisher:
            for picture in sorted(Path("pictures").glob("*.jpg")):
                frame = publisher.publish(picture.read_bytes())
                print(frame)  # gate-7/9f2c…/0
            publisher.flush()  # now the broker has them all, or this raises
            publisher.label(*frame, "car")  # what the last one showed

    Nothing is lost silently. What the broker does not acknowledge within two minutes goes to *on_failure*; without
    one, the next `publish`, `label`, `flush` or `close` raises `Undelivered`. Callbacks run inside those calls.

    Args:
        settings: Where the brokers are; left out, the environment's.
        camera: Camera of frames that name none.
        boot: Name of this run of the counters; left out, a random one. Whoever gives it must be sure that no frame of
            that name was sent before, since ingest would take the new one for a repeat.
        on_failure: Gets the name of the frame and what the client says.
        outbox: Where records go; left out, the broker.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        camera: str | None = None,
        boot: str | None = None,
        on_failure: Callable[[FrameId, str], None] | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        settings = settings_or_environment(settings)
        self._process = OwnProcess("a Publisher")
        self._servers = masked(settings.kafka_bootstrap_servers)
        self._answered = False
        self._drafts = Drafts(boot if boot is not None else secrets.token_hex(6), camera, limits_of(settings))
        self._codec: Codec = codec_for(settings)
        self._frames = full_name("frames", settings.topic_prefix)
        self._labels = full_name("labels", settings.topic_prefix)
        self._on_failure = on_failure
        self._failed: list[tuple[FrameId, str]] = []
        self._outbox: Outbox = (
            outbox if outbox is not None else Producer(publisher_config(settings), logger=kafka_logger())
        )

    @property
    def boot(self) -> str:
        """Name of this run of the counters."""
        return self._drafts.boot

    def publish(
        self,
        jpeg: Picture,
        *,
        camera: str | None = None,
        captured_at_ms: Time | None = None,
        telemetry: Readings | None = None,
        explain: bool = False,
        kind: FrameKind = "object",
        sighting: Sighting | None = None,
        on_acknowledged: Callable[[FrameId], None] | None = None,
    ) -> FrameId:
        """Send one frame; returns at once, unless the local queue is full.

        Args:
            jpeg: The bytes of the picture, in anything that holds bytes: `cv2.imencode` gives such an array.
            camera: Name of the camera; left out, the publisher's.
            captured_at_ms: When it was taken: Unix milliseconds, or a datetime with its time zone; left out, now.
            telemetry: Readings of the device by name, in units of your own; None and NaN are left out.
            explain: Ask for a class activation map with the prediction.
            kind: Whether it shows one object, or is the whole view of a camera, which is measured and not predicted.
            sighting: What is known of the object, by who follows objects through pictures.
            on_acknowledged: Called when the broker has the frame.

        Returns:
            The frame's name, under which its prediction comes and its label is sent.

        Raises:
            BadRecord: no ingest would accept it (`catseye.contract.limits`). What only decoding the picture shows is
                found by ingest and goes to the dead letters.
            TypeError: something is of a type that nothing can be made of.
            Forked: another process made this publisher.
            Undelivered: an earlier frame or label was not acknowledged and there is no `on_failure`. This one was
                not sent.
        """
        self._process.check()
        self._raise_failures()
        frame = self._drafts.frame(
            jpeg,
            captured_at_ms,
            now_ms=clock.now_ms(),
            camera=camera,
            telemetry=telemetry,
            explain=explain,
            kind=kind,
            sighting=sighting,
        )
        name = FrameId(frame.camera, frame.boot, frame.sequence)
        self._send(self._frames, name, frame, on_acknowledged)
        return name

    def label(
        self,
        camera: str,
        boot: str,
        sequence: int,
        label: str | None,
        *,
        labelled_at_ms: Time | None = None,
        source: str = "person",
        propensity: SupportsFloat = 1.0,
        on_acknowledged: Callable[[FrameId], None] | None = None,
    ) -> None:
        """Say what a frame showed. Of two labels for one frame the later `labelled_at_ms` holds.

        A label may come before its frame: it waits at least an hour (`CATSEYE_GROUND_TRUTH_EARLY_S`), and until
        every frame published in that hour has been predicted. It may come up to `CATSEYE_LABEL_HORIZON_H`
        after it.

        Args:
            camera: Camera of the frame.
            boot: Boot of the frame.
            sequence: Number of the frame.
            label: Its class; None withdraws an earlier label.
            labelled_at_ms: When that was seen to be so: Unix milliseconds, or a datetime with its time zone; at most 5
                minutes ahead; left out, now.
            source: Who says so: person, sensor, audit, or a name of your own.
            propensity: Probability, over 0 to 1, with which this frame was chosen to be labelled.
            on_acknowledged: Called when the broker has the label.

        Raises:
            BadRecord: no ingest would accept it.
            TypeError: something is of a type that nothing can be made of.
            Forked, Undelivered: as `publish`.
        """
        self._process.check()
        self._raise_failures()
        name = FrameId(camera, boot, sequence)
        record = label_of(name, label, labelled_at_ms, now_ms=clock.now_ms(), source=source, propensity=propensity)
        self._send(self._labels, FrameId(record.camera, record.boot, record.sequence), record, on_acknowledged)

    def flush(self, timeout_s: float = 120.0) -> None:
        """Return when the broker has all that was published.

        Raises:
            Forked: another process made this publisher.
            Undelivered: something was refused and there is no `on_failure`.
            Unavailable: something is still under way after *timeout_s* seconds.
        """
        self._process.check()
        under_way = self._outbox.flush(timeout_s)
        self._raise_failures()
        if under_way:
            raise Unavailable(
                f"the broker did not acknowledge {under_way} records within {timeout_s:g} s: is it up, and is "
                f"KAFKA_BOOTSTRAP_SERVERS ({self._servers}) right? `catseye doctor` tells"
            )

    def close(self) -> None:
        """`flush`; the publisher can be used again after it."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if fault is None:
            self.close()
        else:
            self._outbox.flush(10)  # what was published still goes out, but the first fault is the one to see

    def _send(
        self, topic: str, name: FrameId, record: Record, on_acknowledged: Callable[[FrameId], None] | None
    ) -> None:
        value = self._codec.encode(record)

        def delivered(fault: Any, _: Any) -> None:
            if fault is None:
                self._answered = True
                if on_acknowledged is not None:
                    on_acknowledged(name)
            elif self._on_failure is not None:
                self._on_failure(name, self._because(fault))
            else:
                self._failed.append((name, self._because(fault)))

        while True:
            try:
                self._outbox.produce(topic, value, name.camera.encode(), on_delivery=delivered)
            except BufferError:
                self._outbox.poll(_FULL_QUEUE_WAIT_S)
            else:
                break
        self._outbox.poll(0)

    def _because(self, fault: Any) -> str:
        if not isinstance(fault, KafkaError):
            return str(fault)
        if fault.code() == KafkaError._MSG_TIMED_OUT and not self._answered:
            return (
                f"no broker answered at {self._servers}: is it up, and is KAFKA_BOOTSTRAP_SERVERS right? "
                "`catseye doctor` tells"
            )
        return in_words(fault)

    def _raise_failures(self) -> None:
        if self._failed:
            failed, self._failed = self._failed, []
            raise Undelivered([name for name, _ in failed], failed[-1][1])
