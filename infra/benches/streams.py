"""200 event streams of which 10 never read: CPU, memory and end of the gateway; a reader that moves misses nothing.

Two gateways read one Redis. As many changes come as 500 cameras with a change every ten seconds make, every 200 ms one
entry, as view writes them. Of each stream that reads it is known which changes came; halfway it goes on at the other
gateway by the last id that it has.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from catseye.view.keys import Keys
from infra.benches import harness
from infra.benches.harness import BenchError, Child, Figure, Options, Report, Row
from infra.local import ports
from infra.local.redis import RedisServer

STREAMS: Final = 200
SILENT: Final = 10
CAMERAS: Final = 10
"""In one entry."""
EVERY_S: Final = 0.2
MEMORY_BYTES: Final = 20 * 2**20
END_S: Final = 3.0
CORES: Final = 0.5
_CONNECT_S: Final = 2.0
_ARRIVES_S: Final = 20.0
"""What has not come so long after it was written never comes."""


class Reader:
    """One page: what it was told, of each camera the newest number.

    Args:
        port: Of the gateway.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.last_id = ""
        self.newest: dict[str, int] = {}
        self.resyncs = 0
        self._writer: Any = None

    async def open(self) -> asyncio.StreamReader:
        """Ask for the stream, from the last id on where there is one."""
        reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        after = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        self._writer.write(f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{after}\r\n".encode())
        await self._writer.drain()
        return reader

    async def run(self) -> None:
        """Read until cancelled or the stream ends."""
        async for name, number, content in _events(await self.open()):
            self.last_id = number
            if name == "resync":
                self.resyncs += 1
            for camera, fields in content.get("cameras", {}).items():
                self.newest[camera] = fields["received_at_ms"]

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, str, Any]]:
    found: dict[str, str] = {}
    while line := await reader.readline():
        text = line.decode().rstrip("\r\n")
        key, colon, value = text.partition(": ")
        if colon and key in ("id", "event", "data"):
            found[key] = value
        elif "data" in found and not text:
            yield found["event"], found["id"], json.loads(found["data"])
            found = {}


def run(options: Options) -> Report:
    """Measure with a Redis of its own."""
    seconds = 2.0 if options.short else 40.0
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder) / "redis") as redis:
        row = asyncio.run(_measured(redis.url, Path(folder), seconds))
    report = Report("streams", rows=[row], machine=harness.machine(("starlette", "uvicorn", "redis")))

    def at_most(name: str, value: float, most: float) -> Figure:
        return Figure(name, harness.ratio([value], [most]), 1.0)

    report.figures = [
        at_most("cores / 0.5", float(row["cores"]), CORES),
        at_most("memory of 200 streams / 20 MB", float(row["more_bytes"]), MEMORY_BYTES),
        at_most("SIGTERM to gone / 3 s", float(row["end_s"]), END_S),
        at_most("readers that missed a change, plus 1", float(row["missed"]) + 1, 1.0),
    ]
    return report


async def _measured(url: str, folder: Path, seconds: float) -> Row:
    redis: Any = Redis.from_url(url)
    gateways = [await _started(url, folder, redis, number) for number in range(2)]
    (first, port), (second, other_port) = gateways
    try:
        before = first.rss_bytes()
        readers = [Reader(port) for _ in range(STREAMS - SILENT)]
        silent = [Reader(port) for _ in range(SILENT)]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        for reader in silent:
            await reader.open()
        await asyncio.sleep(_CONNECT_S)
        number = await _write(redis, 0, 1.0)
        cpu_ns, began_s = first.cpu_ns(), time.monotonic()
        number = await _write(redis, number, seconds)
        cores = (first.cpu_ns() - cpu_ns) / 1e9 / (time.monotonic() - began_s)
        more_bytes = first.rss_bytes() - before
        moved = readers[: len(readers) // 2]
        for reader, task in zip(moved, tasks, strict=False):
            task.cancel()
            reader.close()
        number = await _write(redis, number, 1.0)  # what comes while they are nowhere
        for reader in moved:
            reader.port = other_port
        tasks = [*tasks[len(moved) :], *(asyncio.create_task(reader.run()) for reader in moved)]
        number = await _write(redis, number, 1.0)
        newest = {f"gate-{at % 500}": at for at in range(number)}
        until_s = time.monotonic() + _ARRIVES_S
        while (missed := sum(not _knows(reader, newest) for reader in readers)) and time.monotonic() < until_s:
            await asyncio.sleep(0.2)
        ended_s = time.monotonic()
        gone = await asyncio.to_thread(first.stop, patience_s=20)
        end_s = time.monotonic() - ended_s
        if not gone:
            raise BenchError("the gateway did not end by itself")
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        first.stop(patience_s=5)
        second.stop(patience_s=5)
        await redis.aclose()
    return {
        "streams": STREAMS,
        "silent": SILENT,
        "seconds": seconds,
        "changes": number,
        "cores": cores,
        "more_bytes": more_bytes,
        "end_s": end_s,
        "missed": missed,
        "resyncs": sum(reader.resyncs for reader in readers),
    }


def _knows(reader: Reader, newest: dict[str, int]) -> bool:
    """Whether it has the newest number of each camera, or was told to load all anew."""
    return reader.resyncs > 0 or all(reader.newest.get(camera) == number for camera, number in newest.items())


async def _write(redis: Any, number: int, seconds: float) -> int:
    """Changes for so long, numbered from *number* on; returns the next number."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        due_s = time.monotonic() + EVERY_S
        cameras = {
            f"gate-{at % 500}": {
                "received_at_ms": at,
                "label": "car",
                "confidence": "0.98765",
                "frame": f"gate-{at % 500}/b/{at}",
                "version": "2026-11-30",
                "predicted_at_ms": at,
            }
            for at in range(number, number + CAMERAS)
        }
        number += CAMERAS
        entry = json.dumps({"cameras": cameras})
        await redis.xadd(Keys("bench.").live, {"changes": entry}, maxlen=1_000, approximate=True)
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    return number


async def _started(url: str, folder: Path, redis: Any, number: int) -> tuple[Child, int]:
    port = ports.choose(0)
    command = [sys.executable, "-m", "infra.benches.peers.events", url, str(port)]
    child = Child(command, folder / f"gateway-{number}.log", {})
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        with suppress(OSError):
            reader = Reader(port)
            await reader.open()
            reader.close()
            return child, port
        await asyncio.sleep(0.1)
    raise BenchError(f"no gateway: {child.log_tail()}")
