"""Start view: settings, Redis, core, loop."""

from catseye.kafka.registry import codec_for
from catseye.runtime import log
from catseye.runtime.backlog import BacklogWatch
from catseye.runtime.service import Process, run_process
from catseye.view.keys import Keys
from catseye.view.store import Store
from services.view import NAME
from services.view.core import ViewCore
from services.view.follow import View
from services.view.queue import Queue
from services.view.settings import ViewSettings, rates_of


def work(process: Process[ViewSettings]) -> None:
    settings = process.settings
    keys = Keys(settings.topic_prefix)
    store = Store(settings.redis_url, keys)
    queue = Queue(keys, rates_of(settings.view_queue_rates), settings.view_queue_most)
    core = ViewCore(keys, codec_for(settings), queue)
    view = View(settings, core, store, process.health, log.client_lines(process.logger))
    BacklogWatch(settings, view.places, process.health.waiting).start()
    view.run(process.stop)


if __name__ == "__main__":
    run_process(NAME, ViewSettings, work)
