"""The SDK without a broker: names, numbers, refusals, acknowledgements, and what a subscriber is handed.

The stand-ins behave as the real clients do; tests/system/test_client.py makes the same claims of those.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError
from confluent_kafka import KafkaError

from catseye.cli.doctor import GREY as JPEG
from catseye.client import FrameId, Publisher, Undelivered, aio
from catseye.client.config import kafka_logger
from catseye.client.drafts import Drafts, label_of
from catseye.contract.checks import Limits
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured, Unavailable
from catseye.contract.limits import JPEG_MAX_BYTES
from catseye.contract.records import Frame, Label
from catseye.kafka.client_log import ClientLines
from catseye.kafka.clients import in_words
from catseye.settings import Settings

AT_MS = 1_790_000_000_000
SETTINGS = Settings(kafka_bootstrap_servers="nowhere:1", topic_prefix="t.", schema_registry_url="")


class Outbox:
    """A producer that acknowledges when it is polled or flushed.

    Args:
        fails: Sequence numbers that it does not deliver.
        capacity: How many records it holds between two polls.
        stuck: How many records a flush leaves under way.
    """

    def __init__(self, *, fails: frozenset[int] = frozenset(), capacity: int = 10, stuck: int = 0) -> None:
        self.taken: list[tuple[str, bytes, bytes]] = []
        self._fails = fails
        self._capacity = capacity
        self._stuck = stuck
        self._waiting: list[tuple[Callable[[Any, Any], None], Any]] = []
        self.fault: Any = "timed out"

    def produce(self, topic: str, value: bytes, key: bytes, *, on_delivery: Callable[[Any, Any], None]) -> None:
        if len(self._waiting) >= self._capacity:
            raise BufferError
        kind: type[Frame | Label] = Frame if topic == "t.frames" else Label
        failed = Codec().decode(value, kind).sequence in self._fails
        self.taken.append((topic, key, value))
        self._waiting.append((on_delivery, self.fault if failed else None))

    def poll(self, timeout: float) -> int:
        if timeout == 0:
            return 0  # nothing came yet
        return self._served()

    def flush(self, timeout: float) -> int:
        self._served()
        return self._stuck

    def _served(self) -> int:
        waiting, self._waiting = self._waiting, []
        for delivered, fault in waiting:
            delivered(fault, None)
        return len(waiting)


class AsyncOutbox:
    """A started aiokafka producer. Args: as `Outbox`."""

    def __init__(self, *, fails: frozenset[int] = frozenset()) -> None:
        self.taken: list[tuple[str, bytes, bytes]] = []
        self.steps: list[str] = []
        self._fails = fails

    async def start(self) -> None:
        self.steps.append("start")

    async def flush(self) -> None:
        self.steps.append("flush")

    async def stop(self) -> None:
        self.steps.append("stop")

    async def send_and_wait(self, topic: str, value: bytes, key: bytes) -> None:
        await asyncio.sleep(0)
        if topic == "t.frames" and Codec().decode(value, Frame).sequence in self._fails:
            raise KafkaTimeoutError
        self.taken.append((topic, key, value))


def test_a_frame_is_named_as_it_is_counted() -> None:
    """Each camera counts from 0 under one boot; keys are cameras; the name comes back at once."""
    outbox = Outbox()
    with Publisher(SETTINGS, camera="gate", boot="b", outbox=outbox) as publisher:
        names = [publisher.publish(JPEG), publisher.publish(JPEG, camera="yard"), publisher.publish(JPEG)]
    assert names == [FrameId("gate", "b", 0), FrameId("yard", "b", 0), FrameId("gate", "b", 1)]
    assert [key for _, key, _ in outbox.taken] == [b"gate", b"yard", b"gate"]
    assert [str(name) for name in names] == ["gate/b/0", "yard/b/0", "gate/b/1"]


def test_every_publisher_has_a_boot_of_its_own() -> None:
    """So that one that starts again is never taken for a repeat."""
    assert Publisher(SETTINGS, outbox=Outbox()).boot != Publisher(SETTINGS, outbox=Outbox()).boot
    assert aio.Publisher(SETTINGS).boot != aio.Publisher(SETTINGS).boot


def test_a_frame_carries_what_was_reported() -> None:
    """Time, telemetry and the wish for an explanation; now is taken where no time was given."""
    outbox = Outbox()
    publisher = Publisher(SETTINGS, camera="gate", boot="b", outbox=outbox)
    at_ms = time.time_ns() // 1_000_000 - 5
    publisher.publish(JPEG, captured_at_ms=at_ms, telemetry={"voltage": 12.0}, explain=True)
    publisher.publish(JPEG)
    first, second = (Codec().decode(value, Frame) for _, _, value in outbox.taken)
    assert first == Frame(
        camera="gate", boot="b", sequence=0, captured_at_ms=at_ms, jpeg=JPEG, telemetry={"voltage": 12.0}, explain=True
    )
    assert second.captured_at_ms > 1_700_000_000_000
    assert (second.telemetry, second.explain) == ({}, False)


def test_acknowledgements_reach_the_caller() -> None:
    """Each frame and label once, when the broker has it."""
    acknowledged: list[FrameId] = []
    publisher = Publisher(SETTINGS, camera="gate", boot="b", outbox=Outbox())
    frame = publisher.publish(JPEG, on_acknowledged=acknowledged.append)
    publisher.label(*frame, "car", on_acknowledged=acknowledged.append)
    assert acknowledged == []
    publisher.flush()
    assert acknowledged == [frame, frame]


def test_what_was_not_acknowledged_is_raised_once_by_the_next_call() -> None:
    """By flush, publish, label and close; the call that raises has sent nothing."""
    outbox = Outbox(fails=frozenset({1}), capacity=2)
    publisher = Publisher(SETTINGS, camera="gate", boot="b", outbox=outbox)
    frames = [publisher.publish(JPEG) for _ in range(3)]  # the queue was full once: the first two were answered
    with pytest.raises(Undelivered, match=r"1 of what was published \(gate/b/1\): timed out") as caught:
        publisher.publish(JPEG)
    assert caught.value.frames == [frames[1]]
    assert len(outbox.taken) == 3
    publisher.close()


def test_a_broker_that_never_answered_is_named() -> None:
    """With the setting, and without a password; once it has acknowledged something, its address is right."""
    outbox = Outbox(fails=frozenset({0, 2}))
    outbox.fault = KafkaError(KafkaError._MSG_TIMED_OUT)
    settings = SETTINGS.model_copy(update={"kafka_bootstrap_servers": "SASL_SSL://me:secret@nowhere:1"})
    publisher = Publisher(settings, camera="gate", boot="b", outbox=outbox)
    publisher.publish(JPEG)
    never = r"no broker answered at SASL_SSL://\*\*\*@nowhere:1: is it up, and is KAFKA_BOOTSTRAP_SERVERS right\?"
    with pytest.raises(Undelivered, match=never):
        publisher.flush()
    for _ in range(2):
        publisher.publish(JPEG)
    with pytest.raises(Undelivered, match=r"\(gate/b/2\): Local: Message timed out$"):
        publisher.flush()


def test_a_failing_label_is_raised_by_close() -> None:
    """The with block does not end as if all were well."""
    with (
        pytest.raises(Undelivered, match="gate/b/7"),
        Publisher(SETTINGS, outbox=Outbox(fails=frozenset({7}))) as publisher,
    ):
        publisher.label("gate", "b", 7, "car")


def test_many_failures_are_named_in_short() -> None:
    """Three names are enough for a sentence; all of them are in the exception."""
    publisher = Publisher(SETTINGS, camera="g", boot="b", outbox=Outbox(fails=frozenset(range(5))))
    frames = [publisher.publish(JPEG) for _ in range(5)]
    with pytest.raises(Undelivered, match=r"5 of what was published \(g/b/0, g/b/1, g/b/2 …\)") as caught:
        publisher.flush()
    assert caught.value.frames == frames


def test_failures_go_to_the_callback_where_there_is_one() -> None:
    """Then nothing is raised."""
    failed: list[tuple[FrameId, str]] = []
    with Publisher(
        SETTINGS,
        camera="gate",
        boot="b",
        on_failure=lambda name, because: failed.append((name, because)),
        outbox=Outbox(fails=frozenset({0})),
    ) as publisher:
        frame = publisher.publish(JPEG)
    assert failed == [(frame, "timed out")]


def test_what_is_under_way_too_long_is_reported() -> None:
    """Flush does not return as if all were well."""
    with pytest.raises(Unavailable, match=r"4 records within 0\.5 s"):
        Publisher(SETTINGS, outbox=Outbox(stuck=4)).flush(0.5)


def test_the_callers_own_fault_is_the_one_to_see() -> None:
    """A with block that fails sends what was published and hides nothing."""
    acknowledged: list[FrameId] = []

    def fail() -> None:
        with Publisher(SETTINGS, camera="g", outbox=Outbox(fails=frozenset({1}))) as publisher:
            publisher.publish(JPEG, on_acknowledged=acknowledged.append)
            publisher.publish(JPEG)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(acknowledged) == 1


def test_the_async_publisher_says_the_same() -> None:
    """Awaited is acknowledged; what is not raises there; labels and names are those of the plain one."""

    async def publish() -> tuple[AsyncOutbox, list[FrameId | BaseException]]:
        outbox = AsyncOutbox(fails=frozenset({1}))
        async with aio.Publisher(SETTINGS, camera="gate", boot="b", outbox=outbox) as publisher:
            reported = await asyncio.gather(*(publisher.publish(JPEG) for _ in range(3)), return_exceptions=True)
            await publisher.label("gate", "b", 0, None, labelled_at_ms=AT_MS)
            await publisher.flush()
        return outbox, reported

    outbox, (first, second, third) = asyncio.run(publish())
    assert (first, third) == (FrameId("gate", "b", 0), FrameId("gate", "b", 2))
    assert isinstance(second, Undelivered)
    assert second.frames == [FrameId("gate", "b", 1)]
    assert [topic for topic, _, _ in outbox.taken] == ["t.frames", "t.frames", "t.labels"]
    label = Codec().decode(outbox.taken[-1][2], Label)
    assert label == Label(camera="gate", boot="b", sequence=0, label=None, labelled_at_ms=AT_MS)
    assert outbox.steps == ["start", "flush", "stop"]


def test_an_async_publisher_that_was_not_started_says_so() -> None:
    """Instead of an attribute error."""
    with pytest.raises(Misconfigured, match="was not started"):
        asyncio.run(aio.Publisher(SETTINGS, camera="gate", outbox=AsyncOutbox()).publish(JPEG))


@pytest.mark.parametrize(
    ("jpeg", "camera", "reason"),
    [
        (b"", "gate", "jpeg_empty"),
        (b"GIF89a", "gate", "not_a_jpeg"),
        (b"\xff\xd8\xff" + bytes(JPEG_MAX_BYTES), "gate", "jpeg_too_large"),
        (JPEG, None, "camera_empty"),
        (JPEG, "  ", "camera_empty"),
        (JPEG, "g" * 201, "text_too_long"),
    ],
)
def test_frames_that_no_ingest_would_accept_are_refused(jpeg: bytes, camera: str | None, reason: str) -> None:
    """With ingest's own reason, before a number is spent."""
    drafts = Drafts("b")
    with pytest.raises(BadRecord) as caught:
        drafts.frame(jpeg, 0, now_ms=0, camera=camera)
    assert caught.value.reason == reason
    assert drafts.frame(JPEG, 0, now_ms=0, camera="gate").sequence == 0


@pytest.mark.parametrize(
    ("frame", "label", "propensity", "reason"),
    [
        (FrameId("", "b", 0), "car", 1.0, "camera_empty"),
        (FrameId("g", "b" * 201, 0), "car", 1.0, "text_too_long"),
        (FrameId("g", "b", -1), "car", 1.0, "field_out_of_range"),
        (FrameId("g", "b", 0), " ", 1.0, "field_out_of_range"),
        (FrameId("g", "b", 0), "c" * 201, 1.0, "text_too_long"),
        (FrameId("g", "b", 0), "car", 0.0, "field_out_of_range"),
        (FrameId("g", "b", 0), "car", 1.1, "field_out_of_range"),
    ],
)
def test_labels_that_no_ingest_would_accept_are_refused(
    frame: FrameId, label: str, propensity: float, reason: str
) -> None:
    """With ingest's own reason."""
    with pytest.raises(BadRecord) as caught:
        label_of(frame, label, AT_MS, now_ms=AT_MS, source="person", propensity=propensity)
    assert caught.value.reason == reason


def test_a_label_of_the_future_is_refused() -> None:
    """Nanoseconds by mistake: nothing could correct it. By both publishers, before it is sent; as ingest does."""
    most_ms, ahead_ms = Limits().label_future_max_ms, time.time_ns()
    frame = FrameId("gate", "b", 0)
    latest_ms = AT_MS + most_ms
    assert label_of(frame, "car", latest_ms, now_ms=AT_MS, source="person", propensity=1.0).labelled_at_ms == latest_ms
    with pytest.raises(BadRecord, match=rf"labelled_at_ms is {latest_ms + 1}, 300001 ms after now"):
        label_of(frame, "car", latest_ms + 1, now_ms=AT_MS, source="person", propensity=1.0)

    plain, outbox = Outbox(), AsyncOutbox()
    with pytest.raises(BadRecord, match="it counts Unix milliseconds"):
        Publisher(SETTINGS, outbox=plain).label(*frame, "car", labelled_at_ms=ahead_ms)

    async def label() -> None:
        async with aio.Publisher(SETTINGS, outbox=outbox) as publisher:
            await publisher.label(*frame, "car", labelled_at_ms=ahead_ms)

    with pytest.raises(BadRecord, match="it counts Unix milliseconds"):
        asyncio.run(label())
    assert (plain.taken, outbox.taken) == ([], [])


def test_names_are_read_as_they_are_written() -> None:
    """A camera may have strokes in its name."""
    for name in (FrameId("gate", "b", 0), FrameId("north/gate", "b", 41)):
        assert FrameId.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "gate", "b/1", "/b/1", "gate//1", "gate/b/", "gate/b/-1", "gate/b/²", "gate/b/x"])
def test_what_is_no_name_is_refused(text: str) -> None:
    """Each part is needed, and a sequence is a number from 0 up."""
    with pytest.raises(BadRecord, match="is no frame; it is camera/boot/sequence"):
        FrameId.parse(text)


def test_a_client_that_repeats_itself_is_received_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """The same sentence with other numbers is the same; another one passes at once."""
    now_s = [0.0]
    written: list[tuple[int, str, int]] = []
    lines = ClientLines(lambda *line: written.append(line), lambda: now_s[0])

    def passes(sentence: str) -> bool:
        count = len(written)
        lines.log(logging.ERROR, "%s", sentence)
        return len(written) > count

    assert [passes("refused after 3 ms"), passes("refused after 7 ms"), passes("no such host")] == [True, False, True]
    now_s[0] = 60.0
    assert passes("refused after 9 ms")
    assert written[-1] == (logging.ERROR, "refused after 9 ms", 1)
    caplog.set_level(logging.INFO, "catseye.client")
    logger = kafka_logger()
    logger.log(logging.WARNING, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "100 % gone")
    assert [(each.name, each.levelno, each.getMessage()) for each in caplog.records] == [
        ("catseye.client.kafka", logging.WARNING, "FAIL [rdkafka#producer-1] 100 % gone")
    ]


def test_who_reaches_no_broker_reads_no_word_of_its_features() -> None:
    """librdkafka takes what does not answer its first question for an old broker; everything else is as it says."""
    unsupported = in_words(KafkaError(KafkaError._UNSUPPORTED_FEATURE))
    assert "is no broker" in unsupported
    assert "KAFKA_BOOTSTRAP_SERVERS" in unsupported
    assert in_words(KafkaError(KafkaError._TIMED_OUT)) == "Local: Timed out"


def test_a_broker_that_acknowledges_nothing_is_named() -> None:
    """With the setting that may be wrong."""

    class Nobody:
        def produce(self, *_: object, **__: object) -> None: ...
        def poll(self, timeout: float) -> int:
            return 0

        def flush(self, timeout: float) -> int:
            return 2

    publisher = Publisher(Settings(kafka_bootstrap_servers="nowhere:9092"), camera="gate", outbox=Nobody())
    with pytest.raises(Unavailable, match=r"2 records within 1 s.*KAFKA_BOOTSTRAP_SERVERS \(nowhere:9092\) right"):
        publisher.flush(1)
