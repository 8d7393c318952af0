"""How a service of the data plane starts and ends: settings, log, health, worker, signals. Used by `__main__` only."""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Generic, NoReturn

from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.topics import BY_NAME, full_name
from catseye.kafka.admin import wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.kafka.topics_now import TopicsNow
from catseye.runtime import log
from catseye.runtime.backlog import BacklogWatch
from catseye.runtime.health import Health, Watchdog
from catseye.runtime.heartbeats import Heartbeats, Problems, report_refused_settings
from catseye.runtime.listener import Listener
from catseye.runtime.metrics import Metrics
from catseye.runtime.observer import Observer
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.router import Router
from catseye.runtime.topic_watch import TopicWatch
from catseye.runtime.worker import Worker
from catseye.settings import T, load

QUIET_S = 5.0  # a worker that gives no sign for so long is not ready: it waits for a broker, or hangs
STUCK_S = 20  # longer than any call of ours may last; two in a row are shorter than a group may stand still


@dataclass(frozen=True)
class Process(Generic[T]):
    """What a process has once it runs: it listens for /live, /ready and /metrics, writes heartbeats, heeds signals.

    Attributes:
        settings: As it was started with.
        logger: Its log.
        health: To be told of its work.
        heartbeats: Written meanwhile.
        problems: To be told of what it refuses.
        stop: Set once a signal asks it to end.
    """

    settings: T
    logger: FilteringBoundLogger
    health: Health
    heartbeats: Heartbeats
    problems: Problems
    stop: Event


def run_process(name: str, kind: type[T], work: Callable[[Process[T]], None]) -> NoReturn:
    """Run one process until it is stopped by a signal, and exit.

    Args:
        name: Name of the service.
        kind: Its settings.
        work: Does all that it is for; a broker answers already.

    Exit status: 0 stopped by a signal; 1 failed, to be started again by a supervisor; 2 misconfigured, to be mended.
    """
    try:
        settings = load(kind, service=name)
        logger = log.set_up(name, settings.instance, settings.log_level)
        logging.basicConfig(level=logging.WARNING, handlers=[log.Forward(logger)])  # the SDK's, for one
    except Misconfigured as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - there is no logger without settings
        report_refused_settings(name, fault)
        sys.exit(2)
    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    health = Health(Metrics(CollectorRegistry()), logger.info, quiet_s=QUIET_S)
    problems = Problems()
    heartbeats = Heartbeats(name, settings, health, problems, logger.info)
    try:
        with heartbeats:
            port = health.serve(settings.health_host, settings.health_port)
            logger.info("listening", host=settings.health_host, port=port)
            wait_for_broker(settings)
            work(Process(settings, logger, health, heartbeats, problems, stop))
    except Misconfigured as fault:
        logger.error("misconfigured", what=str(fault))
        sys.exit(2)
    except (WorkerFailed, Unavailable) as fault:
        logger.error("failed", what=str(fault))
        sys.exit(1)
    logger.info("stopped")
    sys.exit(0)


def run(
    name: str,
    reads: tuple[str, ...],
    writes: tuple[str, ...],
    kind: type[T],
    build: Callable[[T, Codec, Any, Problems], Any],
) -> NoReturn:
    """Run one service of the data plane until it is stopped by a signal, and exit, as `run_process` says.

    Args:
        name: Name of the service.
        reads: Topics that it reads, without prefix.
        writes: Topics that it may write, without prefix.
        kind: Its settings.
        build: Makes the core from settings, codec, logger, and what the service reports that it refuses to.
    """

    def work(process: Process[T]) -> None:
        settings, logger, health = process.settings, process.logger, process.health
        codec, prefix = codec_for(settings), settings.topic_prefix
        core = build(settings, codec, logger, process.problems)
        state = f"{name}.state"
        lines = log.client_lines(logger)
        observer = Observer(settings, getattr(core, "roads", ()), clock=clock.now_ms, client_log=lines)
        listener = Listener(settings, logger.info)
        uses = {*reads, *writes, *({state} & BY_NAME.keys())}
        topics = TopicsNow(settings, [full_name(topic, prefix) for topic in uses])
        watch_topics = TopicWatch(name, reads, uses, settings, topics, process.problems, logger.warning)
        worker: Worker[Any] = Worker(
            name,
            Router(core, name, reads, writes, codec, prefix, settings.partitions),
            [full_name(read, prefix) for read in reads],
            full_name(state, prefix) if state in BY_NAME else None,
            settings,
            clock=clock.now_ms,
            probe=health,
            client_log=lines,
            progress=observer.news,
            faults=listener.news,
            anywhere=[full_name(read, prefix) for read in reads if BY_NAME[read].public],
            topics=topics,
            made_anew=watch_topics.made_anew,
        )
        observer.start()
        BacklogWatch(settings, worker.places, health.waiting).start()
        watch_topics.start()
        if getattr(core, "listens", False):
            listener.start()
        health.beat()
        watch = (health, process.heartbeats, logger.error)
        Thread(target=_end_when_stuck, args=watch, name="watchdog", daemon=True).start()
        worker.run(process.stop)

    run_process(name, kind, work)


def _end_when_stuck(health: Health, heartbeats: Heartbeats, log: Callable[..., None]) -> None:
    """End the process when its worker gives no sign any more: a supervisor starts another.

    Calls of librdkafka may outlive their time limit: sending offsets hangs for good when the group's coordinator came
    back meanwhile (confluentinc/librdkafka, issues 5456 and 5511; seen with 2.16.0 after each restart of a broker).
    Nothing inside the process can end such a call.
    """
    watchdog = Watchdog(STUCK_S)
    while not watchdog.check(health.beat_at):
        time.sleep(1)
    what = f"the worker gave no sign for {STUCK_S} s; a new process is needed"
    log("stuck", what=what)
    heartbeats.end("failed", what)
    os._exit(1)
