"""Mail: one message an incident; what follows is a reply to it (References), so that mail programs show one thread.

Each attempt of one message has the same Message-ID, by which many servers and programs drop a second copy.
"""

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from services.notifier.known import Attempt, Result
from services.notifier.routes import Mail
from services.notifier.senders.parcel import Surroundings, acknowledge, page, plain, title

SUBJECT_MOST: Final = 200
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_HOST: Final = "catseye.invalid"
"""After the @ of message ids: a name that nobody has (RFC 2606)."""
Outcome = Literal["delivered", "failed", "uncertain", "refused"]


class MailSender:
    """Satisfies `Sender`. One connection a message: they are few, and servers close idle ones.

    Args:
        route: Where to.
        around: What else is needed.
    """

    def __init__(self, route: Mail, around: Surroundings) -> None:
        self._route = route
        self._around = around

    def send(self, attempt: Attempt) -> Result:
        message = message_of(attempt, self._route, self._around)
        try:
            server = self._connected()
        except (OSError, smtplib.SMTPException, _RefusedError) as fault:  # it surely does not have the message
            return Result(attempt.key, "failed", f"no mail server takes it: {_reason(fault)}")
        try:
            refused = server.send_message(message, self._route.sender, list(self._route.recipients))
        except smtplib.SMTPRecipientsRefused as fault:
            code, words = next(iter(fault.recipients.values()))
            return Result(attempt.key, _meaning(code), f"no recipient is taken: {code} {_text(words)}")
        except smtplib.SMTPResponseException as fault:
            return Result(attempt.key, _meaning(fault.smtp_code), _reason(fault))
        except (OSError, smtplib.SMTPException) as fault:
            return Result(attempt.key, "uncertain", f"the mail server fell silent: {_reason(fault)}")
        finally:
            _leave(server)
        detail = f"not taken for {', '.join(sorted(refused))}" if refused else "the mail server has it"
        return Result(attempt.key, "delivered", detail)

    def _connected(self) -> smtplib.SMTP:
        """A server that is ready for the message."""
        parts = urlsplit(self._route.server)
        host, timeout_s = parts.hostname or "", self._around.timeout_s
        context = ssl.create_default_context(cafile=self._route.ca_file or None)
        server: smtplib.SMTP
        if parts.scheme == "smtps":
            server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=timeout_s, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 25, timeout=timeout_s)
        try:
            self._greeted(server, host, context)
        except (OSError, smtplib.SMTPException, _RefusedError):
            _leave(server)
            raise
        return server

    def _greeted(self, server: smtplib.SMTP, host: str, context: ssl.SSLContext) -> None:
        """Go over to TLS where the server offers it, and log in where the route says as whom."""
        parts = urlsplit(self._route.server)
        is_safe = parts.scheme == "smtps"
        server.ehlo()
        if not is_safe and server.has_extn("starttls"):
            server.starttls(context=context)
            is_safe = True
        if parts.username:
            if not is_safe and host not in _LOOPBACK:
                raise _RefusedError(f"{host} offers no TLS, and the password is not sent without")
            server.login(unquote(parts.username), unquote(parts.password or ""))


class _RefusedError(Exception):
    """We do not go on."""


def message_of(attempt: Attempt, route: Mail, around: Surroundings) -> EmailMessage:
    """The mail: plain text, and the same as HTML with a picture from before and one from after."""
    message = EmailMessage()
    message["From"] = route.sender
    message["To"] = ", ".join(route.recipients)
    reply = "Re: " if attempt.action == "edit" else ""
    message["Subject"] = f"{reply}[Catseye] {title(attempt)}"[:SUBJECT_MOST]
    message["Date"] = format_datetime(datetime.fromtimestamp(attempt.contents[0].at_ms / 1_000, UTC))
    message["Message-ID"] = _message_id(attempt.notification_id)
    if attempt.action == "edit":
        message["In-Reply-To"] = message["References"] = _message_id(attempt.first_id)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(plain(attempt, around) + "\n")
    pictures = _pictures(attempt, around) if len(attempt.contents) == 1 else []
    message.add_alternative(_html(attempt, around, [name for name, _ in pictures]), subtype="html")
    for name, jpeg in pictures:
        _, html = message.iter_parts()
        html.add_related(jpeg, "image", "jpeg", cid=f"<{name}>", filename=f"{name}.jpg")
    return message


def _pictures(attempt: Attempt, around: Surroundings) -> list[tuple[str, bytes]]:
    (content,) = attempt.contents
    places = [("before", place) for place in content.before] + [("after", place) for place in content.after]
    found = [(name, around.picture(place)) for name, place in places]
    return [(name, jpeg) for name, jpeg in found if jpeg is not None]


def _html(attempt: Attempt, around: Surroundings, pictures: list[str]) -> str:
    parts = [f"<h1 style='font-size:1.1rem'>{escape(title(attempt))}</h1>"]
    if len(attempt.contents) > 1:
        rows = [f"<li>{_link(page(content, around), content.title)}</li>" for content in attempt.contents]
        parts.append(f"<ul>{''.join(rows)}</ul>")
    else:
        (content,) = attempt.contents
        parts += [f"<p>{escape(text)}</p>" for text in content.text]
        shown = "".join(
            f"<figure style='display:inline-block;margin:0 1rem 0 0'><img src='cid:{name}' alt='{name}' "
            f"style='max-width:320px'><figcaption>{name}</figcaption></figure>"
            for name in pictures
        )
        links = [
            _link(page(content, around), "Look at it"),
            _link(acknowledge(content, attempt.route, around), "I have seen it"),
        ]
        parts += [shown, f"<p>{' · '.join(link for link in links if '<a' in link)}</p>"]
    return f"<!doctype html><html lang='en'><body>{''.join(parts)}</body></html>"


def _link(address: str, words: str) -> str:
    return f"<a href='{escape(address)}'>{escape(words)}</a>" if address else escape(words)


def _message_id(notification_id: str) -> str:
    return f"<{notification_id}@{_HOST}>"


def _meaning(code: int) -> Outcome:
    """4xx passes by itself or is mended; 5xx never takes this message (RFC 5321, 4.2.1)."""
    return "refused" if code >= 500 else "failed"


def _reason(fault: Any) -> str:
    if isinstance(fault, smtplib.SMTPResponseException):
        return f"{fault.smtp_code} {_text(fault.smtp_error)}"
    return str(fault) or type(fault).__name__


def _text(words: Any) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def _leave(server: smtplib.SMTP) -> None:
    try:
        server.quit()
    except (OSError, smtplib.SMTPException):
        server.close()
