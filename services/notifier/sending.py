"""The sender of each route."""

from collections.abc import Mapping
from typing import Any

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
