"""The read model in Redis, for who writes it: one script call a batch, with the offsets that it stands for."""

import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, cast

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, RedisError
from redis.retry import Retry

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.view.keys import FORMAT, Keys
from catseye.view.writes import Command

LIVE_MOST = 1_000
"""Entries of the live stream, about: one a batch."""
_SCRIPT_S = 30.0  # above the longest script: a call that times out has run all the same
_CONNECT_S = 2.0
_BEGIN_S = 60

Part = tuple[str, int]
"""Topic without prefix, and partition."""


class Store:
    """Writes of one process.

    Args:
        url: Of the server, as redis-py takes it: ``redis://``, ``rediss://`` for TLS or ``unix://``.
        keys: Names in it.

    Raises:
        Misconfigured: *url* is no address of a Redis server.
    """

    def __init__(self, url: str, keys: Keys) -> None:
        try:
            # No retries: a script that ran would run again, for nothing; the caller waits and looks where it is.
            self._redis = Redis.from_url(
                url, socket_timeout=_SCRIPT_S, socket_connect_timeout=_CONNECT_S, retry=Retry(NoBackoff(), 0)
            )
        except ValueError as fault:
            raise Misconfigured(
                f"REDIS_URL is no address of a Redis server, such as redis://HOST:6379/0: {fault}"
            ) from fault
        self._keys = keys
        self._script = self._redis.register_script(files("catseye.view").joinpath("write.lua").read_text())
        self._epoch = b""

    def open(self) -> dict[Part, int]:
        """Begin, or go on with what is there. Returns the offsets that it stands for; none: a new build begins.

        Raises:
            Unavailable: the server does not answer, or refuses.
        """
        try:
            epoch = cast("bytes | None", self._redis.get(self._keys.epoch))
            if epoch is None or epoch.partition(b":")[0] != FORMAT.encode():
                epoch = self._begin()
            self._epoch = epoch
            offsets = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.offsets))
        except RedisError as fault:
            raise _unavailable(fault) from fault
        return {_part(name): int(offset) for name, offset in offsets.items()}

    def write(
        self,
        moved: Mapping[Part, tuple[int | None, int]],
        commands: list[Command],
        changes: dict[str, Any] | None,
    ) -> bool:
        """Write one batch. False: the read model is not where the batch begins; `open` says where it is.

        Args:
            moved: Of each partition, the offset before the batch, None where there was none, and the one behind it.
            commands: What is to be done.
            changes: What pages are told; None: nothing.

        Raises:
            Unavailable: the server does not answer, or refuses; whether it has written is not known.
        """
        if changes:
            entry = msgspec.json.encode(changes)
            commands = [*commands, ["XADD", self._keys.live, "MAXLEN", "~", LIVE_MOST, "*", "changes", entry]]
        places = [
            word
            for (topic, partition), (before, behind) in moved.items()
            for word in (f"{topic}/{partition}", "" if before is None else str(before), str(behind))
        ]
        words = [word for command in commands for word in (len(command), *command)]
        try:
            answer = self._script(
                keys=[self._keys.epoch, self._keys.offsets],
                args=[self._epoch, len(moved), *places, *words],
            )
        except RedisError as fault:
            raise _unavailable(fault) from fault
        return bool(answer == b"written")

    def progress(self, read: int, total: int, *, whole: bool) -> None:
        """Say how far a build is. Raises `Unavailable`."""
        try:
            self._redis.hset(self._keys.progress, mapping={"read": read, "total": total, "whole": int(whole)})
        except RedisError as fault:
            raise _unavailable(fault) from fault

    def rebuild(self) -> None:
        """Begin anew at the next `open`. Raises `Unavailable`."""
        try:
            self._redis.delete(self._keys.epoch)
        except RedisError as fault:
            raise _unavailable(fault) from fault

    def close(self) -> None:
        self._redis.close()

    def _begin(self) -> bytes:
        """Take away what an earlier build left, and name a new one. Of two processes that begin, one does."""
        lock = self._keys.begins
        if not self._redis.set(lock, "", nx=True, ex=_BEGIN_S):
            raise Unavailable("another process begins the read model")
        for key in self._redis.scan_iter(match=_literal(self._keys.root) + "*", count=1_000):
            if key.decode() != lock:
                self._redis.unlink(key)
        epoch = f"{FORMAT}:{secrets.token_hex(8)}".encode()
        self._redis.set(self._keys.epoch, epoch)
        self._redis.delete(lock)
        return epoch


def _part(name: bytes) -> Part:
    topic, _, partition = name.decode().rpartition("/")
    return topic, int(partition)


def _literal(text: str) -> str:
    """*text* as a pattern of Redis that matches it alone."""
    return "".join("\\" + letter if letter in "*?[]^\\" else letter for letter in text)


def _unavailable(fault: RedisError) -> Unavailable:
    if isinstance(fault, OutOfMemoryError):
        return Unavailable("Redis is full and takes nothing: give it more memory (CONFIG SET maxmemory, and its file)")
    return Unavailable(f"Redis does not take the read model: {fault}")
