"""Start the retrain trigger: settings, log, health, broker, app.

Exit status: 0 told to stop; 1 failed, a supervisor should start it again; 2 misconfigured, a person must act.
"""

import logging
import os
import sys
import time
from asyncio import CancelledError
from threading import Thread
from typing import Any

import faust
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from catseye import clock
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.topics import full_name, state_topic
from catseye.kafka.admin import check_partitions, wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.runtime import log
from catseye.runtime.backlog import BacklogWatch, group_places
from catseye.runtime.health import Health, Watchdog
from catseye.runtime.heartbeats import Heartbeats, Problems, report_refused_settings
from catseye.runtime.metrics import Metrics
from catseye.settings import load
from services.retrain_trigger import NAME, READS
from services.retrain_trigger.leader import Leader
from services.retrain_trigger.settings import RetrainTriggerSettings, rules_of
from services.retrain_trigger.trigger import build

CHECK_EVERY_S = 1
STUCK_S = 30
"""An event loop that gave no sign for so long will give none; taking over on a slow broker takes less."""


def main() -> None:
    try:
        settings = load(RetrainTriggerSettings, service=NAME)
        logger = log.set_up(NAME, settings.instance, settings.log_level)
    except Misconfigured as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - there is no logger without settings
        report_refused_settings(NAME, fault)
        sys.exit(2)
    logging.basicConfig(level=logging.WARNING, handlers=[log.Forward(logger)])
    logging.getLogger("mode.timers").setLevel(logging.ERROR)  # an evaluation that takes long is no fault
    health = Health(Metrics(CollectorRegistry()), logger.info)
    heartbeats = Heartbeats(NAME, settings, health, Problems(), logger.info)
    try:
        with heartbeats:
            port = health.serve(settings.health_host, settings.health_port)
            logger.info("listening", host=settings.health_host, port=port)
            wait_for_broker(settings)
            prefix = settings.topic_prefix
            check_partitions(settings, (full_name("outcomes", prefix), state_topic(NAME, prefix)))
            codec = codec_for(settings)
            leader = Leader(settings, codec, rules_of(settings), clock.now_ms, logger.info)
            app = build(settings, codec, leader, health)
            places = group_places(settings, f"{prefix}{NAME}", READS)
            BacklogWatch(settings, places, health.waiting).start()
            Thread(target=_end_when_stuck, args=(health, heartbeats, logger), name="watchdog", daemon=True).start()
            _work(app)
    except Misconfigured as fault:
        logger.error("misconfigured", what=str(fault))
        sys.exit(2)
    except Unavailable as fault:
        logger.error("failed", what=str(fault))
        sys.exit(1)


def _work(app: Any) -> None:
    """Run the app until it ends by `SystemExit`. Raises `Misconfigured` when a newer version wrote its changelog."""
    worker = faust.Worker(app, override_logging=False, redirect_stdouts=False, quiet=True, loglevel="WARNING")
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except (SystemExit, CancelledError):  # the latter from what was under way when the app ended
        unreadable: Misconfigured | None = app.tables["counts"].unreadable
        if unreadable is None:
            raise
        raise unreadable from None


def _end_when_stuck(health: Health, heartbeats: Heartbeats, logger: FilteringBoundLogger) -> None:
    watchdog = Watchdog(STUCK_S)
    while not watchdog.check(health.beat_at):
        time.sleep(CHECK_EVERY_S)
    what = f"the event loop gave no sign for {STUCK_S} s; a new process is needed"
    logger.error("stuck", what=what)
    heartbeats.end("failed", what)
    os._exit(1)


if __name__ == "__main__":
    main()
