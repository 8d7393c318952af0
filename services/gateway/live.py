"""Live changes to open pages: one reader of the stream for all, one small store of what is not yet sent for each.

Law: a page that reads slowly costs what its cameras cost, however long it does not read: changes of one camera merge,
the newest holds. What it missed altogether it is told as `resync`: load the page's facts anew.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from redis.exceptions import RedisError

from catseye.rights.scopes import Principal
from services.gateway.model import ReadModel

HEARTBEAT_S = 10.0
"""A comment so often: proxies and pages see that the stream is alive."""
GATHER_S = 0.1
"""Changes of so long go out together."""
_BLOCK_MS = 1_000
_AWAY_S = 1.0


class Listener:
    """One open page: what it has not been sent yet, merged.

    Args:
        principal: Who looks; cameras that are not his are left out.
    """

    def __init__(self, principal: Principal) -> None:
        self._principal = principal
        self._cameras: dict[str, dict[str, Any]] = {}
        self._other: dict[str, Any] = {}
        self._alerts: dict[str, None] = {}
        self._resync = False
        self._held: list[tuple[str, dict[str, Any]]] | None = None
        self.last_id = ""
        self.news = asyncio.Event()

    def hold(self) -> None:
        """Put what comes aside until `release`: what came before is being looked for."""
        self._held = []

    def release(self, earlier: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Take what came before, and then what was put aside: in the order of the stream, each once."""
        held, self._held = self._held or [], None
        for entry_id, changes in earlier:
            self.take(entry_id, changes)
        for entry_id, changes in held:
            if _order(entry_id) > _order(self.last_id):
                self.take(entry_id, changes)

    def take(self, entry_id: str, changes: dict[str, Any]) -> None:
        """One entry of the stream."""
        if self._held is not None:
            self._held.append((entry_id, changes))
            return
        self.last_id = entry_id
        for camera, fields in changes.get("cameras", {}).items():
            if self._principal.sees(camera):
                self._cameras.setdefault(camera, {}).update(fields)
        if not self._principal.cameras:
            self._alerts.update(dict.fromkeys(changes.get("alerts", ())))
            self._other.update({key: changes[key] for key in ("models", "dead_letters") if key in changes})
        if changes.get("whole"):
            self._resync = True
        if self._cameras or self._alerts or self._other or self._resync:
            self.news.set()

    def missed(self) -> None:
        """Something was not seen: what it shows is to be loaded anew."""
        self._resync = True
        self.news.set()

    def event(self) -> bytes:
        """Everything that is not sent yet, as one event."""
        self.news.clear()
        if self._resync:
            name, content = "resync", {}
        else:
            name, content = "changes", {"cameras": self._cameras, "alerts": list(self._alerts), **self._other}
        self._cameras, self._other, self._alerts, self._resync = {}, {}, {}, False
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (
            self.last_id.encode(),
            name.encode(),
            msgspec.json.encode(content),
        )


class Live:
    """All open pages.

    Args:
        model: Where the stream is.
        most: Pages that may be open at once.
    """

    def __init__(self, model: ReadModel, most: int) -> None:
        self._model = model
        self._most = most
        self._listeners: set[Listener] = set()
        self._last_id = "$"
        self._stopping = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether no more pages may be opened."""
        return len(self._listeners) >= self._most

    def stop(self) -> None:
        """End all streams."""
        self._stopping.set()
        for listener in self._listeners:
            listener.news.set()

    async def run(self) -> None:
        """Read the stream until cancelled. While Redis is away nothing comes; then every page loads anew."""
        redis, key, away = self._model.redis, self._model.keys.live, False
        while True:
            try:
                if self._last_id == "$":
                    newest = await redis.xrevrange(key, count=1)
                    self._last_id = newest[0][0].decode() if newest else "0"
                found = await redis.xread({key: self._last_id}, block=_BLOCK_MS, count=100)
            except RedisError:
                away, self._last_id = True, "$"
                await asyncio.sleep(_AWAY_S)
                continue
            if away:
                away = False
                for listener in self._listeners:
                    listener.missed()
            for entry_id, fields in found[0][1] if found else ():
                self._last_id = entry_id.decode()
                changes = msgspec.json.decode(fields[b"changes"])
                for listener in self._listeners:
                    listener.take(self._last_id, changes)

    async def events(self, principal: Principal, after: str) -> AsyncIterator[bytes]:
        """What a page is sent, from the entry behind *after* on; from now on where that is empty.

        The first bytes come at once, so that a page knows that it is connected.
        """
        listener = Listener(principal)
        listener.last_id = after or self._last_id
        if after:
            listener.hold()
        self._listeners.add(listener)
        try:
            if after:
                await self._resume(listener, after)
            yield b"retry: 2000\n: connected\n\n"
            while not self._stopping.is_set():
                try:
                    await asyncio.wait_for(listener.news.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                if self._stopping.is_set():
                    return
                yield listener.event()
                await asyncio.sleep(GATHER_S)
        finally:
            self._listeners.discard(listener)

    async def _resume(self, listener: Listener, after: str) -> None:
        """Hand over what came behind *after*, or say that it is no longer there."""
        key, earlier = self._model.keys.live, []
        try:
            oldest = await self._model.redis.xrange(key, count=1)
            missed = await self._model.redis.xrange(key, min=f"({after}")
            if not oldest or _order(oldest[0][0].decode()) > _order(after):
                listener.missed()
            else:
                earlier = [(entry.decode(), msgspec.json.decode(fields[b"changes"])) for entry, fields in missed]
        except RedisError:
            listener.missed()
        listener.release(earlier)


def _order(entry_id: str) -> tuple[int, ...]:
    """Place of an entry's id in the stream's order; of what is no id, before all."""
    parts = entry_id.split("-")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else (0,)
