"""Start notifier: settings, routes, core, worker."""

from functools import partial
from typing import Any

from catseye.contract.alert_kinds import ROUTE_FAILING, require_known
from catseye.contract.codec import Codec
from catseye.rights.links import Links
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.notifier import NAME, READS, WRITES
from services.notifier.core import NotifierCore
from services.notifier.pictures import Pictures
from services.notifier.policy import HOUR_MS, Patience
from services.notifier.post import Post
from services.notifier.route_file import RouteFile
from services.notifier.senders.parcel import Surroundings
from services.notifier.sending import CurrentSender
from services.notifier.settings import NotifierSettings


def build(settings: NotifierSettings, codec: Codec, logger: Any, problems: Problems) -> NotifierCore:
    """The core, with senders that run."""
    require_known([ROUTE_FAILING])
    file = RouteFile(settings)
    config = file.config()
    around = surroundings(settings, codec, config.pages)
    senders = {name: CurrentSender(partial(file.route, name), around) for name in config.by_name}
    post = Post(senders, problems, logger.warning)
    return NotifierCore(config, patience_of(settings), post)


def surroundings(settings: NotifierSettings, codec: Codec, pages: str) -> Surroundings:
    """What senders need."""
    links = Links(settings.links_key_path, round(settings.notifier_links_h * HOUR_MS))
    return Surroundings(pages, links.path, Pictures(settings, codec).jpeg, settings.notifier_timeout_s)


def patience_of(settings: NotifierSettings) -> Patience:
    """The settings as the core has them."""
    return Patience(
        settle_ms=round(settings.notifier_settle_s * 1_000),
        retry_ms=round(settings.notifier_retry_s * 1_000),
        retry_most_ms=round(settings.notifier_retry_most_s * 1_000),
        give_up_ms=round(settings.notifier_give_up_h * HOUR_MS),
        failing_ms=round(settings.notifier_failing_s * 1_000),
    )


if __name__ == "__main__":
    run(NAME, READS, tuple(topic for topic in WRITES if topic != f"{NAME}.state"), NotifierSettings, build)
