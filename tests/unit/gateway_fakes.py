"""A gateway without servers: a read model in memory, topics as lists, and the application that answers over it."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
from msgspec.structs import asdict, replace
from starlette.testclient import TestClient

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.identity import dead_letter_id
from catseye.contract.records import (
    AcceptedFrame,
    Alert,
    Backlog,
    DeadLetter,
    Frame,
    Heartbeat,
    Label,
    ModelEvent,
    Place,
    Prediction,
    Record,
)
from catseye.contract.topics import BY_NAME, full_name
from catseye.rights.scopes import Principal, Scope
from catseye.rights.tokens import TokenFile, Tokens
from catseye.view.keys import Keys
from services.gateway.app import application
from services.gateway.door import Gateway
from services.gateway.problem import not_found
from services.gateway.rights import Rights
from services.gateway.settings import GatewaySettings
from tests.system.view_records import Road

NOW_MS = 1_790_000_000_000
ROOT = Path(__file__).resolve().parents[2]
CAR = next((ROOT / "infra/example/crops/car").glob("*.jpg")).read_bytes()
HIS, OTHER = "gate-1", "south"
CAMERAS = (HIS, OTHER)
GROUP = ("gate-*",)
"""Cameras of a token that is limited: `HIS` is one, `OTHER` is none."""
SETTINGS = GatewaySettings(topic_prefix="t.", gateway_predict_wait_s=0.05)
_DRAWN: dict[type[Record], Any] = {type(record): record for _, record in Road(5, CAR).records(400)}


def drawn(kind: type[Record], **changes: Any) -> Any:
    """A record of a kind."""
    return replace(_DRAWN[kind], **changes)


def letter(number: int, camera: str | None, value: bytes, **changes: Any) -> DeadLetter:
    """A dead letter at offset *number* of partition 0, of a frame."""
    topic = changes.pop("topic", "t.frames")
    made = DeadLetter(
        dead_letter_id=dead_letter_id(topic, 0, number),
        service="ingest",
        reason=changes.pop("reason", "captured_in_future"),
        detail="The camera's clock is ahead.",
        topic=topic,
        partition=0,
        offset=number,
        written_at_ms=NOW_MS,
        refused_at_ms=NOW_MS + number,
        camera=camera,
        key=(camera or "?").encode(),
        value=value,
    )
    return replace(made, **changes)


class Model:
    """The read model; satisfies what is used of `services.gateway.model.ReadModel`."""

    def __init__(self, letters: Iterable[DeadLetter]) -> None:
        self.redis, self.keys = Server(), Keys(SETTINGS.topic_prefix)
        group: dict[str, Any] = {"camera": None, "group": "all"}
        self.open = [
            drawn(Alert, alert_id=f"alert-{camera}", camera=camera, cameras=[camera], state="opened")
            for camera in CAMERAS
        ]
        self.open += [
            drawn(Alert, alert_id="alert-both", cameras=[*CAMERAS], state="opened", **group),
            drawn(Alert, alert_id="alert-gates", cameras=[HIS], state="opened", **group),
            drawn(Alert, alert_id="alert-fleet", cameras=[], state="opened", **group),
        ]
        self.letters = [
            {name: value for name, value in asdict(each).items() if name not in ("key", "value")}
            | {"value_bytes": len(each.value or b""), "lies_at": f"dead-letters/0/{each.offset}"}
            for each in letters
        ]

    async def ask(self, call: Awaitable[Any]) -> Any:
        return await call

    async def progress(self) -> dict[str, int]:
        return {"read": 1, "total": 1, "whole": 1}

    async def camera_names(self, principal: Principal, after: str = "", most: int = 500) -> list[str]:
        return principal.seen(name for name in CAMERAS if name > after)[:most]

    async def cameras(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"camera": name, "label": "car"} for name in names if name in CAMERAS]

    async def camera(self, name: str) -> dict[str, Any] | None:
        known = {"camera": name, "label": "car", "signals": {}, "versions": [], "vehicles": []}
        return known if name in CAMERAS else None

    async def picture(self, name: str) -> bytes | None:
        return CAR if name in CAMERAS else None

    async def plot(self, *_: Any) -> list[Any]:
        return []

    async def alerts(self, *, resolved: bool, most: int = 500) -> list[dict[str, Any]]:
        return [] if resolved else [msgspec.to_builtins(alert) for alert in self.open]

    async def alert(self, alert_id: str) -> dict[str, Any] | None:
        return next((msgspec.to_builtins(alert) for alert in self.open if alert.alert_id == alert_id), None)

    async def model_events(self) -> list[dict[str, Any]]:
        event = asdict(drawn(ModelEvent, model="roads", version="1", stage="champion"))
        return [{name: value for name, value in event.items() if name != "signature"}]

    async def decisions(self, most: int = 50) -> list[dict[str, Any]]:
        return []

    async def races(self, most: int = 20) -> list[dict[str, Any]]:
        return []

    async def dead_letters(self, most: int = 100, before_ms: float = float("inf")) -> list[dict[str, Any]]:
        return [each for each in reversed(self.letters) if each["refused_at_ms"] < before_ms][:most]

    async def dead_letter(self, dead_letter_id: str) -> dict[str, Any] | None:
        return next((each for each in self.letters if each["dead_letter_id"] == dead_letter_id), None)

    async def dead_reasons(self) -> dict[str, int]:
        return {"t.frames/captured_in_future": 17}

    async def counts(self) -> dict[str, int]:
        return {"frames.accepted": 2}

    async def processes(self) -> list[dict[str, Any]]:
        waits = [
            Backlog(topic="predictions", records=1_234, oldest_ms=61_000),
            Backlog(topic="x", records=0, oldest_ms=0),
        ]
        return [cast("dict[str, Any]", msgspec.to_builtins(drawn(Heartbeat, service="ground_truth", backlogs=waits)))]

    async def latencies(self, *_: Any) -> list[Any]:
        return []


class Server:
    """A Redis that is empty, as labelling asks it directly; it takes what is set."""

    async def set(self, *_: Any, **__: Any) -> bool:
        return True

    async def hget(self, *_: Any) -> None:
        return None

    async def hgetall(self, *_: Any) -> dict[bytes, bytes]:
        return {}

    async def zrange(self, *_: Any) -> list[bytes]:
        return []

    async def execute(self) -> list[int]:
        return []

    def pipeline(self, *, transaction: bool) -> "Server":
        return self


class Offers:
    """Every frame is offered; satisfies what is used of `services.gateway.offers.Offers`."""

    async def some(self, principal: Principal, most: int, now_ms: int, *, again: bool = False) -> list[dict[str, Any]]:
        return [{"frame": f"{name}/b/1"} for name in principal.seen(CAMERAS)][:most]

    async def waiting(self) -> int:
        return len(CAMERAS)

    async def known(self, frames: Sequence[str], camera: str, drawer: str) -> list[dict[str, Any] | None]:
        return [{"chance": 0.5, "twice": False} for _ in frames]

    async def take(self, frame: str, person: str, *, second: bool = False) -> bool:
        return True

    async def give_back(self, frames: Iterable[str], person: str, *, second: bool) -> None: ...

    async def answered(self, frames: Iterable[str], person: str, *, second: bool) -> None: ...


class Activations:
    """Every model looks at the middle; satisfies what is used of `services.gateway.activations.Activations`."""

    async def of(self, *_: Any) -> Any:
        return SimpleNamespace(png=b"png", label="car", probability=0.9, method="activation")


class Pictures:
    """Records by where they lie."""

    def __init__(self, letters: Iterable[DeadLetter]) -> None:
        self._letters = {each.offset: each for each in letters}

    async def frame(self, partition: int, offset: int) -> AcceptedFrame:
        if partition or offset >= len(CAMERAS):
            raise not_found("frame")
        return cast("AcceptedFrame", drawn(AcceptedFrame, camera=CAMERAS[offset]))

    async def record(self, topic: str, kind: type[Record], partition: int, offset: int) -> DeadLetter:
        return self._letters[offset]

    async def records(self, topic: str, kind: type[Record], partition: int, offsets: Iterable[int]) -> list[DeadLetter]:
        return [self._letters[offset] for offset in offsets if offset in self._letters]


@dataclass
class Outbox:
    """What was written: full topic name, key, value, headers."""

    rows: list[tuple[str, bytes | None, bytes | None, list[tuple[str, bytes]]]] = field(default_factory=list)
    away: bool = False

    def __post_init__(self) -> None:
        from services.gateway.outbox import Outbox as Real

        real = Real(SETTINGS, Codec())
        self.codec, self.limits, self.drafts = real.codec, real.limits, real.drafts

    async def send(self, topic: str, record: Record) -> Place:
        full = full_name(topic, SETTINGS.topic_prefix)
        return await self.send_bytes(full, BY_NAME[topic].key_of(record), self.codec.encode(record))

    async def send_bytes(self, full: str, key: bytes | None, value: bytes | None, headers: Any = ()) -> Place:
        if self.away:
            raise Unavailable("no broker answers")
        self.rows.append((full, key, value, list(headers)))
        return Place(topic=full, partition=0, offset=len(self.rows) - 1)


class Answers:
    """Predictions that are there already, by frame."""

    def __init__(self) -> None:
        self.predicted: dict[tuple[str, str, int], Prediction] = {}

    def known(self, frame: tuple[str, str, int]) -> Prediction | None:
        return self.predicted.get(frame)

    async def of(self, frame: tuple[str, str, int], place: Place | None, within_s: float) -> Prediction | None:
        return self.known(frame)


class Live:
    """Nothing changes."""

    full = False

    async def events(self, principal: Principal, after: str) -> Any:
        yield b": connected\n\n"
        await asyncio.sleep(0)


class Door:
    """A gateway with its fakes, and who calls it.

    Args:
        folder: For the tokens.
        letters: Dead letters, at the offsets that they have.
    """

    def __init__(self, folder: Path, letters: Iterable[DeadLetter] = ()) -> None:
        listed = list(letters)
        self.tokens = folder / "tokens.json"
        self.model, self.outbox, self.answers = Model(listed), Outbox(), Answers()
        parts: dict[str, Any] = {
            "settings": SETTINGS,
            "rights": Rights(Tokens(self.tokens), "127.0.0.1", 1e6),
            "outbox": self.outbox,
            "answers": self.answers,
            "model": self.model,
            "live": Live(),
            "pictures": Pictures(listed),
            "offers": Offers(),
            "activations": Activations(),
        }
        self.gateway = Gateway(**parts)
        self.client = TestClient(application(self.gateway), "http://127.0.0.1", raise_server_exceptions=True)

    def token(self, *scopes: Scope, cameras: tuple[str, ...] = (), name: str = "ann") -> dict[str, str]:
        """Headers of a new token."""
        made = TokenFile(self.tokens).create(name, scopes, cameras, NOW_MS, None)
        return {"Authorization": f"Bearer {made}"}


def frame(camera: str, **changes: Any) -> bytes:
    """A frame as it lies on `frames`."""
    made = Frame(camera=camera, boot="b", sequence=7, captured_at_ms=NOW_MS, jpeg=CAR)
    return Codec().encode(replace(made, **changes))


def label(camera: str, **changes: Any) -> bytes:
    """A label as it lies on `labels`."""
    made = Label(camera=camera, boot="b", sequence=7, label="car", labelled_at_ms=NOW_MS, source="person")
    return Codec().encode(replace(made, **changes))
