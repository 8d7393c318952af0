"""The notifier in the worker that runs it, on a broker in memory, with threads that send to a real web server."""

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from catseye.contract.codec import Codec
from catseye.contract.records import Alert, Notification
from catseye.runtime.heartbeats import Problems
from catseye.runtime.router import Router
from catseye.runtime.worker import Worker
from services.notifier import NAME, READS, WRITES
from services.notifier.core import NotifierCore
from services.notifier.notifier_state import NotifierState
from services.notifier.policy import Patience
from services.notifier.post import Post
from services.notifier.route_file import read_config
from services.notifier.senders.parcel import Surroundings
from services.notifier.sending import CurrentSender
from services.notifier.settings import NotifierSettings
from tests.simulation.notifier import NOON_MS, alert
from tests.simulation.worker_in_memory import PREFIX, InMemory, world
from tests.simulation.worker_stories import Recorder, Until
from tests.unit.test_notifier_senders import WebServer, web

__all__ = ["web", "world"]

CODEC = Codec()


class Process:
    """One notifier.

    Args:
        world: The broker.
        folder: Has notify.yaml.
        began_ms: Its clock at the start; each look at it is 100 ms later.
    """

    def __init__(self, world: InMemory, folder: Path, began_ms: int) -> None:
        settings = NotifierSettings(topic_prefix=PREFIX, data_dir=folder, transaction_interval_ms=0)
        config = read_config(settings)
        around = Surroundings("", lambda *_: "", lambda _: None, 60)
        self._began_ms, self._looks = began_ms, 0
        senders = {name: CurrentSender(partial(config.by_name.__getitem__, name), around) for name in config.by_name}
        post = Post(senders, Problems(), lambda *_, **__: None)
        core = NotifierCore(config, Patience(), post)
        reads = [PREFIX + name for name in READS]
        world.broker.given = [(name, 0) for name in reads]
        self._worker: Worker[NotifierState] = Worker(
            NAME,
            Router(core, NAME, READS, WRITES, CODEC, PREFIX, 1),
            reads,
            f"{PREFIX}{NAME}.state",
            settings,
            clock=self._now_ms,
            probe=Recorder(),
        )

    def run(self, done: Callable[[], bool]) -> None:
        """Work until *done*."""
        self._worker.run(Until(done))

    def _now_ms(self) -> int:
        self._looks += 1
        time.sleep(0.001)
        return self._began_ms + 100 * self._looks


def publish(world: InMemory, *alerts: Alert) -> None:
    """As incidents does."""
    for each in alerts:
        world.broker.append((f"{PREFIX}alerts", 0), each.alert_id.encode(), CODEC.encode(each))


def notifications(world: InMemory) -> list[Notification]:
    """What is on the topic of notifications."""
    found: list[Any] = [
        CODEC.decode(value, Notification) for _, _, value in world.broker.committed(f"{PREFIX}notifications")
    ]
    return found


def is_delivered(world: InMemory) -> bool:
    """Whether any was."""
    return any(each.result == "delivered" for each in notifications(world))


def write_routes(folder: Path, web: WebServer) -> None:
    (folder / "notify.yaml").write_text(f"routes: [{{name: hook, to: webhook, url: '{web.url}'}}]")


def test_each_alert_is_one_message_through_a_restart(world: InMemory, web: WebServer, tmp_path: Path) -> None:
    """What was sent is on a topic; the next process goes on where this one was."""
    write_routes(tmp_path, web)
    publish(world, alert())
    Process(world, tmp_path, NOON_MS).run(lambda: len(notifications(world)) == 1)
    publish(world, alert(alert_id="b", incident_id="j", camera="gate-8"))
    Process(world, tmp_path, NOON_MS + 60_000).run(lambda: len(notifications(world)) == 2)
    titles = [json.loads(each.body)["title"] for each in web.asked]
    assert titles == ["critical: camera black, gate-7 (open)", "critical: camera black, gate-8 (open)"]
    assert [(each.route, each.result, each.attempt) for each in notifications(world)] == [("hook", "delivered", 1)] * 2


def test_what_was_on_its_way_when_it_died_is_sent_again_by_the_same_key(
    world: InMemory,
    web: WebServer,
    tmp_path: Path,
) -> None:
    """The server had it, and nobody heard of it."""
    write_routes(tmp_path, web)
    may_answer = threading.Event()
    web.before = may_answer.wait
    publish(world, alert())
    Process(world, tmp_path, NOON_MS).run(lambda: len(web.asked) == 1)
    web.before = lambda: None
    Process(world, tmp_path, NOON_MS + 60_000).run(lambda: is_delivered(world))
    may_answer.set()
    first, second = web.asked
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert [(each.result, each.attempt) for each in notifications(world)] == [("failed", 1), ("delivered", 2)]


def test_what_is_no_alert_is_a_dead_letter(world: InMemory, web: WebServer, tmp_path: Path) -> None:
    """And what follows is told."""
    write_routes(tmp_path, web)
    world.broker.append((f"{PREFIX}alerts", 0), b"x", b"nonsense")
    publish(world, alert())
    Process(world, tmp_path, NOON_MS).run(lambda: len(notifications(world)) == 1)
    assert len(world.broker.committed(f"{PREFIX}dead-letters")) == 1
