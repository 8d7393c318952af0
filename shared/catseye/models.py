"""The register of models: events on the `models` topic, files in the artifact store."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from catseye import clock, signing
from catseye.artifacts import ArtifactStore
from catseye.codec import Codec
from catseye.errors import BadModel, BadRecord, Misconfigured, Unavailable
from catseye.identity import digest
from catseye.kafka import client_config, log_bounds, reader_config
from catseye.net import Net, check_file
from catseye.records import ModelEvent, Stage
from catseye.settings import Settings
from catseye.topics import full_name

RETRY_S = 2.0  # how long to wait before a champion is fetched again that could not be


def key_folder(settings: Settings) -> Path:
    return settings.data_dir / "keys"


def store_of(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_url or f"file://{(settings.data_dir / 'artifacts').resolve()}")


def register(settings: Settings, codec: Codec, onnx: bytes, stage: Stage, *, by: str, because: str) -> ModelEvent:
    """Check, sign, keep and announce a model file; its version is the start of its hash.

    Raises:
        BadModel: the file breaks the contract.
        Unavailable: the broker or the store does not answer.
    """
    check_file(onnx)
    name = Net(onnx).spec.name
    address = store_of(settings).put(onnx)
    version = address[:12]
    event = ModelEvent(
        event_id=digest("model", name, version, stage, because),
        model=name,
        version=version,
        stage=stage,
        sha256=address,
        signature=signing.sign(address, key_folder(settings)),
        because=because,
        by=by,
        at_ms=clock.now_ms(),
    )
    announce(settings, codec, event)
    return event


def announce(settings: Settings, codec: Codec, event: ModelEvent) -> None:
    """Write *event* to the `models` topic and wait for the broker's word. Raises `Unavailable`."""
    faults: list[KafkaError] = []
    producer = Producer(
        client_config(settings) | {"enable.idempotence": True, "message.timeout.ms": 30_000, "log_level": 3}
    )
    producer.produce(
        full_name("models", settings.topic_prefix),
        codec.encode(event),
        f"{event.model}/{event.version}".encode(),
        on_delivery=lambda fault, _: faults.append(fault) if fault else None,
    )
    if producer.flush(35) or faults:
        raise Unavailable(f"the broker did not take the model event: {faults or 'no answer'}")


class Champion:
    """Follows the `models` topic and holds the loaded champion.

    A new champion is fetched, checked (hash, signature, contract, golden crops) and warmed up on this thread of its
    own, while the old one serves; then `current` gives the new one from the next batch on.

    Args:
        settings: Common settings.
        codec: Reads model events.
        log: Gets an event name and fields.
        threads: Threads of one run of the net.
    """

    def __init__(self, settings: Settings, codec: Codec, log: Callable[..., None], threads: int) -> None:
        self._settings = settings
        self._codec = codec
        self._log = log
        self._threads = threads
        self._served: tuple[ModelEvent, Net] | None = None
        self._failed: str = ""
        self._caught_up = Event()

    def follow(self) -> None:
        """Start the thread; returns when the events so far are read and their champion, if any, is loaded.

        Raises:
            Unavailable: the broker does not answer.
        """
        topic = full_name("models", self._settings.topic_prefix)
        first, _ = log_bounds(self._settings, topic, [0])[0]
        Thread(target=self._follow, args=(topic, first), name="models", daemon=True).start()
        self._caught_up.wait()

    def current(self) -> tuple[ModelEvent, Net]:
        """The champion's event and net. Raises `Unavailable` while there is none."""
        if self._served is None:
            raise Unavailable(f"no champion to predict with{self._failed}: `catseye models register FILE` names one")
        return self._served

    def _follow(self, topic: str, first: int) -> None:
        reader = Consumer(reader_config(self._settings, f"{topic}.follow") | {"enable.partition.eof": True})
        reader.assign([TopicPartition(topic, 0, first)])
        wanted: ModelEvent | None = None
        at_end = False
        while True:
            message: Any = reader.poll(RETRY_S)
            if message is not None and not message.error():
                wanted, at_end = self._champion_in(message) or wanted, False
                continue
            if message is not None and message.error().code() != KafkaError._PARTITION_EOF:
                self._log("models_unreadable", what=message.error().str())
            at_end = at_end or (message is not None and message.error().code() == KafkaError._PARTITION_EOF)
            # Only the newest champion is loaded: those before it are history. What could not be fetched is tried again.
            if at_end:
                if wanted is not None and self._serve(wanted):
                    wanted = None
                self._caught_up.set()

    def _champion_in(self, message: Any) -> ModelEvent | None:
        """The event of *message* if it names a champion."""
        while True:
            try:
                event = self._codec.decode(message.value(), ModelEvent)
            except BadRecord as fault:
                self._log("model_event_unreadable", offset=message.offset(), what=str(fault))
                return None
            except Unavailable as fault:
                self._log("model_event_not_read", offset=message.offset(), what=str(fault))
                time.sleep(RETRY_S)
            else:
                return event if event.stage == "champion" else None

    def _serve(self, event: ModelEvent) -> bool:
        """Load the champion of *event*. False when it should be tried again."""
        started = time.monotonic()
        try:
            content = store_of(self._settings).get(event.sha256)
            signing.verify(event.sha256, event.signature, key_folder(self._settings))
            check_file(content)
            net = Net(content, self._threads)
        except (BadModel, Misconfigured) as fault:
            self._failed = f" ({fault})"
            self._log("champion_refused", model=event.model, version=event.version, what=str(fault))
            return True
        except Unavailable as fault:
            self._failed = f" ({fault})"
            self._log("champion_not_loaded", model=event.model, version=event.version, what=str(fault))
            return False
        self._served = (event, net)
        self._log("champion", model=event.model, version=event.version, load_s=round(time.monotonic() - started, 3))
        return True
