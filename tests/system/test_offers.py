"""Which frames people are offered, by the script in a real Redis."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from redis import Redis

from catseye import clock
from catseye.contract.identity import frame_id
from catseye.contract.records import Label, LabelSuspect
from catseye.rights.scopes import EVERYTHING, Principal
from catseye.view.keys import Keys
from infra.benches.pages_fleet import Fleet
from infra.benches.pages_stage import Stage
from infra.local.redis import RedisServer
from services.gateway.model import ReadModel
from services.gateway.offers import Offer, Offers
from services.view.queue import SECOND_OPINIONS, dice

pytestmark = pytest.mark.broker  # Redis is a server too

NOW_MS = 1_790_000_000_000
RETENTION_MS = 1_000
KEYS = Keys("offers-test.")
ADA, GRACE = (Principal(name, EVERYTHING) for name in ("ada", "grace"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("offers")) as server:
        yield server.url


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """Empty."""
    with Redis.from_url(url) as client:
        client.flushall()
        yield client


def draw(redis: Redis, drawer: str, frames: Mapping[str, int], camera: str = "", **facts: Any) -> None:
    """Put *frames* in a drawer, each with when it was received."""
    known = {"place": "0/1", "predicted": "car", "classes": ["bus", "car"], "track": None, "twice": False}
    for number, (frame, received_at_ms) in enumerate(frames.items()):
        # Hashes of frames that look unlike each other: Hamming distance of at least four bits.
        of_frame = {"hash": 0xF << (4 * (number % 15)), "chance": 0.1, "received_at_ms": received_at_ms}
        redis.zadd(KEYS.drawer(drawer, camera), {frame: received_at_ms})
        redis.hset(KEYS.drawn(drawer, camera), frame, msgspec.json.encode(known | of_frame | facts))


def offered(url: str, *asked: tuple[Principal, int], again: bool = False, seed: int = 1) -> list[list[Offer]]:
    """What each of those who ask at the same time, each at a gateway of his own, is offered."""

    async def all_at_once() -> list[list[Offer]]:
        models = [ReadModel(url, KEYS) for _ in asked]
        queues = [Offers(model, RETENTION_MS, Random(seed + number)) for number, model in enumerate(models)]
        found = await asyncio.gather(
            *(queue.some(who, most, NOW_MS, again=again) for queue, (who, most) in zip(queues, asked, strict=True))
        )
        for model in models:
            await model.close()
        return list(found)

    return asyncio.run(all_at_once())


def names(offers: list[Offer]) -> list[str]:
    return sorted(name for offer in offers for name in (offer.frame, *offer.same))


def test_nobody_is_offered_what_another_looks_at(url: str, redis: Redis) -> None:
    """Who ask at the same moment share the queue out, whole, and none of it is offered twice."""
    drawn = {f"gate-1/b/{number}": NOW_MS for number in range(12)}
    draw(redis, "audit", drawn)
    people = [Principal(f"person-{number}", EVERYTHING) for number in range(4)]
    found = offered(url, *((who, 4) for who in people))
    assert sorted(name for each in found for name in names(each)) == sorted(drawn)
    assert offered(url, (ADA, 4)) == [[]]


def test_the_newest_come_first_and_the_old_ones_never(url: str, redis: Redis) -> None:
    """A frame past retention is not offered, whatever the other drawers lack."""
    draw(redis, "audit", {f"gate-1/b/{number}": NOW_MS - 300 * number for number in range(8)})
    assert names(offered(url, (ADA, 2))[0]) == ["gate-1/b/0", "gate-1/b/1"]
    assert names(offered(url, (ADA, 20))[0]) == ["gate-1/b/2", "gate-1/b/3"]


def test_what_is_asked_for_again_comes_once(url: str, redis: Redis) -> None:
    """A page that is loaded anew gets its frames back, a frame of two drawers once; nobody else gets them."""
    drawn = {f"gate-1/b/{number}": NOW_MS for number in range(3)}
    draw(redis, "audit", drawn)
    draw(redis, "unsure", drawn)
    for seed in range(5):
        assert names(offered(url, (ADA, 20), again=True, seed=seed)[0]) == sorted(drawn)
        assert offered(url, (ADA, 20), (GRACE, 20), seed=seed) == [[], []]


def test_what_is_done_with_is_forgotten(url: str, redis: Redis) -> None:
    """A frame with a label and one that somebody answered are not offered and leave the drawer; one that was skipped
    stays for others."""
    draw(redis, "unsure", {f"gate-1/b/{name}": NOW_MS for name in (1, 2, 3, 4)})
    redis.zadd(KEYS.labelled, {"gate-1/b/1": NOW_MS})
    redis.hset(KEYS.answered_by, "gate-1/b/2", "grace")
    redis.zadd(KEYS.skipped, {"ada\ngate-1/b/3": NOW_MS})
    found, theirs = names(offered(url, (ADA, 20))[0]), names(offered(url, (GRACE, 20))[0])
    assert (found, theirs) == (["gate-1/b/4"], ["gate-1/b/3"])
    assert redis.zrange(KEYS.drawer("unsure"), 0, -1) == [b"gate-1/b/3", b"gate-1/b/4"]
    assert sorted(redis.hkeys(KEYS.drawn("unsure"))) == [b"gate-1/b/3", b"gate-1/b/4"]


def test_a_second_opinion_is_somebody_elses(url: str, redis: Redis) -> None:
    """A frame for two goes to another than who answered, without the guess; once two have answered, to none."""
    draw(redis, "unsure", {"gate-1/b/1": NOW_MS}, twice=True)
    redis.hset(KEYS.answered_by, "gate-1/b/1", "ada")
    redis.zadd(KEYS.labelled, {"gate-1/b/1": NOW_MS})
    assert offered(url, (ADA, 20)) == [[]]
    ((offer,),) = offered(url, (GRACE, 20))
    assert (offer.second_opinion, offer.predicted, offer.drawer) == (True, None, "unsure")
    redis.zadd(KEYS.second_opinions, {"gate-1/b/1": NOW_MS})
    assert offered(url, (Principal("third", EVERYTHING), 20)) == [[]]


def test_who_may_see_some_cameras_is_offered_those(url: str, redis: Redis) -> None:
    """Cameras with strokes in their names too; evidence is of cameras that drift suspects."""
    cameras = ("gate/1", "gate/2", "yard-1")
    redis.zadd(KEYS.cameras, dict.fromkeys(cameras, 0))
    draw(redis, "audit", {f"{camera}/b/1": NOW_MS for camera in cameras})
    for number, camera in enumerate(cameras):
        draw(redis, "evidence", {f"{camera}/b/2": NOW_MS}, camera, hash=number)
    redis.zadd(KEYS.suspected, {"gate/1": 2, "gate/2": 0, "yard-1": 1})
    his = Principal("eve", EVERYTHING, ("gate/*",))
    assert names(offered(url, (his, 20))[0]) == ["gate/1/b/1", "gate/1/b/2", "gate/2/b/1"]
    assert names(offered(url, (ADA, 20))[0]) == ["yard-1/b/1", "yard-1/b/2"]


def test_labels_of_one_decision_have_each_their_own_chance(tmp_path: Path) -> None:
    """Frames that look alike are one answer; how likely each was drawn goes by how sure the model was of it."""
    now_ms = clock.now_ms()
    (_, prediction), *_ = [row for row in Fleet(["gate"], [("car", b"")], now_ms).now() if row[0] == "predictions"]
    sure = {"car": 0.6, "bus": 0.4}, {"car": 0.8, "bus": 0.2}
    numbers = [number for number in range(10_000) if dice(frame_id("gate", "b", number)).unsure < 0.02][:2]
    with Stage(tmp_path) as stage:
        for number, probabilities in zip(numbers, sure, strict=True):
            fields = {"sequence": number, "probabilities": probabilities, "received_at_ms": now_ms}
            stage.put([("predictions", msgspec.structs.replace(prediction, **fields))])
        offer = _posted(stage, "/v1/labels/offers", {})["offers"][0]
        answer = {name: offer[name] for name in ("frame", "drawer", "same", "second_opinion")}
        _posted(stage, "/v1/labels/answers", answer | {"answer_id": "a", "answer": "labelled", "label": "car"})
        labels = {label.sequence: label.propensity for _, label in stage.sent if isinstance(label, Label)}
    chances = {number: 0.05 * 2 * each["bus"] for number, each in zip(numbers, sure, strict=True)}
    assert labels == pytest.approx(chances, rel=1e-6)


def test_a_label_in_doubt_comes_back_by_itself(url: str, redis: Redis) -> None:
    """Though it is labelled and answered; whoever looked first may look again; once somebody did, it is gone."""
    frames = {f"gate-1/b/{number}": NOW_MS for number in range(3)}
    draw(redis, "suspect", frames, hash=0)
    redis.zadd(KEYS.labelled, dict.fromkeys(frames, NOW_MS))
    for frame in frames:
        redis.hset(KEYS.answered_by, frame, "ada")
    redis.zadd(KEYS.looked_again, {"gate-1/b/1": NOW_MS})
    (found,) = offered(url, (ADA, 20))
    assert sorted(offer.frame for offer in found) == ["gate-1/b/0", "gate-1/b/2"]
    assert {(offer.drawer, offer.predicted, offer.second_opinion) for offer in found} == {("suspect", "car", False)}
    assert redis.zrange(KEYS.drawer("suspect"), 0, -1) == [b"gate-1/b/0", b"gate-1/b/2"]


def test_a_correction_is_a_later_label_and_a_confirmation_is_none(tmp_path: Path) -> None:
    """It has source and propensity of the label that it replaces: the frames that are labelled stay. Taken back,
    the label that was in doubt holds again."""
    now_ms = clock.now_ms()
    with Stage(tmp_path) as stage:
        for number in range(2):
            stage.put([("labels.suspects", _suspect(number, now_ms))])
        for offer in _posted(stage, "/v1/labels/offers", {})["offers"]:
            label = {"gate/b/0": "car", "gate/b/1": "bus"}[offer["frame"]]
            said = {"answer_id": offer["frame"], "frame": offer["frame"], "drawer": offer["drawer"], "label": label}
            _posted(stage, "/v1/labels/answers", said | {"answer": "labelled"})
        labels = [label for _, label in stage.sent if isinstance(label, Label)]
        undone = {"answer_id": "gate/b/0", "frame": "gate/b/0", "drawer": "suspect", "answer": "undone"}
        _posted(stage, "/v1/labels/answers", undone)
        restored = [label for _, label in stage.sent if isinstance(label, Label)][-1]
        assert (restored.label, restored.source, restored.propensity) == ("bus", "audit", 0.25)
        _posted(stage, "/v1/labels/offers", {"again": True})
        again = {"answer_id": "again", "frame": "gate/b/0", "drawer": "suspect", "label": "car"}
        _posted(stage, "/v1/labels/answers", again | {"answer": "labelled"})
        stage.put([(topic, record) for topic, record in stage.sent if topic == "labels.answers"])
        assert _posted(stage, "/v1/labels/offers", {"again": True})["offers"] == []
    (corrected,) = labels
    assert (corrected.sequence, corrected.label, corrected.source, corrected.propensity) == (0, "car", "audit", 0.25)
    assert corrected.labelled_at_ms >= now_ms


@pytest.mark.parametrize(("before", "in_doubt"), [("bus", ["opinions"]), ("car", [])])
def test_people_who_disagree_put_a_label_in_doubt(tmp_path: Path, before: str, in_doubt: list[str]) -> None:
    """What the second one says holds until somebody looks again."""
    now_ms = clock.now_ms()
    thrown = ((number, dice(frame_id("gate", "b", number))) for number in range(100_000))
    number = next(number for number, each in thrown if each.audit < 0.01 and each.second < SECOND_OPINIONS)
    (_, prediction), *_ = [row for row in Fleet(["gate"], [("car", b"")], now_ms).now() if row[0] == "predictions"]
    with Stage(tmp_path) as stage, Redis.from_url(stage.settings.redis_url) as client:
        stage.put([("predictions", msgspec.structs.replace(prediction, sequence=number, received_at_ms=now_ms))])
        keys, frame = Keys(stage.settings.topic_prefix), frame_id("gate", "b", number)
        client.hset(keys.answered_by, frame, "ada")
        client.hset(keys.opinion_labels, f"ada\n{frame}", before)
        (offer,) = _posted(stage, "/v1/labels/offers", {})["offers"]
        said = {"answer_id": "a", "frame": frame, "drawer": offer["drawer"], "answer": "labelled", "label": "car"}
        _posted(stage, "/v1/labels/answers", said | {"second_opinion": True})
        suspects = [record for _, record in stage.sent if isinstance(record, LabelSuspect)]
    assert [each.because for each in suspects] == in_doubt
    assert [(each.label, each.source, each.propensity) for each in suspects] == [("car", "audit", 0.01)] * len(in_doubt)


def _suspect(number: int, now_ms: int) -> LabelSuspect:
    return LabelSuspect(
        camera="gate",
        boot="b",
        sequence=number,
        frame_partition=0,
        frame_offset=number,
        received_at_ms=now_ms,
        label="bus",
        classes=["bus", "car"],
        source="audit",
        propensity=0.25,
        because="training",
        by="trainer",
        at_ms=now_ms,
    )


def _posted(stage: Stage, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(stage.address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as said:
        return json.loads(said.read())
