"""Which frame somebody is asked about next, from the queue in the read model; who looks at a frame has a lease on it.

Leases live in Redis for 90 s: two people never get the same frame, whichever gateway they ask, and what a killed one
had given out comes back by itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from catseye.client.drafts import FrameId
from catseye.contract.identity import hash_distance
from catseye.rights.scopes import Principal
from services.gateway.model import ReadModel

LEASE_S: Final = 90
DRAWERS: Final = {"audit": 0.5, "unsure": 0.25, "evidence": 0.15, "suspect": 0.1}
"""How often each drawer is asked first."""
NEAR_BITS: Final = 3
"""Bits in which the perceptual hashes of near-identical frames differ at most."""
_LOOKED_AT: Final = 100  # frames of a drawer at once, at most
_CAMERAS_MOST: Final = 10_000
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
        predicted: What the model said, and of a suspect the label that is in doubt; None in audits, where it must not
            lead anybody.
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
        self._script = model.redis.register_script(Path(__file__).with_name("offers.lua").read_text())

    async def some(self, principal: Principal, most: int, now_ms: int, *, again: bool = False) -> list[Offer]:
        """At most *most* frames that *principal* may see, leased to him; with *again* those too that are already and
        that he has not answered. Raises `Problem` 503 without Redis."""
        keys, wanted = self._model.keys, Counter(self._random.choices(list(DRAWERS), list(DRAWERS.values()), k=most))
        asked: dict[str, Any] = {
            "person": principal.name,
            "drawers": [(name, keys.drawer(name), keys.drawn(name), wanted[name]) for name in DRAWERS],
            "most": most,
            "again": again,
            "least_ms": str(now_ms - self._retention_ms),
            "first": self._random.randrange(_CAMERAS_MOST),
            "leases": [keys.lease("", second=second) for second in (False, True)],
            "lease_s": LEASE_S,
            "at_once": _LOOKED_AT,
            "looks": _LOOKS,
        }
        if principal.cameras:
            asked["cameras"] = await self._model.camera_names(principal, most=_CAMERAS_MOST)
        sets = [keys.labelled, keys.answered_by, keys.second_opinions, keys.skipped, keys.suspected, keys.looked_again]
        chosen = await self._model.ask(self._script(keys=sets, args=[msgspec.json.encode(asked)]))
        found = [_leased(*(part.decode() for part in each[:3]), is_second=bool(each[3])) for each in chosen]
        self._random.shuffle(found)
        return _grouped(found)

    async def waiting(self) -> int:
        """Frames of the drawers that all cameras share, labelled ones that nobody came upon among them."""
        pipeline = self._model.redis.pipeline(transaction=False)
        for name in ("audit", "unsure", "suspect"):
            pipeline.zcard(self._model.keys.drawer(name))
        return sum(await self._model.ask(pipeline.execute()))

    async def known(self, frames: Sequence[str], camera: str, drawer: str) -> list[dict[str, Any] | None]:
        """What the queue knows of each frame; None of one that is not in that drawer."""
        key = self._model.keys.drawn(drawer, camera if drawer == "evidence" else "")
        found = await self._model.ask(self._model.redis.hmget(key, frames))
        return [None if each is None else dict(msgspec.json.decode(each)) for each in found]

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


def _leased(frame: str, drawer: str, known: str, *, is_second: bool) -> _Leased:
    """An offer of *frame*, by what the queue knows of it."""
    facts = msgspec.json.decode(known)
    offer = Offer(
        frame=frame,
        camera=FrameId.parse(frame).camera,
        place=facts["place"],
        drawer=drawer,
        chance=facts["chance"],
        classes=facts["classes"],
        predicted=None if drawer == "audit" or is_second else facts["predicted"],
        received_at_ms=facts["received_at_ms"],
        second_opinion=is_second,
    )
    return _Leased(offer, facts["hash"], facts["track"])


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
    """Of one camera and drawer, first opinions: the same track, or hashes that differ in few bits. A label in doubt is
    looked at by itself."""
    return (
        one.offer.drawer != "suspect"
        and (one.offer.camera, one.offer.drawer) == (other.offer.camera, other.offer.drawer)
        and not (one.offer.second_opinion or other.offer.second_opinion)
        and (
            (bool(one.track) and one.track == other.track)
            or hash_distance(one.perceptual_hash, other.perceptual_hash) <= NEAR_BITS
        )
    )
