"""View on a real broker and a real Redis: in whatever batches, after whatever fault, the same is there in the end."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any, cast

import pytest
from redis import Redis

from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import Record
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.admin import create_topics
from catseye.kafka.producing import produce_rows
from catseye.view.keys import Keys
from catseye.view.store import Store
from infra.local.kafka import KafkaCluster
from infra.local.redis import RedisServer
from services.view.core import ViewCore
from services.view.follow import View
from services.view.queue import Queue
from services.view.settings import ViewSettings
from tests.system.running import CROPS, ROOT, wait_until
from tests.system.view_records import Road

pytestmark = pytest.mark.broker

NOW_MS = time.time_ns() // 1_000_000 - 3_600_000
"""Records of the last hour: what is older than it is kept leaves Redis by itself."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


class Probe:
    """Listens, and ends the process that it listens to when it is told to."""

    def __init__(self) -> None:
        self.records = 0
        self.ended = False
        self.causes: list[str] = []

    def beat(self) -> None: ...
    def assigned(self, partitions: int, *, ready: bool) -> None: ...
    def connected(self, *, connected: bool) -> None: ...

    def committed(self, records: int, events: Any, work_s: float, commit_s: float) -> None:
        self.records += records

    def aborted(self, cause: str) -> None:
        self.causes.append(cause)


class Killed(Exception):
    """The process is gone at this step."""


class Mortal(Store):
    """A store whose process is killed before or after a write."""

    kill: Callable[[], bool] = staticmethod(lambda: False)

    def write(self, *args: Any) -> bool:
        if self.kill():
            raise Killed
        written = super().write(*args)
        if self.kill():
            raise Killed
        return written


def settings_of(broker: KafkaCluster, redis: RedisServer, prefix: str, most: int = 5_000) -> ViewSettings:
    return ViewSettings(
        kafka_bootstrap_servers=broker.bootstrap_servers,
        redis_url=redis.url,
        topic_prefix=prefix,
        partitions=2,
        view_interval_ms=0,
        view_max_records=most,
    )


def write(settings: ViewSettings, records: list[tuple[str, Record]]) -> None:
    """Write them, in order within each partition."""
    codec, prefix = Codec(), settings.topic_prefix
    produce_rows(
        settings,
        [(full_name(topic, prefix), BY_NAME[topic].key_of(record), codec.encode(record)) for topic, record in records],
    )


def view(settings: ViewSettings, probe: Probe, store: Store | None = None) -> View:
    keys = Keys(settings.topic_prefix)
    return View(
        settings, ViewCore(keys, Codec(), Queue(keys, {}, 1_000)), store or Store(settings.redis_url, keys), probe, None
    )


@contextmanager
def working(settings: ViewSettings, store: Store | None = None) -> Iterator[Probe]:
    """View runs meanwhile. Raises what it ends with."""
    probe, stop, ended = Probe(), Event(), []

    def work() -> None:
        try:
            view(settings, probe, store).run(stop)
        except BaseException as fault:  # noqa: BLE001 - handed to the test
            ended.append(fault)
            probe.ended = True

    thread = Thread(target=work)
    thread.start()
    try:
        yield probe
    finally:
        stop.set()
        thread.join()
        if ended:
            raise ended[0]


def run(settings: ViewSettings, until: Callable[[], bool], store: Store | None = None) -> None:
    """Run view until what is wanted is so. Raises what it ends with."""
    with working(settings, store) as probe:
        wait_until(lambda: probe.ended or until(), "the read model is there")


def whole(settings: ViewSettings, total: int) -> Callable[[], bool]:
    """Tells when the read model stands for *total* records."""
    server, keys = Redis.from_url(settings.redis_url), Keys(settings.topic_prefix)

    def reached() -> bool:
        counts = cast("dict[bytes, bytes]", server.hgetall(keys.counts))
        return sum(map(int, counts.values())) >= total

    return reached


def lifetime(server: Redis, key: bytes) -> Any:
    """When a plot's chunk ends; that of a picture depends on when it came."""
    return server.expiretime(key.decode()) if b":plot:" in key else None


def dump(settings: ViewSettings) -> dict[str, Any]:
    """Everything in the read model but how it came to be: build, progress and live changes."""
    server, keys = Redis.from_url(settings.redis_url), Keys(settings.topic_prefix)
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": server.get,
        b"hash": server.hgetall,
        b"list": lambda key: server.lrange(key, 0, -1),
        b"zset": lambda key: server.zrange(key, 0, -1, withscores=True),
    }
    apart = {keys.epoch, keys.progress, keys.live, keys.offsets}
    return {
        key.decode(): (readers[cast("bytes", server.type(key))](key), lifetime(server, key))
        for key in cast("list[bytes]", server.keys(f"{keys.root}*"))
        if key.decode() not in apart
    }


@pytest.fixture
def fed(broker: KafkaCluster, redis: RedisServer, prefix: str) -> tuple[ViewSettings, int, dict[str, Any]]:
    """Topics with records, and what became of them in a run that nothing disturbed."""
    settings = settings_of(broker, redis, prefix)
    create_topics(settings)
    records = Road(1, next((CROPS / "car").glob("*.jpg")).read_bytes(), NOW_MS).records(900)
    write(settings, records)
    run(settings, whole(settings, len(records)))
    expected = dump(settings)
    assert len(expected) > 50
    return settings, len(records), expected


def test_what_came_as_it_was_written_is_as_what_was_read_from_the_start(
    broker: KafkaCluster, redis: RedisServer, prefix: str
) -> None:
    """Record by record and in one batch: the same values, plots, rankings and lifetimes. A record more is seen."""
    settings = settings_of(broker, redis, prefix, most=3)
    create_topics(settings)
    records = Road(2, next((CROPS / "car").glob("*.jpg")).read_bytes(), NOW_MS).records(300)
    with working(settings):
        for start in range(0, len(records), 50):
            write(settings, records[start : start + 50])
        wait_until(whole(settings, len(records)), "all are there")
    live = dump(settings)
    Redis.from_url(settings.redis_url).flushall()
    at_once = settings_of(broker, redis, prefix)
    run(at_once, whole(at_once, len(records)))
    assert dump(at_once) == live
    write(settings, Road(3, b"\xff\xd8\xff\xd9", NOW_MS).records(1))
    run(at_once, whole(at_once, len(records) + 1))
    assert dump(at_once) != live


@pytest.mark.parametrize("moment", [0, 1])
def test_a_view_that_is_killed_at_any_write_goes_on_where_redis_is(
    fed: tuple[ViewSettings, int, dict[str, Any]], moment: int
) -> None:
    """Killed before or after a write, and started anew, again and again: nothing is counted twice, nothing is lost."""
    settings, total, expected = fed
    Redis.from_url(settings.redis_url).flushall()
    small = settings.model_copy(update={"view_max_records": 40})
    deaths = 0
    while True:
        steps = iter(range(10_000))
        store = Mortal(settings.redis_url, Keys(settings.topic_prefix))
        store.kill = lambda: next(steps) == 4 + moment  # noqa: B023 - of this life
        try:
            run(small, whole(small, total), store)
        except Killed:
            deaths += 1
        else:
            break
        if whole(small, total)():
            break
    assert deaths >= 5
    assert dump(settings) == expected


def test_a_redis_that_is_emptied_or_killed_is_whole_again_by_itself(
    fed: tuple[ViewSettings, int, dict[str, Any]], redis: RedisServer
) -> None:
    """View runs on, without a record that comes in; while Redis is away it says so."""
    settings, total, expected = fed
    with working(settings) as probe:
        Redis.from_url(settings.redis_url).flushall()
        wait_until(whole(settings, total), "it is whole after it was emptied")
        assert dump(settings) == expected
        port = int(settings.redis_url.rpartition(":")[2].partition("/")[0])
        redis.stop()
        wait_until(lambda: any("Redis" in cause for cause in probe.causes), "that Redis is away")
        with RedisServer(Path(str(redis._directory) + "-again"), preferred_port=port) as again:
            assert again.url == settings.redis_url
            wait_until(whole(settings, total), "it is whole after it was killed")
            assert dump(settings) == expected


def test_a_redis_that_is_full_takes_nothing_in_part(fed: tuple[ViewSettings, int, dict[str, Any]]) -> None:
    """What is there stays as it was; with memory again the rest comes."""
    settings, total, expected = fed
    server = Redis.from_url(settings.redis_url)
    server.flushall()
    small = settings.model_copy(update={"view_max_records": 100})
    server.config_set("maxmemory", "1")
    with working(small) as probe:
        wait_until(lambda: any("Redis is full" in cause for cause in probe.causes), "that Redis is full")
        server.config_set("maxmemory", "256mb")
        wait_until(whole(settings, total), "it is whole")
    assert dump(settings) == expected


@contextmanager
def process(settings: ViewSettings) -> Iterator[subprocess.Popen[bytes]]:
    """View as it is started, killed (SIGKILL) at the end of the body."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "REDIS_URL": settings.redis_url,
        "CATSEYE_TOPIC_PREFIX": settings.topic_prefix,
        "CATSEYE_PARTITIONS": str(settings.partitions),
        "CATSEYE_HEALTH_PORT": "0",
        "CATSEYE_VIEW_INTERVAL_MS": "0",
        "CATSEYE_VIEW_MAX_RECORDS": str(settings.view_max_records),
    }
    command = [sys.executable, "-m", "services.view"]
    started = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def test_what_is_replayed_is_as_it_was_live_however_often_view_is_killed(
    broker: KafkaCluster, redis: RedisServer, prefix: str, pytestconfig: pytest.Config
) -> None:
    """Processes of view: one that reads along, one that reads all from the start, and many that are each killed at
    some batch. Every value, order and lifetime of a plot in Redis is the same."""
    total: int = pytestconfig.getoption("--view-records")
    settings = settings_of(broker, redis, prefix, most=max(total // 50, 1))
    create_topics(settings)
    jpeg = next((CROPS / "car").glob("*.jpg")).read_bytes()
    drawn = Road(4, jpeg, NOW_MS, 2 * 3_500_000 // total).records(total)
    records = [row for row in drawn if row[0] != "heartbeats"]  # of which these processes write some too
    server, dice, deaths, there = Redis.from_url(settings.redis_url), Random(1), 0, 0

    def reached(most: int = len(records)) -> bool:
        return sum(_counts(server, settings).values()) >= most

    with process(settings):
        for start in range(0, len(records), 500):
            write(settings, records[start : start + 500])
        wait_until(reached, "all are there")
    live = _but_heartbeats(server, settings)
    server.flushall()
    with process(settings):
        wait_until(reached, "all are replayed")
    assert _but_heartbeats(server, settings) == live
    server.flushall()
    while not reached():
        there = min(there + dice.randrange(1, max(total // 10, 2)), len(records))
        with process(settings):
            wait_until(partial(reached, there), "it goes on")
        deaths += 1
    assert deaths > 5
    assert _but_heartbeats(server, settings) == live


def _counts(server: Redis, settings: ViewSettings) -> dict[bytes, int]:
    """Records that the read model stands for, by topic, but for heartbeats."""
    found = cast("dict[bytes, bytes]", server.hgetall(Keys(settings.topic_prefix).counts))
    return {topic: int(count) for topic, count in found.items() if topic != b"heartbeats"}


def _but_heartbeats(server: Redis, settings: ViewSettings) -> dict[str, Any]:
    """The read model but for what came of heartbeats."""
    keys = Keys(settings.topic_prefix)
    found = {key: value for key, value in dump(settings).items() if key not in (keys.processes, keys.counts)}
    assert len(found) > 50
    return found | {"counts": _counts(server, settings)}


def test_an_address_that_is_none_is_named() -> None:
    """And a server that is not there is waited for."""
    with pytest.raises(Exception, match="REDIS_URL is no address"):
        Store("http://127.0.0.1", Keys("catseye."))
    with pytest.raises(Unavailable, match="Redis does not take the read model"):
        Store("redis://127.0.0.1:1/0", Keys("catseye.")).open()
