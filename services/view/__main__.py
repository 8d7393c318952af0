"""Start view: settings, log, health, Redis, the loop."""

import logging
import signal
import sys
from threading import Event
from typing import NoReturn

from prometheus_client import CollectorRegistry

from catseye.contract.errors import Misconfigured, Unavailable
from catseye.kafka.admin import wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.runtime import log
from catseye.runtime.health import Health
from catseye.runtime.metrics import Metrics
from catseye.runtime.restore import WorkerFailed
from catseye.runtime.service import QUIET_S, ClientLines
from catseye.settings import load
from catseye.view.keys import Keys
from catseye.view.store import Store
from services.view import NAME
from services.view.core import ViewCore
from services.view.follow import View
from services.view.settings import ViewSettings


def main() -> NoReturn:
    """Run until a signal. Exit status: 0 stopped; 1 failed, to be started again; 2 misconfigured."""
    try:
        settings = load(ViewSettings, service=NAME)
        logger = log.set_up(NAME, settings.instance, settings.log_level)
        logging.basicConfig(level=logging.WARNING, handlers=[log.Forward(logger)])
    except Misconfigured as fault:
        print(fault, file=sys.stderr)  # noqa: T201 - there is no logger without settings
        sys.exit(2)
    stop = Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    health = Health(Metrics(CollectorRegistry()), logger.info, quiet_s=QUIET_S)
    try:
        port = health.serve(settings.health_host, settings.health_port)
        logger.info("listening", host=settings.health_host, port=port)
        keys = Keys(settings.topic_prefix)
        store = Store(settings.redis_url, keys)
        wait_for_broker(settings)
        core = ViewCore(keys, codec_for(settings))
        View(settings, core, store, health, ClientLines(logger)).run(stop)
    except Misconfigured as fault:
        logger.error("misconfigured", what=str(fault))
        sys.exit(2)
    except (WorkerFailed, Unavailable) as fault:
        logger.error("failed", what=str(fault))
        sys.exit(1)
    logger.info("stopped")
    sys.exit(0)


if __name__ == "__main__":
    main()
