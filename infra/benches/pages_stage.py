"""A gateway with a read model and without a broker: for benches and tests of pages, which need no more.

Redis, view's core and store, the gateway's application and uvicorn are the real ones. What goes to topics is kept in a
list, and who wants to see its effect puts the record that follows into the read model.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self, cast

import uvicorn

from catseye.client.config import limits_of
from catseye.client.drafts import Drafts
from catseye.contract.codec import Codec
from catseye.contract.message import Headers, Message
from catseye.contract.records import AcceptedFrame, DeadLetter, Place, Record
from catseye.contract.topics import BY_NAME
from catseye.rights.tokens import Tokens
from catseye.view.keys import Keys
from catseye.view.store import Part, Store
from infra.local import ports
from infra.local.redis import RedisServer
from services.gateway.activation import Activations
from services.gateway.app import application
from services.gateway.door import Gateway
from services.gateway.live import Live
from services.gateway.model import ReadModel
from services.gateway.offers import Offers
from services.gateway.oidc import Oidc
from services.gateway.problem import not_found
from services.gateway.rights import Rights
from services.gateway.settings import GatewaySettings
from services.view.core import ViewCore
from services.view.queue import Queue

_START_S = 10.0


class Writer:
    """Writes the read model as view does.

    Args:
        url: Of Redis.
        topic_prefix: Of the installation.
    """

    def __init__(self, url: str, topic_prefix: str = "catseye.") -> None:
        keys = Keys(topic_prefix)
        self._codec = Codec()
        self._core, self._store = ViewCore(keys, self._codec, Queue(keys, {}, 1_000)), Store(url, keys)
        self._offsets: dict[Part, int] = dict(self._store.open())
        self._store.progress(0, 0, whole=True)

    def put(self, rows: Iterable[tuple[str, Record]]) -> dict[int, DeadLetter]:
        """Take records as view would, in one batch. Returns the dead letters among them by offset."""
        batch: defaultdict[str, list[Message]] = defaultdict(list)
        before: dict[Part, int | None] = {}
        letters = {}
        for topic, record in rows:
            part = topic, 0
            before.setdefault(part, self._offsets.get(part))
            offset = self._offsets.get(part, 0)
            batch[topic].append(_Stored(topic, offset, BY_NAME[topic].key_of(record), self._codec.encode(record)))
            self._offsets[part] = offset + 1
            if isinstance(record, DeadLetter):
                letters[offset] = record
        moved = {part: (begin, self._offsets[part]) for part, begin in before.items()}
        writes, changes = self._core.on_batch(batch)
        if not self._store.write(moved, writes.commands(), changes):
            raise RuntimeError("the read model is not where this batch begins")
        writes.written()
        return letters

    def close(self) -> None:
        self._store.close()


class Stage:
    """Redis and a gateway, each on a free port.

    Args:
        directory: Where Redis has its files.
        oidc: Where people sign in; None lets in who is on this machine.
    """

    def __init__(self, directory: Path, oidc: Oidc | None = None) -> None:
        self.oidc = oidc
        self._redis = RedisServer(directory / "redis")
        self._directory = directory
        self.sent: list[tuple[str, Record]] = []
        """What was written to topics: name and record."""
        self.sent_bytes: list[tuple[str, bytes]] = []
        """What was written as it was: full name of the topic and value."""
        self.frames: dict[int, AcceptedFrame] = {}
        """Frames of partition 0 by offset."""
        self.letters: dict[int, DeadLetter] = {}
        """Dead letters of partition 0 by offset."""
        self.address = ""

    def __enter__(self) -> Self:
        self._redis.start()
        self.settings = GatewaySettings(
            redis_url=self._redis.url, gateway_port=ports.choose(0), data_dir=self._directory
        )
        keys = Keys(self.settings.topic_prefix)
        self._writer = Writer(self._redis.url, self.settings.topic_prefix)
        self._serving = _Serving(self, keys)
        self.address = f"http://127.0.0.1:{self.settings.gateway_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._serving.stop()
        self._writer.close()
        self._redis.stop()

    def put(self, rows: Iterable[tuple[str, Record]]) -> None:
        """Take records as view would, in one batch; pages that are open are told."""
        self.letters |= self._writer.put(rows)


class _Serving:
    """The gateway's loop in a thread."""

    def __init__(self, stage: Stage, keys: Keys) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(stage, keys), daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError("the gateway did not start")

    def stop(self) -> None:
        self._gateway.live.stop()
        self._server.should_exit = True
        self._thread.join()

    def _run(self, stage: Stage, keys: Keys) -> None:
        asyncio.run(self._serve(stage, keys))

    async def _serve(self, stage: Stage, keys: Keys) -> None:
        settings = stage.settings
        model = ReadModel(settings.redis_url, keys)
        self._gateway = Gateway(
            settings=settings,
            rights=Rights(
                Tokens(settings.tokens_path),
                settings.gateway_host,
                1e6,
                sessions=stage.oidc.sessions if stage.oidc else None,
            ),
            outbox=cast("Any", _Outbox(stage)),
            answers=cast("Any", _NoAnswers()),
            model=model,
            live=Live(model, settings.gateway_streams_most),
            pictures=cast("Any", _Kept(stage)),
            offers=Offers(model, int(settings.label_horizon_h * 3_600_000), Random(1)),
            activations=Activations(settings),
            oidc=stage.oidc,
        )
        config = uvicorn.Config(
            application(self._gateway),
            port=settings.gateway_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config, self._ready)
        await self._server.serve()
        await model.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._ready.set()


class _Outbox:
    """Keeps what is sent."""

    def __init__(self, stage: Stage) -> None:
        self._sent, self._sent_bytes = stage.sent, stage.sent_bytes
        self.limits = limits_of(stage.settings)
        self.drafts = Drafts("stage", limits=self.limits)
        self.codec = Codec()

    async def send(self, topic: str, record: Record) -> Place:
        self._sent.append((topic, record))
        return Place(topic=topic, partition=0, offset=len(self._sent))

    async def send_bytes(self, topic: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> Place:
        self._sent_bytes.append((topic, value or b""))
        return Place(topic=topic, partition=0, offset=len(self._sent_bytes))


class _NoAnswers:
    """No prediction comes."""

    async def run(self) -> None:
        await asyncio.Event().wait()


class _Kept:
    """Records of partition 0."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def frame(self, partition: int, offset: int) -> AcceptedFrame:
        if offset not in self._stage.frames:
            raise not_found(f"frame {offset}")
        return self._stage.frames[offset]

    async def record(self, topic: str, kind: type[Record], partition: int, offset: int) -> Record:
        return self._stage.letters[offset]

    async def records(self, topic: str, kind: type[Record], partition: int, offsets: Sequence[int]) -> list[Record]:
        return [self._stage.letters[offset] for offset in offsets]


class _Stored:
    """A record as it stands on a topic."""

    def __init__(self, topic: str, offset: int, key: bytes | None, value: bytes) -> None:
        self._topic, self._offset, self._key, self._value = topic, offset, key, value
        self._at_ms = time.time_ns() // 1_000_000

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at_ms

    def headers(self) -> Headers | None:
        return None
