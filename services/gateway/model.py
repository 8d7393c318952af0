"""The read model in Redis, for who shows it."""

import time
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from catseye.rights.scopes import Principal
from catseye.view import plots
from catseye.view.keys import Keys
from catseye.view.plots import Resolution
from services.gateway.problem import unavailable

T = TypeVar("T")
Fields = dict[str, Any]
PAGE_MOST = 500
_TEXT = ("frame", "label", "model", "version", "labelled", "labelled_frame", "labelled_predicted", "picture_frame")


class ReadModel:
    """What pages and `GET` answer with. Every method raises `Problem` 503 when Redis does not answer.

    Args:
        url: Of the server.
        keys: Names in it.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        self.redis: Any = Redis.from_url(
            url, socket_timeout=5.0, socket_connect_timeout=2.0, retry=Retry(NoBackoff(), 0)
        )
        self.keys = keys

    async def close(self) -> None:
        await self.redis.aclose()

    async def ask(self, call: Awaitable[T]) -> T:
        """What *call* gives."""
        try:
            return await call
        except RedisError as fault:
            raise unavailable(
                f"Redis does not answer ({fault}): pages are blind meanwhile; publishing, labels and predictions go on."
            ) from fault

    async def progress(self) -> Fields:
        """How far the read model is built: ``read``, ``total``, ``whole``; empty while nobody builds one."""
        found = await self.ask(self.redis.hgetall(self.keys.progress))
        return {name.decode(): int(value) for name, value in found.items()}

    async def camera_names(self, principal: Principal, after: str = "", most: int = PAGE_MOST) -> list[str]:
        """Cameras that *principal* may see, in the order of their names, from the one behind *after* on."""
        found: list[str] = []
        least = f"({after}" if after else "-"
        while len(found) < most:
            some = await self.ask(self.redis.zrange(self.keys.cameras, least, "+", bylex=True, offset=0, num=most))
            names = [name.decode() for name in some]
            found += principal.seen(names)
            if len(names) < most:
                break
            least = f"({names[-1]}"
        return found[:most]

    async def cameras(self, names: Iterable[str]) -> list[Fields]:
        """What is known of each; those that are not known are left out."""
        listed = list(names)
        pipeline = self.redis.pipeline(transaction=False)
        for name in listed:
            pipeline.hgetall(self.keys.camera(name))
        found = await self.ask(pipeline.execute())
        return [_camera(name, fields) for name, fields in zip(listed, found, strict=True) if fields]

    async def camera(self, name: str) -> Fields | None:
        """One camera with its signals and the versions that predicted it; None for one that is not known."""
        pipeline = self.redis.pipeline(transaction=False)
        pipeline.hgetall(self.keys.camera(name))
        pipeline.hgetall(self.keys.signals(name))
        pipeline.hgetall(self.keys.versions(name))
        pipeline.hgetall(self.keys.vehicles(name))
        fields, signals, versions, vehicles = await self.ask(pipeline.execute())
        if not fields:
            return None
        known = sorted((int(at_ms), version.decode()) for version, at_ms in versions.items())
        return _camera(name, fields) | {
            "signals": {signal.decode(): msgspec.json.decode(value) for signal, value in sorted(signals.items())},
            "versions": [{"version": version, "since_ms": at_ms} for at_ms, version in known],
            "vehicles": _vehicles(vehicles),
        }

    async def picture(self, name: str) -> bytes | None:
        """The newest picture of a camera, JPEG; None where it has none any more."""
        return cast("bytes | None", await self.ask(self.redis.get(self.keys.picture(name))))

    async def plot(self, series: str, subject: str, resolution: Resolution, to_ms: int, span_ms: int) -> list[Any]:
        """Slots of a series: times, Unix milliseconds, and bytes of each slot that was written."""
        from_ms = to_ms - span_ms
        chunks = resolution.chunks(from_ms, to_ms)
        pipeline = self.redis.pipeline(transaction=False)
        for chunk in chunks:
            pipeline.get(self.keys.plot(series, subject, resolution.step_ms, chunk))
        found = await self.ask(pipeline.execute())
        unpack: Any = {
            plots.ACCURACY: plots.unpack_shares,
            plots.EVIDENCE: plots.unpack_evidence,
            plots.MIX: plots.unpack_counts,
            plots.VEHICLES: plots.unpack_counts,
            plots.TELEMETRY: plots.unpack_readings,
            plots.LATENCY: plots.unpack_latencies,
            plots.RACE: plots.unpack_race,
        }[series]
        return [
            (at_ms, value)
            for chunk, packed in zip(chunks, found, strict=True)
            if packed
            for at_ms, value in _timed(resolution, chunk, unpack(packed))
            if value is not None and from_ms <= at_ms <= to_ms
        ]

    async def alerts(self, *, resolved: bool, most: int = PAGE_MOST) -> list[Fields]:
        """Records of alerts, the newest first; *resolved*: of those that are over."""
        ranking = self.keys.alerts_resolved if resolved else self.keys.alerts_open
        ids = await self.ask(self.redis.zrange(ranking, 0, most - 1, desc=True))
        return await self._fields(self.keys.alerts, ids)

    async def alert(self, alert_id: str) -> Fields | None:
        """The newest record of an alert."""
        return next(iter(await self._fields(self.keys.alerts, [alert_id.encode()])), None)

    async def model_events(self) -> list[Fields]:
        """Every event of `models`, oldest first."""
        found = await self.ask(self.redis.lrange(self.keys.models, 0, -1))
        return [msgspec.json.decode(value) for value in found]

    async def decisions(self, most: int = 50) -> list[Fields]:
        """The newest decisions on training, newest first."""
        found = await self.ask(self.redis.lrange(self.keys.decisions, 0, most - 1))
        return [msgspec.json.decode(value) for value in found]

    async def races(self, most: int = 20) -> list[Fields]:
        """Champion against shadow, the newest first: how often both, one or neither were right on the same frame.

        ``cells`` has the same by propensity of the label, in the order of `plots.RIGHT`.
        """
        members = await self.ask(self.redis.zrange(self.keys.races, 0, most - 1, desc=True, withscores=True))
        races = []
        for member, at_ms in members:
            model, champion, shadow = member.decode().rsplit("/", 2)
            counts = await self.ask(self.redis.hgetall(self.keys.race(model, champion, shadow)))
            cells: dict[str, list[int]] = {}
            for name, count in counts.items():
                propensity, _, who = name.decode().partition("/")
                cells.setdefault(propensity, [0] * len(plots.RIGHT))[plots.RIGHT.index(who)] = int(count)
            shown = ("neither", "only_champion", "only_shadow", "both")
            won = {name: sum(cell[place] for cell in cells.values()) for place, name in enumerate(shown)}
            named = {"model": model, "champion": champion, "shadow": shadow, "newest_at_ms": int(at_ms)}
            races.append({**named, **won, "cells": cells})
        return races

    async def dead_letters(self, most: int = 100, before_ms: float = float("inf")) -> list[Fields]:
        """What was refused, the newest first."""
        newest = f"({before_ms}" if before_ms != float("inf") else "+inf"
        ids = await self.ask(
            self.redis.zrange(self.keys.dead, newest, "-inf", desc=True, byscore=True, offset=0, num=most)
        )
        return await self._fields(self.keys.dead_letters, ids)

    async def dead_letter(self, dead_letter_id: str) -> Fields | None:
        """One of them, without its bytes."""
        return next(iter(await self._fields(self.keys.dead_letters, [dead_letter_id.encode()])), None)

    async def dead_reasons(self) -> dict[str, int]:
        """How many there were, by TOPIC/REASON."""
        found = await self.ask(self.redis.hgetall(self.keys.dead_reasons))
        return {name.decode(): int(count) for name, count in sorted(found.items())}

    async def counts(self) -> dict[str, int]:
        """Records that the read model stands for, by topic."""
        found = await self.ask(self.redis.hgetall(self.keys.counts))
        return {name.decode(): int(count) for name, count in sorted(found.items())}

    async def processes(self) -> list[Fields]:
        """The newest heartbeat of each process, by name: state, problems, `backlogs`: what waits for it."""
        found = await self.ask(self.redis.hgetall(self.keys.processes))
        return [msgspec.json.decode(value) for _, value in sorted(found.items())]

    async def latencies(self, hop: str, span_ms: int) -> list[tuple[int, tuple[int, ...]]]:
        """Histograms of a hop by the minute, of the latest *span_ms* (four hours at most): time and bins."""
        now_ms = time.time_ns() // 1_000_000
        return await self.plot(plots.LATENCY, hop, plots.MINUTES, now_ms, span_ms)

    async def _fields(self, key: str, ids: list[bytes]) -> list[Fields]:
        if not ids:
            return []
        found = await self.ask(self.redis.hmget(key, ids))
        return [msgspec.json.decode(value) for value in found if value]


def _timed(resolution: Resolution, chunk: int, slots: list[Any]) -> list[tuple[int, Any]]:
    return list(zip(plots.times(resolution, chunk, len(slots)), slots, strict=True))


def _vehicles(counts: Mapping[bytes, bytes]) -> list[Fields]:
    """Vehicles by class, direction and line, the most first."""
    names = ("label", "direction", "line")
    found = [
        dict(zip(names, msgspec.json.decode(kind), strict=True)) | {"vehicles": int(count)}
        for kind, count in sorted(counts.items())
    ]
    return sorted(found, key=lambda each: -each["vehicles"])


def _camera(name: str, fields: dict[bytes, bytes]) -> Fields:
    """Fields of a camera as JSON has them: numbers as numbers, what is not known as null."""
    shown: Fields = {"camera": name}
    for field, value in fields.items():
        key, text = field.decode(), value.decode()
        if key in _TEXT or key in ("prediction_id", "place"):
            shown[key] = text
        elif key in ("probabilities", "telemetry", "alarms"):
            shown[key] = msgspec.json.decode(value)
        else:
            shown[key] = None if not text else float(text) if any(c in text for c in ".en") else int(text)
    return shown
