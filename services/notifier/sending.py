"""The sender of each route."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from catseye.contract.errors import Misconfigured
from services.notifier.known import Attempt, Result
from services.notifier.routes import Alertmanager, AnyRoute, Apprise, Mail, Matrix, Slack, Telegram, Webhook
from services.notifier.senders.alertmanager import AlertmanagerSender
from services.notifier.senders.apprise import AppriseSender
from services.notifier.senders.mail import MailSender
from services.notifier.senders.matrix import MatrixSender
from services.notifier.senders.parcel import Sender, Surroundings
from services.notifier.senders.slack import SlackSender
from services.notifier.senders.telegram import TelegramSender
from services.notifier.senders.webhook import WebhookSender

_SENDERS: Mapping[type[AnyRoute], Any] = {
    Mail: MailSender,
    Webhook: WebhookSender,
    Slack: SlackSender,
    Telegram: TelegramSender,
    Matrix: MatrixSender,
    Alertmanager: AlertmanagerSender,
    Apprise: AppriseSender,
}


def sender_of(route: AnyRoute, around: Surroundings) -> Sender:
    """What sends by *route*."""
    sender: Sender = _SENDERS[type(route)](route, around)
    return sender


class CurrentSender:
    """Sends by a route with the secrets that it has when a message goes out: they are replaced while a notifier runs.

    Where a file of a secret cannot be read, as may be while it is replaced, it goes on with what it had.

    Args:
        route: As it is now; raises `Misconfigured`.
        around: What senders need.
    """

    def __init__(self, route: Callable[[], AnyRoute], around: Surroundings) -> None:
        self._now = route
        self._around = around
        self._route = route()
        self._sender = sender_of(self._route, around)

    def send(self, attempt: Attempt) -> Result:
        """As `Sender.send`; what is secret is not in the result."""
        route = self._current()
        if route != self._route:
            self._route, self._sender = route, sender_of(route, self._around)
        result = self._sender.send(attempt)
        return replace(result, detail=route.without_secrets(result.detail))

    def _current(self) -> AnyRoute:
        try:
            return self._now()
        except Misconfigured:
            return self._route
