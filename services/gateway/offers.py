"""Which frame somebody is asked about next, from the queue in the read model; who looks at a frame has a lease on it.

Leases live in Redis for 90 s: two people never get the same frame, whichever gateway they ask, and what a killed one
had given out comes back by itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from catseye.client.drafts import FrameId
from catseye.contract.identity import hash_distance
from catseye.rights.scopes import Principal
from services.gateway.model import ReadModel

LEASE_S: Final = 90
DRAWERS: Final = {"audit": 0.5, "unsure": 0.3, "evidence": 0.2}
"""How often each drawer is asked first."""
NEAR_BITS: Final = 3
"""Bits in which the perceptual hashes of near-identical frames differ at most."""
_LOOKED_AT: Final = 100  # frames of a drawer at once, at most
_LOOKS: Final = 5


class Offer(msgspec.Struct, frozen=True):
    """A frame to be looked at.

    Attributes:
        frame: ``camera/boot/sequence``.
        camera: Its camera.
        place: Where it lies in ``frames.accepted``: ``PARTITION/OFFSET``.
        drawer: Why it is asked about.
        chance: Probability with which it was drawn.
        classes: Those of the model.
        predicted: What the model said; None in audits, where it must not lead anybody.
        received_at_ms: When it was received, Unix milliseconds.
        second_opinion: Whether somebody else has answered before.
        same: Near-identical frames that the answer labels too.
    """

    frame: str
    camera: str
    place: str
    drawer: str
    chance: float
    classes: list[str]
    predicted: str | None
    received_at_ms: int
    second_opinion: bool = False
    same: list[str] = []


class _Leased(NamedTuple):
    """An offer, and what tells whether it looks like another."""

    offer: Offer
    perceptual_hash: int
    track: str | None


class Offers:
    """Hands out frames.

    Args:
        model: The read model.
        retention_ms: How old a frame may be.
        random: Chooses drawers.
    """

    def __init__(self, model: ReadModel, retention_ms: int, random: Random) -> None:
        self._model = model
        self._retention_ms = retention_ms
        self._random = random

    async def some(self, principal: Principal, most: int, now_ms: int, *, again: bool = False) -> list[Offer]:
        """At most *most* frames that *principal* may see, leased to him; with *again* those too that are already and
        that he has not answered. Raises `Problem` 503 without Redis."""
        wanted = Counter(self._random.choices(list(DRAWERS), list(DRAWERS.values()), k=most))
        found: list[_Leased] = []
        for name in DRAWERS:
            found += await self._of(name, principal, wanted[name], now_ms, again=again)
        for name in DRAWERS:  # what one drawer lacks, others have
            found += await self._of(name, principal, most - len(found), now_ms, again=False)
        self._random.shuffle(found)
        return _grouped(found)

    async def waiting(self) -> int:
        """Frames of the two common drawers, labelled ones that nobody came upon among them."""
        pipeline = self._model.redis.pipeline(transaction=False)
        for name in ("audit", "unsure"):
            pipeline.zcard(self._model.keys.drawer(name))
        return sum(await self._model.ask(pipeline.execute()))

    async def known(self, frame: str, camera: str, drawer: str) -> dict[str, Any] | None:
        """What the queue knows of a frame; None where it is not in that drawer."""
        key = self._model.keys.drawn(drawer, camera if drawer == "evidence" else "")
        found = await self._model.ask(self._model.redis.hget(key, frame))
        return None if found is None else dict(msgspec.json.decode(found))

    async def take(self, frame: str, person: str, *, second: bool = False) -> bool:
        """Whether *person* has the lease on a frame, or has it now since nobody has."""
        redis, key = self._model.redis, self._model.keys.lease(frame, second=second)
        if await self._model.ask(redis.set(key, person, nx=True, ex=LEASE_S)):
            return True
        return await self._model.ask(redis.get(key)) in (person.encode(), _answered(person).encode())

    async def answered(self, frames: Iterable[str], person: str, *, second: bool) -> None:
        """Frames that view will soon know as answered: nobody gets them meanwhile, *person* neither."""
        pipeline = self._model.redis.pipeline(transaction=False)
        for frame in frames:
            pipeline.set(self._model.keys.lease(frame, second=second), _answered(person), ex=LEASE_S)
        await self._model.ask(pipeline.execute())

    async def give_back(self, frames: Iterable[str], person: str, *, second: bool) -> None:
        """Frames that *person* does not look at any more."""
        for frame in frames:
            if await self.take(frame, person, second=second):
                await self._model.ask(self._model.redis.delete(self._model.keys.lease(frame, second=second)))

    async def _of(self, drawer: str, principal: Principal, most: int, now_ms: int, *, again: bool) -> list[_Leased]:
        """At most *most* frames of one drawer, the newest first."""
        found: list[_Leased] = []
        if most < 1:
            return found
        for camera in await self._cameras(drawer, principal):
            ranking, drawn = self._model.keys.drawer(drawer, camera), self._model.keys.drawn(drawer, camera)
            at, at_once = 0, min(2 * most + 10, _LOOKED_AT)
            for _ in range(_LOOKS):
                if len(found) >= most:
                    return found
                least = now_ms - self._retention_ms
                query = self._model.redis.zrange(
                    ranking, "+inf", least, desc=True, byscore=True, offset=at, num=at_once
                )
                frames = [frame.decode() for frame in await self._model.ask(query)]
                if not frames:
                    break
                free, gone = await self._free(frames, drawn, principal, again=again)
                at += len(frames) - len(gone)
                if gone:
                    await self._drop(ranking, drawn, gone)
                found += await self._leased(free[: most - len(found)], drawer, principal.name)
        return found

    async def _cameras(self, drawer: str, principal: Principal) -> list[str]:
        """Whose drawers are looked into: of evidence those that drift suspects."""
        if drawer != "evidence":
            return [""]
        keys = self._model.keys
        found = await self._model.ask(self._model.redis.zrange(keys.suspected, 1, "+inf", byscore=True))
        cameras = principal.seen(camera.decode() for camera in found)
        self._random.shuffle(cameras)
        return cameras

    async def _free(
        self, frames: Sequence[str], drawn: str, principal: Principal, *, again: bool
    ) -> tuple[list[tuple[str, dict[str, Any], bool]], list[str]]:
        """Frames that may be offered, with what is known of them and whether it is a second opinion; and those that
        are done with."""
        keys, person = self._model.keys, principal.name
        pipeline = self._model.redis.pipeline(transaction=False)
        pipeline.hmget(drawn, frames)
        pipeline.zmscore(keys.labelled, frames)
        pipeline.hmget(keys.answered_by, frames)
        pipeline.zmscore(keys.second_opinions, frames)
        pipeline.zmscore(keys.skipped, [f"{person}\n{frame}" for frame in frames])
        pipeline.mget([keys.lease(frame) for frame in frames])
        pipeline.mget([keys.lease(frame, second=True) for frame in frames])
        free, gone = [], []
        leases = (None, person.encode()) if again else (None,)
        for frame, known, label, by, second, skipped, first_lease, second_lease in zip(
            frames, *await self._model.ask(pipeline.execute()), strict=True
        ):
            facts = msgspec.json.decode(known) if known else None
            is_second = by is not None and second is None and facts is not None and facts["twice"]
            if facts is None or ((label is not None or by is not None) and not is_second):
                gone.append(frame)
            elif is_second and by == person.encode():
                continue
            elif (
                (second_lease if is_second else first_lease) in leases
                and skipped is None
                and principal.sees(FrameId.parse(frame).camera)
            ):
                free.append((frame, facts, is_second))
        return free, gone

    async def _drop(self, ranking: str, drawn: str, frames: Sequence[str]) -> None:
        """Forget what is done with, so that nobody looks at it again."""
        pipeline = self._model.redis.pipeline(transaction=False)
        pipeline.zrem(ranking, *frames)
        pipeline.hdel(drawn, *frames)
        await self._model.ask(pipeline.execute())

    async def _leased(
        self, free: Sequence[tuple[str, dict[str, Any], bool]], drawer: str, person: str
    ) -> list[_Leased]:
        pipeline = self._model.redis.pipeline(transaction=False)
        for frame, _, is_second in free:
            pipeline.set(self._model.keys.lease(frame, second=is_second), person, nx=True, ex=LEASE_S)
            pipeline.get(self._model.keys.lease(frame, second=is_second))
        found = await self._model.ask(pipeline.execute()) if free else []
        mine = [holder == person.encode() for holder in found[1::2]]
        return [
            _Leased(
                Offer(
                    frame=frame,
                    camera=FrameId.parse(frame).camera,
                    place=facts["place"],
                    drawer=drawer,
                    chance=facts["chance"],
                    classes=facts["classes"],
                    predicted=None if drawer == "audit" or is_second else facts["predicted"],
                    received_at_ms=facts["received_at_ms"],
                    second_opinion=is_second,
                ),
                facts["hash"],
                facts["track"],
            )
            for (frame, facts, is_second), is_mine in zip(free, mine, strict=True)
            if is_mine
        ]


def _answered(person: str) -> str:
    """What a lease says whose frame was answered."""
    return f"{person}\nanswered"


def _grouped(leased: Sequence[_Leased]) -> list[Offer]:
    """Near-identical frames are one offer."""
    groups: list[list[_Leased]] = []
    for one in leased:
        alike = next((group for group in groups if _alike(group[0], one)), None)
        if alike is None:
            groups.append([one])
        else:
            alike.append(one)
    return [
        msgspec.structs.replace(first.offer, same=[each.offer.frame for each in others]) for first, *others in groups
    ]


def _alike(one: _Leased, other: _Leased) -> bool:
    """Of one camera and drawer, first opinions: the same track, or hashes that differ in few bits."""
    return (
        (one.offer.camera, one.offer.drawer) == (other.offer.camera, other.offer.drawer)
        and not (one.offer.second_opinion or other.offer.second_opinion)
        and (
            (bool(one.track) and one.track == other.track)
            or hash_distance(one.perceptual_hash, other.perceptual_hash) <= NEAR_BITS
        )
    )
